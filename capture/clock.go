package capture

import (
	"fmt"
	"time"
)

// How far the time of a frame may lie from the frame before it until the next
// frame is asked whether that is so.
const (
	forward  = int64(time.Hour)
	backward = int64(2 * time.Second)

	// A last frame has no next one to ask. Silence up to a day is believed.
	lastForward = int64(24 * time.Hour)

	// maxTime bounds raw times and offsets, so that no sum or difference of
	// two of them overflows.
	maxTime = int64(1)<<62 - 1

	// A first frame before this (1971) has no wall clock behind it.
	noClock = int64(365 * 24 * time.Hour)
)

// noTime is the raw time of a frame that has none.
const noTime = int64(-1)

// A clock makes the times of one file monotone. A frame slightly earlier than
// the one before is given its time. One that is far off, by more than forward
// or backward, waits for the next frame: if that one agrees, the file's clock
// was really set (backwards: an offset is added from then on, so that durations
// stay true), else the single frame is given the time of the one before. Every
// case in which time did not simply go on is noted as Backwards; silence
// is none. Frames without a time of their own are noted as Timeless: captures
// that keep none have 0 there, which only the first frame of times that count
// from the begin of the capture has rightly.
type clock struct {
	last   int64 // time of the last settled frame
	offset int64 // added to raw times since the clock was set back
	before int64 // the offset before that: a clock that comes back is recognised
	odd    bool  // the next frame must go through settle

	started bool
	young   bool   // only one frame is settled, and nothing has confirmed it
	first   *Batch // holds that one, at index 0
	zero    bool   // the first frame has the time 0, and no second one came

	start   int64 // time of the first frame
	startAt int64 // where in the file it is

	pend     *Batch // its last frame waits for the next frame
	pendI    int
	pendTime int64 // raw time and offset
	pendAt   int64 // where in the file
}

// newClock gives a clock that sends its first frame through settle.
func newClock() clock { return clock{odd: true} }

// settle gives the time of the frame that is about to be appended to r.cur,
// whose record begins at off in the block. The caller handles the plain case,
// 0 <= raw+offset-last <= forward while odd is false, by itself; noTime is never
// one.
func (c *clock) settle(r *reader, raw int64, off int) int64 {
	// Behind a time of 0 another 0 would look plain.
	defer func() { c.odd = c.young || c.pend != nil || c.last == c.offset }()
	at := r.base + int64(off)
	if !c.started {
		c.zero = raw == 0
		if raw == noTime {
			r.timeless(at)
			raw = 0
		}
		c.started, c.young = true, true
		c.first, c.start, c.startAt = r.cur, raw, at
		c.last = raw
		return raw
	}
	if raw == noTime || raw == 0 {
		if c.zero {
			r.timeless(c.startAt)
		}
		r.timeless(at)
		raw = c.now()
	}
	c.zero = false
	t := raw + c.offset
	if c.pend != nil {
		ahead := c.pendTime > c.last
		if t >= c.pendTime-backward && (ahead || t < c.last-backward) {
			c.adopt(r)
		} else {
			c.reject(r)
		}
		t = raw + c.offset
	}
	if d := t - c.last; d > forward || d < -backward {
		d = raw + c.before - c.last
		if c.before == c.offset || d > forward || d < -backward {
			c.pend, c.pendI = r.cur, len(r.cur.Frames)
			c.pendTime, c.pendAt = t, at
			return c.last
		}
		c.offset, c.before = c.before, c.offset
		t = raw + c.offset
	}
	c.young = false
	if t < c.last {
		r.note(Backwards, at, "time ran backwards; the frame is given the time of the one before")
		return c.last
	}
	c.last = t
	return t
}

// adopt believes the pending frame.
func (c *clock) adopt(r *reader) {
	p := c.pendTime
	switch {
	case c.young && (p < c.last || c.last < noClock):
		// It was the first frame that was off.
		c.first.Frames[0].Time = p
		c.start = p
		r.note(Backwards, c.startAt, "the first frame's time is far from all others; it is given the time of the second")
		c.last = p
	case p > c.last:
		c.last = p
	default:
		raw := p - c.offset
		c.before = c.offset
		c.offset = min(c.last-raw, maxTime)
		r.step(c.pendAt, fmt.Sprintf("the clock was set back by %v; later times are shifted so that durations stay true",
			time.Duration(c.last-p)))
	}
	c.pend.Frames[c.pendI].Time = c.last
	c.pend, c.young = nil, false
}

// reject leaves the pending frame with the time it has, that of the one before.
func (c *clock) reject(r *reader) {
	r.note(Backwards, c.pendAt, "one frame's time is far from its neighbours; it is given the time of the one before")
	c.pend, c.young = nil, false
}

// finish settles what waits for a frame that will not come.
func (c *clock) finish(r *reader) {
	if c.pend != nil {
		if p := c.pendTime; p > c.last && (p-c.last <= lastForward || c.young && c.last < noClock) {
			c.adopt(r)
		} else {
			c.reject(r)
		}
	}
	c.young, c.odd = false, true
}

// waits tells whether times of b may still change.
func (c *clock) waits(b *Batch) bool { return c.young || c.pend == b }

// now is the raw time for a frame that has none: that of the frame before.
func (c *clock) now() int64 {
	if c.pend != nil {
		return c.pendTime - c.offset
	}
	return max(c.last-c.offset, 0)
}
