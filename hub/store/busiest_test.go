package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/report/reportpb"
)

func TestBusiestHour(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north", "south")
		sketch := func(at time.Time, role string, lines uint64) *reportpb.Record {
			return &reportpb.Record{Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{
				Hour: stamp(at), Controllers: []*reportpb.ControllerHour{{Addr: "198.51.100.1", Role: role, Lines: lines}},
			}}}
		}
		hour := noon.Truncate(time.Hour)
		for sensor, rs := range map[string][]*reportpb.Record{
			"north": {
				sketch(hour.Add(-100*time.Hour), "registrar", 9000), // too long ago
				sketch(hour.Add(-30*time.Hour), "registrar", 20),
				sketch(hour, "registrar", 12),
				sketch(hour, "media", 5000), // a relay's
			},
			"south": {sketch(hour.Add(-30*time.Hour), "registrar", 30), sketch(hour, "trunk-peer", 40)},
		} {
			for i, r := range rs {
				r.Sequence = uint64(i + 1)
			}
			deliverRecords(t, s, sensor, rs...)
		}
		got, err := s.BusiestHour(t.Context(), []string{"198.51.100.1", "198.51.100.2"})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]int{50, 0}, got); d != "" {
			t.Error(d)
		}
		if _, err := s.BusiestHour(t.Context(), []string{"no address"}); err == nil {
			t.Error("took what is no address")
		}
	})
}

// TestBusiest: the order is that of lines at review or above, then of all lines, and
// controllers of rings are among them however quiet they are.
func TestBusiest(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north")
		hour := noon.Truncate(time.Hour)
		var hours []*reportpb.ControllerHour
		for addr, lines := range map[string]uint64{"198.51.100.1": 900, "198.51.100.2": 40, "198.51.100.3": 3} {
			hours = append(hours, &reportpb.ControllerHour{Addr: addr, Role: "registrar", Lines: lines})
		}
		deliverRecords(t, s, "north", &reportpb.Record{Sequence: 1, Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{Hour: stamp(hour), Controllers: hours}}})
		suspect := func(f *reportpb.Finding) {
			f.Controllers = []*reportpb.Controller{{Addr: "198.51.100.2", Role: "registrar"}}
		}
		deliver(t, s, "north", 2, revisionOf(1, 1, reportpb.Verdict_VERDICT_REVIEW, "203.0.113.7", suspect), revisionOf(2, 1, reportpb.Verdict_VERDICT_CASE, "203.0.113.8", suspect))
		for n, want := range map[int][]string{3: {"198.51.100.2", "198.51.100.1", "198.51.100.3"}, 2: {"198.51.100.2", "198.51.100.1"}} {
			cs, err := s.Busiest(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range cs {
				got = append(got, c.Addr.String())
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%d: %s", n, d)
			}
			if cs[0].Review != 2 {
				t.Errorf("%d lines at review", cs[0].Review)
			}
		}
	})
}
