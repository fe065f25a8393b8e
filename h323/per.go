package h323

import (
	"fmt"
	"io"

	"simtrap/ident"
)

// per reads aligned PER (ITU-T X.691), as far as H.225.0 and the few types of
// H.245 that are read here use it. What goes past the end, and what is not
// read here, sets bad; everything after that reads as zero.
type per struct {
	b   []byte
	at  int // in bits
	bad bool
}

func (r *per) fail() { r.bad = true }

// bits reads n bits, at most 32.
func (r *per) bits(n int) (v uint32) {
	if r.bad || r.at+n > 8*len(r.b) {
		r.bad = true
		return 0
	}
	for ; n > 0; n-- {
		v = v<<1 | uint32(r.b[r.at>>3]>>(7-r.at&7))&1
		r.at++
	}
	return v
}

func (r *per) bit() bool { return r.bits(1) == 1 }

func (r *per) align() { r.at = (r.at + 7) &^ 7 }

// octets reads n whole octets.
func (r *per) octets(n int) []byte {
	r.align()
	if r.bad || n < 0 || n > len(r.b)-r.at/8 {
		r.bad = true
		return nil
	}
	from := r.at / 8
	r.at += 8 * n
	return r.b[from : from+n : from+n]
}

// octet and word read INTEGER (0..255) and INTEGER (0..65535).
func (r *per) octet() uint8 {
	r.align()
	return uint8(r.bits(8))
}

func (r *per) word() uint16 {
	r.align()
	return uint16(r.bits(16))
}

// length reads a length without an upper bound (section 11.9). Fragmented ones,
// of 16 K and more, are not read.
func (r *per) length() int {
	r.align()
	n := int(r.bits(8))
	switch {
	case n < 0x80:
		return n
	case n < 0xc0:
		return n&0x3f<<8 | int(r.bits(8))
	}
	r.fail()
	return 0
}

// small reads a normally small number (section 11.6); larger ones are not read.
func (r *per) small() int {
	if r.bit() {
		r.fail()
	}
	return int(r.bits(6))
}

// long reads an integer from 1 to 2^32-1 (section 11.5.7.4).
func (r *per) long() uint32 {
	n := int(r.bits(2)) + 1
	var v uint32
	for _, c := range r.octets(n) {
		v = v<<8 | uint32(c)
	}
	return v + 1
}

// choice reads the index of a CHOICE whose root has up to 1<<width members, and
// whether it is of the extension instead.
func (r *per) choice(width int) (index int, extended bool) {
	if r.bit() {
		return r.small(), true
	}
	return int(r.bits(width)), false
}

// open reads the octets of an open type: an extension's value.
func (r *per) open() per { return per{b: r.octets(r.length()), bad: r.bad} }

// additions passes every extension of a SEQUENCE to see, which may be nil.
func (r *per) additions(extended bool, see func(index int, v *per)) {
	if !extended {
		return
	}
	n := r.small() + 1
	var present uint64
	for i := range n {
		if r.bit() {
			present |= 1 << i
		}
	}
	for i := range n {
		if r.bad {
			return
		}
		if present&(1<<i) == 0 {
			continue
		}
		if v := r.open(); see != nil && !r.bad {
			see(i, &v)
		}
	}
}

// maxList bounds a SEQUENCE OF.
const maxList = 64

// list calls each for every member of a SEQUENCE OF.
func (r *per) list(each func()) {
	n := r.length()
	if n > maxList {
		r.fail()
	}
	for ; n > 0 && !r.bad; n-- {
		each()
	}
}

// text reads a BMPString whose length takes width bits, and gives its Latin
// letters into b; others become '?'.
func (r *per) text(width int, b []byte) []byte {
	if width == 8 {
		r.align()
	}
	n := int(r.bits(width)) + 1
	u := r.octets(2 * n)
	b = b[:0]
	for i := 0; i+1 < len(u) && len(b) < cap(b); i += 2 {
		c := byte('?')
		if u[i] == 0 {
			c = u[i+1]
		}
		b = append(b, c)
	}
	return b
}

// digits reads dialled digits into b: the alphabet "#*,0123456789" in four bits
// each (section 30.5).
func (r *per) digits(b []byte) []byte {
	n := int(r.bits(7)) + 1
	r.align()
	b = b[:0]
	for ; n > 0 && !r.bad; n-- {
		v := r.bits(4)
		if v > 12 {
			r.fail()
		} else if len(b) < cap(b) {
			b = append(b, "#*,0123456789"[v])
		}
	}
	return b
}

// nonStandard passes over a NonStandardParameter.
func (r *per) nonStandard() {
	index, extended := r.choice(1)
	switch {
	case extended:
		r.open()
	case index == 0:
		r.octets(r.length())
	default:
		r.manufacturer()
	}
	r.octets(r.length())
}

// manufacturer passes over an H221NonStandard.
func (r *per) manufacturer() {
	extended := r.bit()
	r.octets(4)
	r.additions(extended, nil)
}

// transport reads a TransportAddress; those that are neither IPv4 nor IPv6 give
// nothing.
func (r *per) transport() (a ident.Addr, port uint16) {
	index, extended := r.choice(3)
	if extended {
		r.open()
		return a, 0
	}
	switch index {
	case 0:
		if b := r.octets(4); b != nil {
			a = ident.AddrFrom4(b)
		}
		return a, r.word()
	case 2:
		r.octets(12)
	case 3:
		more := r.bit()
		if b := r.octets(16); b != nil {
			a = ident.AddrFrom16(b)
		}
		port = r.word()
		r.additions(more, nil)
		return a, port
	case 4:
		r.octets(16)
	case 6:
		r.nonStandard()
	default:
		r.fail() // source routes and NSAPs
	}
	return ident.Addr{}, 0
}

// Alias is a name by which an endpoint goes: a number or a text.
type Alias struct {
	Number bool // dialledDigits, partyNumber
	text   [maxText]byte
	n      uint8
}

// maxText bounds what is kept of a name.
const maxText = 64

func (a *Alias) bytes() []byte { return a.text[:a.n] }

// Ident gives the alias as what prints masked and can be written under
// authority.
func (a *Alias) Ident() ident.Number { return ident.NewNumber(a.bytes()) }

// Format keeps every verb from printing clear text.
func (a Alias) Format(f fmt.State, _ rune) { io.WriteString(f, "alias~") }

// alias reads an AliasAddress into a.
func (r *per) alias(a *Alias) {
	a.Number, a.n = false, 0
	room := a.text[:0:maxText]
	index, extended := r.choice(1)
	switch {
	case !extended && index == 0:
		a.Number = true
		room = r.digits(room)
	case !extended:
		room = r.text(8, room)
	default:
		v := r.open()
		switch index {
		case 0, 2: // url-ID, email-ID: IA5String (SIZE (1..512))
			s := v.octets(int(v.word()) + 1)
			room = append(room, s[:min(len(s), maxText)]...)
		case 3:
			a.Number = true
			room = v.party(room)
		}
		if v.bad {
			room = room[:0]
		}
	}
	if !r.bad {
		a.n = uint8(len(room))
	}
}

// party reads a PartyNumber of the public or a private plan; an international
// number gets its plus.
func (r *per) party(b []byte) []byte {
	index, extended := r.choice(3)
	if extended || index != 0 && index != 3 {
		r.fail()
		return b
	}
	kind, other := r.choice(3)
	if other {
		r.open()
	}
	if index == 0 && kind == 1 && !other {
		d := r.digits(b[:1:maxText][1:])
		b = b[:1+len(d)]
		b[0] = '+'
		return b
	}
	return r.digits(b)
}

// vendor reads a VendorIdentifier and gives product and version, joined by a
// blank, into b.
func (r *per) vendor(b []byte) []byte {
	extended, product, version := r.bit(), r.bit(), r.bit()
	r.manufacturer()
	for _, there := range [...]bool{product, version} {
		if !there {
			continue
		}
		s := r.octets(int(r.octet()) + 1)
		if len(b) > 0 && len(b) < cap(b) {
			b = append(b, ' ')
		}
		for _, c := range s {
			if c == 0 || len(b) == cap(b) {
				break
			}
			if c < ' ' || c > '~' {
				c = '?'
			}
			b = append(b, c)
		}
	}
	r.additions(extended, nil)
	return b
}

// endpoint reads an EndpointType and gives what its vendor says into b.
func (r *per) endpoint(b []byte) []byte {
	extended := r.bit()
	var has [6]bool
	for i := range has {
		has[i] = r.bit()
	}
	b = b[:0]
	if has[0] {
		r.nonStandard()
	}
	if has[1] {
		b = r.vendor(b)
	}
	if has[2] {
		r.plain() // GatekeeperInfo
	}
	if has[3] {
		r.gateway()
	}
	if has[4] {
		r.plain() // McuInfo
	}
	if has[5] {
		r.plain() // TerminalInfo
	}
	r.bits(2)
	r.additions(extended, nil)
	return b
}

// plain passes over a SEQUENCE of one NonStandardParameter that may be absent.
func (r *per) plain() {
	extended := r.bit()
	if r.bit() {
		r.nonStandard()
	}
	r.additions(extended, nil)
}

// gateway passes over a GatewayInfo.
func (r *per) gateway() {
	extended, protocols, nonStandard := r.bit(), r.bit(), r.bit()
	if protocols {
		r.list(func() {
			index, other := r.choice(4)
			switch {
			case other:
				r.open()
			case index == 0:
				r.nonStandard()
			case index <= 8:
				r.plain() // every kind of capabilities
			default:
				r.fail()
			}
		})
	}
	if nonStandard {
		r.nonStandard()
	}
	r.additions(extended, nil)
}
