package ident

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// Homes says which addresses belong to subscribers. The zero value, and a
// Homes without prefixes, knows nothing: then every address may be a line and
// roles come from signalling.
type Homes struct {
	table  bart.Lite
	len6   int
	loaded bool
}

// ParseHomes reads prefixes ("203.0.113.0/24"), single addresses, or lists of
// them separated by commas. len6 is the prefix length of an IPv6 line, 64 when
// zero.
func ParseHomes(lists []string, len6 int) (*Homes, error) {
	h := &Homes{len6: len6}
	for _, list := range lists {
		for _, s := range strings.Split(list, ",") {
			s = strings.TrimSpace(s)
			if s == "" {
				continue
			}
			p, err := netip.ParsePrefix(s)
			if err != nil {
				a, aerr := netip.ParseAddr(s)
				if aerr != nil {
					return nil, fmt.Errorf("home prefix %q: want an address or a prefix such as 203.0.113.0/24", s)
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			h.table.Insert(p.Masked())
			h.loaded = true
		}
	}
	return h, nil
}

// Known says whether any prefix was given.
func (h *Homes) Known() bool { return h != nil && h.loaded }

// Contains says whether a lies in a home prefix. It is false for every address
// when none was given.
func (h *Homes) Contains(a Addr) bool {
	return h != nil && h.loaded && h.table.Contains(a.Netip())
}

// LineOf gives the line an address belongs to: the address itself for IPv4, its
// prefix (/64 unless set otherwise) for IPv6.
func (h *Homes) LineOf(a Addr, r Realm) Line {
	if !a.Is4() {
		n := 64
		if h != nil && h.len6 > 0 && h.len6 <= 128 {
			n = h.len6
		}
		if n < 128 {
			return Line{Addr: a.mask(n), Realm: r, Bits: uint8(n)}
		}
	}
	return Line{Addr: a, Realm: r}
}

func (a Addr) mask(n int) Addr {
	switch {
	case n >= 128:
		return a
	case n >= 64:
		return Addr{hi: a.hi, lo: a.lo &^ (^uint64(0) >> (n - 64))}
	default:
		return Addr{hi: a.hi &^ (^uint64(0) >> n)}
	}
}
