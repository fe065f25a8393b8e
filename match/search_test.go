package match

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/reportpb"
)

// box gives a line's calls and the records of the card that carried every third.
func box(r *rand.Rand, card string) (calls []*reportpb.Call, records []*Record) {
	p := process{perHour: 60, length: 50 * time.Second, varies: 0.8, channels: 8}
	for i, c := range p.draw(r, noon, noon+int64(time.Hour)) {
		calls = append(calls, call("line", c[0], c[1]))
		if i%3 == 0 {
			records = append(records, made(card, c[0]+6e9, c[1]+6e9+r.Int64N(9e8)))
		}
	}
	return calls, records
}

// A call that is recorded twice is one coincidence, and records before and after
// what was observed are none at all.
func TestDoubledRecords(t *testing.T) {
	for legs := 1; legs <= 2; legs++ {
		t.Run(fmt.Sprint(legs, " legs"), func(t *testing.T) { doubledRecords(t, legs) })
	}
}

// doubledRecords tries a line on which each call has some legs.
func doubledRecords(t *testing.T, legs int) {
	calls, records := box(rand.New(rand.NewPCG(4, 4)), "a")
	calls = slices.Repeat(calls, legs)
	lines := func() []*Line { return NewLines(calls, noon, noon+int64(time.Hour)) }
	once := find(t, lines(), Options{ClockError: 10 * time.Second}, records)
	twice := find(t, lines(), Options{ClockError: 10 * time.Second}, slices.Concat(records, records))
	if len(once.Matches) != 1 || len(twice.Matches) != 1 {
		t.Fatalf("%d and %d cards named, want one", len(once.Matches), len(twice.Matches))
	}
	if a, b := once.Matches[0], twice.Matches[0]; a.Coincide != b.Coincide || a.E != b.E {
		t.Errorf("once %+v\ntwice %+v", a, b)
	}
	if m := once.Matches[0]; m.Offset < -8*time.Second || m.Offset > -4*time.Second {
		t.Errorf("offset %v, want about -6s", m.Offset)
	}
	outside := find(t, lines(), Options{ClockError: time.Second}, records)
	if len(outside.Matches) > 0 {
		t.Errorf("named beyond the clock's bound: %+v", outside.Matches)
	}
}

// Whoever often calls a line, or is called by it or by the cards behind it, goes
// with its calls as such a card does, and is not named.
func TestFarEnds(t *testing.T) {
	const inbound, outbound, unknown = reportpb.Direction_DIRECTION_INBOUND, reportpb.Direction_DIRECTION_OUTBOUND, reportpb.Direction_DIRECTION_UNSPECIFIED
	number := func(i int) string { return fmt.Sprint(13800138000 + i*1000003) }
	same := func(int) string { return "01066554433" }
	none := func(int) string { return "" }
	for name, c := range map[string]struct {
		line            reportpb.Direction
		card            Direction
		calling, called func(int) string // in the records
		asked           func(int) string // on the line
		named, told     int              // cards named, and told of as called
	}{
		"a card of a gateway":                    {inbound, Outgoing, same, number, number, 1, 0},
		"of an encrypted gateway":                {unknown, Outgoing, same, number, none, 1, 0},
		"records without numbers":                {inbound, Outgoing, none, none, none, 1, 0},
		"a card that is called for a gateway":    {outbound, Incoming, number, same, none, 1, 0},
		"whoever often calls an honest line":     {inbound, Outgoing, none, same, same, 0, 0},
		"and that is encrypted":                  {unknown, Outgoing, none, same, none, 0, 0},
		"and records tell no direction":          {unknown, Unknown, none, same, none, 0, 0},
		"whom an honest line calls":              {outbound, Incoming, same, same, none, 0, 0},
		"from many numbers":                      {outbound, Incoming, number, same, same, 0, 1},
		"from hidden ones":                       {outbound, Incoming, none, same, none, 0, 0},
		"whom an encrypted gateway's cards call": {unknown, Incoming, number, same, none, 0, 0},
		"and records tell not that":              {unknown, Unknown, number, same, none, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			calls, records := box(rand.New(rand.NewPCG(8, 8)), "a")
			for i, k := range calls {
				k.Direction, k.Called = c.line, c.asked(i/3)
			}
			for i, r := range records {
				r.Direction, r.Calling, r.Called = c.card, []byte(c.calling(i)), []byte(c.called(i))
			}
			res := find(t, NewLines(calls, noon, noon+int64(time.Hour)), Options{ClockError: 10 * time.Second, Number: func(s string) string { return s }}, records)
			if len(res.Matches) != c.named || len(res.Called) != c.told {
				t.Errorf("named %+v, called %+v; want %d and %d", res.Matches, res.Called, c.named, c.told)
			}
			for _, m := range res.Matches {
				if m.Nameless != (name == "records without numbers") {
					t.Errorf("%+v", m)
				}
			}
		})
	}
}

// Cards of the first records are held to how many there are by then.
func TestEnoughEarly(t *testing.T) {
	calls, _ := box(rand.New(rand.NewPCG(6, 6)), "a")
	s, err := NewSearch(NewLines(calls, 0, 0), Options{ClockError: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		s.First(made(fmt.Sprint("card ", i), noon+int64(i)*1e9, noon+int64(i)*1e9+30e9))
	}
	if want := s.threshold(400); s.enough < want {
		t.Errorf("%.1f nats are enough, want %.1f", s.enough, want)
	}
}

// Times that are no times of calls have no nanoseconds.
func TestTimesBeyond(t *testing.T) {
	at := func(s int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: s} }
	var calls []*reportpb.Call
	for _, s := range []int64{-62135596800, -1, 0, 9_300_000_000, 253402300000} {
		calls = append(calls, &reportpb.Call{Line: "a", Answered: at(s), End: at(s + 60)})
	}
	for _, l := range NewLines(calls, 0, 0) {
		if len(l.Events) > 0 || l.Unsure != len(calls) {
			t.Errorf("%+v", l)
		}
	}
}

// A line and a card that keep one timetable are not named, whether their calls are
// all of one length or of some lengths that each draws for itself.
func TestTimetables(t *testing.T) {
	counted := 0
	for _, period := range []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, time.Hour} {
		for lengths := 1; lengths <= 3; lengths += 2 {
			r := rand.New(rand.NewPCG(5, 5))
			var calls []*reportpb.Call
			var records []*Record
			for at := noon; at < noon+int64(60*period); at += int64(period) {
				length := func() int64 { return seconds(20 + 60*float64(r.IntN(lengths))) }
				calls = append(calls, call("line", at+r.Int64N(1e9), at+length()))
				records = append(records, made("machine", at+r.Int64N(1e9), at+length()))
			}
			res := find(t, NewLines(calls, noon, noon+int64(60*period)), Options{ClockError: 10 * time.Second}, records)
			if len(res.Matches) > 0 {
				t.Errorf("every %v, %d lengths: named: %+v", period, lengths, res.Matches)
			}
			counted += len(res.Timetables)
		}
	}
	if counted == 0 {
		t.Error("no timetable was counted: the test tries nothing")
	}
}

// Whoever stops a search does not wait for the weighing.
func TestStopped(t *testing.T) {
	calls, records := box(rand.New(rand.NewPCG(6, 6)), "a")
	s, err := NewSearch(NewLines(calls, 0, 0), Options{ClockError: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, take := range []func(*Record){s.First, s.Second} {
		for _, r := range records {
			take(r)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if r, err := s.Result(ctx); !errors.Is(err, context.Canceled) || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// What was read must be read again.
func TestChangedRecords(t *testing.T) {
	calls, records := box(rand.New(rand.NewPCG(6, 6)), "a")
	s, err := NewSearch(NewLines(calls, 0, 0), Options{ClockError: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		s.First(r)
	}
	if _, err := s.Result(t.Context()); err != ErrChanged {
		t.Errorf("%v, want %v", err, ErrChanged)
	}
}

func TestHarmlessCSV(t *testing.T) {
	r := &Result{Matches: []Match{{Line: "203.0.113.7", Card: "=1+1", MSISDN: "+8613800138000", Cells: []string{"@SUM(A1)", `a";=b`}, Coincide: 5, Records: 6}}}
	same := func(s string) string { return s }
	var b bytes.Buffer
	if err := WriteCSV(&b, r, Names{Card: same, MSISDN: same, Kind: IMSI, Authority: "-case"}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 2 || len(rows[1]) != len(rows[0]) {
		t.Fatalf("%v, %q", err, rows)
	}
	for i, cell := range rows[1] {
		if strings.ContainsAny(cell[:min(len(cell), 1)], "=+-@\t\r") && rows[0][i] != "e_log10" && rows[0][i] != "clock_s" {
			t.Errorf("%s: a formula: %q", rows[0][i], cell)
		}
	}
}
