package evaluation

import (
	"cmp"
	"math"
	"slices"

	"simtrap/heuristics"
)

// Drop is to which bar, of score and margin, a verdict would have to fall for so many
// boxes that hide in one way to be above it, and what else would be above it then. Of
// the bars that so many boxes are above it is the one that the fewest honest lines are,
// each scenario's counted by its share above it: no other would cost less.
type Drop struct {
	Goal    string     `json:"goal"` // ID of the goal whose boxes these are
	Text    string     `json:"text"`
	Boxes   int        `json:"boxes"`
	Want    float64    `json:"want"`
	Bar     [2]float64 `json:"bar"` // score and margin as they are
	Lowered [2]float64 `json:"lowered"`
	Honest  []Beside   `json:"honest"`
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
		var boxes []pair
		c.each(0, g.of, func(f *fact) { boxes = append(boxes, f.without[len(f.without)-1]) })
		if len(boxes) == 0 {
			continue
		}
		need := int(math.Ceil(float64(len(boxes))*g.want - 1e-9))
		// One bar for each score of a box: the highest margin that enough boxes of no less
		// score have.
		least := math.Inf(1)
		d := Drop{Goal: g.id, Text: g.text, Boxes: len(boxes), Want: g.want, Bar: [2]float64{b.s, b.m}}
		for _, at := range boxes {
			low := pair{min(at.s, b.s), b.m}
			var margins []float64
			for _, p := range boxes {
				if p.s >= low.s {
					margins = append(margins, p.m)
				}
			}
			if len(margins) < need {
				continue
			}
			slices.Sort(margins)
			low.m = min(low.m, margins[len(margins)-need])
			honest := c.beside(b, low)
			cost := 0.0
			for _, h := range honest {
				cost += float64(h.Lowered) / float64(h.Lines)
			}
			if cost < least || cost == least && low.s+low.m > d.Lowered[0]+d.Lowered[1] {
				least, d.Honest, d.Lowered = cost, honest, [2]float64{low.s, low.m}
			}
		}
		d.Lowered = [2]float64{round(d.Lowered[0]), round(d.Lowered[1])}
		out = append(out, d)
	}
	return out
}

// beside counts the honest main lines above a bar and above a lowered one, by scenario;
// those without any are left out.
func (c *collector) beside(b, low pair) (out []Beside) {
	at := make(map[string]*Beside)
	c.each(0, func(f *fact) bool { return f.main && !f.box && !f.proof }, func(f *fact) {
		name := c.plan.Scenarios[f.scenario].Name
		if at[name] == nil {
			at[name] = &Beside{Scenario: name}
		}
		s, p := at[name], f.without[len(f.without)-1]
		s.Lines++
		if p.s >= b.s && p.m >= b.m {
			s.Above++
		}
		if p.s >= low.s && p.m >= low.m {
			s.Lowered++
		}
	})
	for _, s := range at {
		if s.Lowered > 0 {
			out = append(out, *s)
		}
	}
	slices.SortFunc(out, func(a, b Beside) int {
		return cmp.Or(cmp.Compare(float64(b.Lowered)/float64(b.Lines), float64(a.Lowered)/float64(a.Lines)), cmp.Compare(a.Scenario, b.Scenario))
	})
	return out
}
