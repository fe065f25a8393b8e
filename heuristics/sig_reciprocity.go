package heuristics

import "fmt"

// Categories of callee-reciprocity.
const (
	reciprocal = iota
	oneSided
)

// reciprocityAfter is how many calls the line must have placed before it can be
// missed that nobody is called back.
const reciprocityAfter = 3

// calleeReciprocity counts, on a line that places calls too, whether an inbound
// call belongs to people who call each other: the number called has placed
// calls here, or the caller was called from here.
func calleeReciprocity() signal {
	return signal{
		id: "callee-reciprocity",
		counted: func(p *profile, c *callFact) int {
			t := p.traits
			if c.callee == none || t.placedCalls < reciprocityAfter {
				return none
			}
			if t.placed.has(c.CalleeKey) || c.CallerKey != 0 && t.reached.has(c.CallerKey) {
				return reciprocal
			}
			return oneSided
		},
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s are between people who call out from here, or were called from here", n[reciprocal], plural(sum(n), "inbound call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
