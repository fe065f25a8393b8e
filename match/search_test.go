package match

import (
	"bytes"
	"encoding/csv"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

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
	calls, records := box(rand.New(rand.NewPCG(4, 4)), "a")
	lines := func() []*Line { return NewLines(calls, noon, noon+int64(time.Hour)) }
	once := find(t, lines(), Options{ClockError: 10 * time.Second}, records)
	twice := find(t, lines(), Options{ClockError: 10 * time.Second}, append(records, records...))
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
	if _, err := s.Result(); err != ErrChanged {
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
