// Package cases holds one folder for each capture whose verdicts are known:
// case.json says how the capture is made, how it is read and what must hold;
// expected.json is what `simtrap replay --json --all` prints about it, byte for
// byte. `go test ./cases -update` writes expected.json afresh; case.json is
// written by hand and never by a test.
package cases

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
)

var update = flag.Bool("update", false, "write expected.json and output.txt afresh")

// testCase is a case.json.
type testCase struct {
	Text string `json:"text"`
	Make struct {
		Scenario string `json:"scenario"`
		Seed     uint64 `json:"seed"`
		Duration string `json:"duration"`
		Encap    string `json:"encap,omitempty"`
		View     string `json:"view,omitempty"`
		Format   string `json:"format,omitempty"`
		Snaplen  int    `json:"snaplen,omitempty"`
		Pack     string `json:"pack,omitempty"` // gzip, zstd
	} `json:"make"`
	Flags struct {
		Home    []string `json:"home,omitempty"`
		Stdin   bool     `json:"stdin,omitempty"`
		Workers []int    `json:"workers,omitempty"` // 1 and 4 when empty
	} `json:"flags"`
	Want struct {
		Damage []string            `json:"damage,omitempty"` // what replay exits with 3 for
		Lines  map[string]lineWant `json:"lines"`            // by address, as in the truth
		// Same names a case that prints the same bytes, Like one whose findings
		// are the same but for addresses, identities and half a nat.
		Same string `json:"same,omitempty"`
		Like string `json:"like,omitempty"`
	} `json:"want"`
}

// lineWant is what a verdict on a line must be.
type lineWant struct {
	Min    string `json:"min"`
	Max    string `json:"max"`
	Proof  bool   `json:"proof,omitempty"`
	Cards  bool   `json:"cards,omitempty"` // the wire shows every card of the truth
	NoLine bool   `json:"no_line,omitempty"`
	Hidden bool   `json:"hidden,omitempty"` // its signalling is not readable: no calls, no roles
	// Doubtful says that a page in a browser may have written its signalling:
	// calls are seen and count for nothing.
	Doubtful bool `json:"doubtful,omitempty"`
}

// finding is a line of expected.json as far as tests ask about it.
type finding struct {
	Line    string
	Verdict string
	Proof   bool
	Score   float64
	Margin  float64
	Nearest string
	Device  struct {
		Vendor, Model string
		Channels      int
	}
	Controllers []struct{ Addr, Role string }
	Cards       []lab.Card
	Calls       struct {
		Inbound, Outbound, Answered, Verified, Streams int
		PeakConcurrent                                 int `json:"peak_concurrent"`
		DistinctCalled                                 int `json:"distinct_called"`
		TalkSeconds                                    int `json:"talk_seconds"`
	}
	Signals []struct{ ID, Against string }
	Unseen  []string
}

func readCase(t *testing.T, name string) *testCase {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(name, "case.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	c := &testCase{}
	if err := d.Decode(c); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return c
}

func (c *testCase) options(t *testing.T) lab.Options {
	d, err := time.ParseDuration(c.Make.Duration)
	if err != nil {
		t.Fatal(err)
	}
	return lab.Options{
		Scenario: c.Make.Scenario, Seed: c.Make.Seed, Duration: d, Encap: c.Make.Encap,
		View: c.Make.View, Format: c.Make.Format, Snaplen: c.Make.Snaplen,
	}
}

func (c *testCase) homes(t *testing.T) *ident.Homes {
	h, err := ident.ParseHomes(c.Flags.Home, 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// folders lists the cases.
func folders(t *testing.T) []string {
	found, err := filepath.Glob(filepath.Join("*", "case.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no cases here: %v", err)
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return found
}

func TestCases(t *testing.T) {
	for _, name := range folders(t) {
		// The race detector makes a case ten times as long; those that take
		// other paths than the rest are enough for it.
		if testing.Short() && !slices.Contains([]string{"goip-line", "carrier-sbc", "format-gzip", "wrap-fragments", "wrap-sip-tcp"}, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := readCase(t, name)
			path, truth := makeFile(t, c.options(t), c.Make.Pack)
			workers := c.Flags.Workers
			if len(workers) == 0 {
				workers = []int{1, 4}
			}
			var first *outcome
			for _, n := range workers {
				o := replayFile(t, path, c.Flags.Stdin, c.homes(t), n)
				if first == nil {
					first = o
				} else if a, b := first.json(""), o.json(""); !bytes.Equal(a, b) {
					t.Errorf("%d workers print something else than %d (-%d +%d):\n%s", n, workers[0], workers[0], n, diffLines(a, b))
				}
			}
			got := first.json("")
			compareFile(t, filepath.Join(name, "expected.json"), got)
			if name == "demo" {
				compareText(t, filepath.Join(name, "output.txt"), first.text(t))
			}
			checkDamage(t, c, first)
			checkTruth(t, c, truth, first)
			if c.Want.Same != "" {
				want, err := os.ReadFile(filepath.Join(c.Want.Same, "expected.json"))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(want, got) {
					t.Errorf("differs from %s (-that +this):\n%s", c.Want.Same, diffLines(want, got))
				}
			}
			if c.Want.Like != "" {
				checkLike(t, c, truth, first)
			}
		})
	}
}

// TestEverythingHasACase holds that the folders cover what the lab can make;
// TestMatrixIsPublished does so for encapsulations.
func TestEverythingHasACase(t *testing.T) {
	scenarios, formats := map[string]bool{}, map[string]bool{}
	for _, name := range folders(t) {
		c := readCase(t, name)
		if c.Make.Encap == "" && c.Make.Format == "" {
			scenarios[c.Make.Scenario] = true
		}
		formats[c.Make.Format+c.Make.Pack] = true
		if c.Text == "" {
			t.Errorf("%s does not say what it shows", name)
		}
	}
	for _, s := range lab.Shown() { // those of lab.Together are tried by sensor/live
		if !scenarios[s.Name] {
			t.Errorf("no case for scenario %s", s.Name)
		}
	}
	for _, f := range []string{"", "nano", "pcapng", "gzip", "zstd"} {
		if !formats[f] {
			t.Errorf("no case for format %q", f)
		}
	}
}

func compareFile(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs (-want +got):\n%s", path, diffLines(want, got))
	}
}

func compareText(t *testing.T, path string, got []byte) {
	t.Helper()
	for n, l := range strings.Split(string(got), "\n") {
		if w := len([]rune(l)); w > 100 {
			t.Errorf("line %d of the text has %d columns: %s", n+1, w, l)
		}
	}
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; -update writes it", err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, d)
	}
}

// diffLines compares JSON Lines by line and field, so that a change of one
// number reads as that.
func diffLines(a, b []byte) string {
	read := func(b []byte) (out []map[string]any) {
		d := json.NewDecoder(bytes.NewReader(b))
		for {
			var m map[string]any
			if err := d.Decode(&m); err != nil {
				if err != io.EOF {
					out = append(out, map[string]any{"not JSON": err.Error()})
				}
				return out
			}
			out = append(out, m)
		}
	}
	if d := cmp.Diff(read(a), read(b)); d != "" {
		return d
	}
	return cmp.Diff(string(a), string(b)) // same values, other bytes
}

func checkDamage(t *testing.T, c *testCase, o *outcome) {
	t.Helper()
	var got []string
	for i := range o.damages {
		got = append(got, damageName(o.damages[i].Kind))
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(c.Want.Damage))
	if !slices.Equal(got, want) {
		t.Errorf("damage %q, want %q", got, want)
	}
}

func damageName(k capture.Kind) string {
	switch k {
	case capture.Cut:
		return "cut"
	case capture.Corrupt:
		return "corrupt"
	case capture.Truncated:
		return "truncated"
	case capture.Backwards:
		return "backwards"
	case capture.Skipped:
		return "skipped"
	}
	return fmt.Sprintf("kind %d", k)
}

// rank orders the names of verdicts.
func rank(t *testing.T, name string) heuristics.Verdict {
	t.Helper()
	for v := heuristics.None; v <= heuristics.Case; v++ {
		if v.String() == name {
			return v
		}
	}
	t.Fatalf("no verdict is called %q", name)
	return 0
}

func byLine(fs []finding) map[string]*finding {
	m := make(map[string]*finding)
	for i := range fs {
		m[fs[i].Line] = &fs[i]
	}
	return m
}

// checkTruth holds the findings against what the lab knows.
func checkTruth(t *testing.T, c *testCase, truth *lab.Truth, o *outcome) {
	t.Helper()
	found := byLine(decode(t, o.json("case 2026-114")))
	if len(c.Want.Lines) != len(truth.Lines) {
		t.Errorf("the capture has %d lines, the case speaks of %d", len(truth.Lines), len(c.Want.Lines))
	}
	subscriber := map[string]bool{}
	for _, l := range truth.Lines {
		subscriber[l.Address] = true
		w, ok := c.Want.Lines[l.Address]
		if !ok {
			t.Errorf("the case says nothing about %s (%s)", l.Address, l.Device)
			continue
		}
		if w.Max != l.MaxVerdict || c.Make.Snaplen == 0 && (rank(t, w.Min) < rank(t, l.MinVerdict) || w.Proof != l.Proof) {
			t.Errorf("%s (%s): case wants %s to %s, proof %v; the truth is %s to %s, proof %v", l.Address, l.Device, w.Min, w.Max, w.Proof, l.MinVerdict, l.MaxVerdict, l.Proof)
		}
		f := found[l.Address]
		if f == nil {
			if !w.NoLine {
				t.Errorf("%s (%s): no finding", l.Address, l.Device)
			}
			continue
		}
		if w.NoLine {
			t.Errorf("%s (%s): a finding where none was to be", l.Address, l.Device)
		}
		checkVerdict(t, &w, l, f)
		if c.Make.Snaplen > 0 {
			continue // which calls can be told is not known
		}
		if w.Hidden {
			if n := f.Calls.Inbound + f.Calls.Outbound; n > 0 {
				t.Errorf("%s (%s): %d calls read where nothing is readable", l.Address, l.Device, n)
			}
			continue
		}
		if w.Doubtful {
			if f.Calls.Inbound == 0 || f.Calls.Verified > 0 {
				t.Errorf("%s (%s): calls %+v, want some seen and none that count", l.Address, l.Device, f.Calls)
			}
			continue
		}
		checkLine(t, &w, l, f)
		if l.Class != lab.ClassVictim { // what scanners ask for are no calls
			checkCalls(t, l, f)
		}
	}
	if len(c.Flags.Home) > 0 {
		for line := range found {
			if !subscriber[line] {
				t.Errorf("a finding on %s, which is no subscriber's", line)
			}
		}
	}
}

func checkVerdict(t *testing.T, w *lineWant, l *lab.LineTruth, f *finding) {
	t.Helper()
	what := l.Address + " (" + l.Device + ")"
	if v := rank(t, f.Verdict); v < rank(t, w.Min) || v > rank(t, w.Max) {
		t.Errorf("%s: verdict %s, want %s to %s", what, f.Verdict, w.Min, w.Max)
	}
	if f.Proof != w.Proof {
		t.Errorf("%s: proof %v, want %v", what, f.Proof, w.Proof)
	}
}

func checkLine(t *testing.T, w *lineWant, l *lab.LineTruth, f *finding) {
	t.Helper()
	what := l.Address + " (" + l.Device + ")"
	// A gateway's own protocol tells all channels, calls tell those in use.
	channels := l.Calls.PeakConcurrent
	if w.Proof {
		channels = max(channels, l.Channels)
	}
	if d := f.Device.Channels - channels; d < -1 || d > 1 {
		t.Errorf("%s: %d channels, want %d", what, f.Device.Channels, channels)
	}
	for _, want := range l.Controllers {
		if !slices.Contains(f.Controllers, struct{ Addr, Role string }{want.Addr, want.Role}) && l.Box() {
			t.Errorf("%s: controller %s %s is not named among %v", what, want.Role, want.Addr, f.Controllers)
		}
	}
	if w.Cards {
		byIMSI := func(a, b lab.Card) int { return strings.Compare(a.IMSI, b.IMSI) }
		got, want := slices.Clone(f.Cards), slices.Clone(l.Cards)
		slices.SortFunc(got, byIMSI)
		slices.SortFunc(want, byIMSI)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: cards (-want +got):\n%s", what, d)
		}
	}
}

// checkCalls compares counts; what begins at the very end may pass the tap too
// late.
func checkCalls(t *testing.T, l *lab.LineTruth, f *finding) {
	t.Helper()
	near := func(what string, got, want int) {
		if got > want || got < want-3 {
			t.Errorf("%s (%s): %d %s, want %d", l.Address, l.Device, got, what, want)
		}
	}
	near("inbound calls", f.Calls.Inbound, l.Calls.Inbound)
	near("outbound calls", f.Calls.Outbound, l.Calls.Outbound)
	near("answered calls", f.Calls.Answered, l.Calls.Answered)
	// Only calls that the line accepted and that are not for its own accounts.
	if f.Calls.DistinctCalled > l.Calls.DistinctCalled {
		t.Errorf("%s (%s): %d numbers called, only %d were", l.Address, l.Device, f.Calls.DistinctCalled, l.Calls.DistinctCalled)
	}
}

func decode(t *testing.T, b []byte) (out []finding) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	for d.More() {
		var f finding
		if err := d.Decode(&f); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

// checkLike compares with another case whose capture differs in its wrapping
// alone.
func checkLike(t *testing.T, c *testCase, truth *lab.Truth, o *outcome) {
	t.Helper()
	other := readCase(t, c.Want.Like)
	path, otherTruth := makeFile(t, other.options(t), "")
	plain := replayFile(t, path, false, other.homes(t), 1)
	want, got := plain.byName(t, otherTruth), o.byName(t, truth)
	for i, l := range truth.Lines {
		// Over TCP the same people call at other times.
		if name := fmt.Sprintf("line %d", i); l.Calls != otherTruth.Lines[i].Calls {
			for _, m := range []map[string]scored{want, got} {
				x := m[name]
				x.facts.Calls = ""
				m[name] = x
			}
		}
	}
	for name, a := range want {
		b, ok := got[name]
		if !ok {
			t.Errorf("%s: no finding", name)
			continue
		}
		delete(got, name)
		if d := a.score - b.score; d < -0.5 || d > 0.5 {
			t.Errorf("%s: %.3f nats, plainly %.3f", name, b.score, a.score)
		}
		if d := cmp.Diff(a.facts, b.facts); d != "" {
			t.Errorf("%s (-%s +this):\n%s", name, c.Want.Like, d)
		}
	}
	for name := range got {
		t.Errorf("%s: a finding that the plain capture does not give", name)
	}
}
