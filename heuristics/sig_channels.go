package heuristics

import "fmt"

// Categories of channels-full.
const (
	chanAccepted = iota
	chanFull
	chanRefused
)

// channelsFull counts refusals for want of a channel: a status that says so
// while as many calls are up as the line ever had.
func channelsFull() signal {
	return signal{
		id: "channels-full",
		counted: func(_ *profile, c *callFact) int {
			if c.inbound && (c.Answer != 0 || c.Ringing != 0 || c.Progress != 0) {
				return chanAccepted
			}
			return none
		},
		refused: func(p *profile, c *callFact) int {
			switch c.Cause {
			case 503, 480, 486, 600, 603:
				if c.others >= 2 && c.others >= p.peakUp {
					return chanFull
				}
			}
			return chanRefused
		},
		detail: func(p *profile, n []uint32) string {
			if n[chanFull] == 0 {
				return fmt.Sprintf("never seen full; %d of %s refused", n[chanRefused], plural(sum(n), "inbound call"))
			}
			return fmt.Sprintf("%s refused with all %d channels taken", plural(n[chanFull], "call"), p.peakUp)
		},
		unseen: needCalls("whether channels run full"),
	}
}
