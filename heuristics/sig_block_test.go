package heuristics

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/ident"
	"simtrap/sip"
)

func TestNumberBlock(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	for i, n := range []string{
		"057112345601",                 // the first has nothing to lie in a row with
		"057112345602", "057112345677", // in a row
		"057112345602",               // called before
		"13812345602", "13912345601", // elsewhere
		"8001",        // no number of a network
		"+8613912345", // elsewhere, as dialled from abroad
	} {
		key := uint64(100 + i)
		if n == "057112345602" {
			key = 101
		}
		p.call(true, func(c *sip.Call) {
			c.CalleeKey, c.CalledUser, c.CalleeClass = key, number(n), ident.NumberLandline
		})
	}
	if d := cmp.Diff([]uint32{2, 3}, p.counts(t, "number-block")); d != "" {
		t.Error(d)
	}
}

// A block of mobile numbers is an exchange's, however new each of them is.
func TestNumberBlockExonerates(t *testing.T) {
	score := func(format string) float64 {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		for i := range 40 {
			p.call(true, func(c *sip.Call) {
				c.CalleeKey, c.CalledUser, c.CalleeClass = uint64(1000+i), number(fmt.Sprintf(format, i)), ident.NumberMobile
			})
		}
		return p.finding(t).Score
	}
	if block, strangers := score("138123456%02d"), score("1381234%02d56"); block > strangers-2 {
		t.Errorf("S %.1f with numbers in a row, %.1f with strangers", block, strangers)
	}
	lookalikes(t, "number-block", []int{0, 60}, 0.6, "carrier-sbc", "pstn-breakout")
}
