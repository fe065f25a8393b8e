package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Together lists the scenarios that show something only where several lines, or
// several captures of one Options.Ring, are looked at together.
func Together() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "ring-carried", Text: "GoIP-8 that is carried from line to line: captures of one ring and of seeds 1 to 6 are its days", Box: true, duration: 15 * m, build: carried},
		{Name: "ring-wholesale", Text: "two rings of three GoIPs, each with an SMS server of its own, and thirty offices, all at one wholesaler", Box: true, duration: 12 * m, build: wholesale},
		{Name: "ring-hosted", Text: "forty innocent offices at a hosted exchange where three gateways have accounts too", Box: true, duration: 12 * m, build: hostedForty},
	}
}

// common gives a source of what all captures of the ring have, or the capture's own
// where there is no ring.
func (s *sim) common(name string) *rand.Rand {
	if s.ring != "" {
		return s.shared(name)
	}
	return s.rng(name)
}

// carried is one box on the day that the seed says, at the place of that day. All
// that is the box's own (cards, accounts, clock, ports) is the same in all captures of
// the ring; the line, its network and the calls are the day's.
func carried(s *sim) {
	day := int64(s.seed%7) * int64(24*time.Hour)
	s.start, s.now, s.end = s.start+day, s.now+day, s.end+day
	if s.cut != 0 {
		s.cut += day
	}
	l := s.newLine(ClassGateway, "GoIP-8, line mode, carried from line to line", VerdictCase, VerdictCase)
	place := l.rng
	l.rng = s.common("carried box")
	b := s.newBox(l, 8)
	b.load = load{gap: 9 * time.Second, asr: 0.5, talk: 35 * time.Second}
	b.softswitch(dialVOS("V2.1.6.00"), "registrar")
	b.lineMode(l.rng)
	b.keepalives(s.host("ring sms server", true))
	l.rng = place
	b.start()
	b.boot()
}

// lineMode gives every channel an account, on one socket.
func (b *box) lineMode(r *rand.Rand) {
	port := uint16(5060 + pick(r, 0, 0, 20, r.IntN(1000)))
	first := pick(r, 1001, 2001, 8001, 60001) + r.IntN(400)
	d := dialDBL()
	for i := range b.channels {
		a := b.account(d, port, fmt.Sprint(first+i))
		b.channels[i].account = a
		b.s.register(b.s.start+int64(i)*int64(220*time.Millisecond), a, b.ctrl, 60*time.Second, false)
	}
}

// at puts the controller where others have theirs.
func (b *box) at(ctrl *agent, role string) {
	b.ctrl, b.media = ctrl, ctrl.media
	b.l.controls(ctrl.node, role)
}

// wholesale is a softswitch abroad that anybody may buy calls from: offices do, and
// so do two gangs, each of which steers its boxes from a server of its own.
func wholesale(s *sim) {
	wholesaler := s.newAgent(s.host("ring wholesaler", true), dialVOS("V2.1.8.05"), 5060, "", "")
	wholesaler.user, wholesaler.domain = "trunk", wholesaler.host()
	wholesaler.codecs = []*codec{pcma, g729, pcmu}
	for _, gang := range []string{"north", "south"} {
		server := s.host("ring sms server of "+gang, true)
		for range 3 {
			l := s.newLine(ClassGateway, "GoIP-4 of the gang of the "+gang, VerdictCase, VerdictCase)
			b := s.newBox(l, 4)
			b.load = load{gap: 14 * time.Second, asr: 0.5, talk: 30 * time.Second}
			b.at(wholesaler, "registrar")
			b.lineMode(l.rng)
			b.keepalives(server)
			b.start()
			b.boot()
		}
	}
	for range 30 {
		l := s.newLine(ClassAnchoredPBX, "office exchange on a trunk of a wholesaler", VerdictNone, VerdictReview)
		r := l.rng
		l.truth.Channels = 10
		x := s.exchangeAt(l, pick(r, "FPBX-16.0.40.9(18.24.2)", "Asterisk PBX 16.28.0", "Asterisk PBX 13.38.3"), wholesaler, r.IntN(2) == 0)
		who := newContacts(r, 40, 0.45, 0.15)
		own := landline(r, area(r))
		s.arrivals(r, s.start, between(r, 60*time.Second, 150*time.Second), func() {
			c := officeCall(s, l, 40*time.Second)
			if r.IntN(2) == 0 {
				x.out(c, who.next(), own)
			} else {
				x.in(c, own, who.next())
			}
			s.perform(c)
		})
	}
}

// hostedForty is a hosted exchange with forty offices, and three gateways of nobody
// knows whom that register there like any customer.
func hostedForty(s *sim) {
	server := s.newAgent(s.host("ring exchange", false), dialKamailio("kamailio (5.6.2 (x86_64/linux))"), 5060, "pbx", "")
	server.domain = server.host()
	server.codecs = []*codec{pcma, g729, pcmu}
	for range 40 {
		officeAt(s, server, 2+s.rng("phones").IntN(6), 2*time.Minute, 40*time.Second)
	}
	for range 3 {
		l := s.newLine(ClassGateway, "8-channel gateway at a hosted exchange", VerdictNone, VerdictCase)
		b := s.newBox(l, 8)
		b.load = load{gap: 7 * time.Second, asr: 0.5, talk: 35 * time.Second}
		b.at(server, "registrar")
		b.lineMode(l.rng)
		b.start()
		b.boot()
	}
}
