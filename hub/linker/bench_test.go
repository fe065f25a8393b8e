package linker

import (
	"fmt"
	"testing"
	"time"

	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

// batch makes a delivery of n findings from number first on. Of a hundred, eight
// are at watch; of these one in four has a card or an account that another has.
func batch(first, n int) []*reportpb.Record {
	var rs []*reportpb.Record
	for i := first; i < first+n; i++ {
		v := reportpb.Verdict_VERDICT_NONE
		if i%100 < 8 {
			v = reportpb.Verdict_VERDICT_WATCH
		}
		rs = append(rs, linkable(i, v, i%100 < 2))
	}
	return rs
}

func linkable(i int, v reportpb.Verdict, shares bool) *reportpb.Record {
	f := finding(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), v, time.Duration(i%1000)*time.Hour, 60*day)
	own := i
	if shares {
		own = i / 500
	}
	f.Links.Accounts, f.Links.Stack, f.Links.Contact = texts(fmt.Sprint("account", own, "-"), 4), "00000000000000a1", fmt.Sprint("~lan", i%20)
	f.Controllers = []*reportpb.Controller{{Addr: fmt.Sprintf("192.0.%d.%d", i/50>>8&255, i/50&255), Role: "registrar"}}
	return found(1, f)
}

// BenchmarkLink is findings per second that are stored and linked.
func BenchmarkLink(b *testing.B) {
	h := newHub(b, store.Options{Folder: b.TempDir()}, "north")
	w := New(Options{Store: h.Store, Owner: "worker"})
	n, alone := 0, time.Duration(0)
	for b.Loop() {
		b.StopTimer()
		h.report("north", batch(n, 3000)...)
		n += 3000
		b.StartTimer()
		start := time.Now()
		for {
			k, err := w.Step(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if k == 0 {
				break
			}
		}
		alone += time.Since(start)
	}
	b.ReportMetric(float64(n)/alone.Seconds(), "findings/s")
}

// BenchmarkTouchLargest is one touched line of a ring of 2,000.
func BenchmarkTouchLargest(b *testing.B) {
	h := newHub(b, store.Options{Folder: b.TempDir()}, "north")
	const n = 2000
	line := func(rev uint64, i int) *reportpb.Record {
		f := finding(fmt.Sprintf("10.0.%d.%d", i>>8, i&255), reportpb.Verdict_VERDICT_WATCH, time.Duration(i%1000)*time.Hour, 60*day)
		f.Links.Stack = "00000000000000a1"
		for c := range 4 {
			f.Cards = append(f.Cards, &reportpb.Card{Imsi: fmt.Sprintf("46000~%016x", i/8+c%2)})
		}
		return found(rev, f)
	}
	for first := 0; first < n; first += 1000 {
		var rs []*reportpb.Record
		for i := first; i < first+1000; i++ {
			rs = append(rs, line(1, i))
		}
		h.report("north", rs...)
	}
	w := New(Options{Store: h.Store, Owner: "worker"})
	start := time.Now()
	for k := 1; k > 0; {
		var err error
		if k, err = w.Step(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	first := n / time.Since(start).Seconds()
	if _, rings := h.groups(); len(rings) != 1 || rings[0].Lines != n {
		b.Fatalf("%d rings, want one of %d lines", len(rings), n)
	}
	for i := uint64(2); b.Loop(); i++ {
		h.report("north", line(i, int(i)%n))
		if k, err := w.Step(b.Context()); k != 1 || err != nil {
			b.Fatal(k, err)
		}
	}
	b.ReportMetric(first, "first/s")
}
