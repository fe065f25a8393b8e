package lab

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// conferenceScenarios are lines with the voice of conferences and games. Games
// and single meetings are the most; servers at home and whole offices in
// meetings, which carry many streams at once, are fewer.
func conferenceScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "conference-game", Text: "voice chat beside a game", Class: ClassConference, Share: 0.35, duration: 30 * m, build: conferenceGame},
		{Name: "conference-meeting", Text: "people in meetings over a conference service", Class: ClassConference, Share: 0.35, duration: 30 * m, build: conferenceMeeting},
		{Name: "conference-mesh", Text: "a group call whose members send to each other", Class: ClassConference, Share: 0.15, Heavy: true, duration: 20 * m, build: conferenceMesh},
		{Name: "conference-office", Text: "office all of whose people are in meetings", Class: ClassConference, Share: 0.08, Heavy: true, duration: 20 * m, build: conferenceOffice},
		{Name: "conference-server", Text: "voice chat server at home or in an office", Class: ClassConference, Share: 0.07, Heavy: true, duration: 20 * m, build: conferenceServer},
	}
}

func (s *sim) conferenceLine(what string) *line {
	l := s.newLine(ClassConference, what, VerdictNone, VerdictReview)
	s.everyday(l, l.rng.IntN(4))
	return l
}

func conferenceGame(s *sim) {
	l := s.conferenceLine("voice chat beside a game")
	for range pick(l.rng, 1, 1, 2, 3) {
		s.gamer(l, l.device("console"), s.rng("gamer"))
	}
}

// gamer plays some rounds, with friends' voices through a server or from each.
func (s *sim) gamer(l *line, dev *node, r *rand.Rand) {
	form := drawPatter(r)
	match := s.host("match", chance(r, 0.4))
	fport := pick(r, uint16(7777), 27015, 3074, uint16(1024+r.IntN(60000)))
	nport := uint16(49000 + r.IntN(9000))
	period := time.Duration(float64(time.Second) / spread(r, 10, 70))
	lo := sizes(r, 16, 120)
	mates := pick(r, 0, 1, 1, 1, 2, 4)
	var voices []*node
	for range mates {
		voices = append(voices, s.host("mate", chance(r, 0.2)))
	}
	round := span(r, time.Minute, 12*time.Minute)
	playing := false
	s.tides(r, s.often(spread(r, 1, 5)), func() {
		if playing {
			return
		}
		playing = true
		length := expo(r, round, 20*time.Second, 2*round)
		s.after(length, func() { playing = false })
		until := s.now + int64(length)
		g := patter{near: dev, far: match, nport: nport, fport: fport, form: formOwn, period: period, lo: lo, hi: lo + sizes(r, 2, 300), until: until}
		g.speak(s, r)
		for i, far := range voices {
			p := form
			p.near, p.far, p.nport, p.fport, p.until = dev, far, nport+1, uint16(50000+i), until
			p.greet(s, r)
			p.speak(s, r)
		}
	})
}

// meeting is one computer in conferences of a service in the cloud: its own
// stream up, and down those of others, each a source or all mixed into one.
func (s *sim) meeting(l *line, dev *node, r *rand.Rand) {
	form := drawPatter(r)
	cloud := s.host("conference service", chance(r, 0.4))
	fport := pick(r, uint16(8801), 3478, 3479, 3480, 19305, 443, uint16(10000+r.IntN(50000)))
	speakers := pick(r, 1, 1, 2, 3, 5)
	seen := chance(r, 0.4)
	length := min(span(r, time.Minute, 25*time.Minute), s.length())
	s.at(s.start+r.Int64N(int64(s.length())/2), func() {
		p := form
		p.near, p.far, p.nport, p.fport, p.until = dev, cloud, uint16(32768+r.IntN(28000)), fport, s.now+int64(length)
		p.greet(s, r)
		p.consents(s, r)
		up, down := p, p
		up.upOnly, down.downOnly = true, true
		up.speak(s, r)
		for range speakers {
			down.silence, down.pause = share(r, 0.3, 0.9), 400*time.Millisecond
			down.speak(s, r)
		}
		if seen {
			p.until = min(p.until, s.now+int64(3*time.Minute))
			p.picture(s, r)
		}
	})
}

func conferenceMeeting(s *sim) {
	l := s.conferenceLine("meetings over a conference service")
	for range pick(l.rng, 1, 1, 1, 2, 3) {
		s.meeting(l, l.device("computer"), s.rng("meeting"))
	}
}

func conferenceOffice(s *sim) {
	n := sizes(s.rng("people"), 3, 9)
	l := s.conferenceLine(fmt.Sprintf("office, %d people in meetings", n))
	l.truth.Channels = n
	for range n {
		s.meeting(l, l.device("computer"), s.rng("meeting"))
	}
	if chance(l.rng, 0.3) { // and who telephones
		s.drawnOffice(l, 2+l.rng.IntN(6), spread(l.rng, 0.1, 1), false)
	}
}

func conferenceMesh(s *sim) {
	l := s.conferenceLine("group call whose members send to each other")
	r := l.rng
	dev, form := l.device("computer"), drawPatter(r)
	n := sizes(r, 3, 8)
	l.truth.Channels = n
	for range pick(r, 1, 1, 2) {
		length := span(r, 2*time.Minute, 12*time.Minute)
		begin := s.start + r.Int64N(int64(s.length())/2)
		for range n {
			p := form
			p.near, p.far, p.nport, p.fport = dev, s.host("member", chance(r, 0.3)), uint16(32768+r.IntN(28000)), uint16(1024+r.IntN(60000))
			s.at(begin+r.Int64N(int64(30*time.Second)), func() {
				p.until = s.now + int64(length)
				p.greet(s, r)
				p.consents(s, r)
				p.speak(s, r)
			})
		}
	}
}

func conferenceServer(s *sim) {
	n := sizes(s.rng("guests"), 4, 30)
	l := s.conferenceLine(fmt.Sprintf("voice chat server, up to %d guests", n))
	l.truth.Channels = n
	srv := l.device("server")
	if chance(l.rng, 0.5) {
		srv = l.public("server")
	}
	s.voiceServer(l, srv, l.rng, n, spread(l.rng, 0.1, 0.6))
}

// voiceServer has guests who come and go; each hears the others, one at a time
// for most of it, so that little goes up from each and more comes down.
func (s *sim) voiceServer(l *line, srv *node, r *rand.Rand, guests int, share1 float64) {
	form := drawPatter(r)
	form.silence, form.pause = share(r, 0.5, 0.93), 0
	port := pick(r, uint16(9987), 64738, 10011, uint16(1024+r.IntN(60000)))
	for range guests {
		guest, gport := s.host("guest", chance(r, 0.3)), uint16(1024+r.IntN(60000))
		there := false
		stay := time.Duration(share1 * float64(s.length()))
		s.tides(r, s.often(2), func() {
			if there {
				return
			}
			there = true
			length := expo(r, stay, 20*time.Second, 4*stay+30*time.Second)
			s.after(length, func() { there = false })
			p := form
			p.near, p.far, p.nport, p.fport, p.until = srv, guest, port, gport, s.now+int64(length)
			p.speak(s, r)
		})
	}
}
