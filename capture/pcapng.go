package capture

import (
	"fmt"
	"math"
	"math/bits"
)

// Block types and limits of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a // the same in either byte order
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6

	orderMagic = 0x1a2b3c4d

	// maxPacketBlock leaves room for options beside the largest frame, and for
	// maxBlock to hold it with a quarter to spare.
	maxPacketBlock = 384 << 10
	// maxOtherBlock bounds blocks that are passed over, such as TLS secrets. A
	// larger one is a damaged length.
	maxOtherBlock = 64 << 20
	// maxInterfaces is what Frame.Port can number.
	maxInterfaces = 1 << 16
)

// pcapng reads blocks of a pcapng file.
type pcapng struct {
	order   endian  // of the section
	ifaces  []iface // of the section
	foreign bool    // the section's version is unknown
	skip    int     // bytes of a block to pass over
	trail   uint32  // then the block must end with this length; 0: none
}

// iface is what an interface description says. A time is ticks * mul / div, or
// ticks * 10^9 / 2^shift where mul is 0; base seconds are added.
type iface struct {
	link  LinkType
	dark  bool // nothing decodes its frames
	shift uint8
	snap  uint32 // 0: no limit
	mul   uint64
	div   uint64
	base  int64
}

// parse appends the frames of the block to r.cur, up to a pcapng block that is
// not complete in it.
func (p *pcapng) parse(r *reader) {
	data := r.cur.Block[:r.n]
	for !r.stopped {
		if p.skip > 0 {
			n := min(p.skip, len(data)-r.off)
			r.off += n
			p.skip -= n
			if p.skip > 0 {
				return
			}
		}
		if p.trail != 0 {
			if len(data)-r.off < 4 {
				return
			}
			if got := p.order.Uint32(data[r.off:]); got != p.trail {
				p.badTrail(r, r.off, p.trail, got)
				return
			}
			p.trail = 0
			r.off += 4
		}
		if len(data)-r.off < 12 {
			return
		}
		if !p.block(r, data) {
			return
		}
	}
}

func (p *pcapng) badTrail(r *reader, off int, head, trail uint32) {
	r.corrupt(off, fmt.Sprintf("a block has length %d at its begin and %d at its end; the rest of the file is lost", head, trail))
}

// block handles the block at r.off, of which at least 12 bytes are there. It
// tells whether there may be more to do.
func (p *pcapng) block(r *reader, data []byte) bool {
	off := r.off
	rest := data[off:]
	if p.order.Uint32(rest) == blockSection {
		return p.section(r, rest)
	}
	kind, total := p.order.Uint32(rest), p.order.Uint32(rest[4:])
	least, most := uint32(12), uint32(maxOtherBlock)
	switch {
	case p.foreign:
		// Only that blocks have a length is sure.
	case kind == blockInterface:
		least, most = 20, maxPacketBlock
	case kind == blockPacket, kind == blockEnhanced:
		least, most = 32, maxPacketBlock
	case kind == blockSimple:
		least, most = 16, maxPacketBlock
	}
	if total < least || total > most || total%4 != 0 {
		r.corrupt(off, fmt.Sprintf("a block of type %d says it has %d bytes, which cannot be; the rest of the file is lost", kind, total))
		return false
	}
	if most == maxOtherBlock {
		p.skip, p.trail = int(total)-4, total
		return true
	}
	if int(total) > len(rest) {
		return false
	}
	if trail := p.order.Uint32(rest[total-4:]); trail != total {
		p.badTrail(r, off, total, trail)
		return false
	}
	body := rest[8 : total-4]
	switch kind {
	case blockInterface:
		if len(p.ifaces) == maxInterfaces {
			r.corrupt(off, fmt.Sprintf("more than %d interfaces; the rest of the file is lost", maxInterfaces))
			return false
		}
		p.ifaces = append(p.ifaces, newIface(p.order, body))
	case blockPacket:
		p.packet(r, uint32(p.order.Uint16(body)), body)
	case blockEnhanced:
		p.packet(r, p.order.Uint32(body), body)
	case blockSimple:
		p.simple(r, body)
	}
	if r.stopped {
		return false
	}
	r.off = off + int(total)
	return true
}

// section begins a new section: its own byte order, its own interfaces.
func (p *pcapng) section(r *reader, rest []byte) bool {
	if len(rest) < 16 {
		return false
	}
	order, ok := sectionOrder(rest)
	if !ok {
		r.corrupt(r.off, "a section header has no byte order; the rest of the file is lost")
		return false
	}
	total, major := order.Uint32(rest[4:]), order.Uint16(rest[12:])
	if total < 28 || total > maxOtherBlock || total%4 != 0 {
		r.corrupt(r.off, fmt.Sprintf("a section header says it has %d bytes, which cannot be; the rest of the file is lost", total))
		return false
	}
	if p.foreign = major != 1; p.foreign {
		r.note(Skipped, r.base+int64(r.off), fmt.Sprintf("a section of pcapng version %d is passed over, only 1 is known", major))
	}
	p.order = order
	p.ifaces = p.ifaces[:0]
	p.skip, p.trail = int(total)-4, total
	return true
}

// sectionOrder reads the byte order of a section header of at least 12 bytes.
func sectionOrder(h []byte) (endian, bool) {
	switch endian(false).Uint32(h[8:]) {
	case orderMagic:
		return false, true
	case bits.ReverseBytes32(orderMagic):
		return true, true
	}
	return false, false
}

// packet handles an enhanced or an obsolete packet block: their fields lie at
// the same places, but for the width of the interface number.
func (p *pcapng) packet(r *reader, port uint32, body []byte) {
	n, wire := p.order.Uint32(body[12:]), p.order.Uint32(body[16:])
	if room := min(len(body)-20, maxFrame); int64(n) > int64(room) {
		// The block is sound, so the next one is where it should be.
		r.note(Skipped, r.base+int64(r.off), fmt.Sprintf("a packet of %d bytes in a block with room for %d is passed over", n, room))
		return
	}
	if int(port) >= len(p.ifaces) {
		r.note(Skipped, r.base+int64(r.off), "a packet of an interface that was not described is passed over")
		return
	}
	i := &p.ifaces[port]
	ticks := uint64(p.order.Uint32(body[4:]))<<32 | uint64(p.order.Uint32(body[8:]))
	p.deliver(r, i, uint16(port), i.time(ticks), 28, n, wire)
}

// simple handles a simple packet block, which has neither time nor interface.
func (p *pcapng) simple(r *reader, body []byte) {
	if len(p.ifaces) == 0 {
		r.note(Skipped, r.base+int64(r.off), "a packet of an interface that was not described is passed over")
		return
	}
	i := &p.ifaces[0]
	wire := p.order.Uint32(body)
	n := min(wire, uint32(len(body)-4))
	if i.snap > 0 {
		n = min(n, i.snap)
	}
	if n > maxFrame {
		r.note(Skipped, r.base+int64(r.off), fmt.Sprintf("a packet of %d bytes is passed over, at most %d are possible", n, maxFrame))
		return
	}
	p.deliver(r, i, 0, noTime, 12, n, wire)
}

// deliver appends a frame that begins start bytes behind r.off.
func (p *pcapng) deliver(r *reader, i *iface, port uint16, raw int64, start int, n, wire uint32) {
	t := raw + r.clk.offset
	if uint64(t-r.clk.last) > uint64(forward) || r.clk.odd {
		t = r.clk.settle(r, raw, r.off)
	} else {
		r.clk.last = t
	}
	if wire != n {
		wire = r.snapped(n, wire, r.off)
	}
	if i.dark {
		r.undecoded(r.off, 1, uint32(i.link))
	}
	r.cur.Frames = append(r.cur.Frames, Frame{
		Time: t, Off: uint32(r.off + start), Len: n, Wire: wire, Link: i.link, Port: port,
	})
}

// newIface reads an interface description: 8 bytes, then options. Options that
// make no sense end the list and change nothing.
func newIface(order endian, body []byte) iface {
	i := iface{link: LinkType(order.Uint16(body)), snap: order.Uint32(body[4:])}
	i.dark = !i.link.Decoded()
	i.resolution(6)
	const (
		optEnd        = 0
		optResolution = 9
		optOffset     = 14
	)
	for opts := body[8:]; len(opts) >= 4; {
		code, n := order.Uint16(opts), int(order.Uint16(opts[2:]))
		opts = opts[4:]
		if code == optEnd || n > len(opts) {
			break
		}
		switch {
		case code == optResolution && n >= 1:
			i.resolution(opts[0])
		case code == optOffset && n >= 8:
			i.base = int64(order.Uint64(opts))
		}
		opts = opts[min((n+3)&^3, len(opts)):]
	}
	return i
}

// resolution takes if_tsresol: with the top bit a negative power of two, else
// of ten.
func (i *iface) resolution(v uint8) {
	i.mul, i.div, i.shift = 0, 1, v&0x7f
	if v&0x80 != 0 {
		return
	}
	i.mul = 1
	for n := v; n < 9; n++ {
		i.mul *= 10
	}
	for n := uint8(9); n < v && i.div != math.MaxUint64; n++ {
		if i.div > math.MaxUint64/10 {
			i.div = math.MaxUint64
			break
		}
		i.div *= 10
	}
}

// time gives ticks as nanoseconds since the epoch, from 0 to maxTime, and noTime
// where they would lie beyond.
func (i *iface) time(ticks uint64) int64 {
	var hi, lo uint64
	if i.mul == 0 {
		hi, lo = bits.Mul64(ticks, 1e9)
		if s := uint(i.shift); s >= 64 {
			hi, lo = 0, hi>>(s-64)
		} else {
			lo = lo>>s | hi<<(64-s)
			hi >>= s
		}
	} else {
		hi, lo = bits.Mul64(ticks/i.div, i.mul)
	}
	if hi != 0 || lo > uint64(maxTime) || i.base > maxTime/1e9 || i.base < -maxTime/1e9 {
		return noTime
	}
	ns := int64(lo) + i.base*1e9
	if ns < 0 || ns > maxTime {
		return noTime
	}
	return ns
}
