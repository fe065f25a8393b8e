package lab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// breakoutScenarios are licensed gateways to the telephone network. Most stand
// in branch offices and carry calls both ways; fewer belong to carriers and take
// calls alone. About one in twenty is dark: nothing of what its line shows is
// unlike a box of SIM cards but the network behind it.
func breakoutScenarios() []Scenario {
	const m = time.Minute
	list := []Scenario{
		// Analogue lines are what small branches have, and most branches are small.
		{Name: "breakout-fxo-both", Text: "FXO gateway of 1 to 24 lines, calls both ways, callees of every kind", Share: 0.26, Heavy: true, duration: 60 * m, build: breakoutFXO},
		{Name: "breakout-e1-both", Text: "E1 gateway of 30 to 120 channels, calls both ways, callees of every kind", Share: 0.22, Heavy: true, duration: 30 * m, build: breakoutE1},
		// Hop-off is licensed to few, but each has many gateways.
		{Name: "breakout-termination", Text: "licensed tail-end hop-off: calls in only, to landlines and mobiles of the area", Share: 0.12, Heavy: true, duration: 30 * m, build: breakoutTermination},
		{Name: "breakout-local", Text: "a branch office's way out for local, short and emergency numbers", Share: 0.23, Heavy: true, duration: 90 * m, build: breakoutLocal},
		{Name: "breakout-dark", Text: "licensed gateway at its worst: hardly anything but calls in to ever-new mobiles", Share: 0.05, Heavy: true, duration: 30 * m, build: breakoutDark},
		{Name: "breakout-alarm", Text: "gateway through which alarm panels and callback servers dial the same few", Share: 0.07, Heavy: true, duration: 180 * m, build: breakoutAlarm},
		// Fixed wireless terminals are common where no cable goes, but few have one on SIP.
		{Name: "breakout-radio", Text: "licensed fixed-wireless terminal: one number of a mobile network, calls both ways", Share: 0.05, duration: 120 * m, build: breakoutRadio},
	}
	for i := range list {
		list[i].Class = ClassBreakout
	}
	return list
}

// breakoutGate is a gateway of one line, and who uses it.
type breakoutGate struct {
	s     *sim
	l     *line
	r     *rand.Rand
	gw    *agent
	peers []*agent // whose calls it carries; the first most
	m     *manner
	way   int
	lines int
	used  int
	write *speller
	who   *contacts
	own   []string // its numbers in the telephone network
	staff []string // extensions and names behind the peers
	// blind gateways do not learn when the callee answers: they say so as soon
	// as they have dialled.
	blind bool
	pai   bool // the peers tell who the caller is
	wire  int
	far   *tunnel
	// accounts are the gateway's where each line has one of its own.
	accounts []*agent
}

// How a gateway and its peers speak.
const (
	wireUDP = iota
	wireTCP
	wireTLS    // and SRTP
	wireTunnel // between the offices' routers
	wire323
)

// place is where a gateway stands.
type place struct {
	abroad float64 // chance that a peer is
	people float64 // chance of people on the line
	hidden float64 // chance that nothing it says can be read
}

// Ways to the telephone network.
const (
	wayFXO = iota
	wayE1
	wayRadio
)

func gateDialect(r *rand.Rand, way int) *dialect {
	var d *dialect
	n := pick(r, 4, 8, 16, 24)
	switch x := r.IntN(10); {
	case way == wayRadio:
		d = pick(r, dialQuiet().called(pick(r, "2N VoiceBlue "+release(r, 3, 2), "Portech MV-370", "TOPEX", ""), ""), dialGrandstream("GXV3500 "+release(r, 1, 4)),
			dialDBL().called(pick(r, "DBL", "GoIP", "HYBERTONE", "HG4000/"+release(r, 4, 2), ""), "")) // licensed or not, they are sold to both
	case x == 0:
		d = dialPJSIP("Asterisk PBX " + release(r, 13+r.IntN(8), 3))
	case x == 1:
		d = dialChanSIP("Asterisk PBX " + release(r, 11+r.IntN(5), 3))
	case x == 2:
		d = dialCiscoGateway(fmt.Sprintf("Cisco-SIPGateway/IOS-%d.%d(%d)M%d", 12+r.IntN(4), r.IntN(8), 1+r.IntN(9), r.IntN(9)))
	case x == 3 && way == wayFXO:
		d = dialAudioCodes(fmt.Sprintf("Audiocodes-Sip-Gateway-MP-11%d FXO/v.%s", pick(r, 4, 8), release(r, 6, 4)))
	case x == 3:
		d = dialAudioCodes(fmt.Sprintf("Audiocodes-Sip-Gateway-Mediant %d/v.%s", pick(r, 600, 800, 1000, 2000), release(r, 6+r.IntN(2), 4)))
	case x <= 5 && way == wayFXO:
		d = dialGrandstream(fmt.Sprintf("GXW41%02d %s", pick(r, 4, 8), release(r, 1, 4)))
	case x <= 5:
		d = dialGrandstream(fmt.Sprintf("GXW450%d %s", 1+r.IntN(4), release(r, 1, 4)))
	case x == 6:
		d = dialQuiet().called(pick(r, fmt.Sprintf("Patton SN4%d %s", pick(r, 112, 960, 171), release(r, 6, 3)), "Mediatrix C711", "Vega400/"+release(r, 8, 2), "Quintum Tenor"), "")
	case x == 7: // makers of boxes make these too
		d = dialQuiet().called(pick(r, "", fmt.Sprintf("Dinstar DAG1000-%dO", n), "Synway SMG2030", fmt.Sprintf("Yeastar TA%d10", n), "MTG1000", "OpenVox"), "")
		d.tag, d.expires = hex8, 1800
	case x == 8:
		d = dialVOS("").called(pick(r, "New Rock MX8A", "HX4E", "eSpace IAD", "ZXV10 I508C", ""), "-")
		d.request, d.response = orderOSIP, orderOSIPAns
	default:
		d = dialDBL().called(pick(r, "", "", "PSTN", "IAD"), "")
	}
	return hand(r, d)
}

// breakoutLine draws the gateway, its peers, and what else is on the line.
func (s *sim) breakoutLine(way, lines int, device string, where place) *breakoutGate {
	s.hours(0.15)
	l := s.newLine(ClassBreakout, device, VerdictNone, VerdictWatch)
	r := l.rng
	l.truth.Channels = lines
	switch way {
	case wayE1:
		l.reach(reachLeased, reachLeased, reachFibre, reachFibre, reachDSL)
	case wayRadio:
		l.reach(reachFibre, reachDSL, reachCable, reachRadio, reachRadio)
	default:
		l.reach(reachLeased, reachFibre, reachFibre, reachDSL, reachDSL, reachCable, reachRadio)
	}
	b := &breakoutGate{s: s, l: l, r: r, way: way, lines: lines, m: newManner(r), who: newContacts(r, sizes(r, 12, 150), share(r, 0.2, 0.6), share(r, 0.05, 0.35))}
	dev := l.boxAt("gateway", pick(r, 0.1, 0.9))
	s.beside(l, dev, where.people)
	b.gw = s.newAgent(dev, gateDialect(r, way), pick(r, uint16(5060), 5060, 5060, uint16(spread(r, 1025, 60000))), fmt.Sprint(sizes(r, 100, 9_999_999)), "")
	b.gw.mapped = chance(r, 0.8)
	b.gw.codecs = distinct(b.m.codecs)
	ports(r, b.gw, lines)
	if way == wayE1 {
		dev.ppm = r.NormFloat64() * 0.08 // the exchange's clock comes with the E1
		b.m.pdd = span(r, 600*time.Millisecond, 4*time.Second)
		b.m.causes = carrierCauses
		b.m.early = pick(r, 1, 1, 1, 0.6, r.Float64())
		b.m.asr = share(r, 0.45, 0.8)
	} else {
		// It dials digit by digit, when it has heard the tone.
		b.m.pdd = span(r, 2500*time.Millisecond, 9*time.Second)
		b.m.causes = cityCauses
	}
	if way == wayFXO && chance(r, 0.35) {
		b.blind = true
	}
	b.pai = chance(r, 0.4)
	b.connect(where.hidden)
	for i := range pick(r, 1, 1, 1, 2, 3) {
		b.peers = append(b.peers, b.peer(i, chance(r, where.abroad)))
	}
	b.troubles()
	b.gw.domain = b.peers[0].host()
	b.write = newSpeller(r, b.who.area, formLocal, formLocal, formNational, formNational, formPlus, formCode)
	base := landline(r, b.who.area)
	for i := range min(lines, 1+r.IntN(40)) {
		b.own = append(b.own, fmt.Sprintf("%s%02d", base[:len(base)-2], (i+40)%100))
	}
	first := pick(r, 100, 200, 600, 1001, 2001, 8001, 8100)
	for i := range sizes(r, 4, 120) {
		b.staff = append(b.staff, fmt.Sprint(first+i))
	}
	return b
}

// connect draws how the gateway speaks with its peers.
func (b *breakoutGate) connect(hidden float64) {
	s, r, m := b.s, b.r, b.m
	switch {
	case chance(r, hidden):
		b.wire = pick(r, wireTLS, wireTunnel)
	case chance(r, 0.1):
		b.wire = wireTCP
	case chance(r, 0.07):
		b.wire = wire323
	}
	b.l.truth.Note = [...]string{"", "SIP over TCP", "TLS and SRTP", "in a tunnel", "H.323"}[b.wire]
	switch b.wire {
	case wireTCP:
		b.gw.link = linkTCP
	case wireTLS:
		b.gw.link, m.media.secure, m.fax = linkTLS, true, 0
	case wireTunnel:
		b.far = s.tunnel(r, b.l.device("router"), s.host("head office's router", false), tunnelMake(r.IntN(int(tunnelMakes))))
	case wire323:
		b.gw.h323 = speaks323(r)
		m.hold, m.fax, m.late, m.media, m.causes = 0, 0, 0, variety{}, plainCauses
		m.codecs = pick(r, []*codec{pcma}, []*codec{g729, pcma}, []*codec{g729}, []*codec{g723})
		b.gw.codecs = distinct(m.codecs)
	}
}

// speaks323 draws what a gateway or switch says of itself in H.323.
func speaks323(r *rand.Rand) *peer323 {
	return &peer323{
		gateway: true, product: pick(r, "Cisco IOS", "Tenor", "MediantGW", "Gateway", "NetBorder", "Softswitch", "MERA MVTS", "OpenH323"),
		version: release(r, 1+r.IntN(12), 2), h225: byte(2 + r.IntN(5)), fast: chance(r, 0.8), names: chance(r, 0.2),
	}
}

// troubles takes lines out of service for a while, as broken cables and resets
// of spans do.
func (b *breakoutGate) troubles() {
	s, r := b.s, b.r
	if !chance(r, 0.25) {
		return
	}
	for range 1 + r.IntN(3) {
		n := pick(r, 1, (b.lines+1)/2, b.lines)
		long := span(r, 20*time.Second, 15*time.Minute)
		s.at(s.start+r.Int64N(max(1, s.end-s.start)), func() {
			b.used += n
			s.after(long, func() { b.used -= n })
		})
	}
}

// bareDigits writes a number as H.323 can tell it.
func bareDigits(number string) string {
	out := make([]byte, 0, len(number))
	for i := range len(number) {
		if c := number[i]; c >= '0' && c <= '9' {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return "0"
	}
	return string(out)
}

// port gives the account of one of the lines, or the gateway.
func (b *breakoutGate) port() *agent {
	if len(b.accounts) == 0 {
		return b.gw
	}
	return pick(b.r, b.accounts...)
}

func distinct(list []*codec) []*codec {
	var out []*codec
	for _, k := range list {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// peer draws one exchange or carrier that sends the gateway its calls.
func (b *breakoutGate) peer(i int, abroad bool) *agent {
	s, r := b.s, b.r
	d := switchDialect(r)
	if chance(r, 0.5) {
		d = houseDialect(r)
	}
	host := s.host("head office", abroad)
	host.tunnel = b.far
	p := s.newAgent(host, d, pick(r, uint16(5060), 5060, 5060, uint16(spread(r, 1025, 60000))), pick(r, "hq", "trunk", "gw", fmt.Sprint(1000+r.IntN(9000))), "")
	p.domain = p.host()
	p.codecs = b.gw.codecs
	ports(r, p, 4*b.lines)
	if s.handsOff(p, r); len(p.relays) > 0 {
		for _, m := range p.relays {
			m.node.tunnel = b.far
			b.l.controls(m.node, "media")
		}
	} else if chance(r, 0.25) { // its media come from elsewhere
		relay := s.host("media relay", abroad)
		relay.tunnel = b.far
		p.media = newMediaHost(relay, r)
		p.media.random = chance(r, 0.7)
		b.l.controls(relay, "media")
	}
	p.link = b.gw.link
	if b.wire == wire323 {
		return b.peer323(p, i)
	}
	if i > 0 {
		b.l.controls(p.node, "trunk-peer")
		s.signs(r, b.gw, p)
		return p
	}
	b.gw.domain = p.host()
	if b.wire <= wireTCP && b.way == wayFXO && b.lines > 1 && chance(r, 0.25) {
		b.perLine(p)
	} else {
		s.joins(b.l, b.gw, p, 0.35)
	}
	return p
}

// peer323 has a peer speak H.323; the first may be the gatekeeper.
func (b *breakoutGate) peer323(p *agent, i int) *agent {
	p.h323 = speaks323(b.r)
	if i == 0 && chance(b.r, 0.5) {
		b.l.controls(p.node, "registrar")
		at := b.s.start + int64(between(b.r, time.Second, 10*time.Second))
		b.s.register323(at, b.gw, p, []string{"gw" + fmt.Sprint(100+b.r.IntN(900))}, pick(b.r, time.Minute, 2*time.Minute, 5*time.Minute))
		return p
	}
	b.l.controls(p.node, "trunk-peer")
	return p
}

// perLine registers an account for each line, all on the gateway's one socket.
func (b *breakoutGate) perLine(p *agent) {
	s, r := b.s, b.r
	first := pick(r, 100, 500, 1001, 8001, 30001, 700_000) + r.IntN(50)
	period := time.Duration(float64(b.gw.d.expires)*pick(r, 0.5, 0.9)) * time.Second
	t, apart, always := s.start+int64(between(r, 0, 20*time.Second)), between(r, 20*time.Millisecond, time.Second), chance(r, 0.5)
	for i := range b.lines {
		a := s.newAgent(b.gw.node, b.gw.d, b.gw.port, fmt.Sprint(first+i), p.host())
		a.media, a.mapped, a.codecs, a.link = b.gw.media, b.gw.mapped, b.gw.codecs, b.gw.link
		s.register(t+int64(i)*int64(apart), a, p, period, always)
		b.accounts = append(b.accounts, a)
	}
	b.l.controls(p.node, "registrar")
	b.l.truth.Note = "an account for each line"
	if chance(r, 0.4) {
		s.options(t, p, b.accounts[0], span(r, 15*time.Second, 3*time.Minute))
	}
}

// from gives a peer, the first most often.
func (b *breakoutGate) from() *agent {
	x := b.r.Float64()
	return b.peers[int(x*x*float64(len(b.peers)))]
}

// out carries a call from the peers' side to a number of the telephone network.
func (b *breakoutGate) out(called, calling string) {
	s, r := b.s, b.r
	c := b.m.draw()
	c.from, c.to, c.called, c.calling = b.from(), b.gw, b.write.write(called), calling
	if len(b.accounts) > 0 && c.from == b.peers[0] {
		c.to, c.toContact = b.port(), true
	}
	if b.wire == wire323 {
		c.called, c.calling = bareDigits(c.called), bareDigits(c.calling)
	}
	c.toDomain = hostOnly(b.gw.node.addr)
	if !b.blind {
		c.find(r, c.called)
	}
	c.relayed[0], c.ppm[0] = chance(r, 0.7), drawPPM(r)
	if b.pai {
		c.extra = append(c.extra, field{"P-Asserted-Identity", "<sip:" + b.own[0] + "@" + c.from.host() + ">"})
	}
	if b.used >= b.lines {
		c.status, c.ring, c.delay = pick(r, 503, 503, 486, 480), 0, between(r, 20*time.Millisecond, 300*time.Millisecond)
		s.perform(c)
		return
	}
	b.used++
	// An analogue line is not ready again at once.
	c.over = func() { s.after(between(r, 0, 3*time.Second), func() { b.used-- }) }
	if b.blind {
		b.unseen(c)
	}
	s.perform(c)
}

// unseen makes of a call one whose gateway answers when it has dialled: the
// ringing is part of the talk, and so is a call that fails.
func (b *breakoutGate) unseen(c *call) {
	wait := c.ring + between(b.r, 300*time.Millisecond, 3*time.Second)
	if isMobile(c.called) {
		wait += paging(b.r)
	}
	if c.status == 200 {
		c.talk += wait
	} else {
		c.talk, c.byCaller = wait+2*time.Second, true
	}
	c.status, c.ring = 200, between(b.r, 0, 200*time.Millisecond)
	c.delay /= 2
}

// in carries a call from the telephone network to the peers' side.
func (b *breakoutGate) in(calling, called string) {
	if b.used >= b.lines {
		return
	}
	s, r := b.s, b.r
	c := b.m.draw()
	c.from, c.to, c.called, c.calling = b.gw, b.from(), called, b.write.write(calling)
	if len(b.accounts) > 0 {
		c.from, c.to = b.port(), b.peers[0]
	}
	if b.wire == wire323 {
		c.called, c.calling = bareDigits(c.called), bareDigits(c.calling)
	}
	c.delay = between(r, 100*time.Millisecond, 2*time.Second)
	c.early = chance(r, 0.2)
	c.relayed[1], c.ppm[1] = chance(r, 0.7), drawPPM(r)
	c.challenge = b.gw.domain == c.to.host() && chance(r, 0.1)
	b.used++
	c.over = func() { s.after(between(r, 0, 3*time.Second), func() { b.used-- }) }
	s.perform(c)
}

// both lets calls flow either way: the given share from the telephone network.
func (b *breakoutGate) both(erlangs, inward float64) {
	r := b.r
	emergency := share(r, 0, 0.02)
	did := chance(r, 0.6) // else all ring at one desk or menu
	desk := pick(r, b.own[0], b.staff[0], "s", "operator")
	b.s.flowing(r, b.s.start, b.m.gap(erlangs), func() {
		switch {
		case chance(r, inward) && did:
			b.in(b.who.next(), pick(r, b.own...))
		case chance(r, inward):
			b.in(b.who.next(), desk)
		case chance(r, emergency):
			b.out(pick(r, emergencyNumbers[:]...), pick(r, b.staff...))
		default:
			b.out(b.who.next(), pick(r, pick(r, b.staff...), b.own[0]))
		}
	})
}

// phones puts telephones of the same office on the line, at the head office's
// exchange: some of what they dial comes back to the gateway.
func (b *breakoutGate) phones(p float64) {
	s, r, hq := b.s, b.r, b.peers[0]
	if !chance(r, p) || b.wire != wireUDP {
		return
	}
	d := customerDialect(r)
	list := make([]*agent, sizes(r, 2, 16))
	for i := range list {
		a := s.newAgent(b.l.device("telephone"), d, 5060, b.staff[i%len(b.staff)], hq.host())
		a.codecs, a.mapped = b.gw.codecs, chance(r, 0.2)
		s.register(s.start+int64(between(r, 0, 2*time.Minute)), a, hq, max(25*time.Second, time.Duration(d.expires)*time.Second/2), chance(r, 0.6))
		list[i] = a
	}
	m := *b.m
	m.pdd, m.causes = between(r, 500*time.Millisecond, 2*time.Second), plainCauses
	busy := make([]bool, len(list))
	home := r.Float64() // share of their calls out that leave here
	s.flowing(r, s.start, span(r, time.Minute, 8*time.Minute), func() {
		i := r.IntN(len(list))
		if busy[i] {
			return
		}
		busy[i] = true
		a, c := list[i], m.draw()
		c.over = func() { busy[i] = false }
		if chance(r, 0.5) {
			c.from, c.to, c.called, c.calling, c.toContact = hq, a, a.user, pick(r, b.who.next(), pick(r, b.staff...)), true
			c.relayed[0], c.ppm[0] = true, drawPPM(r)
			s.perform(c)
			return
		}
		c.from, c.to, c.called, c.calling, c.challenge = a, hq, b.who.next(), a.user, chance(r, 0.8)
		c.fromDomain, c.toDomain = hq.host(), hq.host()
		c.relayed[1], c.ppm[1] = true, drawPPM(r)
		s.perform(c)
		if chance(r, home) {
			s.after(between(r, 60*time.Millisecond, 400*time.Millisecond), func() { b.out(c.called, a.user) })
		}
	})
}

func breakoutFXO(s *sim) {
	n := pick(s.rng("size"), 1, 2, 2, 4, 4, 4, 8, 8, 8, 12, 16, 24)
	b := s.breakoutLine(wayFXO, n, fmt.Sprintf("licensed FXO gateway, %d lines, both ways", n), place{0.02, 0.65, 0.12})
	b.phones(0.25)
	b.both(s.erlangs(b.m, max(0.1, 0.04*float64(n)), 0.5*float64(n), 1), share(b.r, 0.15, 0.7))
}

func breakoutE1(s *sim) {
	n := 30 * pick(s.rng("size"), 1, 1, 1, 2, 2, 4)
	b := s.breakoutLine(wayE1, n, fmt.Sprintf("licensed E1 gateway, %d channels, both ways", n), place{0.04, 0.45, 0.14})
	b.m.hold /= 2
	b.phones(0.15)
	b.who = newContacts(b.r, sizes(b.r, 40, 1500), share(b.r, 0.25, 0.65), share(b.r, 0.1, 0.5))
	b.both(s.erlangs(b.m, 0.4, 0.4*float64(n), 1), share(b.r, 0.1, 0.7))
}

// breakoutTermination takes strangers' calls for its area from a few carriers.
func breakoutTermination(s *sim) {
	r := s.rng("size")
	way, n := wayE1, 30*pick(r, 1, 1, 2, 4)
	if chance(r, 0.2) {
		way, n = wayFXO, pick(r, 4, 8, 16, 24)
	}
	b := s.breakoutLine(way, n, fmt.Sprintf("licensed hop-off, %d channels, calls in only", n), place{0.25, 0.15, 0.05})
	r = b.r
	mobiles, here := share(r, 0.1, 0.75), share(r, 0.5, 0.98)
	again, abroad := share(r, 0.02, 0.25), pick(r, 0, 0.1, r.Float64(), 0.9)
	b.write.form = pick(r, formNational, formLocal, formPlus, formCode, formDialled)
	hi := 0.5 * float64(n)
	s.flowing(r, s.start, b.m.gap(s.erlangs(b.m, min(0.4, hi/4), hi, 1)), func() {
		called := landline(r, "")
		switch {
		case chance(r, again):
			called = b.who.next()
		case chance(r, mobiles):
			called = mobile(r)
		case chance(r, here):
			called = landline(r, b.who.area)
		case chance(r, 0.05):
			called = pick(r, shortNumbers[:]...)
		}
		b.out(called, b.stranger(abroad))
	})
}

// stranger writes the number of a caller as carriers hand it on.
func (b *breakoutGate) stranger(abroad float64) string {
	n := anyone(b.r, abroad)
	if chance(b.r, 0.5) {
		return n
	}
	return (&speller{r: b.r, form: formPlus}).write(n)
}

// breakoutLocal is the way out that a branch office keeps beside its trunk:
// calls to the area, short numbers, emergencies, many of them over and over.
func breakoutLocal(s *sim) {
	r := s.rng("size")
	way, n := wayFXO, pick(r, 1, 2, 4, 4, 8)
	if chance(r, 0.25) {
		way, n = wayE1, 30
	}
	b := s.breakoutLine(way, n, fmt.Sprintf("a branch office's local breakout, %d lines", n), place{0, 0.85, 0.18})
	r = b.r
	b.who = newContacts(r, sizes(r, 6, 60), share(r, 0.05, 0.5), share(r, 0.02, 0.25))
	b.phones(0.45)
	short, emergency, inward := share(r, 0.02, 0.25), share(r, 0, 0.03), pick(r, 0, 0, share(r, 0.05, 0.5))
	s.flowing(r, s.start, b.m.gap(s.erlangs(b.m, 0.1, min(3, 0.6*float64(n)), 1)), func() {
		switch {
		case chance(r, inward):
			b.in(b.who.next(), pick(r, b.own...))
		case chance(r, short):
			b.out(pick(r, shortNumbers[:]...), pick(r, b.staff...))
		case chance(r, emergency):
			b.out(pick(r, emergencyNumbers[:]...), pick(r, b.staff...))
		default:
			b.out(b.who.next(), pick(r, b.staff...))
		}
	})
}

// breakoutDark is what a box is mistaken for: a partner's or a head office's
// calls to mobiles, every one a new one, and next to nothing else.
func breakoutDark(s *sim) {
	r := s.rng("size")
	way, n := wayE1, pick(r, 30, 30, 60)
	if chance(r, 0.5) {
		way, n = wayFXO, pick(r, 4, 8, 8, 16, 24)
	}
	b := s.breakoutLine(way, n, fmt.Sprintf("licensed gateway, %d lines, calls in to mobiles almost only", n), place{0.2, 0.1, 0})
	r = b.r
	b.blind = false
	b.pai = chance(r, 0.1)
	b.m.hold, b.m.fax, b.m.asr = 0, 0, share(r, 0.35, 0.75)
	others, again := share(r, 0, 0.08), share(r, 0, 0.04)
	abroad, strangers := pick(r, 0, 0.3, 0.9), chance(r, 0.7) // or one office's notices and callbacks
	b.write.form = pick(r, formNational, formPlus, formCode, formDialled)
	var before []string
	hi := 0.55 * float64(n)
	s.flowing(r, s.start, b.m.gap(s.erlangs(b.m, min(1, hi/3), hi, 1)), func() {
		called := mobile(r)
		switch {
		case chance(r, again) && len(before) > 0:
			called = pick(r, before...)
		case chance(r, others):
			called = landline(r, b.who.area)
		}
		before = append(before, called)
		calling := b.own[0]
		if strangers {
			calling = b.stranger(abroad)
		}
		b.out(called, calling)
	})
}

// breakoutAlarm takes the calls of alarm panels to their receivers, or those of
// a server that calls the same few back.
func breakoutAlarm(s *sim) {
	n := pick(s.rng("size"), 1, 2, 4, 4, 8, 30)
	way := wayFXO
	if n == 30 {
		way = wayE1
	}
	b := s.breakoutLine(way, n, fmt.Sprintf("gateway of alarm panels and callbacks, %d lines", n), place{0.02, 0.3, 0.08})
	r := b.r
	b.m.talk, b.m.talkV, b.m.most = span(r, 12*time.Second, 45*time.Second), share(r, 0.2, 0.7), 4*time.Minute
	b.m.asr, b.m.keys, b.m.hold, b.m.fax = share(r, 0.8, 0.98), pick(r, 8, 20, 40), 0, 0
	b.m.codecs, b.m.dtx = []*codec{pcma}, [2]float64{} // tones need it
	b.m.media.packing, b.m.media.noise = 1, 0
	b.gw.codecs = b.m.codecs
	receivers := make([]string, sizes(r, 1, 8))
	for i := range receivers {
		receivers[i] = b.who.draw(share(r, 0, 0.6))
	}
	panels := make([]string, sizes(r, 5, 300))
	for i := range panels {
		panels[i] = pick(r, landline(r, b.who.area), mobile(r), fmt.Sprint(7000+i))
	}
	back := pick(r, 0, share(r, 0.05, 0.4))
	hi := min(0.8, 0.3*float64(n))
	s.flowing(r, s.start, b.m.gap(s.erlangs(b.m, 0.05, hi, 1)), func() {
		x := r.Float64()
		if chance(r, back) {
			b.in(pick(r, panels...), b.own[0])
			return
		}
		b.out(receivers[int(x*x*float64(len(receivers)))], pick(r, panels...))
	})
}

// breakoutRadio is a licensed terminal with one card in it, where no cable goes:
// a number like any other, seen from the mobile network.
func breakoutRadio(s *sim) {
	n := pick(s.rng("size"), 1, 1, 1, 2)
	b := s.breakoutLine(wayRadio, n, fmt.Sprintf("licensed fixed-wireless terminal, %d of its calls at once", n), place{0.03, 0.7, 0.05})
	r := b.r
	b.own = []string{mobile(r)}
	b.m.pdd, b.m.causes = span(r, 3*time.Second, 9*time.Second), carrierCauses
	b.both(s.erlangs(b.m, 0.04, 0.4*float64(n), 1), share(r, 0.15, 0.6))
}
