package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

// world is an appliance that crashes and a centre that counts.
type world struct {
	t    fataler
	fs   *memFS
	opt  Options
	box  *Outbox
	rand *rand.Rand

	given    map[uint64]Record // what got a sequence, whether kept or not
	kept     map[uint64]bool   // what Append promised to keep, and the policy through a power cut
	next     map[string]uint64 // revision
	refused  uint64            // with a sequence
	accepted uint64

	centre     map[uint64]Record // committed
	gaps       map[uint64]*Gap
	acked      uint64
	epoch      uint64
	superseded uint64 // of processes that have ended
	// What nobody can know: appends and acknowledgements during which the
	// process ended.
	unsureAppends, unsureAcks uint64
	cuts                      int
	end                       string // how everything ends; empty for any way
}

func newWorld(t fataler, opt Options, seed uint64) *world {
	w := &world{t: t, opt: opt, fs: opt.FS.(*memFS), rand: rand.New(rand.NewPCG(seed, 1)),
		given: map[uint64]Record{}, kept: map[uint64]bool{}, next: map[string]uint64{},
		centre: map[uint64]Record{}, gaps: map[uint64]*Gap{}}
	w.open()
	w.epoch = w.box.Stats().Epoch
	return w
}

// open starts the process, which may go down again while it does.
func (w *world) open() {
	for {
		box, err := Open("box", w.opt)
		if err == nil {
			w.box = box
			if w.epoch != 0 && box.Stats().Epoch != w.epoch {
				w.t.Fatalf("epoch %x became %x", w.epoch, box.Stats().Epoch)
			}
			return
		}
		if !w.fs.down && w.fs.failed == 0 {
			w.t.Fatalf("open: %v", err)
		}
		w.fs.failAt = 0
		w.restart()
	}
}

// ended does the sums of a process that is no more. What it could not write of
// its losses nobody will ever know.
func (w *world) ended() {
	w.superseded += w.box.Stats().Superseded
	w.unsureAppends += w.box.owed.Count()
	w.box = nil
}

// restart ends what is left of the process or the power.
func (w *world) restart() {
	if w.box != nil {
		w.ended()
	}
	if w.end == "kill" || w.end == "" && w.rand.IntN(2) == 0 {
		w.fs.kill()
		return
	}
	w.cuts++
	if w.end == "cut" {
		w.fs.cut(nil)
	} else {
		w.fs.cut(w.rand)
	}
	for seq, sure := range w.kept {
		if !sure {
			delete(w.kept, seq)
		}
	}
}

// down says whether the process has ended during an operation, and starts it.
func (w *world) down() bool {
	if !w.fs.down {
		return false
	}
	w.restart()
	w.open()
	return true
}

func (w *world) append() {
	r := Record{Kind: Kind(1 + w.rand.IntN(3)), Priority: Priority(w.rand.IntN(4))}
	if w.rand.IntN(3) > 0 {
		r.Key = fmt.Sprint("finding-", w.rand.IntN(20))
		if w.rand.IntN(2) == 0 {
			r.Key = fmt.Sprint("rare-", w.rand.IntN(1000))
		}
		w.next[r.Key]++
		r.Revision = w.next[r.Key]
	}
	size := w.rand.IntN(300)
	if w.rand.IntN(50) == 0 {
		size = w.rand.IntN(5000)
	}
	r.Payload = []byte(fmt.Sprintf("%s/%d/%s", r.Key, r.Revision, strings.Repeat("x", size)))
	seq, err := w.box.Append(r)
	r.Seq = seq
	if seq != 0 {
		if _, twice := w.given[seq]; twice {
			w.t.Fatalf("sequence %d was given twice", seq)
		}
		w.given[seq] = r
	}
	switch {
	case w.fs.down:
		w.unsureAppends++
	case err == nil:
		w.accepted++
		w.kept[seq] = w.opt.Sync == SyncEvery
	case errors.Is(err, ErrDropped):
		if seq == 0 {
			w.t.Fatal("dropped without a sequence")
		}
		w.refused++
	case w.fs.failed > 0:
		w.unsureAppends++
	default:
		w.t.Fatalf("append: %v", err)
	}
	if b := w.box.Stats().Bytes; b > w.opt.Limit+8<<10 {
		w.t.Fatalf("%d bytes are over the limit", b)
	}
	w.down()
}

func (w *world) sync() {
	if err := w.box.Sync(); err == nil {
		for seq := range w.kept {
			w.kept[seq] = true
		}
	} else if !w.fs.down && w.fs.failed == 0 {
		w.t.Fatalf("sync: %v", err)
	}
	w.down()
}

// send takes a batch out; the centre gets it, or not, and acknowledges it, or
// a part. It says whether there was one.
func (w *world) send(maxBytes, maxRecords int, arrives, whole bool) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	batch, err := w.box.Batch(ctx, maxBytes, maxRecords)
	if w.down() {
		return true
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			w.t.Fatalf("batch: %v", err)
		}
		return false
	}
	last := w.acked
	for _, r := range batch {
		if r.Seq <= last || r.Epoch != w.epoch {
			w.t.Fatalf("sequence %d of epoch %x after %d", r.Seq, r.Epoch, last)
		}
		last = r.Seq
		if r.Kind == KindGap {
			continue
		}
		want, ok := w.given[r.Seq]
		if !ok && w.fs.failed > 0 {
			continue // what the disk said it had not taken
		}
		if !ok || want.Key != r.Key || want.Revision != r.Revision ||
			want.Kind != r.Kind || string(want.Payload) != string(r.Payload) {
			w.t.Fatalf("sequence %d: %v, but %v was appended", r.Seq, r.Payload, want)
		}
	}
	if !arrives {
		return true
	}
	n := len(batch)
	if !whole {
		n = 1 + w.rand.IntN(n)
	}
	for _, r := range batch[:n] {
		if r.Kind == KindGap {
			g, err := r.Gap()
			if err != nil {
				w.t.Fatal(err)
			}
			w.gaps[r.Seq] = g
			continue
		}
		if _, ok := w.given[r.Seq]; ok {
			w.centre[r.Seq] = r
		}
	}
	err = w.box.Ack(w.epoch, batch[n-1].Seq)
	switch {
	case w.fs.down:
		w.unsureAcks += uint64(n)
	case err == nil:
		w.acked = batch[n-1].Seq
	case w.fs.failed == 0:
		w.t.Fatalf("ack: %v", err)
	default:
		w.unsureAcks += uint64(n)
		// Whether it lasts is unknown, but this process gives none of it again.
		w.acked = max(w.acked, w.box.Stats().Acked)
	}
	if w.fs.failed > 0 && err != nil {
		w.acked = 0 // nothing is promised
	}
	w.down()
	return true
}

// settle ends all trouble, drains the outbox and does the sums.
func (w *world) settle(exact bool) {
	w.fs.failAt, w.fs.downAt, w.fs.free = 0, 0, 0
	if w.rand.IntN(2) == 0 {
		if err := w.box.Close(); err != nil {
			w.t.Fatalf("close: %v", err)
		}
		w.superseded += w.box.Stats().Superseded
		w.box = nil
		w.open()
	}
	for w.send(4000, 100, true, true) {
	}
	w.superseded += w.box.Stats().Superseded
	var counted, bound uint64
	for _, g := range w.gaps {
		if g.Epoch != w.epoch {
			w.t.Fatalf("a gap of epoch %x", g.Epoch)
		}
		for _, l := range g.Lost {
			if l.Reason.AtMost() {
				bound += l.Count
			} else {
				counted += l.Count
			}
		}
	}
	arrived := uint64(len(w.centre))
	for seq := range w.kept {
		r := w.given[seq]
		if _, ok := w.centre[seq]; ok {
			continue
		}
		if !w.told(r) && !w.outdone(r) {
			w.t.Fatalf("sequence %d (%s/%d) was promised, and neither arrived nor is in a gap", seq, r.Key, r.Revision)
		}
	}
	missing := int64(w.accepted+w.refused) - int64(arrived) - int64(w.superseded)
	if exact {
		low := missing - int64(w.unsureAppends)
		high := missing + int64(w.unsureAppends+w.unsureAcks)
		if int64(counted) < low || int64(counted) > high || bound > 0 {
			w.t.Fatalf("gaps count %d and at most %d more; missing are %d (accepted %d, refused %d, arrived %d, superseded %d; unsure: %d appends, %d acks)",
				counted, bound, missing, w.accepted, w.refused, arrived, w.superseded, w.unsureAppends, w.unsureAcks)
		}
	} else if missing > int64(counted+bound+w.unsureAppends) {
		w.t.Fatalf("gaps count %d and at most %d more; missing are %d", counted, bound, missing)
	}
	if n := w.box.Stats().Keys; n != 0 {
		w.t.Fatalf("%d keys wait in an empty outbox", n)
	}
	if err := w.box.Close(); err != nil {
		w.t.Fatalf("close: %v", err)
	}
}

// outdone says whether a newer revision than r arrived or is in a gap, or may
// have come to be while everything stopped.
func (w *world) outdone(r Record) bool {
	if r.Key == "" {
		return false
	}
	for seq, n := range w.given {
		if n.Key != r.Key || n.Revision <= r.Revision {
			continue
		}
		_, arrived := w.centre[seq]
		if _, kept := w.kept[seq]; arrived || w.told(n) || !kept && w.cuts > 0 && w.unsureAppends > 0 {
			return true
		}
	}
	return false
}

// told says whether a gap may mean a record.
func (w *world) told(r Record) bool {
	for _, g := range w.gaps {
		if r.Seq < g.From || r.Seq > g.To {
			continue
		}
		for _, l := range g.Lost {
			// What was synced is in no estimate, unless the disk fails.
			if l.Kind == r.Kind || l.Kind == KindUnknown && w.fs.failed > 0 {
				return true
			}
		}
	}
	return false
}

// run does what rapid draws. trouble is called before each step.
func (w *world) run(t *rapid.T, trouble func()) {
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		trouble()
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0, 1, 2, 3:
			for range rapid.IntRange(1, 80).Draw(t, "records") {
				w.append()
			}
		case 4:
			w.sync()
		case 5:
			w.send(rapid.IntRange(1, 8000).Draw(t, "bytes"), 50, false, false)
		case 6, 7:
			w.send(rapid.IntRange(1, 8000).Draw(t, "bytes"), 50, true, w.rand.IntN(2) == 0)
		case 8:
			w.restart()
			w.open()
		case 9:
			if err := w.box.Close(); err != nil && !w.fs.down && w.fs.failed == 0 {
				w.t.Fatalf("close: %v", err)
			}
			w.ended()
			if w.fs.down {
				w.restart()
			} else {
				for seq := range w.kept {
					w.kept[seq] = true
				}
			}
			w.open()
		}
	}
}

func (w *world) crashes() {
	if w.fs.downAt == 0 && w.rand.IntN(3) == 0 {
		w.fs.downAt = w.fs.op + 1 + w.rand.IntN(60)
	}
}

func options(sync Sync) Options {
	return Options{Limit: minLimit, Reserve: -1, Sync: sync, Interval: time.Hour, FS: newMemFS()}
}

// TestExact: with every record synced, through crashes at any operation, limits
// and full disks, gaps count exactly what is missing.
func TestExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := options(SyncEvery)
		if rapid.Bool().Draw(t, "small disk") {
			opt.Reserve = 8 << 10
			opt.FS.(*memFS).free = reserveSize + 60<<10
		}
		w := newWorld(t, opt, rapid.Uint64().Draw(t, "seed"))
		w.run(t, w.crashes)
		w.settle(true)
	})
}

// TestEveryPoint ends the process, or the power, before each operation of a run
// in which records are superseded, dropped, written anew, given and acknowledged.
func TestEveryPoint(t *testing.T) {
	step := 16 // from a random one on; every single one takes minutes
	if testing.Short() {
		step = 60
	}
	for _, sync := range []Sync{SyncEvery, SyncInterval} {
		for _, end := range []string{"kill", "cut", "cut and keep some"} {
			points := 0
			for at := 1 + rand.IntN(step); ; at += step {
				w := newWorld(t, options(sync), 7)
				w.end = end
				first := w.fs.op
				w.fs.downAt = first + at
				for i := range 8 {
					for range 75 {
						w.append()
					}
					if i%3 == 1 {
						w.sync()
					}
					w.send(1500, 50, i%2 == 0, true)
				}
				done := w.fs.downAt > 0
				if lost := w.box.Stats().Lost; done && len(lost) == 0 {
					t.Error("nothing was dropped")
				}
				w.settle(sync == SyncEvery)
				if done {
					break
				}
				points++
			}
			t.Logf("%v, %s: %d points", sync, end, points)
			if points*step < 1000 {
				t.Errorf("only %d points", points)
			}
		}
	}
}

// TestPromise: with records synced now and then, what was synced arrives or is
// told of, and gaps count no less than what is missing.
func TestPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, options(rapid.SampledFrom([]Sync{SyncInterval, SyncNever}).Draw(t, "policy")), rapid.Uint64().Draw(t, "seed"))
		w.run(t, w.crashes)
		w.settle(false)
	})
}

// TestFaults: no operation of the file system may fail unnoticed.
func TestFaults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, options(rapid.SampledFrom([]Sync{SyncEvery, SyncInterval}).Draw(t, "policy")), rapid.Uint64().Draw(t, "seed"))
		w.fs.fail = rapid.SampledFrom([]error{syscall.EIO, syscall.ENOSPC}).Draw(t, "fault")
		w.run(t, func() {
			if w.rand.IntN(3) == 0 {
				w.fs.failAt = w.fs.op + 1 + w.rand.IntN(60)
				w.fs.until = w.fs.failAt + w.rand.IntN(10)
			}
		})
		w.settle(false)
	})
}
