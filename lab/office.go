package lab

import (
	"fmt"
	"strconv"
	"time"
)

// officeNAT is an office of phones behind one NAT at a hosted exchange: every
// phone a device with a clock, a socket and an account of its own.
func officeNAT(s *sim, n int, gap, talk time.Duration) *line {
	return officeAt(s, nil, n, gap, talk)
}

// officeAt is the same at an exchange that others use as well; nil for one of its own.
func officeAt(s *sim, server *agent, n int, gap, talk time.Duration) *line {
	l := s.newLine(ClassHostedPBX, fmt.Sprintf("office, %d phones behind NAT at a hosted exchange", n), VerdictNone, VerdictNone)
	l.truth.Channels = n
	r := l.rng
	l.loss /= 2
	if server == nil {
		server = s.newAgent(s.host("hosted exchange", false), dialKamailio("kamailio (5.6.2 (x86_64/linux))"), 5060, "pbx", "")
		server.domain = server.host()
	}
	l.controls(server.node, "registrar")
	pc := l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 30*time.Second, 60_000)

	d := dialYealink("SIP-T42S 66.85.0.15")
	if r.IntN(3) == 0 {
		d = dialGrandstream("GXP2135 1.0.11.48")
	}
	refresh := pick(r, 80*time.Second, 150*time.Second, 300*time.Second)
	base := landline(r, area(r))
	base = base[:len(base)-2]
	phones := make([]*agent, n)
	for i := range phones {
		p := s.newAgent(l.device("phone"), d, uint16(5060+2*r.IntN(2)), strconv.Itoa(8001+i), server.host())
		p.codecs = []*codec{pcma, pcmu, g729}
		p.name = strconv.Itoa(8001 + i)
		phones[i] = p
		t := s.start + int64(between(r, 0, refresh))
		s.register(t, p, server, refresh-time.Duration(r.Int64N(int64(4*time.Second))), true)
		s.options(t+int64(10*time.Second), server, p, pick(r, 30*time.Second, 60*time.Second))
		s.subscribe(t+int64(time.Second), p, server, "message-summary", p.user)
		for k := range r.IntN(4) {
			s.subscribe(t+int64(2+k)*int64(time.Second), p, server, "dialog", strconv.Itoa(8001+r.IntN(n)))
		}
	}
	busy := make([]bool, n)
	who := newContacts(r, 60, 0.45, 0.15)
	s.arrivals(r, s.start, gap, func() {
		i := r.IntN(n)
		if busy[i] {
			return
		}
		busy[i] = true
		p := phones[i]
		c := &call{
			delay: between(r, 600*time.Millisecond, 3*time.Second), ring: between(r, 2*time.Second, 15*time.Second), status: outcome(r, 0.72),
			talk: expo(r, talk, 5*time.Second, 5*talk), byCaller: r.IntN(2) == 0, codec: pick(r, pcma, pcma, pcmu),
			hold: r.IntN(10) == 0, rtcp: r.IntN(2) == 0, over: func() { busy[i] = false },
		}
		did := base + fmt.Sprintf("%02d", i)
		switch x := r.Float64(); {
		case x < 0.45: // to the world
			c.from, c.to, c.called, c.calling, c.challenge = p, server, who.next(), p.user, true
			c.relayed[1], c.ppm[1] = true, drawPPM(r)
			c.keys = r.IntN(4)
		case x < 0.8: // from the world, to the extension's own number
			c.from, c.to, c.called, c.calling, c.toContact = server, p, p.user, who.next(), true
			c.extra = []field{{"P-Called-Party-ID", "<sip:" + did + "@" + server.host() + ">"}}
			c.relayed[0], c.ppm[0] = true, drawPPM(r)
			c.refer = r.IntN(8) == 0
		default: // to a colleague, through the exchange
			j := r.IntN(n)
			if busy[j] {
				busy[i] = false
				return
			}
			busy[j] = true
			q := phones[j]
			c.from, c.to, c.called, c.calling, c.challenge = p, server, q.user, p.user, true
			c.relayed[1], c.ppm[1] = true, q.node.ppm
			in := *c
			in.from, in.to, in.challenge, in.toContact = server, q, false, true
			in.media, in.ports, in.keys, in.hold = [2]*mediaHost{}, [2]uint16{}, 0, false
			in.relayed, in.ppm = [2]bool{true, false}, [2]float64{p.node.ppm, 0}
			in.over = func() { busy[j] = false }
			s.place(s.now+int64(60*time.Millisecond), &in)
		}
		c.fromDomain = server.host()
		c.toDomain = server.host()
		s.perform(c)
	})
	return l
}

// officePBX is an exchange in the office with one trunk and numbers of its own;
// all media comes from the exchange and has its clock.
func officePBX(s *sim) *line {
	l := s.newLine(ClassAnchoredPBX, "office exchange on a SIP trunk", VerdictNone, VerdictNone)
	r := l.rng
	l.truth.Channels = pick(r, 10, 20, 30)
	x := s.exchange(l, pick(r, "FPBX-16.0.40.9(18.24.2)", "Asterisk PBX 16.28.0"), true)
	who := newContacts(r, 80, 0.45, 0.15)
	dids := make([]string, 8+r.IntN(20))
	base := landline(r, area(r))
	for i := range dids {
		dids[i] = base[:len(base)-2] + fmt.Sprintf("%02d", i)
	}
	s.arrivals(r, s.start, between(r, 15*time.Second, 30*time.Second), func() {
		if l.active >= l.truth.Channels {
			return
		}
		c := officeCall(s, l, 70*time.Second)
		if r.IntN(2) == 0 {
			x.out(c, who.next(), dids[r.IntN(len(dids))])
			c.keys = r.IntN(5)
		} else {
			x.in(c, dids[r.IntN(len(dids))], who.next())
			c.hold = r.IntN(12) == 0
		}
		s.perform(c)
	})
	return l
}

// officeCall draws the course of a call of business.
func officeCall(s *sim, l *line, talk time.Duration) *call {
	r := l.rng
	return &call{
		delay: between(r, 500*time.Millisecond, 3*time.Second), ring: between(r, 2*time.Second, 16*time.Second), status: outcome(r, 0.72),
		talk: expo(r, talk, 5*time.Second, 5*talk), byCaller: r.IntN(2) == 0, codec: pick(r, pcma, pcma, g729), rtcp: r.IntN(2) == 0,
	}
}

// exchange is a PBX of a line with a trunk to a carrier.
type exchange struct{ pbx, carrier *agent }

func (s *sim) exchange(l *line, software string, registers bool) *exchange {
	return s.exchangeAt(l, software, nil, registers)
}

// exchangeAt is the same at a carrier that others use as well; nil for one of its own.
func (s *sim) exchangeAt(l *line, software string, carrier *agent, registers bool) *exchange {
	dev := l.device("pbx")
	pc := l.device("computer")
	s.chores(l, pc)
	s.web(l, pc, 45*time.Second, 60_000)
	if carrier == nil {
		carrier = s.newAgent(s.host("carrier", false), dialQuietSwitch(), 5060, "trunk", "")
		carrier.domain = carrier.host()
	}
	d := dialChanSIP(software)
	if l.rng.IntN(2) == 0 {
		d = dialPJSIP(software)
	}
	pbx := s.newAgent(dev, d, 5060, fmt.Sprint(2100000+l.rng.IntN(800000)), carrier.host())
	pbx.mapped = true
	if registers {
		s.register(s.start+int64(between(l.rng, time.Second, 20*time.Second)), pbx, carrier, time.Duration(d.expires-15)*time.Second, true)
		l.controls(carrier.node, "registrar")
	} else {
		l.controls(carrier.node, "trunk-peer")
	}
	s.options(s.start+int64(4*time.Second), pbx, carrier, time.Minute)
	return &exchange{pbx, carrier}
}

func (x *exchange) out(c *call, called, calling string) {
	c.from, c.to, c.called, c.calling, c.challenge = x.pbx, x.carrier, called, calling, true
	c.early = true
	c.fromDomain, c.toDomain = x.carrier.host(), x.carrier.host()
	c.relayed[1], c.ppm[1] = true, drawPPM(x.pbx.r)
}

func (x *exchange) in(c *call, called, calling string) {
	c.from, c.to, c.called, c.calling = x.carrier, x.pbx, called, calling
	c.relayed[0], c.ppm[0] = true, drawPPM(x.pbx.r)
}

// ata is an analogue adapter: an account for each of its ports on one socket
// and one clock, as a gateway has, but the calls are those of people.
func ata(s *sim, n int, gap, talk time.Duration) *line {
	l := s.newLine(ClassAdapter, fmt.Sprintf("%d-port analogue adapter", n), VerdictNone, VerdictNone)
	l.truth.Channels = n
	r := l.rng
	dev := l.device("adapter")
	server := s.newAgent(s.host("voice provider", false), dialKamailio("voice"), 5060, "proxy", "")
	server.domain = server.host()
	l.controls(server.node, "registrar")
	s.chores(l, dev)
	d := dialGrandstream(fmt.Sprintf("GXW42%02d 1.0.25.8", n))
	numbers := landline(r, area(r))
	numbers = numbers[:len(numbers)-2]
	ports := make([]*agent, n)
	busy := make([]bool, n)
	for i := range ports {
		p := s.newAgent(dev, d, 5060, numbers+fmt.Sprintf("%02d", 10+i), server.host())
		p.codecs = []*codec{pcma, pcmu, g729}
		p.mapped = true
		if i > 0 {
			p.media = ports[0].media
		}
		ports[i] = p
		// Registered for 3600 s, renewed at half of it; all came up together.
		s.register(s.start+int64(between(r, time.Second, 3*time.Second))+int64(i)*int64(150*time.Millisecond), p, server, 30*time.Minute, true)
	}
	who := make([]*contacts, n)
	for i := range who {
		who[i] = newContacts(r, 6+r.IntN(12), 0.5, 0.12)
	}
	s.arrivals(r, s.start, gap, func() {
		i := r.IntN(n)
		if busy[i] {
			return
		}
		busy[i] = true
		c := officeCall(s, l, talk)
		c.over = func() { busy[i] = false }
		c.codec = pick(r, pcma, pcma, pcmu)
		p := ports[i]
		c.fromDomain, c.toDomain = server.host(), server.host()
		if r.IntN(2) == 0 {
			c.from, c.to, c.called, c.calling, c.challenge = p, server, who[i].next(), p.user, true
			c.relayed[1], c.ppm[1] = true, drawPPM(r)
			c.early = true
		} else {
			c.from, c.to, c.called, c.calling, c.toContact = server, p, p.user, who[i].next(), true
			c.relayed[0], c.ppm[0] = true, drawPPM(r)
		}
		s.perform(c)
	})
	return l
}

// callCentreOut is a dialler that calls ever-new mobiles.
func callCentreOut(s *sim, gap, talk time.Duration, k *codec) *line {
	l := s.newLine(ClassCallCentre, "outbound call centre", VerdictNone, VerdictNone)
	r := l.rng
	l.truth.Channels = pick(r, 20, 30, 60)
	x := s.exchange(l, "Asterisk PBX 13.38.3", r.IntN(2) == 0)
	own := landline(r, area(r))
	asr := share(r, 0.3, 0.5)
	s.arrivals(r, s.start, gap, func() {
		if l.active >= l.truth.Channels {
			return
		}
		c := officeCall(s, l, talk)
		c.status, c.codec = outcome(r, asr), k
		x.out(c, mobile(r), own)
		c.delay = between(r, 2*time.Second, 6*time.Second)
		c.byCaller = r.IntN(4) == 0
		s.perform(c)
	})
	return l
}

// callCentreIn answers many strangers at a few numbers.
func callCentreIn(s *sim) *line {
	l := s.newLine(ClassCallCentre, "inbound call centre", VerdictNone, VerdictNone)
	r := l.rng
	l.truth.Channels = pick(r, 10, 20, 30)
	x := s.exchange(l, "Asterisk PBX 16.28.0", false)
	lines := []string{"400" + fmt.Sprintf("%07d", r.IntN(10_000_000)), landline(r, "021"), landline(r, "021")}[:1+r.IntN(3)]
	s.arrivals(r, s.start, between(r, 8*time.Second, 20*time.Second), func() {
		if l.active >= l.truth.Channels {
			return
		}
		c := officeCall(s, l, 80*time.Second)
		c.status, c.ring, c.early = outcome(r, 0.9), between(r, 200*time.Millisecond, 4*time.Second), r.IntN(2) == 0
		x.in(c, lines[r.IntN(len(lines))], mobile(r))
		c.keys = r.IntN(4)
		s.perform(c)
	})
	return l
}

// hackedPBX is an office exchange over whose stolen extension somebody abroad
// calls premium numbers in bursts.
func hackedPBX(s *sim) {
	l := s.newLine(ClassHackedPBX, "office exchange with a stolen extension", VerdictNone, VerdictWatch)
	r := l.rng
	l.truth.Channels = 30
	x := s.exchange(l, "FPBX-14.0.16.11(13.22.0)", true)
	who := newContacts(r, 40, 0.45, 0.2)
	own := landline(r, area(r))
	s.arrivals(r, s.start, 50*time.Second, func() {
		c := officeCall(s, l, time.Minute)
		if r.IntN(2) == 0 {
			x.out(c, who.next(), own)
		} else {
			x.in(c, own, who.next())
		}
		s.perform(c)
	})
	thief := s.newAgent(s.host("thief", true), dialApp("Z 3.9.32144"), 5066, "201", x.pbx.host())
	s.register(s.start+int64(time.Minute), thief, x.pbx, 4*time.Minute, true)
	burst := s.start + int64(between(r, 2*time.Minute, 5*time.Minute))
	s.arrivals(r, burst, 6*time.Second, func() {
		if (s.now-burst)/int64(5*time.Minute)%2 == 1 || l.active > 28 {
			return
		}
		called, ppm := premium(r), drawPPM(r)
		ck := officeCall(s, l, 3*time.Minute)
		ck.codec, ck.status, ck.byCaller = g729, outcome(r, 0.6), true
		in := *ck
		in.from, in.to, in.called, in.calling, in.challenge, in.early = thief, x.pbx, "9"+called, "201", true, true
		in.relayed, in.ppm = [2]bool{false, true}, [2]float64{0, ppm}
		x.out(ck, called, own)
		ck.relayed[0], ck.ppm[0] = true, thief.node.ppm
		ck.ppm[1] = ppm
		s.perform(&in)
		s.place(s.now+2*thief.node.owd+int64(120*time.Millisecond), ck)
	})
}
