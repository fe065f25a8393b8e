package pipeline

import (
	"testing"

	"simtrap/ident"
	"simtrap/packet"
)

// FuzzSealed holds that whatever bytes come, from either end and at any time, an
// exchange takes both ends and is told of with the flow of its packet, so often a
// second at the most.
func FuzzSealed(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 60, 1, 2, 3}, []byte{0x01, 0x11, 0x91, 0x21}, true)
	f.Add([]byte{22, 3, 1, 0, 60, 1, 0, 0}, []byte{0x01, 0x11}, true)
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0x01, 0x11, 0xf1, 0xe1}, false)
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0x01, 0x11}, false)
	f.Add([]byte{0x16, 0xfe}, []byte{0}, false)
	f.Add([]byte{0xc3, 0, 0, 0, 1, 8, 0}, []byte{0x01, 0x11}, false)
	f.Fuzz(func(t *testing.T, payload, steps []byte, tcp bool) {
		a, b := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
		var table sealedTable
		now, told, second := int64(1e18), 0, int64(0)
		both := [2]bool{}
		for _, s := range steps {
			now += (int64(s>>5) - 1) * 700e6 // time may run backwards
			p := packet.Packet{Time: now, Proto: packet.UDP, Src: a, Dst: b, SrcPort: 9000, DstPort: 5061, Payload: payload, Length: uint32(len(payload))}
			if tcp {
				p.Proto = packet.TCP
			}
			way := int(s >> 4 & 1)
			if way == 1 {
				p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
			}
			both[way] = true
			var x exchangeSeen
			if !table.packet(&p, hashesOf(&p, 1), &x) {
				continue
			}
			if x.flow != flowOfPacket(&p) || x.paths == tcp || x.begun && !tcp || !x.begun && both != [2]bool{true, true} {
				t.Fatalf("%+v", x)
			}
			if now/1e9 != second {
				told, second = 0, now/1e9
			}
			if told++; told > maxSealedSecond {
				t.Fatalf("%d in a second", told)
			}
		}
	})
}
