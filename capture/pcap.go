package capture

import (
	"fmt"
	"math/bits"
)

// maxFrame bounds the captured length of a frame, in bytes: the largest snap
// length that libpcap knows for network interfaces.
const maxFrame = 256 << 10

// pcap reads records of the classic format (draft-ietf-opsawg-pcap).
type pcap struct {
	order endian
	head  int   // length of a record header
	unit  int64 // nanoseconds of one unit of the fraction
	link  LinkType
	what  uint32 // the link type as the file has it
}

// Magic numbers, as read in little-endian order. "Modified" is the variant of
// A. Kuznetzov with 8 more bytes in the record header.
const (
	pcapHeader = 24

	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34
)

// pcapMagic tells whether magic, read in little-endian order, opens a pcap file
// and in which order that is.
func pcapMagic(magic uint32) (order endian, ok bool) {
	for _, m := range [...]uint32{magicMicro, magicNano, magicModified} {
		switch magic {
		case m:
			return false, true
		case bits.ReverseBytes32(m):
			return true, true
		}
	}
	return false, false
}

// newPcap reads the file header; head has pcapHeader bytes and begins with a
// magic that pcapMagic knows. A string tells why the file cannot be read.
func newPcap(head []byte) (*pcap, string) {
	order, _ := pcapMagic(endian(false).Uint32(head))
	p := &pcap{order: order, head: 16, unit: 1000}
	switch order.Uint32(head) {
	case magicNano:
		p.unit = 1
	case magicModified:
		p.head = 24
	}
	if major, minor := order.Uint16(head[4:]), order.Uint16(head[6:]); major != 2 {
		return nil, fmt.Sprintf("pcap version %d.%d, of which only 2.x is known", major, minor)
	}
	// Above the link type: whether a frame check sequence follows, and its
	// length. Decoders go by the lengths in the packet, so it does not matter.
	p.what = order.Uint32(head[20:]) & 0x03ffffff
	p.link = narrowLink(p.what)
	return p, ""
}

// narrowLink maps numbers that no registry has to one that decoders count as
// unknown.
func narrowLink(n uint32) LinkType {
	return LinkType(min(n, 0xffff))
}

// parse appends the frames of the block to r.cur, up to a record that is not
// complete in it.
func (p *pcap) parse(r *reader) {
	b := r.cur
	data := b.Block[:r.n]
	frames := b.Frames
	off := r.off
	before := len(frames)
	for len(data)-off >= p.head {
		h := data[off : off+16 : off+16]
		sec, frac := p.order.Uint32(h), p.order.Uint32(h[4:])
		n, wire := p.order.Uint32(h[8:]), p.order.Uint32(h[12:])
		if n > maxFrame {
			r.corrupt(off, fmt.Sprintf("a record says it has %d bytes, at most %d are possible; the rest of the file is lost", n, maxFrame))
			break
		}
		start := off + p.head
		end := start + int(n)
		if end > len(data) {
			break
		}
		raw := int64(sec)*1e9 + min(int64(frac)*p.unit, 999_999_999)
		t := raw + r.clk.offset
		if uint64(t-r.clk.last) > uint64(forward) || r.clk.odd {
			b.Frames = frames
			t = r.clk.settle(r, raw, off)
		} else {
			r.clk.last = t
		}
		if wire != n {
			wire = r.snapped(n, wire, off)
		}
		frames = append(frames, Frame{Time: t, Off: uint32(start), Len: n, Wire: wire, Link: p.link})
		off = end
	}
	b.Frames = frames
	if n := len(frames) - before; n > 0 && !p.link.Decoded() {
		r.undecoded(int(frames[before].Off)-p.head, uint64(n), p.what)
	}
	r.off = off
}
