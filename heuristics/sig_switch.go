package heuristics

import "fmt"

const switchCalls = 10

// softswitchPeer reads whether the far end of most calls signs itself as a
// switch that the masters of gateways like to run. Wholesalers and call centres
// run it as well, and anybody may write what he likes there: it is a name, and
// worth no more than one.
func softswitchPeer() signal {
	return signal{
		id: "softswitch-peer",
		static: func(p *profile, _ int64) int {
			t := p.traits
			if t.signed < switchCalls {
				return none
			}
			if 2*t.switched > t.signed {
				return 0
			}
			return 1
		},
		detail: func(p *profile, _ []uint32) string {
			t := p.traits
			if t.switchName == "" {
				return fmt.Sprintf("the far end of %s signs as no switch of note", plural(uint32(t.signed), "call"))
			}
			return fmt.Sprintf("the far end of %d of %s signs as %s", t.switched, plural(uint32(t.signed), "call"), t.switchName)
		},
		unseen: func(*profile) string { return "" },
	}
}
