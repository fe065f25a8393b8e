package bpf

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"simtrap/lab"
)

// equalTunnels plays the lab's lines that hide calls and those that look like them,
// until there is something to compare.
func equalTunnels(t *testing.T, twins ...*twin) {
	hides := regexp.MustCompile(`^(hide|twin)-`)
	if testing.Short() {
		hides = regexp.MustCompile(`^(hide-(wireguard|pptp|relay)|twin-(vowifi|webrtc-vpn|stream))$`)
	}
	all := slices.DeleteFunc(lab.Hiding(), func(sc lab.Scenario) bool { return !hides.MatchString(sc.Name) })
	protos := map[uint8]int{}
	for i, sc := range all {
		w := twins[i%len(twins)]
		t.Run(sc.Name, func(t *testing.T) {
			w.t = t
			w.play(makeLab(t, lab.Options{Scenario: sc.Name, Seed: 3, Duration: min(3*time.Minute, sc.Duration())}), 12000)
			for _, r := range w.tunnels {
				protos[r.Proto]++
			}
			t.Logf("%d frames, %d left, %d intervals of tunnels, %d by the sweep", w.frames, w.left, len(w.tunnels), w.open.deleted)
		})
		w.t = t
	}
	t.Logf("intervals by protocol: %v", protos)
	for _, p := range []uint8{17, 47} {
		if protos[p] < 10 {
			t.Errorf("%d intervals of protocol %d", protos[p], p)
		}
	}
}
