package store

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"simtrap/report/reportpb"
)

func TestIngest(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north")
		r := deliver(t, s, "north", 1, revisionOf(1, 10, watch, "203.0.113.7"), revisionOf(2, 10, none, "203.0.113.8"))
		if r != (Receipt{Acked: 2, Stored: 2}) {
			t.Errorf("receipt %+v", r)
		}
		r = deliver(t, s, "north", 1, revisionOf(1, 10, watch, "203.0.113.7"), revisionOf(2, 11, none, "203.0.113.8"))
		if r != (Receipt{Acked: 2, Stored: 1, Older: 1}) {
			t.Errorf("receipt %+v", r)
		}
		r = deliverRecords(t, s, "north", &reportpb.Record{Sequence: 9})
		if r != (Receipt{Acked: 9, Unknown: 1}) {
			t.Errorf("a kind of the future: %+v", r)
		}
		for name, d := range map[string]Delivery{
			"no sensor":          {},
			"backwards":          {Sensor: "north", First: 2, Last: 1},
			"a foreign sequence": {Sensor: "north", First: 1, Last: 2, Records: []*reportpb.Record{{Sequence: 3}}},
			"too many":           {Sensor: "north", Records: make([]*reportpb.Record, maxRecords+1)},
		} {
			if _, err := s.Ingest(t.Context(), d); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// What no honest sensor sends must neither stop what comes after it nor be stored
// in a form that hurts somebody who reads it.
func TestHostile(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north")
		far := &timestamppb.Timestamp{Seconds: math.MaxInt64}
		rs := []*reportpb.FindingRevision{
			nil, {}, {Id: []byte("short"), Finding: &reportpb.Finding{Line: "10.0.0.1"}}, {Id: findingID(1)}, {Id: findingID(2), Finding: &reportpb.Finding{}},
			{Id: findingID(3), Finding: &reportpb.Finding{Line: strings.Repeat("x", maxName+1)}},
			{Id: findingID(4), Revision: math.MaxUint64, Finding: &reportpb.Finding{Line: "10.0.0.1"}},
		}
		refused := len(rs)
		odd := revisionOf(5, 1, 77, "'; DROP TABLE finding; --\x00", func(f *reportpb.Finding) {
			f.Score, f.Margin, f.Nearest = ptr(math.NaN()), ptr(math.Inf(1)), strings.Repeat("é", 500)
			f.Device = &reportpb.Device{Vendor: "\x00\x1b[31m", Model: strings.Repeat("m", 4000)}
			f.FirstSeen, f.LastSeen = far, &timestamppb.Timestamp{Seconds: -5, Nanos: -5}
			f.Cards = make([]*reportpb.Card, 1000)
			for i := range f.Cards {
				f.Cards[i] = &reportpb.Card{Imsi: fmt.Sprint("clear ", i), Msisdn: "+8613800138000"}
			}
			f.Links = &reportpb.Links{Accounts: []string{"", "~", "~~", "a~b~c", strings.Repeat("9", 25) + "~0"}}
			f.Controllers = []*reportpb.Controller{{Addr: "nowhere"}, {Addr: "fe80::1%eth0", Role: "\x00"}, {Addr: "::ffff:198.51.100.9"}, nil}
			f.Authority = "none of ours"
		})
		rs = append(rs, odd)
		r := deliver(t, s, "north", 1, rs...)
		if r != (Receipt{Acked: uint64(len(rs)), Stored: 1, Refused: refused}) {
			t.Errorf("receipt %+v", r)
		}
		f, err := s.Finding(t.Context(), FindingID("north", findingID(5)))
		if err != nil {
			t.Fatal(err)
		}
		got := f.Report.GetFinding()
		if got.GetLine() != "'; DROP TABLE finding; --\uFFFD" || got.GetAuthority() != "" || !f.Since.Equal(noon) {
			t.Errorf("line %q, authority %q, since %v", got.GetLine(), got.GetAuthority(), f.Since)
		}
		for _, c := range got.GetCards() {
			if !strings.HasPrefix(c.GetImsi(), "~") || len(c.GetImsi()) != 17 || strings.Contains(c.GetMsisdn(), "138") {
				t.Fatalf("card %v stands in clear", c)
			}
		}
		if n := s.Counters().Cut; n != 1000-maxKeyCards {
			t.Errorf("%d keys left out", n)
		}
		if got := all(t, s.Lines, Filter{Lines: []LineMatch{{Name: got.GetLine()}}}, 5); len(got) != 1 || got[0].Verdict != atCase {
			t.Errorf("lines %+v", got)
		}
		if deliver(t, s, "north", 50, revisionOf(6, 1, watch, "10.0.0.6")).Stored != 1 {
			t.Error("nothing is stored any more")
		}
	})
}

func TestBusyAndClosed(t *testing.T) {
	s := openStore(t, Options{Folder: t.TempDir(), Waiting: 3})
	admit(t, s, "north")
	rs := []*reportpb.Record{record(1, revisionOf(1, 1, none, "a")), record(2, revisionOf(2, 1, none, "b")), record(3, revisionOf(3, 1, none, "c"))}
	if _, err := s.Ingest(t.Context(), Delivery{Sensor: "north", First: 1, Last: 3, Records: rs}); !errors.Is(err, ErrBusy) {
		t.Errorf("more than may wait: %v", err)
	}
	deliverRecords(t, s, "north", rs[:2]...)
	if c := s.Counters(); c.Busy != 1 || c.Waiting != 0 || c.Findings != 2 {
		t.Errorf("counters %+v", c)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ingest(t.Context(), Delivery{Sensor: "north"}); err == nil {
		t.Error("a closed store takes reports")
	}
	if err := s.Ready(t.Context()); err == nil {
		t.Error("a closed store is ready")
	}
}

// Whatever is delivered, in any order, cut anywhere, again and again, side by side:
// what is stored is what each record says once.
func TestAnyOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		round := 0
		rapid.Check(t, func(rt *rapid.T) {
			round++
			sensor := fmt.Sprint("sensor ", round)
			admit(t, s, sensor)
			records := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 25).Draw(rt, "records")
			for i, r := range records {
				r.Sequence = uint64(i + 1)
			}
			type piece struct{ from, to int }
			pieces := []piece{{0, len(records)}}
			for range rapid.IntRange(0, 5).Draw(rt, "more pieces") {
				from := rapid.IntRange(0, len(records)-1).Draw(rt, "from")
				pieces = append(pieces, piece{from, rapid.IntRange(from+1, len(records)).Draw(rt, "to")})
			}
			pieces = rapid.Permutation(pieces).Draw(rt, "order")
			beside := rapid.Bool().Draw(rt, "side by side")
			var wg sync.WaitGroup
			for _, p := range pieces {
				part := records[p.from:p.to]
				send := func() {
					r, err := s.Ingest(context.Background(), Delivery{Sensor: sensor, Epoch: 7, First: part[0].Sequence, Last: part[len(part)-1].Sequence, Records: part, ReceivedAt: noon})
					if err != nil || r.Acked != part[len(part)-1].Sequence {
						t.Errorf("receipt %+v, %v", r, err)
					}
				}
				if beside {
					wg.Go(send)
				} else {
					send()
				}
			}
			wg.Wait()
			compare(rt, t.Context(), s, sensor, records)
		})
	})
}

func drawRecord(t *rapid.T) *reportpb.Record {
	n := rapid.IntRange(1, 3).Draw(t, "finding")
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		c := &reportpb.Call{FindingId: findingID(n), Id: findingID(rapid.IntRange(1, 2).Draw(t, "call")), Start: stamp(noon)}
		if end := rapid.IntRange(0, 3).Draw(t, "end"); end > 0 {
			c.End = stamp(noon.Add(time.Duration(end) * time.Second))
		}
		return &reportpb.Record{Kind: &reportpb.Record_Call{Call: c}}
	case 1:
		return &reportpb.Record{Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{
			Hour: stamp(noon), Controllers: []*reportpb.ControllerHour{{Addr: "192.0.2.1", Role: "media", Lines: 2, Calls: uint64(n)}},
		}}}
	case 2:
		from := uint64(rapid.IntRange(1, 3).Draw(t, "from"))
		to := from + uint64(rapid.IntRange(0, 3).Draw(t, "length"))
		return &reportpb.Record{Kind: &reportpb.Record_Gap{Gap: &reportpb.Gap{Epoch: 7, From: from, To: to, Lost: []*reportpb.Lost{{Count: to - from + 1}}}}}
	default:
		revision := rapid.Uint64Range(1, 9).Draw(t, "revision")
		// Two revisions of one number are the same: a sensor never gives one twice.
		return &reportpb.Record{Kind: &reportpb.Record_Finding{Finding: revisionOf(n, revision, reportpb.Verdict(1+(revision+uint64(n))%4), fmt.Sprintf("10.0.0.%d", n), withContact(fmt.Sprintf("~%016x", revision/5)),
			withController(fmt.Sprintf("198.51.100.%d", revision/4), ""))}}
	}
}

// compare holds what is stored of a sensor to what its records say.
func compare(rt *rapid.T, ctx context.Context, s *Store, sensor string, records []*reportpb.Record) {
	best := map[int]uint64{}
	calls := map[string]int64{}
	gaps := map[uint64]uint64{}
	var spoken uint64
	for _, r := range records {
		switch k := r.Kind.(type) {
		case *reportpb.Record_Finding:
			for n := 1; n <= 3; n++ {
				if string(k.Finding.Id) == string(findingID(n)) {
					best[n] = max(best[n], k.Finding.Revision)
				}
			}
		case *reportpb.Record_Call:
			key := string(k.Call.FindingId) + string(k.Call.Id)
			calls[key] = max(calls[key], nanos(k.Call.End, 0))
		case *reportpb.Record_Gap:
			gaps[k.Gap.From] = max(gaps[k.Gap.From], k.Gap.To-k.Gap.From+1)
		case *reportpb.Record_Controllers:
			spoken += k.Controllers.Controllers[0].Calls
		}
	}
	var census Census
	keys := map[Key]int{}
	for n, revision := range best {
		id := FindingID(sensor, findingID(n))
		f, err := s.Finding(ctx, id)
		if err != nil {
			rt.Fatal(err)
		}
		v := reportpb.Verdict(1 + (revision+uint64(n))%4)
		if f.Report.GetRevision() != revision || f.Report.GetFinding().GetVerdict() != v {
			rt.Fatalf("finding %d: revision %d at %v, want %d at %v", n, f.Report.GetRevision(), f.Report.GetFinding().GetVerdict(), revision, v)
		}
		l, err := s.Line(ctx, f.Line)
		if err != nil || l.Verdict != v {
			rt.Fatalf("line of finding %d: %+v, %v", n, l, err)
		}
		*[]*uint64{nil, &census.None, &census.Watch, &census.Review, &census.Case}[v]++
		for _, k := range Keys(f.Report.GetFinding()) {
			keys[k]++
			var have int64
			if err := one(ctx, s.db, []any{&have}, "SELECT verdict FROM bearer WHERE kind = ? AND digest = ? AND finding = ?", int64(k.Kind), k.Sum[:], id[:]); err != nil || have != int64(v) {
				rt.Fatalf("key of finding %d at %v stands at %d, %v", n, v, have, err)
			}
		}
		var bearers int
		if err := one(ctx, s.db, []any{&bearers}, "SELECT count(*) FROM bearer WHERE finding = ?", id[:]); err != nil || bearers != len(Keys(f.Report.GetFinding())) {
			rt.Fatalf("finding %d has %d keys, %v", n, bearers, err)
		}
	}
	x, err := s.Sensor(ctx, sensor)
	if err != nil {
		rt.Fatal(err)
	}
	var missing uint64
	for _, n := range gaps {
		missing += n
	}
	if x.Findings != census || x.Missing != missing {
		rt.Fatalf("sensor tells of %+v and %d missing, want %+v and %d", x.Findings, x.Missing, census, missing)
	}
	var heard uint64
	if err := one(ctx, s.db, []any{&heard}, "SELECT COALESCE(CAST(sum(calls) AS BIGINT), 0) FROM controller_hour WHERE sensor = ?", sensor); err != nil || heard != spoken {
		rt.Fatalf("controllers have %d calls, want %d, %v", heard, spoken, err)
	}
	for key, end := range calls {
		var body []byte
		finding, id := FindingID(sensor, []byte(key[:16])), ID([]byte(key[16:]))
		if err := one(ctx, s.db, []any{&body}, "SELECT body FROM call WHERE finding = ? AND id = ?", finding[:], id[:]); err != nil {
			rt.Fatal(err)
		}
		var c reportpb.Call
		if err := s.pack.unpack(body, &c); err != nil || nanos(c.End, 0) != end {
			rt.Fatalf("call ends at %v, want %d, %v", c.End, end, err)
		}
	}
}

// What a finding left behind that is no more does not keep it from coming back.
func TestLeftOvers(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north")
		f := revisionOf(1, 1, watch, "10.0.0.1", withContact("~0123456789abcdef"), withController("198.51.100.9", someStack))
		deliver(t, s, "north", 1, f)
		if err := s.within(t.Context(), func(x *tx) error {
			if _, err := x.exec(t.Context(), "DELETE FROM controller_use"); err != nil {
				return err
			}
			_, err := x.exec(t.Context(), "DELETE FROM finding")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got := deliver(t, s, "north", 2, f, revisionOf(2, 1, watch, "10.0.0.2")); got.Stored != 2 {
			t.Errorf("%+v", got)
		}
		if got := lineNames(all(t, s.Findings, Filter{}, 9)); !cmp.Equal(got, []string{"10.0.0.2", "10.0.0.1"}) {
			t.Errorf("findings %v", got)
		}
	})
}

// Tables of every earlier version become those of this program, with what is in
// them; those of a later one are refused.
func TestVersions(t *testing.T) {
	versions, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(versions) < 2 {
		t.Fatal(versions, err)
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		for v := 1; v <= len(versions); v++ {
			t.Run(fmt.Sprint(kind, " ", v), func(t *testing.T) {
				o := Options{HubKey: hubKey, Folder: t.TempDir()}
				if kind == "postgres" {
					o.URL = postgresURL(t)
				}
				s, err := open(t.Context(), o, int64(v))
				if err != nil {
					t.Fatal(err)
				}
				if v < 9 {
					// The column had another name.
					for _, b := range []*bulk{s.sql.findings, s.sql.newFindings} {
						aged := func(q string) string { return regexp.MustCompile(`\bdue\b`).ReplaceAllString(q, "aged") }
						b.pg, b.sure = aged(b.pg), aged(b.sure)
						for n, q := range b.lite {
							b.lite[n] = aged(q)
						}
					}
				}
				admit(t, s, "north")
				deliver(t, s, "north", 1, revisionOf(1, 1, none, "10.0.0.1", withContact("~0123456789abcdef")))
				named := 0
				if v < 5 {
					// Nobody counted who names a controller.
					id, far := FindingID("north", findingID(1)), KeyOf(KeyController, "198.51.100.9")
					if err := s.within(t.Context(), func(x *tx) error {
						_, err := x.run(t.Context(), s.sql.newBearers, []any{int64(far.Kind), far.Sum[:], id[:], int64(review)})
						return err
					}); err != nil {
						t.Fatal(err)
					}
					named = 1
				}
				if v == 3 {
					// A person's and a program's: there was no telling them apart but by their time.
					for i, life := range []time.Duration{12 * time.Hour, 90 * 24 * time.Hour} {
						if err := s.within(t.Context(), func(x *tx) error {
							_, err := x.exec(t.Context(), "INSERT INTO session (hash, account, made, expires) VALUES (?, ?, ?, ?)",
								append(make([]byte, 31), byte(i)), "ana", noon.UnixNano(), noon.Add(life).UnixNano())
							return err
						}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openStore(t, o)
				if got := lineNames(all(t, s.Findings, Filter{}, 9)); !cmp.Equal(got, []string{"10.0.0.1"}) {
					t.Errorf("findings %v", got)
				}
				s.walkFrom = 0 // in the order of lists, from what the tables of earlier versions had not
				if fs := all(t, s.Findings, Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32")}}, 9); len(fs) != named {
					t.Errorf("%d findings of a controller, want %d", len(fs), named)
				}
				if us, err := s.ControllerUse(t.Context(), []string{"198.51.100.9"}, 9); err != nil || v < 5 && (us[0].Lines != 1 || us[0].AtReview != 1) {
					t.Errorf("use of a controller %+v, %v", us, err)
				}
				for i := range 2 {
					x, err := s.Session(t.Context(), [32]byte{31: byte(i)}, noon)
					if v == 3 && (err != nil || x.Program != (i == 1) || x.Account != "ana") {
						t.Errorf("session %d: %+v, %v", i, x, err)
					}
				}
				deliver(t, s, "north", 2, revisionOf(1, 2, watch, "10.0.0.1"))
				if n, err := s.Queued(t.Context()); n != 1 || err != nil {
					t.Errorf("queued %d, %v", n, err)
				}
				if err := s.within(t.Context(), func(x *tx) error {
					_, err := x.exec(t.Context(), "INSERT INTO schema_version (version, applied) VALUES (999, 1)")
					return err
				}); err != nil {
					t.Fatal(err)
				}
				if late, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "version 999") {
					t.Errorf("a later version: %v", err)
					if err == nil {
						late.Close()
					}
				}
			})
		}
	}
}

// Several hubs on one PostgreSQL, which start at once, are given the same reports.
func TestSeveralHubs(t *testing.T) {
	u := postgresURL(t)
	var hubs [3]*Store
	var wg sync.WaitGroup
	for i := range hubs {
		wg.Go(func() {
			s, err := Open(t.Context(), Options{URL: u, HubKey: hubKey})
			if err != nil {
				t.Error(err)
				return
			}
			hubs[i] = s
		})
	}
	wg.Wait()
	for _, s := range hubs {
		if s == nil {
			t.FailNow()
		}
		defer s.Close()
	}
	sensors := []string{"a", "b", "c", "d"}
	admit(t, hubs[0], sensors...)
	for i := range 12 {
		wg.Go(func() {
			for n := range 20 {
				var rs []*reportpb.Record
				for k := range 10 {
					rs = append(rs, record(uint64(k+1), revisionOf((n*10+k)%50, uint64(n), reportpb.Verdict(1+n%4), fmt.Sprintf("10.0.0.%d", k), withContact("~aaaaaaaaaaaaaaaa"), withController("198.51.100.9", someStack))))
				}
				if _, err := hubs[i%3].Ingest(context.Background(), Delivery{Sensor: sensors[i%4], First: 1, Last: 10, Records: rs, ReceivedAt: noon.Add(time.Duration(n) * time.Hour)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Each touched tenancy is claimed by one of them.
	var mu sync.Mutex
	claimed := map[Touched]int{}
	for i, s := range hubs {
		wg.Go(func() {
			for range 30 {
				ts, err := s.Claim(t.Context(), fmt.Sprint("hub ", i), 7, time.Hour)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, x := range ts {
					claimed[Touched{Finding: x.Finding}]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for x, n := range claimed {
		if n != 1 {
			t.Errorf("%v was claimed %d times", x.Finding, n)
		}
	}
	c, err := hubs[1].Census(t.Context())
	if err != nil || c.None+c.Watch+c.Review+c.Case != 200 {
		t.Errorf("census %+v, %v", c, err)
	}
	if got := all(t, hubs[2].Findings, Filter{}, 1000); len(got) != 200 {
		t.Errorf("%d findings", len(got))
	}
}

// Sensors that tell the first hour of one controller at the same time touch each
// other's findings beside their own, and are in nobody's way.
func TestFirstHoursAtOnce(t *testing.T) {
	u := postgresURL(t)
	var hubs [2]*Store
	for i := range hubs {
		hubs[i] = openStore(t, Options{URL: u})
	}
	sensors := []string{"north", "south"}
	admit(t, hubs[0], sensors...)
	const findings, rounds = 10, 4
	for round := range rounds {
		addr := fmt.Sprintf("198.51.100.%d", round+1)
		records := func(revision uint64) (rs []*reportpb.Record) {
			for n := range findings {
				rs = append(rs, record(uint64(n+1), revisionOf(round*findings+n, revision, watch, fmt.Sprintf("10.0.%d.%d", round, n), withController(addr, someStack), func(f *reportpb.Finding) {
					if revision > 1 {
						// Of a card that both see the row is taken too.
						f.Cards = []*reportpb.Card{{Imsi: fmt.Sprintf("46000~%016x", round)}}
					}
				})))
			}
			return rs
		}
		var wg sync.WaitGroup
		for i, name := range sensors {
			deliverRecords(t, hubs[i], name, records(1)...)
		}
		for i, name := range sensors {
			hour := &reportpb.Record{Sequence: findings + 1, Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{
				Hour: stamp(noon), Controllers: []*reportpb.ControllerHour{{Addr: addr, Role: "registrar", Lines: 40, Calls: 9}}}}}
			wg.Go(func() {
				if _, err := hubs[i].Ingest(context.Background(), Delivery{Sensor: name, First: 1, Last: findings + 1, Records: append(records(2), hour), ReceivedAt: noon}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for i, s := range hubs {
		if n := s.Counters().Retries; n > 0 {
			t.Errorf("hub %d was in another's way %d times", i, n)
		}
	}
	if n, err := hubs[0].Queued(t.Context()); n != 2*rounds*findings || err != nil {
		t.Errorf("%d wait to be linked, %v; want %d", n, err, 2*rounds*findings)
	}
}

var kills = flag.Int("store.kills", 4, "how often the child is killed in TestKilled, for each store")

// A hub that is killed while it stores has stored all that it acknowledged.
func TestKilled(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			folder, u := t.TempDir(), ""
			if kind == "postgres" {
				u = postgresURL(t)
			}
			acked := 0
			for range *kills {
				c := exec.Command(os.Args[0])
				c.Env = append(os.Environ(), "SIMTRAP_STORE_CHILD="+folder, "SIMTRAP_STORE_URL="+u, "SIMTRAP_STORE_FROM="+strconv.Itoa(acked))
				c.Stderr = os.Stderr
				out, err := c.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(out)
				begun := false
				for lines.Scan() {
					n, err := strconv.Atoi(lines.Text())
					if err != nil {
						t.Fatal(err)
					}
					acked = n
					if !begun {
						begun = true
						time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { c.Process.Kill() })
					}
				}
				if err := c.Wait(); err == nil || !begun {
					t.Fatalf("the child ended by itself: %v", err)
				}
			}
			s := openStore(t, Options{Folder: folder, URL: u})
			x, err := s.Sensor(t.Context(), "north")
			if err != nil {
				t.Fatal(err)
			}
			var n uint64
			if err := one(t.Context(), s.db, []any{&n}, "SELECT count(*) FROM finding"); err != nil {
				t.Fatal(err)
			}
			if total := x.Findings.None + x.Findings.Watch; n != total || n < uint64(acked) {
				t.Errorf("%d findings stored, the sensor's row tells of %d, %d were acknowledged", n, total, acked)
			}
			for i := range acked {
				if f, err := s.Finding(t.Context(), FindingID("north", findingID(i))); err != nil || f.Report.GetRevision() < 1 {
					t.Fatalf("finding %d of %d acknowledged: %v", i, acked, err)
				}
			}
			var lost int
			if err := one(t.Context(), s.db, []any{&lost}, "SELECT count(*) FROM finding f WHERE NOT EXISTS (SELECT 1 FROM bearer b WHERE b.finding = f.id) OR NOT EXISTS (SELECT 1 FROM line l WHERE l.id = f.line)"); err != nil || lost != 0 {
				t.Errorf("%d findings without keys or line, %v", lost, err)
			}
			if acked < *kills*10 {
				t.Errorf("only %d findings were acknowledged", acked)
			}
		})
	}
}

// child stores findings from a number on, ten in a delivery, and prints how many
// are acknowledged, until it is killed.
func child() {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	ctx := context.Background()
	s, err := Open(ctx, Options{Folder: os.Getenv("SIMTRAP_STORE_CHILD"), URL: os.Getenv("SIMTRAP_STORE_URL"), HubKey: hubKey})
	if err != nil {
		fail(err)
	}
	from, err := strconv.Atoi(os.Getenv("SIMTRAP_STORE_FROM"))
	if err != nil {
		fail(err)
	}
	hash := [32]byte{1}
	if err := s.AddToken(ctx, Token{Hash: hash, Sensor: "north", Made: noon, Expires: noon.Add(time.Hour)}); err == nil {
		if _, err := s.TakeToken(ctx, hash, noon, func(string) (Admission, error) {
			return Admission{Serial: "1", Given: noon, Ends: noon.Add(time.Hour)}, nil
		}); err != nil {
			fail(err)
		}
	}
	for {
		var rs []*reportpb.Record
		for i := range 10 {
			n := from + i
			rs = append(rs, record(uint64(i+1), revisionOf(n, uint64(1+n%2), reportpb.Verdict(1+n%2), fmt.Sprintf("10.0.%d.%d", n>>8, n&255), withContact("~aaaaaaaaaaaaaaaa"))))
		}
		if _, err := s.Ingest(ctx, Delivery{Sensor: "north", First: 1, Last: 10, Records: rs, ReceivedAt: noon}); err != nil {
			fail(err)
		}
		from += 10
		fmt.Println(from)
	}
}
