package match

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"simtrap/report/reportpb"
)

// nulls are lines and cards that have nothing to do with each other. Times of
// calls go up and down, for both alike or each for itself.
func nulls() map[string][2]process {
	return map[string][2]process{
		"busy box, people":            {{perHour: 300, length: 60 * time.Second, varies: 0.9, channels: 32}, {perHour: 6, length: 60 * time.Second, varies: 0.9}},
		"quiet line, people":          {{perHour: 6, length: 60 * time.Second, varies: 0.9, channels: 2}, {perHour: 6, length: 60 * time.Second, varies: 0.9}},
		"heavy callers":               {{perHour: 120, length: 40 * time.Second, varies: 0.5, channels: 16}, {perHour: 50, length: 40 * time.Second, varies: 0.5}},
		"bursts of two minutes":       {{perHour: 120, bursts: 2 * time.Minute, spread: 1.5, length: 40 * time.Second, varies: 0.7, channels: 32}, {perHour: 25, bursts: 2 * time.Minute, spread: 1.5, length: 40 * time.Second, varies: 0.7}},
		"bursts of ten minutes":       {{perHour: 90, bursts: 10 * time.Minute, spread: 1.5, length: 50 * time.Second, varies: 0.7, channels: 32}, {perHour: 25, bursts: 10 * time.Minute, spread: 1.5, length: 50 * time.Second, varies: 0.7}},
		"announcements of one length": {{perHour: 120, lengths: []float64{12, 12, 12.5, 30}, channels: 16}, {perHour: 30, lengths: []float64{12, 30}}},
		"short calls":                 {{perHour: 400, length: 8 * time.Second, varies: 0.4, channels: 32}, {perHour: 60, length: 8 * time.Second, varies: 0.4}},
		"card much, line little":      {{perHour: 4, length: 30 * time.Second, varies: 0.3, channels: 2}, {perHour: 80, length: 30 * time.Second, varies: 0.3}},
	}
}

// A card that has nothing to do with a line has an e-value whose mean is at most
// 1: what all that is promised rests on.
func TestEValueOfNothing(t *testing.T) {
	const lines, cards = 40, 40
	s := &search{tolerance: int64(2 * time.Second)}
	for k := int64(-5); k <= 5; k++ {
		s.offsets = append(s.offsets, k*2e9)
	}
	for name, p := range nulls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			sum, squares, above, n := 0.0, 0.0, [3]int{}, 0.0
			for range lines {
				var calls []*reportpb.Call
				for _, c := range p[0].draw(r, noon, noon+int64(2*time.Hour)) {
					calls = append(calls, call("line", c[0], c[1]))
				}
				list := NewLines(calls, noon, noon+int64(2*time.Hour))
				if len(list) == 0 {
					continue
				}
				for range cards {
					var talks []talk
					for _, c := range p[1].draw(r, noon, noon+int64(2*time.Hour)) {
						rec := made("x", c[0], c[1])
						talks = append(talks, talk{start: rec.Start, startTo: rec.StartTo, end: rec.End, endTo: rec.EndTo, shortest: rec.Shortest, longest: rec.Longest, direction: rec.Direction})
					}
					e := math.Exp(s.weigh(list[0], talks, 1, nil).log)
					sum, squares, n = sum+e, squares+e*e, n+1
					for i, limit := range []float64{10, 100, 1000} {
						if e >= limit {
							above[i]++
						}
					}
				}
			}
			mean := sum / n
			t.Logf("mean %.3f of %.0f cards; %d above 10, %d above 100, %d above 1000", mean, n, above[0], above[1], above[2])
			// Three standard errors of Poisson counts at the promised rates.
			for i, limit := range []float64{10, 100, 1000} {
				if most := n/limit + 3*math.Sqrt(n/limit); float64(above[i]) > most {
					t.Errorf("%d of %.0f e-values of nothing are %v or more: want at most %.0f", above[i], n, limit, most)
				}
			}
			if wrong := math.Sqrt((squares/n - mean*mean) / n); mean > 1+3*wrong {
				t.Errorf("mean %.3f ± %.3f: want at most 1", mean, wrong)
			}
		})
	}
}

// Whole cities without a box: cards are named in at most one of a hundred.
func TestCitiesWithoutBox(t *testing.T) {
	cities := 60
	if testing.Short() {
		cities = 20
	}
	kinds := nulls()
	named, near := 0, math.Inf(-1)
	for n := range cities {
		r := rand.New(rand.NewPCG(uint64(n), 3))
		var calls []*reportpb.Call
		var records []*Record
		i := 0
		for _, name := range sorted(kinds) {
			p := kinds[name]
			i++
			for _, c := range p[0].draw(r, noon, noon+int64(90*time.Minute)) {
				calls = append(calls, call(fmt.Sprint("line ", i), c[0], c[1]))
			}
			for k := range 25 {
				for _, c := range p[1].draw(r, noon-int64(time.Hour), noon+int64(2*time.Hour)) {
					records = append(records, made(fmt.Sprint(name, " ", k), c[0], c[1]))
				}
			}
		}
		res := find(t, NewLines(calls, noon, noon+int64(90*time.Minute)), Options{ClockError: 10 * time.Second}, records)
		if len(res.Matches) > 0 {
			named++
			t.Logf("city %d: %+v", n, res.Matches[0])
		}
		for _, m := range append(res.Matches, res.Timetables...) {
			near = max(near, m.E)
		}
	}
	t.Logf("%d of %d cities", named, cities)
	if most := float64(cities)/100 + 3*math.Sqrt(float64(cities)/100); float64(named) > most {
		t.Errorf("a card is named in %d of %d cities without a box: want at most %.1f", named, cities, most)
	}
}
