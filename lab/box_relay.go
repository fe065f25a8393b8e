package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// relayScenarios are relays of one or two cards in somebody's home. The shares
// are guesses; most are low and slow.
func relayScenarios() []Scenario {
	const h = time.Hour
	drawn := func(name, text string, share float64, p gatewayPlan, lo, hi int) Scenario {
		p.name, p.span, p.class, p.accounts, p.stack, p.mute = name, 6*h, ClassTwoSlot, accountOne, relayStack, true
		return Scenario{Name: name, Text: text, Box: true, Class: ClassTwoSlot, Share: share, duration: 6 * h, build: func(s *sim) {
			if s.rng(name).IntN(4) > 0 {
				p.beside = besideHousehold
			} else {
				p.beside = nil
			}
			g := s.gateway(p)
			g.relay(lo + g.r.IntN(hi-lo+1))
		}}
	}
	return []Scenario{
		drawn("relay-two-slot", "board with one or two cards that dials by remote command: some ten calls in six hours", 0.6, gatewayPlan{noun: "board", most: 2}, 8, 18),
		drawn("relay-single-phone", "one telephone that relays what an app on it is called for", 0.25, gatewayPlan{noun: "telephone", most: 1}, 6, 26),
		drawn("relay-busy", "board with two cards that is worked all day", 0.15, gatewayPlan{noun: "board", least: 2, most: 2}, 35, 110),
	}
}

// relayStack draws the SIP software of boards and telephones.
func relayStack(r *rand.Rand) *dialect {
	switch r.IntN(4) {
	case 0:
		return modemStack(r)
	case 1:
		return dialQuiet()
	case 2:
		d := dialPJSIP(pick(r, "PJSUA v2.12 Linux-5.10/armv7l", "", "baresip v1.0.0 (armv7l/linux)"))
		d.server = false
		return d
	}
	return dialApp(pick(r, "LinphoneAndroid/5.0.14", "Z 5.6.1 v2.10.19.9", "CSipSimple_r2457", "MicroSIP/3.21.3", "SIP.js/0.20"))
}

// relay lets a person elsewhere have the relay call people, some calls in all.
func (g *gateway) relay(calls int) {
	r, s := g.r, g.s
	talk := between(r, 30*time.Second, 5*time.Minute)
	talk = min(talk, time.Duration(7000/calls)*time.Second)
	dial := g.remote()
	back := r.IntN(2) == 0 // it calls the person once somebody answered
	operator := fmt.Sprint(100 + r.IntN(900))
	g.rests(r.IntN(3))
	s.arrivals(r, s.start, g.span/time.Duration(calls), func() {
		i := g.free()
		if g.paused() || i < 0 {
			return
		}
		ch := &g.channels[i]
		ch.busy = true
		called := g.targets.next()
		wait := dial(i, called)
		c := g.draft(g.ctrl, ch.account)
		c.called, c.calling, c.toContact = called, operator, true
		if r.IntN(3) == 0 {
			c.called = ch.account.user // the command told the number
		}
		c.talk = expo(r, talk, 5*time.Second, 4*talk)
		if back {
			c.from, c.to = ch.account, g.ctrl
			c.called, c.calling, c.toContact, c.challenge = operator, pick(r, ch.account.user, called), false, r.IntN(2) == 0
			c.fromDomain, c.toDomain = g.ctrl.host(), g.ctrl.host()
			c.delay, c.ring = between(r, 100*time.Millisecond, time.Second), between(r, 200*time.Millisecond, 5*time.Second)
			g.voice(c, i, 0)
		} else {
			g.voice(c, i, 1)
		}
		c.over = func() { ch.busy = false }
		s.after(wait, func() { s.perform(c) })
	})
}

// remote gives the relay a channel for commands and gives what sends one, which
// tells how long it takes until the call follows.
func (g *gateway) remote() func(slot int, number string) time.Duration {
	r, s := g.r, g.s
	server := g.ctrl.node
	if r.IntN(2) == 0 {
		server = s.host("program", r.IntN(10) < 7)
		g.l.controls(server, "management")
	}
	beat := between(r, 15*time.Second, 4*time.Minute)
	from := s.start + int64(between(r, time.Second, 20*time.Second))
	switch r.IntN(4) {
	case 0: // the number is in the INVITE
		return func(int, string) time.Duration { return 0 }
	case 1: // in the clear, in one maker's words
		x := &board{s: s, l: g.l, node: g.node, server: server, id: fmt.Sprintf("4980609%05d", r.IntN(100000)), token: hex16(r) + hex16(r)}
		g.l.shows(ShowControl)
		x.c = s.dial(x.node, uint16(33000+r.IntN(9000)), x.server, pick(r, uint16(8899), 8899, 9000, 1883), kindControl)
		s.every(from, func() time.Duration { return beat }, func() bool {
			x.count++
			x.push(998, fmt.Sprintf(`"cnt":%d`, x.count))
			return true
		})
		web := r.IntN(2) == 0
		return func(slot int, number string) time.Duration {
			if web {
				x.ask(1+slot, number)
			} else {
				x.command(1+slot, number)
			}
			return between(r, time.Second, 12*time.Second)
		}
	}
	c := s.dial(g.node, uint16(33000+r.IntN(9000)), server, pick(r, uint16(443), 8883, 8443, 5223), kindControl)
	s.at(from, func() {
		t := c.send(s.now, 0, clientHello(r, pick(r, "mq.example.com", "push.example.net", "ctl.example.org")))
		t = c.send(t, 1, tlsRecord(22, s.stuff(r, 2600)))
		c.send(t, 0, tlsRecord(20, s.stuff(r, 64)))
	})
	size := 28 + r.IntN(60)
	s.every(from+int64(beat), func() time.Duration { return beat }, func() bool {
		t := c.send(s.now, 0, tlsRecord(23, s.stuff(r, size)))
		c.send(t, 1, tlsRecord(23, s.stuff(r, size-4)))
		return true
	})
	return func(int, string) time.Duration {
		t := c.send(s.now, 1, tlsRecord(23, s.stuff(r, 90+r.IntN(120))))
		c.send(t+int64(30*time.Millisecond), 0, tlsRecord(23, s.stuff(r, 60+r.IntN(60))))
		return between(r, time.Second, 12*time.Second)
	}
}
