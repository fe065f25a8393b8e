package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// homeScenarios are households. Shares follow what one meets behind such lines:
// most have no telephone of their own on the network, or a quiet one; the shared
// flat and the agent who works at home are rare and carry the most voice.
// home-quiet is a crowd, for counting over a million lines: its share is 0, as
// home-idle is its line for those who draw single ones.
func homeScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "home-idle", Text: "quiet household: lookups, the time of day, little else", Class: ClassHome, Share: 0.3, duration: 4 * 60 * m, build: homeIdle},
		{Name: "home-everyday", Text: "household with web, video, games and things", Class: ClassHome, Share: 0.22, duration: 60 * m, build: homeEveryday},
		{Name: "home-chat", Text: "household whose people call each other with chat programs", Class: ClassHome, Share: 0.14, duration: 60 * m, build: homeChat},
		{Name: "home-telephone", Text: "household with one to three numbers of its provider", Class: ClassHome, Share: 0.14, duration: 120 * m, build: homeTelephone},
		{Name: "home-elderly", Text: "household of elderly people: a telephone, few calls, hardly any web", Class: ClassHome, Share: 0.07, duration: 4 * 60 * m, build: homeElderly},
		{Name: "home-work", Text: "somebody works at home: a softphone, conferences, perhaps a tunnel", Class: ClassHome, Share: 0.06, duration: 60 * m, build: homeWork},
		{Name: "home-busy", Text: "large family: numbers of its own, chat calls, games, work", Class: ClassHome, Share: 0.03, duration: 60 * m, build: homeBusy},
		{Name: "home-vpn", Text: "household that watches television through a tunnel", Class: ClassHome, Share: 0.02, duration: 60 * m, build: homeVPN},
		{Name: "home-server", Text: "household with a server of its own, some with an exchange for relatives", Class: ClassHome, Share: 0.01, duration: 60 * m, build: homeServer},
		{Name: "home-lodging", Text: "hostel or shared flat: many people's calls at once", Class: ClassHome, Share: 0.005, Heavy: true, duration: 30 * m, build: homeLodging},
		{Name: "home-agent", Text: "call-centre agent at home: call after call to ever-new numbers", Class: ClassHome, Share: 0.005, Heavy: true, duration: 60 * m, build: homeAgent},
		{Name: "home-quiet", Text: "two thousand quiet lines at once", Class: ClassHome, duration: 30 * m, build: homeQuiet},
	}
}

func (s *sim) home(device string) *line {
	return s.newLine(ClassHome, device, VerdictNone, VerdictReview)
}

func homeEveryday(s *sim) {
	l := s.home("household: web, video, games, things")
	s.everyday(l, 1+l.rng.IntN(6))
	if chance(l.rng, 0.3) {
		s.chatCalls(l, spread(l.rng, 0.3, 3), 1)
	}
}

func homeChat(s *sim) {
	l := s.home("household with chat calls")
	s.everyday(l, 1+l.rng.IntN(4))
	s.chatCalls(l, spread(l.rng, 1, 12), 1+l.rng.IntN(3))
}

// telephones gives a household n numbers at a provider and lets it make about
// the given number of calls, as many at once as its box can.
func (s *sim) telephones(l *line, n int, calls float64, talk time.Duration) {
	r := s.rng("telephones")
	v := s.newService(l, drawProvider(r), chance(r, 0.03))
	switch r.IntN(8) {
	case 0:
		v.carry(linkTCP, false)
	case 1:
		v.carry(linkTLS, chance(r, 0.5))
	}
	d, dev := drawHomeBox(r), l.device("box")
	if chance(r, 0.4) {
		dev = l.public("box") // the router itself
	}
	base := landline(r, "")
	accounts := make([]*agent, n)
	port := pick(r, uint16(5060), 5060, 5060, uint16(5061+r.IntN(9000)))
	for i := range accounts {
		number := base
		if i > 0 {
			number = landline(r, "")
		}
		accounts[i] = v.account(dev, d, port, number)
		accounts[i].media = accounts[0].media
	}
	l.truth.Channels = pick(r, 1, 2, max(2, n))
	l.truth.Note = d.agent
	who := newContacts(r, sizes(r, 4, 30), share(r, 0.2, 0.8), share(r, 0.02, 0.3))
	outward, answered, used := share(r, 0.25, 0.8), share(r, 0.5, 0.85), 0
	suppressed := chance(r, 0.15)
	s.tides(r, s.often(calls), func() {
		if used >= l.truth.Channels {
			return
		}
		used++
		a := accounts[r.IntN(n)]
		c := drawCourse(r, talk, answered)
		c.over = func() { used-- }
		if suppressed {
			c.silence[0] = share(r, 0.2, 0.6)
		}
		if chance(r, outward) {
			v.out(c, a, who.next(), a.user)
			c.keys = pick(r, 0, 0, 0, 4)
		} else {
			v.in(c, a, a.user, pick(r, who.next(), who.next(), mobile(r), "anonymous"))
		}
		s.perform(c)
	})
}

func homeTelephone(s *sim) {
	n := pick(s.rng("numbers"), 1, 1, 1, 2, 3)
	l := s.home(fmt.Sprintf("household with %d numbers of its provider", n))
	r := l.rng
	if chance(r, 0.9) {
		s.everyday(l, 1+r.IntN(4))
	} else { // a channel of the access for voice alone
		s.chores(l, l.device("box"))
	}
	s.telephones(l, n, spread(r, 2, 25), span(r, 40*time.Second, 8*time.Minute))
	if chance(r, 0.3) {
		s.chatCalls(l, spread(r, 0.5, 3), 1)
	}
}

func homeElderly(s *sim) {
	l := s.home("elderly people's telephone")
	r := l.rng
	if chance(r, 0.5) {
		s.everyday(l, 1)
	} else {
		s.chores(l, l.device("box"))
	}
	s.telephones(l, 1, spread(r, 1, 8), span(r, time.Minute, 15*time.Minute))
}

func homeBusy(s *sim) {
	l := s.home("large family")
	r := l.rng
	s.everyday(l, 3+r.IntN(5))
	s.telephones(l, 1+r.IntN(3), spread(r, 4, 30), span(r, time.Minute, 5*time.Minute))
	s.chatCalls(l, spread(r, 2, 15), 2+r.IntN(3))
	s.game(l, l.device("console"))
	if chance(r, 0.5) {
		s.softphone(l, spread(r, 2, 15), 0.3)
	}
}

// softphone is an account at an employer's exchange; fresh is the share of calls
// to numbers never called before.
func (s *sim) softphone(l *line, calls, fresh float64) {
	r := s.rng("softphone")
	v := s.newService(l, drawProvider(r), chance(r, 0.1))
	switch r.IntN(4) {
	case 0:
		v.carry(linkTCP, false)
	case 1:
		v.carry(linkTLS, true)
	}
	a := v.account(l.device("computer"), drawPCPhone(r), uint16(5060+r.IntN(55000)), strconv.Itoa(sizes(r, 100, 9999)))
	l.truth.Channels = max(l.truth.Channels, 1)
	who := newContacts(r, sizes(r, 8, 60), share(r, 0.2, 0.9), fresh)
	outward, answered, busy := share(r, 0.3, 0.95), share(r, 0.35, 0.85), false
	talk := min(span(r, 30*time.Second, 8*time.Minute), s.often(calls))
	s.tides(r, s.often(calls), func() {
		if busy {
			return
		}
		busy = true
		c := drawCourse(r, talk, answered)
		c.over = func() { busy = false }
		c.hold = chance(r, 0.08)
		if chance(r, outward) {
			v.out(c, a, who.next(), a.user)
		} else {
			v.in(c, a, a.user, who.next())
		}
		s.perform(c)
	})
}

func homeWork(s *sim) {
	l := s.home("somebody works at home")
	r := l.rng
	s.everyday(l, 1+r.IntN(4))
	if chance(r, 0.7) {
		s.softphone(l, spread(r, 1, 20), share(r, 0.05, 0.4))
	}
	if chance(r, 0.5) {
		s.meeting(l, l.device("computer"), r)
	}
	if chance(r, 0.4) {
		t := s.newVPN(l, l.device("computer"), s.host("employer", chance(r, 0.2)), drawPersonVPN(r))
		t.data(spread(r, 10, 300), 80)
	}
}

func homeAgent(s *sim) {
	l := s.home("call-centre agent at home")
	r := l.rng
	s.everyday(l, r.IntN(4))
	for range pick(r, 1, 1, 1, 2, 3) {
		s.softphone(l, spread(r, 20, 70), share(r, 0.5, 1))
	}
}

func homeVPN(s *sim) {
	l := s.home("household that watches television through a tunnel")
	r := l.rng
	s.everyday(l, r.IntN(4))
	t := s.newVPN(l, l.device("television"), s.host("tunnel service", chance(r, 0.7)), drawPersonVPN(r))
	t.data(spread(r, 60, 1200), 300)
	l.truth.Note = t.name
	if chance(r, 0.3) { // and somebody calls through it
		l.truth.Channels = 1
		c := hiddenCall{out: true, number: mobile(r), status: 200, ring: 5 * time.Second, talk: span(r, 20*time.Second, 5*time.Minute), voice: drawVoice(r), over: func() {}}
		s.at(s.start+r.Int64N(int64(s.length())/2), func() { t.call(c) })
	}
}

// homeServer lets strangers in: web, a game, or an exchange that relatives who
// live elsewhere have extensions at.
func homeServer(s *sim) {
	l := s.home("household with a server of its own")
	r := l.rng
	s.everyday(l, 1+r.IntN(3))
	srv := l.device("server")
	port := pick(r, uint16(443), 8443, 80, 22)
	strangers := s.hosts("stranger", 20, 0.3)
	s.tides(r, s.often(spread(r, 5, 150)), func() {
		c := s.dial(pick(r, strangers...), uint16(1024+r.IntN(60000)), srv, port, kindOther)
		t := c.send(s.now, 0, clientHello(r, "home.example.org"))
		for range 1 + r.IntN(12) {
			t = c.send(t, 1, tlsRecord(23, s.stuff(r, 200+r.IntN(6000))))
			t = c.send(t, 0, tlsRecord(23, s.stuff(r, 100+r.IntN(400))))
		}
		c.close(t + int64(time.Second))
	})
	if chance(r, 0.4) {
		s.voiceServer(l, srv, r, 2+r.IntN(5), 0.3)
	}
	if chance(r, 0.35) {
		l.truth.Device += ", with an exchange for relatives"
		s.relatives(l, r)
	}
}

// relatives register from elsewhere at the household's exchange, which answers,
// and passes on to the household's own number at its provider or to a room.
func (s *sim) relatives(l *line, r *rand.Rand) {
	x := s.newAgent(l.public("exchange"), dialPJSIP("Asterisk PBX "+drawRelease(r, 3)), pick(r, uint16(5060), 5160, uint16(5000+r.IntN(9000))), "home", "")
	x.domain = x.host()
	room := strconv.Itoa(100 + r.IntN(800))
	n := 1 + r.IntN(4)
	l.truth.Channels = max(l.truth.Channels, n)
	for i := range n {
		a := s.newAgent(s.host("relative", chance(r, 0.5)), drawPCPhone(r), uint16(1024+r.IntN(60000)), strconv.Itoa(200+i), x.domain)
		s.register(s.start+r.Int64N(int64(time.Minute)), a, x, span(r, time.Minute, 30*time.Minute), true)
		busy := false
		s.tides(r, s.often(spread(r, 0.5, 6)), func() {
			if busy {
				return
			}
			busy = true
			c := drawCourse(r, 3*time.Minute, 0.7)
			c.from, c.to, c.called, c.calling, c.challenge, c.over = a, x, room, a.user, true, func() { busy = false }
			if chance(r, 0.3) {
				c.from, c.to, c.called, c.calling, c.challenge, c.toContact = x, a, a.user, room, false, true
			}
			c.codec = pick(r, pcma, pcmu, g722)
			s.perform(c)
		})
	}
}

// homeLodging is a place of many people, all of whom call at once in the evening.
func homeLodging(s *sim) {
	n := sizes(s.rng("people"), 4, 14)
	l := s.home(fmt.Sprintf("shared flat or hostel of %d people", n))
	r := l.rng
	s.everyday(l, min(n, 6))
	s.chatCalls(l, float64(n)*spread(r, 1, 9), n)
	if chance(r, 0.3) {
		s.telephones(l, 1, spread(r, 2, 15), 2*time.Minute)
	}
	for range r.IntN(3) {
		s.cheapCalls(l, r, 1+r.IntN(5))
	}
}

// cast is who quiet lines talk to: they share it.
type cast struct {
	resolvers, clocks, sites, relays, gates []*node
	providers                               []*agent
}

func (s *sim) newCast(r *rand.Rand, sites int) *cast {
	c := &cast{}
	for range 1 + sites/10 {
		c.resolvers = append(c.resolvers, s.host("resolver", false))
		c.clocks = append(c.clocks, s.host("time server", chance(r, 0.2)))
		c.gates = append(c.gates, s.host("epdg", false))
		c.relays = append(c.relays, s.host("chat relay", chance(r, 0.4)))
		p := s.newAgent(s.host("provider", false), drawProvider(r), 5060, "proxy", "")
		p.domain = p.host()
		c.providers = append(c.providers, p)
	}
	for range sites {
		c.sites = append(c.sites, s.host("site", chance(r, 0.25)))
	}
	return c
}

// homeQuiet stands for the lines of a network of which one hears nothing: about
// twenty packets a line, a registration here, a short call there.
func homeQuiet(s *sim) {
	s.crowded = true
	r := s.rng("crowd")
	c := s.newCast(r, 40)
	for range 1900 + r.IntN(200) {
		l := s.newLine(ClassHome, "quiet", VerdictNone, VerdictWatch)
		q := quiet{lookups: spread(r, 0.6, 6), clocks: pick(r, 0, 0, 1), pages: pick(r, 0, 0, 0, 1), quic: pick(r, 0, 0, 0, 0, 1)}
		q.account, q.chat, q.call = chance(r, 0.05), chance(r, 0.0015), chance(r, 0.0025)
		q.pulse = chance(r, 0.02)
		s.quietLife(l, c, q)
	}
}

// homeIdle is one such line for some hours.
func homeIdle(s *sim) {
	l := s.home("quiet household")
	r := l.rng
	q := quiet{lookups: spread(r, 4, 400), clocks: sizes(r, 1, 60), pages: sizes(r, 1, 60), quic: sizes(r, 1, 20)}
	q.account, q.chat, q.call = chance(r, 0.1), chance(r, 0.05), chance(r, 0.05)
	q.pulse = chance(r, 0.3)
	s.quietLife(l, s.newCast(r, 12), q)
	if chance(r, 0.4) {
		s.things(l, r, 1+r.IntN(3))
	}
}

// quiet is how often a quiet line does what, in all the time.
type quiet struct {
	lookups             float64
	clocks, pages, quic int
	account, chat, call bool
	pulse               bool // a phone holds its tunnel to its operator open
}

// quietLife draws the moments of a quiet line.
func (s *sim) quietLife(l *line, c *cast, q quiet) {
	r := l.rng
	n := l.device("router")
	moment := func() int64 { return s.start + r.Int64N(int64(s.length())) }
	dns, ntp := c.resolvers[r.IntN(len(c.resolvers))], c.clocks[r.IntN(len(c.clocks))]
	for range 1 + int(q.lookups) {
		s.at(moment(), func() { s.lookup(n, dns, webNames[r.IntN(len(webNames))], r) })
	}
	for range q.clocks {
		s.at(moment(), func() { s.timeOfDay(n, ntp, r) })
	}
	for range q.pages {
		s.at(moment(), func() { s.smallPage(n, c.sites[r.IntN(len(c.sites))], r) })
	}
	for range q.quic {
		s.at(moment(), func() { s.smallQUIC(n, c.sites[r.IntN(len(c.sites))], r) })
	}
	if q.chat {
		p := drawPatter(r)
		p.near, p.far, p.nport, p.fport = n, c.relays[r.IntN(len(c.relays))], uint16(32768+r.IntN(28000)), pick(r, uint16(3478), 8000, 443)
		s.at(moment(), func() {
			p.until = s.now + int64(expo(r, 25*time.Second, 5*time.Second, 90*time.Second))
			p.greet(s, r)
			p.speak(s, r)
		})
	}
	if q.pulse {
		f := s.flow(n, n.port(4500, false), c.gates[r.IntN(len(c.gates))], 4500, protoUDP)
		s.every(s.start+r.Int64N(int64(20*time.Second)), func() time.Duration { return 20 * time.Second }, func() bool {
			s.send(s.now, f, kindOther, []byte{0xff})
			return true
		})
	}
	if q.account || q.call {
		s.seldomCalled(n, c.providers[r.IntN(len(c.providers))], r, q.call)
	}
}

// seldomCalled is an account that is renewed each hour, and one short call.
func (s *sim) seldomCalled(n *node, provider *agent, r *rand.Rand, called bool) {
	a := s.newAgent(n, drawHomeBox(r), 5060, landline(r, ""), provider.domain)
	a.mapped = chance(r, 0.7)
	s.register(s.start+r.Int64N(int64(time.Hour)), a, provider, time.Hour, true)
	n.line.truth.Channels = 1
	if !called {
		return
	}
	s.at(s.start+r.Int64N(int64(s.length())*3/4), func() {
		c := drawCourse(r, 20*time.Second, 0.7)
		c.talk = min(c.talk, 70*time.Second)
		c.from, c.to, c.called, c.calling, c.challenge, c.early = a, provider, pick(r, mobile(r), landline(r, "")), a.user, true, chance(r, 0.6)
		c.relayed[1], c.ppm[1] = true, drawPPM(r)
		if chance(r, 0.5) {
			c.from, c.to, c.called, c.calling, c.challenge, c.toContact = provider, a, a.user, pick(r, mobile(r), landline(r, "")), false, true
			c.relayed, c.ppm = [2]bool{true, false}, [2]float64{c.ppm[1], 0}
		}
		s.perform(c)
	})
}
