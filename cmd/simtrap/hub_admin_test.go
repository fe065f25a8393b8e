package main

import (
	"testing"

	"simtrap/report/adminpb"
)

// A hub whose entries do not rise is not asked for ever.
func TestEveryEntry(t *testing.T) {
	pages := map[uint64][]uint64{1: {1, 2}, 3: {5}, 6: nil, 10: {10, 9}, 20: {19}, 30: {^uint64(0)}}
	for from, want := range map[uint64]int{0: 3, 10: 1, 20: 0, 30: 0} {
		asked, taken := 0, 0
		err := everyEntry(from, func(next uint64) (list []*adminpb.Entry, err error) {
			if asked++; asked > 10 {
				t.Fatal("asked again and again")
			}
			for _, n := range pages[next] {
				list = append(list, &adminpb.Entry{Sequence: n})
			}
			return list, nil
		}, func(*adminpb.Entry) error { taken++; return nil })
		if taken != want || (err != nil) != (from >= 10) {
			t.Errorf("from %d: %d entries, %v", from, taken, err)
		}
	}
}
