package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// tradingHouse is an exchange of a line with its trunks, all of it drawn.
type tradingHouse struct {
	s      *sim
	l      *line
	r      *rand.Rand
	m      *manner
	pbx    *agent
	trunks []*agent // the first carries most
	own    []string
	write  *speller
	area   string
	// trusted trunks ask for no credentials.
	trusted bool
	// anchored exchanges send everything in one rhythm of their own.
	anchored bool
	used     int
}

// newHouse puts an exchange with room for so many calls on a line.
func (s *sim) newHouse(l *line, d *dialect, channels int, people, abroad float64) *tradingHouse {
	r := l.rng
	l.truth.Channels = channels
	l.reach(reachLeased, reachFibre, reachFibre, reachFibre, reachDSL, reachCable)
	h := &tradingHouse{s: s, l: l, r: r, m: newManner(r), area: area(r), anchored: chance(r, 0.7)}
	dev := l.boxAt("pbx", 0.35)
	s.beside(l, dev, people)
	h.pbx = s.newAgent(dev, d, pick(r, uint16(5060), 5060, 5060, 5080, uint16(spread(r, 1025, 60000))), fmt.Sprint(sizes(r, 1000, 99_999_999)), "")
	h.pbx.mapped = chance(r, 0.85)
	h.pbx.codecs = distinct(h.m.codecs)
	ports(r, h.pbx, channels)
	switch {
	case chance(r, 0.1):
		h.pbx.link = linkTCP
	case chance(r, 0.06):
		h.pbx.link = linkTLS
		l.truth.Note, h.m.media.secure, h.m.fax = "TLS and SRTP on the trunk", true, 0
	}
	for i := range pick(r, 1, 1, 1, 2) {
		t := s.newAgent(s.host("carrier", chance(r, abroad)), switchDialect(r), pick(r, uint16(5060), 5060, 5060, uint16(spread(r, 1025, 60000))), "trunk", "")
		t.domain, t.codecs, t.link = t.host(), h.pbx.codecs, h.pbx.link
		ports(r, t, 4*channels)
		t.media.random = chance(r, 0.7)
		if chance(r, 0.3) {
			t.media = newMediaHost(s.host("carrier's media", t.node.abroad), r)
			t.media.random = true
			l.controls(t.media.node, "media")
		}
		if i == 0 {
			h.pbx.domain = t.host()
			h.trusted = !s.joins(l, h.pbx, t, 0.5) || chance(r, 0.2)
		} else {
			l.controls(t.node, "trunk-peer")
			s.signs(r, h.pbx, t)
		}
		h.trunks = append(h.trunks, t)
	}
	base := landline(r, h.area)
	for i := range sizes(r, 1, 60) {
		h.own = append(h.own, fmt.Sprintf("%s%02d", base[:len(base)-2], (i+10)%100))
	}
	h.write = newSpeller(r, "", formNational, formNational, formPlus, formCode)
	return h
}

func (h *tradingHouse) trunk() *agent {
	x := h.r.Float64()
	return h.trunks[int(x*x*float64(len(h.trunks)))]
}

// clock settles whose rhythm the exchange's side of a call has.
func (h *tradingHouse) clock(c *call, own int) {
	c.relayed[1-own], c.ppm[1-own] = true, drawPPM(h.r)
	if !h.anchored {
		c.relayed[own], c.ppm[own] = true, drawPPM(h.r)
	}
}

// out places a call to the world; false when there is no room for it.
func (h *tradingHouse) out(c *call, called, calling string) bool {
	if h.used >= h.l.truth.Channels {
		return false
	}
	c.from, c.to, c.called, c.calling = h.pbx, h.trunk(), h.write.write(called), calling
	c.challenge = !h.trusted && c.to == h.trunks[0]
	c.find(h.r, called)
	c.fromDomain, c.toDomain = c.to.host(), c.to.host()
	h.clock(c, 0)
	h.hold(c)
	h.s.perform(c)
	return true
}

// in takes a call from the world; false when there is no room for it.
func (h *tradingHouse) in(c *call, called, calling string) bool {
	if h.used >= h.l.truth.Channels {
		return false
	}
	c.from, c.to, c.called, c.calling = h.trunk(), h.pbx, called, h.write.write(calling)
	c.toDomain = hostOnly(h.pbx.node.addr)
	h.clock(c, 1)
	h.hold(c)
	h.s.perform(c)
	return true
}

// hold keeps a place for the call until it is over.
func (h *tradingHouse) hold(c *call) {
	h.used++
	then := c.over
	c.over = func() {
		h.used--
		if then != nil {
			then()
		}
	}
}

// business is what the people of a house do with their telephones, both ways.
func (h *tradingHouse) business(who *contacts, erlangs, inward float64) {
	r := h.r
	did := func() string { return pick(r, h.own...) }
	h.s.flowing(r, h.s.start, h.m.gap(erlangs), func() {
		c := h.m.draw()
		if chance(r, inward) {
			c.delay = between(r, 80*time.Millisecond, 1500*time.Millisecond)
			h.in(c, did(), who.next())
		} else {
			h.out(c, who.next(), did())
		}
	})
}
