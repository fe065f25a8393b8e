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

// Two equal boxes are told apart neither by how their last call went nor by what else
// they were asked.
func TestStackOfLinks(t *testing.T) {
	rings := func(shape uint64, early bool) func(*sip.Call) {
		return func(c *sip.Call) {
			if c.CalleeShape = shape; early {
				c.Progress = c.Ringing
			}
		}
	}
	refused := func(c *sip.Call) { c.CalleeShape, c.Ringing, c.Answer, c.Cause = 31, 0, 0, 503 }
	asks := func(c *sip.Call) { c.CallerShape = 41 }
	type one struct {
		inbound bool
		edit    func(*sip.Call)
	}
	for name, tt := range map[string]struct {
		calls []one
		want  uint64
	}{
		"takes calls":                  {[]one{{true, rings(11, false)}}, 11},
		"and refuses the last":         {[]one{{true, rings(11, false)}, {true, refused}}, 11},
		"and refuses the first":        {[]one{{true, refused}, {true, rings(11, false)}}, 11},
		"rings with a description":     {[]one{{true, rings(21, true)}, {true, rings(11, false)}, {true, refused}}, 21},
		"takes calls and places some":  {[]one{{false, asks}, {true, rings(11, false)}, {false, asks}}, 11},
		"places calls, refuses others": {[]one{{true, refused}, {false, asks}, {true, refused}}, 41},
		"refuses all":                  {[]one{{true, refused}}, 31},
		"telephones of two makers":     {[]one{{true, rings(12, false)}, {true, rings(11, false)}, {true, rings(12, false)}}, 11},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		for _, c := range tt.calls {
			p.call(c.inbound, c.edit)
		}
		if got := p.finding(t).Links.Stack; got != tt.want {
			t.Errorf("%s: shape %d, want %d", name, got, tt.want)
		}
	}
}
