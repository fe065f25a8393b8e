package rtp

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"simtrap/ident"
	"simtrap/packet"
)

var equateAddrs = cmp.Options{cmp.Comparer(func(a, b ident.Addr) bool { return a == b })}

// t0 is the arrival of the first packet in the tests here.
const t0 = int64(1e18)

// datagram makes a packet of flow 10.0.0.1:1000 to 203.0.113.1:2000.
func datagram(t int64, payload []byte, length int) packet.Packet {
	return packet.Packet{
		Time: t, Src: addr4(0x0a000001), Dst: addr4(0xcb007101), SrcPort: 1000, DstPort: 2000,
		Proto: packet.UDP, Length: uint32(length), Payload: payload,
	}
}

// rtpBytes makes an RTP packet of 172 bytes.
func rtpBytes(b1 byte, seq uint16, ts, ssrc uint32) []byte {
	b := make([]byte, 172)
	b[0], b[1] = 0x80, b1
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// at is one packet of a table test: ms after t0, second byte, sequence number,
// timestamp, SSRC.
type at struct {
	ms   float64
	b1   byte
	seq  uint16
	ts   uint32
	ssrc uint32
}

func (x at) packet() packet.Packet {
	return datagram(t0+int64(x.ms*1e6), rtpBytes(x.b1, x.seq, x.ts, x.ssrc), 172)
}

// regular makes n packets 20 ms and 160 ticks apart, from the given one on.
func regular(n int, from at) []at {
	var out []at
	for i := range n {
		x := from
		x.ms += 20 * float64(i)
		x.seq += uint16(i)
		x.ts += 160 * uint32(i)
		out = append(out, x)
	}
	return out
}

func run(packets []packet.Packet) []Interval {
	var out []Interval
	a := NewAccounting(Config{Seed: 1}, func(iv *Interval) { out = append(out, *iv) })
	for i := range packets {
		a.Packet(&packets[i])
	}
	a.Flush()
	slices.SortStableFunc(out, func(a, b Interval) int { return a.Compare(&b) })
	return out
}

// ms gives the arrival ms milliseconds after t0.
func ms(x int64) int64 { return t0 + x*1e6 }

func TestFields(t *testing.T) {
	flow := Flow{Src: addr4(0x0a000001), Dst: addr4(0xcb007101), SrcPort: 1000, DstPort: 2000}
	for _, c := range []struct {
		name    string
		packets []at
		want    []Interval
	}{
		{
			// Packet 0 only opens the flow. Six follow 20 ms apart.
			name:    "a plain stream",
			packets: regular(7, at{0, 0, 10, 1000, 7}),
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(120), Start: Sample{ms(20), 1160}, Least: Sample{ms(20), 1160},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 6 * 172, Packets: 6, Source: 6, InStep: 5, Timed: 5,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{6}, Gaps: [8]uint16{3: 6},
			}},
		},
		{
			// The record of interval 0 ends before 2000 ms; the packet at
			// 2000 ms is the first of interval 1. 99 packets and 5.
			name:    "the edge of an interval",
			packets: regular(105, at{0, 0, 65500, 0xffffff00, 7}),
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(1980), Start: Sample{ms(20), 0xffffffa0}, Least: Sample{ms(20), 0xffffffa0},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 99 * 172, Packets: 99, Source: 99, InStep: 98, Timed: 98,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{99}, Gaps: [8]uint16{3: 99},
			}, {
				Epoch: t0, Number: 1, First: ms(2000), Last: ms(2080), Start: Sample{ms(2000), 15744}, Least: Sample{ms(2000), 15744},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 5, Timed: 5,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 5},
			}},
		},
		{
			// 1, 2, 3, [4 and 5 missing] 6, 4 late, 6 again, 4 again, 7, 8, 9.
			// 1 opens the flow, 2 begins the record.
			name: "loss, reordering, copies",
			packets: []at{
				{0, 0, 1, 160, 7}, {20, 0, 2, 320, 7}, {40, 0, 3, 480, 7},
				{100, 0, 6, 960, 7}, {101, 0, 4, 640, 7}, {102, 0, 6, 960, 7}, {103, 0, 4, 640, 7},
				{120, 0, 7, 1120, 7}, {140, 0, 8, 1280, 7}, {160, 0, 9, 1440, 7},
			},
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(160), Start: Sample{ms(20), 320}, Least: Sample{ms(20), 320},
				// Gaps: 20, 20, 60, 1, 19 (120 after 101), 20, 20.
				MaxGap: 60e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 7 * 172, Lost: 2, Packets: 7, Duplicates: 2,
				Source: 7, InStep: 4, Skips: 1, Late: 1, Timed: 5,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{7}, Gaps: [8]uint16{0: 1, 3: 5, 7: 1},
			}},
		},
		{
			// Jitter: D is 0, then 4 ms late = 32 ticks, then early again = 32:
			// J = 32, then 32+32-((32+8)>>4 = 2) = 62, then 62-((62+8)>>4 = 4) = 58: the largest is 62.
			name: "jitter and least transit",
			packets: []at{
				{0, 0, 0, 0, 7}, {24, 0, 1, 160, 7}, {44, 0, 2, 320, 7}, {68, 0, 3, 480, 7}, {84, 0, 4, 640, 7}, {104, 0, 5, 800, 7},
			},
			want: []Interval{{
				// 3 comes 4 ms late. 4 and 5 have the transit of 1 and 2: the first stays.
				Epoch: t0, First: ms(24), Last: ms(104), Start: Sample{ms(24), 160}, Least: Sample{ms(24), 160},
				MaxGap: 24e6, SSRC: 7, Rate: 8000, Step: 160, Jitter: 62, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{2: 1, 3: 2, 4: 2},
			}},
		},
		{
			// Packet 3 is 2 ms faster than the rest: D = 16 and 16 back.
			// J = 16, then 16+16-((16+8)>>4 = 1) = 31, then 31-((31+8)>>4 = 2) = 29: the largest is 31.
			name: "a faster packet",
			packets: []at{
				{0, 0, 0, 0, 7}, {20, 0, 1, 160, 7}, {40, 0, 2, 320, 7}, {58, 0, 3, 480, 7}, {80, 0, 4, 640, 7}, {100, 0, 5, 800, 7},
			},
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(100), Start: Sample{ms(20), 160}, Least: Sample{ms(58), 480},
				MaxGap: 22e6, SSRC: 7, Rate: 8000, Step: 160, Jitter: 31, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 4, 4: 1},
			}},
		},
		{
			// An event of three packets (type 101, timestamp standing still),
			// with the marker on its first; speech goes on with a marker.
			name: "telephone event and marker",
			packets: []at{
				{0, 0, 0, 0, 7}, {20, 0, 1, 160, 7}, {40, 101 | 128, 2, 320, 7}, {60, 101, 3, 320, 7}, {80, 101, 4, 320, 7}, {100, 128, 5, 800, 7},
			},
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(100), Start: Sample{ms(20), 160}, Least: Sample{ms(20), 160},
				// 5 is no neighbour of 1 in sequence, so no step is in force yet.
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Events: 3, Sides: 3, Keys: 1, SidePT: 101, Marks: 1,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 5},
			}},
		},
		{
			// Silence of one second: k = 50 steps of 160.
			name:    "silence suppression",
			packets: append(regular(4, at{0, 0, 0, 0, 7}), regular(2, at{1060, 128, 4, 8480, 7})...),
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(1080), Start: Sample{ms(20), 160}, Least: Sample{ms(20), 160},
				MaxGap: 1000e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 4, Marks: 2,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 4, 7: 1},
			}},
		},
		{
			// The timestamp jumps by 100100 ticks, 12.5 s and no multiple of 160:
			// a break, and the samples start anew.
			name:    "a new time base",
			packets: append(regular(4, at{0, 0, 0, 0, 7}), regular(2, at{80, 0, 4, 480 + 100100, 7})...),
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(100), Start: Sample{ms(80), 100580}, Least: Sample{ms(80), 100580},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 3, Untimed: 1, Breaks: 1,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 5},
			}},
		},
		{
			// Two strays of SSRC 8 change nothing; SSRC 9 takes over with its
			// third packet, which closes the record early.
			name: "another source takes over",
			packets: append(regular(6, at{0, 0, 0, 0, 7}),
				append([]at{{101, 0, 500, 5, 8}, {102, 0, 501, 6, 8}}, regular(7, at{120, 8, 60000, 0, 9})...)...),
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(140), Start: Sample{ms(20), 160}, Least: Sample{ms(20), 160},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 9 * 172, Packets: 9, Source: 5, Others: 4, InStep: 4, Timed: 4,
				// Gaps: 5 × 20 and 1, 1, 18, 20.
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{9}, Gaps: [8]uint16{0: 2, 3: 7},
			}, {
				Epoch: t0, First: ms(160), Last: ms(240), Start: Sample{ms(160), 320}, Least: Sample{ms(160), 320},
				MaxGap: 20e6, SSRC: 9, PT: 8, Rate: 8000, Step: 160, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 5},
			}},
		},
		{
			// A number that stands still with a moving timestamp, a far number,
			// and back: three jumps. Then four in step.
			name: "jumps",
			packets: append([]at{{0, 0, 0, 0, 7}, {20, 0, 1, 160, 7}, {40, 0, 1, 320, 7}, {60, 0, 3002, 480, 7}, {80, 0, 3, 640, 7}},
				regular(4, at{100, 0, 4, 800, 7})...),
			want: []Interval{{
				// Every jump starts the samples anew. The step 3002-1 = 3001 is a jump.
				Epoch: t0, First: ms(20), Last: ms(160), Start: Sample{ms(80), 640}, Least: Sample{ms(80), 640},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 8 * 172, Packets: 8, Source: 8, InStep: 4, Jumps: 3, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{8}, Gaps: [8]uint16{3: 8},
			}},
		},
		{
			// RTCP on the same flow, and type 72, which reads as nothing.
			name: "RTCP and reserved types",
			packets: append(regular(6, at{0, 0, 0, 0, 7}),
				at{101, 200, 0, 0, 7}, at{102, 72, 0, 0, 7}),
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(102), Start: Sample{ms(20), 160}, Least: Sample{ms(20), 160},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 7 * 172, Packets: 7, Source: 5, RTCP: 1, InStep: 4, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{7}, Gaps: [8]uint16{0: 2, 3: 5},
			}},
		},
		{
			// Times that stand still, and one that runs backwards: gaps of 0.
			name: "time going nowhere",
			packets: []at{
				{10, 0, 0, 0, 7}, {10, 0, 1, 160, 7}, {10, 0, 2, 320, 7}, {4, 0, 3, 480, 7}, {10, 0, 4, 640, 7}, {10, 0, 5, 800, 7},
			},
			want: []Interval{{
				// Each packet is 160 ticks early: J = 160, then 160+160-10 = 310,
				// 310+160-19 = 451, 451+160-28 = 583. The last has least transit.
				Epoch: ms(10), First: ms(10), Last: ms(10), Start: Sample{ms(10), 160}, Least: Sample{ms(10), 800},
				SSRC: 7, Rate: 8000, Step: 160, Jitter: 583, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{0: 5},
			}},
		},
		{name: "too little", packets: regular(5, at{0, 0, 0, 0, 7})},
		{
			// Silent for just 30 s: the flow goes on. Then for longer: over.
			name: "the end of a flow",
			packets: slices.Concat(regular(6, at{0, 0, 0, 0, 7}), regular(5, at{30100, 0, 6, 240800, 7}),
				regular(6, at{60181, 0, 11, 0, 7})),
			want: []Interval{{
				Epoch: t0, First: ms(20), Last: ms(100), Start: Sample{ms(20), 160}, Least: Sample{ms(20), 160},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 5},
			}, {
				// 240800 - 800 = 240000 = 1500 × 160 ticks = 30 s: D is 0.
				Epoch: t0, Number: 15, First: ms(30100), Last: ms(30180), Start: Sample{ms(30100), 240800}, Least: Sample{ms(30100), 240800},
				MaxGap: 30e9, SSRC: 7, Rate: 8000, Step: 160, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 5, Timed: 5,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 4, 7: 1},
			}, {
				Epoch: ms(60181), First: ms(60201), Last: ms(60281), Start: Sample{ms(60201), 160}, Least: Sample{ms(60201), 160},
				MaxGap: 20e6, SSRC: 7, Rate: 8000, Step: 160, Bytes: 5 * 172, Packets: 5, Source: 5, InStep: 4, Timed: 4,
				Sizes: [2]uint16{172}, SizeCounts: [2]uint16{5}, Gaps: [8]uint16{3: 5},
			}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ps []packet.Packet
			ref := newReference()
			for _, x := range c.packets {
				ps = append(ps, x.packet())
				ref.packet(&ps[len(ps)-1])
			}
			for i := range c.want {
				c.want[i].Flow = flow
			}
			got := run(ps)
			if d := cmp.Diff(c.want, got, equateAddrs, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("accounting (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.want, ref.flush(), equateAddrs, cmpopts.EquateEmpty()); d != "" {
				t.Errorf("reference (-want +got):\n%s", d)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	// Sizes 20, 60, 60, 72, 72, 60 after the first. 20 takes slot 0, 60 slot 1
	// (2); 72 takes one from both: slot 0 is empty, 60 has 1; 72 takes slot 0;
	// 60 has 2.
	var ps []packet.Packet
	for i, n := range []int{20, 20, 60, 60, 72, 72, 60} {
		ps = append(ps, datagram(t0+int64(i)*20e6, make([]byte, n), n))
	}
	for i := range 24 { // enough to be emitted; 72 gains
		ps = append(ps, datagram(t0+int64(i+7)*20e6, make([]byte, 72), 72))
	}
	got := run(ps)
	if len(got) != 1 {
		t.Fatalf("%d intervals", len(got))
	}
	iv := got[0]
	if iv.Sizes != [2]uint16{72, 60} || iv.SizeCounts != [2]uint16{25, 2} || iv.SizeMisses != 1 {
		t.Errorf("sizes %v counts %v misses %d", iv.Sizes, iv.SizeCounts, iv.SizeMisses)
	}
	if iv.PT != NoPT || iv.Source != 0 || iv.SSRC != 0 || iv.Packets != 30 {
		t.Errorf("a record without a source: %+v", iv)
	}
}

func TestGapEdges(t *testing.T) {
	for i, edge := range Edges {
		if bin(edge-1) != i || bin(edge) != i+1 {
			t.Errorf("edge %d ns: bins %d and %d, want %d and %d", edge, bin(edge-1), bin(edge), i, i+1)
		}
	}
}

func TestFullRecord(t *testing.T) {
	// 65535 packets and copies fill a record; the next one opens another of
	// the same number. The flow's first packet is in none.
	var out []Interval
	a := NewAccounting(Config{}, func(iv *Interval) { out = append(out, *iv) })
	for i := range 70001 {
		p := at{0, 0, uint16(i), uint32(i), 7}.packet()
		a.Packet(&p)
		if i == 1 {
			a.Packet(&p) // one copy
		}
	}
	a.Flush()
	if len(out) != 2 || out[0].Number != 0 || out[1].Number != 0 {
		t.Fatalf("%d records", len(out))
	}
	if out[0].Packets != 65534 || out[0].Duplicates != 1 || out[1].Packets != 70000-65534 {
		t.Errorf("%d packets and %d copies, then %d packets", out[0].Packets, out[0].Duplicates, out[1].Packets)
	}
	if out[0].InStep != 65533 || out[1].InStep != out[1].Packets {
		t.Errorf("in step: %d, then %d", out[0].InStep, out[1].InStep)
	}
}

func TestNotAccounted(t *testing.T) {
	a := NewAccounting(Config{}, func(*Interval) { t.Error("an interval") })
	big := datagram(t0, make([]byte, 353), 353)
	none := datagram(t0, nil, 0)
	tcp := datagram(t0, make([]byte, 20), 20)
	tcp.Proto = packet.TCP
	cut := datagram(t0, make([]byte, 4), 172)
	for _, p := range []packet.Packet{big, none, tcp, cut, cut} {
		a.Packet(&p)
	}
	a.Flush()
	want := Counters{NotUDP: 1, Empty: 1, Large: 1, Starts: 1, Accounted: 1, Cut: 1, Records: 1, Sparse: 1, SparsePackets: 1}
	if d := cmp.Diff(want, a.Counters()); d != "" {
		t.Error(d)
	}
	edge := datagram(t0, make([]byte, 352), 352)
	a.Packet(&edge)
	if a.Counters().Starts != 2 {
		t.Error("a payload of 352 bytes is accounted")
	}
}

// drawPackets draws traffic of a few flows and sources with everything that
// goes wrong on the way.
func drawPackets(t *rapid.T) []packet.Packet {
	n := rapid.IntRange(0, 400).Draw(t, "n")
	now := t0
	type sender struct {
		seq  uint16
		ts   uint32
		ssrc uint32
		pt   byte
	}
	senders := []sender{{65500, 0xfffff000, 1, 0}, {0, 0, 2, 18}, {40000, 0x7ffffff0, 1, 96}, {9, 9, 0, 8}}
	var ps []packet.Packet
	which := 0
	for range n {
		switch rapid.IntRange(0, 19).Draw(t, "time") {
		case 0:
		case 1:
			now += rapid.Int64Range(0, 3e9).Draw(t, "pause")
		case 2:
			if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
				now += rapid.SampledFrom([]int64{29e9, 30e9, 30e9 + 1, 200e9}).Draw(t, "silence")
			}
		case 3:
			now += rapid.Int64Range(0, 60e6).Draw(t, "jitter")
		default:
			now += 20e6
		}
		if rapid.IntRange(0, 7).Draw(t, "change") == 0 {
			which = rapid.IntRange(0, len(senders)-1).Draw(t, "sender")
		}
		s := &senders[which]
		b1 := s.pt
		seq, ts := s.seq, s.ts
		switch rapid.IntRange(0, 29).Draw(t, "what") {
		case 0: // loss
			s.seq += uint16(rapid.SampledFrom([]int{1, 5, 62, 63, 64, 65, 2999, 3000, 3001}).Draw(t, "lost"))
		case 1, 2: // late or copy
			seq -= uint16(rapid.SampledFrom([]int{1, 2, 3, 10, 62, 63, 64, 65}).Draw(t, "behind"))
			if rapid.Bool().Draw(t, "old") {
				ts -= 160
			}
		case 3:
			b1 = rapid.SampledFrom([]byte{13, 101, 101 | 128, 200, 72, 96}).Draw(t, "type")
		case 4:
			s.ts += rapid.SampledFrom([]uint32{1, 15999, 16000, 16160, 80, 320, 1 << 31, 0xffffffff}).Draw(t, "ts")
		case 5:
			s.seq = rapid.Uint16().Draw(t, "reset")
		case 6:
			b1 |= 128
		default:
			s.seq++
			s.ts += 160
			seq, ts = s.seq, s.ts
		}
		b := rtpBytes(b1, seq, ts, s.ssrc)
		length := 172
		if rapid.IntRange(0, 19).Draw(t, "shape") == 0 {
			b[0] = rapid.Byte().Draw(t, "b0")
			length = rapid.IntRange(0, 321).Draw(t, "length")
			b = b[:min(len(b), rapid.IntRange(0, 172).Draw(t, "captured"))]
		}
		p := datagram(now, b, length)
		p.TapPort = uint16(rapid.IntRange(0, 9).Draw(t, "port") / 9)
		ps = append(ps, p)
		if rapid.IntRange(0, 9).Draw(t, "mirror") == 0 {
			ps = append(ps, p)
		}
	}
	return ps
}

func TestAgainstReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := drawPackets(t)
		ref := newReference()
		for i := range ps {
			ref.packet(&ps[i])
		}
		if d := cmp.Diff(ref.flush(), run(ps), equateAddrs, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-reference +accounting):\n%s", d)
		}
	})
}

// TestSweepChangesNothing calls Sweep wherever it may be called, and wants the
// same records.
func TestSweepChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := drawPackets(t)
		want := run(ps)
		var got []Interval
		a := NewAccounting(Config{Seed: 1}, func(iv *Interval) { got = append(got, *iv) })
		for i := range ps {
			if i > 0 && rapid.Bool().Draw(t, "sweep") {
				a.Sweep(rapid.Int64Range(ps[i-1].Time, ps[i].Time).Draw(t, "now"))
			}
			a.Packet(&ps[i])
		}
		a.Flush()
		slices.SortStableFunc(got, func(a, b Interval) int { return a.Compare(&b) })
		if d := cmp.Diff(want, got, equateAddrs, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-without +with):\n%s", d)
		}
	})
}

func TestSweepEmitsInTime(t *testing.T) {
	var got []int64
	a := NewAccounting(Config{}, func(iv *Interval) { got = append(got, iv.Close()) })
	for _, x := range regular(50, at{0, 0, 0, 0, 7}) {
		p := x.packet()
		a.Packet(&p)
	}
	a.Sweep(ms(1999))
	if len(got) != 0 {
		t.Fatal("emitted before its end")
	}
	a.Sweep(ms(4100))
	if len(got) != 1 || got[0] != ms(2000) {
		t.Fatalf("not emitted two seconds after its end: %v", got)
	}
	a.Sweep(ms(40000))
	if c := a.Counters(); c.Idle != 1 || a.live != 0 {
		t.Errorf("a silent flow is kept: %+v", c)
	}
}

func TestEviction(t *testing.T) {
	const flows = 64
	emitted := map[uint16]int{}
	a := NewAccounting(Config{Flows: flows, Seed: 3}, func(iv *Interval) { emitted[iv.Flow.SrcPort] += int(iv.Packets) })
	send := func(port uint16, k int, t int64) {
		p := datagram(t, rtpBytes(0, uint16(k), uint32(k)*160, uint32(port)), 172)
		p.SrcPort = port
		a.Packet(&p)
	}
	// One call goes on while 5000 flows of three packets pass by.
	sent := 0
	for k := range 5000 {
		now := t0 + int64(k)*5e6
		if k%4 == 0 {
			send(1, sent, now)
			sent++
		}
		for j := range 3 {
			send(uint16(2000+k), j, now)
		}
		if int(a.live) > flows {
			t.Fatalf("%d records, cap %d", a.live, flows)
		}
	}
	a.Flush()
	if c := a.Counters(); c.Evicted < 4000 || c.Evicted+uint64(flows) < c.Records-c.Idle-1 {
		t.Errorf("evictions: %+v", c)
	}
	if emitted[1] != sent-1 {
		t.Errorf("the call has %d packets of %d in its records", emitted[1], sent-1)
	}
	if a.made > flows || a.live != 0 {
		t.Errorf("%d slots made, %d in use after Flush", a.made, a.live)
	}
}

// TestFlood keeps memory bounded against flows of one packet each.
func TestFlood(t *testing.T) {
	a := NewAccounting(Config{Flows: 256}, func(*Interval) {})
	for i := range 100000 {
		p := datagram(t0+int64(i)*1000, make([]byte, 40), 40)
		p.Src = addr4(uint32(i))
		a.Packet(&p)
	}
	c := a.Counters()
	if a.made != 0 || c.Starts != 100000 || c.StartsForgotten < 99000 {
		t.Errorf("%d slots, %+v", a.made, c)
	}
}

func TestNoAllocation(t *testing.T) {
	ps := calls(100)
	n := 0
	a := NewAccounting(Config{Seed: 1}, func(*Interval) { n++ })
	k := 0
	step := func() {
		for i := range ps {
			advance(&ps[i], k)
			a.Packet(&ps[i])
		}
		k++
	}
	for range 3 {
		step()
	}
	if got := testing.AllocsPerRun(500, step); got != 0 {
		t.Errorf("%v allocations per 100 packets", got)
	}
	if n == 0 {
		t.Error("no interval was closed, so closing was not measured")
	}
}

func FuzzAccounting(f *testing.F) {
	f.Add(rtpBytes(0, 1, 2, 3), uint32(172), int64(0))
	f.Add([]byte{0xb0, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 1}, uint32(21), int64(20e6))
	f.Add([]byte{0x8f, 0x60}, uint32(320), int64(-1))
	f.Fuzz(func(t *testing.T, b []byte, length uint32, dt int64) {
		ref := newReference()
		var ps []packet.Packet
		// The datagram cut into packets of fourteen bytes and repeated, with
		// the time moving by dt.
		now := t0
		for k := range 40 {
			x := b
			if len(b) > 14 && k%2 == 1 {
				x = b[k%(len(b)-13):]
			}
			ps = append(ps, datagram(now, x, int(length%400)))
			now += dt % 1e9
		}
		for i := range ps {
			ref.packet(&ps[i])
		}
		want := ref.flush()
		var got []Interval
		a := NewAccounting(Config{}, func(iv *Interval) { got = append(got, *iv) })
		for i := range ps {
			a.Packet(&ps[i])
		}
		a.Flush()
		slices.SortStableFunc(got, func(a, b Interval) int { return a.Compare(&b) })
		if d := cmp.Diff(want, got, equateAddrs, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-reference +accounting):\n%s", d)
		}
	})
}

// TestDue: the sweep looks at every record no later than there is something to be
// done with it, and at those that are free never.
func TestDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := NewAccounting(Config{Seed: 1, Flows: 40}, func(*Interval) {})
		now := t0
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 20e6, 300e6, 2500e6, 16e9}).Draw(t, "wait")
			p := datagram(now-rapid.SampledFrom([]int64{0, 0, 0, 3e9}).Draw(t, "late"), rtpBytes(18, uint16(i), uint32(i)*160, 1), 172)
			p.SrcPort += uint16(rapid.IntRange(0, 60).Draw(t, "flow"))
			a.Packet(&p)
			if rapid.IntRange(0, 9).Draw(t, "sweep") == 0 {
				a.Sweep(now)
			}
			for k := range a.made {
				s, due := a.slot(k), a.due[k%phases][k/phases]
				switch {
				case !s.live && due != never:
					t.Fatalf("a free record is due at %d", due)
				case s.live && due > s.due():
					t.Fatalf("due at %d, want %d", due, s.due())
				}
			}
		}
	})
}
