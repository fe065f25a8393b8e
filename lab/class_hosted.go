package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// hostedScenarios are offices whose exchange is in a cloud. Most of them have
// desk telephones; a third talks over programs or web pages. An exchange abroad
// is rarer, and the worst of all is one that a depot or a sales team uses.
func hostedScenarios() []Scenario {
	const m, h = time.Minute, time.Hour
	list := []Scenario{
		{Name: "hosted-cloud", Share: .32, Heavy: true, duration: 40 * m, Text: "telephones at an exchange in a cloud, media elsewhere", build: func(s *sim) { hosted(s, hosting{}) }},
		{Name: "hosted-tls", Share: .2, Heavy: true, duration: 40 * m, Text: "the same, some or all over TLS with SRTP", build: func(s *sim) { hosted(s, hosting{sealed: true}) }},
		{Name: "hosted-softphones", Share: .15, Heavy: true, duration: 45 * m, Text: "office that telephones with programs only", build: func(s *sim) { hosted(s, hosting{soft: 1, sealed: chance(s.rng("sealed"), 0.5)}) }},
		{Name: "hosted-browsers", Share: .1, Heavy: true, duration: 40 * m, Text: "office that telephones in web pages (WebRTC)", build: browsers},
		{Name: "hosted-abroad", Share: .09, Heavy: true, duration: 45 * m, Text: "branch of a company whose exchange is abroad", build: func(s *sim) { hosted(s, hosting{abroad: true}) }},
		{Name: "hosted-sales", Share: .05, Heavy: true, duration: 45 * m, Text: "depot or sales team with an exchange abroad: ever-new mobiles", build: func(s *sim) { hosted(s, hosting{abroad: true, trade: pick(s.rng("trade"), "depot", "agents")}) }},
		{Name: "hosted-small", Share: .09, duration: 3 * h, Text: "one to three telephones at an exchange in a cloud", build: func(s *sim) { hosted(s, hosting{small: true}) }},
	}
	return ofClass(ClassHostedPBX, list)
}

// hosting is what is special about an office at a hosted exchange.
type hosting struct {
	trade  string  // drawn when empty
	soft   float64 // share of programs among the telephones
	sealed bool    // TLS and SRTP on some telephones
	abroad bool
	small  bool
}

func hosted(s *sim, k hosting) {
	if k.trade == "" {
		k.trade = trade(s.rng("trade"))
	}
	h := trades[k.trade]
	s.open(h)
	l := s.newLine(ClassHostedPBX, k.trade+" at a hosted exchange", VerdictNone, VerdictReview)
	r := l.rng
	abroad := k.abroad || chance(r, 0.12)
	x := newSite(l, h, drawServer(r), abroad)
	x.domain = fmt.Sprintf("%s%d.%s", pick(r, "t", "c", "pbx", ""), 100+r.IntN(9000), pick(r, "cloudpbx.example", "voice.example.net", "uc.example.org", "sip.example.com"))
	for _, a := range x.home {
		a.domain = x.domain
	}
	x.elsewhere(abroad)
	n, most := sizes(r, 2, 50), 8.0
	if k.small {
		n, most = sizes(r, 1, 3), 1
	}
	if k.soft == 0 {
		k.soft = pick(r, 0, 0, 0.1, 0.3)
	}
	if k.sealed {
		x.seal(n, k.soft, pick(r, 1, 1, 0.7, 0.3))
	} else {
		x.furnish(n, k.soft)
	}
	x.probes(chance(r, 0.3))
	x.absences(k.soft >= 0.3)
	s.company(l, min(8, n+2))
	x.load(spread(r, most/4, most))
	x.work()
	if abroad {
		l.truth.Note += ", exchange abroad"
	}
}

// elsewhere gives most clouds media servers of their own.
func (x *site) elsewhere(abroad bool) {
	if len(x.relays) > 0 || chance(x.r, 0.25) {
		return
	}
	for i := range sizes(x.r, 1, 12) {
		n := x.s.host(fmt.Sprintf("cloud media %d", i), abroad != chance(x.r, 0.2))
		m := newMediaHost(n, x.s.rng("cloud media"))
		m.random = chance(x.r, 0.8)
		x.relays = append(x.relays, m)
		x.l.controls(n, "media")
	}
}

// seal puts n telephones on the line of which a share speaks TLS and SRTP, and
// the rest plainly.
func (x *site) seal(n int, soft, share float64) {
	r, l := x.r, x.l
	u := drawUpkeep(r)
	first := drawPhone(r)
	for _, user := range x.accounts(n) {
		d, over := first, pick(r, linkUDP, linkUDP, linkTCP)
		if chance(r, soft) {
			d = drawSoftphone(r)
		}
		sealed := chance(r, share)
		if sealed {
			over = linkTLS
		}
		p := x.telephone(l.device("telephone"), d, over, user, &u)
		p.secure = sealed && chance(r, 0.85)
	}
	for _, p := range x.desks {
		x.live(p, x.s.start+int64(between(r, 0, min(u.period, 10*time.Minute))), &u)
	}
	l.truth.Channels = n
	l.truth.Note = fmt.Sprintf("%d telephones, TLS on %.0f %% of them", n, 100*share)
}

// probes lets some telephones ask a server for their address (STUN), now and
// then.
func (x *site) probes(often bool) {
	if chance(x.r, 0.5) {
		return
	}
	server := x.s.host("STUN server", chance(x.r, 0.4))
	mean := span(x.r, 5*time.Minute, 40*time.Minute)
	if often {
		mean = 30 * time.Second
	}
	x.s.arrivals(x.r, x.s.start, mean, func() {
		d := x.desks[x.r.IntN(len(x.desks))]
		x.s.stun(d.node, d.port, server, 3478, x.r)
	})
}

// browsers is an office whose telephones are web pages: SIP over WebSocket,
// mostly within TLS, and Opus or G.711 over SRTP after STUN and DTLS.
func browsers(s *sim) {
	name := trade(s.rng("trade"))
	h := trades[name]
	s.open(h)
	l := s.newLine(ClassHostedPBX, name+" that telephones in web pages", VerdictNone, VerdictReview)
	r := l.rng
	abroad := chance(r, 0.2)
	x := newSite(l, h, drawServer(r), abroad)
	x.elsewhere(abroad)
	x.sound.main = pick(r, opus, opus, opus, pcma)
	x.sound.other, x.sound.muxed, x.sound.page, x.sound.rtcp = pcma, true, true, 1
	x.hunt, x.direct = 1, chance(r, 0.2)
	over := pick(r, linkWSS, linkWSS, linkWSS, linkWS)
	u := drawUpkeep(r)
	u.expires, u.lamps = pick(r, 60, 120, 300, 600), 0
	u.period = time.Duration(u.expires) * time.Second * 9 / 10
	d := dialBrowser(pick(r, "", "JsSIP 3."+version(r, "%d.%d", 10, 9), "SIP.js/0."+version(r, "%d.%d", 21, 4), "Softphone 1."+version(r, "%d", 30)))
	if chance(r, 0.5) {
		d.expires = u.expires
	}
	n := sizes(r, 2, 40)
	for _, user := range x.accounts(n) {
		p := x.telephone(l.device("computer"), d, over, user, &u)
		p.secure, p.media.random = true, true
		p.media.lo, p.media.n = 49152, 8000
	}
	for _, p := range x.desks {
		x.live(p, s.start+int64(between(r, 0, 10*time.Minute)), &u)
	}
	x.sealed = func(c *call, near int) { s.bundle(c, near, r) }
	l.truth.Channels = n
	l.truth.Note = fmt.Sprintf("%d web pages over %s", n, over)
	s.company(l, 8)
	x.absences(true)
	x.load(spread(r, 1, 6))
	x.work()
}

// bundle sends what a browser sends on the ports of a call before its voice:
// checks of the path (STUN, RFC 8445) and a DTLS handshake.
func (s *sim) bundle(c *call, near int, r *rand.Rand) {
	me, you := c.media[near], c.media[1-near]
	sp, dp := me.node.port(c.ports[near], false), you.node.port(c.ports[1-near], false)
	up, down := s.flow(me.node, sp, you.node, dp, protoUDP), s.flow(you.node, dp, me.node, sp, protoUDP)
	check := func(t int64, f, back *flow) int64 {
		q := append([]byte{0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42}, noiseBytes(r, 12)...)
		a := append([]byte{1, 1, 0, 12}, q[4:]...)
		q = append(append(q, 0, 6, 0, 16), "aB3x:Zq81kLm02Pz"...)
		t = s.send(t, f, kindMedia, q)
		return s.send(t, back, kindMedia, append(a, 0, 0x20, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0))
	}
	t := check(s.now, up, down)
	check(t, down, up)
	flight := func(t int64, f *flow, seq uint64, size int) int64 {
		b := binary.BigEndian.AppendUint64([]byte{22, 0xfe, 0xfd}, seq)
		b = binary.BigEndian.AppendUint16(b, uint16(size))
		return s.send(t, f, kindMedia, append(b, s.stuff(r, size)...))
	}
	t = flight(t, up, 0, 150+r.IntN(60))
	t = flight(t, down, 0, 800+r.IntN(400))
	t = flight(t, up, 1, 700+r.IntN(300))
	flight(t, down, 1, 180+r.IntN(90))
	end := s.now + int64(c.talk)
	s.every(s.now+int64(2500*time.Millisecond), func() time.Duration { return between(r, 2*time.Second, 3*time.Second) }, func() bool {
		if s.now < end {
			check(s.now, up, down)
		}
		return s.now < end
	})
}
