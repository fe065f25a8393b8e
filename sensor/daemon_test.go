package sensor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"simtrap/capture"
	"simtrap/ident"
)

// started is a daemon in the background.
type started struct {
	d       *Daemon
	engine  *engine
	source  *quiet
	out     safeBuffer
	log     safeBuffer
	signals chan os.Signal
	stop    context.CancelFunc
	done    chan error
}

// start runs a daemon without anything that synctest does not know.
func start(t *testing.T, text string) *started {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "d.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &started{engine: &engine{}, source: &quiet{}, signals: make(chan os.Signal, 1), done: make(chan error, 1)}
	o := Options{
		File: file, Config: parsed(t, folder, text), Version: "1", Opener: opener{s.source}, Names: ident.NewPseudonymizer(make([]byte, 32), ""),
		Engine: func(c EngineConfig) (Engine, error) { s.engine.cfg = c; return s.engine, nil },
		Stdout: &s.out, Stderr: &s.log, Signals: s.signals,
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.d = &Daemon{o: o, log: NewLogger(o.Stderr, &o.Config.Log), since: time.Now(), config: o.Config, state: stateStarting}
	go func() { s.done <- s.d.run(ctx) }()
	return s
}

const quietConfig = "ports: [{name: eth1}]\nstate: state\nsocket: none\nmetrics: {listen: none}\n"

func (s *started) rewrite(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(s.d.o.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.signals <- syscall.SIGHUP
	synctest.Wait()
}

// Evidence is written as often as the configuration says, as a reload says, and
// at the end; what was found by then is written.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, quietConfig)
		time.Sleep(10*time.Minute + time.Second)
		if n := s.engine.checkpoints.Load(); n != 10 {
			t.Errorf("%d checkpoints in 10 minutes", n)
		}
		s.rewrite(t, quietConfig+"checkpoint-interval: 10s\n")
		time.Sleep(time.Minute + time.Second)
		if n := s.engine.checkpoints.Load(); n != 16 {
			t.Errorf("%d checkpoints, want 16", n)
		}
		if s.engine.reloads.Load() != 1 {
			t.Error("the engine was not told")
		}
		st := s.d.Status()
		if st.State != "running" || len(st.Ports) != 1 || st.Ports[0].Mode != "test" || !st.Checkpoint.Kept || st.Checkpoint.Restored == "" || st.Checkpoint.Last == nil {
			t.Errorf("%+v", st)
		}
		if len(st.Alarms) != 2 || len(st.Losses) != 2 || st.Losses[0] != (Loss{"eth1", "ring", "ring full", 7}) {
			t.Errorf("%+v %+v", st.Alarms, st.Losses)
		}
		bad := errors.New("disk full")
		s.engine.fail.Store(&bad)
		time.Sleep(25 * time.Second)
		if st := s.d.Status(); st.Checkpoint.Failed < 2 || st.Checkpoint.Error != "disk full" {
			t.Errorf("%+v", st.Checkpoint)
		}
		before := s.engine.checkpoints.Load()
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
		if s.engine.checkpoints.Load() != before+1 || !s.source.closed.Load() {
			t.Error("no last checkpoint, or a source is open")
		}
		if !strings.HasPrefix(s.out.String(), `{"line":"203.0.113.7","verdict":"case","proof":true`) {
			t.Errorf("%q", s.out.String())
		}
	})
}

// On any mistake the old configuration goes on, and so does what it opened.
func TestReloadRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, quietConfig+"output: a.jsonl\n")
		synctest.Wait()
		folder := filepath.Dir(s.d.o.File)
		for i, text := range []string{
			"ports: 7\n",
			quietConfig + "output: no/such/folder/b.jsonl\n",
			quietConfig + "output: .\n",
		} {
			s.rewrite(t, text)
			if st := s.d.Status(); st.Reload.Refused != uint64(i+1) || st.Reload.Done != 0 {
				t.Fatalf("%q: %+v", text, st.Reload)
			}
		}
		if err := os.Remove(s.d.o.File); err != nil {
			t.Fatal(err)
		}
		s.signals <- syscall.SIGHUP
		synctest.Wait()
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(filepath.Join(folder, "a.jsonl")); err != nil || len(b) == 0 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if n := strings.Count(s.log.String(), "it goes on with the old one"); n < 4 {
			t.Errorf("%d refusals in %s", n, s.log.String())
		}
	})
}

// A source that answers no more makes the daemon unhealthy, and healthy again
// when it does.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, quietConfig)
		if s.d.state == stateStarting && s.d.ready() == nil {
			t.Error("ready before it runs")
		}
		time.Sleep(time.Minute)
		if err := errors.Join(s.d.healthy(), s.d.ready()); err != nil {
			t.Error(err)
		}
		s.source.hang.Store(true)
		time.Sleep(patience + 2*idle)
		if s.d.healthy() == nil {
			t.Error("healthy, and nothing is heard")
		}
		s.stop()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
		if s.d.ready() == nil {
			t.Error("ready when it has ended")
		}
	})
}

// The service manager is told when it is ready, reloading, alive and stopping.
func TestServiceManager(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	folder := t.TempDir()
	file := filepath.Join(folder, "d.yaml")
	if err := os.WriteFile(file, []byte(quietConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "60000"}
	signals := make(chan os.Signal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	e := &engine{}
	go func() {
		done <- Run(ctx, Options{File: file, Config: parsed(t, folder, quietConfig), Opener: opener{&quiet{}}, Names: ident.NewPseudonymizer(make([]byte, 32), ""),
			Engine: func(c EngineConfig) (Engine, error) { e.cfg = c; return e, nil }, Stdout: &safeBuffer{}, Stderr: &safeBuffer{}, Signals: signals,
			Notify: NotifyFrom(func(k string) string { return env[k] })})
	}()
	expect := func(want string) {
		t.Helper()
		l.SetReadDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 4096)
		for {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("%q was not told: %v", want, err)
			}
			if strings.Contains(string(b[:n]), want) {
				return
			}
		}
	}
	expect("READY=1\nSTATUS=")
	expect("WATCHDOG=1")
	signals <- syscall.SIGHUP
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	cancel()
	expect("STOPPING=1")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNotifyFrom(t *testing.T) {
	for _, tt := range []struct {
		env      map[string]string
		socket   string
		watchdog time.Duration
	}{
		{nil, "", 0},
		{map[string]string{"WATCHDOG_USEC": "5"}, "", 0},
		{map[string]string{"NOTIFY_SOCKET": "relative"}, "", 0},
		{map[string]string{"NOTIFY_SOCKET": "@abstract", "WATCHDOG_USEC": "3000000"}, "@abstract", 3 * time.Second},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, "/s", 0},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "-3"}, "/s", 0},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "9999999999999999"}, "/s", 0},
	} {
		n := NotifyFrom(func(k string) string { return tt.env[k] })
		if n.socket != tt.socket || n.watchdog != tt.watchdog {
			t.Errorf("%v: %+v", tt.env, n)
		}
	}
	if err := (Notify{}).send("READY=1"); err != nil {
		t.Error(err)
	}
}

// An opener that fails, or an engine that does, ends the daemon with the reason.
func TestStartFails(t *testing.T) {
	folder := t.TempDir()
	o := Options{Config: parsed(t, folder, quietConfig), Names: ident.NewPseudonymizer(make([]byte, 32), ""), Stdout: &safeBuffer{}, Stderr: &safeBuffer{},
		Opener: failing{}, Engine: func(c EngineConfig) (Engine, error) { return &engine{cfg: c}, nil }}
	if err := Run(t.Context(), o); err == nil || err.Error() != "no such port" {
		t.Error(err)
	}
	o.Engine = func(EngineConfig) (Engine, error) { return nil, errors.New("no catalogue") }
	if err := Run(t.Context(), o); err == nil || err.Error() != "no catalogue" {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Open(context.Context, Attach) ([]Port, error) { return nil, errors.New("no such port") }

var _ interface {
	capture.Source
	Lossy
	Alarmer
} = (*quiet)(nil)
