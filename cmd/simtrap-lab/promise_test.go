package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"simtrap/evaluation"
	"simtrap/heuristics/catalogue"
)

func TestPromise(t *testing.T) {
	file := filepath.Join(t.TempDir(), "promise.json")
	out, err := run("promise", "--lines", "6", "--calls", "30", "--seed", "5", "--json", file)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cat, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"seed 5, 6 lines a law", cat.Hash, "Every excess over the bound", "the promise holds where the tables hold"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r evaluation.PromiseReport
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Seed != 5 || r.Catalogue != cat.Hash || len(r.Laws) < len(cat.Classes) {
		t.Errorf("seed %d, catalogue %s, %d laws", r.Seed, r.Catalogue, len(r.Laws))
	}
}

func TestPromiseUsage(t *testing.T) {
	for _, args := range [][]string{{"promise", "now"}, {"promise", "--lines", "0"}, {"promise", "--calls", "-1"}} {
		_, err := run(args...)
		if !misuse(err) {
			t.Errorf("%v: %v, want wrong usage", args, err)
		}
	}
	if _, err := run("promise", "--lines", "1", "--calls", "1", "--json", filepath.Join(t.TempDir(), "none", "a.json")); err == nil {
		t.Error("a file in no folder was written")
	}
}
