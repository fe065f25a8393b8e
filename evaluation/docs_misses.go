package evaluation

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// shortfalls tells why boxes stayed below what a goal asks.
func (m *markdown) shortfalls(list []Shortfall) {
	m.title("Boxes below their goal, and why")
	switch {
	case list == nil:
		m.line("Left out: these figures of `eval` do not tell.")
		return
	case len(list) == 0:
		m.line("None.")
		return
	}
	m.line("Of each scenario how many boxes stayed below the verdict that a goal asks for, and of these how many never had its score, how many never its margin, and how many had both at some time, if not at one look, so that another condition may have kept them. Then, of the goal that most of them missed: medians of S and M at their highest and of the calls seen, the nearest class, the mean nats of the signals that spoke loudest against a box, and what was not seen, with how many boxes lacked it.\n")
	m.table("Scenario", "Goals missed, and why", "S, M, calls, nearest", "Lacked")
	var scenarios []string
	for i := range list {
		if !slices.Contains(scenarios, list[i].Scenario) {
			scenarios = append(scenarios, list[i].Scenario)
		}
	}
	for _, name := range scenarios {
		m.shortfall(name, list)
	}
}

// shortfall is the row of one scenario. What its boxes had in common is told of
// the goal that most of them missed: those of the others are nearly the same.
func (m *markdown) shortfall(name string, list []Shortfall) {
	var missed []string
	var most *Shortfall
	for i := range list {
		k := &list[i]
		if k.Scenario != name {
			continue
		}
		if most == nil || k.Missed > most.Missed {
			most = k
		}
		var why []string
		for _, w := range []Counted{{"score", k.LowScore}, {"margin", k.LowMargin}, {"had both", k.Clear}, {"nothing seen", k.Silent}} {
			if w.Lines > 0 {
				why = append(why, fmt.Sprintf("%s %d", w.Text, w.Lines))
			}
		}
		missed = append(missed, fmt.Sprintf("%s %s: %d of %d (%s)", told(k.Goal), told(k.Verdict), k.Missed, k.Of, strings.Join(why, ", ")))
	}
	stood := []string{fmt.Sprintf("S %s, M %s, %s calls", nats(most.Score), nats(most.Margin), dashed(number(most.Calls)))}
	if len(most.Nearest) > 0 {
		stood[0] += ", " + told(most.Nearest[0].Text)
	}
	var against, lacked []string
	for _, a := range most.Against {
		against = append(against, fmt.Sprintf("%s %s", told(a.Signal), signed(a.Nats)))
	}
	if len(against) > 0 {
		stood = append(stood, strings.Join(against, ", "))
	}
	for _, l := range most.Lacked {
		lacked = append(lacked, fmt.Sprintf("%s: %d", told(l.Text), l.Lines))
	}
	if len(lacked) == 0 {
		lacked = []string{dash}
	}
	m.row(told(name), strings.Join(missed, "<br>"), strings.Join(stood, "<br>"), strings.Join(lacked, "<br>"))
}

func nats(v *float64) string {
	if v == nil {
		return dash
	}
	return signed(*v)
}

// signed writes nats with a true minus.
func signed(v float64) string {
	return strings.Replace(fmt.Sprintf("%+.1f", tenths(v)), "-", "−", 1)
}

// misses tells the nearest lines of both sides.
func (m *markdown) misses(r *Report) {
	var honest, boxes []Miss
	for _, k := range r.Misses {
		if slices.ContainsFunc(r.Variants[0].Classes, func(g Group) bool { return g.Name == k.Class && g.Box }) {
			boxes = append(boxes, k)
		} else {
			honest = append(honest, k)
		}
	}
	m.title("Nearest misses")
	m.line("The lines that came closest to a wrong verdict, or had one: S and M at the end (at their highest), and the strongest rows of the ledger against the nearest class. `simtrap-lab make SCENARIO --seed SEED -o FILE` makes a line again.")
	m.missTable("Honest lines", honest, 3)
	m.missTable("Boxes", boxes, 3)
}

func (m *markdown) missTable(name string, list []Miss, most int) {
	if len(list) == 0 {
		return
	}
	m.line("\n### %s\n", name)
	m.table("Scenario, seed", "Class", "Verdict", "S, M, nearest", "For a box", "Against")
	for i := range list {
		k := &list[i]
		m.row(fmt.Sprintf("%s, %d<br>%s", told(k.Scenario), k.Seed, told(strings.Join(k.What, "; "))), told(k.Class), told(k.Verdict),
			fmt.Sprintf("S %s (%s), M %s (%s), %s", signed(k.Score), signed(k.Highest[0]), signed(k.Margin), signed(k.Highest[1]), told(k.Nearest)),
			k.heaviest(1, most), k.heaviest(-1, most))
	}
}

// heaviest writes the rows that weigh most on one side, the heaviest first.
func (k *Miss) heaviest(side float64, most int) string {
	var rows []Reason
	for _, r := range k.Rows {
		if r.Against == k.Nearest && side*r.Nats >= 0.05 {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b Reason) int {
		switch d := math.Abs(b.Nats) - math.Abs(a.Nats); {
		case d > 0:
			return 1
		case d < 0:
			return -1
		}
		return 0
	})
	var out []string
	for _, r := range rows[:min(len(rows), most)] {
		text := signed(r.Nats) + " " + told(r.ID)
		if r.Detail != "" {
			text += ": " + told(r.Detail)
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return dash
	}
	return strings.Join(out, "<br>")
}
