package cases

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// TestCorpusReplay replays every file of the corpus of public captures, each by
// itself and without home prefixes. Nothing in it is a gateway's line in
// service, so nothing may reach review. Files with any telephony in them are
// listed with -v; what reaches watch is listed with its ledger.
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

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tLABEL\tFRAMES\tMESSAGES\tCALLS\tSTREAMS\tRECORDS\tVERDICT\tDAMAGE")
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
		worst := heuristics.None
		for i := range result.Findings {
			f := &result.Findings[i]
			worst = max(worst, f.Verdict)
			if f.Verdict >= heuristics.Watch {
				t.Logf("%s: %s at %s, score %.1f, margin %.1f, nearest %s, %+v%s", name, f.Line, f.Verdict, f.Score, f.Margin, f.Nearest, f.Calls, ledger(f))
			}
			if f.Verdict >= heuristics.Review {
				t.Errorf("%s: %s at %s", name, f.Line, f.Verdict)
			}
		}
		s := &result.Stats
		if s.Messages+s.Streams+s.Records > 0 {
			var kinds []string
			for _, d := range damages {
				kinds = append(kinds, damageName(d.Kind))
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", name, labels[name], s.Frames, s.Messages, s.Calls, s.Streams, s.Records, worst, strings.Join(kinds, ","))
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files replayed, %d are no captures\n%s", read, none, table.String())
	if read == 0 {
		t.Errorf("no capture in %s", root)
	}
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
