package pipeline

import (
	"testing"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/packet"
)

func TestOrigins(t *testing.T) {
	home, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
	segment := func(up bool, flags uint8, seq uint32) *packet.Packet {
		p := &packet.Packet{Src: home, Dst: far, SrcPort: 40000, DstPort: 80, Proto: packet.TCP, Flags: flags, TCPSeq: seq}
		if !up {
			p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
		}
		return p
	}
	syn := func(seq uint32) *packet.Packet { return segment(true, packet.SYN, seq) }
	synAck := func(seq uint32) *packet.Packet { return segment(false, packet.SYN|packet.ACK, seq) }
	const start, middle, unknown = control.OriginStart, control.OriginMiddle, control.OriginUnknown
	for name, c := range map[string]struct {
		seen     []*packet.Packet
		up, down control.Origin // of the bytes at 101 and 901
	}{
		"nothing":           {nil, unknown, unknown},
		"both":              {[]*packet.Packet{syn(100), synAck(900)}, start, start},
		"again":             {[]*packet.Packet{syn(100), syn(100), synAck(900), synAck(900)}, start, start},
		"in the middle":     {[]*packet.Packet{syn(50), synAck(800)}, middle, middle},
		"one way":           {[]*packet.Packet{syn(100)}, start, unknown},
		"the answer alone":  {[]*packet.Packet{synAck(900)}, unknown, unknown},
		"a new connection":  {[]*packet.Packet{syn(1), synAck(2), syn(100), synAck(900)}, start, start},
		"a forged answer":   {[]*packet.Packet{syn(100), synAck(800), synAck(900)}, unknown, unknown},
		"a forged question": {[]*packet.Packet{syn(100), synAck(900), segment(false, packet.SYN, 900)}, unknown, start},
		"wraps":             {[]*packet.Packet{syn(0xffffffff), synAck(900)}, middle, start},
	} {
		var o Origins
		for _, p := range c.seen {
			o.Handshake(p, 7)
		}
		up, down := o.Of(segment(true, packet.ACK, 101), 7), o.Of(segment(false, packet.ACK, 901), 7)
		if up != c.up || down != c.down {
			t.Errorf("%s: %d %d", name, up, down)
		}
	}
}
