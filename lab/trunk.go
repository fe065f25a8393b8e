package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// house is an exchange on the line, with trunks to carriers; all media of its
// calls come from it.
type house struct {
	s        *sim
	l        *line
	r        *rand.Rand
	who      *people
	node     *node
	media    *mediaHost
	trunks   []*trunk
	provider *agent // where all trunks end; nil for one each
	dids     []string
	plan     numbering
	sound    *sound
	channels int
	used     int
	full     int       // what callers hear when there is no channel left
	clocks   []float64 // of its telephones, when their voice is passed on; else it has one
	inbound  float64
	early    float64       // share of calls in that hear the exchange before the answer
	slow     time.Duration // until it says that it rings
	gap      time.Duration
}

// trunk is one account or one peering with a carrier.
type trunk struct {
	pbx, carrier *agent
	relays       []*mediaHost
	registers    bool
	asks         bool
	guest        bool // the far end is a telephone of the house, which is asked who it is
	byAccount    bool // calls in are for the account, not for a number
	cli          int  // who is calling out: 0 a number, 1 the account with the number asserted
	extras       []string
}

// newHouse puts an exchange of lo to hi channels on a line, without trunks.
func newHouse(l *line, h *habits, lo, hi int) *house {
	s, r := l.s, l.rng
	x := &house{
		s: s, l: l, r: r, who: drawPeople(r, h), plan: drawNumbering(r), sound: drawSound(s, r), channels: sizes(r, lo, hi),
		early: pick(r, 0, 0, 0, 0.3, 1), slow: pick(r, 60*time.Millisecond, 60*time.Millisecond, 150*time.Millisecond, 600*time.Millisecond, 2500*time.Millisecond),
		full: pick(r, 486, 503, 503, 480, 600), inbound: drawShare(r, h.inbound),
	}
	if chance(r, 0.2) { // in a data centre
		l.owd, l.jit, l.loss = int64(between(r, 200*time.Microsecond, 2*time.Millisecond)), int64(20*time.Microsecond), 0
	}
	x.plan.outside = pick(r, "", "", "", "", "9", "0086", fmt.Sprint(100+r.IntN(900)))
	x.sound.music = nil
	if chance(r, 0.4) {
		x.node = l.public("pbx")
	} else {
		x.node = l.device("pbx")
	}
	if chance(r, 0.25) {
		for range sizes(r, 2, 40) {
			x.clocks = append(x.clocks, drawPPM(r))
		}
	}
	base := landline(r, x.who.callees.area)
	n := sizes(r, 1, min(100, 3*x.channels))
	for i := range n {
		x.dids = append(x.dids, fmt.Sprintf("%s%02d", base[:len(base)-2], (i+r.IntN(3))%100))
	}
	l.truth.Channels = x.channels
	return x
}

// peer adds a trunk, in one of the ways in which carriers connect exchanges.
func (x *house) peer(name string, d *dialect, abroad, registers bool) *trunk {
	s, r, l := x.s, x.r, x.l
	own := *d
	own.expires = pick(r, 60, 120, 180, 300, 600, 1800, 3600)
	carrier := x.provider
	if carrier == nil {
		carrier = x.carrier(name, abroad)
	}
	port := pick(r, uint16(5060), 5060, 5060, 5062, 5160, uint16(5060+r.IntN(4000)))
	pbx := s.newAgent(x.node, &own, port, pick(r, fmt.Sprint(2100000+r.IntN(800000)), x.dids[0], "t"+fmt.Sprint(10000+r.IntN(90000)), word(8)(r)), carrier.domain)
	pbx.mapped = chance(r, 0.8)
	pbx.codecs = x.sound.offer(r)
	if over := pick(r, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkUDP, linkTCP, linkTLS); x.provider == nil && (over == linkTCP || over == linkTLS && chance(r, 0.5)) {
		pbx.link, carrier.link = over, over
		if over == linkTLS {
			carrier.port = 5061
			x.sound.secure = pick(r, 0.0, 1, 1)
		}
	}
	if x.media == nil {
		x.media = pbx.media
	}
	pbx.media = x.media
	t := &trunk{pbx: pbx, carrier: carrier, registers: registers, asks: registers && chance(r, 0.8), byAccount: registers && chance(r, 0.25), cli: r.IntN(2)}
	if chance(r, 0.5) {
		for i := range sizes(r, 1, 6) {
			n := s.host(fmt.Sprintf("%s media %d", name, i), abroad)
			t.relays = append(t.relays, newMediaHost(n, s.rng("media")))
			l.controls(n, "media")
		}
	}
	for _, h := range []string{"P-Asserted-Identity", "P-Charging-Vector", "Session-Expires", "Privacy"} {
		if chance(r, 0.25) {
			t.extras = append(t.extras, h)
		}
	}
	if registers {
		period := time.Duration(float64(own.expires) * pick(r, 0.5, 0.8, 0.9, 0.95) * float64(time.Second))
		s.register(s.start+int64(between(r, 0, min(period, 5*time.Minute))), pbx, carrier, period, chance(r, 0.6))
	}
	if x.provider == nil || len(x.trunks) == 0 {
		role := "trunk-peer"
		if registers {
			role = "registrar"
		}
		l.controls(carrier.node, role)
	}
	if ask := pick(r, 0, 0, 15*time.Second, 30*time.Second, time.Minute, 2*time.Minute); ask > 0 {
		a, b := pbx, carrier
		if chance(r, 0.4) {
			a, b = b, a
		}
		s.options(s.start+int64(between(r, time.Second, ask)), a, b, ask)
	}
	x.trunks = append(x.trunks, t)
	return t
}

// carrier adds the far end of a trunk.
func (x *house) carrier(name string, abroad bool) *agent {
	s, r := x.s, x.r
	a := s.newAgent(s.host(name, abroad), drawServer(r), pick(r, uint16(5060), 5060, 5060, 5080, uint16(5060+r.IntN(3000))), "trunk", "")
	a.domain = a.host()
	if chance(r, 0.35) {
		a.domain = fmt.Sprintf("%s%d.example.%s", pick(r, "ims.prov", "trunk", "sbc"), r.IntN(90), pick(r, "com", "net"))
	}
	a.codecs = x.sound.offer(r)
	a.media.random = chance(r, 0.8)
	return a
}

// connect gives the exchange its ordinary trunks.
func (x *house) connect(d *dialect) {
	registers, abroad := chance(x.r, 0.6), chance(x.r, 0.06)
	for i := range pick(x.r, 1, 1, 1, 2) {
		x.peer(fmt.Sprintf("carrier %d", i), d, abroad, registers)
	}
}

// worker adds a telephone of the house that is somewhere else and registers at
// the exchange.
func (x *house) worker(user string, abroad bool) *trunk {
	s, r := x.s, x.r
	pbx := x.trunks[0].pbx
	d := *pick(r, drawSoftphone(r), drawPhone(r))
	d.expires = pick(r, 60, 120, 300, 600, 3600)
	ext := s.newAgent(s.host("worker", abroad), &d, uint16(1024+r.IntN(64000)), user, pbx.host())
	ext.codecs = pbx.codecs
	s.register(s.start+int64(between(r, 0, 3*time.Minute)), ext, pbx, time.Duration(d.expires)*time.Second*9/10, chance(r, 0.7))
	if chance(r, 0.5) {
		s.options(s.start+int64(between(r, time.Second, time.Minute)), pbx, ext, time.Minute)
	}
	return &trunk{pbx: pbx, carrier: ext, guest: true}
}

func (x *house) any() *trunk { return x.trunks[x.r.IntN(len(x.trunks))] }
func (x *house) did() string { return x.dids[x.r.IntN(len(x.dids))] }

// heads writes what goes with a call on a trunk.
func (t *trunk) heads(r *rand.Rand, who string) []field {
	var list []field
	for _, h := range t.extras {
		v := "<sip:" + who + "@" + t.carrier.domain + ">"
		switch h {
		case "P-Charging-Vector":
			v = "icid-value=" + hex16(r)
		case "Session-Expires":
			v = "1800;refresher=uac"
		case "Privacy":
			v = "none"
		}
		list = append(list, field{h, v})
	}
	return list
}

// far puts the carrier's media where they come from, with a stranger's clock.
func (t *trunk) far(r *rand.Rand, c *call, side int, ppm float64) {
	if len(t.relays) > 0 {
		c.media[side] = t.relays[r.IntN(len(t.relays))]
	}
	c.relayed[side], c.ppm[side] = true, ppm
}

// near gives the exchange's side of a call the clock that it has.
func (x *house) near(c *call, side int) {
	if len(x.clocks) > 0 {
		c.relayed[side], c.ppm[side] = true, x.clocks[x.r.IntN(len(x.clocks))]
	}
}

// inward makes a call that comes over a trunk for a number.
func (x *house) inward(t *trunk, c *call, called, caller string) {
	c.from, c.to, c.called, c.calling = t.carrier, t.pbx, national(x.plan.calling, called), x.who.shown(x.plan.in(caller))
	if t.byAccount {
		c.called, c.toContact = t.pbx.user, true
		c.extra = append(c.extra, field{"P-Called-Party-ID", "<sip:" + called + "@" + t.carrier.domain + ">"})
	}
	c.challenge = t.guest
	c.fromDomain, c.toDomain = t.carrier.domain, ""
	c.extra = append(c.extra, t.heads(x.r, c.calling)...)
	t.far(x.r, c, 0, drawPPM(x.r))
}

// outward makes a call that goes out over a trunk.
func (x *house) outward(t *trunk, c *call, number, cli string) {
	c.from, c.to, c.called, c.calling, c.challenge = t.pbx, t.carrier, x.plan.out(number), national(x.plan.calling, cli), t.asks
	c.find(x.r, number)
	if t.cli == 1 && t.registers {
		c.calling = t.pbx.user
		c.extra = append(c.extra, field{"P-Preferred-Identity", "<sip:" + cli + "@" + t.carrier.domain + ">"})
	}
	c.fromDomain, c.toDomain = t.carrier.domain, t.carrier.domain
	c.extra = append(c.extra, t.heads(x.r, cli)...)
	t.far(x.r, c, 1, drawPPM(x.r))
}

// begin performs a call of one leg; false when no channel is free, which a
// caller is told.
func (x *house) begin(c *call, near int) bool {
	x.sound.give(x.r, c, near, false)
	guard(c)
	if x.used >= x.channels {
		if near == 1 {
			c.status, c.ring, c.delay = x.full, 0, 40*time.Millisecond
			x.s.perform(c)
		}
		return false
	}
	x.used++
	over := c.over
	c.over = func() {
		x.used--
		if over != nil {
			over()
		}
	}
	x.s.perform(c)
	return true
}

// calls lets somebody of the house call a number.
func (x *house) calls(t *trunk, number, cli string, tries int) {
	c := x.who.course(true)
	c.early = chance(x.r, 0.8)
	x.outward(t, c, number, cli)
	x.near(c, 0)
	x.s.persist(x.who, c, tries, func(n int) { x.calls(t, number, cli, n) })
	x.begin(c, 0)
}

// called lets somebody call a number of the house.
func (x *house) called(t *trunk, did, caller string, tries int) {
	c := x.who.course(false)
	c.delay += lognormal(x.r, x.slow, 0.5, 20*time.Millisecond, 8*time.Second) // the telephone is behind the exchange
	c.early = chance(x.r, x.early)
	x.inward(t, c, did, caller)
	x.near(c, 1)
	x.s.persist(x.who, c, tries, func(n int) { x.called(t, did, caller, n) })
	x.begin(c, 1)
}

// menu lets a machine of the house take a call: it speaks before or after the
// answer, the caller presses keys, and waits.
func (x *house) menu(t *trunk, did, caller string, done func()) {
	r := x.r
	c := x.who.course(false)
	c.delay, c.ring = between(r, 30*time.Millisecond, 400*time.Millisecond), between(r, 0, 2*time.Second)
	c.status = outcome(r, share(r, 0.92, 1))
	c.early = chance(r, 0.3)
	if c.early {
		c.ring = lognormal(r, 8*time.Second, 0.6, time.Second, 40*time.Second)
	}
	if chance(r, 0.8) {
		c.keys = 1 + r.IntN(5)
	}
	if chance(r, 0.3) { // gave up at the menu
		c.talk, c.byCaller = lognormal(r, 18*time.Second, 0.6, 3*time.Second, time.Minute), true
	}
	x.inward(t, c, did, caller)
	c.over = done
	x.begin(c, 1)
}

// bridge joins a call that comes in over one trunk to one that goes out over
// another: two legs, each other's clocks. The second begins after wait.
func (x *house) bridge(in, out *trunk, called, caller, onward, cli string, wait time.Duration) {
	r := x.r
	if x.used+2 > x.channels {
		return
	}
	c := x.who.course(true)
	c.early = chance(r, 0.6)
	c.keys = 0
	c.find(r, onward)
	next := *c
	x.inward(in, c, called, caller)
	x.outward(out, &next, onward, cli)
	if chance(r, 0.5) {
		next.extra = append(next.extra, field{"Diversion", "<sip:" + called + "@" + out.carrier.domain + ">;reason=unconditional"})
	}
	c.relayed, next.relayed = [2]bool{true, true}, [2]bool{true, true}
	c.ppm[1], next.ppm[0] = next.ppm[1], c.ppm[0]
	x.sound.give(r, c, 1, false)
	next.codec, next.rtcp, next.silence, next.variety, next.early = c.codec, c.rtcp, c.silence, c.variety, c.early
	hop := in.carrier.node.owd + x.node.owd + int64(between(r, 5*time.Millisecond, 150*time.Millisecond)) + int64(wait)
	back := time.Duration(2*(x.node.owd+out.carrier.node.owd)) + 30*time.Millisecond
	if wait > 0 { // it rings in the house first
		c.ring += wait + c.delay + back
		c.delay = 80 * time.Millisecond
	} else {
		c.delay += back
	}
	x.used += 2
	c.over = func() { x.used-- }
	next.over = func() { x.used-- }
	x.s.perform(c)
	x.s.place(x.s.now+hop, &next)
}

// work lets the people of the house telephone as the day goes.
func (x *house) work() {
	x.s.visits(x.r, &x.who.day, x.gap, func() {
		if chance(x.r, x.inbound) {
			x.called(x.any(), x.did(), x.who.callers.next(), 0)
		} else {
			x.calls(x.any(), x.who.callees.next(), x.did(), 0)
		}
	})
}

// load sets how often somebody telephones, so that on average the given number
// of calls is there at the peak.
func (x *house) load(erlang float64) {
	x.gap = time.Duration(float64(x.who.held()) / min(erlang*x.sound.ease(), 0.7*float64(x.channels)))
}
