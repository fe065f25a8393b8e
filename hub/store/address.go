package store

import (
	"context"
	"database/sql"
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

// LineAddrs tells which of addresses are lines', of any realm and sensor: lines of IPv6
// are networks, of which sizes that subscribers are given are looked for.
func (s *Store) LineAddrs(ctx context.Context, addrs []netip.Addr) (map[netip.Addr]bool, error) {
	of := map[[16]byte][]netip.Addr{}
	for _, a := range addrs {
		a = a.WithZone("").Unmap()
		sizes := []int{32}
		if a.Is6() {
			sizes = []int{48, 52, 56, 60, 62, 64, 128}
		}
		for _, bits := range sizes {
			first := netip.PrefixFrom(a, bits).Masked().Addr().As16()
			if !slices.Contains(of[first], a) {
				of[first] = append(of[first], a)
			}
		}
	}
	var firsts [][]byte
	for b := range of {
		firsts = append(firsts, slices.Clone(b[:]))
	}
	lines := map[netip.Addr]bool{}
	err := in(ctx, s.db, func(r *sql.Rows) error {
		var b []byte
		if err := r.Scan(&b); err != nil {
			return err
		}
		for _, a := range of[[16]byte(b)] {
			lines[a] = true
		}
		return nil
	}, "SELECT DISTINCT addr FROM line WHERE addr IN ?", inOrder(firsts))
	return lines, err
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
