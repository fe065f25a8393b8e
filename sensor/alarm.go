package sensor

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"simtrap/capture"
)

// When alarms are raised and cleared. docs/simtrapd.md has the same.
const (
	silentAfter = 30 * time.Second // without a frame
	backAfter   = 5 * time.Second  // with frames again
	lossWindow  = 10 * time.Second // in which something is lost
	lossOver    = time.Minute      // without a loss

	balanceWindow = time.Minute
	balanceLeast  = 10_000 // packets in a window, to tell
	unbalanced    = 0.8    // share of the busiest queue, in two windows
	balanced      = 0.7    // in one

	clockEvery = time.Minute // twice in a row, either way
)

// portState is how a port stands.
type portState struct {
	present  bool
	seen     uint64
	losses   []capture.Loss
	dropping bool
	why      string
}

// monitor watches over ports and raises their alarms.
type monitor struct {
	log    *zap.Logger
	clock  func() (synchronised bool, err error)
	queues func(port string) (map[string]uint64, error)

	mu     sync.Mutex
	alarms []Alarm
	users  int
	stop   chan struct{}
	done   chan struct{}

	wrong, right int // readings of the clock in a row
}

func newMonitor(log *zap.Logger, clock func() (bool, error), queues func(string) (map[string]uint64, error)) *monitor {
	return &monitor{log: log, clock: clock, queues: queues, stop: make(chan struct{})}
}

// enter counts a port in; leave ends the monitor with the last one.
func (m *monitor) enter() { m.mu.Lock(); m.users++; m.mu.Unlock() }

func (m *monitor) leave() {
	m.mu.Lock()
	m.users--
	last, done := m.users == 0, m.done
	m.mu.Unlock()
	if !last {
		return
	}
	close(m.stop)
	if done != nil {
		<-done
	}
}

// start watches the taps until all of them are closed.
func (m *monitor) start(taps []*tap) {
	var ports []*watched
	for _, t := range taps {
		ports = append(ports, &watched{name: t.name, state: t.state})
	}
	m.mu.Lock()
	m.done = make(chan struct{})
	m.mu.Unlock()
	go m.run(ports)
}

func (m *monitor) run(ports []*watched) {
	defer close(m.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	now := time.Now()
	for _, p := range ports {
		p.begin(now)
	}
	asked := now
	m.readClock(now)
	for {
		select {
		case <-m.stop:
			return
		case now = <-tick.C:
		}
		for _, p := range ports {
			p.step(m, now)
		}
		if now.Sub(asked) >= clockEvery {
			asked = now
			m.readClock(now)
		}
	}
}

// readClock sees whether the clock is kept.
func (m *monitor) readClock(now time.Time) {
	ok, err := m.clock()
	switch {
	case err != nil:
		return // what is not known is no alarm
	case ok:
		m.right, m.wrong = m.right+1, 0
	default:
		m.wrong, m.right = m.wrong+1, 0
	}
	if m.wrong >= 2 {
		m.raise(now, Alarm{ID: "clock-unsynchronised", Text: "the clock is not synchronised: times cannot be compared with those of others",
			Remedy: "systemctl enable --now chrony (or systemd-timesyncd)", Value: 1})
	}
	if m.right >= 2 {
		m.clear("clock-unsynchronised")
	}
}

func (a *Alarm) logRaised(log *zap.Logger) {
	log.Error("alarm raised", zap.String("alarm", a.ID), zap.String("text", a.Text), zap.String("remedy", a.Remedy), zap.Float64("value", a.Value))
}

func (a *Alarm) logCleared(log *zap.Logger, now time.Time) {
	log.Info("alarm cleared", zap.String("alarm", a.ID), zap.Duration("stood", now.Sub(time.Unix(0, a.Since)).Round(time.Second)))
}

// raise raises an alarm, or says anew what it measures.
func (m *monitor) raise(now time.Time, a Alarm) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.Since = now.UnixNano()
	for i := range m.alarms {
		if m.alarms[i].ID == a.ID {
			a.Since = m.alarms[i].Since
			m.alarms[i] = a
			return
		}
	}
	m.alarms = append(m.alarms, a)
	a.logRaised(m.log)
}

// clear takes an alarm back, if it stands.
func (m *monitor) clear(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.alarms, func(a Alarm) bool { return a.ID == id })
	if i < 0 {
		return
	}
	m.alarms[i].logCleared(m.log, time.Now())
	m.alarms = slices.Delete(m.alarms, i, i+1)
}

func (m *monitor) stands(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.alarms, func(a Alarm) bool { return a.ID == id })
}

// of gives the alarms of a port, or with no name those of the machine.
func (m *monitor) of(port string) []Alarm {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Alarm
	for _, a := range m.alarms {
		if _, of, _ := strings.Cut(a.ID, "/"); of == port {
			out = append(out, a)
		}
	}
	return out
}

// watched is what is remembered of a port.
type watched struct {
	name  string
	state func() portState

	seen     uint64
	frame    time.Time // when the last frame was noticed, or watching began
	back     time.Time // since when there are frames without a silence of backAfter
	lost     uint64    // in all, at the beginning of the window
	window   time.Time // its beginning
	lossless time.Time // the last window with a loss
	queues   map[string]uint64
	counted  time.Time
	uneven   int // windows in a row
	why      string
}

func (p *watched) begin(now time.Time) {
	s := p.state()
	p.seen, p.frame, p.back, p.window, p.counted, p.why = s.seen, now, now, now, now, s.why
	p.lost = ringLosses(s.losses)
}

// ringLosses counts what found no room on its way up.
func ringLosses(list []capture.Loss) uint64 {
	n := uint64(0)
	for _, l := range list {
		switch {
		case l.Stage == "kernel" && (l.Reason == "frames_lost" || l.Reason == "intervals_lost"),
			l.Stage == "ring" && l.Reason == "frames dropped: ring full":
			n += l.Count
		}
	}
	return n
}

func (p *watched) step(m *monitor, now time.Time) {
	s := p.state()
	if s.why != "" && s.why != p.why {
		p.why = s.why
		m.log.Info("use of the port has changed", zap.String("port", p.name), zap.Bool("frames dropped", s.dropping), zap.String("why", s.why))
	}
	p.silence(m, now, &s)
	p.losses(m, now, &s)
	if now.Sub(p.counted) >= balanceWindow {
		p.counted = now
		p.balance(m, now)
	}
}

func (p *watched) silence(m *monitor, now time.Time, s *portState) {
	id := "tap-silent/" + p.name
	if s.seen != p.seen {
		if now.Sub(p.frame) >= backAfter {
			p.back = now
		}
		p.seen, p.frame = s.seen, now
	}
	quiet := now.Sub(p.frame)
	switch {
	case quiet >= silentAfter:
		a := Alarm{ID: id, Text: fmt.Sprintf("no frame for %v", quiet.Round(time.Second)),
			Remedy: "check the tap, its cable and the mirror session; simtrapd doctor " + p.name, Value: quiet.Seconds()}
		if !s.present {
			a.Text, a.Remedy = "the interface is gone: "+a.Text, "ip -br link; the port is taken again when one of its name is there"
		}
		m.raise(now, a)
	case quiet < backAfter && now.Sub(p.back) >= backAfter:
		m.clear(id)
	}
}

func (p *watched) losses(m *monitor, now time.Time, s *portState) {
	id := "ring-loss/" + p.name
	d := now.Sub(p.window)
	if d < lossWindow {
		return
	}
	n := ringLosses(s.losses)
	lost := n - min(n, p.lost)
	p.lost, p.window = n, now
	switch {
	case lost > 0:
		p.lossless = now
		rate := float64(lost) / d.Seconds()
		m.raise(now, Alarm{ID: id, Text: fmt.Sprintf("%.1f frames or intervals a second find no room in the ring", rate),
			Remedy: "more processors or workers, capture: xdp where the driver has it, or fewer ports on this machine", Value: rate})
	case now.Sub(p.lossless) >= lossOver:
		m.clear(id)
	}
}

func (p *watched) balance(m *monitor, now time.Time) {
	id := "queues-unbalanced/" + p.name
	counts, err := m.queues(p.name)
	before := p.queues
	p.queues = counts
	if err != nil || len(counts) < 2 || before == nil {
		return
	}
	sum, most := uint64(0), uint64(0)
	for name, n := range counts {
		if was, ok := before[name]; ok && n > was {
			sum += n - was
			most = max(most, n-was)
		}
	}
	if sum < balanceLeast {
		return
	}
	share := float64(most) / float64(sum)
	if share < unbalanced {
		p.uneven = 0
	} else {
		p.uneven++
	}
	switch {
	case p.uneven >= 2 || share >= balanced && m.stands(id):
		m.raise(now, Alarm{ID: id, Text: fmt.Sprintf("one of %d queues has %.0f %% of the packets", len(counts), 100*share),
			Remedy: "ethtool -N " + p.name + " rx-flow-hash udp4 sdfn; where that changes nothing, spread the tap's traffic over several ports", Value: share})
	case share < balanced:
		m.clear(id)
	}
}
