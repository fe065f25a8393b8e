package lab

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"
)

// length is how long the scenario takes.
func (s *sim) length() time.Duration { return time.Duration(max(s.end-s.start, int64(time.Second))) }

// often gives the mean time between events of which n are to happen in all.
func (s *sim) often(n float64) time.Duration {
	return max(time.Duration(float64(s.length())/max(n, 0.01)), 100*time.Millisecond)
}

// tides calls fn at random moments, mean apart over all, but in good and bad
// times of some minutes, as people's days go.
func (s *sim) tides(r *rand.Rand, mean time.Duration, fn func()) {
	swing := r.Float64() * 1.2
	factor, until := 1.0, int64(0)
	next := func() time.Duration {
		if s.now >= until {
			until = s.now + int64(between(r, 2*time.Minute, 20*time.Minute))
			factor = math.Exp(swing*r.NormFloat64() + swing*swing/2)
		}
		return expo(r, time.Duration(float64(mean)*min(factor, 8)), 50*time.Millisecond, 20*mean)
	}
	s.every(s.start+int64(next()), next, func() bool {
		fn()
		return true
	})
}

// everyday is what else goes over a line where people live or work, from next to
// nothing to a great deal. It costs the same however long the scenario takes.
func (s *sim) everyday(l *line, people int) {
	r := s.rng("everyday")
	first := l.device("computer")
	s.chores(l, first)
	if chance(r, 0.08) { // nobody is there
		return
	}
	for i := range max(1, people) {
		n := first
		if i > 0 {
			n = l.device("phone")
		}
		pages := spread(r, 2, 60)
		if people > 0 {
			pages /= math.Sqrt(float64(people))
		}
		switch r.IntN(3) {
		case 0:
			s.web(l, n, s.often(pages), sizes(r, 8_000, 200_000))
		case 1:
			s.browse(l, n, s.often(pages), sizes(r, 8_000, 200_000))
		default:
			s.quic(l, n, s.often(pages/4), sizes(r, 30, 500))
		}
	}
	if chance(r, 0.3) {
		s.things(l, r, 1+r.IntN(4))
	}
	if chance(r, 0.1) {
		s.game(l, l.device("console"))
	}
}

// things are devices that keep a connection to a cloud and say little: sensors,
// lamps, meters.
func (s *sim) things(l *line, r *rand.Rand, n int) {
	for range n {
		s.keepInTouch(l, r, s.host("cloud", chance(r, 0.3)), pick(r, uint16(8883), 1883, 443, 5223), span(r, 20*time.Second, 10*time.Minute))
	}
}

// keepInTouch holds a TCP connection open: a ping and its answer each period, and
// a report now and then.
func (s *sim) keepInTouch(l *line, r *rand.Rand, cloud *node, port uint16, period time.Duration) {
	dev := l.device("thing")
	c := s.dial(dev, uint16(32768+r.IntN(28000)), cloud, port, kindOther)
	secure := port != 1883
	ping, pong, report := []byte{0xc0, 0}, []byte{0xd0, 0}, sizes(r, 30, 900)
	if secure {
		ping, pong = tlsRecord(23, s.stuff(r, 26)), tlsRecord(23, s.stuff(r, 26))
	}
	t := s.start + r.Int64N(int64(period))
	s.at(t, func() {
		if secure {
			t := c.send(s.now, 0, clientHello(r, "mqtt.example.com"))
			t = c.send(t, 1, tlsRecord(22, s.stuff(r, 2200)))
			c.send(t, 0, tlsRecord(20, s.stuff(r, 64)))
			return
		}
		t := c.send(s.now, 0, append([]byte{0x10, 26, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, byte(min(period/time.Second, 255)), 0, 14}, "device-"+hex8(r)[:7]...))
		c.send(t, 1, []byte{0x20, 2, 0, 0})
	})
	talkative := chance(r, 0.5)
	s.every(t+int64(2*time.Second), func() time.Duration { return period }, func() bool {
		if talkative && chance(r, 0.3) {
			body := s.stuff(r, report)
			if secure {
				c.send(s.now, 0, tlsRecord(23, body))
			} else {
				head := []byte{0x30, byte(report+9)&0x7f | 0x80, byte((report + 9) >> 7), 0, 7}
				c.send(s.now, 0, append(append(head, "sensors"...), body...))
			}
		}
		c.send(c.send(s.now, 0, ping), 1, pong)
		return true
	})
}

// hosts adds n hosts beyond the tap, abroad with the given share.
func (s *sim) hosts(name string, n int, abroad float64) []*node {
	r := s.rng(name + "s")
	list := make([]*node, n)
	for i := range list {
		list[i] = s.host(name, chance(r, abroad))
	}
	return list
}

// noteCall counts a call whose course nobody but its line can read, from its
// beginning; the talk follows when it is answered.
func (l *line) noteCall(out bool, number string) {
	k := &l.truth.Calls
	if out {
		k.Outbound++
		return
	}
	k.Inbound++
	l.called[number] = true
}

// noteTalk counts the answer of such a call now and its end later.
func (l *line) noteTalk(out bool, talk time.Duration) {
	s, k := l.s, &l.truth.Calls
	k.Answered++
	if !out {
		k.AnsweredIn++
	}
	k.TalkSeconds += int(min(talk, time.Duration(s.end-s.now)) / time.Second)
	l.active++
	k.PeakConcurrent = max(k.PeakConcurrent, l.active)
	s.after(talk, func() { l.active-- })
}

// timeOfDay asks a time server once.
func (s *sim) timeOfDay(n, server *node, r *rand.Rand) {
	q := make([]byte, 48)
	q[0] = pick(r, byte(0x23), 0x1b, 0xe3)
	binary.BigEndian.PutUint64(q[40:], r.Uint64())
	own := n.port(pick(r, uint16(123), uint16(40000+r.IntN(20000))), false)
	t := s.send(s.now, s.flow(n, own, server, 123, protoUDP), kindOther, q)
	a := append([]byte(nil), q...)
	a[0], a[1] = 0x24, 2
	s.send(t, s.flow(server, 123, n, own, protoUDP), kindOther, a)
}

// smallPage is a short connection over TLS.
func (s *sim) smallPage(n, site *node, r *rand.Rand) {
	c := s.dial(n, uint16(32768+r.IntN(28000)), site, 443, kindOther)
	t := c.send(s.now, 0, clientHello(r, webNames[r.IntN(len(webNames))]))
	t = c.send(t, 1, tlsRecord(22, s.stuff(r, 1200)))
	t = c.send(t, 0, tlsRecord(23, s.stuff(r, 150+r.IntN(500))))
	t = c.send(t, 1, tlsRecord(23, s.stuff(r, 100+r.IntN(2500))))
	c.close(t + int64(between(r, 10*time.Millisecond, 5*time.Second)))
}

// smallQUIC is the same over QUIC.
func (s *sim) smallQUIC(n, site *node, r *rand.Rand) {
	own := n.port(uint16(32768+r.IntN(28000)), false)
	ways := [2]*flow{s.flow(n, own, site, 443, protoUDP), s.flow(site, 443, n, own, protoUDP)}
	t := s.now
	for i, size := range [...]int{1194, 1194, 80, 300 + r.IntN(500), 40, 1200, 36} {
		head := []byte{0x45}
		if i < 2 {
			head = []byte{0xc3, 0, 0, 0, 1, 8}
		}
		t = s.send(t, ways[i%2], kindOther, append(head, s.stuff(r, size)...))
	}
}
