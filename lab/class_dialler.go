package lab

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// diallerScenarios are programs for cheap calls: an account abroad, calls out.
// Most of what is sold is plain SIP; that of places where such calls are blocked
// is scrambled; the call shop is the rarest and carries the most at once.
func diallerScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "dialler-plain", Text: "cheap-calls program on a phone, plain SIP", Class: ClassMobileDialer, Share: 0.35, duration: 60 * m, build: func(s *sim) { dialler(s, diallerPlain) }},
		{Name: "dialler-scrambled", Text: "cheap-calls program that scrambles its SIP with a fixed keystream", Class: ClassMobileDialer, Share: 0.25, duration: 60 * m, build: func(s *sim) { dialler(s, diallerScrambled) }},
		{Name: "dialler-tcp", Text: "cheap-calls program over TCP, plain or scrambled", Class: ClassMobileDialer, Share: 0.12, duration: 60 * m, build: func(s *sim) { dialler(s, diallerTCP) }},
		{Name: "dialler-tls", Text: "cheap-calls program over TLS", Class: ClassMobileDialer, Share: 0.18, duration: 60 * m, build: func(s *sim) { dialler(s, diallerTLS) }},
		{Name: "dialler-shop", Text: "call shop: several phones of one or many accounts call abroad at once", Class: ClassMobileDialer, Share: 0.1, Heavy: true, duration: 40 * m, build: diallerShop},
	}
}

// How a dialler speaks SIP.
const (
	diallerPlain = iota
	diallerScrambled
	diallerTCP
	diallerTLS
)

// drawDialler draws a make of dialler; many have no name of their own, or that of
// the library.
func drawDialler(r *rand.Rand) *dialect {
	d := dialApp(pick(r, "MobileVOIP/8.", "iTel Mobile Dialer Express 4.", "Acrobits Groundwire 6.", "CSipSimple_r", "PJSUA v2.", "Zoiper rv2.", "Mosip dialer v", "sipdroid/3.", "Zong Dialer 3.", "Vippie ") + strconv.Itoa(r.IntN(30)) + "." + strconv.Itoa(r.IntN(60)))
	switch r.IntN(5) {
	case 0:
		d.agent = ""
	case 1: // the stack that gateways have
		d = dialQuiet()
		d.branch, d.agent = decimal, pick(r, "", "mjsip stack 1.6", "eXosip/4.1.0")
	}
	d.expires = pick(r, 60, 120, 300, 600, 1800, 3600)
	return d
}

// dialler is one phone, sometimes two, with a cheap-calls program.
func dialler(s *sim, how int) {
	r := s.rng("dialler")
	l := s.newLine(ClassMobileDialer, "cheap-calls program on a phone", VerdictNone, VerdictReview)
	s.everyday(l, r.IntN(4))
	v := s.diallerService(l, r, how)
	d := drawDialler(r)
	for range pick(r, 1, 1, 1, 1, 2) {
		s.diallerPhone(v, l.device("phone"), d, strconv.Itoa(sizes(r, 1000, 99_999_999)), spread(r, 1, 40), nil)
	}
}

// diallerService is the server of a program and what hides it.
func (s *sim) diallerService(l *line, r *rand.Rand, how int) *service {
	v := s.newService(l, drawProvider(r), chance(r, 0.92))
	if chance(r, 0.5) {
		v.server.port = pick(r, uint16(443), 8080, 53, 80, 5222, uint16(1024+r.IntN(60000)))
	}
	if how == diallerScrambled || how == diallerTCP && chance(r, 0.4) {
		v.keystream = drawKeystream(r)
		l.truth.Note = "scrambled"
	}
	switch how {
	case diallerTCP:
		v.carry(linkTCP, false)
	case diallerTLS:
		v.carry(linkTLS, chance(r, 0.6))
	}
	return v
}

// callbook is whom a user of cheap calls calls: family abroad, mobiles at home.
type callbook struct {
	r       *rand.Rand
	known   []string
	fresh   float64 // share of calls to numbers never called before
	foreign float64
}

func newCallbook(r *rand.Rand, n int) *callbook {
	b := &callbook{r: r, fresh: share(r, 0, 0.3), foreign: share(r, 0.4, 1)}
	for range n {
		b.known = append(b.known, b.draw())
	}
	return b
}

func (b *callbook) draw() string {
	if chance(b.r, b.foreign) {
		return foreign(b.r)
	}
	return mobile(b.r)
}

func (b *callbook) next() string {
	if chance(b.r, b.fresh) {
		return b.draw()
	}
	return pick(b.r, b.known...)
}

// diallerPhone makes about the given number of calls, one at a time. Phones of a
// shop may share an account, whose user agent is then given.
func (s *sim) diallerPhone(v *service, dev *node, d *dialect, user string, calls float64, book *callbook) {
	r := s.rng("dialler phone")
	a := v.account(dev, d, uint16(1024+r.IntN(60000)), user)
	a.codecs = pick(r, []*codec{g729, pcma, pcmu}, []*codec{g729}, []*codec{ilbc, g729, pcmu}, []*codec{pcma, pcmu})
	v.l.truth.Channels++
	if book == nil {
		book = newCallbook(r, sizes(r, 1, 10))
	}
	answered, talk, busy := share(r, 0.35, 0.8), min(span(r, 30*time.Second, 12*time.Minute), s.often(calls)), false
	suppressed, back := chance(r, 0.4), pick(r, 0, 0, 0, 0.1)
	number := foreign(r)[2:]
	s.tides(r, s.often(calls), func() {
		if busy {
			return
		}
		busy = true
		c := drawCourse(r, talk, answered)
		c.delay = between(r, 1500*time.Millisecond, 9*time.Second)
		c.over = func() { busy = false }
		if suppressed {
			c.silence[0] = share(r, 0.2, 0.6)
		}
		if chance(r, back) {
			v.in(c, a, a.user, book.next())
		} else {
			v.out(c, a, book.next(), pick(r, a.user, a.user, number))
			c.keys = pick(r, 0, 0, 0, 2)
		}
		s.perform(c)
	})
}

// cheapCalls puts a dialler on a line of another kind.
func (s *sim) cheapCalls(l *line, r *rand.Rand, calls int) {
	v := s.diallerService(l, r, r.IntN(4))
	s.diallerPhone(v, l.device("phone"), drawDialler(r), strconv.Itoa(sizes(r, 1000, 99_999_999)), float64(calls), nil)
}

// diallerShop has cabins from which strangers call home: new numbers abroad all
// day, up to six at once.
func diallerShop(s *sim) {
	r := s.rng("shop")
	n := sizes(r, 2, 10)
	l := s.newLine(ClassMobileDialer, fmt.Sprintf("call shop of %d phones", n), VerdictNone, VerdictReview)
	s.everyday(l, r.IntN(4))
	v := s.diallerService(l, r, r.IntN(4))
	d := drawDialler(r)
	if chance(r, 0.4) { // boxes for analogue telephones, or desk phones
		d = pick(r, drawHomeBox(r), drawDeskPhone(r))
	}
	one := strconv.Itoa(sizes(r, 1000, 99_999_999))
	shared, dev := chance(r, 0.4), l.device("adapter")
	adapter := chance(r, 0.3)
	book := newCallbook(r, sizes(r, 5, 80))
	book.fresh = share(r, 0.3, 0.95)
	calls := spread(r, 6, 40)
	for i := range n {
		user := one
		if !shared {
			user += strconv.Itoa(10 + i)
		}
		if !adapter {
			dev = l.device("phone")
		}
		s.diallerPhone(v, dev, d, user, calls, book)
	}
	l.truth.Channels = min(n, 6)
}
