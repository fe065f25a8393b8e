package sip

import (
	"encoding/binary"
	"testing"

	"simtrap/ident"
	"simtrap/packet"
)

// hiddenFlood gives datagram n of flows whose first bytes come again and again
// in each direction and are nothing: each is examined as long as any is.
func hiddenFlood(n int) *packet.Packet {
	b := make([]byte, 300)
	flow := n / 96
	prefix := n % 8
	if n%96 < 2 {
		prefix = 0
	}
	binary.LittleEndian.PutUint64(b, uint64(prefix+1)*0x9e3779b97f4a7c15)
	return &packet.Packet{
		Time: int64(n) * 1000, Proto: packet.UDP, Length: uint32(len(b)), Payload: b, SrcPort: uint16(flow), DstPort: 4569,
		Src: ident.AddrFrom4([]byte{203, 0, byte(flow >> 8), byte(flow)}), Dst: ident.AddrFrom4([]byte{198, 51, 100, 9}),
	}
}

// TestHiddenFlood: a flood of what is worth examining finds nothing, and no more
// flows are held than may be.
func TestHiddenFlood(t *testing.T) {
	var table HiddenTable
	var out Hidden
	for n := range 96 * 2000 {
		if table.Datagram(hiddenFlood(n), &out) {
			t.Fatalf("datagram %d told %+v", n, out)
		}
		if table.held > hiddenHeld {
			t.Fatalf("%d flows held", table.held)
		}
	}
	if table.Counters.Found != 0 {
		t.Errorf("found %d", table.Counters.Found)
	}
}

// BenchmarkHiddenFlood is the cost of one datagram of such a flood.
func BenchmarkHiddenFlood(b *testing.B) {
	all := make([]*packet.Packet, 96*64)
	for n := range all {
		all[n] = hiddenFlood(n)
	}
	var table HiddenTable
	var out Hidden
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := all[i%len(all)]
		p.Time = int64(i) * 1e6 * 1000
		table.Datagram(p, &out)
	}
}

// TestHiddenEcho: a service that sends back what it is sent does not ring when a
// stranger sends it both halves of a scrambled conversation.
func TestHiddenEcho(t *testing.T) {
	var talk []string
	for _, line := range hiddenTalk(12) {
		talk = append(talk, "s"+line[1:], "g"+line[1:])
	}
	var table HiddenTable
	if told := overhear(&table, talk, under(keystreamOf("etoall.net"))); len(told) > 0 {
		t.Errorf("told %d, the first %+v", len(told), told[0])
	}
	if table.Counters.Echoed == 0 || table.held != 0 {
		t.Errorf("%d flows echoed, %d held", table.Counters.Echoed, table.held)
	}
}
