package cases

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/pipeline"
)

// corpusExplained says of files with a line at watch why that is right. What
// stands here and reaches watch no more is to be taken out.
var corpusExplained = map[string]string{}

// TestCorpusReplay replays every file of the corpus of public captures, each by
// itself and without home prefixes. Nothing in it is a gateway's line in
// service, so nothing may reach review, and watch only with an explanation. With
// -v every file with telephony in it is listed, with the line that comes nearest
// to a box, and the files by their source; what reaches watch is listed with its
// ledger. With -update both tables are written to docs/corpus.md.
func TestCorpusReplay(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	root := os.Getenv("SIMTRAP_CORPUS")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(root); err != nil {
		t.Skip("no corpus of captures: set SIMTRAP_CORPUS to its folder")
	}
	labels := corpusLabels(filepath.Join(root, "MANIFEST.tsv"))
	var names []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)

	files := corpusTable{{"file", "label", "frames", "SIP messages", "calls", "voice streams", "control records", "lines judged", "highest verdict", "nearest to a box: margin, lookalike", "damage"}}
	total := &corpusCount{}
	counts := map[[2]string]*corpusCount{}
	read, none := 0, 0
	for _, path := range names {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		result, damages, err := replayWatched(t, path)
		var refused *capture.FormatError
		switch {
		case errors.As(err, &refused):
			none++
			continue
		case err != nil:
			t.Errorf("%s: %v", name, err)
			continue
		}
		read++
		worst, closest := heuristics.None, ""
		best := math.Inf(-1)
		for i := range result.Findings {
			f := &result.Findings[i]
			worst = max(worst, f.Verdict)
			if f.Margin > best {
				best, closest = f.Margin, fmt.Sprintf("%.1f, %s", f.Margin, f.Nearest)
			}
			if f.Verdict >= heuristics.Watch {
				t.Logf("%s: %s at %s, score %.1f, margin %.1f, nearest %s, %+v%s", name, f.Line, f.Verdict, f.Score, f.Margin, f.Nearest, f.Calls, ledger(f))
			}
			if f.Verdict >= heuristics.Review {
				t.Errorf("%s: %s at %s", name, f.Line, f.Verdict)
			}
		}
		switch why := corpusExplained[name]; {
		case worst >= heuristics.Watch && why == "":
			t.Errorf("%s reaches %s, and corpusExplained does not say why that is right", name, worst)
		case worst >= heuristics.Watch:
			closest += ": " + why
		case why != "":
			t.Errorf("%s does not reach watch: take its explanation out", name)
		}
		s := &result.Stats
		source, _, _ := strings.Cut(name, string(filepath.Separator))
		key := [2]string{strings.Replace(source, "+", "/", 1), labels[name]}
		if counts[key] == nil {
			counts[key] = &corpusCount{}
		}
		for _, c := range []*corpusCount{counts[key], total} {
			c.files++
			c.lines += len(result.Findings)
			c.calls += s.Calls
			c.streams += s.Streams
			c.verdicts[worst]++
			if s.Messages+s.Streams+s.Records > 0 {
				c.telephony++
			}
			if len(damages) > 0 {
				c.damaged++
			}
		}
		if s.Messages+s.Streams+s.Records > 0 {
			var kinds []string
			for _, d := range damages {
				kinds = append(kinds, damageName(d.Kind))
			}
			files.row(name, labels[name], s.Frames, s.Messages, s.Calls, s.Streams, s.Records, len(result.Findings), worst, closest, strings.Join(kinds, ", "))
		}
	}
	sources := corpusTable{{"source", "label", "files", "with telephony", "calls", "voice streams", "lines judged", "files at none", "watch", "review", "case", "damaged files"}}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, k := range keys {
		sources.count(k[0], k[1], counts[k])
	}
	sources.count("all", "", total)
	t.Logf("%d files replayed, %d are no captures\n%s\n%s", read, none, files.text(), sources.text())
	if *update {
		manifest, err := os.ReadFile(filepath.Join(root, "MANIFEST.tsv"))
		if err != nil {
			t.Fatal(err)
		}
		page := fmt.Sprintf(corpusPage, read, none, sha256.Sum256(manifest), sources.markdown(), files.markdown())
		if err := os.WriteFile(filepath.Join("..", "docs", "corpus.md"), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read == 0 {
		t.Errorf("no capture in %s", root)
	}
}

const corpusPage = `# What public captures give

Other people's captures, each replayed by itself and without --home by ` + "`go test ./cases -run '^TestCorpusReplay$' -update`" + `, which writes this page: %d files, and %d more that are no captures. Nothing in them is a gateway's line in service, so no line may reach review, and a file that reaches watch has its explanation in the table. Labels are those of whoever collected the files: *benign* is traffic as programs make it, *malformed* is made to break readers, *unknown* was not looked at. Damage is what the reader told of the file. SHA-256 of the corpus's manifest: %x.

What it does not show: most of these files are seconds long, and without proof a line of under ten calls or ten minutes cannot be a case (docs/verdict.md). It shows that nothing in them is taken for a gateway's protocol, and that broken files are read to the break.

## By source

%s
## Files with telephony

%s`

// corpusCount is what the files of one source and label gave.
type corpusCount struct {
	files, telephony, lines, damaged int
	calls, streams                   uint64
	verdicts                         [heuristics.Case + 1]int
}

// corpusTable is rows of cells, the first its head.
type corpusTable [][]string

func (c *corpusTable) row(cells ...any) {
	var row []string
	for _, x := range cells {
		row = append(row, fmt.Sprint(x))
	}
	*c = append(*c, row)
}

func (c *corpusTable) count(source, label string, n *corpusCount) {
	c.row(source, label, n.files, n.telephony, n.calls, n.streams, n.lines,
		n.verdicts[heuristics.None], n.verdicts[heuristics.Watch], n.verdicts[heuristics.Review], n.verdicts[heuristics.Case], n.damaged)
}

func (c corpusTable) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range c {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
	return b.String()
}

func (c corpusTable) markdown() string {
	var b strings.Builder
	for i, row := range c {
		fmt.Fprintln(&b, "| "+strings.Join(row, " | ")+" |")
		if i == 0 {
			fmt.Fprintln(&b, "|"+strings.Repeat("---|", len(row)))
		}
	}
	return b.String()
}

// replayWatched replays one file; one that takes a minute, or panics, fails.
func replayWatched(t *testing.T, path string) (*pipeline.Result, []capture.Damage, error) {
	t.Helper()
	type answer struct {
		result  *pipeline.Result
		damages []capture.Damage
		err     error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("panic: %v", p)
			}
			done <- a
		}()
		files, err := capture.Open([]string{path}, capture.Options{})
		if err != nil {
			a.err = err
			return
		}
		defer files.Close()
		// One worker, so that a panic happens here and is told with its file.
		a.result, a.err = pipeline.Run(context.Background(), files, pipeline.Config{Workers: 1})
		a.damages = files.Damages()
	}()
	select {
	case a := <-done:
		return a.result, a.damages, a.err
	case <-time.After(time.Minute):
		t.Fatalf("%s: not through after a minute", path)
		return nil, nil, nil
	}
}

func ledger(f *heuristics.Finding) string {
	var b strings.Builder
	for _, r := range f.Signals {
		fmt.Fprintf(&b, "\n    %6.2f against %s: %s: %s", r.Nats, r.Against, r.ID, r.Detail)
	}
	for _, u := range f.Unseen {
		fmt.Fprintf(&b, "\n    unseen: %s", u)
	}
	return b.String()
}

// corpusLabels reads the label of each file, the last column: benign, malformed and the like.
func corpusLabels(manifest string) map[string]string {
	labels := map[string]string{}
	b, err := os.ReadFile(manifest)
	if err != nil {
		return labels
	}
	for _, l := range strings.Split(string(b), "\n") {
		if c := strings.Split(l, "\t"); len(c) > 7 {
			labels[c[0]] = c[7]
		}
	}
	return labels
}
