// Package uplink sends what waits in an outbox to the centre, and goes on doing
// so: in batches, with deadlines, and politely when the centre has enough.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"

	"simtrap/report/outbox"
)

// Batch is what is sent at once.
type Batch struct {
	Epoch       uint64
	First, Last uint64 // sequences; between them some may be missing
	Records     int
	Body        []byte // as Options.Encode makes it
	Zstd        bool   // and compressed
}

// Sender brings a batch to the centre. It gives the sequence up to which the
// centre keeps everything, which may be less than the batch, and may come with
// an error. It may not keep the batch's body.
type Sender interface {
	Send(context.Context, Batch) (acked uint64, err error)
}

// Source is where records wait.
type Source interface {
	Batch(ctx context.Context, maxBytes, maxRecords int) ([]outbox.Record, error)
	Ack(epoch, seq uint64) error
	Refuse(epoch, seq uint64) error
}

// Busy is a Sender's error when the centre wants to be left alone for a while.
type Busy struct {
	After time.Duration // zero if it did not say
}

func (b *Busy) Error() string { return fmt.Sprintf("the centre is busy for %v", b.After) }

// ErrRefused is a Sender's error when the centre understood a batch and will
// never take it: no failure of the way, no missing right, no lack of room.
var ErrRefused = errors.New("the centre refuses the batch")

// Options of an uplink. The zero value of each but Encode has a default.
type Options struct {
	Encode func(dst []byte, records []outbox.Record) ([]byte, error)

	MaxBytes   int           // of a batch; 256 KiB
	MaxRecords int           // 1000
	Compress   int           // from so many bytes on; 1 KiB, -1 for never
	Deadline   time.Duration // of one sending; 30 s
	BackoffMin time.Duration // bound of the first wait; 1 s
	BackoffMax time.Duration // 5 min
	// Refusals is how often a single record is refused before it is given up.
	// Between them are waits, so that a centre that errs about everything does
	// not empty the outbox. 5
	Refusals int

	Random func(n int64) int64 // from 0 to n-1
	Log    *zap.Logger
}

const (
	minBytes = 4 << 10
	// maxAfter bounds what the centre may ask for.
	maxAfter = time.Hour
	// opens is after how many failures in a row the circuit is open: then a
	// single record finds out whether the centre is back.
	opens = 3
)

func (o *Options) defaults() error {
	if o.Encode == nil {
		return errors.New("an uplink needs an encoding")
	}
	set := func(v *int, n int) {
		if *v == 0 {
			*v = n
		}
	}
	set(&o.MaxBytes, 256<<10)
	set(&o.MaxRecords, 1000)
	set(&o.Compress, 1<<10)
	set(&o.Refusals, 5)
	if o.Deadline == 0 {
		o.Deadline = 30 * time.Second
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = time.Second
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = 5 * time.Minute
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.MaxBytes < 0 || o.MaxRecords < 0 || o.Refusals < 0 || o.Deadline < 0 || o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin {
		return errors.New("an uplink with a negative bound, or a greatest wait below the least")
	}
	return nil
}

// State says how the way to the centre is.
type State uint8

// The states.
const (
	Closed   State = iota // the circuit is closed: batches go
	Open                  // several failed: nothing goes until Stats.Next
	HalfOpen              // one record goes, to see
)

func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// Stats are counters since the beginning, and how things stand.
type Stats struct {
	State    State
	Failures int       // in a row
	Next     time.Time // of the next attempt, while it waits
	Success  time.Time // the last one
	Error    string    // the last one, empty after a success
	MaxBytes int       // of a batch, as the way bears it now

	Attempts, Records, Bytes, Sent      uint64 // records acknowledged; bytes before and after compression
	TimedOut, WasBusy, Refusals, Failed uint64 // attempts
	GivenUp                             uint64 // records
}

// Uplink sends from one source through one sender.
type Uplink struct {
	source Source
	sender Sender
	opt    Options
	zstd   *zstd.Encoder

	body, packed []byte
	maxBytes     int
	refused      refusal

	mu    sync.Mutex
	stats Stats
}

// refusal is how often the centre refused the record that is next.
type refusal struct {
	seq   uint64
	times int
	alone bool // something of a batch is refused: records go one by one
	until uint64
}

// New makes an uplink, which Run starts.
func New(source Source, sender Sender, opt Options) (*Uplink, error) {
	if err := opt.defaults(); err != nil {
		return nil, err
	}
	// A small window is enough for a batch and keeps the encoder small.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	u := &Uplink{source: source, sender: sender, opt: opt, zstd: encoder}
	u.bear(opt.MaxBytes)
	return u, nil
}

// Run sends until ctx ends or the source is closed.
func (u *Uplink) Run(ctx context.Context) error {
	for {
		wait, err := u.step(ctx)
		if ctx.Err() != nil || errors.Is(err, outbox.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if wait <= 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// step sends one batch and says how long to wait before the next. It gives an
// error only when there is no use in going on.
func (u *Uplink) step(ctx context.Context) (time.Duration, error) {
	maxBytes, maxRecords := u.maxBytes, u.opt.MaxRecords
	u.mu.Lock()
	if u.stats.State == Open {
		u.stats.State = HalfOpen
		maxRecords = 1
	}
	u.stats.Next = time.Time{}
	u.mu.Unlock()
	if u.refused.alone {
		maxRecords = 1
	}
	records, err := u.source.Batch(ctx, maxBytes, maxRecords)
	if err != nil {
		if errors.Is(err, outbox.ErrClosed) || ctx.Err() != nil {
			return 0, err
		}
		return u.failed(fmt.Errorf("outbox: %w", err)), nil
	}
	first, last := records[0], records[len(records)-1]
	b := Batch{Epoch: first.Epoch, First: first.Seq, Last: last.Seq, Records: len(records)}
	if u.body, err = u.opt.Encode(u.body[:0], records); err != nil {
		// As if the centre had refused it: what cannot be encoded never arrives.
		return u.refuse(b, fmt.Errorf("%w: it cannot be encoded: %w", ErrRefused, err))
	}
	b.Body = u.body
	if u.opt.Compress >= 0 && len(u.body) >= u.opt.Compress {
		if u.packed = u.zstd.EncodeAll(u.body, u.packed[:0]); len(u.packed) < len(u.body) {
			b.Body, b.Zstd = u.packed, true
		}
	}
	deadline, cancel := context.WithTimeout(ctx, u.opt.Deadline)
	acked, err := u.sender.Send(deadline, b)
	late := deadline.Err() != nil && ctx.Err() == nil
	cancel()
	u.mu.Lock()
	u.stats.Attempts++
	u.stats.Bytes += uint64(len(u.body))
	u.stats.Sent += uint64(len(b.Body))
	u.mu.Unlock()
	if acked > b.Last {
		return u.failed(fmt.Errorf("the centre acknowledges sequence %d of a batch that ends with %d", acked, b.Last)), nil
	}
	if acked >= b.First {
		if ack := u.source.Ack(b.Epoch, acked); ack != nil {
			if errors.Is(ack, outbox.ErrClosed) {
				return 0, ack
			}
			return u.failed(fmt.Errorf("outbox: %w", ack)), nil
		}
		n := 0
		for n < len(records) && records[n].Seq <= acked {
			n++
		}
		u.mu.Lock()
		u.stats.Records += uint64(n)
		u.mu.Unlock()
	}
	var busy *Busy
	switch {
	case err == nil && acked < b.First:
		return u.failed(errors.New("the centre acknowledges nothing")), nil
	case err == nil:
		u.succeeded(acked)
		return 0, nil
	case ctx.Err() != nil:
		return 0, err
	case errors.As(err, &busy):
		if acked >= b.First {
			u.succeeded(acked) // it has what it could take, and asks for a pause
		}
		return u.busy(busy), nil
	case errors.Is(err, ErrRefused) && acked < b.First:
		return u.refuse(b, err)
	case late:
		u.count(func(s *Stats) { s.TimedOut++ })
		u.bear(max(u.maxBytes/2, min(minBytes, u.opt.MaxBytes)))
	default:
		u.count(func(s *Stats) { s.Failed++ })
	}
	return u.failed(err), nil
}

func (u *Uplink) count(f func(*Stats)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.stats)
}

// bear sets the size of batches: half after one that took too long, a little
// more after one that arrived.
func (u *Uplink) bear(maxBytes int) {
	u.maxBytes = maxBytes
	u.count(func(s *Stats) { s.MaxBytes = maxBytes })
}

func (u *Uplink) succeeded(acked uint64) {
	if u.refused.alone && acked >= u.refused.until {
		u.refused.alone = false
	}
	u.bear(min(u.maxBytes+u.opt.MaxBytes/16, u.opt.MaxBytes))
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stats.State != Closed {
		u.opt.Log.Info("the centre takes reports again", zap.Int("failures", u.stats.Failures))
	}
	u.stats.State, u.stats.Failures, u.stats.Error, u.stats.Success = Closed, 0, "", time.Now()
}

// failed gives the time to wait: any up to a bound that doubles, so that many
// appliances do not come back together.
func (u *Uplink) failed(err error) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stats.Failures++
	if u.stats.Failures >= opens {
		if u.stats.State == Closed {
			u.opt.Log.Warn("reports do not arrive at the centre", zap.Error(err))
		}
		u.stats.State = Open
	}
	wait := u.jitter(u.bound())
	u.stats.Error, u.stats.Next = err.Error(), time.Now().Add(wait)
	return wait
}

// bound is the greatest wait after so many failures.
func (u *Uplink) bound() time.Duration {
	b := u.opt.BackoffMin
	for range u.stats.Failures - 1 {
		if b *= 2; b >= u.opt.BackoffMax || b <= 0 {
			return u.opt.BackoffMax
		}
	}
	return b
}

func (u *Uplink) jitter(bound time.Duration) time.Duration {
	return time.Duration(u.opt.Random(int64(bound)+1)) + 1
}

// busy waits as long as the centre asks, and up to a quarter longer. That is no
// failure: the way is sound.
func (u *Uplink) busy(b *Busy) time.Duration {
	if b.After <= 0 {
		u.count(func(s *Stats) { s.WasBusy++ })
		return u.failed(b)
	}
	after := min(b.After, maxAfter)
	u.mu.Lock()
	defer u.mu.Unlock()
	wait := after + u.jitter(after/4)
	u.stats.WasBusy++
	u.stats.State, u.stats.Failures = Closed, 0
	u.stats.Error, u.stats.Next = b.Error(), time.Now().Add(wait)
	return wait
}

// refuse finds the record for whose sake a batch is refused, by sending one at
// a time, and gives it up when it has been refused often enough.
func (u *Uplink) refuse(b Batch, err error) (time.Duration, error) {
	u.count(func(s *Stats) { s.Refusals++ })
	if b.Records > 1 {
		u.refused.alone, u.refused.until = true, b.Last
		return u.failed(err), nil
	}
	if u.refused.seq != b.First {
		u.refused.seq, u.refused.times = b.First, 0
	}
	if u.refused.times++; u.refused.times < u.opt.Refusals {
		return u.failed(err), nil
	}
	u.opt.Log.Warn("a record that the centre refuses is given up", zap.Uint64("sequence", b.First), zap.Error(err))
	if err := u.source.Refuse(b.Epoch, b.First); err != nil {
		if errors.Is(err, outbox.ErrClosed) {
			return 0, err
		}
		return u.failed(fmt.Errorf("outbox: %w", err)), nil
	}
	u.refused.alone = b.Last < u.refused.until
	u.count(func(s *Stats) { s.GivenUp++ })
	// The waits go on from where they are: the next one may be refused too.
	u.mu.Lock()
	defer u.mu.Unlock()
	wait := u.jitter(u.bound())
	u.stats.Next = time.Now().Add(wait)
	return wait, nil
}

// Stats gives the counters.
func (u *Uplink) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats
}
