package rtp

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"simtrap/ident"
	"simtrap/packet"
)

// teller writes down what Streams tells.
type teller struct {
	confirmed, ended []Stream
	log              []string
}

func (h *teller) StreamConfirmed(s *Stream) {
	h.confirmed = append(h.confirmed, *s)
	h.log = append(h.log, fmt.Sprintf("confirmed %d %x", s.ID, s.SSRC))
}

func (h *teller) StreamEnded(s *Stream) {
	h.ended = append(h.ended, *s)
	h.log = append(h.log, fmt.Sprintf("ended %d %x %d %.4f %.4f", s.ID, s.SSRC, s.Packets, s.PPM, s.PPMError))
}

// account gives the ordered intervals of packets, spread over shards by flow.
func account(ps []packet.Packet, shards int) []Interval {
	slices.SortStableFunc(ps, func(a, b packet.Packet) int { return int(min(max(a.Time-b.Time, -1), 1)) })
	var out []Interval
	as := make([]*Accounting, shards)
	for i := range as {
		as[i] = NewAccounting(Config{Seed: 1}, func(iv *Interval) { out = append(out, *iv) })
	}
	for i := range ps {
		as[int(ps[i].SrcPort)%shards].Packet(&ps[i])
	}
	for _, a := range as {
		a.Flush()
	}
	slices.SortStableFunc(out, func(a, b Interval) int { return a.Compare(&b) })
	return out
}

func judge(cfg Config, ivs []Interval) (*teller, StreamCounters) {
	h := &teller{}
	ss := NewStreams(cfg, h)
	for i := range ivs {
		ss.Interval(&ivs[i])
	}
	ss.Flush()
	return h, ss.Counters()
}

// voice describes one direction of simulated media.
type voice struct {
	src, dst uint16 // ports; the address of a port is 10.0.0.1 below 20000, else 203.0.113.1
	pt       byte
	ssrc     uint32
	step     uint32 // ticks
	ptime    int64  // ns
	size     func(i int) int
	from     int64 // ms
	n        int
	tap      uint16
	ppm      float64
	bunch    int // packets that leave together, on a timer that many times as coarse
}

func end(port uint16) ident.Addr {
	if port < 20000 {
		return addr4(0x0a000001)
	}
	return addr4(0xcb007101)
}

func (v voice) packets(r *rand.Rand) []packet.Packet {
	var out []packet.Packet
	seq, ts := uint16(r.Uint32()), r.Uint32()
	last := 0.0
	for i := range v.n {
		n := 172
		if v.size != nil {
			n = v.size(i)
		}
		b := make([]byte, n)
		b[0], b[1] = 0x80, v.pt
		binary.BigEndian.PutUint16(b[2:], seq+uint16(i))
		binary.BigEndian.PutUint32(b[4:], ts+uint32(i)*v.step)
		binary.BigEndian.PutUint32(b[8:], v.ssrc)
		tick := i
		if v.bunch > 1 {
			tick -= i % v.bunch
		}
		at := float64(tick)*float64(v.ptime)/(1+v.ppm*1e-6) + r.ExpFloat64()*3e5
		if tick != i {
			at = last + 1e4 // one behind the other
		}
		last = at
		out = append(out, packet.Packet{
			Time: t0 + v.from*1e6 + int64(at), Src: end(v.src), Dst: end(v.dst), SrcPort: v.src, DstPort: v.dst,
			Proto: packet.UDP, Length: uint32(n), Payload: b, TapPort: v.tap,
		})
	}
	return out
}

// scramble makes the payloads of ps unreadable as RTP.
func scramble(r *rand.Rand, ps []packet.Packet) []packet.Packet {
	for i := range ps {
		for j := range ps[i].Payload {
			ps[i].Payload[j] = byte(r.Uint32())
		}
		ps[i].Payload[0] &= 0x7f
	}
	return ps
}

func TestACall(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	up := voice{src: 10000, dst: 20000, pt: 8, ssrc: 0xa, step: 160, ptime: 20e6, n: 3000, ppm: 25}.packets(r)
	up = slices.Delete(up, 500, 510) // lost on the way
	down := voice{src: 20000, dst: 10000, pt: 18, ssrc: 0xb, step: 160, ptime: 20e6, n: 3000, ppm: -40, size: func(int) int { return 32 }}.packets(r)
	h, c := judge(Config{}, account(slices.Concat(up, down), 1))
	if len(h.confirmed) != 2 || len(h.ended) != 2 || c.Confirmed != 2 || c.Ended != 2 || c.VoiceLike != 0 {
		t.Fatalf("%v %+v", h.log, c)
	}
	a, b := h.ended[0], h.ended[1]
	if a.SSRC != 0xa {
		a, b = b, a
	}
	for _, x := range []struct {
		s             Stream
		pt            uint8
		packets, lost uint64
		bytes         uint64
		ppm           float64
	}{{a, 8, 2989, 10, 2989 * 172, 25}, {b, 18, 2999, 0, 2999 * 32, -40}} {
		s := x.s
		if s.PT != x.pt || s.Rate != 8000 || s.Packets != x.packets || s.Lost != x.lost || s.Bytes != x.bytes || s.Ptime != 20e6 || !s.Readable {
			t.Errorf("%+v", s)
		}
		if !s.ClockOK || math.Abs(s.PPM-x.ppm) > s.PPMError || s.PPMError > 2 {
			t.Errorf("clock %.2f ± %.2f ppm, ok %v; true %.0f", s.PPM, s.PPMError, s.ClockOK, x.ppm)
		}
		if s.End-s.Start < 59e9 || s.Jitter == 0 || s.Jitter > 5e6 {
			t.Errorf("from %d to %d, jitter %d", s.Start, s.End, s.Jitter)
		}
	}
}

func TestEightPackets(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, c := range []struct {
		name string
		v    voice
		drop func(i int) bool
		want int
	}{
		// The first packet of a flow is in no record.
		{"eight of nine", voice{n: 9, pt: 0, step: 160, ptime: 20e6}, nil, 1},
		{"seven of eight", voice{n: 8, pt: 0, step: 160, ptime: 20e6}, nil, 0},
		{"three holes in eight", voice{n: 12, pt: 0, step: 160, ptime: 20e6}, func(i int) bool { return i == 3 || i == 6 || i == 9 }, 0},
		{"every eighth lost", voice{n: 500, pt: 0, step: 160, ptime: 20e6}, func(i int) bool { return i%8 == 0 }, 1},
		{"every other lost", voice{n: 500, pt: 0, step: 160, ptime: 20e6}, func(i int) bool { return i%2 == 0 }, 0},
		{"30 ms", voice{n: 100, pt: 4, step: 240, ptime: 30e6, size: func(int) int { return 36 }}, nil, 1},
		{"60 ms", voice{n: 100, pt: 18, step: 480, ptime: 60e6, size: func(int) int { return 72 }}, nil, 1},
		{"10 ms", voice{n: 100, pt: 18, step: 80, ptime: 10e6, size: func(int) int { return 22 }}, nil, 1},
		{"5 ms", voice{n: 400, pt: 18, step: 40, ptime: 5e6, size: func(int) int { return 17 }}, nil, 0},
		{"100 ms", voice{n: 100, pt: 18, step: 800, ptime: 100e6, size: func(int) int { return 112 }}, nil, 0},
		{"Opus, type 111, any size", voice{n: 200, pt: 111, step: 960, ptime: 20e6, size: func(i int) int { return 60 + i*37%120 }}, nil, 1},
		{"AMR-WB, type 97", voice{n: 200, pt: 97, step: 320, ptime: 20e6, size: func(int) int { return 73 }}, nil, 1},
		{"packets ten times as often as the timestamps say", voice{n: 300, pt: 0, step: 160, ptime: 2e6}, nil, 0},
		{"a dynamic type with a rate that no codec has", voice{n: 300, pt: 96, step: 1000, ptime: 20e6}, nil, 0},
		{"a timestamp that stands still", voice{n: 300, pt: 0, step: 0, ptime: 20e6}, nil, 0},
		{"a timestamp that counts packets", voice{n: 300, pt: 96, step: 1, ptime: 20e6}, nil, 0},
		{"two by two on a timer of 40 ms", voice{n: 300, pt: 8, step: 160, ptime: 20e6, bunch: 2}, nil, 1},
		{"three by three", voice{n: 300, pt: 18, step: 160, ptime: 20e6, bunch: 3, size: func(int) int { return 32 }}, nil, 1},
		{"Opus two by two", voice{n: 300, pt: 111, step: 960, ptime: 20e6, bunch: 2}, nil, 1},
		{"two by two, ten times as often as the timestamps say", voice{n: 300, pt: 0, step: 160, ptime: 2e6, bunch: 2}, nil, 0},
		{"G.711 in 40 ms", voice{n: 300, pt: 0, step: 320, ptime: 40e6, size: func(int) int { return 332 }}, nil, 1},
		{"G.711 in 40 ms, SRTP with an extension", voice{n: 300, pt: 8, step: 320, ptime: 40e6, size: func(int) int { return 350 }}, nil, 1},
		{"G.711 in 60 ms: too large", voice{n: 300, pt: 0, step: 480, ptime: 60e6, size: func(int) int { return 492 }}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.v.src, c.v.dst, c.v.ssrc = 10000, 20000, 5
			var ps []packet.Packet
			for i, p := range c.v.packets(r) {
				if c.drop == nil || i == 0 || !c.drop(i) {
					ps = append(ps, p)
				}
			}
			h, counters := judge(Config{}, account(ps, 1))
			if len(h.confirmed) != c.want || len(h.ended) != c.want {
				t.Errorf("%v, want %d; %+v", h.log, c.want, counters)
			}
		})
	}
}

func TestVoiceLike(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	small := func(int) int { return 60 }
	for _, c := range []struct {
		name     string
		up, down voice
		want     int
	}{
		{"both ways", voice{n: 500, ptime: 20e6, size: small}, voice{n: 500, ptime: 20e6, size: small, from: 700}, 2},
		{"two sizes", voice{n: 500, ptime: 20e6, size: func(i int) int { return 60 + 20*(i/10%2) }}, voice{n: 500, ptime: 20e6, size: small}, 2},
		{"60 ms", voice{n: 170, ptime: 60e6, size: small}, voice{n: 170, ptime: 60e6, size: small}, 2},
		{"one way", voice{n: 500, ptime: 20e6, size: small}, voice{}, 0},
		{"four seconds", voice{n: 210, ptime: 20e6, size: small}, voice{n: 210, ptime: 20e6, size: small}, 0},
		{"one after the other", voice{n: 500, ptime: 20e6, size: small}, voice{n: 500, ptime: 20e6, size: small, from: 10500}, 0},
		{"three times as much one way", voice{n: 500, ptime: 20e6, size: small}, voice{n: 170, ptime: 60e6, size: small}, 0},
		{"many sizes", voice{n: 500, ptime: 20e6, size: func(i int) int { return 40 + i*37%100 }}, voice{n: 500, ptime: 20e6, size: small}, 0},
		{"25 ms", voice{n: 400, ptime: 25e6, size: small}, voice{n: 400, ptime: 25e6, size: small}, 0},
		{"too large", voice{n: 500, ptime: 20e6, size: func(int) int { return 273 }}, voice{n: 500, ptime: 20e6, size: func(int) int { return 273 }}, 0},
		{"just not too large", voice{n: 500, ptime: 20e6, size: func(int) int { return 272 }}, voice{n: 500, ptime: 20e6, size: func(int) int { return 272 }}, 2},
		{"too often", voice{n: 1000, ptime: 10e6, size: small}, voice{n: 1000, ptime: 10e6, size: small}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.up.src, c.up.dst, c.down.src, c.down.dst = 10000, 20000, 20000, 10000
			c.down.tap = 1 // a tap shows the directions at two ports
			ps := scramble(r, slices.Concat(c.up.packets(r), c.down.packets(r)))
			h, counters := judge(Config{}, account(ps, 1))
			if len(h.confirmed) != c.want {
				t.Errorf("%v, want %d; %+v", h.log, c.want, counters)
			}
			for _, s := range h.ended {
				if s.Readable || s.ClockOK || s.PT != NoPT || s.SSRC != 0 {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// TestNeverConfirmed holds traffic that is no voice against both rules.
func TestNeverConfirmed(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	both := func(gap func() int64, n int, fill func(i int, up bool) []byte) []packet.Packet {
		var out []packet.Packet
		for _, up := range []bool{true, false} {
			now := t0
			for i := range n {
				now += gap()
				b := fill(i, up)
				p := packet.Packet{Time: now, Src: end(10000), Dst: end(20000), SrcPort: 10000, DstPort: 20000, Proto: packet.UDP, Length: uint32(len(b)), Payload: b}
				if !up {
					p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
				}
				out = append(out, p)
			}
		}
		return out
	}
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	every := func(ns int64) func() int64 { return func() int64 { return ns + int64(r.ExpFloat64()*3e5) } }
	for _, c := range []struct {
		name string
		ps   []packet.Packet
	}{
		{"DNS to one resolver", both(func() int64 { return int64(r.ExpFloat64() * 2e7) }, 3000, func(_ int, up bool) []byte {
			b := random(30 + r.IntN(120))
			copy(b[2:], []byte{1, 0, 0, 1, 0, 0, 0, 0, 0, 0})
			return b
		})},
		{"DNS whose identifiers look like version 2", both(every(20e6), 3000, func(i int, up bool) []byte {
			b := random(30 + r.IntN(120))
			copy(b, []byte{0x80, byte(i), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0})
			return b
		})},
		{"QUIC", both(func() int64 { return int64(r.ExpFloat64() * 1e7) }, 3000, func(int, bool) []byte {
			b := random(25 + r.IntN(1200))
			b[0] = 0x40 | b[0]&0x3f
			return b
		})},
		{"QUIC acknowledgements at an even pace", both(every(22e6), 3000, func(int, bool) []byte {
			b := random(28 + r.IntN(9))
			b[0] = 0x40 | b[0]&0x3f
			return b
		})},
		{"random bytes", both(every(20e6), 3000, func(int, bool) []byte { return random(1 + r.IntN(320)) })},
		{"random bytes that begin as RTP", both(every(20e6), 3000, func(int, bool) []byte {
			b := random(40 + r.IntN(200))
			b[0], b[1] = 0x80, 0
			return b
		})},
		{"a game at 60 Hz with a sequence number", both(every(16666666), 3000, func(i int, _ bool) []byte {
			b := random(60 + r.IntN(90))
			b[0], b[1] = 0x80, 0
			binary.BigEndian.PutUint16(b[2:], uint16(i))
			copy(b[8:], "GAME")
			return b
		})},
		{"a game at 20 Hz with sequence number and milliseconds", both(every(50e6), 2000, func(i int, _ bool) []byte {
			b := random(60 + r.IntN(90))
			b[0], b[1] = 0x80, 96
			binary.BigEndian.PutUint16(b[2:], uint16(i))
			binary.BigEndian.PutUint32(b[4:], uint32(i*50))
			copy(b[8:], "GAME")
			return b
		})},
		{"video, four packets a frame", both(every(8e6), 4000, func(i int, _ bool) []byte {
			b := random(200 + r.IntN(1100))
			b[0], b[1] = 0x80, 96
			binary.BigEndian.PutUint16(b[2:], uint16(i))
			binary.BigEndian.PutUint32(b[4:], uint32(i/4)*3003)
			copy(b[8:], "VIDE")
			return b
		})},
		{"video of small packets only", both(every(8e6), 4000, func(i int, _ bool) []byte {
			b := random(200 + r.IntN(100))
			b[0], b[1] = 0x80, 96
			binary.BigEndian.PutUint16(b[2:], uint16(i))
			binary.BigEndian.PutUint32(b[4:], uint32(i/4)*3003)
			copy(b[8:], "VIDE")
			return b
		})},
		{"video, one packet a frame at 25 Hz", both(every(40e6), 2000, func(i int, _ bool) []byte {
			b := random(100 + r.IntN(200))
			b[0], b[1] = 0x80, 96
			binary.BigEndian.PutUint16(b[2:], uint16(i))
			binary.BigEndian.PutUint32(b[4:], uint32(i)*3600)
			copy(b[8:], "VIDE")
			return b
		})},
		{"RTCP", both(every(20e6), 2000, func(i int, _ bool) []byte {
			b := random(60 + r.IntN(100))
			b[0], b[1] = 0x80, 200
			return b
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			ivs := account(c.ps, 1)
			h, counters := judge(Config{}, ivs)
			if len(h.confirmed) != 0 {
				t.Errorf("confirmed %+v", h.confirmed)
			}
			if len(ivs) == 0 {
				t.Error("no interval was emitted, so nothing was judged")
			}
			t.Logf("%d intervals, %+v", len(ivs), counters)
		})
	}
}

func TestStreamEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	v := voice{src: 10000, dst: 20000, ssrc: 5, step: 160, ptime: 20e6, n: 100}
	w := v
	w.from = 13000 // eleven seconds of silence
	h, _ := judge(Config{}, account(slices.Concat(v.packets(r), w.packets(r)), 1))
	want := []string{"confirmed 1 5", "ended 1 5 99 0.0000 0.0000", "confirmed 2 5", "ended 2 5 100 0.0000 0.0000"}
	if d := cmp.Diff(want, h.log); d != "" {
		t.Errorf("after a long silence (-want +got):\n%s", d)
	}
	w.from = 9000
	h, _ = judge(Config{}, account(slices.Concat(v.packets(r), w.packets(r)), 1))
	want = []string{"confirmed 1 5", "ended 1 5 199 0.0000 0.0000"}
	if d := cmp.Diff(want, h.log); d != "" {
		t.Errorf("after a short silence (-want +got):\n%s", d)
	}

	x := &teller{}
	ss := NewStreams(Config{}, x)
	for _, iv := range account(v.packets(r), 1) {
		ss.Interval(&iv)
	}
	if ss.Get(1) == nil || ss.SetRate(2, 8000) || !ss.SetRate(1, 16000) || ss.Get(1).Rate != 16000 {
		t.Error("SetRate or Get")
	}
	ss.Advance(ms(12000))
	if len(x.ended) != 0 {
		t.Error("ended at ten seconds of silence")
	}
	ss.Advance(ms(12010))
	if len(x.ended) != 1 || ss.Get(1) != nil {
		t.Error("not ended after ten seconds of silence")
	}
	ss.Flush()
	if len(x.ended) != 1 {
		t.Error("ended twice")
	}
}

func TestMirroredPorts(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	one := voice{src: 10000, dst: 20000, ssrc: 5, step: 160, ptime: 20e6, n: 1000}.packets(r)
	var two []packet.Packet
	for _, p := range one {
		p.TapPort, p.Time = 1, p.Time+3000
		two = append(two, p)
	}
	h, c := judge(Config{}, account(slices.Concat(one, two), 1))
	if len(h.ended) != 1 || h.ended[0].Packets != 999 || c.Mirrored != 10 {
		t.Errorf("%v %+v", h.log, c)
	}
}

func TestStreamCap(t *testing.T) {
	h := &teller{}
	ss := NewStreams(Config{Streams: 8}, h)
	iv := func(port uint16, n uint32, inStep uint16) *Interval {
		return &Interval{
			Flow: Flow{Src: addr4(1), Dst: addr4(2), SrcPort: port}, Epoch: t0, Number: n,
			First: t0 + int64(n)*Length, Last: t0 + int64(n)*Length + 1980e6, SSRC: 1, Rate: 8000, Step: 160,
			Packets: inStep + 1, Source: inStep + 1, InStep: inStep, Timed: inStep, Gaps: [8]uint16{3: inStep},
		}
	}
	for port := range uint16(4) {
		ss.Interval(iv(port, 0, 99))
	}
	// A flood of candidates displaces candidates only.
	for port := range uint16(1000) {
		ss.Interval(iv(100+port, 0, 5))
	}
	c := ss.Counters()
	if len(h.confirmed) != 4 || len(h.ended) != 0 || c.Forgotten != 996 || c.Evicted != 0 || len(ss.streams) != 8 {
		t.Errorf("%v %+v", h.log, c)
	}
	// Too many confirmed ones: the least recent ends, and is told.
	for port := range uint16(9) {
		ss.Interval(iv(port, 1, 99))
	}
	c = ss.Counters()
	if len(ss.streams) != 8 || c.Evicted != 1 || len(h.ended) != 1 || h.ended[0].Flow.SrcPort != 0 {
		t.Errorf("%v %+v", h.log, c)
	}
	ss.Flush()
	if c = ss.Counters(); c.Ended != c.Confirmed || len(ss.streams) != 0 || len(ss.byID) != 0 {
		t.Errorf("after Flush: %+v", c)
	}
}

// TestSameWithAnyShards wants the same events however the flows are spread.
func TestSameWithAnyShards(t *testing.T) {
	make := func() []packet.Packet {
		r := rand.New(rand.NewPCG(8, 8))
		var ps []packet.Packet
		for i := range 40 {
			v := voice{src: uint16(10000 + i), dst: uint16(20000 + i), ssrc: uint32(i), step: 160, ptime: 20e6, n: 1800, from: int64(i) * 200, ppm: float64(i)}
			ps = append(ps, v.packets(r)...)
			v.src, v.dst = v.dst, v.src
			ps = append(ps, v.packets(r)...)
		}
		return ps
	}
	want, _ := judge(Config{}, account(make(), 1))
	if len(want.ended) != 80 {
		t.Fatalf("%d streams", len(want.ended))
	}
	for _, shards := range []int{3, 64} {
		got, _ := judge(Config{}, account(make(), shards))
		if d := cmp.Diff(want.log, got.log); d != "" {
			t.Errorf("%d shards (-1 +%d):\n%s", shards, shards, d)
		}
	}
}

func TestClockOfAnUnknownRate(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	v := voice{src: 10000, dst: 20000, pt: 111, ssrc: 5, step: 960, ptime: 20e6, n: 6000, ppm: 33}
	ivs := account(v.packets(r), 1)
	h := &teller{}
	ss := NewStreams(Config{}, h)
	for i := range ivs {
		ss.Interval(&ivs[i])
	}
	check := func(name string, s Stream, rate uint32) {
		t.Helper()
		if s.Rate != rate || !s.ClockOK || math.Abs(s.PPM-33) > s.PPMError || s.PPMError > 20 || s.Ptime != 20e6 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	ss.SetRate(1, 0)
	check("by its samples", *ss.Get(1), 0)
	ss.SetRate(1, 48000)
	check("told", *ss.Get(1), 48000)
	ss.SetRate(1, 8000) // told wrongly: the samples know better
	check("told wrongly", *ss.Get(1), 8000)
}

func TestClockSegments(t *testing.T) {
	// Samples without noise at 10 ppm, with what happens to them.
	sample := func(i int, shift int64, ts uint32) Sample {
		return Sample{t0 + int64(float64(i)*2e9/(1+10e-6)) + shift, ts + uint32(i)*16000}
	}
	for _, c := range []struct {
		name  string
		n     int
		bend  func(i int, s Sample) Sample
		ok    bool
		exact bool
	}{
		{"plain", 60, func(_ int, s Sample) Sample { return s }, true, true},
		{"too short", 14, func(_ int, s Sample) Sample { return s }, false, false},
		{"the timestamp wraps", 60, func(_ int, s Sample) Sample { s.Timestamp -= 30 * 16000; return s }, true, true},
		{"a new random offset", 60, func(i int, s Sample) Sample {
			if i >= 20 {
				s.Timestamp += 123456789
			}
			return s
		}, true, true},
		{"a timestamp that stands still through ten seconds of silence", 60, func(i int, s Sample) Sample {
			if i >= 30 {
				s.Arrival += 10e9
			}
			return s
		}, true, true},
		{"a new offset every ten seconds", 60, func(i int, s Sample) Sample { s.Timestamp += uint32(i/5) * 987654321; return s }, false, false},
		{"arrivals that stand still", 60, func(_ int, s Sample) Sample { s.Arrival = t0; return s }, false, false},
		{"a timestamp that stands still", 60, func(_ int, s Sample) Sample { s.Timestamp = 5; return s }, false, false},
		{"a queue of half a second for a minute", 90, func(i int, s Sample) Sample {
			if i >= 30 && i < 60 {
				s.Arrival += 500e6
			}
			return s
		}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &entry{Stream: Stream{Rate: 8000}}
			for i := range c.n {
				s.clock.add(c.bend(i, sample(i, 0, 77)), 8000)
			}
			s.measure()
			if s.ClockOK != c.ok {
				t.Fatalf("ok is %v", s.ClockOK)
			}
			if !c.ok {
				return
			}
			if math.Abs(s.PPM-10) > s.PPMError {
				t.Errorf("%.3f ± %.3f ppm does not cover 10", s.PPM, s.PPMError)
			}
			if c.exact && s.PPMError > 1 {
				t.Errorf("error %.3f ppm without any noise", s.PPMError)
			}
		})
	}
}

// TestClockNearZero wants no certainty near zero, where a disciplined timer
// would hide the clock.
func TestClockNearZero(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	s := simulate(r, 60, 0.3, fibre)
	if !s.ClockOK || s.PPMError < 100 {
		t.Errorf("%.3f ± %.3f ppm", s.PPM, s.PPMError)
	}
}

func TestClockLongStream(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	s := simulate(r, 7200, -17, wifi)
	if len(s.clock.points) > maxSamples || s.clock.taken != 3600 {
		t.Errorf("%d points of %d samples", len(s.clock.points), s.clock.taken)
	}
	if !s.ClockOK || math.Abs(s.PPM+17) > s.PPMError || s.PPMError > 0.2 {
		t.Errorf("%.4f ± %.4f ppm", s.PPM, s.PPMError)
	}
}

func TestClockGroups(t *testing.T) {
	clock := func(ppm, err float64) *Stream { return &Stream{PPM: ppm, PPMError: err, ClockOK: true} }
	for _, c := range []struct {
		name           string
		streams        []*Stream
		clocks, judged int
	}{
		{"none", nil, 0, 0},
		{"no clock known", []*Stream{{PPM: 5, PPMError: 1}}, 0, 0},
		{"one chassis", []*Stream{clock(12.1, 0.3), clock(12.3, 0.2), clock(11.9, 0.4), clock(12.2, 0.1)}, 1, 4},
		{"four phones", []*Stream{clock(-30, 1), clock(-8, 1), clock(3, 1), clock(41, 1)}, 4, 4},
		{"touching", []*Stream{clock(0, 1), clock(2, 1)}, 1, 2},
		{"a chain needs two", []*Stream{clock(0, 1), clock(1.5, 1), clock(3, 1)}, 2, 3},
		{"a wide one agrees with anything", []*Stream{clock(0, 200), clock(-50, 1), clock(50, 1)}, 2, 3},
		{"all below zero", []*Stream{clock(-9, 1), clock(-5, 1)}, 2, 2},
	} {
		if clocks, judged := ClockGroups(c.streams); clocks != c.clocks || judged != c.judged {
			t.Errorf("%s: %d clocks of %d, want %d of %d", c.name, clocks, judged, c.clocks, c.judged)
		}
	}
}

// The least number of points that stab all intervals is the greatest number of
// intervals of which no two meet.
func TestClockGroupsIsLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ss []*Stream
		for range rapid.IntRange(0, 9).Draw(t, "n") {
			ss = append(ss, &Stream{
				PPM: float64(rapid.IntRange(-20, 20).Draw(t, "ppm")), PPMError: float64(rapid.IntRange(0, 8).Draw(t, "err")), ClockOK: true,
			})
		}
		most := 0
		for set := range 1 << len(ss) {
			n, apart := 0, true
			for i, a := range ss {
				if set>>i&1 == 0 {
					continue
				}
				n++
				for j, b := range ss[:i] {
					if set>>j&1 != 0 && math.Abs(a.PPM-b.PPM) <= a.PPMError+b.PPMError {
						apart = false
					}
				}
			}
			if apart {
				most = max(most, n)
			}
		}
		if clocks, _ := ClockGroups(ss); clocks != most {
			t.Fatalf("%d clocks, want %d", clocks, most)
		}
	})
}
