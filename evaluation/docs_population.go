package evaluation

import (
	"fmt"
	"strconv"
	"strings"

	"simtrap/heuristics"
)

// maxDocOffenders is how many offenders are told; the page tells more.
const maxDocOffenders = 10

// population tells how many lines of each draw were accused.
func (m *markdown) population(p *Population) {
	m.title("Population")
	if p == nil {
		m.line("Left out: no figures of `population` were given.")
		return
	}
	m.line("Honest lines as they fall in a population: intervals are exact.\n")
	m.table("", "Figure", ">In percent", ">Of", "Goal", "Met")
	for i := range p.Goals {
		g := &p.Goals[i]
		text := told(g.Text)
		if g.Note != "" {
			text += "<br>" + told(g.Note)
		}
		of := dash
		if g.Rate.N > 0 {
			of = strconv.FormatFloat(g.Rate.N, 'f', 0, 64)
		}
		m.row(g.ID, text, g.cell(), of, strings.NewReplacer(">=", "≥", "<=", "≤").Replace(g.want()), g.metCell())
	}
	m.line("\nLines of each draw at a verdict or above:\n")
	m.table("Draw", ">Share of all lines", ">Lines", ">Watch", ">Review", ">Case")
	for _, s := range p.strata() {
		if s.Lines == 0 {
			m.row(told(s.Name), weightOf(s.Weight), dash, dash, dash, dash)
			continue
		}
		cells := []string{told(s.Name), weightOf(s.Weight), strconv.Itoa(s.Lines)}
		for _, v := range verdicts() {
			cells = append(cells, s.counted(v))
		}
		m.row(cells...)
	}
	if len(p.Undrawn) > 0 {
		m.line("\nNo scenario of: %s.", told(strings.Join(p.Undrawn, ", ")))
	}
	switch n := len(p.Offenders); {
	case n == 0:
		m.line("\nNo honest line reached watch.")
	default:
		m.missTable(fmt.Sprintf("Honest lines at watch or above: %d, the worst %d", p.AtWatch, min(n, maxDocOffenders)), p.Offenders[:min(n, maxDocOffenders)], 2)
	}
}

// weightOf writes a share of all lines in percent; draws that mix classes have
// none.
func weightOf(w float64) string {
	if w == 0 {
		return dash
	}
	return fmt.Sprintf("%.2g", 100*w)
}

// counted writes how many reached a verdict, and the interval.
func (s *Stratum) counted(v heuristics.Verdict) string {
	r := s.rate(v)
	return fmt.Sprintf("%d (%s–%s)", s.at(v), percent(r.Low), percent(r.High))
}
