package lab

import (
	"fmt"
	"time"
)

// carrierSBC passes calls on: an inbound leg and, unless they leave elsewhere,
// an onward leg of every call on the same line.
func carrierSBC(s *sim, onward bool, gap, talk time.Duration, k *codec) *line {
	note, most := "session border controller, onward legs on the same line", VerdictNone
	if !onward {
		note, most = "session border controller, onward legs leave elsewhere", VerdictWatch
	}
	l := s.newLine(ClassCarrier, note, VerdictNone, most)
	r := l.rng
	l.truth.Channels = 120
	l.owd, l.jit, l.loss = int64(800*time.Microsecond), int64(40*time.Microsecond), 0
	dev := l.public("sbc")
	s.chores(l, dev)
	d := dialQuietSwitch()
	d.agent, d.server, d.tag = pick(r, "", "Sippy Softswitch v5.0", "Cataleya"), true, hex16
	sbc := s.newAgent(dev, d, 5060, "sbc", "")
	var up, down []*agent
	for i := range 2 + r.IntN(4) {
		a := s.newAgent(s.host(fmt.Sprintf("customer %d", i), i%2 == 0), pick(r, dialQuietSwitch(), dialVOS("V2.1.8.05"), dialKamailio("gw")), 5060, "gw", "")
		a.media.random = true
		l.controls(a.node, "trunk-peer")
		s.options(s.start+int64(i)*int64(3*time.Second), a, sbc, time.Minute)
		up = append(up, a)
	}
	for i := range 2 {
		a := s.newAgent(s.host(fmt.Sprintf("carrier %d", i), false), dialQuietSwitch(), 5060, "gw", "")
		a.media.random = true
		l.controls(a.node, "trunk-peer")
		down = append(down, a)
	}
	s.arrivals(r, s.start, gap, func() {
		called := mobile(r)
		switch r.IntN(10) {
		case 0, 1:
			called = landline(r, "")
		case 2:
			called = foreign(r)
		}
		src, dst := up[r.IntN(len(up))], down[r.IntN(len(down))]
		p1, p2 := drawPPM(r), drawPPM(r)
		c := officeCall(s, l, talk)
		c.called, c.calling, c.codec, c.early = called, mobile(r), k, true
		c.status = outcome(r, 0.55)
		c.delay = between(r, 1500*time.Millisecond, 6*time.Second)
		c.relayed = [2]bool{true, true}
		c.ppm = [2]float64{p1, p2}
		next := *c
		next.from, next.to = sbc, dst
		c.from, c.to = src, sbc
		hop := src.node.owd + sbc.node.owd + int64(between(r, 5*time.Millisecond, 40*time.Millisecond))
		c.delay += time.Duration(2*(sbc.node.owd+dst.node.owd)) + 30*time.Millisecond
		s.perform(c)
		if onward {
			s.place(s.now+hop, &next)
		}
	})
	return l
}

// breakout is a licensed gateway between VoIP and the telephone network: it
// terminates calls of strangers to whomever they call, and passes calls from
// the telephone side on. Dark, it carries little but inbound calls to mobiles.
func breakout(s *sim, dark bool) {
	r := s.rng("breakout")
	n := pick(r, 4, 8, 16, 30)
	note, most := fmt.Sprintf("licensed PSTN gateway, %d lines, mixed callees", n), VerdictNone
	if dark {
		note, most = fmt.Sprintf("licensed PSTN gateway, %d lines, inbound to mobiles almost only", n), VerdictWatch
	}
	l := s.newLine(ClassBreakout, note, VerdictNone, most)
	l.truth.Channels = n
	dev := l.device("gateway")
	if !dark {
		pc := l.device("computer")
		s.chores(l, pc)
		s.web(l, pc, time.Minute, 60_000)
	} else {
		s.chores(l, dev)
	}
	d := pick(r, dialGrandstream("GXW4108 1.4.1.5"), dialPJSIP("Asterisk PBX 18.9.0"), dialQuiet())
	gw := s.newAgent(dev, d, 5060, "gw", "")
	gw.mapped = true
	hq := s.newAgent(s.host("head office", dark && r.IntN(2) == 0), pick(r, dialPJSIP("Asterisk PBX 18.9.0"), dialQuietSwitch()), 5060, "hq", "")
	l.controls(hq.node, "trunk-peer")
	s.options(s.start+int64(2*time.Second), hq, gw, time.Minute)
	callers := make([]string, 20)
	for i := range callers {
		callers[i] = fmt.Sprint(8100 + i)
	}
	who := newContacts(r, 50, 0.4, 0.25)
	own := landline(r, who.area)
	use := 1
	used := 0
	if n >= 16 {
		use = 2
	}
	gap := 90 * time.Second / time.Duration(use*min(n, 8)/2)
	s.arrivals(r, s.start, gap, func() {
		if used >= n {
			return
		}
		used++
		c := officeCall(s, l, 60*time.Second)
		c.over = func() { used-- }
		c.status, c.early = outcome(r, 0.6), true
		c.delay = between(r, 1200*time.Millisecond, 6*time.Second)
		if !dark && r.IntN(4) == 0 {
			c.from, c.to, c.called, c.calling = gw, hq, callers[r.IntN(len(callers))], who.next()
			c.delay = between(r, 200*time.Millisecond, time.Second)
			c.relayed[1], c.ppm[1] = true, drawPPM(r)
			s.perform(c)
			return
		}
		c.from, c.to, c.calling = hq, gw, callers[r.IntN(len(callers))]
		c.relayed[0], c.ppm[0] = true, drawPPM(r)
		switch {
		case dark:
			c.called, c.calling = mobile(r), mobile(r)
			if r.IntN(12) == 0 {
				c.called = landline(r, who.area)
			}
		case r.IntN(60) == 0:
			c.called = emergencyNumbers[r.IntN(len(emergencyNumbers))]
		default:
			c.called = who.next()
		}
		if !dark {
			c.extra = []field{{"P-Asserted-Identity", "<sip:" + own + "@" + hq.host() + ">"}}
		}
		s.perform(c)
	})
}

// diallerApp is a phone with a cheap-calls app: one account abroad, calls out.
func diallerApp(s *sim, keystream []byte) {
	l := s.newLine(ClassMobileDialer, "cheap-calls app on a phone", VerdictNone, VerdictNone)
	r := l.rng
	phone := l.device("phone")
	s.chores(l, phone)
	s.web(l, phone, 40*time.Second, 60_000)
	server := s.newAgent(s.host("app's server", true), dialQuietSwitch(), pick(r, uint16(5060), 443, 8080, 23456), "proxy", "")
	l.controls(server.node, "registrar")
	a := s.newAgent(phone, dialApp("MobileVOIP/8.1 (Android)"), uint16(30000+r.IntN(20000)), fmt.Sprint(90000+r.IntN(9000)), server.host())
	a.keystream, server.keystream = keystream, keystream
	s.register(s.start+int64(time.Second), a, server, 9*time.Minute, true)
	who := []string{foreign(r), foreign(r), foreign(r), mobile(r)}
	s.arrivals(r, s.start, 5*time.Minute, func() {
		if l.active > 0 {
			return
		}
		c := officeCall(s, l, 3*time.Minute)
		c.from, c.to, c.called, c.calling, c.challenge, c.early, c.codec = a, server, who[r.IntN(len(who))], a.user, true, true, g729
		c.relayed[1], c.ppm[1] = true, drawPPM(r)
		s.perform(c)
	})
}
