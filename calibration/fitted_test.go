package calibration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/lab"
)

const counts = "observations.tsv"

func builtIn(t *testing.T) (*catalogue.Catalogue, []Observation, []byte) {
	t.Helper()
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(counts)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return c, list, b
}

// The tables that are built in are those that the counts and the priors give: one
// that was edited by hand fails here until it is made again.
func TestTablesAreFitted(t *testing.T) {
	if testing.Short() {
		t.Skip("arithmetic of one goroutine, ten times as long under the race detector")
	}
	c, list, b := builtIn(t)
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != c.Made.Observations {
		t.Errorf("%s is not the file that calibration.json names", counts)
	}
	f, err := Calibrate(vendors(t), list)
	if err != nil {
		t.Fatal(err)
	}
	made := f.Made(Plan{c.Made.Draws, c.Made.FirstSeed})
	made.Observations = c.Made.Observations
	files, err := Files(f.Catalogue, made)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "heuristics", "catalogue")
	for name, want := range files {
		if name == "vendors.json" {
			continue // set by hand
		}
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
		} else if d := cmp.Diff(strings.Split(string(want.Data), "\n"), strings.Split(string(got), "\n")); d != "" {
			t.Errorf("%s was not written by make calibrate (-fitted +there):\n%s", name, d)
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, "signals", "*.json"))
	if err != nil || len(there) != len(c.Signals) {
		t.Errorf("%d files of signals for %d signals, %v", len(there), len(c.Signals), err)
	}
}

// The counts are those of the lab: some of the captures are made again.
func TestCountsAreOfTheLab(t *testing.T) {
	c, list, _ := builtIn(t)
	model, err := heuristics.NewModel(c)
	if err != nil {
		t.Fatal(err)
	}
	byJob := map[string]Observation{}
	for _, o := range list {
		byJob[o.Scenario+" "+strconv.FormatUint(o.Seed, 10)] = o
	}
	jobs := Plan{c.Made.Draws, c.Made.FirstSeed}.Jobs()
	if len(jobs) != len(list) {
		t.Errorf("the lab draws from scenarios that the counts do not have, or the other way round: %d captures, %d lines; make calibrate", len(jobs), len(list))
	}
	// One draw of every fifth scenario, another of each by the file's hash.
	var some []lab.Options
	every, offset := 5*c.Made.Draws+1, int(c.Made.Observations[0])
	if testing.Short() {
		every *= 6
	}
	for i := offset % every; i < len(jobs); i += every {
		some = append(some, jobs[i])
	}
	got, err := Observe(t.Context(), some, model, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	seconds := cmp.Transformer("seconds", func(s heuristics.Seen) heuristics.Seen { s.Exposure = s.Exposure / 1e9 * 1e9; return s })
	for i := range got {
		want := byJob[got[i].Scenario+" "+strconv.FormatUint(got[i].Seed, 10)]
		if d := cmp.Diff(text3(want), text3(got[i]), seconds); d != "" {
			t.Errorf("%s, seed %d (-file +lab); make calibrate:\n%s", got[i].Scenario, got[i].Seed, d)
		}
	}
}

// text3 is an observation as its line of the file.
func text3(o Observation) string {
	var b bytes.Buffer
	if err := Write(&b, []Observation{o}); err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(b.String(), "\t", "\n")
}

// Nothing by which the lab's lines could be known stands in what judges lines: no
// address or name that the lab draws, no scenario, no seed.
func TestNothingOfTheLabInDetection(t *testing.T) {
	var words []string
	for _, s := range lab.Scenarios() {
		words = append(words, s.Name)
	}
	for _, network := range lab.Homes() {
		words = append(words, prefix(network))
	}
	for _, l := range strings.Split(strings.TrimSpace(lab.Places()), "\n") {
		words = append(words, prefix(strings.Fields(l)[0]))
	}
	slices.Sort(words)
	field := common(t)
	words = slices.DeleteFunc(slices.Compact(words), func(w string) bool { return field[w] })
	lab := regexp.MustCompile(`(^|[^A-Za-z0-9.:-])(` + quotedWords(words) + `)($|[^A-Za-z-])`)
	looked := 0
	for _, dir := range []string{"heuristics", "pipeline", "sip", "rtp", "control", "h323", "packet", "ident"} {
		err := fs.WalkDir(os.DirFS(filepath.Join("..", dir)), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
				return err
			}
			if ext := filepath.Ext(path); ext != ".go" && ext != ".json" && ext != ".txt" {
				return nil
			}
			b, err := os.ReadFile(filepath.Join("..", dir, path))
			if err != nil {
				return err
			}
			looked++
			if filepath.Ext(path) == ".go" {
				b = literals(b) // examples in comments decide nothing
			}
			if w := lab.Find(b); w != nil {
				t.Errorf("%s/%s holds %q of the lab", dir, path, w)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if looked < 100 {
		t.Errorf("only %d files looked at", looked)
	}
}

// common are names of scenarios that are plain words of the field as well: the
// classes of the catalogue, and makers of gateways.
func common(t *testing.T) map[string]bool {
	out := map[string]bool{"demo": true, "camera": true, "conference": true, "dinstar": true, "ejoin": true, "simbank": true, "two-slot": true}
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slices.Concat(c.Boxes, c.Classes) {
		out[k.Name] = true
	}
	for _, s := range c.Signals {
		out[s.ID] = true
	}
	return out
}

// literals gives the string and number literals of a Go file, one a line.
func literals(src []byte) []byte {
	var s scanner.Scanner
	set := token.NewFileSet()
	s.Init(set.AddFile("", set.Base(), len(src)), src, nil, 0)
	var out []byte
	for {
		_, tok, text := s.Scan()
		switch tok {
		case token.EOF:
			return out
		case token.STRING, token.INT:
			out = append(append(out, text...), '\n')
		}
	}
}

func quotedWords(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = regexp.QuoteMeta(w)
		if strings.HasSuffix(w, ".") || strings.Contains(w, ":") {
			out[i] += "[0-9a-f.:]*" // the rest of an address
		}
	}
	return strings.Join(out, "|")
}

// prefix is the part of a network that all its addresses begin with, as text.
func prefix(network string) string {
	addr, bits, _ := strings.Cut(network, "/")
	n, err := strconv.Atoi(bits)
	if err != nil {
		return network
	}
	if parts := strings.Split(addr, "."); len(parts) == 4 {
		return strings.Join(parts[:max(n/8, 1)], ".") + "."
	}
	return strings.TrimRight(addr, ":0") // 2001:db8:1
}
