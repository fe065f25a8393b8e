package evaluation

import (
	"math"
	"slices"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/lab"
)

// families lists those of the catalogue, in its order.
func families(cat *catalogue.Catalogue) (out []string) {
	for i := range cat.Signals {
		if f := cat.Signals[i].Family; !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// ablate scores a line without each family in turn, and last with all of them.
func ablate(m *heuristics.Model, f *heuristics.Finding, least pair) []pair {
	names := families(m.Catalogue())
	out := make([]pair, len(names)+1)
	for i := range out {
		out[i] = least
	}
	if f == nil || f.Evidence == nil {
		return out
	}
	for i, name := range append(names, "") {
		s := m.Without(f.Evidence, func(s *catalogue.Signal) bool { return s.Family == name })
		out[i] = pair{s.S, s.M}
	}
	return out
}

// Ablation is what becomes of the lines above a bar of score and margin when a
// family of signals is left out. The bars are those of the verdicts, without
// what verdicts ask for besides.
type Ablation struct {
	Score   float64       `json:"score"`
	Margin  float64       `json:"margin"`
	Classes []string      `json:"classes"` // boxes first
	Boxes   int           `json:"boxes"`   // how many of the classes are
	Rows    []AblationRow `json:"rows"`    // the first leaves nothing out
}

// AblationRow is the share of each class above the bar, by shares of scenarios.
type AblationRow struct {
	Without string    `json:"without"` // family, "" for none
	Rates   []float64 `json:"rates"`
}

// hiding tells the same of boxes by how they hide, and of their honest twins, each
// drawn as often. The bar of a watch is that of lines of which voice alone is seen,
// a margin of ln 10 (VERDICT section 6).
func (c *collector) hiding() (out []Ablation) {
	names := families(c.model.Catalogue())
	var ways, twins []string
	hides := make(map[string]bool)
	for _, s := range lab.Hiding() {
		hides[s.Name] = true
	}
	for _, s := range c.plan.Scenarios {
		switch {
		case !hides[s.Name]:
			continue
		case !s.Box:
			twins = append(twins, s.Name)
		case !slices.Contains(ways, s.Hides):
			ways = append(ways, s.Hides)
		}
	}
	if len(ways) == 0 {
		return nil
	}
	watch, review := bar(heuristics.Watch), bar(heuristics.Review)
	watch.m = math.Round(100*math.Ln10) / 100
	for _, b := range []pair{watch, review} {
		a := Ablation{Score: b.s, Margin: b.m, Classes: slices.Concat(ways, twins), Boxes: len(ways)}
		for i := range len(names) + 1 {
			at, row := len(names), AblationRow{}
			if i > 0 {
				at, row.Without = i-1, names[i-1]
			}
			for k, class := range a.Classes {
				above, all := 0, 0
				for j := range c.tallys[0].facts {
					f := &c.tallys[0].facts[j]
					s := &c.plan.Scenarios[f.scenario]
					if !f.main || !hides[s.Name] || k < len(ways) && (!s.Box || s.Hides != class) || k >= len(ways) && s.Name != class {
						continue
					}
					all++
					if f.without[at].s >= b.s && f.without[at].m >= b.m {
						above++
					}
				}
				row.Rates = append(row.Rates, float64(above)/float64(max(all, 1)))
			}
			a.Rows = append(a.Rows, row)
		}
		out = append(out, a)
	}
	return out
}

func (c *collector) ablations() (out []Ablation) {
	names := families(c.model.Catalogue())
	boxes, honest := c.classes(0)
	beside := func(class string) bool { // no scenario is about it
		return !slices.ContainsFunc(c.tallys[0].facts, func(f fact) bool { return f.main && f.class == class })
	}
	boxes, honest = slices.DeleteFunc(boxes, beside), slices.DeleteFunc(honest, beside)
	for _, v := range []heuristics.Verdict{heuristics.Watch, heuristics.Review} {
		b := bar(v)
		a := Ablation{Score: b.s, Margin: b.m, Classes: slices.Concat(boxes, honest), Boxes: len(boxes)}
		for i := range len(names) + 1 {
			// The last of a line's scores has all families; it is told first.
			at, row := len(names), AblationRow{}
			if i > 0 {
				at, row.Without = i-1, names[i-1]
			}
			for _, class := range a.Classes {
				r := c.byShare(0, class, func(f *fact) bool {
					return f.main && f.without[at].s >= b.s && f.without[at].m >= b.m
				})
				row.Rates = append(row.Rates, r.Rate)
			}
			a.Rows = append(a.Rows, row)
		}
		out = append(out, a)
	}
	return out
}
