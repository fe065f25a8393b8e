package lab

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// TestDrawnBoxes makes each box that is drawn a few times.
func TestDrawnBoxes(t *testing.T) {
	for _, list := range [][]Scenario{gatewayScenarios(), relayScenarios(), messagesScenarios(), originationScenarios()} {
		total := 0.0
		for _, sc := range list {
			total += sc.Share
			t.Run(sc.Name, func(t *testing.T) { drawBoxes(t, sc) })
		}
		if math.Abs(total-1) > 0.005 {
			t.Errorf("%s: shares make %.3f", list[0].Class, total)
		}
	}
}

func drawBoxes(t *testing.T, sc Scenario) {
	d := 8 * time.Minute
	switch {
	case sc.Class == ClassTwoSlot || sc.Name == "box-low":
		d = 60 * time.Minute
	case sc.Name == "thin-lines":
		d = 12 * time.Minute
	}
	make1 := func(seed uint64) (string, *Truth) {
		h := sha256.New()
		truth, err := Make(h, Options{Scenario: sc.Name, Seed: seed, Duration: d})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", h.Sum(nil)), truth
	}
	calls, devices := 0, map[string]bool{}
	for seed := uint64(1); seed <= 3; seed++ {
		sum, truth := make1(seed)
		l := truth.Lines[0]
		if seed == 1 {
			if again, _ := make1(seed); again != sum {
				t.Errorf("one seed gave two captures")
			}
		}
		if l.Class != sc.Class {
			t.Errorf("first line is of class %s", l.Class)
		}
		if l.Channels < 1 || l.Channels > 128 || len(l.Controllers) == 0 || len(l.Cards) < l.Channels || len(l.Shows) == 0 {
			t.Errorf("%d channels, %d controllers, %d cards, shows %v", l.Channels, len(l.Controllers), len(l.Cards), l.Shows)
		}
		if slices.Contains(l.Shows, ShowController) && !slices.ContainsFunc(l.Controllers, func(c Controller) bool { return c.Abroad }) {
			t.Errorf("shows a controller abroad and has none")
		}
		if l.MinVerdict != VerdictNone {
			t.Errorf("must reach %s", l.MinVerdict)
		}
		if l.Calls.PeakConcurrent > l.Channels && sc.Name != "box-office-beside" {
			t.Errorf("%d calls at once over %d channels", l.Calls.PeakConcurrent, l.Channels)
		}
		calls += l.Calls.Inbound + l.Calls.Outbound
		devices[l.Device+l.Address] = true
	}
	mute := sc.Name == "message-sip" || sc.Name == "message-smpp" || sc.Name == "message-vendor"
	if mute != (calls == 0) {
		t.Errorf("%d calls", calls)
	}
	if len(devices) < 3 {
		t.Errorf("three seeds gave %d devices", len(devices))
	}
}

// TestGatewaySize wants every order of magnitude as often.
func TestGatewaySize(t *testing.T) {
	s := &sim{seed: 1, names: map[string]int{}}
	r := s.rng("size")
	n := map[int]int{}
	for range 4000 {
		k := gatewaySize(r, 1, 128)
		if k < 1 || k > 128 {
			t.Fatalf("%d channels", k)
		}
		n[int(math.Log2(float64(k)))]++
	}
	for i := range 7 {
		if n[i] < 300 {
			t.Errorf("%d of 4000 with %d channels or more", n[i], 1<<i)
		}
	}
}

// TestTargets wants callees of mobiles and nothing that a gateway never calls.
func TestTargets(t *testing.T) {
	for seed := range uint64(40) {
		s := &sim{seed: seed, names: map[string]int{}}
		x := newTargets(s.rng("targets"))
		x.prefix = ""
		for range 100 {
			if n := x.next(); len(n) < 10 || len(n) > 12 || slices.Contains(shortNumbers[:], n) || slices.Contains(emergencyNumbers[:], n) {
				t.Fatalf("calls %s", n)
			}
		}
	}
}
