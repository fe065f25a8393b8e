package sensor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"simtrap/ident"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/sensor/config"
)

const killFolder = "SIMTRAP_TEST_KILL"

const killConfig = "ports: [{name: tap, files: [box.pcap]}]\ncapture: file\nreplay: {speed: 1500, at-end: wait}\nstate: state\nsocket: none\noutput: out.jsonl\nmetrics: {listen: none}\n"

// acking tells of each checkpoint that is in its place: when it was asked for.
type acking struct{ Engine }

func (a acking) Restore(folder string) (string, error) {
	s, err := a.Engine.(Checkpointer).Restore(folder)
	fmt.Println("restored", s)
	return s, err
}

func (a acking) Checkpoint(folder string) error {
	asked := time.Now()
	err := a.Engine.(Checkpointer).Checkpoint(folder)
	if err == nil {
		fmt.Println("acknowledged", asked.UnixNano())
	}
	return err
}

// child is the daemon that TestKilled kills.
func child(folder string) {
	c, err := config.Parse("d.yaml", folder, []byte(killConfig))
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Interval = config.Duration(5 * time.Millisecond) // far below what a file may say
	err = Run(context.Background(), Options{
		File: filepath.Join(folder, "d.yaml"), Config: c, Version: "1", Opener: Files{}, Names: ident.NewPseudonymizer(make([]byte, 32), ""),
		Engine: func(e EngineConfig) (Engine, error) {
			l, err := NewLive(e)
			return acking{l}, err
		},
		Stdout: os.Stdout, Stderr: os.Stderr, Signals: make(chan os.Signal),
	})
	fmt.Println("ended", err)
}

// evidence gives what a checkpoint holds: its lines, when it was written and the
// calls counted in all.
func evidence(t *testing.T, file string) (pipeline.Restored, int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return pipeline.Restored{}, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := pipeline.NewLive(pipeline.Config{Checkpoint: name, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for i := range r.Findings {
		calls += r.Findings[i].Calls.Inbound + r.Findings[i].Calls.Outbound
	}
	return l.Restored(), calls
}

// TestKilled kills the daemon at random moments. It begins again with the
// evidence of the last checkpoint that was acknowledged, or of a later one; none
// is ever damaged, and what a killed writer left is cleared away.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts programs")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	f, err := os.Create(filepath.Join(folder, "box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Make(f, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 10 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "state", evidenceFile)
	r := rand.New(rand.NewPCG(6, 1))
	begun, counted, torn, taken := int64(0), 0, 0, 0
	want := "restored nothing yet"
	// On a busy machine fewer are asked for before each end.
	for n := 0; n < 16 || n < 64 && (taken < 16 || counted == 0 || torn == 0); n++ {
		c := exec.Command(self)
		c.Env = append(os.Environ(), killFolder+"="+folder)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			s := lines.Text()
			if strings.HasPrefix(s, "restored ") {
				if !strings.HasPrefix(s, want) {
					t.Errorf("%q, want %q", s, want)
				}
				after := time.Duration(10+r.IntN(250)) * time.Millisecond
				time.AfterFunc(after, func() { _ = c.Process.Kill() })
			}
			if at, ok := strings.CutPrefix(s, "acknowledged "); ok {
				if begun, err = strconv.ParseInt(at, 10, 64); err != nil {
					t.Fatal(err)
				}
				taken++
			}
			if strings.HasPrefix(s, "ended") {
				t.Errorf("it ended by itself: %s", s)
			}
		}
		_ = c.Wait()
		if _, err := os.Stat(file + ".tmp"); err == nil {
			torn++
		}
		got, calls := evidence(t, file)
		switch {
		case got.Damaged != nil:
			t.Fatal(got.Damaged)
		case got.Written.UnixNano() < begun && begun > 0:
			t.Errorf("the checkpoint is of %d, one asked for at %d was acknowledged", got.Written.UnixNano(), begun)
		case calls < counted:
			t.Errorf("%d calls counted, %d before", calls, counted)
		}
		if counted = calls; got.Catalogue != "" {
			want = fmt.Sprintf("restored %d lines, written at ", got.Lines)
		}
	}
	if taken < 16 || counted == 0 || torn == 0 {
		t.Errorf("%d checkpoints acknowledged, %d calls counted, %d writers killed at their work: nothing was tried", taken, counted, torn)
	}
	// Whatever was left is gone when the next one has begun.
	if err := os.WriteFile(file+".tmp", []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := NewLive(EngineConfig{Config: parsed(t, folder, killConfig), Sink: &Output{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.(Checkpointer).Restore(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
