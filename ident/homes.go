package ident

import (
	"errors"
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

// ParseHomes reads prefixes ("192.168.0.0/16"), single addresses, or lists of
// them separated by commas. IPv4 may be written in IPv6 (::ffff:203.0.113.0/120,
// RFC 4291 section 2.5.5.2). An empty text and a zone (fe80::1%eth0) are errors:
// whoever gave an empty one meant to give some. len6 is the prefix length of an
// IPv6 line, 64 when zero.
func ParseHomes(lists []string, len6 int) (*Homes, error) {
	h := &Homes{len6: len6}
	for _, list := range lists {
		for _, s := range strings.Split(list, ",") {
			p, err := ParsePrefix(strings.TrimSpace(s))
			if err != nil {
				return nil, fmt.Errorf("home prefix %q: %w", s, err)
			}
			h.table.Insert(p)
			h.loaded = true
		}
	}
	return h, nil
}

// ParsePrefix reads an address or a prefix; IPv4 may be written in IPv6.
func ParsePrefix(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, errors.New("an empty text names no address")
	}
	address, _, _ := strings.Cut(s, "/")
	if strings.Contains(address, "%") {
		return netip.Prefix{}, errors.New("a zone is known to one host alone: want the address without %")
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, errors.New("want an address or a prefix such as 192.168.0.0/16")
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, errors.New("IPv4 within IPv6 has a prefix length of 96 or more")
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// Known says whether any prefix was given.
func (h *Homes) Known() bool { return h != nil && h.loaded }

// Contains says whether a lies in a home prefix. It is false for every address
// when none was given.
func (h *Homes) Contains(a Addr) bool {
	return h != nil && h.loaded && h.table.Contains(a.Netip())
}

// teredo is the upper half of the service prefix of Teredo addresses (RFC 4380
// section 2.6), whose lower half is the server.
const teredo = 0x20010000

// LineOf gives the line an address belongs to: the address itself for IPv4, its
// prefix (/64 unless set otherwise) for IPv6. A Teredo address stands for itself:
// all clients of a server share the /64.
func (h *Homes) LineOf(a Addr, r Realm) Line {
	if !a.Is4() && a.hi>>32 != teredo {
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
