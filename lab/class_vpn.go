package lab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// vpnScenarios are offices behind a VPN. Shares are what one would count among
// offices with a tunnel: most carry data, or people at home; voice for a whole
// site inside is the rarer, the trunk in a tunnel, most like a box, the rarest.
func vpnScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "vpn-data", Text: "office with a tunnel for data alone", Class: ClassVPN, Share: 0.25, duration: 60 * m, build: vpnData},
		{Name: "vpn-voice-inside", Text: "office whose telephones speak inside its tunnel", Class: ClassVPN, Share: 0.22, Heavy: true, duration: 30 * m, build: vpnVoiceInside},
		{Name: "vpn-phones-outside", Text: "office with a tunnel for data, telephones beside it at a hosted exchange", Class: ClassVPN, Share: 0.2, Heavy: true, duration: 30 * m, build: vpnPhonesOutside},
		{Name: "vpn-remote", Text: "people at home with a tunnel to their office and a telephone inside", Class: ClassVPN, Share: 0.2, duration: 60 * m, build: vpnRemote},
		{Name: "vpn-hub", Text: "office that the tunnels of its branches and people end in, with its exchange behind", Class: ClassVPN, Share: 0.08, Heavy: true, duration: 30 * m, build: vpnHub},
		{Name: "vpn-trunk-inside", Text: "exchange or call centre whose trunk runs in a tunnel, little else", Class: ClassVPN, Share: 0.05, Heavy: true, duration: 30 * m, build: vpnTrunkInside},
	}
}

// drawSiteVPN draws what joins sites, drawPersonVPN what joins people.
func drawSiteVPN(r *rand.Rand) string {
	return pick(r, vpnESP, vpnESP, vpnESP, vpnNAT, vpnNAT, vpnWireGuard, vpnOpenVPN, vpnL2TP, vpnMPPE)
}

func drawPersonVPN(r *rand.Rand) string {
	return pick(r, vpnNAT, vpnWireGuard, vpnWireGuard, vpnOpenVPN, vpnOpenVPN, vpnOverTCP, vpnDTLS, vpnDTLS, vpnL2TP)
}

// vpnLine is an office with a tunnel to its head office, in the country or not.
func vpnLine(s *sim, what, kind string) (*line, *vpn) {
	l := s.newLine(ClassVPN, what, VerdictNone, VerdictReview)
	dev := l.device("router")
	if kind == vpnESP || chance(l.rng, 0.4) {
		dev = l.public("router")
	}
	t := s.newVPN(l, dev, s.host("head office", chance(l.rng, 0.25)), kind)
	l.truth.Note = kind
	if chance(l.rng, 0.6) { // the web does not go through the tunnel
		s.everyday(l, 1+l.rng.IntN(6))
	} else {
		s.chores(l, dev)
	}
	return l, t
}

func vpnData(s *sim) {
	l, t := vpnLine(s, "office with a tunnel for data", drawSiteVPN(s.rng("kind")))
	t.data(spread(l.rng, 20, 2000), 150)
}

// hiddenCalls lets a site of n telephones make calls inside its tunnels, to the
// given load in calls at once.
func (s *sim) hiddenCalls(l *line, tunnels []*vpn, n int, load float64) {
	r := l.rng
	l.truth.Channels = n
	used := 0
	talk := span(r, 40*time.Second, 4*time.Minute)
	answered := share(r, 0.5, 0.9)
	outward := share(r, 0.2, 0.8)
	own := landline(r, "")
	v := drawVoice(r) // a site has one way, now and then another
	h := s.rng("site")
	// Some sites have telephones that suppress silence and a far end that does
	// not, or the other way about; some lose packets; all put callers on hold, and
	// many hear the telephones that they call ring.
	if v.silence > 0 && chance(h, 0.5) {
		v.still[h.IntN(2)] = true
	}
	if chance(h, 0.25) {
		for _, t := range tunnels {
			t.lost[h.IntN(2)] = math.Exp(share(h, math.Log(0.003), math.Log(0.08)))
		}
	}
	held := share(h, 0, 0.25)
	rings := [2]float64{pick(h, 0, 0, 0, 0, 0.1, 0.5), pick(h, 0, 0.3, 0.9, 1)} // in, out
	hold := time.Duration(answered*float64(talk)) + 10*time.Second
	s.tides(r, time.Duration(float64(hold)/load), func() {
		if used >= n {
			return
		}
		used++
		c := hiddenCall{
			out: chance(r, outward), number: own[:len(own)-2] + fmt.Sprintf("%02d", r.IntN(min(n*2, 100))), status: outcome(r, answered),
			ring: between(r, 2*time.Second, 18*time.Second), talk: expo(r, talk, 4*time.Second, 6*talk), voice: v, over: func() { used-- },
		}
		if chance(r, 0.1) {
			c.voice = drawVoice(r)
		}
		way := 0
		if c.out {
			way = 1
		}
		c.early, c.hold = chance(h, rings[way]), chance(h, held)
		tunnels[r.IntN(len(tunnels))].call(c)
	})
}

func vpnVoiceInside(s *sim) {
	n := sizes(s.rng("size"), 3, 60)
	l, t := vpnLine(s, fmt.Sprintf("office, %d telephones inside its tunnel", n), drawSiteVPN(s.rng("kind")))
	r := l.rng
	registered := min(n, 20)
	for range registered { // accounts renewed, signs of life
		period := span(r, time.Minute, 30*time.Minute)
		s.every(s.start+r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
			t.exchange(s.now, 0, 560+r.IntN(80), 480, 740+r.IntN(90), 520)
			return true
		})
	}
	t.data(spread(r, 10, 800), 120)
	s.hiddenCalls(l, []*vpn{t}, n, min(spread(r, 0.2, 8), float64(n)*0.6))
}

// vpnTrunkInside is an exchange whose only neighbour is its carrier, or a call
// centre its head office: voice alone, all of it to one far end.
func vpnTrunkInside(s *sim) {
	n := sizes(s.rng("size"), 8, 60)
	l := s.newLine(ClassVPN, fmt.Sprintf("exchange, trunk of %d channels in a tunnel", n), VerdictNone, VerdictReview)
	r := l.rng
	dev := l.public("exchange")
	t := s.newVPN(l, dev, s.host("carrier", chance(r, 0.3)), pick(r, vpnESP, vpnESP, vpnNAT, vpnWireGuard, vpnOpenVPN))
	l.truth.Note = t.name
	s.chores(l, dev)
	if chance(r, 0.5) {
		s.everyday(l, 1+r.IntN(4))
	}
	s.heartbeat(t, pick(r, 30*time.Second, time.Minute), 480+r.IntN(90)) // OPTIONS
	s.hiddenCalls(l, []*vpn{t}, n, spread(r, 0.8, 8))
}

// vpnHub has its exchange behind the far end of many tunnels.
func vpnHub(s *sim) {
	r := s.rng("hub")
	n := sizes(r, 3, 24)
	l := s.newLine(ClassVPN, fmt.Sprintf("office with its exchange, tunnels of %d branches and people", n), VerdictNone, VerdictReview)
	dev := l.public("gateway")
	kind := drawPersonVPN(r)
	if kind == vpnOverTCP || chance(r, 0.3) {
		kind = drawSiteVPN(r)
	}
	var tunnels []*vpn
	for i := range n {
		t := s.newVPN(l, dev, s.host(fmt.Sprintf("branch %d", i), chance(r, 0.1)), kind)
		t.data(spread(r, 3, 100), 60)
		tunnels = append(tunnels, t)
	}
	l.truth.Note = kind
	s.everyday(l, 1+r.IntN(6))
	s.hiddenCalls(l, tunnels, 2*n, min(spread(r, 0.3, 5), float64(n)*0.5))
	// Somewhere between branches and the world is a trunk of the exchange.
	if chance(r, 0.5) {
		s.drawnOffice(l, max(2, n/2), spread(r, 0.2, 2), true)
	}
}

// vpnRemote is one or two people who work from home.
func vpnRemote(s *sim) {
	r := s.rng("remote")
	l := s.newLine(ClassVPN, "people at home, a telephone inside the tunnel to their office", VerdictNone, VerdictReview)
	s.everyday(l, r.IntN(4))
	for range pick(r, 1, 1, 1, 2) {
		t := s.newVPN(l, l.device("computer"), s.host("office", chance(r, 0.2)), drawPersonVPN(r))
		l.truth.Note = t.name
		t.data(spread(r, 10, 500), 100)
		l.truth.Channels++
		busy := false
		talk := span(r, time.Minute, 12*time.Minute)
		s.tides(r, s.often(spread(r, 1, 14)), func() {
			if busy {
				return
			}
			busy = true
			t.call(hiddenCall{
				out: chance(r, 0.5), number: "8" + strconv.Itoa(100+r.IntN(100)), status: outcome(r, 0.8), ring: between(r, 2*time.Second, 15*time.Second),
				talk: expo(r, talk, 5*time.Second, 40*time.Minute), voice: drawVoice(r), over: func() { busy = false },
			})
		})
	}
}

func vpnPhonesOutside(s *sim) {
	n := sizes(s.rng("size"), 3, 40)
	l, t := vpnLine(s, fmt.Sprintf("office with a tunnel for data, %d telephones beside it", n), drawSiteVPN(s.rng("kind")))
	r := l.rng
	t.data(spread(r, 10, 800), 120)
	s.drawnOffice(l, n, min(spread(r, 0.2, 7), float64(n)*0.5), chance(r, 0.25))
}

// drawnOffice gives a line telephones at a hosted exchange, or one exchange of
// its own, and lets them carry the given load in calls at once.
func (s *sim) drawnOffice(l *line, n int, load float64, anchored bool) {
	r := s.rng("office")
	v := s.newService(l, drawProvider(r), chance(r, 0.1))
	switch r.IntN(6) {
	case 0:
		v.carry(linkTCP, false)
	case 1:
		v.carry(linkTLS, chance(r, 0.7))
	}
	l.truth.Channels = max(l.truth.Channels, n)
	base := landline(r, "")
	base = base[:len(base)-2]
	accounts := make([]*agent, n)
	watch := !anchored && chance(r, 0.4) // mailboxes, and each other's lines
	usual := drawDeskPhone(r)            // offices buy one make
	for i := range accounts {
		user, d := pick(r, strconv.Itoa(8001+i), base+fmt.Sprintf("%02d", i)), usual
		var dev *node
		switch {
		case anchored && i > 0:
			accounts[i] = accounts[0]
			continue
		case anchored:
			d = pick(r, dialPJSIP("Asterisk PBX "+drawRelease(r, 3)), dialChanSIP("FPBX-"+drawRelease(r, 4)), dialGrandstream("UCM6304 V1."+drawRelease(r, 3)))
			dev = l.device("exchange")
		default:
			dev = l.device("phone")
			if chance(r, 0.15) {
				d = drawDeskPhone(r)
			}
		}
		accounts[i] = v.account(dev, d, pick(r, uint16(5060), 5060, uint16(5062+r.IntN(9000))), user)
		if watch {
			t := s.start + r.Int64N(int64(time.Minute))
			s.subscribe(t, accounts[i], v.server, "message-summary", user)
			s.subscribe(t+int64(time.Second), accounts[i], v.server, "dialog", accounts[r.IntN(i+1)].user)
		}
	}
	s.officeCalls(v, accounts, base, load, anchored)
}

// officeCalls are those of the business of an office.
func (s *sim) officeCalls(v *service, accounts []*agent, base string, load float64, anchored bool) {
	r, n := v.r, len(accounts)
	who := newContacts(r, sizes(r, 10, 150), share(r, 0.2, 0.8), share(r, 0.05, 0.5))
	busy := make([]bool, n)
	talk, answered, outward := span(r, 30*time.Second, 4*time.Minute), share(r, 0.5, 0.85), share(r, 0.2, 0.85)
	hold := time.Duration(answered*float64(talk)) + 12*time.Second
	s.tides(r, time.Duration(float64(hold)/load), func() {
		i := r.IntN(n)
		if busy[i] {
			return
		}
		busy[i] = true
		c := drawCourse(r, talk, answered)
		c.over = func() { busy[i] = false }
		c.hold, c.keys = chance(r, 0.08), r.IntN(3)
		own := base + fmt.Sprintf("%02d", i%100)
		if chance(r, outward) {
			v.out(c, accounts[i], who.next(), own)
		} else {
			called := accounts[i].user
			if anchored {
				called = own
			}
			v.in(c, accounts[i], called, who.next())
			c.refer = chance(r, 0.05)
		}
		s.perform(c)
	})
}
