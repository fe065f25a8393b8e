package report

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/report/show"
)

// Page is what WriteHTML writes.
type Page struct {
	Inputs   []string // as the user named them
	Version  string   // of simtrap
	Summary  *Summary
	Findings []heuristics.Finding // worst first
	// Activity gives what a line did; nil, or a result of nil, draws nothing.
	Activity func(ident.Line) *Activity
}

// Bounds of a page, however many suspects there are and whatever they sent.
const (
	// MaxDetailed is how many findings are told in full.
	MaxDetailed = 50

	maxIndexed  = 500 // findings in the table
	maxText     = 400 // characters of one text
	maxInputs   = 20
	maxPageRows = 40 // cards, or streams, in one table
	maxUnseen   = 40
	maxReasons  = 80
	maxLosses   = 100
)

// WriteHTML writes one page that needs nothing else: no script, no picture, no
// font, no request. Its policy forbids all of them, and allows the one style
// sheet by its hash. Everything that came from the wire is made Plain, cut to a
// bound, and escaped.
func WriteHTML(w io.Writer, p *Page, o Options) error {
	b, err := newPage(w, o)
	if err != nil {
		return err
	}
	b.page(p)
	return b.end()
}

// page writes a page: its frame by itself, and what is told of lines with the templates
// of package show.
type page struct {
	w     *bufio.Writer
	o     Options
	t     *translator
	words show.Words
	parts *template.Template
	err   error // of a template
}

func newPage(w io.Writer, o Options) (*page, error) {
	b := &page{w: bufio.NewWriter(w), o: o, t: newTranslator(o.Language)}
	b.words = b.t.wording()
	var err error
	b.parts, err = show.Add(template.New("parts"), b.words)
	return b, err
}

// end gives the first error.
func (b *page) end() error {
	if err := b.w.Flush(); err != nil {
		return err
	}
	return b.err
}

// part writes a template of package show.
func (b *page) part(name string, data any) {
	if err := b.parts.ExecuteTemplate(b.w, name, data); err != nil && b.err == nil {
		b.err = fmt.Errorf("page: %w", err)
	}
}

// wording is how package show speaks in the translator's language.
func (t *translator) wording() show.Words {
	return show.Words{Text: t.text, Mark: t.mark, Plain: Plain, Count: func(n int) string { return count(n) }}
}

// raw writes markup of our own.
func (b *page) raw(parts ...string) {
	for _, s := range parts {
		b.w.WriteString(s)
	}
}

// safe makes any text fit for a page.
func safe(s string) string {
	if len(s) > 4*maxText {
		s = s[:4*maxText]
	}
	s = Plain(s)
	n := 0
	for i := range s {
		if n++; n > maxText {
			s = s[:i] + "…"
			break
		}
	}
	return html.EscapeString(s)
}

// tr translates words of our own, or a sentence about the line, and makes them
// fit for a page.
func (b *page) tr(s string) string { return safe(b.t.text(s)) }

// cell writes an element with text that is not translated.
func (b *page) cell(tag, text string) {
	name, _, _ := strings.Cut(tag, " ")
	b.raw("<", tag, ">", safe(text), "</", name, ">")
}

// word writes an element with translated text.
func (b *page) word(tag, text string) {
	name, _, _ := strings.Cut(tag, " ")
	b.raw("<", tag, ">", b.tr(text), "</", name, ">")
}

// heads writes the head of a table.
func (b *page) heads(names ...string) {
	b.raw("<thead><tr>")
	for _, n := range names {
		b.word(`th scope="col"`, n)
	}
	b.raw("</tr></thead><tbody>\n")
}

func (b *page) page(p *Page) {
	b.head("suspect lines")
	b.header(p)
	b.raw("<main>\n")
	b.index(p)
	for i := range min(len(p.Findings), MaxDetailed) {
		b.finding(p, i)
	}
	b.losses(p.Summary)
	b.raw("</main>\n</body></html>\n")
}

// head writes everything up to the body, with the policy that forbids all
// requests.
func (b *page) head(title string) {
	hash := sha256.Sum256([]byte(pageStyle))
	b.raw("<!DOCTYPE html>\n", pageMark, `<html lang="`, b.o.Language.Tag(), `"><head><meta charset="utf-8">`,
		`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-`, base64.StdEncoding.EncodeToString(hash[:]), `'; base-uri 'none'; form-action 'none'">`,
		`<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">`)
	b.raw("<title>simtrap: ", b.tr(title), "</title>\n<style>", pageStyle, "</style></head>\n<body>\n")
}

// pageMark tells a page of simtrap's from any other file.
const pageMark = "<!-- simtrap page -->\n"

// IsPage says whether a file that begins with head is a page WriteHTML wrote.
func IsPage(head []byte) bool {
	return strings.HasPrefix(string(head), "<!DOCTYPE html>\n"+pageMark)
}

func (b *page) header(p *Page) {
	s := p.Summary
	b.raw("<header>")
	b.word("h1", "Suspect lines")
	if a := b.o.Names.Authority(); a != "" {
		b.raw(`<p class="authority"><strong>`, b.tr("Authority"), b.t.mark(": "), "</strong>", safe(a), b.t.mark(". "), b.tr("Identities on this page are in clear."), "</p>")
	}
	b.raw("<dl>")
	var inputs []string
	for i, name := range p.Inputs {
		if i == maxInputs {
			inputs = append(inputs, b.tr("and "+count(len(p.Inputs)-maxInputs)+" more"))
			break
		}
		inputs = append(inputs, "<code>"+safe(name)+"</code>")
	}
	b.term("Read", strings.Join(inputs, " "))
	if s.Frames > 0 {
		b.term("Time", b.tr(span(s.First, s.Last)))
	}
	b.term("Contents", b.tr(counted(s.Frames, "frame")+", "+size(s.Bytes)+", "+counted(s.Calls, "call")+", "+counted(s.Streams, "voice stream")+", "+
		counted(s.Messages, "SIP message")+", "+counted(s.Records, "control record")+", "+counted(s.Lines, "line")))
	b.term("Verdicts", b.tr(count(s.Verdicts[heuristics.Case])+" case, "+count(s.Verdicts[heuristics.Review])+" review, "+
		count(s.Verdicts[heuristics.Watch])+" watch, "+count(s.Verdicts[heuristics.None])+" below"))
	if b.o.Names.Authority() == "" {
		b.term("Identities", b.tr("Numbers, accounts and cards are pseudonyms: equal ones are equal, and nobody can read them without the key."))
	}
	if n := lost(s); n > 0 || len(s.Damages) > 0 {
		b.term("Losses", `<a href="#losses">`+b.tr(lossesInWords(s))+"</a>")
	}
	b.term("Made by", "simtrap "+safe(p.Version))
	b.raw("</dl></header>\n")
}

// term writes a term and what it is; markup is fit for a page already.
func (b *page) term(name, markup string) {
	b.raw("<dt>", b.tr(name), "</dt><dd>", markup, "</dd>")
}

func lost(s *Summary) (n uint64) {
	for _, l := range s.Losses {
		n += l.Count
	}
	return n
}

func lossesInWords(s *Summary) string {
	kinds := 0
	for _, l := range s.Losses {
		if l.Count > 0 {
			kinds++
		}
	}
	text := counted(kinds, "kind") + " of loss"
	if n := len(s.Damages); n > 0 {
		text += ", " + counted(n, "damaged input")
	}
	return text
}

func (b *page) index(p *Page) {
	b.raw(`<section aria-labelledby="index">`)
	b.word(`h2 id="index"`, "Overview")
	if len(p.Findings) == 0 {
		b.word("p", "No line at watch or above.")
		b.raw("</section>\n")
		return
	}
	b.scroll("Overview")
	b.raw("<table>")
	b.heads("Line", "Verdict", "Score", "Margin", "Nearest lookalike", "Device", "Calls in / out", "Seen (UTC)")
	for i := range min(len(p.Findings), maxIndexed) {
		f := &p.Findings[i]
		b.raw(`<tr><th scope="row">`)
		if i < MaxDetailed {
			b.raw(`<a href="#f`, strconv.Itoa(i), `">`, safe(b.o.line(f.Line)), "</a>")
		} else {
			b.raw(safe(b.o.line(f.Line)))
		}
		if !f.Subscriber.IsZero() {
			b.raw("<div>", safe(b.o.Names.Subscriber(f.Subscriber)), "</div>")
		}
		b.raw("</th><td>", b.badge(f), "</td>")
		b.cell(`td class="n"`, total(f.Score))
		b.cell(`td class="n"`, total(f.Margin))
		b.word("td", f.Nearest)
		b.word(`td class="wide"`, device(f.Device))
		b.cell(`td class="n"`, count(f.Calls.Inbound)+" / "+count(f.Calls.Outbound))
		b.cell(`td class="wide"`, strings.ReplaceAll(stretch(f.First, f.Last), " to ", b.t.text(" to ")))
		b.raw("</tr>\n")
	}
	b.raw("</tbody></table></div>")
	if n := len(p.Findings); n > MaxDetailed {
		b.word("p", "The first "+count(MaxDetailed)+" are told in full below; the table names "+count(min(n, maxIndexed))+" of "+count(n)+", --json has all.")
	}
	b.raw("</section>\n")
}

// scroll opens a box that scrolls sideways where the page is narrow, by
// keyboard too.
func (b *page) scroll(name string) {
	b.raw(`<div class="scroll" tabindex="0" role="region" aria-label="`, b.tr(name), `">`)
}

func (b *page) badge(f *heuristics.Finding) string { return b.verdict(f.Verdict, f.Proof) }

func (b *page) verdict(v heuristics.Verdict, proof bool) string {
	text := v.String()
	if proof {
		text += " by proof"
	}
	return `<span class="v v` + strconv.Itoa(int(min(v, heuristics.Case))) + `">` + b.tr(text) + "</span>"
}

// stretch writes a span of time without its length.
func stretch(first, last int64) string {
	s, _, _ := strings.Cut(span(first, last), " UTC")
	return s
}

// inWords says what a verdict claims and what it does not.
func inWords(f *heuristics.Finding) string {
	switch {
	case f.Verdict == heuristics.Case && f.Proof:
		return "Case, by proof: the line itself sent records of a gateway's own protocol that pass every check, and its peer answered them. This shows equipment with several SIM cards; it does not show that its use is unlawful."
	case f.Verdict == heuristics.Case:
		return "Case: the line behaves like a multi-SIM gateway and unlike every honest kind of line that simtrap knows, by several independent kinds of evidence, over ten calls and ten minutes or more."
	case f.Verdict == heuristics.Review:
		return "Review: the line looks like a multi-SIM gateway, but not surely enough to act on. Read what was not seen before anything else is done."
	case f.Verdict == heuristics.Watch:
		return "Watch: the line resembles a multi-SIM gateway about as much as it resembles an honest one. This is a reason to look on, and no more."
	}
	return "Nothing that speaks for a multi-SIM gateway outweighs what speaks against it."
}

func (b *page) finding(p *Page, i int) {
	f := &p.Findings[i]
	id := "f" + strconv.Itoa(i)
	var a *Activity
	if p.Activity != nil {
		a = p.Activity(f.Line)
	}
	told := b.line(f, id, a)
	b.raw(`<section class="line" aria-labelledby="`, id, `">`)
	b.raw(`<h2 id="`, id, `">`, safe(b.o.line(f.Line)), " ", b.badge(f), "</h2>")
	b.part("claim", told)
	b.part("parts", told)
	b.raw("</section>\n")
}

// sure says how sure a verdict is.
func (b *page) sure(f *heuristics.Finding) []show.Fact {
	nearest := total(f.Margin) + " " + b.t.text("nats")
	if f.Nearest != "" {
		nearest += b.t.mark(", ") + b.t.text("nearest lookalike") + b.t.mark(": ") + b.t.text(f.Nearest)
	}
	return []show.Fact{
		{Name: "Score", Text: total(f.Score) + " " + b.t.text("nats against the population")},
		{Name: "Margin", Text: nearest},
	}
}

// line is what the templates tell of a finding, beside what the line did; that may be nil.
func (b *page) line(f *heuristics.Finding, id string, a *Activity) *show.Line {
	l := &show.Line{ID: id, Under: true, Claim: inWords(f), Facts: b.sure(f), Ledger: b.t.waterfall(f)}
	fact := func(name, text string) { l.Facts = append(l.Facts, show.Fact{Name: name, Text: text}) }
	if f.PeakScore > f.Score+0.05 || f.PeakMargin > f.Margin+0.05 {
		fact("Highest", b.t.text("score "+total(max(f.PeakScore, f.Score))+", margin "+total(max(f.PeakMargin, f.Margin))+" earlier in this epoch"))
	}
	if b.o.OneIn > 0 {
		fact("Probability", b.t.text(chance(Probability(f.Margin, b.o.OneIn))+" that this is a box, if one such line in "+
			count(b.o.OneIn)+" is and the others are of the nearest class"))
	}
	if f.Declared {
		fact("Declared", b.t.text("on the operator's register of declared gateways"))
	}
	if s := device(f.Device); s != "" {
		fact("Device", b.t.text(s))
	}
	if s := calls(f.Calls); s != "" {
		fact("Calls", b.t.text(s))
	}
	if !f.Subscriber.IsZero() {
		fact("Subscriber", b.o.Names.Subscriber(f.Subscriber))
	}
	fact("Time", b.t.text(span(f.First, f.Last)))
	if s := proven(f); s != "" {
		fact("Proof", b.t.text(s))
	}
	if a != nil {
		a = a.during(f.First, f.Last)
		over := a.stage()
		l.Calls, l.Clocks = b.timeline(a, id, over), b.clocks(a, id, over)
	}
	if l.Calls == nil {
		l.Calls = b.active(f, id)
	}
	if l.Clocks == nil && f.Links.ClockErrorPPM > 0 {
		l.Clocks = show.Readings(id, clockWords,
			[]show.Reading{{Name: "finding", From: f.First, To: f.Last, PPM: f.Links.ClockPPM, Error: f.Links.ClockErrorPPM}})
	}
	var accounts []string
	for _, a := range f.Links.Accounts[:min(len(f.Links.Accounts), maxPageRows+1)] {
		accounts = append(accounts, b.o.Names.Account(a))
	}
	l.Stacks = stacks(hex64(f.Links.Stack), b.o.Names.Text("contact", f.Links.Contact), b.o.Names.CNAME(f.Links.CNAME), accounts)
	for _, c := range f.Controllers[:min(len(f.Controllers), maxPageRows)] {
		l.Controllers = append(l.Controllers, show.Controller{Link: show.Link{Text: address(c.Addr)}, Role: c.Role})
	}
	for _, c := range f.Cards[:min(len(f.Cards), maxPageRows)] {
		l.Cards = append(l.Cards, show.Card{{Text: b.o.Names.IMSI(c.IMSI)}, {Text: b.o.Names.IMEI(c.IMEI)}, {Text: b.o.Names.ICCID(c.ICCID)}, {Text: b.o.number(c.MSISDN)}})
	}
	l.Unseen = f.Unseen[:min(len(f.Unseen), maxUnseen)]
	l.MoreControllers, l.MoreCards, l.MoreUnseen = len(f.Controllers)-len(l.Controllers), len(f.Cards)-len(l.Cards), len(f.Unseen)-len(l.Unseen)
	return l
}

// proven gives the words of a proof, empty where there is none.
func proven(f *heuristics.Finding) string {
	for i := range f.Signals {
		if f.Signals[i].ID == proofID {
			return f.Signals[i].Detail
		}
	}
	return ""
}

// stacks tells what names the equipment behind a line gives itself; empty ones are left
// out.
func stacks(shape, contact, cname string, accounts []string) (list []show.Fact) {
	for _, x := range [...][2]string{{"Header shape", shape}, {"Contact", contact}, {"CNAME", cname}} {
		if x[1] != "" {
			list = append(list, show.Fact{Name: x[0], Text: x[1], Code: true})
		}
	}
	var links []show.Link
	for i, a := range accounts {
		if i == maxPageRows {
			links = append(links, show.Link{Text: "…"})
			break
		}
		links = append(links, show.Link{Text: a})
	}
	if len(links) > 0 {
		list = append(list, show.Fact{Name: "Accounts", Links: links})
	}
	return list
}

func (b *page) losses(s *Summary) {
	if lost(s) == 0 && len(s.Damages) == 0 {
		return
	}
	b.raw(`<section aria-labelledby="losses">`)
	b.word(`h2 id="losses"`, "Passed over")
	b.scroll("Passed over")
	b.raw("<table>")
	b.heads("Stage", "Reason", "Count")
	n := 0
	for _, l := range s.Losses {
		if l.Count == 0 || n == maxLosses {
			continue
		}
		n++
		b.raw("<tr>")
		b.word("td", l.Stage)
		b.word("td", l.Reason)
		b.cell(`td class="n"`, count(l.Count))
		b.raw("</tr>")
	}
	b.raw("</tbody></table></div>\n")
	if len(s.Damages) > 0 {
		b.word("h3", "Damaged inputs")
		b.raw("<ul>")
		for i, err := range s.Damages {
			if i == maxDamages {
				b.word("li", "and "+count(len(s.Damages)-maxDamages)+" more")
				break
			}
			b.cell("li", err.Error())
		}
		b.raw("</ul>")
	}
	b.raw("</section>\n")
}

// proofID is the signal under which package heuristics tells of proof.
const proofID = "proof"

// sane keeps nats within what can be drawn.
func sane(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return min(max(v, -999), 999)
}

// step is one row of a waterfall.
type step struct {
	from, to float64
	known    bool
}

// stair lays the nats of reasons end to end from 0, then what is missing to the
// whole.
func stair(list []reason, whole float64, of func(*reason) (float64, bool)) (steps []step, rest step, lo, hi float64) {
	at := 0.0
	for i := range list {
		v, ok := of(&list[i])
		to := at
		if ok {
			to += sane(v)
		}
		steps = append(steps, step{at, to, ok})
		at = to
		lo, hi = min(lo, at), max(hi, at)
	}
	rest = step{at, sane(whole), true}
	lo, hi = min(lo, rest.to), max(hi, rest.to)
	if hi-lo < 1 {
		hi = lo + 1
	}
	return steps, rest, lo, hi
}

// waterfall gives the ledger as it is drawn: from 0 the nats of each reason, the rest, and
// the whole, against the nearest lookalike and against a home. It is nil without reasons.
func (t *translator) waterfall(f *heuristics.Finding) *show.Ledger {
	// Proof is a rule beside the score: it adds no nats.
	scored := *f
	scored.Signals = slices.DeleteFunc(slices.Clone(f.Signals), func(r heuristics.Row) bool { return r.ID == proofID })
	list := ledger(&scored)
	if len(list) == 0 {
		return nil
	}
	list = list[:min(len(list), maxReasons)]
	out := &show.Ledger{Rows: make([]show.Row, len(list)+2)}
	for i := range list {
		out.Rows[i].Words = t.words(&list[i])
	}
	rest, whole := &out.Rows[len(list)], &out.Rows[len(list)+1]
	rest.Words, whole.Words, whole.Whole = t.text("the rest: overlap of reasons, allowances for error"), t.text("margin"), true

	column := func(name string, all float64, of func(*reason) (float64, bool)) {
		out.Against = append(out.Against, name)
		steps, left, lo, hi := stair(list, all, of)
		cell := func(r *show.Row, class, value string, s step) {
			c := show.Cell{Against: name, Value: value}
			if s.known {
				c.Bar = bar(class, s, lo, hi)
			}
			r.Cells = append(r.Cells, c)
		}
		for i := range list {
			v, ok := of(&list[i])
			class, value := "for", ""
			if ok {
				value = nats(v)
			}
			if v < 0 {
				class = "against"
			}
			cell(&out.Rows[i], class, value, steps[i])
		}
		if math.IsNaN(all) { // what is not known has no rest
			cell(rest, "rest", "", step{})
		} else {
			cell(rest, "rest", nats(left.to-left.from), left)
		}
		cell(whole, "all", total(all), step{0, sane(all), !math.IsNaN(all)})
	}
	column(f.Nearest, f.Margin, func(r *reason) (float64, bool) { return r.nearest, r.byNearest })
	if f.Nearest != home {
		column(home, f.AgainstHome, func(r *reason) (float64, bool) { return r.home, r.byHome })
	}
	return out
}

// bar gives where one step lies between lo and hi. The text beside it says the same.
func bar(class string, s step, lo, hi float64) *show.Bar {
	at := func(v float64) int { return int(math.Round((v - lo) / (hi - lo) * 1000)) }
	x, y := at(min(s.from, s.to)), at(max(s.from, s.to))
	return &show.Bar{Zero: at(0), X: x, Width: max(y-x, 2), Class: class}
}
