package catalogue

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// copyOf gives the built-in data with one file changed.
func copyOf(t *testing.T, name, from, to string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		if path == name {
			s := strings.Replace(string(b), from, to, 1)
			if s == string(b) {
				t.Fatalf("%s has no %q", path, from)
			}
			b = []byte(s)
		}
		out[path] = &fstest.MapFile{Data: b}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLoadRefusesWhatMakesNoSense(t *testing.T) {
	for _, tt := range []struct{ name, file, from, to, want string }{
		{"a weight below the least", "classes.json", `"weight": 5e-06`, `"weight": 5e-07`, "weight"},
		{"a class without a source", "classes.json", `"says": "household", "source": "prior; rest of all lines"`, `"says": "household", "source": ""`, "no source"},
		{"an epsilon of 0", "classes.json", `"default": 0.05`, `"default": 0`, "epsilon"},
		{"an override without a source", "classes.json", `"epsilon": 0.001, "source": "VERDICT 3, set by hand: nobody`, `"epsilon": 0.001, "source": "", "note": "`, "unknown field"},
		{"an unknown key", "signals/clocks.json", `"kind": "static"`, `"kind": "static", "guess": 1`, "unknown field"},
		{"probabilities that do not sum to 1", "signals/clocks.json", `[0.97, 0.03]`, `[0.97, 0.13]`, "sum to"},
		{"a probability of 0", "signals/clocks.json", `[0.97, 0.03]`, `[1, 0]`, "not above 0"},
		{"too few probabilities", "signals/clocks.json", `[0.97, 0.03]`, `[1]`, "want 2 probabilities"},
		{"an urn without a concentration", "signals/one-leg.json", `"n": 20, `, ``, "n for an urn"},
		{"a static table with a concentration", "signals/clocks.json", `"fxs-adapter": [{"p"`, `"fxs-adapter": [{"n": 3, "p"`, "n for an urn only"},
		{"a table for no class", "signals/clocks.json", `"home":`, `"homes":`, "no modelled class"},
		{"no default table", "signals/clocks.json", `"default":`, `"camera-platform":`, `no "default" table`},
		{"a sighting that never comes", "signals/control-record.json", `"a": 1e-05, "tau": 900`, `"a": 0, "tau": 900`, "above 0"},
		{"a vendor string that decides", "signals/vendor-string.json", `[0.12, 0.45, 0.43]`, `[0.5, 0.3, 0.2]`, "exceeds the cap"},
		{"a vendor string by profile", "signals/vendor-string.json", `"default": [{"p"`, `"carrier-sbc": [{"profile": "elsewhere", "p": [0.1, 0.45, 0.45]}, {"p": [0.1, 0.45, 0.45]}], "default": [{"p"`, "no profiles"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(copyOf(t, tt.file, tt.from, tt.to))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]Class{c.Boxes, c.Classes} {
		sum := 0.0
		for _, k := range list {
			sum += k.Weight
		}
		if sum < 1-1e-9 || sum > 1+1e-9 {
			t.Errorf("weights sum to %v", sum)
		}
	}
	if c.Hash == "" || len(c.Signals) < 10 {
		t.Errorf("%d signals, hash %q", len(c.Signals), c.Hash)
	}
	for _, tt := range []struct {
		class, family string
		want          float64
	}{{"home", "concurrency", 1e-3}, {"office-phones", "concurrency", 0.05}, {"home", "fan-out", 1e-3}, {"carrier-sbc", "fan-out", 0.05}, {Unknown, "fan-out", 0.05}, {"home", "device", 0.05}} {
		if got := c.Epsilon.Of(tt.class, tt.family); got != tt.want {
			t.Errorf("epsilon of %s in %s is %v, want %v", tt.class, tt.family, got, tt.want)
		}
	}
}

// No line's address, port or name of a scenario stands among the data.
func TestNothingOfTheLabInTheData(t *testing.T) {
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		for _, s := range []string{"198.51.", "203.0.113", "192.0.2.", "198.18.", "198.19.", "goip-line", "trunk-32", "disguised"} {
			if strings.Contains(string(b), s) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
