package bpf

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	for _, c := range []struct {
		now, measured, want int64
		stepped             bool
	}{
		{1e9, 1e9 + 5, 1e9 + 5, false},
		{1e9, 1e9 - 9e6, 1e9 - 9e6, false},
		{1e9, 5e9, 5e9, true},
		{5e9, 1e9, 5e9 - 10e6, true},
	} {
		if got, stepped := nextOffset(c.now, c.measured); got != c.want || stepped != c.stepped {
			t.Errorf("from %d to %d: %d %v", c.now, c.measured, got, stepped)
		}
	}
	before := time.Now().UnixNano()
	now := monotonic() + wallOffset()
	after := time.Now().UnixNano()
	if now < before-1e6 || now > after+1e6 {
		t.Errorf("the packet clock says %d, the wall clock %d to %d", now, before, after)
	}
}
