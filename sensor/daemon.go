package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/pipeline"
	"simtrap/report"
	"simtrap/report/fleet"
	"simtrap/report/fleetpb"
	"simtrap/sensor/config"
)

// Options is what a Daemon is made from.
type Options struct {
	File    string // of the configuration
	Config  *config.Config
	Version string
	Opener  Opener
	Engine  func(EngineConfig) (Engine, error)
	Names   *ident.Pseudonymizer
	Class   func(ident.Number) string // of numbers, for reports
	Stdout  io.Writer
	Stderr  io.Writer
	Notify  Notify
	Signals <-chan os.Signal // SIGHUP reloads
	// Secure says that rights are dropped and files confined: a process does this
	// once and for good.
	Secure bool
	// Memory says what to stay below, and where that is from; nil leaves it.
	Memory func(config.Size) (int64, string)
}

// Daemon is one run of simtrapd.
type Daemon struct {
	o       Options
	log     *Logger
	since   time.Time
	rights  *Rights
	out     *Output
	engine  Engine
	hub     *hub           // nil where nothing is reported to one
	headers *headers       // nil where none are kept
	fetch   *fetching      // nil without a hub
	begun   *config.Config // with what the policy said at the start
	pages   *pages
	http    *server
	local   *server

	mu       sync.Mutex
	config   *config.Config // the file's
	steer    *config.Config // with what the policy says
	policy   *fleetpb.Policy
	ports    []Port
	state    string
	meters   []*meter
	keep     CheckpointStatus
	reload   ReloadStatus
	confined string
	// policyRestart names what of the policy needs a restart.
	policyRestart []string
}

// The states of a Daemon.
const (
	stateStarting = "starting"
	stateRunning  = "running"
	stateDraining = "draining"
)

// patience is how long a source may take to answer before the daemon is not
// healthy. Live ones answer every 100 ms, with frames or without.
const patience = 10 * time.Second

// Run runs a daemon until ctx is done or all ports have come to their end.
// What was found by then is written.
func Run(ctx context.Context, o Options) error {
	d := &Daemon{o: o, log: NewLogger(o.Stderr, &o.Config.Log), since: time.Now(), config: o.Config, state: stateStarting}
	err := d.run(ctx)
	d.log.Sweep()
	return err
}

func (d *Daemon) run(ctx context.Context) (err error) {
	c := d.o.Config
	d.setMemory(c)
	if d.rights, err = NewRights(); err != nil {
		d.log.Warn("capabilities are not known", zap.Error(err))
	}
	if err := os.MkdirAll(c.StateFolder(), 0o750); err != nil {
		return fmt.Errorf("state folder: %w; set state", err)
	}
	for _, a := range amiss(c.StateFolder()) {
		a.logRaised(d.log.Logger)
	}
	options := report.Options{Names: d.o.Names, Class: d.o.Class}
	var kept fleet.Kept
	if d.hub, err = openHub(c, &kept, options, d.log.Logger); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.hub.close()) }()
	if c, err = steered(c, kept.Policy); err != nil {
		d.log.Error("the hub's policy makes no sense here: the file's configuration stands", zap.Error(err))
	}
	d.begun, d.steer, d.policy = c, c, kept.Policy
	realms, err := c.RealmRules()
	if err != nil {
		return err
	}
	options.Realm = realms.Name
	if d.out, err = openOutput(c, options, d.o.Stdout, d.log.Logger); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.out.Close()) }()
	engine := EngineConfig{Config: c, Sink: d.out, Log: d.log.Logger}
	if d.hub != nil {
		if err := d.join(kept, options, realms); err != nil {
			return err
		}
		engine.Sink, engine.Catalogue, engine.Upstream = &teller{d}, kept.Catalogue, d.hub
	}
	names := func(int64) *ident.Pseudonymizer { return d.o.Names }
	if d.hub != nil { // who compares what several appliances saw needs the fleet's
		names = func(t int64) *ident.Pseudonymizer {
			_, n := d.hub.at(t)
			return n
		}
	}
	if d.headers, err = openHeaders(c, options, names, d.log.Logger); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.headers.close()) }()
	engine.Sink = d.headers.sink(engine.Sink)
	if d.hub != nil {
		d.fetch = newFetching(d.headers, d.hub.member, c.StateFolder(), d.o.Version, d.now, d.headersPorts, d.log.Logger)
	}
	if d.engine, err = d.o.Engine(engine); err != nil {
		return err
	}
	if err := d.restore(); err != nil {
		return err
	}
	if err := d.serve(c); err != nil {
		return err
	}
	defer d.http.close()
	defer d.local.close()
	ports, err := d.o.Opener.Open(ctx, Attach{Config: c, Log: d.log.Logger, Rights: d.rights})
	if err != nil {
		return err
	}
	sources := make([]io.Closer, len(ports))
	var meters []*meter
	for i := range ports {
		sources[i] = ports[i].Source
		m := metered(&ports[i], c.Never)
		m.cut = d.headers.cutter()
		meters = append(meters, m)
	}
	d.mu.Lock()
	d.meters, d.ports = meters, ports
	d.mu.Unlock()
	defer func() {
		for _, s := range sources {
			err = errors.Join(err, d.rights.Closing(s.Close))
		}
	}()
	if err := d.secure(c, sources); err != nil {
		return err
	}
	return d.watch(ctx, ports)
}

// join takes up what the hub said last.
func (d *Daemon) join(kept fleet.Kept, o report.Options, realms pipeline.Realms) (err error) {
	h := d.hub
	h.options, h.realms = o, realms
	h.tables.Store(kept.Version)
	if kept.Catalogue == nil {
		c, err := catalogue.Load()
		if err != nil {
			return err
		}
		h.tables.Store(uint64(c.Version))
	}
	if err := h.declared.set(kept.Policy.GetDeclaredGateways()); err != nil {
		d.log.Error("not all of the register is kept", zap.Error(err))
	}
	h.follower, err = fleet.NewFollower(h.member, kept, fleet.Options{Log: d.log.Logger, Apply: func(ctx context.Context, p *fleetpb.Policy, c *catalogue.Catalogue, version uint64) error {
		ctx, cancel := context.WithTimeout(ctx, policyPatience)
		defer cancel()
		return d.applyPolicy(ctx, p, c, version)
	}})
	return err
}

// teller tells a finding to the output and to the hub.
type teller struct{ d *Daemon }

// Finding implements Sink.
func (t *teller) Finding(f *heuristics.Finding) error {
	d := t.d
	d.mu.Lock()
	c := d.steer
	d.mu.Unlock()
	f = shared(f, c)
	if d.hub.declared.holds(d.hub.options.LineName(f.Line), f.Line.Bits, max(f.Told, f.Last)) {
		x := *f
		x.Declared = true
		f = &x
	}
	d.hub.Finding(f)
	return d.out.Finding(f)
}

// restore takes up what the last run left.
func (d *Daemon) restore() error {
	keeper, ok := d.engine.(Checkpointer)
	if !ok {
		d.log.Info("evidence does not outlive a restart with this way of judging")
		return nil
	}
	text, err := keeper.Restore(d.config.StateFolder())
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	d.log.Info("evidence taken up", zap.String("checkpoint", text))
	d.keep = CheckpointStatus{Kept: true, Restored: text}
	return nil
}

// serve opens the two places where the daemon answers.
func (d *Daemon) serve(c *config.Config) error {
	d.pages = &pages{snapshot: d.Status, healthy: d.healthy, ready: d.ready, registry: registry(d.Status), profiles: func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.config.Metrics.Profiles
	}}
	d.http, d.local = &server{handler: d.pages.handler()}, &server{handler: d.pages.handler()}
	if c.Socket != config.None {
		if err := d.local.listen("unix", c.Path(c.Socket)); err != nil {
			return fmt.Errorf("socket: %w; set socket, or none", err)
		}
	}
	if err := d.http.listen("tcp", c.Metrics.Listen); err != nil {
		d.local.close()
		return fmt.Errorf("metrics.listen: %w", err)
	}
	return nil
}

// secure gives up what is not needed any more.
func (d *Daemon) secure(c *config.Config, sources []io.Closer) error {
	d.confined = "no"
	if !d.o.Secure {
		return nil
	}
	if os.Geteuid() == 0 {
		d.log.Warn("runs as root: give it a user of its own, as simtrapd.service does")
	}
	if d.rights != nil {
		kept, err := d.rights.Drop(c.Reattach, func() error {
			var err error
			for _, s := range sources {
				if w, ok := s.(Working); ok {
					err = errors.Join(err, w.Working())
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		d.log.Info("rights given up", zap.Strings("in effect", kept), zap.Bool("may attach again", c.Reattach))
	}
	if !c.Confine {
		return nil
	}
	how, err := confine(c, d.o.File, d.hub != nil)
	if err != nil {
		return fmt.Errorf("landlock: %w; set confine: false", err)
	}
	d.confined = how
	d.log.Info("files confined", zap.String("landlock", how))
	return nil
}

// watch runs the engine and everything that goes by time.
func (d *Daemon) watch(ctx context.Context, ports []Port) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.engine.Run(ctx, ports) }()
	if d.hub != nil {
		defer d.hub.run(context.WithoutCancel(ctx), d.Status, d.again)()
		defer d.fetching(ctx)()
	}
	d.set(stateRunning)
	d.notify("READY=1", d.summary())
	d.log.Info("running", zap.Int("ports", len(ports)), zap.String("config", d.o.File))

	checkpoint := time.NewTimer(d.config.Every())
	defer checkpoint.Stop()
	var writing chan struct{} // while a checkpoint is
	sweep := time.NewTicker(time.Second)
	defer sweep.Stop()
	watchdog := make(<-chan time.Time)
	if d.o.Notify.watchdog > 0 {
		t := time.NewTicker(d.o.Notify.watchdog / 3)
		defer t.Stop()
		watchdog = t.C
	}
	stopping := ctx.Done()
	for {
		select {
		case err := <-ended:
			d.set(stateDraining)
			d.notify("STOPPING=1")
			if writing != nil {
				<-writing
			}
			if err == nil && ctx.Err() == nil && d.hub != nil { // else it goes on after a restart
				d.hub.ended()
			}
			d.checkpoint()
			d.log.Info("stopped", zap.Uint64("findings", d.out.written.Load()))
			return err
		case <-stopping:
			stopping = nil
			d.set(stateDraining)
			d.notify("STOPPING=1", "STATUS=draining")
			d.log.Info("stopping: what is on its way is judged and written")
		case s := <-d.o.Signals:
			if s == syscall.SIGHUP {
				d.reloadFile()
				checkpoint.Reset(d.config.Every())
			}
		case <-checkpoint.C:
			checkpoint.Reset(d.config.Every())
			if writing == nil { // it may take long, and the rest goes on
				writing = make(chan struct{})
				go func(done chan struct{}) {
					defer close(done)
					d.checkpoint()
				}(writing)
			}
		case <-writing:
			writing = nil
		case <-sweep.C:
			d.log.Sweep()
		case <-watchdog:
			if err := d.healthy(); err != nil {
				d.log.Error("not healthy: the service manager is not told otherwise", zap.Error(err))
				continue
			}
			d.notify("WATCHDOG=1", d.summary())
		}
	}
}

// fetching answers requests for headers until it is stopped.
func (d *Daemon) fetching(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.fetch.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// headersPorts says how frames are taken.
func (d *Daemon) headersPorts() (list []*fleetpb.HeadersPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.ports {
		list = append(list, &fleetpb.HeadersPort{Name: p.Name, Mode: p.Mode})
	}
	return list
}

// now is the configuration with what the policy says.
func (d *Daemon) now() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steer
}

// again tells a new run what the hub said of controllers before.
func (d *Daemon) again(ctx context.Context) {
	e, ok := d.engine.(Steered)
	if !ok {
		return
	}
	d.mu.Lock()
	p := d.policy
	d.mu.Unlock()
	list, err := verdictsOf(p, d.hub.realms)
	if len(list) > 0 {
		err = errors.Join(err, e.Hub(ctx, list))
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("verdicts of the hub on controllers are not in use", zap.Error(err))
	}
}

// summary is the line that systemctl status shows.
func (d *Daemon) summary() string {
	s := d.engine.Stats()
	return oneLine(fmt.Sprintf("STATUS=%d frames, %d calls, %d findings written", s.Frames, s.Calls, d.out.written.Load()))
}

func (d *Daemon) notify(states ...string) {
	if err := d.o.Notify.send(states...); err != nil {
		d.log.Warn("service manager not told", zap.Error(err))
	}
}

func (d *Daemon) set(state string) {
	d.mu.Lock()
	d.state = state
	d.mu.Unlock()
}

// checkpoint writes the evidence to the state folder.
func (d *Daemon) checkpoint() {
	keeper, ok := d.engine.(Checkpointer)
	if !ok {
		return
	}
	start := time.Now()
	err := keeper.Checkpoint(d.begun.StateFolder())
	if d.hub != nil {
		err = errors.Join(err, d.hub.checkpoint())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep.Seconds = time.Since(start).Seconds()
	if err != nil {
		d.keep.Failed++
		d.keep.Error = err.Error()
		d.log.Error("evidence not written", zap.Error(err))
		return
	}
	d.keep.Last, d.keep.Error = &start, ""
}

// reloadFile reads the configuration anew and takes over what may change. On
// any mistake all stays as it was.
func (d *Daemon) reloadFile() {
	if err := d.o.Notify.reloading(); err != nil {
		d.log.Warn("service manager not told", zap.Error(err))
	}
	defer d.notify("READY=1", d.summary())
	refuse := func() {
		d.mu.Lock()
		d.reload.Refused++
		d.mu.Unlock()
	}
	next, err := config.Read(d.o.File)
	if m, ok := errors.AsType[*config.Mistakes](err); ok {
		for _, x := range m.List {
			d.log.Error("configuration not taken over: it goes on with the old one", zap.String("file", m.File), zap.Int("line", x.Line), zap.Int("column", x.Column),
				zap.String("mistake", x.What), zap.String("remedy", x.Remedy))
		}
		refuse()
		return
	}
	if err != nil {
		d.log.Error("configuration not read: it goes on with the old one", zap.Error(err))
		refuse()
		return
	}
	live, restart := config.Diff(d.config, next)
	c := config.Take(d.config, next)
	if err := d.take(c); err != nil {
		d.log.Error("configuration not taken over: it goes on with the old one", zap.Error(err))
		refuse()
		return
	}
	d.mu.Lock()
	d.config = c
	if s, err := steered(c, d.policy); err == nil {
		d.steer = s
	}
	d.reload.Done++
	d.reload.Restart = restart
	d.mu.Unlock()
	if r, ok := d.engine.(Reloader); ok {
		r.Reload(c)
	}
	d.log.Info("configuration taken over", zap.Strings("changed", live))
	if len(restart) > 0 {
		d.log.Warn("these need a restart to change", zap.Strings("keys", restart))
	}
}

// take opens what a new configuration names; where one cannot be had, the old
// one is back.
func (d *Daemon) take(c *config.Config) error {
	old := d.config
	if err := d.http.listen("tcp", c.Metrics.Listen); err != nil {
		return fmt.Errorf("metrics.listen: %w", err)
	}
	d.mu.Lock()
	policy := d.policy
	d.mu.Unlock()
	effective, err := steered(c, policy)
	if err != nil {
		d.log.Error("the hub's policy makes no sense here: the file's configuration stands", zap.Error(err))
	}
	if err := d.out.reopen(effective); err != nil {
		return errors.Join(err, d.http.listen("tcp", old.Metrics.Listen))
	}
	d.log.Set(&c.Log)
	if c.Limits.Memory != old.Limits.Memory {
		d.setMemory(c)
	}
	return nil
}

// setMemory sets the limit of the runtime.
func (d *Daemon) setMemory(c *config.Config) {
	if d.o.Memory == nil {
		return
	}
	n, from := d.o.Memory(c.Limits.Memory)
	if n > 0 {
		debug.SetMemoryLimit(n)
	}
	d.log.Info("memory limit", zap.String("limit", sizeText(memoryLimit())), zap.String("from", from))
}

// healthy tells whether every source answers.
func (d *Daemon) healthy() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != stateRunning {
		return nil
	}
	for _, m := range d.meters {
		if n := time.Since(time.Unix(0, m.heard.Load())); n > patience && !m.ended.Load() {
			return fmt.Errorf("port %s: nothing heard for %v", m.port.Name, n.Round(time.Second))
		}
	}
	return nil
}

// ready tells whether the daemon is at work.
func (d *Daemon) ready() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != stateRunning {
		return errors.New(d.state)
	}
	return nil
}

// Status tells how things stand.
func (d *Daemon) Status() Status {
	e := d.engine.Stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Status{
		Version: d.o.Version, State: d.state, Config: d.o.File, Since: d.since.UTC(), Now: time.Now().UTC(), Ports: []PortStatus{},
		Messages: e.Messages, H323: e.H323, Calls: e.Calls, Streams: e.Streams, Records: e.Records, Lines: e.Lines,
		Verdicts: map[string]uint64{}, Written: d.out.written.Load(), Failed: d.out.failed.Load(),
		Alarms: []Alarm{}, Losses: []Loss{}, Checkpoint: d.keep, Reload: d.reload, MemoryLimit: memoryLimit(), Suppressed: d.log.Suppressed(),
		Capabilities: d.rights.Effective(), Confined: d.confined,
	}
	for v, n := range e.Verdicts {
		s.Verdicts[heuristics.Verdict(v).String()] = n
	}
	for _, m := range d.meters {
		p := PortStatus{Name: m.port.Name, Number: m.port.Number, Mode: m.port.Mode, Direction: string(m.port.Direction),
			Frames: m.frames.Load(), Bytes: m.bytes.Load(), Silent: time.Since(time.Unix(0, m.heard.Load())).Seconds()}
		if t := m.last.Load(); t > 0 {
			at := time.Unix(0, t).UTC()
			p.Last = &at
			began := time.Unix(0, m.first.Load()).UTC()
			p.First = &began
		}
		s.Ports = append(s.Ports, p)
		s.Losses = append(s.Losses, lossesOf(p.Name, m.losses())...)
		if a, ok := m.Source.(Alarmer); ok {
			s.Alarms = append(s.Alarms, a.Alarms()...)
		}
	}
	s.Losses = append(s.Losses, lossesOf("", e.Losses)...)
	s.Alarms = append(s.Alarms, amiss(d.begun.StateFolder())...)
	if a, ok := d.engine.(Alarmer); ok {
		s.Alarms = append(s.Alarms, a.Alarms()...)
	}
	s.Headers = d.headers.status(d.begun)
	d.fetch.status(s.Headers)
	s.Losses = append(s.Losses, lossesOf("", d.headers.losses())...)
	s.reached = e.Last
	s.Reload.Restart = slices.Concat(s.Reload.Restart, d.policyRestart)
	if d.hub != nil {
		s.Hub = d.hub.status()
		s.Losses = append(s.Losses, lossesOf("", d.hub.losses())...)
		s.Alarms = append(s.Alarms, d.hub.alarms.of("")...)
	}
	return s
}
