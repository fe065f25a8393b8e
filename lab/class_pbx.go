package lab

import (
	"fmt"
	"time"
)

// pbxScenarios are exchanges on trunks. Four in ten do nothing but take and
// make the calls of a house; of the rest those most like a box, which let
// strangers reach mobiles, are one in five.
func pbxScenarios() []Scenario {
	const m, h = time.Minute, time.Hour
	list := []Scenario{
		{Name: "pbx-did", Share: .28, Heavy: true, duration: 40 * m, Text: "office exchange with numbers of its own", build: func(s *sim) { pbxDID(s, 4, 120, 8) }},
		{Name: "pbx-menu", Share: .12, Heavy: true, duration: 35 * m, Text: "exchange whose machine takes the calls: menus, early media, queues", build: pbxMenu},
		{Name: "pbx-forwarding", Share: .1, Heavy: true, duration: 40 * m, Text: "calls to its numbers go on to the people's mobiles", build: pbxForwarding},
		{Name: "pbx-workers", Share: .06, Heavy: true, duration: 40 * m, Text: "people at home are telephones of the exchange: their calls come in and go on", build: pbxWorkers},
		{Name: "pbx-mobile-numbers", Share: .07, Heavy: true, duration: 40 * m, Text: "exchange whose own numbers are mobile numbers", build: pbxMobileNumbers},
		{Name: "pbx-callback", Share: .05, Heavy: true, duration: 40 * m, Text: "callers leave their number and are called back", build: pbxCallback},
		{Name: "pbx-taxi", Share: .03, Heavy: true, duration: 40 * m, Text: "taxi firm: strangers come in, drivers and customers are called and joined", build: pbxTaxi},
		{Name: "pbx-cellular", Share: .06, Heavy: true, duration: 50 * m, Text: "exchange with a declared cellular gateway of one to four cards: branch offices reach mobiles over it", build: pbxCellular},
		{Name: "pbx-masking", Share: .03, Heavy: true, duration: 25 * m, Text: "number masking: joins two strangers, who see another number each", build: pbxMasking},
		{Name: "pbx-tenants", Share: .07, Heavy: true, duration: 35 * m, Text: "exchange of several tenants, an account for each", build: pbxTenants},
		{Name: "pbx-h323", Share: .02, Heavy: true, duration: 40 * m, Text: "exchange on an H.323 trunk", build: pbxH323},
		{Name: "pbx-quiet", Share: .11, duration: 3 * h, Text: "small exchange with a call now and then", build: func(s *sim) { pbxDID(s, 2, 8, 0.8) }},
	}
	return ofClass(ClassAnchoredPBX, list)
}

// pbxLine begins a line with an exchange for the people of a trade.
func pbxLine(s *sim, name, device string, lo, hi int) *house {
	h := trades[name]
	s.open(h)
	l := s.newLine(ClassAnchoredPBX, device, VerdictNone, VerdictReview)
	x := newHouse(l, h, lo, hi)
	l.truth.Note = fmt.Sprintf("%s, %d channels", name, x.channels)
	s.company(l, 6)
	return x
}

func pbxDID(s *sim, lo, hi int, most float64) {
	name := trade(s.rng("trade"))
	x := pbxLine(s, name, "office exchange", lo, hi)
	x.connect(drawPBX(x.r))
	x.load(spread(x.r, most/8, most))
	x.work()
}

func pbxMenu(s *sim) {
	name := pick(s.rng("trade"), "office", "practice", "shop", "hotel", "school")
	x := pbxLine(s, name, "exchange whose machine takes calls", 4, 60)
	x.connect(drawPBX(x.r))
	x.dids = x.dids[:min(len(x.dids), sizes(x.r, 1, 5))]
	if chance(x.r, 0.4) {
		x.dids[0] = pick(x.r, "400", "95") + fmt.Sprintf("%07d", x.r.IntN(10_000_000))
	}
	x.who.callers.fresh = share(x.r, 0.4, 0.98)
	x.load(spread(x.r, 1.5, 9))
	share := share(x.r, 0.5, 0.97)
	s.visits(x.r, &x.who.day, x.gap, func() {
		if chance(x.r, share) {
			x.menu(x.any(), x.did(), x.who.callers.next(), nil)
		} else {
			x.calls(x.any(), x.who.callees.next(), x.did(), 0)
		}
	})
}

// pbxForwarding sends calls to its numbers on to the mobiles of its people, at
// once or when nobody takes them.
func pbxForwarding(s *sim) {
	x := pbxLine(s, pick(s.rng("trade"), "office", "works", "agents", "law firm", "shop"), "exchange that forwards to mobiles", 4, 60)
	r := x.r
	x.connect(drawPBX(r))
	mobiles := make([]string, len(x.dids))
	for i := range mobiles {
		mobiles[i] = mobile(r)
	}
	x.load(spread(r, 0.7, 5))
	forwarded, atOnce, shown := share(r, 0.3, 1), r.Float64(), chance(r, 0.5)
	s.visits(r, &x.who.day, x.gap, func() {
		i := r.IntN(len(x.dids))
		caller := x.who.callers.next()
		switch {
		case chance(r, forwarded*x.inbound+0.2):
			wait := time.Duration(0)
			if !chance(r, atOnce) {
				wait = lognormal(r, 12*time.Second, 0.3, 4*time.Second, 30*time.Second)
			}
			cli := x.dids[i]
			if shown {
				cli = caller
			}
			x.bridge(x.any(), x.any(), x.dids[i], caller, mobiles[i], cli, wait)
		case chance(r, x.inbound):
			x.called(x.any(), x.dids[i], caller, 0)
		default:
			x.calls(x.any(), x.who.callees.next(), x.dids[i], 0)
		}
	})
}

// pbxMobileNumbers has mobile numbers of its operator's converged service: calls
// come in for a few mobiles, and all is over one trunk.
func pbxMobileNumbers(s *sim) {
	x := pbxLine(s, trade(s.rng("trade")), "exchange whose numbers are mobile numbers", 4, 60)
	r := x.r
	x.connect(drawPBX(r))
	x.dids = x.dids[:0]
	block := mobile(r)[:8]
	together := chance(r, 0.4)
	for i := range sizes(r, 2, 80) {
		n := mobile(r)
		if together {
			n = fmt.Sprintf("%s%03d", block, (i*7+100)%1000)
		}
		x.dids = append(x.dids, n)
	}
	x.plan.outside = ""
	x.inbound = share(r, 0.4, 0.95)
	for _, t := range x.trunks {
		t.byAccount = false
	}
	x.load(spread(r, 1, 7))
	x.work()
}

// pbxCallback takes numbers by machine, and its people call these back.
func pbxCallback(s *sim) {
	x := pbxLine(s, pick(s.rng("trade"), "practice", "shop", "office", "agents"), "exchange with a queue of calls to return", 4, 40)
	r := x.r
	x.connect(drawPBX(r))
	x.dids = x.dids[:min(len(x.dids), sizes(r, 1, 3))]
	x.who.callers.fresh = share(r, 0.5, 0.95)
	x.load(spread(r, 1, 6))
	back, wait := share(r, 0.4, 0.95), span(r, 20*time.Second, 15*time.Minute)
	s.visits(r, &x.who.day, x.gap, func() {
		caller := x.who.callers.next()
		t := x.any()
		did := x.did()
		x.menu(t, did, caller, func() {
			if chance(r, back) {
				s.after(expo(r, wait, 5*time.Second, 4*wait), func() { x.calls(t, caller, did, 0) })
			}
		})
	})
}

// pbxTaxi takes orders, calls drivers, tells customers that their taxi is there
// and joins the two.
func pbxTaxi(s *sim) {
	x := pbxLine(s, "taxi", "exchange of a taxi firm", 6, 60)
	r := x.r
	x.connect(drawPBX(r))
	x.dids = x.dids[:min(len(x.dids), sizes(r, 1, 3))]
	drivers := newContacts(r, sizes(r, 15, 400), 1, 0)
	x.load(spread(r, 0.8, 3.5))
	told, joined, driven := r.Float64(), r.Float64()*0.5, r.Float64()
	s.visits(r, &x.who.day, x.gap, func() {
		t, customer, did := x.any(), x.who.callers.next(), x.did()
		x.called(t, did, customer, 0)
		driver := drivers.next()
		if chance(r, driven) {
			s.after(between(r, 20*time.Second, 90*time.Second), func() { x.calls(t, driver, did, 0) })
		}
		if chance(r, told) { // a machine says it: short
			s.after(between(r, 2*time.Minute, 15*time.Minute), func() {
				c := x.who.course(true)
				c.talk, c.byCaller = between(r, 4*time.Second, 14*time.Second), true
				x.outward(t, c, customer, did)
				x.begin(c, 0)
			})
		}
		if chance(r, joined) {
			s.after(between(r, 3*time.Minute, 12*time.Minute), func() { x.bridge(t, x.any(), did, driver, customer, did, 0) })
		}
	})
}

// pbxCellular is the honest worst: a licensed gateway with one to four cards
// behind an exchange, over which the branch offices of a company reach mobiles.
// Some have a trunk of their own beside it, some nothing else.
func pbxCellular(s *sim) {
	x := pbxLine(s, pick(s.rng("trade"), "office", "works", "agents", "depot", "school"), "exchange with a declared cellular gateway", 4, 30)
	r := x.r
	d := drawPBX(r)
	cards := pick(r, 1, 1, 2, 2, 2, 4)
	x.l.truth.Note += fmt.Sprintf(", %d cards of its own for calls of the branches to mobiles", cards)
	var branches []*trunk
	staff := map[*trunk][]string{}
	for i := range sizes(r, 1, 8) {
		t := x.peer(fmt.Sprintf("branch %d", i), d, chance(r, 0.12), chance(r, 0.2))
		t.carrier.d, t.byAccount = drawPBX(r), false
		branches = append(branches, t)
		for k := range sizes(r, 2, 20) {
			staff[t] = append(staff[t], fmt.Sprint(8000+100*i+k))
		}
	}
	alone := chance(r, 0.35)
	if !alone {
		x.trunks = nil
		x.connect(d)
		x.load(spread(r, 0.4, 3))
		x.work()
	}
	x.who.callees.fresh = max(x.who.callees.fresh, pick(r, 0, 0.2, 0.5))
	busy, clock := 0, drawPPM(r)
	full := pick(r, 486, 503, 503, 480)
	held := 20*time.Second + x.who.held()
	reserve := !alone && chance(r, 0.5)
	back := share(r, 0, 0.25)
	s.visits(r, &x.who.day, time.Duration(float64(held)/(float64(cards)*share(r, 0.3, 0.9))), func() {
		t := branches[r.IntN(len(branches))]
		caller := staff[t][r.IntN(len(staff[t]))]
		number := x.who.callees.next()
		if len(number) != 11 || number[0] != '1' {
			number = mobile(r)
		}
		c := x.who.course(true)
		if busy >= cards {
			if reserve {
				x.bridge(t, x.any(), number, caller, number, x.did(), 0)
				return
			}
			x.inward(t, c, number, caller)
			c.status, c.ring, c.delay = full, 0, 50*time.Millisecond
			x.sound.give(r, c, 1, false)
			s.perform(c)
			return
		}
		busy++
		c.over = func() { busy-- }
		near := 1
		if chance(r, back) { // somebody calls the card, and a branch takes it
			near = 0
			x.outward(t, c, caller, x.who.callers.next())
			c.called, c.calling = caller, x.who.callers.next()
			c.delay = between(r, 100*time.Millisecond, time.Second)
		} else {
			x.inward(t, c, number, caller)
			c.calling = caller
			c.delay = lognormal(r, 4500*time.Millisecond, 0.4, 2*time.Second, 14*time.Second)
			c.early = chance(r, 0.7)
		}
		c.relayed[near], c.ppm[near] = true, clock
		x.begin(c, near)
	})
}

// pbxMasking joins strangers of a delivery or taxi platform: each calls a number
// lent to the pair, and the other sees that number.
func pbxMasking(s *sim) {
	x := pbxLine(s, "depot", "number-masking platform", 20, 120)
	r := x.r
	d := pick(r, drawPBX(r), drawServer(r))
	registers := chance(r, 0.2)
	in := x.peer("carrier of the lent numbers", d, false, registers)
	in.byAccount = false
	out := in
	if chance(r, 0.7) {
		out = x.peer("carrier onward", d, false, registers)
	}
	lent := make([]string, sizes(r, 30, 3000))
	mobiles := chance(r, 0.6)
	for i := range lent {
		if mobiles {
			lent[i] = mobile(r)
		} else {
			lent[i] = landline(r, x.who.callees.area)
		}
	}
	couriers := newContacts(r, sizes(r, 30, 1500), 1, 0)
	x.load(spread(r, 1.5, 7))
	back := r.Float64() * 0.5
	s.visits(r, &x.who.day, x.gap, func() {
		a, b, n := couriers.next(), mobile(r), lent[r.IntN(len(lent))]
		x.bridge(in, out, n, a, b, n, 0)
		if chance(r, back) {
			s.after(between(r, time.Minute, 10*time.Minute), func() { x.bridge(in, out, n, b, a, n, 0) })
		}
	})
}

// pbxTenants is an exchange that several firms of a building share, each with
// an account and numbers of its own.
func pbxTenants(s *sim) {
	x := pbxLine(s, "office", "exchange of several tenants", 10, 120)
	r := x.r
	d := drawPBX(r)
	registers := chance(r, 0.75)
	n := sizes(r, 2, 15)
	total := spread(r, 1.5, 7)
	if chance(r, 0.5) {
		x.provider = x.carrier("carrier of all", false)
	}
	for i := range n {
		t := x.peer(fmt.Sprintf("carrier %d", i%4), d, false, registers)
		if i > 0 && chance(r, 0.7) { // on the same socket
			t.pbx.port, t.pbx.mapped = x.trunks[0].pbx.port, x.trunks[0].pbx.mapped
		}
		h := trades[trade(r)]
		who := drawPeople(r, h)
		base := landline(r, x.who.callees.area)
		own := []string{base}
		for k := range sizes(r, 1, 10) {
			own = append(own, fmt.Sprintf("%s%02d", base[:len(base)-2], k))
		}
		inbound := drawShare(r, h.inbound)
		gap := time.Duration(float64(who.held()) * float64(n) / (total * x.sound.ease()))
		tenant := *x
		tenant.who = who
		// Channels are shared: what one tenant uses is missing to the others.
		s.visits(r, &who.day, gap, func() {
			tenant.used = x.l.active
			if chance(r, inbound) {
				tenant.called(t, own[r.IntN(len(own))], who.callers.next(), 0)
			} else {
				tenant.calls(t, who.callees.next(), own[r.IntN(len(own))], 0)
			}
		})
	}
	x.l.truth.Note += fmt.Sprintf(", %d tenants", n)
}

// pbxWorkers has people at home whose telephones register at the exchange: what
// they dial comes in from the network, often for mobiles, and goes on over the
// trunk; what is for them comes back.
func pbxWorkers(s *sim) {
	x := pbxLine(s, trade(s.rng("trade")), "exchange whose people are at home", 6, 60)
	r := x.r
	x.connect(drawPBX(r))
	trunks := x.trunks
	for _, t := range trunks { // workers need it to speak UDP
		t.pbx.link, t.carrier.link = linkUDP, linkUDP
	}
	var workers []*trunk
	first := pick(r, 101, 201, 801, 8001)
	for i := range sizes(r, 2, 30) {
		workers = append(workers, x.worker(fmt.Sprint(first+i), chance(r, 0.05)))
	}
	x.load(spread(r, 0.8, 5))
	local, within := r.Float64()*0.7, r.Float64()*0.2
	s.visits(r, &x.who.day, x.gap, func() {
		w, t := workers[r.IntN(len(workers))], trunks[r.IntN(len(trunks))]
		other := workers[r.IntN(len(workers))]
		switch in := chance(r, x.inbound); {
		case chance(r, local): // somebody in the house
			if in {
				x.called(t, x.did(), x.who.callers.next(), 0)
			} else {
				x.calls(t, x.who.callees.next(), x.did(), 0)
			}
		case chance(r, within) && other != w:
			x.bridge(w, other, other.carrier.user, w.carrier.user, other.carrier.user, w.carrier.user, 0)
		case in:
			caller, did := x.who.callers.next(), x.did()
			x.bridge(t, w, did, caller, w.carrier.user, caller, 0)
		default:
			number := x.who.callees.next()
			x.bridge(w, t, number, w.carrier.user, number, x.did(), 0)
		}
	})
}

// pbxH323 is an exchange whose trunk speaks H.323, as older ones do.
func pbxH323(s *sim) {
	x := pbxLine(s, trade(s.rng("trade")), "exchange on an H.323 trunk", 4, 60)
	r := x.r
	x.sound = &sound{main: pick(r, pcma, pcmu, g729), other: pick(r, pcma, pcmu, g729), turns: pick(r, 0, 0.2), rtcp: r.Float64()}
	x.plan = numbering{outside: pick(r, "", "9")}
	x.who.hidden = 0
	carrier := x.carrier("H.323 carrier", chance(r, 0.1))
	carrier.h323 = &peer323{gateway: true, product: pick(r, "Cisco Gatekeeper", "Gatekeeper", "SoftX"), version: version(r, "12.%d", 9), h225: byte(2 + r.IntN(4)), fast: chance(r, 0.5)}
	pbx := s.newAgent(x.node, dialQuiet(), 5060, "pbx", "")
	pbx.h323 = &peer323{gateway: true, product: pick(r, "CallManager", "IP Office", "Definity", "HiPath 4000", "MCU"), version: version(r, "%d.%d.%d", 12, 9, 9), h225: byte(2 + r.IntN(4)), names: chance(r, 0.5), fast: chance(r, 0.5)}
	x.trunks = []*trunk{{pbx: pbx, carrier: carrier}}
	if chance(r, 0.7) {
		s.register323(s.start+int64(between(r, time.Second, time.Minute)), pbx, carrier, x.dids, pick(r, time.Minute, 5*time.Minute, 15*time.Minute))
		x.l.controls(carrier.node, "registrar")
	} else {
		x.l.controls(carrier.node, "trunk-peer")
	}
	x.load(spread(r, 0.8, 7))
	x.work()
}
