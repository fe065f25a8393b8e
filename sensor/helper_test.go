package sensor

import (
	"bytes"
	"context"
	"flag"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/sensor/config"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(killFolder); folder != "" {
		child(folder)
		return
	}
	if folder := os.Getenv(hubChild); folder != "" {
		reportingChild(folder)
		return
	}
	flag.Parse()
	// Tests with ports of their own wait for packets most of the time.
	_ = flag.Set("test.parallel", "8")
	goleak.VerifyTestMain(m)
}

func parsed(t *testing.T, folder, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("d.yaml", folder, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// safeBuffer is a bytes.Buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// quiet is a live source without frames.
type quiet struct {
	hang   atomic.Bool // answers no more
	closed atomic.Bool
}

func (q *quiet) Next(ctx context.Context) (*capture.Batch, error) {
	d := idle
	if q.hang.Load() {
		d = time.Hour
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(d):
		return capture.NewBatch(nil, nil), nil
	}
}

func (q *quiet) Close() error { q.closed.Store(true); return nil }

func (q *quiet) Losses() []capture.Loss {
	return []capture.Loss{{Stage: "ring", Reason: "ring full", Count: 7}, {Stage: "ring", Reason: "none", Count: 0}}
}

func (q *quiet) Alarms() []Alarm { return []Alarm{{ID: "ring-loss/eth1", Value: 0.1}} }

// opener gives sources as ports.
type opener []capture.Source

func (o opener) Open(_ context.Context, a Attach) ([]Port, error) {
	var ports []Port
	for i, s := range o {
		ports = append(ports, Port{Name: a.Config.Ports[i].Name, Number: i + 1, Mode: "test", Direction: config.DirectionBoth, Source: s})
	}
	return ports, nil
}

// engine reads its ports and finds one line when it is told to stop.
type engine struct {
	cfg         EngineConfig
	checkpoints atomic.Int64
	reloads     atomic.Int64
	fail        atomic.Pointer[error]
}

func (e *engine) Run(ctx context.Context, ports []Port) error {
	for ctx.Err() == nil {
		for _, p := range ports {
			b, err := p.Source.Next(ctx)
			if err != nil {
				break
			}
			b.Release()
		}
	}
	return e.cfg.Sink.Finding(&heuristics.Finding{Line: ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 7})}, Verdict: heuristics.Case, Proof: true})
}

func (e *engine) Stats() Stats {
	return Stats{Losses: []capture.Loss{{Stage: "sip", Reason: "unread", Count: 1}}}
}
func (e *engine) Restore(string) (string, error) { return "3 lines of a minute ago", nil }
func (e *engine) Reload(*config.Config)          { e.reloads.Add(1) }
func (e *engine) Alarms() []Alarm {
	return []Alarm{{ID: "tap-silent", Text: "nothing comes", Remedy: "look", Value: 3}}
}

func (e *engine) Checkpoint(string) error {
	e.checkpoints.Add(1)
	if err := e.fail.Load(); err != nil {
		return *err
	}
	return nil
}
