package pipeline

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/report"
)

// kept is a sink that keeps what it is given.
type kept struct {
	list  []heuristics.Finding
	wait  chan struct{} // until it is closed nothing is taken
	fails bool
}

func (k *kept) Finding(f *heuristics.Finding) error {
	if k.wait != nil {
		<-k.wait
	}
	k.list = append(k.list, *f)
	if k.fails {
		return errors.New("no")
	}
	return nil
}

// TestFindingsWhileRunning: every finding of a line at watch or above has come
// out before the end, each differs materially from the one before, and to tell
// does not change what is found.
func TestFindingsWhileRunning(t *testing.T) {
	file, truth := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Hour})
	replay, err := Run(t.Context(), opened(t, file), Config{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{}
	got := live(t, Config{Workers: 2, Sink: k}, opened(t, file))
	if d := cmp.Diff(outline(replay.Findings), outline(got.Findings)); d != "" {
		t.Errorf("telling changes what is found (-replay +live):\n%s", d)
	}
	near(t, replay.Findings, got.Findings)

	var box []heuristics.Finding
	for _, f := range k.list {
		if len(f.Signals) == 0 {
			t.Errorf("%v told without its ledger", f.Line)
		}
		for _, l := range truth.Lines {
			if l.Box() && l.Address == f.Line.String() {
				box = append(box, f)
			}
		}
	}
	if len(box) < 3 || box[0].Verdict < heuristics.Watch || box[len(box)-1].Verdict != heuristics.Case {
		t.Fatalf("the box was told %d times", len(box))
	}
	cards := func(f *heuristics.Finding) int { return len(f.Cards) }
	for i := 1; i < len(box)-1; i++ { // the last is how it ended
		a, b := &box[i-1], &box[i]
		d := b.Score - a.Score
		changed := a.Verdict != b.Verdict || d >= 1 || d <= -1 || cards(b) > cards(a) || !slices.Equal(a.Controllers, b.Controllers)
		if hour := b.Last-a.Last >= int64(55*time.Minute); !changed && !hour {
			t.Errorf("told again without cause: %+v\nafter %+v", b, a)
		}
	}
	if n := len(box); n > 60 {
		t.Errorf("told %d times in three hours", n)
	}
	final := got.Findings[slices.IndexFunc(got.Findings, func(f heuristics.Finding) bool { return f.Line == box[0].Line })]
	if d := cmp.Diff(outline([]heuristics.Finding{final}), outline(box[len(box)-1:])); d != "" || final.Score != box[len(box)-1].Score {
		t.Errorf("told last is not how it ended (-end +told):\n%s", d)
	}
}

// TestSinkFull: a sink that does not take anything holds up nothing, and what it
// did not take comes when it does.
func TestSinkFull(t *testing.T) {
	k := &kept{wait: make(chan struct{})}
	x := newTelling(k)
	go x.run()
	told := 0
	for x.tell(&heuristics.Finding{}) {
		told++
	}
	// One may be with the sink already.
	if told < maxTelling || told > maxTelling+1 || x.waits != 1 {
		t.Errorf("%d told, %d waits", told, x.waits)
	}
	close(k.wait)
	x.close()
	if n := len(k.list); n != told {
		t.Errorf("%d findings came of %d", n, told)
	}
	k = &kept{fails: true}
	x = newTelling(k)
	go x.run()
	x.tell(&heuristics.Finding{})
	x.close()
	if x.refused.Load() != 1 {
		t.Error("a refusal is not counted")
	}
}

// TestStreamOfFindings: what comes out while running is JSON Lines.
func TestStreamOfFindings(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 30 * time.Minute})
	var b bytes.Buffer
	live(t, Config{Sink: report.NewWriter(&b, report.Options{Names: ident.NewPseudonymizer(make([]byte, 32), "")})}, opened(t, file))
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for _, l := range lines {
		if !strings.HasPrefix(l, `{"line":"`) || !strings.HasSuffix(l, "}") {
			t.Errorf("line %q", l)
		}
	}
	if len(lines) < 2 {
		t.Errorf("%d lines", len(lines))
	}
}
