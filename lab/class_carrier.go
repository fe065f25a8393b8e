package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// carrierScenarios are session border controllers and relays of carriers. What
// tells them from a box is the second leg of each call; in some scenarios it is
// hard to see or not there.
func carrierScenarios() []Scenario {
	const m = time.Minute
	list := []Scenario{
		{Name: "carrier-plain", Text: "session border controller between wholesalers: every call in and out again in the clear", Share: 0.34, duration: 20 * m, build: func(s *sim) { s.wholesale(onwardHere) }},
		// Two interfaces on two accesses are usual where a carrier has them.
		{Name: "carrier-elsewhere", Text: "session border controller whose onward legs leave through another access", Share: 0.16, duration: 20 * m, build: func(s *sim) { s.wholesale(onwardElsewhere) }},
		{Name: "carrier-encrypted", Text: "session border controller whose onward legs are TLS and SRTP", Share: 0.10, duration: 20 * m, build: func(s *sim) { s.wholesale(onwardTLS) }},
		{Name: "carrier-tunnel", Text: "session border controller whose onward legs go through an IPsec or WireGuard tunnel", Share: 0.12, duration: 20 * m, build: func(s *sim) { s.wholesale(onwardTunnel) }},
		// Relays for media alone belong to the larger providers.
		{Name: "carrier-media", Text: "relay for media alone, bare or behind TURN; the signalling goes another way", Share: 0.08, duration: 20 * m, build: mediaRelay},
		{Name: "carrier-retail", Text: "provider of telephone service: customers registered in, calls both ways, onward to carriers", Share: 0.20, duration: 30 * m, build: retail},
	}
	for i := range list {
		list[i].Class, list[i].Heavy = ClassCarrier, true
	}
	return list
}

// onward is where the second legs of a session border controller's calls go.
type onward int

const (
	onwardHere onward = iota
	onwardElsewhere
	onwardTLS
	onwardTunnel
)

func (o onward) String() string {
	return [...]string{"on the same line", "through another access", "encrypted", "in a tunnel"}[o]
}

// Ways to pass media on.
const (
	passAnew  = iota // as streams of its own, in the sender's rhythm
	passSame         // packet by packet
	passTrans        // through its own voice processors, with another codec
)

// borderSite is a session border controller and those on its two sides.
type borderSite struct {
	s        *sim
	l        *line
	r        *rand.Rand
	m        *manner
	dev      *node
	sbc, out *agent // towards customers, and towards carriers
	up, down []*agent
	ways     []int // of passing media on, by weight
	onward   onward
	retry    float64 // share of calls for which a second carrier is tried
	other    *codec  // of onward legs where media are transcoded
	secure   variety
	used     int
	// up323 and down323 say that customers and carriers speak H.323.
	up323, down323 bool
}

func (s *sim) borderSite(o onward, device string) *borderSite {
	s.hours(0.4)
	l := s.newLine(ClassCarrier, device, VerdictNone, VerdictWatch)
	r := l.rng
	l.reach(reachLeased, reachLeased, reachLeased, reachFibre)
	x := &borderSite{s: s, l: l, r: r, m: newManner(r), onward: o, retry: pick(r, 0, 0, share(r, 0.02, 0.3))}
	l.truth.Channels = sizes(r, 10, 1000)
	x.dev = l.boxAt("sbc", 0.9)
	if chance(r, 0.6) {
		s.chores(l, x.dev)
	}
	d := switchDialect(r)
	x.sbc = s.newAgent(x.dev, d, pick(r, uint16(5060), 5060, 5060, 5080, uint16(spread(r, 1025, 60000))), pick(r, "sbc", "", "gw"), "")
	x.sbc.mapped = true
	x.sbc.codecs = distinct(x.m.codecs)
	ports(r, x.sbc, l.truth.Channels)
	x.out = x.sbc
	if o == onwardTLS || chance(r, 0.3) {
		x.out = s.newAgent(x.dev, d, pick(r, uint16(5061), 5070, 5090), x.sbc.user, "")
		x.out.mapped, x.out.media, x.out.codecs = true, x.sbc.media, x.sbc.codecs
		if o == onwardTLS {
			x.out.link = linkTLS
		}
	}
	x.m.causes = pick(r, carrierCauses, carrierCauses, plainCauses)
	x.m.hold = pick(r, 0, 0, 0.01)
	x.ways = pick(r, []int{passAnew}, []int{passSame}, []int{passTrans}, []int{passAnew, passTrans}, []int{passSame, passSame, passTrans})
	x.other = pick(r, pcma, g729, pcmu, gsm, ilbc)
	x.secure = x.m.media
	x.secure.secure = true
	return x
}

// carriers adds those whom the onward legs go to.
func (x *borderSite) carriers(n int, abroad float64) {
	var far *tunnel
	if x.onward == onwardTunnel {
		far = x.s.tunnel(x.r, x.dev, x.s.host("tunnel's far end", chance(x.r, abroad)), tunnelMake(x.r.IntN(int(tunnelMakes))))
	}
	for i := range n {
		host := x.s.host(fmt.Sprintf("carrier %d", i), chance(x.r, abroad))
		host.tunnel = far
		a := x.s.newAgent(host, switchDialect(x.r), x.out.port, "gw", "")
		a.codecs, a.link = x.sbc.codecs, x.out.link
		if x.down323 {
			a.h323 = speaks323(x.r)
		}
		ports(x.r, a, 2000)
		a.media.random = true
		x.down = append(x.down, a)
		if x.onward == onwardHere || x.onward == onwardTLS {
			x.l.controls(host, "trunk-peer")
		}
		if x.onward != onwardElsewhere && !x.down323 {
			x.s.signs(x.r, x.out, a)
		}
	}
}

// trade323 has one side or both speak H.323, as the trade in minutes still does.
func (x *borderSite) trade323() {
	r, m := x.r, x.m
	x.up323 = chance(r, 0.7)
	x.down323 = !x.up323 || chance(r, 0.5)
	x.l.truth.Note = "H.323 on one side or both"
	me := speaks323(r)
	x.sbc.h323, x.out.h323 = me, me
	m.hold, m.fax, m.late, m.media, m.causes = 0, 0, 0, variety{}, plainCauses
	m.codecs = pick(r, []*codec{pcma}, []*codec{g729, pcma}, []*codec{g729}, []*codec{g723})
	x.sbc.codecs, x.out.codecs, x.other = distinct(m.codecs), distinct(m.codecs), pick(r, pcma, g729)
}

// wholesaler adds one that sends calls in.
func (x *borderSite) wholesaler(i int, abroad float64) {
	r := x.r
	a := x.s.newAgent(x.s.host(fmt.Sprintf("customer %d", i), chance(r, abroad)), switchDialect(r), pick(r, uint16(5060), 5060, uint16(spread(r, 1025, 60000))), "gw", "")
	a.codecs = x.sbc.codecs
	ports(r, a, 2000)
	a.media.random = true
	if chance(r, 0.3) {
		a.media = newMediaHost(x.s.host("media relay", chance(r, abroad)), r)
		a.media.random = true
		x.l.controls(a.media.node, "media")
	}
	x.l.controls(a.node, "trunk-peer")
	if x.up323 {
		a.h323 = speaks323(r)
	} else {
		x.s.signs(r, x.sbc, a)
	}
	x.up = append(x.up, a)
}

// relay takes a call in and passes it on. Which of the two is the leg towards
// a customer does not matter here.
func (x *borderSite) relay(src, dst *agent, in, out *agent, called, calling, passedOn string) {
	s, r := x.s, x.r
	if x.used >= x.l.truth.Channels {
		return
	}
	x.used++
	c := x.m.draw()
	c.from, c.to, c.called, c.calling = src, in, called, calling
	c.find(r, called)
	if x.up323 || x.down323 {
		c.called, c.calling, passedOn = bareDigits(called), bareDigits(calling), bareDigits(passedOn)
	}
	c.relayed, c.ppm = [2]bool{true, true}, [2]float64{drawPPM(r), drawPPM(r)}
	c.over = func() { x.used-- }
	next := *c
	next.from, next.to, next.called, next.over = out, dst, passedOn, nil
	next.extra = nil
	x.legs(c, &next)
	hop := src.node.owd + in.node.owd + int64(between(r, 3*time.Millisecond, 60*time.Millisecond))
	if c.status == 200 && chance(r, x.retry) && len(x.down) > 1 {
		first := next
		first.to, first.status, first.ring, first.early, first.bridge = pick(r, x.down...), pick(r, 503, 503, 502, 480, 404), 0, false, nil
		first.delay = between(r, 50*time.Millisecond, 2*time.Second)
		first.variety = nil
		if x.onward != onwardElsewhere {
			s.place(s.now+hop, &first)
		}
		wait := first.delay + time.Duration(2*(out.node.owd+first.to.node.owd)) + 20*time.Millisecond
		hop += int64(wait)
		c.delay += wait
	}
	// The caller hears of everything after the relay has.
	lag := time.Duration(2*(out.node.owd+dst.node.owd)) + 20*time.Millisecond
	c.delay += lag
	if next.byCaller {
		next.talk += 2 * lag
	}
	s.perform(c)
	if x.onward != onwardElsewhere {
		s.place(s.now+hop, &next)
	}
}

// legs settles how the media of one leg become those of the other.
func (x *borderSite) legs(c, next *call) {
	r := x.r
	way := pick(r, x.ways...)
	if c.variety != nil && (c.variety.fax || c.variety.late) || c.hold || x.onward == onwardElsewhere {
		way = passAnew
	}
	if x.onward == onwardTLS {
		v := x.secure
		if c.variety != nil {
			v = *c.variety
			v.secure = !v.fax
		}
		next.variety = &v
	}
	switch way {
	case passSame:
		b := &bridge{lag: between(r, 20*time.Microsecond, 900*time.Microsecond), secure: x.onward == onwardTLS}
		c.bridge, next.bridge, c.rtcp, next.rtcp = b, b, false, false
	case passTrans:
		// What it sends has its own clock.
		c.relayed[1], next.relayed[0] = false, false
		next.codec = x.other
		if next.variety != nil {
			v := *next.variety
			v.packing = pick(r, 1, 1, 2)
			next.variety = &v
		}
	default:
		next.ppm = c.ppm
	}
}

// wholesale is a controller between those who sell minutes and those who carry
// them on.
func (s *sim) wholesale(o onward) {
	x := s.borderSite(o, "session border controller, onward legs "+o.String())
	r := x.r
	abroad := pick(r, 0, share(r, 0.1, 0.9))
	if o <= onwardElsewhere && chance(r, 0.12) {
		x.trade323()
	}
	for i := range sizes(r, 1, 12) {
		x.wholesaler(i, abroad)
	}
	x.carriers(sizes(r, 1, 6), pick(r, 0, 0, abroad/2))
	legs := 2.0
	if o == onwardElsewhere {
		legs = 1
	}
	who := newContacts(r, sizes(r, 20, 2000), share(r, 0.2, 0.8), 0.1)
	mobiles, home, again := share(r, 0.1, 0.97), share(r, 0.3, 1), pick(r, 0, share(r, 0.02, 0.4))
	in := newSpeller(r, "", formNational, formPlus, formCode, formDialled)
	out := newSpeller(r, "", formNational, formPlus, formCode, in.form)
	if chance(r, 0.5) {
		out = in
	}
	s.flowing(r, s.start, x.m.gap(s.erlangs(x.m, 0.5, 60, legs)), func() {
		called := landline(r, "")
		switch {
		case chance(r, again):
			called = who.next()
		case !chance(r, home):
			called = foreign(r)
		case chance(r, mobiles):
			called = mobile(r)
		}
		x.relay(pick(r, x.up...), pick(r, x.down...), x.sbc, x.out, in.write(called), anyone(r, abroad/2), out.write(called))
	})
}

// customerDialect is what people's adapters, telephones and apps speak.
func customerDialect(r *rand.Rand) *dialect {
	switch r.IntN(7) {
	case 0:
		return hand(r, dialFritz(pick(r, "7590 154.07.", "7530 164.07.", "7490 113.07.")+strconv.Itoa(10+r.IntN(50))))
	case 1, 2:
		return hand(r, dialGrandstream(pick(r, "HT801 ", "HT812 ", "GXP2135 ")+release(r, 1, 4)))
	case 3, 4:
		return hand(r, dialYealink(pick(r, "SIP-T46S 66.85.0.", "SIP-T21P_E2 52.84.0.", "W60B 77.85.0.")+strconv.Itoa(r.IntN(130))))
	case 5:
		return hand(r, dialApp(pick(r, "Bria ", "Linphone/", "Zoiper rv2.", "MicroSIP/")+release(r, 3, 3)))
	}
	return houseDialect(r)
}

// retail is a provider's controller towards its customers: they register, call
// and are called; the other legs go to carriers, here or elsewhere.
func retail(s *sim) {
	o := pick(s.rng("onward"), onwardHere, onwardHere, onwardElsewhere, onwardTLS)
	x := s.borderSite(o, "provider's controller towards its customers, other legs "+o.String())
	r := x.r
	x.carriers(sizes(r, 1, 3), 0.05)
	n := sizes(r, 4, 90)
	base := landline(r, area(r))
	who := make([]*contacts, n)
	numbers := make([]string, n)
	signs, period := chance(r, 0.5), span(r, 15*time.Second, 2*time.Minute)
	for i := range n {
		numbers[i] = fmt.Sprintf("%s%03d", base[:len(base)-3], (100+i*7)%1000)
		user := pick(r, numbers[i], numbers[i], fmt.Sprint(100000+i))
		a := s.newAgent(s.host("customer", chance(r, 0.03)), customerDialect(r), pick(r, uint16(5060), uint16(spread(r, 1025, 60000))), user, x.sbc.host())
		a.codecs = x.sbc.codecs
		x.up = append(x.up, a)
		who[i] = newContacts(r, sizes(r, 4, 40), share(r, 0.3, 0.7), share(r, 0.05, 0.3))
		t := s.start + int64(between(r, 0, time.Duration(a.d.expires)*time.Second/2))
		s.register(t, a, x.sbc, max(25*time.Second, time.Duration(a.d.expires)*time.Second*3/5), chance(r, 0.4))
		if signs {
			s.options(t, x.sbc, a, period)
		}
	}
	legs := 2.0
	if o == onwardElsewhere {
		legs = 1
	}
	inward := share(r, 0.2, 0.7)
	s.flowing(r, s.start, x.m.gap(s.erlangs(x.m, 0.3, 0.25*float64(n)+1, legs)), func() {
		i := r.IntN(n)
		a, other := x.up[i], who[i].next()
		if chance(r, inward) {
			if o == onwardElsewhere { // and arrive there
				x.called(a, other)
				return
			}
			x.relay(pick(r, x.down...), a, x.out, x.sbc, numbers[i], other, a.user)
			return
		}
		x.relay(a, pick(r, x.down...), x.sbc, x.out, other, a.user, other)
	})
}

// called is a call to a customer that came another way.
func (x *borderSite) called(a *agent, calling string) {
	c := x.m.draw()
	c.from, c.to, c.called, c.calling, c.toContact = x.sbc, a, a.user, calling, true
	c.relayed[0], c.ppm[0] = true, drawPPM(x.r)
	x.s.perform(c)
}

// mediaRelay passes on the media of calls whose signalling it does not see:
// between anybody and anybody, or for clients that reach it by TURN.
func mediaRelay(s *sim) {
	x := s.borderSite(onwardHere, "relay for media alone")
	r := x.r
	turn := chance(r, 0.4)
	if turn {
		x.l.truth.Device += ", TURN"
	}
	abroad := pick(r, 0, share(r, 0.05, 0.6))
	for i := range sizes(r, 2, 50) {
		a := s.newAgent(s.host(fmt.Sprintf("client %d", i), chance(r, abroad)), dialQuiet(), 5060, "", "")
		a.media.random = true
		x.up = append(x.up, a)
	}
	x.m.hold, x.m.fax, x.m.late = 0, 0, 0
	x.m.asr = 1
	ways := x.ways
	s.flowing(r, s.start, x.m.gap(s.erlangs(x.m, 0.8, 40, 2)), func() {
		if x.used >= x.l.truth.Channels {
			return
		}
		c := x.m.draw()
		c.from, c.to = pick(r, x.up...), x.sbc
		c.relayed, c.ppm = [2]bool{true, true}, [2]float64{drawPPM(r), drawPPM(r)}
		next := *c
		next.from, next.to = x.sbc, pick(r, x.up...)
		if next.to == c.from {
			return
		}
		x.ways = ways
		if turn {
			x.ways = []int{passSame} // TURN changes nothing
		}
		x.legs(c, &next)
		x.used++
		c.over = func() { x.used-- }
		if turn {
			x.turned(c)
		}
		s.sound(c)
		s.at(s.now+int64(between(r, time.Millisecond, 300*time.Millisecond)), func() { s.sound(&next) })
	})
}

// turned makes of a leg one whose client reaches the relay by TURN (RFC 8656):
// an allocation first, then channel data, all on one port of the relay.
func (x *borderSite) turned(c *call) {
	s, r := x.s, x.r
	const port = 3478
	c.ports = [2]uint16{uint16(spread(r, 1025, 65000)), port}
	client, me := c.from.media.node, x.dev
	to, from := s.flow(client, c.ports[0], me, me.port(port, false), protoUDP), s.flow(me, me.port(port, false), client, c.ports[0], protoUDP)
	to.wrap, from.wrap = nil, nil
	ask := func(kind uint16, attributes int, answer uint16, long int) {
		id := noiseBytes(r, 12)
		t := s.now - 2*(client.owd+me.owd)
		b := stunMessage(kind, id, noiseBytes(r, attributes))
		at := s.send(max(t, s.start), to, kindOther, b)
		s.send(at, from, kindOther, stunMessage(answer, id, noiseBytes(r, long)))
	}
	ask(0x0003, 8, 0x0113, 60) // Allocate, refused without credentials
	ask(0x0003, 88, 0x0103, 60)
	ask(0x0009, 92, 0x0109, 28) // ChannelBind
	channel := uint16(0x4000 + r.IntN(0x1000))
	wrap := func(b []byte) []byte {
		if len(b) > 4 && b[0] < 0x40 { // STUN stays as it is
			return b
		}
		h := binary.BigEndian.AppendUint16(nil, channel)
		return append(binary.BigEndian.AppendUint16(h, uint16(len(b))), b...)
	}
	to.wrap, from.wrap = wrap, wrap
}

// stunMessage is one of RFC 8489 with attributes that nobody reads.
func stunMessage(kind uint16, id, attributes []byte) []byte {
	attributes = attributes[:len(attributes)&^3]
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attributes)))
	b = append(b, 0x21, 0x12, 0xa4, 0x42)
	b = append(b, id...)
	if len(attributes) >= 4 {
		binary.BigEndian.PutUint16(attributes, 0x8022) // SOFTWARE
		binary.BigEndian.PutUint16(attributes[2:], uint16(len(attributes)-4))
	}
	return append(b, attributes...)
}
