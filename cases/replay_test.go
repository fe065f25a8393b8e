package cases

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/report"
)

// makeFile makes a capture in a file that goes away with the test.
func makeFile(t *testing.T, opt lab.Options, pack string) (string, *lab.Truth) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "capture"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w io.Writer = f
	finish := func() error { return nil }
	switch pack {
	case "":
	case "gzip":
		z := gzip.NewWriter(f)
		w, finish = z, z.Close
	case "zstd":
		z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w, finish = z, z.Close
	default:
		t.Fatalf("unknown packing %q", pack)
	}
	truth, err := lab.Make(w, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	return f.Name(), truth
}

// outcome is what one run gave.
type outcome struct {
	result   *pipeline.Result
	counters capture.Counters
	damages  []capture.Damage
	plan     *ident.Plan
}

// replayFile does in process what `simtrap replay` does.
func replayFile(t *testing.T, path string, stdin bool, homes *ident.Homes, workers int) *outcome {
	t.Helper()
	opt, name := capture.Options{}, path
	if stdin {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		opt.Stdin, name = f, "-"
	}
	files, err := capture.Open([]string{name}, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	plan, err := ident.ParsePlan("cn")
	if err != nil {
		t.Fatal(err)
	}
	result, err := pipeline.Run(t.Context(), files, pipeline.Config{Homes: homes, Workers: workers, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	return &outcome{result, files.Counters(), files.Damages(), plan}
}

// options are those of the command, under a key that is always the same.
func (o *outcome) options(authority string) report.Options {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	return report.Options{
		Names: ident.NewPseudonymizer(key, authority),
		Realm: pipeline.Realms{}.Name,
		Class: func(n ident.Number) string {
			class := o.plan.ClassOf(n)
			if class == ident.NumberUnknown {
				return ""
			}
			return o.plan.Name() + "-" + class.String()
		},
	}
}

// json is what --json --all prints.
func (o *outcome) json(authority string) []byte {
	var b bytes.Buffer
	if err := report.WriteJSON(&b, report.Select(true, o.result.Findings), o.options(authority)); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// text is what the command prints without flags, at 100 columns.
func (o *outcome) text(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	opt := o.options("")
	opt.Width = 100
	s := &o.result.Stats
	summary := &report.Summary{
		Frames: s.Frames, Bytes: s.Bytes, Messages: s.Messages, Calls: s.Calls, Streams: s.Streams,
		Records: s.Records, Lines: s.Lines, First: s.First, Last: s.Last,
	}
	summary.CountVerdicts(o.result.Findings)
	summary.Losses = []report.Loss{
		{Stage: "input", Reason: "frames outside --since and --until", Count: o.counters.Outside},
		{Stage: "input", Reason: "files that begin after --until", Count: uint64(o.counters.FilesOutside)},
		{Stage: "input", Reason: "other files in folders", Count: uint64(o.counters.FilesSkipped)},
	}
	for _, l := range o.result.Losses {
		summary.Losses = append(summary.Losses, report.Loss{Stage: l.Stage, Reason: l.Reason, Count: l.Count})
	}
	if err := report.WriteText(w, report.Select(false, o.result.Findings), opt); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteSummary(w, summary, opt); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// facts are what a finding says whatever the wrapping of its packets.
type facts struct {
	Verdict     string
	Proof       bool
	Vendor      string
	Model       string
	Channels    int
	Controllers []string // name of the far end and role
	Cards       []lab.Card
	Calls       string
	Signals     []string
}

type scored struct {
	score float64
	facts facts
}

// byName gives the findings under the names that the truth has for their
// addresses, which differ between wrappings.
func (o *outcome) byName(t *testing.T, truth *lab.Truth) map[string]scored {
	t.Helper()
	names := map[string]string{}
	for i, l := range truth.Lines {
		names[l.Address] = fmt.Sprintf("line %d", i)
	}
	far := map[string]int{}
	for _, n := range truth.Far {
		name := "far " + n.Name
		if far[name]++; far[name] > 1 {
			continue // a second one of the name cannot be told from the first
		}
		names[n.Addr] = name
		if a, ok := ident.ParseAddr([]byte(n.Addr)); ok {
			var none *ident.Homes
			names[none.LineOf(a, 0).String()] = name
		}
	}
	out := map[string]scored{}
	for _, f := range decode(t, o.json("case 2026-114")) {
		name, ok := names[f.Line]
		if !ok {
			name = f.Line
		}
		x := facts{Verdict: f.Verdict, Proof: f.Proof, Vendor: f.Device.Vendor, Model: f.Device.Model, Channels: f.Device.Channels, Cards: f.Cards}
		for _, c := range f.Controllers {
			who, ok := names[c.Addr]
			if !ok {
				who = c.Addr
			}
			x.Controllers = append(x.Controllers, who+" "+c.Role)
		}
		slices.SortFunc(x.Cards, func(a, b lab.Card) int { return strings.Compare(a.IMSI, b.IMSI) })
		slices.Sort(x.Controllers)
		x.Calls = fmt.Sprintf("%+v", f.Calls)
		for _, s := range f.Signals {
			x.Signals = append(x.Signals, s.ID+" against "+s.Against)
		}
		slices.Sort(x.Signals)
		out[name] = scored{f.Score, x}
	}
	return out
}
