package heuristics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/sip"
)

func TestHoldOrTransfer(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.call(true, func(c *sip.Call) {})
	p.call(true, func(c *sip.Call) { c.Holds, c.HoldsBy = 2, [2]uint16{0, 2} })
	p.call(false, func(c *sip.Call) { c.Refers, c.RefersBy = 1, [2]uint16{1, 0} })
	p.call(true, func(c *sip.Call) { c.Holds, c.HoldsBy = 1, [2]uint16{1, 0} })                // the far end did it
	p.call(true, func(c *sip.Call) { c.HoldsBy, c.Answer, c.Cause = [2]uint16{0, 1}, 0, 486 }) // never answered
	p.call(true, func(c *sip.Call) { c.HoldsBy, c.Verified = [2]uint16{0, 1}, false })         // a stranger's word
	if d := cmp.Diff([]uint32{2, 2}, p.counts(t, "hold-or-transfer")); d != "" {
		t.Error(d)
	}
}

func TestHoldExonerates(t *testing.T) {
	for _, k := range []string{"office-phones", "hosted-pbx", "call-centre", "anchored-pbx"} {
		if got := nats(t, k, "hold-or-transfer", []int{50, 5}); got > -0.8 {
			t.Errorf("%s: %.2f nats", k, got)
		}
	}
	lookalikes(t, "hold-or-transfer", []int{100, 0}, 1.5, "home", "office-phones", "carrier-sbc", "pstn-breakout", "call-centre")
}
