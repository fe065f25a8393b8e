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

// traffic is three boxes beside nine honest lines, six minutes of them in fifteen
// seconds. None of its lines stands near the edge of a verdict.
func traffic(t testing.TB) []frame {
	t.Helper()
	list, _ := made(t, lab.Options{Scenario: "demo", Seed: 2, Duration: 6 * time.Minute})
	return lapse(list, 25)
}

const homesInYAML = "home: [203.0.113.0/24, 198.51.100.0/24]\n"

// tap is a way of capturing, and whether the two directions come on two ports.
type tap struct {
	mode string
	two  bool
}

func (p tap) String() string {
	if p.two {
		return p.mode + " two ports"
	}
	return p.mode
}

// taps are those that are tried: each way, and both kinds of accounting with the two
// directions of a passive tap on two ports.
func taps() (out []tap) {
	for _, mode := range modes() {
		out = append(out, tap{mode: mode})
	}
	return append(out, tap{"xdp", true}, tap{"af_packet", true})
}

// TestEveryMode: in each way of capturing, with one port or two, simtrapd finds what
// simtrap replay finds in a recording of the same frames.
func TestEveryMode(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	list := traffic(t)
	const upward, downward = 0, 1
	n := 0
	for i := range list {
		if list[i].way = downward; up(list[i].data) {
			list[i].way = upward
			n++
		}
	}
	if n < len(list)/5 || n > len(list)*4/5 {
		t.Fatalf("%d frames of %d come from subscribers", n, len(list))
	}
	senders := make([][]*sender, 2)
	daemons := map[tap]*daemon{}
	skipped := map[tap]error{}
	for i, p := range taps() {
		near, far := fmt.Sprintf("near%d", i), fmt.Sprintf("far%d", i)
		s.cable(near, far)
		if skipped[p] = s.missing(far, p.mode); skipped[p] != nil {
			continue
		}
		out, ports := s.sender(near), "{name: "+far+"}"
		back := out
		if p.two {
			s.cable(near+"d", far+"d")
			back = s.sender(near + "d")
			ports = fmt.Sprintf("{name: %s, direction: up}, {name: %sd, direction: down}", far, far)
		}
		senders[upward], senders[downward] = append(senders[upward], out), append(senders[downward], back)
		daemons[p] = s.watch(p.mode, ports, homesInYAML)
	}
	for _, d := range daemons {
		d.running()
	}
	// What goes out of a port is recorded before it can be dropped on the other side.
	// Packet sockets are to be had everywhere: near4 has both directions, near6 and
	// near6d one each.
	folder := newFolder(t)
	var files []string
	var recordings []*process
	for _, port := range []string{"near4", "near6", "near6d"} {
		file, recording := s.record(folder, port)
		files, recordings = append(files, file), append(recordings, recording)
	}
	if err := play(t.Context(), list, senders...); err != nil {
		t.Fatal(err)
	}
	time.Sleep(recorderTakes)
	for i, want := range []int{len(list), n, len(list) - n} {
		if got := recorded(recordings[i]); got != want {
			t.Fatalf("%d frames of %d recorded", got, want)
		}
	}
	one, two := replay(t, homes, files[0]), replay(t, homes, files[1:]...)
	for _, p := range taps() {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			if skipped[p] != nil {
				t.Skip(skipped[p])
			}
			d, want := daemons[p], one
			if p.two {
				want = two
			}
			st := d.settled()
			for _, port := range st.Ports {
				if port.Mode != p.mode || port.Frames == 0 {
					t.Errorf("%d frames of %s by %s", port.Frames, port.Name, port.Mode)
				}
			}
			t.Logf("%d messages, %d streams, %v", st.Messages, st.Streams, st.Losses)
			equal(t, 3, want, d.findings())
		})
	}
}
