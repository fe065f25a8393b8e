package heuristics

import "fmt"

// postDialDelay counts how long the line takes to ring, and whether it sends
// ring-back itself. A radio call takes seconds to set up and its ring-back
// comes from the mobile network; a telephone rings at once.
func postDialDelay() signal {
	return signal{
		id: "post-dial-delay",
		// At the end of the call, since streams are told of some seconds late.
		over: func(p *profile, c *callFact) int {
			ring := c.Ringing
			if c.Progress != 0 && (ring == 0 || c.Progress < ring) {
				ring = c.Progress
			}
			if !c.inbound || c.Invite == 0 || ring == 0 || c.Midway {
				return none
			}
			if c.Progress == 0 && p.mediaUp == 0 {
				return none // its early media, if any, would not be seen
			}
			n := 0
			switch d := ring - c.Invite; {
			case d >= 3*second:
				n = 4
			case d >= 3*second/2:
				n = 2
			}
			if c.Progress != 0 || c.early {
				n++
			}
			return n
		},
		detail: func(_ *profile, n []uint32) string {
			t := sum(n)
			return fmt.Sprintf("ringing after 3 s or more on %d %%, with early media from the line on %d %% of %s", percent(n[4]+n[5], t), percent(n[1]+n[3]+n[5], t), plural(t, "call"))
		},
		unseen: needCalls("how long the line takes to ring"),
	}
}
