package heuristics

import (
	"fmt"
	"math"
	"slices"

	"simtrap/heuristics/catalogue"
)

// Model is a catalogue made ready to score lines. It is immutable and may be
// shared.
type Model struct {
	cat      *catalogue.Catalogue
	families []string
	signals  []compiled
	boxes    []scored // box types
	classes  []scored // honest classes; the last is catalogue.Unknown
	c        float64  // the price of contamination, VERDICT section 4
	cells    int      // urn cells of all signals together
	statics  int
	sighted  int
	parts    int // most components of one signal
	profiles int // of all classes and boxes together
	// What every score asks for, by family: its signals, and the contamination of
	// each class profile. shares are the
	// profiles' weights within their class.
	members [][]int
	eps     [][]float64
	shares  []float64
}

// compiled is one signal of the catalogue with its place in Evidence.
type compiled struct {
	*catalogue.Signal
	family int
	first  int // its place in Evidence: first urn cell, static value or sighting
	// parts are the distinct components of all tables, and tables the distinct
	// ones among those of all profiles: many share the default and the priors.
	// table tells which is a profile's, boxes first, then the modelled classes.
	parts  []component
	tables [][]mixed
	table  []uint8
	static [][]float64 // of a static signal, by category: likelihood under each profile
	memo   []memo      // of an urn, by cell; the last is of their sum
	byTau  []int       // of a sighting: its parts, those of one tau side by side
}

// mixed is one component of a table and its weight in it.
type mixed struct {
	part    int
	w, logW float64
}

// component is what one row of a table says, whatever its weight.
type component struct {
	row   catalogue.Row
	alpha []rising  // urn: concentration times probability
	sum   rising    // of alpha
	logP  []float64 // static
	a     float64   // sighting
	tau   float64   // sighting, seconds
}

type scored struct {
	name     string
	weight   float64
	profiles []float64 // weights
	eps      []float64 // per family
}

// Evidence is what a line's signals have counted: nothing but counts, so that
// it survives a change of the tables. The zero value of each part means that
// nothing was seen.
type Evidence struct {
	Urns     []uint32 // cells of all urns, in the order of Model
	Static   []int8   // per static signal: category + 1, 0 while unread
	Exposure []int64  // per sighting: ns looked at, up to the first one
	Sighted  []bool
}

func (e *Evidence) clone() *Evidence {
	return &Evidence{slices.Clone(e.Urns), slices.Clone(e.Static), slices.Clone(e.Exposure), slices.Clone(e.Sighted)}
}

// NewModel compiles a catalogue.
func NewModel(cat *catalogue.Catalogue) (*Model, error) {
	m := &Model{cat: cat}
	for i := range cat.Signals {
		s := &cat.Signals[i]
		f := slices.Index(m.families, s.Family)
		if f < 0 {
			f = len(m.families)
			m.families = append(m.families, s.Family)
		}
		cs := compiled{Signal: s, family: f}
		switch s.Kind {
		case catalogue.Urn:
			if len(s.Categories) > maxCategories {
				return nil, fmt.Errorf("catalogue: signal %s has %d categories, at most %d", s.ID, len(s.Categories), maxCategories)
			}
			cs.first = m.cells
			m.cells += len(s.Categories)
		case catalogue.Static:
			cs.first = m.statics
			m.statics++
		default:
			cs.first = m.sighted
			m.sighted++
		}
		var distinct [][]catalogue.Row
		for _, k := range slices.Concat(cat.Boxes, cat.Classes) {
			if k.Name == catalogue.Unknown {
				continue
			}
			for _, p := range k.Profiles {
				rows := s.Rows(k.Name, p.Name)
				n := slices.IndexFunc(distinct, func(o []catalogue.Row) bool { return slices.EqualFunc(o, rows, sameRow) })
				if n < 0 {
					n = len(distinct)
					distinct = append(distinct, rows)
					cs.tables = append(cs.tables, cs.compile(rows))
				}
				cs.table = append(cs.table, uint8(n))
			}
		}
		if len(distinct) > math.MaxUint8 {
			return nil, fmt.Errorf("catalogue: signal %s has %d tables, at most %d", s.ID, len(distinct), math.MaxUint8)
		}
		m.parts = max(m.parts, len(cs.parts))
		cs.prepare()
		m.signals = append(m.signals, cs)
	}
	m.members = make([][]int, len(m.families))
	for i := range m.signals {
		f := m.signals[i].family
		m.members[f] = append(m.members[f], i)
	}
	if len(cat.Boxes) > maxBoxes {
		return nil, fmt.Errorf("catalogue: %d box types, at most %d", len(cat.Boxes), maxBoxes)
	}
	for _, b := range cat.Boxes {
		if len(b.Profiles) != 1 {
			return nil, fmt.Errorf("catalogue: box type %s has profiles; mix rows instead", b.Name)
		}
		m.profiles++
		m.boxes = append(m.boxes, scored{name: b.Name, weight: b.Weight})
	}
	for _, k := range cat.Classes {
		s := scored{name: k.Name, weight: k.Weight}
		for _, p := range k.Profiles {
			s.profiles = append(s.profiles, p.Weight)
		}
		c := 0.0
		for _, f := range m.families {
			e := cat.Epsilon.Of(k.Name, f)
			s.eps = append(s.eps, e)
			c -= math.Log1p(-e)
		}
		m.c = max(m.c, c)
		m.profiles += len(k.Profiles)
		m.classes = append(m.classes, s)
	}
	if m.profiles > maxProfiles {
		return nil, fmt.Errorf("catalogue: %d profiles, at most %d", m.profiles, maxProfiles)
	}
	m.eps = make([][]float64, len(m.families))
	for _, k := range m.classes {
		m.shares = append(m.shares, k.profiles...)
		for f := range m.families {
			for range k.profiles {
				m.eps[f] = append(m.eps[f], k.eps[f])
			}
		}
	}
	return m, nil
}

// sameRow says whether two rows are equal but for the profiles they are for.
func sameRow(a, b catalogue.Row) bool { return a.W == b.W && sameSaying(a, b) }

// sameSaying says whether they are equal but for their weights.
func sameSaying(a, b catalogue.Row) bool {
	return a.N == b.N && a.A == b.A && a.Tau == b.Tau && slices.Equal(a.P, b.P)
}

// compile makes a table of rows, of parts that are there already where it can.
func (cs *compiled) compile(rows []catalogue.Row) []mixed {
	var out []mixed
	for _, r := range rows {
		part := slices.IndexFunc(cs.parts, func(c component) bool { return sameSaying(c.row, r) })
		if part < 0 {
			part = len(cs.parts)
			c := component{row: r, a: r.A, tau: r.Tau}
			sum := 0.0
			for _, p := range r.P {
				if cs.Kind == catalogue.Urn {
					c.alpha = append(c.alpha, newRising(p*r.N))
					sum += p * r.N
				} else {
					c.logP = append(c.logP, math.Log(p))
				}
			}
			c.sum = newRising(sum)
			cs.parts = append(cs.parts, c)
		}
		out = append(out, mixed{part, r.W, math.Log(r.W)})
	}
	return out
}

// maxBoxes bounds the scratch arrays of a score.
const maxBoxes = 8

// Catalogue gives the data behind the model.
func (m *Model) Catalogue() *catalogue.Catalogue { return m.cat }

// NewEvidence makes empty evidence of the model's shape.
func (m *Model) NewEvidence() *Evidence {
	return &Evidence{Urns: make([]uint32, m.cells), Static: make([]int8, m.statics), Exposure: make([]int64, m.sighted), Sighted: make([]bool, m.sighted)}
}

// index finds a signal by its id, or -1.
func (m *Model) index(id string) int {
	for i := range m.signals {
		if m.signals[i].ID == id {
			return i
		}
	}
	return -1
}

// Count adds one event of a category to an urn. Counts saturate.
func (m *Model) Count(e *Evidence, signal, category int) {
	if c := &e.Urns[m.signals[signal].first+category]; *c < math.MaxUint32 {
		*c++
	}
}

// Total is how many events an urn has counted.
func (m *Model) Total(e *Evidence, signal int) (n int) {
	for _, c := range m.counts(e, signal) {
		n += int(c)
	}
	return n
}

// Seen is what one signal has of a line: the counts of an urn, the category of
// a static value, or a sighting. Nothing is set of a signal that is not visible.
type Seen struct {
	Counts   []uint32
	Category int   // -1 while unread
	Exposure int64 // ns looked at, up to the first sighting
	Sighted  bool
}

// Seen gives what the signal of an id has, and whether it has anything.
func (m *Model) Seen(e *Evidence, id string) (Seen, bool) {
	i := m.index(id)
	if i < 0 || !m.visible(e, i) {
		return Seen{Category: -1}, false
	}
	out, at := Seen{Category: -1}, m.signals[i].first
	switch m.signals[i].Kind {
	case catalogue.Urn:
		out.Counts = m.counts(e, i)
	case catalogue.Static:
		out.Category = int(e.Static[at]) - 1
	default:
		out.Exposure, out.Sighted = e.Exposure[at], e.Sighted[at]
	}
	return out, true
}

// Put sets what a signal has, as Seen gave it. It fails on what does not fit the
// model.
func (m *Model) Put(e *Evidence, id string, s Seen) error {
	i := m.index(id)
	if i < 0 {
		return fmt.Errorf("no signal %q", id)
	}
	g := &m.signals[i]
	switch {
	case g.Kind == catalogue.Urn && len(s.Counts) == len(g.Categories):
		copy(m.counts(e, i), s.Counts)
	case g.Kind == catalogue.Static && s.Category >= 0 && s.Category < len(g.Categories):
		e.Static[g.first] = int8(s.Category + 1)
	case g.Kind == catalogue.Sighting && s.Counts == nil && s.Category < 0:
		e.Exposure[g.first], e.Sighted[g.first] = s.Exposure, s.Sighted
	default:
		return fmt.Errorf("signal %q: %+v does not fit", id, s)
	}
	return nil
}

func (m *Model) counts(e *Evidence, signal int) []uint32 {
	s := &m.signals[signal]
	return e.Urns[s.first : s.first+len(s.Categories)]
}

// visible says whether a signal has anything to say about the line.
func (m *Model) visible(e *Evidence, i int) bool {
	switch s := &m.signals[i]; s.Kind {
	case catalogue.Urn:
		for _, c := range m.counts(e, i) {
			if c > 0 {
				return true
			}
		}
		return false
	case catalogue.Static:
		return e.Static[s.first] > 0
	default:
		return e.Exposure[s.first] > 0 || e.Sighted[s.first]
	}
}

// logLikelihood of one signal's history under one component.
func (m *Model) logLikelihood(e *Evidence, i int, c *component) float64 {
	s := &m.signals[i]
	switch s.Kind {
	case catalogue.Urn:
		l, n := 0.0, uint32(0)
		for j, k := range m.counts(e, i) {
			if k > 0 {
				l += c.alpha[j].log(k)
				n += k
			}
		}
		return l - c.sum.log(n)
	case catalogue.Static:
		return c.logP[e.Static[s.first]-1]
	}
	return c.sighting(e.Exposure[s.first], e.Sighted[s.first])
}

// firstBin is the width of the bin in which a first sighting is scored: its
// probability, not its density, so that boxes and classes are alike.
const firstBin = 15 * 60.0

// sighting is the Gamma-Poisson likelihood of not having seen the trait in
// exposure ns, or of having first seen it in the bin that begins there.
func (c *component) sighting(exposure int64, seen bool) float64 {
	t := float64(exposure) / 1e9
	none := -c.a * math.Log1p(t/c.tau)
	if !seen {
		return none
	}
	later := -c.a * math.Log1p((t+firstBin)/c.tau)
	return none + math.Log(-math.Expm1(later-none))
}

// rising is the start of a rising factorial, the Pólya urn's product, with its
// log gamma, which every score would ask for again.
type rising struct{ from, gamma float64 }

func newRising(from float64) rising {
	g, _ := math.Lgamma(from)
	return rising{from, g}
}

// log is ln of from (from+1) ... (from+n-1).
func (r rising) log(n uint32) float64 {
	if n <= 4 {
		p := 1.0
		for i := range n {
			p *= r.from + float64(i)
		}
		return math.Log(p)
	}
	a, _ := math.Lgamma(r.from + float64(n))
	return a - r.gamma
}

func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// Score is a line's standing now (VERDICT section 4), in nats.
type Score struct {
	S       float64 // against the population
	M       float64 // against the nearest lookalike
	Nearest string
	against []float64 // margin against each class, in the order of the model
}

// Against gives the margin against a named class.
func (s Score) Against(m *Model, class string) float64 {
	for i := range m.classes {
		if m.classes[i].name == class {
			return s.against[i]
		}
	}
	return math.NaN()
}
