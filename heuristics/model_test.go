package heuristics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"simtrap/heuristics/catalogue"
)

func testModel(t testing.TB) *Model {
	t.Helper()
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewModel(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// evidence fills counts by signal id: an urn's counts, a static signal's
// category, a sighting's exposure in seconds and whether it was seen.
func evidence(t testing.TB, m *Model, counts map[string][]int) *Evidence {
	t.Helper()
	e := m.NewEvidence()
	for id, n := range counts {
		i := m.index(id)
		if i < 0 {
			t.Fatalf("no signal %s", id)
		}
		switch m.signals[i].Kind {
		case catalogue.Urn:
			for c, k := range n {
				m.counts(e, i)[c] = uint32(k)
			}
		case catalogue.Static:
			e.Static[m.signals[i].first] = int8(n[0] + 1)
		default:
			at := m.signals[i].first
			e.Exposure[at], e.Sighted[at] = int64(n[0])*1e9, n[1] == 1
		}
	}
	return e
}

// The shapes of lines as an investigator meets them. What is promised of a
// score is tested on lab traffic; this pins which side of zero they fall on.
func TestScoreOfTypicalLines(t *testing.T) {
	m := testModel(t)
	for _, tt := range []struct {
		name   string
		counts map[string][]int
		watch  bool
	}{
		{"trunk gateway, 60 calls", map[string][]int{
			"inbound-share": {60, 0}, "inbound-fanout": {0, 2, 57, 1, 0, 0, 0}, "post-dial-delay": {0, 2, 2, 10, 6, 40},
			"concurrency": {2, 3, 6, 14, 20, 15}, "channels-full": {60, 0, 3}, "clocks": {0}, "one-leg": {58, 0}, "control-record": {1800, 0}, "hold-or-transfer": {38, 0},
		}, true},
		{"gateway with one account", map[string][]int{
			"inbound-share": {40, 0}, "inbound-fanout": {0, 2, 36, 2, 0, 0, 0}, "post-dial-delay": {0, 2, 2, 10, 6, 20}, "accounts": {1},
			"reregister-clock": {1}, "concurrency": {5, 8, 15, 12, 0, 0}, "channels-full": {40, 0, 3}, "clocks": {0}, "one-leg": {38, 0}, "control-record": {1800, 0}, "vendor-string": {2},
		}, true},
		{"office telephones", map[string][]int{
			"inbound-share": {30, 35}, "inbound-fanout": {26, 3, 0, 1, 0, 0, 0}, "post-dial-delay": {30, 0, 0, 0, 0, 0}, "accounts": {5},
			"reregister-clock": {2}, "concurrency": {20, 15, 20, 10, 0, 0}, "channels-full": {26, 0, 4}, "clocks": {1}, "one-leg": {26, 0}, "control-record": {1800, 0}, "vendor-string": {2},
		}, false},
		{"analogue adapter, 24 ports", map[string][]int{
			"inbound-share": {30, 30}, "inbound-fanout": {30, 0, 0, 0, 0, 0, 0}, "post-dial-delay": {30, 0, 0, 0, 0, 0}, "accounts": {3},
			"reregister-clock": {5}, "concurrency": {20, 15, 20, 5, 0, 0}, "channels-full": {30, 0, 3}, "clocks": {0}, "one-leg": {30, 0}, "control-record": {1800, 0},
		}, false},
		{"adapter whose registrations were not seen", map[string][]int{
			"inbound-share": {30, 30}, "inbound-fanout": {0, 12, 0, 18, 0, 0, 0}, "post-dial-delay": {30, 0, 0, 0, 0, 0},
			"concurrency": {20, 15, 20, 5, 0, 0}, "clocks": {0}, "one-leg": {30, 0}, "control-record": {1800, 0},
		}, false},
		{"outbound call centre", map[string][]int{
			"inbound-share": {1, 200}, "inbound-fanout": {0, 0, 0, 1, 0, 0, 0}, "concurrency": {2, 4, 10, 40, 100, 44}, "clocks": {0}, "control-record": {1800, 0}, "vendor-string": {1},
		}, false},
		{"carrier SBC, both legs", map[string][]int{
			"inbound-share": {100, 100}, "inbound-fanout": {0, 5, 60, 35, 0, 0, 0}, "post-dial-delay": {5, 5, 10, 20, 20, 40},
			"concurrency": {2, 4, 10, 40, 50, 94}, "clocks": {1}, "one-leg": {4, 90}, "control-record": {1800, 0},
		}, false},
		{"licensed breakout gateway, mixed callees", map[string][]int{
			"inbound-share": {60, 5}, "inbound-fanout": {0, 14, 26, 16, 4, 0, 0}, "post-dial-delay": {2, 8, 5, 20, 5, 20},
			"concurrency": {5, 8, 15, 22, 10, 0}, "clocks": {0}, "one-leg": {58, 0}, "control-record": {1800, 0},
		}, false},
		{"home with one telephone", map[string][]int{
			"inbound-share": {4, 3}, "inbound-fanout": {4, 0, 0, 0, 0, 0, 0}, "post-dial-delay": {4, 0, 0, 0, 0, 0}, "accounts": {1}, "concurrency": {7, 0, 0, 0, 0, 0}, "control-record": {1800, 0},
		}, false},
		{"home whose own number is a mobile, accounts unseen", map[string][]int{
			"inbound-share": {6, 3}, "inbound-fanout": {0, 5, 1, 0, 0, 0, 0}, "post-dial-delay": {6, 0, 0, 0, 0, 0}, "concurrency": {9, 0, 0, 0, 0, 0},
		}, false},
		{"scanned PBX that rang", map[string][]int{
			"inbound-share": {30, 0}, "inbound-fanout": {0, 10, 0, 0, 5, 5, 10}, "post-dial-delay": {30, 0, 0, 0, 0, 0}, "channels-full": {30, 0, 200}, "control-record": {1800, 0},
		}, false},
		{"inbound call centre with a menu", map[string][]int{
			"inbound-share": {169, 0}, "inbound-fanout": {0, 166, 0, 0, 3, 0, 0}, "post-dial-delay": {0, 169, 0, 0, 0, 0},
			"concurrency": {10, 20, 40, 60, 39, 0}, "channels-full": {169, 0, 0}, "one-leg": {169, 0}, "clocks": {0}, "control-record": {1800, 0},
		}, false},
		{"bridging platform that announces and calls on", map[string][]int{
			"inbound-share": {150, 150}, "inbound-fanout": {0, 5, 145, 0, 0, 0, 0}, "post-dial-delay": {0, 150, 0, 0, 0, 0},
			"concurrency": {20, 30, 60, 120, 70, 0}, "channels-full": {150, 0, 0}, "one-leg": {2, 148}, "clocks": {0}, "control-record": {1800, 0},
		}, false},
		{"PBX with a block of mobile numbers and a menu", map[string][]int{
			"inbound-share": {114, 89}, "inbound-fanout": {0, 74, 40, 0, 0, 0, 0}, "post-dial-delay": {0, 114, 0, 0, 0, 0},
			"concurrency": {40, 50, 60, 40, 13, 0}, "channels-full": {114, 0, 3}, "one-leg": {110, 4}, "clocks": {0}, "control-record": {1800, 0},
		}, false},
		{"hacked PBX, calls through", map[string][]int{
			"inbound-share": {50, 50}, "inbound-fanout": {0, 8, 0, 0, 0, 42, 0}, "concurrency": {2, 5, 20, 20, 3, 0}, "one-leg": {5, 44}, "clocks": {0},
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := m.Score(evidence(t, m, tt.counts))
			t.Logf("S %.1f M %.1f nearest %s", s.S, s.M, s.Nearest)
			if got := s.S >= watchScore && s.M >= watchMargin; got != tt.watch {
				t.Errorf("S %.2f M %.2f nearest %s: at watch %v, want %v", s.S, s.M, s.Nearest, got, tt.watch)
			}
		})
	}
}

func TestScoreOfNothingSaysNothing(t *testing.T) {
	m := testModel(t)
	s := m.Score(m.NewEvidence())
	if math.Abs(s.S+m.c) > 1e-9 || math.Abs(s.M+m.c) > 1e-9 {
		t.Errorf("empty evidence: S %v M %v, want both %v", s.S, s.M, -m.c)
	}
}

// No family moves the margin against any class by more than its cap, whatever
// was counted (VERDICT section 3).
func TestFamiliesAreCapped(t *testing.T) {
	m := testModel(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		e := m.NewEvidence()
		for i := range m.signals {
			s := &m.signals[i]
			switch s.Kind {
			case catalogue.Urn:
				for j := range s.Categories {
					m.counts(e, i)[j] = r.Uint32N(1 + 1<<r.UintN(14))
				}
			case catalogue.Static:
				e.Static[s.first] = int8(r.IntN(len(s.Categories)) + 1)
			default:
				e.Exposure[s.first], e.Sighted[s.first] = r.Int64N(1e14), r.IntN(2) == 0
			}
		}
		full := m.Score(e)
		if math.IsNaN(full.S) || math.IsInf(full.S, 0) || math.IsNaN(full.M) {
			t.Fatalf("S %v M %v", full.S, full.M)
		}
		for f, name := range m.families {
			less := m.weigh(e).score(func(i int) bool { return m.signals[i].family == f })
			for k, c := range m.classes {
				if len(c.profiles) > 1 || c.name == catalogue.Unknown {
					continue // profiles trade families against each other
				}
				bound := -math.Log(c.eps[f])
				if got := full.against[k] - less.against[k]; got > bound+1e-6 {
					t.Fatalf("family %s adds %.3f nats against %s, cap %.3f", name, got, c.name, bound)
				}
			}
		}
	}
}

// The promise of VERDICT section 5, if the tables hold: draw lines of each
// class from its own tables and see that the margin against it exceeds m no
// more often than e^-m.
func TestMarginKeepsItsPromise(t *testing.T) {
	m := testModel(t)
	r := rand.New(rand.NewPCG(7, 8))
	const lines = 500
	first := len(m.boxes) // among profiles, of the class
	for k := range len(m.classes) - 1 {
		cl := &m.classes[k]
		over := 0
		const level = 2.0
		for range lines {
			z := pick(r, cl.profiles)
			e := m.NewEvidence()
			calls := 1 + r.IntN(60)
			for i := range m.signals {
				m.draw(r, e, i, m.signals[i].tables[m.signals[i].table[first+z]], calls)
			}
			if m.Score(e).against[k] >= level {
				over++
			}
		}
		first += len(cl.profiles)
		p := math.Exp(-level)
		if limit := lines*p + 4*math.Sqrt(lines*p); float64(over) > limit {
			t.Errorf("%s: margin %.0f or more on %d of %d lines, promised %.0f", cl.name, level, over, lines, lines*p)
		}
	}
}

func pick(r *rand.Rand, weights []float64) int {
	x := r.Float64()
	for i, w := range weights {
		if x -= w; x < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// draw takes one signal's evidence from a class's own table.
func (m *Model) draw(r *rand.Rand, e *Evidence, i int, rows []mixed, calls int) {
	weights := make([]float64, len(rows))
	for j := range rows {
		weights[j] = math.Exp(rows[j].logW)
	}
	c := &m.signals[i].parts[rows[pick(r, weights)].part]
	switch m.signals[i].Kind {
	case catalogue.Urn:
		n := m.counts(e, i)
		for k := range calls {
			u := r.Float64() * (c.sum.from + float64(k))
			j := 0
			for ; j < len(n)-1; j++ {
				if u -= c.alpha[j].from + float64(n[j]); u < 0 {
					break
				}
			}
			n[j]++
		}
	case catalogue.Static:
		e.Static[m.signals[i].first] = int8(pick(r, c.logP) + 1)
	default:
		at := m.signals[i].first
		e.Exposure[at] = 1800 * second
		// A sighting in this bin happens with the difference of two powers.
		e.Sighted[at] = r.Float64() < math.Exp(c.sighting(e.Exposure[at], true))
	}
}

func BenchmarkScore(b *testing.B) {
	m := testModel(b)
	e := evidence(b, m, map[string][]int{
		"inbound-share": {60, 0}, "inbound-fanout": {0, 2, 57, 1, 0, 0, 0}, "post-dial-delay": {0, 2, 2, 10, 6, 40},
		"concurrency": {2, 3, 6, 14, 20, 15}, "channels-full": {60, 0, 3}, "clocks": {0}, "one-leg": {58, 0}, "control-record": {1800, 0},
	})
	b.ReportAllocs()
	for b.Loop() {
		m.Score(e)
	}
}

// BenchmarkScoreUpdate is a score as a run makes it, in the room of the one
// before: each time of another line of a hundred, of which a call was counted.
func BenchmarkScoreUpdate(b *testing.B) {
	m := testModel(b)
	var lines []*Evidence
	for i := range 100 {
		lines = append(lines, evidence(b, m, map[string][]int{
			"inbound-share": {i, 0}, "inbound-fanout": {0, i / 30, i, 1, 0, 0, 0}, "post-dial-delay": {0, 2, 2, i / 10, 6, i / 2},
			"concurrency": {2, 3, 6, i / 5, 20, i / 4}, "channels-full": {i, 0, 3}, "clocks": {0}, "one-leg": {i, 0}, "control-record": {1800 + i, 0},
		}))
	}
	w := weighed{known: make([]known, len(m.signals)*knownEach)}
	fanout := m.index("inbound-fanout")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e := lines[i%len(lines)]
		m.counts(e, fanout)[2] = uint32(i/len(lines)) % 100
		w.take(m, e)
		w.score(m.everything)
		i++
	}
}

// BenchmarkScoreLines is 100,000 lines drawn from the tables of all classes and
// boxes, up to 40 calls each, of which half of the signals are seen.
func BenchmarkScoreLines(b *testing.B) {
	m := testModel(b)
	r := rand.New(rand.NewPCG(5, 6))
	lines := make([]*Evidence, 100_000)
	for n := range lines {
		e := m.NewEvidence()
		z, calls := r.IntN(m.profiles-1), 1+r.IntN(40)
		for i := range m.signals {
			if r.IntN(2) == 0 {
				m.draw(r, e, i, m.signals[i].tables[m.signals[i].table[z]], calls)
			}
		}
		lines[n] = e
	}
	w := weighed{known: make([]known, len(m.signals)*knownEach)}
	for b.Loop() {
		for _, e := range lines {
			w.take(m, e)
			w.score(m.everything)
		}
	}
}

// BenchmarkScoreOfEverything is a score in which every signal has something to
// say.
func BenchmarkScoreOfEverything(b *testing.B) {
	m := testModel(b)
	e := m.NewEvidence()
	for i := range e.Urns {
		e.Urns[i] = uint32(i % 30)
	}
	for i := range e.Static {
		e.Static[i] = 1
	}
	for i := range e.Exposure {
		e.Exposure[i] = 1800 * second
	}
	b.ReportAllocs()
	b.ReportMetric(float64(len(m.signals)), "signals")
	for b.Loop() {
		m.Score(e)
	}
}

// reference computes a score by the letter of docs/verdict.md sections 3 and 4,
// in logarithms throughout.
func reference(m *Model, e *Evidence, skip without) (S float64, against []float64) {
	likelihoods := m.Likelihoods(e)
	nb, n := len(m.boxes), m.profiles-1
	logp := make([][]float64, len(m.families))
	var seen []int
	for f := range m.families {
		for i := range m.signals {
			if m.signals[i].family == f && likelihoods[i] != nil && !skip(i) {
				if logp[f] == nil {
					logp[f] = make([]float64, n)
					seen = append(seen, f)
				}
				for z, l := range likelihoods[i] {
					logp[f][z] += l
				}
			}
		}
	}
	pool := make([]float64, len(m.families))
	for _, f := range seen {
		pool[f] = math.Inf(-1)
		z := nb
		for _, k := range m.classes[:len(m.classes)-1] {
			for _, share := range k.profiles {
				pool[f] = logAdd(pool[f], math.Log(share)+logp[f][z])
				z++
			}
		}
		pool[f] -= math.Log(float64(len(m.classes) - 1))
	}
	S = math.Inf(-1)
	against = make([]float64, len(m.classes))
	for k := range against {
		against[k] = math.Inf(-1)
	}
	for b, box := range m.boxes {
		q, all := map[int]float64{}, 0.0
		for _, f := range seen {
			q[f] = logAdd(math.Log(0.95)+logp[f][b], math.Log(0.05)+pool[f])
			all += q[f]
		}
		mix, z := math.Inf(-1), nb
		for k, class := range m.classes {
			p := math.Inf(-1)
			for _, share := range class.profiles {
				l := math.Log(share)
				for _, f := range seen {
					own := pool[f]
					if z < n {
						own = logp[f][z]
					}
					l += logAdd(math.Log1p(-class.eps[f])+own, math.Log(class.eps[f])+q[f])
				}
				p = logAdd(p, l)
				z++
			}
			against[k] = logAdd(against[k], math.Log(box.weight)+all-p)
			mix = logAdd(mix, math.Log(class.weight)+p)
		}
		S = logAdd(S, math.Log(box.weight)+all-mix)
	}
	for k := range against {
		against[k] -= m.c
	}
	return S - m.c, against
}

// TestScoreIsTheDefinition holds the fast score to the definition, on lines of
// every class and box with few events and with very many: there the families lie
// thousands of nats apart.
func TestScoreIsTheDefinition(t *testing.T) {
	m := testModel(t)
	r := rand.New(rand.NewPCG(9, 10))
	again := weighed{known: make([]known, len(m.signals)*knownEach)}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a)) }
	for z := range m.profiles - 1 {
		for _, calls := range []int{1, 10, 200, 20_000} {
			e := m.NewEvidence()
			for i := range m.signals {
				if r.IntN(4) > 0 {
					m.draw(r, e, i, m.signals[i].tables[m.signals[i].table[z]], calls)
				}
			}
			for _, skip := range []without{m.everything, m.vendorStrings, func(i int) bool { return i%3 == 0 }} {
				got := m.weigh(e).score(skip)
				// In the room of others, twice: once made and once known.
				for range 2 {
					again.take(m, e)
					if s := again.score(skip); s.S != got.S || !slices.Equal(s.against, got.against) {
						t.Fatalf("profile %d, %d calls: S %v in the room of others, %v in its own", z, calls, s.S, got.S)
					}
				}
				S, against := reference(m, e, skip)
				if !near(S, got.S) {
					t.Fatalf("profile %d, %d calls: S %v, want %v", z, calls, got.S, S)
				}
				for k := range against {
					if !near(against[k], got.against[k]) {
						t.Fatalf("profile %d, %d calls: against %s %v, want %v", z, calls, m.classes[k].name, got.against[k], against[k])
					}
				}
			}
		}
	}
}
