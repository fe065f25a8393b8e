package linker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"simtrap/hub/link"
	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

const day = 24 * time.Hour

// at is a time of packets.
func at(d time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(d))
}

// finding of a line that was active from one time to another.
func finding(line string, v reportpb.Verdict, from, to time.Duration) *reportpb.Finding {
	return &reportpb.Finding{
		Line: line, Verdict: v, Device: &reportpb.Device{}, Calls: &reportpb.Calls{}, FirstSeen: at(from), LastSeen: at(to),
		Links: &reportpb.Links{Active: []*reportpb.Span{{From: at(from), To: at(to)}}},
	}
}

func revision(n uint64, f *reportpb.Finding) *reportpb.FindingRevision {
	r := &reportpb.FindingRevision{Revision: n, Finding: f}
	for _, c := range []string{"home", "pstn-breakout"} {
		s := &reportpb.Standing{Class: c}
		for _, x := range []string{"fan-out", "concurrency", "channels", "topology", "call pattern"} {
			s.Families = append(s.Families, &reportpb.FamilyNats{Family: x, Nats: 0.6})
			s.Margin += 0.6
		}
		r.Standings = append(r.Standings, s)
	}
	return r
}

// drawRevision draws a finding that has a good deal in common with others.
func drawRevision(t *rapid.T, sensor string, id byte, n uint64, least int) *reportpb.FindingRevision {
	from := time.Duration(rapid.IntRange(0, 20).Draw(t, "from")) * day
	f := finding(fmt.Sprintf("203.0.113.%d", id), reportpb.Verdict(rapid.IntRange(least, 4).Draw(t, "verdict")), from, from+2*day)
	some := func(what string, of, most int) []string {
		return rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(0, of), func(i int) string { return fmt.Sprint(what, i) }), 0, most, rapid.ID).Draw(t, what)
	}
	f.Links.Accounts = some("~account", 8, 3)
	f.Links.Cname = strings.Join(some("~cname", 5, 1), "")
	f.Links.Contact = strings.Join(some("~contact", 3, 1), "")
	f.Links.Stack = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "stack")
	for _, c := range some("46000~card", 8, 2) {
		f.Cards = append(f.Cards, &reportpb.Card{Imsi: c})
	}
	for _, c := range some("198.51.100.", 4, 2) {
		f.Controllers = append(f.Controllers, &reportpb.Controller{Addr: c, Role: rapid.SampledFrom([]string{"registrar", "sms-server", "media"}).Draw(t, "role")})
	}
	return revision(n, f)
}

// partition is the members of groups, in order.
func partition(groups [][]store.ID) []string {
	var out []string
	for _, g := range groups {
		sortIDs(g)
		out = append(out, fmt.Sprint(g))
	}
	slices.Sort(out)
	return out
}

func (s *fakeStore) partition() (boxes, rings []string) {
	var bs, rs [][]store.ID
	for _, b := range s.boxes {
		bs = append(bs, b.Members)
	}
	for _, r := range s.rings {
		var all []store.ID
		for _, b := range r.Boxes {
			all = append(all, s.boxes[b].Members...)
		}
		rs = append(rs, all)
	}
	return partition(bs), partition(rs)
}

// whole judges all that the store has in one go, in memory.
func whole(t *rapid.T, s *fakeStore) (boxes, rings []string) {
	w := New(Options{Store: s, Owner: "whole", Now: s.now})
	f := w.newFacts()
	all := make(set)
	for id := range s.found {
		all[id] = true
	}
	if err := f.load(t.Context(), all.list()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.count(t.Context(), all.list()); err != nil {
		t.Fatal(err)
	}
	f.settle()
	var lines []link.Line
	var ms []link.Member
	for _, id := range all.list() {
		if n := f.nodes[id]; n.standing {
			lines = append(lines, n.line)
			ms = append(ms, link.Member{ID: n.line.ID, First: n.line.First})
		}
	}
	g := link.Join(ms, link.Judge(lines, f.counts), nil, 0)
	var bs, rs [][]store.ID
	for _, b := range g.Boxes {
		bs = append(bs, ids(b.Members))
	}
	for _, h := range g.Hands {
		var ls []link.Line
		for _, m := range h.Members {
			ls = append(ls, f.nodes[store.ID(m)].line)
		}
		if _, ok := link.NewRing(ls); ok {
			rs = append(rs, ids(h.Members))
		}
	}
	return partition(bs), partition(rs)
}

func ids(ms []link.ID) (out []store.ID) {
	for _, m := range ms {
		out = append(out, store.ID(m))
	}
	return out
}

// Reports come in any order while several workers link, each of them killed at
// any call: what is there in the end is what judging all at once gives.
func TestAnyOrderAndAnyDeath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)
		s := newFakeStore(func() time.Time { return now })
		workers := make([]*Worker, 3)
		incarnation := 0
		// What carries no suspicion is not queued, so its keys count from the next
		// touch on.
		least := rapid.IntRange(1, 2).Draw(t, "least verdict")
		renew := func(i int) {
			incarnation++
			workers[i] = New(Options{Store: s, Owner: fmt.Sprint("worker ", incarnation), Batch: 1 + i*3, Now: s.now})
		}
		for i := range workers {
			renew(i)
		}
		ctx := context.Background()
		for n := range rapid.IntRange(5, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				sensor := rapid.SampledFrom([]string{"north", "south"}).Draw(t, "sensor")
				id := byte(rapid.IntRange(0, 14).Draw(t, "id"))
				s.put(sensor, id, drawRevision(t, sensor, id, uint64(n), least))
				continue
			}
			i := rapid.IntRange(0, len(workers)-1).Draw(t, "worker")
			calls, dies := 0, rapid.IntRange(0, 14).Draw(t, "dies at")
			s.stop = func(string) error {
				if calls++; calls > dies {
					return errStopped
				}
				return nil
			}
			if _, err := workers[i].Step(ctx); errors.Is(err, errStopped) {
				renew(i)
			} else if err != nil {
				t.Fatal(err)
			}
			s.stop = func(string) error { return nil }
		}
		all := make(set)
		for id, f := range s.found {
			if least == 1 && f.Report.GetFinding().GetVerdict() >= reportpb.Verdict_VERDICT_WATCH {
				all[id] = true
			}
		}
		for _, id := range all.list() {
			s.touch(id)
		}
		now = now.Add(time.Hour)
		for {
			n, err := workers[rapid.IntRange(0, 2).Draw(t, "worker")].Step(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		boxes, rings := s.partition()
		wantBoxes, wantRings := whole(t, s)
		if d := cmp.Diff(wantBoxes, boxes); d != "" {
			t.Errorf("boxes differ from judging all at once:\n%s", d)
		}
		if d := cmp.Diff(wantRings, rings); d != "" {
			t.Errorf("rings differ from judging all at once:\n%s", d)
		}
		for id, x := range s.found {
			standing := x.Report.GetFinding().GetVerdict() >= reportpb.Verdict_VERDICT_WATCH
			if x.Box.IsZero() == standing {
				t.Errorf("tenancy %v at watch: %v, in box %v", id, standing, x.Box)
			}
			if b, ok := s.boxes[x.Box]; standing && (!ok || !slices.Contains(b.Members, id) || b.Ring != x.Ring) {
				t.Errorf("tenancy %v says box %v ring %v, which is %+v", id, x.Box, x.Ring, b)
			}
			if _, ok := s.rings[x.Ring]; !x.Ring.IsZero() && !ok {
				t.Errorf("tenancy %v is in a ring that is not there", id)
			}
		}
	})
}

func TestRunRenewsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore(time.Now)
		f := finding("203.0.113.1", reportpb.Verdict_VERDICT_WATCH, 0, day)
		s.put("north", 1, revision(1, f))
		extended := 0
		s.stop = func(op string) error {
			switch op {
			case "extend":
				extended++
			case "component":
				// A store that takes its time.
				s.mu.Unlock()
				time.Sleep(3 * time.Minute)
				s.mu.Lock()
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := New(Options{Store: s, Owner: "slow", Lease: time.Minute})
		other := New(Options{Store: s, Owner: "other", Lease: time.Minute})
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		if n, err := other.Step(t.Context()); n != 0 || err != nil {
			t.Errorf("another worker was given %d tenancies, error %v, while the first holds them", n, err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if c := w.Counters(); c.Judged != 1 || extended < 3 {
			t.Errorf("counters %+v, lease renewed %d times", c, extended)
		}
		cancel()
		<-done
	})
}

func TestRunOutlastsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore(time.Now)
		s.put("north", 1, revision(1, finding("203.0.113.1", reportpb.Verdict_VERDICT_WATCH, 0, day)))
		var failed []time.Time
		s.stop = func(op string) error {
			if op == "claim" && len(failed) < 8 {
				failed = append(failed, time.Now())
				return errStopped
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := New(Options{Store: s, Owner: "worker"})
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		if c := w.Counters(); c.Failures != 8 || c.Judged != 1 {
			t.Errorf("counters %+v, want 8 failures and one judged", c)
		}
		if gap := failed[7].Sub(failed[6]); gap < longestPause/2 || gap > longestPause {
			t.Errorf("asked again after %v, want about half a minute", gap)
		}
		cancel()
		<-done
	})
}
