package lab

import (
	"fmt"
	"time"
)

// adapterScenarios are analogue adapters: an account for each port on one
// chassis, as a gateway has them. Half of them are in homes, with a port or
// two; the large ones, which look most like a box, are one in five.
func adapterScenarios() []Scenario {
	const m, h = time.Minute, time.Hour
	list := []Scenario{
		{Name: "adapter-home", Share: .42, duration: 5 * h, Text: "home with an adapter of one or two ports", build: adapterHome},
		{Name: "adapter-office", Share: .26, Heavy: true, duration: 50 * m, Text: "office with an adapter of 2 to 24 ports", build: adapterOffice},
		{Name: "adapter-hotel", Share: .08, Heavy: true, duration: 60 * m, Text: "hotel: an adapter of 16 to 48 ports in the cellar, a port for each room", build: adapterHotel},
		{Name: "adapter-dormitory", Share: .06, Heavy: true, duration: 45 * m, Text: "dormitory or hospital: 24 to 48 ports, busy evenings", build: adapterDormitory},
		{Name: "adapter-house", Share: .06, Heavy: true, duration: 45 * m, Text: "small telephone provider in an apartment house", build: adapterHouse},
		{Name: "adapter-fax", Share: .05, duration: 90 * m, Text: "fax machines or a fax server on an adapter", build: adapterFax},
		{Name: "adapter-alarm", Share: .04, duration: 6 * h, Text: "alarm panels and lifts on an adapter", build: adapterAlarm},
		{Name: "adapter-booth", Share: .03, Heavy: true, duration: 50 * m, Text: "call shop or guard room: a few ports from which people call ever-new numbers", build: adapterBooth},
	}
	return ofClass(ClassAdapter, list)
}

// adapter puts a chassis of n ports on a line for the people of a trade.
func adapter(s *sim, h *habits, n int, what string) *site {
	s.open(h)
	l := s.newLine(ClassAdapter, what, VerdictNone, VerdictReview)
	r := l.rng
	x := newSite(l, h, drawServer(r), chance(r, 0.05))
	x.hunt, x.direct = 1, chance(r, 0.3)
	if n > 1 && chance(r, 0.3) { // lines of one group ring one after another
		x.hunt = min(n, pick(r, 2, 2, 3))
	}
	x.chassis(n)
	return x
}

// chassis adds n ports that share a device, its clock and, mostly, its socket.
func (x *site) chassis(n int) {
	r, l := x.r, x.l
	d := drawAdapter(r, n)
	u := drawUpkeep(r)
	u.lamps, u.presence = 0, false
	u.mailbox = chance(r, 0.2)
	u.step = pick(r, uint16(0), 0, 0, 1, 2)
	if chance(r, 0.5) {
		u.expires = d.expires
		u.period = time.Duration(u.expires) * time.Second / 2
	}
	over := pick(r, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkTCP)
	dev := l.device("adapter")
	if chance(r, 0.3) {
		dev = l.public("adapter")
	}
	names := x.accounts(n)
	if n > 2 && chance(r, 0.1) { // all ports on one account
		for i := range names {
			names[i] = names[0]
		}
	}
	spaced := chance(r, 0.3) // a range of ports for each
	for i, user := range names {
		p := x.telephone(dev, d, over, user, &u)
		if i == 0 {
			p.media.n = uint16(pick(r, 1, 2, 4, 16, 200) * n)
			continue
		}
		first := x.desks[0].media
		if spaced {
			m := *first
			m.n, m.lo = 5, first.lo+uint16(10*i)
			p.media = &m
		} else {
			p.media = first
		}
	}
	boot := between(r, 10*time.Millisecond, 400*time.Millisecond)
	t := x.s.start + int64(between(r, time.Second, time.Minute))
	together := chance(r, 0.6)
	for i, p := range x.desks {
		at := t + int64(i)*int64(boot)
		if !together {
			at = x.s.start + int64(between(r, 0, min(u.period, 20*time.Minute)))
		}
		if i == 0 || names[i] != names[0] {
			x.live(p, at, &u)
		}
	}
	if chance(r, 0.08) {
		x.outage()
	}
	l.truth.Channels = n
	l.truth.Note = fmt.Sprintf("%d ports, %s", n, d.name)
}

func adapterHome(s *sim) {
	x := adapter(s, trades["home"], pick(s.rng("ports"), 1, 1, 1, 2, 2), "home with an analogue adapter")
	s.company(x.l, 3)
	if chance(x.r, 0.3) {
		s.game(x.l, x.l.device("console"))
	}
	x.load(share(x.r, 0.02, 0.3))
	x.work()
}

func adapterOffice(s *sim) {
	r := s.rng("ports")
	name := trade(r)
	x := adapter(s, trades[name], pick(r, 2, 4, 4, 8, 8, 8, 16, 24), "analogue adapter: "+name)
	s.company(x.l, 6)
	x.load(spread(x.r, 0.8, 7))
	x.work()
	if chance(x.r, 0.3) {
		x.faxes(len(x.desks) - 1)
	}
}

// adapterHotel has guests call the reception, be woken and telephone.
func adapterHotel(s *sim) {
	x := adapter(s, trades["hotel"], pick(s.rng("ports"), 16, 24, 24, 32, 48, 48), "hotel with an analogue adapter")
	s.company(x.l, 4)
	x.load(spread(x.r, 0.8, 3.5))
	x.work()
	s.visits(x.r, &hotelDay, span(x.r, 30*time.Second, 4*time.Minute), func() {
		if d := x.free(); d != nil && d != x.desks[0] && !x.desks[0].busy {
			x.colleagues(d, x.desks[0])
		}
	})
	wakes := share(x.r, 5, 7.5)
	s.arrivals(x.r, s.start, span(x.r, time.Minute, 10*time.Minute), func() {
		if h := s.hour(); h > wakes && h < wakes+2 {
			if d := x.free(); d != nil {
				x.page([]*desk{d}, between(x.r, 6*time.Second, 20*time.Second))
			}
		}
	})
}

// adapterDormitory has a few ports for very many people: callees are ever new
// and talks long.
func adapterDormitory(s *sim) {
	x := adapter(s, flats(s), pick(s.rng("ports"), 24, 24, 32, 48), "dormitory or hospital with an analogue adapter")
	r := x.r
	x.who.callees = newContacts(r, sizes(r, 100, 1500), share(r, 0.7, 0.97), share(r, 0.2, 0.8))
	x.who.callers = newContacts(r, sizes(r, 100, 1500), share(r, 0.7, 0.97), share(r, 0.2, 0.8))
	x.inbound = share(r, 0.2, 0.85)
	if chance(r, 0.4) {
		s.company(x.l, 4)
	}
	x.load(spread(r, 2, 8))
	x.work()
}

// flats are households of which most are only home in the evening.
func flats(s *sim) *habits {
	h := *trades["home"]
	if chance(s.rng("evening"), 0.7) {
		h.day = eveningDay
	}
	return &h
}

// adapterHouse is what a small provider sells to the flats of a house: each
// port is a household, busy in the evening, none knows the others' callees.
func adapterHouse(s *sim) {
	n := pick(s.rng("ports"), 8, 16, 24, 32, 48)
	x := adapter(s, flats(s), n, "provider of an apartment house with an analogue adapter")
	r := x.r
	if chance(r, 0.3) {
		s.company(x.l, 4)
	}
	gap := span(r, 4*time.Minute, 25*time.Minute)
	day := x.who.day
	for _, d := range x.desks {
		flat := drawPeople(r, trades["home"])
		inbound := r.Float64()
		s.visits(r, &day, gap, func() {
			switch {
			case d.busy:
			case chance(r, inbound):
				x.called(d, flat.callers.next(), 0)
			default:
				x.calls(d, flat.callees.next(), 0)
			}
		})
	}
}

// adapterFax sends and receives faxes on some of its ports; a server sends one
// after the other.
func adapterFax(s *sim) {
	x := adapter(s, trades[pick(s.rng("trade"), "office", "practice", "law firm", "works")], pick(s.rng("ports"), 1, 2, 4, 8, 24), "fax on an analogue adapter")
	r := x.r
	s.company(x.l, 3)
	machines := 1 + r.IntN(len(x.desks))
	sends := r.Float64()
	s.visits(r, &x.who.day, span(r, 25*time.Second, 6*time.Minute), func() {
		d := x.desks[r.IntN(machines)]
		switch {
		case d.busy:
		case chance(r, sends):
			x.fax(d, true, x.who.callees.next())
		default:
			x.fax(d, false, x.who.callers.next())
		}
	})
	if machines < len(x.desks) {
		x.load(share(r, 0.1, 0.5))
		x.work()
	}
}

// adapterAlarm is panels and lifts that report to their station with tones and
// are tried from there now and then; hardly anybody speaks.
func adapterAlarm(s *sim) {
	x := adapter(s, trades["works"], pick(s.rng("ports"), 1, 2, 2, 4, 8), "alarm panels and lifts on an analogue adapter")
	r := x.r
	if chance(r, 0.5) {
		s.company(x.l, 2)
	}
	x.sound.dtx, x.sound.late = 0, 0
	x.who.talk, x.who.sigma, x.who.out, x.who.in = between(r, 12*time.Second, 40*time.Second), 0.4, 0.9, 0.95
	x.who.hold, x.who.refer, x.who.again, x.who.keys = 0, 0, 0.9, 1
	x.who.pickUp = between(r, 2*time.Second, 6*time.Second)
	station := []string{landline(r, x.who.callees.area), landline(r, "")}
	x.who.callees.known, x.who.callees.fresh = station, 0
	x.who.callers.known, x.who.callers.fresh = station, 0.05
	x.within, x.inbound = 0, share(r, 0, 0.6)
	x.gap = span(r, 3*time.Minute, 40*time.Minute)
	x.work()
}

// adapterBooth has strangers call whom they like from a few ports.
func adapterBooth(s *sim) {
	x := adapter(s, trades[pick(s.rng("trade"), "home", "taxi", "agents")], pick(s.rng("ports"), 2, 4, 8, 8, 16), "telephone booths on an analogue adapter")
	r := x.r
	x.who.callees.fresh, x.who.callees.young = share(r, 0.6, 0.98), share(r, 0.5, 0.98)
	if chance(r, 0.3) { // calls to the country they come from
		for i := range x.who.callees.known {
			x.who.callees.known[i] = foreign(r)
		}
		x.who.callees.fresh = share(r, 0.2, 0.6)
	}
	x.within, x.inbound = 0, share(r, 0, 0.3)
	if chance(r, 0.5) {
		s.company(x.l, 2)
	}
	x.load(spread(r, 1, 5))
	x.work()
}
