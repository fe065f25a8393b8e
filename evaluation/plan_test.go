package evaluation

import (
	"slices"
	"testing"
	"time"

	"simtrap/lab"
)

// scenarios finds those that are drawn from in these tests.
func scenarios(t *testing.T, names ...string) []lab.Scenario {
	t.Helper()
	out, err := Select(names)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJobs(t *testing.T) {
	p := Plan{Scenarios: scenarios(t, "home-voip", "goip-line"), Draws: 2, First: 7, Views: []string{"up", "both"}, Vendors: true, Duration: time.Minute}
	var got []string
	jobs, options := p.jobs()
	for i, o := range options {
		v := p.variants()[jobs[i].variant]
		if p.Scenarios[jobs[i].scenario].Name != o.Scenario || v.View != o.View || v.Vendor != o.Vendor || o.Duration != time.Minute {
			t.Errorf("job %d is %+v of %v", i, o, v)
		}
		if o.Seed == 8 {
			got = append(got, v.String()+": "+o.Scenario)
		}
	}
	want := []string{
		"both: goip-line", "both: home-voip",
		"both, vendor none: goip-line", "both, vendor phone: goip-line", // a home has none of its own
		"up: goip-line", "up: home-voip",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if p.Captures() != 2*len(want) {
		t.Errorf("%d captures", p.Captures())
	}
}

func TestSelect(t *testing.T) {
	if got := scenarios(t); len(got) != len(Drawn()) {
		t.Errorf("%d scenarios, %d are drawn from", len(got), len(Drawn()))
	}
	for _, s := range Drawn() {
		if s.Class == "" {
			t.Errorf("%s has no class", s.Name)
		}
	}
	// A pattern means those that are drawn from, a name any.
	if got := scenarios(t, "goip-line"); len(got) != 1 || got[0].Name != "goip-line" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"goip-*x", "[", "nobody"} {
		if got, err := Select([]string{bad}); err == nil {
			t.Errorf("%q names %d scenarios", bad, len(got))
		}
	}
}
