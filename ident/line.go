// Package ident holds the names simtrap has for things: subscriber lines,
// addresses, telephone numbers and card identities.
//
// Everything here that could identify a person prints masked: String and
// every fmt verb give the class or issuer and nothing more. The only way to
// a value that can be compared between runs is a Pseudonymizer, and the only
// way to the clear text is a Pseudonymizer made under a named authority.
package ident

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"
)

// Addr is an IP address in 16 bytes without pointers, IPv4 in its IPv4-mapped
// form (RFC 4291 section 2.5.5.2), so that tables keyed by it are invisible to
// the garbage collector. The zero Addr is "::" and means "no address".
type Addr struct{ hi, lo uint64 }

const v4Mapped = 0xffff << 32

// AddrFrom4 reads an IPv4 address from the first four bytes of b.
func AddrFrom4(b []byte) Addr {
	return Addr{lo: v4Mapped | uint64(binary.BigEndian.Uint32(b))}
}

// AddrFrom16 reads an IPv6 address from the first sixteen bytes of b.
func AddrFrom16(b []byte) Addr {
	return Addr{hi: binary.BigEndian.Uint64(b), lo: binary.BigEndian.Uint64(b[8:])}
}

// AddrFromNetip converts a netip.Addr; a zone is dropped.
func AddrFromNetip(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	b := a.As16()
	return AddrFrom16(b[:])
}

// ParseAddr reads an address from text without allocating. ok is false for
// anything but a plain IPv4 or IPv6 address; brackets around IPv6 are accepted,
// as in a SIP URI (RFC 3261 section 25.1, IPv6reference).
func ParseAddr(b []byte) (Addr, bool) {
	if len(b) > 1 && b[0] == '[' && b[len(b)-1] == ']' {
		b = b[1 : len(b)-1]
	}
	if a, ok := parse4(b); ok {
		return a, true
	}
	if len(b) < 2 || len(b) > 45 {
		return Addr{}, false
	}
	colons := 0
	for _, c := range b {
		switch {
		case c == ':':
			colons++
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', c == '.':
		default:
			return Addr{}, false
		}
	}
	if colons < 2 {
		return Addr{}, false
	}
	a, err := netip.ParseAddr(string(b))
	if err != nil {
		return Addr{}, false
	}
	return AddrFromNetip(a), true
}

func parse4(b []byte) (Addr, bool) {
	if len(b) < 7 || len(b) > 15 {
		return Addr{}, false
	}
	var v, n, digits, dots uint32
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n*10 + uint32(c-'0')
			digits++
			if n > 255 || digits > 3 {
				return Addr{}, false
			}
		case c == '.':
			if digits == 0 || dots == 3 {
				return Addr{}, false
			}
			v, n, digits, dots = v<<8|n, 0, 0, dots+1
		default:
			return Addr{}, false
		}
	}
	if dots != 3 || digits == 0 {
		return Addr{}, false
	}
	return Addr{lo: v4Mapped | uint64(v<<8|n)}, true
}

// Is4 says whether a is an IPv4 address.
func (a Addr) Is4() bool { return a.hi == 0 && a.lo>>32 == 0xffff }

// IsZero says whether a is no address at all.
func (a Addr) IsZero() bool { return a == Addr{} }

// Netip gives a as the standard library's type, IPv4 unmapped.
func (a Addr) Netip() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b).Unmap()
}

// As16 gives the sixteen bytes of a.
func (a Addr) As16() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return b
}

// Private says whether a is not globally reachable: RFC 1918, RFC 6598,
// RFC 4193, link-local or loopback.
func (a Addr) Private() bool {
	if a.Is4() {
		v := uint32(a.lo)
		return v>>24 == 10 || v>>20 == 0xac1 || v>>16 == 0xc0a8 || v>>22 == 0x6440>>6 || v>>24 == 127 || v>>16 == 0xa9fe
	}
	return a.hi>>57 == 0xfc>>1 || a.hi>>54 == 0xfe80>>6 || a == Addr{lo: 1}
}

// Compare orders addresses; IPv4 sorts among IPv6 by its mapped form.
func (a Addr) Compare(b Addr) int {
	switch {
	case a.hi < b.hi, a.hi == b.hi && a.lo < b.lo:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// String gives the textual form of RFC 5952. Network addresses are not masked:
// the address of a line is what a finding is about.
func (a Addr) String() string { return a.Netip().String() }

// MarshalText makes an Addr a plain string in JSON.
func (a Addr) MarshalText() ([]byte, error) { return a.Netip().MarshalText() }

// Hash mixes a with seed; equal for equal addresses and seeds, and not to be
// predicted by somebody who does not know the seed.
func (a Addr) Hash(seed uint64) uint64 {
	return mix(a.hi^0x9e3779b97f4a7c15^seed, a.lo^0xbf58476d1ce4e5b9^bits.RotateLeft64(seed, 32))
}

// Realm numbers a space of inner addresses; 0 is the default realm, which has
// no name. Names belong to whoever configured them.
type Realm uint16

// Line is one subscriber access: its inner address within a realm. An IPv6
// line is its prefix (see Homes.LineOf), so the interface half is zero.
type Line struct {
	Addr  Addr
	Realm Realm
	Bits  uint8 // prefix length where the line is a prefix, 0 for a whole address
}

// Hash mixes the line with seed.
func (l Line) Hash(seed uint64) uint64 {
	return l.Addr.Hash(seed + uint64(l.Realm) + uint64(l.Bits)<<32)
}

// Compare orders lines by realm, then address.
func (l Line) Compare(m Line) int {
	if l.Realm != m.Realm {
		return int(l.Realm) - int(m.Realm)
	}
	if c := l.Addr.Compare(m.Addr); c != 0 {
		return c
	}
	return int(l.Bits) - int(m.Bits)
}

// Prefix gives the address, or the prefix where the line is one
// ("2001:db8:1:2::/64"), without the realm.
func (l Line) Prefix() string {
	if l.Bits == 0 {
		return l.Addr.String()
	}
	return l.Addr.String() + "/" + strconv.Itoa(int(l.Bits))
}

// String gives the prefix alone, or "realm-N/prefix" outside realm 0.
func (l Line) String() string {
	if l.Realm == 0 {
		return l.Prefix()
	}
	return "realm-" + strconv.Itoa(int(l.Realm)) + "/" + l.Prefix()
}
