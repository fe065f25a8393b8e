package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"simtrap/internal/smalldisk"
)

const childEnv = "SIMTRAP_OUTBOX_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func opened(t *testing.T, dir string, opt Options) *Outbox {
	t.Helper()
	o, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func appended(t *testing.T, o *Outbox, r Record) uint64 {
	t.Helper()
	seq, err := o.Append(r)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// batch gives what waits, without waiting.
func batch(t *testing.T, o *Outbox, maxBytes, maxRecords int) []Record {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	records, err := o.Batch(ctx, maxBytes, maxRecords)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return records
}

func texts(records []Record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s ", r.Payload)
	}
	return strings.TrimSpace(b.String())
}

func text(s string, p Priority) Record {
	return Record{Kind: 1, Priority: p, Payload: []byte(s)}
}

func TestOrderAndAck(t *testing.T) {
	dir := t.TempDir()
	o := opened(t, dir, Options{Reserve: -1})
	for i, p := range []Priority{Case, Low, High, Middle, Low} {
		appended(t, o, text(fmt.Sprint(i), p))
	}
	got := batch(t, o, 1<<20, 3)
	if texts(got) != "0 1 2" || got[0].Priority != Case || got[1].Priority != Low {
		t.Fatalf("first batch: %q", texts(got))
	}
	if got = batch(t, o, 1<<20, 4); texts(got) != "0 1 2 3" {
		t.Fatalf("without an acknowledgement: %q", texts(got))
	}
	if got = batch(t, o, 1, 4); texts(got) != "0" {
		t.Fatalf("a batch of one byte: %q", texts(got))
	}
	epoch := got[0].Epoch
	if err := o.Ack(epoch+1, got[0].Seq); !errors.Is(err, ErrAck) {
		t.Fatalf("another epoch: %v", err)
	}
	if err := o.Ack(epoch, got[0].Seq+1); !errors.Is(err, ErrAck) {
		t.Fatalf("more than was given: %v", err)
	}
	if err := o.Ack(epoch, got[0].Seq); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = opened(t, dir, Options{Reserve: -1})
	if got = batch(t, o, 1<<20, 9); texts(got) != "1 2 3 4" || got[0].Epoch != epoch {
		t.Fatalf("after a restart: %q", texts(got))
	}
	if seq := appended(t, o, text("5", Low)); seq != got[3].Seq+1 {
		t.Fatalf("sequence %d follows %d after a clean end", seq, got[3].Seq)
	}
}

func TestNewestRevisionOnly(t *testing.T) {
	o := opened(t, t.TempDir(), Options{Reserve: -1})
	finding := func(key string, revision uint64, p Priority) Record {
		return Record{Key: key, Revision: revision, Kind: 1, Priority: p, Payload: fmt.Appendf(nil, "%s%d", key, revision)}
	}
	appended(t, o, finding("a", 1, Case))
	appended(t, o, finding("b", 1, Low))
	appended(t, o, finding("a", 3, Low))
	if _, err := o.Append(finding("a", 2, Case)); !errors.Is(err, ErrStale) {
		t.Fatalf("an older revision: %v", err)
	}
	got := batch(t, o, 1<<20, 9)
	if texts(got) != "b1 a3" {
		t.Fatalf("got %q", texts(got))
	}
	if got[1].Priority != Case {
		t.Fatalf("a case withdrawn has priority %d: it would be lost before the case", got[1].Priority)
	}
	// One that is under way is superseded too, and its acknowledgement is not
	// the newer one's.
	appended(t, o, finding("b", 2, Low))
	if err := o.Ack(got[1].Epoch, got[1].Seq); err != nil {
		t.Fatal(err)
	}
	if got = batch(t, o, 1<<20, 9); texts(got) != "b2" {
		t.Fatalf("got %q", texts(got))
	}
	if s := o.Stats(); s.Superseded != 2 || s.Stale != 1 || len(s.Lost) != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestCaseIsDroppedLast(t *testing.T) {
	o := opened(t, t.TempDir(), Options{Limit: minLimit, Reserve: -1, Sync: SyncNever})
	pad := strings.Repeat("x", 400)
	for i := range 400 {
		p := Priority(i % 4)
		if _, err := o.Append(text(fmt.Sprintf("%d.%s", p, pad), p)); err != nil && !errors.Is(err, ErrDropped) {
			t.Fatal(err)
		}
	}
	left := map[byte]int{}
	var lost uint64
	var acked bool
	for !acked {
		records := batch(t, o, 1<<20, 1000)
		if acked = len(records) == 0; acked {
			break
		}
		for _, r := range records {
			if g, err := r.Gap(); err == nil {
				lost += g.Count()
			} else {
				left[r.Payload[0]]++
			}
		}
		if err := o.Ack(records[0].Epoch, records[len(records)-1].Seq); err != nil {
			t.Fatal(err)
		}
	}
	if left['3'] != 100 || left['0'] != 0 || left['1'] != 0 || left['2'] == 0 {
		t.Fatalf("left by priority: %v", left)
	}
	if want := uint64(400 - left['2'] - left['3']); lost != want {
		t.Fatalf("gaps count %d, missing are %d", lost, want)
	}
}

func TestSupersededGoBeforeTheLiving(t *testing.T) {
	o := opened(t, t.TempDir(), Options{Limit: minLimit, Reserve: -1, Sync: SyncNever})
	pad := []byte(strings.Repeat("x", 300))
	for i := range 20 {
		appended(t, o, Record{Kind: 2, Priority: Low, Payload: fmt.Appendf(nil, "call %d %s", i, pad)})
	}
	// Twenty findings that change a hundred times would fill the outbox ten times.
	for revision := range uint64(100) {
		for i := range 20 {
			appended(t, o, Record{Key: fmt.Sprint("finding ", i), Revision: revision + 1, Kind: 1, Priority: Case, Payload: pad})
		}
	}
	if s := o.Stats(); len(s.Lost) > 0 || s.Compacted == 0 {
		t.Fatalf("%+v", s)
	}
	if got := batch(t, o, 1<<20, 100); len(got) == 0 || got[0].Kind != 2 {
		t.Fatalf("%d records", len(got))
	}
}

func TestRefuse(t *testing.T) {
	o := opened(t, t.TempDir(), Options{Reserve: -1})
	appended(t, o, Record{Kind: 3, Payload: []byte("poison")})
	appended(t, o, text("next", Low))
	got := batch(t, o, 1<<20, 9)
	if err := o.Refuse(got[0].Epoch, got[1].Seq); !errors.Is(err, ErrAck) {
		t.Fatalf("not the first: %v", err)
	}
	if err := o.Refuse(got[0].Epoch, got[0].Seq); err != nil {
		t.Fatal(err)
	}
	got = batch(t, o, 1<<20, 9)
	if len(got) != 2 || string(got[0].Payload) != "next" {
		t.Fatalf("%q", texts(got))
	}
	g, err := got[1].Gap()
	if err != nil || !slices.Equal(g.Lost, []Lost{{Refused, 3, 1}}) || g.From != 1 || g.To != 1 {
		t.Fatalf("%+v, %v", g, err)
	}
	if err := o.Ack(got[0].Epoch, got[0].Seq); err != nil {
		t.Fatal(err)
	}
	got = batch(t, o, 1<<20, 9)
	if err := o.Refuse(got[0].Epoch, got[0].Seq); err != nil {
		t.Fatal(err)
	}
	if got = batch(t, o, 1<<20, 9); len(got) != 0 {
		t.Fatalf("a refused gap record made another: %q", texts(got))
	}
}

// TestSupersededAndCut: a record that lasts is not passed over for a newer
// revision that does not last yet.
func TestSupersededAndCut(t *testing.T) {
	for _, how := range []string{"acknowledged", "written anew"} {
		m := newMemFS()
		opt := Options{Limit: minLimit, Reserve: -1, Sync: SyncInterval, Interval: time.Hour, FS: m}
		o := opened(t, "box", opt)
		pad := strings.Repeat("x", 900)
		appended(t, o, Record{Kind: 1, Key: "finding", Revision: 1, Payload: []byte("old" + pad)})
		appended(t, o, text("between"+pad, Low))
		if err := o.Sync(); err != nil {
			t.Fatal(err)
		}
		appended(t, o, Record{Kind: 1, Key: "finding", Revision: 2, Payload: []byte("new" + pad)})
		if how == "acknowledged" {
			got := batch(t, o, 1<<20, 1)
			if err := o.Ack(got[0].Epoch, got[0].Seq); err != nil || !strings.HasPrefix(texts(got), "between") {
				t.Fatalf("%.20q, %v", texts(got), err)
			}
		} else {
			o.mu.Lock()
			if !o.compact() {
				t.Fatal("nothing was written anew")
			}
			o.mu.Unlock()
		}
		m.cut(nil)
		o = opened(t, "box", opt)
		if got := texts(batch(t, o, 1<<20, 9)); !strings.Contains(got, "old") && !strings.Contains(got, "new") {
			t.Errorf("%s: the finding is gone", how)
		}
	}
}

// TestSequencesAreNeverUsedAgain, not even those of records that a power cut
// took.
func TestSequencesAreNeverUsedAgain(t *testing.T) {
	m := newMemFS()
	opt := Options{Reserve: -1, Sync: SyncNever, FS: m}
	o := opened(t, "box", opt)
	var last uint64
	for range 2*leaseBlock + 10 {
		last = appended(t, o, text("x", Low))
	}
	m.cut(nil)
	o = opened(t, "box", opt)
	if seq := appended(t, o, text("y", Low)); seq <= last {
		t.Fatalf("sequence %d after %d", seq, last)
	}
	got := batch(t, o, 1<<20, 9)
	if g, err := got[0].Gap(); err != nil || len(got) != 2 || g.From != 1 || g.To < last || g.Count() < last {
		t.Fatalf("%d records: %+v, %v", len(got), g, err)
	}
}

// TestKilledInOpen ends the process at every point of making a folder and of
// opening it again: where nothing was set aside, nothing is missing.
func TestKilledInOpen(t *testing.T) {
	for at := 1; ; at++ {
		fs := newMemFS()
		opt := Options{FS: fs, Sync: SyncInterval, Reserve: -1}
		fs.downAt = at
		first, err := Open("outbox", opt)
		if err == nil {
			if at < 4 {
				t.Fatalf("opened within %d operations", at)
			}
			fs.kill()
			_ = first.Close()
			break
		}
		for again := 1; ; again++ {
			fs.kill()
			fs.downAt = fs.op + again
			if o, err := Open("outbox", opt); err == nil {
				if lost := o.Stats().Lost; len(lost) > 0 {
					t.Errorf("killed at operation %d: %v", at, lost)
				}
				_ = o.Close()
				break
			}
		}
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	opened(t, dir, Options{Reserve: -1})
	_, err := Open(dir, Options{Reserve: -1})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second outbox of the same folder: %v", err)
	}
}

// TestEpochs: a folder begun anew never repeats an epoch; one that has lost its
// position goes on in its epoch, above every sequence it gave.
func TestEpochs(t *testing.T) {
	m := newMemFS()
	opt := Options{Limit: minLimit, Reserve: -1, FS: m}
	o := opened(t, "box", opt)
	epoch, seq := o.Stats().Epoch, appended(t, o, text("kept", Low))
	o.Close()
	clear(m.names["box/"+positionName].data)
	o = opened(t, "box", opt)
	if s := o.Stats(); s.Epoch != epoch || s.Next < seq+leap {
		t.Fatalf("epoch %x after %x, next sequence %d after %d", s.Epoch, epoch, s.Next, seq)
	}
	if got := batch(t, o, 1<<20, 9); texts(got) != "kept" || got[0].Seq != seq {
		t.Fatalf("%q", texts(got))
	}
	o.Close()
	for name := range m.names {
		delete(m.names, name)
	}
	if o = opened(t, "box", opt); o.Stats().Epoch == epoch {
		t.Fatal("a new folder has the old one's epoch")
	}
}

func TestDamagedSegment(t *testing.T) {
	m := newMemFS()
	opt := Options{Limit: minLimit, Reserve: -1, FS: m}
	o := opened(t, "box", opt)
	for i := range 20 {
		appended(t, o, text(fmt.Sprintf("%02d%s", i, strings.Repeat("x", 198)), Low))
	}
	if n := len(batch(t, o, 1<<20, 100)); n != 20 {
		t.Fatalf("%d records", n)
	}
	damage := func(number uint64, at int) {
		m.names["box/"+segmentName(0, number)].data[at] ^= 0x40
	}
	// One while it runs, and, the second of a segment, one that a start finds.
	second := o.lanes[0][1].number
	third := o.lanes[0][2].number
	damage(second, segmentHeader+50)
	if got := batch(t, o, 1<<20, 100); len(got) != 19 {
		t.Fatalf("%d records: %.40s", len(got), texts(got))
	}
	got := batch(t, o, 1<<20, 100)
	if len(got) != 20 || got[19].Kind != KindGap {
		t.Fatalf("%d records: %.40s", len(got), texts(got))
	}
	g, err := got[19].Gap()
	if err != nil || len(g.Lost) != 1 || g.Lost[0] != (Lost{Damaged, KindUnknown, 1}) || g.From != second || g.To != second {
		t.Fatalf("gap %+v, %v", g, err)
	}
	o.Close()
	damage(third, segmentHeader+250+50)
	o = opened(t, "box", opt)
	got = batch(t, o, 1<<20, 100)
	if len(got) != 20 || got[18].Kind != KindGap || got[19].Kind != KindGap {
		t.Fatalf("%d records", len(got))
	}
	if g, err = got[19].Gap(); err != nil || g.Count() != 1 || g.From != third+1 || g.To != third+1 {
		t.Fatalf("gap %+v, %v", g, err)
	}
	names, _ := m.ReadDir("box")
	n := 0
	for _, name := range names {
		n += int(b2u(strings.HasSuffix(name, damagedSuffix)))
	}
	if n != 2 {
		t.Fatalf("set aside: %v", names)
	}
}

func TestTornEnd(t *testing.T) {
	m := newMemFS()
	opt := Options{Limit: minLimit, Reserve: -1, FS: m}
	o := opened(t, "box", opt)
	appended(t, o, text("whole", Low))
	appended(t, o, text("torn", Low))
	m.kill()
	f := m.names["box/"+segmentName(0, 1)]
	f.data = f.data[:len(f.data)-1]
	o = opened(t, "box", opt)
	if s := o.Stats(); s.Torn != 1 || s.TornBytes != recordHeader+3 {
		t.Fatalf("%+v", s)
	}
	seq := appended(t, o, text("next", Low))
	if got := batch(t, o, 1<<20, 9); texts(got) != "whole next" || seq <= 2 {
		t.Fatalf("%q, sequence %d", texts(got), seq)
	}
}

func TestBatchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := Open("box", Options{Reserve: -1, Limit: minLimit, Sync: SyncInterval, FS: newMemFS()})
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		wait.Go(func() {
			got, err := o.Batch(t.Context(), 1000, 10)
			if err != nil || texts(got) != "late" {
				t.Errorf("%q, %v", texts(got), err)
			}
		})
		synctest.Wait()
		appended(t, o, text("late", Low))
		wait.Wait()
		synced := func() uint64 {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.pos.synced
		}
		if synced() != 0 {
			t.Error("synced before the interval")
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if n := synced(); n != 1 {
			t.Errorf("synced up to %d after the interval", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		batch := batch(t, o, 1000, 10)
		if err := o.Ack(batch[0].Epoch, batch[0].Seq); err != nil {
			t.Error(err)
		}
		wait.Go(func() {
			if _, err := o.Batch(ctx, 1000, 10); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
		synctest.Wait()
		cancel()
		wait.Wait()
		wait.Go(func() {
			if _, err := o.Batch(t.Context(), 1000, 10); !errors.Is(err, ErrClosed) {
				t.Errorf("%v", err)
			}
		})
		synctest.Wait()
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		wait.Wait()
	})
}

func TestTogether(t *testing.T) {
	o := opened(t, t.TempDir(), Options{Reserve: -1, Sync: SyncInterval, Interval: time.Millisecond})
	const writers, each = 4, 500
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				if _, err := o.Append(text(fmt.Sprint(w, i), Priority(w))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := 0
	for seen < writers*each {
		got, err := o.Batch(t.Context(), 4<<10, 100)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(got)
		if err := o.Ack(got[0].Epoch, got[len(got)-1].Seq); err != nil {
			t.Fatal(err)
		}
	}
	wait.Wait()
	if got := batch(t, o, 1<<20, 10); len(got) > 0 {
		t.Fatalf("%d more", len(got))
	}
}

// TestKeysAreBounded holds the memory of a key to what Options says.
func TestKeysAreBounded(t *testing.T) {
	const keys = 50_000
	m := newMemFS()
	o := opened(t, "box", Options{Reserve: -1, Limit: 64 << 20, Sync: SyncNever, Keys: keys, FS: discard{m}})
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	for i := range keys + 1000 {
		appended(t, o, Record{Key: fmt.Sprintf("%016x", i), Revision: 1, Kind: 1})
	}
	each := float64(heap()-before) / keys
	t.Logf("%.0f bytes each", each)
	if each > 170 {
		t.Errorf("a key takes %.0f bytes", each)
	}
	if s := o.Stats(); s.Keys != keys || s.Untracked != 1000 {
		t.Errorf("%+v", s)
	}
}

// discard keeps nothing that is written.
type discard struct{ *memFS }

type discardFile struct{ File }

func (d discard) OpenFile(name string, flag int) (File, error) {
	f, err := d.memFS.OpenFile(name, flag)
	return discardFile{f}, err
}

func (discardFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (discardFile) Sync() error                            { return nil }

// child appends and sends until it is killed, and says what it did.
func child(dir string) {
	o, err := Open(dir, Options{Reserve: -1, Sync: SyncNever})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	r := rand.New(rand.NewPCG(uint64(os.Getpid()), 2))
	go func() {
		for {
			got, err := o.Batch(context.Background(), 4<<10, 1+r.IntN(20))
			if err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
			var b strings.Builder
			for _, r := range got {
				fmt.Fprintln(&b, "sent", r.Seq, string(r.Payload))
			}
			os.Stdout.WriteString(b.String())
			if o.Ack(got[0].Epoch, got[len(got)-1].Seq) == nil {
				fmt.Println("acked", got[len(got)-1].Seq, "-")
			}
			time.Sleep(time.Millisecond)
		}
	}()
	for i := 0; ; i++ {
		what := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if seq, err := o.Append(text(what, Priority(i%4))); err == nil {
			fmt.Println("kept", seq, what)
		} else {
			fmt.Println("error", err)
		}
		if i%50 == 49 {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestKill ends a process at random moments: with no policy at all, what it kept
// is there afterwards, once.
func TestKill(t *testing.T) {
	times := 40
	if testing.Short() {
		times = 8
	}
	dir := t.TempDir()
	kept, sent := map[string]string{}, map[string]string{}
	acked := uint64(0)
	said := func(out string) {
		lines := strings.SplitAfter(out, "\n")
		for _, line := range lines {
			var what, seq, text string
			if n, _ := fmt.Sscan(line, &what, &seq, &text); n < 3 || !strings.HasSuffix(line, "\n") {
				continue // the last one, cut off
			}
			var number uint64
			fmt.Sscan(seq, &number)
			switch what {
			case "kept":
				if was, twice := kept[seq]; twice {
					t.Fatalf("sequence %s is %q and %q", seq, was, text)
				}
				kept[seq] = text
			case "sent":
				if number <= acked {
					t.Fatalf("sequence %d is sent after %d was acknowledged", number, acked)
				}
				if was, twice := sent[seq]; twice && was != text {
					t.Fatalf("sequence %s was sent as %q and %q", seq, was, text)
				}
				sent[seq] = text
			case "acked":
				acked = number
			default:
				t.Fatal(line)
			}
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range times {
		c := exec.Command(self)
		c.Env = append(os.Environ(), childEnv+"="+dir)
		out := &heard{begun: make(chan struct{})}
		c.Stdout = out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Every other one is let come to its work, however slow the machine is.
		if i%2 == 0 {
			select {
			case <-out.begun:
			case <-time.After(time.Minute):
				t.Fatal("it did nothing for a minute")
			}
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		c.Process.Kill()
		c.Wait()
		said(out.b.String())
	}
	o := opened(t, dir, Options{Reserve: -1})
	for {
		got := batch(t, o, 1<<20, 1000)
		if len(got) == 0 {
			break
		}
		for _, r := range got {
			if r.Kind == KindGap {
				t.Fatalf("a gap: %+v", r)
			}
			sent[fmt.Sprint(r.Seq)] = string(r.Payload)
		}
		if err := o.Ack(got[0].Epoch, got[len(got)-1].Seq); err != nil {
			t.Fatal(err)
		}
	}
	if len(kept) < times {
		t.Fatalf("only %d records were kept", len(kept))
	}
	for seq, what := range kept {
		if sent[seq] != what {
			t.Fatalf("sequence %s was kept as %q and sent as %q", seq, what, sent[seq])
		}
	}
	t.Logf("%d records, %d starts", len(kept), times)
}

// heard keeps what a child says, and tells when it has begun to. It has one
// writer, and is read when that has ended.
type heard struct {
	b     strings.Builder
	begun chan struct{}
}

func (h *heard) Write(p []byte) (int, error) {
	if h.b.Len() == 0 && len(p) > 0 {
		close(h.begun)
	}
	return h.b.Write(p)
}

// TestFullDisk fills a small tmpfs.
func TestFullDisk(t *testing.T) {
	dir := smalldisk.Folder(t, "1m")
	if dir == "" {
		return
	}
	const reserve = 200 << 10
	o := opened(t, filepath.Join(dir, "box"), Options{Limit: 64 << 20, Reserve: reserve})
	var accepted, refused, arrived, lost uint64
	fill := func(n int, p Priority) {
		for range n {
			switch _, err := o.Append(text(strings.Repeat("x", 1000), p)); {
			case err == nil:
				accepted++
			case errors.Is(err, ErrDropped):
				refused++
			default:
				t.Fatal(err)
			}
		}
	}
	free := func() int64 {
		n, err := Disk{}.Free(dir)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	fill(2000, Middle)
	if n := free(); n < reserve-64<<10 || refused > 0 {
		t.Fatalf("%d bytes are free, %d refused", n, refused)
	}
	fill(10, Case)
	fill(100, Low)
	// Somebody else takes the rest.
	smalldisk.Fill(t, dir, 0)
	if n := free(); n > 0 {
		t.Fatalf("%d bytes are free", n)
	}
	fill(300, Case)
	fill(50, Low)
	for {
		got := batch(t, o, 1<<20, 100)
		if len(got) == 0 {
			break
		}
		for _, r := range got {
			if g, err := r.Gap(); err == nil {
				lost += g.Count()
			} else {
				arrived++
			}
		}
		if err := o.Ack(got[0].Epoch, got[len(got)-1].Seq); err != nil {
			t.Fatal(err)
		}
	}
	if accepted+refused != arrived+lost || arrived < 310 || lost == 0 {
		t.Fatalf("%d accepted and %d refused; %d arrived and gaps count %d", accepted, refused, arrived, lost)
	}
	t.Logf("%d accepted, %d refused, %d arrived, gaps count %d", accepted, refused, arrived, lost)
}

func TestFolderOfDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "box")
	o := opened(t, dir, Options{Reserve: -1})
	appended(t, o, text("x", Case))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return err
	})
	names, _ := Disk{}.ReadDir(dir)
	if want := []string{"3-0000000000000001.seg", "lock", "position", "reserve"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v", names, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, sync := range []Sync{SyncEvery, SyncInterval, SyncNever} {
		b.Run(sync.String(), func(b *testing.B) {
			o, err := Open(b.TempDir(), Options{Sync: sync, Reserve: -1})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			payload := []byte(strings.Repeat("finding ", 64))
			for i := 0; b.Loop(); i++ {
				if _, err := o.Append(Record{Key: fmt.Sprint(i % 20_000), Revision: uint64(i), Kind: 1, Priority: Case, Payload: payload}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func BenchmarkDrain(b *testing.B) {
	o, err := Open(b.TempDir(), Options{Sync: SyncNever, Reserve: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	payload := []byte(strings.Repeat("finding ", 64))
	n := 0
	for b.Loop() {
		b.StopTimer()
		for range 1000 {
			if _, err := o.Append(Record{Kind: 1, Priority: Case, Payload: payload}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		got, err := o.Batch(context.Background(), 1<<20, 1000)
		if err != nil {
			b.Fatal(err)
		}
		n += len(got)
		if err := o.Ack(got[0].Epoch, got[len(got)-1].Seq); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// What came faster than it could be appended is in a gap too.
func TestMiss(t *testing.T) {
	o := opened(t, t.TempDir(), Options{Reserve: -1})
	if err := o.Miss(KindGap, 1); err == nil {
		t.Error("a gap is missed")
	}
	if err := errors.Join(o.Miss(4, 0), o.Miss(4, 7), o.Miss(5, 1), o.Miss(4, 3)); err != nil {
		t.Fatal(err)
	}
	appended(t, o, text("next", Low))
	got := batch(t, o, 1<<20, 9)
	if len(got) != 2 {
		t.Fatalf("%q", texts(got))
	}
	for _, r := range got {
		if r.Kind != KindGap {
			continue
		}
		if g, err := r.Gap(); err != nil || !slices.Equal(g.Lost, []Lost{{Crowded, 4, 10}, {Crowded, 5, 1}}) || g.From == 0 || g.To < g.From {
			t.Errorf("%+v, %v", g, err)
		}
	}
	if lost := o.Stats().Lost; !slices.Equal(lost, []Lost{{Crowded, 4, 10}, {Crowded, 5, 1}}) {
		t.Errorf("counted %v", lost)
	}
}
