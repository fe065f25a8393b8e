package report

import (
	"io"
	"strconv"
	"strings"

	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/report/show"
)

// Dossier is what WriteDossier writes: what is known of some lines, for readers
// who were not there, on paper.
type Dossier struct {
	Case     string // as its keeper calls it; may be empty
	Made     int64  // ns since the Unix epoch
	Findings []heuristics.Finding
	Activity func(ident.Line) *Activity // nil draws nothing
	Summary  *Summary
	Origin   Origin
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

// WriteDossier writes a page as WriteHTML does, made for A4 paper.
func WriteDossier(w io.Writer, d *Dossier, o Options) error {
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
	if n := len(d.Findings) - MaxDetailed; n > 0 {
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
	var lines []string
	for i := range d.Findings {
		if s := "<code>" + safe(b.o.line(d.Findings[i].Line)) + "</code>"; len(lines) < maxInputs && (i == 0 || lines[len(lines)-1] != s) {
			lines = append(lines, s)
		}
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

// told tells one finding: what, where, when, why, how sure, what was not seen.
func (b *page) told(d *Dossier, i int) {
	f := &d.Findings[i]
	id := "f" + strconv.Itoa(i)
	var a *Activity
	if d.Activity != nil {
		a = d.Activity(f.Line)
	}
	told := b.line(f, id, a)
	b.raw(`<section class="line" aria-labelledby="`, id, `">`)
	b.raw(`<h2 id="`, id, `">`, safe(b.o.line(f.Line)), " ", b.badge(f), "</h2>")
	b.word("h3", "What")
	b.word(`p class="words"`, inWords(f))
	b.raw("<dl>")
	if s := device(f.Device); s != "" {
		b.term("Device", b.tr(s))
	}
	if s := calls(f.Calls); s != "" {
		b.term("Calls", b.tr(s))
	}
	if f.Declared {
		b.term("Declared", b.tr("on the operator's register of declared gateways"))
	}
	b.raw("</dl>\n")

	b.word("h3", "Where")
	b.raw("<dl>")
	b.term("Line", "<code>"+safe(b.o.line(f.Line))+"</code>")
	if !f.Subscriber.IsZero() {
		b.term("Subscriber", safe(b.o.Names.Subscriber(f.Subscriber)))
	}
	b.raw("</dl>")
	b.word("p", "The line is an address of an access network at the times below. Who had it then is in the operator's records, and where the device stands is not in these packets.")
	b.part("controllers", told)
	b.part("cards", told)
	b.part("stacks", told)

	b.word("h3", "When")
	b.raw("<dl>")
	b.term("Time", b.tr(span(f.First, f.Last)))
	for _, r := range f.Reached {
		at, _, _ := strings.Cut(span(r.At, r.At), " to ")
		b.term(r.Verdict.String(), safe(at)+" UTC, "+b.tr(counted(r.Calls, "call")))
	}
	b.raw("</dl>\n")
	b.part("did", told)
	b.part("clocks", told)

	b.word("h3", "Why")
	if p := proven(f); p != "" {
		b.part("facts", []show.Fact{{Name: "Proof", Text: b.t.text(p)}})
	}
	b.part("why", told)

	b.word("h3", "How sure")
	b.part("facts", b.sure(f))
	b.word("p", "A nat is a natural logarithm of a ratio of likelihoods: with a margin of 4.6 what was seen is a hundred times likelier from a gateway than from the honest kind of line that resembles it most. How many gateways there are among lines is not in it.")
	b.part("unseen", told)
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
