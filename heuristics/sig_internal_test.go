package heuristics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
	"simtrap/sip"
)

func TestInternalCalls(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	call := func(caller, callee uint64, a, b ident.NumberClass) {
		p.call(true, func(c *sip.Call) { c.CallerKey, c.CalleeKey, c.CallerClass, c.CalleeClass = caller, callee, a, b })
	}
	call(1, 2, ident.NumberInternal, ident.NumberInternal)
	call(1, 3, ident.NumberInternal, ident.NumberMobile)   // an account calls out
	call(4, 2, ident.NumberMobile, ident.NumberInternal)   // the world calls an extension
	call(2, 2, ident.NumberInternal, ident.NumberInternal) // a number calls itself: its mailbox
	call(0, 2, ident.NumberUnknown, ident.NumberInternal)  // withheld
	if d := cmp.Diff([]uint32{1, 3}, p.counts(t, "internal-calls")); d != "" {
		t.Error(d)
	}
}

func TestInternalCallsExonerate(t *testing.T) {
	for _, k := range []string{"office-phones", "hosted-pbx", "vpn-office"} {
		if got := nats(t, k, "internal-calls", []int{8, 40}); got > -0.4 {
			t.Errorf("%s: %.2f nats", k, got)
		}
	}
	lookalikes(t, "internal-calls", []int{0, 100}, 0.8, "home", "office-phones", "anchored-pbx", "carrier-sbc", "pstn-breakout")
}
