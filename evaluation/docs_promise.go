package evaluation

import (
	"fmt"
	"strings"
)

// promise tells every law, and every excess under it.
func (m *markdown) promise(p *PromiseReport) {
	m.title("Promise")
	if p == nil {
		m.line("Left out: no figures of `promise` were given.")
		return
	}
	kept := "The promise holds where the tables hold"
	if p.Broken() {
		kept = "**The promise is broken where the tables hold**"
	}
	m.line("%s; looks at which the score claims more than the tables give: %d. The price of contamination is %.2f nats. Above: estimates above their bound, of all; surely: those whose whole interval is. The worst is the one with the largest factor, estimate over bound.\n", kept, p.Breaches, p.Price)
	m.table("Law", "Lines are as", ">Above", ">Surely", "Worst")
	for i := range p.Laws {
		l := &p.Laws[i]
		above, surely, worst := 0, 0, -1
		for k, f := range l.Figures {
			if f.Exceeds() {
				above++
			}
			if f.Certain() {
				surely++
			}
			if worst < 0 || f.Factor > l.Figures[worst].Factor {
				worst = k
			}
		}
		cell := dash
		if worst >= 0 {
			f := l.Figures[worst]
			cell = told(f.Class) + " " + f.told()
		}
		text := told(l.Text)
		if l.Without {
			text = fmt.Sprintf("a class nobody met, %s %% of all lines", weightOf(l.Share))
		}
		m.row(told(l.Name), text, fmt.Sprintf("%d of %d", above, len(l.Figures)), fmt.Sprint(surely), cell)
	}
	m.excesses(p)
}

// excesses has a row for each law and class, the worst first.
func (m *markdown) excesses(p *PromiseReport) {
	all := p.Excesses()
	m.line("\n### Every excess over the bound: %d\n", len(all))
	if len(all) == 0 {
		m.line("None.")
		return
	}
	m.line("Two stars: the whole interval is above the bound. ?: one drawn line makes more than half of the estimate, so that the interval says too little. Of a class left out by its own lines, though S is promised over all.\n")
	m.table("Law", "Class", "Ever: estimate (interval) over bound, factor")
	type key struct{ law, class string }
	var order []key
	cells := make(map[key][]string)
	for _, f := range all {
		k := key{f.Law, f.Class}
		if cells[k] == nil {
			order = append(order, k)
		}
		cells[k] = append(cells[k], f.told())
	}
	for _, k := range order {
		m.row(told(k.law), told(k.class), strings.Join(cells[k], "<br>"))
	}
}

// told writes one figure.
func (f PromiseFigure) told() string {
	if f.Lines == 0 {
		return dash
	}
	mark := strings.ReplaceAll(f.marks(), "*", `\*`)
	return strings.TrimSpace(fmt.Sprintf("%s: %s (%s–%s) over %s, %s %s",
		strings.Replace(f.ever(), ">=", " ≥ ", 1), small(f.Estimate), small(f.Low), small(f.High), small(f.Bound), strings.Replace(promiseFactor(f.Factor), "x", "×", 1), mark))
}

// small writes a share that may be tiny.
func small(v float64) string {
	if v == 0 || v == 1 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%.1e", v)
}
