package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/hidden/tunnel"
	"simtrap/rtp"
)

// Accountant is a source that accounts media itself, as the kernel programs do.
// Its frames are not accounted a second time.
type Accountant interface {
	// Intervals appends to dst the intervals closed since the last call and says
	// up to which time (ns since the epoch, packet clock) none is missing: every
	// interval whose Close is not after it has been given; math.MaxInt64 when none
	// will come any more, though Next may still give frames. It is called by the
	// goroutine that calls Next, after it.
	Intervals(dst []rtp.Interval) (out []rtp.Interval, until int64)
}

// Sampler is an Accountant that gives one in so many of the frames that nobody
// asked for, each cut behind the first bytes of its payload. Of other Accountants
// what lines do beside their calls is not measured.
type Sampler interface{ Sampled() uint32 }

// Follower is a source that gives only the beginning of most flows, as the kernel
// programs do, and all of a flow that it is asked to follow, both directions. What is
// asked is best effort: no verdict hangs on it.
type Follower interface{ Follow(rtp.Flow) error }

const (
	// idleAfter is how long, of wall time, a live source may have nothing before
	// the others stop waiting for it.
	idleAfter = 200 * time.Millisecond
	// hungAfter is the same for one that never said that it had nothing, as files
	// do not: what comes of them must not hang on how fast a disk is.
	hungAfter = 10 * time.Second
	// orderWindow is how far, of packet time, time keeps behind the newest frame
	// for the sake of an idle source whose ring may hold some.
	orderWindow = int64(200e6)
	// intervalPatience is how far the intervals of a source may stay behind its
	// frames before they are not waited for.
	intervalPatience = int64(5e9)
	// maxBehind bounds the batches of one source that wait: then it is not read,
	// and counts itself what it loses by that.
	maxBehind = 32
	// livePulse is how often, of wall time, tables advance when nothing comes.
	livePulse = 100 * time.Millisecond
	// epochFrames is how many frames are joined at once, or as many more as a
	// batch holds.
	epochFrames = 1 << 14
	// askAgain is after how long, of packet time, a flow is asked for once more: a
	// source may have been opened anew, or have given it up for others.
	askAgain = int64(60e9)
	// maxAsked bounds what is remembered of that; then it begins anew.
	maxAsked = 1024
)

// Live judges what several sources give at once, as one stream in order of time,
// until it is told to stop.
type Live struct {
	run      *run
	tap      *taps
	restored Restored
	snapshot atomic.Pointer[Snapshot]
	orders   chan func() // to be done between epochs
	over     chan struct{}
	tally    tally
}

// Restored says what a checkpoint gave at the start.
func (l *Live) Restored() Restored { return l.restored }

// NewLive prepares a run over live ports, whose Close is left to the caller.
func NewLive(cfg Config, sources ...capture.Source) (*Live, error) {
	r, restored, err := restoredRun(cfg)
	if err != nil {
		return nil, err
	}
	l := &Live{run: r, tap: &taps{wake: make(chan struct{}, 1), log: r.cfg.Log}, restored: restored,
		orders: make(chan func()), over: make(chan struct{})}
	l.Attach(sources...)
	if cfg.Checkpoint != "" {
		l.run.keeper = newKeeper(&r.cfg, l.tap, r.join.lines)
	}
	r.taps, l.tap.seq = l.tap, restored.seq
	r.join.follow = l.tap.follow
	for _, w := range r.workers {
		w.live = true
	}
	if cfg.Sink != nil {
		r.told = newTelling(cfg.Sink)
		r.join.lines.FollowChanges()
	}
	return l, nil
}

// Attach adds sources, before Run.
func (l *Live) Attach(sources ...capture.Source) {
	for _, s := range sources {
		acc, _ := s.(Accountant)
		sample := uint32(0)
		if x, ok := s.(Sampler); ok && acc != nil {
			sample = x.Sampled()
		}
		l.tap.list = append(l.tap.list, &tapSource{taps: l.tap, src: s, acc: acc, sample: sample, number: len(l.tap.list) + 1, queue: make(chan given, maxBehind), patience: idleAfter})
	}
}

// Run goes on until the context is cancelled, or all sources have come to an
// end. A source that fails ends; the others go on, and the error tells of it.
// Either way the result so far is given along: what sources gave until the context
// was cancelled, and may give after it before they say so, is judged.
func (l *Live) Run(ctx context.Context) (*Result, error) {
	defer close(l.over)
	var readers sync.WaitGroup
	for _, s := range l.tap.list {
		s.heard = time.Now()
		readers.Go(func() { s.serve(ctx) })
	}
	if t := l.run.told; t != nil {
		go t.run()
	}
	l.run.paused, l.run.settled = l.pause, l.settled
	err := l.run.read(context.WithoutCancel(ctx), l.next)
	if err == nil {
		err = ctx.Err()
	}
	// What is open is not ended for the checkpoint: after it, it goes on.
	if kerr := l.run.keeper.close(); kerr != nil {
		err = errors.Join(err, kerr)
	}
	readers.Wait()
	for _, s := range l.tap.list {
		if s.err != nil {
			err = errors.Join(err, fmt.Errorf("source %d: %w", s.number, s.err))
		}
	}
	result := l.run.finish()
	if t := l.run.told; t != nil {
		l.run.join.lines.Rest(t.put)
		t.close()
		result.Losses = l.run.losses()
	}
	l.finished(result)
	return result, err
}

// settled is called when an epoch has been joined.
func (l *Live) settled() {
	if t := l.run.told; t != nil && l.run.join.now-t.last >= tellEvery {
		t.last = l.run.join.now
		l.run.join.lines.Changed(t.last, t.tell)
	}
	l.run.keeper.step()
}

// next gives the next epoch: frames that no frame of another source is before.
// Without any it comes back all the same, so that time goes on. Sources end when they
// are told to: what they gave before is to be had until all have.
func (l *Live) next(context.Context) (*epoch, error) {
	e := &epoch{}
	pulse := time.NewTimer(livePulse)
	defer pulse.Stop()
	for {
		if !l.tap.fill(e, l.run) {
			return e, io.EOF
		}
		if len(e.spans) > 0 {
			return e, nil
		}
		select {
		case <-l.tap.wake:
		case <-pulse.C:
			return e, nil
		}
	}
}

// taps are the sources of a live run, merged by time.
type taps struct {
	list []*tapSource
	log  *zap.Logger
	wake chan struct{} // something has come
	seq  uint64        // of the next frame, in the order of the run
	now  int64         // no frame is let in before it any more

	reached atomic.Int64 // now, for others to read

	asked map[rtp.Flow]int64 // when, of packet time, flows were asked for

	// Of these, waits is counted by the readers.
	late, backwards, overdue uint64
	unfollowed               uint64
	hung                     uint64
	waits                    atomic.Uint64
}

// tapSource is one source and what of it waits.
type tapSource struct {
	taps   *taps
	src    capture.Source
	acc    Accountant // may be nil
	sample uint32     // of a Sampler, else 0
	number int
	queue  chan given
	// patience is how long, of wall time, it may have nothing before the others stop
	// waiting for it: idleAfter.
	patience time.Duration

	head   *capture.Batch // being merged, nil for none
	at     int            // its next frame
	newest int64          // time of the newest frame in head, or before it
	until  int64          // no interval up to then is missing
	whole  bool           // nor will one come any more, though frames may
	behind bool           // its intervals are not waited for
	hung   bool           // it has nothing, does not say so, and is not waited for
	over   bool
	err    error

	// Told by the reader.
	mu    sync.Mutex
	read  int64     // time of the newest frame read
	heard time.Time // when it last had frames, or room was made for them
	full  bool      // what it had waits for room: it is we that it waits for
	live  bool      // it says when it has nothing
}

// given is what one call of Next gave.
type given struct {
	batch     *capture.Batch // nil with err
	intervals []rtp.Interval
	tunnels   []tunnel.Record
	until     int64
	err       error
}

// serve hands on what the source gives.
func (s *tapSource) serve(ctx context.Context) {
	for {
		b, err := s.src.Next(ctx)
		g := given{batch: b, err: err}
		s.mu.Lock()
		if err == nil {
			if n := len(b.Frames); n > 0 {
				s.read, s.heard = max(s.read, b.Frames[n-1].Time), time.Now()
			} else {
				s.live = true
			}
		}
		s.mu.Unlock()
		if s.acc != nil {
			g.intervals, g.until = s.acc.Intervals(nil)
			if x, ok := s.acc.(TunnelAccountant); ok {
				g.tunnels = x.Tunnels(nil)
			}
		}
		select {
		case s.queue <- g:
		default:
			s.taps.waits.Add(1)
			s.setFull(true)
			s.queue <- g // it is emptied until the source has ended
			s.setFull(false)
		}
		select {
		case s.taps.wake <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// setFull says whether the source waits for room. That time is none of its silence.
func (s *tapSource) setFull(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, s.heard = full, time.Now()
}

// take makes sure that s has a head, if anything of it waits.
func (s *tapSource) take(e *epoch) {
	for s.head == nil && !s.over {
		var g given
		select {
		case g = <-s.queue:
		default:
			return
		}
		e.tunnels = append(e.tunnels, g.tunnels...)
		if s.sample > 0 {
			e.intervals = append(e.intervals, g.intervals...)
		} else {
			e.unmetered = append(e.unmetered, g.intervals...)
		}
		if g.until == math.MaxInt64 {
			s.whole = true // it is no time, that others were to come up to
		} else {
			s.until = max(s.until, g.until)
		}
		switch {
		case g.err != nil:
			s.over = true
			if !errors.Is(g.err, io.EOF) && !errors.Is(g.err, context.Canceled) && !errors.Is(g.err, context.DeadlineExceeded) {
				s.err = g.err
				s.taps.log.Error("port failed: it is not read any more", zap.Int("port", s.number), zap.Error(g.err))
			}
		case len(g.batch.Frames) == 0:
			g.batch.Release()
		default:
			s.head, s.at = g.batch, 0
			for i := range g.batch.Frames {
				f := &g.batch.Frames[i]
				switch {
				case f.Time < s.newest:
					f.Time = s.newest
					s.taps.backwards++
				case f.Time < s.taps.now:
					f.Time = s.taps.now
					s.taps.late++
				}
				s.newest = f.Time
			}
		}
	}
}

// idle says whether nobody waits for s: it has had nothing for a while.
func (s *tapSource) idle(wall time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	quiet := wall.Sub(s.heard)
	hung := !s.full && !s.live && quiet >= hungAfter
	if hung && !s.hung {
		s.taps.hung++
	}
	s.hung = hung
	return hung || !s.full && s.live && quiet >= s.patience
}

// clock is what time it is by packets: a live source that has nothing is as far
// as its newest frame and the time that has passed since.
func (s *tapSource) clock(wall time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.read
	if quiet := wall.Sub(s.heard); s.live && s.read > 0 && quiet >= s.patience {
		now += int64(quiet)
	}
	return max(now, s.until)
}

// bound is the time before which nothing of s is to be expected any more, beside
// what stands in its head. clock is the latest of all sources'. When one of them
// cannot be read for what waits of it, nothing is kept back for idle ones.
func (s *tapSource) bound(clock int64, crowded bool, wall time.Time) int64 {
	if s.over {
		return math.MaxInt64
	}
	b := int64(math.MaxInt64)
	if s.head == nil {
		b = s.newest
		switch {
		case !s.idle(wall):
		case crowded:
			b = max(b, clock)
		default:
			b = max(b, clock-orderWindow)
		}
	}
	if s.acc == nil || s.whole {
		return b
	}
	behind := s.until < clock-intervalLag-intervalPatience
	if behind && !s.behind {
		s.taps.overdue++
	}
	if s.behind = behind; behind {
		return b
	}
	return min(b, s.until+intervalLag)
}

// fill takes what may be judged now into e, and says whether more may come.
func (t *taps) fill(e *epoch, r *run) bool {
	wall := time.Now()
	for frames := 0; ; {
		more := false
		for _, s := range t.list {
			s.take(e)
			more = more || !s.over || s.head != nil
		}
		first, bound := -1, int64(math.MaxInt64)
		clock, crowded := int64(0), false
		for _, s := range t.list {
			clock = max(clock, s.clock(wall))
			crowded = crowded || len(s.queue) == cap(s.queue)
		}
		for i, s := range t.list {
			bound = min(bound, s.bound(clock, crowded, wall))
			if s.head != nil && (first < 0 || s.next() < t.list[first].next()) {
				first = i
			}
		}
		waiting := first < 0 || t.list[first].next() >= bound
		if waiting || frames >= epochFrames {
			if waiting && bound < math.MaxInt64 {
				r.now = max(r.now, bound-1)
			}
			t.now, e.now = r.now, r.now
			t.reached.Store(t.now)
			return more
		}
		// Of frames of one time those of the first source go first.
		for i, s := range t.list {
			if s.head == nil || i == first {
				continue
			}
			if i < first {
				bound = min(bound, s.next())
			} else {
				bound = min(bound, s.next()+1)
			}
		}
		frames += t.give(e, r, t.list[first], bound)
	}
}

// next is the time of the next frame.
func (s *tapSource) next() int64 { return s.head.Frames[s.at].Time }

// give hands on the frames of the head of s before a time, and says how many.
func (t *taps) give(e *epoch, r *run, s *tapSource, before int64) int {
	b, from := s.head, s.at
	for s.at < len(b.Frames) && b.Frames[s.at].Time < before {
		s.at++
	}
	n := s.at - from
	r.add(e, span{batch: b, from: from, to: s.at, seq: t.seq, media: s.acc != nil, sample: s.sample})
	t.seq += uint64(n)
	if s.at == len(b.Frames) {
		s.head = nil
		e.batches = append(e.batches, b)
	}
	return n
}

// follow asks sources for all of a flow from now on: each of them, since its directions
// may come by two.
func (t *taps) follow(f rtp.Flow, now int64) {
	if at, ok := t.asked[f]; ok && now-at < askAgain {
		return
	}
	if t.asked == nil || len(t.asked) >= maxAsked {
		t.asked = make(map[rtp.Flow]int64)
	}
	t.asked[f], t.asked[f.Reverse()] = now, now
	for _, s := range t.list {
		if x, ok := s.src.(Follower); ok {
			if err := x.Follow(f); err != nil {
				t.unfollowed++
			}
		}
	}
}

// losses lists what the merging lost.
func (t *taps) losses(add func(stage, reason string, n uint64)) {
	add("live", "frames before others that had been judged, taken to have come with them", t.late)
	add("live", "frames of a port before an earlier one's time, taken to have come with it", t.backwards)
	add("live", "times that a port was not read: too much of it waited", t.waits.Load())
	add("live", "times that a port which said nothing for 10 s was not waited for", t.hung)
	add("live", "times that intervals of a port were not waited for", t.overdue)
	add("live", "times that a flow of scrambled SIP or SIP over TLS could not be followed", t.unfollowed)
}
