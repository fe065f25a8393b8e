package pipeline

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"simtrap/ident"
	"simtrap/packet"
)

// Realms maps packets to spaces of inner addresses. The zero value has one
// realm without a name.
type Realms struct {
	names []string // by ident.Realm - 1
	rules []realmRule
}

type realmRule struct {
	realm    ident.Realm
	kind     ruleKind
	from, to uint16 // VLAN identifiers or tap ports
	tunnel   netip.Prefix
}

type ruleKind uint8

const (
	ruleAll ruleKind = iota
	ruleVLAN
	rulePort
	ruleTunnel
)

// ParseRealms reads specifications, of which the first that fits a packet
// applies:
//
//	NAME                 every packet
//	NAME=vlan:100-199    packets whose outer or inner VLAN identifier lies within
//	NAME=port:2          packets of one tap port or pcapng interface
//	NAME=tunnel:PREFIX   packets from a tunnel one end of which lies within
func ParseRealms(specs []string) (Realms, error) {
	var r Realms
	for _, spec := range specs {
		name, selector, has := strings.Cut(spec, "=")
		if name == "" || strings.ContainsAny(name, "/ \t\"") {
			return Realms{}, fmt.Errorf("realm %q: want NAME or NAME=SELECTOR, the name without blanks and slashes", spec)
		}
		rule := realmRule{realm: r.number(name)}
		if has {
			kind, value, _ := strings.Cut(selector, ":")
			var err error
			switch kind {
			case "vlan":
				rule.kind = ruleVLAN
				rule.from, rule.to, err = parseRange(value, 4095)
			case "port":
				rule.kind = rulePort
				rule.from, rule.to, err = parseRange(value, 65535)
			case "tunnel":
				rule.kind = ruleTunnel
				rule.tunnel, err = netip.ParsePrefix(value)
			default:
				err = fmt.Errorf("selector %q is none of vlan:N-M, port:N, tunnel:PREFIX", selector)
			}
			if err != nil {
				return Realms{}, fmt.Errorf("realm %q: %w", spec, err)
			}
		}
		r.rules = append(r.rules, rule)
	}
	return r, nil
}

func parseRange(s string, limit uint64) (from, to uint16, err error) {
	a, b, has := strings.Cut(s, "-")
	if !has {
		b = a
	}
	f, err1 := strconv.ParseUint(a, 10, 16)
	t, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil || f > t || t > limit {
		return 0, 0, fmt.Errorf("range %q: want N or N-M, up to %d", s, limit)
	}
	return uint16(f), uint16(t), nil
}

func (r *Realms) number(name string) ident.Realm {
	for i, n := range r.names {
		if n == name {
			return ident.Realm(i + 1)
		}
	}
	r.names = append(r.names, name)
	return ident.Realm(len(r.names))
}

// Name gives a realm's name, empty for realm 0.
func (r Realms) Name(realm ident.Realm) string {
	if realm == 0 || int(realm) > len(r.names) {
		return ""
	}
	return r.names[realm-1]
}

// byName gives the realm that a feed of sessions means. Without a name it is
// the only one there is.
func (r *Realms) byName(name string) (ident.Realm, bool) {
	if name == "" {
		if len(r.names) == 1 && len(r.rules) == 1 && r.rules[0].kind == ruleAll {
			return 1, true
		}
		return 0, true
	}
	for i, n := range r.names {
		if n == name {
			return ident.Realm(i + 1), true
		}
	}
	return 0, false
}

// Line gives the line that a name means, as findings name lines: an address or a
// prefix, behind its realm's name and a slash where there are realms.
func (r Realms) Line(name string) (ident.Line, bool) {
	if p, err := ident.ParsePrefix(name); err == nil {
		return lineOf(p, 0), true
	}
	realm, rest, _ := strings.Cut(name, "/")
	p, err := ident.ParsePrefix(rest)
	if err != nil {
		return ident.Line{}, false
	}
	for i, n := range r.names {
		if n == realm {
			return lineOf(p, ident.Realm(i+1)), true
		}
	}
	return ident.Line{}, false
}

func lineOf(p netip.Prefix, r ident.Realm) ident.Line {
	l := ident.Line{Addr: ident.AddrFromNetip(p.Addr()), Realm: r}
	if p.Bits() < p.Addr().BitLen() {
		l.Bits = uint8(p.Bits())
	}
	return l
}

// of gives the realm of a packet.
func (r *Realms) of(p *packet.Packet) ident.Realm {
	for i := range r.rules {
		rule := &r.rules[i]
		switch rule.kind {
		case ruleVLAN:
			if v := p.Access.VLAN; (v[0] < rule.from || v[0] > rule.to) && (v[1] < rule.from || v[1] > rule.to) {
				continue
			}
		case rulePort:
			if p.TapPort < rule.from || p.TapPort > rule.to {
				continue
			}
		case ruleTunnel:
			if p.Access.Tunnel == 0 || !rule.tunnel.Contains(p.Access.OuterSrc.Netip()) && !rule.tunnel.Contains(p.Access.OuterDst.Netip()) {
				continue
			}
		}
		return rule.realm
	}
	return 0
}
