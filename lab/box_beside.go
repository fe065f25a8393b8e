package lab

import (
	"fmt"
	"strconv"
	"time"
)

// besideHousehold lets people live where the gateway is.
func besideHousehold(s *sim, g *gateway) {
	r := g.r
	for _, name := range []string{"phone", "computer", "television"}[:1+r.IntN(3)] {
		dev := g.l.device(name)
		switch r.IntN(3) {
		case 0:
			s.browse(g.l, dev, between(r, 15*time.Second, 2*time.Minute), 90_000)
		case 1:
			s.web(g.l, dev, between(r, 15*time.Second, 2*time.Minute), 100_000)
		default:
			s.web(g.l, dev, between(r, 30*time.Second, 3*time.Minute), 60_000)
			s.quic(g.l, dev, between(r, 2*time.Minute, 8*time.Minute), 300)
		}
		s.chores(g.l, dev)
	}
	if r.IntN(3) == 0 {
		s.game(g.l, g.l.device("console"))
	}
	if r.IntN(3) == 0 {
		s.appCall(g.l, g.l.device("phone"), between(r, time.Minute, 6*time.Minute))
	}
}

// besideOffice puts the telephones of an office on the gateway's line: an exchange
// with numbers of its own, or a few phones at a hosted one.
func besideOffice(s *sim, g *gateway) {
	r, l := g.r, g.l
	who := newContacts(r, 30+r.IntN(60), 0.45, share(r, 0.05, 0.25))
	base := landline(r, area(r))
	base = base[:len(base)-2]
	gap := between(r, 40*time.Second, 3*time.Minute)
	if r.IntN(2) == 0 {
		x := s.exchange(l, pick(r, "FPBX-16.0.40.9(18.24.2)", "Asterisk PBX 16.28.0", "Asterisk PBX 13.38.3"), r.IntN(3) > 0)
		s.arrivals(r, s.start, gap, func() {
			c := officeCall(s, l, 70*time.Second)
			did := base + fmt.Sprintf("%02d", r.IntN(20))
			if r.IntN(2) == 0 {
				x.out(c, who.next(), did)
			} else {
				x.in(c, did, who.next())
			}
			s.perform(c)
		})
		return
	}
	server := s.newAgent(s.host("hosted exchange", false), dialKamailio("kamailio (5.6.2 (x86_64/linux))"), 5060, "pbx", "")
	server.domain = server.host()
	l.controls(server.node, "registrar")
	phones := make([]*agent, 3+r.IntN(10))
	d := pick(r, dialYealink("SIP-T42S 66.85.0.15"), dialGrandstream("GXP2135 1.0.11.48"))
	busy := make([]bool, len(phones))
	for i := range phones {
		phones[i] = s.newAgent(l.device("phone"), d, 5060, strconv.Itoa(8001+i), server.host())
		s.register(s.start+int64(between(r, 0, 3*time.Minute)), phones[i], server, 150*time.Second, true)
	}
	pc := l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 45*time.Second, 60_000)
	s.arrivals(r, s.start, gap, func() {
		i := r.IntN(len(phones))
		if busy[i] {
			return
		}
		busy[i] = true
		c, p := officeCall(s, l, 70*time.Second), phones[i]
		c.fromDomain, c.toDomain, c.over = server.host(), server.host(), func() { busy[i] = false }
		if r.IntN(2) == 0 {
			c.from, c.to, c.called, c.calling, c.challenge = p, server, who.next(), p.user, true
			c.relayed[1], c.ppm[1] = true, drawPPM(r)
		} else {
			c.from, c.to, c.called, c.calling, c.toContact = server, p, p.user, who.next(), true
			c.relayed[0], c.ppm[0] = true, drawPPM(r)
		}
		s.perform(c)
	})
}
