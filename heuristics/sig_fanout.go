package heuristics

import (
	"fmt"
	"strings"

	"simtrap/ident"
	"simtrap/sip"
)

// Categories of inbound-fanout, in the order of its table.
const (
	fanOwn = iota
	fanRepeat
	fanMobile
	fanLandline
	fanShort
	fanForeign
	fanOther
)

// inboundFanout counts for whom inbound calls are. It needs a call that the
// line accepted (ringing or more), so that refused guesses of a scanner are no
// fan-out.
func inboundFanout() signal {
	return signal{
		id:      "inbound-fanout",
		counted: func(_ *profile, c *callFact) int { return c.callee },
		detail: func(_ *profile, n []uint32) string {
			t := sum(n)
			var parts []string
			for i, what := range []string{"for the line's own accounts", "for numbers called before", "for ever-new mobiles", "for new landlines", "for service or emergency numbers", "for new foreign numbers", "for other new numbers"} {
				if n[i] > 0 {
					parts = append(parts, fmt.Sprintf("%d %s", n[i], what))
				}
			}
			return fmt.Sprintf("%s received: %s", plural(t, "call"), strings.Join(parts, ", "))
		},
		unseen: func(p *profile) string {
			if p.inboundCounts > 0 {
				return "no request with a called number was seen: whether the line ends strangers' calls is not known"
			}
			return needCalls("whether the line ends strangers' calls")(p)
		},
	}
}

// callee gives the category of an accepted inbound call, and remembers whom it
// was for.
func (p *profile) callee(c *sip.Call) int {
	// Without the request its URI is unknown, and To may name a number of which
	// the line's own account is the end.
	if c.CalleeKey == 0 || c.Seen&sip.SeenRequest == 0 {
		return none
	}
	if p.own[c.CalleeKey] > 0 {
		return fanOwn
	}
	if !p.called.add(c.CalleeKey, maxCalled) {
		return fanRepeat
	}
	switch c.CalleeClass {
	case ident.NumberMobile:
		return fanMobile
	case ident.NumberLandline:
		return fanLandline
	case ident.NumberShort, ident.NumberEmergency:
		return fanShort
	case ident.NumberForeign:
		return fanForeign
	}
	return fanOther
}
