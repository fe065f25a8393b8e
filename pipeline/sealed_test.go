package pipeline

import (
	"encoding/binary"
	"testing"

	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
)

// TestSealedTable: an exchange counts when both ends took part in it after a
// silence; what one end alone sends, as a stranger can, does not.
func TestSealedTable(t *testing.T) {
	a, b := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
	tls := append([]byte{23, 3, 3, 0, 60}, make([]byte, 60)...)
	stun := make([]byte, 20)
	binary.BigEndian.PutUint32(stun[4:], 0x2112a442)
	dtls := append([]byte{22, 0xfe, 0xfd}, make([]byte, 20)...)
	type step struct {
		at   int64 // ms
		back bool
	}
	for name, tt := range map[string]struct {
		proto   uint8
		payload []byte
		steps   []step
		want    int
	}{
		"an exchange after silence": {packet.TCP, tls, []step{{0, false}, {50, true}, {5000, false}, {5050, true}}, 1},
		"one end alone":             {packet.TCP, tls, []step{{0, false}, {5000, false}, {10000, false}}, 0},
		"a late answer":             {packet.TCP, tls, []step{{0, false}, {50, true}, {5000, false}, {5800, false}, {7500, true}}, 0},
		"no records":                {packet.TCP, make([]byte, 64), []step{{0, false}, {50, true}, {5000, false}, {5050, true}}, 0},
		"STUN":                      {packet.UDP, stun, []step{{0, false}, {50, true}, {5000, false}, {5050, true}}, 1},
		"STUN, one end alone":       {packet.UDP, stun, []step{{0, false}, {50, false}, {5000, false}}, 0},
		"DTLS":                      {packet.UDP, dtls, []step{{0, false}, {50, true}}, 1},
		"STUN again, told again":    {packet.UDP, stun, []step{{0, false}, {50, true}, {15000, false}, {15050, true}}, 2},
	} {
		table, got := &sealedTable{}, 0
		for _, s := range tt.steps {
			p := &packet.Packet{Time: 1e18 + s.at*1e6, Proto: tt.proto, Src: a, Dst: b, SrcPort: 9000, DstPort: 5061, Payload: tt.payload, Length: uint32(len(tt.payload))}
			if s.back {
				p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
			}
			var x exchangeSeen
			if table.packet(p, hashesOf(p, 1), &x) {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%s: %d exchanges, want %d", name, got, tt.want)
		}
	}
}

// TestSealedOpened: who opened a connection is told with its exchanges as long as that
// is remembered, whichever end speaks first, and nothing where nobody saw it.
func TestSealedOpened(t *testing.T) {
	a, b := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
	segment := func(at int64, back bool, flags uint8, payload []byte) *packet.Packet {
		p := &packet.Packet{Time: 1e18 + at*1e6, Proto: packet.TCP, Src: a, Dst: b, SrcPort: 9000, DstPort: 5061, Flags: flags, Payload: payload}
		if back {
			p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
		}
		return p
	}
	tls := append([]byte{23, 3, 3, 0, 60}, make([]byte, 60)...)
	for name, tt := range map[string]struct {
		flags uint8 // of the first segment
		back  bool  // which b sends
		asked bool
	}{
		"a opens": {packet.SYN, false, true}, "b opens": {packet.SYN, true, true}, "an answer alone": {packet.SYN | packet.ACK, true, false}, "neither": {packet.ACK, false, false},
	} {
		for _, first := range []bool{false, true} {
			table, told := &sealedTable{}, 0
			var x exchangeSeen
			for _, p := range []*packet.Packet{segment(0, tt.back, tt.flags, nil), segment(100, false, 0, tls), segment(5000, first, 0, tls), segment(5050, !first, 0, tls)} {
				if table.packet(p, hashesOf(p, 1), &x) {
					told++
				}
			}
			if told != 1 || x.asked != tt.asked || x.asked && (x.flow.Src == b) != tt.back {
				t.Errorf("%s: told %d, asked %v, from a %v", name, told, x.asked, x.flow.Src == a)
			}
		}
	}
}

// TestPathsAreBounded: a flood of flows forgets, and one that is asked for anew
// stays.
func TestPathsAreBounded(t *testing.T) {
	var q paths
	keep := rtp.Flow{SrcPort: 1}
	for i := range 5 * maxPaths {
		if i%1000 == 0 {
			q.see(keep)
		}
		q.see(rtp.Flow{Src: ident.AddrFrom4([]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), SrcPort: 2})
	}
	back := keep.Reverse()
	if len(q.newer) > maxPaths || len(q.older) > maxPaths || q.forgotten == 0 || !q.has(&keep) || !q.has(&back) {
		t.Errorf("%d and %d kept, %d forgotten", len(q.newer), len(q.older), q.forgotten)
	}
}

// TestPathsBesideTLS: a shard full of TLS takes no doubt away: an exchange of STUN is
// told whatever comes between its two halves.
func TestPathsBesideTLS(t *testing.T) {
	var table sealedTable
	var x exchangeSeen
	a, b := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
	stun := make([]byte, 20)
	binary.BigEndian.PutUint32(stun[4:], 0x2112a442)
	ask := packet.Packet{Time: 1e18, Proto: packet.UDP, Src: a, Dst: b, SrcPort: 9000, DstPort: 3478, Payload: stun}
	table.packet(&ask, hashesOf(&ask, 1), &x)
	tls := append([]byte{23, 3, 3, 0, 60}, make([]byte, 60)...)
	for i := range 20000 {
		p := packet.Packet{Time: 1e18 + int64(i)*1e3, Proto: packet.TCP, Src: a, Dst: b, SrcPort: uint16(i), DstPort: 443, Payload: tls}
		table.packet(&p, hashesOf(&p, 1), &x)
	}
	answer := packet.Packet{Time: 1e18 + 50e6, Proto: packet.UDP, Src: b, Dst: a, SrcPort: 3478, DstPort: 9000, Payload: stun}
	if !table.packet(&answer, hashesOf(&answer, 1), &x) || !x.paths {
		t.Error("the exchange was not told")
	}
}

// TestSealedCrowd: more exchanges in a second than are told are counted.
func TestSealedCrowd(t *testing.T) {
	var table sealedTable
	var x exchangeSeen
	hello := []byte{22, 3, 1, 0, 60, 1, 0, 0}
	told := 0
	for i := range maxSealedSecond + 30 {
		p := packet.Packet{Time: 1e18, Proto: packet.TCP, Src: ident.AddrFrom4([]byte{203, 0, 113, 7}), Dst: ident.AddrFrom4([]byte{198, 51, 100, 9}), SrcPort: uint16(i), DstPort: sipsPort, Payload: hello}
		if table.packet(&p, hashesOf(&p, 1), &x) && x.begun {
			told++
		}
	}
	if told != maxSealedSecond || table.tls.crowded != 30 {
		t.Errorf("%d told, %d counted", told, table.tls.crowded)
	}
}

// TestFindsPaths: what browsers open flows of media and datagrams with is known, and
// neither RTP nor what tunnels send is taken for it.
func TestFindsPaths(t *testing.T) {
	pad := make([]byte, 40)
	for _, x := range []struct {
		name string
		head []byte
		want bool
	}{
		{"STUN", []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, true},
		{"DTLS 1.2", []byte{22, 0xfe, 0xfd}, true},
		{"QUIC 1 Initial", []byte{0xc3, 0, 0, 0, 1, 8}, true},
		{"QUIC 1 Handshake", []byte{0xe3, 0, 0, 0, 1, 8}, true},
		{"QUIC 2", []byte{0xd0, 0x6b, 0x33, 0x43, 0xcf, 8}, true},
		{"QUIC draft 29", []byte{0xc3, 0xff, 0, 0, 29, 8}, true},
		{"QUIC short header", []byte{0x43, 0, 0, 0, 1, 8}, false},
		{"QUIC version of nobody", []byte{0xc3, 1, 2, 3, 4, 8}, false},
		{"RTP", []byte{0x80, 0, 0, 1, 0, 0, 0, 1}, false},
		{"WireGuard", []byte{4, 0, 0, 0, 1, 2, 3, 4}, false},
		{"OpenVPN", []byte{0x38, 1, 2, 3, 4, 5, 6, 7}, false},
	} {
		if got := findsPaths(append(x.head, pad...)); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
		if findsPaths(x.head[:2]) {
			t.Errorf("%s: two bytes are enough", x.name)
		}
	}
}
