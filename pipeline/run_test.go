package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
)

// TestWorkers mixes captures at random and holds that the number of workers
// changes nothing: no finding, no count, no loss. Captures of one seed overlap
// in time and share addresses, those of different seeds lie days apart.
func TestWorkers(t *testing.T) {
	encaps := []string{"", "", "fragments", "ipv6", "ipv6+fragments", "sip-tcp", "sip-ws", "pppoe+fragments", "gtpu", "vlan"}
	views := []string{"", "", "", "up", "midcall"}
	for mix := uint64(1); mix <= 14; mix++ {
		t.Run(fmt.Sprint(mix), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(mix, 1))
			dir := t.TempDir()
			var paths, what []string
			for i := range 2 + r.IntN(2) {
				list := lab.Shown()
				opt := lab.Options{
					Scenario: list[1+r.IntN(len(list)-1)].Name, // the first is the long one
					Seed:     1 + r.Uint64N(2), Duration: time.Duration(60+r.IntN(180)) * time.Second,
					Encap: encaps[r.IntN(len(encaps))], View: views[r.IntN(len(views))],
				}
				what = append(what, fmt.Sprintf("%+v", opt))
				b, _ := made(t, opt)
				paths = append(paths, filepath.Join(dir, fmt.Sprint(i, ".pcap")))
				if err := os.WriteFile(paths[i], b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var homes *ident.Homes
			if r.IntN(2) == 0 {
				var err error
				if homes, err = ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24,2001:db8:1::/48"}, 0); err != nil {
					t.Fatal(err)
				}
			}
			var first *Result
			var text string
			for _, n := range []int{1, 2, 3, 7} {
				f, err := capture.Open(paths, capture.Options{})
				if err != nil {
					t.Fatal(err)
				}
				got, err := Run(t.Context(), f, Config{Homes: homes, Workers: n})
				if cerr := f.Close(); err != nil || cerr != nil {
					t.Fatal(err, cerr)
				}
				if first == nil {
					first, text = got, written(t, got)
					if got.Stats.Frames < 100 {
						t.Fatalf("only %d frames of %q", got.Stats.Frames, what)
					}
					continue
				}
				if d := cmp.Diff(text, written(t, got)); d != "" {
					t.Errorf("%q: %d workers write (-1 +%d):\n%s", what, n, n, d)
				}
				if d := cmp.Diff(first.Stats, got.Stats); d != "" {
					t.Errorf("%q: %d workers count (-1 +%d):\n%s", what, n, n, d)
				}
				if d := cmp.Diff(first.Losses, got.Losses); d != "" {
					t.Errorf("%q: %d workers lose (-1 +%d):\n%s", what, n, n, d)
				}
			}
		})
	}
}

// TestCancelled: a run that is cancelled is back at once, with what it read.
func TestCancelled(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 10 * time.Minute})
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			whole, err := Run(t.Context(), opened(t, file), Config{Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var asked time.Time
			src := &hooked{Source: opened(t, file), before: func(n int) error {
				if n == 10 {
					asked = time.Now()
					cancel()
				}
				return nil
			}}
			var part *Result
			within(t, 20*time.Second, func() { part, err = Run(ctx, src, Config{Workers: workers}) })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			if d := time.Since(asked); d > 5*time.Second {
				t.Errorf("back after %v", d)
			}
			if part == nil {
				t.Fatal("no result")
			}
			if n := part.Stats.Frames; n == 0 || n >= whole.Stats.Frames {
				t.Errorf("%d frames of %d read", n, whole.Stats.Frames)
			}
			if part.Stats.Messages == 0 || len(part.Findings) == 0 {
				t.Errorf("nothing of what was read is reported: %+v", part.Stats)
			}
		})
	}
}

// silent is a source that has nothing and waits.
type silent struct{}

func (silent) Next(ctx context.Context) (*capture.Batch, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) Close() error { return nil }

func TestCancelledWhileWaiting(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	within(t, 10*time.Second, func() {
		r, err := Run(ctx, silent{}, Config{Workers: 2})
		if !errors.Is(err, context.DeadlineExceeded) || r == nil || r.Stats.Frames != 0 {
			t.Errorf("%+v, %v; want an empty result and %v", r, err, context.DeadlineExceeded)
		}
	})
}

// TestSourceFails: what was read before a source failed is reported with its
// error.
func TestSourceFails(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 10 * time.Minute})
	broken := errors.New("disk on fire")
	src := &hooked{Source: opened(t, file), before: func(n int) error {
		if n == 11 {
			return broken
		}
		return nil
	}}
	r, err := Run(t.Context(), src, Config{Workers: 2})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if r == nil || r.Stats.Frames == 0 || r.Stats.Messages == 0 {
		t.Errorf("result %+v, want what was read", r)
	}
}

// TestBatchesAreReleased: every batch is given back, once, whatever the end.
func TestBatchesAreReleased(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	for _, workers := range []int{1, 4} {
		for _, stopAt := range []int{3, 1 << 30} {
			var given, back int
			stop := errors.New("stop")
			src := &counting{Source: opened(t, file), given: &given, back: &back}
			_, err := Run(t.Context(), &hooked{Source: src, before: func(n int) error {
				if n == stopAt {
					return stop
				}
				return nil
			}}, Config{Workers: workers})
			if err != nil && !errors.Is(err, stop) {
				t.Fatal(err)
			}
			if given == 0 || given != back {
				t.Errorf("%d workers, stop at %d: %d batches given, %d back", workers, stopAt, given, back)
			}
		}
	}
}

// counting wraps batches in ones that tell of their release.
type counting struct {
	capture.Source
	given, back *int
}

func (c *counting) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := c.Source.Next(ctx)
	if err != nil {
		return nil, err
	}
	*c.given++
	w := capture.NewBatch(b.Block, func(*capture.Batch) {
		*c.back++
		b.Release()
	})
	w.Frames, w.Source, w.Seq = b.Frames, b.Source, b.Seq
	return w, nil
}

func TestEmptySource(t *testing.T) {
	r, err := Run(t.Context(), &flood{}, Config{})
	if err != nil || r == nil || r.Stats != (Stats{}) || len(r.Findings)+len(r.Losses) > 0 {
		t.Errorf("%+v, %v; want an empty result", r, err)
	}
}
