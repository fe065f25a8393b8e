package pipeline

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"simtrap/control"
	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/sip"
	"simtrap/state"
)

// judged is what a restart must leave as it is: a call or stream that goes on
// meanwhile may be lost.
func judged(list []heuristics.Finding) (out []string) {
	for i := range list {
		f := &list[i]
		var ids []string
		for _, r := range f.Signals {
			ids = append(ids, r.ID)
		}
		slices.Sort(ids)
		out = append(out, fmt.Sprintln(f.Line, f.Verdict, f.Proof, f.Cards, f.Controllers, slices.Compact(ids)))
	}
	slices.Sort(out)
	return out
}

// underWay counts the calls that went on at a time.
func underWay(calls []sip.Call, t int64) (n int) {
	for i := range calls {
		if c := &calls[i]; cmp.Or(c.Invite, c.Last) <= t && t <= c.Last {
			n++
		}
	}
	return n
}

// TestRestart cuts captures at random moments: a run that ends there, and another
// that goes on with the checkpoint of the first, find what one run finds. Of a
// call that is under way at the cut the end is lost, and with it what is asked
// then: how long it took to ring, whether it was held. So one count in a few rows
// is missing for each of them, worth less than a tenth of a nat together where
// hundreds are counted, beside the half that streams taken for new ones may move.
func TestRestart(t *testing.T) {
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24,198.51.100.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, opt := range firstOf([]lab.Options{
		{Scenario: "goip-line", Seed: 1, Duration: 30 * time.Minute},
		{Scenario: "trunk-32", Seed: 2, Duration: 8 * time.Minute},
		{Scenario: "ejoin", Seed: 1, Duration: 20 * time.Minute},
		{Scenario: "call-centre-inbound", Seed: 1, Duration: 30 * time.Minute},
	}) {
		t.Run(fmt.Sprint(opt.Scenario, opt.Seed), func(t *testing.T) {
			t.Parallel()
			file, _ := made(t, opt)
			list := frames(t, opened(t, file))
			calls := &concluded{}
			cfg := Config{Workers: 2, Homes: homes, Observe: calls}
			whole := live(t, cfg, &port{number: 1, list: list, size: 200})
			cfg.Observe = nil
			r := rand.New(rand.NewPCG(opt.Seed, 5))
			for range 2 {
				cut := r.IntN(len(list))
				cfg.Checkpoint = filepath.Join(t.TempDir(), "lines")
				cfg.Seed = r.Uint64()
				live(t, cfg, &port{number: 1, list: list[:cut], size: 200})
				cfg.Seed = r.Uint64()
				l, err := NewLive(cfg, &port{number: 1, list: list[cut:], size: 200})
				if err != nil {
					t.Fatal(err)
				}
				if x := l.Restored(); x.Lines == 0 && cut > len(list)/10 || x.Damaged != nil {
					t.Errorf("cut at %d of %d: %+v", cut, len(list), x)
				}
				got, err := l.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if d := gocmp.Diff(judged(whole.Findings), judged(got.Findings)); d != "" {
					t.Errorf("cut at %d of %d (-whole +cut):\n%s", cut, len(list), d)
				}
				within := 0.5 + 0.1*float64(underWay(calls.calls, list[cut].time))
				for _, a := range whole.Findings {
					for _, b := range got.Findings {
						if d := b.Score - a.Score; a.Line == b.Line && (d > within || d < -within) {
							t.Errorf("cut at %d of %d: %v: score %.2f, want %.2f within %.1f", cut, len(list), a.Line, b.Score, a.Score, within)
						}
					}
				}
			}
		})
	}
}

// checkpointOf gives the checkpoint of a short run.
func checkpointOf(t testing.TB, opt lab.Options) []byte {
	t.Helper()
	file, _ := made(t, opt)
	name := filepath.Join(t.TempDir(), "lines")
	l, err := NewLive(Config{Checkpoint: name}, opened(t, file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(name + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	return b
}

// TestDamagedCheckpoint: a file cut anywhere, or with any bit another, is known
// for what it is, set aside and said, and the run begins all the same.
func TestDamagedCheckpoint(t *testing.T) {
	b := checkpointOf(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	if _, done, err := readCheckpoint(bytes.NewReader(b), Config{}); err != nil || done.Lines == 0 || !done.Same {
		t.Fatalf("%+v, %v", done, err)
	}
	none := func([]byte) error { return nil }
	var bad *badCheckpoint
	step := max(1, len(b)/4000)
	for i := 0; i < len(b); i += step {
		if err := readBlocks(bytes.NewReader(b[:i]), true, none); !errors.As(err, &bad) {
			t.Errorf("cut at %d of %d: %v", i, len(b), err)
		}
		c := bytes.Clone(b)
		c[i] ^= 1 << (i % 8)
		if err := readBlocks(bytes.NewReader(c), true, none); !errors.As(err, &bad) {
			t.Errorf("byte %d of %d changed: %v", i, len(b), err)
		}
	}
	name := filepath.Join(t.TempDir(), "lines")
	for what, c := range map[string][]byte{"empty": {}, "half": b[:len(b)/2], "foreign": []byte("GIF89a, and so on"), "longer": append(bytes.Clone(b), 0)} {
		if err := os.WriteFile(name, c, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := NewLive(Config{Checkpoint: name}, &flood{})
		if err != nil {
			t.Fatal(err)
		}
		var damaged *DamagedError = l.Restored().Damaged
		if damaged == nil || damaged.File != name || !strings.Contains(damaged.Error(), "set aside") {
			t.Errorf("%s: %+v", what, l.Restored())
			continue
		}
		if got, err := os.ReadFile(damaged.Aside); err != nil || !bytes.Equal(got, c) {
			t.Errorf("%s: not what was set aside: %v", what, err)
		}
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", what, err)
		}
	}
}

// TestCheckpointWithoutRoom: what cannot be written is counted and said, and
// leaves the checkpoint before as it was.
func TestCheckpointWithoutRoom(t *testing.T) {
	file, _ := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	name := filepath.Join(t.TempDir(), "none", "lines")
	l, err := NewLive(Config{Checkpoint: name}, opened(t, file))
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Run(t.Context())
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if !slices.ContainsFunc(r.Losses, func(x Loss) bool { return x.Stage == "checkpoint" && x.Count == 1 }) {
		t.Errorf("not counted in %v", r.Losses)
	}
}

const childFile = "SIMTRAP_TEST_CHECKPOINT"

// child writes checkpoints until it is killed.
func child(name string) {
	block := bytes.Repeat([]byte("lines "), 50_000)
	for n := uint64(1); ; n++ {
		blocks := make(chan []byte, 8)
		blocks <- binary.LittleEndian.AppendUint64(nil, n)
		for range 4 {
			blocks <- block
		}
		close(blocks)
		var left atomic.Uint64
		if err := writeCheckpoint(name, blocks, &left); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if n == 1 {
			fmt.Println("ready")
		}
	}
}

// TestKilledWhileWriting kills a writer at random moments: what lies at the
// file's place is always a whole checkpoint, never older than one seen before.
func TestKilledWhileWriting(t *testing.T) {
	if testing.Short() {
		t.Skip("starts programs")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "lines")
	r := rand.New(rand.NewPCG(1, 2))
	torn := 0
	for range 20 {
		c := exec.Command(self)
		c.Env = append(os.Environ(), childFile+"="+name)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.IntN(30_000)) * time.Microsecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := readBlocks(f, true, func([]byte) error { n++; return nil }); err != nil || n != 5 {
			t.Errorf("%d blocks, %v", n, err)
		}
		f.Close()
		if _, err := os.Stat(name + ".tmp"); err == nil {
			torn++
		}
	}
	if torn == 0 {
		t.Error("no writer was killed at its work")
	}
}

// FuzzCheckpoint: whatever stands in a file whose checksums hold, nothing breaks,
// and what was taken can be judged, told, and written and read again. Blocks are
// given as they are: what is around them is TestDamagedCheckpoint's.
func FuzzCheckpoint(f *testing.F) {
	b := checkpointOf(f, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 3 * time.Minute})
	var blocks [][]byte
	if err := readBlocks(bytes.NewReader(b), true, func(b []byte) error { blocks = append(blocks, bytes.Clone(b)); return nil }); err != nil || len(blocks) < 2 {
		f.Fatal(len(blocks), err)
	}
	lines := blocks[1]
	f.Add(blocks[0], lines[:min(len(lines), 4000)])
	for len(lines) > 0 { // each alone
		n, k := binary.Uvarint(lines)
		f.Add(blocks[0], lines[:k+int(n)])
		lines = lines[k+int(n):]
	}
	cat, err := catalogue.Load()
	if err != nil {
		f.Fatal(err)
	}
	model, err := heuristics.NewModel(cat)
	if err != nil {
		f.Fatal(err)
	}
	read := func(t *testing.T, head []byte, lines ...[]byte) (*heuristics.Lines, *heuristics.Thaw) {
		l, err := heuristics.NewLines(model, heuristics.Config{MaxLines: 100})
		if err != nil {
			t.Fatal(err)
		}
		var h checkpointHeader
		c := state.Reader(head)
		if h.code(c); c.Err() != nil {
			return nil, nil
		}
		sessions := control.NewSessions(control.Limits{})
		thaw, err := l.Thaw(c.Bytes(), func(r ident.Realm) (ident.Realm, bool) { return h.now(r, &Realms{}) }, sessions.Restore)
		if err != nil {
			return nil, nil
		}
		for _, b := range lines {
			if err := thaw.Read(b); err != nil {
				return nil, nil
			}
		}
		thaw.End()
		return l, thaw
	}
	f.Fuzz(func(t *testing.T, head, lines []byte) {
		l, thaw := read(t, head, lines)
		if l == nil {
			return
		}
		write := func() (out [][]byte) {
			frozen := l.Freeze()
			c := state.Writer(nil)
			(&checkpointHeader{}).code(c)
			out = append(out, frozen.Header(c.Bytes()))
			for more := true; more; {
				var b []byte
				b, more = frozen.Append(nil)
				out = append(out, b)
			}
			return out
		}
		again := write()
		if _, twice := read(t, again[0], again[1:]...); twice == nil || twice.Lines != thaw.Lines {
			t.Errorf("%d lines were taken and cannot be read again: %+v", thaw.Lines, twice)
		}
		l.FollowChanges()
		l.Changed(1<<60, func(*heuristics.Finding) bool { return true })
		l.Closing()
		l.Findings(true, heuristics.None)
		l.Rest(func(*heuristics.Finding) {})
		write()
	})
}

// BenchmarkCheckpoint measures how long a checkpoint of 100,000 lines holds up
// the run: at its beginning, and in all.
func BenchmarkCheckpoint(b *testing.B) {
	file := checkpointOf(b, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 10 * time.Minute})
	r := crowded(b, file, 100_000)
	var begin, all, longest time.Duration
	var size int
	for b.Loop() {
		at := time.Now()
		f := r.join.lines.Freeze()
		begin += time.Since(at)
		for more := true; more; {
			step := time.Now()
			var out []byte
			out, more = f.Append(nil)
			size += len(out)
			longest = max(longest, time.Since(step))
		}
		all += time.Since(at)
	}
	b.ReportMetric(float64(begin.Microseconds())/float64(b.N), "µs-to-begin")
	b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "ms-in-all")
	b.ReportMetric(float64(longest.Microseconds()), "µs-longest-step")
	b.ReportMetric(float64(size)/float64(b.N)/(1<<20), "MiB")
}

// crowded gives a run with many lines, all copies of the richest in a checkpoint.
func crowded(tb testing.TB, file []byte, n int) *run {
	tb.Helper()
	var head, rich []byte
	err := readBlocks(bytes.NewReader(file), true, func(b []byte) error {
		if head == nil {
			head = bytes.Clone(b)
			return nil
		}
		for len(b) > 0 {
			size, k := binary.Uvarint(b)
			if int(size) > len(rich) {
				rich = bytes.Clone(b[k : k+int(size)])
			}
			b = b[k+int(size):]
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	name := filepath.Join(tb.TempDir(), "lines")
	blocks := make(chan []byte)
	go func() {
		defer close(blocks)
		blocks <- head
		for i := range n {
			// The line's address comes first.
			binary.LittleEndian.PutUint64(rich[8:], 0xffff<<32|uint64(10<<24+i))
			blocks <- append(binary.AppendUvarint(nil, uint64(len(rich))), rich...)
		}
	}()
	var left atomic.Uint64
	if err := writeCheckpoint(name, blocks, &left); err != nil {
		tb.Fatal(err)
	}
	r, done, err := restoredRun(Config{Checkpoint: name})
	if err != nil || done.Lines != n {
		tb.Fatalf("%+v, %v", done, err)
	}
	return r
}
