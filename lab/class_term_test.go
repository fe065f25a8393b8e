package lab

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// termClasses are the classes that end or pass on other people's calls.
var termClasses = []string{ClassBreakout, ClassCarrier, ClassCallCentre, ClassHackedPBX, ClassVictim}

func TestTerminatingClasses(t *testing.T) {
	shares := map[string]float64{}
	for _, sc := range Scenarios() {
		if !slices.Contains(termClasses, sc.Class) {
			continue
		}
		shares[sc.Class] += sc.Share
		long := 3 * time.Minute
		if !sc.Heavy {
			long = 15 * time.Minute // some call a few times an hour
		}
		t.Run(sc.Name, func(t *testing.T) { drawnWell(t, sc, 3, long) })
	}
	for _, class := range termClasses {
		if math.Abs(shares[class]-1) > 1e-9 {
			t.Errorf("shares of %s add up to %v", class, shares[class])
		}
	}
}

// drawnWell makes a scenario with some seeds and looks at its first line.
func drawnWell(t *testing.T, sc Scenario, seeds int, long time.Duration) {
	t.Helper()
	kinds, calls := map[string]bool{}, 0
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		var b bytes.Buffer
		truth, err := Make(&b, Options{Scenario: sc.Name, Seed: seed, Duration: long, Snaplen: 64})
		if err != nil {
			t.Fatal(err)
		}
		l := truth.Lines[0]
		if l.Class != sc.Class || l.Channels < 1 || l.Proof || l.MinVerdict != VerdictNone {
			t.Errorf("seed %d: class %q, %d channels, proof %v, verdict from %s", seed, l.Class, l.Channels, l.Proof, l.MinVerdict)
		}
		// A relay or a provider with its trunks elsewhere depends on nobody to be seen.
		if len(l.Controllers) == 0 && sc.Class != ClassCarrier {
			t.Errorf("seed %d: no controller", seed)
		}
		if l.Calls.Answered > l.Calls.Inbound+l.Calls.Outbound || l.Calls.AnsweredIn > l.Calls.Inbound {
			t.Errorf("seed %d: calls %+v", seed, l.Calls)
		}
		calls += l.Calls.Inbound + l.Calls.Outbound
		kinds[fmt.Sprint(l.Channels, len(l.Controllers), len(truth.Far), truth.Packets)] = true
		if seed == 1 {
			var again bytes.Buffer
			if _, err := Make(&again, Options{Scenario: sc.Name, Seed: seed, Duration: long, Snaplen: 64}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), again.Bytes()) {
				t.Error("one seed gave two captures")
			}
		}
	}
	if len(kinds) < seeds {
		t.Errorf("%d seeds gave %d kinds of line", seeds, len(kinds))
	}
	if calls == 0 {
		t.Error("nobody called")
	}
}

// TestBridge lets a relay pass on the media of a call: on both legs the same
// packets, the later ones behind the earlier.
func TestBridge(t *testing.T) {
	found := false
	for seed := uint64(1); seed <= 12 && !found; seed++ {
		m := makeAndRead(t, Options{Scenario: "carrier-media", Seed: seed, Duration: time.Minute})
		in, out := map[string]int{}, map[string]int{}
		for i, d := range m.packets {
			if len(d.payload) < 24 || d.payload[0] != 0x80 {
				continue
			}
			key := string(d.payload[:12])
			if m.line(d.dst) != nil {
				in[key] = i
			} else {
				out[key] = i
			}
		}
		same := 0
		for k, i := range out {
			j, ok := in[k]
			if ok && j > i {
				t.Fatalf("seed %d: a packet left before it came", seed)
			}
			if ok {
				same++
			}
		}
		found = same > 50
	}
	if !found {
		t.Error("no relay passes packets on as they are")
	}
}
