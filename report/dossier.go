package report

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/report/reportpb"
	"simtrap/report/show"
)

// Dossier is what WriteDossier writes: what is known of some lines, for readers
// who were not there, on paper.
type Dossier struct {
	Case     string // as its keeper calls it; may be empty
	Made     int64  // ns since the Unix epoch
	Findings []heuristics.Finding
	Activity func(ident.Line) *Activity // nil draws nothing
	// Messages are findings as a hub has them, beside Findings; what is an identity in
	// them is shown as it stands.
	Messages []*reportpb.Finding
	// Authority is under what it was made where identities stay pseudonyms.
	Authority string
	Summary   *Summary // of what was read
	Origin    Origin
}

// Origin is what a dossier rests on and how it can be checked. Hashes are
// SHA-256 in hexadecimal digits.
type Origin struct {
	Program, ProgramHash      string // its version and that of the executable
	Catalogue, Configuration  string // hashes
	Inputs                    []Source
	CaptureClock, MakingClock string // in words
	Signer                    string // fingerprint of the key that signs the bundle around it
	Number                    int64  // in the chain of bundles
	Previous                  string // hash of the one before, empty for the first
}

// Source is one file that was read.
type Source struct {
	Name string
	Size int64
	Hash string
}

// WriteDossier writes a page as WriteHTML does, made for A4 paper. Messages alone need no
// names in o.
func WriteDossier(w io.Writer, d *Dossier, o Options) error {
	if o.Names == nil && len(d.Findings) == 0 {
		o.Names = ident.NewPseudonymizer(nil, "")
	}
	b, err := newPage(w, o)
	if err != nil {
		return err
	}
	b.head("evidence")
	b.cover(d)
	b.raw("<main>\n")
	for i := range min(len(d.Findings), MaxDetailed) {
		b.told(d, i)
	}
	parts := &Parts{language: o.Language, t: b.t}
	for i, m := range d.Messages[:min(len(d.Messages), MaxDetailed)] {
		l := parts.Line(m, "m"+strconv.Itoa(i))
		t := telling{line: m.GetLine(), verdict: verdictOf(m.GetVerdict()), proof: m.GetProof(), Line: l}
		b.tell(&t)
	}
	if n := len(d.Findings) + len(d.Messages) - MaxDetailed; n > 0 {
		b.word("p", "and "+count(n)+" more")
	}
	b.losses(d.Summary)
	b.limits()
	b.origin(&d.Origin)
	b.raw("</main>\n</body></html>\n")
	return b.end()
}

func (b *page) cover(d *Dossier) {
	b.raw("<header>")
	b.word("h1", "Evidence of a multi-SIM gateway")
	if a := b.o.Names.Authority(); a != "" {
		b.raw(`<p class="authority"><strong>`, b.tr("Authority"), b.t.mark(": "), "</strong>", safe(a), b.t.mark(". "), b.tr("Identities on this page are in clear."), "</p>")
	}
	b.raw("<dl>")
	if d.Case != "" {
		b.term("Reference", safe(d.Case))
	}
	if d.Authority != "" {
		b.term("Authority", safe(d.Authority))
	}
	var lines []string
	name := func(line string) {
		if s := "<code>" + safe(line) + "</code>"; len(lines) < maxInputs && !slices.Contains(lines, s) {
			lines = append(lines, s)
		}
	}
	for i := range d.Findings {
		name(b.o.line(d.Findings[i].Line))
	}
	for _, m := range d.Messages {
		name(m.GetLine())
	}
	b.term("Line", strings.Join(lines, " "))
	if s := d.Summary; s.Frames > 0 {
		b.term("Observed", b.tr(span(s.First, s.Last)))
	}
	made, _, _ := strings.Cut(span(d.Made, d.Made), " to ")
	b.term("Written", safe(made)+" UTC")
	if b.o.Names.Authority() == "" {
		b.term("Identities", b.tr("Numbers, accounts and cards are pseudonyms: equal ones are equal, and nobody can read them without the key."))
	}
	b.raw("</dl></header>\n")
}

// telling is one finding as it is told: what, where, when, why, how sure, what was not
// seen. Its facts are spread over these.
type telling struct {
	*show.Line
	line    string // its name
	verdict heuristics.Verdict
	proof   bool
	reached []show.Fact
}

func (b *page) told(d *Dossier, i int) {
	f := &d.Findings[i]
	var a *Activity
	if d.Activity != nil {
		a = d.Activity(f.Line)
	}
	t := telling{line: b.o.line(f.Line), verdict: f.Verdict, proof: f.Proof, Line: b.line(f, "f"+strconv.Itoa(i), a)}
	for _, r := range f.Reached {
		at, _, _ := strings.Cut(span(r.At, r.At), " to ")
		t.reached = append(t.reached, show.Fact{Name: r.Verdict.String(), Text: at + " UTC, " + b.t.text(counted(r.Calls, "call"))})
	}
	b.tell(&t)
}

func (b *page) tell(t *telling) {
	facts := func(names ...string) (list []show.Fact) {
		for _, f := range t.Facts {
			if slices.Contains(names, f.Name) {
				list = append(list, f)
			}
		}
		return list
	}
	b.raw(`<section class="line" aria-labelledby="`, t.ID, `">`)
	b.raw(`<h2 id="`, t.ID, `">`, safe(t.line), " ", b.verdict(t.verdict, t.proof), "</h2>")
	b.word("h3", "What")
	b.word(`p class="words"`, t.Claim)
	b.part("facts", facts("Device", "Calls", "Declared"))

	b.word("h3", "Where")
	b.part("facts", append([]show.Fact{{Name: "Line", Text: t.line, Code: true}}, facts("Subscriber")...))
	b.word("p", "The line is an address of an access network at the times below. Who had it then is in the operator's records, and where the device stands is not in these packets.")
	b.part("controllers", t.Line)
	b.part("cards", t.Line)
	b.part("stacks", t.Line)

	b.word("h3", "When")
	b.part("facts", append(facts("Time"), t.reached...))
	b.part("did", t.Line)
	b.part("clocks", t.Line)

	b.word("h3", "Why")
	b.part("facts", facts("Proof"))
	b.part("why", t.Line)

	b.word("h3", "How sure")
	b.part("facts", facts("Score", "Margin"))
	b.word("p", "A nat is a natural logarithm of a ratio of likelihoods: with a margin of 4.6 what was seen is a hundred times likelier from a gateway than from the honest kind of line that resembles it most. How many gateways there are among lines is not in it.")
	b.part("unseen", t.Line)
	b.raw("</section>\n")
}

// limits says what no finding of simtrap's shows.
func (b *page) limits() {
	b.raw(`<section aria-labelledby="limits">`)
	b.word(`h2 id="limits"`, "Limits of the method")
	b.raw("<ul>")
	for _, s := range []string{
		"The finding shows equipment with several SIM cards or lines, or how sure it is that there is some. It does not show that its use is unlawful, nor who uses it.",
		"It rests on packets at one place of the network. What went another way, was encrypted throughout or was lost is not in it.",
		"The likelihoods are estimates: from simulated traffic, from what is published, and as far as there is any from traffic of the field. An honest kind of line that nobody has described is allowed for by a share, not by its likeness.",
		"No speech, no text of messages and no keys pressed were read or kept. Of each packet the headers are here, with the length that it had.",
		"Addresses and times are as the capture tells them. An address that was forged is left out as far as an answer shows it, and a clock that was wrong shows in nothing here.",
		"Before anyone acts on it, the operator's records of the line, the cards and the calls are to be compared with it.",
	} {
		b.word("li", s)
	}
	b.raw("</ul></section>\n")
}

func (b *page) origin(o *Origin) {
	b.raw(`<section aria-labelledby="origin">`)
	b.word(`h2 id="origin"`, "What it rests on")
	b.raw("<dl>")
	hash := func(name, s string) {
		if s != "" {
			b.term(name, "<code>"+safe(s)+"</code>")
		}
	}
	b.term("Made by", "simtrap "+safe(o.Program))
	hash("Program (SHA-256)", o.ProgramHash)
	hash("Tables (SHA-256)", o.Catalogue)
	hash("Configuration (SHA-256)", o.Configuration)
	b.term("Clock of the capture", b.tr(o.CaptureClock))
	b.term("Clock of the writing", b.tr(o.MakingClock))
	hash("Signing key", o.Signer)
	b.term("Number in its chain", strconv.FormatInt(o.Number, 10))
	hash("Bundle before it", o.Previous)
	b.raw("</dl>")
	if len(o.Inputs) > 0 {
		b.scroll("Read")
		b.raw("<table>")
		b.heads("Read", "Bytes", "SHA-256")
		for i, in := range o.Inputs {
			if i == maxPageRows {
				break
			}
			b.raw("<tr>")
			b.cell(`td class="wide"`, in.Name)
			b.cell(`td class="n"`, count(in.Size))
			b.raw("<td><code>", safe(in.Hash), "</code></td></tr>\n")
		}
		b.raw("</tbody></table></div>\n")
		if n := len(o.Inputs) - maxPageRows; n > 0 {
			b.word("p", "and "+count(n)+" more")
		}
	}
	b.word("p", "This page is part of a bundle that is signed as a whole: simtrap evidence verify says offline whether anything in it was changed.")
	b.raw("</section>\n")
}
