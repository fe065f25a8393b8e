package store

import (
	"bytes"
	"context"
	"database/sql"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// lineAddr gives the 16 bytes that a line is searched by: those of its address,
// or of the first one of its prefix. Nothing for a name that has none.
func lineAddr(name string) []byte {
	if a, ok := parseLine(name); ok {
		return addrBytes(a)
	}
	if _, rest, found := strings.Cut(name, "/"); found {
		if a, ok := parseLine(rest); ok {
			return addrBytes(a)
		}
	}
	return []byte{}
}

func parseLine(s string) (netip.Addr, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked().Addr(), true
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return a, true
	}
	return netip.Addr{}, false
}

// LineAddrs tells which of addresses lie in networks that hold lines, of any realm and
// sensor: of /24, of IPv6 of /48. Who lives beside a subscriber is one as well, though
// nobody told of it.
func (s *Store) LineAddrs(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]bool, error) {
	of := map[[16]byte][]netip.Addr{}
	for _, a := range addrs {
		a = a.WithZone("").Unmap()
		first := Neighbours(a).Addr().As16()
		if a.Is6() && first == [16]byte{} {
			continue // nobody lives there, and addresses of IPv4 are kept there
		}
		of[first] = append(of[first], a)
	}
	var firsts, lasts [][]byte
	for _, first := range slices.SortedFunc(maps.Keys(of), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }) {
		last := first
		from := 6
		if of[first][0].Is4() { // its four bytes stand last
			from = 15
		}
		for i := from; i < len(last); i++ {
			last[i] = 0xff
		}
		firsts, lasts = append(firsts, first[:]), append(lasts, last[:])
	}
	lines := map[netip.Addr]bool{}
	scan := func(r *sql.Rows) error {
		var b []byte
		if err := r.Scan(&b); err != nil {
			return err
		}
		for _, a := range of[[16]byte(b)] {
			lines[a] = true
		}
		return nil
	}
	// One step in the index for each, whatever a planner thinks of ranges.
	const held = " WHERE (SELECT addr FROM line WHERE addr >= first ORDER BY addr LIMIT 1) <= last"
	if s.db.engine() == postgres {
		return lines, each(ctx, s.db, scan, "SELECT first FROM unnest(?::bytea[], ?::bytea[]) AS net(first, last)"+held, firsts, lasts)
	}
	const chunk = 64
	for len(firsts) > 0 {
		n := min(chunk, len(firsts))
		var args []any
		for i := range n {
			args = append(args, firsts[i], lasts[i])
		}
		firsts, lasts = firsts[n:], lasts[n:]
		values := strings.Repeat(", (?, ?)", n)[2:]
		if err := each(ctx, s.db, scan, "WITH net(first, last) AS (VALUES "+values+") SELECT first FROM net"+held, args...); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// Neighbours is the network that an address is shown as where it is a line's: a /24, of
// IPv6 a /48.
func Neighbours(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	return netip.PrefixFrom(a, bits).Masked()
}

func addrBytes(a netip.Addr) []byte {
	b := a.As16()
	return b[:]
}

func addrFrom(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// addrRange gives the first and the last of a prefix's addresses.
func addrRange(p netip.Prefix) (from, to []byte) {
	p = p.Masked()
	from = addrBytes(p.Addr())
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	to = append([]byte{}, from...)
	for i := bits; i < 128; i++ {
		to[i/8] |= 0x80 >> (i % 8)
	}
	return from, to
}
