package linker

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/store"
	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

var server storetest.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// hub is a store with sensors that report to it.
type hub struct {
	testing.TB
	*store.Store
	sequence map[string]uint64
}

var hubEpoch = time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC)

func newHub(t testing.TB, o store.Options, sensors ...string) *hub {
	t.Helper()
	o.HubKey = []byte("a key of a hub, thirty-two bytes")
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, n := range sensors {
		hash := [32]byte(append([]byte(n), make([]byte, 32)...))
		if err := s.AddToken(t.Context(), store.Token{Hash: hash, Sensor: n, By: "test", Made: hubEpoch, Expires: hubEpoch.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TakeToken(t.Context(), hash, hubEpoch, func(string) (store.Admission, error) {
			return store.Admission{Serial: "serial of " + n, Given: hubEpoch, Ends: hubEpoch.Add(30 * day)}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return &hub{TB: t, Store: s, sequence: make(map[string]uint64)}
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, h *hub)) {
	sensors := []string{"north", "south"}
	t.Run("sqlite", func(t *testing.T) { test(t, newHub(t, store.Options{Folder: t.TempDir()}, sensors...)) })
	t.Run("postgres", func(t *testing.T) { test(t, newHub(t, store.Options{URL: server.URL(t)}, sensors...)) })
}

// report sends records of one sensor, as one delivery.
func (h *hub) report(sensor string, records ...*reportpb.Record) {
	h.Helper()
	first := h.sequence[sensor] + 1
	for _, r := range records {
		h.sequence[sensor]++
		r.Sequence, r.KeyEpoch = h.sequence[sensor], 1
	}
	if _, err := h.Ingest(h.Context(), store.Delivery{
		Sensor: sensor, Epoch: 7, First: first, Last: h.sequence[sensor], Records: records, ReceivedAt: hubEpoch,
	}); err != nil {
		h.Fatal(err)
	}
}

// found makes a record of a finding; who is the line's name at its sensor.
func found(n uint64, f *reportpb.Finding) *reportpb.Record {
	r := revision(n, f)
	id := make([]byte, 16)
	copy(id, f.GetLine())
	r.Id, r.EpochStart, r.Catalogue = id, f.GetFirstSeen(), 1
	return &reportpb.Record{Kind: &reportpb.Record_Finding{Finding: r}}
}

// busiest tells how many lines a controller has.
func busiest(addr, role string, lines uint64) *reportpb.Record {
	return &reportpb.Record{Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{
		Hour: timestamppb.New(hubEpoch.Truncate(time.Hour)), Controllers: []*reportpb.ControllerHour{{Addr: addr, Role: role, Lines: lines}},
	}}}
}

// link lets n workers side by side do all there is, while nobody reports.
func (h *hub) link(n int) {
	h.Helper()
	h.work(n)
	if left, err := h.Queued(h.Context()); err != nil || left > 0 {
		h.Fatalf("%d tenancies are left in the queue, error %v", left, err)
	}
}

// work lets n workers side by side do what there is.
func (h *hub) work(n int) {
	h.Helper()
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			w := New(Options{Store: h.Store, Owner: fmt.Sprint("worker ", i), Batch: 16, Lease: 10 * time.Second})
			for h.Context().Err() == nil {
				if n, err := w.Step(h.Context()); err != nil {
					h.Error(err)
					return
				} else if n == 0 {
					if left, err := h.Queued(h.Context()); err != nil || left == 0 {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wait.Wait()
}

func (h *hub) groups() (boxes []store.BoxRow, rings []store.Ring) {
	h.Helper()
	bs, err := h.Boxes(h.Context(), store.Filter{}, store.Page{Size: 1000})
	if err != nil {
		h.Fatal(err)
	}
	rs, err := h.Rings(h.Context(), store.Filter{}, store.Page{Size: 1000})
	if err != nil {
		h.Fatal(err)
	}
	return bs.Rows, rs.Rows
}

func texts(what string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("~%s%d", what, i))
	}
	return out
}

func ppm(v float64) *float64 { return &v }

func TestOneBoxOverFiveLinesAndTwoCities(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hub) {
		from := time.Duration(0)
		for i := range 5 {
			f := finding(fmt.Sprintf("203.0.113.%d", i+1), reportpb.Verdict_VERDICT_WATCH, from, from+5*day)
			f.Subscriber = fmt.Sprintf("~s%d", i)
			f.Links.Accounts, f.Links.Stack, f.Links.Cname = texts("account", 8), "00000000000000a1", "~name"
			f.Links.ClockPpm, f.Links.ClockErrorPpm = ppm(-7.3), ppm(0.4)
			f.Controllers = []*reportpb.Controller{{Addr: "198.51.100.1", Role: "registrar"}}
			h.report([]string{"north", "south"}[i/3], found(1, f))
			h.link(1)
			from += 5*day + 6*time.Hour
		}
		boxes, rings := h.groups()
		if len(boxes) != 1 || len(boxes[0].Members) != 5 || len(rings) != 1 || rings[0].Lines != 5 || len(rings[0].Sensors) != 2 {
			t.Fatalf("%d boxes, rings %+v, want one box, one ring of five lines in two cities", len(boxes), rings)
		}
		if rings[0].Margin == nil || rings[0].Verdict < reportpb.Verdict_VERDICT_REVIEW {
			t.Errorf("ring %+v, want review or more", rings[0])
		}
		// Ids stay as evidence grows.
		f := finding("203.0.113.99", reportpb.Verdict_VERDICT_WATCH, from, from+5*day)
		f.Links.Accounts, f.Links.Stack, f.Subscriber = texts("account", 8), "00000000000000a1", "~s99"
		f.Controllers = []*reportpb.Controller{{Addr: "198.51.100.1", Role: "registrar"}}
		h.report("north", found(1, f))
		h.link(1)
		again, ringsAgain := h.groups()
		if len(again) != 1 || again[0].ID != boxes[0].ID || len(ringsAgain) != 1 || ringsAgain[0].ID != rings[0].ID || ringsAgain[0].Lines != 6 {
			t.Errorf("boxes %v rings %v after a sixth line, want the same ids", again, ringsAgain)
		}
	})
}

func TestTwoRingsBehindOneWholesaler(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hub) {
		h.report("north", busiest("192.0.2.1", "trunk-peer", 300))
		for ring := range 2 {
			h.report("north", busiest(fmt.Sprintf("198.51.100.%d", ring+1), "sms-server", 5))
			for i := range 5 {
				f := finding(fmt.Sprintf("203.0.113.%d", ring*100+i+1), reportpb.Verdict_VERDICT_WATCH, time.Duration(i)*time.Hour, 20*day)
				f.Links.Accounts = texts(fmt.Sprint("account", ring, i, "-"), 4)
				f.Controllers = []*reportpb.Controller{
					{Addr: "192.0.2.1", Role: "trunk-peer"},
					{Addr: fmt.Sprintf("198.51.100.%d", ring+1), Role: "sms-server"},
				}
				f.Links.Stack = "00000000000000a1"
				h.report([]string{"north", "south"}[i%2], found(1, f))
			}
		}
		h.link(3)
		boxes, rings := h.groups()
		if len(boxes) != 10 || len(rings) != 2 || rings[0].Lines != 5 || rings[1].Lines != 5 {
			t.Fatalf("%d boxes, rings %+v, want ten boxes in two rings of five", len(boxes), rings)
		}
	})
}

// TestHourAfterFindings: a controller joins lines when an hour of it is told, also if
// the findings came before, and not sooner.
func TestHourAfterFindings(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hub) {
		for i := range 5 {
			f := finding(fmt.Sprintf("203.0.113.%d", i+1), reportpb.Verdict_VERDICT_WATCH, time.Duration(i)*time.Hour, 20*day)
			f.Links.Accounts = texts(fmt.Sprint("account", i, "-"), 4)
			f.Controllers = []*reportpb.Controller{{Addr: "198.51.100.1", Role: "sms-server"}}
			f.Links.Stack = "00000000000000a1"
			h.report([]string{"north", "south"}[i%2], found(1, f))
		}
		h.link(3)
		if _, rings := h.groups(); len(rings) != 0 {
			t.Fatalf("rings %+v of a controller of which no hour is told, want none", rings)
		}
		w := New(Options{Store: h.Store, Owner: "one"})
		step := func() {
			for n := 1; n > 0; {
				var err error
				if n, err = w.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.report("north", busiest("198.51.100.1", "sms-server", 5))
		step()
		if _, rings := h.groups(); len(rings) != 1 || rings[0].Lines != 5 {
			t.Errorf("rings %+v after the first hour, want one of five", rings)
		}
		// The same again is no reason to look.
		h.report("north", busiest("198.51.100.1", "sms-server", 9))
		if n, err := h.Queued(t.Context()); n != 0 || err != nil {
			t.Errorf("%d are looked at again, %v", n, err)
		}
		// That hour had a few minutes: the next one tells that it is no ring's.
		h.report("north", busiest("198.51.100.1", "sms-server", 400))
		step()
		if _, rings := h.groups(); len(rings) != 0 {
			t.Errorf("rings %+v of a controller of four hundred lines, want none", rings)
		}
	})
}

func TestHostedExchangeOfFortyOffices(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hub) {
		h.report("north", busiest("192.0.2.1", "registrar", 40))
		for i := range 40 {
			v := reportpb.Verdict_VERDICT_NONE
			if i%10 == 0 {
				v = reportpb.Verdict_VERDICT_WATCH
			}
			f := finding(fmt.Sprintf("203.0.113.%d", i+1), v, time.Duration(i)*time.Hour, 20*day)
			f.Links.Accounts, f.Links.Stack, f.Links.Contact = texts(fmt.Sprint("account", i, "-"), 12), "00000000000000a1", "~lan"
			f.Controllers = []*reportpb.Controller{{Addr: "192.0.2.1", Role: "registrar"}}
			h.report("north", found(1, f))
		}
		h.link(3)
		boxes, rings := h.groups()
		if len(boxes) != 4 || len(rings) != 0 {
			t.Fatalf("%d boxes, rings %+v, want four boxes and no ring", len(boxes), rings)
		}
	})
}

// Two dozen homes behind one softswitch, reported while several workers link, each
// revision of each line in any order; then evidence goes, and the ring with it.
func TestRingGrowsAndFalls(t *testing.T) {
	onBoth(t, func(t *testing.T, h *hub) {
		line := func(n uint64, i int, v reportpb.Verdict) *reportpb.Record {
			f := finding(fmt.Sprintf("203.0.113.%d", i+1), v, time.Duration(i)*time.Hour, 20*day)
			f.Links.Accounts, f.Links.Stack = texts(fmt.Sprint("account", i, "-"), 4), "00000000000000a1"
			f.Controllers = []*reportpb.Controller{{Addr: "198.51.100.1", Role: "registrar"}}
			return found(n, f)
		}
		told := func(sensor string) (nats float64, review uint64) {
			t.Helper()
			vs, err := h.Verdicts(t.Context(), sensor, hubEpoch)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range vs {
				if v.Line == "" && v.Addr == "198.51.100.1" {
					return v.Nats, v.Review
				}
			}
			return 0, 0
		}
		// Before the first hour was told nobody knows how many honest lines there are.
		for i := range 24 {
			h.report([]string{"north", "south"}[i%2], line(1, i, reportpb.Verdict_VERDICT_REVIEW))
		}
		h.link(1)
		if nats, _ := told("north"); nats != 0 {
			t.Errorf("the north sensor is told %v nats before the use of the softswitch is known", nats)
		}
		h.report("north", busiest("198.51.100.1", "registrar", 24))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := uint64(1); n < 3; n++ {
				for i := range 24 {
					h.report([]string{"north", "south"}[i%2], line(n+1, (i*7)%24, reportpb.Verdict_VERDICT_REVIEW))
				}
			}
		}()
		for range 5 {
			h.work(3)
		}
		<-done
		h.link(3)
		boxes, rings := h.groups()
		if len(boxes) != 24 || len(rings) != 1 || rings[0].Lines != 24 {
			t.Fatalf("%d boxes, rings %+v, want one of 24", len(boxes), rings)
		}
		if nats, review := told("north"); nats != 3 || review < 22 {
			t.Errorf("the north sensor is told %v nats for %d lines about the softswitch, want 3", nats, review)
		}
		for i := range 22 {
			h.report([]string{"north", "south"}[i%2], line(9, (i*7)%24, reportpb.Verdict_VERDICT_NONE))
		}
		h.link(3)
		boxes, rings = h.groups()
		if len(boxes) != 2 || len(rings) != 0 {
			t.Fatalf("%d boxes, rings %+v after evidence went, want two boxes and no ring", len(boxes), rings)
		}
		// What was told is taken back with the last line that it rested on.
		for i := range 24 {
			h.report([]string{"north", "south"}[i%2], line(10, i, reportpb.Verdict_VERDICT_NONE))
		}
		h.link(3)
		for _, sensor := range []string{"north", "south"} {
			if vs, err := h.Verdicts(t.Context(), sensor, hubEpoch); err != nil || len(vs) != 0 {
				t.Errorf("%s is still told %+v, %v", sensor, vs, err)
			}
		}
	})
}
