package lab

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pion/rtp"
)

const frame20 = int64(20 * time.Millisecond)

// mediaHost hands out RTP ports of a device and knows its frame clock.
type mediaHost struct {
	node   *node
	lo, n  uint16 // ports lo, lo+step, ... n of them
	step   uint16
	cur    uint16
	random bool
	// phase is where in the 20 ms frame the device's voice processor sends;
	// negative for hosts whose calls have clocks of their own.
	phase int64
	cname string
	weak  bool // SSRC without its top bit, as rand() gives it
}

func newMediaHost(n *node, r *rand.Rand) *mediaHost {
	lo := [...]uint16{10000, 16384, 20000, 30000, 40000, 11780}
	return &mediaHost{
		node: n, lo: lo[r.IntN(len(lo))] + 2*uint16(r.IntN(200)), n: 2000, step: 2, cur: uint16(r.IntN(2000)),
		phase: r.Int64N(frame20), cname: fmt.Sprintf("%x@%s", r.Uint32(), n.lan), weak: r.IntN(2) == 0,
	}
}

func (m *mediaHost) port(r *rand.Rand) uint16 {
	if m.random {
		return m.lo + m.step*uint16(r.IntN(int(m.n)))
	}
	m.cur = (m.cur + 1) % m.n
	return m.lo + m.step*m.cur
}

// stream is one RTP source, and the event of its next packet.
type stream struct {
	flow, rtcp *flow
	how        *sending // in wide scenarios
	head       rtp.Header
	size       int
	spread     int    // packets are up to so many bytes shorter
	step1      uint32 // timestamp units a packet
	period     float64
	base       int64 // when packet 0 leaves
	n          int64
	end        int64 // nothing leaves later
	tap        int64 // when the pending packet passes the tap
	owd        int64
	jit        float64
	loss       float64
	offset     int
	silence    float64 // share of time without speech that is not sent
	spurt      int64   // packet number at which speech or silence ends
	silent     bool
	events     []int64 // packet numbers at which a key is pressed
	key        int     // packets of a key press still to be sent
	keyTime    uint32
	nextSR     int64
	sent       uint32
	cname      string
	buf        []byte
	event      uint8 // payload type of telephone events
	odd        *oddities
	bridge     *bridge
	side       int
}

// streamPlan is what one side of a call sends.
type streamPlan struct {
	from, to   *mediaHost
	fport      uint16
	tport      uint16
	codec      *codec
	start, end int64
	ppm        float64
	own        bool // the source's own voice processor, rather than a relayed stranger's
	ptime      int  // ms a packet in wide scenarios, 0 for 20
	silence    float64
	rtcp       bool
	keys       int
	d          *dialect
	variety    *variety
	peer       func() *stream // what the other side sends
	bridge     *bridge        // passes it on
	side       int            // 0 when the caller sends it
}

func (s *sim) play(p streamPlan, r *rand.Rand) *stream {
	if p.end <= p.start {
		return nil
	}
	src, dst := p.from.node, p.to.node
	sp, dp := src.port(p.fport, false), dst.port(p.tport, false)
	st := &stream{
		flow: s.flow(src, sp, dst, dp, protoUDP), size: p.codec.size, step1: 160,
		period: float64(frame20) / (1 + p.ppm*1e-6), end: p.end,
		owd: src.owd, jit: float64(src.jit), loss: src.loss, offset: r.IntN(1 << 16), silence: p.silence, cname: p.from.cname, event: 101,
	}
	if p.codec == g723 {
		st.step1, st.period = 240, st.period*1.5
	} else if ms := p.codec.frame(); ms != 20 || p.codec.hz != 0 {
		st.step1 = uint32(ms * cmp.Or(p.codec.hz, 8))
		st.period = float64(time.Duration(ms)*time.Millisecond) / (1 + p.ppm*1e-6)
	}
	st.spread = p.codec.vary
	st.head = rtp.Header{Version: 2, PayloadType: p.codec.pt, SequenceNumber: uint16(r.Uint32()), Timestamp: r.Uint32(), SSRC: r.Uint32()}
	if p.from.weak {
		st.head.SSRC &= 0x7fffffff
	}
	if p.d != nil && p.d.seq15 {
		st.head.SequenceNumber &= 0x7fff
	}
	if p.d != nil && p.d.tsFromFrame {
		st.head.Timestamp = 160
	}
	st.bridge, st.side = p.bridge, p.side
	st.head.Marker = r.IntN(4) > 0
	st.base = p.start
	if s.wide {
		st.embody(s, &p, r)
	} else if p.own {
		k := int64(float64(p.start-s.start-p.from.phase)/st.period) + 1
		st.base = s.start + p.from.phase + int64(float64(k)*st.period) + r.Int64N(300_000)
	}
	if p.rtcp {
		st.rtcp = s.flow(src, src.port(p.fport+1, false), dst, dst.port(p.tport+1, false), protoUDP)
		st.nextSR = st.base + int64(2*time.Second) + r.Int64N(int64(3*time.Second))
	}
	total := (p.end - st.base) / frame20
	if st.how != nil {
		total = (p.end - st.base) / st.how.frame
	}
	for range p.keys {
		if total > 120 {
			st.events = append(st.events, 50+r.Int64N(total-100))
		}
	}
	slices.Sort(st.events)
	st.buf = make([]byte, 12+max(st.size, 4))
	if p.variety != nil {
		st.vary(s, &p)
	}
	if st.how != nil {
		st.follow(s)
	}
	st.n = -1
	if !st.next(s) {
		return nil
	}
	s.queue.push(event{at: st.tap, stream: st})
	return st
}

// next finds the next packet that reaches the tap; false at the end.
func (st *stream) next(s *sim) bool {
	for {
		st.n++
		var send int64
		if st.how != nil {
			send = st.leaves(s)
		} else {
			send = st.base + int64(float64(st.n)*st.period)
		}
		if send >= st.end {
			return false
		}
		if st.n > 0 {
			st.head.Timestamp += st.step1
		}
		if st.silence > 0 && st.n >= st.spurt {
			st.turn(s)
		}
		if st.odd != nil {
			st.odd.noisy = false
		}
		if st.silent && !st.whispers() {
			continue
		}
		if st.n > 0 {
			st.head.SequenceNumber++
		}
		st.sent++
		if st.loss > 0 && s.noise.Float64() < st.loss {
			st.head.Marker = false
			continue
		}
		if st.how == nil {
			send += st.owd + int64(st.jit*s.noise.ExpFloat64())
		} else if tap, ok := st.travels(s, send); ok {
			send = tap
		} else {
			st.head.Marker = false
			continue
		}
		// Packets of one stream stay in order.
		st.tap = max(send, st.flow.last+60_000)
		st.flow.last = st.tap
		return true
	}
}

// turn changes between speech and silence.
func (st *stream) turn(s *sim) {
	if st.n > 0 {
		st.silent = !st.silent
	}
	mean := 75.0 // frames of speech, 1.5 s
	if st.how != nil {
		mean = st.how.spurt
	}
	if st.silent {
		mean *= st.silence / (1 - st.silence)
	} else if st.n > 0 {
		st.head.Marker = true
	}
	st.spurt = st.n + 10 + int64(mean*s.noise.ExpFloat64())
}

// step writes the pending packet and prepares the next.
func (st *stream) step(s *sim) bool {
	if st.rtcp != nil && s.now >= st.nextSR {
		st.report(s)
		st.nextSR = s.now + int64(5*time.Second)
	}
	st.emit(s)
	st.head.Marker = false
	return st.next(s) || st.leave(s)
}

func (st *stream) emit(s *sim) {
	if len(st.events) > 0 && st.n >= st.events[0] {
		st.events = st.events[1:]
		st.key, st.keyTime = 8, st.head.Timestamp
		st.head.Marker = true
	}
	h, size := st.head, st.size
	if st.spread > 0 {
		size -= int(s.pool[st.offset]) % st.spread
	}
	if st.key > 0 {
		h.PayloadType, h.Timestamp, size = st.event, st.keyTime, 4
	}
	if st.odd != nil {
		size = st.odd.shape(st, &h, size)
	}
	n, err := h.MarshalTo(st.buf)
	if err != nil {
		panic("lab: rtp header: " + err.Error()) // own header, not input
	}
	if st.key > 0 {
		// A telephone-event (RFC 4733) stands in for speech while the key is
		// down; the last three packets say that it is up again.
		end := byte(10)
		if st.key <= 3 {
			end |= 0x80
		}
		st.buf[n], st.buf[n+1] = byte(st.keyTime%12), end
		unit := 160
		if st.how != nil {
			unit = int(st.step1)
		}
		binary.BigEndian.PutUint16(st.buf[n+2:], uint16(unit*min(9-st.key, 6)))
		st.key--
	} else {
		st.offset = (st.offset + size) & 0xffff
		copy(st.buf[n:], s.pool[st.offset:st.offset+size])
	}
	if st.odd != nil && st.odd.secure {
		n += copy(st.buf[n+size:], s.pool[st.offset:st.offset+cmp.Or(st.odd.tag, tagSize)])
	}
	if st.how != nil && st.astray(s, st.buf[:n+size]) {
		return
	}
	s.udp(st.flow, kindMedia, st.buf[:n+size])
	if st.bridge != nil {
		st.bridge.pass(s, st.side, kindMedia, st.buf[:n+size])
	}
}

// report sends an RTCP sender report with a CNAME (RFC 3550 section 6.4.1).
func (st *stream) report(s *sim) {
	if st.odd != nil {
		st.odd.report(s, st, false)
		return
	}
	b := make([]byte, 0, 80)
	b = append(b, 0x80, 200, 0, 6)
	b = binary.BigEndian.AppendUint32(b, st.head.SSRC)
	const from1900 = 2208988800
	b = binary.BigEndian.AppendUint32(b, uint32(s.now/1e9+from1900))
	b = binary.BigEndian.AppendUint32(b, uint32((s.now%1e9)<<32/1e9))
	b = binary.BigEndian.AppendUint32(b, st.head.Timestamp)
	b = binary.BigEndian.AppendUint32(b, st.sent)
	b = binary.BigEndian.AppendUint32(b, st.sent*uint32(st.size))
	sdes := append([]byte{1, byte(len(st.cname))}, st.cname...)
	sdes = append(sdes, 0)
	for len(sdes)%4 != 0 {
		sdes = append(sdes, 0)
	}
	b = append(b, 0x81, 202, 0, byte(1+len(sdes)/4))
	b = binary.BigEndian.AppendUint32(b, st.head.SSRC)
	b = append(b, sdes...)
	s.udp(st.rtcp, kindMedia, b)
}
