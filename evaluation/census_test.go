package evaluation

import (
	"bytes"
	"testing"

	"simtrap/heuristics"
	"simtrap/lab"
)

func TestQuotas(t *testing.T) {
	cat := model(t).Catalogue()
	c := &Census{Heavy: 4000, PerClass: 301, First: 1, QuietName: "quiet", Scenarios: []lab.Scenario{
		{Name: "quiet", Class: lab.ClassHome, Share: 0.9},
		{Name: "busy", Class: lab.ClassHome, Share: 0.1, Heavy: true},
		{Name: "office", Class: lab.ClassOffice, Share: 0.5, Heavy: true},
		{Name: "shop", Class: lab.ClassOffice, Share: 0.3},
		{Name: "closed", Class: lab.ClassOffice, Share: 0.2},
		{Name: "box", Class: lab.ClassGateway, Share: 1, Box: true, Heavy: true},
	}}
	got := make(map[string]quota)
	heavy, perClass := 0, make(map[string]int)
	for _, q := range c.quotas(cat) {
		got[q.scenario.Name] = q
		heavy += q.heavy
		perClass[q.class] += q.perClass
	}
	if heavy != c.Heavy || len(got) != 4 {
		t.Errorf("%d heavy lines of %d scenarios", heavy, len(got))
	}
	for class, n := range perClass {
		if n != c.PerClass {
			t.Errorf("%s: %d lines", class, n)
		}
	}
	// A tenth of all homes are busy, half of all offices heavy: 0.922/10 to 0.02/2.
	if n := got["busy"].heavy; n < 3540 || n > 3680 {
		t.Errorf("%d busy homes of %d", n, c.Heavy)
	}
	if got["shop"].heavy != 0 || got["closed"].heavy != 0 {
		t.Error("a line without much voice is among the heavy")
	}
	// Each by its share; the quiet home, which has a draw of its own, takes none.
	if got["busy"].perClass != 301 || got["office"].perClass != 151 || got["shop"].perClass != 90 || got["closed"].perClass != 60 {
		t.Errorf("%+v", got)
	}
}

func TestCensus(t *testing.T) {
	c := &Census{Heavy: 3, PerClass: 2, Quiet: 2, First: 1, QuietName: "home-plain", Scenarios: scenarios(t, "home-voip")}
	for i := range c.Scenarios {
		c.Scenarios[i].Class, c.Scenarios[i].Heavy = lab.ClassHome, true
	}
	of := 0
	p, err := c.Count(t.Context(), func(n, total int) {
		if n > total || of != 0 && total != of {
			t.Errorf("%d of %d", n, total)
		}
		of = total
	})
	if err != nil {
		t.Fatal(err)
	}
	// Three homes serve both draws; each quiet capture has one line.
	if p.Captures != 3+2 || p.Captures != of || p.Heavy.Lines != 3 || p.Quiet.Lines != 2 || len(p.Classes) != 1 || p.Classes[0].Lines != 2 {
		t.Errorf("%+v", p)
	}
	if len(p.Offenders) != 0 || p.AtWatch != 0 {
		t.Errorf("%d offenders", p.AtWatch)
	}
	for _, g := range p.Goals {
		if g.Met == nil || !*g.Met {
			t.Errorf("%s: %+v", g.ID, g)
		}
	}
	write(t, p)
}

// An offender is told with what makes it again, the worst first.
func TestOffenders(t *testing.T) {
	c := &Census{First: 1, Scenarios: scenarios(t, "home-voip")}
	m := model(t)
	s := &census{plan: c, report: newPopulation(c, m.Catalogue(), nil)}
	for i, v := range []heuristics.Verdict{heuristics.Watch, heuristics.Case, heuristics.None, heuristics.Review} {
		l := caughtLine(v, uint64(i))
		s.report.Heavy.count(v)
		s.offend(l, "heavy voice")
	}
	for range 3 * maxOffenders {
		s.offend(caughtLine(heuristics.Watch, 9), "quiet")
	}
	s.report.finish()
	p := s.report
	if p.AtWatch != 3+3*maxOffenders || len(p.Offenders) != maxOffenders {
		t.Errorf("%d at watch, %d told", p.AtWatch, len(p.Offenders))
	}
	for i, want := range []string{"case", "review", "watch"} {
		if p.Offenders[i].Verdict != want {
			t.Errorf("offender %d: %s, want %s", i, p.Offenders[i].Verdict, want)
		}
	}
	if g := goal(t, p.Goals, "p1"); g.Rate.K != 1 || g.Rate.N != 4 || *g.Met {
		t.Errorf("%+v", g)
	}
	if g := goal(t, p.Goals, "p6"); g.Met != nil {
		t.Errorf("nothing quiet was drawn: %+v", g)
	}
	write(t, p)
}

func write(t *testing.T, p *Population) {
	t.Helper()
	var text, page, object bytes.Buffer
	if err := p.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	narrow(t, text.String())
	if err := p.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, page.String())
	if err := p.WriteJSON(&object); err != nil {
		t.Fatal(err)
	}
}
