package lab

import "net/netip"

// packer writes aligned PER (ITU-T X.691), as much of it as H.323 takes.
type packer struct {
	b []byte
	n int // bits used of the last octet, 0 when it is full
}

// put writes the low n bits of v.
func (w *packer) put(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.n == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (7 - w.n)
		w.n = (w.n + 1) % 8
	}
}

// flags writes one bit for each.
func (w *packer) flags(list ...bool) {
	for _, f := range list {
		if f {
			w.put(1, 1)
		} else {
			w.put(0, 1)
		}
	}
}

func (w *packer) align() { w.n = 0 }

func (w *packer) octets(b ...byte) {
	w.align()
	w.b = append(w.b, b...)
}

func (w *packer) word(v uint16) { w.octets(byte(v>>8), byte(v)) }

// length writes a length without an upper bound.
func (w *packer) length(n int) {
	if n < 0x80 {
		w.octets(byte(n))
		return
	}
	w.word(uint16(n) | 0x8000)
}

// open writes an open type, or an OCTET STRING without bounds.
func (w *packer) open(b []byte) {
	if len(b) == 0 {
		b = []byte{0}
	}
	w.length(len(b))
	w.octets(b...)
}

// root and later write the index of a CHOICE that can be extended.
func (w *packer) root(index uint32, width int) {
	w.put(0, 1)
	w.put(index, width)
}

func (w *packer) later(index uint32, value []byte) {
	w.put(1, 1)
	w.put(index, 7)
	w.open(value)
}

// addition is one extension of a SEQUENCE.
type addition struct {
	index int
	value []byte
}

// additions writes extensions, of total that the sender's version knows.
func (w *packer) additions(total int, list ...addition) {
	w.put(uint32(total-1), 7)
	var present uint64
	for _, a := range list {
		present |= 1 << a.index
	}
	for i := range total {
		w.put(uint32(present>>i&1), 1)
	}
	for _, a := range list {
		w.open(a.value)
	}
}

// part gives what fill writes, as the value of an open type.
func part(fill func(*packer)) []byte {
	w := &packer{}
	fill(w)
	return w.b
}

// identifier writes the protocolIdentifier of H.225.0, version v.
func (w *packer) identifier(v byte) {
	w.octets(6, 0, 8, 0x91, 0x4a, 0, v)
}

// transport writes a TransportAddress of H.225.0.
func (w *packer) transport(a netip.Addr, port uint16) {
	if a.Is4() {
		w.root(0, 3)
	} else {
		w.root(3, 3)
		w.put(0, 1)
	}
	w.octets(a.AsSlice()...)
	w.word(port)
}

// digits writes an alias of dialled digits.
func (w *packer) digits(s string) {
	w.root(0, 1)
	w.put(uint32(len(s)-1), 7)
	w.align()
	for _, c := range s {
		v := uint32(c - '0' + 3)
		switch c {
		case '#':
			v = 0
		case '*':
			v = 1
		}
		w.put(v, 4)
	}
}

// named writes an alias that is a text.
func (w *packer) named(s string) {
	w.root(1, 1)
	w.octets(byte(len(s) - 1))
	w.wide(s)
}

func (w *packer) wide(s string) {
	for _, c := range s {
		w.word(uint16(c))
	}
}

// short writes a BMPString (SIZE (1..128)).
func (w *packer) short(s string) {
	w.put(uint32(len(s)-1), 7)
	w.wide(s)
}

// vendor writes a VendorIdentifier.
func (w *packer) vendor(product, version string) {
	w.flags(false, true, true)
	w.put(0, 1)
	w.octets(181, 0) // country and extension (T.35)
	w.word(0x0012)
	w.octets(byte(len(product) - 1))
	w.octets([]byte(product)...)
	w.octets(byte(len(version) - 1))
	w.octets([]byte(version)...)
}

// endpoint writes an EndpointType: a gateway for voice, or a terminal.
func (w *packer) endpoint(p *peer323) {
	w.flags(false, false, true, false, p.gateway, false, !p.gateway)
	w.vendor(p.product, p.version)
	if p.gateway {
		w.flags(false, true, false)
		w.length(1)
		w.root(7, 4) // voice
		w.flags(true, false)
		w.additions(2, addition{1, []byte{0}})
	} else {
		w.flags(false, false)
	}
	w.flags(false, false)
}
