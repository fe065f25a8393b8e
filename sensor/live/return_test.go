//go:build linux

package live

import (
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/sensor"
)

// alarms gives the alarms that stand, by their names.
func alarms(s *sensor.Status) map[string]sensor.Alarm {
	out := map[string]sensor.Alarm{}
	for _, a := range s.Alarms {
		out[a.ID] = a
	}
	return out
}

// until waits until the daemon says so.
func (d *daemon) until(what string, patience time.Duration, f func(*sensor.Status) bool) sensor.Status {
	d.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		s := d.mustStatus()
		if f(&s) {
			return s
		}
		if time.Now().After(end) {
			d.t.Fatalf("%s: not within %v: %+v\n%s", what, patience, s, d.said())
		}
	}
}

// TestPortsReturn: of the two ports of a tap one is deleted and made anew, and the
// other set down and up again. The daemon, without rights and as the unit has it, raises
// both alarms, takes both ports again, clears the alarms, counts on, and finds what
// replay finds in what was sent.
func TestPortsReturn(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	list := traffic(t)
	for i := range list {
		if !up(list[i].data) {
			list[i].way = 1
		}
	}
	// What is sent before the ports go, and after.
	half := slices.IndexFunc(list, func(f frame) bool { return f.at >= list[len(list)-1].at/2 })
	first, second := list[:half], slices.Clone(list[half:])
	for i := range second {
		second[i].at -= list[half].at
	}
	kinds := []string{"xdp", "af_packet"}
	near := func(kind int, way int) string { return "near" + string(rune('a'+kind)) + string(rune('0'+way)) }
	far := func(kind int, way int) string { return "far" + string(rune('a'+kind)) + string(rune('0'+way)) }
	s.cable("near", "far") // of the recorder, which stays
	still := s.sender("near")
	daemons := make([]*service, len(kinds))
	for i, mode := range kinds {
		s.cable(near(i, 0), far(i, 0))
		s.cable(near(i, 1), far(i, 1))
		if why := s.missing(far(i, 0), mode); why != nil {
			t.Skip(why)
		}
		daemons[i] = s.serve(mode, "{name: "+far(i, 0)+", direction: up}, {name: "+far(i, 1)+", direction: down}", homesInYAML)
	}
	for _, d := range daemons {
		d.running()
	}
	senders := func() [][]*sender {
		out := [][]*sender{{still}, {still}}
		for i := range kinds {
			out[0], out[1] = append(out[0], s.sender(near(i, 0))), append(out[1], s.sender(near(i, 1)))
		}
		return out
	}
	file, recording := s.record(newFolder(t), "near")
	if err := play(t.Context(), first, senders()...); err != nil {
		t.Fatal(err)
	}
	before := make([]sensor.Status, len(kinds))
	for i, d := range daemons {
		before[i] = d.settled()
	}
	for i := range kinds {
		s.ip("link del "+near(i, 0), "link set "+far(i, 1)+" down")
	}
	for i, d := range daemons {
		gone, down := "tap-silent/"+far(i, 0), "tap-silent/"+far(i, 1)
		st := d.until("alarms", 50*time.Second, func(st *sensor.Status) bool {
			a := alarms(st)
			return a[gone].ID != "" && a[down].ID != ""
		})
		if a := alarms(&st); !strings.Contains(a[gone].Text, "the interface is gone") || strings.Contains(a[down].Text, "gone") {
			t.Errorf("%s: %v", kinds[i], a)
		}
		if st.State != "running" {
			t.Errorf("%s: %s while ports are away", kinds[i], st.State)
		}
	}
	for i := range kinds {
		s.cable(near(i, 0), far(i, 0))
		s.ip("link set " + far(i, 1) + " up")
		s.carries(near(i, 1))
	}
	// By packet sockets it is taken again within a second, and nothing said of it.
	time.Sleep(2 * time.Second)
	daemons[0].ready(kinds[0]+": it has the port again", func() bool { return strings.Contains(daemons[0].said(), "port is back") })
	if err := play(t.Context(), second, senders()...); err != nil {
		t.Fatal(err)
	}
	time.Sleep(recorderTakes)
	recorded(recording)
	want := replay(t, homes, file)
	for i, mode := range kinds {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			d := daemons[i]
			st := d.until("alarms are over", 20*time.Second, func(st *sensor.Status) bool {
				a := alarms(st)
				return a["tap-silent/"+far(i, 0)].ID == "" && a["tap-silent/"+far(i, 1)].ID == ""
			})
			for n, p := range st.Ports {
				if b := before[i].Ports[n]; p.Mode != mode || p.Frames <= b.Frames || b.Frames == 0 {
					t.Errorf("%s by %s: %d frames, %d before it went", p.Name, p.Mode, p.Frames, b.Frames)
				}
			}
			lost := map[string]uint64{}
			for _, l := range st.Losses {
				if l.Stage == "port" {
					lost[l.Port+": "+l.Reason] = l.Count
				}
			}
			t.Logf("%v", lost)
			if len(lost) == 0 {
				t.Error("that a port went is not counted")
			}
			if !d.told("WATCHDOG=1") {
				t.Error("the watchdog starves")
			}
			d.hasGivenUp(t, false)
			equal(t, 3, want, d.findings())
		})
	}
}
