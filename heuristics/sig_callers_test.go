package heuristics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
	"simtrap/sip"
)

func TestOutboundCallers(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.register(7)
	from := func(key uint64, class ident.NumberClass) {
		p.call(false, func(c *sip.Call) { c.CallerKey, c.CallerClass, c.CalleeKey = key, class, 9000+key })
	}
	p.call(true, func(c *sip.Call) { c.CalleeKey, c.CalleeClass = 50, ident.NumberMobile })
	from(7, ident.NumberInternal)  // its own account
	from(50, ident.NumberMobile)   // who was called here
	from(61, ident.NumberMobile)   // strangers
	from(62, ident.NumberLandline) //
	from(61, ident.NumberMobile)   // one of them again
	from(0, ident.NumberUnknown)   // withheld
	if d := cmp.Diff([]uint32{1, 1, 1, 1, 1, 1}, p.counts(t, "outbound-callers")); d != "" {
		t.Error(d)
	}
	if p.told(t, "outbound-callers") == "" {
		t.Error("no row in the ledger")
	}
}

// Inbound calls say nothing about who calls out.
func TestOutboundCallersOfALineThatReceives(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 10, callOptions{})
	for i, n := range p.counts(t, "outbound-callers") {
		if n != 0 {
			t.Errorf("category %d: %d", i, n)
		}
	}
	if p.told(t, "outbound-callers") != "" {
		t.Error("told of what was not visible")
	}
}

// People's own calls exonerate; strangers who call out of a telephone network
// behind the line are what licensed gateways have as well.
func TestOutboundCallersSeparate(t *testing.T) {
	for _, k := range []string{"home", "office-phones", "call-centre", "fxs-adapter"} {
		if got := nats(t, k, "outbound-callers", []int{40, 30, 0, 0, 0, 0}); got > -0.5 {
			t.Errorf("own callers against %s: %.2f nats", k, got)
		}
	}
	lookalikes(t, "outbound-callers", []int{0, 10, 6, 30, 4, 2}, 0.5, "pstn-breakout", "carrier-sbc")
}
