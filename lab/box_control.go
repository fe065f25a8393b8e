package lab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// controlScenarios are gateways that show a control protocol. The shares follow
// what is sold and written about most: GoIP above all, then Ejoin with Skyline
// and Dinstar, then gateways on Asterisk.
func controlScenarios() []Scenario {
	const m = time.Minute
	rows := []struct {
		name, text string
		share      float64
		duration   time.Duration
		build      func(*sim)
	}{
		// Shares in percent of the class's lines that show control.
		{"goip-line", "GoIP, an account for each channel, keepalives to SMS servers", 6, 25 * m, func(s *sim) { controlGoIP(s, "line", loadBusy) }},
		{"goip-group", "GoIP, an account for each group of channels, keepalives to SMS servers", 3, 25 * m, func(s *sim) { controlGoIP(s, "group", loadBusy) }},
		{"goip-trunk", "GoIP without accounts, keepalives to SMS servers", 4, 25 * m, func(s *sim) { controlGoIP(s, "trunk", loadBusy) }},
		{"goip-slow", "GoIP with few calls, as fraud has them", 3, 40 * m, func(s *sim) { controlGoIP(s, "", loadSlow) }},
		{"goip-silent", "GoIP whose calls are not on this line, or none: control alone", 1, 25 * m, func(s *sim) { controlGoIP(s, "", loadNone) }},
		{"dinstar", "Dinstar-like gateway with its TCP interface", 4, 25 * m, controlDinstar},
		{"ejoin", "Ejoin-like gateway that reports to a server or is asked by it", 4, 25 * m, func(s *sim) { controlEjoin(s, false) }},
		{"skyline", "Skyline-like gateway: the newer commands, several slots a port", 2, 25 * m, func(s *sim) { controlEjoin(s, true) }},
		{"ami", "gateway on Asterisk whose GSM part is worked from outside", 2, 25 * m, controlAMI},
		{"marks", "gateway that shows lesser marks of its maker and no control protocol", 3, 25 * m, controlMarks},
		{"moved-port", "gateway whose control protocol stands on a port of something else", 3, 25 * m, controlMoved},
	}
	var out []Scenario
	for _, x := range rows {
		out = append(out, Scenario{Name: "control-" + x.name, Text: x.text, Box: true, Class: ClassGateway, Share: x.share / 100, duration: x.duration, build: x.build})
	}
	return out
}

// rig is a box that is drawn: what it is asked to do, what its protocols tell.
type rig struct {
	*box
	r     *rand.Rand
	mode  string // line, group, trunk, single
	calls controlHabit
	tell  []controlTeller
	spare []Card
	swaps int // of which the refreshes of an account told
	// absent says that a channel's account stays away while its card is changed.
	absent bool
	sealed bool                    // it speaks with its banks enciphered
	period time.Duration           // between refreshes of an account
	abroad bool                    // the far end of its calls is
	said   map[*node]*controlTally // by peer
	named  map[string]bool         // cards of which an identity has passed the tap, by cardName
}

// controlTeller is a protocol that is told of the course of calls, and of
// channels whose card was changed.
type controlTeller interface {
	dialing(i int, number string)
	connected(i int, number string)
	over(i int, number string)
	changed(i int)
}

// controlTally is what passed the tap of a gateway's own protocol with one peer:
// records sent by the line and answered, and whose they were.
type controlTally struct {
	records         int
	first, last     int64
	channels, cards map[string]bool
}

// record notes a record that a peer answered; who names the channels and cards
// it was about, cards by cardName.
func (g *rig) record(peer *node, who ...string) {
	c := g.said[peer]
	if c == nil {
		c = &controlTally{first: g.s.now, channels: map[string]bool{}, cards: map[string]bool{}}
		g.said[peer] = c
	}
	c.records++
	c.last = g.s.now
	g.names(who...)
	for _, w := range who {
		if strings.HasPrefix(w, cardPrefix) {
			c.cards[w] = true
		} else {
			c.channels[w] = true
		}
	}
}

// names notes that the cards among who were named on the wire, whether anybody
// answered or not.
func (g *rig) names(who ...string) {
	for _, w := range who {
		if !strings.HasPrefix(w, cardPrefix) {
			continue
		}
		if g.named == nil {
			g.named = map[string]bool{}
		}
		g.named[w] = true
	}
}

const cardPrefix = "card "

// cardName names a card for record.
func cardName(c Card) string { return cardPrefix + c.IMSI }

// portName names a channel for record.
func portName(i int) string { return fmt.Sprint("port ", i) }

// settle lets truth say at the end whether what was said meets the rule for
// proof of docs/verdict.md, and which cards it was about: where cards are shown
// at all, one that was never named is not there to be read.
func (g *rig) settle() {
	g.s.at(g.s.end, func() {
		t := g.l.truth
		if slices.Contains(t.Shows, ShowCards) {
			t.Cards = slices.DeleteFunc(t.Cards, func(c Card) bool { return !g.named[cardName(c)] })
			if len(t.Cards) == 0 {
				t.Shows = slices.DeleteFunc(t.Shows, func(s string) bool { return s == ShowCards })
			}
		}
		for _, c := range g.said {
			if c.records >= 3 && c.last-c.first >= int64(time.Minute) && max(len(c.channels), len(c.cards)) >= 2 {
				g.l.truth.Proof = true
			}
		}
	})
}

// controlSize draws a number of channels: small boxes are as common as large
// ones, doubling by doubling, and most have a size that is sold.
func controlSize(r *rand.Rand, least, most int) int {
	n := int(math.Round(math.Exp(share(r, math.Log(float64(least)), math.Log(float64(most))))))
	if r.IntN(4) > 0 {
		for _, sold := range [...]int{1, 2, 4, 8, 16, 24, 32, 64, 128} {
			if sold >= n && sold <= most {
				return sold
			}
		}
	}
	return n
}

// newRig draws a box of n channels on a line of its own: where it stands, what
// cards it has, which of them are missing. r draws for it, so that two
// scenarios of one seed differ.
func newRig(s *sim, r *rand.Rand, class, device string, n int) *rig {
	l := s.newLine(class, device, VerdictNone, VerdictCase)
	if r.IntN(3) == 0 { // a bad access
		l.loss = share(r, 0.002, 0.03)
	}
	g := &rig{box: &box{s: s, l: l}, r: r, said: map[*node]*controlTally{}}
	if r.IntN(4) == 0 {
		g.node = l.public("gateway")
	} else {
		g.node = l.device("gateway")
	}
	if ppm := pick(r, g.node.ppm, drawPPM(r), r.NormFloat64()*0.1); !s.wide {
		g.node.ppm = ppm
	}
	l.truth.Channels = n
	cards := newCards(r, n+controlSpare(r, n))
	g.spare = cards[n:]
	lac, cells := 0x1000+r.IntN(0xe000), 1+r.IntN(8)
	empty := pick(r, 0, 0, 0, share(r, 0.05, 0.5))
	for i, c := range cards[:n] {
		if i > 0 && r.Float64() < empty {
			c = Card{IMEI: c.IMEI} // a module without a card
		} else {
			l.truth.Cards = append(l.truth.Cards, c)
		}
		g.channels = append(g.channels, channel{card: c, lac: lac, cell: 0x2000 + r.IntN(cells)})
	}
	g.codec = pick(r, g729, g729, g729, pcma, pcma, pcmu, g723)
	g.settle()
	return g
}

// controlSpare draws how many cards wait to be put in: many boxes keep theirs
// for weeks.
func controlSpare(r *rand.Rand, n int) int {
	if r.IntN(5) < 2 {
		return 0
	}
	return 1 + r.IntN(2*n+2)
}

// shows adds to what can be read of the box.
func (g *rig) shows(what ...string) { g.l.shows(what...) }

// note adds to what truth remarks of the box.
func (g *rig) note(text string) {
	switch n := g.l.truth.Note; {
	case n == "":
		g.l.truth.Note = text
	case !strings.Contains(n, text):
		g.l.truth.Note = n + ", " + text
	}
}

// source gives one more source of chance, the box's own.
func (g *rig) source() *rand.Rand { return rand.New(rand.NewPCG(g.r.Uint64(), g.r.Uint64())) }

// showsMessages is that short messages can be read, where they are of many
// channels.
func (g *rig) showsMessages() {
	if len(g.channels) > 2 {
		g.shows(ShowMessages)
	}
}

// The kinds of load.
const (
	loadNone = iota
	loadSlow
	loadBusy
)

// controlHabit is how the calls of a box go.
type controlHabit struct {
	load
	silence   [2]float64 // bounds of what is not sent of a quiet side
	fixed     float64    // share of calls to landlines
	again     float64    // share of calls to a number called before
	callers   int        // which numbers call: 0 mixed, 1 one number, 2 mobiles, 3 none told
	caller    string
	early     int // sound before the answer: 0 never, 1 always, 2 as it comes
	pdd, ring [2]time.Duration
	rest      float64 // share of calls after which the card rests
	back      float64 // share of calls that come from the mobile side
	hangs     float64 // share of calls that the caller ends
	media     *variety
	rtcp      bool
	known     []string
}

// habits draws the load of the box. A capture of 25 minutes holds 150,000
// packets for each call that stands all the time, so the largest boxes are
// drawn at a quiet hour.
func (g *rig) habits(kind int) {
	r, h := g.r, &g.calls
	n := float64(g.cards())
	talk := time.Duration(math.Exp(share(r, math.Log(18), math.Log(150))) * float64(time.Second))
	h.asr, h.talk, h.rush = share(r, 0.18, 0.75), talk, r.IntN(3) == 0
	h.pdd[0] = between(r, time.Second, 4*time.Second)
	h.pdd[1] = h.pdd[0] + between(r, time.Second, 9*time.Second)
	h.ring[0] = between(r, time.Second, 4*time.Second)
	h.ring[1] = h.ring[0] + between(r, 4*time.Second, 18*time.Second)
	hold := (h.pdd[0]+h.pdd[1]+h.ring[0]+h.ring[1])/2 + time.Duration(h.asr*float64(talk))
	most := min(0.6*n, 13)
	want := math.Exp(share(r, math.Log(min(1.0, 0.5*most)), math.Log(most)))
	h.gap = min(time.Duration(float64(hold)/want), time.Duration(float64(hold)/(0.35*min(n, 2))), 40*time.Second)
	if h.rush {
		h.gap = h.gap * 9 / 4 // a quarter of the time has six times as many
	}
	if kind == loadSlow {
		h.gap, h.rush = time.Duration(float64(g.s.end-g.s.start)/share(r, 1, 10)), false
	}
	h.dtx = pick(r, 0, 0, 0.3, 1)
	h.silence = [2]float64{share(r, 0.1, 0.3), share(r, 0.35, 0.6)}
	h.fixed = pick(r, 0, 0.02, 0.02, share(r, 0, 0.2))
	h.again = pick(r, 0, share(r, 0, 0.1), share(r, 0, 0.35))
	h.callers, h.caller = r.IntN(4), pick(r, landline(r, ""), mobile(r), foreign(r))
	h.early = r.IntN(3)
	h.rest = pick(r, 0, share(r, 0.1, 0.9))
	h.back = pick(r, 0, 0, 0, share(r, 0.01, 0.08))
	h.hangs = share(r, 0.3, 0.9)
	h.rtcp = r.IntN(3) == 0
	v := variety{event: pick(r, uint8(0), 0, 0, 96, 97, 100), noise: pick(r, uint8(0), 13)}
	v.secure, v.muxed = r.IntN(25) == 0, h.rtcp && r.IntN(10) == 0
	if v != (variety{}) {
		h.media = &v
	}
}

// cards counts the channels that have one.
func (g *rig) cards() (n int) {
	for i := range g.channels {
		if g.channels[i].card.IMSI != "" {
			n++
		}
	}
	return n
}

// idle gives a channel that may dial, -1 when there is none.
func (g *rig) idle() int {
	n := len(g.channels)
	for i, at := 0, g.r.IntN(n); i < n; i++ {
		k := (at + i) % n
		if ch := &g.channels[k]; !ch.busy && ch.downUntil <= g.s.now && ch.card.IMSI != "" {
			return k
		}
	}
	return -1
}

// attempt is one call that the softswitch hands to the box, or a call from the
// mobile side.
func (g *rig) attempt() {
	r, h := g.r, &g.calls
	c := &call{
		from: g.ctrl, called: g.callee(), calling: g.caller(), codec: g.codec, byCaller: r.Float64() < h.hangs,
		media: [2]*mediaHost{g.media, nil}, relayed: [2]bool{true, false}, ppm: [2]float64{drawPPM(r), 0},
		early: h.early == 1 || h.early == 2 && r.IntN(2) == 0, toContact: g.mode != "trunk" || r.IntN(2) == 0,
		rtcp: h.rtcp, variety: h.media,
	}
	i := g.idle()
	if i < 0 {
		c.to, c.status, c.delay = g.agents[r.IntN(len(g.agents))], pick(r, 503, 503, 503, 480, 486), between(r, 10*time.Millisecond, 300*time.Millisecond)
		g.s.perform(c)
		return
	}
	ch := &g.channels[i]
	c.to = g.agents[0]
	if ch.account != nil {
		c.to = ch.account
	}
	ch.busy = true
	c.delay, c.ring = between(r, h.pdd[0], h.pdd[1]), between(r, h.ring[0], h.ring[1])
	c.status = outcome(r, h.asr)
	if c.status == 480 && r.IntN(2) == 0 {
		c.ring = 0
	}
	c.talk = expo(r, h.talk, 2*time.Second, 8*h.talk)
	if r.Float64() < h.dtx {
		c.silence[1] = share(r, h.silence[0], h.silence[1])
	}
	if r.IntN(20) == 0 {
		c.keys = 1 + r.IntN(4)
	}
	number := c.called
	if r.Float64() < h.back {
		c.from, c.to, c.early = c.to, g.ctrl, false
		c.media, c.relayed, c.ppm = [2]*mediaHost{nil, g.media}, [2]bool{false, true}, [2]float64{0, c.ppm[0]}
		c.silence[0], c.silence[1] = c.silence[1], 0
		c.called, c.calling, number = g.ctrl.user, mobile(r), ""
	}
	if number != "" {
		// The INVITE has to get there before the card is asked to dial.
		g.s.after(time.Duration(g.ctrl.node.owd+4*g.ctrl.node.jit+g.node.owd)+between(r, 50*time.Millisecond, 400*time.Millisecond), func() { g.told(func(t controlTeller) { t.dialing(i, number) }) })
	}
	c.answered = func() { g.told(func(t controlTeller) { t.connected(i, number) }) }
	c.over = func() {
		ch.busy = false
		g.told(func(t controlTeller) { t.over(i, number) })
		if r.Float64() < h.rest {
			ch.downUntil = max(ch.downUntil, g.s.now+int64(expo(r, 20*time.Second, 2*time.Second, 3*time.Minute)))
		}
	}
	g.s.perform(c)
}

func (g *rig) told(fn func(controlTeller)) {
	for _, t := range g.tell {
		fn(t)
	}
}

func (g *rig) callee() string {
	r, h := g.r, &g.calls
	if len(h.known) > 0 && r.Float64() < h.again {
		return h.known[r.IntN(len(h.known))]
	}
	to := mobile(r)
	if r.Float64() < h.fixed {
		to = landline(r, "")
	}
	h.known = append(h.known, to)
	return to
}

func (g *rig) caller() string {
	switch g.calls.callers {
	case 1:
		return g.calls.caller
	case 2:
		return mobile(g.r)
	case 3:
		return "anonymous"
	}
	return pick(g.r, mobile(g.r), landline(g.r, ""), foreign(g.r), "anonymous")
}

// begin lets calls come, unless there are none, and cards be changed.
func (g *rig) begin(kind int) {
	r := g.r
	if kind != loadNone {
		if g.abroad {
			g.shows(ShowController)
		}
		h := &g.calls
		first := between(r, time.Second, 20*time.Second)
		if kind == loadSlow {
			first = time.Duration(share(r, 0.2, 1) * float64(h.gap))
		}
		g.s.every(g.s.start+int64(first), func() time.Duration {
			mean := h.gap
			if h.rush && (g.s.now-g.s.start)*8/max(g.s.end-g.s.start, 1)%4 == 1 {
				mean /= 6
			}
			return expo(r, mean, 80*time.Millisecond, 10*h.gap)
		}, func() bool {
			g.attempt()
			return true
		})
	}
	if len(g.spare) > 0 {
		// From one card in the whole time to all of them.
		span := time.Duration(g.s.end - g.s.start)
		mean := time.Duration(float64(span) / math.Exp(share(r, 0, math.Log(float64(len(g.spare))+1))))
		kept := r.IntN(2) == 0 // the module's own number stays
		g.s.arrivals(r, g.s.start, mean, func() { g.swap(kept) })
	}
	if g.absent && g.mode == "line" {
		g.s.at(g.s.end, func() {
			if g.swaps > 2 {
				g.shows(ShowChanges)
			}
		})
	}
}

// swap takes a channel's card out and puts another in some time later.
func (g *rig) swap(kept bool) {
	i := g.r.IntN(len(g.channels))
	ch := &g.channels[i]
	if ch.busy || ch.downUntil > g.s.now || len(g.spare) == 0 {
		return
	}
	next := g.spare[0]
	g.spare = g.spare[1:]
	if kept {
		next.IMEI = ch.card.IMEI
	}
	ch.card = Card{IMEI: ch.card.IMEI}
	away := between(g.r, 30*time.Second, 4*time.Minute)
	ch.downUntil = g.s.now + int64(away)
	g.s.at(ch.downUntil, func() {
		ch.card = next
		g.l.truth.Cards = append(g.l.truth.Cards, next)
		if away > g.period {
			g.swaps++
		}
		g.told(func(t controlTeller) { t.changed(i) })
	})
}
