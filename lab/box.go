package lab

import (
	"fmt"
	"time"
)

// box is a gateway full of SIM cards: calls come from a controller abroad and
// leave over the mobile network.
type box struct {
	s        *sim
	l        *line
	node     *node
	ctrl     *agent     // the softswitch
	media    *mediaHost // where its media comes from
	agents   []*agent   // one per account, or the one trunk
	channels []channel
	sms      *smsServer
	bank     *bank
	api      *dinstar

	load
	codec *codec
}

type channel struct {
	busy      bool
	downUntil int64 // its card is being swapped or cools down
	card      Card
	lac, cell int
	account   *agent
}

// load is how much a box is asked to do, and how it goes.
type load struct {
	gap  time.Duration // between attempts
	asr  float64
	talk time.Duration // mean
	// rush makes attempts six times as frequent for a quarter of the time.
	rush bool
	dtx  float64 // share of calls whose uplink is silence-suppressed
}

// drawLoad draws the load of a box of n channels: bypass boxes are busy,
// fraud boxes less so.
func drawLoad(l *line, n int) load {
	r := l.rng
	talk := between(r, 25*time.Second, 75*time.Second)
	use := share(r, 0.25, 0.55)
	asr := share(r, 0.3, 0.6)
	hold := 12*time.Second + time.Duration(asr*float64(talk))
	return load{gap: time.Duration(float64(hold) / (use * float64(n))), asr: asr, talk: talk, rush: r.IntN(3) == 0, dtx: pick(r, 0, 0, 0.3, 1)}
}

func (s *sim) newBox(l *line, n int) *box {
	b := &box{s: s, l: l, node: l.device("gateway")}
	l.truth.Channels = n
	l.truth.Cards = newCards(l.rng, n)
	lac := 0x1000 + l.rng.IntN(0xe000)
	for i := range n {
		b.channels = append(b.channels, channel{card: l.truth.Cards[i], lac: lac, cell: 0x2000 + l.rng.IntN(64)})
	}
	b.codec = pick(l.rng, g729, g729, g729, pcma)
	if ppm := pick(l.rng, drawPPM(l.rng), drawPPM(l.rng), l.rng.NormFloat64()*0.1); !s.wide {
		b.node.ppm = ppm
	}
	return b
}

// softswitch puts the controller abroad; its media may come from elsewhere.
func (b *box) softswitch(d *dialect, role string) {
	r := b.l.rng
	host := b.s.host("softswitch", true)
	b.ctrl = b.s.newAgent(host, d, pick(r, uint16(5060), 5060, 62019, 62029, 15060), "", "")
	b.ctrl.user = fmt.Sprint(5000 + r.IntN(4000))
	b.ctrl.codecs = []*codec{b.codec, pcma, pcmu}
	b.media = b.ctrl.media
	b.l.controls(host, role)
	if r.IntN(3) == 0 {
		m := b.s.host("media relay", true)
		b.media = newMediaHost(m, r)
		b.l.controls(m, "media")
	}
	b.media.random = true
}

// account adds a SIP account to the gateway, on its one socket.
func (b *box) account(d *dialect, port uint16, user string) *agent {
	a := b.s.newAgent(b.node, d, port, user, b.ctrl.host())
	a.codecs = []*codec{pcma, pcmu, g729}
	if len(b.agents) > 0 {
		a.media, a.mapped = b.agents[0].media, b.agents[0].mapped
	} else {
		a.media.n = uint16(16 * len(b.channels))
	}
	b.agents = append(b.agents, a)
	return a
}

// start lets calls come and cards be swapped.
func (b *box) start() {
	r := b.l.rng
	b.s.every(b.s.start+int64(between(r, time.Second, 20*time.Second)), func() time.Duration {
		mean := b.gap
		if b.rush && (b.s.now-b.s.start)*8/max(b.s.end-b.s.start, 1)%4 == 1 {
			mean /= 6
		}
		return expo(r, mean, 80*time.Millisecond, 10*b.gap)
	}, func() bool {
		b.attempt()
		return true
	})
	b.s.arrivals(r, b.s.start, max(40*time.Minute/time.Duration(len(b.channels)), time.Minute), func() {
		ch := &b.channels[r.IntN(len(b.channels))]
		ch.downUntil = b.s.now + int64(between(r, 30*time.Second, 3*time.Minute))
	})
}

// free gives an idle channel, the first one after a random place; -1 when none.
func (b *box) free() int {
	n := len(b.channels)
	for i, at := 0, b.l.rng.IntN(n); i < n; i++ {
		if ch := &b.channels[(at+i)%n]; !ch.busy && ch.downUntil <= b.s.now {
			return (at + i) % n
		}
	}
	return -1
}

func (b *box) attempt() {
	r := b.l.rng
	c := &call{
		from: b.ctrl, called: mobile(r), calling: pick(r, mobile(r), landline(r, ""), foreign(r), "anonymous"), codec: b.codec,
		byCaller: r.IntN(10) < 6, media: [2]*mediaHost{b.media, nil}, relayed: [2]bool{true, false}, ppm: [2]float64{drawPPM(r), 0},
		early: true, toContact: true,
	}
	if r.IntN(50) == 0 {
		c.called = landline(r, "")
	}
	i := b.free()
	if i < 0 {
		c.to, c.status, c.delay = b.agents[r.IntN(len(b.agents))], 503, 30*time.Millisecond
		b.s.perform(c)
		return
	}
	ch := &b.channels[i]
	c.to = b.agents[0]
	if ch.account != nil {
		c.to = ch.account
	}
	ch.busy = true
	c.delay = between(r, 3*time.Second, 12*time.Second)
	c.ring = between(r, 3*time.Second, 16*time.Second)
	c.status = outcome(r, b.asr)
	if c.status == 480 && r.IntN(2) == 0 {
		c.ring = 0
	}
	c.talk = expo(r, b.talk, 3*time.Second, 6*b.talk)
	if r.Float64() < b.dtx {
		c.silence[1] = share(r, 0.2, 0.5)
	}
	// The INVITE has to get there before the card is asked to dial.
	b.s.at(b.s.now+b.ctrl.node.owd+4*b.ctrl.node.jit+b.node.owd+int64(between(r, 50*time.Millisecond, 400*time.Millisecond)), func() {
		if b.bank != nil && r.IntN(3) == 0 {
			b.bank.authenticate(i, r)
		}
		if b.sms != nil {
			b.sms.event(i, "STATE", "gsm_remain_state:DIALING:"+c.called)
		}
	})
	c.answered = func() {
		if b.sms != nil {
			b.sms.event(i, "STATE", "gsm_remain_state:CONNECTED:"+c.called)
		}
		if b.api != nil {
			b.api.exchange(515, []byte{byte(i), 2}, 516)
		}
	}
	c.over = func() {
		ch.busy = false
		if b.sms != nil {
			b.sms.event(i, "HANGUP", "num:"+c.called+",cause:Normal call clearing")
			b.sms.event(i, "STATE", "gsm_remain_state:IDLE")
		}
		if b.api != nil {
			b.api.exchange(515, []byte{byte(i), 0}, 516)
			if r.IntN(6) == 0 {
				b.api.received(i, mobile(r), "OK")
			}
		}
		if r.IntN(3) == 0 { // the card rests before its next call
			ch.downUntil = b.s.now + int64(expo(r, 20*time.Second, 2*time.Second, 2*time.Minute))
		}
	}
	b.s.perform(c)
}

// boot is the little other traffic of a line that holds nothing but a box.
func (b *box) boot() { b.s.chores(b.l, b.node) }

// goipLine is a DBL GoIP in line mode: an account for every channel on one
// socket, refreshed every 60 s, and an SMS server beside it.
func goipLine(s *sim, n int, ld *load) *line {
	l := s.newLine(ClassGateway, fmt.Sprintf("GoIP-%d, line mode", n), VerdictCase, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	if ld != nil {
		b.load, b.codec = *ld, g729
	}
	b.softswitch(dialVOS(pick(l.rng, "V2.1.4.0", "V2.1.6.00", "V2.1.8.05")), "registrar")
	port := uint16(5060 + pick(l.rng, 0, 0, 20, l.rng.IntN(1000)))
	first := pick(l.rng, 1001, 2001, 8001, 60001)
	d := dialDBL()
	for i := range b.channels {
		a := b.account(d, port, fmt.Sprint(first+i))
		b.channels[i].account = a
		s.register(s.start+int64(i)*int64(220*time.Millisecond)+l.rng.Int64N(int64(time.Second)), a, b.ctrl, 60*time.Second, l.rng.IntN(4) == 0)
	}
	b.keepalives(s.host("sms server", true))
	b.start()
	b.boot()
	return l
}

// goipGroup is a GoIP in group mode: one account for each group of channels.
// It says nothing but SIP.
func goipGroup(s *sim) {
	n := pick(s.rng("size"), 8, 16, 32)
	l := s.newLine(ClassGateway, fmt.Sprintf("GoIP-%d, group mode", n), VerdictWatch, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	b.softswitch(dialVOS("V2.1.8.05"), "registrar")
	d := dialDBL()
	d.agent = pick(l.rng, "DBL", "H", "W")
	groups := pick(l.rng, 2, 4)
	for g := range groups {
		a := b.account(d, 5060, fmt.Sprint(3001+g))
		s.register(s.start+int64(g)*int64(300*time.Millisecond), a, b.ctrl, 60*time.Second, false)
	}
	for i := range b.channels {
		b.channels[i].account = b.agents[i%groups]
	}
	b.start()
	b.boot()
}

// trunkBox takes calls from a softswitch by its address: no account, no name of
// any maker.
func trunkBox(s *sim, n int, ld *load) *line {
	l := s.newLine(ClassGateway, fmt.Sprintf("%d-channel trunk gateway without a name", n), VerdictWatch, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	if ld != nil {
		b.load, b.codec = *ld, g729
	}
	b.softswitch(pick(l.rng, dialQuietSwitch(), dialVOS("V2.1.9.07")), "trunk-peer")
	a := b.account(dialQuiet(), uint16(5060+pick(l.rng, 0, 0, l.rng.IntN(2000))), "gw")
	a.mapped = true
	s.options(s.start+int64(time.Second), b.ctrl, a, 30*time.Second)
	b.start()
	b.boot()
	return l
}

// disguised is a box behind one account that calls itself a desk phone.
func disguised(s *sim, n int, ld *load) *line {
	l := s.newLine(ClassGateway, fmt.Sprintf("%d-channel gateway disguised as a desk phone", n), VerdictWatch, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	if ld != nil {
		b.load, b.codec = *ld, g729
	}
	b.softswitch(dialKamailio("kamailio (5.5.4 (x86_64/linux))"), "registrar")
	a := b.account(dialYealink("SIP-T46S 66.85.0.5"), 5060, fmt.Sprint(100000+l.rng.IntN(800000)))
	s.register(s.start+int64(between(l.rng, time.Second, 30*time.Second)), a, b.ctrl, 10*time.Minute, true)
	s.options(s.start+int64(5*time.Second), b.ctrl, a, 30*time.Second)
	b.start()
	b.boot()
	return l
}

// dinstarBox is a Dinstar-like gateway with its TCP API.
func dinstarBox(s *sim) {
	n := pick(s.rng("size"), 8, 16, 32)
	l := s.newLine(ClassGateway, fmt.Sprintf("Dinstar-like, %d ports", n), VerdictWatch, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	b.softswitch(dialVOS("V2.1.8.05"), "registrar")
	d := dialQuiet()
	d.tag, d.expires = hex8, 1800
	for i := range b.channels {
		a := b.account(d, 5060, fmt.Sprint(700+i))
		b.channels[i].account = a
		s.register(s.start+int64(i)*int64(150*time.Millisecond), a, b.ctrl, 15*time.Minute, true)
	}
	b.dinstarAPI(s.host("management server", true))
	b.start()
	b.boot()
}

// bankBox is a gateway whose cards are in a SIM bank elsewhere.
func bankBox(s *sim) {
	n := pick(s.rng("size"), 8, 16)
	l := s.newLine(ClassGateway, fmt.Sprintf("GoIP-%d, cards in a SIM bank", n), VerdictWatch, VerdictCase)
	b := s.newBox(l, n)
	b.load = drawLoad(l, n)
	b.softswitch(dialVOS("V2.1.4.0"), "trunk-peer")
	b.account(dialQuiet(), 5060, "gw")
	b.simBank(s.host("sim bank", pick(l.rng, true, true, false)))
	b.start()
	b.boot()
}
