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
	for _, d := range daemons {
		d.running()
	}
	// All send the same, and what goes out of a port is recorded before it can be
	// dropped on the other side.
	folder := newFolder(t)
	file, recording := s.record(folder, "near4")
	if err := play(t.Context(), list, senders); err != nil {
		t.Fatal(err)
	}
	if n := recorded(recording); n != len(list) {
		t.Fatalf("%d frames of %d recorded", n, len(list))
	}
	want := replay(t, homes, file)
	for _, mode := range modes() {
		if d := daemons[mode]; d != nil {
			t.Run(mode, func(t *testing.T) {
				st := d.settled()
				if st.Ports[0].Mode != mode {
					t.Errorf("taken by %s", st.Ports[0].Mode)
				}
				t.Logf("%d frames up of %d, %d messages, %d streams, %v", st.Ports[0].Frames, len(list), st.Messages, st.Streams, st.Losses)
				equal(t, 3, want, d.findings())
			})
		}
	}
}

// TestTwoPorts: the two directions of a passive tap on two ports give what a
// recording of both gives.
func TestTwoPorts(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	list := traffic(t)
	ways := map[bool]int{}
	for i := range list {
		if !up(list[i].data) {
			list[i].way = 1
		}
		ways[up(list[i].data)]++
	}
	if ways[true] < len(list)/5 || ways[false] < len(list)/5 {
		t.Fatalf("%v frames up and down", ways)
	}
	senders := make([][]*sender, 2)
	daemons := map[string]*daemon{}
	for i, mode := range []string{"xdp", "af_packet"} {
		for way, name := range []string{"up", "down"} {
			near, far := fmt.Sprintf("near-%s%d", name, i), fmt.Sprintf("%s%d", name, i)
			s.cable(near, far)
			senders[way] = append(senders[way], s.sender(near))
		}
		if why := s.missing(fmt.Sprintf("up%d", i), mode); why != nil {
			t.Run(mode, func(t *testing.T) { t.Skip(why) })
			continue
		}
		daemons[mode] = s.watch(mode, fmt.Sprintf("{name: up%d, direction: up}, {name: down%d, direction: down}", i, i), homesInYAML)
	}
	for _, d := range daemons {
		d.running()
	}
	folder := newFolder(t)
	a, recordingA := s.record(folder, "near-up1")
	b, recordingB := s.record(folder, "near-down1")
	if err := play(t.Context(), list, senders...); err != nil {
		t.Fatal(err)
	}
	if n := recorded(recordingA) + recorded(recordingB); n != len(list) {
		t.Fatalf("%d frames of %d recorded", n, len(list))
	}
	want := replay(t, homes, a, b)
	for mode, d := range daemons {
		t.Run(mode, func(t *testing.T) {
			st := d.settled()
			if len(st.Ports) != 2 || st.Ports[0].Mode != mode || st.Ports[1].Mode != mode || st.Ports[0].Frames == 0 || st.Ports[1].Frames == 0 {
				t.Errorf("ports %+v", st.Ports)
			}
			t.Logf("%d messages, %d streams, %v", st.Messages, st.Streams, st.Losses)
			equal(t, 3, want, d.findings())
		})
	}
}
