package rtp

import (
	"math"
	"math/rand/v2"
	"testing"

	"simtrap/packet"
)

// TestRating holds the E-model against published figures: R 93.2 gives 4.41
// (G.107 section 7.7), G.729A without loss R 82 and 4.1, and the users'
// satisfaction table of G.109 puts R 90, 80, 70, 60, 50 at 4.34, 4.03, 3.60,
// 3.10, 2.58.
func TestRating(t *testing.T) {
	near := func(a, b, by float64) bool { return math.Abs(a-b) <= by }
	for _, c := range [][2]float64{{93.2, 4.41}, {90, 4.34}, {80, 4.03}, {70, 3.60}, {60, 3.10}, {50, 2.58}, {100, 4.5}, {120, 4.5}, {0, 1}, {-5, 1}} {
		if got := opinion(c[0]); !near(got, c[1], 0.01) {
			t.Errorf("R %.1f is %.3f, want %.2f", c[0], got, c[1])
		}
	}
	for _, c := range []struct {
		ie, bpl, loss, runs, delay, want float64
	}{
		{0, 25.1, 0, 1, 0, 93.2},
		{11, 19, 0, 1, 0, 82.2},
		{0, 25.1, 0.05, 1, 0, 93.2 - 95*5/(5/1.0+25.1)}, // single losses are no burst
		{0, 4.3, 0.01, 1, 0, 93.2 - 95/(1/1.0+4.3)},
		{11, 19, 0.02, 3, 0, 82.2 - 84*2/(2/(3*0.98)+19)},
		{0, 25.1, 1, 1, 0, 93.2 - 95*100/(100+25.1)},
		{0, 25.1, 0, 1, 100, 93.2},
		{0, 25.1, 0, 1, 200, 93.2 - 25*(math.Pow(2, 1.0/6)-3*math.Pow(1+1.0/729, 1.0/6)+2)},
	} {
		if got := rating(c.ie, c.bpl, c.loss, c.runs, c.delay); !near(got, c.want, 0.01) {
			t.Errorf("%+v: %.2f", c, got)
		}
	}
	// More loss, longer runs and longer ways are never better.
	prev := 200.0
	for loss := 0.0; loss < 1; loss += 0.01 {
		r := rating(0, 25.1, loss, 1, 0)
		if r > prev || rating(0, 25.1, loss, 4, 0) > r || rating(0, 25.1, loss, 1, 300) > r {
			t.Errorf("loss of %.2f: %.2f", loss, r)
		}
		prev = r
	}
}

// described makes a Streams that describes every stream when it is confirmed.
type described struct {
	teller
	ss *Streams
	d  Description
}

func (h *described) StreamConfirmed(s *Stream) {
	h.teller.StreamConfirmed(s)
	h.ss.Describe(s.ID, &h.d)
}

// withKeys replaces packets of a stream: of every period the first n become
// packets of type pt, of one event each when still is set.
func withKeys(ps []packet.Packet, period, n int, pt byte, still bool) {
	for i := range ps {
		if k := i % period; i >= period && k < n {
			b := ps[i].Payload
			b[1] = pt
			if still {
				copy(b[4:8], ps[i-k].Payload[4:8])
			}
			ps[i].Payload, ps[i].Length = b[:16], 16
		}
	}
}

func TestSides(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	event := Description{N: 3, Formats: [12]Format{{PT: 0, Rate: 8000, Codec: CodecPCMU}, {PT: 96, Rate: 8000, Codec: CodecEvent}, {PT: 97, Rate: 8000, Codec: CodecNoise}}}
	none := Description{}
	for _, c := range []struct {
		name        string
		pt          byte
		n           int
		still       bool
		d           Description
		events      uint64
		keys, noise uint64
		sparse      uint64 // packets in records too small to be told
	}{
		{"type 101, nothing told", 101, 8, true, none, 72, 9, 0, 0},
		{"type 96, as told", 96, 8, true, event, 72, 9, 0, 0},
		{"type 96, not told", 96, 8, true, none, 0, 0, 0, 0},
		{"type 97 told as comfort noise", 97, 1, false, event, 0, 0, 9, 0},
		{"a long silence of dynamic comfort noise", 97, 20, false, event, 0, 0, 166, 14},
		{"comfort noise", 13, 2, false, none, 0, 0, 18, 0},
		{"old comfort noise", 19, 2, false, none, 0, 0, 18, 0},
		{"another codec for a moment", 8, 2, false, event, 0, 0, 0, 0},
	} {
		ps := voice{src: 10000, dst: 20000, pt: 0, ssrc: 5, step: 160, ptime: 20e6, n: 1000}.packets(r)
		withKeys(ps, 100, c.n, c.pt, c.still)
		h := &described{d: c.d}
		h.ss = NewStreams(Config{}, h)
		for _, iv := range account(ps, 1) {
			h.ss.Interval(&iv)
		}
		h.ss.Flush()
		if len(h.ended) != 1 {
			t.Errorf("%s: %d streams", c.name, len(h.ended))
			continue
		}
		s := h.ended[0]
		if s.Events != c.events || s.Keys != c.keys || s.Noise != c.noise || s.PT != 0 || s.Codec != CodecPCMU || s.Packets != 999-c.sparse || s.Switches != 0 {
			t.Errorf("%s: %d packets of %d events, %d of noise; type %d, %v, %d packets, %d switches", c.name, s.Events, s.Keys, s.Noise, s.PT, s.Codec, s.Packets, s.Switches)
		}
	}
}

// TestChanges: one call whose sender changes codec, packet time, sequence or
// SSRC half-way.
func TestChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 8))
	v := voice{src: 10000, dst: 20000, pt: 0, ssrc: 5, step: 160, ptime: 20e6, n: 500}
	w := v
	w.from = 10000
	for _, c := range []struct {
		name    string
		change  func(v *voice)
		patch   func(b []byte)
		streams int
		want    Stream // of the fields looked at
	}{
		{"codec", func(v *voice) { v.pt, v.size = 18, func(int) int { return 32 } }, nil, 1, Stream{PT: 0, Switches: 1, Ptime: 20e6}},
		{"packet time", func(v *voice) {
			v.step, v.ptime, v.n, v.size = 320, 40e6, 250, func(int) int { return 332 }
		}, nil, 1, Stream{Ptime: 40e6}},
		{"sequence numbers", nil, func(b []byte) { b[2] += 0x55 }, 1, Stream{Restarts: 1, Ptime: 20e6}},
		{"timestamps", nil, func(b []byte) { b[4] += 0x55 }, 1, Stream{Ptime: 20e6}},
		{"SSRC", func(v *voice) { v.ssrc = 6 }, nil, 2, Stream{Ptime: 20e6}},
		{"nothing", nil, nil, 1, Stream{Ptime: 20e6}},
	} {
		first := v.packets(r)
		x := w
		if c.change != nil {
			c.change(&x)
		}
		second := x.packets(r)
		last := first[len(first)-1].Payload
		for i := range second {
			b := second[i].Payload
			n := uint16(last[2])<<8 + uint16(last[3]) + uint16(i) + 1
			b[2], b[3] = byte(n>>8), byte(n)
			ts := (uint32(last[4])<<24 | uint32(last[5])<<16 | uint32(last[6])<<8 | uint32(last[7])) + 160 + uint32(i)*x.step
			b[4], b[5], b[6], b[7] = byte(ts>>24), byte(ts>>16), byte(ts>>8), byte(ts)
			if c.patch != nil {
				c.patch(b)
			}
		}
		h, _ := judge(Config{}, account(append(first, second...), 1))
		if len(h.ended) != c.streams {
			t.Errorf("%s: %v", c.name, h.log)
			continue
		}
		s := h.ended[len(h.ended)-1]
		if s.Switches != c.want.Switches || s.Restarts != c.want.Restarts || s.Ptime != c.want.Ptime || s.Lost != 0 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

// TestCollisions: sources with one SSRC are told apart by their flows.
func TestCollisions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	v := voice{src: 10000, dst: 20000, pt: 0, ssrc: 5, step: 160, ptime: 20e6, n: 500}
	other, turned := v, v
	other.src = 10002
	turned.src, turned.dst = v.dst, v.src
	var ps []packet.Packet
	for _, v := range []voice{v, other, turned} {
		ps = append(ps, v.packets(r)...)
	}
	h, _ := judge(Config{}, account(ps, 1))
	if len(h.ended) != 3 {
		t.Fatal(h.log)
	}
	for _, s := range h.ended {
		if s.Packets != 499 || s.Lost != 0 || s.Restarts != 0 || s.Duplicates != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestTags(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 6))
	for _, c := range []struct {
		name string
		pt   byte
		step uint32
		size int
		want bool
	}{
		{"G.711", 8, 160, 172, false},
		{"G.711, a tag of ten bytes", 8, 160, 182, true},
		{"G.711 of 30 ms with a tag", 0, 240, 262, true},
		{"G.711 with an extension of two words", 0, 160, 184, false},
		{"G.711 with a contributor", 0, 160, 176, false},
		{"G.729 with a tag", 18, 160, 42, true},
		{"G.729", 18, 160, 32, false},
		{"GSM with a tag", 3, 160, 55, true},
		{"a dynamic type", 96, 160, 182, false},
	} {
		v := voice{src: 10000, dst: 20000, pt: c.pt, ssrc: 5, step: c.step, ptime: int64(c.step) * 125e3, n: 500, size: func(int) int { return c.size }}
		h, _ := judge(Config{}, account(v.packets(r), 1))
		if len(h.ended) != 1 || h.ended[0].Secure != c.want {
			t.Errorf("%s: %+v", c.name, h.ended)
		}
	}
}

// TestMOS: what a stream's codec, losses and runs come to.
func TestMOS(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	for _, c := range []struct {
		name string
		v    voice
		drop func(i int) bool
		want float64
	}{
		{"G.711", voice{pt: 8, step: 160, ptime: 20e6}, nil, 4.41},
		{"G.729", voice{pt: 18, step: 160, ptime: 20e6, size: func(int) int { return 32 }}, nil, 4.10},
		{"G.723.1", voice{pt: 4, step: 240, ptime: 30e6, size: func(int) int { return 36 }}, nil, 3.95},
		{"G.711, one in fifty lost", voice{pt: 8, step: 160, ptime: 20e6}, func(i int) bool { return i%50 == 25 }, 4.235},
		{"G.711, four in two hundred lost together", voice{pt: 8, step: 160, ptime: 20e6}, func(i int) bool { return i%200 >= 100 && i%200 < 104 }, 4.222},
		{"G.722 has another scale", voice{pt: 9, step: 160, ptime: 20e6}, nil, 0},
		{"a codec that nobody told", voice{pt: 96, step: 160, ptime: 20e6}, nil, 0},
	} {
		c.v.src, c.v.dst, c.v.ssrc, c.v.n = 10000, 20000, 5, 2000
		var ps []packet.Packet
		for i, p := range c.v.packets(r) {
			if c.drop == nil || !c.drop(i) {
				ps = append(ps, p)
			}
		}
		h, _ := judge(Config{}, account(ps, 1))
		if len(h.ended) != 1 || math.Abs(h.ended[0].MOS-c.want) > 0.006 {
			t.Errorf("%s: %+v", c.name, h.ended)
		}
	}
}

func TestFax(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	// UDPTL: a sequence number from 0, no RTP; pages in one direction only.
	v := voice{src: 10000, dst: 20000, pt: 0, ssrc: 5, step: 160, ptime: 30e6, n: 600, size: func(int) int { return 50 }}
	ps := v.packets(r)
	for i := range ps {
		clear(ps[i].Payload)
		ps[i].Payload[1] = byte(i)
	}
	ivs := account(ps, 1)
	for _, told := range []bool{true, false} {
		h := &teller{}
		ss := NewStreams(Config{}, h)
		if told {
			ss.Fax = func(iv *Interval) bool { return iv.Flow.DstPort == 20000 }
		}
		for i := range ivs {
			ss.Interval(&ivs[i])
		}
		ss.Flush()
		if told && (len(h.ended) != 1 || !h.ended[0].Fax || h.ended[0].Readable || h.ended[0].MOS != 0 || h.ended[0].Packets != 599) {
			t.Errorf("fax that signalling told: %+v", h.ended)
		}
		if !told && len(h.ended) != 0 {
			t.Errorf("nobody said it was fax: %+v", h.ended)
		}
	}
	// RTP where fax was told is RTP still.
	rtp := v
	rtp.ptime, rtp.size = 20e6, nil
	h := &teller{}
	ss := NewStreams(Config{}, h)
	ss.Fax = func(*Interval) bool { return true }
	for _, iv := range account(rtp.packets(r), 1) {
		ss.Interval(&iv)
	}
	ss.Flush()
	if len(h.ended) != 1 || h.ended[0].Fax || !h.ended[0].Readable {
		t.Errorf("RTP: %+v", h.ended)
	}
}

// FuzzStreams drives Streams with intervals and RTCP out of a stranger's bytes:
// whatever comes, what is told is told once, and the tables keep their bounds.
func FuzzStreams(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 100, 101, 102, 103})
	f.Add([]byte{10, 10, 10, 10, 50, 10, 10, 90, 130, 10, 170, 10, 210, 250})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		const limit = 8
		h := &counted{t: t, live: map[uint64]bool{}}
		ss := NewStreams(Config{Streams: limit}, h)
		h.ss = ss
		ss.Fax = func(iv *Interval) bool { return iv.Flow.DstPort%8 == 7 }
		now := 0
		for i := 0; i+2 < len(b); i += 3 {
			op, x, y := b[i], b[i+1], b[i+2]
			now += int(op >> 6)
			ivs := callOf(now, now+1)
			iv := ivs[x&1]
			iv.Flow.SrcPort += uint16(x >> 4)
			iv.Flow.DstPort += uint16(x >> 4)
			iv.SSRC += uint32(y & 3)
			switch op % 6 {
			case 0:
				iv.PT = y & 127
				ss.Interval(&iv)
			case 1:
				iv.InStep, iv.Lost, iv.Jumps, iv.Late, iv.Skips = uint16(y), uint32(x)*3000, uint16(x), uint16(y), uint16(x)
				ss.Interval(&iv)
			case 2:
				iv.InStep, iv.Source, iv.PT = 0, 0, NoPT
				ss.Interval(&iv)
			case 3:
				iv.Source, iv.Events, iv.Sides, iv.Keys, iv.SidePT = uint16(y), uint16(y)/2, uint16(y)/2, 1, y&127
				ss.Interval(&iv)
			case 4:
				ss.RTCP(&RTCP{Time: iv.First, Flow: iv.Flow, SSRC: iv.SSRC, Sent: true, NTP: uint32(y), N: 1,
					Blocks: [4]ReportBlock{{SSRC: iv.SSRC ^ 2, Lost: int32(x)<<15 - 1<<23, Jitter: 1<<32 - 1, LSR: uint32(y), DLSR: uint32(x) << 24}},
					Voice:  VoiceMetrics{SSRC: iv.SSRC, R: y, MOS: x}})
			case 5:
				ss.RTCP(&RTCP{Time: iv.Last, Flow: iv.Flow, SSRC: iv.SSRC, NByes: 1, Byes: [4]uint32{iv.SSRC}})
			}
			if len(ss.streams) > limit || ss.facts.n > limit || len(ss.byFlow) > limit || len(ss.byID) > limit {
				t.Fatalf("%d streams, %d facts, %d flows, %d confirmed", len(ss.streams), ss.facts.n, len(ss.byFlow), len(ss.byID))
			}
		}
		ss.Flush()
		if len(h.live) != 0 || len(ss.streams) != 0 || len(ss.byFlow) != 0 || len(ss.byID) != 0 {
			t.Fatal("something is left at the end")
		}
	})
}

// counted holds that each stream is confirmed once and ended once.
type counted struct {
	t    *testing.T
	ss   *Streams
	live map[uint64]bool
}

func (h *counted) StreamConfirmed(s *Stream) {
	if h.live[s.ID] {
		h.t.Fatal("confirmed twice")
	}
	h.live[s.ID] = true
	if s.ID%2 == 0 {
		h.ss.Describe(s.ID, &Description{N: 2, Formats: [12]Format{{PT: 8, Rate: 8000, Codec: CodecPCMA}, {PT: 96, Rate: 1, Codec: CodecEvent}}})
	}
}

func (h *counted) StreamEnded(s *Stream) {
	if !h.live[s.ID] {
		h.t.Fatal("ended without being confirmed")
	}
	delete(h.live, s.ID)
	if !(s.MOS == 0 || s.MOS >= 1 && s.MOS <= 4.5) || s.Far.Jitter < 0 || s.Far.Trip < 0 {
		h.t.Fatalf("%+v", s)
	}
}
