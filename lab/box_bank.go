package lab

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// bankScenarios are gateways whose cards are elsewhere, and the place where the
// cards are. Gateways are many to a bank, so their lines are the larger share;
// what the bank's own line shows depends on how the gateways reach it.
func bankScenarios() []Scenario {
	const m = time.Minute
	return []Scenario{
		{Name: "bank-gateway", Text: "gateway whose cards sit in a SIM bank elsewhere", Box: true, Class: ClassBank, Share: 0.6, duration: 25 * m, build: bankGateway},
		{Name: "bank-site", Text: "line on which a SIM bank stands: many cards, gateways elsewhere, no calls", Box: true, Class: ClassBank, Share: 0.25, duration: 25 * m, build: bankSite},
		{Name: "bank-hybrid", Text: "gateway with cards of its own and of a bank, or with a bank that serves other gateways", Box: true, Class: ClassBank, Share: 0.15, duration: 25 * m, build: bankHybrid},
	}
}

// simLink is what the sessions of one gateway with a bank have in common
// (research notes on gateways, section 2.3).
type simLink struct {
	g        *rig
	r        *rand.Rand
	gw, bank *node
	port     uint16 // the bank's
	tcp      bool
	own      uint16 // the gateway's first
	key      string
	alive    time.Duration
	status   time.Duration // between STATUS commands; 0 none
	reads    bool          // the module reads the card's identities when it starts
	usim     bool          // commands of a USIM, or of a GSM SIM
	loss     float64
	auth     float64          // share of calls before which the card is asked
	first    uint32           // the first line's number
	late     [2]time.Duration // what the card takes to answer
	wire     simWire
	bankLine bool // the bank is on the line, not the gateway
	sealed   bool // nothing of it can be read
}

// simWire is how sessions with a bank are spoken. Times are when a thing begins,
// and when its end has arrived.
type simWire interface {
	login(y *simSession)
	alive(y *simSession)
	reset(y *simSession, t int64) int64 // until the card has answered to it
	command(y *simSession, t int64, command, answer []byte) int64
}

// simSession is one module's card in a bank.
type simSession struct {
	*simLink
	line  uint32
	own   uint16
	conn  *conn
	seq   uint32
	reset uint32 // number of a reset
	card  Card
	ready int64 // when the module has looked at the card that is in it
}

// simLink draws how a gateway and a bank talk: as the maker's do, or by free
// software.
func (g *rig) simLink(gw, bank *node, port uint16, free bool) *simLink {
	r := g.source()
	x := &simLink{
		g: g, r: r, gw: gw, bank: bank, port: port, tcp: r.IntN(2) == 0, own: uint16(20000 + r.IntN(30000)), key: word(6 + r.IntN(8))(r),
		alive: pick(r, 20*time.Second, 20*time.Second, 30*time.Second, between(r, 8*time.Second, 45*time.Second)),
		reads: r.IntN(8) > 0, usim: r.IntN(2) == 0, loss: pick(r, 0, 0, share(r, 0, 0.03)), auth: pick(r, 0.3, 1, share(r, 0.05, 1)),
		first: uint32(1+r.IntN(9000)) * 100, bankLine: bank.line != nil,
	}
	x.late[0] = between(r, 20*time.Millisecond, 120*time.Millisecond)
	x.late[1] = x.late[0] + between(r, time.Millisecond, 400*time.Millisecond)
	if r.IntN(2) == 0 {
		x.status = between(r, 20*time.Second, 5*time.Minute)
	}
	x.wire = goipWire{}
	if free {
		x.wire, x.tcp = &remsimWire{}, true
		g.note("a bank of osmo-remsim")
	}
	if x.sealed = g.sealed; x.sealed {
		return x
	}
	g.shows(ShowControl)
	if x.reads {
		g.shows(ShowCards)
	}
	return x
}

// bankPort draws where a bank listens: the customary port, another, any.
func bankPort(r *rand.Rand, free bool) uint16 {
	if free {
		return pick(r, uint16(9999), 9999, 9999, uint16(1024+r.IntN(60000)))
	}
	return pick(r, uint16(56011), 56011, 56011, 50001, uint16(1024+r.IntN(60000)), uint16(1024+r.IntN(60000)))
}

// open begins the session of slot i at t; slots are numbered from 1 and at most
// 96 to a bank of those that make up a large one.
func (x *simLink) open(t int64, i int, card Card) *simSession {
	y := &simSession{simLink: x, line: x.first + uint32(i/96)*100 + uint32(i%96) + 1, own: x.own + uint16(i), seq: x.r.Uint32(), card: card, ready: math.MaxInt64}
	y.reset = 0x4e608 + uint32(i%96) + 1
	if x.tcp {
		y.conn = x.g.s.dial(x.gw, y.own, x.bank, x.port, kindControl)
	}
	s := x.g.s
	s.at(t, func() { x.wire.login(y) })
	s.every(t+int64(x.alive), func() time.Duration { return x.alive + time.Duration(x.r.Int64N(int64(30*time.Millisecond))) }, func() bool {
		x.wire.alive(y)
		return true
	})
	if x.status > 0 {
		s.every(t+int64(between(x.r, 10*time.Second, 10*time.Second+x.status)), func() time.Duration { return x.status }, func() bool {
			if y.card.IMSI != "" {
				y.apdu(s.now, []byte{y.class(0), 0xf2, 0, 0, 22}, append(noiseBytes(x.r, 22), 0x90, 0))
			}
			return true
		})
	}
	return y
}

// class is the class byte of the card's commands.
func (y *simSession) class(usim byte) byte {
	if y.usim {
		return usim
	}
	return 0xa0
}

func (y *simSession) frame(command, typ uint16, payload []byte) []byte {
	b := []byte{0x78, 0x56, 0x21, 0x43}
	b = binary.LittleEndian.AppendUint32(b, y.line)
	b = binary.LittleEndian.AppendUint16(b, command)
	b = binary.LittleEndian.AppendUint16(b, typ)
	return append(b, payload...)
}

// up is a frame of the gateway. What is lost behind the tap is sent again.
func (y *simSession) up(t int64, command, typ uint16, payload []byte) int64 {
	b := y.frame(command, typ, payload)
	if !y.tcp && y.r.Float64() < y.loss {
		y.say(t, 0, b)
		t += int64(2 * time.Second)
	}
	return y.say(t, 0, b)
}

func (y *simSession) down(t int64, command, typ uint16, payload []byte) int64 {
	return y.say(t+int64(3*time.Millisecond), 1, y.frame(command, typ, payload))
}

// say sends a frame, from the gateway when from is 0.
func (y *simSession) say(t int64, from int, b []byte) int64 {
	s := y.g.s
	if y.sealed {
		if y.tcp {
			return y.conn.sendSealed(t, from, b, s.noise)
		}
		b = s.stuff(s.noise, len(b))
	}
	if !y.sealed && y.bankLine == (from == 1) {
		s.at(t, func() { y.g.record(y.peer(), fmt.Sprint("line ", y.line)) })
	}
	if y.tcp {
		return y.conn.send(t, from, b)
	}
	own, port := y.gw.port(y.own, false), y.bank.port(y.port, false)
	if from == 0 {
		return s.send(t, s.flow(y.gw, own, y.bank, port, protoUDP), kindControl, b)
	}
	return s.send(t, s.flow(y.bank, port, y.gw, own, protoUDP), kindControl, b)
}

// peer is the end that is not on the line.
func (x *simLink) peer() *node {
	if x.bankLine {
		return x.gw
	}
	return x.bank
}

// token is a number and the sum that proves the key.
func (y *simSession) token(n uint32) []byte {
	h := md5.Sum(fmt.Appendf(nil, "%s%d%x", y.key, int32(n), y.line))
	return append(binary.LittleEndian.AppendUint32(nil, n), h[:]...)
}

// goipWire is the maker's protocol.
type goipWire struct{}

// login begins the session and starts the card.
func (goipWire) login(y *simSession) {
	t := y.up(y.g.s.now, 3, 2, y.token(y.line))
	y.down(t, 0x5b, 1, nil)
	y.down(t, 0x28, 1, nil)
	t = y.down(t, 3, 1, y.token(y.line))
	y.g.s.at(t+int64(time.Second), y.start)
}

func (goipWire) alive(y *simSession) {
	t := y.up(y.g.s.now, 3, 2, y.token(y.line))
	y.down(t, pick(y.r, uint16(1), 1, 3), 1, y.token(y.line))
}

// reset resets the card, which answers some seconds later.
func (goipWire) reset(y *simSession, t int64) int64 {
	t = y.up(t, 0xc8, 2, y.token(y.reset))
	t = y.down(t, 0xc9, 1, y.token(y.reset))
	if y.card.IMSI == "" {
		return t
	}
	y.seq++
	return y.down(t+int64(between(y.r, 4*time.Second, 7*time.Second)), 0, 1, append(y.token(y.seq+7000), y.atr()...))
}

func (goipWire) command(y *simSession, t int64, command, answer []byte) int64 {
	y.seq++
	t = y.up(t, 0, 2, append(y.token(y.seq), command...))
	return y.down(t+int64(between(y.r, y.late[0], y.late[1])), 0, 1, append(y.token(y.seq+7000), append([]byte{command[1]}, answer...)...))
}

// atr is what the card says first of all (ISO/IEC 7816-3 section 8.2): fifteen
// bytes of history, of which two are drawn, and a sum.
func (y *simSession) atr() []byte {
	b := []byte{0x3b, 0x9f, 0x96, 0x80, 0x1f, 0xc7, 0x80, 0x31, 0xe0, 0x73, 0xfe, 0x21, 0x13, 0x57, 0x4a, 0x33, 0x0e, byte(y.r.Uint32()), byte(y.r.Uint32()), 0x33, 0}
	sum := byte(0)
	for _, c := range b[1:] {
		sum ^= c
	}
	return append(b, sum)
}

// insert gives the module another card, as soon as it is done with the one
// before: one that is reset stops reading. A session that has not begun begins
// with it.
func (y *simSession) insert(card Card) {
	switch {
	case y.ready == math.MaxInt64:
		y.card = card
	case y.ready > y.g.s.now:
		y.g.s.at(y.ready, func() { y.insert(card) })
	default:
		y.card = card
		y.start()
	}
}

// start resets the card and lets the module look at it. A slot without a card
// stays silent.
func (y *simSession) start() {
	t := y.wire.reset(y, y.g.s.now)
	y.ready = t
	if y.card.IMSI == "" {
		return
	}
	card := cardName(y.card)
	more := byte(0x9f) // more is to be had, says a GSM SIM
	if y.usim {
		more = 0x61
	}
	read := func(file []byte, size byte, content []byte) {
		for _, f := range [][]byte{{0x3f, 0x00}, file[:2], file[2:]} {
			if len(f) == 2 {
				t = y.apdu(t, append([]byte{y.class(0), 0xa4, 0, 0, 2}, f...), []byte{more, 0x17})
			}
		}
		if y.reads {
			t = y.apdu(t, []byte{y.class(0), 0xb0, 0, 0, size}, append(content, 0x90, 0))
			if !y.sealed {
				y.g.s.at(t, func() { y.g.names(card) })
			}
		}
	}
	read([]byte{0x2f, 0xe2}, 10, swapped(y.card.ICCID))
	read([]byte{0x7f, 0x20, 0x6f, 0x07}, 9, imsiFile(y.card.IMSI))
	y.ready = t
}

// swapped is digits as a card keeps them: two in a byte, the first in its lower
// half.
func swapped(digits string) []byte {
	var b []byte
	for i := 0; i+1 < len(digits); i += 2 {
		b = append(b, digits[i]-'0'|(digits[i+1]-'0')<<4)
	}
	return b
}

// imsiFile is EF IMSI: its length, then the digits behind a parity nibble
// (3GPP TS 31.102 section 4.2.2).
func imsiFile(imsi string) []byte { return append([]byte{8}, swapped("9"+imsi)...) }

// apdu passes one command to the card and its answer back.
func (y *simSession) apdu(t int64, command, answer []byte) int64 {
	return y.wire.command(y, t, command, answer)
}

// challenge lets the network ask the card who it is.
func (y *simSession) challenge() {
	if y.card.IMSI == "" {
		return
	}
	now := y.g.s.now
	if !y.usim {
		t := y.apdu(now, append([]byte{0xa0, 0x88, 0, 0, 16}, noiseBytes(y.r, 16)...), []byte{0x9f, 0x0c})
		y.apdu(t, []byte{0xa0, 0xc0, 0, 0, 12}, append(noiseBytes(y.r, 12), 0x90, 0))
		return
	}
	command := append([]byte{0x00, 0x88, 0x00, 0x81, 0x22, 0x10}, noiseBytes(y.r, 16)...)
	command = append(append(command, 0x10), noiseBytes(y.r, 16)...)
	y.apdu(now, command, append(noiseBytes(y.r, 53), 0x90, 0x00))
}

// banked is a gateway with some or all of its cards in a bank; it is told of
// calls and changes as a control protocol is.
type banked struct {
	g        *rig
	sessions []*simSession // by channel, nil for a card of its own
}

// cardsAt lets the channels of the box for which in gives true have their cards
// in banks elsewhere.
func (g *rig) cardsAt(in func(i int) bool) {
	r := g.r
	x := &banked{g: g}
	var links []*simLink
	free := r.IntN(10) == 0
	port := bankPort(r, free)
	for range pick(r, 1, 1, 1, 2) {
		host := g.s.host("sim bank", r.IntN(2) == 0)
		g.l.controls(host, "sim-bank")
		links = append(links, g.simLink(g.node, host, port, free))
	}
	step := between(r, 50*time.Millisecond, 900*time.Millisecond)
	first := g.s.start + int64(between(r, 0, 20*time.Second))
	for i := range g.channels {
		var y *simSession
		if in(i) {
			y = links[i%len(links)].open(first+int64(i)*int64(step), i, g.channels[i].card)
		}
		x.sessions = append(x.sessions, y)
	}
	g.tell = append(g.tell, x)
	// The network asks the cards for other reasons than calls, too.
	g.s.arrivals(r, g.s.start+int64(30*time.Second), time.Duration(float64(between(r, 3*time.Minute, time.Hour))/float64(len(g.channels))), func() {
		if y := x.sessions[r.IntN(len(x.sessions))]; y != nil {
			y.challenge()
		}
	})
}

func (x *banked) dialing(i int, _ string) {
	if y := x.sessions[i]; y != nil && y.r.Float64() < y.auth {
		y.challenge()
	}
}

func (x *banked) connected(int, string) {}
func (x *banked) over(int, string)      {}

// changed starts the card that the bank has given the channel instead.
func (x *banked) changed(i int) {
	if y := x.sessions[i]; y != nil {
		y.insert(x.g.channels[i].card)
	}
}

// bankGateway is a gateway whose cards are all in a bank.
func bankGateway(s *sim) {
	r := s.rng("bank gateway")
	n := controlSize(r, 1, 128)
	g := newRig(s, r, ClassBank, fmt.Sprintf("GoIP-%d, cards in a SIM bank", n), n)
	kind := g.drawn("dbl")
	g.cardsAt(func(int) bool { return true })
	if r.IntN(3) == 0 {
		g.smsServers(goipPort(r)).look.bank = "Y"
	}
	g.begin(kind)
	g.surroundings()
}

// site puts a bank of n slots on the line, for gateways elsewhere, on ports of
// which each is sent to the bank.
func (g *rig) site(bank *node, n int) {
	r := g.r
	gateways := min(n, 1+r.IntN(1+n/8), 12)
	free := r.IntN(10) == 0
	port := bankPort(r, free)
	cards := newCards(r, n+controlSpare(r, n))
	spare := cards[n:]
	used := pick(r, 1, 1, share(r, 0.3, 1)) // of the slots, by some gateway
	var all []*simSession
	links := make([]*simLink, gateways)
	for k := range links {
		host := g.s.host("gateway", r.IntN(3) > 0)
		g.l.controls(host, "sim-bank") // what the two do together
		links[k] = g.simLink(host, bank, port, free)
		links[k].first = links[0].first
	}
	step := between(r, 20*time.Millisecond, 400*time.Millisecond)
	for i := range n {
		if i > 1 && r.Float64() > used {
			continue
		}
		link := links[i*gateways/n]
		if link.reads {
			g.l.truth.Cards = append(g.l.truth.Cards, cards[i])
		}
		all = append(all, link.open(g.s.start+int64(i)*int64(step)+r.Int64N(int64(5*time.Second)), i, cards[i]))
	}
	// Cards are asked before calls, which pass elsewhere.
	asked := time.Duration(float64(between(r, time.Minute, 20*time.Minute)) / float64(len(all)))
	g.s.arrivals(r, g.s.start+int64(30*time.Second), max(asked, 200*time.Millisecond), func() { all[r.IntN(len(all))].challenge() })
	if len(spare) > 0 {
		g.s.arrivals(r, g.s.start+int64(time.Minute), max(20*time.Minute/time.Duration(len(spare)), 4*time.Second), func() {
			if len(spare) == 0 {
				return
			}
			y, card := all[r.IntN(len(all))], spare[0]
			spare = spare[1:]
			if y.reads {
				g.l.truth.Cards = append(g.l.truth.Cards, card)
			}
			y.insert(card)
		})
	}
}

// bankSite is the line on which a bank stands.
func bankSite(s *sim) {
	r := s.rng("bank site")
	n := controlSize(r, 8, 512)
	if n > 96 {
		n = n / 32 * 32
	}
	l := s.newLine(ClassBank, fmt.Sprintf("SIM bank of %d slots", n), VerdictNone, VerdictCase)
	g := &rig{box: &box{s: s, l: l}, r: r, said: map[*node]*controlTally{}}
	l.truth.Channels = n
	if r.IntN(3) > 0 {
		g.node = l.public("sim bank")
	} else {
		g.node = l.device("sim bank")
	}
	g.site(g.node, n)
	g.settle()
	g.surroundings()
}

// bankHybrid is a gateway of which some cards are its own and some in a bank
// elsewhere; or one beside a bank that serves other gateways too.
func bankHybrid(s *sim) {
	r := s.rng("bank hybrid")
	n := controlSize(r, 2, 64)
	serves := r.IntN(2) == 0
	device := fmt.Sprintf("GoIP-%d, cards of its own and in a SIM bank", n)
	if serves {
		device = fmt.Sprintf("GoIP-%d beside a SIM bank that serves other gateways", n)
	}
	g := newRig(s, r, ClassBank, device, n)
	kind := g.drawn("dbl")
	if serves {
		g.site(g.l.device("sim bank"), controlSize(r, 8, 256))
	} else {
		split := 1 + r.IntN(n-1)
		g.cardsAt(func(i int) bool { return i < split })
	}
	if !serves || r.IntN(2) == 0 {
		g.smsServers(goipPort(r)).look.bank = "Y"
	}
	g.begin(kind)
	g.surroundings()
}
