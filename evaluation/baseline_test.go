package evaluation

import (
	"bytes"
	"maps"
	"strings"
	"testing"
)

func TestBaseline(t *testing.T) {
	before := &Baseline{Draws: 3, FirstSeed: 1, Figures: map[string]Figure{
		"box":    {K: 199, N: 200, Rate: 0.995},
		"honest": {K: 1, N: 1000, Rate: 0.001, Most: true},
	}}
	for name, c := range map[string]struct {
		change         func(map[string]Figure)
		worse, changed string
	}{
		"nothing":             {func(map[string]Figure) {}, "", ""},
		"a box less":          {func(f map[string]Figure) { f["box"] = Figure{K: 198, N: 200, Rate: 0.99} }, "", "box"},
		"a hundredth less":    {func(f map[string]Figure) { f["box"] = Figure{K: 197, N: 200, Rate: 0.985} }, "", "box"},
		"more than that":      {func(f map[string]Figure) { f["box"] = Figure{K: 196, N: 200, Rate: 0.98} }, "box: 196 of 200, was 199 of 200", ""},
		"a box more":          {func(f map[string]Figure) { f["box"] = Figure{K: 200, N: 200, Rate: 1} }, "", "box"},
		"an honest line more": {func(f map[string]Figure) { f["honest"] = Figure{K: 2, N: 1000, Rate: 0.002, Most: true} }, "honest", ""},
		"an honest line less": {func(f map[string]Figure) { f["honest"] = Figure{K: 0, N: 1000, Most: true} }, "", "honest"},
		"gone":                {func(f map[string]Figure) { delete(f, "box") }, "box is gone", ""},
		"new":                 {func(f map[string]Figure) { f["more"] = Figure{N: 1} }, "", "more is new"},
	} {
		now := &Baseline{Draws: 3, FirstSeed: 1, Figures: maps.Clone(before.Figures)}
		c.change(now.Figures)
		worse, changed, err := now.Against(before)
		if err != nil {
			t.Fatal(err)
		}
		for what, pair := range map[string][2]string{"worse": {strings.Join(worse, "\n"), c.worse}, "changed": {strings.Join(changed, "\n"), c.changed}} {
			if got, want := pair[0], pair[1]; (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("%s: %s %q, want %q", name, what, got, want)
			}
		}
	}
	other := &Baseline{Draws: 4, FirstSeed: 1, Figures: before.Figures}
	if _, _, err := other.Against(before); err == nil {
		t.Error("runs of different draws were compared")
	}
}

func TestBaselineIsRead(t *testing.T) {
	b := tiny().Baseline()
	var file bytes.Buffer
	if err := b.Write(&file); err != nil {
		t.Fatal(err)
	}
	got, err := ReadBaseline(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if worse, changed, err := b.Against(got); err != nil || len(worse)+len(changed) > 0 {
		t.Errorf("%v, %v, %v", worse, changed, err)
	}
	if f := got.Figures["both/class/pstn-breakout/watch"]; !f.Most || f.N != 10 {
		t.Errorf("%+v", f)
	}
	if f := got.Figures["both/scenario/box-line/case"]; f.Most || f.K != 9 {
		t.Errorf("%+v", f)
	}
	for _, bad := range []string{"", "[]", "{}", `{"draws":1,"first_seed":1,"figures":{}}`, `{"other":1}`} {
		if _, err := ReadBaseline(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
