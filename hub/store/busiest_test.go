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
