package evaluation

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"simtrap/report"
)

// page writes one page that needs nothing else: no script, no font, no request.
// Its policy forbids all of them, and allows the one style sheet by its hash.
type page struct {
	w     *bufio.Writer
	alone bool // a picture is a file of its own
}

// raw writes markup of our own.
func (p *page) raw(parts ...string) {
	for _, s := range parts {
		p.w.WriteString(s)
	}
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

// safe makes any text fit for a page: details of a ledger quote what lines sent.
func safe(s string) string { return html.EscapeString(report.Plain(s)) }

func newPage(w io.Writer, title string) *page {
	p := &page{w: bufio.NewWriter(w)}
	hash := sha256.Sum256([]byte(pageStyle))
	p.raw("<!DOCTYPE html>\n", `<html lang="en"><head><meta charset="utf-8">`,
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-`, base64.StdEncoding.EncodeToString(hash[:]), `'; base-uri 'none'; form-action 'none'">`,
		`<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">`,
		"<title>simtrap: ", safe(title), "</title>\n<style>", pageStyle, "</style></head>\n<body>\n<header><h1>", safe(title), "</h1><dl>")
	return p
}

// term writes a term of the header and what it is.
func (p *page) term(name, text string) { p.raw("<dt>", safe(name), "</dt><dd>", safe(text), "</dd>") }

// origin tells what was measured and when.
func (p *page) origin(made time.Time, version, catalogue string) {
	p.term("Made", made.UTC().Format(time.DateOnly)+" by simtrap "+version)
	p.raw("<dt>Tables</dt><dd><code>", safe(catalogue), "</code></dd>")
}

func (p *page) end() error {
	p.raw("</main>\n</body></html>\n")
	return p.w.Flush() // it keeps the first error
}

// section opens a section with its title and what it shows.
func (p *page) section(id, title, about string) {
	p.raw(`<section aria-labelledby="`, id, `"><h2 id="`, id, `">`, safe(title), "</h2>\n")
	if about != "" {
		p.raw(`<p class="soft">`, safe(about), "</p>\n")
	}
}

func (p *page) endSection() { p.raw("</section>\n") }

// column is one of a table; those of numbers are set to the right.
type column struct {
	name   string
	number bool
}

func (p *page) table(columns ...column) {
	p.raw(`<div class="scroll" tabindex="0"><table><thead><tr>`)
	for _, c := range columns {
		if c.number {
			p.raw(`<th scope="col" class="n">`, safe(c.name), "</th>")
		} else {
			p.raw(`<th scope="col">`, safe(c.name), "</th>")
		}
	}
	p.raw("</tr></thead><tbody>\n")
}

func (p *page) endTable() { p.raw("</tbody></table></div>\n") }

// WriteHTML writes the figures as one page.
func (r *Report) WriteHTML(w io.Writer) error {
	p := newPage(w, "How often the verdicts are right")
	p.term("Drawn", fmt.Sprintf("%d captures with %d lines: %d draws of each scenario, seeds %d to %d, which no table was fitted to",
		r.Captures, r.Lines, r.Draws, r.FirstSeed, r.LastSeed))
	p.origin(r.Made, r.Version, r.Catalogue)
	p.raw("</dl><nav>")
	for _, s := range [][2]string{{"goals", "Goals"}, {"boxes", "Boxes"}, {"honest", "Honest lines"}, {"margins", "Margins"}, {"times", "Times"},
		{"bounds", "Bounds"}, {"families", "Families"}, {"views", "Views"}, {"misses", "Nearest misses"}, {"tables", "Tables"}} {
		p.raw(`<a href="#`, s[0], `">`, s[1], "</a> ")
	}
	p.raw("</nav></header>\n<main>\n")
	if len(r.Variants) > 0 {
		first := &r.Variants[0]
		p.goals(r.Variants)
		p.recall(first)
		p.falsePositives(first.Classes)
		p.margins(r.Margins)
		p.curves(r.Curves)
		p.bounds(r.Reliability, r.Histogram)
		p.ablations(r.Ablations)
		p.views(r.Variants)
		p.misses(r.Misses)
		p.tables(first)
	}
	return p.end()
}

func (p *page) goals(variants []Figures) {
	p.section("goals", "Goals", "Each figure with its 95 % interval, on a scale from 0 to 100 %; the goal is the red tick. A goal is met when the figure is there, whatever the interval.")
	p.goalTable(variants[0].Goals)
	if len(variants) > 1 {
		p.raw("<h3>The same lines, looked at in other ways</h3>\n")
		p.raw(`<p class="soft">In percent. With less to see nothing is asked of boxes; of honest lines the same, and that nothing false is said of cards. Without its vendor's name no figure of boxes may fall by more than a point.</p>`, "\n")
		p.goalMatrix(variants)
	}
	p.endSection()
}

func (p *page) goalTable(goals []Goal) {
	p.table(column{name: ""}, column{name: "Figure"}, column{name: "In percent"}, column{"Of", true}, column{name: "Goal"}, column{name: "Met"})
	for i := range goals {
		g := &goals[i]
		p.raw("<tr><td>", safe(g.ID), `</td><td class="w">`, safe(g.Text))
		if g.Note != "" {
			p.raw(` <span class="soft">(`, safe(g.Note), ")</span>")
		}
		p.raw(`</td><td class="whole">`)
		if g.Value == nil && g.Unit == "" && g.Rate.N > 0 {
			p.rate(g.Rate, g.Want)
		}
		p.raw(safe(g.figure()), `</td><td class="n">`, strconv.FormatFloat(g.Rate.N, 'f', 0, 64), "</td><td>", safe(g.want()), "</td><td>")
		p.raw(`<span class="tag `, g.tag(), `">`, strings.ToLower(g.met()), "</span></td></tr>\n")
	}
	p.endTable()
}

// tag is the class of a mark that says whether the goal is met.
func (g *Goal) tag() string {
	switch {
	case g.Met == nil:
		return "none"
	case *g.Met:
		return "yes"
	}
	return "no"
}

// goalMatrix sets the figures of all variants side by side.
func (p *page) goalMatrix(variants []Figures) {
	columns := []column{{name: ""}, {name: "Figure"}}
	for i := range variants {
		columns = append(columns, column{variants[i].Variant.String(), true})
	}
	p.table(columns...)
	var ids, texts []string
	for i := range variants {
		for _, g := range variants[i].Goals {
			if !slices.Contains(ids, g.ID) {
				ids, texts = append(ids, g.ID), append(texts, g.Text)
			}
		}
	}
	for k, id := range ids {
		p.raw("<tr><td>", safe(id), `</td><td class="w">`, safe(texts[k]), "</td>")
		for i := range variants {
			cell := ""
			for j := range variants[i].Goals {
				g := &variants[i].Goals[j]
				if g.ID != id {
					continue
				}
				cell = safe(g.short())
				if g.Met != nil {
					cell = `<span class="tag ` + g.tag() + `">` + cell + "</span>"
				}
			}
			p.raw(`<td class="n">`, cell, "</td>")
		}
		p.raw("</tr>\n")
	}
	p.endTable()
}

// rate draws a share with its interval, and the goal.
func (p *page) rate(r Rate, goal *float64) {
	p.printf(`<svg class="rate" viewBox="0 0 130 12" aria-hidden="true"><rect class="rail" x="3" y="5" width="124" height="2"/>`)
	at := func(v float64) float64 { return 3 + 124*v }
	p.printf(`<rect class="span" x="%.1f" y="3" width="%.1f" height="6"/>`, at(r.Low), max(124*(r.High-r.Low), 1))
	if goal != nil {
		p.printf(`<rect class="goal" x="%.1f" y="0" width="2" height="12"/>`, at(*goal)-1)
	}
	p.printf(`<circle class="at" cx="%.1f" cy="6" r="3"/></svg>`, at(r.Rate))
}

// views sets the shares at watch, review and case of every way to look side by
// side, by class of box.
func (p *page) views(variants []Figures) {
	p.section("views", "Views", "Shares of boxes at watch / review / case, in percent by shares of scenarios, when less is seen or boxes call themselves something else; and the honest class that is worst at watch.")
	var names []string
	for i := range variants[0].Classes {
		if g := &variants[0].Classes[i]; g.Box && g.Draws > 0 {
			names = append(names, g.Name)
		}
	}
	columns := []column{{name: "View"}}
	for _, n := range names {
		columns = append(columns, column{n, true})
	}
	p.table(append(columns, column{name: "Worst honest class at watch"})...)
	for i := range variants {
		v := &variants[i]
		p.raw(`<tr><th scope="row">`, safe(v.Variant.String()), "</th>")
		for _, n := range names {
			cell := "-"
			for k := range v.Classes {
				if g := &v.Classes[k]; g.Name == n {
					cell = percent(g.Watch.ByShare.Rate) + " / " + percent(g.Review.ByShare.Rate) + " / " + percent(g.Case.ByShare.Rate)
				}
			}
			p.raw(`<td class="n">`, cell, "</td>")
		}
		worst := "-"
		for k := range v.Goals {
			if g := &v.Goals[k]; g.ID == "e2" && g.Rate.N > 0 {
				worst = percent(g.Rate.Rate)
				if g.Rate.Rate > 0 {
					worst += " " + g.Note
				}
			}
		}
		p.raw("<td>", safe(worst), "</td></tr>\n")
	}
	p.endTable()
	p.endSection()
}

// tables are the figures behind the pictures.
func (p *page) tables(f *Figures) {
	p.section("tables", "Tables", "Every scenario: shares of its main lines in percent, median time to each verdict, channels found within one of those in use, cards and controllers (share of what is named that is true, share of what there is that is named).")
	p.table(column{name: "Scenario"}, column{name: "Class"}, column{"Lines", true}, column{"Watch", true}, column{"Review", true}, column{"Case", true},
		column{"Times", true}, column{"Channels", true}, column{"Cards", true}, column{"Controllers", true})
	for i := range f.Scenarios {
		g := &f.Scenarios[i]
		p.raw(`<tr><th scope="row">`, safe(g.Name), "</th><td>", safe(g.Class), "</td>")
		times, channels := "", ""
		if g.Box {
			times = lasting(g.Watch.Seconds.Median) + " / " + lasting(g.Review.Seconds.Median) + " / " + lasting(g.Case.Seconds.Median)
			channels = percent(g.Channels.Used.Rate)
		}
		cells := []string{strconv.Itoa(g.Draws), interval(g.Watch.Draws), interval(g.Review.Draws), interval(g.Case.Draws), times, channels, pairOf(g.Cards), pairOf(g.Controllers)}
		for _, c := range cells {
			p.raw(`<td class="n">`, safe(c), "</td>")
		}
		p.raw("</tr>\n")
	}
	p.endTable()
	p.endSection()
}

func pairOf(n *Named) string {
	if n == nil {
		return ""
	}
	return percent(n.Precision) + ", " + percent(n.Recall)
}
