package pipeline

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/report"
)

// TestMain fails when a run leaves a goroutine behind.
func TestMain(m *testing.M) {
	if name := os.Getenv(childFile); name != "" {
		child(name)
		return
	}
	goleak.VerifyTestMain(m)
}

// made gives a capture of the lab as bytes of a file.
func made(t testing.TB, opt lab.Options) ([]byte, *lab.Truth) {
	t.Helper()
	var b bytes.Buffer
	truth, err := lab.Make(&b, opt)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), truth
}

// opened reads a capture file that lies in memory.
func opened(t testing.TB, file []byte) *capture.Files {
	t.Helper()
	f, err := capture.Open([]string{"-"}, capture.Options{Stdin: bytes.NewReader(file)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// written is what `simtrap replay --json --all` prints.
func written(t testing.TB, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.WriteJSON(&b, r.Findings, report.Options{Names: ident.NewPseudonymizer(make([]byte, 32), "")}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// hooked calls a function before each batch. It does not heed the context: a
// run must do that itself.
type hooked struct {
	capture.Source
	before func(batch int) error
	n      int
}

func (h *hooked) Next(ctx context.Context) (*capture.Batch, error) {
	if err := h.before(h.n); err != nil {
		return nil, err
	}
	h.n++
	return h.Source.Next(context.WithoutCancel(ctx))
}

// within fails when fn takes longer than it may.
func within(t *testing.T, limit time.Duration, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("not back within %v", limit)
	}
}

// frameOf is one frame with its time, kept apart from any batch.
type frameOf struct {
	time int64
	data []byte
}

// frames reads a whole source; what it gives is Ethernet.
func frames(t testing.TB, src capture.Source) (out []frameOf) {
	t.Helper()
	for {
		b, err := src.Next(t.Context())
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Frames {
			out = append(out, frameOf{b.Frames[i].Time, bytes.Clone(b.Data(i))})
		}
		b.Release()
	}
}
