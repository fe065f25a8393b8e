// Package places tells where an address is: from lists of prefixes that are
// data, and from databases in MaxMind's format. There is no built-in list, and
// what no list names is not known.
package places

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"

	"simtrap/heuristics"
	"simtrap/ident"
)

// maxKnown bounds the answers that are remembered.
const maxKnown = 1 << 14

// Places answers heuristics.Places. It is for one goroutine.
type Places struct {
	home      string
	table     bart.Table[heuristics.Place]
	prefixes  int
	databases []*database
	known     map[ident.Addr]heuristics.Place
	failed    uint64
}

// Open reads lists of prefixes (see Parse) and MaxMind databases. home is the
// country the tap stands in, two letters; empty, nothing is foreign. It gives
// nil when there is no file: then nothing is known.
func Open(lists, databases []string, home string) (*Places, error) {
	if len(lists)+len(databases) == 0 {
		return nil, nil
	}
	p := New(home)
	for _, name := range lists {
		if err := p.openList(name); err != nil {
			return nil, err
		}
	}
	for _, name := range databases {
		if err := p.openDatabase(name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// New makes Places that know nothing yet.
func New(home string) *Places {
	return &Places{home: strings.ToUpper(home), known: make(map[ident.Addr]heuristics.Place)}
}

// Country checks the two letters of a country (ISO 3166-1 alpha-2) and gives
// them in capitals. Whether they are assigned is not looked at.
func Country(s string) (string, error) {
	c := strings.ToUpper(s)
	if len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z' {
		return "", fmt.Errorf("country %q: want two letters such as CN", s)
	}
	return c, nil
}

// Of gives what the lists say of an address. The longest prefix of the lists
// counts; what it leaves open, the databases may tell, in the order given.
func (p *Places) Of(a ident.Addr) heuristics.Place {
	if p == nil || a.IsZero() {
		return heuristics.Place{}
	}
	if at, ok := p.known[a]; ok {
		return at
	}
	ip := a.Netip()
	at, _ := p.table.Lookup(ip)
	for _, db := range p.databases {
		if err := db.tell(ip, &at); err != nil {
			p.failed++
		}
	}
	at.Foreign = at.Country != "" && p.home != "" && at.Country != p.home
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[a] = at
	return at
}

// Prefixes is how many prefixes the lists have.
func (p *Places) Prefixes() int { return p.prefixes }

// Failed counts the answers that a database could not give because it is
// damaged.
func (p *Places) Failed() uint64 {
	if p == nil {
		return 0
	}
	return p.failed
}

func (p *Places) add(prefix netip.Prefix, at heuristics.Place) {
	p.table.Insert(prefix, at)
	p.prefixes++
}
