package pipeline

import (
	"math/rand/v2"
	"slices"
	"testing"

	"simtrap/rtp"
)

// TestMerge: intervals that come in parts wait in the order in which all of them
// together would, and of equal ones the first to come is first.
func TestMerge(t *testing.T) {
	compare := func(a, b rtp.Interval) int { return a.Compare(&b) }
	r := rand.New(rand.NewPCG(1, 2))
	number := uint16(0) // tells equal ones apart
	for range 200 {
		var j joiner
		var all []rtp.Interval
		for range 1 + r.IntN(4) {
			for range r.IntN(20) {
				number++
				j.fresh = append(j.fresh, rtp.Interval{First: int64(r.IntN(30)), SSRC: uint32(r.IntN(2)), Packets: number})
			}
			// In what order equal ones of one part stand is the sort's matter.
			slices.SortFunc(j.fresh, compare)
			j.fresh = slices.CompactFunc(j.fresh, func(a, b rtp.Interval) bool { return compare(a, b) == 0 })
			all = append(all, j.fresh...)
			j.merge()
			if len(j.fresh) != 0 {
				t.Fatalf("%d intervals are left out", len(j.fresh))
			}
		}
		slices.SortStableFunc(all, compare)
		if !slices.Equal(all, j.intervals) {
			t.Fatalf("all at once:\n%v\nin parts:\n%v", all, j.intervals)
		}
	}
}
