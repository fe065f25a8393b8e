package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rivo/uniseg"
	"pgregory.net/rapid"

	"simtrap/heuristics"
	"simtrap/ident"
)

// -update writes the golden files anew.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	os.Exit(m.Run())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if update() {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

func addr(s string) ident.Addr {
	a, ok := ident.ParseAddr([]byte(s))
	if !ok {
		panic("no address: " + s)
	}
	return a
}

func must[T any](v T, ok bool) T {
	if !ok {
		panic("not valid")
	}
	return v
}

func names(authority string) *ident.Pseudonymizer {
	return ident.NewPseudonymizer([]byte("a key of thirty-two bytes, fixed"), authority)
}

var start = time.Date(2026, 11, 23, 10, 0, 2, 500_000_000, time.UTC)

// box is a gateway by proof with everything filled in.
func box() heuristics.Finding {
	f := heuristics.Finding{
		Line: ident.Line{Addr: addr("203.0.113.7")}, Verdict: heuristics.Case, Proof: true,
		Score: 21.43719, Margin: 9.80051, PeakScore: 22.1, PeakMargin: 9.9, AgainstHome: 17.2, Nearest: "analogue adapter",
		Device: heuristics.Device{Vendor: "DBL", Model: "GoIP-8", Channels: 8},
		Controllers: []heuristics.Controller{
			{Addr: addr("198.51.100.9"), Role: "sms-server"},
			{Addr: addr("2001:db8::9"), Role: "registrar"},
		},
		Calls: heuristics.Calls{Inbound: 1118, Outbound: 2, Answered: 97, Verified: 90, PeakConcurrent: 7, DistinctCalled: 1103, Streams: 97, TalkSeconds: 15132},
		Signals: []heuristics.Row{
			{ID: "one-leg", Family: "topology", Nats: -1.1, Against: "home", Detail: "no onward leg for any of 97 answered calls"},
			{ID: "keepalive", Family: "control", Nats: 3.2004, Against: "analogue adapter", Detail: "an SMS server at 198.51.100.9 is told every 30 s of 8 channels with 8 different IMEI, in 2,410 records that pass every check, and answers on the same flow"},
			{ID: "keepalive", Family: "control", Nats: 6.12345, Against: "home", Detail: "an SMS server at 198.51.100.9 is told every 30 s of 8 channels with 8 different IMEI, in 2,410 records that pass every check, and answers on the same flow"},
			{ID: "fan-out", Family: "fan-out", Nats: 4.2, Against: "home", Detail: "1,103 of 1,118 inbound calls went to numbers not called before"},
			{ID: "hub", Family: "hub", Nats: 2.5, Against: "hosted PBX", Detail: "the controller serves other suspect lines"},
		},
		Unseen: []string{
			"the SIM side of the calls: a tap on the Internet line cannot see the radio",
			"messages: twenty more minutes would settle whether the box sends them",
		},
		Links: heuristics.Links{
			Accounts: []ident.Account{ident.NewAccount([]byte("1001@sip.example"))},
			Stack:    0xbeef, Contact: "192.168.8.1:5060", CNAME: ident.NewCNAME([]byte("box@192.168.8.1")),
			ClockPPM: 12.34567, ClockErrorPPM: 0.4,
			Active: []heuristics.Span{{From: start.UnixNano(), To: start.Add(time.Minute).UnixNano()}},
		},
		First: start.UnixNano(), Last: start.Add(2*time.Hour + 10*time.Minute + 42*time.Second).UnixNano(),
	}
	for _, s := range []string{"460001234567890", "460001234567891", "460011234567892", "460011234567893", "460011234567894", "460011234567895", "460011234567896", "460011234567897", "460011234567898", "460011234567899"} {
		f.Cards = append(f.Cards, heuristics.Card{IMSI: must(ident.NewIMSI([]byte(s)))})
	}
	f.Cards[0].IMEI = must(ident.NewIMEI([]byte("490154203237518")))
	f.Cards[0].ICCID = must(ident.NewICCID([]byte("898600123456789012")))
	f.Cards[0].MSISDN = ident.NewNumber([]byte("13800138000"))
	return f
}

const hostileText = "A\"},{\"line\":\"x\\\n\r\t\x00\x1b[2J\x7f\x9b31m\u0085\u2028\u2029\u202e\u2066\ufeff\u200d\u200f\U000e0041<script>&\xff\xc0\xaf\u3164 e\u0301\u0302\u0303\u0304\u0305"

// hostile is a line of which every text is what a stranger would send.
func hostile() heuristics.Finding {
	return heuristics.Finding{
		Line: ident.Line{Addr: addr("2001:db8:1:2::"), Realm: 1}, Verdict: heuristics.Review,
		Score: math.NaN(), Margin: math.Inf(1), PeakScore: math.Inf(1), Nearest: "home" + hostileText, Declared: true,
		Device:      heuristics.Device{Vendor: hostileText, Model: strings.Repeat("W", 300), Channels: -1},
		Controllers: []heuristics.Controller{{Role: hostileText}},
		Cards:       []heuristics.Card{{MSISDN: ident.NewNumber([]byte(hostileText))}, {}},
		Signals: []heuristics.Row{
			{ID: hostileText, Family: hostileText, Nats: math.Inf(-1), Against: "home", Detail: hostileText + strings.Repeat("漢字", 300)},
			{ID: "plain", Nats: math.Copysign(0, -1), Against: "", Detail: ""},
		},
		Unseen: []string{hostileText, ""},
		Links:  heuristics.Links{Contact: hostileText, CNAME: ident.NewCNAME([]byte(hostileText)), ClockPPM: math.NaN()},
		First:  0, Last: 1,
	}
}

func options(authority string) Options {
	return Options{
		Names: names(authority),
		Realm: func(r ident.Realm) string { return []string{"", "realm-a"}[r] },
		Class: func(ident.Number) string { return "mobile" },
	}
}

func findings() []heuristics.Finding {
	plain := heuristics.Finding{Line: ident.Line{Addr: addr("192.0.2.200"), Realm: 1}, Nearest: "office phones", Score: -3.1, Margin: -7, Device: heuristics.Device{Channels: 1}, First: start.UnixNano(), Last: start.UnixNano()}
	return []heuristics.Finding{box(), hostile(), plain}
}

func TestJSONGolden(t *testing.T) {
	for name, o := range map[string]Options{"pseudonyms.json": options(""), "authority.json": options("case 2026-114")} {
		if o.Names.Authority() != "" {
			o.OneIn = 1000
		}
		var b bytes.Buffer
		if err := WriteJSON(&b, findings(), o); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// The contract's order of fields, and its keys even where nothing is known.
func TestJSONKeys(t *testing.T) {
	want := []string{"line", "verdict", "proof", "score", "margin", "nearest", "declared", "device", "controllers", "cards", "calls",
		"signals", "unseen", "links", "first_seen", "last_seen"}
	for name, f := range map[string]heuristics.Finding{"empty": {}, "full": box(), "hostile": hostile()} {
		if diff := cmp.Diff(want, keys(t, AppendJSON(nil, &f, options("")))); diff != "" {
			t.Errorf("%s: keys (-want +got):\n%s", name, diff)
		}
	}
	f, o := box(), options("case 7")
	o.OneIn = 10
	if diff := cmp.Diff(append(want, "one_in", "authority"), keys(t, AppendJSON(nil, &f, o))); diff != "" {
		t.Errorf("with authority: keys (-want +got):\n%s", diff)
	}
}

// keys gives the names of an object's own fields in their order.
func keys(t *testing.T, object []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	var keys []string
	depth, isKey := 0, false
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return keys
		}
		if err != nil {
			t.Fatalf("%v in %s", err, object)
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
			isKey = depth == 1
		default:
			if depth == 1 && isKey {
				keys = append(keys, v.(string))
			}
			if depth == 1 {
				isKey = !isKey
			}
		}
	}
}

// What is read back is what was there, whatever the text.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := text().Draw(t, "text")
		f := heuristics.Finding{Device: heuristics.Device{Vendor: s}, Score: rapid.Float64().Draw(t, "score")}
		out := AppendJSON(nil, &f, options(""))
		var back struct {
			Score  float64
			Device struct{ Vendor string }
		}
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); back.Device.Vendor != want && back.Device.Vendor != each(s) {
			t.Fatalf("%q came back as %q", want, back.Device.Vendor)
		}
		if math.Abs(back.Score-f.Score) > 0.0005+1e-9*math.Abs(f.Score) {
			t.Fatalf("score %v came back as %v", f.Score, back.Score)
		}
		harmless(t, out)
		for _, c := range "<>&" {
			if bytes.ContainsRune(out, c) {
				t.Fatalf("%q unescaped in %s", c, out)
			}
		}
	})
}

// each replaces every byte that is no UTF-8 by a U+FFFD of its own.
func each(s string) string { return string([]rune(s)) }

// text draws what a stranger may send: any bytes, any runes, and the worst.
func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{hostileText, " ", "漢", "e\u0301\u0301\u0301", "👩\u200d👩", "🇨🇳", "क्षि", "\u202e", "\x1b[1m", "word", strings.Repeat("x", 120)}), 0, 12),
			func(s []string) string { return strings.Join(s, "") }),
	)
}

// harmless fails when out holds anything that could move a cursor, hide or
// turn text.
func harmless(t interface{ Fatalf(string, ...any) }, out []byte) {
	if !utf8.Valid(out) {
		t.Fatalf("no UTF-8: %q", out)
	}
	for _, r := range string(out) {
		if r != '\n' && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == 0x3164 || r == 0xfe0f) {
			t.Fatalf("%U stands in %q", r, out)
		}
	}
}

func TestTextGolden(t *testing.T) {
	var b bytes.Buffer
	o := options("")
	if err := WriteText(&b, findings(), o); err != nil {
		t.Fatal(err)
	}
	golden(t, "pseudonyms.txt", b.Bytes())

	b.Reset()
	o = options("case 2026-114")
	o.Width, o.Color, o.OneIn = 80, true, 5000
	if err := WriteText(&b, findings()[:1], o); err != nil {
		t.Fatal(err)
	}
	golden(t, "authority-color-80.txt", b.Bytes())
}

func TestTextWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := text()
		o := options(s.Draw(t, "authority"))
		realm := s.Draw(t, "realm")
		o.Realm = func(ident.Realm) string { return realm }
		o.Width = rapid.IntRange(-1, 300).Draw(t, "width")
		o.OneIn = rapid.Uint64().Draw(t, "n")
		f := box()
		f.Verdict = heuristics.Verdict(rapid.IntRange(0, 9).Draw(t, "verdict"))
		f.Nearest = s.Draw(t, "nearest")
		f.Device.Vendor, f.Device.Model = s.Draw(t, "vendor"), s.Draw(t, "model")
		f.Controllers[0].Role = s.Draw(t, "role")
		f.Cards[0].MSISDN = ident.NewNumber([]byte(s.Draw(t, "number")))
		f.Signals[0].Detail, f.Signals[1].Against, f.Signals[2].ID = s.Draw(t, "detail"), s.Draw(t, "against"), s.Draw(t, "id")
		f.Unseen = rapid.SliceOf(s).Draw(t, "unseen")
		f.Margin = rapid.Float64().Draw(t, "margin")
		f.First, f.Last = rapid.Int64().Draw(t, "first"), rapid.Int64().Draw(t, "last")

		width := 100
		if o.Width > 0 {
			width = min(max(o.Width, 80), 100)
		}
		var b bytes.Buffer
		if err := WriteText(&b, []heuristics.Finding{f, f}, o); err != nil {
			t.Fatal(err)
		}
		sum := Summary{Losses: []Loss{{realm, f.Nearest, 1}, {realm, f.Nearest, 2}}, Damages: []error{errors.New(realm)}}
		if err := WriteSummary(&b, &sum, o); err != nil {
			t.Fatal(err)
		}
		harmless(t, b.Bytes())
		for line := range strings.SplitSeq(b.String(), "\n") {
			if n := uniseg.StringWidth(line); n > width {
				t.Fatalf("%d columns, want at most %d: %q", n, width, line)
			}
		}
	})
}

// Without an authority no clear identity may stand in any form of output; with
// one it must.
func TestIdentities(t *testing.T) {
	clear := []string{"460001234567890", "490154203237518", "898600123456789012", "13800138000", "1001@sip.example", "192.168.8.1:5060", "box@192.168.8.1"}
	f := box()
	for _, authority := range []string{"", "case 2026-114"} {
		o := options(authority)
		var text bytes.Buffer
		if err := WriteText(&text, []heuristics.Finding{f}, o); err != nil {
			t.Fatal(err)
		}
		json := string(AppendJSON(nil, &f, o))
		for i, s := range clear {
			if got, want := strings.Contains(json, s), authority != ""; got != want {
				t.Errorf("authority %q: %q in JSON: %v, want %v", authority, s, got, want)
			}
			if got, want := strings.Contains(text.String(), s), authority != "" && i < 4; got != want {
				t.Errorf("authority %q: %q in the table: %v, want %v", authority, s, got, want)
			}
		}
	}
}

func TestSummaryGolden(t *testing.T) {
	s := Summary{
		Frames: 2_017_105, Bytes: 412_345_678, Messages: 1203, Calls: 118, Streams: 240, Records: 1, Lines: 12,
		First: start.UnixNano(), Last: start.Add(26 * time.Hour).UnixNano(),
		Losses: []Loss{
			{"decode", "frames of an unknown link type", 12}, {"decode", "nothing", 0}, {"decode", "frames too short", 4_000},
			{"sip", "calls put out of a full table", 3},
		},
	}
	s.CountVerdicts(findings())
	for i := range 23 {
		s.Damages = append(s.Damages, errors.New("dir/file\x1b"+string(rune('a'+i))+".pcap: offset 1234: the file ends within a record; what stands before it was read"))
	}
	var b bytes.Buffer
	if err := WriteSummary(&b, &s, options("")); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	if err := WriteSummary(&b, &Summary{}, options("")); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.txt", b.Bytes())
}

func TestDevice(t *testing.T) {
	for _, c := range []struct {
		in   heuristics.Device
		want string
	}{
		{heuristics.Device{}, ""},
		{heuristics.Device{Channels: 1}, ""},
		{heuristics.Device{Channels: 2}, "unknown make, 2 channels"},
		{heuristics.Device{Vendor: "DBL"}, "DBL"},
		{heuristics.Device{Model: "GoIP", Channels: 1}, "GoIP, 1 channel"},
	} {
		if got := device(c.in); got != c.want {
			t.Errorf("device(%+v) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestSelect(t *testing.T) {
	if got := len(Select(false, findings())); got != 2 {
		t.Errorf("%d findings at watch or above, want 2", got)
	}
	if got := len(Select(true, findings())); got != 3 {
		t.Errorf("%d findings in all, want 3", got)
	}
}

func TestProbability(t *testing.T) {
	for _, c := range []struct {
		nats float64
		n    uint64
		want float64
	}{
		{0, 2, 0.5}, {0, 1, 1}, {math.Log(9), 10, 0.5}, {-1000, 2, 1e-6}, {1000, 2, 1 - 1e-6},
		{math.Inf(1), 5, 1 - 1e-6}, {math.Inf(-1), 5, 1e-6}, {14, math.MaxUint64, 1e-6},
	} {
		if got := Probability(c.nats, c.n); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("margin %v, one in %d: %v, want %v", c.nats, c.n, got, c.want)
		}
	}
	if got := Probability(math.NaN(), 5); !math.IsNaN(got) {
		t.Errorf("of no number: %v", got)
	}
}

func TestWords(t *testing.T) {
	for _, c := range [][2]string{
		{count(0), "0"}, {count(-1234), "-1,234"}, {count(-123), "-123"}, {count(999), "999"}, {count(1000), "1,000"}, {count(uint64(math.MaxUint64)), "18,446,744,073,709,551,615"},
		{counted(1, "call"), "1 call"}, {counted(0, "call"), "0 calls"},
		{nats(0.04), "0.0"}, {nats(0.06), "+0.1"}, {nats(-3.21), "-3.2"}, {nats(1e47), ">999"}, {nats(math.Inf(-1)), "<-999"}, {nats(math.NaN()), "?"},
		{total(14.04), "14.0"}, {total(-2), "-2.0"},
		{chance(0.5), "0.50"}, {chance(0.9996), "0.9996"}, {chance(1e-6), "0.000001"}, {chance(1), "1.00"}, {chance(math.NaN()), "?"},
		{long(20 * time.Millisecond), "20 ms"}, {long(59*time.Second + 999*time.Millisecond), "59.9 s"}, {long(time.Minute), "1 min"},
		{long(61 * time.Second), "1 min 1 s"}, {long(25*time.Hour + time.Minute), "1 d 1 h"}, {long(-1), "0 ms"},
		{size(0), "0 B"}, {size(1), "1 B"}, {size(999_960), "1.0 MB"}, {size(math.MaxUint64), "18446.7 PB"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q", c[0], c[1])
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"  one   two ", 10, []string{"one two"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"abcdefghij k", 4, []string{"abcd", "efgh", "ij k"}},
		{"漢字漢字", 5, []string{"漢字", "漢字"}},
		{"a\nb", 10, []string{`a\nb`}},
		{"有 10 个号码。", 9, []string{"有 10 个", "号码。"}},
		{"ab 漢字（漢字）", 9, []string{"ab 漢字", "（漢字）"}},
		{"ab 漢字（漢字）", 12, []string{"ab 漢字（漢", "字）"}},
		{"漢", 0, []string{"漢"}},
	} {
		if diff := cmp.Diff(c.want, Wrap(c.in, c.width)); diff != "" {
			t.Errorf("Wrap(%q, %d) (-want +got):\n%s", c.in, c.width, diff)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(hostileText)
	f.Add("plain")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		harmless(t, []byte(strings.Join(Wrap(s, 20), "\n")))
		var back string
		b := appendString(nil, s)
		harmless(t, b)
		if err := json.Unmarshal(b, &back); err != nil || back != each(s) {
			t.Fatalf("%q: %q, %v", s, back, err)
		}
	})
}

// Every field of a finding must be written somewhere: a new one that the
// encoder does not know fails here. The highest nats stand in the table only, and
// the margin against a household on the page; when verdicts were reached and the
// counts behind a score are for calibration and evaluation. Epochs, standings and when
// a line was told are for the centre.
func TestEveryFieldIsWritten(t *testing.T) {
	var base heuristics.Finding
	plain := string(AppendJSON(nil, &base, options("")))
	for i := range reflect.TypeFor[heuristics.Finding]().NumField() {
		f, full := base, box()
		full.Declared, full.Subscriber = true, ident.NewSubscriber([]byte("who"))
		full.Hellos = hellos()
		full.Hub = heuristics.Hub{Nats: 2, Verdict: heuristics.Watch}
		reflect.ValueOf(&f).Elem().Field(i).Set(reflect.ValueOf(&full).Elem().Field(i))
		name := reflect.TypeFor[heuristics.Finding]().Field(i).Name
		elsewhere := slices.Contains([]string{"PeakScore", "PeakMargin", "AgainstHome", "Reached", "Evidence", "EpochStart", "Told", "Before", "Standings"}, name)
		if same := string(AppendJSON(nil, &f, options(""))) == plain; same != elsewhere {
			t.Errorf("field %s: in JSON %v, want %v", name, !same, !elsewhere)
		}
	}
}
