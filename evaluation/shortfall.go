package evaluation

import (
	"cmp"
	"maps"
	"regexp"
	"slices"

	"simtrap/heuristics"
)

// Shortfall is the boxes of one scenario that a goal asks a verdict of and that
// stayed below it, with what they had in common: a table that only counts them
// says nothing of why.
type Shortfall struct {
	Goal     string `json:"goal"`
	Verdict  string `json:"verdict"` // that the goal asks for
	Scenario string `json:"scenario"`
	Class    string `json:"class"`
	Missed   int    `json:"missed"`
	Of       int    `json:"of"`

	// How many of the missed had too low a score, a margin too low, and enough
	// of both at their highest, so that another condition kept them.
	LowScore  int `json:"low_score"`
	LowMargin int `json:"low_margin"`
	Clear     int `json:"clear"`

	Score   *float64  `json:"score"` // medians of the highest, of the missed
	Margin  *float64  `json:"margin"`
	Calls   *float64  `json:"calls"`   // seen
	Nearest []Counted `json:"nearest"` // the most frequent first
	Lacked  []Counted `json:"lacked"`
	Against []Weight  `json:"against"` // the heaviest first
	Silent  int       `json:"silent"`  // showed nothing that a ledger could be kept of
}

// Counted is how many lines something holds for.
type Counted struct {
	Text  string `json:"text"`
	Lines int    `json:"lines"`
}

// Weight is a signal's mean nats over lines, one that was not seen counting 0.
type Weight struct {
	Signal string  `json:"signal"`
	Nats   float64 `json:"nats"`
}

// Of each shortfall that many are told.
const (
	maxLacked  = 6
	maxAgainst = 4
)

// asked are the boxes that goals ask a verdict of.
func asked() []struct {
	id string
	of func(*fact) bool
	v  heuristics.Verdict
} {
	return []struct {
		id string
		of func(*fact) bool
		v  heuristics.Verdict
	}{
		{"a1", (*fact).open, heuristics.Review},
		{"a2", (*fact).heard, heuristics.Case},
		{"b1", (*fact).bare, heuristics.Watch},
		{"c", (*fact).provable, heuristics.Case},
		{"d", (*fact).relay, heuristics.Watch},
	}
}

// shortfalls groups what was missed by goal and scenario.
func (c *collector) shortfalls() []Shortfall {
	out := []Shortfall{} // none is not the same as not counted
	for _, a := range asked() {
		for s := range c.plan.Scenarios {
			var missed []*fact
			of := 0
			c.each(0, func(f *fact) bool { return f.scenario == s && a.of(f) }, func(f *fact) {
				of++
				if !f.at(a.v) {
					missed = append(missed, f)
				}
			})
			if len(missed) == 0 {
				continue
			}
			out = append(out, newShortfall(missed, a.v))
			k := &out[len(out)-1]
			k.Goal, k.Scenario, k.Of = a.id, c.plan.Scenarios[s].Name, of
		}
	}
	return out
}

func newShortfall(missed []*fact, v heuristics.Verdict) Shortfall {
	k := Shortfall{Verdict: v.String(), Class: missed[0].class, Missed: len(missed)}
	var scores, margins, calls []float64
	nearest, lacked, against := make(map[string]int), make(map[string]int), make(map[string]float64)
	for _, f := range missed {
		scores, margins, calls = append(scores, f.score.peak), append(margins, f.margin.peak), append(calls, float64(f.calls))
		low, b := false, bar(v)
		if f.score.peak < b.s {
			k.LowScore++
			low = true
		}
		if f.margin.peak < b.m {
			k.LowMargin++
			low = true
		}
		if !low {
			k.Clear++
		}
		if f.nearest == "" {
			k.Silent++
			continue
		}
		nearest[f.nearest]++
		seen := make(map[string]bool)
		for _, u := range f.unseen {
			if u = plainly(u); !seen[u] {
				seen[u] = true
				lacked[u]++
			}
		}
		for _, r := range f.rows {
			against[r.ID] += r.Nats / float64(len(missed))
		}
	}
	k.Score, k.Margin, k.Calls = quantile(scores, len(scores), 0.5), quantile(margins, len(margins), 0.5), quantile(calls, len(calls), 0.5)
	k.Nearest, k.Lacked = counted(nearest, 2), counted(lacked, maxLacked)
	for id, nats := range against {
		if nats = round(nats); nats <= -0.05 {
			k.Against = append(k.Against, Weight{id, nats})
		}
	}
	slices.SortFunc(k.Against, func(a, b Weight) int { return cmp.Or(cmp.Compare(a.Nats, b.Nats), cmp.Compare(a.Signal, b.Signal)) })
	k.Against = k.Against[:min(len(k.Against), maxAgainst)]
	return k
}

// counted lists the most frequent.
func counted(of map[string]int, most int) []Counted {
	var out []Counted
	for _, text := range slices.Sorted(maps.Keys(of)) {
		out = append(out, Counted{text, of[text]})
	}
	slices.SortStableFunc(out, func(a, b Counted) int { return cmp.Compare(b.Lines, a.Lines) })
	return out[:min(len(out), most)]
}

// plainly takes the numbers of one line out of what it lacked, and what that would
// have decided, so that lines which lacked the same are counted together.
func plainly(s string) string {
	for _, r := range []struct{ of, as string }{
		{`^[0-9]+ of ([0-9]+) `, "fewer than $1 "},
		{`^[0-9]+ calls? over .*`, "fewer than ten calls over ten minutes"},
		{`^[0-9]+ inbound calls? that`, "inbound calls that"},
		{`^[0-9]+ `, ""},
		{` \([^)]*\)`, ""},
		{`: .*`, ""},
	} {
		s = regexp.MustCompile(r.of).ReplaceAllString(s, r.as)
	}
	return s
}
