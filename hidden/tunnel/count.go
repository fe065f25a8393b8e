package tunnel

import (
	"math"
	"math/cmplx"
	"slices"
)

// Kind is what a flow is taken for.
type Kind uint8

// Kinds of flows. All but Calls are a reason why none are counted.
const (
	// Little: fewer packets of the size of voice than half a stream in some
	// direction.
	Little Kind = iota
	// Uneven: they do not come in a packet time of voice, as those of games,
	// downloads, backups and their acknowledgements do not.
	Uneven
	// Sparse: they do, but there is less than one stream.
	Sparse
	// Conference: what comes down are many more streams than go up, or pictures
	// come with them all the time.
	Conference
	// Merged: a TCP connection puts so much into one segment that neither sizes
	// nor moments are those of packets.
	Merged
	// Varied: in step, but of ever other sizes: programs of people, whose codec
	// varies its rate, or games.
	Varied
	// Copied: packets come twice, by a mirror of two ports or one that gives
	// everything twice, so that their number is not known.
	Copied
	// Answers: so many more go up than come down that it is not sound before the
	// answer: a service that sends several packets for one.
	Answers
	// Calls: as many go up as come down, in step.
	Calls
)

func (k Kind) String() string {
	return [...]string{"little", "uneven", "sparse", "conference", "merged", "varied", "copied", "answers", "calls"}[k]
}

// Count says how many calls a flow carried in one window of Window intervals.
type Count struct {
	Start, End int64 // ns since the Unix epoch
	Kind       Kind
	// Mean is how many calls talk both ways at once over the window, Peak the most
	// of any interval in it; Low and High are what the mean may be. All are 0
	// unless Kind is Calls.
	Mean, Peak float64
	Low, High  float64
	// Early is how many streams more go up than come down, of those that began one
	// way alone and not long ago: callees' sound before the answer; negative where
	// more come down.
	Early float64
	// Own says that the subscriber has sent more in this flow than it was sent, at
	// some time so far: what answers whoever asks never does.
	Own bool
	// Whole says that silence is sent both ways, so that Early is of what was
	// counted and not of what pauses were made up for.
	Whole bool
	// Ptime is the mean time between packets of a stream that goes up, ms, and
	// Active the share of time in which one is sent, 1 where silence is sent too.
	Ptime, Active float64
	// Clarity is how far the packets keep to a packet time, up and down: the
	// power of the strongest of them over that of packets at random, which is 1.
	// Streams without jitter have Length over the packet time; those of one
	// chassis, sent together, more.
	Clarity [2]float64
	// Even is the share of packets of the size of voice, up, that have one of
	// the three commonest sizes.
	Even float64
}

// Window is how many intervals make a Count.
const Window = 8

const (
	clear     = 8.0  // Clarity that shows a packet time
	random    = 1.2  // and that packets at random, or voice after much jitter, have at least
	uniform   = 0.7  // Even of the codecs of telephones
	steady    = 0.88 // Active above which nothing is made of what is missing
	gapless   = 0.97 // and above which silence is sent, or nothing lost
	lag       = 5    // quarters of an interval between what is compared for Active, and twice that
	forget    = 0.85 // of what earlier windows told, a window
	pictures  = 0.25 // share of large packets up, of all, in most intervals
	merged    = 0.4  // share of bytes in large segments
	wholeDown = 2.2  // streams down for one up in a conference
	wholeUp   = 1.8  // streams up for one down of a service that answers with several
)

// ptimes are the packet times looked for, ms; each divides Phases.
var ptimes = [...]int{10, 20, 30, 40, 60}

// Counter counts the calls of one flow. It holds some kilobytes, however long
// the flow lasts. The zero value is ready.
type Counter struct {
	window []Interval
	ways   [2]memory
	last   int64 // start of the interval before, 0 none
	gap    bool  // some are missing in the window or before it
	rings  ringing
	own    own
}

// memory is what one direction has told so far, fading.
type memory struct {
	power   [len(ptimes)]float64 // of the phases, at each packet time
	packets float64              // of the size of voice
	sizes   [Bins]float64        // of these, by size
	moves   [2]float64           // half the mean square of changes over lag and twice lag, in packets², times seen
	seen    float64
	level   float64 // packets a quarter of an interval, times seen
	quarter []float64
}

// Add takes the next interval of the flow, and gives a Count when a window is
// full; ok is false until then. Intervals of a flow may lack some between.
func (c *Counter) Add(iv *Interval) (out Count, ok bool) {
	if c.last != 0 && iv.Start != c.last+int64(Length) {
		for i := range c.ways {
			c.ways[i].quarter = c.ways[i].quarter[:0]
		}
		c.gap = true
	}
	c.own.add(iv)
	c.last = iv.Start
	c.ways[0].add(&iv.Up)
	c.ways[1].add(&iv.Down)
	if c.window = append(c.window, *iv); len(c.window) < Window {
		return Count{}, false
	}
	out = c.count()
	if c.gap {
		c.rings = ringing{}
	}
	c.window, c.gap = c.window[:0], false
	for i := range c.ways {
		c.ways[i].fade()
	}
	return out, true
}

// add takes an interval into what a direction tells. Amount and phase of each
// packet time come from the same counters.
func (m *memory) add(w *Way) {
	for i, p := range ptimes {
		var s complex128
		for k, n := range w.Phase {
			if n > 0 {
				s += complex(float64(n), 0) * cmplx.Rect(1, 2*math.Pi*float64(k%p)/float64(p))
			}
		}
		m.power[i] += real(s)*real(s) + imag(s)*imag(s)
	}
	for i, n := range w.Sizes {
		if i >= least/BinBytes {
			m.sizes[i] += float64(n)
		}
	}
	var q [4]float64
	for i, n := range w.SlotCount {
		q[i*4/Slots] += float64(n)
	}
	for _, v := range q {
		m.packets += v
		if n := len(m.quarter); n == 2*lag {
			for i := range m.moves {
				d := v - m.quarter[n-(i+1)*lag]
				m.moves[i] += d * d / 2
			}
			m.level += v
			m.seen++
			copy(m.quarter, m.quarter[1:])
			m.quarter = m.quarter[:n-1]
		}
		m.quarter = append(m.quarter, v)
	}
}

func (m *memory) fade() {
	for i := range m.power {
		m.power[i] *= forget
	}
	for i := range m.sizes {
		m.sizes[i] *= forget
	}
	for _, f := range [...]*float64{&m.packets, &m.moves[0], &m.moves[1], &m.seen, &m.level} {
		*f *= forget
	}
}

// clarity gives the power at each packet time over that of packets at random.
func (m *memory) clarity() (p [len(ptimes)]float64, most float64) {
	if m.packets < 1 {
		return p, 0
	}
	for i := range p {
		p[i] = m.power[i] / m.packets
		most = max(most, p[i])
	}
	return p, most
}

// oneSize says whether nearly all packets of the size of voice have one size.
func (m *memory) oneSize() bool {
	sum := 0.0
	for _, n := range m.sizes {
		sum += n
	}
	return slices.Max(m.sizes[:]) > 0.9*sum
}

// ptime gives the mean packet time of streams, ms, weighted by packets. A stream
// of packet time p has power at every packet time that divides p, and jitter
// takes the more of it the shorter that is: by exp(-k/m²) at m for jitter of a
// normal distribution. Peeled from the longest on, what is left at each is the
// streams' of that packet time.
func (m *memory) ptime() float64 {
	p, most := m.clarity()
	if most < clear {
		return 0
	}
	const ten, twenty, thirty, forty, sixty = 0, 1, 2, 3, 4
	if m.oneSize() {
		// One codec packed one way: the longest that is clear. A timer that sends
		// packets by twos shows at twice their time, but weakly.
		for i := sixty; i > ten; i-- {
			for k := range i {
				if ptimes[i]%ptimes[k] == 0 && p[i] < 0.25*p[k] || p[i] < clear/2 {
					break
				}
				if k == i-1 {
					return float64(ptimes[i])
				}
			}
		}
	}
	k := 0.0
	switch longest := max(p[twenty], p[forty]); {
	case p[thirty] > longest && p[ten] > 0:
		k = math.Log(p[thirty]/p[ten]) / (1./100 - 1./900)
	case longest > 0.2*p[ten] && p[ten] > 0:
		k = math.Log(max(p[twenty], 1)/p[ten]) / (1./100 - 1./400)
	}
	k = max(0, min(k, 900))
	var x [len(ptimes)]float64
	for i, ms := range ptimes {
		// What packets at random have of each is not theirs.
		x[i] = max(0, p[i]-1.5) * math.Exp(k/float64(ms*ms))
	}
	x[thirty] -= x[sixty]
	x[twenty] -= x[sixty] + x[forty]
	x[ten] -= x[sixty] + x[forty] + max(0, x[thirty]) + max(0, x[twenty])
	if x[twenty] > 0 || x[thirty] > 0 || x[forty] > 0 || x[sixty] > 0 { // jitter is not known well enough to tell shorter ones beside them
		x[ten] = 0
	}
	// A stream's share of the packets goes with its power times its packet time.
	sum, mean := 0.0, 0.0
	for i, ms := range ptimes {
		share := max(0, x[i]) * float64(ms)
		sum += share
		mean += share * float64(ms)
	}
	if sum == 0 {
		return 0
	}
	return mean / sum
}

// active gives the share of time in which a stream of so many packets a quarter
// of an interval is sent. Streams that pause come and go: n of them, each sent a
// share a of the time and by itself, give n·a on average with a variance of
// n·a·(1-a). Calls that begin and end add to the changes in proportion to the
// time between what is compared, pauses no more than their variance: what the
// changes over no time would be, by those over lag and twice lag, is the pauses'.
func (m *memory) active(each float64) float64 {
	if m.seen < 8 || m.level == 0 || each == 0 {
		return 1
	}
	const seen = 0.68 // of the variance, where pauses last for a second or two
	a := 1 - (2*m.moves[0]-m.moves[1])/(each*m.level*seen)
	return max(0.3, min(1, a))
}

// rate gives the packets of the size of voice a second. Where much else is in
// the tunnel it is the middle half of the slots that counts: voice is in all of
// them, what else there is comes in bursts.
func (w *Way) rate() float64 {
	sum := 0
	for _, n := range w.SlotCount {
		sum += int(n)
	}
	if 10*int(w.Large) < int(w.Packets) {
		return float64(sum) / Length.Seconds()
	}
	slots := w.SlotCount
	slices.Sort(slots[:])
	sum = 0
	for _, n := range slots[Slots/4 : Slots*3/4] {
		sum += int(n)
	}
	return float64(sum) / (float64(Slots) / 2 * Slot.Seconds())
}

// even gives the share of packets of the size of voice that have one of the
// three commonest sizes.
func (c *Counter) even() float64 {
	var sizes [Bins]int
	all := 0
	for i := range c.window {
		for k, n := range c.window[i].Up.Sizes {
			if k >= least/BinBytes {
				sizes[k] += int(n)
				all += int(n)
			}
		}
	}
	if all == 0 {
		return 0
	}
	slices.Sort(sizes[:])
	return float64(sizes[Bins-1]+sizes[Bins-2]+sizes[Bins-3]) / float64(all)
}

// talking gives the direction that tells how many calls talk. Sound before the
// answer goes one way, so the lesser counts, but a direction without pauses is
// believed before one that what is missing was made up for.
func talking(n, active [2]float64) int {
	less := 0
	if n[1] < n[0] {
		less = 1
	}
	more := 1 - less
	if active[less] < 1 && active[more] == 1 && n[more] < 1.5*n[less] {
		return more
	}
	return less
}

func (c *Counter) count() Count {
	out := Count{Own: c.own.shown, Start: c.window[0].Start, End: c.window[Window-1].Start + int64(Length), Even: c.even()}
	var rates [2][Window]float64
	var mean [2]float64
	illustrated, large, bytes := 0, 0.0, 0.0
	stream := false
	for i := range c.window {
		iv := &c.window[i]
		for k, w := range [2]*Way{&iv.Up, &iv.Down} {
			rates[k][i] = w.rate()
			mean[k] += rates[k][i] / Window
			large += float64(w.Large)
			bytes += float64(w.Packets)
		}
		if float64(iv.Up.Large) > pictures*float64(iv.Up.Packets) && float64(iv.Down.Large) > pictures*float64(iv.Down.Packets) {
			illustrated++
		}
		stream = stream || iv.Stream
	}
	var ptime, active [2]float64
	for k := range c.ways {
		_, out.Clarity[k] = c.ways[k].clarity()
		ptime[k] = c.ways[k].ptime()
		active[k] = c.ways[k].active(600 / max(ptime[k], 1))
	}
	switch {
	case stream && large > merged*bytes:
		out.Kind = Merged
		return out
	case mean[0] < 8 || mean[1] < 4:
		return out
	case ptime[0] == 0 && ptime[1] == 0, min(out.Clarity[0], out.Clarity[1]) < random:
		out.Kind = Uneven
		return out
	case ptime[0] == 10 && (ptime[1] != 10 || out.Even < 0.9): // an overtone of games
		out.Kind = Uneven
		return out
	case out.Even < uniform:
		out.Kind = Varied
		return out
	case c.copied():
		out.Kind = Copied
		return out
	}
	out.Whole = !stream && !c.gap && min(active[0], active[1]) >= gapless
	// An access may take all jitter's measure away in one direction.
	for k := range ptime {
		if ptime[k] == 0 {
			ptime[k] = ptime[1-k]
			active[k] = c.ways[k].active(600 / ptime[k])
		}
	}
	var n [2]float64
	for k := range n {
		n[k] = mean[k] * ptime[k] / 1000
		if active[k] < steady && !stream {
			n[k] /= active[k]
		} else {
			active[k] = 1
		}
	}
	quarters := c.quarterly(ptime)
	before := c.rings.window(&quarters)
	out.Ptime, out.Active = ptime[0], active[0]
	out.Early = max(-before[1], min(n[0]-n[1], before[0]))
	k := talking(n, active)
	switch {
	case n[1] > wholeDown*n[0] && n[0] < 3, illustrated > Window/2:
		out.Kind = Conference
		return out
	case n[0] > wholeUp*n[1] && n[1] >= 2:
		out.Kind = Answers
		return out
	case n[k] < 0.6:
		out.Kind = Sparse
		return out
	}
	out.Kind, out.Mean = Calls, n[k]
	for _, r := range rates[k] {
		out.Peak = max(out.Peak, r*ptime[k]/1000/active[k])
	}
	doubt := 0.06
	if active[k] < 1 {
		doubt += 0.5 * (1 - active[k])
	}
	if out.Clarity[k] < clear {
		doubt += 0.1
	}
	out.Low, out.High = max(0, out.Mean*(1-doubt)-0.3), out.Mean*(1+doubt)+0.3
	if stream { // packets may have been put together, and pauses cannot be told from that
		out.Low, out.High = out.Low*0.8, out.High*2
	}
	return out
}
