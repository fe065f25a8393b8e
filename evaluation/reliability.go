package evaluation

import (
	"math"
	"slices"
)

// Reliability sets how often honest lines ever had so many nats beside the bound
// that VERDICT section 5 promises.
type Reliability struct {
	Class string `json:"class"` // "" for all honest lines by their shares of the population
	Kind  string `json:"kind"`  // "margin", promised of every class; "score", of the whole
	Steps []Step `json:"steps"`
}

// Step is one number of nats.
type Step struct {
	Nats     float64 `json:"nats"`
	Rate     Rate    `json:"rate"`
	Bound    float64 `json:"bound"`
	Above    bool    `json:"above"`    // the rate is above the bound
	Exceeded bool    `json:"exceeded"` // so is the interval's lower end
}

func newStep(nats float64, rate Rate) Step {
	b := math.Exp(-nats)
	return Step{nats, rate, roundFine(b), rate.Rate > b, rate.Low > b}
}

// steps are the nats looked at.
func steps() []float64 { return []float64{0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 14} }

func (c *collector) reliability() (out []Reliability) {
	_, honest := c.classes(0)
	all := Reliability{Kind: "score"}
	weight := c.weights()
	for _, nats := range steps() {
		parts := make([]part, len(c.plan.Scenarios))
		c.each(0, func(f *fact) bool { return f.main && !f.box }, func(f *fact) {
			p := &parts[f.scenario]
			p.share = weight[f.scenario]
			p.n++
			if f.score.peak >= nats {
				p.k++
			}
		})
		all.Steps = append(all.Steps, newStep(nats, weighted(parts)))
	}
	if slices.ContainsFunc(all.Steps, func(s Step) bool { return s.Rate.N > 0 }) {
		out = append(out, all)
	}
	for _, kind := range []string{"margin", "score"} {
		for _, class := range honest {
			r := Reliability{Class: class, Kind: kind}
			for _, nats := range steps() {
				rate := c.byShare(0, class, func(f *fact) bool {
					if kind == "margin" {
						return f.margin.peak >= nats
					}
					return f.score.peak >= nats
				})
				r.Steps = append(r.Steps, newStep(nats, rate))
			}
			out = append(out, r)
		}
	}
	return out
}
