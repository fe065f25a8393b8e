// Package linker keeps boxes and rings up to date: it takes tenancies that
// changed from the store's queue, lets package link judge them and what they touch,
// and saves the result. Any number of workers may run side by side on one store,
// in one process or in several, and each may be stopped at any moment: what a
// worker had claimed is taken over by another when its lease is over, and judging
// the same again gives the same.
package linker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"simtrap/hub/link"
	"simtrap/hub/store"
)

// Store is what a worker asks of the hub's store.
type Store interface {
	Claim(ctx context.Context, owner string, n int, lease time.Duration) ([]store.Touched, error)
	Extend(ctx context.Context, owner string, ts []store.Touched, lease time.Duration) (int, error)
	Release(ctx context.Context, owner string, ts []store.Touched) error
	Tenancies(ctx context.Context, ids []store.ID) ([]store.Tenancy, error)
	Bearers(ctx context.Context, keys []store.Key, total, watch int) ([]store.Bearers, error)
	Component(ctx context.Context, ids []store.ID, limit int) (store.Component, error)
	BusiestHour(ctx context.Context, addrs []string) ([]int, error)
	ControllerUse(ctx context.Context, addrs []string, limit int) ([]store.ControllerUse, error)
	SaveLinks(ctx context.Context, l store.Links) error
	SaveVerdicts(ctx context.Context, seen map[string]uint64, vs []store.ControllerVerdict) error
}

// Options of a worker. Store and Owner are needed.
type Options struct {
	Store Store
	// Owner is unique among all workers that ever run on the store.
	Owner string
	// Batch is how many tenancies are claimed at once; 0 for 128. Of a large one the
	// result holds SQLite's one writer while reports wait for it.
	Batch int
	// Lease is for how long they are, unless renewed; 0 for a minute.
	Lease time.Duration
	// Idle is how long a worker waits when there is nothing to do; 0 for a second.
	Idle time.Duration
	// Log is where it tells what goes wrong; nil for nowhere.
	Log *zap.Logger
	// Now gives the wall clock; nil for time.Now.
	Now func() time.Time
}

// Counters of one worker since it began.
type Counters struct {
	Judged    uint64 // touched tenancies whose links were saved
	Saves     uint64 // transactions that took
	Conflicts uint64 // results thrown away since somebody else was first
	GivenUp   uint64 // tenancies given back after too many conflicts
	Failures  uint64 // errors of the store
	Left      uint64 // pairs that would have made a component too large
	Cut       uint64 // components that were read in part, for the same reason
}

// Worker links. Its methods are for one goroutine, Counters for any.
type Worker struct {
	store Store
	o     Options
	log   *zap.Logger
	now   func() time.Time
	names names
	busy  map[string]busy // by controller

	common map[link.Key]common
	told   map[string]time.Time // by controller of very many lines

	judged, saves, conflicts, givenUp, failures, left, cut atomic.Uint64
}

// New makes a worker.
func New(o Options) *Worker {
	if o.Batch <= 0 {
		o.Batch = 128
	}
	if o.Lease <= 0 {
		o.Lease = time.Minute
	}
	if o.Idle <= 0 {
		o.Idle = time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Worker{store: o.Store, o: o, log: o.Log, now: o.Now, names: make(names), busy: make(map[string]busy), common: make(map[link.Key]common), told: make(map[string]time.Time)}
}

// Counters gives them.
func (w *Worker) Counters() Counters {
	return Counters{
		Judged: w.judged.Load(), Saves: w.saves.Load(), Conflicts: w.conflicts.Load(), GivenUp: w.givenUp.Load(),
		Failures: w.failures.Load(), Left: w.left.Load(), Cut: w.cut.Load(),
	}
}

// longestPause after failures of the store.
const longestPause = 30 * time.Second

// Run links until ctx is done. It returns only then: a store that fails is asked
// again, later and later.
func (w *Worker) Run(ctx context.Context) {
	pause := w.o.Idle
	for ctx.Err() == nil {
		n, err := w.Step(ctx)
		wait := time.Duration(0)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.failures.Add(1)
			w.log.Warn("linking failed, will try again", zap.Error(err), zap.Duration("in", pause))
			wait = pause/2 + rand.N(pause/2+1)
			pause = min(2*pause, longestPause)
		case n == 0:
			wait, pause = w.o.Idle, w.o.Idle
		default:
			pause = w.o.Idle
		}
		if wait == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Step claims a batch and links it. It gives how many tenancies it claimed; 0 when
// nothing waits.
func (w *Worker) Step(ctx context.Context) (int, error) {
	touched, err := w.store.Claim(ctx, w.o.Owner, w.o.Batch, w.o.Lease)
	if err != nil {
		return 0, fmt.Errorf("claim: %w", err)
	}
	if len(touched) == 0 {
		return 0, nil
	}
	held, stop := w.hold(ctx, touched)
	defer stop()
	if err := w.link(held, touched); err != nil {
		// At once, so that others need not wait for the lease. When that fails too
		// they do.
		_ = w.store.Release(context.WithoutCancel(ctx), w.o.Owner, touched)
		return len(touched), err
	}
	return len(touched), nil
}

// hold renews the lease of ts until stop. Its context ends when that fails long
// enough for the lease to be over.
func (w *Worker) hold(ctx context.Context, ts []store.Touched) (held context.Context, stop func()) {
	held, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(w.o.Lease / 3)
		defer tick.Stop()
		for failed := 0; ; {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			// Some of them may be saved, and held no more.
			if _, err := w.store.Extend(held, w.o.Owner, ts, w.o.Lease); err == nil {
				failed = 0
			} else if failed++; failed == 2 {
				cancel()
			}
		}
	}()
	return held, func() { cancel(); <-done }
}

// attempts at one batch that others change under way.
const attempts = 4

// link judges touched tenancies and saves what it found. When somebody else was
// first with a part of it, it reads again, in halves: the smaller the part the
// less it meets others.
func (w *Worker) link(ctx context.Context, touched []store.Touched) error {
	type part struct {
		touched []store.Touched
		tried   int
	}
	for parts := []part{{touched, 0}}; len(parts) > 0; {
		p := parts[len(parts)-1]
		parts = parts[:len(parts)-1]
		err := w.once(ctx, p.touched)
		switch {
		case err == nil:
		case !errors.Is(err, store.ErrConflict) && !errors.Is(err, errLarge):
			return err
		case len(p.touched) > 1:
			if !errors.Is(err, errLarge) {
				w.conflicts.Add(1)
			}
			half := len(p.touched) / 2
			parts = append(parts, part{p.touched[:half], 0}, part{p.touched[half:], 0})
		case p.tried < attempts:
			w.conflicts.Add(1)
			parts = append(parts, part{p.touched, p.tried + 1})
			select {
			case <-ctx.Done():
			case <-time.After(rand.N(time.Duration(1<<p.tried) * 10 * time.Millisecond)):
			}
		default:
			// Whoever was first has very likely judged it as well; if not, it is
			// still in the queue.
			w.givenUp.Add(1)
			if err := w.store.Release(ctx, w.o.Owner, p.touched); err != nil {
				return fmt.Errorf("release: %w", err)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
