package heuristics

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"

	"simtrap/heuristics/catalogue"
)

// without leaves signals out of a score.
type without func(signal int) bool

func (m *Model) everything(int) bool      { return false }
func (m *Model) vendorStrings(i int) bool { return m.signals[i].Vendor }

// Score computes S, M and the margins from the counts.
func (m *Model) Score(e *Evidence) Score { return m.weigh(e).score(m.everything) }

// Without computes the score that the counts give when the signals named by
// leave are left out.
func (m *Model) Without(e *Evidence, leave func(s *catalogue.Signal) bool) Score {
	return m.weigh(e).score(func(i int) bool { return leave(m.signals[i].Signal) })
}

// Likelihoods gives, by signal in the catalogue's order, the log likelihood of
// its history under each profile: box types first, then the profiles of the
// modelled classes in their order. What is not visible has nil.
func (m *Model) Likelihoods(e *Evidence) [][]float64 {
	out := make([][]float64, len(m.signals))
	for i := range out {
		if m.visible(e, i) {
			out[i] = make([]float64, m.profiles-1)
			m.logs(out[i], e, i)
		}
	}
	return out
}

// logs gives the log likelihood of one visible signal's history under each
// profile.
func (m *Model) logs(out []float64, e *Evidence, i int) {
	s := &m.signals[i]
	var byTable [math.MaxUint8 + 1]float64
	byPart := make([]float64, len(s.parts))
	for k := range s.parts {
		byPart[k] = m.logLikelihood(e, i, &s.parts[k])
	}
	for k, t := range s.tables {
		l := t[0].logW + byPart[t[0].part]
		for _, x := range t[1:] {
			l = logAdd(l, x.logW+byPart[x.part])
		}
		byTable[k] = l
	}
	for z, k := range s.table {
		out[z] = byTable[k]
	}
}

// weighed is a line's evidence under every table: likelihoods by signal and
// profile (boxes first, then the modelled classes), nil for a signal that is not
// visible. Scores of parts of the evidence are made of it.
//
// They are plain numbers of at most 1, those of an urn relative to its likeliest
// component: mixing them takes no logarithms. Where whole families underflow so,
// which takes thousands of events, score goes back to logarithms.
type weighed struct {
	m      *Model
	e      *Evidence
	likely [][]float64
	room   []float64 // of likely
	parts  []float64 // of one signal
	tables []float64
	known  []known // of urns, by signal and a hash of counts; nil when none is kept
}

// known is the likelihoods of an urn's counts: lines have few calls, and what
// one had another will have; of a line that is scored again most urns stand as
// they did. It saves three quarters of a score and costs no more than 2.3 MB.
type known struct {
	counts [maxCategories]uint32
	likely []float64
}

// knownEach is how many counts are known of each signal. Those of one signal
// make room for each other only, so that a line's own do not.
const knownEach = 256

// maxCategories bounds the categories of an urn.
const maxCategories = 8

// look gives the place of an urn's counts among the known.
func (w *weighed) look(signal int, counts []uint32) *known {
	h := uint64(0)
	for _, c := range counts {
		h = (h + uint64(c)) * 0x9e3779b97f4a7c15
	}
	return &w.known[signal*knownEach+int(h>>56)]
}

// has says whether these are the counts that are known.
func (k *known) has(counts []uint32) bool {
	return k.likely != nil && slices.Equal(k.counts[:len(counts)], counts)
}

func (m *Model) weigh(e *Evidence) *weighed {
	w := &weighed{}
	w.take(m, e)
	return w
}

// take weighs evidence in the room of what was weighed before.
func (w *weighed) take(m *Model, e *Evidence) {
	if w.known != nil && w.m != m {
		w.known = make([]known, len(m.signals)*knownEach)
	}
	w.m, w.e = m, e
	n := m.profiles - 1
	seen := 0
	w.likely = slices.Grow(w.likely[:0], len(m.signals))[:len(m.signals)]
	for i := range m.signals {
		w.likely[i] = nil
		if !m.visible(e, i) {
			continue
		}
		if s := &m.signals[i]; s.Kind == catalogue.Static {
			w.likely[i] = s.static[e.Static[s.first]-1]
			continue
		}
		seen++
		w.likely[i] = w.room[:0] // until there is room
	}
	if len(w.room) < seen*n {
		w.room = make([]float64, seen*n)
	}
	if len(w.parts) < m.parts {
		w.parts = make([]float64, m.parts)
		w.tables = make([]float64, m.profiles)
	}
	room := w.room
	for i := range m.signals {
		s := &m.signals[i]
		if s.Kind == catalogue.Static || !m.visible(e, i) {
			continue
		}
		parts := w.parts[:len(s.parts)]
		w.likely[i], room = room[:n:n], room[n:]
		if s.Kind == catalogue.Urn {
			counts := m.counts(e, i)
			if w.known != nil {
				k := w.look(i, counts)
				if k.has(counts) {
					w.likely[i] = k.likely
					continue
				}
				if k.likely == nil {
					k.likely = make([]float64, n)
				}
				copy(k.counts[:], counts)
				w.likely[i] = k.likely
			}
			s.urn(parts, counts)
		} else {
			s.sighting(parts, e.Exposure[s.first], e.Sighted[s.first])
		}
		s.spread(w.likely[i], parts, w.tables)
	}
}

// spread mixes the likelihoods of components to those of profiles. byTable is
// room for those of tables.
func (s *compiled) spread(out, parts, byTable []float64) {
	for k, t := range s.tables {
		l := t[0].w * parts[t[0].part]
		for _, x := range t[1:] {
			l += x.w * parts[x.part]
		}
		byTable[k] = l
	}
	for z, k := range s.table {
		out[z] = byTable[k]
	}
}

// prepare makes what scores need of a signal.
func (s *compiled) prepare() {
	switch s.Kind {
	case catalogue.Urn:
		s.memo = make([]memo, len(s.Categories)+1)
	case catalogue.Static:
		parts := make([]float64, len(s.parts))
		for c := range s.Categories {
			for k := range parts {
				parts[k] = s.parts[k].row.P[c]
			}
			out := make([]float64, len(s.table))
			s.spread(out, parts, make([]float64, len(s.tables)))
			s.static = append(s.static, out)
		}
	default:
		for k := range s.parts {
			s.byTau = append(s.byTau, k)
		}
		slices.SortStableFunc(s.byTau, func(a, b int) int { return cmp.Compare(s.parts[a].tau, s.parts[b].tau) })
	}
}

// memoCounts bounds the counts whose rising factorials are kept: nearly all
// that lines have. Each is some 400 bytes once asked for.
const memoCounts = 128

// memo keeps ln of the rising factorials of one cell under every component, by
// count. Whoever comes first computes them; two may, and find the same.
type memo [memoCounts]atomic.Pointer[[]float64]

// rising gives ln of the rising factorial of n of a cell, or of their sum for
// cell len(Categories), under each component. It may use room.
func (s *compiled) rising(cell int, n uint32, room *[]float64) []float64 {
	if n < memoCounts {
		if p := s.memo[cell][n].Load(); p != nil {
			return *p
		}
	}
	out := slices.Grow((*room)[:0], len(s.parts))[:len(s.parts)]
	*room = out
	for k := range s.parts {
		if c := &s.parts[k]; cell < len(c.alpha) {
			out[k] = c.alpha[cell].log(n)
		} else {
			out[k] = c.sum.log(n)
		}
	}
	if n < memoCounts {
		kept := slices.Clone(out)
		s.memo[cell][n].Store(&kept)
	}
	return out
}

// urn gives the likelihoods of counts under each component, relative to the
// likeliest.
func (s *compiled) urn(out []float64, counts []uint32) {
	var spare []float64
	clear(out)
	n := uint32(0)
	for j, k := range counts {
		if k == 0 {
			continue
		}
		n += k
		for i, l := range s.rising(j, k, &spare) {
			out[i] += l
		}
	}
	top := math.Inf(-1)
	for i, l := range s.rising(len(counts), n, &spare) {
		out[i] -= l
		top = max(top, out[i])
	}
	for i := range out {
		out[i] = math.Exp(out[i] - top)
	}
}

// sighting gives the likelihoods of a sighting under each component. They share
// a few values of tau, and stand in their order.
func (s *compiled) sighting(out []float64, exposure int64, seen bool) {
	t := float64(exposure) / 1e9
	var tau, none, later float64
	for _, i := range s.byTau {
		c := &s.parts[i]
		if c.tau != tau {
			tau, none, later = c.tau, math.Log1p(t/c.tau), math.Log1p((t+firstBin)/c.tau)
		}
		out[i] = math.Exp(-c.a * none)
		if seen {
			out[i] *= -math.Expm1(-c.a*later + c.a*none)
		}
	}
}

// maxProfiles bounds the scratch arrays of a score: all profiles together.
const maxProfiles = 64

// leastPool is below what pool the plain numbers of a family have lost what
// tells its profiles apart.
const leastPool = 1e-150

// score computes S, M and the margins of what skip leaves.
//
// Everything is relative to the pool of its family, so that the sums of VERDICT
// section 3 and 4 are of plain numbers: q_b is at least a twentieth of the pool,
// and no class can exceed the pool by more than the number of classes over its
// profile's weight, so nothing overflows, and what underflows is nothing beside
// what it is added to.
func (w *weighed) score(skip without) Score {
	m := w.m
	nb, nk := len(m.boxes), len(m.classes)
	n := m.profiles - 1 // those that have tables
	var room [maxProfiles]float64
	p := room[:m.profiles]
	// over is, by box, what a profile of a class adds to its class, over q.
	var over [maxBoxes][maxProfiles]float64
	for b := range nb {
		copy(over[b][:], m.shares)
	}
	for f, members := range m.members {
		seen := false
		for _, i := range members {
			switch l := w.likely[i]; {
			case l == nil || skip(i):
			case !seen:
				seen = true
				copy(p, l)
			default:
				for z := range l {
					p[z] *= l[z]
				}
			}
		}
		if !seen {
			continue
		}
		pool := m.pool(p)
		if !(pool > leastPool) {
			w.byLogs(p, f, skip)
			pool = m.pool(p)
		}
		p[n] = pool // unknown takes the pool
		own, eps := p[nb:m.profiles], m.eps[f]
		eps = eps[:len(own)]
		for z, e := range eps {
			own[z] *= (1 - e) / pool
		}
		for b := range nb {
			under := 1 / (0.95*p[b]/pool + 0.05) // the pool over q
			o := over[b][:len(eps)]
			for z, e := range eps {
				o[z] *= own[z]*under + e
			}
		}
	}
	against := make([]float64, nk) // Σ_b v_b q_b / p~_k^b
	population := 0.0
	for b := range m.boxes {
		mix, z := 0.0, 0
		for k := range m.classes {
			cl := &m.classes[k]
			p := 0.0 // over q
			for range cl.profiles {
				p += over[b][z]
				z++
			}
			against[k] += m.boxes[b].weight / p
			mix += cl.weight * p
		}
		population += m.boxes[b].weight / mix
	}
	out := Score{S: math.Log(population) - m.c, M: math.Inf(1), against: against}
	for k := range against {
		against[k] = math.Log(against[k]) - m.c
		if against[k] < out.M {
			out.M, out.Nearest = against[k], m.classes[k].name
		}
	}
	return out
}

// pool is the plain average over the modelled classes.
func (m *Model) pool(p []float64) float64 {
	sum := 0.0
	for z, l := range p[len(m.boxes) : m.profiles-1] {
		sum += m.shares[z] * l
	}
	return sum / float64(len(m.classes)-1)
}

// byLogs gives the likelihoods of a family under each profile relative to the
// likeliest of a class.
func (w *weighed) byLogs(p []float64, f int, skip without) {
	n := w.m.profiles - 1
	clear(p)
	one := make([]float64, n)
	for _, i := range w.m.members[f] {
		if w.likely[i] == nil || skip(i) {
			continue
		}
		w.m.logs(one, w.e, i)
		for z, l := range one {
			p[z] += l
		}
	}
	most := slices.Max(p[len(w.m.boxes):n])
	for z := range n {
		p[z] = math.Exp(p[z] - most)
	}
}
