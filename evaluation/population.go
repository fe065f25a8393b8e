package evaluation

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/report"
)

// Population is what a census found on honest lines.
type Population struct {
	Made      time.Time `json:"made"`
	Version   string    `json:"version"`
	Catalogue string    `json:"catalogue"`
	FirstSeed uint64    `json:"first_seed"`
	Captures  int       `json:"captures"`

	Heavy   Stratum   `json:"heavy"`
	Classes []Stratum `json:"classes"`
	Quiet   Stratum   `json:"quiet"`
	Beside  Stratum   `json:"beside"`  // other honest lines of the captures
	Undrawn []string  `json:"undrawn"` // classes that nothing was drawn of
	Goals   []Goal    `json:"goals"`

	AtWatch   int    `json:"at_watch"`  // honest lines at watch or above
	Offenders []Miss `json:"offenders"` // the worst of these
}

func newPopulation(c *Census, cat *catalogue.Catalogue, quotas []quota) *Population {
	p := &Population{
		Catalogue: cat.Hash, FirstSeed: c.First,
		Heavy: Stratum{Name: "heavy voice, by population"}, Quiet: Stratum{Name: "quiet households"}, Beside: Stratum{Name: "beside others"},
	}
	for _, k := range cat.Classes {
		switch {
		case slices.ContainsFunc(quotas, func(q quota) bool { return q.class == k.Name }):
			p.Classes = append(p.Classes, Stratum{Name: k.Name, Weight: k.Weight})
		case k.Name != catalogue.Unknown:
			p.Undrawn = append(p.Undrawn, k.Name)
		}
	}
	for _, q := range quotas { // what the catalogue does not know
		if !slices.ContainsFunc(p.Classes, func(s Stratum) bool { return s.Name == q.class }) {
			p.Classes = append(p.Classes, Stratum{Name: q.class})
		}
	}
	return p
}

// cut keeps the worst offenders.
func (p *Population) cut() {
	rank := func(m Miss) int { return slices.Index([]string{"case", "review", "watch"}, m.Verdict) }
	slices.SortStableFunc(p.Offenders, func(a, b Miss) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Over, a.Over))
	})
	p.Offenders = p.Offenders[:min(len(p.Offenders), maxOffenders)]
}

func (p *Population) finish() {
	p.cut()
	add := func(id, text string, r Rate, want float64, note string) {
		g := Goal{ID: id, Text: text, Rate: r, Want: &want, AtMost: true, Note: note}
		g.judge()
		p.Goals = append(p.Goals, g)
	}
	const heavy = "heavy lines by population: "
	add("p1", heavy+"case", p.Heavy.rate(heuristics.Case), 0, "")
	add("p2", heavy+"review", p.Heavy.rate(heuristics.Review), 4.0/HeavyLines, "")
	add("p3", heavy+"watch", p.Heavy.rate(heuristics.Watch), 0.01, "")
	for _, v := range []heuristics.Verdict{heuristics.Case, heuristics.Watch} {
		worst, note := Rate{High: 1}, ""
		for i := range p.Classes {
			if r := p.Classes[i].rate(v); r.N > 0 && (note == "" || r.Rate > worst.Rate) {
				worst, note = r, p.Classes[i].Name
			}
		}
		if worst.K == 0 {
			note = "" // none is
		}
		id, want := "p4", 0.0
		if v == heuristics.Watch {
			id, want = "p5", 0.10
		}
		add(id, "worst class: "+v.String(), worst, want, note)
	}
	add("p6", "quiet households: watch", p.Quiet.rate(heuristics.Watch), 1e-4, "")
}

// WriteJSON writes what was found as JSON.
func (p *Population) WriteJSON(w io.Writer) error { return writeJSON(w, p) }

const stratumRow = "%-28s %8s  %-20s %-20s %-20s"

// WriteText writes what was found for people to read, in at most 100 columns.
func (p *Population) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	t := &text{b}
	t.line("%d captures of honest lines, seeds from %d", p.Captures, p.FirstSeed)
	t.line("simtrap %s, tables %.12s, %s", report.Plain(p.Version), p.Catalogue, p.Made.UTC().Format(time.DateOnly))
	t.line("How many lines reached a verdict; shares in percent with their exact 95 %% interval.")
	t.line("")
	t.line(stratumRow, "drawn", "lines", "watch", "review", "case")
	for _, s := range p.strata() {
		if s.Lines == 0 {
			continue
		}
		t.line(stratumRow, s.Name, fmt.Sprint(s.Lines), s.cell(heuristics.Watch), s.cell(heuristics.Review), s.cell(heuristics.Case))
	}
	if len(p.Undrawn) > 0 {
		for _, s := range report.Wrap("no scenario of: "+strings.Join(p.Undrawn, ", "), textWidth) {
			t.line("%s", s)
		}
	}
	if len(p.Offenders) > 0 {
		t.title(fmt.Sprintf("Honest lines at watch or above: %d, the worst of them", p.AtWatch))
		for i := range p.Offenders {
			t.miss(&p.Offenders[i])
		}
	}
	t.title("Goals")
	t.goalRows("", p.Goals, false)
	return b.Flush()
}

// strata lists all draws, those by class in the catalogue's order.
func (p *Population) strata() []Stratum {
	return slices.Concat([]Stratum{p.Heavy}, p.Classes, []Stratum{p.Beside, p.Quiet})
}

// cell writes how many reached a verdict, with the interval.
func (s *Stratum) cell(v heuristics.Verdict) string {
	r := s.rate(v)
	return fmt.Sprintf("%d [%s-%s]", s.at(v), percent(r.Low), percent(r.High))
}
