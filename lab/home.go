package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

var webNames = [...]string{"www.example.com", "cdn.example.net", "api.example.org", "img.example.com", "play.example.net"}

// chores are name lookups and the time of day, which every line has.
func (s *sim) chores(l *line, n *node) {
	r := s.rng("chores")
	dns := s.host("resolver", false)
	s.arrivals(r, s.start, 90*time.Second, func() { s.lookup(n, dns, webNames[r.IntN(len(webNames))], r) })
	ntp := s.host("time server", false)
	s.every(s.start+r.Int64N(int64(time.Minute)), func() time.Duration { return 17 * time.Minute }, func() bool {
		q := make([]byte, 48)
		q[0] = 0x23
		binary.BigEndian.PutUint64(q[40:], r.Uint64())
		own := n.port(uint16(40000+r.IntN(20000)), false)
		t := s.send(s.now, s.flow(n, own, ntp, 123, protoUDP), kindOther, q)
		a := append([]byte(nil), q...)
		a[0], a[1] = 0x24, 2
		s.send(t, s.flow(ntp, 123, n, own, protoUDP), kindOther, a)
		return true
	})
}

func (s *sim) lookup(n, dns *node, name string, r *rand.Rand) {
	q := []byte{byte(r.Uint32()), byte(r.Uint32()), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	label := 12
	q = append(q, 0)
	for i := range len(name) {
		if name[i] == '.' {
			q[label] = byte(len(q) - label - 1)
			label = len(q)
			q = append(q, 0)
			continue
		}
		q = append(q, name[i])
	}
	q[label] = byte(len(q) - label - 1)
	q = append(q, 0, 0, 1, 0, 1)
	own := n.port(uint16(20000+r.IntN(40000)), false)
	t := s.send(s.now, s.flow(n, own, dns, 53, protoUDP), kindOther, q)
	a := append([]byte(nil), q...)
	a[2], a[3], a[7] = 0x81, 0x80, 1
	a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, byte(r.Uint32()))
	s.send(t+int64(2*time.Millisecond), s.flow(dns, 53, n, own, protoUDP), kindOther, a)
}

// web opens pages over TLS now and then, each some kilobytes to a few hundred.
func (s *sim) web(l *line, n *node, mean time.Duration, largest int) {
	r := s.rng("web")
	sites := []*node{s.host("web", false), s.host("web", false), s.host("web", true)}
	s.arrivals(r, s.start, mean, func() {
		c := s.dial(n, uint16(32768+r.IntN(28000)), sites[r.IntN(len(sites))], 443, kindOther)
		t := c.send(s.now, 0, clientHello(r, webNames[r.IntN(len(webNames))]))
		t = c.send(t, 1, tlsRecord(22, s.stuff(r, 2800)))
		t = c.send(t, 0, tlsRecord(20, s.stuff(r, 64)))
		for range 1 + r.IntN(3) {
			t = c.send(t+int64(between(r, 0, 2*time.Second)), 0, tlsRecord(23, s.stuff(r, 200+r.IntN(600))))
			for size := int(expo(r, time.Duration(largest/4), 500, time.Duration(largest))); size > 0; size -= 16000 {
				t = c.send(t+int64(time.Millisecond), 1, tlsRecord(23, s.stuff(r, min(size, 16000))))
			}
		}
		if s.wide && r.IntN(12) == 0 {
			t = s.upload(c, t, l, r)
		}
		c.close(t + int64(3*time.Second))
	})
}

// stuff gives n bytes that look encrypted; they must not be changed.
func (s *sim) stuff(r *rand.Rand, n int) []byte {
	at := r.IntN(len(s.pool) - n)
	return s.pool[at : at+n]
}

func tlsRecord(kind byte, body []byte) []byte {
	b := []byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}
	return append(b, body...)
}

// clientHello is a TLS 1.2 hello with a server name and nothing else of note.
func clientHello(r *rand.Rand, name string) []byte {
	ext := []byte{0, 0, 0, byte(len(name) + 5), 0, byte(len(name) + 3), 0, 0, byte(len(name))}
	ext = append(ext, name...)
	ext = append(ext, 0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3)
	h := []byte{3, 3}
	h = append(h, noiseBytes(r, 32)...)
	h = append(h, 0, 0, 6, 0x13, 0x01, 0xc0, 0x2f, 0xc0, 0x30, 1, 0, byte(len(ext)>>8), byte(len(ext)))
	h = append(h, ext...)
	return tlsRecord(22, append([]byte{1, 0, byte(len(h) >> 8), byte(len(h))}, h...))
}

// quic fetches things over UDP 443 in bursts, as video does.
func (s *sim) quic(l *line, n *node, mean time.Duration, packets int) {
	r := s.rng("quic")
	site := s.host("video", false)
	s.arrivals(r, s.start, mean, func() {
		own := n.port(uint16(40000+r.IntN(20000)), false)
		up := s.flow(n, own, site, 443, protoUDP)
		down := s.flow(site, 443, n, own, protoUDP)
		first := append([]byte{0xc3, 0, 0, 0, 1, 8}, s.stuff(r, 1194)...)
		t := s.send(s.now, up, kindOther, first)
		t = s.send(t, down, kindOther, append([]byte{0xc1, 0, 0, 0, 1, 8}, s.stuff(r, 1194)...))
		for i := range packets/2 + r.IntN(packets) {
			t += int64(expo(r, 700*time.Microsecond, 20*time.Microsecond, 50*time.Millisecond))
			s.send(t, down, kindOther, append([]byte{0x45}, s.stuff(r, 1230)...))
			if i%8 == 0 {
				s.send(t, up, kindOther, append([]byte{0x46}, s.stuff(r, 30+r.IntN(20))...))
			}
		}
	})
}

// chatter is a UDP conversation of packets of changing size: a game, or the
// voice of an app.
type chatter struct {
	near, far    *node
	nport, fport uint16
	period       time.Duration
	lo, hi       int
	head         func(n uint32) []byte
	until        int64
}

func (s *sim) chat(c chatter, r *rand.Rand) {
	np := c.near.port(c.nport, false)
	for _, f := range [2]*flow{s.flow(c.near, np, c.far, c.fport, protoUDP), s.flow(c.far, c.fport, c.near, np, protoUDP)} {
		n := r.Uint32()
		ssrc := r.Uint32()
		s.every(s.now+r.Int64N(int64(c.period)), func() time.Duration { return c.period }, func() bool {
			n++
			b := c.head(n)
			if len(b) >= 12 {
				binary.BigEndian.PutUint32(b[8:], ssrc)
			}
			s.send(s.now, f, kindOther, append(b, s.stuff(r, c.lo+r.IntN(c.hi-c.lo))...))
			return s.now < c.until
		})
	}
}

// game plays on a server somewhere for a while.
func (s *sim) game(l *line, n *node) {
	r := s.rng("game")
	server := s.host("game", r.IntN(2) == 0)
	s.at(s.start+r.Int64N(max(1, (s.end-s.start)/2)), func() {
		s.chat(chatter{
			near: n, far: server, nport: uint16(49000 + r.IntN(9000)), fport: 7777, period: pick(r, 33*time.Millisecond, 50*time.Millisecond, 16*time.Millisecond),
			lo: 24, hi: 180, until: s.now + int64(between(r, 2*time.Minute, 6*time.Minute)),
			head: func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) },
		}, r)
	})
}

// appCall is a call of a chat app: STUN, then SRTP-like Opus to a relay.
func (s *sim) appCall(l *line, n *node, talk time.Duration) {
	r := s.rng("app")
	relay := s.host("app relay", true)
	s.at(s.start+r.Int64N(max(1, (s.end-s.start)/2)), func() {
		port := uint16(50000 + r.IntN(9000))
		s.stun(n, port, relay, 3478, r)
		s.chat(chatter{
			near: n, far: relay, nport: port, fport: 3478, period: 20 * time.Millisecond, lo: 40, hi: 120, until: s.now + int64(talk),
			head: func(n uint32) []byte {
				b := []byte{0x80, 120, byte(n >> 8), byte(n)}
				b = binary.BigEndian.AppendUint32(b, n*960)
				return append(b, 0, 0, 0, 0)
			},
		}, r)
	})
}

func (s *sim) stun(n *node, port uint16, far *node, fport uint16, r *rand.Rand) {
	own := n.port(port, false)
	req := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}
	req = append(req, noiseBytes(r, 12)...)
	t := s.send(s.now, s.flow(n, own, far, fport, protoUDP), kindOther, req)
	ans := append([]byte{1, 1, 0, 12}, req[4:]...)
	ans = append(ans, 0, 0x20, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0)
	s.send(t, s.flow(far, fport, n, own, protoUDP), kindOther, ans)
}

// homePlain is a household without telephony.
func homePlain(s *sim) *line {
	l := s.newLine(ClassHome, "household: web, video, a game, a chat call", VerdictNone, VerdictNone)
	phone, pc := l.device("phone"), l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 25*time.Second, 120_000)
	s.web(l, phone, 40*time.Second, 60_000)
	s.quic(l, phone, 2*time.Minute, 400)
	s.game(l, pc)
	s.appCall(l, phone, between(l.rng, time.Minute, 4*time.Minute))
	return l
}

// homeVoIP is a household with one VoIP line of its provider.
func homeVoIP(s *sim) *line {
	r := s.rng("home voip")
	d := pick(r, dialFritz("7590 154.07.57"), dialGrandstream("HT801 1.0.29.8"))
	l := s.newLine(ClassHome, "household with one VoIP line ("+d.name+")", VerdictNone, VerdictNone)
	pc := l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 40*time.Second, 80_000)
	dev := l.device("adapter")
	provider := s.newAgent(s.host("provider", false), dialKamailio("provider"), 5060, "proxy", "")
	provider.domain = provider.host()
	l.controls(provider.node, "registrar")
	own := landline(l.rng, area(l.rng))
	a := s.newAgent(dev, d, 5060, own, provider.host())
	a.mapped = true
	s.register(s.start+int64(between(l.rng, time.Second, time.Minute)), a, provider, time.Duration(d.expires/2)*time.Second, true)
	who := newContacts(l.rng, 12, 0.5, 0.1)
	s.arrivals(l.rng, s.start, 7*time.Minute, func() { s.household(a, provider, own, who) })
	return l
}

// household is one call of a household, out or in.
func (s *sim) household(a, provider *agent, own string, who *contacts) {
	if a.node.line.active > 0 {
		return
	}
	r := who.r
	c := &call{
		delay: between(r, 800*time.Millisecond, 4*time.Second), ring: between(r, 3*time.Second, 20*time.Second), status: outcome(r, 0.7),
		talk: expo(r, 80*time.Second, 5*time.Second, 8*time.Minute), byCaller: r.IntN(2) == 0, codec: pcma, rtcp: r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		c.from, c.to, c.called, c.calling, c.challenge, c.toDomain, c.fromDomain = a, provider, who.next(), own, true, provider.host(), provider.host()
		c.early = true
		c.relayed[1], c.ppm[1] = true, drawPPM(r)
	} else {
		c.from, c.to, c.called, c.calling, c.toContact = provider, a, own, who.next(), true
		c.relayed[0], c.ppm[0] = true, drawPPM(r)
	}
	s.perform(c)
}

// conference is a line that hosts a voice chat: many small streams, no SIP.
func conference(s *sim) {
	l := s.newLine(ClassConference, "voice chat and game server at home", VerdictNone, VerdictNone)
	r := s.rng("conference")
	srv := l.public("server")
	s.chores(l, srv)
	for i := range 6 + r.IntN(8) {
		guest := s.host(fmt.Sprintf("guest %d", i), r.IntN(3) == 0)
		s.at(s.start+r.Int64N(max(1, (s.end-s.start)*2/3)), func() {
			s.chat(chatter{
				near: srv, far: guest, nport: 9987, fport: uint16(50000 + r.IntN(9000)), period: 20 * time.Millisecond, lo: 50, hi: 140,
				until: s.now + int64(between(r, 2*time.Minute, 8*time.Minute)),
				head: func(n uint32) []byte {
					return append([]byte("\x9f\x3c\x11\x20\x77\x51\xa0\x0e"), byte(n>>8), byte(n), 0, 4, 0)
				},
			}, r)
		})
	}
}
