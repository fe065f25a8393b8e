package heuristics

import "fmt"

// hiddenSIP is the first sighting of SIP under a fixed keystream. Of Base64
// control-marks tells. A line that shows SIP in clear does not hide it, and of one
// whose signalling cannot be read at all unread-signalling tells: nothing is said
// of them. Nor is anything of messages under a cipher each that go to the rhythm of
// signalling, but that they are there: whoever knows the rhythm can send it to a line.
func hiddenSIP() signal {
	return signal{
		id: "hidden-sip",
		seen: func(p *profile) (since, first int64, ok bool) {
			first = p.firstHidden
			if first == 0 && (p.sipUp > 0 || p.sealed() || p.traits.exchanges.signalling() != nil) {
				return 0, 0, false
			}
			return p.firstUp, first, first != 0
		},
		detail: func(p *profile, _ []uint32) string {
			if p.firstHidden == 0 {
				return "no scrambled SIP in " + duration(p.last-p.firstUp)
			}
			return "SIP hidden under a fixed keystream: gateways do so, and mobile diallers as well"
		},
		unseen: func(p *profile) string {
			if p.firstHidden != 0 || p.traits.exchanges.signalling() == nil {
				return ""
			}
			return "messages under a cipher each go to the rhythm of the calls: what they are is not known"
		},
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
