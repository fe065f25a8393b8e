package cases

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
)

// subscribers holds every line that the lab makes.
func subscribers(t *testing.T) *ident.Homes {
	t.Helper()
	h, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24", "2001:db8:1::/48"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// missing is what a finding must say of what a view does not show: one of
// these in its unseen.
func missing(view string) []string {
	switch view {
	case "up":
		return []string{"both ends took part"}
	case "down":
		return []string{"towards the line", "the line itself sent"}
	case "media":
		return []string{"no call signalling"}
	case "sip":
		return []string{"voice stream"}
	}
	return []string{""} // midcall: anything
}

// servers are far ends that a view may raise to review when nobody said where
// the subscribers are: they speak a gateway's own protocol, or somebody does in
// their name.
func servers(scenario, view string) bool {
	switch scenario {
	case "simbank": // the bank at the other end is one
		return view == "both" || view == "down" || view == "midcall"
	case "framed-home": // the forger's own address, as far as one direction shows
		return view == "down"
	}
	return false
}

// seeds is how many seeds the sweeps try, one unless SIMTRAP_SEEDS says more.
func seeds(t *testing.T, n int) int {
	if s := os.Getenv("SIMTRAP_SEEDS"); s != "" {
		v, err := strconv.Atoi(s)
		if err != nil || v < 1 {
			t.Fatalf("SIMTRAP_SEEDS=%s: want a number above 0", s)
		}
		return v
	}
	return n
}

// TestViews shows every scenario in part. No lookalike may rise above what it
// may get, nor above what the full view gave; and what is not seen is said.
func TestViews(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for seed := 1; seed <= seeds(t, 1); seed++ {
		for _, sc := range lab.Shown() {
			t.Run(fmt.Sprintf("%s/%d", sc.Name, seed), func(t *testing.T) {
				t.Parallel()
				full := map[bool]map[string]*finding{}
				for _, view := range []string{"both", "up", "down", "media", "sip", "midcall"} {
					path, truth := makeFile(t, lab.Options{Scenario: sc.Name, Seed: uint64(seed), Duration: 14 * time.Minute, View: view}, "")
					for _, given := range []bool{true, false} {
						homes := subscribers(t)
						if !given {
							homes = nil
						}
						found := byLine(decode(t, replayFile(t, path, false, homes, 2).json("")))
						if view == "both" {
							full[given] = found
						}
						t.Run(fmt.Sprintf("%s/home=%v", view, given), func(t *testing.T) {
							checkView(t, sc.Name, view, given, truth, full[given], found)
						})
					}
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

func checkView(t *testing.T, scenario, view string, given bool, truth *lab.Truth, full, found map[string]*finding) {
	subscriber := map[string]bool{}
	for _, l := range truth.Lines {
		subscriber[l.Address] = true
		f := found[l.Address]
		if f == nil {
			continue
		}
		what := l.Address + " (" + l.Device + ")"
		got := rank(t, f.Verdict)
		if got > rank(t, l.MaxVerdict) {
			t.Errorf("%s rises to %s, at most %s is right: score %.1f, margin %.1f, nearest %s, %+v", what, f.Verdict, l.MaxVerdict, f.Score, f.Margin, f.Nearest, f.Calls)
		}
		before := full[l.Address]
		if before == nil {
			continue
		}
		// What may stand at watch stands at its edge, whose side is a matter of calls.
		edge := got == heuristics.Watch && rank(t, l.MaxVerdict) >= heuristics.Watch
		if !l.Box() && got > rank(t, before.Verdict) && !edge {
			t.Errorf("%s rises to %s, the full view gives %s: score %.1f, margin %.1f, nearest %s, %+v", what, f.Verdict, before.Verdict, f.Score, f.Margin, f.Nearest, f.Calls)
		}
		if view != "both" && before.Calls.Inbound+before.Calls.Outbound > 0 && !says(f, missing(view)) {
			t.Errorf("%s does not say what is missing: %q", what, f.Unseen)
		}
	}
	for line, f := range found {
		switch {
		case subscriber[line]:
		case given:
			t.Errorf("a finding on %s, which is no subscriber's", line)
		case rank(t, f.Verdict) >= rank(t, lab.VerdictReview) && !servers(scenario, view):
			t.Errorf("far end %s rises to %s: score %.1f, margin %.1f, nearest %s, %+v", line, f.Verdict, f.Score, f.Margin, f.Nearest, f.Calls)
		}
	}
}

func says(f *finding, any []string) bool {
	for _, u := range f.Unseen {
		for _, a := range any {
			if strings.Contains(u, a) {
				return true
			}
		}
	}
	return false
}

// TestFramedHome: whatever a stranger throws at a household, its line stays
// below watch.
func TestFramedHome(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for seed := 1; seed <= seeds(t, 5); seed++ {
		for _, given := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d/home=%v", seed, given), func(t *testing.T) {
				t.Parallel()
				homes := subscribers(t)
				if !given {
					homes = nil
				}
				path, truth := makeFile(t, lab.Options{Scenario: "framed-home", Seed: uint64(seed), Duration: 30 * time.Minute}, "")
				o := replayFile(t, path, false, homes, 2)
				if o.result.Stats.Records == 0 || o.result.Stats.Calls < 50 {
					t.Fatalf("nothing was thrown: %d records, %d calls", o.result.Stats.Records, o.result.Stats.Calls)
				}
				f := byLine(decode(t, o.json("")))[truth.Lines[0].Address]
				if f == nil {
					t.Fatal("the line is not there")
				}
				if f.Verdict != lab.VerdictNone || f.Proof || len(f.Cards) > 0 {
					t.Errorf("verdict %s, proof %v, %d cards, score %.1f, margin %.1f", f.Verdict, f.Proof, len(f.Cards), f.Score, f.Margin)
				}
				// Not even the way to a verdict: nothing that was thrown counts.
				if f.Score > 0 || f.Calls.Verified > 0 || f.Calls.Answered > 0 || f.Calls.DistinctCalled > 0 {
					t.Errorf("the score is %.1f, calls %+v; want nothing counted", f.Score, f.Calls)
				}
			})
		}
	}
}
