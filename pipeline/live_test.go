package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/rtp"
)

// port plays frames as a live port gives them.
type port struct {
	number uint32
	list   []frameOf
	size   int // frames in one batch
	seq    uint64
	// Between its batches it may have nothing, or nothing for good when idle.
	empty, idle bool
	turn        int
	err         error
	given, back int
}

func (p *port) Next(ctx context.Context) (*capture.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.turn++
	switch {
	case p.empty && p.turn%3 == 0:
		return capture.NewBatch(nil, nil), nil
	case len(p.list) == 0 && p.idle:
		select {
		case <-time.After(20 * time.Millisecond):
			return capture.NewBatch(nil, nil), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case len(p.list) == 0:
		return nil, cmpErr(p.err)
	}
	n := min(p.size, len(p.list))
	var block []byte
	var frames []capture.Frame
	for _, f := range p.list[:n] {
		frames = append(frames, capture.Frame{Time: f.time, Off: uint32(len(block)), Len: uint32(len(f.data)), Wire: uint32(len(f.data)), Link: capture.LinkEthernet})
		block = append(block, f.data...)
	}
	p.list = p.list[n:]
	p.given++
	b := capture.NewBatch(block, func(*capture.Batch) { p.back++ })
	b.Frames, b.Source, b.Seq = frames, p.number, p.seq
	p.seq += uint64(n)
	return b, nil
}

func cmpErr(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

func (p *port) Close() error { return nil }

// live runs sources to their end.
func live(t *testing.T, cfg Config, sources ...capture.Source) *Result {
	t.Helper()
	l, err := NewLive(cfg, sources...)
	if err != nil {
		t.Fatal(err)
	}
	// A machine with other work may give a source no time for longer than a live one
	// is waited for; what is given then must not hang on that.
	for _, s := range l.tap.list {
		s.patience = time.Minute
	}
	r, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// directions cuts frames in two, as a passive tap does: by who is the lesser.
func directions(list []frameOf) (a, b []frameOf) {
	for _, f := range list {
		if len(f.data) >= 34 && bytes.Compare(f.data[26:30], f.data[30:34]) < 0 {
			a = append(a, f)
		} else {
			b = append(b, f)
		}
	}
	return a, b
}

var liveScenarios = []lab.Options{
	{Scenario: "goip-line", Seed: 1, Duration: 30 * time.Minute},
	{Scenario: "trunk-32", Seed: 2, Duration: 4 * time.Minute},
	{Scenario: "goip-line", Seed: 3, Duration: 10 * time.Minute, Encap: "fragments"},
	{Scenario: "goip-line", Seed: 4, Duration: 10 * time.Minute, Encap: "sip-tcp"},
	{Scenario: "goip-line", Seed: 5, Duration: 10 * time.Minute, View: "midcall"},
}

// firstOf leaves the first where tests are to be short: under the race detector
// all of them take minutes, and the goroutines are the same.
func firstOf(list []lab.Options) []lab.Options {
	if testing.Short() {
		return list[:1]
	}
	return list
}

// brief leaves the beginning of the first.
func brief(list []lab.Options) []lab.Options {
	if testing.Short() {
		list[0].Duration = min(list[0].Duration, 5*time.Minute)
	}
	return firstOf(list)
}

// TestLiveIsReplay: the same frames give the same findings, whether a file is
// replayed, run as a port, or cut into the two directions of a passive tap.
func TestLiveIsReplay(t *testing.T) {
	for _, opt := range brief(slices.Clone(liveScenarios)) {
		t.Run(fmt.Sprintf("%s %s%s %d", opt.Scenario, opt.Encap, opt.View, opt.Seed), func(t *testing.T) {
			t.Parallel()
			file, _ := made(t, opt)
			replay, err := Run(t.Context(), opened(t, file), Config{Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			want := written(t, replay)
			if len(replay.Findings) == 0 {
				t.Fatal("nothing found by replay")
			}
			list := frames(t, opened(t, file))
			a, b := directions(list)
			if len(a) == 0 || len(b) == 0 {
				t.Fatalf("%d and %d frames of the directions", len(a), len(b))
			}
			for workers := 1; workers <= 4; workers++ {
				check := func(what string, got *Result) {
					if d := cmp.Diff(want, written(t, got)); d != "" {
						t.Errorf("%s, %d workers (-replay +live):\n%s", what, workers, d)
					}
					if got.Stats != replay.Stats {
						t.Errorf("%s, %d workers: %+v, replay %+v", what, workers, got.Stats, replay.Stats)
					}
				}
				cfg := Config{Workers: workers}
				check("file", live(t, cfg, opened(t, file)))
				one := &port{number: 1, list: list, size: 1 + 50*workers, empty: true}
				check("port", live(t, cfg, one))
				if one.given != one.back {
					t.Errorf("%d batches given, %d back", one.given, one.back)
				}
				check("two ports", live(t, cfg, &port{number: 1, list: a, size: 7 * workers, empty: workers == 2}, &port{number: 2, list: b, size: 300}))
			}
		})
	}
}

// TestQueues: two ports of a tap, one for each direction, with four receive queues each,
// give what replay gives, whichever queue a frame comes by and whatever it is wrapped
// in. So cards need not balance by inner addresses, and nothing has to do it for them:
// every worker sees every frame, and its own shards are by what is inside.
func TestQueues(t *testing.T) {
	const queues = 4
	for _, encap := range []string{"gtpu", "gre", "fragments"} {
		t.Run(encap, func(t *testing.T) {
			t.Parallel()
			file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 7, Duration: 8 * time.Minute, Encap: encap})
			replay, err := Run(t.Context(), opened(t, file), Config{Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			if len(replay.Findings) == 0 || replay.Stats.Streams == 0 {
				t.Fatal("nothing found by replay")
			}
			a, b := directions(frames(t, opened(t, file)))
			var sources []capture.Source
			for direction, list := range [][]frameOf{a, b} {
				var by [queues][]frameOf
				for _, f := range list {
					n := crc32.ChecksumIEEE(f.data) % queues
					by[n] = append(by[n], f)
				}
				for n, list := range by {
					if len(list) < 100 {
						t.Fatalf("queue %d of port %d has %d frames: the test shows nothing", n, direction+1, len(list))
					}
					sources = append(sources, &port{number: uint32(len(sources) + 1), list: list, size: 40 + 30*n, empty: n == 1})
				}
			}
			got := live(t, Config{Workers: 3}, sources...)
			if d := cmp.Diff(written(t, replay), written(t, got)); d != "" {
				t.Errorf("(-replay +queues):\n%s", d)
			}
			if got.Stats != replay.Stats {
				t.Errorf("%+v, replay %+v", got.Stats, replay.Stats)
			}
		})
	}
}

// kernel is a port that accounts media as the kernel does: frames that are
// accounted go no further, and intervals come beside.
type kernel struct {
	port
	media     *rtp.Accounting
	decoder   packet.Decoder
	intervals []rtp.Interval
	now       int64
	dropped   int
	web, rate int // segments of the web; one in so many is given
}

func (k *kernel) Sampled() uint32 { return uint32(k.rate) }

func newKernel(list []frameOf, size int) *kernel {
	k := &kernel{port: port{number: 1, list: list, size: size}}
	k.media = rtp.NewAccounting(rtp.Config{Flows: 1 << 14}, func(iv *rtp.Interval) { k.intervals = append(k.intervals, *iv) })
	return k
}

func (k *kernel) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := k.port.Next(ctx)
	if err != nil {
		k.media.Flush()
		return b, err
	}
	var kept []capture.Frame
	for i := range b.Frames {
		f := &b.Frames[i]
		var p packet.Packet
		p.Time, p.TapPort = f.Time, f.Port
		k.now = f.Time
		if k.decoder.Frame(f.Link, b.Data(i), f.Wire, &p) == packet.Datagram && p.Proto == packet.UDP {
			k.media.Packet(&p)
			if len(p.Payload) >= 12 && p.Payload[0]>>6 == 2 && (p.Payload[1] < 192 || p.Payload[1] > 223) {
				k.dropped++
				continue
			}
		}
		// Of the web's segments only what begins something is asked for.
		if p.Proto == packet.TCP && len(p.Payload) > 16 && p.Payload[0] != 22 && (p.SrcPort == 443 || p.DstPort == 443 || p.SrcPort == 80 || p.DstPort == 80) {
			k.web++
			if k.rate == 0 || k.web%k.rate != 0 {
				continue
			}
			cut := *f
			cut.Len = f.Len - uint32(len(p.Payload)) + 8
			kept = append(kept, cut)
			continue
		}
		kept = append(kept, *f)
	}
	b.Frames = kept
	k.media.Sweep(k.now)
	return b, nil
}

func (k *kernel) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	dst = append(dst, k.intervals...)
	k.intervals = k.intervals[:0]
	return dst, k.now - rtp.Length - 1e8
}

// TestKernelAccounts: where a port accounts media itself and drops it, the
// findings are those of replay.
func TestKernelAccounts(t *testing.T) {
	for _, opt := range brief(append(liveScenarios[:2:2], lab.Options{Scenario: "goip-line", Seed: 6, Duration: 20 * time.Minute})) {
		t.Run(fmt.Sprint(opt.Scenario, opt.Seed), func(t *testing.T) {
			t.Parallel()
			file, _ := made(t, opt)
			replay, err := Run(t.Context(), opened(t, file), Config{Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			list := frames(t, opened(t, file))
			for workers := 1; workers <= 4; workers++ {
				k := newKernel(list, 400)
				k.rate = 16
				got := live(t, Config{Workers: workers}, k)
				if k.dropped < len(list)/2 {
					t.Fatalf("only %d of %d frames dropped", k.dropped, len(list))
				}
				if got.Stats.Streams != replay.Stats.Streams || got.Stats.Calls != replay.Stats.Calls {
					t.Errorf("%d workers: %+v, replay %+v", workers, got.Stats, replay.Stats)
				}
				if d := cmp.Diff(outline(replay.Findings), outline(got.Findings)); d != "" {
					t.Errorf("%d workers (-replay +kernel):\n%s", workers, d)
				}
				near(t, replay.Findings, got.Findings)
			}
		})
	}
}

// TestKernelSamples: what a line does beside its calls is measured from the thin
// sample that such a port gives, as a replay measures it from every frame; where
// there is no sample it is not measured at all, for every household would look as
// if nobody lived there.
func TestKernelSamples(t *testing.T) {
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, _ := made(t, lab.Options{Scenario: "call-centre-inbound", Seed: 1, Duration: 30 * time.Minute})
	cfg := Config{Workers: 2, Homes: homes, Ledgers: heuristics.None}
	replay, err := Run(t.Context(), opened(t, file), cfg)
	if err != nil {
		t.Fatal(err)
	}
	list := frames(t, opened(t, file))
	household := func(r *Result) (n int) {
		for i := range r.Findings {
			for _, row := range r.Findings[i].Signals {
				if row.ID == "dark-household" {
					n++
				}
			}
		}
		return n
	}
	k := newKernel(list, 400)
	k.rate = 16
	got := live(t, cfg, k)
	if d := cmp.Diff(outline(replay.Findings), outline(got.Findings)); d != "" || household(got) == 0 || k.web < 1000 {
		t.Errorf("%d segments of the web, %d rows (-replay +kernel):\n%s", k.web, household(got), d)
	}
	near(t, replay.Findings, got.Findings)
	if n := household(live(t, cfg, newKernel(list, 400))); n > 0 {
		t.Errorf("%d rows of households that were not measured", n)
	}
}

// outline is what of findings must be equal.
func outline(list []heuristics.Finding) (out []string) {
	for i := range list {
		f := &list[i]
		var ids []string
		for _, r := range f.Signals {
			ids = append(ids, r.ID)
		}
		slices.Sort(ids)
		out = append(out, fmt.Sprintln(f.Line, f.Verdict, f.Proof, f.Cards, f.Controllers, f.Calls, slices.Compact(ids)))
	}
	slices.Sort(out)
	return out
}

// near holds scores of the same lines to half a nat.
func near(t *testing.T, want, got []heuristics.Finding) {
	t.Helper()
	for i := range want {
		for k := range got {
			if want[i].Line == got[k].Line && want[i].First == got[k].First {
				if d := want[i].Score - got[k].Score; d > 0.5 || d < -0.5 {
					t.Errorf("%v: score %.2f, want %.2f", want[i].Line, got[k].Score, want[i].Score)
				}
			}
		}
	}
}

// TestLiveIdlePort: a port that has nothing does not hold up another, and time
// goes on when none has anything.
func TestLiveIdlePort(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	list := frames(t, opened(t, file))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	l, err := NewLive(Config{Workers: 2}, &port{number: 1, list: list, size: 100, idle: true}, &port{number: 2, idle: true})
	if err != nil {
		t.Fatal(err)
	}
	end := list[len(list)-1].time
	observed := l.run.join
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			if l.tap.reached.Load() > end+5e8 {
				return
			}
		}
	}()
	r, err := l.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v: time did not go on", err)
	}
	if r.Stats.Frames != uint64(len(list)) || observed.now <= end {
		t.Errorf("%d frames of %d, tables at %d, last frame %d", r.Stats.Frames, len(list), observed.now, end)
	}
	for _, x := range r.Losses {
		if x.Stage == "live" && x.Reason != "times that a port was not read: too much of it waited" {
			t.Errorf("loss %+v", x)
		}
	}
}

// TestLiveLate: frames that come after their time are counted and judged.
func TestLiveLate(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	list := frames(t, opened(t, file))
	late := slices.Clone(list)
	for i := 100; i < len(late); i += 100 {
		late[i], late[i-60] = late[i-60], late[i]
	}
	r := live(t, Config{Workers: 2}, &port{number: 1, list: late, size: 50})
	if r.Stats.Frames != uint64(len(list)) {
		t.Errorf("%d frames of %d", r.Stats.Frames, len(list))
	}
	if !slices.ContainsFunc(r.Losses, func(x Loss) bool { return x.Stage == "live" && x.Count > 10 }) {
		t.Errorf("no frame told as late in %v", r.Losses)
	}
}

// TestLivePortFails: a port that fails takes no other with it.
func TestLivePortFails(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	a, b := directions(frames(t, opened(t, file)))
	broken := errors.New("gone")
	one := &port{number: 1, list: a[:len(a)/2], size: 100, err: broken}
	two := &port{number: 2, list: b, size: 100}
	l, err := NewLive(Config{Workers: 2}, one, two)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Run(t.Context())
	if !errors.Is(err, broken) || r.Stats.Frames != uint64(len(a)/2+len(b)) {
		t.Errorf("error %v, %d frames of %d", err, r.Stats.Frames, len(a)/2+len(b))
	}
	if one.given != one.back || two.given != two.back {
		t.Errorf("batches given %d %d, back %d %d", one.given, two.given, one.back, two.back)
	}
}

// closing is a source that was closed in a flood: none of its intervals will come
// any more, and of its frames many.
type closing struct {
	batches int
	at      int64
}

func (c *closing) Next(context.Context) (*capture.Batch, error) {
	if c.batches == 0 {
		return nil, io.EOF
	}
	c.batches--
	b := capture.NewBatch(make([]byte, 60), nil)
	b.Frames = append(b.Frames, capture.Frame{Time: c.at, Len: 60, Wire: 60, Link: capture.LinkEthernet})
	c.at += 1e6
	return b, nil
}

func (c *closing) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) { return dst, math.MaxInt64 }

func (c *closing) Close() error { return nil }

// TestLiveClosing wants a run to take what a closed source still gives, to end with
// it, and not to take the end of its intervals for a time that others are behind.
func TestLiveClosing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	const at = int64(1_700_000_000e9)
	l, err := NewLive(Config{Workers: 1}, &closing{batches: 10, at: at}, &closing{batches: 20, at: at})
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Run(ctx)
	if err != nil {
		t.Fatalf("did not end by itself: %v", err)
	}
	if r.Stats.Frames != 30 || r.Stats.Last != at+19e6 {
		t.Errorf("%d frames, the last at %d; want 30, %d", r.Stats.Frames, r.Stats.Last, at+int64(19e6))
	}
	for _, l := range r.Losses {
		if l.Reason == "frames before others that had been judged, taken to have come with them" {
			t.Errorf("%d %s", l.Count, l.Reason)
		}
	}
}

// slow is a port whose every batch takes a while to come.
type slow struct {
	port
	each time.Duration
}

func (s *slow) Next(ctx context.Context) (*capture.Batch, error) {
	time.Sleep(s.each)
	return s.port.Next(ctx)
}

// TestLiveWaitsForRoom: a port that waits because too much of it waits already is not
// taken for one that hangs, however slow the other is.
func TestLiveWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const at, n = int64(1_700_000_000e9), 1000
		var fast, late []frameOf
		for i := range n {
			fast = append(fast, frameOf{at + int64(i)*1e6, make([]byte, 60)})
		}
		for i := range 8 { // two of each time: the other waits for 12 s
			late = append(late, frameOf{at + int64(i/2)*250e6, make([]byte, 60)})
		}
		r := live(t, Config{Workers: 1},
			&slow{port: port{number: 1, list: late, size: 1}, each: 6 * time.Second},
			&port{number: 2, list: fast, size: 1})
		if r.Stats.Frames != n+8 {
			t.Errorf("%d frames of %d", r.Stats.Frames, n+8)
		}
		for _, l := range r.Losses {
			if l.Stage == "live" && l.Reason != "times that a port was not read: too much of it waited" {
				t.Errorf("%d %s", l.Count, l.Reason)
			}
		}
	})
}

// TestLiveHung: one that hangs is not waited for, and that is told.
func TestLiveHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const at = int64(1_700_000_000e9)
		list := []frameOf{{at, make([]byte, 60)}}
		r := live(t, Config{Workers: 1}, &slow{port: port{number: 1, list: list, size: 1}, each: 25 * time.Second}, &port{number: 2, list: list, size: 1})
		told := false
		for _, l := range r.Losses {
			told = told || l.Stage == "live" && l.Reason == "times that a port which said nothing for 10 s was not waited for" && l.Count > 0
		}
		if r.Stats.Frames != 2 || !told {
			t.Errorf("%d frames, losses %v", r.Stats.Frames, r.Losses)
		}
	})
}

// TestLiveCancelled: what a port gave before the end of the run was asked for is judged,
// wherever it waits then, and what it gives on its way out too.
func TestLiveCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const at = int64(1_700_000_000e9)
		var list []frameOf
		for i := range 1000 {
			list = append(list, frameOf{at + int64(i)*1e6, make([]byte, 60)})
		}
		one := &port{number: 1, list: list, size: 1, idle: true}
		l, err := NewLive(Config{Workers: 1}, one, silent{}) // nothing goes before the second has spoken
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), hungAfter/2)
		defer cancel()
		r, err := l.Run(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if one.given <= maxBehind || r.Stats.Frames != uint64(one.given) || one.back != one.given {
			t.Errorf("%d frames given, %d judged, %d back", one.given, r.Stats.Frames, one.back)
		}
	})
}
