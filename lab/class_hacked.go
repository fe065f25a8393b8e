package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// hackedScenarios are exchanges abused by strangers, and victims of scanners.
func hackedScenarios() []Scenario {
	const m = time.Minute
	hacked := []Scenario{
		// Most thieves call numbers that pay them; fewer sell the minutes.
		{Name: "hacked-night", Text: "office exchange over which a thief calls premium and foreign numbers at night", Share: 0.5, duration: 45 * m, build: hackedNight},
		{Name: "hacked-through", Text: "office exchange that lets strangers' calls in from abroad and out again over its trunk", Share: 0.3, duration: 30 * m, build: hackedThrough},
		{Name: "hacked-breakout", Text: "office exchange that lets strangers' calls out over its own lines to the telephone network", Share: 0.2, duration: 30 * m, build: hackedBreakout},
	}
	for i := range hacked {
		hacked[i].Class, hacked[i].Heavy = ClassHackedPBX, true
	}
	victims := []Scenario{
		{Name: "victim-home", Text: "household with a telephone service under SIP scans", Share: 0.3, duration: 60 * m, build: victimHome},
		{Name: "victim-pbx", Text: "office exchange under SIP scans and floods of calls, some of which its menu answers", Share: 0.45, Heavy: true, duration: 45 * m, build: victimPBX},
		{Name: "victim-hosted", Text: "office phones at a hosted exchange that scanners reach through the NAT", Share: 0.25, duration: 45 * m, build: victimHosted},
	}
	for i := range victims {
		victims[i].Class = ClassVictim
	}
	return append(hacked, victims...)
}

// stolen is an exchange that somebody abuses beside its owners.
type stolen struct {
	*tradingHouse
	thief []*agent
	ext   string
	// through is how the thief's calls get in: by a stolen extension that
	// registers, or by calls that nobody checks.
	registers bool
	free      manner // of the thief's calls
}

func (s *sim) stolen(device string, d *dialect) *stolen {
	l := s.newLine(ClassHackedPBX, device, VerdictNone, VerdictReview)
	r := l.rng
	x := &stolen{tradingHouse: s.newHouse(l, d, sizes(r, 4, 90), 0.7, 0.03), ext: fmt.Sprint(pick(r, 100, 200, 1000, 6000) + r.IntN(50)), registers: chance(r, 0.6)}
	x.free = *newManner(r)
	x.free.hold, x.free.fax, x.free.late = 0, 0, 0
	for i := range pick(r, 1, 1, 1, 2, 4) {
		d := pick(r, dialApp(pick(r, "Z ", "Zoiper r", "MicroSIP/", "Linphone/")+release(r, 3, 3)), switchDialect(r), dialScanner(r))
		t := s.newAgent(s.host(fmt.Sprintf("thief %d", i), chance(r, 0.85)), d, uint16(spread(r, 5060, 60000)), x.ext, x.pbx.host())
		t.codecs = distinct(x.free.codecs)
		t.media.random = true
		if x.registers {
			period := span(r, 40*time.Second, 20*time.Minute)
			s.register(s.start+int64(between(r, 0, 5*time.Minute)), t, x.pbx, period, chance(r, 0.6))
		}
		x.thief = append(x.thief, t)
	}
	return x
}

// pass takes a thief's call in and sends it out again over the trunk, or over
// the exchange's own lines when onward is false.
func (x *stolen) pass(called, calling string, onward bool) {
	s, r := x.s, x.r
	if x.used >= x.l.truth.Channels {
		return
	}
	t := pick(r, x.thief...)
	c := x.free.draw()
	c.find(r, called)
	in := *c
	in.from, in.to, in.called, in.calling = t, x.pbx, called, calling
	in.toDomain, in.fromDomain = hostOnly(x.pbx.node.addr), hostOnly(x.pbx.node.addr)
	in.challenge = x.registers && chance(r, 0.9)
	in.relayed, in.ppm = [2]bool{false, !x.anchored}, [2]float64{0, drawPPM(r)}
	hop := 2*t.node.owd + 2*x.pbx.node.owd + int64(between(r, 30*time.Millisecond, 250*time.Millisecond))
	if onward {
		in.delay += time.Duration(2*(x.pbx.node.owd+x.trunk().node.owd)) + 30*time.Millisecond
		s.at(s.now+hop, func() { x.out(c, called, pick(r, x.own...)) })
	} else {
		x.hold(&in)
	}
	s.perform(&in)
}

// burst lets thieves at it for a while, then rest, again and again.
func (x *stolen) burst(erlangs float64, fn func()) {
	r, s := x.r, x.s
	from := s.start + int64(between(r, 0, min(8*time.Minute, time.Duration(s.end-s.start)/4)))
	x.s.flowing(r, from, x.free.gap(erlangs), fn)
}

// hackedNight calls what pays the thief, while the office sleeps.
func hackedNight(s *sim) {
	// From an hour of the working day to one of the night.
	s.moves(12*time.Hour + time.Duration(s.rng("hour").Int64N(int64(3*time.Hour))))
	x := s.stolen("office exchange abused for premium calls", houseDialect(s.rng("house")))
	r := x.r
	x.business(newContacts(r, 40, 0.45, 0.2), spread(r, 0.01, 0.4), 0.5)
	x.free.asr, x.free.talk = share(r, 0.4, 0.9), span(r, 40*time.Second, 5*time.Minute)
	// Whole ranges pay, but some thieves have few numbers of their own.
	few := make([]string, sizes(r, 2, 200))
	for i := range few {
		few[i] = pick(r, premium(r), premium(r), foreign(r))
	}
	again := r.Float64()
	alone := chance(r, 0.25) // the exchange itself was made to dial
	prefix := pick(r, "", "9", "0")
	x.burst(s.erlangs(&x.free, 0.5, 12, 2), func() {
		called := pick(r, premium(r), foreign(r))
		if chance(r, again) {
			called = pick(r, few...)
		}
		if alone {
			x.out(x.free.draw(), called, x.ext)
			return
		}
		x.pass(prefix+called, x.ext, true)
	})
}

// sold draws whom buyers of stolen minutes call.
func (x *stolen) sold(mobiles, home float64) string {
	switch r := x.r; {
	case !chance(r, home):
		return foreign(r)
	case chance(r, mobiles):
		return mobile(r)
	}
	return landline(x.r, "")
}

// hackedThrough is what termination looks like where it is stolen: strangers'
// calls in from abroad, each out again over the trunk.
func hackedThrough(s *sim) {
	s.hours(0.5)
	x := s.stolen("office exchange through which stolen minutes are sold", houseDialect(s.rng("house")))
	r := x.r
	x.business(newContacts(r, 60, 0.45, 0.2), spread(r, 0.02, 1), 0.5)
	mobiles, home := share(r, 0.2, 1), share(r, 0.2, 1)
	x.free.asr, x.free.causes = share(r, 0.3, 0.7), carrierCauses
	x.burst(s.erlangs(&x.free, 0.5, 12, 2), func() { x.pass(x.sold(mobiles, home), x.caller(), true) })
}

// caller is what a stranger's call says of who calls.
func (x *stolen) caller() string {
	if x.registers && chance(x.r, 0.5) {
		return x.ext
	}
	return anyone(x.r, 0.6)
}

// hackedBreakout has lines of its own to the telephone network, over which the
// strangers' calls leave unseen.
func hackedBreakout(s *sim) {
	s.hours(0.5)
	d := houseDialect(s.rng("house"))
	if r := s.rng("house kind"); chance(r, 0.4) {
		d = gateDialect(r, wayE1)
	}
	x := s.stolen("office exchange with telephone lines of its own, which strangers use", d)
	r := x.r
	x.l.truth.Channels = pick(r, 4, 8, 16, 30, 30, 60)
	x.business(newContacts(r, 60, 0.45, 0.2), spread(r, 0.02, 1.2), share(r, 0, 1))
	mobiles, home := share(r, 0.2, 1), share(r, 0.4, 1)
	x.free.asr, x.free.pdd, x.free.causes = share(r, 0.35, 0.75), span(r, 900*time.Millisecond, 7*time.Second), pick(r, carrierCauses, cityCauses)
	x.free.early = pick(r, 0.0, 1, 1)
	x.burst(s.erlangs(&x.free, 0.5, min(14, 0.7*float64(x.l.truth.Channels)), 1), func() { x.pass(x.sold(mobiles, home), x.caller(), false) })
}

// scan is what one scanner does to its victim.
type scan struct {
	s               *sim
	r               *rand.Rand
	scanner, victim *agent
	statuses        []int // what the victim answers, by weight
	deaf            bool  // it answers nothing
	menu            float64
	prefixes        []string
	home            float64 // share of numbers called that are mobiles of the country
	greeted         *int    // calls that the menu has now
	room            int     // for them
}

// scanned lets scanners of every kind at a victim that answers in one way.
func (s *sim) scanned(victim *agent, menu float64) {
	l := victim.node.line
	r := s.rng("scans")
	statuses := pick(r, []int{404}, []int{401}, []int{401, 401, 403}, []int{403}, []int{603}, []int{404, 401}, []int{407}, []int{488, 404}, []int{480})
	deaf := chance(r, 0.2)
	greeted, room := new(int), sizes(r, 1, 5)
	for i := range sizes(r, 1, 8) {
		x := &scan{s: s, r: r, victim: victim, statuses: statuses, deaf: deaf, menu: menu, greeted: greeted, room: room, home: pick(r, 0, r.Float64(), 1)}
		d := dialScanner(r)
		d.agent = pick(r, d.agent, d.agent, "sipcli/v1.8", "Avaya", "Asterisk PBX", "eyeBeam release 1006e", "")
		x.scanner = s.newAgent(s.host(fmt.Sprintf("scanner %d", i), chance(r, 0.85)), d, uint16(spread(r, 1025, 65000)), strconv.Itoa(100+r.IntN(900)), "")
		x.scanner.media.random = true
		x.prefixes = pick(r, []string{"", "9", "00", "011", "900", "0"}, []string{"", "+"}, []string{"00", "000", "0000", "900", "9900", "8100"}, []string{fmt.Sprint(r.IntN(100_000)), "9", "8"})
		from := s.start + r.Int64N(max(1, (s.end-s.start)*2/3))
		until := from + int64(span(r, 30*time.Second, 3*time.Hour))
		pace := span(r, 80*time.Millisecond, 40*time.Second)
		act := pick(r, x.sweep, x.guess, x.crack(), x.call, x.call, x.call, x.call)
		s.every(from, func() time.Duration { return expo(r, pace, 20*time.Millisecond, 10*pace) }, func() bool {
			act()
			return s.now < until
		})
	}
	if l.truth.Channels == 0 {
		l.truth.Channels = 1
	}
}

// sweep asks for a sign of life.
func (x *scan) sweep() { x.ask("OPTIONS", "100", pick(x.r, 200, 200, 404)) }

// guess tries out accounts one after another.
func (x *scan) guess() {
	user := strconv.Itoa(100 + x.r.IntN(9900))
	if chance(x.r, 0.1) {
		user = pick(x.r, "admin", "test", "guest", "phone", "sip", "office", "trunk")
	}
	x.ask("REGISTER", user, pick(x.r, x.statuses...))
}

// crack tries out passwords of one account.
func (x *scan) crack() func() {
	user := strconv.Itoa(100 + x.r.IntN(900))
	return func() { x.ask("REGISTER", user, 401) }
}

// call has a try at a call to somewhere, through whatever number gets a line.
func (x *scan) call() {
	r := x.r
	called := pick(r, x.prefixes...) + pick(r, foreign(r), "00972592"+strconv.Itoa(100000+r.IntN(900000)), "0046812"+strconv.Itoa(100000+r.IntN(900000)))
	if chance(r, x.home) {
		called = pick(r, x.prefixes...) + mobile(r)
	}
	calling := strconv.Itoa(100 + r.IntN(9900))
	if *x.greeted < x.room && chance(r, x.menu) {
		*x.greeted++
		// The exchange's menu takes any call; the scanner thinks it got through.
		c := &call{
			from: x.scanner, to: x.victim, called: called, calling: calling, status: 200, delay: between(r, 30*time.Millisecond, time.Second),
			ring: between(r, 0, 4*time.Second), talk: expo(r, 9*time.Second, time.Second, time.Minute), byCaller: chance(r, 0.8), codec: pick(r, pcma, pcmu),
		}
		c.toDomain, c.fromDomain = hostOnly(x.victim.node.addr), hostOnly(x.victim.node.addr)
		c.silence[0] = pick(r, 0, 0.9)
		c.over = func() { *x.greeted-- }
		x.s.perform(c)
		return
	}
	host := hostOnly(x.victim.node.addr)
	g := x.s.newDialog(x.scanner, x.victim, aor(calling, calling, host), aor("", called, host), "sip:"+called+"@"+host)
	m := g.request("INVITE", true, false)
	m.ctype, m.body = "application/sdp", x.scanner.d.sdp("1 1", host, uint16(10000+2*r.IntN(9000)), []*codec{pcma, pcmu}, "sendrecv")
	x.s.begin(&call{from: x.scanner, to: x.victim, called: called})
	x.s.refused(g, m, pick(r, x.statuses...), x.deaf)
}

func (x *scan) ask(method, user string, status int) {
	host := hostOnly(x.victim.node.addr)
	g := x.s.newDialog(x.scanner, x.victim, aor(user, user, host), aor("", user, host), "sip:"+user+"@"+host)
	if method == "REGISTER" {
		g.uriB = "sip:" + host
	}
	m := g.request(method, true, false)
	if method == "REGISTER" {
		m.expires = pick(x.r, 0, 60, 120, 3600)
	}
	x.s.refused(g, m, status, x.deaf)
}

func victimHome(s *sim) {
	s.hours(0.4)
	l := s.newLine(ClassVictim, "household under SIP scans", VerdictNone, VerdictReview)
	r := l.rng
	l.truth.Channels = pick(r, 1, 1, 2)
	l.reach(reachFibre, reachFibre, reachDSL, reachCable, reachRadio)
	dev := l.boxAt("adapter", 0.6)
	s.beside(l, dev, 0.95)
	provider := s.newAgent(s.host("provider", false), switchDialect(r), 5060, "proxy", "")
	provider.domain = provider.host()
	own := landline(r, area(r))
	a := s.newAgent(dev, customerDialect(r), pick(r, uint16(5060), 5060, 5062), own, provider.host())
	a.mapped = true
	s.joins(l, a, provider, 1)
	who := newContacts(r, sizes(r, 4, 30), share(r, 0.3, 0.7), share(r, 0.05, 0.3))
	s.flowing(r, s.start, span(r, 4*time.Minute, 25*time.Minute), func() { s.household(a, provider, own, who) })
	s.scanned(a, 0)
}

func victimPBX(s *sim) {
	s.hours(0.4)
	l := s.newLine(ClassVictim, "office exchange under SIP scans", VerdictNone, VerdictReview)
	r := l.rng
	x := s.newHouse(l, houseDialect(r), sizes(r, 4, 60), 0.7, 0.02)
	x.business(newContacts(r, sizes(r, 20, 200), share(r, 0.3, 0.6), share(r, 0.05, 0.3)), s.erlangs(x.m, 0.05, 3, 1), share(r, 0.2, 0.8))
	s.scanned(x.pbx, pick(r, 0, 0, share(r, 0.1, 1), 1))
}

func victimHosted(s *sim) {
	s.hours(0.4)
	l := s.newLine(ClassVictim, "phones at a hosted exchange under SIP scans", VerdictNone, VerdictReview)
	r := l.rng
	n := sizes(r, 2, 24)
	l.truth.Channels = n
	l.reach(reachFibre, reachFibre, reachDSL, reachCable)
	server := s.newAgent(s.host("hosted exchange", false), switchDialect(r), 5060, "pbx", "")
	server.domain = server.host()
	s.beside(l, l.device("router"), 0.9)
	d := customerDialect(r)
	m := newManner(r)
	who := newContacts(r, sizes(r, 10, 100), share(r, 0.3, 0.6), share(r, 0.05, 0.3))
	phones := make([]*agent, n)
	base := landline(r, who.area)
	for i := range phones {
		p := s.newAgent(l.device("phone"), d, 5060, fmt.Sprint(201+i), server.host())
		p.codecs, p.mapped = distinct(m.codecs), chance(r, 0.3)
		phones[i] = p
		s.register(s.start+int64(between(r, 0, 2*time.Minute)), p, server, max(25*time.Second, time.Duration(d.expires)*time.Second/2), chance(r, 0.6))
	}
	l.controls(server.node, "registrar")
	busy := make([]bool, n)
	s.flowing(r, s.start, m.gap(s.erlangs(m, 0.05, min(4, 0.3*float64(n)), 1)), func() {
		i := r.IntN(n)
		if busy[i] {
			return
		}
		busy[i] = true
		c := m.draw()
		c.over = func() { busy[i] = false }
		if p := phones[i]; chance(r, 0.5) {
			c.from, c.to, c.called, c.calling, c.challenge = p, server, who.next(), p.user, true
			c.fromDomain, c.toDomain = server.host(), server.host()
			c.relayed[1], c.ppm[1] = true, drawPPM(r)
		} else {
			c.from, c.to, c.called, c.calling, c.toContact = server, p, p.user, who.next(), true
			c.extra = append(c.extra, field{"P-Called-Party-ID", "<sip:" + base[:len(base)-2] + fmt.Sprintf("%02d", i) + "@" + server.host() + ">"})
			c.relayed[0], c.ppm[0] = true, drawPPM(r)
		}
		s.perform(c)
	})
	s.scanned(pick(r, phones...), 0)
}
