package evaluation

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/heuristics"
	"simtrap/lab"
	"simtrap/trial"
)

// hand collects facts that were written by hand.
func hand(t *testing.T, scenarios []lab.Scenario, facts ...fact) *collector {
	t.Helper()
	plan := &Plan{Scenarios: scenarios, Draws: 1}
	c := newCollector(plan, model(t), nil)
	for i := range facts {
		f := &facts[i]
		f.without = make([]pair, len(families(c.model.Catalogue()))+1)
	}
	c.tallys[0].facts = facts
	return c
}

func boxFact(scenario int, v heuristics.Verdict, calls int, s shows) fact {
	f := fact{scenario: scenario, main: true, box: true, class: "gateway", verdict: v, calls: calls, shows: s, installed: 8, peak: 8, channels: 8}
	for at := heuristics.Watch; at <= v; at++ {
		f.reached[at] = moment{true, 60 * float64(at), 5 * int(at)}
	}
	return f
}

func honestFact(scenario int, class string, v heuristics.Verdict) fact {
	return fact{scenario: scenario, main: true, class: class, verdict: v, score: standing{-1, -1}, margin: standing{-2, -2}}
}

func goal(t *testing.T, goals []Goal, id string) *Goal {
	t.Helper()
	for i := range goals {
		if goals[i].ID == id {
			return &goals[i]
		}
	}
	t.Fatalf("no goal %s", id)
	return nil
}

func TestGoals(t *testing.T) {
	const open, bare = showsSIP | showsController, showsSIP
	relay := boxFact(0, heuristics.Watch, 40, bare)
	relay.class = twoSlot
	cards := boxFact(0, heuristics.Case, 40, open|showsCards)
	cards.proof, cards.cards = true, trial.Match{Found: 4, Right: 3, True: 8, Seen: 8}
	wrong := boxFact(0, heuristics.None, 40, 0) // nothing of it can be read
	wrong.channels = 5
	c := hand(t, []lab.Scenario{{Name: "boxes", Box: true}, {Name: "office", Share: 0.9}, {Name: "shop", Share: 0.1}},
		boxFact(0, heuristics.Review, 40, open), boxFact(0, heuristics.Case, 40, open), boxFact(0, heuristics.Watch, 5, open), cards,
		boxFact(0, heuristics.Watch, 40, bare), boxFact(0, heuristics.None, 40, bare),
		relay, wrong,
		honestFact(1, "office-phones", heuristics.None), honestFact(2, "office-phones", heuristics.Watch), honestFact(2, "office-phones", heuristics.Watch),
	)
	c.tallys[0].silent["home"] = 95
	f := c.figures(0, Variant{View: viewBoth})
	yes, no := true, false
	for _, want := range []struct {
		id   string
		k, n float64
		met  *bool
	}{
		{"a1", 3, 4, &no},
		{"a2", 2, 3, &no}, // the one with five calls is not asked for a case
		{"b1", 1, 2, &no},
		{"b2", 0, 2, nil},
		{"b3", 0, 2, nil},
		{"c", 1, 1, &yes},
		{"d", 1, 1, &yes},
		{"e1", 0, 98, &yes}, // with the silent ones
		{"f", 7, 8, nil},
		{"g1", 3, 4, &no},
		{"g2", 8, 8, &yes},
	} {
		g := goal(t, f.Goals, want.id)
		if g.Rate.K != want.k || g.Rate.N != want.n {
			t.Errorf("%s: %v of %v, want %v of %v", want.id, g.Rate.K, g.Rate.N, want.k, want.n)
		}
		if (g.Met == nil) != (want.met == nil) || g.Met != nil && *g.Met != *want.met {
			t.Errorf("%s: met %s", want.id, g.met())
		}
	}
	// Both draws of the shop are at watch, but few offices are shops.
	worst := goal(t, f.Goals, "e2")
	if worst.Note != "office-phones" || worst.Rate.Rate != 0.1 || !*worst.Met {
		t.Errorf("e2: %+v", worst)
	}
	if m := goal(t, f.Goals, "a3").Value; m == nil || *m != 120 {
		t.Errorf("median time to review: %v", m)
	}
	if m := goal(t, f.Goals, "a4").Value; m == nil || *m != 180 {
		t.Errorf("median time to case: %v", m)
	}

	// From one side nothing is asked of boxes, but of the honest.
	up := c.figures(0, Variant{View: "up"})
	for _, id := range []string{"a1", "b1", "c", "d", "g2"} {
		if g := goal(t, up.Goals, id); g.Want != nil || g.Met != nil {
			t.Errorf("up asks for %s", id)
		}
	}
	if g := goal(t, up.Goals, "e1"); g.Met == nil {
		t.Error("up asks nothing of honest lines")
	}
}

func TestVendorGoals(t *testing.T) {
	figures := func(vendor string, k float64) Figures {
		return Figures{Variant: Variant{viewBoth, vendor}, Goals: []Goal{{ID: "a1", Rate: wilson(k, 200)}, {ID: "e1", Rate: wilson(k, 9)}}}
	}
	for k, met := range map[float64]string{200: "yes", 198: "yes", 197: "NO"} {
		v := []Figures{figures("", 200), figures("phone", k)}
		vendorGoals(v)
		g := goal(t, v[1].Goals, "h")
		if g.met() != met {
			t.Errorf("%v of 200: met %s, want %s", k, g.met(), met)
		}
	}
}

// Half of those that could be found were not: the median is of those that were,
// and the ninth decile nobody knows.
func TestReachedTimes(t *testing.T) {
	c := hand(t, []lab.Scenario{{Name: "boxes", Box: true}}, boxFact(0, heuristics.Case, 9, 0), boxFact(0, heuristics.None, 9, 0))
	g := c.group(0, func(f *fact) bool { return f.main })
	if m := g.Watch.Seconds; m.Median == nil || *m.Median != 60 || m.Ninth != nil {
		t.Errorf("%+v", m)
	}
	if m := g.Case.Calls; m.Median == nil || *m.Median != 15 {
		t.Errorf("%+v", m)
	}
}

func TestChannels(t *testing.T) {
	for _, c := range []struct {
		found, installed, peak int
		shows                  shows
		used, built            part
	}{
		{8, 8, 8, 0, part{1, 1, 0}, part{}},
		{3, 32, 4, 0, part{1, 1, 0}, part{}}, // all that could be seen
		{2, 32, 4, 0, part{0, 1, 0}, part{}},
		{16, 16, 4, showsControl, part{1, 1, 0}, part{1, 1, 0}},
		{4, 16, 4, showsControl, part{1, 1, 0}, part{0, 1, 0}},
		{9, 16, 4, showsControl, part{0, 1, 0}, part{0, 1, 0}},
		{9, 8, 12, 0, part{1, 1, 0}, part{}}, // two legs a call
		{4, 0, 4, 0, part{}, part{}},
	} {
		var used, built part
		f := fact{channels: c.found, installed: c.installed, peak: c.peak, shows: c.shows}
		f.countChannels(&used, &built)
		if used != c.used || built != c.built {
			t.Errorf("%d found of %d, %d at once: %v and %v, want %v and %v", c.found, c.installed, c.peak, used, built, c.used, c.built)
		}
	}
}

func TestReliability(t *testing.T) {
	var facts []fact
	for i := range 200 {
		f := honestFact(0, "fxs-adapter", heuristics.None)
		if i < 20 {
			f.margin.peak, f.score.peak = 5, 5
		}
		facts = append(facts, f)
	}
	list := hand(t, []lab.Scenario{{Name: "adapter", Class: lab.ClassAdapter, Share: 1}}, facts...).reliability()
	if len(list) != 3 || list[0].Class != "" || list[1].Kind != "margin" {
		t.Fatalf("%d lists", len(list))
	}
	for _, s := range list[1].Steps {
		want := 0.1
		if s.Nats > 5 {
			want = 0
		}
		if s.Rate.Rate != want {
			t.Errorf("%g nats: %v, want %v", s.Nats, s.Rate.Rate, want)
		}
		// A tenth is e^-2.3.
		if above := s.Nats > 2.3 && s.Nats <= 5; s.Above != above {
			t.Errorf("%g nats: above %v", s.Nats, s.Above)
		}
		if exceeded := s.Nats >= 3 && s.Nats <= 5; s.Exceeded != exceeded {
			t.Errorf("%g nats: exceeded %v, %+v against %v", s.Nats, s.Exceeded, s.Rate, math.Exp(-s.Nats))
		}
	}
}

func TestAblations(t *testing.T) {
	c := hand(t, []lab.Scenario{{Name: "boxes", Box: true}, {Name: "office"}}, boxFact(0, heuristics.Case, 9, 0), honestFact(1, "office-phones", heuristics.None))
	names := families(c.model.Catalogue())
	facts := c.tallys[0].facts
	facts[0].without[len(names)] = pair{12, 4} // with everything
	facts[0].without[0] = pair{12, 1}
	facts[1].without[1] = pair{6, 1} // what spoke for the office
	for _, a := range c.ablations() {
		if a.Boxes != 1 || len(a.Classes) != 2 {
			t.Fatalf("%+v", a)
		}
		if r := a.Rows[0]; r.Without != "" || r.Rates[0] != 1 || r.Rates[1] != 0 {
			t.Errorf("everything: %+v", r)
		}
		watch := a.Score == 5
		if r := a.Rows[1]; r.Without != names[0] || (r.Rates[0] == 1) != watch {
			t.Errorf("S %g: %+v", a.Score, r)
		}
		if r := a.Rows[2]; r.Without != names[1] || (r.Rates[1] == 1) != watch {
			t.Errorf("S %g: %+v", a.Score, r)
		}
	}
}

// caughtLine is an honest line of a capture with a finding.
func caughtLine(v heuristics.Verdict, seed uint64) *trial.Line {
	truth := &lab.LineTruth{Address: "203.0.113.7", Class: lab.ClassHome, Device: "a household"}
	return &trial.Line{
		Scenario: "home-voip", Options: lab.Options{Scenario: "home-voip", Seed: seed}, Main: true, Truth: truth, Truths: &lab.Truth{Lines: []*lab.LineTruth{truth}},
		Finding: &heuristics.Finding{Verdict: v, Score: 6, Margin: 1, PeakScore: 7, PeakMargin: 2, Nearest: "home",
			Signals: []heuristics.Row{{ID: "inbound-fanout", Family: "fan-out", Nats: 3, Against: "home", Detail: "9 calls received"}}},
	}
}

// Bins are of the population: an office weighs as much as offices do, however
// often it was drawn.
func TestHistogram(t *testing.T) {
	facts := []fact{boxFact(0, heuristics.Case, 9, 0)}
	facts[0].margin.peak, facts[0].score.peak = 6.5, 99
	for i := range 4 {
		f := honestFact(1, "office-phones", heuristics.None)
		f.margin.peak = -3
		if i == 0 {
			f.margin.peak = 2
		}
		facts = append(facts, f)
	}
	c := hand(t, []lab.Scenario{{Name: "boxes", Box: true}, {Name: "office"}}, facts...)
	weight := 0.0
	for _, k := range c.model.Catalogue().Classes {
		if k.Name == "office-phones" {
			weight = k.Weight
		}
	}
	for _, b := range c.histogram() {
		want := Bin{Kind: b.Kind, From: b.From}
		switch {
		case b.Kind == "margin" && b.From == 6, b.Kind == "score" && b.From == 38:
			want.Boxes = 1
		case b.Kind == "margin" && b.From == 2:
			want.Honest, want.Population = 1, roundFine(weight/4)
		case b.Kind == "margin" && b.From == -4:
			want.Honest, want.Population = 3, roundFine(weight*3/4)
		case b.Kind == "score" && b.From == -2:
			want.Honest, want.Population = 4, roundFine(weight)
		}
		if b != want {
			t.Errorf("%+v, want %+v", b, want)
		}
	}
}

// TestHidingAblations: boxes that hide are counted by how, all kinds of one way
// together, beside each of their twins.
func TestHidingAblations(t *testing.T) {
	all := lab.Hiding()
	of := func(name string) lab.Scenario {
		return all[slices.IndexFunc(all, func(s lab.Scenario) bool { return s.Name == name })]
	}
	scenarios := []lab.Scenario{of("hide-wireguard"), of("hide-pptp"), of("hide-srtp"), of("twin-vpn-branch"), {Name: "boxes", Box: true}}
	c := hand(t, scenarios, boxFact(0, heuristics.None, 9, 0), boxFact(1, heuristics.None, 9, 0), boxFact(2, heuristics.None, 9, 0), honestFact(3, "vpn-office", heuristics.None), boxFact(4, heuristics.Case, 9, 0))
	n := len(families(c.model.Catalogue()))
	for i, p := range []pair{{6, 2.4}, {6, 2.2}, {12, 4}, {6, 1}, {20, 9}} {
		c.tallys[0].facts[i].without[n] = p
	}
	c.tallys[0].facts[3].without[0] = pair{5, 2.5} // what spoke for the branch
	list := c.hiding()
	if len(list) != 2 {
		t.Fatalf("%d tables", len(list))
	}
	for i, want := range [][2][]float64{{{0.5, 1, 0}, {0, 0, 1}}, {{0, 1, 0}, {0, 0, 0}}} {
		a := &list[i]
		if !slices.Equal(a.Classes, []string{lab.HideTunnel, lab.HideSRTP, "twin-vpn-branch"}) || a.Boxes != 2 || len(a.Rows) != n+1 {
			t.Fatalf("%+v", a)
		}
		for k := range want {
			if !slices.Equal(a.Rows[k].Rates, want[k]) {
				t.Errorf("bar of %g and %g, without %q: %v, want %v", a.Score, a.Margin, a.Rows[k].Without, a.Rows[k].Rates, want[k])
			}
		}
	}
	if c := hand(t, []lab.Scenario{{Name: "boxes", Box: true}}, boxFact(0, heuristics.Case, 9, 0)); c.hiding() != nil {
		t.Error("a table of nothing")
	}
}

// TestDrops: the bar falls until enough boxes with eight calls at once are above it,
// and whoever of the honest would be above it then is told.
func TestDrops(t *testing.T) {
	all := lab.Hiding()
	of := func(name string) lab.Scenario {
		return all[slices.IndexFunc(all, func(s lab.Scenario) bool { return s.Name == name })]
	}
	scenarios := []lab.Scenario{of("hide-srtp"), of("twin-callcentre"), of("twin-game")}
	facts := []fact{}
	for range 11 {
		facts = append(facts, boxFact(0, heuristics.None, 9, 0))
	}
	for i := range facts {
		facts[i].peak = 8
	}
	facts[10].peak = 7
	facts = append(facts, honestFact(1, "callcentre", heuristics.None), honestFact(1, "callcentre", heuristics.None), honestFact(2, "home", heuristics.None))
	c := hand(t, scenarios, facts...)
	n := len(families(c.model.Catalogue()))
	// Nine have scores of 4 to 3.3 and margins of 9 but for one, the tenth is far below, the
	// eleventh has too few calls to count.
	for i := range 9 {
		c.tallys[0].facts[i].without[n] = pair{5 - 1 - float64(i)*0.1, 9}
	}
	c.tallys[0].facts[8].without[n] = pair{9, 2.3 - 2.8}
	c.tallys[0].facts[9].without[n] = pair{-9, -9}
	c.tallys[0].facts[10].without[n] = pair{-9, -9}
	// Below in score; above both; below in margin.
	c.tallys[0].facts[11].without[n] = pair{3.2, 9}
	c.tallys[0].facts[12].without[n] = pair{3.4, 1}
	c.tallys[0].facts[13].without[n] = pair{9, -2}
	list := c.drops()
	want := []Drop{{Goal: "i4", Text: "box with TLS and SRTP, 8 calls at once: watch", Boxes: 10, Want: 0.9, Bar: [2]float64{5, 2.3}, Lowered: [2]float64{3.3, -0.5}, Honest: []Beside{{"twin-callcentre", 2, 0, 1}}}}
	if d := cmp.Diff(want, list); d != "" {
		t.Error(d)
	}
}
