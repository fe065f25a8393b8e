package heuristics

import (
	"fmt"
	"strings"

	"simtrap/ident"
	"simtrap/sip"
)

// Categories of outbound-callers, in the order of its table.
const (
	callerAccount = iota
	callerRegular
	callerCalled
	callerMobile
	callerLandline
	callerOther
)

// outboundCallers counts who is the caller of calls that the line places: the
// line's own people, or strangers whose calls come out of a telephone network
// behind it. Boxes and licensed gateways both show strangers; offices,
// households and diallers do not. It is asked of outbound calls alone, so it
// adds to inbound-share what that does not know.
func outboundCallers() signal {
	return signal{
		id: "outbound-callers",
		counted: func(p *profile, c *callFact) int {
			if c.inbound || c.Seen&sip.SeenRequest == 0 {
				return none
			}
			switch {
			case c.CallerKey == 0:
				return callerOther
			case p.own[c.CallerKey] > 0:
				return callerAccount
			case p.traits.placed.has(c.CallerKey):
				return callerRegular
			case p.dialled.has(c.CallerKey):
				return callerCalled
			}
			switch c.CallerClass {
			case ident.NumberMobile:
				return callerMobile
			case ident.NumberLandline:
				return callerLandline
			}
			return callerOther
		},
		detail: func(_ *profile, n []uint32) string {
			var parts []string
			for i, what := range []string{"from the line's own accounts", "from a caller seen before", "from a number that was called here before", "from new mobiles", "from new landlines", "from others"} {
				if n[i] > 0 {
					parts = append(parts, fmt.Sprintf("%d %s", n[i], what))
				}
			}
			return fmt.Sprintf("%s placed: %s", plural(sum(n), "call"), strings.Join(parts, ", "))
		},
		unseen: func(p *profile) string {
			if p.inboundCounts == 0 {
				return ""
			}
			return "no call that the line placed: whether strangers call out of a telephone network behind it is not known"
		},
	}
}
