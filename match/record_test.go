package match

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(s string) int64 {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

// readAll reads records of a mapping; steps not told are a second.
func readAll(t *testing.T, m Mapping, text string) ([]Record, Counters) {
	t.Helper()
	f, err := m.Format()
	if err != nil {
		t.Fatal(err)
	}
	if f.step == 0 {
		f.step = time.Second
	}
	if f.lengthStep == 0 {
		f.lengthStep = time.Second
	}
	r := NewReader(strings.NewReader(text), f)
	var list []Record
	for {
		var rec Record
		err := r.Next(&rec)
		if errors.Is(err, io.EOF) {
			return list, r.Counters
		}
		if err != nil {
			t.Fatal(err)
		}
		rec.Card, rec.Called, rec.Calling, rec.Cell = bytes.Clone(rec.Card), bytes.Clone(rec.Called), bytes.Clone(rec.Calling), bytes.Clone(rec.Cell)
		list = append(list, rec)
	}
}

func TestRecords(t *testing.T) {
	const imsi = "460001234567890"
	nine := at("2026-11-23T09:00:00Z")
	sec := int64(time.Second)
	// A call answered at nine that took 65 seconds, all told in seconds.
	usual := Record{Card: []byte(imsi), Answered: true, Start: nine, StartTo: nine + sec,
		Shortest: 64 * sec, Longest: 66 * sec, End: nine + 64*sec, EndTo: nine + 67*sec}
	base := Mapping{Card: "imsi", Answer: "answer", Duration: "seconds"}
	with := func(change func(*Mapping)) Mapping { m := base; change(&m); return m }
	for name, x := range map[string]struct {
		m    Mapping
		text string
		want Record
	}{
		"plain":      {base, "imsi,answer,seconds\n" + imsi + ",2026-11-23 09:00:00,65\n", usual},
		"a mark":     {base, "\xef\xbb\xbfIMSI;Answer;Seconds\r\n\"" + imsi + "\";2026-11-23T09:00:00;65.0\r\n", usual},
		"tabs":       {with(func(m *Mapping) { m.Separator = "tab" }), "imsi\tanswer\tseconds\n" + imsi + "\t2026/11/23 09:00:00\t0:01:05\n", usual},
		"numbers":    {Mapping{Card: "1", Kind: IMSI, Answer: "2", Duration: "3"}, imsi + "|20261123090000|1:05\n", usual},
		"unix":       {base, "imsi,answer,seconds\n" + imsi + ",1795424400,65\n", usual},
		"unixms":     {with(func(m *Mapping) { m.Unit = "ms" }), "imsi,answer,seconds\n" + imsi + ",1795424400000,65000\n", usual},
		"a zone":     {with(func(m *Mapping) { m.Zone = "Asia/Shanghai" }), "imsi,answer,seconds\n" + imsi + ",2026-11-23 17:00:00,65\n", usual},
		"a distance": {with(func(m *Mapping) { m.Zone = "-03:30" }), "imsi,answer,seconds\n" + imsi + ",2026-11-23 05:30:00,65\n", usual},
		"own zone":   {with(func(m *Mapping) { m.Zone = "+08:00" }), "imsi,answer,seconds\n" + imsi + ",2026-11-23T11:00:00+02:00,65\n", usual},
		"a pattern":  {with(func(m *Mapping) { m.Time = "DD.MM.YY hh:mm:ss" }), "imsi,answer,seconds\n" + imsi + ",23.11.26 09:00:00,65\n", usual},
		"minutes begun": {with(func(m *Mapping) { m.DurationStep = "1m" }), "imsi,answer,seconds\n" + imsi + ",2026-11-23 09:00:00,120\n",
			Record{Card: []byte(imsi), Answered: true, Start: nine, StartTo: nine + sec, Shortest: 60 * sec, Longest: 120 * sec, End: nine + 60*sec, EndTo: nine + 121*sec}},
		"times of minutes": {with(func(m *Mapping) { m.TimeStep = "1m" }), "imsi,answer,seconds\n" + imsi + ",2026-11-23 09:00,65\n",
			Record{Card: []byte(imsi), Answered: true, Start: nine, StartTo: nine + 60*sec, Shortest: 64 * sec, Longest: 66 * sec, End: nine + 64*sec, EndTo: nine + 126*sec}},
		"an end and a duration": {Mapping{Card: "imsi", End: "end", Duration: "seconds"}, "imsi,end,seconds\n" + imsi + ",2026-11-23 09:01:05,65\n",
			Record{Card: []byte(imsi), Answered: true, Start: nine - sec, StartTo: nine + 2*sec, Shortest: 64 * sec, Longest: 66 * sec, End: nine + 65*sec, EndTo: nine + 66*sec}},
		"an answer and an end": {Mapping{Card: "imsi", Answer: "answer", End: "end"}, "imsi,answer,end\n" + imsi + ",2026-11-23 09:00:00,2026-11-23 09:01:05\n",
			Record{Card: []byte(imsi), Answered: true, Start: nine, StartTo: nine + sec, Shortest: 64 * sec, Longest: 66 * sec, End: nine + 65*sec, EndTo: nine + 66*sec}},
	} {
		t.Run(name, func(t *testing.T) {
			got, c := readAll(t, x.m, x.text)
			if len(got) != 1 || c.Bad.Count > 0 {
				t.Fatalf("%d records, bad: %v", len(got), c.Bad)
			}
			if diff := cmp.Diff(x.want, got[0]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A bad row is counted with its line and reason, holds nothing of itself there,
// and costs no other row.
func TestBadRows(t *testing.T) {
	m := Mapping{Card: "imsi", Answer: "answer", Duration: "seconds", Direction: "way", Called: "called"}
	rows := []struct{ row, reason string }{
		{"460001234567890,2026-11-23 09:00:00,65,MO,1", ""},
		{"460001234567890", errMissing.Error()},
		{",2026-11-23 09:00:00,65,MO,1", errNoCard.Error()},
		{"=cmd(),2026-11-23 09:00:00,65,MO,1", errCard.Error()},
		{"460001234567890,yesterday,65,MO,1", errTime.Error()},
		{"460001234567890,2026-11-23 09:00:00,-5,MO,1", errDuration.Error()},
		{"460001234567890,2026-11-23 09:00:00,NaN,MO,1", errDuration.Error()},
		{"460001234567890,0001-01-01 00:00:00,65,MO,1", errTime.Error()},
		{`460001234567890,2026-11-23 09:00:00,65,MO,"1`, errQuote.Error()},
		{strings.Repeat("9", maxRow+5), errLong.Error()},
		{strings.Repeat(",", maxFields+5), errFields.Error()},
		{"460001234567890,2026-11-23 09:00:00,65,call forwarding,1", "other"},
		{"460001234567890,2026-11-23 09:00:00,0,MO,1", "unanswered"},
		{"460001234567890,,65,MO,1", "unanswered"},
		{"460001234567890,2026-11-23 09:00:00,65,mt,1", ""},
	}
	for _, x := range rows {
		got, c := readAll(t, m, "imsi,answer,seconds,way,called\n"+x.row+"\n460001234567891,2026-11-23 09:00:00,65,MO,1\n")
		var reason string
		switch {
		case c.Bad.Count == 1:
			reason = c.Bad.First[0].Reason
			if c.Bad.First[0].Line != 2 {
				t.Errorf("%.40q: line %d", x.row, c.Bad.First[0].Line)
			}
		case c.Other == 1:
			reason = "other"
		case c.Unanswered == 1:
			reason = "unanswered"
		}
		if reason != x.reason || c.Rows != 2 {
			t.Errorf("%.40q: %q, %d rows; want %q, 2", x.row, reason, c.Rows, x.reason)
		}
		if len(got) == 0 || string(got[len(got)-1].Card) != "460001234567891" {
			t.Errorf("%.40q: the next row is lost", x.row)
		}
		if strings.Contains(reason, "46000") {
			t.Errorf("%q tells a card", reason)
		}
	}
}

func TestMappings(t *testing.T) {
	for name, x := range map[string]struct{ text, field string }{
		"whole":           {"card: imsi\nanswer: a\nduration: d\nheader: true\nseparator: ';'\n", ""},
		"json":            {`{"card": "imsi", "answer": "a", "end": "e", "outgoing": ["1"], "incoming": ["2"]}`, ""},
		"no card":         {"answer: a\nduration: d\n", "card"},
		"no time":         {"card: imsi\nduration: d\n", "answer"},
		"no end":          {"card: imsi\nanswer: a\n", "duration"},
		"no kind":         {"card: sim\nanswer: a\nduration: d\n", "kind"},
		"odd kind":        {"card: sim\nkind: imei\nanswer: a\nduration: d\n", "kind"},
		"column 0":        {"card: 0\nkind: imsi\nanswer: a\nduration: d\n", "card"},
		"names, no names": {"card: imsi\nheader: false\nanswer: a\nduration: d\n", "header"},
		"odd separator":   {"card: imsi\nanswer: a\nduration: d\nseparator: '::'\n", "separator"},
		"odd zone":        {"card: imsi\nanswer: a\nduration: d\nzone: Mars/Olympus\n", "zone"},
		"odd time":        {"card: imsi\nanswer: a\nduration: d\ntime: YYYY-MM-DD\n", "time"},
		"odd pattern":     {"card: imsi\nanswer: a\nduration: d\ntime: 2006-01-02\n", "time"},
		"odd step":        {"card: imsi\nanswer: a\nduration: d\ntime-step: 1h\n", "time-step"},
		"odd clock":       {"card: imsi\nanswer: a\nduration: d\nclock-error: -1s\n", "clock-error"},
		"odd unit":        {"card: imsi\nanswer: a\nduration: d\nunit: h\n", "unit"},
	} {
		m, err := ReadMapping(strings.NewReader(x.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = m.Format()
		field := ""
		if bad, ok := errors.AsType[*MappingError](err); ok {
			field = bad.Field
		}
		if field != x.field || err != nil && field == "" {
			t.Errorf("%s: %v, want an error of %q", name, err, x.field)
		}
	}
	if _, err := ReadMapping(strings.NewReader("card: imsi\nanwser: a\n")); err == nil || !strings.Contains(err.Error(), "anwser") {
		t.Errorf("a field that is not there: %v", err)
	}
}

func TestInspect(t *testing.T) {
	head := "imsi,answer,seconds\n"
	var minutes, seconds, sixes strings.Builder
	for i := range 40 {
		c := time.Unix(1795424400, 0).UTC().Add(time.Duration(i*37+i%5) * time.Second)
		const layout = "2006-01-02 15:04:05"
		minutes.WriteString("460001234567890," + c.Truncate(time.Minute).Format(layout) + ",60\n")
		seconds.WriteString("460001234567890," + c.Format(layout) + "," + string(rune('1'+i%9)) + "\n")
		sixes.WriteString("460001234567890," + c.Format(layout) + "," + []string{"6", "12", "18"}[i%3] + "\n")
	}
	for name, x := range map[string]struct {
		text         string
		times, spans time.Duration
	}{
		"minutes": {head + minutes.String(), time.Minute, time.Minute},
		"seconds": {head + seconds.String(), time.Second, time.Second},
		"sixes":   {head + sixes.String(), time.Second, 6 * time.Second},
	} {
		f, err := (&Mapping{Card: "imsi", Answer: "answer", Duration: "seconds"}).Format()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Inspect(strings.NewReader(x.text), f)
		if err != nil || s.TimeStep != x.times || s.DurationStep != x.spans {
			t.Errorf("%s: %+v, %v; want %v and %v", name, s, err, x.times, x.spans)
		}
	}
	f, _ := (&Mapping{Card: "imsi", Answer: "when", Duration: "seconds"}).Format()
	if _, err := Inspect(strings.NewReader(head+seconds.String()), f); err == nil || !strings.Contains(err.Error(), `"answer"`) {
		t.Errorf("a column that is not there: %v", err)
	}
	f, _ = (&Mapping{Card: "imsi", Answer: "answer", Duration: "seconds"}).Format()
	if _, err := Inspect(strings.NewReader("\xff\xfei\x00m\x00"), f); !errors.Is(err, errUTF16) {
		t.Errorf("UTF-16: %v", err)
	}
	if _, err := Inspect(strings.NewReader(head+"a,b,c\n"), f); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("no row: %v", err)
	}
}

// Whatever the bytes, reading ends, gives each row its due and keeps bounds.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("imsi,answer,seconds,way\n460001234567890,2026-11-23 09:00:00,65,MO\n"), "", "", "s")
	f.Add([]byte("\xef\xbb\xbfimsi;answer;seconds;way\r\n\"46000\"\"1\";1795424400;1:05;mt\r\n\"\n"), "DD.MM.YYYY hh:mm", "Asia/Shanghai", "ms")
	f.Add([]byte("imsi\tanswer\tseconds\tway\n\x00\t\t\t\n"), "unix", "+08:00", "min")
	f.Add([]byte("imsi,answer,seconds,way\n460001234567890,9999999999,1e300,MO\n460001234567890,2026-11-23T09:00:00+99:99,0x1p-2,MO"), "rfc3339", "-1", "")
	f.Fuzz(func(t *testing.T, file []byte, layout, zone, unit string) {
		m := Mapping{Card: "imsi", Answer: "answer", Duration: "seconds", Direction: "way", Time: layout, Zone: zone, Unit: unit}
		format, err := m.Format()
		if err != nil {
			return
		}
		if _, err := Inspect(bytes.NewReader(file), format); err != nil {
			return
		}
		r := NewReader(bytes.NewReader(file), format)
		var rec Record
		n := uint64(0)
		for {
			if err := r.Next(&rec); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatalf("it could be inspected, and then: %v", err)
				}
				break
			}
			n++
			if rec.Answered && (rec.Start > rec.StartTo || rec.End > rec.EndTo || rec.Shortest > rec.Longest || rec.Shortest < 0 || rec.Longest > 2*maxCall || rec.StartTo <= 0) {
				t.Fatalf("bounds of %+v", rec)
			}
		}
		if r.Rows != n+r.Bad.Count+r.Other || int64(r.Rows) > int64(bytes.Count(file, []byte("\n")))+1 {
			t.Fatalf("%d records of %+v", n, r.Counters)
		}
	})
}

// FuzzCalls reads calls of any bytes, and writes what it read as it was.
func FuzzCalls(f *testing.F) {
	f.Add([]byte(`{"line":"203.0.113.7","direction":"DIRECTION_INBOUND","answered":"2026-11-23T09:00:00Z","end":"2026-11-23T09:01:00Z"}` + "\n{}\nx\n"))
	f.Add([]byte(`{"line":"a","answered":"9999-12-31T23:59:59.999999999Z","end":"0001-01-01T00:00:00Z","startUncertaintyNs":"18446744073709551615"}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		calls, _, err := ReadCalls(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteCalls(&b, calls); err != nil {
			t.Fatal(err)
		}
		again, bad, err := ReadCalls(&b)
		if err != nil || bad.Count > 0 || len(again) != len(calls) {
			t.Fatalf("%d calls became %d, %d bad: %v", len(calls), len(again), bad.Count, err)
		}
		for _, l := range NewLines(calls, 0, 0) {
			for i := range l.Events {
				if l.Events[i].End <= l.Events[i].Answer {
					t.Fatalf("a call of no length: %+v", l.Events[i])
				}
			}
		}
	})
}
