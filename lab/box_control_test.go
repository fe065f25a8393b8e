package lab

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drawnRun makes a scenario for a short while.
func drawnRun(t *testing.T, name string, seed uint64, d time.Duration) ([]byte, *Truth) {
	t.Helper()
	var b bytes.Buffer
	truth, err := Make(&b, Options{Scenario: name, Seed: seed, Duration: d})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), truth
}

func controlNamed() []Scenario { return append(controlScenarios(), bankScenarios()...) }

func TestControlScenariosAreDrawn(t *testing.T) {
	for _, sc := range controlNamed() {
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			devices := map[string]bool{}
			for seed := uint64(1); seed <= 4; seed++ {
				file, truth := drawnRun(t, sc.Name, seed, 70*time.Second)
				l := truth.Lines[0]
				if l.Class != sc.Class || l.Channels == 0 || len(l.Controllers) == 0 || l.MinVerdict != VerdictNone {
					t.Errorf("seed %d: odd truth %+v", seed, l)
				}
				for i, c := range l.Cards {
					if len(c.IMSI) != 15 || len(c.ICCID) != 20 || hasCard(l.Cards[:i], c) {
						t.Errorf("seed %d: odd card %+v", seed, c)
					}
				}
				if len(file) < 1000 {
					t.Errorf("seed %d: hardly anything made", seed)
				}
				devices[l.Device+strings.Join(l.Shows, ",")] = true
				if seed > 1 {
					continue
				}
				again, same := drawnRun(t, sc.Name, seed, 70*time.Second)
				if !bytes.Equal(file, again) {
					t.Error("one seed gave two captures")
				}
				if d := cmp.Diff(truth, same, cmp.AllowUnexported(LineTruth{}, talk{})); d != "" {
					t.Errorf("one seed gave two truths:\n%s", d)
				}
			}
			if len(devices) < 2 {
				t.Errorf("every seed gave %v", devices)
			}
		})
	}
}

// Proof is told of control protocols that were spoken long enough, and never of
// marks; calls come unless the scenario has none.
func TestControlTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("makes longer captures")
	}
	for name, want := range map[string]struct{ proof, calls bool }{
		"control-goip-line":   {true, true},
		"control-goip-silent": {true, false},
		"control-ejoin":       {true, true},
		"control-marks":       {false, true},
		"bank-gateway":        {true, true},
		"bank-site":           {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proved, called := 0, 0
			for seed := uint64(1); seed <= 3; seed++ {
				_, truth := drawnRun(t, name, seed, 5*time.Minute)
				if truth.Lines[0].Proof {
					proved++
				}
				called += truth.Lines[0].Calls.Inbound
			}
			if (proved > 0) != want.proof || (called > 0) != want.calls {
				t.Errorf("%d of 3 proved, %d calls", proved, called)
			}
		})
	}
}

func TestControlSizes(t *testing.T) {
	s := newSim(Options{Seed: 1, Duration: time.Minute}, encap{}, viewBoth, nil)
	r := s.rng("sizes")
	least, most, seen := 1000, 0, map[int]bool{}
	for range 500 {
		n := controlSize(r, 1, 128)
		least, most, seen[n] = min(least, n), max(most, n), true
	}
	if least != 1 || most != 128 || len(seen) < 20 {
		t.Errorf("from %d to %d, %d sizes", least, most, len(seen))
	}
}

func TestSwapped(t *testing.T) {
	if got := swapped("8986"); !bytes.Equal(got, []byte{0x98, 0x68}) {
		t.Errorf("got %x", got)
	}
	if got := imsiFile("460001234567890"); !bytes.Equal(got, []byte{8, 0x49, 0x06, 0x00, 0x21, 0x43, 0x65, 0x87, 0x09}) {
		t.Errorf("got %x", got)
	}
}
