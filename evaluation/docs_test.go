package evaluation

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tinyDocs are figures that were written by hand.
func tinyDocs() *Docs {
	r := tiny()
	hash := r.Catalogue
	p := &Population{
		Made: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Version: "1.2.3", Catalogue: hash, FirstSeed: 20001, Captures: 30,
		Heavy:   Stratum{Name: "heavy voice, by population", Lines: 10, Verdicts: [4]int{9, 1}},
		Classes: []Stratum{{Name: "home", Weight: 0.92}, {Name: "pstn-breakout", Weight: 5e-6, Lines: 20, Verdicts: [4]int{20}}},
		Quiet:   Stratum{Name: "quiet households"}, Beside: Stratum{Name: "beside others"},
		Undrawn: []string{"camera-platform"}, AtWatch: 1, Offenders: r.Misses,
	}
	p.finish()
	figure := func(law, class, of string, at, estimate, low float64) PromiseFigure {
		f := PromiseFigure{Law: law, Class: class, Of: of, Threshold: at, Bound: 0.01, Estimate: estimate, Low: low, High: 2 * estimate, Hits: 3, Lines: 100}
		f.Factor = f.Estimate / f.Bound
		return f
	}
	return &Docs{Report: r, Population: p, Promise: &PromiseReport{
		Date: "2026-11-28", Version: "1.2.3", Seed: 1, Lines: 100, Calls: 500, Catalogue: strings.Repeat("f", 64), Price: 0.5,
		Laws: []PromiseLaw{
			{Name: "tables", Text: "the tables hold", Holds: true, Figures: []PromiseFigure{figure("tables", PromisePopulation, "S", 5, 0.001, 0)}},
			{Name: "without-home", Text: "nobody ever met the class home", Without: true, Share: 0.92, Figures: []PromiseFigure{
				figure("without-home", "home", "S", 5, 0.05, 0.02), figure("without-home", "home", "watch", 5, 0.02, 0)}},
		},
	}}
}

func docFiles(t *testing.T, d *Docs) map[string]string {
	t.Helper()
	files, err := d.Files()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, f := range files {
		out[f.Name] = string(f.Content)
	}
	return out
}

func TestGoldenDocs(t *testing.T) {
	files := docFiles(t, tinyDocs())
	golden(t, "tables.md", []byte(files[DocTables]))
	if diff := cmp.Diff(files, docFiles(t, tinyDocs())); diff != "" {
		t.Errorf("the same figures, other bytes:\n%s", diff)
	}
}

// What was left out is said to be, and nothing is a dash rather than 0.
func TestDocsWithoutParts(t *testing.T) {
	d := tinyDocs()
	d.Population, d.Promise = nil, nil
	d.Report.Shortfalls = nil
	text := docFiles(t, d)[DocTables]
	for _, want := range []string{"no figures of `population` were given", "no figures of `promise` were given", "these figures of `eval` do not tell"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the tables", want)
		}
	}
	if got := share(Rate{High: 1}); got != dash {
		t.Errorf("a share of nothing is %q", got)
	}
	if got := namedPart(&Named{Precision: 1}); got != dash {
		t.Errorf("nothing named of nothing is %q", got)
	}
	if _, err := new(Docs).Files(); err == nil {
		t.Error("tables of nothing")
	}
}

// Every row of a table has as many cells as its head, whatever lines sent.
func TestDocsTablesAreWhole(t *testing.T) {
	d := tinyDocs()
	d.Report.Misses[0].Rows[0].Detail = "a|b\n| c | `d` <script> [x](http://a)"
	text := docFiles(t, d)[DocTables]
	for _, bad := range []string{"<script", "http://", "[x]", "NaN", "Inf", "%!"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q in the tables", bad)
		}
	}
	cells := func(row string) int { return strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") }
	head := 0
	for row := range strings.Lines(text) {
		switch {
		case !strings.HasPrefix(row, "|"):
			head = 0
		case head == 0:
			head = cells(row)
		case cells(row) != head:
			t.Errorf("%d cells instead of %d: %s", cells(row)-1, head-1, row)
		}
	}
}

// Pictures stand alone, are well-formed, and all of them are linked.
func TestDocPictures(t *testing.T) {
	files := docFiles(t, tinyDocs())
	for _, name := range []string{"recall.svg", "minutes.svg", "calls.svg", "margins.svg", "reliability.svg", "ablation-1.svg"} {
		picture, here := files[name]
		if !here {
			t.Errorf("no %s", name)
			continue
		}
		if !strings.Contains(files[DocTables], "]("+name+")") {
			t.Errorf("%s is not linked", name)
		}
		for _, want := range []string{"prefers-color-scheme:dark", `xmlns="http://www.w3.org/2000/svg"`, "<title>"} {
			if !strings.Contains(picture, want) {
				t.Errorf("%s: no %q", name, want)
			}
		}
		for _, bad := range []string{"<script", "href", "src=", "NaN", "Inf", "%!", "<div", "<fig"} {
			if strings.Contains(picture, bad) {
				t.Errorf("%s: %q in it", name, bad)
			}
		}
		d := xml.NewDecoder(strings.NewReader(picture))
		roots, depth := 0, 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			switch token.(type) {
			case xml.StartElement:
				if depth == 0 {
					roots++
				}
				depth++
			case xml.EndElement:
				depth--
			}
		}
		if roots != 1 || depth != 0 {
			t.Errorf("%s: %d roots, depth %d at its end", name, roots, depth)
		}
	}
}

// What was written is read again, and nothing else is.
func TestReadFigures(t *testing.T) {
	d := tinyDocs()
	var eval, population, promise bytes.Buffer
	for _, err := range []error{d.Report.WriteJSON(&eval), d.Population.WriteJSON(&population), d.Promise.WriteJSON(&promise)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := ReadReport(bytes.NewReader(eval.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPopulation(bytes.NewReader(population.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	q, err := ReadPromise(bytes.NewReader(promise.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(docFiles(t, d), docFiles(t, &Docs{r, p, q})); diff != "" {
		t.Errorf("other figures when read again:\n%s", diff)
	}
	for name, bad := range map[string]string{
		"nothing": "", "no JSON": "x", "no object": "[]", "empty": "{}", "cut": eval.String()[:200], "unknown": `{"findings":[]}`, "two": eval.String() + "{}",
		"population": population.String(), "promise": promise.String(),
	} {
		if _, err := ReadReport(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "no figures of eval") {
			t.Errorf("%s read as figures of eval: %v", name, err)
		}
	}
	if _, err := ReadPopulation(&eval); err == nil || !strings.Contains(err.Error(), "no figures of population") {
		t.Errorf("eval read as figures of population: %v", err)
	}
	if _, err := ReadPromise(&population); err == nil || !strings.Contains(err.Error(), "no figures of promise") {
		t.Errorf("population read as figures of promise: %v", err)
	}
}
