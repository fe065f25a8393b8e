package lab

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// gatewayScenarios are gateways that terminate calls and say nothing but SIP or
// H.323. The shares are guesses: accounts for each channel and trunks are what
// makers' manuals and sellers describe most, everything else is what a careful
// gang makes of it.
func gatewayScenarios() []Scenario {
	const m = time.Minute
	drawn := func(name, text string, share float64, d time.Duration, p gatewayPlan) Scenario {
		return Scenario{Name: name, Text: text, Box: true, Class: ClassGateway, Share: share, duration: d, build: func(s *sim) {
			p.name, p.span = name, d
			s.gateway(p)
		}}
	}
	return []Scenario{
		drawn("box-line", "gateway with an account for each channel", 0.12, 60*m, gatewayPlan{accounts: accountEach, most: 128}),
		drawn("box-single", "gateway behind one account", 0.09, 60*m, gatewayPlan{accounts: accountOne, most: 128}),
		drawn("box-group", "gateway with an account for each group of channels", 0.05, 60*m, gatewayPlan{accounts: accountGroups, least: 4, most: 128}),
		drawn("box-trunk", "trunk gateway: no account, calls come by its address", 0.11, 60*m, gatewayPlan{accounts: accountNone, most: 128}),
		drawn("box-h323", "trunk gateway that speaks H.323 and no SIP", 0.03, 60*m, gatewayPlan{accounts: accountNone, most: 64, h323: true}),
		drawn("box-diy", "Asterisk or FreeSWITCH with a handful of radio modems", 0.07, 60*m, gatewayPlan{accounts: accountOne, most: 24, stack: modemStack, modems: true}),
		drawn("box-disguised", "gateway that passes for a desk phone, one account", 0.06, 60*m, gatewayPlan{accounts: accountOne, most: 32, stack: deskStack}),
		drawn("box-walking", "gateway whose SIP port, or its controller's address, changes every few minutes", 0.05, 60*m, gatewayPlan{accounts: accountEach, most: 64, walks: true}),
		drawn("box-tcp", "gateway with SIP over TCP", 0.04, 60*m, gatewayPlan{accounts: accountEach, most: 64, tcp: true}),
		drawn("box-swap", "gateway whose channels stay away one by one while their cards are changed", 0.07, 90*m, gatewayPlan{accounts: accountEach, least: 2, most: 64, swaps: true}),
		drawn("box-home", "gateway in a home where people live", 0.06, 60*m, gatewayPlan{accounts: accountAny, most: 32, beside: besideHousehold}),
		drawn("box-office-beside", "gateway on the line of an office with telephones of its own", 0.04, 60*m, gatewayPlan{accounts: accountAny, most: 32, beside: besideOffice}),
		drawn("box-redial", "gateway that is told to call the same numbers again and again, then others", 0.04, 60*m, gatewayPlan{accounts: accountAny, most: 32, redials: true}),
		drawn("box-moves", "gateway that is carried to another line in mid-capture", 0.02, 90*m, gatewayPlan{accounts: accountAny, least: 2, most: 32, moves: true}),
		drawn("box-low", "fraud gateway: ten to thirty calls an hour over up to three channels, in bursts", 0.05, 3*60*m, gatewayPlan{accounts: accountAny, most: 3, low: true}),
		drawn("box-hbs", "gateway that imitates people: hours, rests, calls both ways, numbers called again", 0.04, 2*60*m, gatewayPlan{accounts: accountAny, most: 32, human: true}),
		{Name: "box-farm", Text: "two to five gateways on one line, as a rule at one controller", Box: true, Class: ClassGateway, Share: 0.04, duration: 60 * m, build: gatewayFarm},
		{Name: "thin-lines", Text: "one controller, a dozen lines with a channel or two each", Box: true, Class: ClassGateway, Share: 0.02, duration: 2 * 60 * m, build: thinLines},
	}
}

// accountScheme says how a gateway is known to its softswitch.
type accountScheme int

const (
	accountAny    accountScheme = iota
	accountEach                 // one for each channel
	accountOne                  // one for all
	accountGroups               // one for some channels each
	accountNone                 // by its address
)

// gatewayPlan is what a kind of gateway has of its own; all else is drawn.
type gatewayPlan struct {
	name        string
	span        time.Duration // that rates are drawn for
	class       string        // empty for a gateway that terminates calls
	noun        string        // what it is called, as a rule a gateway
	mute        bool          // it carries no calls, or not as a gateway does
	silent      bool          // it carries no calls at all
	bare        bool          // it has no accounts and no softswitch
	accounts    accountScheme
	least, most int                       // channels; least 0 is one
	stack       func(*rand.Rand) *dialect // nil for any
	h323        bool
	tcp         bool
	walks       bool
	swaps       bool
	redials     bool
	moves       bool
	low         bool                     // a fraud gateway
	human       bool                     // it imitates people
	modems      bool                     // each channel has a clock of its own
	beside      func(s *sim, g *gateway) // who else lives on the line
	line        *line                    // that it shares with other gateways
	shared      *agent                   // the controller, of other lines too
	seconds     float64                  // of calls that the capture may hold; 0 draws
	few         float64                  // how many calls that is, where lines are many
	tls         bool                     // SIP over TLS, and SRTP
	busy        float64                  // calls at once on average, attempts included; 0 draws
	hide        func(*gateway)           // hides what it says and its peers say, before they begin
}

// gateway is a box whose every parameter is drawn.
type gateway struct {
	*box
	gatewayPlan
	r        *rand.Rand
	d        *dialect
	stranger func() string // who calls
	targets  *targets
	port     uint16
	mapped   bool
	period   time.Duration // between registrations
	pauses   [][2]int64    // no calls
	wave     float64       // how much the load goes up and down
	phase    float64

	hangs    float64 // share of calls that the caller ends
	early    float64 // share of calls with sound before the answer
	wait     [2]time.Duration
	full     int // status when no channel is idle; 0: not even asked
	failures []int
	sham     float64 // share of failures that are shown as answers
	rest     time.Duration
	steady   time.Duration // each channel's cool-down after a call, when it is the same for all; 0 when it is not
	tired    float64       // share of calls after which the card rests
	outage   time.Duration
	other    *codec
	mixed    float64 // share of calls in the other codec
	rtcp     bool
	vary     *variety
	still    [2]float64 // silence that is not sent
	ppm      []float64  // of each channel, or one for all
	fixed    bool       // every channel has an RTP port of its own
	returns  float64    // share of calls that people make to the cards, and are passed on
	asserted bool
}

// gateway adds a line with a gateway.
func (s *sim) gateway(p gatewayPlan) *gateway {
	r := s.rng("gateway " + p.name)
	l := p.line
	if l == nil {
		l = s.newLine(cmp.Or(p.class, ClassGateway), "", VerdictNone, VerdictCase)
	}
	before := *l.truth
	n := gatewaySize(r, max(p.least, 1), p.most)
	g := &gateway{box: s.newBox(l, n), gatewayPlan: p, r: r}
	if g.accounts == accountAny {
		g.accounts = pick(r, accountEach, accountEach, accountOne, accountNone, accountGroups)
	}
	if p.line == nil && r.IntN(3) == 0 { // it holds the line's address itself
		ppm := g.node.ppm
		g.node = l.public("gateway")
		g.node.ppm = ppm
	}
	stack := p.stack
	if stack == nil {
		stack = gatewayStack
	}
	g.d = stack(r)
	g.tcp = g.tcp || !g.h323 && g.shared == nil && r.IntN(15) == 0
	l.truth.Device = fmt.Sprintf("%d-channel %s, %s, %s", n, cmp.Or(p.noun, "gateway"), g.d.name, g.accounts)
	g.drawCalls()
	g.drawLoad(n)
	g.drawMedia(n)
	l.truth.Note = fmt.Sprintf("%s, an attempt every %v", g.codec.name, g.gap.Round(time.Second))
	if !g.bare {
		g.controller()
		if hidden := g.tls || g.hide != nil; !hidden {
			g.l.shows(ShowSIP)
		}
		if g.ctrl.node.abroad && !g.silent {
			g.l.shows(ShowController)
		}
		g.plug()
		if g.hide != nil {
			g.hide(g)
		}
	}
	if p.line != nil { // one more beside others
		l.truth.Channels += before.Channels
		l.truth.Cards = append(before.Cards, l.truth.Cards...)
		l.truth.Device = before.Device + "; " + l.truth.Device
	}
	if g.beside != nil {
		g.beside(s, g)
	} else if r.IntN(4) > 0 && !g.moves {
		g.boot()
	}
	switch {
	case g.swaps:
		g.changeCards()
	case g.walks:
		g.walk()
	case g.moves:
		g.move()
	}
	if !g.mute {
		g.work()
	}
	return g
}

// shows notes what a tap can read of the line's box.
func (l *line) shows(what ...string) {
	for _, w := range what {
		if !slices.Contains(l.truth.Shows, w) {
			l.truth.Shows = append(l.truth.Shows, w)
		}
	}
}

func (a accountScheme) String() string {
	return [...]string{"", "an account for each channel", "one account", "an account for each group", "no account"}[a]
}

// gatewaySize draws how many channels a gateway has, evenly by order of
// magnitude; as often as not it is a size that is sold.
func gatewaySize(r *rand.Rand, least, most int) int {
	n := int(magnitude(r, float64(least), float64(most)+0.99))
	if r.IntN(2) == 0 {
		for _, k := range [...]int{1, 2, 4, 8, 16, 32, 64, 128} {
			if k >= n && k >= least && k <= most {
				return k
			}
		}
	}
	return max(least, min(n, most))
}

// magnitude draws evenly by order of magnitude.
func magnitude(r *rand.Rand, lo, hi float64) float64 {
	return lo * math.Pow(hi/lo, r.Float64())
}

// drawLoad draws how much the gateway is asked to do. What it would carry for
// real is cut down to what a capture may hold: it is less busy, or busy for a
// part of the time only, as when its gang sends the calls elsewhere.
func (g *gateway) drawLoad(n int) {
	r := g.r
	g.talk = time.Duration(magnitude(r, float64(25*time.Second), float64(150*time.Second)))
	g.asr = share(r, 0.3, 0.6)
	g.wave, g.phase = share(r, 0, 0.8), share(r, 0, 2*math.Pi)
	if g.low {
		g.asr, g.talk = share(r, 0.25, 0.6), time.Duration(magnitude(r, float64(30*time.Second), float64(4*time.Minute)))
		g.gap = time.Hour / time.Duration(10+r.IntN(21))
		g.wave = share(r, 0.7, 1)
		return
	}
	if g.few > 0 {
		g.talk = min(g.talk, time.Minute)
	}
	hold := 14*time.Second + time.Duration(g.asr*float64(g.talk))
	use := share(r, 0.25, 0.6)
	if n <= 2 {
		use = share(r, 0.4, 0.8)
		if g.few == 0 && r.IntN(3) == 0 {
			g.steady = between(r, 5*time.Second, 2*time.Minute)
		}
	}
	if g.human {
		use *= 0.7
	}
	if g.busy > 0 {
		g.gap = time.Duration(float64(hold) / g.busy)
		return
	}
	g.gap = time.Duration(float64(hold+time.Duration(g.tired*float64(g.rest))) / (use * float64(n)))
	g.gap = min(g.gap, g.span/60)
	if g.few > 0 {
		g.seconds = g.few * hold.Seconds()
	}
	if g.seconds == 0 {
		g.seconds = max(magnitude(r, 2500, 14000), 50*hold.Seconds())
	}
	if over := float64(g.span) / float64(g.gap) * hold.Seconds() / g.seconds; over > 1 {
		// Seven times as busy as the capture may hold is the most that fits into
		// a part of it.
		less := magnitude(r, max(1, over/7), over)
		g.gap, over = time.Duration(less*float64(g.gap)), over/less
		if over > 1 { // busy for a part of the time
			span := max(g.s.end-g.s.start, 1)
			busy := int64(float64(span) / over)
			from := g.s.start + r.Int64N(span-busy)
			g.pauses = append(g.pauses, [2]int64{g.s.start, from}, [2]int64{from + busy, g.s.end})
		}
	}
	for range r.IntN(3) {
		g.pauses = append(g.pauses, g.pause())
	}
}

// pause draws a time in which nobody calls, or the route is closed.
func (g *gateway) pause() [2]int64 {
	span := max(g.s.end-g.s.start, 1)
	at := g.s.start + g.r.Int64N(span)
	return [2]int64{at, at + int64(share(g.r, 0.02, 0.12)*float64(span))}
}

// rests gives the line n pauses in place of those it has.
func (g *gateway) rests(n int) {
	g.pauses = nil
	for range n {
		g.pauses = append(g.pauses, g.pause())
	}
}

// drawCalls draws whom the gateway calls, for whom, and how that goes.
func (g *gateway) drawCalls() {
	r := g.r
	g.targets = newTargets(r)
	g.stranger = gatewayCallers(r)
	g.hangs = share(r, 0.3, 0.85)
	g.early = pick(r, 1, 1, 0, share(r, 0, 1))
	lo := between(r, 2500*time.Millisecond, 5*time.Second)
	g.wait = [2]time.Duration{lo, lo + between(r, 2*time.Second, 7*time.Second)}
	g.full = pick(r, 503, 503, 503, 480, 486, 0)
	g.failures = pick(r, []int{486, 486, 480, 480, 487, 487, 487, 404}, []int{480, 480, 480, 487, 486}, []int{503, 503, 487, 486, 480}, []int{487, 487, 603, 480, 486}, []int{500, 480, 487, 408})
	g.sham = pick(r, 0, 0, 0, 0, 0, share(r, 0.1, 0.6))
	g.rest, g.tired = between(r, 5*time.Second, 3*time.Minute), share(r, 0, 0.6)
	g.outage = between(r, 10*time.Minute, 3*time.Hour)
	g.returns = pick(r, 0, 0, share(r, 0, 0.08))
	g.asserted = r.IntN(5) == 0
	if g.accounts == accountNone && g.full == 486 {
		g.full = 503 // which lets a softswitch try elsewhere
	}
	switch {
	case g.redials:
		g.targets.again, g.targets.list = share(r, 0.45, 0.85), 2+r.IntN(8)
		g.targets.quota = 10 + r.IntN(50)
	case g.human:
		g.targets.again, g.targets.list = share(r, 0.15, 0.5), 5+r.IntN(40)
		g.returns = share(r, 0.08, 0.35)
		g.tired, g.rest = share(r, 0.5, 1), between(r, time.Minute, 8*time.Minute)
	}
}

// link is how its SIP is carried.
func (g *gateway) link() link {
	switch {
	case g.tls:
		return linkTLS
	case g.tcp:
		return linkTCP
	}
	return linkUDP
}

// drawMedia draws codecs, clocks and ports of voice.
func (g *gateway) drawMedia(n int) {
	r := g.r
	g.codec = pick(r, g729, g729, g729, g729, g729, pcma, pcma, pcmu, g723, gsm, ilbc)
	if g.h323 {
		g.codec = pick(r, g729, g723, pcma)
	}
	if g.modems && r.IntN(2) == 0 {
		g.codec = pick(r, pcma, gsm, pcmu)
	}
	if g.other = pick(r, pcma, pcmu, g729); !g.h323 && r.IntN(5) == 0 {
		g.mixed = share(r, 0.05, 0.5)
	}
	g.rtcp = r.IntN(5) < 2
	if r.IntN(4) == 0 && !g.h323 {
		g.vary = &variety{event: pick(r, uint8(0), 96, 98, 127), noise: pick(r, uint8(0), 0, 13), muxed: r.IntN(4) == 0}
	}
	g.dtx = pick(r, 0, 0, 0, share(r, 0, 1), 1)
	g.still = [2]float64{pick(r, 0, 0, share(r, 0.2, 0.5)), share(r, 0.2, 0.55)}
	g.ppm = []float64{g.node.ppm}
	if g.modems {
		for range n {
			ppm := drawPPM(r)
			g.s.crystals[ppm] = true
			g.ppm = append(g.ppm, ppm)
		}
	}
	g.fixed = r.IntN(4) == 0
}

// controller puts the softswitch somewhere: abroad mostly, else on a rented
// server in the country. Its media may come from elsewhere.
func (g *gateway) controller() {
	r := g.r
	role := "registrar"
	if g.accounts == accountNone {
		role = "trunk-peer"
	}
	g.ctrl = g.shared
	if g.ctrl == nil {
		g.ctrl = g.s.gatewaySwitch(r, r.IntN(10) < 7, g.codec)
	}
	if g.line == nil || g.shared == nil || len(g.l.truth.Controllers) == 0 {
		g.l.controls(g.ctrl.node, role)
	}
	for _, m := range g.ctrl.relays {
		g.l.controls(m.node, "media")
	}
	if len(g.ctrl.relays) == 0 && r.IntN(3) == 0 {
		host := g.s.host("media relay", g.ctrl.node.abroad != (r.IntN(5) == 0))
		g.media = newMediaHost(host, r)
		g.media.random = true
		g.l.controls(host, "media")
	}
	if g.h323 {
		names := r.IntN(3) == 0
		g.ctrl.codecs = []*codec{g.codec, pick(r, pcma, pcmu)}
		g.ctrl.h323 = &peer323{gateway: true, product: pick(r, "Softswitch", "MVTS", "GnuGk", "Oasis"), version: pick(r, "2.1.8.05", "4.4.0", "3.2"), h225: byte(2 + r.IntN(4)), fast: r.IntN(4) > 0, names: names}
	}
}

func (s *sim) gatewaySwitch(r *rand.Rand, abroad bool, k *codec) *agent {
	host := s.host("softswitch", abroad)
	a := s.newAgent(host, softswitchStack(r), pick(r, uint16(5060), 5060, 5060, 62019, 62029, 62039, 15060, 6060, 5080, uint16(1024+r.IntN(60000))), "", "")
	a.user = fmt.Sprint(5000 + r.IntN(4000))
	a.domain = a.host()
	a.media.random = true
	a.codecs = []*codec{k}
	for _, other := range []*codec{g729, pcma, pcmu} {
		if other != k && r.IntN(3) > 0 {
			a.codecs = append(a.codecs, other)
		}
	}
	s.handsOff(a, r)
	return a
}

// plug gives the gateway its agents and keeps them known to the softswitch.
func (g *gateway) plug() {
	r, n := g.r, len(g.channels)
	g.port = uint16(5060 + pick(r, 0, 0, 0, 20, 2*r.IntN(500), r.IntN(50000)))
	g.mapped = g.accounts == accountNone || r.IntN(3) == 0
	g.period = time.Duration(pick(r, 20, 30, 55, 60, 60, 60, 90, 120, 180, 300, 900, 1800)) * time.Second
	g.d.expires = int(g.period.Seconds() * pick(r, 1, 1, 1.2, 2))
	seats := map[accountScheme]int{accountEach: n, accountOne: 1, accountGroups: min(n, 2+r.IntN(7)), accountNone: 1}[g.accounts]
	for i, user := range g.userNames(seats) {
		a := g.seat(user, i)
		g.agents = append(g.agents, a)
	}
	for i := range g.channels {
		g.channels[i].account = g.agents[i%seats]
	}
	every := r.IntN(2) == 0
	if g.accounts != accountNone && !g.h323 {
		step := pick(r, between(r, 20*time.Millisecond, 400*time.Millisecond), g.period/time.Duration(seats))
		from := between(r, 0, min(g.period, time.Minute))
		for i := range g.agents {
			g.enrol(i, g.s.start+int64(from)+int64(i)*int64(step), every)
		}
	}
	if g.h323 {
		a := g.agents[0]
		a.h323 = &peer323{gateway: true, product: pick(r, "Gateway", "GoIP", "VoIP GW", "OpenH323"), version: pick(r, "1.01", "2.4", "1.18.0"), h225: byte(2 + r.IntN(4)), fast: r.IntN(5) > 0}
		if r.IntN(3) > 0 {
			g.s.register323(g.s.start+int64(between(r, time.Second, 40*time.Second)), a, g.ctrl, []string{"gw" + fmt.Sprint(100+r.IntN(900)), fmt.Sprint(700 + r.IntN(100))}, pick(r, 60*time.Second, 120*time.Second, 5*time.Minute))
		}
		return
	}
	if g.tcp && !g.tls && r.IntN(3) > 0 {
		g.breathe(between(r, 25*time.Second, 110*time.Second))
	}
	if g.walks || g.moves {
		return
	}
	life := between(r, 15*time.Second, 90*time.Second)
	switch r.IntN(3) {
	case 0:
		g.s.options(g.s.start+int64(between(r, 0, life)), g.ctrl, g.agents[0], life)
	case 1:
		g.s.options(g.s.start+int64(between(r, 0, life)), g.agents[0], g.ctrl, life)
	}
}

// breathe keeps the connections open by empty lines (RFC 5626 section 3.5.1).
func (g *gateway) breathe(period time.Duration) {
	for i := range g.agents {
		g.s.every(g.s.start+int64(time.Minute)+g.r.Int64N(int64(period)), func() time.Duration { return period }, func() bool {
			c := g.agents[i].conns[g.ctrl]
			if c == nil || !c.open {
				return true // nothing was said yet
			}
			t := c.send(g.s.now, 0, []byte("\r\n\r\n"))
			c.send(t+g.ctrl.think(), 1, []byte("\r\n"))
			return true
		})
	}
}

// userNames draws the accounts: in a row, by chance, or numbers of somebody.
func (g *gateway) userNames(n int) []string {
	r := g.r
	if g.accounts == accountNone {
		return []string{pick(r, "gw", "trunk", "goip", "", "sip")}
	}
	list := make([]string, n)
	first := pick(r, 1, 101, 1001, 2001, 8001, 60001, r.IntN(90000), 100000+r.IntN(800000))
	prefix := pick(r, "", "", "", "", "gw", "g", "ch", "u")
	chance := r.IntN(4) == 0
	for i := range list {
		list[i] = prefix + fmt.Sprint(first+i)
		if chance {
			list[i] = prefix + fmt.Sprint(100000+r.IntN(900000))
		}
	}
	return list
}

// seat makes an agent on the gateway's socket, or one of its own.
func (g *gateway) seat(user string, i int) *agent {
	r := g.r
	a := g.s.newAgent(g.node, g.d, g.port, user, g.ctrl.host())
	a.mapped, a.link = g.mapped, g.link()
	a.codecs = []*codec{g.codec, pcma, pcmu}
	if i > 0 {
		a.media = g.agents[0].media
		return a
	}
	g.ctrl.link = g.link()
	m := a.media
	m.lo = pick(r, m.lo, uint16(1024+2*r.IntN(30000)))
	m.n = uint16(max(4, min(len(g.channels)*pick(r, 2, 4, 16, 64), 2000)))
	m.step = pick(r, uint16(2), 2, 2, 4, 10)
	m.random, m.cur = r.IntN(3) == 0, 0
	return a
}

// enrol keeps account i registered wherever it and the controller are, unless
// its channel is away.
func (g *gateway) enrol(i int, t int64, everyTime bool) {
	s := g.s
	var x *registration
	s.every(t, func() time.Duration {
		return g.period + time.Duration(g.agents[i].r.Int64N(int64(60*time.Millisecond)))
	}, func() bool {
		if g.swaps && g.channels[i].downUntil > s.now {
			return true
		}
		a := g.agents[i]
		if x == nil || x.client != a || x.registrar != g.ctrl {
			d := s.newDialog(a, g.ctrl, aor(a.name, a.user, a.domain), aor(a.name, a.user, a.domain), "sip:"+a.domain)
			x = &registration{client: a, registrar: g.ctrl, period: g.period, expires: a.d.expires, everyTime: everyTime, g: d}
		}
		x.refresh(s.now)
		return true
	})
}

// work lets calls come, and channels fail now and then.
func (g *gateway) work() {
	r, s := g.r, g.s
	bursts := g.low || r.IntN(5) == 0
	left := 0
	s.every(s.start+int64(expo(r, min(g.gap, time.Minute), time.Second, 2*time.Minute)), func() time.Duration {
		if bursts { // a handful of calls, and then nothing for long
			if left--; left > 0 {
				return expo(r, g.gap/5, time.Second, g.gap)
			}
			left = 1 + r.IntN(7)
			return expo(r, g.gap*time.Duration(left)*9/10, time.Second, 30*g.gap)
		}
		mean := float64(g.gap) / (1 + g.wave*math.Sin(g.phase+2*math.Pi*float64(s.now-s.start)/float64(s.end-s.start)))
		return expo(r, time.Duration(mean), 80*time.Millisecond, 10*g.gap)
	}, func() bool {
		if g.paused() {
			return true
		}
		if r.Float64() < g.returns {
			g.inwards()
			return true
		}
		g.attempt()
		return true
	})
	if g.swaps {
		return
	}
	s.arrivals(r, s.start, max(g.outage/time.Duration(len(g.channels)), time.Minute), func() {
		g.channels[r.IntN(len(g.channels))].downUntil = s.now + int64(expo(r, 2*time.Minute, 20*time.Second, 20*time.Minute))
	})
}

func (g *gateway) paused() bool {
	for _, p := range g.pauses {
		if p[0] <= g.s.now && g.s.now < p[1] {
			return true
		}
	}
	return false
}

// attempt is one call for the gateway.
func (g *gateway) attempt() {
	r := g.r
	c := g.draft(g.ctrl, g.agents[r.IntN(len(g.agents))])
	c.called, c.calling = g.targets.next(), g.stranger()
	c.toContact = g.accounts != accountNone
	if c.calling == "account" {
		c.calling = c.to.user
	}
	if c.calling == "anonymous" {
		c.name, c.fromDomain = "Anonymous", pick(r, "anonymous.invalid", "")
	}
	if g.asserted {
		c.extra = []field{{pick(r, "P-Asserted-Identity", "Remote-Party-ID"), "<sip:" + c.calling + "@" + g.ctrl.host() + ">"}}
	}
	i := g.free()
	if i < 0 {
		if c.status, c.delay, c.ring = g.full, between(r, 10*time.Millisecond, 300*time.Millisecond), 0; g.full != 0 {
			c.early = false
			g.s.perform(c)
		}
		return
	}
	ch := &g.channels[i]
	c.to = ch.account
	ch.busy = true
	g.voice(c, i, 1)
	c.over = func() {
		ch.busy = false
		switch {
		case g.steady > 0:
			ch.downUntil = g.s.now + int64(g.steady)
			if r.Float64() < 0.8 { // somebody waits
				g.s.at(ch.downUntil+int64(between(r, 0, g.steady/12)), func() {
					if !g.paused() {
						g.attempt()
					}
				})
			}
		case r.Float64() < g.tired:
			ch.downUntil = g.s.now + int64(expo(r, g.rest, 2*time.Second, 6*g.rest))
		}
	}
	g.s.perform(c)
}

// draft draws the course of a call.
func (g *gateway) draft(from, to *agent) *call {
	r := g.r
	c := &call{
		from: from, to: to, codec: g.codec, byCaller: chance(r, g.hangs), rtcp: g.rtcp, variety: g.vary,
		early: r.Float64() < g.early, delay: between(r, g.wait[0], g.wait[1]), ring: between(r, 3*time.Second, 22*time.Second),
		status: 200, talk: expo(r, g.talk, 3*time.Second, 6*g.talk),
	}
	if r.Float64() < g.mixed {
		c.codec = g.other
	}
	if r.Float64() >= g.asr {
		c.status = pick(r, g.failures...)
		if c.status != 487 && r.IntN(2) == 0 {
			c.ring = 0
		}
		if r.Float64() < g.sham { // an answer is made up, and paid
			c.status, c.talk = 200, between(r, 2*time.Second, 25*time.Second)
		}
	}
	return c
}

// voice gives the call the media of channel i on the gateway's side.
func (g *gateway) voice(c *call, i, side int) {
	r := g.r
	far := 1 - side
	c.channel = i + 1
	c.media[far], c.relayed[far], c.ppm[far] = g.media, true, drawPPM(r)
	if len(g.ppm) > 1 {
		c.relayed[side], c.ppm[side] = true, g.ppm[1+i]
	}
	m := g.agents[0].media
	if g.fixed && i < int(m.n) {
		c.ports[side] = m.lo + m.step*uint16(i)
	}
	if r.Float64() < g.dtx {
		c.silence[side], c.silence[far] = g.still[1], g.still[0]
	}
}

// inwards is a call that somebody makes to a card, passed on to the controller.
func (g *gateway) inwards() {
	i := g.free()
	if i < 0 {
		return
	}
	ch := &g.channels[i]
	c := g.draft(ch.account, g.ctrl)
	c.called, c.calling = pick(g.r, ch.card.MSISDN, g.ctrl.user), g.targets.known()
	c.delay = between(g.r, 300*time.Millisecond, 3*time.Second)
	c.fromDomain, c.toDomain = g.ctrl.host(), g.ctrl.host()
	g.voice(c, i, 0)
	ch.busy = true
	c.over = func() { ch.busy = false }
	g.s.perform(c)
}

// gatewayFarm puts several gateways on one line.
func gatewayFarm(s *sim) {
	r := s.rng("farm")
	n := 2 + r.IntN(4)
	p := gatewayPlan{name: "farm", span: time.Hour, least: 2, most: 64, seconds: magnitude(r, 3000, 14000) / float64(n), accounts: pick(r, accountEach, accountAny, accountOne)}
	if one := gatewayStack(r); r.IntN(3) > 0 { // one make
		p.stack = func(*rand.Rand) *dialect { d := *one; return &d }
	}
	if r.IntN(4) > 0 {
		p.shared = s.gatewaySwitch(r, r.IntN(10) < 7, pick(r, g729, g729, pcma))
	}
	for range n {
		p.line = s.gateway(p).l
	}
}

// thinLines spreads the channels of a ring over many accesses, all at one
// softswitch.
func thinLines(s *sim) {
	r := s.rng("ring")
	n := 8 + r.IntN(13)
	k := pick(r, g729, g729, pcma, pcmu)
	ctrl := s.gatewaySwitch(r, r.IntN(10) < 7, k)
	p := gatewayPlan{name: "thin", span: 2 * time.Hour, most: 2, shared: ctrl, few: min(share(r, 24, 45), 480/float64(n)), accounts: pick(r, accountEach, accountOne)}
	one := gatewayStack(r)
	if r.IntN(2) == 0 { // one lot
		p.stack = func(*rand.Rand) *dialect { d := *one; return &d }
	}
	for range n {
		q := p
		if r.IntN(3) == 0 {
			q.beside = besideHousehold
		}
		s.gateway(q)
	}
}
