package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Files merge as a stable sort of all their frames by time would.
func TestMergeOrder(t *testing.T) {
	dir := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		sub := filepath.Join(dir, fmt.Sprint(round))
		defer func() { _ = os.RemoveAll(sub) }()
		var want []rec
		files := rapid.IntRange(1, 9).Draw(rt, "files")
		for i := range files {
			at := t0 + rapid.Int64Range(0, 40).Draw(rt, "start")*second
			var recs []rec
			for j := range rapid.IntRange(0, 400).Draw(rt, "frames") {
				at += rapid.SampledFrom([]int64{0, 0, 1, milli, 10 * milli, second}).Draw(rt, "gap")
				recs = append(recs, rec{at, fmt.Sprintf("%d.%d", i, j), 0, 1, 0})
			}
			file := plain.file(recs...)
			if rapid.IntRange(0, 4).Draw(rt, "pack") == 0 {
				file = gzipped(t, file)
			}
			write(t, sub, fmt.Sprintf("%d.pcap", i), file)
			for _, r := range recs {
				r.Wire = r.wire()
				want = append(want, r)
			}
		}
		slices.SortStableFunc(want, func(a, b rec) int { return int(a.Time - b.Time) })
		var opt Options
		if rapid.Bool().Draw(rt, "limits") {
			since := t0 + rapid.Int64Range(0, 60).Draw(rt, "since")*second
			until := since + rapid.Int64Range(0, 60).Draw(rt, "until")*second
			opt.Since, opt.Until = &since, &until
			want = slices.DeleteFunc(want, func(r rec) bool { return r.Time < since || r.Time >= until })
		}
		f, err := Open([]string{sub}, opt)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		got := drain(t, f)
		if d := cmp.Diff(want, got); d != "" && len(want)+len(got) > 0 {
			rt.Fatal(d)
		}
		if len(f.Damages()) > 0 {
			rt.Fatal(f.Damages())
		}
		if read, total := f.Progress(); read != total {
			rt.Fatalf("progress %d of %d", read, total)
		}
	})
}

// Where files overlap in large blocks, merged blocks are full and whole batches
// still pass where they can.
func TestMergeLarge(t *testing.T) {
	dir := t.TempDir()
	var want []rec
	for i := range 3 {
		b := plain.header()
		for j := range 20000 {
			r := rec{t0 + int64(j)*milli + int64(i), fmt.Sprintf("%d.%d %050d", i, j, 0), 0, 1, 0}
			if i == 2 {
				r.Time = t0 + 10*second + int64(j) // a burst in the middle of the others
			}
			b = plain.record(b, r)
			r.Wire = r.wire()
			want = append(want, r)
		}
		write(t, dir, fmt.Sprintf("%d.pcap", i), b)
	}
	slices.SortStableFunc(want, func(a, b rec) int { return int(a.Time - b.Time) })
	f := open(t, Options{}, dir)
	if d := cmp.Diff(want, drain(t, f)); d != "" {
		t.Errorf("%.1000s", d)
	}
	if c := f.Counters(); c.Merged < 40000 || c.Merged > 50000 {
		t.Errorf("%d frames were copied", c.Merged)
	}
}

// descriptors counts the files of dir that the process holds open.
func descriptors(t *testing.T, dir string) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not tell open files")
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && filepath.Dir(to) == dir {
			n++
		}
	}
	return n
}

// A folder of rotated files is opened one by one, and their batches are passed
// on as they are.
func TestLazyOpening(t *testing.T) {
	dir := t.TempDir()
	// Larger than the smallest block, so that not all is read by the first fill.
	data := string(make([]byte, 3000))
	const files, each = 2000, 5
	for i := range files {
		var recs []rec
		for j := range each {
			recs = append(recs, rec{Time: t0 + int64(i*each+j)*milli, Data: data})
		}
		// The names are not in the order of time.
		write(t, dir, fmt.Sprintf("%04d.pcap", (i*7)%files), plain.file(recs...))
	}
	f := open(t, Options{}, dir)
	if n := descriptors(t, dir); n > 0 {
		t.Errorf("%d open before reading", n)
	}
	most, frames := 0, 0
	for {
		b, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.Frames[0].Time != t0+int64(frames)*milli {
			t.Fatalf("frame %d at %d", frames, b.Frames[0].Time-t0)
		}
		frames += len(b.Frames)
		most = max(most, descriptors(t, dir))
		b.Release()
	}
	if frames != files*each || most > 2 {
		t.Errorf("%d frames, %d files open at once", frames, most)
	}
	if c := f.Counters(); c.Merged != 0 || c.Files != files {
		t.Errorf("%+v", c)
	}
}

// Very many files that cover the same time share the memory for blocks.
func TestOverlap(t *testing.T) {
	dir := t.TempDir()
	const files = 600
	data := string(make([]byte, 900))
	for i := range files {
		var recs []rec
		for j := range 40 {
			recs = append(recs, rec{Time: t0 + int64(j)*second + int64(i), Data: data})
		}
		write(t, dir, fmt.Sprintf("%04d.pcap", i), plain.file(recs...))
	}
	f := open(t, Options{}, dir)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := 0; ; {
		b, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			if n != files*40 {
				t.Errorf("%d frames", n)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(b.Frames)
		b.Release()
		if n > files*20 && after.HeapAlloc == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
		}
	}
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 48<<20 {
		t.Errorf("%d bytes for %d files at once", n, files)
	}

	for i := files; i <= MaxOverlap; i++ {
		write(t, dir, fmt.Sprintf("%04d.pcap", i), plain.file(rec{Time: t0, Data: "x"}, rec{Time: t0 + 90*second, Data: "x"}))
	}
	f = open(t, Options{}, dir)
	var err error
	for err == nil {
		var b *Batch
		if b, err = f.Next(t.Context()); err == nil {
			b.Release()
		}
	}
	if e, ok := errors.AsType[*InputError](err); !ok || !strings.Contains(e.Error(), "2048") || !strings.Contains(e.Remedy, "mergecap") {
		t.Error(err)
	}
}

// A file that vanishes or changes while it waits is told and does no harm.
func TestChangedFile(t *testing.T) {
	dir := t.TempDir()
	a := write(t, dir, "a.pcap", plain.file(rec{Time: t0, Data: "a"}, rec{Time: t0 + 9, Data: "a"}))
	b := write(t, dir, "b.pcap", plain.file(rec{Time: t0 + 10*second, Data: "b"}))
	c := write(t, dir, "c.pcap", plain.file(rec{Time: t0 + 20*second, Data: "c"}))
	f := open(t, Options{}, a, b, c)
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "c.pcap", plain.file(rec{Time: t0 + 5, Data: "c"}))
	var got []int64
	for {
		b, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, fr := range b.Frames {
			got = append(got, fr.Time-t0)
		}
		b.Release()
	}
	if d := cmp.Diff([]int64{0, 9, 9}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Damage{{File: "b.pcap", Kind: Cut, Count: 1}}, cleaned(f.Damages())); d != "" {
		t.Error(d)
	}
	if f.Counters().Late != 1 {
		t.Errorf("%+v", f.Counters())
	}
}

func TestSinceUntil(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		var recs []rec
		for j := range 10 {
			recs = append(recs, rec{Time: t0 + int64(i*10+j)*second, Data: "x"})
		}
		write(t, dir, fmt.Sprintf("%d.pcap", i), plain.file(recs...))
	}
	f := open(t, Options{Since: new(t0 + 25*second), Until: new(t0 + 42*second)}, dir)
	got := times(drain(t, f))
	if len(got) != 17 || got[0] != t0+25*second || got[16] != t0+41*second {
		t.Error(got)
	}
	if c := f.Counters(); c.Outside != 33 || c.FilesOutside != 5 || c.Files != 10 {
		t.Errorf("%+v", c)
	}
	if read, total := f.Progress(); read != total {
		t.Errorf("progress %d of %d", read, total)
	}
	for _, until := range []int64{t0, 0} {
		f = open(t, Options{Until: &until}, dir)
		if got := drain(t, f); got != nil || f.Counters().FilesOutside != 10 {
			t.Error(until, got)
		}
	}
	f = open(t, Options{Since: new(int64(0))}, dir)
	if got := drain(t, f); len(got) != 100 {
		t.Error(got)
	}
}

// The end of the time asked for ends the reading of a file.
func TestUntilStops(t *testing.T) {
	b := plain.header()
	for i := range 100000 {
		b = plain.record(b, rec{Time: t0 + int64(i)*milli, Data: "0123456789012345678901234567890123456789"})
	}
	in := bytes.NewReader(b)
	f := open(t, Options{Stdin: in, Until: new(t0 + second)}, "-")
	if got := drain(t, f); len(got) != 1000 {
		t.Error(len(got))
	}
	if in.Len() < len(b)/2 {
		t.Errorf("%d of %d bytes were read", len(b)-in.Len(), len(b))
	}
}

// Two runs give the same batches, however a pipe delivers.
func TestSameBatches(t *testing.T) {
	b := plain.header()
	for i := range 30000 {
		b = plain.record(b, rec{Time: t0 + int64(i)*milli, Data: string(make([]byte, i%300))})
	}
	shape := func(r io.Reader) (ns []int) {
		f := open(t, Options{Stdin: r}, "-")
		for {
			b, err := f.Next(t.Context())
			if err != nil {
				return ns
			}
			ns = append(ns, len(b.Frames))
			b.Release()
		}
	}
	want := shape(bytes.NewReader(b))
	r, w := io.Pipe()
	go func() {
		for i := 0; i < len(b); {
			n := min(1+i*31%5000, len(b)-i)
			if _, err := w.Write(b[i : i+n]); err != nil {
				return
			}
			i += n
		}
		_ = w.Close()
	}()
	if d := cmp.Diff(want, shape(r)); d != "" || len(want) < 10 {
		t.Error(d, want)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := open(t, Options{}, write(t, t.TempDir(), "a.pcap", plain.file(rec{Time: t0, Data: "x"})))
	cancel()
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// A file without frames is left as well: a pcapng of blocks of no interest.
	n := newNg(plain.order)
	for range 100 {
		n.block(99, make([]byte, 100_000))
	}
	in := bytes.NewReader(n.b)
	ctx, cancel = context.WithCancel(t.Context())
	f = open(t, Options{Stdin: readFunc(func(p []byte) (int, error) {
		if in.Len() < len(n.b)/2 {
			cancel()
		}
		return in.Read(p)
	})}, "-")
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) || in.Len() == 0 {
		t.Error(err, in.Len())
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Close at any point gives everything back, and batches stay valid.
func TestClose(t *testing.T) {
	dir := t.TempDir()
	for i := range 4 {
		b := plain.header()
		for j := range 5000 {
			b = plain.record(b, rec{Time: t0 + int64(j*4+i)*milli, Data: string(make([]byte, 200))})
		}
		if i == 1 {
			write(t, dir, "b.pcap.gz", gzipped(t, b))
		} else if i == 2 {
			write(t, dir, "c.pcap.zst", zstded(t, b))
		} else {
			write(t, dir, fmt.Sprintf("%d.pcap", i), b)
		}
	}
	before := runtime.NumGoroutine()
	for n := range 12 {
		f := open(t, Options{}, dir)
		var kept *Batch
		for range n {
			b, err := f.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if kept != nil {
				kept.Release()
			}
			kept = b
		}
		for range 2 {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		if kept != nil {
			if len(kept.Data(len(kept.Frames)-1)) != 200 {
				t.Error("the batch is gone")
			}
			kept.Release()
		}
		if _, err := f.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if n := descriptors(t, dir); n > 0 {
			t.Errorf("%d still open", n)
		}
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, before %d", n, before)
	}
}

// Others look on and release while one reads.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		b := plain.header()
		for j := range 8000 {
			b = plain.record(b, rec{Time: t0 + int64(j*3+i)*milli, Data: string(make([]byte, 300)), Wire: 400})
		}
		write(t, dir, fmt.Sprintf("%d.pcap", i), b)
	}
	f := open(t, Options{}, dir)
	batches := make(chan *Batch, 8)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for b := range batches {
				f.Progress()
				f.Counters()
				f.Damages()
				b.Release()
			}
		})
	}
	for {
		b, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		batches <- b
	}
	close(batches)
	wg.Wait()
	if ds := f.Damages(); len(ds) != 3 || ds[2].Count != 8000 {
		t.Error(ds)
	}
}

// Once tells standard input and pipes from what can be read again.
func TestOnce(t *testing.T) {
	file := write(t, t.TempDir(), "a.pcap", plain.file(rec{Time: t0, Data: "x"}))
	for _, c := range []struct {
		paths []string
		want  string
	}{{[]string{file}, ""}, {[]string{file, "-"}, "-"}} {
		f, err := Open(c.paths, Options{Stdin: strings.NewReader("")})
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := f.Once(); name != c.want || ok != (c.want != "") {
			t.Errorf("%v: %q, %v", c.paths, name, ok)
		}
		f.Close()
	}
}
