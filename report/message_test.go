package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/report/reportpb"
)

// roundTrip takes a line of JSON through the message's bytes and back.
func roundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, line []byte) (wire int) {
	t.Helper()
	m, err := ParseJSON(line)
	if err != nil {
		t.Fatalf("%v\n%s", err, line)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var again reportpb.Finding
	if err := proto.Unmarshal(b, &again); err != nil {
		t.Fatalf("%v", err)
	}
	if got := AppendMessage(nil, &again); !bytes.Equal(got, line) {
		t.Fatalf("through the message:\n%s", cmp.Diff(string(line), string(got)))
	}
	return len(b)
}

// TestMessageOfEveryCase takes what replay prints of every case through the
// message and back, and says how big findings are on the way to a hub.
func TestMessageOfEveryCase(t *testing.T) {
	files, err := filepath.Glob("../cases/*/expected.json")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	count := map[reportpb.Verdict]int{}
	wire := map[reportpb.Verdict]int{}
	text := map[reportpb.Verdict]int{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			size := roundTrip(t, line)
			m, err := ParseJSON(line)
			if err != nil {
				t.Fatal(err)
			}
			count[m.Verdict]++
			wire[m.Verdict] += size
			text[m.Verdict] += len(line)
		}
	}
	for v := reportpb.Verdict_VERDICT_NONE; v <= reportpb.Verdict_VERDICT_CASE; v++ {
		n := count[v]
		if n == 0 {
			t.Errorf("no finding at %v", v)
			continue
		}
		t.Logf("%s: %d findings, on average %d bytes as a message, %d as JSON", verdictName(v), n, wire[v]/n, text[v]/n)
	}
}

// full is a finding of which everything is told.
func full() (heuristics.Finding, Options) {
	f := box()
	f.Subscriber = ident.NewSubscriber([]byte("customer 4711"))
	f.Declared = true
	f.Hellos = hellos()
	o := options("case 2026-114")
	o.OneIn = 1000
	return f, o
}

// jsonKeys lists the keys of an object in their order, those within behind a dot.
func jsonKeys(t *testing.T, data []byte) []string {
	t.Helper()
	var keys []string
	seen := map[string]bool{}
	dec := json.NewDecoder(bytes.NewReader(data))
	token := func() json.Token {
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	var value func(path string)
	value = func(path string) {
		switch token() {
		case json.Delim('{'):
			for dec.More() {
				key := path + token().(string)
				if !seen[key] {
					seen[key] = true
					keys = append(keys, key)
				}
				value(key + ".")
			}
			token()
		case json.Delim('['):
			for dec.More() {
				value(path)
			}
			token()
		}
	}
	value("")
	return keys
}

func messageKeys(d protoreflect.MessageDescriptor, path string) []string {
	var keys []string
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		key := path + string(field.Name())
		keys = append(keys, key)
		if sub := field.Message(); sub != nil && sub.FullName() != "google.protobuf.Timestamp" {
			keys = append(keys, messageKeys(sub, key+".")...)
		}
	}
	return keys
}

// TestKeysOfJSONAndMessage holds the two forms to the same fields in the same
// order.
func TestKeysOfJSONAndMessage(t *testing.T) {
	f, o := full()
	want := jsonKeys(t, AppendJSON(nil, &f, o))
	got := messageKeys((&reportpb.Finding{}).ProtoReflect().Descriptor(), "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of JSON and fields of the message differ (-JSON +message):\n%s", diff)
	}
	if len(got) < 50 {
		t.Errorf("only %d fields were compared", len(got))
	}
}

// TestMessageTellsEverything fails when a field of the message is never filled,
// and when a finding has got one that nobody has decided about.
func TestMessageTellsEverything(t *testing.T) {
	f, o := full()
	filled := map[string]bool{}
	var walk func(m protoreflect.Message, path string)
	walk = func(m protoreflect.Message, path string) {
		m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			key := path + string(field.Name())
			filled[key] = true
			switch {
			case field.Message() == nil:
			case field.IsList():
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message(), key+".")
				}
			default:
				walk(v.Message(), key+".")
			}
			return true
		})
	}
	m := Message(&f, o)
	walk(m.ProtoReflect(), "")
	for _, key := range messageKeys(m.ProtoReflect().Descriptor(), "") {
		if !filled[key] {
			t.Errorf("Message leaves out %s", key)
		}
	}

	told := strings.Fields("Line Verdict Proof Score Margin Nearest Declared Device Controllers Cards Calls Signals Unseen Links Hellos First Last Subscriber")
	// What goes beside a finding, in FindingRevision, or not at all.
	beside := strings.Fields("PeakScore PeakMargin AgainstHome Reached Evidence EpochStart Told Before Standings Hub")
	var want []string
	for i := range reflect.TypeFor[heuristics.Finding]().NumField() {
		want = append(want, reflect.TypeFor[heuristics.Finding]().Field(i).Name)
	}
	if diff := cmp.Diff(want, append(told, beside...), cmp.Transformer("set", func(s []string) map[string]bool {
		set := map[string]bool{}
		for _, v := range s {
			set[v] = true
		}
		return set
	})); diff != "" {
		t.Errorf("fields of a finding (-there +decided about):\n%s", diff)
	}
}

func TestMessageProperty(t *testing.T) {
	number := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0.0005, 1e12, -1e300}), rapid.Float64Range(-100, 100))
	some := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }), rapid.Just("\ufffd\xff\xed\xa0\x80"))
	amount := rapid.OneOf(rapid.IntRange(0, 1000), rapid.Int())
	rapid.Check(t, func(t *rapid.T) {
		text := func() string { return some.Draw(t, "text") }
		f := heuristics.Finding{
			Line:    ident.Line{Addr: addr("203.0.113.7"), Realm: ident.Realm(rapid.IntRange(0, 1).Draw(t, "realm"))},
			Verdict: heuristics.Verdict(rapid.IntRange(0, 3).Draw(t, "verdict")), Proof: rapid.Bool().Draw(t, "proof"),
			Score: number.Draw(t, "score"), Margin: number.Draw(t, "margin"), Nearest: text(),
			Device: heuristics.Device{Vendor: text(), Model: text(), Channels: amount.Draw(t, "channels")},
			Calls:  heuristics.Calls{Inbound: amount.Draw(t, "inbound"), TalkSeconds: amount.Draw(t, "seconds")},
			Links: heuristics.Links{Stack: rapid.Uint64().Draw(t, "stack"), Contact: text(), CNAME: ident.NewCNAME([]byte(text())),
				ClockPPM: number.Draw(t, "clock"), ClockErrorPPM: number.Draw(t, "error")},
			First: rapid.Int64().Draw(t, "first"), Last: rapid.Int64().Draw(t, "last"),
			Subscriber: ident.NewSubscriber([]byte(text())),
		}
		for range rapid.IntRange(0, 3).Draw(t, "rows") {
			f.Signals = append(f.Signals, heuristics.Row{ID: text(), Family: text(), Nats: number.Draw(t, "nats"), Against: text(), Detail: text()})
			f.Unseen = append(f.Unseen, text())
			f.Controllers = append(f.Controllers, heuristics.Controller{Addr: addr("2001:db8::9"), Role: text()})
			f.Cards = append(f.Cards, heuristics.Card{MSISDN: ident.NewNumber([]byte(text()))})
			f.Links.Accounts = append(f.Links.Accounts, ident.NewAccount([]byte(text())))
			f.Links.Active = append(f.Links.Active, heuristics.Span{From: rapid.Int64().Draw(t, "from"), To: rapid.Int64().Draw(t, "to")})
		}
		o := options(rapid.SampledFrom([]string{"", "case 2026-114"}).Draw(t, "authority"))
		o.OneIn = rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "one in")

		line := AppendJSON(nil, &f, o)
		roundTrip(t, line)
		parsed, err := ParseJSON(line)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Message(&f, o), parsed, protocmp.Transform()); diff != "" {
			t.Fatalf("the message and what its JSON says (-message +JSON):\n%s", diff)
		}
	})
}

// TestMessageOfANewerSchema keeps what this version does not know.
func TestMessageOfANewerSchema(t *testing.T) {
	f, o := full()
	m := Message(&f, o)
	m.Verdict = 9
	m.Device.ProtoReflect().SetUnknown([]byte{0xa2, 0x06, 3, 'n', 'e', 'w'}) // field 100
	m.ProtoReflect().SetUnknown([]byte{0xa0, 0x06, 7})
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var again reportpb.Finding
	if err := proto.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, &again, protocmp.Transform()); diff != "" {
		t.Errorf("after the wire (-want +got):\n%s", diff)
	}
	if got := again.GetDevice().ProtoReflect().GetUnknown(); len(got) != 6 {
		t.Errorf("unknown field of the device: %x", got)
	}
	line := AppendMessage(nil, &again)
	if !bytes.Contains(line, []byte(`"verdict":"9"`)) {
		t.Errorf("a verdict not known: %s", line)
	}
	roundTrip(t, line)
}

// TestAppendMessageOfAnything writes JSON whatever a sensor has sent.
func TestAppendMessageOfAnything(t *testing.T) {
	nan := math.NaN()
	for _, m := range []*reportpb.Finding{
		nil,
		{},
		{Score: &nan, FirstSeen: &timestamppb.Timestamp{Seconds: math.MaxInt64}, Cards: []*reportpb.Card{nil}, Signals: []*reportpb.Signal{nil}, Links: &reportpb.Links{Active: []*reportpb.Span{nil, {}}}, Line: "\xff\x1b"},
	} {
		line := AppendMessage(nil, m)
		if !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
		roundTrip(t, line)
	}
}

func TestParseJSONRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":        ``,
		"no object":      `[]`,
		"no verdict":     `{"line":"x"}`,
		"unknown word":   `{"verdict":"guilty"}`,
		"padded number":  `{"verdict":"07"}`,
		"unknown key":    `{"verdict":"case","guilty":true}`,
		"text as number": `{"verdict":"case","proof":"yes"}`,
		"bad time":       `{"verdict":"case","first_seen":"yesterday"}`,
		"two objects":    `{"verdict":"case"}{}`,
	} {
		if m, err := ParseJSON([]byte(s)); err == nil {
			t.Errorf("%s: taken as %v", name, m)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, finding := range findings() {
		f.Add(AppendJSON(nil, &finding, options("")))
	}
	f.Add([]byte(`{"verdict":"9","first_seen":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseJSON(data)
		if err != nil {
			return
		}
		line := AppendMessage(nil, m)
		again, err := ParseJSON(line)
		if err != nil {
			t.Fatal(fmt.Errorf("%w\n%s", err, line))
		}
		if got := AppendMessage(nil, again); !bytes.Equal(got, line) {
			t.Fatalf("written twice:\n%s\n%s", line, got)
		}
	})
}
