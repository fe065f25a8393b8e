package lab

import (
	"fmt"
	"time"
)

// officeScenarios are office telephones behind NAT: every one a device with a
// clock of its own, at the exchange of a provider in the country. Shares follow
// how common the trades are among small business lines; those most like a box,
// depots and estate agents who call ever-new mobiles, are about one in twelve.
func officeScenarios() []Scenario {
	const m, h = time.Minute, time.Hour
	list := []Scenario{
		{Name: "office-general", Share: .33, Heavy: true, duration: 40 * m, Text: "telephones of an office: colleagues, customers, busy lamps", build: func(s *sim) { office(s, "office", 3, 60, 9) }},
		{Name: "office-shop", Share: .18, duration: 3 * h, Text: "shop with one to four telephones", build: func(s *sim) { office(s, "shop", 1, 4, 1) }},
		{Name: "office-practice", Share: .09, Heavy: true, duration: 50 * m, Text: "medical practice: many short calls come in", build: func(s *sim) { office(s, "practice", 2, 14, 6) }},
		{Name: "office-firm", Share: .07, Heavy: true, duration: 50 * m, Text: "law firm: long talks, transfers, holds", build: func(s *sim) { office(s, "law firm", 3, 40, 7) }},
		{Name: "office-works", Share: .06, Heavy: true, duration: 45 * m, Text: "works at all hours: mostly calls between colleagues", build: func(s *sim) { office(s, "works", 4, 60, 6) }},
		{Name: "office-school", Share: .05, Heavy: true, duration: 75 * m, Text: "school: bells over the telephones, calls in the breaks", build: school},
		{Name: "office-hotel", Share: .05, Heavy: true, duration: 90 * m, Text: "hotel: rooms call the reception and are woken", build: hotel},
		{Name: "office-taxi", Share: .02, Heavy: true, duration: 45 * m, Text: "taxi dispatcher: short calls of ever-new mobiles", build: func(s *sim) { office(s, "taxi", 2, 12, 5) }},
		{Name: "office-depot", Share: .04, Heavy: true, duration: 45 * m, Text: "courier depot: short calls to ever-new mobiles", build: func(s *sim) { office(s, "depot", 2, 24, 6) }},
		{Name: "office-agents", Share: .05, Heavy: true, duration: 50 * m, Text: "estate agents: calls to many mobiles", build: func(s *sim) { office(s, "agents", 2, 20, 6) }},
		{Name: "office-closed", Share: .03, duration: 4 * h, Text: "office at night: telephones registered, hardly a call", build: closed},
		{Name: "office-remote", Share: .03, duration: 4 * h, Text: "home with one or two telephones of an office", build: remote},
	}
	return ofClass(ClassOffice, list)
}

func ofClass(class string, list []Scenario) []Scenario {
	for i := range list {
		list[i].Class = class
	}
	return list
}

// open moves the run to an hour of the day at which the people of a trade work.
func (s *sim) open(h *habits) {
	lo, hi := h.day.open()
	s.openAt(s.rng("hour"), lo, max(lo, hi-float64(s.end-s.start)/float64(time.Hour)))
}

// office is a trade's telephones, lo to hi of them, which at the peak hold at
// most so many calls at once on average.
func office(s *sim, trade string, lo, hi int, most float64) *site {
	h := trades[trade]
	s.open(h)
	l := s.newLine(ClassOffice, trade, VerdictNone, VerdictReview)
	r := l.rng
	x := newSite(l, h, drawServer(r), false)
	n := sizes(r, lo, hi)
	x.furnish(n, pick(r, 0, 0, 0.1, 0.5))
	x.absences(false)
	s.company(l, min(8, n))
	x.load(spread(r, most/5, most))
	x.work()
	if chance(r, 0.15) {
		x.faxes(r.IntN(n))
	}
	return x
}

// furnish puts n telephones on the line, of one make or of several, some of
// them programs.
func (x *site) furnish(n int, soft float64) {
	r, l := x.r, x.l
	u := drawUpkeep(r)
	makes := []*dialect{drawPhone(r)}
	if chance(r, 0.35) {
		for range sizes(r, 1, 4) {
			makes = append(makes, drawPhone(r))
		}
	}
	over := pick(r, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkTCP)
	boot := span(r, 2*time.Second, time.Duration(max(5, min(u.expires, 400)))*time.Second)
	if chance(r, 0.7) { // they were switched on long ago, each at another time
		boot = u.period
	}
	for i, user := range x.accounts(n) {
		d := makes[r.IntN(len(makes))]
		if i == 0 {
			d = makes[0]
		}
		if chance(r, soft) {
			d = drawSoftphone(r)
		}
		x.telephone(l.device("telephone"), d, over, user, &u)
	}
	for _, p := range x.desks {
		x.live(p, x.s.start+int64(between(r, 0, boot)), &u)
	}
	l.truth.Channels = n
	l.truth.Note = fmt.Sprintf("%d telephones, %s", n, makes[0].name)
	if len(makes) > 1 {
		l.truth.Note += " and others"
	}
}

// faxes lets a machine on one of the telephones' accounts send and receive.
func (x *site) faxes(i int) {
	d := x.desks[i]
	x.s.visits(x.r, &x.who.day, span(x.r, 8*time.Minute, time.Hour), func() {
		if !d.busy {
			x.fax(d, chance(x.r, 0.5), x.who.callees.next())
		}
	})
}

// fax sends a few pages, over T.38 or as sound.
func (x *site) fax(d *desk, out bool, number string) {
	c := x.who.course(out)
	c.talk = lognormal(x.r, 55*time.Second, 0.6, 22*time.Second, 8*time.Minute)
	c.hold, c.refer, c.keys, c.refresh = false, false, 0, 0
	if out {
		c.from, c.to, c.called, c.calling, c.challenge = d.agent, d.server, x.plan.out(number), d.user, x.asks
	} else {
		c.from, c.to, c.called, c.calling, c.toContact = d.server, d.agent, d.user, x.plan.in(number), true
	}
	far := 1
	if !out {
		far = 0
	}
	c.fromDomain, c.toDomain = x.domain, x.domain
	x.anchor(c, far)
	c.codec = pcma
	if chance(x.r, 0.6) {
		c.variety = &variety{fax: true}
	}
	d.take(c)
	x.s.perform(c)
}

// school rings its bells over the telephones and calls in the breaks.
func school(s *sim) {
	x := office(s, "school", 4, 40, 3)
	r := x.r
	lesson := pick(r, 40*time.Minute, 45*time.Minute, 45*time.Minute)
	speakers := x.desks[:max(1, int(float64(len(x.desks))*share(r, 0.1, 0.8)))]
	x.s.every(s.start+int64(between(r, time.Minute, lesson)), func() time.Duration { return pick(r, lesson, 10*time.Minute) }, func() bool {
		x.page(speakers, between(r, 8*time.Second, 25*time.Second))
		for range r.IntN(5) { // teachers reach for the telephone
			s.after(between(r, 10*time.Second, 6*time.Minute), func() {
				if d := x.free(); d != nil {
					x.calls(d, x.who.callees.next(), 0)
				}
			})
		}
		return true
	})
}

// hotel has a telephone in each room; guests are woken, call the reception and
// now and then somebody outside.
func hotel(s *sim) {
	x := office(s, "hotel", 10, 60, 4)
	r := x.r
	s.visits(r, &hotelDay, span(r, 30*time.Second, 5*time.Minute), func() {
		if d := x.free(); d != nil && d != x.desks[0] && !x.desks[0].busy {
			x.colleagues(d, x.desks[0])
		}
	})
	s.arrivals(r, s.start, span(r, time.Minute, 20*time.Minute), func() {
		if h := s.hour(); h > 5.5 && h < 9 {
			if d := x.free(); d != nil {
				x.page([]*desk{d}, between(r, 6*time.Second, 20*time.Second))
			}
		}
	})
}

// closed is an office at night: alarms and wrong numbers at most.
func closed(s *sim) {
	h := trades["office"]
	s.openAt(s.rng("hour"), 19.5, 23.9)
	l := s.newLine(ClassOffice, "office that is closed", VerdictNone, VerdictReview)
	x := newSite(l, h, drawServer(l.rng), false)
	x.who.day = allDay
	x.who.in = share(l.rng, 0.05, 0.9) // a machine answers, or nobody
	x.within, x.inbound = 0.02, 0.8
	x.furnish(sizes(l.rng, 2, 50), 0)
	s.company(l, 3)
	x.gap = span(l.rng, 6*time.Minute, time.Hour)
	x.work()
}

// remote is somebody who works at home with a telephone of the office.
func remote(s *sim) {
	name := pick(s.rng("trade"), "office", "law firm", "agents", "office", "taxi")
	s.open(trades[name])
	l := s.newLine(ClassOffice, "home with telephones of an office: "+name, VerdictNone, VerdictReview)
	r := l.rng
	x := newSite(l, trades[name], drawServer(r), chance(r, 0.1))
	x.furnish(pick(r, 1, 1, 1, 2), 0.5)
	s.company(l, 3)
	x.absences(true)
	if chance(r, 0.3) {
		s.game(l, l.device("console"))
	}
	x.load(share(r, 0.05, 0.35))
	x.work()
}
