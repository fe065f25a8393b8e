//go:build linux

package live

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

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

// whatRestarts is what a reload in the midst of the traffic changes that needs a
// restart: were it taken over, nobody would be found.
func whatRestarts() []string { return []string{"home", "limits.flows", "never"} }

// reread has a daemon read a configuration anew that changes what it can take over, and
// whatRestarts.
func (d *daemon) reread() error {
	return d.reconfigure(homesInYAML, "home: [192.0.2.0/24]\nnever: [203.0.113.0/24, 198.51.100.0/24]\nlimits: {flows: 1024}\ncheckpoint-interval: 1s\n",
		"out/findings.jsonl", "out/later.jsonl")
}

// programs gives the maps of the daemon's programs, none where it has no programs.
func (d *daemon) programs(p tap) []ebpf.MapID {
	if p.mode == "af_packet" {
		return nil
	}
	return slices.Sorted(maps.Keys(d.maps()))
}

// TestEveryMode: in each way of capturing, with one port or two, simtrapd finds what
// simtrap replay finds in a recording of the same frames. A reload in the midst of
// them takes nothing away: not a frame, not what was counted, not the programs.
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
	before := map[tap][]ebpf.MapID{}
	for p, d := range daemons {
		before[p] = d.programs(p)
	}
	rereads := make(chan error, len(daemons))
	for _, d := range daemons {
		time.AfterFunc(time.Duration(list[len(list)/2].at), func() { rereads <- d.reread() })
	}
	if err := play(t.Context(), list, senders...); err != nil {
		t.Fatal(err)
	}
	for range daemons {
		if err := <-rereads; err != nil {
			t.Fatal(err)
		}
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
			r := d.reloaded()
			slices.Sort(r.Restart)
			if r.Done != 1 || r.Refused != 0 || !slices.Equal(r.Restart, whatRestarts()) {
				t.Errorf("%d times read anew, %d times refused, of which %v needs a restart, want %v", r.Done, r.Refused, r.Restart, whatRestarts())
			}
			if now := d.programs(p); !slices.Equal(now, before[p]) {
				t.Errorf("maps of the kernel %v, before the reload %v", now, before[p])
			}
			equal(t, 3, want, d.findings())
		})
	}
}
