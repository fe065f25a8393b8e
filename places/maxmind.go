package places

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/oschwald/maxminddb-golang/v2"

	"simtrap/heuristics"
)

// maxDatabase bounds a database file, all of which is held in memory: mapped,
// a file that is cut while it is read would end the program.
const maxDatabase = 1 << 30

type database struct {
	name   string
	reader *maxminddb.Reader
}

func (p *Places) openDatabase(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("geo: %w", err)
	}
	defer f.Close()
	// A folder or a pipe has no size worth trusting: the limit holds for all.
	b, err := io.ReadAll(io.LimitReader(f, maxDatabase+1))
	switch {
	case err != nil:
		return fmt.Errorf("geo: %w", err)
	case len(b) > maxDatabase:
		return fmt.Errorf("geo %s: more than %d bytes", name, maxDatabase)
	}
	return p.AddDatabase(b, name)
}

// AddDatabase adds a database that lies in memory; b belongs to it from then
// on. name is what errors call it.
func (p *Places) AddDatabase(b []byte, name string) (err error) {
	db := &database{name: name}
	// The library checks what it reads; a file made to break it shall cost this
	// run its answer and nothing else.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("geo %s: damaged: %v", name, r)
		}
	}()
	if db.reader, err = maxminddb.OpenBytes(b, maxminddb.DisableStringCache()); err != nil {
		return fmt.Errorf("geo %s: want a MaxMind database (.mmdb): %w", name, err)
	}
	p.databases = append(p.databases, db)
	return nil
}

var errDamaged = errors.New("damaged database")

// tell fills in what at leaves open, by the names that databases of countries,
// of autonomous systems and of anonymous addresses use; the rest of a record is
// passed over. The library bounds what one look-up reads and allocates.
func (db *database) tell(ip netip.Addr, at *heuristics.Place) (err error) {
	defer func() {
		if recover() != nil {
			err = errDamaged
		}
	}()
	if ip.Is6() && db.reader.Metadata.IPVersion == 4 {
		return nil // it has none of these
	}
	res := db.reader.Lookup(ip)
	if err := res.Err(); err != nil {
		return err
	}
	if !res.Found() {
		return nil
	}
	var fault *maxminddb.InvalidDatabaseError
	get := func(into any, path ...any) {
		// A value of another type is another vendor's, and no fault.
		if e := res.DecodePath(into, path...); errors.As(e, &fault) {
			err = e
		}
	}
	var s string
	for _, path := range [...][]any{{"country", "iso_code"}, {"country"}, {"country_code"}, {"registered_country", "iso_code"}} {
		if at.Country != "" {
			break
		}
		s = ""
		get(&s, path...)
		if c, err := Country(s); err == nil {
			at.Country, at.Known = c, true
		}
	}
	for _, path := range [...][]any{{"autonomous_system_number"}, {"traits", "autonomous_system_number"}, {"asn"}} {
		if at.ASN != 0 {
			break
		}
		var n uint32
		s = ""
		get(&n, path...)
		if n == 0 {
			get(&s, path...)
			n, _ = parseASN(s)
		}
		if n != 0 {
			at.ASN, at.Known = n, true
		}
	}
	for _, path := range [...][]any{{"autonomous_system_organization"}, {"traits", "autonomous_system_organization"}, {"as_name"}} {
		if at.Org != "" {
			break
		}
		s = ""
		get(&s, path...)
		if s = cleanName(s); s != "" {
			at.Org, at.Known = s, true
		}
	}
	for _, path := range [...][]any{{"is_hosting_provider"}, {"traits", "is_hosting_provider"}} {
		var b bool
		get(&b, path...)
		if b {
			at.Hosting, at.Known = true, true
		}
	}
	return err
}
