package calibration

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
)

func vendors(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "heuristics", "catalogue", "vendors.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPriorsCanBeRead(t *testing.T) {
	c, err := readPriors(vendors(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Signals) < 10 {
		t.Errorf("%d signals", len(c.Signals))
	}
}

// Without a single line the tables say what the priors say.
func TestNoLinesLeaveThePriors(t *testing.T) {
	prior, err := readPriors(vendors(t))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Calibrate(vendors(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range f.Catalogue.Signals {
		for _, k := range prior.Classes[:len(prior.Classes)-1] {
			for _, p := range k.Profiles {
				if d := cmp.Diff(prior.Signals[i].Rows(k.Name, p.Name), s.Rows(k.Name, p.Name), cmp.Comparer(close4)); d != "" {
					t.Errorf("%s, %s (-prior +fitted):\n%s", s.ID, k.Name, d)
				}
			}
		}
	}
}

func close4(a, b float64) bool { return math.Abs(a-b) <= 1e-4*(math.Abs(a)+math.Abs(b))+1e-5 }

func TestDigamma(t *testing.T) {
	for _, c := range [][2]float64{{1, -0.5772156649}, {0.5, -1.9635100260}, {10, 2.2517525890}, {0.01, -100.5608854579}} {
		if got := digamma(c[0]); math.Abs(got-c[1]) > 1e-8 {
			t.Errorf("digamma(%v) = %v, want %v", c[0], got, c[1])
		}
	}
}

// gamma draws from a gamma distribution (Marsaglia and Tsang, with the boost for
// shapes below one).
func gamma(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(r.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// polya draws counts of n events of a line whose own shares are drawn from alpha.
func polya(r *rand.Rand, alpha []float64, n int) []uint32 {
	p, sum := make([]float64, len(alpha)), 0.0
	for j, a := range alpha {
		p[j] = gamma(r, a)
		sum += p[j]
	}
	out := make([]uint32, len(alpha))
	for range n {
		x, j := r.Float64()*sum, 0
		for ; j < len(p)-1 && x >= p[j]; j++ {
			x -= p[j]
		}
		out[j]++
	}
	return out
}

// An urn's parameters come back from lines drawn with them, however far off the
// prior is.
func TestUrnIsRecovered(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, alpha := range [][]float64{{4, 1, 0.5}, {0.3, 0.3, 6}, {20, 20, 20}} {
		var lines []weighted
		for range 400 {
			lines = append(lines, weighted{heuristics.Seen{Counts: polya(r, alpha, 5+r.IntN(200))}, 1})
		}
		row := fitUrn([]catalogue.Row{{W: 1, N: 3, P: []float64{0.2, 0.3, 0.5}}}, lines)
		for j, a := range alpha {
			if got := row.N * row.P[j]; math.Abs(math.Log(got/a)) > 0.25 {
				t.Errorf("alpha %v: %.3f in place %d", alpha, got, j)
			}
		}
	}
}

// What was never seen keeps a little of the prior, and more where few lines were
// looked at.
func TestUrnKeepsWhatWasNotSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	prior := []catalogue.Row{{W: 1, N: 5, P: []float64{0.6, 0.3, 0.1}}}
	last := 1.0
	for _, n := range []int{2, 10, 60} {
		var lines []weighted
		for range n {
			lines = append(lines, weighted{heuristics.Seen{Counts: append(polya(r, []float64{5, 5}, 40), 0)}, 1})
		}
		row := fitUrn(prior, lines)
		if row.P[2] >= last || row.P[2] < 1e-5 {
			t.Errorf("%d lines leave %v", n, row.P[2])
		}
		last = row.P[2]
	}
}

func TestSightingIsRecovered(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const a, tau = 0.4, 120.0
	var lines []weighted
	for range 2000 {
		rate := gamma(r, a) / tau
		at := r.ExpFloat64() / rate
		s := heuristics.Seen{Category: -1, Sighted: at < 3600, Exposure: int64(min(at, 3600) * 1e9)}
		lines = append(lines, weighted{s, 1})
	}
	row := fitSighting([]catalogue.Row{{W: 1, A: 0.01, Tau: tau}}, lines)
	if math.Abs(row.A-a) > 0.04 || row.Tau != tau {
		t.Errorf("a %v, tau %v", row.A, row.Tau)
	}
}

func TestStaticCountsThePrior(t *testing.T) {
	row := fitStatic([]catalogue.Row{{W: 1, P: []float64{0.5, 0.5}}}, []weighted{{heuristics.Seen{Category: 0}, 30}})
	if math.Abs(row.P[0]-35.0/40) > 1e-12 {
		t.Errorf("%v", row.P)
	}
}

func TestProbabilities(t *testing.T) {
	for _, p := range [][]float64{{1 - 1e-9, 1e-9}, {1.0 / 3, 1.0 / 3, 1.0 / 3}, {0.5, 0.25, 0.125, 0.125}} {
		row := rowText(catalogue.Row{N: 2, P: p})
		if bytes.Contains([]byte(row), []byte("[0,")) || bytes.Contains([]byte(row), []byte(" 0]")) {
			t.Errorf("a probability of 0: %s", row)
		}
	}
}

func TestObservationsRoundTrip(t *testing.T) {
	want := []Observation{
		{"a-b", 7, "home", map[string]heuristics.Seen{}},
		{"c", 8, "gateway", map[string]heuristics.Seen{
			"urn": {Counts: []uint32{0, 4, 1}, Category: -1}, "static": {Category: 2},
			"seen": {Category: -1, Exposure: 35e9, Sighted: true}, "not": {Category: -1, Exposure: 1800e9},
		}},
	}
	var b bytes.Buffer
	if err := Write(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"a", "a\tx\thome", "a\t1\thome\turn=1,x", "a\t1\thome\turn=", "a\t1\thome\tstatic=#"} {
		if _, err := Read(bytes.NewReader([]byte(bad))); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestCorrelation(t *testing.T) {
	n := math.NaN()
	a, b := []float64{1, 2, 3, n, 11, 12, 13}, []float64{2, 4, 6, 1, 26, 24, 22}
	if k, r := correlation(a[:3], b[:3], make([]int, 3)); k != 3 || math.Abs(r-1) > 1e-9 {
		t.Errorf("%d lines, %v", k, r)
	}
	// Two profiles far apart are no correlation by themselves.
	if k, r := correlation(a, b, []int{0, 0, 0, 0, 1, 1, 1}); k != 6 || math.Abs(r) > 1e-9 {
		t.Errorf("%d lines, %v", k, r)
	}
}
