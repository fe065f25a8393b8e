package heuristics

import (
	"testing"

	"simtrap/sip"
)

func TestSIPStack(t *testing.T) {
	for name, tt := range map[string]struct {
		accounts int
		shape    func(i int) (shape uint64, early bool)
		want     int
	}{
		"one device":                          {4, func(int) (uint64, bool) { return 11, false }, 0},
		"one device, ring-back at times":      {4, func(i int) (uint64, bool) { return 11 + uint64(i%2), i%2 == 1 }, 0},
		"telephones of several makers":        {4, func(i int) (uint64, bool) { return 11 + uint64(i%3), false }, 1},
		"too few accounts to compare":         {2, func(i int) (uint64, bool) { return 11 + uint64(i%3), false }, none},
		"answers whose shape was never shown": {4, func(int) (uint64, bool) { return 0, false }, none},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		for k := range tt.accounts {
			p.register(uint64(k + 1))
		}
		for i := range 12 {
			p.call(true, func(c *sip.Call) {
				var early bool
				c.CalleeKey = uint64(i%tt.accounts + 1)
				if c.CalleeShape, early = tt.shape(i); early {
					c.Progress = c.Ringing
				}
			})
		}
		if got := p.read(t, "sip-stack"); got != tt.want {
			t.Errorf("%s: category %d, want %d", name, got, tt.want)
		}
	}
	lookalikes(t, "sip-stack", []int{0}, 0.1, "fxs-adapter", "anchored-pbx", "pstn-breakout")
	lookalikes(t, "sip-stack", []int{0}, 0.6, "office-phones", "home")
}
