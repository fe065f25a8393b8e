package lab

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

const protoGRE = 47

// headPPTP is the enhanced GRE of RFC 2637 section 4.1, with a key and a
// sequence number and, where the other side has sent since, what was received;
// PPP's protocol in one byte; and the count of MPPE (RFC 3078 section 3) with the
// bit that says that what follows is enciphered.
func headPPTP(t *vpn, dir int) []byte {
	b := []byte{0x30, 1, 0x88, 0x0b, 0, 0, byte(t.ids[dir] >> 8), byte(t.ids[dir])}
	b = binary.BigEndian.AppendUint32(b, t.seq[dir])
	if t.acked[dir] != t.seq[1-dir] {
		b[1] |= 0x80
		t.acked[dir] = t.seq[1-dir]
		b = binary.BigEndian.AppendUint32(b, t.acked[dir])
	}
	return append(b, pppMPPE, 0x90|byte(t.seq[dir]>>8)&15, byte(t.seq[dir]))
}

// pppMPPE is the protocol of compressed datagrams, its first byte left out.
const pppMPPE = 0xfd

// pptpLife is the control connection: an echo a minute (RFC 2637 section 2.5).
func (s *sim) pptpLife(t *vpn) {
	c := s.dial(t.dev, uint16(32768+t.r.IntN(28000)), t.far, 1723, kindOther)
	number := t.r.Uint32()
	echo := func(kind byte, n int) []byte {
		b := []byte{0, byte(n), 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, kind, 0, 0}
		b = binary.BigEndian.AppendUint32(b, number)
		return append(b, 1, 0, 0, 0)[:n]
	}
	s.every(s.start+t.r.Int64N(int64(time.Minute)), func() time.Duration { return time.Minute }, func() bool {
		number++
		c.send(c.send(s.now, 0, echo(5, 16)), 1, echo(6, 20))
		return true
	})
}

// relay gives the tunnel the form of a gateway maker's own relay: the payload of
// each datagram, enciphered, behind a few bytes that say whose it is. Makers'
// manuals tell that there is one port for all, or TCP in its place; how many
// bytes stand in front is not published, so it is drawn.
func (t *vpn) relay() {
	lead := noiseBytes(t.r, 2+t.r.IntN(11))
	t.extra = -28 // it carries payloads, not packets
	t.head = func(*vpn, int) []byte { return append([]byte(nil), lead...) }
}

// hideaway is a tunnel that hosts can be behind: what passes between a host on
// the line and one whose tunnel this is shows as the tunnel's packets alone.
func (s *sim) hideaway(l *line, dev, far *node, kind string) (*tunnel, *vpn) {
	t := s.newVPN(l, dev, far, kind)
	r := s.rng("hideaway")
	switch kind {
	case vpnOpenVPN, vpnOverTCP:
		if chance(r, 0.25) { // P_DATA_V2 with AES-CBC and HMAC-SHA1, as older set-ups have it
			t.iv, t.block, t.tag, t.extra = 16, 16, 20, 5
		}
	}
	w := &tunnel{s: s}
	if t.c == nil {
		w.over = func(up bool, n int) {
			dir := 1
			if up {
				dir = 0
			}
			t.put(t.way[dir], t.seal(dir, n))
		}
		return w, t
	}
	pipe := newPipe(t, r)
	w.over = func(up bool, n int) {
		if up {
			pipe.write(0, n)
		} else {
			pipe.write(1, n)
		}
	}
	return w, t
}

// pipe is a TCP connection that packets are sent through, each behind its length
// of two bytes. A sender may hold small segments back while others are on their
// way (RFC 896); after a loss nothing gets through for a round trip or more, and
// what has waited comes as whole segments.
type pipe struct {
	t     *vpn
	r     *rand.Rand
	nagle bool
	trip  int64
	lossy float64 // chance that a segment is lost
	way   [2]struct {
		held  []byte
		free  int64 // when it may send again
		armed bool
	}
}

func newPipe(t *vpn, r *rand.Rand) *pipe {
	return &pipe{
		t: t, r: r, nagle: chance(r, 0.35), trip: 2 * (t.dev.owd + t.far.owd),
		lossy: pick(r, 0, 1e-4, 1e-3, spread(r, 1e-4, 1e-2)),
	}
}

func (p *pipe) write(dir, n int) {
	w, s := &p.way[dir], p.t.s
	b := p.t.seal(dir, n)
	w.held = append(append(w.held, byte(len(b)>>8), byte(len(b))), b...)
	switch {
	case s.now >= w.free, p.nagle && len(w.held) >= mss:
		p.flush(dir)
	case !w.armed:
		w.armed = true
		s.at(w.free, func() {
			w.armed = false
			if len(w.held) > 0 {
				p.flush(dir)
			}
		})
	}
}

func (p *pipe) flush(dir int) {
	w, s := &p.way[dir], p.t.s
	p.t.c.send(s.now, dir, w.held)
	w.held = nil
	if p.nagle {
		w.free = s.now + p.trip
	}
	if chance(p.r, p.lossy) {
		w.free = s.now + p.trip + int64(between(p.r, 0, 200*time.Millisecond))
	}
}
