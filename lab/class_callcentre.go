package lab

import (
	"fmt"
	"time"
)

// callcentreScenarios are call centres. Most of a country's take calls; those
// that dial are fewer but louder.
func callcentreScenarios() []Scenario {
	const m = time.Minute
	list := []Scenario{
		{Name: "callcentre-predictive", Text: "dialler ahead of its agents: short calls, machines, many unanswered", Share: 0.18, duration: 30 * m, build: centrePredictive},
		{Name: "callcentre-progressive", Text: "dialler that calls when an agent is free", Share: 0.14, duration: 30 * m, build: func(s *sim) { centreAgents(s, "progressive", 2*time.Second, 25*time.Second) }},
		{Name: "callcentre-manual", Text: "agents who dial for themselves", Share: 0.13, duration: 45 * m, build: func(s *sim) { centreAgents(s, "manual", 15*time.Second, 3*time.Minute) }},
		{Name: "callcentre-inbound", Text: "menu and queue: strangers call a few numbers", Share: 0.30, duration: 30 * m, build: centreInbound},
		{Name: "callcentre-blended", Text: "calls in to a queue, calls back and campaigns out", Share: 0.15, duration: 30 * m, build: centreBlended},
		{Name: "callcentre-remote", Text: "call centre whose agents sit elsewhere: a second leg of each call goes out to one", Share: 0.10, duration: 20 * m, build: centreRemote},
	}
	for i := range list {
		list[i].Class, list[i].Heavy = ClassCallCentre, true
	}
	return list
}

// centre is a call centre of one line.
type centre struct {
	*tradingHouse
	list    []string // numbers already tried
	again   float64  // share of attempts that try one of them again
	mobiles float64
	here    float64 // share of landlines that are in the centre's area
	shown   func(called string) string
}

func (s *sim) centre(device string, abroad float64) *centre {
	s.hours(0.15)
	l := s.newLine(ClassCallCentre, device, VerdictNone, VerdictReview)
	r := l.rng
	x := &centre{tradingHouse: s.newHouse(l, centreDialect(s, l), sizes(r, 10, 400), 0.6, abroad)}
	x.again, x.here = pick(r, 0, share(r, 0.02, 0.4)), r.Float64()
	x.mobiles = pick(r, share(r, 0.8, 1), share(r, 0.8, 1), share(r, 0, 0.3), r.Float64())
	x.shown = x.identity()
	return x
}

func centreDialect(s *sim, l *line) *dialect {
	r := l.rng
	switch r.IntN(4) {
	case 0:
		return hand(r, dialChanSIP("Asterisk PBX "+release(r, 11+r.IntN(6), 3)+pick(r, "", "-vici", "-vici")))
	case 1:
		return hand(r, dialAudioCodes(pick(r, "Genesys SIP Server", "AltiGen", "Mediant SW/v."+release(r, 7, 4))))
	}
	return houseDialect(r)
}

// identity draws which number the called are shown.
func (x *centre) identity() func(string) string {
	r := x.r
	pool := make([]string, sizes(r, 2, 80))
	for i := range pool {
		pool[i] = pick(r, landline(r, ""), mobile(r))
	}
	one := pick(r, x.own[0], "95"+fmt.Sprintf("%06d", r.IntN(1_000_000)), "400"+fmt.Sprintf("%07d", r.IntN(10_000_000)), mobile(r))
	switch r.IntN(4) {
	case 0:
		return func(string) string { return pick(r, pool...) }
	case 1: // a number of the called one's own area
		local := map[string]string{}
		return func(called string) string {
			near := called[:4]
			if local[near] == "" {
				local[near] = landline(r, "")
				if called[0] == '0' {
					local[near] = called[:len(called)-5] + fmt.Sprintf("%05d", r.IntN(100_000))
				}
			}
			return local[near]
		}
	case 2:
		return func(string) string { return pick(r, x.own...) }
	}
	return func(string) string { return one }
}

// target draws whom to dial.
func (x *centre) target() string {
	r := x.r
	if len(x.list) > 0 && chance(r, x.again) {
		return pick(r, x.list...)
	}
	called := mobile(r)
	if !chance(r, x.mobiles) {
		called = landline(r, "")
		if chance(r, x.here) {
			called = landline(r, x.area)
		}
	}
	x.list = append(x.list, called)
	return called
}

// dial places a call to the next on the list.
func (x *centre) dial(c *call) bool {
	called := x.target()
	return x.out(c, called, x.shown(called))
}

// centrePredictive dials more than it has agents for and drops what a machine
// answers.
func centrePredictive(s *sim) {
	x := s.centre("outbound call centre, predictive dialler", 0.08)
	r, m := x.r, x.m
	m.asr, m.causes = share(r, 0.15, 0.5), pick(r, carrierCauses, plainCauses)
	m.talk, m.talkV = span(r, 12*time.Second, 60*time.Second), share(r, 0.8, 1.5)
	patience := between(r, 15*time.Second, 35*time.Second)
	machines, dropped := share(r, 0.1, 0.6), share(r, 0.005, 0.08)
	s.flowing(r, s.start, m.gap(s.erlangs(m, 1.2, 14, 1)), func() {
		c := m.draw()
		switch {
		case c.status == 487:
			c.ring = patience // nobody answered in its time
		case c.status == 200 && chance(r, machines):
			c.talk, c.byCaller = between(r, 1500*time.Millisecond, 9*time.Second), true
		case c.status == 200 && chance(r, dropped):
			c.talk, c.byCaller = between(r, time.Second, 4*time.Second), chance(r, 0.5)
		}
		x.dial(c)
	})
}

// centreAgents has each agent make one call after another, so long apart.
func centreAgents(s *sim, how string, least, most time.Duration) {
	x := s.centre("outbound call centre, "+how+" dialling", 0.05)
	r, m := x.r, x.m
	m.asr = share(r, 0.3, 0.7)
	pause := span(r, least, most)
	// Each agent talks for a share of the time; as many as the capture can hold.
	busy := float64(m.mean()) / float64(m.mean()+m.pdd+m.ring+pause)
	agents := max(1, int(s.erlangs(m, 1.2, 14, 1)/busy))
	tide := s.tide(r)
	for range agents {
		var next func()
		next = func() {
			wait := time.Duration(float64(expo(r, pause, time.Second, 8*pause)) * tide())
			s.after(wait, func() {
				c := m.draw()
				c.over = next
				if !x.dial(c) {
					next()
				}
			})
		}
		s.at(s.start+int64(between(r, 0, 2*time.Minute)), next)
	}
}

// queued makes of a call one that a menu and a queue answer.
func (x *centre) queued(c *call) *call {
	r := x.r
	c.delay, c.ring = between(r, 50*time.Millisecond, 600*time.Millisecond), between(r, 0, 3*time.Second)
	c.early = chance(r, 0.2)
	c.keys = r.IntN(6)
	if c.status != 200 && c.status != 486 && c.status != 503 {
		// Rather than ring off, people give up in the queue.
		c.status, c.talk, c.byCaller = 200, expo(r, 20*time.Second, 2*time.Second, 3*time.Minute), true
	} else {
		c.talk += expo(r, 15*time.Second, 0, 3*time.Minute)
	}
	return c
}

// doors are the numbers that strangers call.
func (x *centre) doors() []string {
	r := x.r
	list := make([]string, sizes(r, 1, 12))
	for i := range list {
		list[i] = pick(r, "400"+fmt.Sprintf("%07d", r.IntN(10_000_000)), landline(r, x.area), "95"+fmt.Sprintf("%03d", r.IntN(1000)), fmt.Sprint(r.IntN(90)+10)+fmt.Sprint(r.IntN(900)+100))
	}
	return list
}

// answering lets strangers, and some of them again, call the doors.
func (x *centre) answering(erlangs float64) {
	r := x.r
	doors := x.doors()
	who := newContacts(r, sizes(r, 20, 2000), share(r, 0.5, 0.95), share(r, 0.4, 1))
	x.s.flowing(r, x.s.start, x.m.gap(erlangs), func() {
		at := r.Float64()
		if !x.in(x.queued(x.m.draw()), doors[int(at*at*float64(len(doors)))], who.next()) {
			x.full(pick(r, doors...), who.next())
		}
	})
}

// full refuses a call for want of room.
func (x *centre) full(called, calling string) {
	c := x.m.draw()
	c.status, c.ring, c.delay = pick(x.r, 486, 503, 480), 0, between(x.r, 20*time.Millisecond, 200*time.Millisecond)
	c.from, c.to, c.called, c.calling = x.trunk(), x.pbx, called, calling
	c.toDomain = hostOnly(x.pbx.node.addr)
	x.s.perform(c)
}

func centreInbound(s *sim) {
	x := s.centre("inbound call centre", 0.04)
	x.m.asr = share(x.r, 0.8, 0.98)
	x.m.talk = span(x.r, 40*time.Second, 4*time.Minute)
	x.answering(s.erlangs(x.m, 0.8, 14, 1.3))
	if chance(x.r, 0.3) { // its people call as well
		x.business(newContacts(x.r, 60, 0.5, 0.2), 0.2, 0.1)
	}
}

func centreBlended(s *sim) {
	x := s.centre("call centre, in and out", 0.05)
	r, m := x.r, x.m
	m.asr = share(r, 0.5, 0.85)
	load := s.erlangs(m, 0.8, 12, 1.3)
	in := share(r, 0.2, 0.8)
	x.answering(max(0.1, in*load))
	s.flowing(r, s.start, m.gap(max(0.1, (1-in)*load)), func() { x.dial(m.draw()) })
}

// centreRemote has its agents at home: they register with the exchange, and
// each call's other leg goes out again to one of them.
func centreRemote(s *sim) {
	x := s.centre("call centre with agents elsewhere", 0.05)
	r, m := x.r, x.m
	agents := make([]*agent, sizes(r, 3, 40))
	d := customerDialect(r)
	period := span(r, 25*time.Second, 10*time.Minute)
	for i := range agents {
		a := s.newAgent(s.host("agent", chance(r, 0.04)), d, uint16(spread(r, 5060, 60000)), fmt.Sprint(1001+i), x.pbx.host())
		a.codecs = x.pbx.codecs
		s.register(s.start+int64(between(r, 0, period)), a, x.pbx, period, chance(r, 0.5))
		agents[i] = a
	}
	inward := pick(r, 0, 1, r.Float64())
	m.asr = share(r, 0.4, 0.9)
	busy := map[*agent]bool{}
	doors := x.doors()
	s.flowing(r, s.start, m.gap(s.erlangs(m, 0.8, 12, 2)), func() {
		a := pick(r, agents...)
		if busy[a] {
			return
		}
		busy[a] = true
		c := m.draw()
		// The agent is called when the other has answered, or beforehand.
		leg := *c
		leg.status, leg.ring, leg.delay = 200, between(r, 500*time.Millisecond, 5*time.Second), between(r, 80*time.Millisecond, 400*time.Millisecond)
		leg.talk = max(time.Second, c.talk-leg.ring-leg.delay)
		leg.from, leg.to, leg.called, leg.toContact = x.pbx, a, a.user, true
		leg.relayed, leg.ppm = [2]bool{!x.anchored, false}, [2]float64{drawPPM(r), 0}
		leg.over = func() { busy[a] = false }
		var placed bool
		var wait time.Duration
		if chance(r, inward) {
			x.queued(c)
			wait = c.delay + c.ring
			leg.calling = mobile(r)
			placed = x.in(c, pick(r, doors...), leg.calling)
		} else {
			leg.calling = x.own[0]
			placed = x.dial(c)
			wait = c.delay + c.ring
		}
		if !placed || c.status != 200 {
			busy[a] = false
			return
		}
		s.place(s.now+int64(wait)+2*(x.pbx.node.owd+c.to.node.owd), &leg)
	})
}
