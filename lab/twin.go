package lab

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

// twins are honest lines that show what boxes in hiding show: voice in tunnels,
// voice under SRTP with signalling that nobody can read, small packets at an even
// rate, and small exchanges with somebody abroad.
func twins() []Scenario {
	const m = time.Minute
	twin := func(name, class, text string, share float64, d time.Duration, build func(*sim)) Scenario {
		return Scenario{Name: name, Text: text, Class: class, Share: share, Heavy: true, hiding: true, duration: d, build: build}
	}
	quiet := func(s Scenario) Scenario {
		s.Heavy = false
		return s
	}
	return []Scenario{
		twin("twin-vpn-office", ClassVPN, "office with softphones and data in one tunnel", 0.08, 12*m, twinOffice),
		twin("twin-vpn-branch", ClassVPN, "branch whose desk telephones, no data, speak inside its tunnel", 0.06, 12*m, twinBranch),
		quiet(twin("twin-home-worker", ClassVPN, "home worker: WireGuard with one call and the web in it", 0.1, 20*m, twinWorker)),
		twin("twin-webrtc", ClassConference, "WebRTC conference: several streams with one server, pictures", 0.1, 6*m, func(s *sim) { twinWebRTC(s, "") }),
		twin("twin-webrtc-vpn", ClassVPN, "the same through the employer's tunnel", 0.06, 6*m, func(s *sim) { twinWebRTC(s, drawPersonVPN(s.rng("kind"))) }),
		twin("twin-page", ClassConference, "web page with telephony in it: up to ten flows of a browser at once", 0.06, 15*m, twinPage),
		quiet(twin("twin-answers", ClassHome, "household whose name server, game or peer answers strangers that ask in step", 0.02, 12*m, twinAnswers)),
		twin("twin-vowifi", ClassSmallCell, "phones over the house's wireless: IPsec to their operator", 0.1, 15*m, vowifiPublic),
		twin("twin-game", ClassConference, "console and computer games, 20 to 128 packets a second", 0.1, 10*m, func(s *sim) { twinGame(s, "") }),
		twin("twin-game-vpn", ClassConference, "the same through an accelerator's tunnel", 0.02, 10*m, func(s *sim) { twinGame(s, pick(s.rng("kind"), vpnWireGuard, vpnOpenVPN, vpnL2TP, vpnNAT)) }),
		quiet(twin("twin-cloud-game", ClassConference, "game that runs elsewhere: its picture down, hands up", 0.04, 3*m, twinCloudGame)),
		quiet(twin("twin-stream", ClassHome, "video over QUIC", 0.05, 5*m, func(s *sim) { twinStream(s, "") })),
		quiet(twin("twin-stream-vpn", ClassHome, "video through a tunnel service", 0.01, 5*m, func(s *sim) { twinStream(s, drawPersonVPN(s.rng("kind"))) })),
		quiet(twin("twin-backup", ClassVPN, "backup through a tunnel", 0.06, 5*m, twinBackup)),
		twin("twin-dialler-shop", ClassMobileDialer, "call shop: TLS and SRTP to a cheap-calls service abroad", 0.04, 20*m, twinShop),
		twin("twin-callcentre", ClassCallCentre, "call centre whose agents and trunk speak TLS and SRTP", 0.1, 15*m, twinCentre),
		twin("twin-desk-tls", ClassHostedPBX, "desk telephones of a hosted exchange, TLS and SRTP on all", 0.1, 20*m, twinDesks),
		quiet(twin("twin-iot", ClassM2M, "meters, lamps and sensors that keep in touch", 0.15, 30*m, twinThings)),
		quiet(twin("twin-cards", ClassM2M, "modems whose cards are in a cloud: small exchanges, no calls", 0.1, 25*m, func(s *sim) { cloudSIM(s, chance(s.rng("pool"), 0.3)) })),
	}
}

// twinOffice has people at computers who telephone with programs, and everything
// else they do, in one tunnel.
func twinOffice(s *sim) {
	n := sizes(s.rng("size"), 3, 40)
	l, t := vpnLine(s, "", pick(s.rng("kind"), vpnWireGuard, vpnOpenVPN, vpnNAT))
	l.truth.Device = fmt.Sprintf("office, %d softphones inside its tunnel", n)
	r := l.rng
	t.data(spread(r, 30, 1500), 150)
	s.hiddenCalls(l, []*vpn{t}, n, min(spread(r, 0.3, 9), float64(n)*0.6))
}

// twinBranch is the worst of these: voice and nothing else.
func twinBranch(s *sim) {
	n := sizes(s.rng("size"), 6, 50)
	l := s.newLine(ClassVPN, fmt.Sprintf("branch, %d telephones inside its tunnel", n), VerdictNone, VerdictReview)
	r := l.rng
	dev := l.device("router")
	t := s.newVPN(l, dev, s.host("head office", chance(r, 0.25)), drawSiteVPN(s.rng("kind")))
	l.truth.Note = t.name
	s.chores(l, dev)
	s.hiddenCalls(l, []*vpn{t}, n, min(spread(r, 1, 10), float64(n)*0.6))
}

// twinWorker has a computer whose whole traffic goes to the employer: pages and
// one telephone.
func twinWorker(s *sim) {
	l := s.newLine(ClassVPN, "home worker, web and a telephone inside WireGuard", VerdictNone, VerdictReview)
	r := l.rng
	s.everyday(l, r.IntN(4))
	way, t := s.hideaway(l, l.device("router"), s.host("office", chance(r, 0.2)), vpnWireGuard)
	dev := l.device("computer")
	dev.tunnel = way
	l.truth.Note, l.truth.Channels = t.name, 1
	s.browse(l, dev, span(r, 8*time.Second, 2*time.Minute), sizes(r, 20_000, 300_000))
	busy, talk := false, span(r, time.Minute, 10*time.Minute)
	s.tides(r, s.often(spread(r, 1, 9)), func() {
		if busy {
			return
		}
		busy = true
		t.call(hiddenCall{
			out: chance(r, 0.5), number: "8" + strconv.Itoa(100+r.IntN(100)), status: outcome(r, 0.8), ring: between(r, 2*time.Second, 15*time.Second),
			talk: expo(r, talk, 5*time.Second, 20*time.Minute), voice: drawVoice(r), over: func() { busy = false },
		})
	})
}

// behind puts a device of the line into a tunnel of the kind, or leaves it where
// it is when there is no kind. It gives the tunnel, nil for none.
func (s *sim) behind(l *line, dev *node, kind string, abroad float64) *vpn {
	if kind == "" {
		return nil
	}
	way, t := s.hideaway(l, l.device("router"), s.host("tunnel server", chance(l.rng, abroad)), kind)
	dev.tunnel = way
	l.truth.Note = t.name
	return t
}

// twinWebRTC is one to three people in a conference of a web page: one port for
// everything (RFC 8843), Opus with or without silence suppressed, pictures of the
// others in up to three sizes, and repeats of what was lost.
func twinWebRTC(s *sim, kind string) {
	class := ClassConference
	if kind != "" {
		class = ClassVPN
	}
	l := s.newLine(class, "WebRTC conference", VerdictNone, VerdictReview)
	s.everyday(l, l.rng.IntN(3))
	r := s.rng("conference")
	cloud := s.host("conference service", chance(r, 0.4))
	for range pick(r, 1, 1, 1, 2, 3) {
		dev := l.device("computer")
		s.behind(l, dev, kind, 0.3)
		p := patter{
			near: dev, far: cloud, nport: uint16(49152 + r.IntN(16000)), fport: pick(r, uint16(3478), 19305, 10000, uint16(10000+r.IntN(50000))),
			form: formRTP, pt: pick(r, byte(111), 109, 96), period: 20 * time.Millisecond, lo: 50 + r.IntN(40), until: s.end,
		}
		p.hi = p.lo + 1 + r.IntN(90)
		if chance(r, 0.5) {
			p.silence, p.pause = share(r, 0.2, 0.6), 400*time.Millisecond
		}
		s.at(s.start+r.Int64N(int64(20*time.Second)), func() {
			p.greet(s, r)
			p.consents(s, r)
			up, down := p, p
			up.upOnly, down.downOnly = true, true
			up.speak(s, r)
			for range pick(r, 1, 2, 3, 3, 5, 8) { // the server passes on who speaks
				down.silence, down.pause = share(r, 0.2, 0.95), pick(r, 0, 400*time.Millisecond)
				down.speak(s, r)
			}
			if chance(r, 0.7) {
				v := p
				v.silence, v.pt, v.period = 0, byte(96+r.IntN(32)), time.Duration(float64(time.Second)/spread(r, 15, 90))
				v.lo, v.hi = 500, 1180
				v.upOnly = true
				v.speak(s, r)
				v.upOnly, v.downOnly = false, true
				for range pick(r, 1, 2, 4) {
					v.lo = pick(r, 150, 400, 700)
					v.speak(s, r)
				}
			}
		})
	}
}

// twinPage is somebody who looks at pages that open flows of WebRTC without a
// question: a town one walks through, a desk of many agents, a click to call. Each
// flow has ports, checks of its paths and voice both ways of its own, and those of
// a page open and close like calls. What a page does so a stranger can make it do.
func twinPage(s *sim) {
	l := s.newLine(ClassConference, "web page with telephony in it", VerdictNone, VerdictReview)
	r := l.rng
	s.everyday(l, r.IntN(4))
	dev, cloud := l.device("computer"), s.hosts("page", 1+r.IntN(3), 0.5)
	most := sizes(r, 1, 10)
	l.truth.Channels = most
	form := patter{form: formRTP, pt: pick(r, byte(111), 0, 8, 96), period: 20 * time.Millisecond, lo: 50 + r.IntN(120)}
	form.hi = form.lo + 1 + pick(r, 0, 0, r.IntN(60))
	if chance(r, 0.3) {
		form.silence, form.pause = share(r, 0.2, 0.6), 400*time.Millisecond
	}
	long := span(r, 20*time.Second, 4*time.Minute)
	first := pick(r, 0, 0, 1, 2) // who is heard first: both, the page, the far end
	ports, up := uint16(32768+r.IntN(20000)), 0
	s.tides(r, time.Duration(float64(long)/(0.7*float64(most))), func() {
		if up >= most {
			return
		}
		up++
		p := form
		p.near, p.far, p.nport, p.fport = dev, cloud[r.IntN(len(cloud))], ports, pick(r, uint16(3478), 19305, uint16(10000+r.IntN(50000)))
		ports++
		length := expo(r, long, 5*time.Second, 4*long)
		s.after(length, func() { up-- })
		p.until = s.now + int64(length)
		p.greet(s, r)
		p.consents(s, r)
		s.after(200*time.Millisecond, func() {
			ways := [2]patter{p, p}
			ways[0].upOnly, ways[1].downOnly = true, true
			lead := between(r, time.Second, 12*time.Second)
			for dir, w := range ways {
				if first == 0 || first == dir+1 {
					w.speak(s, r)
					continue
				}
				s.after(lead, func() {
					if s.now < w.until {
						w.speak(s, r)
					}
				})
			}
		})
	})
}

// twinAnswers is a line that answers whoever asks: a name server that forwards, a
// game, a peer of a distributed table, a clock. Strangers ask in step, one for one
// or a few for one, as measurements and floods do.
func twinAnswers(s *sim) {
	l := s.newLine(ClassHome, "household that answers strangers", VerdictNone, VerdictReview)
	r := l.rng
	s.everyday(l, 1+r.IntN(3))
	dev := l.public("router")
	own := pick(r, uint16(53), 53, 123, 3478, 6881, 27015, uint16(1024+r.IntN(60000)))
	ask, answer := sizes(r, 20, 120), sizes(r, 30, 340)
	many := pick(r, 1, 1, 1, 1, 2, 3)
	period := time.Duration(float64(time.Second) / pick(r, 50.0, 50, 33.3, 100, 20))
	busy := sizes(r, 1, 12)
	long := span(r, 10*time.Second, 3*time.Minute)
	one, who := chance(r, 0.5), s.hosts("stranger", 1+r.IntN(3), 0.8) // all in one flow, or one each
	late := between(r, 200*time.Microsecond, 40*time.Millisecond)
	port := uint16(20000 + r.IntN(30000))
	s.tides(r, time.Duration(float64(long)/float64(busy)), func() {
		far := who[r.IntN(len(who))]
		if one {
			far = who[0]
		} else {
			port++
		}
		down, up := s.flow(far, port, dev, own, protoUDP), s.flow(dev, own, far, port, protoUDP)
		until := s.now + int64(expo(r, long, 5*time.Second, 3*long))
		s.every(s.now+r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
			t := s.now
			s.inOrder(down, kindOther, append([]byte("d1:ad2:id"), s.stuff(r, ask)...))
			for range many {
				s.at(t+int64(late)+s.noise.Int64N(1e6), func() { s.inOrder(up, kindOther, append([]byte("d1:rd2:id"), s.stuff(r, answer)...)) })
			}
			return s.now < until
		})
	})
}

// twinGame is a console or two, sometimes with the voices of friends.
func twinGame(s *sim, kind string) {
	l := s.newLine(ClassConference, "games", VerdictNone, VerdictReview)
	r := l.rng
	s.everyday(l, r.IntN(3))
	for range pick(r, 1, 1, 2, 3) {
		dev := l.device("console")
		s.behind(l, dev, kind, 0.5)
		// Servers tick 20, 30, 60, 64 or 128 times a second, clients send as often
		// or with each picture; sizes follow what happens.
		tick := pick(r, 20.0, 30, 60, 64, 128)
		lo := sizes(r, 20, 120)
		g := patter{
			near: dev, far: s.host("match", chance(r, 0.4)), nport: uint16(49000 + r.IntN(9000)), fport: pick(r, uint16(7777), 27015, 3074, uint16(1024+r.IntN(60000))),
			form: formOwn, period: time.Duration(float64(time.Second) / tick), lo: lo, hi: lo + sizes(r, 2, 300), until: s.end,
		}
		s.at(s.start+r.Int64N(int64(time.Minute)), func() {
			up, down := g, g
			up.upOnly, down.downOnly = true, true
			up.period = time.Duration(float64(time.Second) / pick(r, tick, tick, 60, 33))
			up.hi = up.lo + sizes(r, 1, 60)
			up.speak(s, r)
			down.speak(s, r)
			if chance(r, 0.4) {
				v := drawPatter(r)
				v.near, v.far, v.nport, v.fport, v.until = dev, s.host("voice chat", chance(r, 0.3)), uint16(50000+r.IntN(9000)), 50001, s.end
				v.greet(s, r)
				v.speak(s, r)
			}
		})
	}
}

// twinCloudGame sends what hands do, at the rate of the pad or the picture, and
// gets the picture: each frame some packets at once, and sound.
func twinCloudGame(s *sim) {
	l := s.newLine(ClassConference, "game that runs elsewhere", VerdictNone, VerdictReview)
	r := l.rng
	s.everyday(l, r.IntN(3))
	dev, far := l.device("computer"), s.host("game centre", chance(r, 0.2))
	own, port := dev.port(uint16(49000+r.IntN(9000)), false), pick(r, uint16(443), 49003, 44700, 3478)
	up, down := s.flow(dev, own, far, port, protoUDP), s.flow(far, port, dev, own, protoUDP)
	hands, size := time.Duration(float64(time.Second)/pick(r, 60.0, 100, 125, 250)), 24+r.IntN(80)
	s.every(s.start, func() time.Duration { return hands }, func() bool {
		s.inOrder(up, kindOther, s.stuff(r, size+r.IntN(24)))
		return true
	})
	fps, packets := pick(r, 30.0, 60, 60), 3+r.IntN(9)
	s.every(s.start, func() time.Duration { return time.Duration(float64(time.Second) / fps) }, func() bool {
		for range 1 + r.IntN(2*packets) {
			s.inOrder(down, kindOther, s.stuff(r, 1100+r.IntN(100)))
		}
		return true
	})
	sound, voice := pick(r, 5, 10, 10, 20), 60+r.IntN(120)
	s.every(s.start, func() time.Duration { return time.Duration(sound) * time.Millisecond }, func() bool {
		s.inOrder(down, kindOther, s.stuff(r, voice))
		return true
	})
}

// twinStream fetches video in pieces of some seconds; what goes up are
// acknowledgements, one for some packets.
func twinStream(s *sim, kind string) {
	l := s.newLine(ClassHome, "household that watches video", VerdictNone, VerdictReview)
	r := l.rng
	s.everyday(l, r.IntN(3))
	dev := l.device("television")
	s.behind(l, dev, kind, 0.7)
	for range pick(r, 1, 1, 2) {
		site := s.host("video", chance(r, 0.2))
		own := dev.port(uint16(40000+r.IntN(20000)), false)
		up, down := s.flow(dev, own, site, 443, protoUDP), s.flow(site, 443, dev, own, protoUDP)
		rate := spread(r, 60, 500) // packets a second, on average
		piece, pace := between(r, 2*time.Second, 10*time.Second), time.Duration(float64(time.Second)/(rate*spread(r, 1.05, 8)))
		some, steady := pick(r, 2, 2, 4, 10), chance(r, 0.2) // a live one comes as it is made
		s.every(s.start+r.Int64N(int64(5*time.Second)), func() time.Duration { return piece }, func() bool {
			n := int(rate * piece.Seconds())
			step := pace
			if steady {
				step = piece / time.Duration(n+1)
			}
			i := 0
			s.every(s.now, func() time.Duration { return time.Duration(float64(step) * (0.5 + r.Float64())) }, func() bool {
				s.inOrder(down, kindOther, append([]byte{0x45}, s.stuff(r, 1230)...))
				if i++; i%some == 0 {
					s.inOrder(up, kindOther, append([]byte{0x46}, s.stuff(r, 28+r.IntN(16))...))
				}
				return i < n
			})
			return true
		})
	}
}

// twinBackup sends a disk's worth up, and acknowledgements come down: all of one
// size, at an even rate where the line's rate is the limit.
func twinBackup(s *sim) {
	l, t := vpnLine(s, "office that backs up through its tunnel", pick(s.rng("kind"), vpnESP, vpnNAT, vpnWireGuard, vpnWireGuard, vpnOpenVPN, vpnOverTCP, vpnL2TP))
	r := l.rng
	dir, ack, every := pick(r, 0, 0, 1), pick(r, 52, 52, 40, 64), pick(r, 1, 2, 2, 2)
	rate, even, i := spread(r, 50, 600), chance(r, 0.5), 0
	size := 1280 + r.IntN(140)
	segment := func() {
		t.pass(dir, size)
		if i++; i%every == 0 {
			s.after(time.Duration(t.dev.owd+t.far.owd)+between(r, 0, 2*time.Millisecond), func() { t.pass(1-dir, ack) })
		}
	}
	t.data(spread(r, 5, 200), 100) // and who works there
	if even {                      // at the rate of the narrowest link
		s.every(s.start, func() time.Duration { return time.Duration(float64(time.Second) / rate * (0.8 + 0.4*r.Float64())) }, func() bool {
			segment()
			return true
		})
		return
	}
	flight := max(1, int(rate*0.06)) // a window at a time
	s.every(s.start, func() time.Duration { return 60*time.Millisecond + between(r, 0, 10*time.Millisecond) }, func() bool {
		for k := range 1 + r.IntN(2*flight) {
			s.after(time.Duration(k)*120*time.Microsecond, segment)
		}
		return true
	})
}

// twinShop is a call shop whose service nobody can read.
func twinShop(s *sim) {
	r := s.rng("shop")
	n := sizes(r, 2, 16)
	l := s.newLine(ClassMobileDialer, fmt.Sprintf("call shop of %d phones, TLS and SRTP", n), VerdictNone, VerdictReview)
	s.everyday(l, r.IntN(4))
	v := s.newService(l, drawProvider(r), chance(r, 0.9))
	v.carry(linkTLS, true)
	d, book := drawDialler(r), newCallbook(r, sizes(r, 5, 80))
	book.fresh = share(r, 0.3, 0.95)
	for i := range n {
		s.diallerPhone(v, l.device("phone"), d, strconv.Itoa(4000+i), spread(r, 4, 14), book)
	}
	l.truth.Channels = n
}

// twinCentre is a call centre as others are, but sealed.
func twinCentre(s *sim) {
	x := s.centre("call centre, TLS and SRTP", 0.15)
	x.pbx.link, x.m.media.secure, x.m.media.tag, x.m.fax = linkTLS, true, pick(x.r, 10, 10, 4), 0
	for _, t := range x.trunks {
		t.link = linkTLS
	}
	m := x.m
	s.flowing(x.r, s.start, m.gap(s.erlangs(m, 2, 12, 1)), func() { x.dial(m.draw()) })
}

// twinDesks is an office whose exchange is in a cloud, or whose people reach the
// exchange of their own company so.
func twinDesks(s *sim) {
	name := trade(s.rng("trade"))
	h := trades[name]
	s.open(h)
	l := s.newLine(ClassHostedPBX, name+" at a hosted exchange, TLS and SRTP", VerdictNone, VerdictReview)
	r := l.rng
	abroad := chance(r, 0.15)
	x := newSite(l, h, drawServer(r), abroad)
	x.domain = fmt.Sprintf("t%d.cloudpbx.example", 100+r.IntN(9000))
	for _, a := range x.home {
		a.domain = x.domain
	}
	x.elsewhere(abroad)
	n := sizes(r, 3, 60)
	x.seal(n, pick(r, 0, 0, 0.5), 1)
	s.company(l, min(8, n+2))
	x.load(spread(r, 1, 9))
	x.work()
}

// twinThings are many devices that say little, over TCP and over UDP.
func twinThings(s *sim) {
	l := s.newLine(ClassM2M, "meters, lamps and sensors", VerdictNone, VerdictReview)
	r := l.rng
	s.things(l, r, sizes(r, 2, 60))
	cloud := s.host("device cloud", chance(r, 0.4))
	for range sizes(r, 1, 40) { // one comb of equal periods, each thing with its own beginning
		dev, size, period := l.device("thing"), 20+r.IntN(60), pick(r, 20*time.Second, 30*time.Second)
		own := dev.port(uint16(1024+r.IntN(60000)), false)
		up, down := s.flow(dev, own, cloud, 32100, protoUDP), s.flow(cloud, 32100, dev, own, protoUDP)
		s.every(s.start+r.Int64N(int64(time.Minute)), func() time.Duration { return period }, func() bool {
			b := binary.BigEndian.AppendUint16([]byte{0xf1, 0xe0}, uint16(size))
			t := s.send(s.now, up, kindOther, append(b, s.stuff(r, size)...))
			s.send(t, down, kindOther, []byte{0xf1, 0xe1, 0, 0})
			return true
		})
	}
}
