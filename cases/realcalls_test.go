package cases

import (
	"context"
	"os"
	"testing"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/pipeline"
)

// TestRealCalls holds what scripts/realcalls.sh did with other people's
// programs against what is read of it: 32 lines of one address that registered,
// one answered call to each, voice both ways.
func TestRealCalls(t *testing.T) {
	path := os.Getenv("SIMTRAP_REALCALLS")
	if path == "" {
		t.Skip("no capture of real calls: scripts/realcalls.sh makes one and runs this test")
	}
	const lines = 32
	f, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{tally{map[string]int{}, map[string]flowStats{}}, map[string]*[2]float64{}}
	r, err := pipeline.Run(context.Background(), f, pipeline.Config{Homes: homes, Observe: w})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 1 {
		t.Fatalf("%d findings, want the one line", len(r.Findings))
	}
	got := &r.Findings[0]
	if got.Line.String() != "203.0.113.7" {
		t.Errorf("line %s", got.Line)
	}
	c := got.Calls
	if c.Inbound != lines || c.Outbound != 0 || c.Answered != lines || c.Verified != lines {
		t.Errorf("calls %+v, want %d inbound, answered and verified", c, lines)
	}
	// Nine seconds of talk, four calls a second.
	if c.PeakConcurrent < lines-2 {
		t.Errorf("at most %d calls at once, want about %d", c.PeakConcurrent, lines)
	}
	if n := len(got.Links.Accounts); n != lines {
		t.Errorf("%d accounts, want %d", n, lines)
	}
	if c.Streams != lines || len(w.streams) != 2*lines {
		t.Errorf("%d streams of the line, %d in all; want %d and %d", c.Streams, len(w.streams), lines, 2*lines)
	}
	for k, s := range w.streams {
		if s.lost > s.packets/50 {
			t.Errorf("stream %s: %d packets, %d lost", k, s.packets, s.lost)
		}
	}
	// REGISTER is challenged once; INVITE passes the registrar.
	for name, n := range map[string]int{"REGISTER": 2 * lines, "401": lines, "INVITE": lines, "ACK": lines, "BYE": lines} {
		if w.messages[name] < n {
			t.Errorf("%d of %s, want %d", w.messages[name], name, n)
		}
	}
	// Every call is for an account of the line itself, as with an adapter.
	if got.Verdict >= heuristics.Watch {
		t.Errorf("verdict %v: calls to the line's own accounts are no fan-out", got.Verdict)
	}
	t.Logf("%+v, score %.1f, margin %.1f, nearest %s", c, got.Score, got.Margin, got.Nearest)
}
