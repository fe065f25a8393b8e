package rtp

import (
	"math"
	"slices"
)

const (
	maxSamples  = 256
	minSpan     = 30e9 // ns, of samples that tell a clock
	minSamples  = 15
	clockBlocks = 5 // parts of the time in which the floor of delay must agree
	// tickPeriod is the period of the timers that hide a sender's own clock.
	tickPeriod = 10e6 // ns
)

// clock estimates a sender's clock rate from raw samples. Delay on the way only
// ever adds, so the truth lies along the lower edge of the points (timestamp,
// arrival): the lower convex hull, never least squares (Moon, Skelly and
// Towsley 1999; Kohno, Broido and claffy 2005). The hull of the raw points is
// the same whatever the rate, so the rate may become known afterwards.
type clock struct {
	points []point // of the current segment, in order of time
	base   Sample  // the segment's first
	last   point
	rawTS  uint32 // timestamp of last
	fold   int32  // samples that make one point, a power of two
	folded int32  // samples in the newest point
	taken  int32  // samples of the segment, one in two seconds
	best   reading
}

// point is a sample relative to the segment's base: timestamp ticks with
// wrap-around undone, and ns.
type point struct{ ticks, ns int64 }

// reading is what a segment told: ns per tick, its uncertainty as a fraction,
// and the segment's length in ns. A span of 0 is no reading.
type reading struct {
	slope, err, span float64
}

// add takes the next sample. rate is the best knowledge of the clock rate, 0
// none. A timestamp more than a second from where it should be begins a new
// segment: a new random offset, or a sender whose timestamps stand still in
// silence. It says whether it is time to measure anew.
func (c *clock) add(s Sample, rate uint32) bool {
	if c.taken > 0 {
		p := point{c.last.ticks + int64(int32(s.Timestamp-c.rawTS)), s.Arrival - c.base.Arrival}
		if p.ns <= c.last.ns {
			return false // not in order of time: no use, no harm
		}
		r := float64(rate)
		if r == 0 && c.last.ns > 0 {
			r = float64(c.last.ticks) / float64(c.last.ns) * 1e9
		}
		if r > 0 {
			off := float64(p.ticks-c.last.ticks)/r*1e9 - float64(p.ns-c.last.ns)
			if math.Abs(off) > 1e9 || p.ticks <= c.last.ticks {
				c.settle()
			}
		}
		if c.taken > 0 {
			c.take(p, s.Timestamp, r)
			return c.taken >= minSamples && c.taken&(c.taken-1) == 0 || c.taken == minSamples
		}
	}
	c.base = s
	c.take(point{}, s.Timestamp, float64(rate))
	return false
}

// take puts p among the points. When there are too many, neighbours are joined
// two by two; of those joined the one of less transit stays, so the edge does.
func (c *clock) take(p point, ts uint32, rate float64) {
	c.last, c.rawTS = p, ts
	c.taken++
	c.fold = max(c.fold, 1)
	if c.folded > 0 && c.folded < c.fold {
		c.folded++
		end := &c.points[len(c.points)-1]
		*end = lower(*end, p, rate)
		return
	}
	if len(c.points) == maxSamples {
		half := c.points[:0]
		for i := 0; i < maxSamples; i += 2 {
			half = append(half, lower(c.points[i], c.points[i+1], rate))
		}
		c.points = half
		c.fold *= 2
	}
	c.points = append(c.points, p)
	c.folded = 1
}

// lower gives the one of less transit; the first when the rate is unknown.
func lower(p, q point, rate float64) point {
	if rate > 0 && float64(q.ns-p.ns)*rate < float64(q.ticks-p.ticks)*1e9 {
		return q
	}
	return p
}

// settle ends the segment, keeping its reading if it is the best so far.
func (c *clock) settle() {
	if r := c.read(); r.span > 0 && (c.best.span == 0 || r.err < c.best.err) {
		c.best = r
	}
	c.points = c.points[:0]
	c.last, c.fold, c.folded, c.taken = point{}, 1, 0, 0
}

// measure sets PPM, PPMError and ClockOK from the samples there are.
func (s *entry) measure() {
	s.PPM, s.PPMError, s.ClockOK = 0, 0, false
	r := s.clock.read()
	if b := s.clock.best; b.span > 0 && (r.span == 0 || b.err < r.err) {
		r = b
	}
	if r.span == 0 {
		return
	}
	told := 1e9 / r.slope // ticks per second of the tap's clock
	rate := s.Rate
	if ppm := (told/float64(rate) - 1) * 1e6; rate == 0 || math.Abs(ppm) > 2000 {
		// Unknown, or told wrongly: no crystal is that far off. The standard
		// rates lie so far apart that the samples name theirs.
		rate = nearestRate(told, 2000)
		s.guess = rate
	}
	if rate == 0 {
		return
	}
	s.PPM = (told/float64(rate) - 1) * 1e6
	s.PPMError = r.err * 1e6
	// A timer that the system disciplines shows no skew of its own, and hides
	// the clock behind it until the two have drifted apart by one period.
	if math.Abs(s.PPM) <= 2+s.PPMError {
		s.PPMError = max(s.PPMError, tickPeriod/r.span*1e6)
	}
	s.ClockOK = true
}

// read measures the current segment.
func (c *clock) read() reading {
	n := len(c.points)
	if n < minSamples || c.last.ns < minSpan {
		return reading{}
	}
	ps := c.points
	first, end := ps[0], ps[n-1]
	span := float64(end.ns - first.ns)
	if end.ticks <= first.ticks {
		return reading{}
	}
	// The hull segment over the mean of the points is the line under all of
	// them that lies nearest to them.
	hull := make([]point, 0, n)
	mean := 0.0
	for _, p := range ps {
		mean += float64(p.ticks) / float64(n)
		for len(hull) > 1 && !turnsLeft(hull[len(hull)-2], hull[len(hull)-1], p) {
			hull = hull[:len(hull)-1]
		}
		hull = append(hull, p)
	}
	i, _ := slices.BinarySearchFunc(hull, mean, func(p point, m float64) int {
		if float64(p.ticks) < m {
			return -1
		}
		return 1
	})
	i = min(max(i, 1), len(hull)-1)
	a, b := hull[i-1], hull[i]
	slope := float64(b.ns-a.ns) / float64(b.ticks-a.ticks)
	if slope <= 0 {
		return reading{}
	}
	// Uncertainty. Where delay has a steady floor, the lowest points of each
	// part of the time lie on the line. How far they lie above it, and the
	// slopes between them, say how far the line may be wrong: noise that seldom
	// reaches the floor, a floor that moved, a timer's saw-tooth.
	type low struct{ at, over, next float64 }
	var lows [clockBlocks]low
	for k := range lows {
		lows[k] = low{0, math.Inf(1), math.Inf(1)}
	}
	for _, p := range ps {
		over := float64(p.ns-a.ns) - float64(slope*float64(p.ticks-a.ticks))
		k := int(float64(p.ns-first.ns) / span * clockBlocks)
		l := &lows[min(k, clockBlocks-1)]
		switch {
		case over < l.over:
			l.next = l.over
			l.over, l.at = over, float64(p.ns)
		case over < l.next:
			l.next = over
		}
	}
	err := 0.0
	for i, l := range lows {
		if math.IsInf(l.over, 1) {
			continue
		}
		if !math.IsInf(l.next, 1) {
			// How far the lowest is from the floor shows in its distance to the
			// second lowest, which for noise of one kind is as large.
			err = max(err, (l.next-l.over)/span)
		}
		for _, m := range lows[i+1:] {
			if !math.IsInf(m.over, 1) && m.at-l.at > span/4 {
				err = max(err, math.Abs(m.over-l.over)/(m.at-l.at))
			}
		}
	}
	// Timestamps of captures are whole microseconds at best, and no path is
	// steadier than a tenth of a ppm over minutes.
	return reading{slope: slope, err: 1.5*err + 1e-7 + 5e3/span, span: span}
}

// turnsLeft says whether the way from a over b to p bends upwards, which keeps b
// on the lower hull.
func turnsLeft(a, b, p point) bool {
	return float64(b.ticks-a.ticks)*float64(p.ns-a.ns) > float64(b.ns-a.ns)*float64(p.ticks-a.ticks)
}
