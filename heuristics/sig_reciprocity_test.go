package heuristics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
	"simtrap/sip"
)

func TestCalleeReciprocity(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	in := func(callee, caller uint64) {
		p.call(true, func(c *sip.Call) { c.CalleeKey, c.CalleeClass, c.CallerKey = callee, ident.NumberLandline, caller })
	}
	in(1, 100) // before anybody has called out
	for i := range uint64(3) {
		p.call(false, func(c *sip.Call) { c.CallerKey, c.CalleeKey = 1, 200+i })
	}
	in(1, 101) // for somebody who calls out
	in(5, 201) // from somebody who was called
	in(6, 102) // neither
	in(7, 0)   // withheld
	if d := cmp.Diff([]uint32{2, 2}, p.counts(t, "callee-reciprocity")); d != "" {
		t.Error(d)
	}
}

// A line that never calls out cannot be missed calling back.
func TestReciprocityNeedsCallsOut(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 30, callOptions{})
	if d := cmp.Diff([]uint32{0, 0}, p.counts(t, "callee-reciprocity")); d != "" {
		t.Error(d)
	}
	lookalikes(t, "callee-reciprocity", []int{0, 40}, 1.2, "carrier-sbc", "pstn-breakout")
	if got := nats(t, "home", "callee-reciprocity", []int{20, 3}); got > -1 {
		t.Errorf("people who call each other: %.2f nats against home", got)
	}
}
