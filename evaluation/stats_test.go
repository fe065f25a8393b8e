package evaluation

import (
	"math"
	"testing"
)

func about(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// The intervals are those of Brown, Cai and DasGupta (2001) and of R's
// prop.test(correct = FALSE) and binom.test.
func TestWilson(t *testing.T) {
	for _, c := range []struct{ k, n, low, high float64 }{
		{0, 10, 0, 0.2775},
		{10, 10, 0.7225, 1},
		{5, 10, 0.2366, 0.7634},
		{50, 50, 0.9287, 1},
		{49, 50, 0.8950, 0.9965},
		{0, 0, 0, 1},
	} {
		r := wilson(c.k, c.n)
		about(t, "low", r.Low, c.low, 1e-4)
		about(t, "high", r.High, c.high, 1e-4)
	}
}

func TestClopperPearson(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 10, 0, 0.3085},
		{10, 10, 0.6915, 1},
		{4, 4100, 0.000265877, 0.002496},
		{0, 1_000_000, 0, 3.688872e-6},
		{98, 100, 0.9296, 0.9976},
		{0, 0, 0, 1},
	} {
		r := clopperPearson(c.k, c.n)
		about(t, "low", r.Low, c.low, 1e-4*max(c.low, 1e-3))
		about(t, "high", r.High, c.high, 1e-4*max(c.high, 1e-3)+5e-5*c.high)
	}
}

func TestBinomialCDF(t *testing.T) {
	about(t, "2 of 4 at a half", binomialCDF(2, 4, 0.5), 11.0/16, 1e-12)
	about(t, "3 of 4 at a half", binomialCDF(3, 4, 0.5), 15.0/16, 1e-12)
	about(t, "none", binomialCDF(-1, 4, 0.5), 0, 0)
	about(t, "all", binomialCDF(4, 4, 0.5), 1, 0)
}

// Shares decide, not how often each scenario was drawn.
func TestWeighted(t *testing.T) {
	r := weighted([]part{{k: 10, n: 10, share: 0.9}, {k: 0, n: 90, share: 0.1}})
	about(t, "rate", r.Rate, 0.9, 1e-9)
	about(t, "worth", r.N, 1/(0.81/10+0.01/90), 1e-3)
	if r := weighted([]part{{k: 5, n: 10, share: 1}}); r != wilson(5, 10) {
		t.Errorf("one part: %+v", r)
	}
	// A scenario that was not drawn takes nothing away.
	if r := weighted([]part{{k: 5, n: 10, share: 0.5}, {share: 0.5}}); r != wilson(5, 10) {
		t.Errorf("a part without draws: %+v", r)
	}
	if r := weighted(nil); r != (Rate{High: 1}) {
		t.Errorf("nothing: %+v", r)
	}
}

func TestQuantile(t *testing.T) {
	v := func(x float64) *float64 { return &x }
	for _, c := range []struct {
		name   string
		values []float64
		n      int
		q      float64
		want   *float64
	}{
		{"median of three", []float64{3, 1, 2}, 3, 0.5, v(2)},
		{"lower median of four", []float64{4, 3, 2, 1}, 4, 0.5, v(2)},
		{"half never came", []float64{2, 1}, 4, 0.5, v(2)},
		{"more than half never came", []float64{1}, 3, 0.5, nil},
		{"nine in ten", []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 10, 0.9, v(9)},
		{"nine in ten, two never came", []float64{1, 2, 3, 4, 5, 6, 7, 8}, 10, 0.9, nil},
		{"nothing", nil, 0, 0.5, nil},
		{"none came", nil, 5, 0.5, nil},
		{"one", []float64{7}, 1, 0.5, v(7)},
	} {
		got := quantile(c.values, c.n, c.q)
		switch {
		case (got == nil) != (c.want == nil):
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		case got != nil && *got != *c.want:
			t.Errorf("%s: %v, want %v", c.name, *got, *c.want)
		}
	}
}
