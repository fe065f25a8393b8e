package evaluation

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/lab"
)

// Boxes below their goal are grouped by scenario with what they lacked.
func TestShortfalls(t *testing.T) {
	const open = showsSIP | showsController
	low, kept := boxFact(0, heuristics.Watch, 10, open), boxFact(0, heuristics.Watch, 20, open)
	low.score, low.margin, low.nearest = standing{4, 6}, standing{1, 2}, "home"
	low.unseen = []string{"0 of 6 clock readings: x", "3 calls over 2 min: a case wants ten over ten minutes"}
	low.rows = []Reason{{ID: "one-leg", Nats: -3}, {ID: "clocks", Nats: 2}}
	kept.score, kept.margin, kept.nearest = standing{12, 12}, standing{4, 4}, "home"
	kept.unseen = []string{"4 of 6 clock readings: x", "5 of 6 clock readings: x"}
	c := hand(t, []lab.Scenario{{Name: "boxes", Box: true}, {Name: "fine", Box: true}},
		low, kept, boxFact(0, heuristics.Case, 40, open), boxFact(1, heuristics.Case, 40, open))
	v := func(x float64) *float64 { return &x }
	want := []Shortfall{{
		Goal: "a1", Verdict: "review", Scenario: "boxes", Class: "gateway", Missed: 2, Of: 3, LowScore: 1, LowMargin: 1, Clear: 1,
		Score: v(6), Margin: v(2), Calls: v(10), Nearest: []Counted{{"home", 2}},
		Lacked:  []Counted{{"fewer than 6 clock readings", 2}, {"fewer than ten calls over ten minutes", 1}},
		Against: []Weight{{"one-leg", -1.5}},
	}}
	if diff := cmp.Diff(want, c.shortfalls()); diff != "" {
		t.Errorf("shortfalls (-want +got):\n%s", diff)
	}
}

func TestPlainly(t *testing.T) {
	for s, want := range map[string]string{
		"0 of 3 calls with a voice stream of the line: no verdict without them": "fewer than 3 calls with a voice stream of the line",
		"1 call over 0 s: a case wants ten over ten minutes":                    "fewer than ten calls over ten minutes",
		"9015 inbound calls that only the far end vouches for: not counted":     "inbound calls that only the far end vouches for",
		"no registration seen: many accounts (65 min would settle it)":          "no registration seen",
	} {
		if got := plainly(s); got != want {
			t.Errorf("%q is told as %q", s, got)
		}
	}
}
