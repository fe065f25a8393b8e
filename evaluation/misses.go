package evaluation

import (
	"slices"

	"simtrap/heuristics"
	"simtrap/trial"
)

// Miss is a line that came closest to a verdict from one side, with its ledger.
// Its scenario and seed make it again.
type Miss struct {
	What     string     `json:"what"`
	Scenario string     `json:"scenario"`
	Seed     uint64     `json:"seed"`
	Line     string     `json:"line"`
	Class    string     `json:"class"`
	Device   string     `json:"device"` // in truth
	Verdict  string     `json:"verdict"`
	Over     float64    `json:"over"` // nats above the bar
	Score    float64    `json:"score"`
	Margin   float64    `json:"margin"`
	Highest  [2]float64 `json:"highest"` // score and margin
	Nearest  string     `json:"nearest"`
	Rows     []Reason   `json:"rows"`
	Unseen   []string   `json:"unseen"`
}

// Reason is one row of a ledger.
type Reason struct {
	ID      string  `json:"id"`
	Family  string  `json:"family"`
	Nats    float64 `json:"nats"`
	Against string  `json:"against"`
	Detail  string  `json:"detail"`
}

// near is the nearest line so far.
type near struct {
	over float64
	miss Miss
}

// misses keeps the nearest lines as they come. Equal ones give way to the first.
type misses struct {
	short, beyond, lowest [heuristics.Case + 1]*near
	honest                map[string]*near // to watch, by class
}

func (m *misses) add(f *fact, l *trial.Line) {
	if l.Finding == nil {
		return // it has no ledger that could tell anything
	}
	for _, v := range verdicts() {
		over := f.over(v)
		switch {
		case f.box && f.main && f.shows.any(showsSIP):
			keep(&m.lowest[v], -over, f, l)
		case !f.box && f.at(v):
			keep(&m.beyond[v], over, f, l)
		case !f.box:
			keep(&m.short[v], over, f, l)
		}
	}
	if !f.box {
		n := m.honest[f.class]
		keep(&n, f.over(heuristics.Watch), f, l)
		m.honest[f.class] = n
	}
}

// keep puts a line in the place of one that was less near. over grows with
// nearness.
func keep(at **near, over float64, f *fact, l *trial.Line) {
	if *at != nil && (*at).over >= over {
		return
	}
	*at = &near{over, newMiss(f, l)}
}

func newMiss(f *fact, l *trial.Line) Miss {
	g := l.Finding
	m := Miss{
		Scenario: l.Scenario, Seed: f.seed, Line: l.Truth.Address, Class: f.class, Device: l.Truth.Device, Verdict: f.verdict.String(),
		Score: round(f.score.end), Margin: round(f.margin.end), Highest: [2]float64{round(f.score.peak), round(f.margin.peak)},
		Nearest: g.Nearest, Unseen: slices.Clone(g.Unseen),
	}
	for _, r := range g.Signals {
		m.Rows = append(m.Rows, Reason{r.ID, r.Family, round(r.Nats), r.Against, r.Detail})
	}
	return m
}

// list gives the nearest lines: for each verdict the honest line that came
// closest to it, the one that went farthest beyond, and the readable box that is
// farthest below or least above; then for each honest class the line that came
// closest to watch.
func (m *misses) list() (out []Miss) {
	add := func(n *near, over float64, what string) {
		if n != nil {
			n.miss.What, n.miss.Over = what, round(over)
			out = append(out, n.miss)
		}
	}
	for _, v := range verdicts() {
		if n := m.beyond[v]; n != nil {
			add(n, n.over, "honest line at "+v.String()+", farthest above its bar")
		}
		if n := m.short[v]; n != nil {
			add(n, n.over, "honest line below "+v.String()+", nearest to its bar")
		}
		if n := m.lowest[v]; n != nil {
			add(n, -n.over, "readable box lowest against the bar of "+v.String())
		}
	}
	var classes []string
	for class := range m.honest {
		classes = append(classes, class)
	}
	slices.Sort(classes)
	for _, class := range classes {
		add(m.honest[class], m.honest[class].over, "line of its class nearest to watch")
	}
	return out
}
