package pages

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"simtrap/hub/query"
	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// Pictures are SVG with attributes and classes alone, since the policy allows no
// style but that of the style sheet. Each has its table beside it. Numbers are our
// own; every text is escaped here.
const (
	plotWidth  = 1000 // of a viewBox, stretched over the page
	plotHeight = 220  // px
	rowHeight  = 18   // px
	axisHeight = 22   // px
	maxRows    = 48   // of calls beside each other
)

// stage is the time that a plot is over.
type stage struct{ from, to int64 }

// over gives the stage of all times.
func over(times ...int64) stage {
	s := stage{math.MaxInt64, math.MinInt64}
	for _, t := range times {
		s.from, s.to = min(s.from, t), max(s.to, t)
	}
	if s.from > s.to {
		return stage{}
	}
	s.to = max(s.to, s.from+int64(time.Second))
	return s
}

// at gives where a time lies, in thousandths.
func (s stage) at(t int64) int {
	if s.to == s.from {
		return 0
	}
	return int(math.Round(min(max(float64(t-s.from)/float64(s.to-s.from), 0), 1) * plotWidth))
}

// axis draws lines of time over a height, and their times below.
func (s stage) axis(b *strings.Builder, height int) {
	layout := "15:04:05"
	if s.to-s.from > int64(20*time.Hour) {
		layout = "01-02 15:04"
	}
	for i := range 5 {
		x := strconv.Itoa(25*i) + "%"
		fmt.Fprintf(b, `<line class="grid" x1="%s" x2="%s" y1="0" y2="%d"/>`, x, x, height)
		if i%2 == 1 {
			continue
		}
		anchor := [...]string{"start", "middle", "end"}[i/2]
		fmt.Fprintf(b, `<text x="%s" y="%d" text-anchor="%s">%s</text>`, x, height+15, anchor, time.Unix(0, s.from+(s.to-s.from)/4*int64(i)).UTC().Format(layout))
	}
}

// open begins a picture with its name and what it shows, in words.
func (k *look) open(b *strings.Builder, height int, id, name, says string) {
	e := template.HTMLEscapeString
	fmt.Fprintf(b, `<svg role="img" width="100%%" height="%d" aria-labelledby="%s1 %s2"><title id="%s1">%s</title><desc id="%s2">%s</desc>`,
		height+axisHeight, id, id, id, e(k.parts.Text(name)), id, e(k.parts.Text(says)))
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// callRow is a call as the table beside the picture tells it.
type callRow struct {
	Row                              int
	Start                            time.Time
	Direction, Rang, Talked          string
	Called, Calling, Account, FarEnd string
	Verified                         bool
}

// activity draws calls, one row for each channel in use; where the sensor told of none,
// when the line was active.
func (k *look) activity(calls []*reportpb.Call, f *reportpb.Finding) ([]callRow, template.HTML) {
	var b strings.Builder
	if len(calls) == 0 {
		spans := f.GetLinks().GetActive()
		if len(spans) == 0 {
			return nil, ""
		}
		times := []int64{moment(f.GetFirstSeen()).UnixNano(), moment(f.GetLastSeen()).UnixNano()}
		for _, s := range spans {
			times = append(times, moment(s.GetFrom()).UnixNano(), moment(s.GetTo()).UnixNano())
		}
		st := over(times...)
		b.WriteString(`<div class="plot"><div class="rows" aria-hidden="true"></div>`)
		k.open(&b, rowHeight, "act", "Active", counted(len(spans), "time")+" active")
		st.axis(&b, rowHeight)
		fmt.Fprintf(&b, `<svg width="100%%" height="%d" viewBox="0 0 %d %d" preserveAspectRatio="none"><g class="in">`, rowHeight, plotWidth, rowHeight)
		for _, s := range spans {
			x := st.at(moment(s.GetFrom()).UnixNano())
			fmt.Fprintf(&b, `<rect x="%d" y="2" width="%d" height="%d"/>`, x, max(st.at(moment(s.GetTo()).UnixNano())-x, 2), rowHeight-4)
		}
		b.WriteString("</g></svg></svg></div>")
		return nil, template.HTML(b.String())
	}
	var times []int64
	for _, c := range calls {
		times = append(times, began(c), ended(c))
	}
	st := over(times...)
	slices.SortStableFunc(calls, func(x, y *reportpb.Call) int { return cmp.Compare(began(x), began(y)) })
	var free []int64 // when each row is free again
	var rows []callRow
	var drawn strings.Builder
	for _, c := range calls {
		from, to := began(c), ended(c)
		row := 0
		for row < len(free) && free[row] > from {
			row++
		}
		if row == maxRows {
			continue
		}
		if row == len(free) {
			free = append(free, 0)
		}
		free[row] = max(to, from+1)
		class, y, h := "in", row*rowHeight+2, rowHeight-4
		direction := "inbound"
		if c.GetDirection() == reportpb.Direction_DIRECTION_OUTBOUND {
			class, direction, y, h = "out", "outbound", y+5, h-5
		}
		up := to
		if c.GetAnswered() != nil {
			up = moment(c.GetAnswered()).UnixNano()
		}
		x, xu, xe := st.at(from), st.at(up), st.at(to)
		fmt.Fprintf(&drawn, `<g class="%s"><rect class="ring" x="%d" y="%d" width="%d" height="%d"/>`, class, x, y, max(xu-x, 1), h)
		if c.GetAnswered() != nil {
			fmt.Fprintf(&drawn, `<rect class="talk" x="%d" y="%d" width="%d" height="%d"/>`, xu, y, max(xe-xu, 1), h)
		}
		drawn.WriteString("</g>")
		if len(rows) < maxListed {
			r := callRow{Row: row + 1, Start: moment(c.GetStart()), Direction: direction, Called: c.GetCalled(), Calling: c.GetCalling(), Account: c.GetAccount(), FarEnd: c.GetController(), Verified: c.GetVerified()}
			r.Rang = length(up - from)
			if c.GetAnswered() != nil {
				r.Talked = length(to - up)
			}
			rows = append(rows, r)
		}
	}
	height := len(free) * rowHeight
	b.WriteString(`<div class="plot"><div class="rows" aria-hidden="true">`)
	for i := range free {
		fmt.Fprintf(&b, "<span>%d</span>", i+1)
	}
	b.WriteString("</div>")
	k.open(&b, height, "act", "Calls by channel", counted(len(calls), "call")+" on "+counted(len(free), "row"))
	st.axis(&b, height)
	fmt.Fprintf(&b, `<svg width="100%%" height="%d" viewBox="0 0 %d %d" preserveAspectRatio="none">%s</svg></svg></div>`, height, plotWidth, height, drawn.String())
	return rows, template.HTML(b.String())
}

func began(c *reportpb.Call) int64 { return moment(c.GetStart()).UnixNano() }

// ended gives a call's end; of one that goes on, the last thing known.
func ended(c *reportpb.Call) int64 {
	switch {
	case c.GetEnd() != nil:
		return moment(c.GetEnd()).UnixNano()
	case c.GetAnswered() != nil:
		return moment(c.GetAnswered()).UnixNano()
	}
	return began(c)
}

// length writes a stretch of time in seconds.
func length(ns int64) string {
	return strconv.FormatFloat(float64(max(ns, 0))/1e9, 'f', 1, 64) + " s"
}

// reading is what is known of a sending clock over some time.
type reading struct {
	Name        string
	From, To    time.Time
	PPM, Error  float64
	Measured    bool
	Stack, Path string
}

// readings gives those of findings, oldest first.
func readings(list []*querypb.Finding, name func(*querypb.Finding) string) []reading {
	var out []reading
	for _, f := range list {
		l := f.GetFinding().GetLinks()
		if l.ClockPpm == nil || l.GetClockErrorPpm() <= 0 {
			continue
		}
		out = append(out, reading{Name: name(f), From: moment(f.GetFinding().GetFirstSeen()), To: moment(f.GetFinding().GetLastSeen()), PPM: l.GetClockPpm(), Error: l.GetClockErrorPpm(), Measured: true})
	}
	slices.SortStableFunc(out, func(a, b reading) int { return a.From.Compare(b.From) })
	return out
}

// clocks draws how fast sending clocks were, with their uncertainty: one chassis gives
// bars at one height, telephones each their own. The table follows it.
func (k *look) clocks(list []reading) template.HTML {
	if len(list) == 0 {
		return ""
	}
	var times []int64
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, r := range list {
		times = append(times, r.From.UnixNano(), r.To.UnixNano())
		lo, hi = min(lo, r.PPM-r.Error), max(hi, r.PPM+r.Error)
	}
	lo, hi = max(lo, -1e6), min(hi, 1e6)
	if pad := 2 - (hi - lo); pad > 0 {
		lo, hi = lo-pad/2, hi+pad/2
	}
	lo, hi = lo-(hi-lo)/10, hi+(hi-lo)/10
	st := over(times...)
	y := func(v float64) int {
		return int(math.Round(min(max((hi-v)/(hi-lo), 0), 1) * plotHeight))
	}
	var b strings.Builder
	b.WriteString(`<div class="plot"><div class="scale" aria-hidden="true">`)
	for _, v := range []float64{hi, (lo + hi) / 2, lo} {
		fmt.Fprintf(&b, "<span>%.1f</span>", v)
	}
	b.WriteString("</div>")
	k.open(&b, plotHeight, "clk", "Clocks", counted(len(list), "reading"))
	st.axis(&b, plotHeight)
	fmt.Fprintf(&b, `<svg width="100%%" height="%d" viewBox="0 0 %d %d" preserveAspectRatio="none">`, plotHeight, plotWidth, plotHeight)
	for i, r := range list {
		x := st.at(r.From.UnixNano())
		w := max(st.at(r.To.UnixNano())-x, 3)
		top := y(r.PPM + r.Error)
		fmt.Fprintf(&b, `<rect class="error s%d" x="%d" y="%d" width="%d" height="%d"/><path class="dots s%d" d="M%d %dh%d"/>`, i%8, x, top, w, max(y(r.PPM-r.Error)-top, 1), i%8, x, y(r.PPM), w)
	}
	b.WriteString("</svg></svg></div>")
	e := template.HTMLEscapeString
	fmt.Fprintf(&b, `<details><summary>%s</summary><div class="scroll" tabindex="0" role="region" aria-label="%s"><table><thead><tr>`, e(k.parts.Text("Clocks as a table")), e(k.parts.Text("Clocks as a table")))
	for _, h := range []string{"Of", "First seen (UTC)", "Last seen (UTC)", "Clock"} {
		fmt.Fprintf(&b, `<th scope="col">%s</th>`, e(k.parts.Text(h)))
	}
	b.WriteString("</tr></thead><tbody>")
	for _, r := range list {
		fmt.Fprintf(&b, `<tr><th scope="row">%s</th><td>%s</td><td>%s</td><td class="n">%.3f ± %.3f ppm</td></tr>`, e(k.tell(r.Name)), utc(r.From), utc(r.To), r.PPM, r.Error)
	}
	b.WriteString("</tbody></table></div></details>")
	return template.HTML(b.String())
}

// history draws how the score and the margin of a finding went.
func (k *look) history(list []query.Revision) template.HTML {
	var times []int64
	lo, hi := 0.0, 1.0
	sound := func(v *float64) bool { return v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) }
	for _, r := range list {
		times = append(times, r.Received.UnixNano())
		for _, v := range []*float64{r.Score, r.Margin} {
			if sound(v) {
				lo, hi = min(lo, max(*v, -999)), max(hi, min(*v, 999))
			}
		}
	}
	if len(list) < 2 {
		return "" // a point is no history
	}
	st := over(times...)
	y := func(v float64) int { return int(math.Round(min(max((hi-v)/(hi-lo), 0), 1)*(plotHeight-4)) + 2) }
	var b strings.Builder
	b.WriteString(`<div class="plot"><div class="scale" aria-hidden="true">`)
	for _, v := range []float64{hi, (lo + hi) / 2, lo} {
		fmt.Fprintf(&b, "<span>%.1f</span>", v)
	}
	b.WriteString("</div>")
	k.open(&b, plotHeight, "his", "History", counted(len(list), "revision"))
	st.axis(&b, plotHeight)
	fmt.Fprintf(&b, `<svg width="100%%" height="%d" viewBox="0 0 %d %d" preserveAspectRatio="none"><path class="grid" d="M0 %dH%d"/>`, plotHeight, plotWidth, plotHeight, y(0), plotWidth)
	for i, of := range []func(query.Revision) *float64{func(r query.Revision) *float64 { return r.Score }, func(r query.Revision) *float64 { return r.Margin }} {
		fmt.Fprintf(&b, `<path class="trace s%d" d="`, i)
		pen := "M"
		for _, r := range list {
			v := of(r)
			if !sound(v) {
				pen = "M"
				continue
			}
			x := st.at(r.Received.UnixNano())
			if pen == "L" {
				fmt.Fprintf(&b, "H%d", x) // it stood until the next came
			}
			fmt.Fprintf(&b, "%s%d %d", pen, x, y(*v))
			pen = "L"
		}
		b.WriteString(`"/>`)
	}
	b.WriteString("</svg></svg></div>")
	return template.HTML(b.String())
}
