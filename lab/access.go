package lab

import (
	"math"
	"math/rand/v2"
	"time"
)

// What a line of a drawn scenario is connected by.
const (
	fibre = iota
	dsl
	cable
	wireless // fixed access over LTE or 5G
	ethernet
)

var accessNames = [...]string{"fibre", "DSL", "cable", "fixed wireless", "Ethernet"}

// accessShares are the shares of the kinds above among lines of a class.
// Engineering estimates, with the rarer kinds taken more often than they are so
// that they are met: most lines are fibre, offices have Ethernet handed to them,
// carriers little else, and who wants to move a device takes wireless.
func accessShares(class string) [5]float64 {
	switch class {
	case ClassCarrier:
		return [5]float64{0.12, 0, 0, 0, 0.88}
	case ClassBreakout:
		return [5]float64{0.42, 0.08, 0.05, 0.05, 0.40}
	case ClassOffice, ClassAnchoredPBX, ClassHostedPBX, ClassCallCentre, ClassVPN, ClassHackedPBX:
		return [5]float64{0.50, 0.10, 0.08, 0.07, 0.25}
	case ClassCamera, ClassM2M:
		return [5]float64{0.45, 0.10, 0.05, 0.30, 0.10}
	case ClassGateway, ClassTwoSlot, ClassBank, ClassMessageBox, ClassOrigination:
		return [5]float64{0.52, 0.12, 0.10, 0.18, 0.08}
	}
	return [5]float64{0.62, 0.10, 0.12, 0.12, 0.04}
}

func drawAccess(r *rand.Rand, class string) int {
	u := r.Float64()
	for kind, w := range accessShares(class) {
		if u -= w; u < 0 {
			return kind
		}
	}
	return fibre
}

// premises are what a line of a wide scenario has besides.
type premises struct {
	phys   *rand.Rand
	up     *uplink
	mapper *nat
	used   map[natKey]int64 // when the mapping last let something out
	held   map[natKey]bool  // mappings that somebody keeps open, or does not
	lots   map[string]lotOf
	hops   int     // routers between the line and the tap
	late   float64 // share of packets that another overtakes
	twice  float64 // share that come twice
}

// uplink is the way from a line's modem to the tap: packets queue for the
// line's rate and then wait for the moments at which the access lets it send.
type uplink struct {
	line   *line
	kind   int
	cycle  int64 // between grants; 0 when it may send at any time
	phase  int64
	early  int64  // before a grant the packet must be there
	grant  int64  // from the grant until the packet passes
	roams  uint64 // how far grants move about in their cycle as other lines get theirs
	spread int64  // where in the grant it is sent
	again  float64
	retry  int64 // what a repetition on the radio takes

	byteTime float64 // ns a byte
	buffer   int64   // ns of waiting, beyond which packets are dropped
	work     int64   // ns of sending that wait at last
	last     int64
	sized    bool

	drops fade // what is lost
	stall fade // when nothing gets through and everything waits
}

// soon is how far ahead of time a packet may be planned and still take its
// place in the queue: what is planned further ahead would hold up what is sent
// in between.
const soon = int64(100 * time.Millisecond)

// newUplink draws an access. The delays it adds are on top of l.owd and l.jit.
func newUplink(l *line, r *rand.Rand) *uplink {
	u := &uplink{line: l, kind: drawAccess(r, l.truth.Class)}
	ms := float64(time.Millisecond)
	logged := func(lo, hi float64) float64 { return math.Exp(share(r, math.Log(lo), math.Log(hi))) }
	var megabits float64
	buffer := logged(20, 300)
	switch u.kind {
	case fibre: // PON: allocations every few frames of 125 µs
		u.cycle = 125_000 * int64(1+r.IntN(6))
		u.grant, u.roams = 40_000, uint64(share(r, 0.2, 1)*float64(u.cycle))
		megabits = logged(10, 500)
		l.owd, l.jit = int64(logged(0.3, 4)*ms), int64(logged(0.01, 0.15)*ms)
		l.loss = pick(r, 0, 0, 1e-5, 1e-4)
	case dsl: // symbols of 250 µs, behind an interleaver or repeats
		u.cycle, u.grant = 250_000, 250_000
		megabits = pick(r, logged(0.5, 1.5), logged(3, 40))
		l.owd, l.jit = int64((2+pick(r, 0.0, 2, 4, 8, 16)+2*r.Float64())*ms), int64(logged(0.03, 0.3)*ms)
		l.loss = logged(1e-5, 2e-3)
	case cable: // DOCSIS: a request in one map, the grant in the next
		u.cycle = int64(share(r, 2, 6) * ms)
		u.early, u.grant = u.cycle/2, u.cycle/2+int64(share(r, 0.5, 2)*ms)
		u.spread = int64(share(r, 0.1, 1) * ms)
		u.roams = uint64(share(r, 0, 0.8) * float64(u.cycle))
		megabits = logged(2, 50)
		l.owd, l.jit = int64(logged(1, 6)*ms), int64(logged(0.05, 0.4)*ms)
		l.loss = logged(1e-5, 1e-3)
	case wireless: // scheduling requests, grants, and repeats of 8 ms
		u.cycle = int64(pick(r, 5.0, 5, 10, 10, 20) * ms)
		u.grant = int64(share(r, 3, 8) * ms)
		u.spread = int64(share(r, 0, 1) * ms)
		u.again, u.retry = share(r, 0.03, 0.2), int64(pick(r, 4.0, 8, 8)*ms)
		megabits = logged(2, 60)
		l.owd, l.jit = int64(share(r, 5, 20)*ms), int64(logged(0.3, 4)*ms)
		l.loss = logged(1e-5, 3e-3)
		u.stall = newFade(r, logged(15, 600), share(r, 0.03, 0.2), 1)
	default:
		megabits = logged(10, 1000)
		l.owd, l.jit = int64(logged(0.2, 5)*ms), int64(logged(0.005, 0.08)*ms)
		l.loss = pick(r, 0, 0, 0, 1e-5, 2e-4)
	}
	if u.cycle > 0 {
		u.phase = l.s.start + r.Int64N(u.cycle)
	}
	u.byteTime = 8000 / megabits
	u.buffer = int64(buffer * ms)
	// Losses come in bursts: impulse noise, a short interruption, a full queue
	// further up. Where they come is an estimate: most lines have hardly any.
	if u.kind != ethernet && r.IntN(3) == 0 || r.IntN(8) == 0 {
		u.drops = newFade(r, logged(20, 2000), logged(0.02, 0.5), share(r, 0.2, 1))
	}
	return u
}

// perByte gives the ns a byte takes. The line is fast enough for the calls it is
// for, as whoever ordered it would see to: one of G.711 takes 0.1 Mbit/s. How
// many those are is known once traffic begins.
func (u *uplink) perByte() float64 {
	if !u.sized {
		u.sized = true
		need := 0.15 + 0.16*float64(min(u.line.truth.Channels, 2000))
		u.byteTime = min(u.byteTime, 8000/need)
	}
	return u.byteTime
}

// pass gives the time at which a packet of n bytes that reaches the modem at t
// has been sent; false when the queue had no room for it.
func (u *uplink) pass(s *sim, t int64, n int) (int64, bool) {
	took := int64(u.perByte() * float64(n+46))
	ok := true
	if t < s.now+soon {
		if t > u.last {
			u.work = max(0, u.work-(t-u.last))
			u.last = t
		}
		if u.work > u.buffer {
			u.work, ok = u.buffer, false
		}
		u.work += took
		t += u.work
		if u.stall.gap > 0 && u.stall.covers(t) {
			t = u.stall.to // what waited comes at once
		}
	} else {
		t += took
	}
	if u.cycle == 0 {
		return t, ok
	}
	t = u.granted(t+u.early) + u.grant
	if u.spread > 0 {
		t += int64(s.noise.Uint64() >> 32 * uint64(u.spread) >> 32)
	}
	for u.again > 0 && s.noise.Float64() < u.again {
		t += u.retry
	}
	return t, ok
}

// granted gives the first grant that is not before t.
func (u *uplink) granted(t int64) int64 {
	g := ceilTo(t, u.phase, u.cycle)
	if u.roams == 0 {
		return g
	}
	moved := func(g int64) int64 { return g + int64(uint64(g)*0x9e3779b97f4a7c15>>32*u.roams>>32) }
	if before := moved(g - u.cycle); before >= t {
		return before
	}
	return moved(g)
}

// usual is what the access adds at most when nothing else is sent.
func (u *uplink) usual() int64 {
	return u.cycle + int64(u.roams) + u.early + u.grant + u.spread + 2*u.retry + int64(u.byteTime*1500)
}

// fade is a state that comes and goes, as in Gilbert's channel.
type fade struct {
	r         *rand.Rand
	gap, long float64 // s, means; a gap of 0 is none
	depth     float64 // share of packets that it takes
	from, to  int64   // the present or next one
}

func newFade(r *rand.Rand, gap, long, depth float64) fade {
	return fade{r: rand.New(rand.NewPCG(r.Uint64(), 0)), gap: gap, long: long, depth: depth}
}

// covers says whether t lies in a bad time. It looks ahead only: what lies
// before the present one was good.
func (f *fade) covers(t int64) bool {
	if f.to == 0 {
		f.to = t
		f.next()
	}
	for t >= f.to {
		f.next()
	}
	return t >= f.from
}

func (f *fade) next() {
	f.from = f.to + int64(f.r.ExpFloat64()*f.gap*1e9)
	f.to = f.from + 1 + int64(f.r.ExpFloat64()*f.long*1e9)
}

// takes says whether a packet at t is lost in it.
func (f *fade) takes(t int64) bool { return f.gap > 0 && f.covers(t) && f.r.Float64() < f.depth }

// path is the way from a host beyond the tap, and its changes.
type path struct {
	start  int64
	steps  []step
	wander float64 // ns, slow change of the queues' floor
	turn   float64 // radians per ns
	at     float64
	drops  fade
	late   float64 // share of packets that another overtakes
	twice  float64 // share that come twice
}

// step is a change of route.
type step struct {
	at    int64
	shift int64
}

// newPath draws the way from a host. Routes of a far country change now and
// then within a day, others hardly.
func newPath(s *sim, n *node, r *rand.Rand) *path {
	hours := float64(s.end-s.start) / float64(time.Hour)
	rate := 0.03 * hours
	p := &path{start: s.start, wander: r.Float64() * 60e3, at: r.Float64() * 2 * math.Pi}
	p.turn = 2 * math.Pi / share(r, 1200e9, 20000e9)
	if n.abroad {
		rate *= 6
		p.wander *= 3
	}
	for range 3 {
		if r.Float64() < rate/3 {
			shift := int64(share(r, -0.2, 0.35) * float64(n.owd))
			p.steps = append(p.steps, step{s.start + r.Int64N(s.end-s.start+1), shift})
		}
	}
	if r.IntN(4) == 0 {
		p.drops = newFade(r, share(r, 30, 900), share(r, 0.02, 0.4), share(r, 0.1, 0.9))
	}
	p.late, p.twice = drawDisorder(r)
	return p
}

// drawDisorder draws how often packets overtake each other or come twice: on
// few ways, and rarely there (estimate).
func drawDisorder(r *rand.Rand) (late, twice float64) {
	if r.IntN(25) == 0 {
		late = math.Exp(share(r, math.Log(5e-5), math.Log(5e-3)))
	}
	if r.IntN(60) == 0 {
		twice = math.Exp(share(r, math.Log(2e-5), math.Log(2e-3)))
	}
	return late, twice
}

// shift gives how much longer than at first the way is at t.
func (p *path) shift(t int64) int64 {
	v := int64(p.wander * (1 + math.Sin(p.at+p.turn*float64(t-p.start))))
	for _, c := range p.steps {
		if t >= c.at {
			v += c.shift
		}
	}
	return v
}

// passes gives the time at which a packet of size bytes that leaves n at t
// passes the tap.
func (s *sim) passes(t int64, n *node, size int) int64 {
	if !s.wide {
		return t + s.delay(n)
	}
	if n.line == nil {
		return t + s.delay(n) + n.path.shift(t)
	}
	t, _ = n.line.up.pass(s, t+n.air(s), size)
	return t + s.delay(n)
}

// air is the time a packet takes over the building's radio, if the device is on
// it: little, and now and then some frames' repeats.
func (n *node) air(s *sim) int64 {
	if n.wifi == 0 {
		return 0
	}
	d := n.wifi * s.noise.ExpFloat64()
	if s.noise.Uint32()&63 == 0 {
		d *= 12
	}
	return int64(d)
}

// connect draws what a line of a drawn scenario is connected by.
func (l *line) connect() {
	// Scenarios of one seed shall not have the same accesses.
	l.phys, l.lots = l.s.rng("access of "+l.truth.Class+", "+l.truth.Device), map[string]lotOf{}
	l.used, l.held = map[natKey]int64{}, map[natKey]bool{}
	r := l.phys
	l.hops = r.IntN(3)
	l.up = newUplink(l, r)
	l.truth.Access = accessNames[l.up.kind]
	l.late, l.twice = drawDisorder(r)
	if l.up.kind == wireless {
		l.late = max(l.late, pick(r, 0, 0, 3e-4))
	}
	l.drawNAT(r)
}

// upload sends a picture or a file over the connection, about as fast as the
// line lets it, so that what else the line sends has to wait. It gives the time
// at which the last of it left.
func (s *sim) upload(c *conn, t int64, l *line, r *rand.Rand) int64 {
	const record = 16000
	// Some senders are slower than the line; others keep its queue full.
	pace := max(l.up.perByte()*share(r, 0.85, 2), 80) * record
	for size := expo(r, 250_000, 30_000, 1_200_000); size > 0; size -= record {
		c.send(t, 0, tlsRecord(23, s.stuff(r, record)))
		t += int64(pace)
	}
	return t
}

// wait is what the access of a host may add to a packet's way.
func (n *node) wait() int64 {
	if n.line == nil || n.line.up == nil {
		return 0
	}
	return n.line.up.usual()
}

// settle gives a host beyond the tap of a wide scenario its clock, its way and
// its habits. A host in the country is 3 to 14 routers away, one abroad 8 to 24.
func (s *sim) settle(n *node) {
	r := s.rng("way of " + n.name)
	hard := drawHardware(r, "server", "")
	n.clk, n.ppm = drawClock(r, hard), drawError(r, hard, "")
	s.crystals[n.ppm] = true
	n.path = newPath(s, n, r)
	n.habits(r)
	hops := 3 + r.IntN(12)
	if n.abroad {
		hops = 8 + r.IntN(17)
	}
	n.stack(r, hops)
}
