package evaluation

import (
	"math"
	"strconv"
	"strings"
)

// plotWidth is that of every picture, in its own units, which are about pixels.
const plotWidth = 1060.0

// picture is an SVG under construction.
type picture struct {
	p      *page
	height float64
}

// figure opens a picture with its caption. The title is read aloud in its place.
func (p *page) figure(caption, title string, height float64) *picture {
	if p.alone {
		p.aloneFigure(title, height)
		return &picture{p, height}
	}
	p.raw("<figure>")
	if caption != "" {
		p.raw("<figcaption>", caption, "</figcaption>")
	}
	p.printf(`<div class="scroll" tabindex="0"><svg class="plot" role="img" viewBox="0 0 %g %s"><title>%s</title>`, plotWidth, at(height), safe(title))
	return &picture{p, height}
}

func (s *picture) end() {
	if s.p.alone {
		s.p.raw("</svg>\n")
		return
	}
	s.p.raw("</svg></div></figure>\n")
}

// at writes a place with a tenth's precision.
func at(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func (s *picture) line(class string, x1, y1, x2, y2 float64) {
	s.p.raw(`<line class="`, class, `" x1="`, at(x1), `" y1="`, at(y1), `" x2="`, at(x2), `" y2="`, at(y2), `"/>`)
}

func (s *picture) rect(class string, x, y, w, h float64, more string) {
	s.p.raw(`<rect class="`, class, `" x="`, at(x), `" y="`, at(y), `" width="`, at(w), `" height="`, at(h), `"`, more, "/>")
}

// dot draws a point, with a note for the pointer if there is one.
func (s *picture) dot(class string, x, y, r float64, note string) {
	s.p.raw(`<circle class="`, class, `" cx="`, at(x), `" cy="`, at(y), `" r="`, at(r), `"`)
	if note == "" {
		s.p.raw("/>")
		return
	}
	s.p.raw("><title>", safe(note), "</title></circle>")
}

func (s *picture) text(class string, x, y float64, text string) {
	s.p.raw(`<text class="`, class, `" x="`, at(x), `" y="`, at(y), `">`, safe(text), "</text>")
}

func (s *picture) path(class string, xy []float64) {
	var d strings.Builder
	for i := 0; i+1 < len(xy); i += 2 {
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		d.WriteString(letter + at(xy[i]) + " " + at(xy[i+1]))
	}
	s.p.raw(`<path class="`, class, `" d="`, d.String(), `"/>`)
}

// scale places values between two ends.
type scale struct{ from, to, x0, x1 float64 }

func (s scale) at(v float64) float64 {
	v = min(max(v, s.from), s.to)
	return s.x0 + (v-s.from)/(s.to-s.from)*(s.x1-s.x0)
}

// legend names the marks of the verdicts.
func legend() string {
	var b strings.Builder
	b.WriteString(`<span class="legend">`)
	for _, v := range verdicts() {
		b.WriteString(`<span><svg viewBox="0 0 26 10" aria-hidden="true"><line class="whisker ` + v.String() + `" x1="0" x2="26" y1="5" y2="5"/><circle class="` +
			v.String() + `" cx="13" cy="5" r="4"/></svg>` + v.String() + "</span> ")
	}
	return b.String() + "</span>"
}

// aloneTop is the room above a picture that is a file of its own, where its title
// and the marks stand that a page has in a caption.
const aloneTop = 40.0

// aloneLeft is the room to the left, for labels in whatever font there is.
const aloneLeft = 14.0

// aloneFigure opens a file of its own. It brings its colours, for light and for
// dark, and their ground, since what it is shown on may be either.
func (p *page) aloneFigure(title string, height float64) {
	whole := at(height + aloneTop + 10)
	const width = plotWidth + aloneLeft
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" width="%g" height="%s" viewBox="%g %g %g %s"><title>%s</title>`,
		width, whole, -aloneLeft, -aloneTop, width, whole, safe(title))
	p.raw("\n<style>", colours, plotStyle, aloneStyle, "</style>\n")
	p.printf(`<rect class="ground" x="%g" y="%g" width="%g" height="%s"/>`, -aloneLeft, -aloneTop, width, whole)
	p.raw(`<text class="title" x="0" y="-16">`, safe(title), "</text>")
}

// key names the marks of the verdicts at the top of a picture that is on its own.
func (s *picture) key() {
	if !s.p.alone {
		return
	}
	x := plotWidth - 300
	for _, v := range verdicts() {
		s.line("whisker "+v.String(), x, -20, x+26, -20)
		s.dot(v.String(), x+13, -20, 4, "")
		s.text("", x+34, -16, v.String())
		x += 98
	}
}
