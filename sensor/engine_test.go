package sensor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/sensor/config"
)

// told keeps what an engine gives.
type told struct {
	mu   sync.Mutex
	list []heuristics.Finding
	err  error
}

func (k *told) Finding(f *heuristics.Finding) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, *f)
	return k.err
}

// boxed gives a folder with a capture of a box, and the configuration of an
// engine for it.
func boxed(t *testing.T, d time.Duration, more string) (*config.Config, string) {
	t.Helper()
	folder := t.TempDir()
	f, err := os.Create(filepath.Join(folder, "box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Make(f, lab.Options{Scenario: "goip-line", Seed: 1, Duration: d}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return parsed(t, folder, "ports: [{name: tap, files: [box.pcap]}]\ncapture: file\nstate: state\n"+more), folder
}

// played runs an engine over the files of a configuration.
func played(t *testing.T, c *config.Config, sink Sink, folder string) Engine {
	t.Helper()
	e, err := NewLive(EngineConfig{Config: c, Sink: sink, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	if folder != "" {
		if _, err := e.(Checkpointer).Restore(folder); err != nil {
			t.Fatal(err)
		}
	}
	ports, err := Files{}.Open(t.Context(), Attach{Config: c, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer ports[0].Source.Close()
	if err := e.Run(t.Context(), ports); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEngineIsReplay: the engine finds what a replay of the same file finds, tells
// of it while it runs, and its losses are those of the replay.
func TestEngineIsReplay(t *testing.T) {
	c, folder := boxed(t, 10*time.Minute, "replay: {speed: 0}\n")
	files, err := capture.Open([]string{filepath.Join(folder, "box.pcap")}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	cfg, closing, err := PipelineConfig(EngineConfig{Config: c, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
	want, err := pipeline.Run(t.Context(), files, cfg)
	if err != nil {
		t.Fatal(err)
	}
	k := &told{}
	e := played(t, c, k, "")
	got := e.Stats()
	if got.Stats != want.Stats {
		t.Errorf("%+v, replay %+v", got.Stats, want.Stats)
	}
	var losses []pipeline.Loss
	for _, l := range got.Losses {
		if l.Stage != "live" {
			losses = append(losses, pipeline.Loss(l))
		}
	}
	if d := cmp.Diff(want.Losses, losses); d != "" {
		t.Errorf("losses (-replay +engine):\n%s", d)
	}
	verdicts := uint64(0)
	for v, n := range got.Verdicts {
		if heuristics.Verdict(v) >= heuristics.Watch {
			verdicts += n
		}
	}
	last := map[string]*heuristics.Finding{}
	for i := range k.list {
		last[k.list[i].Line.String()] = &k.list[i]
	}
	for i := range want.Findings {
		f := &want.Findings[i]
		if f.Verdict < heuristics.Watch {
			continue
		}
		verdicts--
		x := last[f.Line.String()]
		if x == nil || x.Verdict != f.Verdict || x.Calls != f.Calls || len(x.Cards) != len(f.Cards) || !slices.Equal(x.Controllers, f.Controllers) || len(x.Signals) != len(f.Signals) || x.Score-f.Score > 0.5 || f.Score-x.Score > 0.5 {
			t.Errorf("told last %+v\nreplay %+v", x, f)
		}
	}
	if verdicts != 0 || len(last) == 0 || len(k.list) < 2 {
		t.Errorf("%v by verdict, %d findings of %d lines told", got.Verdicts, len(k.list), len(last))
	}
}

// TestEngineTellsWhileItRuns: counts rise while it runs, and never fall; so do
// losses, up to what the end shows.
func TestEngineTellsWhileItRuns(t *testing.T) {
	c, _ := boxed(t, 10*time.Minute, "replay: {speed: 300}\n")
	k := &told{}
	e, err := NewLive(EngineConfig{Config: c, Sink: k, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ports, err := Files{}.Open(t.Context(), Attach{Config: c, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer ports[0].Source.Close()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(t.Context(), ports) }()
	var before Stats
	steps := 0
	counts := func(s Stats) map[string]uint64 {
		m := map[string]uint64{}
		for _, l := range s.Losses {
			m[l.Stage+l.Reason] += l.Count
		}
		return m
	}
	check := func() {
		s := e.Stats()
		if s.Frames < before.Frames || s.Calls < before.Calls || s.Lines < before.Lines {
			t.Errorf("%+v after %+v", s.Stats, before.Stats)
		}
		now := counts(s)
		for r, n := range counts(before) {
			if now[r] < n {
				t.Errorf("%s: %d after %d", r, now[r], n)
			}
		}
		if s.Frames > before.Frames {
			steps++
		}
		before = s
	}
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			check()
			if steps < 2 || before.Calls == 0 {
				t.Errorf("%d steps, %+v", steps, before)
			}
			return
		case <-time.After(100 * time.Millisecond):
			check()
		}
	}
}

// TestEngineRefused: what the sink refuses ends in the error, told to stop or not.
func TestEngineRefused(t *testing.T) {
	c, _ := boxed(t, 3*time.Minute, "replay: {speed: 0}\n")
	full := errors.New("disk full")
	e, err := NewLive(EngineConfig{Config: c, Sink: &told{err: full}, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	ports, err := Files{}.Open(t.Context(), Attach{Config: c, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer ports[0].Source.Close()
	if err := e.Run(t.Context(), ports); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// TestReloadKeepsEvidence: a reload in the middle of a run changes nothing of what
// is found: the evidence before it counts on.
func TestReloadKeepsEvidence(t *testing.T) {
	c, folder := boxed(t, 10*time.Minute, "replay: {speed: 0}\n")
	plain, reloaded := &told{}, &told{}
	want := played(t, c, plain, "")

	text := "ports: [{name: tap, files: [box.pcap]}]\ncapture: file\nreplay: {speed: 200}\nstate: state\nsocket: none\nmetrics: {listen: none}\noutput: a.jsonl\n"
	file := filepath.Join(folder, "d.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var engine Engine
	signals := make(chan os.Signal, 1)
	done := make(chan error, 1)
	made := make(chan struct{})
	var log safeBuffer
	go func() {
		done <- Run(t.Context(), Options{File: file, Config: parsed(t, folder, text), Version: "1", Opener: Files{}, Names: ident.NewPseudonymizer(make([]byte, 32), ""),
			Engine: func(c EngineConfig) (Engine, error) {
				c.Sink = tee{reloaded, c.Sink}
				var err error
				engine, err = NewLive(c)
				close(made)
				return engine, err
			},
			Stdout: &safeBuffer{}, Stderr: &log, Signals: signals})
	}()
	<-made
	for engine.Stats().Calls == 0 {
		select {
		case err := <-done:
			t.Fatal("it ended before anything was counted", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	before := engine.Stats()
	if err := os.WriteFile(file, []byte(strings.Replace(text, "a.jsonl", "b.jsonl", 1)+"checkpoint-interval: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signals <- syscall.SIGHUP
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "configuration taken over") {
		t.Fatalf("not reloaded:\n%s", log.String())
	}
	after := engine.Stats()
	if before.Frames >= after.Frames || after.Stats != want.Stats().Stats {
		t.Errorf("%+v at the reload, %+v in the end, %+v without", before.Stats, after.Stats, want.Stats().Stats)
	}
	a, b := plain.list[len(plain.list)-1], reloaded.list[len(reloaded.list)-1]
	if a.Verdict != b.Verdict || a.Score != b.Score || a.Calls != b.Calls || len(a.Cards) != len(b.Cards) {
		t.Errorf("%+v with a reload, %+v without", b, a)
	}
	both := 0
	for _, name := range []string{"a.jsonl", "b.jsonl"} {
		out, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		both += bytes.Count(out, []byte{'\n'})
	}
	if both != len(reloaded.list) {
		t.Errorf("%d findings in the two files, %d told", both, len(reloaded.list))
	}
}

// tee gives findings to two sinks.
type tee [2]Sink

func (x tee) Finding(f *heuristics.Finding) error {
	return errors.Join(x[0].Finding(f), x[1].Finding(f))
}

// TestTapAlarms: alarms rise when the tap has gone wrong for long enough, are
// logged once, and are over when it is well again for long enough.
func TestTapAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log safeBuffer
		a := newTapAlarms(NewLogger(&log, &config.Log{Level: "info", Burst: 100, Every: config.Duration(time.Minute)}).Logger)
		var s pipeline.Snapshot
		// minutes goes on; each of them with frames, packets compared and repeats.
		minutes := func(n int, frames, packets, repeats uint64, twoWay bool) {
			for range 60 * n {
				time.Sleep(alarmEvery)
				s.Stats.Frames += frames / 60
				s.Tap.Packets += packets / 60
				s.Tap.Repeats += repeats / 60
				if twoWay {
					s.Tap.TwoWay = time.Now().UnixNano()
				}
				a.look(time.Now(), &s)
			}
		}
		stand := func(want ...string) {
			t.Helper()
			var got []string
			for _, x := range a.standing() {
				got = append(got, x.ID)
				if x.Text == "" || x.Remedy == "" || x.Since == 0 || x.Value == 0 {
					t.Errorf("%+v", x)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v stand, want %v", got, want)
			}
		}
		minutes(4, 60000, 600, 60, true)
		stand()
		minutes(2, 60000, 600, 60, false)
		stand() // too short yet
		minutes(2, 60000, 600, 60, false)
		stand("tap-one-way")
		minutes(5, 60, 0, 0, false)
		stand("tap-one-way") // too little to say otherwise
		minutes(2, 60000, 600, 300, true)
		stand("mirror-doubled")
		minutes(2, 60000, 600, 90, true)
		stand("mirror-doubled") // not clear enough
		minutes(2, 60000, 600, 30, true)
		stand()
		minutes(3, 60000, 600, 110, true)
		stand() // below what raises it
		if n, over := strings.Count(log.String(), "\talarm raised\t"), strings.Count(log.String(), "\talarm cleared\t"); n != 2 || over != 2 {
			t.Errorf("logged %d times, over %d times:\n%s", n, over, log.String())
		}
	})
}

// datagram makes an IPv4 datagram of UDP, no two of one number alike.
func datagram(src, dst [4]byte, number uint64, which uint16) []byte {
	b := make([]byte, 60)
	b[0], b[3], b[8], b[9] = 0x45, 60, 64, 17
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	from, to := uint16(4000), uint16(9000)
	if which == 1 {
		from, to = to, from
	}
	binary.BigEndian.PutUint16(b[20:], from)
	binary.BigEndian.PutUint16(b[22:], to)
	b[25] = 40
	binary.BigEndian.PutUint64(b[32:], number)
	return b
}

// TestTapAlarmsOfFrames: the alarms rise by frames alone, through the engine.
func TestTapAlarmsOfFrames(t *testing.T) {
	up, down := [4]byte{203, 0, 113, 7}, [4]byte{198, 51, 100, 9}
	for what, tt := range map[string]struct {
		back, twice bool
		want        []string
	}{
		"well":    {back: true},
		"one way": {want: []string{"tap-one-way"}},
		"twice":   {back: true, twice: true, want: []string{"mirror-doubled"}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := parsed(t, t.TempDir(), "ports: [{name: eth1}]\n")
				e, err := NewLive(EngineConfig{Config: c, Sink: &told{}, Log: zap.NewNop()})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				n := uint64(0)
				src := &made{next: func() *capture.Batch {
					time.Sleep(100 * time.Millisecond)
					var times []int64
					var data [][]byte
					add := func(src, dst [4]byte, port uint16) {
						n++
						f := datagram(src, dst, n, port)
						times, data = append(times, time.Now().UnixNano()), append(data, f)
						if tt.twice {
							times, data = append(times, time.Now().UnixNano()), append(data, f)
						}
					}
					for range 200 {
						add(up, down, 0)
						if tt.back {
							add(down, up, 1)
						}
					}
					return batch(times, data...)
				}}
				done := make(chan error, 1)
				go func() { done <- e.Run(ctx, []Port{{Name: "eth1", Number: 1, Source: src}}) }()
				time.Sleep(5*time.Minute + 30*time.Second)
				var got []string
				for _, a := range e.(Alarmer).Alarms() {
					got = append(got, a.ID)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// made is a source of batches made on the spot.
type made struct{ next func() *capture.Batch }

func (m *made) Next(ctx context.Context) (*capture.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return m.next(), nil
}

func (m *made) Close() error { return nil }
