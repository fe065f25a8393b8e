//go:build linux

package live

import (
	"fmt"
	"testing"
	"time"

	"simtrap/lab"
)

// modes are the ways of capturing.
func modes() []string { return []string{"xdp", "xdp-generic", "tcx", "clsact", "af_packet"} }

// traffic is three boxes beside nine honest lines, eight minutes of them in twenty
// seconds. None of its lines stands near the edge of a verdict.
func traffic(t testing.TB) []frame {
	t.Helper()
	list, _ := made(t, lab.Options{Scenario: "demo", Seed: 2, Duration: 8 * time.Minute})
	return lapse(list, 25)
}

const homesInYAML = "home: [203.0.113.0/24, 198.51.100.0/24]\n"

// TestEveryMode: in each way of capturing simtrapd finds what simtrap replay finds
// in a recording of the same frames.
func TestEveryMode(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	list := traffic(t)
	var senders []*sender
	daemons := map[string]*daemon{}
	for i, mode := range modes() {
		near, far := fmt.Sprintf("near%d", i), fmt.Sprintf("far%d", i)
		s.cable(near, far)
		if why := s.missing(far, mode); why != nil {
			t.Run(mode, func(t *testing.T) { t.Skip(why) })
			continue
		}
		senders = append(senders, s.sender(near))
		daemons[mode] = s.watch(mode, "{name: "+far+"}", homesInYAML)
	}
	// All send the same, and what goes out of a port is recorded before it can be
	// dropped on the other side.
	folder := newFolder(t)
	file, recording := s.record(folder, "near4")
	if err := play(t.Context(), list, senders...); err != nil {
		t.Fatal(err)
	}
	recorded(recording)
	want := replay(t, homes, file)
	for _, mode := range modes() {
		if d := daemons[mode]; d != nil {
			t.Run(mode, func(t *testing.T) {
				st := d.settled()
				if st.Ports[0].Mode != mode {
					t.Errorf("taken by %s", st.Ports[0].Mode)
				}
				t.Logf("%d frames up of %d, %d messages, %d streams, %v", st.Ports[0].Frames, len(list), st.Messages, st.Streams, st.Losses)
				equal(t, want, d.findings())
			})
		}
	}
}
