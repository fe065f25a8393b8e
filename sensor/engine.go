package sensor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/places"
)

// PipelineConfig gives what the configuration says to the pipeline. close
// closes what was opened for it.
func PipelineConfig(e EngineConfig) (cfg pipeline.Config, closing func(), err error) {
	c := e.Config
	cfg = pipeline.Config{Workers: c.Workers, Log: e.Log, Ledgers: heuristics.Watch, Catalogue: e.Catalogue, Upstream: e.Upstream}
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

// evidenceFile is the checkpoint's name in the state folder.
const evidenceFile = "evidence"

// live judges with a live run of the pipeline.
type live struct {
	sink    Sink
	cfg     pipeline.Config
	closing func()
	alarms  *tapAlarms

	failed  atomic.Uint64 // findings that the sink refused
	failure atomic.Pointer[error]

	run atomic.Pointer[pipeline.Live] // once it is restored, or runs
}

// NewLive makes the Engine that judges ports as one stream in order of time, and
// gives findings as they change.
func NewLive(e EngineConfig) (Engine, error) {
	cfg, closing, err := PipelineConfig(e)
	if err != nil {
		return nil, err
	}
	l := &live{sink: e.Sink, cfg: cfg, closing: sync.OnceFunc(closing), alarms: newTapAlarms(e.Log)}
	l.cfg.Sink = (*liveSink)(l)
	return l, nil
}

// liveSink keeps what the sink said last.
type liveSink live

func (s *liveSink) Finding(f *heuristics.Finding) error {
	err := s.sink.Finding(f)
	if err != nil {
		s.failed.Add(1)
		s.failure.Store(&err)
	}
	return err
}

// Restore implements Checkpointer.
func (l *live) Restore(folder string) (string, error) {
	l.cfg.Checkpoint = filepath.Join(folder, evidenceFile)
	run, err := pipeline.NewLive(l.cfg)
	if err != nil {
		return "", err
	}
	l.run.Store(run)
	return restored(run.Restored()), nil
}

// restored says in a sentence what a checkpoint gave.
func restored(r pipeline.Restored) string {
	switch {
	case r.Damaged != nil:
		return fmt.Sprintf("%v; the evidence begins anew", r.Damaged)
	case r.Catalogue == "":
		return "nothing yet: the evidence begins anew"
	}
	s := fmt.Sprintf("%d lines, written at %s", r.Lines, r.Written.UTC().Format(time.RFC3339))
	if r.Dropped > 0 {
		s += fmt.Sprintf("; %d without room, or of a realm that there is no more, dropped", r.Dropped)
	}
	if r.Same {
		return s + "; counted under the same catalogue"
	}
	return s + fmt.Sprintf("; counted under the catalogue %.12s and read with the tables of another", r.Catalogue)
}

// Checkpoint implements Checkpointer. The last one is written by Run at its end,
// before it settles what is open: here is said what came of it.
func (l *live) Checkpoint(string) error {
	run := l.run.Load()
	if run == nil {
		return errors.New("nothing runs")
	}
	return run.Checkpoint(context.Background())
}

// Run implements Engine.
func (l *live) Run(ctx context.Context, ports []Port) error {
	defer l.closing()
	run := l.run.Load()
	if run == nil {
		var err error
		if run, err = pipeline.NewLive(l.cfg); err != nil {
			return err
		}
		l.run.Store(run)
	}
	for _, p := range ports {
		run.Attach(p.Source)
	}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { l.watch(run, stop) })
	_, err := run.Run(ctx)
	close(stop)
	watching.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = unless(err, ctx.Err()) // told to stop, not failed
	}
	if n := l.failed.Load(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d findings were not written: %w", n, *l.failure.Load()))
	}
	return err
}

// unless takes one error out of those that were joined.
func unless(err, not error) error {
	if err == not {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var out error
	for _, e := range joined.Unwrap() {
		out = errors.Join(out, unless(e, not))
	}
	return out
}

// watch looks whether the tap gives what it should.
func (l *live) watch(run *pipeline.Live, stop <-chan struct{}) {
	t := time.NewTicker(alarmEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			s := run.Snapshot()
			l.alarms.look(time.Now(), &s)
		}
	}
}

// steer does something to the run, once there is one.
func (l *live) steer(f func(*pipeline.Live) error) error {
	run := l.run.Load()
	if run == nil {
		return errors.New("nothing runs")
	}
	return f(run)
}

// SetHomes implements Steered.
func (l *live) SetHomes(ctx context.Context, h *ident.Homes) error {
	return l.steer(func(run *pipeline.Live) error { return run.SetHomes(ctx, h) })
}

// Retable implements Steered.
func (l *live) Retable(ctx context.Context, c *catalogue.Catalogue) error {
	return l.steer(func(run *pipeline.Live) error { return run.Retable(ctx, c) })
}

// Hub implements Steered.
func (l *live) Hub(ctx context.Context, list []heuristics.ControllerVerdict) error {
	return l.steer(func(run *pipeline.Live) error { return run.Hub(ctx, list) })
}

// Stats implements Engine.
func (l *live) Stats() Stats {
	run := l.run.Load()
	if run == nil {
		return Stats{}
	}
	snap := run.Snapshot()
	s := Stats{Stats: snap.Stats, Verdicts: snap.Verdicts}
	for _, x := range snap.Losses {
		s.Losses = append(s.Losses, capture.Loss{Stage: x.Stage, Reason: x.Reason, Count: x.Count})
	}
	return s
}

// Alarms implements Alarmer.
func (l *live) Alarms() []Alarm { return l.alarms.standing() }

// tapAlarms are those that only show when packets are read: a tap that gives one
// direction, and a mirror that gives everything twice.
type tapAlarms struct {
	log *zap.Logger

	mu     sync.Mutex
	minute minute // that is being filled
	list   []*tapAlarm
}

// minute is what came in about a minute of wall time.
type minute struct {
	begun  time.Time
	before pipeline.Snapshot // at its beginning
}

// tapAlarm is one alarm, standing or not.
type tapAlarm struct {
	Alarm
	bad    int // minutes in a row that speak for it
	raised bool
}

const (
	alarmEvery  = time.Second
	alarmWindow = time.Minute
	// oneWayMinutes is how many minutes in a row raise the alarm of a one-way tap:
	// a link that carries a single download looks the same for a while.
	oneWayMinutes = 3
	oneWayFrames  = 1000 // in a minute; fewer say nothing
	// A mirror that doubles gives a half. The alarm stands above a fifth until the
	// share falls below a tenth.
	doubledRaise  = 0.2
	doubledClear  = 0.1
	doubledSample = 50 // packets compared in a minute; fewer say nothing
)

func newTapAlarms(log *zap.Logger) *tapAlarms {
	return &tapAlarms{log: log, list: []*tapAlarm{
		{Alarm: Alarm{ID: "tap-one-way", Text: "frames come, but of no conversation both directions",
			Remedy: "connect the other direction of the tap, or let the mirror port copy what is received and what is sent"}},
		{Alarm: Alarm{ID: "mirror-doubled", Text: "packets come twice: the same traffic is mirrored at two places, or as it comes in and as it goes out",
			Remedy: "mirror one direction of each port, or one VLAN once"}},
	}}
}

// look takes how far the run has come.
func (a *tapAlarms) look(now time.Time, s *pipeline.Snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &a.minute
	if m.begun.IsZero() {
		*m = minute{now, *s}
		return
	}
	if now.Sub(m.begun) < alarmWindow {
		return
	}
	frames := s.Stats.Frames - m.before.Stats.Frames
	oneWay := a.list[0]
	switch {
	case s.Tap.TwoWay > m.before.Tap.TwoWay:
		oneWay.bad = 0
		a.set(oneWay, now, false, 0)
	case frames >= oneWayFrames:
		oneWay.bad++
		a.set(oneWay, now, oneWay.raised || oneWay.bad >= oneWayMinutes, float64(frames)/now.Sub(m.begun).Seconds())
	}
	if n := s.Tap.Packets - m.before.Tap.Packets; n >= doubledSample {
		doubled := a.list[1]
		share := float64(s.Tap.Repeats-m.before.Tap.Repeats) / float64(n)
		a.set(doubled, now, share > doubledRaise || doubled.raised && share >= doubledClear, share)
	}
	*m = minute{now, *s}
}

func (a *tapAlarms) set(x *tapAlarm, now time.Time, raised bool, value float64) {
	x.Value = value
	switch {
	case raised && !x.raised:
		x.Since = now.UnixNano()
		x.logRaised(a.log)
	case !raised && x.raised:
		x.logCleared(a.log, now)
	}
	x.raised = raised
}

// standing gives the alarms that stand.
func (a *tapAlarms) standing() []Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Alarm
	for _, x := range a.list {
		if x.raised {
			out = append(out, x.Alarm)
		}
	}
	return out
}
