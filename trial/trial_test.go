package trial

import (
	"context"
	"slices"
	"testing"
	"time"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/lab"
)

// Every class of the lab has its place in the catalogue.
func TestClasses(t *testing.T) {
	cat, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, k := range append(cat.Boxes, cat.Classes...) {
		known[k.Name] = true
	}
	for _, s := range lab.Scenarios() {
		if s.Class != "" && !known[class(s.Class)] {
			t.Errorf("%s: the catalogue knows no class %q (%s)", s.Name, class(s.Class), s.Class)
		}
	}
}

func TestRunAll(t *testing.T) {
	b, err := NewBench()
	if err != nil {
		t.Fatal(err)
	}
	var jobs []lab.Options
	for seed := range uint64(6) {
		jobs = append(jobs, lab.Options{Scenario: "goip-line", Seed: seed, Duration: 4 * 60e9}, lab.Options{Scenario: "home-plain", Seed: seed, Duration: 60e9})
	}
	at := 0
	err = b.RunAll(t.Context(), jobs, func(i int, lines []Line) error {
		if i != at || len(lines) != 1 || lines[0].Options != jobs[i] || !lines[0].Main {
			t.Fatalf("job %d when %d is due: %+v", i, at, lines)
		}
		at++
		l := &lines[0]
		switch l.Scenario {
		case "goip-line":
			if l.Verdict() != heuristics.Case || l.Class() != "gateway" || l.Finding.Evidence == nil || len(l.Finding.Reached) == 0 {
				t.Errorf("seed %d: %v", l.Options.Seed, l.Verdict())
			}
		default:
			if l.Verdict() != heuristics.None {
				t.Errorf("seed %d: %v", l.Options.Seed, l.Verdict())
			}
		}
		return nil
	})
	if err != nil || at != len(jobs) {
		t.Fatal(at, err)
	}
}

// A capture without any telephony is a result too.
func TestRunOfNothing(t *testing.T) {
	b, err := NewBench()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := b.Run(t.Context(), lab.Options{Scenario: "conference", Duration: 60e9})
	if err != nil || len(lines) == 0 || lines[0].Verdict() != heuristics.None {
		t.Error(lines, err)
	}
}

func TestRunAllStops(t *testing.T) {
	b, err := NewBench()
	if err != nil {
		t.Fatal(err)
	}
	jobs := make([]lab.Options, 50)
	for i := range jobs {
		jobs[i] = lab.Options{Scenario: "no such thing"}
	}
	if err := b.RunAll(t.Context(), jobs, func(int, []Line) error { return nil }); err == nil {
		t.Error("an unknown scenario ran")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	jobs[0].Scenario = "demo"
	if err := b.RunAll(ctx, jobs[:1], func(int, []Line) error { return nil }); err == nil {
		t.Error("ran although cancelled")
	}
}

// A capture in which nobody telephones has no finding, and is none the worse.
func TestRunNothing(t *testing.T) {
	b, err := NewBench()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := b.Run(t.Context(), lab.Options{Scenario: "two-slot", Seed: 1, Duration: time.Second})
	if err != nil || len(lines) != 1 || lines[0].Finding != nil || lines[0].Verdict() != heuristics.None {
		t.Errorf("%+v, %v", lines, err)
	}
}

// The cards of a bank elsewhere are named on the line that uses them, and none
// that are not there.
func TestBorrowedCards(t *testing.T) {
	b, err := NewBench()
	if err != nil {
		t.Fatal(err)
	}
	var all Match
	for seed := range uint64(8) {
		lines, err := b.Run(t.Context(), lab.Options{Scenario: "bank-gateway", Seed: 300 + seed})
		if err != nil {
			t.Fatal(err)
		}
		if l := &lines[0]; slices.Contains(l.Truth.Shows, lab.ShowCards) {
			all = all.Add(l.Cards())
		}
	}
	if all.True < 10 || all.Right != all.Found || 20*all.Seen < 19*all.True {
		t.Errorf("%+v", all)
	}
}
