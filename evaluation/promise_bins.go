package evaluation

import (
	"math"

	"simtrap/heuristics/catalogue"
)

// PromiseBin is what a sighting's bin costs the promise when the sighting is
// known at its own time: the expected ratio of box to class at the worst moment
// to stop, which is 1 for a fair one. It multiplies the bound.
type PromiseBin struct {
	Signal string  `json:"signal"`
	Class  string  `json:"class"`
	Box    string  `json:"box"`
	Factor float64 `json:"factor"`
}

// promiseBins gives each sighting's worst pair of box and class, where it is
// worse than fair by a hundredth.
//
// A sighting at T is given the probability of the bin that begins at T, box and
// class alike. The ratio of two such probabilities is not that of the
// densities: a class whose first sightings come early has less in the bin than
// its density at T says.
func promiseBins(w *promiseWorld) []PromiseBin {
	var out []PromiseBin
	for i := range w.cat.Signals {
		s := &w.cat.Signals[i]
		if s.Kind != catalogue.Sighting {
			continue
		}
		worst := PromiseBin{Signal: s.ID, Factor: 1.01}
		for b := range w.boxes() {
			for c := w.boxes(); c < len(w.columns); c++ {
				if f := promiseUnfair(w.rows[i][b], w.rows[i][c]); f > worst.Factor {
					worst.Class, worst.Box, worst.Factor = w.columns[c].class, w.columns[b].class, f
				}
			}
		}
		if worst.Class != "" {
			out = append(out, worst)
		}
	}
	return out
}

// promiseUnfair is, over moments to stop, the largest expectation under the
// class of the ratio as scored.
func promiseUnfair(box, class []catalogue.Row) float64 {
	const steps = 400
	worst, sum, before := 1.0, 0.0, 0.0
	for i := 1; i <= steps; i++ {
		t := math.Expm1(float64(i) / steps * math.Log1p(promiseEpoch))
		mid := (before + t) / 2
		ratio := (promiseNoneBy(box, mid) - promiseNoneBy(box, mid+promiseBin)) / (promiseNoneBy(class, mid) - promiseNoneBy(class, mid+promiseBin))
		sum += (promiseNoneBy(class, before) - promiseNoneBy(class, t)) * ratio
		// Lines without a sighting have the class's probability of none times the
		// ratio of the two: the box's.
		worst = max(worst, sum+promiseNoneBy(box, t))
		before = t
	}
	return worst
}

// promiseNoneBy is the probability of no sighting in t seconds.
func promiseNoneBy(rows []catalogue.Row, t float64) float64 {
	p := 0.0
	for _, r := range rows {
		p += r.W * math.Exp(-r.A*math.Log1p(t/r.Tau))
	}
	return p
}
