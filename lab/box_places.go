package lab

import "time"

// reseat gives every account a new agent where the gateway or its controller
// now is; calls in progress keep theirs.
func (g *gateway) reseat() {
	old := append([]*agent(nil), g.agents...)
	for i, a := range old {
		b := g.s.newAgent(g.node, g.d, g.port, a.user, g.ctrl.host())
		b.mapped, b.link, b.codecs, b.media, b.h323 = a.mapped, a.link, a.codecs, a.media, a.h323
		if a.node != g.node {
			m := *a.media
			m.node = g.node
			b.media = &m
			if i > 0 {
				b.media = g.agents[0].media
			}
		}
		g.agents[i] = b
	}
	for i := range g.channels {
		g.channels[i].account = g.agents[i%len(old)]
	}
}

// walk changes the gateway's own port every few minutes, or goes on to another
// address or port of the controller's.
func (g *gateway) walk() {
	r := g.r
	every := between(r, 90*time.Second, 15*time.Minute)
	kind := r.IntN(3)
	pool := []*agent{g.ctrl}
	if kind == 1 {
		for range 1 + r.IntN(5) {
			a := g.s.gatewaySwitch(r, g.ctrl.node.abroad, g.codec)
			a.d, a.link = g.ctrl.d, g.link()
			g.l.controls(a.node, "registrar")
			for _, m := range a.relays {
				g.l.controls(m.node, "media")
			}
			pool = append(pool, a)
		}
	}
	turn := 0
	g.s.every(g.s.start+int64(every), func() time.Duration { return every }, func() bool {
		turn++
		switch kind {
		case 0:
			if g.port++; g.port > 6060 && g.port < 6100 {
				g.port = 5060
			}
		case 1:
			g.ctrl = pool[turn%len(pool)]
		case 2: // the controller's port, at its one address
			b := *g.ctrl
			b.port, b.conns = uint16(1024+r.IntN(60000)), map[*agent]*conn{}
			g.ctrl = &b
		}
		g.reseat()
		return true
	})
}

// changeCards takes channels out one by one and puts other cards in; the module
// stays.
func (g *gateway) changeCards() {
	r := g.r
	n := len(g.channels)
	spare := newCards(r, 4*n)
	next := r.IntN(n)
	turns := r.IntN(2) == 0 // one after another, or by chance
	lo := between(r, 40*time.Second, 4*time.Minute)
	hi := lo + between(r, 20*time.Second, 5*time.Minute)
	mean := max(between(r, 15*time.Minute, 70*time.Minute)/time.Duration(n), 10*time.Second)
	missed := 0 // times that a refresh did not come
	g.s.at(g.s.end, func() {
		if missed > 2 {
			g.l.shows(ShowChanges)
		}
	})
	g.s.arrivals(r, g.s.start, mean, func() {
		if next++; !turns {
			next = r.IntN(n)
		}
		ch := &g.channels[next%n]
		if ch.busy || ch.downUntil > g.s.now || len(spare) == 0 {
			return
		}
		away := between(r, lo, hi)
		ch.downUntil = g.s.now + int64(away)
		if away > g.period {
			missed++
		}
		imei := ch.card.IMEI
		ch.card, spare = spare[0], spare[1:]
		ch.card.IMEI = imei
		g.l.truth.Cards = append(g.l.truth.Cards, ch.card)
	})
}

// move carries the gateway to another line, or from it: the first line has it
// for the greater part.
func (g *gateway) move() {
	r, s := g.r, g.s
	other := s.newLine(ClassGateway, g.l.truth.Device+", at its other place", VerdictNone, VerdictCase)
	other.truth.Channels, other.truth.Cards, other.truth.Shows = g.l.truth.Channels, g.l.truth.Cards, g.l.truth.Shows
	other.truth.Controllers = g.l.truth.Controllers
	g.l.truth.Note += ", moved in mid-capture"
	span := s.end - s.start
	part := share(r, 0.55, 0.85)
	there := g.onto(other)
	home := g.node
	if r.IntN(2) == 0 {
		part = 1 - part
		home, there = there, home
		g.node = home
		g.reseat()
	}
	at := s.start + int64(part*float64(span))
	g.pauses = append(g.pauses, [2]int64{at - span/20, at + int64(share(r, 0.01, 0.08)*float64(span))})
	s.at(at, func() {
		g.node = there
		g.reseat()
	})
}

// onto makes the same device on another line.
func (g *gateway) onto(l *line) *node {
	n := l.device("gateway")
	if g.node.lan == g.node.addr {
		n.lan = n.addr
	} else {
		n.lan = g.node.lan
	}
	n.ppm, n.df = g.node.ppm, g.node.df
	n.ttl = uint8(int(g.node.ttl) + g.l.hops - l.hops)
	air := n.wifi // the place's own
	n.body = g.node.body
	n.wifi = air
	return n
}
