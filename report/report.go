// Package report writes findings: JSON Lines for programs, a table and a page
// for people, these two in English or Chinese.
//
// Everything that came from the wire is hostile text. It is written so that it
// cannot end a string or a line, move a cursor, turn the direction of writing
// or hide itself, in either form. Identities are written through an
// ident.Pseudonymizer and in no other way.
package report

import (
	"math"

	"simtrap/heuristics"
	"simtrap/ident"
)

// Options says how findings are written.
type Options struct {
	// Names writes identities: pseudonyms, or clear text under an authority,
	// which then stands in everything written. It must not be nil.
	Names *ident.Pseudonymizer

	// Realm names a realm; an empty name means none. Nil leaves the naming to
	// ident.Line.
	Realm func(ident.Realm) string

	// Class names the class of a telephone number, which stands before its
	// pseudonym. Nil writes none.
	Class func(ident.Number) string

	// OneIn, when above 0, asks for the probability that a line is a box if one
	// line in OneIn is and all others are of its nearest lookalike's class.
	OneIn uint64

	// Width is the number of columns of a table, 0 for 100; it is kept within
	// 80 and 100, beyond which lines of text read badly.
	Width int

	// Color asks for terminal colours.
	Color bool

	// Language is what people read; JSON is English.
	Language Language
}

// line gives the name of a line: its address, behind the realm's name if it
// has one.
func (o *Options) line(l ident.Line) string {
	if o.Realm == nil {
		return l.String()
	}
	if name := o.Realm(l.Realm); name != "" {
		return name + "/" + l.Prefix()
	}
	return l.Prefix()
}

// LineName gives the name of a line as it stands in everything written.
func (o *Options) LineName(l ident.Line) string { return o.line(l) }

func (o *Options) number(n ident.Number) string {
	class := ""
	if o.Class != nil && !n.IsZero() {
		class = o.Class(n)
	}
	return o.Names.Number(class, n)
}

// Select gives the findings at watch or above, or all of them, in their order.
func Select(all bool, findings []heuristics.Finding) []heuristics.Finding {
	if all {
		return findings
	}
	var kept []heuristics.Finding
	for i := range findings {
		if findings[i].Verdict >= heuristics.Watch {
			kept = append(kept, findings[i])
		}
	}
	return kept
}

// Probability is e^M / (e^M + N - 1): that a line with a margin of nats is a
// box if one line in n is (docs/verdict.md section 6). It never says 0 or 1
// for an n above 1, since no number of nats is certainty.
func Probability(nats float64, n uint64) float64 {
	if n <= 1 {
		return 1
	}
	if math.IsNaN(nats) {
		return math.NaN()
	}
	p := 1 / (1 + float64(n-1)*math.Exp(-nats))
	return min(max(p, 1e-6), 1-1e-6)
}
