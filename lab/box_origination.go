package lab

import (
	"fmt"
	"time"
)

// originationScenarios are gateways that take calls from the mobile network out
// to their controller. The shares are guesses.
func originationScenarios() []Scenario {
	const h = time.Hour
	drawn := func(name, text string, share float64, p gatewayPlan) Scenario {
		p.name, p.span, p.class, p.noun, p.mute = name, 2*h, ClassOrigination, "origination gateway", true
		return Scenario{Name: name, Text: text, Box: true, Class: ClassOrigination, Share: share, duration: 2 * h, build: func(s *sim) { s.gateway(p).originate() }}
	}
	return []Scenario{
		drawn("origination-line", "calls to its cards go out to the controller, an account for each channel", 0.4, gatewayPlan{accounts: accountEach, most: 64}),
		drawn("origination-single", "the same behind one account", 0.25, gatewayPlan{accounts: accountOne, most: 32}),
		drawn("origination-trunk", "the same over a trunk without an account", 0.25, gatewayPlan{accounts: accountNone, most: 64}),
		drawn("origination-home", "the same in a home where people live", 0.1, gatewayPlan{accounts: accountAny, most: 8, beside: besideHousehold}),
	}
}

// originate lets strangers call the cards; each call is passed on to the
// controller, at the number that stands for the card or at one for all.
func (g *gateway) originate() {
	r, s := g.r, g.s
	one := fmt.Sprint(100 + r.IntN(900))
	ends := make([]string, len(g.channels))
	kind := r.IntN(4)
	for i := range ends {
		ch := &g.channels[i]
		ends[i] = [...]string{one, ch.card.MSISDN, fmt.Sprint(6000 + i), ch.account.user}[kind]
		if ends[i] == "" {
			ends[i] = one
		}
	}
	asr := share(r, 0.55, 0.95)
	talk := time.Duration(magnitude(r, float64(25*time.Second), float64(4*time.Minute)))
	hold := 8*time.Second + time.Duration(asr*float64(talk))
	// The budget is in g.seconds; the cards ring for a tenth to a half of the time.
	gap := time.Duration(float64(hold) / (share(r, 0.1, 0.5) * float64(len(g.channels))))
	gap = max(gap, time.Duration(float64(g.span)*hold.Seconds()/g.seconds))
	gap = min(gap, g.span/time.Duration(40+r.IntN(40)))
	g.rests(r.IntN(3))
	out := pick(r, 0, 0, share(r, 0, 0.15)) // share of calls the other way
	again := share(r, 0, 0.25)              // of people who call once more
	challenge := g.accounts != accountNone && r.IntN(3) > 0
	early := r.IntN(2) == 0
	s.arrivals(r, s.start, gap, func() {
		if g.paused() {
			return
		}
		if r.Float64() < out {
			g.attempt()
			return
		}
		i := g.free()
		if i < 0 {
			return // the network says that the number is engaged
		}
		ch := &g.channels[i]
		c := g.draft(ch.account, g.ctrl)
		c.called, c.challenge, c.early = ends[i], challenge, early
		c.calling = mobile(r)
		switch {
		case r.Float64() < again:
			c.calling = g.targets.known()
		case r.IntN(12) == 0:
			c.calling = pick(r, landline(r, ""), "anonymous")
		}
		g.targets.keep(c.calling)
		c.delay, c.ring = between(r, 100*time.Millisecond, 1500*time.Millisecond), between(r, time.Second, 12*time.Second)
		c.status, c.talk = 200, expo(r, talk, 3*time.Second, 6*talk)
		if r.Float64() > asr {
			c.status = pick(r, 487, 487, 480, 486)
		}
		c.byCaller = chance(r, g.hangs)
		c.fromDomain, c.toDomain = g.ctrl.host(), g.ctrl.host()
		g.voice(c, i, 0)
		ch.busy = true
		c.over = func() { ch.busy = false }
		s.perform(c)
	})
}
