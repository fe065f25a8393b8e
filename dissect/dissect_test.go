package dissect

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/pipeline"
)

var update = flag.Bool("update", false, "write the golden files anew")

func names(authority string) *ident.Pseudonymizer {
	return ident.NewPseudonymizer([]byte("a key of thirty-two bytes, fixed"), authority)
}

// labCapture is a capture of a scenario in a file that goes away with the test.
func labCapture(t testing.TB, o lab.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := lab.Make(f, o); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t testing.TB, path string, o Options) string {
	t.Helper()
	if o.Names == nil {
		o.Names = names("")
	}
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	var out bytes.Buffer
	if err := Run(context.Background(), files, &out, o); err != nil {
		t.Fatal(err)
	}
	harmless(t, out.Bytes())
	return out.String()
}

// harmless holds that nothing in an output moves a cursor or hides.
func harmless(t testing.TB, b []byte) {
	t.Helper()
	if !utf8.Valid(b) {
		t.Fatal("no UTF-8")
	}
	for _, r := range string(b) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%U in the output", r)
		}
	}
}

func TestGolden(t *testing.T) {
	path := labCapture(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 80 * time.Second, Encap: "vlan-pppoe"})
	box := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.0/24")}
	for name, o := range map[string]Options{
		"calls.txt":          {Lines: box},
		"calls.json":         {Lines: box, JSON: true},
		"packets.txt":        {What: Packets},
		"streams.txt":        {What: Streams},
		"records.txt":        {What: Records},
		"registrations.json": {What: Registrations, JSON: true},
	} {
		got := run(t, path, o)
		if got == "" {
			t.Errorf("%s: nothing told", name)
		}
		if name == "packets.txt" { // the first hundred say enough
			lines := strings.SplitAfter(got, "\n")
			got = strings.Join(lines[:min(len(lines), 100)], "")
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", file, diff)
		}
	}
}

// told is a line of JSON as far as tests ask about it.
type told struct {
	Kind, Time, Src, Dst, Method, What, Begin, Last, Reason, Direction, Called, Caller, Callee string

	Status    int
	Call      uint64
	CallID    string `json:"call_id"`
	Streams   []told
	Packets   uint64
	Access    string
	Authority string
}

func objects(t *testing.T, text string) []told {
	t.Helper()
	var out []told
	for line := range strings.Lines(text) {
		var o told
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, o)
	}
	return out
}

// TestAgrees holds that the modes and a replay count the same, of a gateway that
// speaks over UDP and of one that hides its SIP in Base64 and reports over HTTP.
func TestAgrees(t *testing.T) {
	for _, scenario := range []string{"goip-line", "ejoin"} {
		t.Run(scenario, func(t *testing.T) { testAgrees(t, scenario) })
	}
}

func testAgrees(t *testing.T, scenario string) {
	path := labCapture(t, lab.Options{Scenario: scenario, Seed: 2, Duration: 4 * time.Minute})
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	result, err := pipeline.Run(context.Background(), files, pipeline.Config{})
	if err != nil {
		t.Fatal(err)
	}
	count := func(o Options, kind, what string) (n uint64) {
		o.JSON = true
		before := time.Time{}
		for _, x := range objects(t, run(t, path, o)) {
			if x.Kind == kind && x.What == what {
				n++
			}
			if o.What == Packets {
				at, err := time.Parse(time.RFC3339Nano, x.Time)
				if err != nil || at.Before(before) {
					t.Errorf("%s after %s, %v", x.Time, before, err)
				}
				before = at
			}
		}
		return n
	}
	s := &result.Stats
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"calls", count(Options{}, "call", ""), s.Calls},
		{"streams", count(Options{What: Streams}, "stream", ""), s.Streams},
		{"records", count(Options{What: Records}, "record", ""), s.Records},
		{"packets with SIP", count(Options{What: Packets}, "sip", ""), s.Messages},
		{"packets with records", count(Options{What: Packets}, "control", ""), s.Records},
		{"streams begun among packets", count(Options{What: Packets}, "stream", "begins"), s.Streams},
		{"streams ended among packets", count(Options{What: Packets}, "stream", "ends"), s.Streams},
	} {
		if c.got != c.want || c.want == 0 {
			t.Errorf("%s: %d, replay has %d", c.name, c.got, c.want)
		}
	}
	bound := uint64(0)
	for _, c := range objects(t, run(t, path, Options{JSON: true})) {
		bound += uint64(len(c.Streams))
	}
	if bound < s.Streams*9/10 {
		t.Errorf("%d of %d streams told with their call", bound, s.Streams)
	}
}

func TestFilters(t *testing.T) {
	path := labCapture(t, lab.Options{Scenario: "goip-line", Seed: 3, Duration: 3 * time.Minute})
	all := objects(t, run(t, path, Options{JSON: true}))
	if len(all) < 3 {
		t.Fatalf("%d calls", len(all))
	}
	want := all[1]
	line, _ := ParseLine(strings.Split(want.Callee, ":")[0])
	for name, o := range map[string]Options{"number": {Call: want.Call}, "call-id": {CallID: want.CallID}} {
		o.JSON = true
		got := objects(t, run(t, path, o))
		if diff := cmp.Diff([]told{want}, got); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", name, diff)
		}
	}
	for _, c := range objects(t, run(t, path, Options{JSON: true, Lines: []netip.Prefix{line}})) {
		if c.Direction != "inbound" {
			t.Errorf("direction %q of a call to the line", c.Direction)
		}
	}
	if got := run(t, path, Options{Lines: []netip.Prefix{netip.MustParsePrefix("8.8.8.8/32")}}); got != "" {
		t.Errorf("a stranger's calls: %s", got)
	}
	messages := 0
	for _, p := range objects(t, run(t, path, Options{What: Packets, JSON: true, CallID: want.CallID})) {
		if p.CallID != want.CallID || p.Kind != "sip" {
			t.Errorf("not of the call: %+v", p)
		}
		messages++
	}
	if messages < 4 {
		t.Errorf("%d messages of one call", messages)
	}
	everything := strings.Count(run(t, path, Options{What: Packets, All: true}), "\n")
	some := strings.Count(run(t, path, Options{What: Packets}), "\n")
	if everything < 10*some {
		t.Errorf("%d lines with --all, %d without", everything, some)
	}
}

func TestIdentities(t *testing.T) {
	path := labCapture(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 2 * time.Minute})
	clear := objects(t, run(t, path, Options{JSON: true, Names: names("case 7")}))
	if len(clear) == 0 {
		t.Fatal("no calls")
	}
	masked := ""
	for what := Calls; what <= Registrations; what++ {
		masked += run(t, path, Options{What: what}) + run(t, path, Options{What: what, JSON: true})
	}
	for _, c := range clear {
		if c.Authority != "case 7" || strings.Contains(c.Called, "~") || len(c.Called) < 11 {
			t.Errorf("under authority: %+v", c)
		}
		if strings.Contains(masked, c.Called) || strings.Contains(masked, c.CallID) {
			t.Errorf("%s or %s in clear", c.Called, c.CallID)
		}
	}
	if strings.Contains(run(t, path, Options{What: Calls}), "192.168.") {
		t.Error("an address of the private network")
	}
}

// full is a writer that takes n bytes.
type full struct{ n int }

var errEOF = io.EOF

var errFull = errors.New("full")

func (f *full) Write(b []byte) (int, error) {
	if f.n -= len(b); f.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriterFails(t *testing.T) {
	path := labCapture(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 2 * time.Minute})
	for what := Calls; what <= Registrations; what++ {
		for _, n := range []int{0, 100} {
			files, err := capture.Open([]string{path}, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := Run(context.Background(), files, &full{n}, Options{What: what, Names: names("")}); !errors.Is(err, errFull) {
				t.Errorf("mode %d: %v", what, err)
			}
			files.Close()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	files, err := capture.Open([]string{path}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if err := Run(ctx, files, &bytes.Buffer{}, Options{What: Packets, Names: names("")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// source gives frames as they stand.
type source struct{ batches []*capture.Batch }

func (s *source) Next(context.Context) (*capture.Batch, error) {
	if len(s.batches) == 0 {
		return nil, errEOF
	}
	b := s.batches[0]
	s.batches = s.batches[1:]
	return b, nil
}

func (s *source) Close() error { return nil }

func frames(link capture.LinkType, list ...[]byte) *source {
	b := capture.NewBatch(nil, nil)
	for i, f := range list {
		b.Frames = append(b.Frames, capture.Frame{Time: 1_800_000_000e9 + int64(i)*20e6, Off: uint32(len(b.Block)), Len: uint32(len(f)), Wire: uint32(len(f)), Link: link})
		b.Block = append(b.Block, f...)
	}
	return &source{[]*capture.Batch{b}}
}

func udp(payload string) []byte {
	n := 28 + len(payload)
	b := []byte{0x45, 0, byte(n >> 8), byte(n), 0, 1, 0, 0, 64, 17, 0, 0, 198, 51, 100, 9, 203, 0, 113, 7}
	for _, v := range []uint16{5060, 5060, uint16(n - 20), 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return append(b, payload...)
}

const hostile = "INVITE sip:\x1b[2J\u202e<script>@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:\xff\xfe13800138000@a>;tag=a\r\nTo: <sip:x\u200b@b>\r\n" +
	"Call-ID: one\x07\r\nCSeq: 1 INVITE\r\nUser-Agent: \x1b]0;title\x07\u2066 00:11:22:33:44:55\r\nContent-Length: 0\r\n\r\n"

func TestHostileText(t *testing.T) {
	for what := Calls; what <= Registrations; what++ {
		for _, asJSON := range []bool{false, true} {
			for _, authority := range []string{"", "\x1b[2J\u202e"} {
				var out bytes.Buffer
				if err := Run(context.Background(), frames(capture.LinkRaw, udp(hostile)), &out, Options{What: what, JSON: asJSON, All: what == Packets, Names: names(authority)}); err != nil {
					t.Fatal(err)
				}
				harmless(t, out.Bytes())
				if what <= Packets && out.Len() == 0 {
					t.Error("nothing told")
				}
				if strings.Contains(out.String(), "44:55") && authority == "" {
					t.Error("a serial number is told")
				}
			}
		}
	}
}

func TestPassedOver(t *testing.T) {
	var out bytes.Buffer
	if err := Run(context.Background(), frames(capture.LinkRaw, []byte{0x45, 0, 0}, udp("")[:24], []byte{0x99}, udp("OPTIONS sip:a SIP/2.0\r\nbroken"), udp("nothing of interest")), &out, Options{What: Packets, JSON: true, Names: names("")}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects(t, out.String()) {
		got = append(got, o.Kind+" "+o.Reason)
	}
	if len(got) < 4 || got[0] != "passed-over ipv4 header cut" || got[1] != "passed-over udp header cut" || got[2] != "passed-over ip version bad" || !strings.HasPrefix(got[3], "passed-over begins like SIP") {
		t.Errorf("%q", got)
	}
	for _, o := range got {
		if strings.HasPrefix(o, "packet") {
			t.Errorf("%q told without --all", o)
		}
	}
}

// docs/dissect.md names every field of every object, in its order.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/dissect.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, typ := range map[string]reflect.Type{
		"call": reflect.TypeFor[call](), "stream": reflect.TypeFor[stream](), "record": reflect.TypeFor[record](), "registration": reflect.TypeFor[registration](),
	} {
		_, text, ok := strings.Cut(string(b), "**"+name+"**: ")
		if !ok {
			t.Fatalf("nothing of %s", name)
		}
		text, _, _ = strings.Cut(text, "\n")
		for i := range typ.NumField() {
			field, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if field == "" || field == "authority" {
				continue
			}
			at := regexp.MustCompile(`\b` + field + `\b(\*?)`).FindStringSubmatchIndex(text)
			if at == nil {
				t.Errorf("%s: %s is not told, or not in its place", name, field)
				continue
			}
			if always := text[at[2]:at[3]] == "*"; always != (options == "") && field != "kind" {
				t.Errorf("%s: %s is marked %v and has %q", name, field, always, options)
			}
			text = text[at[1]:]
		}
	}
}

func TestParseLine(t *testing.T) {
	for in, want := range map[string]string{"203.0.113.7": "203.0.113.7/32", "::ffff:203.0.113.7": "203.0.113.7/32", "203.0.113.7/24": "203.0.113.0/24", "2001:db8::1": "2001:db8::1/128"} {
		if got, err := ParseLine(in); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "x", "203.0.113.7/33", "fe80::1%eth0"} {
		if got, err := ParseLine(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func FuzzPackets(f *testing.F) {
	f.Add(udp(hostile), uint16(capture.LinkRaw))
	f.Add([]byte{0x45}, uint16(capture.LinkIPv4))
	f.Add(append([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x81, 0, 0, 5, 8, 0}, udp(hostile)...), uint16(capture.LinkEthernet))
	f.Fuzz(func(t *testing.T, frame []byte, link uint16) {
		for _, asJSON := range []bool{false, true} {
			var out bytes.Buffer
			if err := Run(context.Background(), frames(capture.LinkType(link), frame, frame), &out, Options{What: Packets, All: true, JSON: asJSON, Names: names("")}); err != nil {
				t.Fatal(err)
			}
			harmless(t, out.Bytes())
			if asJSON {
				for line := range strings.Lines(out.String()) {
					if !json.Valid([]byte(line)) {
						t.Fatalf("no JSON: %s", line)
					}
				}
			}
		}
	})
}
