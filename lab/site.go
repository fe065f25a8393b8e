package lab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sound is how the calls of a site carry voice.
type sound struct {
	main, other *codec // most calls use the first
	turns       float64
	rtcp        float64 // share of calls with reports
	dtx         float64 // share of calls with suppressed silence
	muxed       bool
	secure      float64
	page        bool // of web pages
	late        float64
	music       *mediaHost
	event       uint8
	noise       uint8
}

// drawSound draws codecs by their shares in offices, and the rest.
func drawSound(s *sim, r *rand.Rand) *sound {
	x := &sound{
		main: pick(r, pcma, pcma, pcma, pcma, pcma, pcmu, pcmu, g729, g729, g722), other: pick(r, pcma, pcmu, g729),
		turns: pick(r, 0, 0.05, 0.2, 0.5), rtcp: pick(r, 0, 0, 0.5, 1, 1), dtx: pick(r, 0, 0, 0, 0.1, 0.6, 1),
		muxed: chance(r, 0.08), event: pick(r, 0, 0, 0, uint8(96), 97, 127),
	}
	if chance(r, 0.2) {
		ms := pick(r, 10, 30, 30, 40)
		if x.main == g729 && chance(r, 0.4) || chance(r, 0.03) {
			ms = 60
		}
		x.main = x.main.in(ms)
		x.other = x.other.in(ms)
	}
	if x.other.pt == x.main.pt {
		x.other = x.main
	}
	if x.dtx > 0 && chance(r, 0.5) {
		x.noise = pick(r, uint8(13), 13, 98)
	}
	if chance(r, 0.08) {
		x.late = share(r, 0.05, 0.9)
	}
	if chance(r, 0.04) {
		x.secure = 1
	}
	if chance(r, 0.25) {
		x.music = newMediaHost(s.host("music on hold", false), r)
	}
	return x
}

// offer lists the codecs that an agent of the site names.
func (x *sound) offer(r *rand.Rand) []*codec {
	list := []*codec{x.main}
	if x.turns > 0 && x.other != x.main {
		list = append(list, x.other)
	}
	if x.main.ms == 0 && chance(r, 0.5) {
		for _, k := range []*codec{pcma, pcmu, g729} {
			if !slices.Contains(list, k) {
				list = append(list, k)
			}
		}
	}
	return list
}

// ease is by how much a site whose packets are short has to be less busy, so
// that captures do not grow with them.
func (x *sound) ease() float64 { return min(1, float64(x.main.frame())/20) }

// give makes a call sound like the site's; near is the side of the line.
func (x *sound) give(r *rand.Rand, c *call, near int, secure bool) {
	c.codec = x.main
	if chance(r, x.turns) {
		c.codec = x.other
	}
	c.rtcp = chance(r, x.rtcp)
	if chance(r, x.dtx) {
		c.silence[near] = share(r, 0.25, 0.6)
		if chance(r, 0.5) {
			c.silence[1-near] = share(r, 0.25, 0.6)
		}
	}
	v := variety{event: x.event, noise: x.noise, muxed: x.muxed, secure: secure || chance(r, x.secure), page: x.page, late: chance(r, x.late)}
	if c.hold && x.music != nil && near == 0 {
		v.music, c.hold = x.music, false
	}
	if v != (variety{}) {
		c.variety = &v
		c.early = c.early && !v.late
	}
}

// site is a place with telephones that all belong to one exchange or provider
// beyond the tap.
type site struct {
	s       *sim
	l       *line
	r       *rand.Rand
	who     *people
	desks   []*desk
	home    map[link]*agent // the exchange, as each transport reaches it
	host    *node
	relays  []*mediaHost // where the exchange's media come from
	plan    numbering
	sound   *sound
	domain  string
	did     string // without its last digits
	direct  bool   // colleagues' voice stays in the house
	hunt    int    // how many telephones ring for a call to the house
	own     bool   // the exchange's media have its own clock
	extras  []string
	asks    bool    // calls are challenged
	within  float64 // share of calls between colleagues
	inbound float64
	gap     time.Duration
	// sealed is told when a call is answered whose near side is a web page.
	sealed func(c *call, near int)
}

// desk is one telephone, or one port of an adapter.
type desk struct {
	*agent
	server *agent
	did    string
	busy   bool
	secure bool  // SRTP
	away   int64 // when it is back
	// registered is its account's registration, nil when another port's does.
	registered *registration
}

// newSite puts an exchange beyond the tap for the people of a line.
func newSite(l *line, h *habits, d *dialect, abroad bool) *site {
	s, r := l.s, l.rng
	x := &site{
		s: s, l: l, r: r, who: drawPeople(r, h), home: map[link]*agent{}, plan: drawNumbering(r), sound: drawSound(s, r),
		direct: chance(r, 0.6), hunt: pick(r, 1, 1, 1, 2, 3, 6), own: chance(r, 0.3), asks: chance(r, 0.75),
		within: drawShare(r, h.internal), inbound: drawShare(r, h.inbound),
	}
	x.host = s.host("exchange", abroad)
	port := pick(r, uint16(5060), 5060, 5060, 5060, 5061, 5080, 5160, 6060, uint16(10000+r.IntN(50000)))
	x.server(linkUDP, d, port)
	x.domain = x.home[linkUDP].host()
	if chance(r, 0.4) {
		x.domain = fmt.Sprintf("%s%d.%s", pick(r, "pbx", "sip", "ims", "voice", "t"), r.IntN(900), pick(r, "example.com", "example.net", "voip.example", "cloud.example"))
	}
	l.controls(x.host, "registrar")
	if chance(r, 0.5) {
		for i := range sizes(r, 1, 6) {
			n := s.host(fmt.Sprintf("media %d", i), abroad != chance(r, 0.1))
			x.relays = append(x.relays, newMediaHost(n, s.rng("media")))
			l.controls(n, "media")
		}
	}
	base := landline(r, x.who.callees.area)
	x.did = base[:len(base)-2]
	for _, h := range []string{"P-Asserted-Identity", "Remote-Party-ID", "P-Called-Party-ID", "Alert-Info", "X-CID"} {
		if chance(r, 0.25) {
			x.extras = append(x.extras, h)
		}
	}
	return x
}

// server adds the exchange's agent for a transport.
func (x *site) server(k link, d *dialect, port uint16) *agent {
	a := x.s.newAgent(x.host, d, port, "", "")
	a.user, a.domain, a.link = "pbx", x.domain, k
	a.codecs = x.sound.offer(x.r)
	if x.domain == "" {
		a.domain = a.host()
	}
	if first := x.home[linkUDP]; first != nil {
		a.media = first.media
	}
	a.media.random = chance(x.r, 0.7)
	x.home[k] = a
	return a
}

// reach gives the exchange's agent for a transport, which is made when it is
// first asked for.
func (x *site) reach(k link) *agent {
	if a := x.home[k]; a != nil {
		return a
	}
	port := map[link]uint16{linkTCP: 5060, linkTLS: 5061, linkWS: 8088, linkWSS: pick(x.r, uint16(443), 8089, 7443)}[k]
	return x.server(k, x.home[linkUDP].d, port)
}

// accounts names n accounts in one of the ways that providers do.
func (x *site) accounts(n int) []string {
	r := x.r
	first := pick(r, 100, 101, 201, 601, 801, 1000, 2001, 8001, 6001)
	tenant := strconv.Itoa(10000 + r.IntN(900000))
	style := weighted(r, 35, 20, 15, 15, 15)
	names := make([]string, n)
	for i := range names {
		ext := strconv.Itoa(first + i)
		switch style {
		case 0:
			names[i] = ext
		case 1:
			names[i] = x.did + fmt.Sprintf("%02d", (10+i)%100) + strings.Repeat("0", i/90)
		case 2:
			names[i] = pick(r, "sip", "t") + tenant + "x" + ext
		case 3: // drawn by a machine
			names[i] = word(8)(r)
		default:
			names[i] = tenant + ext
		}
	}
	return names
}

// upkeep is how the telephones of a site keep their accounts.
type upkeep struct {
	expires   int
	period    time.Duration
	everyTime bool
	ask       time.Duration // between OPTIONS of the server, 0 never
	hush      time.Duration // between empty packets that keep the NAT open
	lamps     int           // colleagues each watches, at most
	mailbox   bool
	presence  bool
	port      uint16
	step      uint16 // between ports of telephones
	mapped    bool
}

func drawUpkeep(r *rand.Rand) upkeep {
	k := upkeep{
		expires: pick(r, 60, 90, 120, 180, 300, 600, 900, 1800, 3600, 3600, 3600), everyTime: chance(r, 0.6),
		ask: pick(r, 0, 0, 15*time.Second, 30*time.Second, 60*time.Second, 120*time.Second), hush: pick(r, 0, 0, 15*time.Second, 20*time.Second, 30*time.Second),
		mailbox: chance(r, 0.5), presence: chance(r, 0.1), mapped: chance(r, 0.4),
		port: pick(r, uint16(5060), 5060, 5060, 5060, 5062, 5070, uint16(1024+r.IntN(60000))), step: pick(r, uint16(0), 0, 0, 2),
	}
	if chance(r, 0.5) {
		k.lamps = sizes(r, 1, 12)
	}
	k.period = time.Duration(float64(k.expires) * pick(r, 0.5, 0.5, 0.8, 0.9, 0.95) * float64(time.Second))
	return k
}

// telephone adds a telephone of the site on a device.
func (x *site) telephone(n *node, d *dialect, k link, user string, u *upkeep) *desk {
	s, r := x.s, x.r
	own := *d
	own.expires = u.expires
	p := s.newAgent(n, &own, u.port+u.step*uint16(len(x.desks)), user, x.domain)
	p.mapped, p.link = u.mapped, k
	p.codecs = x.sound.offer(r)
	if chance(r, 0.5) {
		p.name = user
	}
	d2 := &desk{agent: p, server: x.reach(k), did: x.did + fmt.Sprintf("%02d", len(x.desks)%100)}
	x.desks = append(x.desks, d2)
	return d2
}

// live lets a telephone keep its account from t on.
func (x *site) live(p *desk, t int64, u *upkeep) {
	s, r := x.s, x.r
	x.enrol(p, t, u)
	if u.ask > 0 {
		s.options(t+int64(between(r, time.Second, u.ask)), p.server, p.agent, u.ask)
	}
	if u.hush > 0 && p.link != linkWS {
		s.hush(t+int64(u.hush), p.agent, p.server, u.hush)
	}
	if u.mailbox {
		s.subscribe(t+int64(time.Second), p.agent, p.server, "message-summary", p.user)
	}
	if u.lamps > 0 {
		event := "dialog"
		if u.presence {
			event = "presence"
		}
		for i := range r.IntN(u.lamps + 1) {
			s.subscribe(t+int64(2+i)*int64(time.Second), p.agent, p.server, event, x.desks[r.IntN(len(x.desks))].user)
		}
	}
}

// enrol registers a telephone at t and keeps it registered while it is there.
func (x *site) enrol(p *desk, t int64, u *upkeep) {
	s, r := x.s, x.r
	g := s.newDialog(p.agent, p.server, aor(p.name, p.user, p.domain), aor(p.name, p.user, p.domain), "sip:"+p.domain)
	p.registered = &registration{client: p.agent, registrar: p.server, expires: u.expires, everyTime: u.everyTime, g: g}
	period := max(10*time.Second, u.period-time.Duration(r.Int64N(int64(3*time.Second))))
	s.every(t, func() time.Duration { return period + time.Duration(p.r.Int64N(int64(60*time.Millisecond))) }, func() bool {
		if p.away <= s.now {
			p.registered.refresh(s.now)
		}
		return true
	})
}

// leave takes a telephone away for a while: unplugged, asleep, out of the
// house. The polite ones say goodbye; back again, it registers at once.
func (x *site) leave(p *desk, d time.Duration, polite bool) {
	if p.busy || p.away > x.s.now || p.registered == nil {
		return
	}
	if g := p.registered; polite && g.nonce != "" {
		expires := g.expires
		g.expires = 0
		g.refresh(x.s.now)
		g.expires = expires
	}
	p.away = x.s.now + int64(d)
	x.s.at(p.away, func() { p.registered.refresh(x.s.now) })
}

// absences lets telephones come and go: laptops all day, those on desks hardly
// ever, and now and then the power or the access fails for all.
func (x *site) absences(soft bool) {
	r, s := x.r, x.s
	every := pick(r, 0, 0, 0, 4*time.Hour, 30*time.Minute)
	if soft {
		every = pick(r, 0, 90*time.Minute, 20*time.Minute, 5*time.Minute)
	}
	polite, long := r.Float64(), span(r, time.Minute, time.Hour)
	if every > 0 {
		s.arrivals(r, s.start, max(every/time.Duration(len(x.desks)), 20*time.Second), func() {
			x.leave(x.desks[r.IntN(len(x.desks))], lognormal(r, long, 1, 10*time.Second, 5*time.Hour), chance(r, polite))
		})
	}
	if chance(r, 0.1) {
		x.outage()
	}
}

// outage lets the power or the access fail once.
func (x *site) outage() {
	x.s.at(x.s.start+x.r.Int64N(x.s.end-x.s.start), func() {
		for _, p := range x.desks {
			x.leave(p, between(x.r, time.Minute, 8*time.Minute), false)
		}
	})
}

// company is what else there is on a line, from a voice access with nothing to
// an office full of computers.
func (s *sim) company(l *line, most int) {
	r := l.rng
	kind := weighted(r, 15, 15, 70)
	if kind == 0 {
		if chance(r, 0.5) { // even the clock is set by the exchange's maker
			s.chores(l, l.device("router"))
		}
		return
	}
	pc := l.device("computer")
	s.chores(l, pc)
	if kind == 1 {
		s.web(l, pc, span(r, time.Minute, 6*time.Minute), 60_000)
		return
	}
	slow := max(1, (s.end-s.start)/int64(time.Hour))
	mean := func() time.Duration { return span(r, 25*time.Second, 3*time.Minute) * time.Duration(slow) }
	for range sizes(r, 1, max(1, most)) {
		s.browse(l, l.device("computer"), mean(), 90_000)
	}
	if chance(r, 0.4) {
		s.quic(l, pc, 2*mean(), 200)
	}
	if chance(r, 0.15) {
		s.appCall(l, pc, between(r, time.Minute, 6*time.Minute))
	}
}

// hush sends what keeps a binding of a NAT open: line ends (RFC 5626), or
// nothing much. A connection's other end answers them.
func (s *sim) hush(t int64, a, server *agent, period time.Duration) {
	what := pick(a.r, "\r\n\r\n", "\r\n\r\n", "\x00\x00\x00\x00", "\x00\x00")
	f := s.flow(a.node, a.node.port(a.port, false), server.node, server.port, protoUDP)
	s.every(t, func() time.Duration { return period }, func() bool {
		if a.link == linkUDP {
			s.send(s.now, f, kindSIP, []byte(what))
		} else {
			t := a.pass(s.now, server, []byte("\r\n\r\n"))
			server.pass(t+server.think(), a, []byte("\r\n"))
		}
		return true
	})
}

// free draws an idle telephone; nil when it cannot find one.
func (x *site) free() *desk {
	for range 3 {
		if d := x.desks[x.r.IntN(len(x.desks))]; !d.busy && d.away <= x.s.now {
			return d
		}
	}
	return nil
}

// anchor puts the far side's media where the site has them.
func (x *site) anchor(c *call, far int) {
	if len(x.relays) > 0 {
		c.media[far] = x.relays[x.r.IntN(len(x.relays))]
	}
	if !x.own {
		c.relayed[far], c.ppm[far] = true, drawPPM(x.r)
	}
}

// settle completes a call of a desk.
func (x *site) settle(c *call, d *desk, far int) {
	c.fromDomain, c.toDomain = x.domain, x.domain
	x.anchor(c, far)
	x.sound.give(x.r, c, 1-far, d.secure)
	guard(c)
	if x.sealed != nil {
		c.answered = func() { x.sealed(c, 1-far) }
	}
}

// guard keeps the parts of a plan that cannot go together apart.
func guard(c *call) {
	if c.variety != nil && (c.variety.fax || c.variety.codec != nil || c.variety.music != nil) {
		c.hold, c.refresh = false, 0
	}
}

func (d *desk) take(c *call) {
	d.busy = true
	over := c.over
	c.over = func() {
		d.busy = false
		if over != nil {
			over()
		}
	}
}

// calls lets a telephone call a number of the world.
func (x *site) calls(d *desk, number string, tries int) *call {
	c := x.who.course(true)
	c.from, c.to, c.called, c.calling, c.challenge = d.agent, d.server, x.plan.out(number), d.user, x.asks
	c.early = chance(x.r, 0.7)
	c.find(x.r, number)
	x.settle(c, d, 1)
	x.s.persist(x.who, c, tries, func(n int) {
		if !d.busy && d.away <= x.s.now {
			x.calls(d, number, n)
		}
	})
	d.take(c)
	x.s.perform(c)
	return c
}

// called lets somebody of the world call a telephone.
func (x *site) called(d *desk, caller string, tries int) *call {
	c := x.who.course(false)
	c.from, c.to, c.called, c.calling, c.toContact = d.server, d.agent, d.user, x.who.shown(x.plan.in(caller)), true
	c.extra = x.heads(d, c.calling)
	x.settle(c, d, 0)
	x.s.persist(x.who, c, tries, func(n int) {
		if !d.busy && d.away <= x.s.now {
			x.called(d, caller, n)
		}
	})
	d.take(c)
	x.s.perform(c)
	return c
}

// engaged tells somebody who calls a telephone in use that it is.
func (x *site) engaged(d *desk, caller string) {
	c := x.who.course(false)
	c.from, c.to, c.called, c.calling, c.toContact = d.server, d.agent, d.user, x.who.shown(x.plan.in(caller)), true
	c.status, c.ring, c.delay, c.hold, c.refer = 486, 0, 20*time.Millisecond, false, false
	c.extra = x.heads(d, c.calling)
	x.settle(c, d, 0)
	x.s.perform(c)
}

// heads writes what the exchange tells a telephone of a call.
func (x *site) heads(d *desk, caller string) []field {
	var list []field
	for _, h := range x.extras {
		v := "<sip:" + caller + "@" + x.domain + ">"
		switch h {
		case "P-Called-Party-ID":
			v = "<sip:" + d.did + "@" + x.domain + ">"
		case "Alert-Info":
			v = "<http://127.0.0.1/Bellcore-dr2>"
		case "X-CID":
			v = hex8(x.r)
		case "Remote-Party-ID":
			v += ";party=calling;privacy=off;screen=no"
		}
		list = append(list, field{h, v})
	}
	return list
}

// rings lets a call to the house ring at some telephones; one takes it.
func (x *site) rings(caller string) {
	d := x.free()
	if d == nil {
		return
	}
	c := x.called(d, caller, 0)
	for range x.hunt - 1 {
		o := x.free()
		if o == nil || o == d {
			continue
		}
		also := *c
		also.to, also.from, also.called, also.status = o.agent, o.server, o.user, 487
		also.media, also.ports, also.hold, also.refer, also.over = [2]*mediaHost{c.media[0], nil}, [2]uint16{}, false, false, nil
		also.delay = lognormal(x.r, 120*time.Millisecond, 0.8, 20*time.Millisecond, time.Second)
		o.take(&also)
		x.s.perform(&also)
	}
}

// colleagues lets one telephone of the site call another through the exchange.
func (x *site) colleagues(a, b *desk) {
	c := x.who.course(false)
	c.from, c.to, c.called, c.calling, c.challenge = a.agent, a.server, b.user, a.user, x.asks
	c.fromDomain, c.toDomain = x.domain, x.domain
	x.sound.give(x.r, c, 0, a.secure && b.secure)
	c.hold, c.early = c.hold && c.variety == nil, false
	leg := *c
	leg.from, leg.to, leg.challenge, leg.toContact, leg.hold = b.server, b.agent, false, true, false
	c.refer = false // it is the callee who passes a call on
	c.media[1], leg.media[0] = b.media, a.media
	if !x.direct { // the exchange passes each one's voice on
		c.media[1], leg.media[0] = nil, nil
		x.anchor(c, 1)
		leg.media[0], leg.relayed[0] = c.media[1], true
		c.relayed[1], c.ppm[1], leg.ppm[0] = true, b.node.ppm, a.node.ppm
		if x.sealed != nil {
			c.answered, leg.answered = func() { x.sealed(c, 0) }, func() { x.sealed(&leg, 1) }
		}
	}
	a.take(c)
	b.take(&leg)
	x.s.perform(c)
	x.s.place(x.s.now+int64(60*time.Millisecond)+a.node.owd+a.server.node.owd, &leg)
}

// page lets the exchange speak to many telephones at once.
func (x *site) page(desks []*desk, talk time.Duration) {
	for _, d := range desks {
		if d.busy || d.away > x.s.now {
			continue
		}
		c := &call{status: 200, delay: 30 * time.Millisecond, talk: talk, codec: x.sound.main, from: d.server, to: d.agent, called: d.user, calling: "900", toContact: true, fromDomain: x.domain, toDomain: x.domain}
		c.extra = []field{{"Call-Info", "<sip:" + x.domain + ">;answer-after=0"}}
		d.take(c)
		x.s.perform(c)
	}
}

// work lets people telephone all day, mean gap apart at the peak.
func (x *site) work() {
	day := x.who.day
	x.s.visits(x.r, &day, x.gap, func() {
		d := x.free()
		if d == nil {
			return
		}
		switch {
		case chance(x.r, x.within) && len(x.desks) > 1:
			if o := x.free(); o != nil && o != d {
				x.colleagues(d, o)
			}
		case chance(x.r, x.inbound):
			if any := x.desks[x.r.IntN(len(x.desks))]; any.busy && any.away <= x.s.now {
				x.engaged(any, x.who.callers.next())
			} else if chance(x.r, 0.5) {
				x.rings(x.who.callers.next())
			} else {
				x.called(d, x.who.callers.next(), 0)
			}
		default:
			c := x.calls(d, x.who.callees.next(), 0)
			if c.status == 200 && c.talk > time.Minute && chance(x.r, 0.04) { // a third one is added
				number := x.who.callees.next()
				x.s.after(c.talk/4+c.ring, func() { x.calls(d, number, 4) })
			}
		}
	})
}

// load sets how often people telephone so that the mean number of calls at the
// peak is erlang, and never more than the telephones allow.
func (x *site) load(erlang float64) {
	erlang = min(erlang*x.sound.ease(), 0.6*float64(len(x.desks)))
	x.gap = time.Duration(float64(x.who.held()) / erlang)
}
