package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// m2mScenarios are machines with cards. Meters, tills and lifts are nearly all
// of them; card clouds are few, and farms of multi-SIM equipment that test
// networks or send an operator's messages are a handful in a country. These
// really show a gateway's control records: what they have is multi-SIM
// equipment, and only a register tells that it is licensed.
func m2mScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "m2m-router", Text: "router of machines: reports, polls, a lift's telephone", Class: ClassM2M, Share: 0.8, duration: 4 * 60 * m, build: m2mRouter},
		{Name: "m2m-cloud-sim", Text: "modems whose cards are in a cloud", Class: ClassM2M, Share: 0.1, duration: 2 * 60 * m, build: func(s *sim) { cloudSIM(s, false) }},
		{Name: "m2m-card-pool", Text: "operator's pool of cards that modems elsewhere use", Class: ClassM2M, Share: 0.03, duration: 60 * m, build: func(s *sim) { cloudSIM(s, true) }},
		{Name: "m2m-probe", Text: "robots that test a telephone network with calls", Class: ClassM2M, Share: 0.03, Heavy: true, duration: 30 * m, build: testProbe},
		{Name: "m2m-farm", Text: "licensed farm of cards that tests networks: control records, test calls both ways", Class: ClassM2M, Share: 0.025, Heavy: true, duration: 40 * m, build: testFarm},
		{Name: "m2m-farm-messages", Text: "licensed platform that sends an operator's short messages over cards", Class: ClassM2M, Share: 0.015, duration: 40 * m, build: messageFarm},
	}
}

func m2mLine(s *sim, what, most string) *line { return s.newLine(ClassM2M, what, VerdictNone, most) }

func m2mRouter(s *sim) {
	r := s.rng("machines")
	n := sizes(r, 1, 30)
	l := m2mLine(s, fmt.Sprintf("router of %d machines", n), VerdictReview)
	s.chores(l, l.device("router"))
	s.things(l, r, n)
	if chance(r, 0.4) {
		s.polled(l, r, 1+r.IntN(5))
	}
	if chance(r, 0.4) {
		s.telemetry(l, r, 1+r.IntN(5))
	}
	if chance(r, 0.3) {
		t := s.newVPN(l, l.device("router"), s.host("centre", chance(r, 0.1)), drawPersonVPN(r))
		t.data(spread(r, 10, 300), 8)
	}
	if chance(r, 0.15) { // a lift's or a door's telephone
		s.telephones(l, 1, spread(r, 0.3, 3), 40*time.Second)
	}
}

// polled are machines that a centre asks over one connection each, as controls
// of plants are (Modbus, IEC 60870-5-104).
func (s *sim) polled(l *line, r *rand.Rand, n int) {
	centre := s.host("centre", false)
	period := span(r, 5*time.Second, 5*time.Minute)
	port := pick(r, uint16(502), 2404, 4059, 20000)
	for range n {
		c := s.dial(centre, uint16(32768+r.IntN(28000)), l.device("machine"), port, kindOther)
		ask, reply := 12, 9+2*r.IntN(60)
		s.every(s.start+r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
			t := c.send(s.now, 0, noiseBytes(r, ask))
			c.send(t+int64(between(r, 5*time.Millisecond, 300*time.Millisecond)), 1, s.stuff(r, reply))
			return true
		})
	}
}

// telemetry is what machines say over UDP (CoAP, RFC 7252, some under DTLS).
func (s *sim) telemetry(l *line, r *rand.Rand, n int) {
	cloud := s.host("collector", chance(r, 0.2))
	port := pick(r, uint16(5683), 5684, uint16(1024+r.IntN(60000)))
	for range n {
		dev := l.device("sensor")
		own := dev.port(uint16(1024+r.IntN(60000)), false)
		period, size := span(r, 20*time.Second, 30*time.Minute), sizes(r, 16, 400)
		id := uint16(r.Uint32())
		s.every(s.start+r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
			id++
			b := binary.BigEndian.AppendUint16([]byte{0x44, 2}, id)
			t := s.send(s.now, s.flow(dev, own, cloud, port, protoUDP), kindOther, append(b, s.stuff(r, size)...))
			s.send(t, s.flow(cloud, port, dev, own, protoUDP), kindOther, binary.BigEndian.AppendUint16([]byte{0x64, 0x44}, id))
			return true
		})
	}
}

// remoteCard passes commands to a card elsewhere and its answers back (ISO/IEC
// 7816-4, in a frame of the maker's, half of them encrypted).
type remoteCard struct {
	s     *sim
	r     *rand.Rand
	c     *conn
	ask   int // side that has the modem
	head  []byte
	clear bool
	tls   bool
}

func (x *remoteCard) say(t int64, from int, apdu []byte) int64 {
	if x.tls {
		return x.c.sendSealed(t, from, append(x.head, apdu...), x.c.s.noise)
	}
	b := append([]byte(nil), x.head...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(apdu)))
	if !x.clear {
		apdu = x.s.stuff(x.r, len(apdu))
	}
	return x.c.send(t, from, append(b, apdu...))
}

// pair is one command and its answer.
func (x *remoteCard) pair(t int64, cmd []byte, answer int) int64 {
	t = x.say(t, x.ask, cmd)
	return x.say(t+int64(between(x.r, 5*time.Millisecond, 80*time.Millisecond)), 1-x.ask, append(noiseBytes(x.r, answer), 0x90, 0x00))
}

// attach reads the card as a modem does when it starts.
func (x *remoteCard) attach() {
	t := x.s.now
	for _, file := range [][]byte{{0x3f, 0}, {0x2f, 0xe2}, {0x7f, 0xff}, {0x6f, 0x07}, {0x6f, 0x08}, {0x6f, 0x7e}, {0x6f, 0xad}} {
		t = x.pair(t+int64(between(x.r, time.Millisecond, 50*time.Millisecond)), append([]byte{0x00, 0xa4, 0, 4, 2}, file...), 20+x.r.IntN(30))
		t = x.pair(t, []byte{0x00, 0xb0, 0, 0, byte(9 + x.r.IntN(20))}, 9+x.r.IntN(20))
	}
	x.s.at(t, x.authenticate)
}

func (x *remoteCard) authenticate() {
	cmd := append([]byte{0x00, 0x88, 0x00, 0x81, 0x22, 0x10}, noiseBytes(x.r, 16)...)
	cmd = append(append(cmd, 0x10), noiseBytes(x.r, 16)...)
	x.pair(x.s.now, cmd, 53)
}

// cloudSIM has the modems on the line and the cards elsewhere; a pool has the
// cards, and modems elsewhere.
func cloudSIM(s *sim, pool bool) {
	r := s.rng("cards")
	n := sizes(r, 1, 6)
	what := fmt.Sprintf("%d modems whose cards are in a cloud", n)
	if pool {
		n = sizes(r, 8, 120)
		what = fmt.Sprintf("pool of %d cards for modems elsewhere", n)
	}
	l := m2mLine(s, what, VerdictReview)
	if pool {
		s.chores(l, l.device("pool"))
	} else {
		s.everyday(l, r.IntN(4))
	}
	server := s.host("card server", chance(r, 0.6))
	port := uint16(1024 + r.IntN(60000))
	head := noiseBytes(r, 2+r.IntN(14))
	clear, sealed := chance(r, 0.35), chance(r, 0.5)
	one := chance(r, 0.5) // a device for all of them
	dev := l.device("modem")
	pulse := span(r, 10*time.Second, 2*time.Minute)
	renew := span(r, 3*time.Minute, 90*time.Minute)
	for i := range n {
		if !one {
			dev = l.device("modem")
		}
		x := &remoteCard{s: s, r: r, c: s.dial(dev, uint16(32768+r.IntN(28000)), server, port, kindOther), head: append(head, byte(i)), clear: clear, tls: sealed}
		if pool {
			x.ask = 1
		}
		first := s.start + r.Int64N(int64(min(renew, s.length()/2)))
		s.at(first, x.attach)
		s.every(first+r.Int64N(int64(renew)), func() time.Duration { return expo(r, renew, time.Second, 4*renew) }, func() bool {
			x.authenticate()
			return true
		})
		s.every(first+int64(time.Minute), func() time.Duration { return pulse }, func() bool {
			x.say(x.say(s.now, 0, x.head[:1]), 1, x.head[:1])
			return true
		})
	}
}

// bench is a series of test calls: few numbers, lengths set by a plan.
type bench struct {
	r       *rand.Rand
	numbers []string
	lengths []time.Duration
	good    float64
	period  time.Duration
}

func drawBench(s *sim, r *rand.Rand, most int) bench {
	b := bench{r: r, good: share(r, 0.75, 0.99)}
	for range sizes(r, 2, 24) {
		b.numbers = append(b.numbers, mobile(r))
	}
	for range 1 + r.IntN(3) {
		b.lengths = append(b.lengths, time.Duration(pick(r, 10, 20, 30, 60, 90, 120, 180))*time.Second)
	}
	load := min(spread(r, 0.3, 4), float64(most)*0.6)
	b.period = time.Duration(float64(b.lengths[0]+15*time.Second) / load)
	return b
}

// course is a test call: its length is that of the plan, to some milliseconds.
func (b bench) course() *call {
	c := drawCourse(b.r, time.Minute, b.good)
	c.talk = pick(b.r, b.lengths...) + time.Duration(b.r.Int64N(int64(80*time.Millisecond)))
	c.byCaller = true
	return c
}

// run calls fn for each test, by the clock or at random.
func (b bench) run(s *sim, fn func()) {
	if chance(b.r, 0.5) {
		s.tides(b.r, b.period, fn)
		return
	}
	s.every(s.start+b.r.Int64N(int64(b.period)), func() time.Duration { return b.period + time.Duration(b.r.Int64N(int64(b.period/20)+1)) }, func() bool {
		fn()
		return true
	})
}

// testProbe places test calls over its trunk and answers those of others; it has
// no cards of its own.
func testProbe(s *sim) {
	r := s.rng("probe")
	n := sizes(r, 2, 16)
	l := m2mLine(s, fmt.Sprintf("test robot, %d calls at once", n), VerdictReview)
	dev := l.device("robot")
	s.chores(l, dev)
	v := s.newService(l, drawProvider(r), chance(r, 0.3))
	l.truth.Channels = n
	d := pick(r, dialPJSIP("Asterisk PBX "+drawRelease(r, 3)), dialApp("PJSUA v2."+strconv.Itoa(r.IntN(15))), dialQuiet(), dialKamailio("sipp"))
	var accounts []*agent
	for i := range pick(r, 1, 1, n) {
		accounts = append(accounts, v.account(dev, d, 5060, strconv.Itoa(7000+i)))
	}
	b := drawBench(s, r, n)
	outward, used := share(r, 0.1, 0.9), 0
	b.run(s, func() {
		if used >= n {
			return
		}
		used++
		a := pick(r, accounts...)
		c := b.course()
		c.over = func() { used-- }
		if chance(r, outward) {
			v.out(c, a, pick(r, b.numbers...), a.user)
		} else {
			v.in(c, a, pick(r, a.user, pick(r, b.numbers...)), pick(r, b.numbers...))
		}
		s.perform(c)
	})
}

// farm is multi-SIM equipment of a firm that is allowed to have it.
func farm(s *sim, what string, n int) *box {
	l := m2mLine(s, fmt.Sprintf("%s, %d cards", what, n), VerdictCase)
	r := l.rng
	b := s.newBox(l, n)
	b.codec = pick(r, g729, pcma, pcma, pcmu)
	for i := range b.channels { // modules of a farm stand in many places
		if chance(r, 0.3) {
			b.channels[i].cell = 0x2000 + r.IntN(0x4000)
		}
	}
	if chance(r, 0.5) {
		s.everyday(l, 1+r.IntN(4)) // who works there
	} else {
		b.boot()
	}
	if chance(r, 0.45) { // other operators' and tariffs' cards are put in
		spare := newCards(r, 1+r.IntN(2*n))
		s.tides(r, s.often(spread(r, 1, float64(len(spare)+1))), func() {
			ch := &b.channels[r.IntN(n)]
			if ch.busy || len(spare) == 0 {
				return
			}
			spare[0].IMEI = ch.card.IMEI // the module stays
			ch.card, spare = spare[0], spare[1:]
			ch.downUntil = s.now + int64(between(r, 30*time.Second, 4*time.Minute))
			l.truth.Cards = append(l.truth.Cards, ch.card)
		})
	}
	return b
}

// testFarm tests mobile networks: calls handed to its cards for test numbers,
// calls that its cards receive, and calls from card to card.
func testFarm(s *sim) {
	r := s.rng("farm")
	n := pick(r, 4, 8, 8, 16, 32)
	b := farm(s, "test farm", n)
	v := s.newService(b.l, drawProvider(r), chance(r, 0.3))
	d := pick(r, dialDBL(), dialQuiet(), dialDBL())
	d.expires = pick(r, 60, 120, 300, 600)
	single := chance(r, 0.4)
	for i := range b.channels {
		if i > 0 && single {
			b.channels[i].account = b.channels[0].account
			continue
		}
		b.channels[i].account = v.account(b.node, d, 5060, strconv.Itoa(1001+i))
		b.channels[i].account.media = b.channels[0].account.media
	}
	centre := s.host("test centre", chance(r, 0.3))
	switch r.IntN(4) {
	case 0:
		b.dinstarAPI(centre)
	case 1:
		b.simBank(centre)
	default:
		b.keepalives(centre)
	}
	t := drawBench(s, r, n)
	if chance(r, 0.7) { // they test each other
		t.numbers = nil
		for _, ch := range b.channels {
			t.numbers = append(t.numbers, ch.card.MSISDN)
		}
	}
	inward := share(r, 0.3, 0.9)
	t.run(s, func() {
		i := b.free()
		if i < 0 {
			return
		}
		c := b.tested(t.course(), i)
		if chance(r, inward) {
			v.in(c, b.channels[i].account, pick(r, t.numbers...), strconv.Itoa(5000+r.IntN(4)))
			c.delay = between(r, 2500*time.Millisecond, 8*time.Second)
		} else { // a call that came to the card
			v.out(c, b.channels[i].account, pick(r, "9001", "9002", "9003"), pick(r, t.numbers...))
		}
		c.codec = b.codec
		s.perform(c)
	})
	if b.sms != nil && chance(r, 0.4) {
		s.tides(r, s.often(spread(r, 3, 60)), func() { b.sms.bulk(r.IntN(n), 1) })
	}
}

// tested lets channel i carry the call, and its control tell so.
func (b *box) tested(c *call, i int) *call {
	ch := &b.channels[i]
	ch.busy = true
	state := func(text string, port byte) {
		if b.sms != nil {
			b.sms.event(i, "STATE", "gsm_remain_state:"+text)
		}
		if b.api != nil && port != 1 {
			b.api.exchange(515, []byte{byte(i), port}, 516)
		}
	}
	b.s.after(time.Second, func() { state("DIALING:"+c.called, 1) })
	c.answered = func() { state("CONNECTED:"+c.called, 2) }
	c.over = func() {
		ch.busy = false
		if b.sms != nil {
			b.sms.event(i, "HANGUP", "num:"+c.called+",cause:Normal call clearing")
		}
		state("IDLE", 0)
	}
	if b.bank != nil && chance(b.l.rng, 0.5) {
		b.bank.authenticate(i, b.l.rng)
	}
	return c
}

// messageFarm sends what banks and shops have to say to their customers.
func messageFarm(s *sim) {
	r := s.rng("farm")
	n := pick(r, 8, 16, 32)
	b := farm(s, "message platform", n)
	b.keepalives(s.host("message centre", chance(r, 0.2)))
	s.tides(r, s.often(spread(r, 30, 900)), func() { b.sms.bulk(r.IntN(n), 1+r.IntN(6)) })
	if !chance(r, 0.4) {
		return
	}
	v := s.newService(b.l, drawProvider(r), false)
	a := v.account(b.node, dialQuiet(), 5060, strconv.Itoa(3001+r.IntN(500)))
	s.tides(r, s.often(spread(r, 10, 300)), func() {
		s.text(v.server, a, "sms", mobile(r), "code "+strconv.Itoa(100000+r.IntN(900000)), pick(r, 200, 200, 202, 480))
	})
}
