package evaluation

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"simtrap/report"
)

// markdown writes tables as code hosts show them.
type markdown struct {
	w        *bufio.Writer
	pictures []string // that are there to link
}

func (m *markdown) line(format string, args ...any) {
	fmt.Fprintf(m.w, format, args...)
	m.w.WriteByte('\n')
}

func (m *markdown) title(name string) { m.line("\n## %s\n", name) }

// picture links one that was drawn.
func (m *markdown) picture(name, text string) {
	if slices.Contains(m.pictures, name) {
		m.line("![%s](%s)\n", text, name)
	}
}

// table opens a table. Columns whose name begins with > are set to the right.
func (m *markdown) table(columns ...string) {
	names, rules := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i], rules[i] = c, "---"
		if right, ok := strings.CutPrefix(c, ">"); ok {
			names[i], rules[i] = right, "---:"
		}
	}
	m.row(names...)
	m.row(rules...)
}

// row writes the cells of one row. An empty cell is left empty.
func (m *markdown) row(cells ...string) {
	m.line("%s", strings.ReplaceAll("| "+strings.Join(cells, " | ")+" |", "|  |", "| |"))
}

// told makes any text fit for a cell: what a ledger quotes was sent by lines, and
// must neither end the cell nor become markup.
func told(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`,
		"~", `\~`, "$", `\$`, "@", "&#64;", "://", "&#58;//").Replace(report.Plain(s))
}

// dash stands for a number that there is none of.
const dash = "–"

// share writes a rate with its interval, in percent.
func share(r Rate) string {
	if r.N == 0 {
		return dash
	}
	return fmt.Sprintf("%s (%s–%s)", percent(r.Rate), percent(r.Low), percent(r.High))
}

// dashed has the dash of these tables for that of the text.
func dashed(s string) string {
	if s == "-" || s == "" {
		return dash
	}
	return s
}

func tripleOf(of func(*Reached) string, g *Group) string {
	parts := []string{of(&g.Watch), of(&g.Review), of(&g.Case)}
	if parts[0] == dash && parts[1] == dash && parts[2] == dash {
		return dash
	}
	return strings.Join(parts, " / ")
}

// namedPart writes how much of what is named is true, and how much is named. A
// share of nothing is none.
func namedPart(n *Named) string {
	if n == nil || n.Found == 0 && n.True == 0 {
		return dash
	}
	right, all := dash, dash
	if n.Found > 0 {
		right = percent(n.Precision)
	}
	if n.True > 0 {
		all = percent(n.Recall)
	}
	return right + " / " + all
}
