package heuristics

import (
	"math/bits"

	"simtrap/ident"
)

// Household is what a line's other traffic looks like, in counts: how much, to
// how many far ends, under how many names. Nothing in it can be read back.
type Household struct {
	Up, Down uint64 // bytes of UDP and TCP payload
	Web      uint64 // of these, to and from ports of the web
	// Far and Names are sets of far ends and of names asked for, by hash.
	Far   [2]uint64
	Names [4]uint64
}

// Merge adds o.
func (h *Household) Merge(o *Household) {
	h.Up += o.Up
	h.Down += o.Down
	h.Web += o.Web
	for i := range h.Far {
		h.Far[i] |= o.Far[i]
	}
	for i := range h.Names {
		h.Names[i] |= o.Names[i]
	}
}

// See adds a far end or a name to its set.
func (h *Household) SeeFar(hash uint64)  { h.Far[hash>>6%2] |= 1 << (hash % 64) }
func (h *Household) SeeName(hash uint64) { h.Names[hash>>6%4] |= 1 << (hash % 64) }

// names is how many bits of the set are taken: fewer than the names, when many.
func (h *Household) names() (n int) {
	for _, b := range h.Names {
		n += bits.OnesCount64(b)
	}
	return n
}

// Household takes what the tap measured of a line's traffic by time t. Lines of
// which nothing else is known are passed over: nobody keeps a household's
// habits without cause.
func (l *Lines) Household(line ident.Line, h *Household, t int64) {
	if h.Web > 0 && l.tap.web == 0 {
		l.tap.web = t
	}
	p := l.find(line)
	if p == nil || !p.kept {
		return
	}
	l.keep(p)
	p.traits.household.Merge(h)
	if p.traits.metered == 0 {
		p.traits.metered = t
	}
	p.traits.meteredTo = max(p.traits.meteredTo, t)
	l.touch(p)
}
