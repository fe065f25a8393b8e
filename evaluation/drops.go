package evaluation

import (
	"cmp"
	"math"
	"slices"

	"simtrap/heuristics"
)

// Drop is by how much the bar of a verdict, its score and its margin alike, would
// have to fall for so many boxes that hide in one way to be above it, and what else
// would be above it then. Since a verdict's promise is that an honest line is above
// a margin of so many nats once in e to their power, each nat makes the promise
// nearly three times weaker.
type Drop struct {
	Goal   string   `json:"goal"` // ID of the goal whose boxes these are
	Text   string   `json:"text"`
	Boxes  int      `json:"boxes"`
	Want   float64  `json:"want"`
	Score  float64  `json:"score"` // the bar as it is
	Margin float64  `json:"margin"`
	Nats   float64  `json:"nats"` // by which it would have to fall; 0 where it need not
	Honest []Beside `json:"honest"`
}

// Beside is an honest scenario with lines above a bar: as it is, and lowered.
type Beside struct {
	Scenario string `json:"scenario"`
	Lines    int    `json:"lines"`
	Above    int    `json:"above"`
	Lowered  int    `json:"lowered"`
}

// drops tells that of the goals of boxes that hide. A watch of which voice alone is
// seen asks for a margin of ln 10.
func (c *collector) drops() (out []Drop) {
	watch := bar(heuristics.Watch)
	watch.m = math.Round(100*math.Ln10) / 100
	for _, g := range c.hiddenGoals() {
		if g.want <= 0 {
			continue
		}
		b := watch
		if g.verdict == heuristics.Review {
			b = bar(heuristics.Review)
		}
		over := func(f *fact) float64 {
			all := f.without[len(f.without)-1]
			return min(all.s-b.s, all.m-b.m)
		}
		var boxes []float64
		c.each(0, g.of, func(f *fact) { boxes = append(boxes, over(f)) })
		if len(boxes) == 0 {
			continue
		}
		slices.Sort(boxes)
		// So many of the lowest may stay below.
		lowest := boxes[min(int(float64(len(boxes))*(1-g.want)+1e-9), len(boxes)-1)]
		d := Drop{Goal: g.id, Text: g.text, Boxes: len(boxes), Want: g.want, Score: b.s, Margin: b.m, Nats: round(max(-lowest, 0))}
		at := make(map[string]*Beside)
		c.each(0, func(f *fact) bool { return f.main && !f.box && !f.proof }, func(f *fact) {
			name := c.plan.Scenarios[f.scenario].Name
			if at[name] == nil {
				at[name] = &Beside{Scenario: name}
			}
			s, o := at[name], over(f)
			s.Lines++
			if o >= 0 {
				s.Above++
			}
			if o >= min(lowest, 0) {
				s.Lowered++
			}
		})
		for _, s := range at {
			if s.Lowered > 0 {
				d.Honest = append(d.Honest, *s)
			}
		}
		slices.SortFunc(d.Honest, func(a, b Beside) int {
			return cmp.Or(cmp.Compare(float64(b.Lowered)/float64(b.Lines), float64(a.Lowered)/float64(a.Lines)), cmp.Compare(a.Scenario, b.Scenario))
		})
		out = append(out, d)
	}
	return out
}
