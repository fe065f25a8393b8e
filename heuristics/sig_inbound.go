package heuristics

import "fmt"

// inboundShare counts the direction of calls: a gateway that terminates
// strangers' calls receives them, a call centre or a household places them.
func inboundShare() signal {
	return signal{
		id: "inbound-share",
		counted: func(_ *profile, c *callFact) int {
			if c.inbound {
				return 0
			}
			return 1
		},
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s came in from the network", n[0], plural(sum(n), "call"))
		},
		unseen: needCalls("who calls whom"),
	}
}

func needCalls(what string) func(*profile) string {
	return func(p *profile) string {
		switch {
		case p.attemptsIn+p.attemptsOut == 0:
			return "no call signalling: " + what + " is not known"
		case p.sipUp == 0:
			return "only signalling towards the line: nothing that the line itself said about " + what
		}
		if p.counted > 0 {
			return "no inbound call in which both ends took part: " + what + " is not known"
		}
		return "no call in which both ends took part: " + what + " is not known"
	}
}
