package evaluation

import (
	"fmt"
	"maps"
	"slices"

	"simtrap/heuristics"
	"simtrap/trial"
)

// Miss is a line that came closest to a verdict from one side, with its ledger.
// Its scenario and seed make it again.
type Miss struct {
	What     []string   `json:"what"`
	Scenario string     `json:"scenario"`
	Seed     uint64     `json:"seed"`
	Line     string     `json:"line"`
	Class    string     `json:"class"`
	Device   string     `json:"device"` // in truth
	Verdict  string     `json:"verdict"`
	Over     float64    `json:"over"` // nats above the bar that it is told for
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
	rank float64 // grows with nearness
	over float64
	miss Miss
}

// misses keeps the nearest lines as they come. Equal ones give way to the first.
type misses struct {
	short, beyond, lowest [heuristics.Case + 1]*near
	classes               map[string]*near // by how near to watch, boxes from above
}

func (m *misses) add(f *fact, l *trial.Line) {
	readable := f.box && f.main && f.shows.any(showsSIP)
	if l.Finding == nil || f.box && !readable {
		return // there is no ledger that could tell anything
	}
	for _, v := range verdicts() {
		over := f.over(v)
		switch {
		case readable:
			keep(&m.lowest[v], -over, over, f, l)
		case f.at(v):
			keep(&m.beyond[v], over, over, f, l)
		default:
			keep(&m.short[v], over, over, f, l)
		}
	}
	n, over := m.classes[f.class], f.over(heuristics.Watch)
	rank := over
	if readable {
		rank = -over
	}
	keep(&n, rank, over, f, l)
	m.classes[f.class] = n
}

// keep puts a line in the place of one that was less near.
func keep(at **near, rank, over float64, f *fact, l *trial.Line) {
	if *at == nil || (*at).rank < rank {
		*at = &near{rank, over, newMiss(f, l)}
	}
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

// list gives the nearest lines, each once: for each verdict the honest line that
// went farthest beyond, the one that came closest, and the readable box that is
// lowest; then of each class the line that came closest to the other side of
// watch.
func (m *misses) list() (out []Miss) {
	add := func(n *near, what string) {
		if n == nil {
			return
		}
		what = fmt.Sprintf("%s (%+.1f)", what, n.over)
		same := func(o Miss) bool {
			return o.Scenario == n.miss.Scenario && o.Seed == n.miss.Seed && o.Line == n.miss.Line
		}
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i].What = append(out[i].What, what)
			return
		}
		n.miss.What, n.miss.Over = []string{what}, round(n.over)
		out = append(out, n.miss)
	}
	for _, v := range verdicts() {
		add(m.beyond[v], "honest, farthest above the bar of "+v.String())
		add(m.short[v], "honest, nearest below "+v.String())
		add(m.lowest[v], "readable box, lowest against the bar of "+v.String())
	}
	for _, class := range slices.Sorted(maps.Keys(m.classes)) {
		add(m.classes[class], "of its class the nearest to the other side of watch")
	}
	return out
}
