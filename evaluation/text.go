package evaluation

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"simtrap/report"
)

// textWidth is the most columns that a line of text takes.
const textWidth = 100

// WriteText writes the figures for people to read, in at most 100 columns.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	t := &text{b}
	t.head(r)
	for i := range r.Variants {
		t.variant(&r.Variants[i], i == 0)
	}
	t.reliability(r.Reliability)
	t.ablations("Families left out: shares of boxes above a bar, and the worst honest class, in percent", r.Ablations)
	t.ablations("Families left out where boxes hide, by how, and the worst honest twin, in percent", r.Hiding)
	t.drops(r.Drops)
	t.misses(r.Misses)
	t.goals(r.Variants)
	return b.Flush() // it keeps the first error
}

type text struct{ w *bufio.Writer }

// line writes a line without the spaces at its end.
func (t *text) line(format string, args ...any) {
	t.w.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (t *text) title(s string) { t.line("\n%s\n%s", s, strings.Repeat("-", len(s))) }

func (t *text) head(r *Report) {
	t.line("%d captures, %d lines; %d draws of each scenario, seeds %d to %d", r.Captures, r.Lines, r.Draws, r.FirstSeed, r.LastSeed)
	t.line("simtrap %s, tables %.12s, %s", report.Plain(r.Version), r.Catalogue, r.Made.UTC().Format(time.DateOnly))
	t.line("Shares in percent with their 95 %% interval; times of all draws, - where too few get there.")
}

// percent writes a share.
func percent(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.001:
		return strconv.FormatFloat(100*v, 'g', 2, 64)
	}
	return strconv.FormatFloat(math.Round(1000*v)/10, 'f', -1, 64)
}

// interval writes a rate with its interval, in percent.
func interval(r Rate) string {
	if r.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%s [%s-%s]", percent(r.Rate), percent(r.Low), percent(r.High))
}

// lasting writes seconds.
func lasting(s *float64) string {
	switch {
	case s == nil:
		return "-"
	case *s < 120:
		return fmt.Sprintf("%.0fs", *s)
	case *s < 2*3600:
		return fmt.Sprintf("%.1fm", *s/60)
	}
	return fmt.Sprintf("%.1fh", *s/3600)
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

const groupRow = "%-30s %5s  %-17s %-17s %-17s %s"

// variant writes the tables of one variant, all of them of the first.
func (t *text) variant(f *Figures, all bool) {
	t.title("View " + f.Variant.String())
	t.groups("class, by shares of scenarios", f.Classes, func(r Reached) Rate { return r.ByShare })
	if !all {
		t.named(f.Classes)
		return
	}
	t.groups("scenario", f.Scenarios, func(r Reached) Rate { return r.Draws })
	t.times(f.Classes)
	t.times(f.Scenarios)
	t.named(f.Classes)
	t.beside(f.Classes)
}

func (t *text) groups(name string, groups []Group, rate func(Reached) Rate) {
	if len(groups) == 0 {
		return
	}
	t.line("")
	t.line(groupRow, name, "lines", "watch", "review", "case", "")
	for i := range groups {
		if g := &groups[i]; g.Draws > 0 {
			t.line(groupRow, mark(g)+g.Name, strconv.Itoa(g.Draws), interval(rate(g.Watch)), interval(rate(g.Review)), interval(rate(g.Case)), "")
		}
	}
}

// mark tells boxes from the rest.
func mark(g *Group) string {
	if g.Box {
		return "* "
	}
	return "  "
}

const timeRow = "%-30s  %7s %7s %7s  %7s %7s %7s  %5s %5s %5s"

// times writes medians and ninth deciles of boxes.
func (t *text) times(groups []Group) {
	head := false
	for i := range groups {
		g := &groups[i]
		if !g.Box || g.Draws == 0 {
			continue
		}
		if !head {
			head = true
			t.line("")
			t.line(timeRow, "boxes: time (calls) to", "watch", "review", "case", "90 %", "90 %", "90 %", "calls", "calls", "calls")
		}
		t.line(timeRow, mark(g)+g.Name,
			lasting(g.Watch.Seconds.Median), lasting(g.Review.Seconds.Median), lasting(g.Case.Seconds.Median),
			lasting(g.Watch.Seconds.Ninth), lasting(g.Review.Seconds.Ninth), lasting(g.Case.Seconds.Ninth),
			number(g.Watch.Calls.Median), number(g.Review.Calls.Median), number(g.Case.Calls.Median))
	}
}

const namedRow = "%-30s  %-17s %-17s  %-13s %-13s"

// named writes what findings say of the boxes themselves.
func (t *text) named(groups []Group) {
	head := false
	for i := range groups {
		g := &groups[i]
		if g.Channels == nil || g.Draws == 0 {
			continue
		}
		if !head {
			head = true
			t.line("")
			t.line(namedRow, "boxes: within one channel of", "those in use", "those built in", "cards", "controllers")
			t.line(namedRow, "", "", "", "right  named", "right  named")
		}
		t.line(namedRow, mark(g)+g.Name, interval(g.Channels.Used), interval(g.Channels.Installed), both(g.Cards), both(g.Controllers))
	}
}

func both(n *Named) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%-6s %s", percent(n.Precision), percent(n.Recall))
}

// beside writes what became of lines that no scenario is about.
func (t *text) beside(groups []Group) {
	head := false
	for i := range groups {
		g := &groups[i]
		if g.Beside == [4]int{} {
			continue
		}
		if !head {
			head = true
			t.line("")
			t.line("%-30s  %9s %9s %9s %9s", "lines beside those above", "none", "watch", "review", "case")
		}
		t.line("%-30s  %9d %9d %9d %9d", mark(g)+g.Name, g.Beside[0], g.Beside[1], g.Beside[2], g.Beside[3])
	}
}

// reliability writes what exceeds its bound, and by how much.
func (t *text) reliability(list []Reliability) {
	if len(list) == 0 {
		return
	}
	t.title("Bounds: how often honest lines ever had so many nats")
	t.line("Only what is above its bound; ! where its whole interval is. A margin's bound holds for every")
	t.line("class, a score's for all honest lines by their shares of the population.")
	t.line("")
	any := false
	for _, r := range list {
		if r.Class != "" && r.Kind == "score" {
			continue // nothing is promised
		}
		for _, s := range r.Steps {
			if !s.Above {
				continue
			}
			any = true
			mark, class := " ", r.Class
			if s.Exceeded {
				mark = "!"
			}
			if class == "" {
				class = "all honest lines"
			}
			t.line("%s %-26s %-6s >= %-4g  %-24s  bound %s", mark, class, r.Kind, s.Nats, interval(s.Rate), percent(s.Bound))
		}
	}
	if !any {
		t.line("nothing")
	}
}

// ablations writes, for each family left out, the share of boxes above the bar,
// and the honest class with the largest.
func (t *text) ablations(title string, list []Ablation) {
	if len(list) == 0 {
		return
	}
	t.title(title)
	for _, a := range list {
		t.line("")
		head := fmt.Sprintf("%-22s", fmt.Sprintf("S >= %g, M >= %g", a.Score, a.Margin))
		for _, c := range a.Classes[:a.Boxes] {
			head += fmt.Sprintf(" %9.9s", c)
		}
		t.line("%s  %s", head, "honest")
		for _, row := range a.Rows {
			name := row.Without
			if name == "" {
				name = "nothing left out"
			}
			s := fmt.Sprintf("%-22s", name)
			for _, v := range row.Rates[:a.Boxes] {
				s += fmt.Sprintf(" %9s", percent(v))
			}
			worst, at := 0.0, ""
			for i, v := range row.Rates[a.Boxes:] {
				if v > worst {
					worst, at = v, a.Classes[a.Boxes+i]
				}
			}
			t.line("%s  %s %s", s, percent(worst), at)
		}
	}
}

// drops writes what the goals of boxes that hide would cost.
func (t *text) drops(list []Drop) {
	if len(list) == 0 {
		return
	}
	t.title("What more of the boxes that hide would cost: bars lowered until enough are above")
	for i := range list {
		d := &list[i]
		t.line("")
		t.line("%s %s", d.Goal, d.Text)
		t.line("   %s %% of %d boxes: score %g and margin %g in place of %g and %g", percent(d.Want), d.Boxes, d.Lowered[0], d.Lowered[1], d.Bar[0], d.Bar[1])
		for _, h := range d.Honest {
			t.line("   %-24s %3d of %3d lines above it, %d above the bar as it is", h.Scenario, h.Lowered, h.Lines, h.Above)
		}
	}
}

// misses writes the nearest lines.
func (t *text) misses(list []Miss) {
	if len(list) == 0 {
		return
	}
	t.title("Nearest misses")
	for i := range list {
		t.miss(&list[i])
	}
}

// miss writes one line with its strongest reasons.
func (t *text) miss(m *Miss) {
	t.line("")
	for _, s := range report.Wrap(strings.Join(m.What, "; "), textWidth) {
		t.line("%s", s)
	}
	t.line("  %s, seed %d, line %s: %s, %s", m.Scenario, m.Seed, m.Line, m.Class, m.Verdict)
	t.line("  S %.1f M %.1f, highest S %.1f M %.1f; nearest %s", m.Score, m.Margin, m.Highest[0], m.Highest[1], m.Nearest)
	for _, s := range report.Wrap("in truth: "+m.Device, textWidth-2) {
		t.line("  %s", s)
	}
	t.reasons(m, 6)
}

// reasons writes the strongest rows of a ledger against the nearest class.
func (t *text) reasons(m *Miss, most int) {
	for _, row := range strongest(m, most) {
		head := fmt.Sprintf("  %+6.1f  ", row.Nats)
		for _, s := range report.Wrap(row.Detail+" ("+row.Family+")", textWidth-len(head)) {
			t.line("%s%s", head, s)
			head = strings.Repeat(" ", len(head))
		}
	}
}

// strongest gives the rows against the nearest class, those that weigh most in
// the order of the ledger.
func strongest(m *Miss, most int) (out []Reason) {
	for _, row := range m.Rows {
		if row.Against == m.Nearest && math.Abs(row.Nats) >= 0.05 && row.Detail != "" {
			out = append(out, row)
		}
	}
	for len(out) > most {
		least := 0
		for i := range out {
			if math.Abs(out[i].Nats) < math.Abs(out[least].Nats) {
				least = i
			}
		}
		out = append(out[:least], out[least+1:]...)
	}
	return out
}

const goalRow = "%-3s %-50s %-19s %-8s %-3s %s"

// goals writes those of every variant, but for figures of nothing.
func (t *text) goals(variants []Figures) {
	t.title("Goals")
	for i := range variants {
		t.line("")
		t.goalRows("view "+variants[i].Variant.String(), variants[i].Goals, i > 0)
	}
}

// goalRows writes goals. Figures of nothing are left out where nothing is asked
// or terse asks for that.
func (t *text) goalRows(name string, goals []Goal, terse bool) {
	t.line(goalRow, "", name, "figure", "goal", "met", "of")
	for k := range goals {
		g := &goals[k]
		if g.Rate.N == 0 && (terse || g.Want == nil) {
			continue
		}
		t.line(goalRow, g.ID, g.Text, g.figure(), g.want(), g.met(), strconv.FormatFloat(g.Rate.N, 'f', 0, 64))
		if g.Note == "" {
			continue
		}
		for _, s := range report.Wrap(g.Note, textWidth-6) {
			t.line("      %s", s)
		}
	}
}

// figure writes a goal's figure with its interval.
func (g *Goal) figure() string {
	switch {
	case g.Unit == "seconds":
		return lasting(g.Value)
	case g.Value != nil:
		return percent(*g.Value)
	}
	return interval(g.Rate)
}

// short is the figure without its interval.
func (g *Goal) short() string {
	if g.Value == nil && g.Unit == "" && g.Rate.N > 0 {
		return percent(g.Rate.Rate)
	}
	return g.figure()
}

func (g *Goal) want() string {
	switch {
	case g.Want == nil:
		return "printed"
	case g.AtMost && *g.Want == 0:
		return "0"
	case g.AtMost:
		return "<= " + percent(*g.Want)
	case *g.Want == 1:
		return "100"
	}
	return ">= " + percent(*g.Want)
}

func (g *Goal) met() string {
	switch {
	case g.Met == nil:
		return "-"
	case *g.Met:
		return "yes"
	}
	return "NO"
}
