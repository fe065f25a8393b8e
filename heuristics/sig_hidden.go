package heuristics

import "fmt"

// hiddenSIP is the first sighting of SIP that was made unlike SIP: under a fixed
// keystream, or under a cipher that begins anew with each message. Of Base64
// control-marks tells. A line that shows SIP in clear does not hide it, and of one
// whose signalling cannot be read at all unread-signalling tells: nothing is said
// of them.
func hiddenSIP() signal {
	return signal{
		id: "hidden-sip",
		seen: func(p *profile) (since, first int64, ok bool) {
			first = p.firstHidden
			if x := p.traits.exchanges.signalling(); first == 0 && x != nil {
				first = x.first
			}
			if first == 0 && (p.sipUp > 0 || p.sealed()) {
				return 0, 0, false
			}
			return p.firstUp, first, first != 0
		},
		detail: func(p *profile, _ []uint32) string {
			x := p.traits.exchanges.signalling()
			switch {
			case p.firstHidden != 0:
			case x != nil:
				return fmt.Sprintf("messages under a cipher each, to the rhythm of signalling: %d of %s end with them", x.bound, plural(uint32(x.calls), "call"))
			default:
				return "no scrambled SIP in " + duration(p.last-p.firstUp)
			}
			return "SIP hidden under a fixed keystream: gateways do so, and mobile diallers as well"
		},
		unseen: func(*profile) string { return "" },
	}
}

// Categories of hidden-fanout.
const (
	hiddenNew = iota
	hiddenRepeat
	hiddenPlaced
)

// hiddenFanout counts for whom scrambled calls to the line are: equal ciphertext
// in place of the called number means an equal number. What kind of number it
// is remains hidden.
func hiddenFanout() signal {
	return signal{
		id: "hidden-fanout",
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%s in scrambled SIP: %d to the line for ever-new numbers, %d for numbers called before, %d placed by it",
				plural(sum(n), "call"), n[hiddenNew], n[hiddenRepeat], n[hiddenPlaced])
		},
		unseen: func(p *profile) string {
			if p.firstHidden == 0 {
				return ""
			}
			return "no scrambled call that rang: whether the line ends strangers' calls is not known"
		},
	}
}
