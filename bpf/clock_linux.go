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

func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
