package sensor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"simtrap/capture"
	"simtrap/control"
	"simtrap/heuristics"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/places"
	"simtrap/rtp"
	"simtrap/sip"
)

// PipelineConfig gives what the configuration says to the pipeline. close
// closes what was opened for it.
func PipelineConfig(e EngineConfig) (cfg pipeline.Config, closing func(), err error) {
	c := e.Config
	cfg = pipeline.Config{Workers: c.Workers, Log: e.Log, Ledgers: heuristics.Watch}
	if cfg.Homes, err = c.Homes(); err != nil {
		return cfg, nil, err
	}
	if cfg.Realms, err = c.RealmRules(); err != nil {
		return cfg, nil, err
	}
	if cfg.Plan, err = c.NumberingPlan(); err != nil {
		return cfg, nil, err
	}
	where, err := places.Open(c.Paths(c.Places), c.Paths(c.Geo), cfg.Plan.Region())
	if err != nil {
		return cfg, nil, err
	}
	if where != nil {
		cfg.Places = where // a nil pointer would be no nil interface
	}
	if cfg.Sessions, err = pipeline.OpenSessions(c.Paths(c.Sessions)); err != nil {
		return cfg, nil, fmt.Errorf("sessions: %w", err)
	}
	return cfg, func() { cfg.Sessions.Close() }, nil
}

// runEngine judges with a run of the pipeline, which gives its findings at the
// end.
type runEngine struct {
	config  EngineConfig
	cfg     pipeline.Config
	closing func()

	frames, bytes, messages, calls, streams, records atomic.Uint64
	first, last                                      atomic.Int64

	mu   sync.Mutex
	done *Stats // when the run is over
}

// NewRun makes an Engine that judges ports when they have come to their end.
func NewRun(e EngineConfig) (Engine, error) {
	cfg, closing, err := PipelineConfig(e)
	if err != nil {
		return nil, err
	}
	r := &runEngine{config: e, cfg: cfg, closing: closing}
	r.cfg.Observe = (*runObserver)(r)
	return r, nil
}

// Run reads all ports to their end.
func (r *runEngine) Run(ctx context.Context, ports []Port) error {
	defer r.closing()
	src := &merged{engine: r}
	for _, p := range ports {
		src.inputs = append(src.inputs, &mergedInput{src: p.Source})
	}
	result, err := pipeline.Run(ctx, src, r.cfg)
	src.drop()
	if result == nil {
		return err
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // told to stop, not failed
	}
	s := &Stats{Stats: result.Stats}
	for _, l := range result.Losses {
		s.Losses = append(s.Losses, capture.Loss{Stage: l.Stage, Reason: l.Reason, Count: l.Count})
	}
	for i := range result.Findings {
		f := &result.Findings[i]
		s.Verdicts[min(f.Verdict, heuristics.Case)]++
		if f.Verdict >= heuristics.Watch {
			err = errors.Join(err, r.config.Sink.Finding(f))
		}
	}
	r.mu.Lock()
	r.done = s
	r.mu.Unlock()
	return err
}

// Stats gives what was seen so far.
func (r *runEngine) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil {
		return *r.done
	}
	var s Stats
	s.Frames, s.Bytes, s.Messages, s.Calls = r.frames.Load(), r.bytes.Load(), r.messages.Load(), r.calls.Load()
	s.Streams, s.Records = r.streams.Load(), r.records.Load()
	s.First, s.Last = r.first.Load(), r.last.Load()
	return s
}

// runObserver counts while the run goes on.
type runObserver runEngine

func (o *runObserver) Message(*packet.Packet, *sip.Message) { o.messages.Add(1) }
func (o *runObserver) Call(_ *sip.Call, e sip.CallEvent) {
	if e == sip.CallStarted {
		o.calls.Add(1)
	}
}
func (o *runObserver) Registration(*sip.Registration) {}
func (o *runObserver) Request(*sip.Request)           {}
func (o *runObserver) Record(*control.Record)         { o.records.Add(1) }
func (o *runObserver) Interval(*rtp.Interval)         {}
func (o *runObserver) Stream(_ *rtp.Stream, ended bool) {
	if !ended {
		o.streams.Add(1)
	}
}

// merged is several sources as one, in order of time. Its frames are copied
// unless there is one source.
type merged struct {
	engine *runEngine
	inputs []*mergedInput
	seq    uint64
}

type mergedInput struct {
	src   capture.Source
	cur   *capture.Batch
	at    int
	over  bool
	quiet bool // it had nothing when asked, and is asked again for the next batch
}

// mergeFrames bounds a merged batch.
const mergeFrames = 4096

// Next gives frames that no other source can be before.
func (m *merged) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := m.next(ctx)
	if err != nil {
		return nil, err
	}
	r := m.engine
	for i := range b.Frames {
		r.bytes.Add(uint64(b.Frames[i].Len))
	}
	if n := len(b.Frames); n > 0 {
		r.first.CompareAndSwap(0, b.Frames[0].Time)
		r.last.Store(b.Frames[n-1].Time)
		r.frames.Add(uint64(n))
	}
	return b, nil
}

func (m *merged) next(ctx context.Context) (*capture.Batch, error) {
	if len(m.inputs) == 1 {
		return m.inputs[0].src.Next(ctx)
	}
	out := capture.NewBatch(nil, nil)
	out.Seq = m.seq
	for _, in := range m.inputs {
		in.quiet = false
	}
	for len(out.Frames) < mergeFrames {
		open := 0
		for _, in := range m.inputs {
			for !in.over && !in.quiet && in.head() == noFrame {
				in.drop()
				b, err := in.src.Next(ctx)
				switch {
				case errors.Is(err, io.EOF):
					in.over = true
				case err != nil:
					return nil, err
				default:
					in.cur, in.at = b, 0
				}
				in.quiet = err == nil && len(b.Frames) == 0
			}
			if !in.over {
				open++
			}
		}
		if open == 0 {
			if len(out.Frames) == 0 {
				return nil, io.EOF
			}
			break
		}
		first := slices.MinFunc(m.inputs, func(a, b *mergedInput) int { return cmp.Compare(a.head(), b.head()) })
		if first.head() == noFrame {
			break
		}
		f := first.cur.Frames[first.at]
		data := first.cur.Data(first.at)
		f.Off = uint32(len(out.Block))
		out.Block = append(out.Block, data...)
		out.Frames = append(out.Frames, f)
		first.at++
	}
	m.seq += uint64(len(out.Frames))
	return out, nil
}

// noFrame is later than any frame.
const noFrame = int64(math.MaxInt64)

func (in *mergedInput) head() int64 {
	if in.cur == nil || in.at == len(in.cur.Frames) {
		return noFrame
	}
	return in.cur.Frames[in.at].Time
}

func (in *mergedInput) drop() {
	if in.cur != nil {
		in.cur.Release()
		in.cur = nil
	}
}

func (m *merged) drop() {
	for _, in := range m.inputs {
		in.drop()
	}
}

// Close does nothing: the sources are closed by whoever opened them.
func (m *merged) Close() error { return nil }
