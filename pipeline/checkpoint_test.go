package pipeline

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
)

// judged is what a restart must leave as it is: a call or stream that goes on
// meanwhile may be lost.
func judged(list []heuristics.Finding) (out []string) {
	for i := range list {
		f := &list[i]
		var ids []string
		for _, r := range f.Signals {
			ids = append(ids, r.ID)
		}
		slices.Sort(ids)
		out = append(out, fmt.Sprintln(f.Line, f.Verdict, f.Proof, f.Cards, f.Controllers, slices.Compact(ids)))
	}
	slices.Sort(out)
	return out
}

// TestRestart cuts captures at random moments: a run that ends there, and another
// that goes on with the checkpoint of the first, find what one run finds.
func TestRestart(t *testing.T) {
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, opt := range []lab.Options{
		{Scenario: "goip-line", Seed: 1, Duration: time.Hour},
		{Scenario: "goip-line", Seed: 7, Duration: 2 * time.Hour},
		{Scenario: "trunk-32", Seed: 2, Duration: 20 * time.Minute},
		{Scenario: "ejoin", Seed: 1, Duration: time.Hour},
		{Scenario: "call-centre-inbound", Seed: 1, Duration: time.Hour},
	} {
		t.Run(fmt.Sprint(opt.Scenario, opt.Seed), func(t *testing.T) {
			t.Parallel()
			file, _ := made(t, opt)
			list := frames(t, opened(t, file))
			cfg := Config{Workers: 2, Homes: homes}
			whole := live(t, cfg, &port{number: 1, list: list, size: 200})
			r := rand.New(rand.NewPCG(opt.Seed, 5))
			for range 6 {
				cut := r.IntN(len(list))
				cfg.Checkpoint = filepath.Join(t.TempDir(), "lines")
				cfg.Seed = r.Uint64()
				live(t, cfg, &port{number: 1, list: list[:cut], size: 200})
				cfg.Seed = r.Uint64()
				l, err := NewLive(cfg, &port{number: 1, list: list[cut:], size: 200})
				if err != nil {
					t.Fatal(err)
				}
				if x := l.Restored(); x.Lines == 0 && cut > len(list)/10 || x.Damaged != nil {
					t.Errorf("cut at %d of %d: %+v", cut, len(list), x)
				}
				got, err := l.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(judged(whole.Findings), judged(got.Findings)); d != "" {
					t.Errorf("cut at %d of %d (-whole +cut):\n%s", cut, len(list), d)
				}
				near(t, whole.Findings, got.Findings)
			}
		})
	}
}
