package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stage is the stretch of time that the plots of a line share.
func stage(a *Activity) (from, to int64) {
	from, to = math.MaxInt64, math.MinInt64
	for i := range a.Calls {
		from, to = min(from, a.Calls[i].First), max(to, a.Calls[i].End)
	}
	for i := range a.Streams {
		from, to = min(from, a.Streams[i].Start), max(to, a.Streams[i].End)
	}
	if from > to {
		return 0, 0
	}
	return from, max(to, from+int64(time.Second))
}

// slot is a call with the row it is drawn in.
type slot struct {
	*Call
	row int
}

// rows gives each call the lowest row that is free from its first message to
// its end, as a gateway takes the lowest free channel. Calls beyond the bounds
// are left out and counted.
func rows(a *Activity) (drawn []slot, n, left int) {
	calls := make([]*Call, len(a.Calls))
	for i := range a.Calls {
		calls[i] = &a.Calls[i]
	}
	slices.SortStableFunc(calls, func(x, y *Call) int { return cmp.Compare(x.First, y.First) })
	var free []int64 // when each row is free again
	for _, c := range calls {
		row := 0
		for row < len(free) && free[row] > c.First {
			row++
		}
		if len(drawn) == maxDrawnCalls || row == maxRowsDrawn {
			left++
			continue
		}
		if row == len(free) {
			free = append(free, 0)
		}
		free[row] = max(c.End, c.First+1)
		drawn = append(drawn, slot{c, row})
	}
	return drawn, len(free), left
}

const (
	rowHeight  = 18 // px
	axisHeight = 22
	plotHeight = 240
)

// place gives where t lies between from and to, in percent with two decimals.
func place(t, from, to int64) string {
	p := float64(t-from) / float64(to-from) * 100
	return strconv.FormatFloat(math.Round(min(max(p, 0), 100)*100)/100, 'f', -1, 64) + "%"
}

// clock writes a time of day in UTC, with its date where the stage has several.
func (b *page) clock(t, from, to int64) string {
	layout := "15:04:05"
	if time.Unix(0, from).UTC().YearDay() != time.Unix(0, to).UTC().YearDay() || to-from > int64(24*time.Hour) {
		layout = "01-02 15:04"
	}
	return time.Unix(0, t).UTC().Format(layout)
}

// axis draws the times at the bottom of a plot of that height.
func (b *page) axis(from, to int64, height int) {
	for i := range 5 {
		x := strconv.Itoa(25*i) + "%"
		fmt.Fprintf(b.w, `<line class="grid" x1="%s" x2="%s" y1="0" y2="%d"/>`, x, x, height)
		if i%2 == 1 {
			continue
		}
		anchor := [...]string{"start", "middle", "end"}[i/2]
		fmt.Fprintf(b.w, `<text x="%s" y="%d" text-anchor="%s">%s</text>`, x, height+15, anchor, b.clock(from+(to-from)/4*int64(i), from, to))
	}
}

// timeline draws the calls of a line, one row for each channel in use.
func (b *page) timeline(a *Activity, id string, from, to int64) {
	if len(a.Calls) == 0 {
		return
	}
	drawn, n, left := rows(a)
	height := n * rowHeight
	b.raw(`<figure class="drawn" aria-labelledby="`, id, `t"><figcaption id="`, id, `t">`)
	b.word("h3", "Calls by channel")
	b.raw(`<p class="legend"><svg class="key" aria-hidden="true"><rect class="in" width="14" height="14"/></svg> `, b.tr("inbound"),
		` <svg class="key" aria-hidden="true"><rect class="out" y="5" width="14" height="9"/></svg> `, b.tr("outbound (lower bar)"),
		` <svg class="key" aria-hidden="true"><rect class="in ring" width="14" height="14"/></svg> `, b.tr("pale: not answered yet"), b.t.mark(". "),
		b.tr("A call takes the lowest free row from its first message to its end."), "</p></figcaption>")
	fmt.Fprintf(b.w, `<div class="plot"><div class="rows" aria-hidden="true">`)
	for i := range n {
		fmt.Fprintf(b.w, "<span>%d</span>", i+1)
	}
	fmt.Fprintf(b.w, `</div><svg role="img" width="100%%" height="%d" aria-labelledby="%st1 %st2"><title id="%st1">%s</title><desc id="%st2">%s</desc>`,
		height+axisHeight, id, id, id, b.tr("Calls by channel"), id, b.tr(counted(len(drawn), "call")+" on "+counted(n, "row")))
	b.axis(from, to, height)
	for _, c := range drawn[:min(len(drawn), maxTitled)] {
		b.call(c, from, to)
	}
	if len(drawn) > maxTitled {
		b.plainCalls(drawn[maxTitled:], from, to, height)
	}
	b.raw("</svg></div>")
	if len(drawn) > maxTitled {
		b.word("p", "The first "+count(maxTitled)+" calls tell more where the pointer rests on them.")
	}
	if more := uint64(left) + a.MoreCalls; more > 0 {
		b.word("p", counted(more, "call")+" not drawn")
	}
	b.raw("<details><summary>", b.tr("Calls as a table"), "</summary>")
	b.scroll("Calls as a table")
	b.raw("<table>")
	b.heads("Row", "Begun (UTC)", "Direction", "Rang", "Talked", "Status", "Number", "Account", "Far end")
	for i := range min(len(drawn), maxListedCalls) {
		c := drawn[i]
		b.raw("<tr>")
		b.cell(`td class="n"`, strconv.Itoa(c.row+1))
		b.cell("td", time.Unix(0, c.First).UTC().Format("2006-01-02 15:04:05"))
		b.word("td", direction(c.Call))
		rang, talked := parts(c.Call)
		b.word(`td class="n"`, rang)
		b.word(`td class="n"`, talked)
		b.cell(`td class="n"`, status(c.Call))
		b.raw("<td><code>", safe(b.o.number(c.Number)), "</code></td><td><code>", safe(b.o.Names.Account(c.Account)), "</code></td>")
		b.cell("td", address(c.Peer))
		b.raw("</tr>\n")
	}
	b.raw("</tbody></table></div>")
	if n := len(drawn) - maxListedCalls; n > 0 {
		b.word("p", "and "+count(n)+" more")
	}
	b.raw("</details></figure>\n")
}

func direction(c *Call) string {
	if c.Inbound {
		return "inbound"
	}
	return "outbound"
}

// parts says how long a call rang and how long it was up.
func parts(c *Call) (rang, talked string) {
	if c.Answer == 0 {
		return long(time.Duration(c.End - c.First)), ""
	}
	return long(time.Duration(c.Answer - c.First)), long(time.Duration(c.End - c.Answer))
}

func status(c *Call) string {
	if c.Cause == 0 {
		return ""
	}
	return strconv.Itoa(int(c.Cause))
}

// call draws one call: pale until it is answered.
func (b *page) call(c slot, from, to int64) {
	class, y, h := "in", c.row*rowHeight+2, rowHeight-4
	if !c.Inbound {
		class, y, h = "out", y+5, h-5
	}
	rang, talked := parts(c.Call)
	said := b.t.text(direction(c.Call)) + b.t.mark(", ") + time.Unix(0, c.First).UTC().Format("2006-01-02 15:04:05") + " UTC"
	say := func(name, text string) {
		if text != "" {
			said += b.t.mark(", ") + b.t.text(name) + " " + text
		}
	}
	say("rang", b.t.text(rang))
	say("talked", b.t.text(talked))
	say("status", status(c.Call))
	say("number", b.o.number(c.Number))
	say("account", b.o.Names.Account(c.Account))
	say("far end", address(c.Peer))
	b.raw(`<g class="`, class, `"><title>`, safe(said), "</title>")
	up := c.End
	if c.Answer != 0 {
		up = c.Answer
	}
	b.block("ring", c.First, up, y, h, from, to)
	if c.Answer != 0 {
		b.block("talk", c.Answer, c.End, y, h, from, to)
	}
	b.raw("</g>\n")
}

// plainCalls draws many calls in little room, in four paths.
func (b *page) plainCalls(calls []slot, from, to int64, height int) {
	var paths [2][2]strings.Builder // inbound, talk
	at := func(t int64) int { return int(min(max(float64(t-from)/float64(to-from), 0), 1) * 4000) }
	for _, c := range calls {
		y, h, in := c.row*rowHeight+2, rowHeight-4, 1
		if !c.Inbound {
			y, h, in = y+5, h-5, 0
		}
		block := func(talk int, t, u int64) {
			fmt.Fprintf(&paths[in][talk], "M%d %dh%dv%dh-%dz", at(t), y, max(at(u)-at(t), 1), h, max(at(u)-at(t), 1))
		}
		if c.Answer == 0 {
			block(0, c.First, c.End)
		} else {
			block(0, c.First, c.Answer)
			block(1, c.Answer, c.End)
		}
	}
	fmt.Fprintf(b.w, `<svg width="100%%" height="%d" viewBox="0 0 4000 %d" preserveAspectRatio="none">`, height, height)
	for in, class := range [...]string{"out", "in"} {
		for talk, more := range [...]string{" ring", " talk"} {
			if d := paths[in][talk].String(); d != "" {
				b.raw(`<path class="`, class, more, `" d="`, d, `"/>`)
			}
		}
	}
	b.raw("</svg>")
}

// block draws a stretch of time; one of no length is a hair line.
func (b *page) block(class string, t, u int64, y, h int, from, to int64) {
	fmt.Fprintf(b.w, `<rect class="%s" x="%s" y="%d" width="%s" height="%d"/>`, class, place(t, from, to), y, place(from+max(u-t, 0), from, to), h)
}

// clocks draws for each stream how much later than its RTP time its packets
// came: the slope is the sender's clock against the tap's.
func (b *page) clocks(a *Activity, id string, from, to int64) {
	var list []*Stream
	var all []int64
	for i := range a.Streams {
		if s := &a.Streams[i]; len(s.Points) > 1 {
			list = append(list, s)
		}
	}
	// Long ones tell most.
	slices.SortStableFunc(list, func(x, y *Stream) int { return len(y.Points) - len(x.Points) })
	left := max(len(list)-maxDrawn, 0)
	list = list[:len(list)-left]
	slices.SortStableFunc(list, func(x, y *Stream) int {
		switch {
		case x.Start < y.Start:
			return -1
		case x.Start > y.Start:
			return 1
		}
		return 0
	})
	for _, s := range list {
		for _, q := range s.Points {
			all = append(all, q.Late)
		}
	}
	if len(all) == 0 {
		return
	}
	// One late packet must not flatten all the rest.
	slices.Sort(all)
	lo, hi := all[len(all)/200], all[len(all)-1-len(all)/200]
	if pad := int64(time.Millisecond) - (hi - lo); pad > 0 {
		lo, hi = lo-pad/2, hi+pad/2
	}
	lo, hi = lo-(hi-lo)/10, hi+(hi-lo)/10

	b.raw(`<figure class="drawn" aria-labelledby="`, id, `c"><figcaption id="`, id, `c">`)
	b.word("h3", "Clocks")
	b.word("p", "Arrival minus RTP time against time, one line of dots for each voice stream that the line sent. The slope is the sender's clock: one chassis gives parallel lines, telephones each their own.")
	b.raw(`</figcaption><div class="plot"><div class="scale" aria-hidden="true">`)
	for _, v := range []int64{hi, (lo + hi) / 2, lo} {
		b.cell("span", millis(v))
	}
	fmt.Fprintf(b.w, `</div><svg role="img" width="100%%" height="%d" aria-labelledby="%sc1 %sc2"><title id="%sc1">%s</title><desc id="%sc2">%s</desc>`,
		plotHeight+axisHeight, id, id, id, b.tr("Clocks"), id, b.tr(counted(len(list), "voice stream")+", "+counted(len(all), "reading")))
	b.axis(from, to, plotHeight)
	fmt.Fprintf(b.w, `<line class="grid" x1="0" x2="100%%" y1="%d" y2="%d"/>`, plotHeight/2, plotHeight/2)
	fmt.Fprintf(b.w, `<svg width="100%%" height="%d" viewBox="0 0 2000 1000" preserveAspectRatio="none">`, plotHeight)
	for i, s := range list {
		fmt.Fprintf(b.w, `<path class="dots s%d" d="`, i%8)
		for _, q := range s.Points {
			x := min(max(float64(q.Time-from)/float64(to-from), 0), 1)
			y := min(max(float64(hi-q.Late)/float64(hi-lo), 0), 1)
			fmt.Fprintf(b.w, "M%d %dh0", int(x*2000), int(y*1000))
		}
		b.raw(`"/>`)
	}
	b.raw("</svg></svg></div>")
	if n := uint64(left) + a.MoreStreams; n > 0 {
		b.word("p", counted(n, "voice stream")+" not drawn")
	}
	b.raw("<details><summary>", b.tr("Voice streams as a table"), "</summary>")
	b.scroll("Voice streams as a table")
	b.raw("<table>")
	b.heads("Begun (UTC)", "Length", "Far end", "Codec", "Packets", "Lost", "Jitter", "MOS", "Clock")
	for _, s := range list {
		b.raw("<tr>")
		b.cell("td", time.Unix(0, s.Start).UTC().Format("2006-01-02 15:04:05"))
		b.word(`td class="n"`, long(time.Duration(s.End-s.Start)))
		b.cell("td", address(s.Peer))
		b.cell("td", s.Codec)
		b.cell(`td class="n"`, count(s.Packets))
		b.cell(`td class="n"`, count(s.Lost))
		b.cell(`td class="n"`, millis(s.Jitter))
		mos, ppm := "", ""
		if s.MOS > 0 {
			mos = fmt.Sprintf("%.1f", s.MOS)
		}
		b.cell(`td class="n"`, mos)
		if s.ClockOK {
			ppm = fmt.Sprintf("%.1f ± %.1f ppm", s.PPM, s.PPMError)
		}
		b.cell(`td class="n"`, ppm)
		b.raw("</tr>\n")
	}
	b.raw("</tbody></table></div></details></figure>\n")
}

// millis writes nanoseconds as milliseconds.
func millis(ns int64) string {
	return strconv.FormatFloat(float64(ns)/1e6, 'f', 1, 64) + " ms"
}
