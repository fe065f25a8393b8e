package evaluation

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"simtrap/heuristics"
)

// short is a handful of captures of every kind: a box with proof, one without, a
// lookalike with calls, one that shows nothing, and lines beside others.
func short(t *testing.T) *Plan {
	return &Plan{
		Scenarios: scenarios(t, "goip-line", "trunk-32", "pstn-breakout", "two-slot", "box-household"),
		Draws:     2, First: 1, Views: []string{"up"}, Vendors: true, Duration: 5 * time.Minute,
	}
}

func evaluate(t *testing.T, p *Plan) *Report {
	t.Helper()
	r, err := Evaluate(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func find(t *testing.T, groups []Group, name string) *Group {
	t.Helper()
	for i := range groups {
		if groups[i].Name == name {
			return &groups[i]
		}
	}
	t.Fatalf("no %s", name)
	return nil
}

func TestEvaluate(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector makes it fifteen times as long; package trial has the goroutines, and is tried under it")
	}
	plan := short(t)
	seen := 0
	r, err := Evaluate(t.Context(), plan, func(n int) {
		if n != seen+1 {
			t.Errorf("%d captures after %d", n, seen)
		}
		seen = n
	})
	if err != nil {
		t.Fatal(err)
	}
	// Five scenarios plain and from one side, four of boxes under two names.
	if r.Captures != 2*(5+4+4+5) || seen != r.Captures || len(r.Variants) != 4 {
		t.Errorf("%d captures, %d seen, %d variants", r.Captures, seen, len(r.Variants))
	}
	plain := &r.Variants[0]

	goip := find(t, plain.Scenarios, "goip-line")
	if goip.Draws != 2 || goip.Verdicts != [4]int{0, 0, 0, 2} || goip.Case.Draws.Rate != 1 || goip.Class != "gateway" || !goip.Box {
		t.Errorf("goip-line: %+v", goip)
	}
	if m := goip.Case.Seconds.Median; m == nil || *m < 60 || *m > 200 {
		t.Errorf("goip-line reaches a case after %v s", m)
	}
	if goip.Controllers == nil || goip.Controllers.True == 0 || goip.Controllers.Recall == 0 {
		t.Errorf("controllers: %+v", goip.Controllers)
	}
	breakout := find(t, plain.Scenarios, "pstn-breakout")
	if breakout.Box || breakout.Channels != nil || breakout.Draws != 2 {
		t.Errorf("pstn-breakout: %+v", breakout)
	}

	// Main lines alone make figures of boxes; all others count for their class.
	gateways := find(t, plain.Classes, "gateway")
	if gateways.Draws != 6 || gateways.Beside == [4]int{} {
		t.Errorf("gateways: %d lines, %v beside", gateways.Draws, gateways.Beside)
	}
	home := find(t, plain.Classes, "home")
	if home.Draws != 0 || home.Beside[heuristics.None] != 2 {
		t.Errorf("homes: %+v", home)
	}
	for i := range r.Variants {
		for _, g := range r.Variants[i].Goals {
			switch g.ID {
			case "c":
				if i == 0 && (g.Met == nil || !*g.Met || g.Rate.N == 0) {
					t.Errorf("proof: %+v", g)
				}
				if i > 0 && g.Met != nil {
					t.Errorf("%s asks for proof: %+v", g.Variant, g)
				}
			case "e1":
				if g.Rate.N > 0 && (g.Met == nil || !*g.Met) {
					t.Errorf("%s: %+v", g.Variant, g)
				}
			case "h":
				if r.Variants[i].Vendor == "" || g.Met == nil {
					t.Errorf("%s: %+v", g.Variant, g)
				}
			}
		}
	}
	if len(r.Ablations) != 2 || len(r.Ablations[0].Rows) != len(families(model(t).Catalogue()))+1 {
		t.Errorf("%d ablations", len(r.Ablations))
	}
	if len(r.Misses) == 0 || len(r.Margins) == 0 || len(r.Curves) == 0 || len(r.Histogram) == 0 {
		t.Errorf("%d misses, %d margins, %d curves, %d bins", len(r.Misses), len(r.Margins), len(r.Curves), len(r.Histogram))
	}
	for _, m := range r.Misses {
		if m.Scenario == "" || len(m.Rows) == 0 || len(m.What) == 0 {
			t.Errorf("a miss without its ledger: %+v", m)
		}
	}
	text := new(bytes.Buffer)
	if err := r.WriteText(text); err != nil {
		t.Fatal(err)
	}
	narrow(t, text.String())
	page := new(bytes.Buffer)
	if err := r.WriteHTML(page); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, page.String())

	// The same code and the same draws give the same figures.
	var first, second bytes.Buffer
	if err := r.WriteJSON(&first); err != nil {
		t.Fatal(err)
	}
	if err := evaluate(t, plan).WriteJSON(&second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("a second run gave other figures")
	}
}

func model(t *testing.T) *heuristics.Model {
	t.Helper()
	m, err := newModel()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEvaluateFails(t *testing.T) {
	if _, err := Evaluate(t.Context(), &Plan{Draws: 1}, nil); err == nil {
		t.Error("nothing was measured")
	}
	p := short(t)
	p.Views = []string{"sideways"}
	if _, err := Evaluate(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "sideways") {
		t.Errorf("%v", err)
	}
}

// narrow refuses lines of more than 100 columns, and numbers that are none.
func narrow(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > textWidth {
			t.Errorf("%d columns: %s", n, line)
		}
		for _, bad := range []string{"NaN", "Inf", "%!"} {
			if strings.Contains(line, bad) {
				t.Errorf("%s in %s", bad, line)
			}
		}
	}
}
