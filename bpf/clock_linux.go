package bpf

import (
	"time"

	"golang.org/x/sys/unix"
)

// wallOffset is what wall time is ahead of CLOCK_MONOTONIC, which is the kernel
// program's clock, by the closest of a few readings.
func wallOffset() int64 {
	var best, offset int64
	for i := range 5 {
		before := monotonic()
		wall := time.Now().UnixNano()
		after := monotonic()
		if d := after - before; i == 0 || d < best {
			best, offset = d, wall-before-d/2
		}
	}
	return offset
}

// step is how much the wall clock may be set in a second before that is told.
const step = int64(10 * time.Millisecond)

// nextOffset follows the wall clock, and says whether it was set. Set back, it is
// followed slowly: packet time never runs backwards, and slower by a hundredth is
// better than a clock that stands.
func nextOffset(now, measured int64) (offset int64, stepped bool) {
	switch d := measured - now; {
	case d < -step:
		return now - step, true
	case d > step:
		return measured, true
	}
	return measured, false
}

func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
