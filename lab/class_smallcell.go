package lab

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// smallcellScenarios are lines whose mobile phones speak over them. A phone or
// two on the household's wireless is by far the most; cells and places of many
// phones, with many calls at once, are few.
func smallcellScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "smallcell-vowifi", Text: "household whose phones call over its wireless network (VoWiFi)", Class: ClassSmallCell, Share: 0.62, duration: 60 * m, build: vowifiHome},
		{Name: "smallcell-femto", Text: "femtocell at home or in an office, IPsec to its operator", Class: ClassSmallCell, Share: 0.2, Heavy: true, duration: 30 * m, build: femtocell},
		{Name: "smallcell-enterprise", Text: "operator's small cells in a hotel, station or works", Class: ClassSmallCell, Share: 0.06, Heavy: true, duration: 20 * m, build: enterpriseCell},
		{Name: "smallcell-public", Text: "café, hostel or office whose guests' phones call over its wireless network", Class: ClassSmallCell, Share: 0.12, Heavy: true, duration: 30 * m, build: vowifiPublic},
	}
}

// cellLine is a line of the class with what people do there.
func cellLine(s *sim, what string, people int) *line {
	l := s.newLine(ClassSmallCell, what, VerdictNone, VerdictReview)
	s.everyday(l, people)
	return l
}

// mobileCalls is how phones of a mobile operator call inside a tunnel.
type mobileCalls struct {
	load     float64 // calls at once, of all tunnels
	most     int
	talk     time.Duration
	answered float64
	outward  float64
	around   int // bytes in front of an RTP packet
	ring     time.Duration
}

func drawMobileCalls(r *rand.Rand, load float64, most, around int) mobileCalls {
	return mobileCalls{
		load: load, most: most, talk: span(r, 30*time.Second, 5*time.Minute), answered: share(r, 0.4, 0.8), outward: share(r, 0.3, 0.7),
		around: around, ring: between(r, 3*time.Second, 14*time.Second),
	}
}

// mobiles lets tunnels carry such calls; each tunnel at most per at once.
func (s *sim) mobiles(l *line, tunnels []*vpn, per int, m mobileCalls) {
	r := l.rng
	l.truth.Channels = m.most
	used, busy := 0, make([]int, len(tunnels))
	own := make([]string, len(tunnels)*per)
	for i := range own {
		own[i] = mobile(r)
	}
	hold := time.Duration(m.answered*float64(m.talk)) + 10*time.Second
	s.tides(r, time.Duration(float64(hold)/m.load), func() {
		i := r.IntN(len(tunnels))
		if used >= m.most || busy[i] >= per {
			return
		}
		used++
		busy[i]++
		tunnels[i].call(hiddenCall{
			out: chance(r, m.outward), number: own[i*per+r.IntN(per)], status: outcome(r, m.answered), ring: expo(r, m.ring, time.Second, 40*time.Second),
			talk: expo(r, m.talk, 4*time.Second, 5*m.talk), voice: drawAMR(r, m.around), over: func() { used--; busy[i]-- },
		})
	})
}

// phoneTunnel is that of one phone to the packet gateway of its operator; the
// phone looks its name up first.
func (s *sim) phoneTunnel(l *line, phone, epdg, dns *node, r *rand.Rand) *vpn {
	t := s.newVPN(l, phone, epdg, vpnNAT)
	name := "epdg.epc.mnc" + pick(r, "000", "001", "011", "015") + ".mcc460.pub.3gppnetwork.org"
	s.at(s.start+r.Int64N(int64(time.Minute)), func() { s.lookup(phone, dns, name, r) })
	// IMS registration and presence inside.
	period := span(r, 5*time.Minute, time.Hour)
	s.every(s.start+r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
		t.exchange(s.now, 0, 1100+r.IntN(200), 700, 1300, 900+r.IntN(200), 60)
		return true
	})
	return t
}

func vowifiHome(s *sim) {
	r := s.rng("phones")
	n := pick(r, 1, 1, 2, 2, 3, 4)
	l := cellLine(s, fmt.Sprintf("household, %d phones over its wireless network", n), 1+r.IntN(4))
	dns := s.host("resolver", false)
	epdgs := s.hosts("epdg", pick(r, 1, 1, 2), 0)
	var tunnels []*vpn
	for i := range n {
		tunnels = append(tunnels, s.phoneTunnel(l, l.device("phone"), epdgs[i%len(epdgs)], dns, r))
	}
	m := drawMobileCalls(r, 1, n, pick(r, 48, 48, 28)) // IPv6 or IPv4, and UDP
	m.load = min(spread(r, 0.01, 0.5), float64(n)*0.3)
	s.mobiles(l, tunnels, 1, m)
}

// vowifiPublic is where many people's phones find the network of the house.
func vowifiPublic(s *sim) {
	r := s.rng("guests")
	n := sizes(r, 5, 40)
	l := cellLine(s, fmt.Sprintf("guests' network, %d phones call over it", n), min(n, 6))
	dns := s.host("resolver", false)
	epdgs := s.hosts("epdg", 2+r.IntN(5), 0.05)
	var tunnels []*vpn
	for range n {
		tunnels = append(tunnels, s.phoneTunnel(l, l.device("phone"), pick(r, epdgs...), dns, r))
	}
	most := min(n, sizes(r, 4, 12))
	s.mobiles(l, tunnels, 1, drawMobileCalls(r, spread(r, 0.4, 4), most, pick(r, 48, 28)))
}

// cellTraffic is what the radio side of a cell brings besides calls.
func (s *sim) cellTraffic(l *line, t *vpn, cell *node, r *rand.Rand) {
	s.heartbeat(t, pick(r, 10*time.Second, 30*time.Second, 5*time.Second), 68) // SCTP
	s.tides(r, s.often(spread(r, 20, 600)), func() {                           // paging and attaches
		t.exchange(s.now, r.IntN(2), 120+r.IntN(200), 90+r.IntN(150), 100+r.IntN(250), 80)
	})
	t.data(spread(r, 10, 600), 120)
	if !chance(r, 0.5) {
		return
	}
	clock := s.host("cell's time server", false)
	period := span(r, time.Second, 32*time.Second)
	if chance(r, 0.5) {
		s.every(s.start, func() time.Duration { return period }, func() bool {
			s.timeOfDay(cell, clock, r)
			return true
		})
		return
	}
	seq := uint16(0) // IEEE 1588: delay requests and their answers
	own := cell.port(319, false)
	s.every(s.start, func() time.Duration { return period }, func() bool {
		seq++
		b := make([]byte, 44)
		b[0], b[1], b[3] = 1, 2, 44
		binary.BigEndian.PutUint16(b[30:], seq)
		at := s.send(s.now, s.flow(cell, own, clock, 319, protoUDP), kindOther, b)
		a := append(append([]byte(nil), b...), make([]byte, 10)...)
		a[0], a[3] = 9, 54
		s.send(at, s.flow(clock, 320, cell, cell.port(320, false), protoUDP), kindOther, a)
		return true
	})
}

func femtocell(s *sim) {
	r := s.rng("cell")
	most := pick(r, 2, 4, 4, 8, 8, 16)
	l := cellLine(s, fmt.Sprintf("femtocell for %d calls at once", most), r.IntN(5))
	cell := l.device("cell")
	if chance(r, 0.3) {
		cell = l.public("cell")
	}
	t := s.newVPN(l, cell, s.host("security gateway", false), pick(r, vpnNAT, vpnNAT, vpnESP))
	s.cellTraffic(l, t, cell, r)
	// Iu-UP or GTP-U in front of the speech.
	m := drawMobileCalls(r, min(spread(r, 0.1, 5), float64(most)*0.5), most, pick(r, 28+4, 36+28, 36+48))
	s.mobiles(l, []*vpn{t}, most, m)
}

func enterpriseCell(s *sim) {
	r := s.rng("cells")
	n := 1 + r.IntN(6)
	most := n * pick(r, 8, 16, 32)
	l := s.newLine(ClassSmallCell, fmt.Sprintf("operator's %d small cells, %d calls at once", n, most), VerdictNone, VerdictReview)
	gate := s.host("security gateway", false)
	var tunnels []*vpn
	for range n {
		cell := l.device("cell")
		t := s.newVPN(l, cell, gate, vpnNAT)
		s.cellTraffic(l, t, cell, r)
		tunnels = append(tunnels, t)
	}
	if chance(r, 0.3) {
		s.everyday(l, r.IntN(3))
	}
	s.mobiles(l, tunnels, most/n, drawMobileCalls(r, spread(r, 1, 9), most, pick(r, 36+28, 36+48)))
}
