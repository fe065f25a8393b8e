package evaluation

import (
	"fmt"
	"io"
	"math"
	"strings"

	"simtrap/heuristics"
)

// WriteHTML writes what was found as one page.
func (p *Population) WriteHTML(w io.Writer) error {
	b := newPage(w, "How many honest lines are accused")
	b.term("Drawn", fmt.Sprintf("%d captures of honest lines, seeds from %d, which no table was fitted to", p.Captures, p.FirstSeed))
	b.origin(p.Made, p.Version, p.Catalogue)
	if len(p.Undrawn) > 0 {
		b.term("Not drawn", "no scenario of "+strings.Join(p.Undrawn, ", "))
	}
	b.raw("</dl></header>\n<main>\n")
	b.section("goals", "Goals", "Each figure with its exact 95 % interval.")
	b.goalTable(p.Goals)
	b.endSection()
	b.strata(p)
	if len(p.Offenders) > 0 {
		b.section("offenders", fmt.Sprintf("Honest lines at watch or above: %d", p.AtWatch), "The worst of them, with their ledgers. Each is made again by its scenario and seed.")
		for i := range min(len(p.Offenders), maxTold) {
			m := &p.Offenders[i]
			b.miss(m)
		}
		b.endSection()
	}
	return b.end()
}

// strata draws how many lines of each draw are at a verdict, on a scale that has
// room for one in a million.
func (p *page) strata(c *Population) {
	p.section("draws", "Draws", "")
	list := c.strata()
	const row, head = 30.0, 24.0
	bottom := head + row*float64(len(list))
	s := p.figure("Share of lines at a verdict or above with its exact 95 % interval, on a logarithmic scale. A whisker without a point has none at all: the share lies below its end. "+legend(),
		"Share of honest lines at each verdict", bottom+24)
	x := scale{math.Log(1e-7), 0, labelsEnd + 90, plotWidth - 20}
	place := func(v float64) float64 { return x.at(math.Log(max(v, 1e-7))) }
	for i := range list {
		if i%2 == 1 {
			s.rect("band", 0, head+row*float64(i), plotWidth, row, "")
		}
	}
	for e := -7; e <= 0; e++ {
		v := math.Pow(10, float64(e))
		s.line("grid", place(v), head, place(v), bottom)
		s.text("t m", place(v), bottom+17, percentFine(v))
	}
	for i := range list {
		g := &list[i]
		y := head + row*(float64(i)+0.5)
		s.text("r", labelsEnd, y+4, g.Name)
		s.text("t r", labelsEnd+75, y+4, fmt.Sprintf("n=%d", g.Lines))
		if g.Lines == 0 {
			continue
		}
		for k, v := range verdicts() {
			r := g.rate(v)
			at := y + 8*float64(k-1)
			s.line("whisker "+v.String(), place(r.Low), at, place(r.High), at)
			if r.K > 0 {
				s.dot(v.String(), place(r.Rate), at, 3.6, fmt.Sprintf("%s, %s: %s %%", g.Name, v, interval(r)))
			} else {
				s.line("axis "+v.String(), place(r.High), at-3, place(r.High), at+3)
			}
		}
	}
	s.end()
	p.table(column{name: "Draw"}, column{"Share of all lines", true}, column{"Lines", true}, column{"Watch", true}, column{"Review", true}, column{"Case", true})
	for i := range list {
		g := &list[i]
		weight := ""
		if g.Weight > 0 {
			weight = fmt.Sprintf("%.2g", g.Weight)
		}
		p.raw(`<tr><th scope="row">`, safe(g.Name), `</th><td class="n">`, weight, `</td><td class="n">`, fmt.Sprint(g.Lines), "</td>")
		for _, v := range []heuristics.Verdict{heuristics.Watch, heuristics.Review, heuristics.Case} {
			p.raw(`<td class="n">`, g.cell(v), "</td>")
		}
		p.raw("</tr>\n")
	}
	p.endTable()
	p.endSection()
}
