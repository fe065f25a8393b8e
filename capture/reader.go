package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// A reader gives the batches of one file.
type reader struct {
	name string
	src  *stream
	pool *pool
	size int // of blocks, unless a record needs more
	form format
	clk  clock

	since, until int64 // times outside [since, until) are dropped

	cur  *Batch // being filled; nil at the end
	n    int    // bytes of cur.Block that are there
	off  int    // bytes of it that are used
	base int64  // where in the (unpacked) file cur.Block begins

	ready   []*Batch // parsed; the times of the last ones may wait for a next frame
	stopped bool     // no sense can be made of what follows
	end     bool     // nothing more will be parsed

	frames  uint64 // of all batches that were queued
	damage  [kinds]Damage
	stepped bool
	outside uint64 // frames dropped for their time
}

// newReader begins to read src, and closes it when it fails. The error is a
// *FormatError, unless reading itself fails.
func newReader(name string, src *stream, p *pool, size int) (*reader, error) {
	r := &reader{name: name, src: src, pool: p, size: size, clk: newClock(),
		since: math.MinInt64, until: math.MaxInt64}
	r.cur = p.get(size)
	err := r.fill()
	form, found, cut := newFormat(r.cur.Block[:r.n])
	switch {
	case form != nil:
		r.form = form
		if _, ok := form.(*pcap); ok {
			r.off = pcapHeader
		}
		r.advance(err)
		return r, nil
	case cut:
		if !r.failed(err) {
			r.note(Cut, 0, "the file ends within its header")
		}
		r.close()
		return r, nil
	}
	bad := &FormatError{Name: name, Found: found}
	if src.pack != "" {
		bad.Found = fmt.Sprintf("%s, packed with %s", found, src.pack)
		if r.n < 4 && err != nil && !errors.Is(err, io.EOF) {
			bad = src.unreadable(name, err)
		}
	}
	r.close()
	return nil, bad
}

// fill reads until the block is full.
func (r *reader) fill() error {
	b := r.cur.Block
	n, err := readFull(r.src, b[r.n:])
	r.n += n
	return err
}

// failed notes an error of fill, if it is one.
func (r *reader) failed(err error) bool {
	if err == nil || errors.Is(err, io.EOF) {
		return false
	}
	kind, what := r.src.explain(err)
	r.note(kind, r.base+int64(r.n), what)
	return true
}

// next gives the next batch with at least one frame, io.EOF after the last.
func (r *reader) next(ctx context.Context) (*Batch, error) {
	for {
		if b := r.take(); b != nil {
			return b, nil
		}
		if r.end {
			return nil, io.EOF
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.advance(r.fill())
	}
}

// advance parses what fill, which gave err, has brought.
func (r *reader) advance(err error) {
	r.form.parse(r)
	if err != nil || r.stopped {
		if !r.stopped && !r.failed(err) && r.partial() {
			r.note(Cut, r.base+int64(r.off), "the file ends within a record")
		}
		r.clk.finish(r)
		if len(r.cur.Frames) > 0 {
			r.queue(r.cur)
			r.cur = nil
		}
		r.crowd()
		r.finish()
		return
	}
	r.roll()
}

// partial tells whether a record was begun but not ended.
func (r *reader) partial() bool {
	if p, ok := r.form.(*pcapng); ok && (p.skip > 0 || p.trail != 0) {
		return true
	}
	return r.off < r.n
}

// roll carries what is left of the block over to a new one, which is larger
// only if that leaves little room: then so many bytes were really there.
func (r *reader) roll() {
	tail := r.cur.Block[r.off:r.n]
	size := r.size
	for size-len(tail) < size/4 {
		size *= 2
	}
	next := r.pool.get(size)
	copy(next.Block, tail)
	r.base += int64(r.off)
	if len(r.cur.Frames) > 0 {
		r.queue(r.cur)
	} else {
		r.cur.Release()
	}
	r.cur, r.n, r.off = next, len(tail), 0
}

// crowdFrames is how many frames may share one instant before that is told.
const crowdFrames = 16

// crowd tells at the end of a file whether its times are of no use although each
// looks like one: more than two frames a nanosecond on average come over no
// wire. Real clocks give bursts one time, so a few frames of today are believed.
func (r *reader) crowd() {
	few := uint64(crowdFrames)
	if r.clk.start < noClock {
		few = 2
	}
	told := r.damage[Timeless].Count > 0 || r.damage[Backwards].Count > 0
	if told || r.frames < few || uint64(r.clk.last-r.clk.start) >= r.frames/2 {
		return
	}
	r.noteMany(Timeless, r.clk.startAt, r.frames, "all frames are at one instant: the times in the file are of no use; the capture must be taken again or its times mended")
}

func (r *reader) queue(b *Batch) {
	r.frames += uint64(len(b.Frames))
	b.Block = b.Block[:r.n]
	b.room = b.Frames
	r.ready = append(r.ready, b)
}

// take gives the first parsed batch whose times are settled and that has
// frames within the time asked for, or nil.
func (r *reader) take() *Batch {
	for len(r.ready) > 0 && !r.clk.waits(r.ready[0]) {
		b := r.ready[0]
		copy(r.ready, r.ready[1:])
		r.ready = r.ready[:len(r.ready)-1]
		over := r.trim(b)
		if over {
			// Times only grow, so the rest of the file is outside as well.
			r.close()
		}
		if len(b.Frames) > 0 {
			return b
		}
		b.Release()
	}
	return nil
}

// trim drops the frames outside of the time asked for. Times only grow, so
// what remains is one run. It tells whether the end of that time was reached.
func (r *reader) trim(b *Batch) (over bool) {
	f := b.Frames
	if f[0].Time >= r.since && f[len(f)-1].Time < r.until {
		return false
	}
	i, j := 0, len(f)
	for i < len(f) && f[i].Time < r.since {
		i++
	}
	for j > i && f[j-1].Time >= r.until {
		j--
	}
	r.outside += uint64(len(f) - (j - i))
	b.Frames = f[i:j]
	return j < len(f)
}

// finish ends parsing: what is ready can still be taken.
func (r *reader) finish() {
	r.end = true
	if r.cur != nil {
		r.cur.Release()
		r.cur = nil
	}
	// The file was only read, so closing it has nothing to tell.
	_ = r.src.close()
}

// close ends the reader. It may be called more than once.
func (r *reader) close() {
	r.finish()
	for _, b := range r.ready {
		b.Release()
	}
	r.ready = nil
}

// note counts one damage; the first of its kind keeps its place and detail.
func (r *reader) note(kind Kind, at int64, detail string) { r.noteMany(kind, at, 1, detail) }

// noteMany counts one damage n times, n being 1 or more.
func (r *reader) noteMany(kind Kind, at int64, n uint64, detail string) {
	d := &r.damage[kind]
	if d.Count += n; d.Count == n {
		*d = Damage{File: r.name, Offset: at, Kind: kind, Detail: detail, Count: n}
	}
}

// timeless tells of a frame without a time.
func (r *reader) timeless(at int64) {
	r.note(Timeless, at, "frames without a time, taken to have come with the one before")
}

// undecoded tells of n frames of a link type that nothing decodes, the first of
// them at off. number is what the file says, which may be no LinkType.
func (r *reader) undecoded(off int, n uint64, number uint32) {
	const detail = "link type %d is not decoded; decoded are Ethernet (1), raw IP (12, 14, 101, 228, 229), Linux cooked (113, 276), BSD loopback (0, 108), PPP (9, 50, 51, 166, 204) and Cisco HDLC (104)"
	r.noteMany(Undecoded, r.base+int64(off), n, fmt.Sprintf(detail, number))
}

// step notes that the clock was set back, and says so even if lesser disorder
// came first.
func (r *reader) step(at int64, detail string) {
	r.note(Backwards, at, detail)
	if d := &r.damage[Backwards]; d.Count > 1 && !r.stepped {
		d.Detail += fmt.Sprintf("; at offset %d %s", at, detail)
	}
	r.stepped = true
}

// corrupt stops the file at off in the block.
func (r *reader) corrupt(off int, detail string) {
	r.note(Corrupt, r.base+int64(off), detail)
	r.stopped = true
}

// snapped handles a frame at off of which n bytes were captured where wire were
// sent. It gives the length on the wire to go by.
func (r *reader) snapped(n, wire uint32, off int) uint32 {
	if wire < n {
		return n // the header is wrong, the bytes are there
	}
	r.note(Truncated, r.base+int64(off), "frames are cut by the snap length; capture with -s 0")
	return wire
}
