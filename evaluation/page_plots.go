package evaluation

import (
	"fmt"
	"math"
	"slices"

	"simtrap/heuristics"
)

const labelsEnd = 190.0 // where the names of rows end

// recall draws the share of boxes at each verdict, a row for each scenario under
// a row for its class.
func (p *page) recall(f *Figures) {
	p.section("boxes", "Boxes found", "")
	p.rows("Share of each scenario's lines at a verdict or above, with its 95 % interval. Rows in bold are classes, by the shares of their scenarios. "+legend(),
		recallTitle, boxRows(f), 1)
	p.endSection()
}

const recallTitle = "Share of boxes at each verdict, by scenario"

// boxRows lists the classes of boxes, each before its scenarios.
func boxRows(f *Figures) (rows []*Group) {
	for i := range f.Classes {
		k := &f.Classes[i]
		if !k.Box || k.Draws == 0 {
			continue
		}
		rows = append(rows, k)
		for j := range f.Scenarios {
			if f.Scenarios[j].Class == k.Name {
				rows = append(rows, &f.Scenarios[j])
			}
		}
	}
	return rows
}

// falsePositives draws the same of honest classes.
func (p *page) falsePositives(classes []Group) {
	p.section("honest", "Honest lines accused", "")
	var rows []*Group
	top := 0.1
	for i := range classes {
		if k := &classes[i]; !k.Box && k.Draws > 0 {
			rows = append(rows, k)
			top = max(top, k.Watch.ByShare.Rate)
		}
	}
	p.rows("Share of each honest class at a verdict or above, by the shares of its scenarios. An interval that goes on beyond the scale is one of few draws. "+legend(),
		"Share of honest lines at each verdict, by class", rows, math.Ceil(20*top)/20)
	p.endSection()
}

// rows draws three points with whiskers for each group. Classes are in bold when
// scenarios stand below them.
func (p *page) rows(caption, title string, groups []*Group, top float64) {
	const row, head = 26.0, 22.0
	nested := slices.ContainsFunc(groups, func(g *Group) bool { return g.Name != g.Class })
	bottom := head + row*float64(len(groups))
	s := p.figure(caption, title, bottom+24)
	s.key()
	x := scale{0, top, labelsEnd + 76, plotWidth - 30}
	for i, g := range groups {
		if g.Name == g.Class && nested || !nested && i%2 == 1 {
			s.rect("band", 0, head+row*float64(i), plotWidth, row, "")
		}
	}
	for i := range 6 {
		v := top * float64(i) / 5
		s.line("grid", x.at(v), head, x.at(v), bottom)
		s.text("t m", x.at(v), bottom+17, percent(v)+" %")
		s.text("t m", x.at(v), head-7, percent(v)+" %")
	}
	for i, g := range groups {
		y := head + row*(float64(i)+0.5)
		class := "r"
		if nested && g.Name == g.Class {
			class = "h r"
		}
		s.text(class, labelsEnd, y+4, g.Name)
		s.text("t r", labelsEnd+56, y+4, fmt.Sprintf("n=%d", g.Draws))
		for k, v := range verdicts() {
			r := g.reached(v).ByShare
			at := y + 7*float64(k-1)
			s.line("whisker "+v.String(), x.at(r.Low), at, x.at(r.High), at)
			s.dot(v.String(), x.at(r.Rate), at, 3.6, fmt.Sprintf("%s, %s: %s %%", g.Name, v, interval(r)))
		}
	}
	s.end()
}

// margins draws every line's highest margin as a dot, a strip for each class.
func (p *page) margins(list []Spread) {
	if len(list) == 0 {
		return
	}
	p.section("margins", "Margins", "The highest margin that each line had over its nearest lookalike, in nats: a dot is a line (of many lines, quantiles), the black tick their median. Dashed: what watch, review and case ask for; they ask for a score as well. A line that never had more than 0 stands where it ended.")
	p.strips(list)
	p.endSection()
}

// strips is the picture of margins.
func (p *page) strips(list []Spread) {
	low, high := 0.0, 6.0
	for _, l := range list {
		low, high = min(low, l.Margins[0]), max(high, l.Margins[len(l.Margins)-1])
	}
	low, high = max(math.Floor(low/5)*5, -30), min(math.Ceil(high/5)*5, 40)
	const row, head = 30.0, 24.0
	bottom := head + row*float64(len(list))
	s := p.figure("", "Highest margins by class", bottom+24)
	x := scale{low, high, labelsEnd + 76, plotWidth - 20}
	for i := range list {
		if i%2 == 1 {
			s.rect("band", 0, head+row*float64(i), plotWidth, row, "")
		}
	}
	for v := low; v <= high; v += 5 {
		s.line("grid", x.at(v), head, x.at(v), bottom)
		s.text("t m", x.at(v), bottom+17, fmt.Sprintf("%g", v))
	}
	for _, v := range verdicts() {
		m := bar(v).m
		s.line("bar-line "+v.String(), x.at(m), head-4, x.at(m), bottom)
	}
	// The bars of review and case are close: their names go to either side.
	s.text("t r", x.at(0)-3, head-8, "watch")
	s.text("t m", x.at(3)-3, head-8, "review")
	s.text("t", x.at(5)-1, head-8, "case")
	for i, l := range list {
		y := head + row*(float64(i)+0.5)
		class := "honest"
		if l.Box {
			class = "box"
		}
		s.text("r", labelsEnd, y+4, l.Class)
		s.text("t r", labelsEnd+56, y+4, fmt.Sprintf("n=%d", l.Lines))
		for k, m := range l.Margins {
			s.dot("dot "+class, x.at(m), y+4*float64(k*3%5-2), 2.8, "")
		}
		median := l.Margins[(len(l.Margins)-1)/2]
		s.line("median", x.at(median), y-11, x.at(median), y+11)
	}
	s.end()
}

// curves draws how many boxes are at each verdict after some time, a panel for
// each class.
func (p *page) curves(list []Curve) {
	if len(list) == 0 {
		return
	}
	p.section("times", "Time to a verdict", "")
	p.panels(list, "minutes", "Share of boxes at a verdict or above, by minutes since the capture began (logarithmic). A capture ends as its scenario does: what is not found by then counts as never found. "+legend())
	p.panels(list, "calls", "The same by calls counted until then.")
	p.endSection()
}

// panels draws the curves of all classes by minutes or by calls.
func (p *page) panels(list []Curve, by, caption string) {
	var classes []string
	for _, k := range list {
		if !slices.Contains(classes, k.Class) {
			classes = append(classes, k.Class)
		}
	}
	const across, gap = 3, 50.0
	width := (plotWidth - gap*across - 16) / across
	const height, pitch = 150.0, 220.0
	down := (len(classes) + across - 1) / across
	s := p.figure(caption, "Share of boxes at each verdict by "+by, pitch*float64(down))
	s.key()
	for i, class := range classes {
		x0, y0 := gap-8+float64(i%across)*(width+gap), 30+pitch*float64(i/across)
		s.panel(list, class, by, x0, y0, width, height)
	}
	s.end()
}

// panel is one class's curves.
func (s *picture) panel(list []Curve, class, by string, x0, y0, width, height float64) {
	last, ticks := 480.0, []float64{1, 3, 10, 30, 60, 120, 480}
	if by == "calls" {
		last, ticks = 500, []float64{1, 3, 10, 30, 100, 500}
	}
	x := scale{0, math.Log(last), x0, x0 + width}
	y := scale{0, 1, y0 + height, y0}
	for i := range 5 {
		v := float64(i) / 4
		s.line("grid", x0, y.at(v), x0+width, y.at(v))
		s.text("t r", x0-6, y.at(v)+4, percent(v)+"%")
	}
	for _, v := range ticks {
		s.line("grid", x.at(math.Log(v)), y0, x.at(math.Log(v)), y0+height)
		s.text("t m", x.at(math.Log(v)), y0+height+16, fmt.Sprintf("%g", v))
	}
	s.text("t r", x0+width, y0+height+31, by)
	name, lines := class, 0
	if class == "" {
		name = "all boxes"
	}
	for _, k := range list {
		if k.Class != class {
			continue
		}
		lines = k.Lines
		at, share := k.Minutes, k.ByTime
		if by == "calls" {
			at, share = k.Calls, k.ByCalls
		}
		var xy []float64
		for i, v := range at {
			here := x.at(math.Log(max(v, 1)))
			if len(xy) > 0 {
				xy = append(xy, here, xy[len(xy)-1])
			}
			xy = append(xy, here, y.at(share[i]))
		}
		s.path("curve "+k.Verdict, xy)
	}
	s.text("h", x0, y0-10, name)
	s.text("t r", x0+width, y0-10, fmt.Sprintf("n=%d", lines))
}

// bounds draws how often honest lines ever had so many nats, with what is
// promised.
func (p *page) bounds(list []Reliability, bins []Bin) {
	if len(list) == 0 {
		return
	}
	p.section("bounds", "Bounds", "")
	p.boundPictures(list)
	p.exceeded(list)
	p.claims(bins)
	p.endSection()
}

// boundPictures draws margins beside scores.
func (p *page) boundPictures(list []Reliability) {
	s := p.figure("How many honest lines ever had so many nats, beside what is promised, e to the minus nats (dashed). Left, the margin of every class, each of which must stay below; right, the score, of all honest lines by their shares of the population. Orange: the whole 95 % interval is above the bound somewhere.",
		"Share of honest lines with so many nats, beside the bound", 400)
	const y0, height = 30.0, 310.0
	s.bound(list, "margin", 60, y0, 560, height)
	s.bound(list, "score", 720, y0, 320, height)
	s.end()
}

// Least share drawn.
const leastShare = 1e-6

func (s *picture) bound(list []Reliability, kind string, x0, y0, width, height float64) {
	x := scale{0, 14, x0, x0 + width - 90}
	if kind == "score" {
		x.x1 = x0 + width
	}
	y := scale{math.Log(leastShare), 0, y0 + height, y0}
	for e := 0; e >= -6; e-- {
		v := math.Pow(10, float64(e))
		s.line("grid", x.x0, y.at(math.Log(v)), x.x1, y.at(math.Log(v)))
		s.text("t r", x0-6, y.at(math.Log(v))+4, percentFine(v))
	}
	for n := 0.0; n <= 14; n += 2 {
		s.line("grid", x.at(n), y0, x.at(n), y0+height)
		s.text("t m", x.at(n), y0+height+16, fmt.Sprintf("%g", n))
	}
	s.text("t r", x.x1, y0+height+34, "nats")
	s.text("h", x0, y0-10, kind)
	s.path("bound", []float64{x.at(0), y.at(0), x.at(-math.Log(leastShare)), y.at(math.Log(leastShare))})
	labels := y0
	for _, r := range list {
		if r.Kind != kind || kind == "score" && r.Class != "" {
			continue
		}
		class := "class"
		if slices.ContainsFunc(r.Steps, func(st Step) bool { return st.Exceeded }) {
			class = "over"
		}
		var xy []float64
		for _, st := range r.Steps {
			if st.Rate.Rate == 0 {
				break
			}
			xy = append(xy, x.at(st.Nats), y.at(math.Log(st.Rate.Rate)))
		}
		if len(xy) == 0 {
			continue
		}
		s.path(class, xy)
		for i := 0; i < len(xy); i += 2 {
			s.dot(map[string]string{"class": "honest", "over": "mark"}[class], xy[i], xy[i+1], 2.6, fmt.Sprintf("%s: %s", r.Class, interval(r.Steps[i/2].Rate)))
		}
		if class == "over" && r.Class != "" {
			// Names stand to the right, one below the other.
			s.text("t", x.x1+8, max(labels, y0)+4, r.Class)
			labels += 16
		}
	}
}

// claims draws, for every bin of scores that boxes and honest lines share, how
// much likelier boxes are to be in it than the population, against the score
// itself, which claims just that.
func (p *page) claims(bins []Bin) {
	boxes, population, both := 0.0, 0.0, 0
	for _, b := range bins {
		if b.Kind == "score" {
			boxes += float64(b.Boxes)
			population += b.Population
			if b.Boxes > 0 && b.Population > 0 {
				both++
			}
		}
	}
	if both == 0 {
		return
	}
	const x0, y0, width, height = 60.0, 20.0, 620.0, 260.0
	s := p.figure("What a score claims and what it is worth: the share of drawn boxes over the share of the honest population whose highest score lies in the same two nats, in nats. Points on the dashed line are worth what they claim, those above it more; below, too much is claimed. Larger points are of more lines.",
		"Observed likelihood ratio against the score", y0+height+40)
	x, y := scale{-20, 40, x0, x0 + width}, scale{-20, 40, y0 + height, y0}
	for v := -20.0; v <= 40; v += 10 {
		s.line("grid", x.at(v), y0, x.at(v), y0+height)
		s.line("grid", x0, y.at(v), x0+width, y.at(v))
		s.text("t m", x.at(v), y0+height+16, fmt.Sprintf("%g", v))
		s.text("t r", x0-6, y.at(v)+4, fmt.Sprintf("%g", v))
	}
	s.text("t r", x0+width, y0+height+34, "score, nats")
	s.line("bound", x.at(-20), y.at(-20), x.at(40), y.at(40))
	for _, b := range bins {
		if b.Kind != "score" || b.Boxes == 0 || b.Population == 0 {
			continue
		}
		worth := math.Log(float64(b.Boxes)/boxes) - math.Log(b.Population/population)
		lines := min(b.Boxes, b.Honest)
		s.dot("box", x.at(b.From+binWidth/2), y.at(worth), 3+math.Log1p(float64(lines)),
			fmt.Sprintf("%g to %g: %d boxes, %d honest lines, worth %.1f", b.From, b.From+binWidth, b.Boxes, b.Honest, worth))
	}
	s.end()
}

// percentFine writes a power of ten as a share.
func percentFine(v float64) string {
	return fmt.Sprintf("%.4g%%", 100*v)
}

// exceeded lists what is above its bound.
func (p *page) exceeded(list []Reliability) {
	any := false
	for _, r := range list {
		if r.Kind == "score" && r.Class != "" {
			continue
		}
		for _, st := range r.Steps {
			if !st.Above || st.Nats == 0 {
				continue
			}
			if !any {
				any = true
				p.table(column{name: "Above its bound"}, column{name: "Kind"}, column{"Nats", true}, column{"Share, %", true}, column{"Bound, %", true}, column{name: "Whole interval"})
			}
			name := r.Class
			if name == "" {
				name = "all honest lines"
			}
			tag := `<span class="tag none">no</span>`
			if st.Exceeded {
				tag = `<span class="tag no">yes</span>`
			}
			p.raw(`<tr><th scope="row">`, safe(name), "</th><td>", safe(r.Kind), `</td><td class="n">`, fmt.Sprintf("%g", st.Nats), `</td><td class="n">`,
				safe(interval(st.Rate)), `</td><td class="n">`, percent(st.Bound), "</td><td>", tag, "</td></tr>\n")
		}
	}
	if any {
		p.endTable()
		return
	}
	p.raw("<p>No figure is above its bound.</p>\n")
}

// ablations draws what becomes of each class when a family is left out.
func (p *page) ablations(list []Ablation) {
	if len(list) == 0 {
		return
	}
	p.section("families", "What each family of signals is worth", "Shares of lines above a bar of score and margin, in percent: the first row with everything, the others the change in points when a family is left out. Orange is worse (fewer boxes, more honest lines), blue is better.")
	names := map[int]heuristics.Verdict{0: heuristics.Watch, 1: heuristics.Review}
	for i := range list {
		a := &list[i]
		p.heat(a, fmt.Sprintf("Bar of %s: S ≥ %g, M ≥ %g", names[i], a.Score, a.Margin))
	}
	p.endSection()
}

func (p *page) heat(a *Ablation, title string) {
	const row, left = 24.0, 150.0
	const head = 120.0
	s := p.figure("<strong>"+safe(title)+"</strong>", title, head+row*float64(len(a.Rows))+6)
	width := min((plotWidth-left-110)/float64(len(a.Classes)), 60)
	x := func(i int) float64 {
		at := left + width*float64(i)
		if i >= a.Boxes {
			at += 12
		}
		return at
	}
	for i, class := range a.Classes {
		s.p.raw(`<text class="t" transform="translate(`, at(x(i)+width/2+3), ` `, at(head-8), `) rotate(-52)">`, safe(class), "</text>")
	}
	for k, r := range a.Rows {
		y := head + row*float64(k)
		name := r.Without
		if name == "" {
			name = "nothing left out"
		}
		s.text("r", left-8, y+16, name)
		for i, v := range r.Rates {
			change := v - a.Rows[0].Rates[i]
			switch {
			case k == 0:
				s.rect("empty", x(i), y, width, row, "")
				s.text("t m", x(i)+width/2, y+16, fmt.Sprintf("%.0f", 100*v))
			case math.Abs(change) < 0.0005:
				s.rect("empty", x(i), y, width, row, "")
			default:
				class := "better"
				if i < a.Boxes == (change < 0) {
					class = "worse"
				}
				s.rect("cell "+class, x(i), y, width, row, fmt.Sprintf(` fill-opacity="%.2f"`, 0.15+0.6*min(math.Abs(change)*2, 1)))
				s.text("m", x(i)+width/2, y+16, points(change))
			}
		}
	}
	s.end()
}

// points writes a change of a share, small ones with a decimal.
func points(v float64) string {
	if math.Abs(v) < 0.01 {
		return fmt.Sprintf("%+.1f", 100*v)
	}
	return fmt.Sprintf("%+.0f", 100*v)
}
