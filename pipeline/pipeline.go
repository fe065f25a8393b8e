// Package pipeline joins sources, decoders and verdicts, once, for files and
// taps alike.
//
// Frames are decoded in batches by any number of workers. What they hold is
// spread over a fixed number of shards by the pair of addresses, so that a
// datagram, its answer and the TCP stream around them meet in one place
// whatever the number of workers. Shards emit records tagged with time and
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
	"simtrap/ident"
	"simtrap/packet"
)

// Config of a run.
type Config struct {
	Homes   *ident.Homes // which addresses are subscribers'; may be nil
	Workers int          // 0: as many as processors
	Seed    uint64       // of hashes; a replay leaves it 0
	Realms  Realms
	Plan    *ident.Plan // numbering plan, China's when nil
	Log     *zap.Logger // may be nil
}

// shards is fixed, so that tables are cut the same way whatever the number of
// workers.
const shards = 64

// epochBatches is how many batches are decoded before their records are
// joined. It bounds what waits; it does not depend on the number of workers.
const epochBatches = 8

// Run reads the source to its end and judges what it held. On an error, a
// cancelled context included, the result so far is given along with it.
func Run(ctx context.Context, src capture.Source, cfg Config) (*Result, error) {
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	err = r.read(ctx, src)
	return r.finish(), err
}

type run struct {
	cfg     Config
	workers int
	shards  [shards]*shard
	front   []*front // one per worker
	defrag  *packet.Defrag
	join    *joiner
	stats   Stats
	now     int64 // time of the newest frame

	batches []*capture.Batch
}

func newRun(cfg Config) (*run, error) {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	cat, err := catalogue.Load()
	if err != nil {
		return nil, err
	}
	model, err := heuristics.NewModel(cat)
	if err != nil {
		return nil, err
	}
	lines, err := heuristics.NewLines(model, heuristics.Config{Homes: cfg.Homes})
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, workers: cfg.Workers, defrag: packet.NewDefrag(packet.DefragConfig{Seed: cfg.Seed})}
	for i := range r.shards {
		r.shards[i] = newShard(cfg.Seed)
	}
	for range r.workers {
		r.front = append(r.front, &front{realms: &r.cfg.Realms, seed: cfg.Seed})
	}
	r.join = newJoiner(&r.cfg, lines)
	return r, nil
}

func (r *run) read(ctx context.Context, src capture.Source) error {
	for {
		b, err := src.Next(ctx)
		if err == nil {
			r.batches = append(r.batches, b)
			if len(r.batches) < epochBatches {
				continue
			}
		}
		r.epoch()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// epoch takes what was read through all stages.
func (r *run) epoch() {
	for _, b := range r.batches {
		if n := len(b.Frames); n > 0 {
			if r.stats.First == 0 || b.Frames[0].Time < r.stats.First {
				r.stats.First = b.Frames[0].Time
			}
			r.now = max(r.now, b.Frames[n-1].Time)
			r.stats.Frames += uint64(n)
			for i := range b.Frames {
				r.stats.Bytes += uint64(b.Frames[i].Len)
			}
		}
	}
	if r.workers == 1 {
		r.serial()
	} else {
		r.parallel()
	}
	r.join.take(&r.shards, r.now)
	for _, b := range r.batches {
		b.Release()
	}
	r.batches = r.batches[:0]
}

// serial decodes and hands on frame by frame, without lists between.
func (r *run) serial() {
	f := r.front[0]
	p := &f.packet
	for _, b := range r.batches {
		for i := range b.Frames {
			kind := f.decode(b, i, p)
			if kind == packet.Fragment {
				if !r.reassemble(f, p) {
					continue
				}
			} else if kind != packet.Datagram && kind != packet.Segment {
				continue
			}
			r.shards[f.shardOf(p)].packet(p)
		}
	}
	for _, s := range &r.shards {
		s.sweep(r.now)
	}
}

// reassemble adds a fragment and decodes on what it completed. The payload is
// copied: it lies in the reassembler's buffer.
func (r *run) reassemble(f *front, p *packet.Packet) bool {
	for {
		whole, ok := r.defrag.Add(p)
		if !ok {
			return false
		}
		switch f.decoder.Resume(whole, p) {
		case packet.Datagram, packet.Segment:
			p.Payload = append([]byte(nil), p.Payload...)
			return true
		case packet.Fragment:
		default:
			return false
		}
	}
}

// parallel does the same in phases: batches are decoded side by side into
// lists per shard, fragments are put together by one, shards work side by side.
func (r *run) parallel() {
	lists := make([]*listing, len(r.batches))
	r.each(len(r.batches), func(worker, i int) {
		lists[i] = r.front[worker].list(r.batches[i])
	})
	for _, l := range lists {
		for i := range l.fragments {
			p := &l.fragments[i]
			if r.reassemble(r.front[0], p) {
				l.whole = append(l.whole, *p)
			}
		}
	}
	r.each(shards, func(_, i int) {
		s := r.shards[i]
		for _, l := range lists {
			l.feed(i, r.front[0], s)
		}
		s.sweep(r.now)
	})
	for _, l := range lists {
		l.recycle()
	}
}

// each runs work for 0 to n-1 on all workers.
func (r *run) each(n int, work func(worker, i int)) {
	var wg sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for w := range min(r.workers, n) {
		wg.Go(func() {
			for i := range next {
				work(w, i)
			}
		})
	}
	wg.Wait()
}

func (r *run) finish() *Result {
	for _, s := range &r.shards {
		s.flush()
	}
	r.join.finish(&r.shards)
	r.stats.Last = r.now
	return r.result()
}
