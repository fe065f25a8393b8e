// Package pipeline joins sources, decoders and verdicts, once, for files and
// taps alike.
//
// What frames hold is spread over a fixed number of shards by the pair of
// addresses, so that a datagram, its answer and the TCP stream around them meet
// in one place. Every worker is given every batch, decodes all of it and keeps
// what belongs to its own shards: decoding twice costs less than handing
// packets over, and no worker waits for another. Shards emit records tagged with time and
// sequence; one joiner puts them in order and does everything that crosses
// flows or lines. So the same input gives the same findings, byte for byte.
package pipeline

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"

	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sessions"
)

// Config of a run.
type Config struct {
	Homes   *ident.Homes // which addresses are subscribers'; may be nil
	Workers int          // 0: as many as processors
	Seed    uint64       // of hashes; a replay leaves it 0
	Realms  Realms
	Plan    *ident.Plan // numbering plan, China's when nil
	// Ledgers says from which verdict on a finding comes with its ledger.
	Ledgers heuristics.Verdict
	Places  heuristics.Places // where controllers are; may be nil
	// Evidence says that findings come with the counts behind their scores.
	Evidence bool
	// Sessions tell who had which address when; may be nil. A run reads them.
	Sessions *sessions.Feed
	Log      *zap.Logger // may be nil
	Observe  Observer    // may be nil
	// Sink is told of findings while a live run goes on; may be nil.
	Sink Sink
	// Catalogue is the one to judge by; nil for the built-in one.
	Catalogue *catalogue.Catalogue
	// Upstream is told what a centre wants to know beside findings, and makes
	// findings tell how lines stand against every class; may be nil.
	Upstream Upstream
	// Checkpoint is the file in which a live run keeps what lines have counted, so
	// that it goes on with it when it starts again; empty for none. It is written
	// when Live.Checkpoint asks for it, and at the end. The hashes in it are of its
	// Seed, which takes the place of this one's.
	Checkpoint string
}

// Upstream is told by the goroutine of a run, which waits for it: it must be quick,
// and may keep nothing of what it is given.
type Upstream interface {
	// Call is over, of a line at watch or above.
	Call(*heuristics.CallRecord)
	// Far is a far end that served a line at a packet time, by role; shape is the
	// header shape of the line's own messages, 0 for none. call is set once for
	// each call through it.
	Far(line ident.Line, far ident.Addr, role string, shape uint64, call bool, t int64)
}

// shards is fixed, so that tables are cut the same way whatever the number of
// workers.
const shards = 64

// epochBatches is how many batches are decoded before their records are
// joined. It bounds what waits; it does not depend on the number of workers.
const epochBatches = 4

// Run reads the source to its end and judges what it held. On an error, a
// cancelled context included, the result so far is given along with it.
func Run(ctx context.Context, src capture.Source, cfg Config) (*Result, error) {
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	err = r.read(ctx, func(ctx context.Context) (*epoch, error) { return r.next(ctx, src) })
	return r.finish(), err
}

type run struct {
	cfg     Config
	shards  [shards]*shard // nil until there is something for one: a short capture needs few
	workers []*worker
	arenas  *arenas
	join    *joiner
	stats   Stats
	now     int64 // time of the newest frame, or as far as a live run has come
	taps    *taps // of a live run, or nil
	told    *telling
	keeper  *keeper
	paused  func() // between epochs, while no worker is at work; may be nil
	settled func() // after each epoch, may be nil
}

// epoch is some batches on their way through the stages.
type epoch struct {
	spans   []span
	batches []*capture.Batch // to be released when it has been joined
	now     int64            // time of its newest frame, or a later one that no frame to come is before
	outputs [shards]*output  // nil where there is no shard yet
	done    sync.WaitGroup

	intervals []rtp.Interval // closed in the kernel
	unmetered []rtp.Interval // the same, of sources that show nothing but media
	tunnels   []tunnel.Record
}

// span is a run of frames of one batch.
type span struct {
	batch    *capture.Batch
	from, to int
	seq      uint64 // number of the first one, in the order of the run
	media    bool   // its source accounts media itself
	sample   uint32 // and gives one in so many of other frames
}

func newRun(cfg Config) (*run, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	cat := cfg.Catalogue
	if cat == nil {
		var err error
		if cat, err = catalogue.Load(); err != nil {
			return nil, err
		}
	}
	model, err := heuristics.NewModel(cat)
	if err != nil {
		return nil, err
	}
	judged := heuristics.Config{Homes: cfg.Homes, Places: cfg.Places, Evidence: cfg.Evidence}
	if up := cfg.Upstream; up != nil {
		judged.Standings, judged.Calls, judged.Far = true, up.Call, up.Far
	}
	r := &run{cfg: cfg, arenas: &arenas{}}
	judged.Caller = func() ident.Number { return r.join.caller() }
	lines, err := heuristics.NewLines(model, judged)
	if err != nil {
		return nil, err
	}
	cfg.Log.Debug("catalogue loaded", zap.Int("version", cat.Version), zap.Int("signals", len(cat.Signals)), zap.String("sha256", cat.Hash))
	if !cfg.Homes.Known() {
		cfg.Log.Info("no home prefixes: which end of a conversation is the subscriber's is taken from signalling")
	}
	for i := range min(cfg.Workers, shards) {
		r.workers = append(r.workers, newWorker(i, min(cfg.Workers, shards), r))
	}
	r.join = newJoiner(&r.cfg, lines)
	return r, nil
}

// read takes the source through all stages, an epoch at a time. With several
// workers the next epoch is read, and the one before joined, while they work.
func (r *run) read(ctx context.Context, next func(context.Context) (*epoch, error)) error {
	var before *epoch
	for {
		e, err := next(ctx)
		if before != nil {
			before.done.Wait()
			r.collect(before)
		}
		if r.paused != nil {
			r.paused()
		}
		r.start(e)
		if before != nil {
			r.settle(before)
			if r.settled != nil {
				r.settled()
			}
		}
		before = e
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			continue
		}
		e.done.Wait()
		r.collect(e)
		r.settle(e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

// next reads the batches of one epoch.
func (r *run) next(ctx context.Context, src capture.Source) (*epoch, error) {
	e := &epoch{spans: make([]span, 0, epochBatches), batches: make([]*capture.Batch, 0, epochBatches)}
	for len(e.batches) < epochBatches {
		b, err := src.Next(ctx)
		if err != nil {
			e.now = r.now
			return e, err
		}
		e.batches = append(e.batches, b)
		r.add(e, span{batch: b, to: len(b.Frames), seq: b.Seq})
	}
	e.now = r.now
	return e, nil
}

// add puts frames at the end of an epoch.
func (r *run) add(e *epoch, s span) {
	if s.from == s.to {
		return
	}
	frames := s.batch.Frames[s.from:s.to]
	if r.stats.Frames == 0 {
		r.stats.First = frames[0].Time
	}
	r.now = max(r.now, frames[len(frames)-1].Time)
	r.stats.Last = r.now
	r.stats.Frames += uint64(len(frames))
	for i := range frames {
		r.stats.Bytes += uint64(frames[i].Len)
	}
	e.spans = append(e.spans, s)
}

// start sets the workers on an epoch; a single one does it at once.
func (r *run) start(e *epoch) {
	if len(r.workers) == 1 {
		r.workers[0].work(e)
		return
	}
	for _, w := range r.workers {
		e.done.Go(func() { w.work(e) })
	}
}

// collect takes from the shards what they emitted in an epoch.
func (r *run) collect(e *epoch) {
	for i, s := range &r.shards {
		if s != nil {
			e.outputs[i] = s.swap()
		}
	}
}

// settle joins what an epoch emitted, after which its batches are free.
func (r *run) settle(e *epoch) {
	r.join.account(e.intervals, true)
	r.join.account(e.unmetered, false)
	r.join.tunnels.take(r.join.shapes.less(e.tunnels))
	r.join.take(&e.outputs, e.now)
	for i, o := range &e.outputs {
		if o == nil { // nor may the shard be looked at: a worker may be making it
			continue
		}
		o.reset(r.arenas)
		r.shards[i].spare = o
	}
	for _, b := range e.batches {
		b.Release()
	}
	e.batches, e.spans = nil, nil
}

func (r *run) finish() *Result {
	e := &epoch{now: r.now}
	for _, s := range &r.shards {
		if s != nil {
			s.flush()
		}
	}
	r.collect(e)
	r.join.finish(&e.outputs, e.now)
	return r.result()
}
