package sensor

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/rtp"
)

const (
	// reopenEvery is how often a port that has vanished is looked for.
	reopenEvery = time.Second
	// lastReading is how long a port that is told to end is read for what came
	// before: with a busy one, more comes all the while.
	lastReading = time.Second
)

// opened is a port as it is open now.
type opened struct {
	source interface {
		capture.Source
		Lossy
	}
	mode string
	seen func() uint64 // frames that were looked at, those that go no further too
	// dropping says whether frames are kept from the machine's own network, and
	// why or why not.
	dropping func() (bool, string)
	present  func() bool // the interface is there; nil where its absence is an error
}

// tap is a port that is watched live. When it vanishes, or fails, it is opened
// again in the same way as soon as that can be had: meanwhile it has nothing.
type tap struct {
	name   string
	number uint16
	log    *zap.Logger
	rights *Rights
	open   func() (opened, error)
	watch  *monitor

	reading sync.Mutex // held while a source is asked for frames: one asks at a time
	seq     uint64     // of Next alone
	tried   time.Time  // of Next alone
	failure string     // of Next alone: why it is not open again, as it was last said

	mu     sync.Mutex
	now    opened // source is nil while the port is gone
	age    int    // rises with every opening
	closed bool
	gone   uint64 // times that it vanished
	before uint64 // frames seen by what is closed
	past   []capture.Loss
	rest   []rtp.Interval   // of what is closed
	ways   []tunnel.Record  // of the same, of flows that cannot be read
	left   []*capture.Batch // the same
}

// Next gives the next batch of the port, empty ones while it is gone. When ctx is done
// it closes the port, gives what came until then, and then says so.
func (t *tap) Next(ctx context.Context) (*capture.Batch, error) {
	for {
		t.mu.Lock()
		src, age, closed := t.now.source, t.age, t.closed
		var b *capture.Batch
		if len(t.left) > 0 {
			b, t.left = t.left[0], t.left[1:]
		}
		t.mu.Unlock()
		if b != nil {
			return t.numbered(b), nil
		}
		switch err := ctx.Err(); {
		case err != nil && src != nil:
			t.end(src)
			continue
		case err != nil:
			return nil, err
		case closed:
			return nil, io.EOF
		case src == nil:
			if !t.again() {
				return t.nothing(ctx)
			}
			continue
		}
		b, err := t.ask(ctx, src)
		switch {
		case err == nil:
			return t.numbered(b), nil
		case ctx.Err() == nil:
			t.lost(age, err)
		}
	}
}

func (t *tap) numbered(b *capture.Batch) *capture.Batch {
	b.Source, b.Seq = uint32(t.number), t.seq
	t.seq += uint64(len(b.Frames))
	return b
}

func (t *tap) ask(ctx context.Context, src capture.Source) (*capture.Batch, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	return src.Next(ctx)
}

// end closes the port, since nothing that comes from now on is wanted.
func (t *tap) end(src capture.Source) {
	now := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), now.Add(lastReading))
	defer cancel()
	for {
		b, err := t.ask(ctx, src)
		if err != nil {
			break
		}
		n := len(b.Frames)
		if n == 0 {
			b.Release()
			break
		}
		t.mu.Lock()
		t.left = append(t.left, b)
		t.mu.Unlock()
		if b.Frames[n-1].Time >= now.UnixNano() {
			break
		}
	}
	if err := t.rights.Closing(t.Close); err != nil {
		t.log.Warn("port not closed well", zap.String("port", t.name), zap.Error(err))
	}
}

// nothing waits and gives an empty batch, so that time goes on.
func (t *tap) nothing(ctx context.Context) (*capture.Batch, error) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	b := capture.NewBatch(nil, nil)
	b.Source, b.Seq = uint32(t.number), t.seq
	return b, nil
}

// lost closes what came to its end while it should go on.
func (t *tap) lost(age int, err error) {
	t.mu.Lock()
	if t.age != age || t.closed {
		t.mu.Unlock()
		return
	}
	old := t.now
	t.now = opened{}
	t.gone++
	t.mu.Unlock()
	t.log.Warn("port lost: it is opened again when it is back", zap.String("port", t.name), zap.Error(err))
	t.failure = ""
	if err := t.rights.Closing(old.source.Close); err != nil {
		t.log.Debug("port closed", zap.String("port", t.name), zap.Error(err))
	}
	t.keep(&old)
}

// keep takes what a closed source still has, and adds up what it has told: then, since
// it tells what nobody took.
func (t *tap) keep(old *opened) {
	var left []*capture.Batch
	for {
		b, err := t.ask(context.Background(), old.source)
		if err != nil { // as a source that is closed says at last
			break
		}
		left = append(left, b)
	}
	var rest []rtp.Interval
	if a, ok := old.source.(accountant); ok {
		rest, _ = a.Intervals(nil)
	}
	var ways []tunnel.Record
	if a, ok := old.source.(tunnelAccountant); ok {
		ways = a.Tunnels(nil)
	}
	losses, seen := old.source.Losses(), old.seen()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.past, t.before = addLosses(t.past, losses), t.before+seen
	t.left, t.rest, t.ways = append(t.left, left...), append(t.rest, rest...), append(t.ways, ways...)
}

// again opens the port once more, and says whether it did.
func (t *tap) again() bool {
	if time.Since(t.tried) < reopenEvery {
		return false
	}
	t.tried = time.Now()
	var o opened
	err := t.rights.With(func() (err error) { o, err = t.open(); return err })
	if err != nil && o.source != nil {
		o.source.Close() // the rights could not be given up again
		o.source = nil
	}
	if err != nil {
		if text := err.Error(); text != t.failure { // it is tried every second
			t.failure = text
			t.log.Warn("port not back yet", zap.String("port", t.name), zap.Error(err))
		}
		return false
	}
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.now, t.age = o, t.age+1
	}
	t.mu.Unlock()
	if closed {
		o.source.Close()
		return false
	}
	t.log.Info("port is back", zap.String("port", t.name), zap.String("mode", o.mode))
	return true
}

// Losses tells what was lost, by whatever was open in the course of time.
func (t *tap) Losses() []capture.Loss {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := addLosses(nil, t.past)
	if t.now.source != nil {
		out = addLosses(out, t.now.source.Losses())
	}
	if t.closed {
		frames := uint64(0)
		for _, b := range t.left {
			frames += uint64(len(b.Frames))
		}
		for reason, n := range map[string]uint64{"frames_left": frames, "intervals_left": uint64(len(t.rest))} {
			if n > 0 {
				out = addLosses(out, []capture.Loss{{Stage: "kernel", Reason: reason, Count: n}})
			}
		}
	}
	if t.gone > 0 {
		out = addLosses(out, []capture.Loss{{Stage: "port", Reason: "times that the port was lost and had to be opened again", Count: t.gone}})
	}
	return out
}

// addLosses adds what has the same stage and reason.
func addLosses(to, more []capture.Loss) []capture.Loss {
next:
	for _, l := range more {
		for i := range to {
			if to[i].Stage == l.Stage && to[i].Reason == l.Reason {
				to[i].Count += l.Count
				continue next
			}
		}
		to = append(to, l)
	}
	return to
}

// Alarms gives those of the port that stand. The first port tells of the machine
// too.
func (t *tap) Alarms() []Alarm {
	out := t.watch.of(t.name)
	if t.number == 1 {
		out = append(out, t.watch.of("")...)
	}
	return out
}

// Working tries what goes on being done, to see whether that takes rights.
func (t *tap) Working() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.now.source.(Working); ok {
		return w.Working()
	}
	return nil
}

// Close closes the port for good.
func (t *tap) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	old := t.now
	t.now = opened{}
	t.mu.Unlock()
	t.watch.leave()
	if old.source == nil {
		return nil
	}
	err := old.source.Close()
	t.keep(&old)
	if err != nil {
		return fmt.Errorf("port %s: %w", t.name, err)
	}
	return nil
}

// state is what the monitor asks for every second.
func (t *tap) state() portState {
	t.mu.Lock()
	now, before := t.now, t.before
	t.mu.Unlock()
	s := portState{seen: before}
	if now.source != nil {
		s.present = now.present == nil || now.present()
		s.seen += now.seen()
		s.dropping, s.why = now.dropping()
	}
	s.losses = t.Losses()
	return s
}

// sampled is of how many frames that nobody asked for one goes up, so that what
// lines do beside their calls is measured: as many as of a capture file.
const sampled = 32

// kernelTap is a tap whose media is accounted in the kernel, which knows nothing
// of realms: all its intervals are of the one that the port has.
type kernelTap struct {
	*tap
	realm ident.Realm
}

// Sampled says of how many other frames one is given.
func (t kernelTap) Sampled() uint32 { return sampled }

// Follow asks the programs for all of a flow. While the port is gone there is nothing
// to ask.
func (t kernelTap) Follow(f rtp.Flow) error {
	t.mu.Lock()
	src := t.now.source
	t.mu.Unlock()
	if x, ok := src.(pipeline.Follower); ok {
		return x.Follow(f)
	}
	return nil
}

// Tunnels gives what was closed since the last call of flows that cannot be read.
func (t kernelTap) Tunnels(dst []tunnel.Record) []tunnel.Record {
	t.mu.Lock()
	src, n := t.now.source, len(dst)
	dst = append(dst, t.ways...)
	t.ways = nil
	t.mu.Unlock()
	if a, ok := src.(tunnelAccountant); ok {
		dst = a.Tunnels(dst)
	}
	for i := n; i < len(dst); i++ {
		dst[i].Realm = t.realm
	}
	return dst
}

// Intervals gives what was closed since the last call. While the port is gone
// nothing is missing.
func (t kernelTap) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	t.mu.Lock()
	src, n, until := t.now.source, len(dst), time.Now().UnixNano()
	dst = append(dst, t.rest...)
	t.rest = nil
	t.mu.Unlock()
	if a, ok := src.(accountant); ok {
		dst, until = a.Intervals(dst)
	}
	for i := n; i < len(dst); i++ {
		dst[i].Flow.Realm = t.realm
	}
	return dst, until
}
