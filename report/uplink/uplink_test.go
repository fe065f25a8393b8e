package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"simtrap/report/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue is a source in memory.
type queue struct {
	mu      sync.Mutex
	records []outbox.Record
	refused []uint64
	wake    chan struct{}
}

func newQueue(texts ...string) *queue {
	q := &queue{wake: make(chan struct{}, 1)}
	for i, text := range texts {
		q.records = append(q.records, outbox.Record{Epoch: 7, Seq: uint64(i + 1), Kind: 1, Payload: []byte(text)})
	}
	return q
}

func (q *queue) Batch(ctx context.Context, maxBytes, maxRecords int) ([]outbox.Record, error) {
	for {
		q.mu.Lock()
		n, size := 0, 0
		for n < len(q.records) && n < maxRecords && (n == 0 || size+len(q.records[n].Payload) <= maxBytes) {
			size += len(q.records[n].Payload)
			n++
		}
		got := slices.Clone(q.records[:n])
		q.mu.Unlock()
		if n > 0 {
			return got, nil
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *queue) Ack(epoch, seq uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.records) > 0 && q.records[0].Seq <= seq {
		q.records = q.records[1:]
	}
	return nil
}

func (q *queue) Refuse(epoch, seq uint64) error {
	q.refused = append(q.refused, seq)
	return q.Ack(epoch, seq)
}

func encode(dst []byte, records []outbox.Record) ([]byte, error) {
	type line struct {
		Seq  uint64
		Text string
	}
	for _, r := range records {
		if string(r.Payload) == "unspeakable" {
			return nil, errors.New("no words")
		}
		b, err := json.Marshal(line{r.Seq, string(r.Payload)})
		if err != nil {
			return nil, err
		}
		dst = append(append(dst, b...), '\n')
	}
	return dst, nil
}

// send is a sender that is a function, and notes when it was called.
type send struct {
	f     func(ctx context.Context, n int, b Batch) (uint64, error)
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
	sizes []int
}

func (s *send) Send(ctx context.Context, b Batch) (uint64, error) {
	s.mu.Lock()
	s.at, s.sizes = append(s.at, time.Since(s.start)), append(s.sizes, b.Records)
	n := len(s.at) - 1
	s.mu.Unlock()
	return s.f(ctx, n, b)
}

// longest is the random number that makes every wait as long as it can be.
func longest(n int64) int64 { return n - 1 }

// run runs an uplink for a time of its own.
func run(t *testing.T, q *queue, s *send, opt Options, length time.Duration) (*Uplink, Stats) {
	t.Helper()
	opt.Encode = encode
	u, err := New(q, s, opt)
	if err != nil {
		t.Fatal(err)
	}
	s.start = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if err := u.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(s.start); took > length {
		t.Fatalf("it took %v to stop", took-length)
	}
	return u, u.Stats()
}

// round drops the nanosecond that every wait has in addition.
func round(at []time.Duration) []time.Duration {
	out := slices.Clone(at)
	for i := range out {
		out[i] = out[i].Round(time.Millisecond)
	}
	return out
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a", "b")
		s := &send{f: func(_ context.Context, n int, b Batch) (uint64, error) {
			if n < 6 {
				return 0, errors.New("no route")
			}
			return b.Last, nil
		}}
		_, stats := run(t, q, s, Options{Random: longest, BackoffMax: 10 * time.Second}, time.Hour)
		sec := time.Second
		want := []time.Duration{0, 1 * sec, 3 * sec, 7 * sec, 15 * sec, 25 * sec, 35 * sec, 35 * sec}
		if got := round(s.at); !slices.Equal(got, want) {
			t.Errorf("sent at %v, not %v", got, want)
		}
		// From the third failure on a single record looks whether the way is back.
		if want := []int{2, 2, 2, 1, 1, 1, 1, 1}; !slices.Equal(s.sizes, want) {
			t.Errorf("batches of %v, not %v", s.sizes, want)
		}
		if stats.State != Closed || stats.Failed != 6 || stats.Failures != 0 || stats.Records != 2 || stats.Error != "" {
			t.Errorf("%+v", stats)
		}
	})
}

func TestJitterIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		u, err := New(newQueue(), &send{}, Options{Encode: encode, Random: r.Int64N})
		if err != nil {
			t.Fatal(err)
		}
		least, most := time.Hour, time.Duration(0)
		for range 1000 {
			u.stats.Failures = 8
			w := u.failed(errors.New("x"))
			least, most = min(least, w), max(most, w)
		}
		if least > 5*time.Second || most < 250*time.Second || most > 257*time.Second {
			t.Errorf("waits from %v to %v", least, most)
		}
	})
}

func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a", "b", "c")
		var u *Uplink
		var states []State
		s := &send{f: func(_ context.Context, n int, b Batch) (uint64, error) {
			states = append(states, u.Stats().State)
			if n < 4 {
				return 0, errors.New("no route")
			}
			return b.Last, nil
		}}
		u, err := New(q, s, Options{Encode: encode, Random: longest})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- u.Run(ctx) }()
		time.Sleep(4 * time.Second) // after failures at 0, 1 and 3 s
		if st := u.Stats(); st.State != Open || st.Failures != 3 || time.Until(st.Next).Round(time.Millisecond) != 3*time.Second || st.Error != "no route" {
			t.Errorf("%+v", st)
		}
		time.Sleep(time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if want := []State{Closed, Closed, Closed, HalfOpen, HalfOpen, Closed}; !slices.Equal(states, want) {
			t.Errorf("%v, not %v", states, want)
		}
	})
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a", "b", "c")
		s := &send{f: func(_ context.Context, n int, b Batch) (uint64, error) {
			switch n {
			case 0: // takes one, then has enough
				return 1, fmt.Errorf("send: %w", &Busy{After: 80 * time.Second})
			case 1:
				return 0, &Busy{After: 1000 * time.Hour}
			case 2:
				return 0, &Busy{}
			}
			return b.Last, nil
		}}
		_, stats := run(t, q, s, Options{Random: longest}, 24*time.Hour)
		want := []time.Duration{0, 100 * time.Second, 100*time.Second + 75*time.Minute, 101*time.Second + 75*time.Minute}
		if got := round(s.at); !slices.Equal(got, want) {
			t.Errorf("sent at %v, not %v", got, want)
		}
		if want := []int{3, 2, 2, 2}; !slices.Equal(s.sizes, want) {
			t.Errorf("batches of %v, not %v", s.sizes, want)
		}
		if stats.WasBusy != 3 || stats.Failed != 0 || stats.Records != 3 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range 64 {
			q.records = append(q.records, outbox.Record{Epoch: 7, Seq: uint64(i + 1), Payload: make([]byte, 1<<10)})
		}
		// The way bears 20 KiB in time.
		s := &send{f: func(ctx context.Context, n int, b Batch) (uint64, error) {
			if b.Records > 20 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return b.Last, nil
		}}
		_, stats := run(t, q, s, Options{Random: longest, MaxBytes: 64 << 10, Deadline: 10 * time.Second}, time.Hour)
		if got := round(s.at[:3]); !slices.Equal(got, []time.Duration{0, 11 * time.Second, 23 * time.Second}) {
			t.Errorf("sent at %v", got)
		}
		if want := []int{64, 32, 16, 20, 24, 12, 16}; !slices.Equal(s.sizes, want) {
			t.Errorf("batches of %v, not %v", s.sizes, want)
		}
		if len(q.records) > 0 || stats.TimedOut != 3 || stats.MaxBytes != 20<<10 {
			t.Errorf("%d wait; %+v", len(q.records), stats)
		}
	})
}

func TestPartAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a", "b", "c", "d")
		s := &send{f: func(_ context.Context, n int, b Batch) (uint64, error) {
			switch n {
			case 0:
				return 3, nil
			case 1:
				return b.Last + 1, nil // of what it never got
			case 2:
				return b.First - 1, nil // nothing, and no reason
			}
			return b.Last, nil
		}}
		_, stats := run(t, q, s, Options{Random: longest}, time.Minute)
		if want := []int{4, 1, 1, 1}; !slices.Equal(s.sizes, want) {
			t.Errorf("batches of %v, not %v", s.sizes, want)
		}
		if stats.Records != 4 || stats.Attempts != 4 {
			t.Errorf("%+v", stats)
		}
	})
}

// TestRefused: one record that the centre never takes, and one that cannot even
// be encoded, keep nothing else back.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("a", "b", "poison", "d", "unspeakable", "f")
		var arrived []uint64
		s := &send{f: func(_ context.Context, n int, b Batch) (uint64, error) {
			if bytes.Contains(b.Body, []byte("poison")) {
				return 0, fmt.Errorf("send: %w", ErrRefused)
			}
			arrived = append(arrived, b.Last)
			return b.Last, nil
		}}
		_, stats := run(t, q, s, Options{Random: longest, MaxRecords: 4}, 2*time.Hour)
		if !slices.Equal(q.refused, []uint64{3, 5}) || len(q.records) > 0 || stats.GivenUp != 2 {
			t.Errorf("given up: %v, %d wait; %+v", q.refused, len(q.records), stats)
		}
		if !slices.Equal(arrived, []uint64{1, 2, 4, 6}) {
			t.Errorf("arrived: %v", arrived)
		}
	})
}

// TestRefusesEverything: a centre that errs does not empty the outbox.
func TestRefusesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var texts []string
		for i := range 1000 {
			texts = append(texts, fmt.Sprint(i))
		}
		q := newQueue(texts...)
		s := &send{f: func(context.Context, int, Batch) (uint64, error) { return 0, ErrRefused }}
		run(t, q, s, Options{Random: rand.New(rand.NewPCG(3, 4)).Int64N}, 24*time.Hour)
		if n := len(q.refused); n == 0 || n > 200 {
			t.Errorf("%d records were given up in a day", n)
		}
	})
}

func TestCompression(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("the same finding again ", 1000)
		q := newQueue("short", long)
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer decoder.Close()
		s := &send{f: func(_ context.Context, n int, b Batch) (uint64, error) {
			body := b.Body
			if b.Zstd != (n == 1) {
				t.Errorf("batch %d: compressed: %v", n, b.Zstd)
			}
			if b.Zstd {
				if body, err = decoder.DecodeAll(body, nil); err != nil {
					t.Error(err)
				}
			}
			if want := []string{"short", long}[n]; !strings.Contains(string(body), want) {
				t.Errorf("batch %d is %.80q", n, body)
			}
			return b.Last, nil
		}}
		_, stats := run(t, q, s, Options{MaxRecords: 1}, time.Minute)
		if stats.Sent*10 > stats.Bytes || stats.Records != 2 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &send{f: func(ctx context.Context, _ int, _ Batch) (uint64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}}
		_, stats := run(t, newQueue("a"), s, Options{}, 5*time.Second)
		if stats.TimedOut+stats.Failed > 0 {
			t.Errorf("a stop counts as a failure: %+v", stats)
		}
		run(t, newQueue(), s, Options{}, 5*time.Second)
	})
}

// TestOutbox joins a real outbox to a way that loses requests and answers, and
// restarts it: the centre has everything once by (epoch, sequence), in order.
func TestOutbox(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(5, 6))
	centre := map[uint64]string{}
	var mu sync.Mutex
	var acked uint64
	s := &send{f: func(_ context.Context, _ int, b Batch) (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		if b.First <= acked {
			t.Errorf("sequence %d is sent after %d was acknowledged", b.First, acked)
		}
		if r.IntN(3) == 0 {
			return 0, errors.New("the request is lost")
		}
		body := b.Body
		if b.Zstd {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return 0, err
			}
			defer d.Close()
			if body, err = d.DecodeAll(body, nil); err != nil {
				return 0, err
			}
		}
		lines := json.NewDecoder(bytes.NewReader(body))
		for lines.More() {
			var line struct {
				Seq  uint64
				Text string
			}
			if err := lines.Decode(&line); err != nil {
				return 0, err
			}
			if was, twice := centre[line.Seq]; twice && was != line.Text {
				t.Errorf("sequence %d is %q and %q", line.Seq, was, line.Text)
			}
			centre[line.Seq] = line.Text
		}
		if r.IntN(3) == 0 {
			return 0, errors.New("the answer is lost")
		}
		return b.Last, nil
	}}
	want := map[uint64]string{}
	for round := range 5 {
		box, err := outbox.Open(dir, outbox.Options{Reserve: -1, Sync: outbox.SyncNever})
		if err != nil {
			t.Fatal(err)
		}
		u, err := New(box, s, Options{Encode: encode, MaxRecords: 20, BackoffMin: time.Microsecond, BackoffMax: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- u.Run(ctx) }()
		for i := range 300 {
			text := fmt.Sprintf("%d/%d", round, i)
			seq, err := box.Append(outbox.Record{Kind: 1, Priority: outbox.Priority(i % 4), Payload: []byte(text)})
			if err != nil {
				t.Fatal(err)
			}
			want[seq] = text
		}
		for last := box.Stats().Next - 1; round == 4 && box.Stats().Acked < last; {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		acked = box.Stats().Acked
		mu.Unlock()
		if err := box.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(centre) != len(want) {
		t.Fatalf("%d arrived, %d were kept", len(centre), len(want))
	}
	for seq, text := range want {
		if centre[seq] != text {
			t.Fatalf("sequence %d is %q, not %q", seq, centre[seq], text)
		}
	}
}

// A centre that takes everything and asks for a pause each time is reached.
func TestTakenAndBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &send{f: func(_ context.Context, n int, b Batch) (uint64, error) {
			if n == 0 {
				return 0, ErrRefused // from now on one by one, until it is found
			}
			return b.Last, &Busy{After: 10 * time.Second}
		}}
		_, stats := run(t, newQueue("a", "b", "c"), s, Options{Random: longest}, time.Hour)
		if stats.Records != 3 || stats.WasBusy != 3 || stats.Success.IsZero() || stats.State != Closed {
			t.Errorf("%+v", stats)
		}
	})
}
