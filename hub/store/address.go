package store

import (
	"net/netip"
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
