package report

import (
	"io"
	"math"
	"slices"
	"strings"

	"simtrap/heuristics"
)

const (
	defaultWidth = 100
	minWidth     = 80

	labelWidth = 14 // "  controllers "
	natsWidth  = 8  // one column of the ledger
	lineWidth  = 24 // of the line's name in the first row of a finding

	// maxListed is how many cards or controllers a table names; --json has all.
	maxListed = 8

	// maxLines is how many lines one text may take: a stranger chose some of it.
	maxLines = 10
)

// Terminal colours (ECMA-48 section 8.3.117).
const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	normal = "\x1b[0m"
)

// WriteText writes findings for people to read, in their order: for each the
// verdict, then the reasons in words, strongest first, with the nats that each
// gives against the nearest lookalike and against a home, then what the box
// is, who controls it, its cards, its calls, and what could not be seen. No
// line is wider than Options.Width.
func WriteText(w io.Writer, findings []heuristics.Finding, o Options) error {
	t := newTable(o)
	if a := o.Names.Authority(); a != "" {
		t.row("authority", "identities are written in clear under "+a)
		t.blank()
	}
	if len(findings) == 0 {
		t.line(t.t.text("No line at watch or above."))
		t.blank()
		return t.flush(w)
	}
	t.heading()
	for i := range findings {
		t.finding(&findings[i])
	}
	return t.flush(w)
}

// table collects rows of text within a width.
type table struct {
	o     Options
	t     *translator
	width int
	b     strings.Builder
}

func newTable(o Options) *table {
	t := &table{o: o, t: newTranslator(o.Language), width: defaultWidth}
	if o.Width > 0 {
		t.width = min(max(o.Width, minWidth), defaultWidth)
	}
	return t
}

func (t *table) flush(w io.Writer) error {
	_, err := io.WriteString(w, t.b.String())
	return err
}

func (t *table) paint(style, s string) string {
	if !t.o.Color || style == "" {
		return s
	}
	return style + s + normal
}

// line writes s without the spaces at its end. s is plain already.
func (t *table) line(s string) {
	t.b.WriteString(strings.TrimRight(s, " "))
	t.b.WriteByte('\n')
}

func (t *table) blank() { t.b.WriteByte('\n') }

// wrap breaks text into at most maxLines lines.
func wrap(text string, width int) []string {
	lines := Wrap(text, width)
	if len(lines) > maxLines {
		lines = append(lines[:maxLines-1], "[cut]")
	}
	return lines
}

// row writes text behind a label, wrapped; nothing when there is no text.
func (t *table) row(label, text string) {
	if text == "" {
		return
	}
	t.plain(label, t.t.text(text))
}

// plain writes text that is not translated behind a label.
func (t *table) plain(label, text string) {
	head := strings.Repeat(" ", labelWidth)
	if label != "" {
		head = t.paint(dim, pad("  "+t.t.text(label), labelWidth))
	}
	for _, s := range wrap(text, t.width-labelWidth) {
		t.line(head + s)
		head = strings.Repeat(" ", labelWidth)
	}
}

// rows writes one row for each text, the label before the first.
func (t *table) rows(label string, texts []string) {
	for _, s := range texts {
		t.row(label, s)
		label = ""
	}
}

func (t *table) heading() {
	t.line(t.paint(dim, pad(t.t.text("line"), lineWidth)+"  "+pad(t.t.text("verdict"), 16)+"  "+lpad(t.t.text("score"), 5)+"  "+lpad(t.t.text("margin"), 6)+"  "+t.t.text("nearest lookalike")))
}

func (t *table) finding(f *heuristics.Finding) {
	verdict, style := f.Verdict.String(), ""
	switch f.Verdict {
	case heuristics.Case:
		verdict, style = "CASE", red
	case heuristics.Review:
		verdict, style = "REVIEW", yellow
	case heuristics.Watch:
		verdict, style = "WATCH", cyan
	}
	if f.Proof {
		verdict += " by proof"
	}
	verdict = t.t.text(verdict)
	names := wrap(t.o.line(f.Line), t.width)
	for _, s := range names[:len(names)-1] {
		t.line(t.paint(bold, s))
	}
	name := names[len(names)-1]
	if columns(name) > lineWidth {
		t.line(t.paint(bold, name))
		name = ""
	}
	rest := "  " + lpad(total(f.Score), 5) + "  " + lpad(total(f.Margin), 6) + "  "
	left := t.width - lineWidth - 2 - 16 - columns(rest)
	nearest := wrap(t.t.text(f.Nearest), left)
	t.line(t.paint(bold, pad(name, lineWidth)) + "  " + t.paint(style, pad(verdict, 16)) + rest + nearest[0])
	for _, s := range nearest[1:] {
		t.line(strings.Repeat(" ", t.width-left) + s)
	}

	if t.o.OneIn > 0 {
		t.row("probability", chance(Probability(f.Margin, t.o.OneIn))+" that this is a box, if one such line in "+
			count(t.o.OneIn)+" is and the others are of the nearest class")
	}
	// Below watch no verdict stands on what was.
	if f.Verdict >= heuristics.Watch && (f.PeakScore > f.Score+0.05 || f.PeakMargin > f.Margin+0.05) {
		t.row("highest", "score "+total(max(f.PeakScore, f.Score))+", margin "+total(max(f.PeakMargin, f.Margin))+
			" earlier in this epoch")
	}
	if f.Declared {
		t.row("declared", "on the operator's register of declared gateways")
	}
	t.reasons(f)
	t.row("device", device(f.Device))
	t.rows("controllers", listed(len(f.Controllers), func(i int) string {
		return address(f.Controllers[i].Addr) + " (" + f.Controllers[i].Role + ")"
	}))
	t.rows("enciphered", listed(len(f.Hellos), func(i int) string { return t.o.opening(&f.Hellos[i]) }))
	t.rows("cards", listed(len(f.Cards), func(i int) string { return t.card(f.Cards[i]) }))
	t.row("calls", calls(f.Calls))
	t.rows("not seen", f.Unseen)
	if !f.Subscriber.IsZero() {
		t.plain("subscriber", t.o.Names.Subscriber(f.Subscriber))
	}
	t.row("time", span(f.First, f.Last))
	t.blank()
}

// listed gives the texts to name and, if there are more, how many.
func listed(n int, text func(int) string) []string {
	var texts []string
	for i := range min(n, maxListed) {
		texts = append(texts, text(i))
	}
	if n > maxListed {
		texts = append(texts, "and "+count(n-maxListed)+" more, named by --json")
	}
	return texts
}

// reason is one signal of the ledger with what it says against each class.
type reason struct {
	id            string
	detail        string
	family        string
	nearest, home float64
	byNearest     bool // nearest is known
	byHome        bool
	others        []string
}

func (r *reason) weight() float64 {
	w := 0.0
	if r.byNearest {
		w += r.nearest
	}
	if r.byHome {
		w += r.home
	}
	if math.IsNaN(w) {
		return math.Inf(-1)
	}
	return w
}

// words says a reason with its family, and what it weighs against classes
// without a column. Each part is translated alone: a family behind a sentence
// would be taken for its last words.
func (t *translator) words(r *reason) string {
	s := t.text(r.detail)
	if r.family != "" {
		family := t.text(r.family)
		if t == nil {
			s += " (" + family + ")"
		} else {
			s += t.open + family + t.close
		}
	}
	for i, o := range r.others {
		between := ", "
		if i == 0 {
			between = "; "
		}
		s += t.mark(between) + t.text(o)
	}
	return s
}

const home = "home"

// ledger joins the rows of one signal with one detail, strongest first.
func ledger(f *heuristics.Finding) []reason {
	var list []reason
	var keys [][2]string
	for _, s := range f.Signals {
		key := [2]string{s.ID, s.Detail}
		at := slices.Index(keys, key)
		if at < 0 {
			at = len(list)
			keys = append(keys, key)
			detail := s.Detail
			if detail == "" {
				detail = s.ID
			}
			list = append(list, reason{id: s.ID, detail: detail, family: s.Family})
		}
		r := &list[at]
		known := false
		if s.Against == f.Nearest && s.Against != "" {
			r.nearest, r.byNearest, known = s.Nats, true, true
		}
		if s.Against == home {
			r.home, r.byHome, known = s.Nats, true, true
		}
		if !known && s.Against != "" {
			r.others = append(r.others, nats(s.Nats)+" against "+s.Against)
		} else if !known {
			r.others = append(r.others, nats(s.Nats))
		}
	}
	slices.SortStableFunc(list, func(a, b reason) int {
		switch x, y := a.weight(), b.weight(); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return list
}

// nothing says whether a reason weighs nothing either way, as it is printed.
func (r *reason) nothing() bool {
	const shown = 0.05
	return r.byNearest && r.byHome && len(r.others) == 0 && math.Abs(r.nearest) < shown && math.Abs(r.home) < shown
}

// reasons writes the ledger: two columns of nats, then words. Those that weigh
// nothing are named in a line of their own.
func (t *table) reasons(f *heuristics.Finding) {
	list := ledger(f)
	if len(list) == 0 {
		return
	}
	t.line(t.paint(dim, pad("  "+t.t.text("reasons"), labelWidth)+lpad(t.t.text("nearest"), natsWidth)+lpad(t.t.text("home"), natsWidth)+"  "+t.t.text("+ speaks for a box, - for the class above it")))
	const indent = labelWidth + 2*natsWidth + 2
	var rest []string
	for i := range list {
		r := &list[i]
		if r.nothing() {
			rest = append(rest, r.id)
			continue
		}
		head := strings.Repeat(" ", labelWidth) + column(r.nearest, r.byNearest) + column(r.home, r.byHome) + "  "
		for _, s := range wrap(t.t.words(r), t.width-indent) {
			t.line(head + s)
			head = strings.Repeat(" ", indent)
		}
	}
	if len(rest) > 0 {
		head := strings.Repeat(" ", labelWidth) + column(0, true) + column(0, true) + "  "
		for _, s := range wrap(t.t.text("nothing either way")+t.t.mark(": ")+strings.Join(rest, ", "), t.width-indent) {
			t.line(head + s)
			head = strings.Repeat(" ", indent)
		}
	}
}

func column(v float64, known bool) string {
	if !known {
		return strings.Repeat(" ", natsWidth)
	}
	return lpad(nats(v), natsWidth)
}

func device(d heuristics.Device) string {
	s := strings.TrimSpace(d.Vendor + " " + d.Model)
	if s == "" && d.Channels > 1 { // one channel is what every telephone has
		s = "unknown make"
	}
	if s != "" && d.Channels > 0 {
		s += ", " + counted(d.Channels, "channel")
	}
	return s
}

func (t *table) card(c heuristics.Card) string {
	var parts []string
	add := func(name, s string) {
		if s != "" {
			parts = append(parts, name+" "+s)
		}
	}
	add("IMSI", t.o.Names.IMSI(c.IMSI))
	add("IMEI", t.o.Names.IMEI(c.IMEI))
	add("ICCID", t.o.Names.ICCID(c.ICCID))
	add("number", t.o.number(c.MSISDN))
	if parts == nil {
		return "no identity"
	}
	return strings.Join(parts, ", ")
}

func calls(c heuristics.Calls) string {
	if c == (heuristics.Calls{}) {
		return ""
	}
	s := count(c.Inbound) + " in, " + count(c.Outbound) + " out, " + count(c.Answered) + " answered"
	if c.Verified > 0 {
		s += " (" + count(c.Verified) + " with both ends shown to take part)"
	}
	if c.PeakConcurrent > 0 {
		s += ", up to " + count(c.PeakConcurrent) + " at once"
	}
	if c.DistinctCalled > 0 {
		s += ", " + counted(c.DistinctCalled, "number") + " called through the line"
	}
	if c.Streams > 0 {
		s += ", " + counted(c.Streams, "voice stream") + " sent"
	}
	if c.TalkSeconds > 0 {
		s += ", " + talk(c.TalkSeconds) + " of talk"
	}
	return s
}
