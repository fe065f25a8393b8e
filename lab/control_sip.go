package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// controlStack draws how a gateway of a maker writes SIP. Every maker lets the
// operator choose the name, and some put a telephone's there.
func controlStack(r *rand.Rand, maker string) *dialect {
	var d *dialect
	switch maker {
	case "dbl":
		d = dialDBL()
		d.agent = pick(r, "DBL", "DBL", "H", "W", "", "GoIP")
		d.forwards, d.rport, d.phoneOutside = pick(r, "30", "70"), r.IntN(2) == 0, r.IntN(3) > 0
		d.lengthGap = pick(r, " ", "  ", "     ")
		d.expires = pick(r, 60, 60, 60, 120, 300)
	case "dinstar":
		d = dialQuiet()
		d.tag, d.expires = hex8, pick(r, 1800, 1800, 300, 3600)
	case "ejoin":
		d = dialQuiet()
		d.tag, d.expires = pick(r, hex8, decimal), pick(r, 180, 180, 60, 600)
	case "asterisk":
		d = dialChanSIP(pick(r, "Asterisk PBX", "Asterisk PBX 1.6.2.6", "Asterisk PBX 11.20.0", "", "VoIP gateway"))
		d.expires = pick(r, 120, 300, 3600)
	default:
		d = dialQuiet()
		d.expires = pick(r, 60, 180, 300, 600, 1800, 3600)
	}
	if maker != "asterisk" && r.IntN(8) == 0 {
		expires := d.expires
		d = pick(r, dialYealink(fmt.Sprintf("SIP-T4%dS 66.8%d.0.%d", r.IntN(9), r.IntN(7), 5*r.IntN(25))),
			dialGrandstream(fmt.Sprintf("GXP16%d0 1.0.7.%d", 2+r.IntN(2), 10+r.IntN(60))))
		d.expires = expires
	}
	d.agent = pick(r, d.agent, d.agent, d.agent, "")
	d.bareStatic = r.IntN(3) == 0
	return d
}

// controlSwitch draws how a softswitch writes.
func controlSwitch(r *rand.Rand) *dialect {
	vos := dialVOS(fmt.Sprintf("V2.1.%d.0%d", pick(r, 2, 4, 6, 8, 9), r.IntN(8)))
	return pick(r, vos, vos, vos, dialQuietSwitch(), dialQuietSwitch(),
		dialKamailio(fmt.Sprintf("kamailio (5.%d.%d (x86_64/linux))", 2+r.IntN(6), r.IntN(6))),
		dialChanSIP(fmt.Sprintf("FPBX-1%d.0.%d(13.%d.1)", 3+r.IntN(3), r.IntN(190), 10+r.IntN(28))),
		dialPJSIP(fmt.Sprintf("Asterisk PBX 1%d.%d.0", 6+r.IntN(4), r.IntN(20))))
}

// sip gives the box its switch and its accounts, in a mode that is drawn unless
// given. A gateway without calls has them all the same, or none of it at all.
func (g *rig) sip(maker, mode string) {
	r := g.r
	if g.mode = mode; mode == "" {
		g.mode = pick(r, "line", "line", "group", "trunk", "trunk", "single")
	}
	g.s.shape.sipTCP = g.s.shape.sipTCP || r.IntN(12) == 0
	host := g.s.host("softswitch", r.IntN(4) > 0)
	g.ctrl = g.s.newAgent(host, controlSwitch(r), pick(r, uint16(5060), 5060, 5060, 62019, 62029, 15060, uint16(1024+r.IntN(60000))), "", "")
	g.ctrl.user = fmt.Sprint(5000 + r.IntN(4000))
	g.ctrl.codecs = controlCodecs(r, g.codec)
	role := "registrar"
	if g.mode == "trunk" {
		role = "trunk-peer"
	}
	g.l.controls(host, role)
	abroad := host.abroad
	g.s.handsOff(g.ctrl, r)
	for _, m := range g.ctrl.relays {
		g.l.controls(m.node, "media")
		abroad = abroad || m.node.abroad
	}
	if len(g.ctrl.relays) == 0 && r.IntN(3) == 0 {
		m := g.s.host("media relay", r.IntN(4) > 0)
		g.media = newMediaHost(m, r)
		g.l.controls(m, "media")
		abroad = abroad || m.abroad
	}
	g.abroad = abroad
	if random := r.IntN(4) > 0; g.media != nil {
		g.media.random = random
	} else {
		g.ctrl.media.random = random
	}
	g.accounts(maker)
	if r.IntN(12) > 0 || g.s.shape.sipTCP {
		g.shows(ShowSIP)
		return
	}
	g.note("SIP scrambled")
	g.ctrl.keystream = drawKeystream(r)
	for _, a := range g.agents {
		a.keystream = g.ctrl.keystream
	}
}

// controlCodecs draws what is offered beside k.
func controlCodecs(r *rand.Rand, k *codec) []*codec {
	all := []*codec{g729, pcma, pcmu, g723}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	out := []*codec{k}
	for _, c := range all[:r.IntN(4)] {
		if c != k {
			out = append(out, c)
		}
	}
	return out
}

func (g *rig) accounts(maker string) {
	r, n := g.r, len(g.channels)
	d := controlStack(r, maker)
	port := uint16(5060 + pick(r, 0, 0, 0, 20, r.IntN(1000)))
	codecs, mapped := controlCodecs(r, g.codec), r.IntN(2) == 0
	groups := 1
	switch g.mode {
	case "line":
		groups = n
	case "group":
		groups = max(1, min(n, pick(r, 2, 2, 3, 4, 8)))
	}
	name := controlNames(r)
	g.absent = r.IntN(2) == 0
	step := between(r, 20*time.Millisecond, 900*time.Millisecond)
	challenge := r.IntN(2) == 0
	early := pick(r, 1, 1, 0.5, 0.9) // when an account is refreshed, of its time
	g.period = time.Duration(early*float64(d.expires)) * time.Second
	first := g.s.start + int64(between(r, 0, 20*time.Second))
	for k := range groups {
		a := g.account(d, port, name(k))
		a.codecs, a.mapped = codecs, mapped
		if g.mode == "trunk" {
			continue
		}
		var ch *channel
		if g.mode == "line" {
			ch = &g.channels[k]
		}
		g.register(first+int64(k)*int64(step), a, ch, g.period, challenge)
	}
	if groups > 1 {
		for i := range g.channels {
			g.channels[i].account = g.agents[i%groups]
		}
	}
	if g.mode == "trunk" || r.IntN(3) == 0 {
		if period := pick(r, 0, 15*time.Second, 30*time.Second, 60*time.Second); period > 0 {
			g.s.options(g.s.start+int64(between(r, time.Second, 30*time.Second)), g.ctrl, g.agents[0], period)
		}
	}
}

// register keeps an account registered; where it is a channel's own, it may stay
// away while the channel has no card.
func (g *rig) register(t int64, a *agent, ch *channel, period time.Duration, challenge bool) {
	to := aor("", a.user, a.domain)
	d := g.s.newDialog(a, g.ctrl, to, to, "sip:"+a.domain)
	x := &registration{client: a, registrar: g.ctrl, period: period, expires: a.d.expires, everyTime: challenge, g: d}
	jitter := int64(between(g.r, time.Millisecond, 400*time.Millisecond))
	g.s.every(t, func() time.Duration { return period + time.Duration(a.r.Int64N(jitter)) }, func() bool {
		if ch == nil || !g.absent || ch.card.IMSI != "" {
			x.refresh(g.s.now)
		}
		return true
	})
}

// controlNames draws how the accounts of a gateway are called.
func controlNames(r *rand.Rand) func(int) string {
	base := pick(r, 1001, 2001, 8001, 101, 60001, 100000+r.IntN(800000))
	prefix := pick(r, "goip", "gw", "sz", "line")
	random := s36(r)
	switch r.IntN(6) {
	case 0:
		return func(i int) string { return fmt.Sprintf("%s%02d", prefix, i+1) }
	case 1:
		return func(i int) string { return fmt.Sprintf("%s%d", random, (i*7919+base)%100000) }
	}
	return func(i int) string { return fmt.Sprint(base + i) }
}

func s36(r *rand.Rand) string { return fmt.Sprintf("%c%c", 'a'+rune(r.IntN(26)), 'a'+rune(r.IntN(26))) }

// surroundings is what else is on the line: nothing but a device's own lookups,
// or the people of a household.
func (g *rig) surroundings() {
	r, s, l := g.r, g.s, g.l
	s.chores(l, g.node)
	switch r.IntN(5) {
	case 0:
		s.browse(l, l.device("phone"), between(r, 15*time.Second, 2*time.Minute), 90_000)
		s.browse(l, l.device("computer"), between(r, 20*time.Second, 3*time.Minute), 120_000)
		s.quic(l, l.device("television"), between(r, time.Minute, 4*time.Minute), 300)
		if r.IntN(3) == 0 {
			s.game(l, l.device("console"))
		}
	case 1:
		s.browse(l, l.device("phone"), between(r, 20*time.Second, 5*time.Minute), 60_000)
	}
}
