package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/axiomhq/hyperloglog"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"simtrap/report/reportpb"
)

// all reads a list page by page.
func all[T any](t *testing.T, read func(context.Context, Filter, Page) (List[T], error), f Filter, size int) []T {
	t.Helper()
	var rows []T
	p := Page{Size: size}
	for range 1000 {
		l, err := read(t.Context(), f, p)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, l.Rows...)
		if l.Next == "" {
			return rows
		}
		p.After = l.Next
	}
	t.Fatal("a list without end")
	return nil
}

func lineNames(fs []Finding) (names []string) {
	for _, f := range fs {
		names = append(names, f.Report.GetFinding().GetLine())
	}
	return names
}

// filled stores findings 1 to 40 of two sensors, in order of time: line 10.0.0.n,
// verdicts by n%4, and links of some.
func filled(t *testing.T, s *Store) (box, ring ID) {
	admit(t, s, "north", "south")
	for n := 1; n <= 40; n++ {
		sensor := []string{"north", "south"}[n%2]
		deliver(t, s, sensor, uint64(n), revisionOf(n, 1, reportpb.Verdict(1+n%4), fmt.Sprintf("10.0.0.%d", n), func(f *reportpb.Finding) {
			if n == 7 || n == 8 {
				f.Cards = []*reportpb.Card{{Imsi: "46000~0123456789abcdef", Iccid: "898600~00000000000000aa"}, {Imei: "49015420~90e10ebbe13433cd"}}
			}
			if n%5 == 0 {
				f.Controllers = []*reportpb.Controller{{Addr: "198.51.100.9", Role: "registrar"}}
				f.Proof = true
			}
			if n%10 == 0 {
				f.Device.Vendor = "DBL"
				f.Declared = true
			}
		}))
	}
	box, ring = ID{1}, ID{2}
	a, b := FindingID("south", findingID(7)), FindingID("north", findingID(10))
	if err := s.SaveLinks(t.Context(), Links{
		Seen: map[ID]uint64{a: 0, b: 0}, Judged: []ID{a, b},
		Boxes: []Box{{ID: box, Ring: ring, Members: []ID{a, b}, Verdict: review, First: noon.Add(-time.Hour), Last: noon}},
		Rings: []Ring{{ID: ring, Boxes: []ID{box}, Verdict: review, First: noon.Add(-time.Hour), Last: noon, Sensors: []string{"north", "south"}, Controllers: []string{"198.51.100.9"}}},
	}); err != nil {
		t.Fatal(err)
	}
	return box, ring
}

func numbers(want func(n int) bool) (names []string) {
	for n := 40; n >= 1; n-- {
		if want(n) {
			names = append(names, fmt.Sprintf("10.0.0.%d", n))
		}
	}
	return names
}

func TestFindings(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		box, ring := filled(t, s)
		in := func(ns ...int) func(int) bool { return func(n int) bool { return slices.Contains(ns, n) } }
		// Two that name other controllers than at first.
		for n, addrs := range map[int][]string{20: {"198.51.100.9", "198.51.100.8"}, 40: {"198.51.100.8"}} {
			deliver(t, s, "north", uint64(100+n), revisionOf(n, 2, reportpb.Verdict(1+n%4), fmt.Sprintf("10.0.0.%d", n), func(f *reportpb.Finding) {
				for _, a := range addrs {
					f.Controllers = append(f.Controllers, &reportpb.Controller{Addr: a, Role: "registrar"})
				}
				f.Proof, f.Declared, f.Device.Vendor = true, true, "DBL"
			}))
		}
		far := func(prefixes ...string) (ps []netip.Prefix) {
			for _, p := range prefixes {
				ps = append(ps, netip.MustParsePrefix(p))
			}
			return ps
		}
		fives := func(n int) bool { return n%5 == 0 }
		for _, c := range []struct {
			name string
			f    Filter
			want func(n int) bool
		}{
			{"controllers that have findings in common", Filter{Controllers: far("198.51.100.8/32", "198.51.100.9/32")}, fives},
			{"controller of some time", Filter{Controllers: far("198.51.100.9/32")}, func(n int) bool { return fives(n) && n != 40 }},
			{"controller named later", Filter{Controllers: far("198.51.100.8/32")}, in(20, 40)},
			{"controller and verdict", Filter{Controllers: far("198.51.100.9/32"), MinVerdict: review}, func(n int) bool { return fives(n) && n%4 >= 2 }},
			{"controller and sensor", Filter{Controllers: far("198.51.100.9/32"), Sensors: []string{"south"}}, func(n int) bool { return n%10 == 5 }},
			{"controller and vendor", Filter{Controllers: far("198.51.100.0/24"), Vendors: []string{"DBL"}}, func(n int) bool { return n%10 == 0 }},
			{"controller and time", Filter{Controllers: far("198.51.100.9/32"), From: noon.Add(-time.Minute), Until: noon.Add(-time.Hour + 12*time.Second)}, in(5, 10)},
			{"controller and line", Filter{Controllers: far("198.51.100.9/32"), Lines: []LineMatch{{Prefix: netip.MustParsePrefix("10.0.0.16/29")}}}, in(20)},
			{"controller and box", Filter{Controllers: far("198.51.100.9/32"), Boxes: []ID{box}}, in(10)},
			{"controller and card", Filter{Controllers: far("198.51.100.9/32"), Cards: []string{s.names.again("46000~0123456789abcdef")}}, in()},
			{"all", Filter{}, func(int) bool { return true }},
			{"verdict", Filter{MinVerdict: review}, func(n int) bool { return n%4 >= 2 }},
			{"sensor", Filter{Sensors: []string{"south"}, MinVerdict: watch}, func(n int) bool { return n%2 == 1 }},
			{"until", Filter{Until: noon.Add(-time.Hour + 10*time.Second)}, func(n int) bool { return n < 10 }},
			{"from", Filter{From: noon}, in()},
			{"from and until", Filter{From: noon.Add(-time.Minute), Until: noon.Add(-time.Hour + 3*time.Second)}, in(1, 2)},
			{"line", Filter{Lines: []LineMatch{{Name: "10.0.0.12"}, {Name: "10.0.0.99"}}}, in(12)},
			{"prefix", Filter{Lines: []LineMatch{{Prefix: netip.MustParsePrefix("10.0.0.16/30")}}}, in(16, 17, 18, 19)},
			{"line id", Filter{LineIDs: []ID{LineID("south", "10.0.0.13")}}, in(13)},
			{"controller", Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, func(n int) bool { return n%5 == 0 }},
			{"another controller", Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("198.51.100.10/32")}}, in()},
			{"card", Filter{Cards: []string{s.names.again("46000~0123456789abcdef")}}, in(7, 8)},
			{"card by what is printed on it", Filter{Cards: []string{s.names.again("898600~00000000000000aa")}}, in(7, 8)},
			{"slot", Filter{Cards: []string{s.names.again("49015420~90e10ebbe13433cd")}}, in()},
			{"as the sensor sent it", Filter{Cards: []string{"46000~0123456789abcdef"}}, in()},
			{"vendor", Filter{Vendors: []string{"DBL"}}, func(n int) bool { return n%10 == 0 }},
			{"proof", Filter{Proof: ptr(true), Declared: ptr(false)}, func(n int) bool { return n%10 == 5 }},
			{"box", Filter{Boxes: []ID{box}}, in(7, 10)},
			{"ring", Filter{Rings: []ID{ring}, MinVerdict: atCase}, in(7)},
			{"no ring", Filter{Rings: []ID{{77}}}, in()},
		} {
			for _, size := range []int{1, 7, 1000} {
				// As if the controllers had few findings, and as if they had many.
				for _, s.walkFrom = range []int{walkMost, 1} {
					if diff := cmp.Diff(numbers(c.want), lineNames(all(t, s.Findings, c.f, size))); diff != "" {
						t.Errorf("%s by %d, from %d on (-want +got):\n%s", c.name, size, s.walkFrom, diff)
					}
				}
			}
		}
		if _, err := s.Findings(t.Context(), Filter{CaseStates: []CaseState{CaseOpen}}, Page{Size: 1}); !errors.Is(err, ErrInvalid) {
			t.Errorf("filter of another list: %v", err)
		}
		for _, p := range []Page{{}, {Size: 1001}, {Size: 1, After: "x"}, {Size: 1, After: "\xff1234567"}} {
			if _, err := s.Findings(t.Context(), Filter{}, p); !errors.Is(err, ErrInvalid) {
				t.Errorf("page %+v: %v", p, err)
			}
		}
	})
}

func TestPagesStayWhole(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		filled(t, s)
		var rows []Finding
		p := Page{Size: 6}
		for n := 0; ; n++ {
			l, err := s.Findings(t.Context(), Filter{}, p)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, l.Rows...)
			if l.Next == "" {
				break
			}
			p.After = l.Next
			// Between the pages findings change their verdict, and new ones come.
			deliver(t, s, "south", 100+uint64(n), revisionOf(1+2*n, 2, reportpb.Verdict(1+n%4), fmt.Sprintf("10.0.0.%d", 1+2*n)))
			deliver(t, s, "north", 100+uint64(n), revisionOf(1000+n, 1, watch, "10.9.9.9"))
		}
		if diff := cmp.Diff(numbers(func(int) bool { return true }), lineNames(rows)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestFindingByID(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		box, ring := filled(t, s)
		id := FindingID("south", findingID(7))
		f, err := s.Finding(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		want := revisionOf(7, 1, atCase, "10.0.0.7", func(f *reportpb.Finding) {
			f.Cards = []*reportpb.Card{
				{Imsi: s.names.again("46000~0123456789abcdef"), Iccid: s.names.again("898600~00000000000000aa")},
				{Imei: s.names.again("49015420~90e10ebbe13433cd")},
			}
		})
		if diff := cmp.Diff(want, f.Report, protocmp.Transform()); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
		if f.Box != box || f.Ring != ring || f.Sensor != "south" || f.Line != LineID("south", "10.0.0.7") || !f.Received.Equal(noon) {
			t.Errorf("finding %+v", f)
		}
		if want.Finding.Cards[0].Imsi == "46000~0123456789abcdef" || want.Finding.Cards[0].Imsi[:6] != "46000~" {
			t.Errorf("pseudonym %q", want.Finding.Cards[0].Imsi)
		}
		if _, err := s.Finding(ctx, ID{5}); !errors.Is(err, ErrNotFound) {
			t.Errorf("no finding: %v", err)
		}

		for i, v := range []reportpb.Verdict{atCase, review, review} {
			deliver(t, s, "south", 200+uint64(i), revisionOf(7, 10+uint64(i), v, "10.0.0.7"))
		}
		rs, err := s.Revisions(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rs {
			got = append(got, fmt.Sprint(r.Revision, r.Verdict, *r.Margin))
		}
		if diff := cmp.Diff([]string{"1 VERDICT_CASE 1.5", "11 VERDICT_REVIEW 1.5"}, got); diff != "" {
			t.Errorf("revisions (-want +got):\n%s", diff)
		}
		l, err := s.Line(ctx, LineID("south", "10.0.0.7"))
		if err != nil || l.Verdict != review {
			t.Errorf("line %+v, %v", l, err)
		}
		for i := range 2 * maxHistory {
			deliver(t, s, "south", 300+uint64(i), revisionOf(7, 100+uint64(i), reportpb.Verdict(2+i%2), "10.0.0.7"))
		}
		if rs, err = s.Revisions(ctx, id); err != nil || len(rs) != maxHistory || rs[maxHistory-1].Revision != 99+2*maxHistory {
			t.Errorf("%d revisions kept, %v", len(rs), err)
		}
	})
}

func TestLines(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		box, _ := filled(t, s)
		// A second epoch of a line, lower than the first.
		deliver(t, s, "south", 90, revisionOf(77, 1, none, "10.0.0.7"))
		names := func(ls []Line) (out []string) {
			for _, l := range ls {
				out = append(out, l.Name)
			}
			return out
		}
		for _, size := range []int{3, 1000} {
			if diff := cmp.Diff(numbers(func(n int) bool { return n%4 == 3 }), names(all(t, s.Lines, Filter{MinVerdict: atCase}, size))); diff != "" {
				t.Errorf("at case (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(numbers(func(n int) bool { return n == 7 || n == 10 }), names(all(t, s.Lines, Filter{Boxes: []ID{box}}, size))); diff != "" {
				t.Errorf("of a box (-want +got):\n%s", diff)
			}
			if got := all(t, s.Lines, Filter{From: noon}, size); len(got) != 0 {
				t.Errorf("seen later: %v", names(got))
			}
			if diff := cmp.Diff(numbers(func(n int) bool { return n%2 == 1 && n > 35 }), names(all(t, s.Lines, Filter{From: noon.Add(-time.Minute), Sensors: []string{"south"}, Lines: []LineMatch{{Prefix: netip.MustParsePrefix("10.0.0.36/30")}}}, size))); diff != "" {
				t.Errorf("of a sensor (-want +got):\n%s", diff)
			}
		}
		l, err := s.Line(t.Context(), LineID("south", "10.0.0.7"))
		if err != nil {
			t.Fatal(err)
		}
		want := Line{
			ID: LineID("south", "10.0.0.7"), Sensor: "south", Name: "10.0.0.7", Since: noon.Add(-time.Hour + 7*time.Second), Verdict: atCase,
			First: noon.Add(-time.Hour + 7*time.Second), Last: noon.Add(-time.Minute), Boxes: []ID{box},
			Findings: []ID{FindingID("south", findingID(77)), FindingID("south", findingID(7))},
		}
		if diff := cmp.Diff(want, l); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
		of, err := s.LinesOf(t.Context(), []ID{FindingID("south", findingID(77)), {1}})
		if diff := cmp.Diff(map[ID]ID{FindingID("south", findingID(77)): l.ID}, of); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func TestGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		box, ring := filled(t, s)
		a, b := LineID("south", "10.0.0.7"), LineID("north", "10.0.0.10")
		for _, c := range []struct {
			name string
			f    Filter
			n    int
		}{
			{"all", Filter{}, 1}, {"verdict", Filter{MinVerdict: atCase}, 0}, {"line", Filter{Lines: []LineMatch{{Name: "10.0.0.7"}}}, 1},
			{"another line", Filter{Lines: []LineMatch{{Name: "10.0.0.8"}}}, 0}, {"ring", Filter{Rings: []ID{ring}}, 1}, {"id", Filter{Boxes: []ID{{8}}}, 0},
			{"card", Filter{Cards: []string{s.names.again("46000~0123456789abcdef")}}, 1}, {"sensor", Filter{Sensors: []string{"north"}}, 1}, {"no sensor", Filter{Sensors: []string{"west"}}, 0},
			{"seen", Filter{From: noon.Add(time.Second)}, 0}, {"controller", Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32")}}, 1},
		} {
			got := all(t, s.Boxes, c.f, 10)
			if len(got) != c.n {
				t.Errorf("boxes by %s: %d", c.name, len(got))
			}
			if c.n == 1 && !slices.Equal(got[0].Lines, []ID{b, a}) {
				t.Errorf("lines of the box: %v", got[0].Lines)
			}
		}
		for _, c := range []struct {
			name string
			f    Filter
			n    int
		}{
			{"all", Filter{}, 1}, {"box", Filter{Boxes: []ID{box}}, 1}, {"another box", Filter{Boxes: []ID{{9}}}, 0}, {"id", Filter{Rings: []ID{ring}}, 1},
			{"controller", Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, 1}, {"sensor", Filter{Sensors: []string{"west"}}, 0},
		} {
			if got := all(t, s.Rings, c.f, 10); len(got) != c.n || c.n == 1 && (got[0].ID != ring || !slices.Equal(got[0].Boxes, []ID{box})) {
				t.Errorf("rings by %s: %+v", c.name, got)
			}
		}
		if g, err := s.Ring(t.Context(), ring); err != nil || g.ID != ring {
			t.Errorf("ring %+v, %v", g, err)
		}
		if _, err := s.Ring(t.Context(), box); !errors.Is(err, ErrNotFound) {
			t.Errorf("no ring: %v", err)
		}
		if x, err := s.Box(t.Context(), box); err != nil || len(x.Members) != 2 {
			t.Errorf("box %+v, %v", x, err)
		}
		cards := all(t, s.Cards, Filter{}, 10)
		if len(cards) != 1 || !slices.Equal(cards[0].Lines, []ID{LineID("north", "10.0.0.8"), a}) || !slices.Equal(cards[0].Boxes, []ID{box}) {
			t.Errorf("cards %+v", cards)
		}
		for _, text := range []string{"46000~0123456789abcdef", "898600~00000000000000aa"} {
			if got := all(t, s.Cards, Filter{Cards: []string{s.names.again(text)}}, 10); len(got) != 1 || got[0].ID != cards[0].ID {
				t.Errorf("card by %s: %+v", text, got)
			}
		}
		if c, err := s.Card(t.Context(), cards[0].ID); err != nil || len(c.Lines) != 2 {
			t.Errorf("card %+v, %v", c, err)
		}
	})
}

func TestControllers(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		_, ring := filled(t, s)
		hour := noon.Add(-2 * time.Hour)
		sketch := func(seq uint64, from, to int) *reportpb.Record {
			k := hyperloglog.New()
			for i := from; i < to; i++ {
				k.Insert([]byte(fmt.Sprint("line", i)))
			}
			b, err := k.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			return &reportpb.Record{Sequence: seq, Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{
				Hour: stamp(hour.Add(time.Duration(seq) * time.Minute)),
				Controllers: []*reportpb.ControllerHour{
					{Addr: "192.0.2.1", Role: "registrar", Lines: uint64(to - from), LineSketch: b, Calls: 3, Stacks: []string{someStack}},
					{Addr: "no address", Lines: 1},
					{Addr: "192.0.2.2", Role: "media", Lines: 2, LineSketch: []byte("no sketch")},
				},
			}}}
		}
		// The same hour from two sensors, twice from one, and one of them again.
		deliverRecords(t, s, "north", sketch(50, 0, 100), sketch(51, 50, 120))
		r := deliverRecords(t, s, "north", sketch(50, 0, 100))
		deliverRecords(t, s, "south", sketch(50, 100, 200))
		if r.Refused != 1 || r.Acked != 50 {
			t.Errorf("receipt %+v", r)
		}
		if n := s.Counters().Sketches; n != 3 {
			t.Errorf("%d rows of sketches", n)
		}
		c, err := s.Controller(t.Context(), netip.MustParseAddr("192.0.2.1"), "registrar")
		if err != nil || c.Lines < 196 || c.Lines > 204 || c.Review != 0 {
			t.Errorf("controller %+v, %v", c, err)
		}
		got := all(t, s.Controllers, Filter{}, 1)
		if len(got) != 2 || got[1].Addr != c.Addr || got[0].Addr != netip.MustParseAddr("198.51.100.9") || got[0].Lines != 8 || got[0].Review != 4 || !slices.Equal(got[0].Rings, []ID{ring}) {
			t.Errorf("controllers %+v", got)
		}
		if got := all(t, s.Controllers, Filter{Controllers: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, 5); len(got) != 1 {
			t.Errorf("by prefix %+v", got)
		}
		if got := all(t, s.Controllers, Filter{Rings: []ID{ring}}, 5); len(got) != 1 || got[0].Role != "registrar" {
			t.Errorf("by ring %+v", got)
		}
		if got := all(t, s.Controllers, Filter{Until: hour}, 5); len(got) != 0 {
			t.Errorf("seen before %+v", got)
		}
	})
}

func TestSensors(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		filled(t, s)
		admit(t, s, "west")
		health := func(seq uint64, at time.Time, version string) *reportpb.Record {
			return &reportpb.Record{Sequence: seq, Kind: &reportpb.Record_Health{Health: &reportpb.Health{
				At: stamp(at), Version: version, Catalogue: 3, Policy: 4, PacketTime: stamp(at.Add(-time.Second)), Alarms: []*reportpb.Alarm{{Id: "tap-silent"}},
			}}}
		}
		gap := func(seq, from, to, n uint64) *reportpb.Record {
			return &reportpb.Record{Sequence: seq, Kind: &reportpb.Record_Gap{Gap: &reportpb.Gap{Epoch: 1 << 63, From: from, To: to, Lost: []*reportpb.Lost{{Reason: 1, Kind: 3, Count: n}}}}}
		}
		deliverRecords(t, s, "north", health(60, noon, "1.2"), health(61, noon.Add(-time.Hour), "1.1"), gap(62, 3, 5, 3), gap(63, 3, 6, 4), gap(64, 9, 9, 1))
		deliverRecords(t, s, "north", gap(62, 3, 5, 3), gap(64, 9, 9, 1))
		d := -1500 * time.Millisecond
		if _, err := s.Ingest(t.Context(), Delivery{Sensor: "north", ReceivedAt: noon.Add(time.Minute), ClockDifference: &d}); err != nil {
			t.Fatal(err)
		}
		x, err := s.Sensor(t.Context(), "north")
		if err != nil {
			t.Fatal(err)
		}
		for version, want := range map[uint64]int{2: 1, 3: 1, 4: 0} {
			if n, newest, err := s.CatalogueAt(t.Context(), version); err != nil || n != want || want > 0 && newest != 3 {
				t.Errorf("%d have catalogue %d, up to %d, %v", n, version, newest, err)
			}
		}
		x.Health = nil
		want := Sensor{
			Name: "north", Version: "1.2", Catalogue: 3, Policy: 4, Admitted: noon, LastReport: noon.Add(time.Minute), PacketTime: noon.Add(-time.Second),
			ClockDifference: &d, CertificateEnds: noon.Add(30 * 24 * time.Hour), Missing: 5, Alarms: []string{"tap-silent"}, Findings: Census{None: 10, Review: 10},
		}
		if diff := cmp.Diff(want, x); diff != "" {
			t.Errorf("sensor (-want +got):\n%s", diff)
		}
		gs, err := s.Gaps(t.Context(), "north", 10)
		if err != nil || len(gs) != 2 {
			t.Errorf("gaps %+v, %v", gs, err)
		}
		for _, size := range []int{1, 2, 10} {
			if got := all(t, s.Sensors, Filter{}, size); len(got) != 3 || got[0].Name != "north" || got[2].Name != "west" {
				t.Errorf("sensors by %d: %+v", size, got)
			}
			if got := all(t, s.Sensors, Filter{Sensors: []string{"south"}, From: noon}, size); len(got) != 1 || got[0].Name != "south" {
				t.Errorf("named by %d: %+v", size, got)
			}
		}
	})
}

func TestCalls(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		filled(t, s)
		call := func(seq uint64, n int, end time.Time) *reportpb.Record {
			c := &reportpb.Call{FindingId: findingID(7), Id: findingID(n), Line: "10.0.0.7", Start: stamp(noon.Add(time.Duration(n) * time.Minute)), Calling: "mobile~0123456789abcdef", Controller: "198.51.100.9"}
			if !end.IsZero() {
				c.End = stamp(end)
			}
			return &reportpb.Record{Sequence: seq, Kind: &reportpb.Record_Call{Call: c}}
		}
		// The end comes before what was told earlier.
		end := noon.Add(time.Hour)
		deliverRecords(t, s, "south", call(70, 2, time.Time{}), call(71, 1, end))
		deliverRecords(t, s, "south", call(72, 1, time.Time{}), call(73, 2, end))
		cs, err := s.Calls(t.Context(), FindingID("south", findingID(7)), 10)
		if err != nil || len(cs) != 2 {
			t.Fatalf("calls %v, %v", cs, err)
		}
		for i, c := range cs {
			if !c.Call.GetEnd().AsTime().Equal(end) || !c.Call.GetStart().AsTime().Equal(noon.Add(time.Duration(i+1)*time.Minute)) || c.Call.GetCalling() != s.names.again("mobile~0123456789abcdef") {
				t.Errorf("call %d: %v", i, c.Call)
			}
		}
	})
}

// A finding that has as many calls as it may takes no others, and is told how those
// ended that it has.
func TestCallsOfAFullFinding(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		admit(t, s, "north")
		deliver(t, s, "north", 1, revisionOf(7, 1, watch, "10.0.0.7"))
		id := FindingID("north", findingID(7))
		name := func(n int) []byte { return []byte(fmt.Sprintf("call %011d", n)) }
		if err := s.within(ctx, func(x *tx) error {
			var rows []any
			body, err := s.pack.pack(&reportpb.Call{Start: stamp(noon)})
			for n := range maxCalls - 1 {
				rows = append(rows, id[:], name(n), noon.UnixNano(), int64(1), noon.UnixNano(), body)
			}
			if err == nil {
				_, err = x.run(ctx, s.sql.calls, rows)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		end := noon.Add(time.Hour)
		call := func(seq uint64, n int) *reportpb.Record {
			return &reportpb.Record{Sequence: seq, Kind: &reportpb.Record_Call{Call: &reportpb.Call{FindingId: findingID(7), Id: name(n), Line: "10.0.0.7", Start: stamp(noon), End: stamp(end)}}}
		}
		deliverRecords(t, s, "north", call(1, 3), call(2, maxCalls+1), call(3, maxCalls+2), call(4, maxCalls+3), call(5, 5))
		deliverRecords(t, s, "north", call(6, 9), call(7, maxCalls+4))
		have := map[int]bool{}
		cs, err := s.Calls(ctx, id, 2*maxCalls)
		if err != nil || len(cs) != maxCalls {
			t.Fatalf("%d calls, %v; want %d", len(cs), err, maxCalls)
		}
		for _, c := range cs {
			if c.Call.GetEnd() != nil {
				var n int
				fmt.Sscanf(string(c.Call.GetId()), "call %d", &n)
				have[n] = true
			}
		}
		if diff := cmp.Diff(map[int]bool{3: true, 5: true, 9: true, maxCalls + 1: true}, have); diff != "" {
			t.Errorf("calls that are told to have ended (-want +got):\n%s", diff)
		}
		if n := s.Counters().Cut; n != 3 {
			t.Errorf("%d counted as cut, want 3", n)
		}
	})
}

// How many controllers did not fit into an hour is kept, once.
func TestControllersLeft(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north", "south")
		hour := func(seq, left uint64) *reportpb.Record {
			return &reportpb.Record{Sequence: seq, Kind: &reportpb.Record_Controllers{Controllers: &reportpb.ControllerSketch{Hour: stamp(noon), Left: left}}}
		}
		for range 2 {
			deliverRecords(t, s, "north", hour(1, 40), hour(2, 2), hour(3, 0))
		}
		for name, want := range map[string]uint64{"north": 42, "south": 0} {
			if x, err := s.Sensor(t.Context(), name); err != nil || x.ControllersLeft != want {
				t.Errorf("%s left out %d, %v; want %d", name, x.ControllersLeft, err, want)
			}
		}
		if _, err := s.Expire(t.Context(), noon.Add(8*24*time.Hour), Retention{}, nil); err != nil {
			t.Fatal(err)
		}
		if x, err := s.Sensor(t.Context(), "north"); err != nil || x.ControllersLeft != 0 {
			t.Errorf("%d after its hours went, %v", x.ControllersLeft, err)
		}
	})
}
