package rtp

import (
	"encoding/binary"
	"testing"

	"simtrap/ident"
	"simtrap/packet"
)

func addr4(v uint32) ident.Addr {
	return ident.AddrFrom4(binary.BigEndian.AppendUint32(nil, v))
}

// calls makes the packets of n calls; advance gives one the k-th step of 20 ms.
func calls(n int) []packet.Packet {
	ps := make([]packet.Packet, n)
	for i := range ps {
		b := make([]byte, 172)
		b[0] = 0x80
		binary.BigEndian.PutUint32(b[8:], uint32(i)*2654435761)
		ps[i] = packet.Packet{
			Src: addr4(0x0a000000 + uint32(i)), Dst: addr4(0xcb007101),
			SrcPort: uint16(10000 + 2*i), DstPort: 20000, Proto: packet.UDP, Length: 172, Payload: b,
		}
	}
	return ps
}

func advance(p *packet.Packet, k int) {
	p.Time = 1e18 + int64(k)*20e6
	binary.BigEndian.PutUint16(p.Payload[2:], uint16(k))
	binary.BigEndian.PutUint32(p.Payload[4:], uint32(k)*160)
}

func BenchmarkPacket(b *testing.B) {
	for _, c := range []struct {
		name  string
		calls int
	}{{"1", 1}, {"64", 64}, {"4000", 4000}} {
		b.Run(c.name, func(b *testing.B) {
			ps := calls(c.calls)
			a := NewAccounting(Config{Seed: 1}, func(*Interval) {})
			b.ReportAllocs()
			i, k := 0, 0
			for b.Loop() {
				advance(&ps[i], k)
				a.Packet(&ps[i])
				if i++; i == len(ps) {
					i, k = 0, k+1
				}
			}
		})
	}
}
