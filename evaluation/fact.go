package evaluation

import (
	"slices"

	"simtrap/heuristics"
	"simtrap/lab"
	"simtrap/trial"
)

// fact is what is kept of one line when its capture is gone.
type fact struct {
	scenario int // of the plan
	seed     uint64
	main     bool
	box      bool
	class    string
	shows    shows
	proof    bool // there was something to prove with

	verdict       heuristics.Verdict
	score, margin standing // as they stood at the end; highest
	reached       [heuristics.Case + 1]moment
	calls         int // seen, of whatever worth

	channels, installed, peak int // found; true: as built, most in use at once
	cards, controllers        trial.Match

	nearest string   // class
	rows    []Reason // of boxes: what weighed against that class
	unseen  []string // of boxes
	without []pair   // of main lines: the score at the end without each family, then with all
}

// standing is one figure of a line at its end and at its highest.
type standing struct{ end, peak float64 }

// newStanding takes the end for the highest where no more is known of that than
// that it is not above 0, from where the detector starts.
func newStanding(end, peak float64) standing {
	if peak <= 0 {
		peak = end
	}
	return standing{end, max(end, peak)}
}

// pair is a score and a margin.
type pair struct{ s, m float64 }

// moment is when a line rose to a verdict.
type moment struct {
	ok      bool
	seconds float64 // from the start of the capture
	calls   int     // counted until then
}

// shows is what there is to read of a box.
type shows uint8

const (
	showsSIP shows = 1 << iota
	showsControl
	showsCards
	showsMessages
	showsChanges
	showsController
)

// telling is what gives a box away beside its calls.
const telling = showsControl | showsMessages | showsChanges | showsController

func (s shows) any(of shows) bool { return s&of != 0 }

func shown(names []string) (s shows) {
	for i, name := range []string{lab.ShowSIP, lab.ShowControl, lab.ShowCards, lab.ShowMessages, lab.ShowChanges, lab.ShowController} {
		if slices.Contains(names, name) {
			s |= 1 << i
		}
	}
	return s
}

// newFact boils a line down. least is the score and the margin of a line that
// showed nothing.
func newFact(l *trial.Line, scenario int, least pair) fact {
	t := l.Truth
	f := fact{
		scenario: scenario, seed: l.Options.Seed, main: l.Main, box: t.Box(), class: l.Class(), shows: shown(t.Shows), proof: t.Proof,
		verdict: l.Verdict(), score: standing{least.s, least.s}, margin: standing{least.m, least.m},
		installed: t.Channels, peak: t.Calls.PeakConcurrent,
	}
	if f.box {
		f.cards, f.controllers = l.Cards(), l.Controllers()
	}
	if l.Finding == nil {
		return f
	}
	g := l.Finding
	f.score, f.margin = newStanding(g.Score, g.PeakScore), newStanding(g.Margin, g.PeakMargin)
	f.calls = max(g.Calls.Inbound+g.Calls.Outbound, g.Calls.Answered)
	f.channels = g.Device.Channels
	f.nearest = g.Nearest
	if f.box && f.main {
		f.unseen = slices.Clone(g.Unseen)
		for _, r := range g.Signals {
			if r.Against == g.Nearest {
				f.rows = append(f.rows, Reason{ID: r.ID, Family: r.Family, Nats: r.Nats, Against: r.Against})
			}
		}
	}
	start := l.Truths.Start.UnixNano()
	for _, r := range g.Reached {
		f.reached[r.Verdict] = moment{true, float64(max(r.At-start, 0)) / 1e9, r.Calls}
	}
	return f
}

// at says whether a line reached a verdict and kept it.
func (f *fact) at(v heuristics.Verdict) bool { return f.verdict >= v }

// verdicts are those that are counted.
func verdicts() []heuristics.Verdict {
	return []heuristics.Verdict{heuristics.Watch, heuristics.Review, heuristics.Case}
}

// bar is what a verdict asks of score and margin (VERDICT section 6).
func bar(v heuristics.Verdict) pair {
	switch v {
	case heuristics.Watch:
		return pair{5, 0}
	case heuristics.Review:
		return pair{10, 3}
	}
	return pair{14, 5}
}

// over is by how much a line's highest score and margin clear a verdict's bar,
// less than 0 where they do not.
func (f *fact) over(v heuristics.Verdict) float64 {
	b := bar(v)
	return min(f.score.peak-b.s, f.margin.peak-b.m)
}
