//go:build linux

package afpacket

import (
	"time"

	"golang.org/x/sys/unix"
)

// step is from how much on a difference of time means that the clock was set.
const step = int64(2 * time.Second)

// A clock makes the times of one source monotone. Several processors write one
// ring, so a frame may be a little earlier than the one before, whose time it
// is given. When the wall clock is set back, what it was set back by is added
// from then on, so that durations stay true; when it is set forward again, that
// is taken away. How far it was set is read from the difference between the
// wall clock and the monotonic one, so that all sources find the same.
type clock struct {
	last   int64
	offset int64 // added to the times of the kernel

	delta    int64 // wall clock less monotonic clock, as of last
	now      int64 // the same when the block was taken
	anchored bool

	backwards uint64 // frames given the time of the one before
	stepped   uint64 // times that the wall clock was set back
}

// anchor tells the difference between wall and monotonic clock before a block
// is walked.
func (c *clock) anchor(delta int64) {
	c.now = delta
	if d := c.now - c.delta; !c.anchored || d < step && d > -step {
		c.delta, c.anchored = c.now, true
	}
}

// at gives the time of a frame.
func (c *clock) at(sec, nsec uint32) int64 {
	raw := int64(sec)*1e9 + int64(nsec)
	t := raw + c.offset
	switch {
	case t < c.last-step:
		back := c.delta - c.now
		if t+back < c.last-step || back < 0 {
			back = c.last - t // the two clocks do not tell why
		}
		c.offset += back
		c.delta = c.now
		c.stepped++
		t = raw + c.offset
	case t > c.last+step && c.now-c.delta >= step:
		ahead := min(c.offset, c.now-c.delta, t-c.last)
		c.offset -= max(ahead, 0)
		c.delta = c.now
		t = raw + c.offset
	}
	if t < c.last {
		c.backwards++
		return c.last
	}
	c.last = t
	return t
}

// clockDelta is wall clock less monotonic clock.
func clockDelta() int64 {
	var wall, mono unix.Timespec
	// Neither call can fail on a Linux that has AF_PACKET.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall)
	return wall.Nano() - mono.Nano()
}
