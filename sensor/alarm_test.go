package sensor

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/rtp"
)

// scene is a port and a machine as a test sets them.
type scene struct {
	frames, lost   atomic.Uint64
	first, second  atomic.Uint64 // packets of two queues
	unsynchronised atomic.Bool
	gone           atomic.Bool
	fails          atomic.Bool // opening
	opens          atomic.Int64
	logs           *observer.ObservedLogs
	tap            *tap
}

// act is a source of a scene.
type act struct {
	*scene
	closed bool
	n      uint64
}

func (a *act) Next(ctx context.Context) (*capture.Batch, error) {
	if a.closed {
		return nil, io.EOF
	}
	if a.gone.Load() {
		return nil, unix.ENODEV
	}
	time.Sleep(idle)
	return batch([]int64{time.Now().UnixNano()}, []byte{1}), ctx.Err()
}
func (a *act) Close() error { a.closed = true; return nil }
func (a *act) Losses() []capture.Loss {
	return []capture.Loss{{Stage: "ring", Reason: "frames dropped: ring full", Count: a.lost.Load()}, {Stage: "kernel", Reason: "limited_dns", Count: 1 << 40}}
}

// Intervals gives one interval when it is closed, as the kernel's source does.
func (a *act) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	if a.closed && a.n == 0 {
		a.n++
		dst = append(dst, rtp.Interval{Packets: 100})
	}
	return dst, 7
}

func (s *scene) open() (opened, error) {
	if s.fails.Load() {
		return opened{}, errors.New("no such port")
	}
	s.opens.Add(1)
	return opened{source: &act{scene: s}, mode: "xdp", seen: s.frames.Load, dropping: func() (bool, string) { return true, "bare" }}, nil
}

func newScene() *scene {
	core, logs := observer.New(zap.DebugLevel)
	s := &scene{logs: logs}
	log := zap.New(core)
	w := newMonitor(log, func() (bool, error) { return !s.unsynchronised.Load(), nil }, func(string) (map[string]uint64, error) {
		return map[string]uint64{"rx0_packets": s.first.Load(), "rx1_packets": s.second.Load()}, nil
	})
	s.tap = &tap{name: "eth1", number: 1, log: log, watch: w, open: s.open}
	s.tap.now, _ = s.open()
	w.enter()
	w.start([]*tap{s.tap})
	return s
}

func (s *scene) want(t *testing.T, when string, ids ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for _, a := range s.tap.Alarms() {
		got = append(got, a.ID)
		if a.Text == "" || a.Remedy == "" || a.Since == 0 || a.Value <= 0 {
			t.Errorf("%s: %+v", when, a)
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%s: %v, want %v", when, got, ids)
	}
}

// logged wants every alarm to have been logged once when raised, once when cleared.
func (s *scene) logged(t *testing.T, raised, cleared int) {
	t.Helper()
	if r, c := s.logs.FilterMessage("alarm raised").Len(), s.logs.FilterMessage("alarm cleared").Len(); r != raised || c != cleared {
		t.Errorf("raised %d times and cleared %d, want %d and %d", r, c, raised, cleared)
	}
}

// run lets time pass, with frames or without.
func (s *scene) run(d time.Duration, frames uint64) {
	for range d / time.Second {
		s.frames.Add(frames)
		time.Sleep(time.Second)
	}
}

func TestTapSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		defer s.tap.Close()
		s.run(time.Minute, 10)
		s.want(t, "with frames")
		s.run(28*time.Second, 0)
		s.want(t, "silent for 28 s")
		s.run(3*time.Second, 0)
		s.want(t, "silent for 31 s", "tap-silent/eth1")
		s.run(time.Hour, 0)
		if a := s.tap.Alarms(); len(a) != 1 || a[0].Value < 3600 || time.Since(time.Unix(0, a[0].Since)) < time.Hour-time.Second {
			t.Errorf("%+v", a)
		}
		s.run(time.Second, 1)
		s.want(t, "one frame", "tap-silent/eth1")
		s.run(20*time.Second, 0)
		s.want(t, "one frame alone", "tap-silent/eth1")
		s.run(3*time.Second, 1)
		s.want(t, "back for 3 s", "tap-silent/eth1")
		s.run(5*time.Second, 1)
		s.want(t, "back for 8 s")
		s.logged(t, 1, 1)
	})
}

func TestRingLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		defer s.tap.Close()
		s.run(time.Minute, 10)
		s.want(t, "no loss") // what budgets limit is none
		s.lost.Add(50)
		s.run(11*time.Second, 10)
		s.want(t, "loss", "ring-loss/eth1")
		if a := s.tap.Alarms(); len(a) != 1 || a[0].Value != 5 {
			t.Errorf("%+v", a)
		}
		s.run(40*time.Second, 10)
		s.want(t, "40 s after", "ring-loss/eth1")
		s.run(40*time.Second, 10)
		s.want(t, "80 s after")
		s.logged(t, 1, 1)
	})
}

func TestQueuesUnbalanced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		defer s.tap.Close()
		minutes := func(n int, first, second uint64) {
			for range n {
				s.first.Add(first)
				s.second.Add(second)
				s.run(time.Minute, 1)
			}
		}
		s.run(30*time.Second, 1)
		minutes(3, 9000, 100)
		s.want(t, "too few to tell")
		minutes(1, 90000, 10000)
		s.want(t, "one window")
		minutes(2, 90000, 10000)
		s.want(t, "three windows", "queues-unbalanced/eth1")
		minutes(2, 75000, 25000)
		s.want(t, "between the two", "queues-unbalanced/eth1")
		minutes(2, 60000, 40000)
		s.want(t, "balanced")
		s.logged(t, 1, 1)
	})
}

func TestClockUnsynchronised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		defer s.tap.Close()
		s.run(10*time.Minute+30*time.Second, 1)
		s.unsynchronised.Store(true)
		s.run(61*time.Second, 1)
		s.want(t, "one reading")
		s.run(61*time.Second, 1)
		s.want(t, "two readings", "clock-unsynchronised")
		s.unsynchronised.Store(false)
		s.run(3*time.Minute, 1)
		s.want(t, "kept again")
		s.logged(t, 1, 1)
	})
}

// A port that vanishes is opened again when it is back; nothing that was counted,
// and no interval, is lost by it.
func TestTapReopens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		defer s.tap.Close()
		k := kernelTap{s.tap, 3}
		next := func(want int) {
			t.Helper()
			b, err := k.Next(t.Context())
			if err != nil || len(b.Frames) != want || b.Source != 1 {
				t.Fatalf("%v %v", b, err)
			}
		}
		next(1)
		s.lost.Store(5)
		s.gone.Store(true)
		s.fails.Store(true)
		ends := time.Now().Add(time.Minute)
		next(0)
		ivs, until := k.Intervals(nil)
		if len(ivs) != 1 || ivs[0].Flow.Realm != 3 || until != time.Now().UnixNano() {
			t.Errorf("%v %d", ivs, until)
		}
		for time.Now().Before(ends) {
			next(0)
		}
		if n := s.logs.FilterMessage("port not back yet").Len(); n != 1 {
			t.Errorf("said %d times", n)
		}
		s.want(t, "gone", "ring-loss/eth1", "tap-silent/eth1")
		s.gone.Store(false)
		s.fails.Store(false)
		for begin := time.Now(); ; {
			b, err := k.Next(t.Context())
			if err != nil || time.Since(begin) > 2*time.Second {
				t.Fatal("not opened again", err)
			}
			if len(b.Frames) == 1 {
				break
			}
		}
		if s.opens.Load() != 2 {
			t.Errorf("opened %d times", s.opens.Load())
		}
		if b, _ := k.Next(t.Context()); b.Seq != 2 {
			t.Errorf("numbered %d", b.Seq)
		}
		if _, until := k.Intervals(nil); until != 7 {
			t.Error(until)
		}
		l := s.tap.Losses()
		if l[0].Count != 10 || l[len(l)-1].Count != 1 { // 5 of each
			t.Errorf("%v", l)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		if _, err := k.Next(t.Context()); err == nil {
			t.Error("goes on after its end")
		}
		if ivs, _ := k.Intervals(nil); len(ivs) != 1 {
			t.Errorf("%d intervals at the end", len(ivs))
		}
	})
}

// What is under never is not accounted either.
func TestNeverIntervals(t *testing.T) {
	p := Port{Source: &kernel{}}
	c := parsed(t, "/", "ports: [{name: eth1}]\nnever: [203.0.113.250]\n")
	m := metered(&p, c.Never)
	secret, other := addr(t, "203.0.113.250"), addr(t, "203.0.113.7")
	p.Source = accountingMeter{m, closedFlows{{Src: secret, Dst: other}, {Src: other, Dst: other}, {Src: other, Dst: secret}}}
	ivs, until := p.Source.(accountant).Intervals([]rtp.Interval{{Flow: rtp.Flow{Src: secret}}})
	if len(ivs) != 2 || ivs[1].Flow.Dst != other || until != 9 {
		t.Errorf("%v %d", ivs, until)
	}
	if l := m.losses(); len(l) != 1 || l[0].Count != 2 {
		t.Errorf("%v", l)
	}
}

func addr(t *testing.T, s string) ident.Addr {
	t.Helper()
	return ident.AddrFromNetip(netip.MustParseAddr(s))
}

type closedFlows []rtp.Flow

func (c closedFlows) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	for _, f := range c {
		dst = append(dst, rtp.Interval{Flow: f})
	}
	return dst, 9
}
