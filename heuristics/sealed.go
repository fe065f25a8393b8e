package heuristics

import (
	"cmp"
	"math"
	"slices"

	"simtrap/ident"
)

// sealedFlows are the far ends that a line has exchanges with under TLS. One of
// them carries its signalling when its calls end with them, far oftener than
// exchanges at those times by chance would have it.
type sealedFlows struct {
	far map[ident.Addr]*steps
}

// steps are the exchanges with one far end.
type steps struct {
	first, last int64
	covered     int64   // ns within stepNear of an exchange
	times       []int64 // of the latest, in order
	calls       int     // over since the first exchange
	kept        int     // of these, that ended with an exchange
}

const (
	maxSealed = 32
	maxSteps  = 64
	// stepNear is how far, ns, from the end of a call's voice its last exchange may
	// be: whoever hangs up says so as it stops, and the answer takes a round trip.
	stepNear = 300 * second / 1000
	// stepNats is how unlikely, as e to its negative, chance must be as a cause
	// of what is seen at one far end; maxSealed of them are looked at.
	stepNats = 12
)

// Sealed takes an exchange under TLS between the line and a far end: records both
// ways, after a silence.
func (l *Lines) Sealed(line ident.Line, far ident.Addr, t int64) {
	p := l.find(line)
	if p == nil || p.traits == nil || p.traits.talked.calls+len(p.traits.talked.waiting) == 0 || t < p.tenantSince {
		return // it had no such voice so far: nobody's habits are kept without cause
	}
	p.traits.sealed.exchange(far, t)
}

func (s *sealedFlows) exchange(far ident.Addr, t int64) {
	x := s.far[far]
	if x == nil {
		if len(s.far) >= maxSealed {
			s.evict()
		}
		if s.far == nil {
			s.far = make(map[ident.Addr]*steps)
		}
		x = &steps{first: t}
		s.far[far] = x
	}
	x.covered += 2 * stepNear
	if x.last != 0 {
		x.covered -= max(0, 2*stepNear-max(t-x.last, 0))
	}
	x.last = max(x.last, t)
	if len(x.times) >= maxSteps {
		x.times = slices.Delete(x.times, 0, maxSteps/4)
	}
	x.times = append(x.times, t)
}

// evict forgets the far end that the calls keep step with least.
func (s *sealedFlows) evict() {
	var least ident.Addr
	var worst *steps
	for a, x := range s.far {
		if worst == nil || cmp.Or(cmp.Compare(x.kept, worst.kept), cmp.Compare(x.last, worst.last), a.Compare(least)) < 0 {
			least, worst = a, x
		}
	}
	delete(s.far, least)
}

// ended compares the end of a call without signalling with all exchanges.
func (s *sealedFlows) ended(end int64) {
	for _, x := range s.far {
		if end < x.first {
			continue
		}
		x.calls++
		if slices.ContainsFunc(x.times, func(t int64) bool { return t >= end-stepNear && t <= end+stepNear }) {
			x.kept++
		}
	}
}

// inStep says whether a far end's exchanges keep step with the line's calls.
func (s *sealedFlows) inStep() bool {
	for _, x := range s.far {
		if x.inStep() {
			return true
		}
	}
	return false
}

// inStep asks for half of the calls, and that by chance, the share of time near
// an exchange, so many would not be (Chernoff's bound of the binomial tail).
func (x *steps) inStep() bool {
	if x.kept < unreadCalls || 2*x.kept < x.calls {
		return false
	}
	share := float64(x.kept) / float64(x.calls)
	chance := float64(x.covered) / float64(x.last-x.first+2*stepNear)
	if chance >= share {
		return false
	}
	nats := share * math.Log(share/chance)
	if share < 1 {
		nats += (1 - share) * math.Log((1-share)/(1-chance))
	}
	return float64(x.calls)*nats >= stepNats
}
