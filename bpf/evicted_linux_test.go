package bpf

import (
	"testing"
)

// sweeping is a source without a port: frames come by test run, under a clock of
// their own, and the sweep is taken through its passes by hand.
type sweeping struct {
	*bench
	s   *Source
	now int64
}

func newSweeping(t testing.TB, c Config) *sweeping {
	b := newBench(t, c, false)
	return &sweeping{b, &Source{objects: b.o, sweep: b.sweep}, t0}
}

// packets sends n packets of each of the flows numbered from to until.
func (w *sweeping) packets(n, from, to int) {
	w.t.Helper()
	f := udpFrame("10.1.2.3", "198.51.100.7", 9, 9, []byte("\xffsomething"))
	for i := from; i < to; i++ {
		f[26], f[27], f[28] = 10, byte(i>>8), byte(i)
		for range n {
			w.frame(w.now, f)
		}
	}
}

// pass makes one pass of the sweep, and calls meanwhile, unless nil, when it has begun.
func (w *sweeping) pass(meanwhile func()) {
	w.t.Helper()
	w.now += passEvery
	w.s.advance(nil, w.now)
	if meanwhile != nil {
		if w.s.sweep.began == 0 {
			w.t.Fatal("the pass has no middle")
		}
		meanwhile()
	}
	for w.s.sweep.began != 0 {
		w.s.advance(nil, w.now)
	}
}

// TestEvictedInAPass wants what happens in the middle of a pass, which has read a
// part of the flows by then, to be counted for what it is, and once.
func TestEvictedInAPass(t *testing.T) {
	const flows = 12000 // read in several steps
	for _, c := range []struct {
		name     string
		prepare  func(w *sweeping)
		meantime func(w *sweeping)
		evicts   bool
		starts   bool // first packets are looked at, which is done in every eighth pass
	}{
		{name: "a packet ends its flow", prepare: func(w *sweeping) {
			w.packets(2, 0, flows)
			w.now += 31e9 // over, and not yet taken out by the sweep
		}, meantime: func(w *sweeping) { w.packets(1, 0, flows) }},
		{name: "the sweep ends a flow", prepare: func(w *sweeping) {
			w.packets(2, 0, flows/2)
			w.now += 33e9
			w.packets(2, flows/2, flows)
		}, meantime: func(*sweeping) {}},
		{name: "records are put in", prepare: func(w *sweeping) { w.packets(2, 0, flows) },
			meantime: func(w *sweeping) { w.packets(2, flows, flows+4000) }},
		{name: "records are displaced", prepare: func(w *sweeping) { w.packets(2, 0, flows) },
			meantime: func(w *sweeping) { w.packets(2, flows, flows+8000) }, evicts: true},
		{name: "second packets come", prepare: func(w *sweeping) {
			w.packets(2, 0, flows)
			w.packets(1, flows, flows+2000)
		}, meantime: func(w *sweeping) { w.packets(1, flows, flows+2000) }, starts: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newSweeping(t, Config{Flows: 1 << 14, Starts: 1 << 15})
			c.prepare(w)
			if c.starts {
				w.s.passes = 7
			}
			w.pass(func() { c.meantime(w) })
			there := uint64(0)
			var key kernelKey4
			var value kernelFlow
			it := w.o.Flows4.Iterate()
			for it.Next(&key, &value) {
				there++
			}
			if err := it.Err(); err != nil {
				t.Fatal(err)
			}
			n := w.counters()
			want := n[records] - n[flowsIdle] - w.s.sweep.deleted() - there
			if (want > 0) != c.evicts {
				t.Fatalf("%d records made, %d idle, %d taken out, %d there", n[records], n[flowsIdle], w.s.sweep.deleted(), there)
			}
			if w.s.evicted > want || w.s.startsEvicted > 0 {
				t.Errorf("in the pass: %d flows evicted, want %d; %d first packets", w.s.evicted, want, w.s.startsEvicted)
			}
			for i := range 3 {
				if w.pass(nil); w.s.evicted != want || w.s.startsEvicted > 0 {
					t.Errorf("pass %d after it: %d flows evicted, want %d; %d first packets", i+1, w.s.evicted, want, w.s.startsEvicted)
				}
			}
			t.Logf("%d records made, %d idle, %d taken out, %d there: %d evicted", n[records], n[flowsIdle], w.s.sweep.deleted(), there, w.s.evicted)
		})
	}
}
