package lab

import (
	"math"
	"math/rand/v2"
	"time"
)

// sending is how a stream of a drawn scenario leaves its sender and gets to the
// tap. Its clock moves slowly, so its times are laid out a stretch of packets
// at a time, evenly.
type sending struct {
	clk    *clock
	ppm    float64
	first  int64  // what the clock shows when packet 0 leaves
	frame  int64  // ns a packet, by the clock
	ms     int    // the same as the description has it
	unit   uint32 // what the timestamp gains in it
	bytes  int
	from   int64 // packet at which the present stretch began
	until  int64 // and the next begins
	tick   int64 // as in clock
	woken  int64
	slack  float64
	before float64 // ns, mean jitter of the way to the relay
	spurt  float64 // packets of speech between two silences
	up     *uplink // of the line that sends it
	path   *path   // or the way from beyond the tap, whose length changes
	wifi   float64
	late   float64
	twice  float64
}

// stretch is some five seconds at 20 ms.
const stretch = 256

// scales says whether a codec is one of those of 20 ms that can come in packets
// of any multiple of 10 ms.
func (c *codec) scales() bool { return c == pcma || c == pcmu || c == g729 }

// sized is how many bytes a packet of the codec holds in this stream.
func (st *stream) sized(c *codec) int {
	if st.how == nil {
		return c.size
	}
	return c.size * st.how.ms / 20
}

// embody gives the stream a body: a clock, a packet length, a way to the tap.
// It sets the base in place of the one that play gives to others.
func (st *stream) embody(s *sim, p *streamPlan, r *rand.Rand) {
	src := p.from.node
	h := &sending{ppm: p.ppm, clk: src.clk, ms: 20}
	h.frame = int64(math.Round(st.period * (1 + p.ppm*1e-6)))
	st.how = h
	if p.ptime > 0 && p.codec.scales() {
		h.ms = p.ptime
		st.size, st.step1, h.frame = st.sized(p.codec), uint32(8*h.ms), int64(h.ms)*int64(time.Millisecond)
	}
	if p.own {
		src.clk.steady(p.ppm)
		h.tick, h.woken, h.slack = src.clk.tick, src.clk.woken, src.clk.slack
		if st.silence == 0 && src.dtx > 0 {
			st.silence = src.dtx
		}
	} else {
		// Whoever made the stream has a clock without a name here. The relay
		// passes it on as it comes or, with a buffer, evenly.
		h.clk, h.ppm = &clock{}, s.stranger(p.ppm)
		if !src.smooth {
			h.before = math.Exp(share(r, math.Log(20e3), math.Log(3e6)))
		}
		if st.silence == 0 && r.IntN(12) == 0 {
			st.silence = share(r, 0.25, 0.6)
		}
		if r.IntN(6) == 0 { // software made it
			h.tick, h.slack = int64(pick(r, 1, 4, 10, 20, 40))*int64(time.Millisecond), 50e3
			h.woken = r.Int64N(h.tick)
		}
	}
	h.first = h.clk.reads(h.ppm, p.start-s.start)
	if p.own && h.clk.grid > 0 && p.from.phase >= 0 {
		h.first = h.clk.align(h.first, r)
	} else {
		h.first += r.Int64N(h.frame)
	}
	h.spurt = share(r, 0.7, 2.6) * 1e9 / float64(h.frame)
	if l := src.line; l != nil {
		h.up, h.wifi, h.late, h.twice = l.up, src.wifi, l.late, l.twice
	} else {
		h.path, h.late, h.twice = src.path, src.path.late, src.path.twice
	}
	h.unit = st.step1
	st.lay(s)
}

// follow takes up what the variety of the call has made of the packets.
func (st *stream) follow(s *sim) {
	h := st.how
	if st.step1 != h.unit {
		h.frame, h.unit = h.frame*int64(st.step1)/int64(h.unit), st.step1
		st.lay(s)
	}
	h.bytes = 12 + st.size
	if st.odd != nil && len(st.buf) < 12+480+tagSize { // it may turn to 60 ms of G.711
		st.buf = make([]byte, 12+480+tagSize)
	}
}

// lay lays out the stretch that begins with the present packet.
func (st *stream) lay(s *sim) {
	h := st.how
	h.from, h.until = st.n, st.n+stretch
	a := h.clk.when(h.ppm, h.first+st.n*h.frame)
	b := h.clk.when(h.ppm, h.first+h.until*h.frame)
	st.base, st.period = s.start+int64(a), (b-a)/stretch
	if h.path != nil {
		st.owd = st.flow.src.owd + h.path.shift(st.base)
	}
}

// leaves gives the time at which the present packet leaves its sender.
func (st *stream) leaves(s *sim) int64 {
	h := st.how
	if st.n >= h.until {
		st.lay(s)
	}
	return st.base + int64(float64(st.n-h.from)*st.period)
}

// travels gives the time at which a packet that was due at t passes the tap,
// and whether it does.
func (st *stream) travels(s *sim, t int64) (int64, bool) {
	h := st.how
	if h.tick > 0 {
		t = ceilTo(t, h.woken, h.tick) + int64(h.slack*s.noise.ExpFloat64())
	}
	if h.before > 0 {
		t += int64(h.before * s.noise.ExpFloat64())
	}
	if h.path != nil {
		return t + st.owd + int64(st.jit*s.noise.ExpFloat64()), !h.path.drops.takes(t)
	}
	if h.wifi > 0 {
		t += st.flow.src.air(s)
	}
	t, ok := h.up.pass(s, t, h.bytes)
	if h.up.drops.takes(t) {
		ok = false
	}
	return t + st.owd + int64(st.jit*s.noise.ExpFloat64()), ok
}

// astray writes the packet late, after some that were sent after it, or again,
// and says whether that was instead of writing it now.
func (st *stream) astray(s *sim, b []byte) bool {
	h := st.how
	if h.late == 0 && h.twice == 0 {
		return false
	}
	late := s.noise.Float64() < h.late
	if late || s.noise.Float64() < h.twice {
		b = append([]byte(nil), b...)
		s.after(time.Duration(float64(h.frame)*share(s.noise, 0.05, 2.2)), func() { s.udp(st.flow, kindMedia, b) })
	}
	return late
}

// packetise draws how much voice a packet of each side holds: what its host
// likes, though a callee mostly does as the caller offers. Calls with a variety
// see to it themselves, and so do scenarios that set it.
func (c *call) packetise(r *rand.Rand) {
	if c.ptime[0] != 0 || c.variety != nil || c.from.h323 != nil || !c.codec.scales() {
		return
	}
	for side, m := range c.media {
		c.ptime[side] = m.node.ptime
		// Long packets save headers, of which G.711 hardly takes notice.
		if c.ptime[side] > 40 && c.codec != g729 && r.IntN(4) > 0 {
			c.ptime[side] = 20
		}
	}
	if r.IntN(3) > 0 {
		c.ptime[1] = c.ptime[0]
	}
}
