package evaluation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"simtrap/report"
)

// docs writes everything.
func (m *markdown) docs(d *Docs) {
	m.line("# Figures\n")
	m.line("Written by `simtrap-lab figures` from what `eval`, `population` and `promise` measured. Do not edit: `make figures` writes it anew.\n")
	m.origin(d)
	m.line("\nShares are in percent with their 95 %% interval in brackets; %s is a number that there is none of.", dash)
	r := d.Report
	m.goals(r.Variants)
	first := &r.Variants[0]
	m.boxes(first)
	m.honest(first)
	m.margins(r.Margins)
	m.bounds(r.Reliability)
	m.ablations(r.Ablations)
	m.hiding(r.Hiding)
	m.drops(r.Drops)
	m.shortfalls(r.Shortfalls)
	m.misses(r)
	m.population(d.Population)
	m.promise(d.Promise)
}

// origin tells what was measured, when and with what, and which parts are not of
// the same tables.
func (m *markdown) origin(d *Docs) {
	r := d.Report
	m.table("Of", "Date", "Drawn", "Program", "Tables")
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	tables := func(hash string) string { return "`" + report.Plain(hash[:min(len(hash), 16)]) + "`" }
	m.row("eval", day(r.Made), fmt.Sprintf("%d draws of each scenario, seeds %d to %d: %d captures, %d lines", r.Draws, r.FirstSeed, r.LastSeed, r.Captures, r.Lines),
		told(r.Version), tables(r.Catalogue))
	if p := d.Population; p != nil {
		m.row("population", day(p.Made), fmt.Sprintf("%d captures of honest lines, seeds from %d", p.Captures, p.FirstSeed), told(p.Version), tables(p.Catalogue))
	}
	if p := d.Promise; p != nil {
		program := dash
		if p.Version != "" {
			program = told(p.Version)
		}
		m.row("promise", told(p.Date), fmt.Sprintf("%d lines for each law, at most %d calls of a line, seed %d", p.Lines, p.Calls, p.Seed), program, tables(p.Catalogue))
	}
	m.line("\nThe tables of eval in full: `%s`.", report.Plain(r.Catalogue))
	if d.Population != nil && d.Population.Catalogue != r.Catalogue {
		m.line("\n**population was counted with other tables than eval.**")
	}
	if d.Promise != nil && d.Promise.Catalogue != r.Catalogue {
		m.line("\n**promise was tried with other tables than eval.**")
	}
}

// goals sets the figures of the vendor's columns side by side, with intervals;
// those of other views below, without.
func (m *markdown) goals(variants []Figures) {
	m.title("Goals")
	m.line("A goal is met when the figure is there, whatever its interval. Of boxes without their vendor's name nothing is asked but that no figure falls by more than a point (h).\n")
	var named, views []*Figures
	for i := range variants {
		if v := &variants[i]; v.View == viewBoth {
			named = append(named, v)
		} else {
			views = append(views, v)
		}
	}
	columns := []string{"", "Figure", ">Of", "Goal"}
	for _, v := range named {
		name := "Vendor " + v.Vendor
		if v.Vendor == "" {
			name = "Vendor as it is"
		}
		columns = append(columns, name, "Met")
	}
	m.table(columns...)
	for _, g := range goalIDs(variants) {
		cells := []string{g.ID, told(g.Text), "", dash}
		for _, v := range named {
			k := v.goal(g.ID)
			if k != nil && k.Want != nil && cells[3] == dash {
				cells[3] = strings.NewReplacer(">=", "≥", "<=", "≤").Replace(k.want())
			}
			if k == nil || k.Rate.N == 0 {
				cells = append(cells, dash, dash)
				continue
			}
			if cells[2] == "" && k.Unit != "share" { // a fall is of no lines of its own
				cells[2] = strconv.FormatFloat(k.Rate.N, 'f', 0, 64)
			}
			cell := k.cell()
			if k.Note != "" {
				cell += "<br>" + told(k.Note)
			}
			cells = append(cells, cell, k.metCell())
		}
		if cells[2] == "" {
			cells[2] = dash
		}
		m.row(cells...)
	}
	if len(views) == 0 {
		return
	}
	m.line("\nThe same lines when less of them is seen:\n")
	columns = []string{"", "Figure"}
	for _, v := range views {
		columns = append(columns, told(v.Variant.String()))
	}
	m.table(columns...)
	for _, g := range goalIDs(variants) {
		cells := []string{g.ID, told(g.Text)}
		for _, v := range views {
			cell := dash
			if k := v.goal(g.ID); k != nil && k.Rate.N > 0 {
				cell = k.cell()
				if k.Met != nil {
					cell += " " + k.metCell()
				}
			}
			cells = append(cells, cell)
		}
		m.row(cells...)
	}
}

// goalIDs lists each goal once, in the order in which they first come.
func goalIDs(variants []Figures) (out []*Goal) {
	for i := range variants {
		for k := range variants[i].Goals {
			g := &variants[i].Goals[k]
			if !slices.ContainsFunc(out, func(o *Goal) bool { return o.ID == g.ID }) {
				out = append(out, g)
			}
		}
	}
	return out
}

func (f *Figures) goal(id string) *Goal {
	if i := slices.IndexFunc(f.Goals, func(g Goal) bool { return g.ID == id }); i >= 0 {
		return &f.Goals[i]
	}
	return nil
}

// cell is the figure with its interval.
func (g *Goal) cell() string {
	if g.Unit == "" && g.Value == nil {
		return share(g.Rate)
	}
	return dashed(g.figure())
}

func (g *Goal) metCell() string {
	switch {
	case g.Met == nil:
		return dash
	case *g.Met:
		return "yes"
	}
	return "**no**"
}

// boxes tells each class of boxes and its scenarios.
func (m *markdown) boxes(f *Figures) {
	m.title("Boxes found")
	m.picture("recall.svg", "Share of boxes at each verdict, by scenario, with intervals")
	m.picture("minutes.svg", "Share of boxes at each verdict by minutes")
	m.picture("calls.svg", "Share of boxes at each verdict by calls")
	rows := boxRows(f)
	if len(rows) == 0 {
		m.line("No box was drawn.")
		return
	}
	m.line("Shares at a verdict or above. Times and calls are medians of all draws until watch / review / case: %s where fewer than half get there. Channels: found within one of those in use. Cards: share of what is named that is true / share of what there is that is named. Classes, in bold, are by the shares of their scenarios.\n", dash)
	m.table("Scenario", ">Draws", ">Watch", ">Review", ">Case", ">Time", ">Calls", ">Channels", ">Cards")
	for _, g := range rows {
		name, rate := told(g.Name), func(r *Reached) string { return share(r.Draws) }
		if g.Name == g.Class {
			name, rate = "**"+name+"**", func(r *Reached) string { return share(r.ByShare) }
		}
		channels := dash
		if g.Channels != nil {
			channels = share(g.Channels.Used)
		}
		m.row(name, strconv.Itoa(g.Draws), rate(&g.Watch), rate(&g.Review), rate(&g.Case),
			tripleOf(func(r *Reached) string { return dashed(lasting(r.Seconds.Median)) }, g),
			tripleOf(func(r *Reached) string { return dashed(number(r.Calls.Median)) }, g), channels, namedPart(g.Cards))
	}
}

// honest tells each class of honest lines, and of scenarios those that were
// accused: the others differ by their names alone.
func (m *markdown) honest(f *Figures) {
	m.title("Honest lines accused")
	m.line("Shares at a verdict or above, of each class by the shares of its scenarios. Beside: other lines of the class in whatever capture, how many of how many are at watch or above.\n")
	m.table("Class", ">Draws", ">Watch", ">Review", ">Case", ">Beside")
	for i := range f.Classes {
		g := &f.Classes[i]
		if g.Box {
			continue
		}
		all := g.Beside[0] + g.Beside[1] + g.Beside[2] + g.Beside[3]
		beside := dash
		if all > 0 {
			beside = fmt.Sprintf("%d of %d", all-g.Beside[0], all)
		}
		if g.Draws == 0 {
			m.row(told(g.Name), dash, dash, dash, dash, beside)
			continue
		}
		m.row(told(g.Name), strconv.Itoa(g.Draws), share(g.Watch.ByShare), share(g.Review.ByShare), share(g.Case.ByShare), beside)
	}
	var quiet []string
	any := false
	for i := range f.Scenarios {
		g := &f.Scenarios[i]
		switch {
		case g.Box:
			continue
		case g.Watch.Draws.K == 0:
			quiet = append(quiet, fmt.Sprintf("%s (%d)", told(g.Name), g.Draws))
			continue
		}
		if !any {
			any = true
			m.line("\nScenarios with a line at watch or above:\n")
			m.table("Scenario", "Class", ">Draws", ">Watch", ">Review", ">Case")
		}
		m.row(told(g.Name), told(g.Class), strconv.Itoa(g.Draws), share(g.Watch.Draws), share(g.Review.Draws), share(g.Case.Draws))
	}
	if len(quiet) > 0 {
		m.line("\nNo line at watch, draws in brackets: %s.", strings.Join(quiet, ", "))
	}
}

func (m *markdown) margins(list []Spread) {
	if len(list) == 0 {
		return
	}
	m.title("Margins")
	m.line("The highest margin that each line had over its nearest lookalike, in nats: a dot is a line, the black tick their median. Dashed: what watch, review and case ask for, beside a score.\n")
	m.picture("margins.svg", "Highest margins by class")
}

// boundNats are the columns of the table of bounds.
func boundNats() []float64 { return []float64{1, 2, 3, 5, 8} }

// bounds sets what was found beside what is promised.
func (m *markdown) bounds(list []Reliability) {
	if len(list) == 0 {
		return
	}
	m.title("Bounds")
	m.line("How many honest lines ever had so many nats. The score is promised of all honest lines by their shares of the population, the margin of every class. A star is above the bound, two are where the whole interval is.\n")
	m.picture("reliability.svg", "Share of honest lines with so many nats, beside the bound")
	columns := []string{"Nats, and the bound"}
	for _, n := range boundNats() {
		columns = append(columns, fmt.Sprintf(">%g: %s", n, percent(newStep(n, Rate{}).Bound)))
	}
	m.table(columns...)
	for _, r := range list {
		name := told(r.Class) + ", " + r.Kind
		switch {
		case r.Class == "":
			name = "**all honest lines, " + r.Kind + "**"
		case r.Kind == "score":
			continue // nothing is promised
		}
		cells := []string{name}
		for _, n := range boundNats() {
			cell := dash
			if i := slices.IndexFunc(r.Steps, func(s Step) bool { return s.Nats == n }); i >= 0 {
				s := r.Steps[i]
				cell = share(s.Rate)
				switch {
				case s.Rate.N == 0:
				case s.Exceeded:
					cell += ` \*\*`
				case s.Above:
					cell += ` \*`
				}
			}
			cells = append(cells, cell)
		}
		m.row(cells...)
	}
}

// ablations tells what each family is worth to boxes, and the honest class that
// is worst without it.
func (m *markdown) ablations(list []Ablation) {
	if len(list) == 0 {
		return
	}
	m.title("What each family of signals is worth")
	m.line("Shares above a bar of score and margin, in percent, with everything and without a family; verdicts ask for more than the bar. Orange in the pictures is worse, blue better.")
	for i := range list {
		a := &list[i]
		m.line("\nBar of %s.\n", barName(a))
		m.picture(ablationName(i), "Change of shares when a family is left out, bar of "+barName(a))
		m.ablation(a)
	}
}

// hiding tells the same of boxes that hide, by how, and of the honest twin that is
// worst.
func (m *markdown) hiding(list []Ablation) {
	if len(list) == 0 {
		return
	}
	m.title("What each family is worth where boxes hide")
	m.line("As above, by how boxes hide, each kind of line drawn as often as any other, and the worst of their honest twins. A watch of which voice alone is seen wants a margin of ln 10.")
	for i := range list {
		m.line("\nBar of %s.\n", barName(&list[i]))
		m.ablation(&list[i])
	}
}

// drops tells what the goals of boxes that hide would cost.
func (m *markdown) drops(list []Drop) {
	if len(list) == 0 {
		return
	}
	m.title("What more of the boxes that hide would cost")
	m.line("Of the bars of score and margin that as many boxes are above as are wanted, the one that the fewest honest lines are above, each kind counted by its share, and of which kinds they are. A margin of so many nats is promised to come to an honest line once in e to their power.\n")
	m.table("Boxes", ">Wanted", "Score and margin", "In place of", "Honest lines above it then, and above it as it is")
	for i := range list {
		d := &list[i]
		honest := ""
		for k, h := range d.Honest {
			if k > 0 {
				honest += ", "
			}
			honest += fmt.Sprintf("%s %d of %d (%d)", told(h.Scenario), h.Lowered, h.Lines, h.Above)
		}
		if honest == "" {
			honest = dash
		}
		m.row(fmt.Sprintf("%s %s (%d boxes)", d.Goal, told(d.Text), d.Boxes), percent(d.Want), fmt.Sprintf("%g, %g", d.Lowered[0], d.Lowered[1]), fmt.Sprintf("%g, %g", d.Bar[0], d.Bar[1]), honest)
	}
}

func (m *markdown) ablation(a *Ablation) {
	columns := []string{"Left out"}
	for _, c := range a.Classes[:a.Boxes] {
		columns = append(columns, ">"+told(c))
	}
	m.table(append(columns, "Worst honest class")...)
	for _, row := range a.Rows {
		cells := []string{told(row.Without)}
		if row.Without == "" {
			cells[0] = "nothing"
		}
		for _, v := range row.Rates[:a.Boxes] {
			cells = append(cells, percent(v))
		}
		worst, class := 0.0, ""
		for k, v := range row.Rates[a.Boxes:] {
			if v > worst {
				worst, class = v, " "+told(a.Classes[a.Boxes+k])
			}
		}
		if len(row.Rates) == a.Boxes {
			m.row(append(cells, dash)...)
			continue
		}
		m.row(append(cells, percent(worst)+class)...)
	}
}
