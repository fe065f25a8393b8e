package lab

import (
	"testing"
	"time"
)

// TestHiding checks that boxes in hiding show no SIP, that their truth tells of
// calls, and that crowds have many at once.
func TestHiding(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	crowded := 0
	for _, sc := range Hiding() {
		t.Run(sc.Name, func(t *testing.T) {
			d := 70 * time.Second
			if sc.Name == "hide-srtp-two" {
				d = time.Hour
			}
			m := makeAndRead(t, Options{Scenario: sc.Name, Seed: 2, Duration: d})
			l := m.truth.Lines[0]
			if l.Class != sc.Class {
				t.Errorf("class %q, listed as %q", l.Class, sc.Class)
			}
			readable := 0
			for _, p := range m.packets {
				if p.sip() {
					readable++
				}
			}
			if sc.Box && sc.Class != ClassBank && readable > 0 {
				t.Errorf("%d SIP messages can be read", readable)
			}
			peak := Peak(l.Talks)
			if sc.Box && sc.Class == ClassGateway && peak >= 6 {
				crowded++
			}
			for _, k := range l.Talks {
				if k.From().IsZero() || k.End.Before(k.From()) {
					t.Fatalf("a call from %v to %v", k.From(), k.End)
				}
			}
			if sc.Box && sc.Class != ClassBank && len(l.Talks) == 0 {
				t.Error("a box without calls")
			}
		})
	}
	if crowded < 2 {
		t.Errorf("%d boxes had six calls at once", crowded)
	}
}
