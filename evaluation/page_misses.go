package evaluation

import (
	"fmt"
	"math"
	"strings"
)

// misses tells the nearest lines with their ledgers.
func (p *page) misses(list []Miss) {
	if len(list) == 0 {
		return
	}
	p.section("misses", "Nearest misses", "The lines that came closest to a wrong verdict from either side, with the nats by which they are above a bar. Each is made again by its scenario and seed.")
	for i := range list {
		p.miss(&list[i])
	}
	p.endSection()
}

// miss tells one line: its verdict and where it stands, then every row of its
// ledger.
func (p *page) miss(m *Miss) {
	p.raw("<details><summary><b>", safe(m.Class), `</b> <span class="tag v-`, safe(m.Verdict), `">`, safe(m.Verdict), "</span> ", safe(strings.Join(m.What, "; ")),
		"</summary>\n<p><code>simtrap-lab make ", safe(m.Scenario), " --seed ", fmt.Sprint(m.Seed), " -o x.pcap</code>, line <code>", safe(m.Line), "</code>. In truth ", safe(m.Device), ". ")
	p.printf("Score %.1f and margin %.1f over %s at the end, %.1f and %.1f at their highest.</p>\n", m.Score, m.Margin, safe(m.Nearest), m.Highest[0], m.Highest[1])
	p.table(column{name: "Signal"}, column{"Nats over " + m.Nearest, false}, column{"Over home", true}, column{name: "What was seen"})
	for _, row := range ledger(m) {
		p.raw(`<tr><th scope="row">`, safe(row.id), `<div class="soft">`, safe(row.family), "</div></th><td class=\"whole\">")
		if row.byNearest {
			p.nats(row.nearest)
		}
		p.raw(`</td><td class="n">`)
		if row.byHome {
			p.printf("%+.1f", tenths(row.home))
		}
		p.raw(`</td><td class="w">`, safe(row.detail), "</td></tr>\n")
	}
	p.endTable()
	if len(m.Unseen) > 0 {
		p.raw("<p>Not seen:</p><ul>")
		for _, u := range m.Unseen {
			p.raw("<li>", safe(u), "</li>")
		}
		p.raw("</ul>\n")
	}
	p.raw("</details>\n")
}

// nats draws a number of nats to the right for a box, to the left for the class.
func (p *page) nats(v float64) {
	const full = 8.0
	w := min(math.Abs(v), full) / full * 60
	class, x := "for", 60.0
	if v < 0 {
		class, x = "against", 60-w
	}
	p.printf(`<svg class="nats" viewBox="0 0 120 12" aria-hidden="true"><line x1="60" x2="60" y1="0" y2="12"/><rect class="%s" x="%.1f" y="2" width="%.1f" height="8"/></svg>%+.1f`, class, x, w, tenths(v))
}

// tenths rounds to one decimal, and never to minus nothing.
func tenths(v float64) float64 {
	if math.Abs(v) < 0.05 {
		return 0
	}
	return v
}

// entry is one signal of a ledger against both classes.
type entry struct {
	id, family, detail string
	nearest, home      float64
	byNearest, byHome  bool
}

// ledger joins the rows of a signal, in their order.
func ledger(m *Miss) (out []entry) {
	place := make(map[string]int)
	for _, r := range m.Rows {
		i, known := place[r.ID]
		if !known {
			i = len(out)
			place[r.ID] = i
			out = append(out, entry{id: r.ID, family: r.Family, detail: r.Detail})
		}
		if r.Against == m.Nearest {
			out[i].nearest, out[i].byNearest = r.Nats, true
		}
		if r.Against == "home" {
			out[i].home, out[i].byHome = r.Nats, true
		}
	}
	return out
}

// maxTold is how many offenders a page tells.
const maxTold = 100
