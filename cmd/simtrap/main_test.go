package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"simtrap/capture"
	"simtrap/cmd/internal/command"
)

// execute runs a command line within this process.
func execute(ctx context.Context, in io.Reader, args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	t := command.Terminal{Program: "simtrap", In: in, Out: &out, Err: &err}
	root := newRoot(t)
	root.SetArgs(args)
	status = command.Exit(t, root.ExecuteContext(ctx))
	return status, out.String(), err.String()
}

// An interrupt ends the reading of an input that says nothing more; what was
// read is reported.
func TestInterrupt(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	data := callCapture()
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		w.Write(data) // returns when all of it was taken
		time.Sleep(100 * time.Millisecond)
		cancel()
	}()
	status, out, errs := execute(ctx, r, "replay", "-")
	if status != command.Failed {
		t.Errorf("status %d, want %d", status, command.Failed)
	}
	if !strings.HasSuffix(errs, "simtrap: interrupted; what was read until then is reported\n") {
		t.Errorf("standard error: %q", errs)
	}
	if !strings.Contains(out, "frames") {
		t.Errorf("standard output: %q", out)
	}
}

// Whoever reads our output may stop reading; that is no news.
func TestBrokenPipe(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	path := filepath.Join(t.TempDir(), "call.pcap")
	if err := os.WriteFile(path, callCapture(), 0o600); err != nil {
		t.Fatal(err)
	}
	for err, want := range map[error]string{
		syscall.EPIPE:  "",
		syscall.ENOSPC: "simtrap: standard output: no space left on device\n",
	} {
		var errs bytes.Buffer
		term := command.Terminal{Program: "simtrap", In: nil, Out: failing{err}, Err: &errs}
		root := newRoot(term)
		root.SetArgs([]string{"replay", path})
		if status := command.Exit(term, root.ExecuteContext(t.Context())); status != command.Failed {
			t.Errorf("%v: status %d", err, status)
		}
		if errs.String() != want {
			t.Errorf("%v: standard error %q, want %q", err, errs.String(), want)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestParseWhen(t *testing.T) {
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"2026-11-23":                     day,
		"2026-11-23 10:00":               day.Add(10 * time.Hour),
		"2026-11-23 10:00:01.5":          day.Add(10*time.Hour + 1500*time.Millisecond),
		"2026-11-23T10:00":               day.Add(10 * time.Hour),
		"2026-11-23T10:00:00Z":           day.Add(10 * time.Hour),
		"2026-11-23T18:00:00.25+08:00":   day.Add(10*time.Hour + 250*time.Millisecond),
		"2026-11-23T10:00:00.000000001Z": day.Add(10*time.Hour + 1),
	} {
		if got, err := parseWhen(in); err != nil || got != want.UnixNano() {
			t.Errorf("parseWhen(%q) = %v, %v; want %v", in, got, err, want.UnixNano())
		}
	}
	for _, in := range []string{"", " ", "10:00", "2026-13-01", "23.11.2026", "0001-01-01", "2262-12-31", "2026-11-23T10:00:00+25:00"} {
		if got, err := parseWhen(in); err == nil {
			t.Errorf("parseWhen(%q) = %v, want an error", in, got)
		}
	}
}

func TestInterruptibleReadsEverything(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	for name, r := range map[string]io.Reader{
		"at once":  bytes.NewReader(data),
		"in parts": iotest.HalfReader(bytes.NewReader(data)),
		"with end": iotest.DataErrReader(bytes.NewReader(data)),
	} {
		got, err := io.ReadAll(interruptible(t.Context(), r))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(data))
		}
	}
	r := interruptible(t.Context(), iotest.TimeoutReader(bytes.NewReader(data)))
	if _, err := io.ReadAll(r); err != iotest.ErrTimeout {
		t.Errorf("error %v, want %v", err, iotest.ErrTimeout)
	}
}

// The bar shows the rate, never claims to be finished before it is, and leaves
// nothing behind.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	c := &counted{}
	c.frames.Store(1000)
	stop := showProgress(&out, func() (int64, int64) { return 100, 100 }, c.frames.Load, "packets", "")
	time.Sleep(progressEvery * 5 / 2)
	stop()
	if s := out.String(); !strings.Contains(s, "packets/s") || strings.Contains(s, "\n") {
		t.Errorf("progress %q", s)
	}
	before := out.Len()
	time.Sleep(progressEvery * 3 / 2)
	if out.Len() != before {
		t.Error("the bar moves after stop")
	}
}

func TestCounted(t *testing.T) {
	c := &counted{Source: twoBatches{new(int)}}
	for {
		if _, err := c.Next(t.Context()); err != nil {
			break
		}
	}
	if got := c.frames.Load(); got != 6 {
		t.Errorf("%d frames, want 6", got)
	}
}

type twoBatches struct{ n *int }

func (s twoBatches) Next(context.Context) (*capture.Batch, error) {
	if *s.n++; *s.n > 2 {
		return nil, io.EOF
	}
	return &capture.Batch{Frames: make([]capture.Frame, 3)}, nil
}

func (twoBatches) Close() error { return nil }
