package heuristics

import "fmt"

// talkLegs counts the calls without signalling that another call of the line
// begins and ends with: the two legs of one that passes through, or two
// telephones of the line that speak by way of their exchange elsewhere.
func talkLegs() signal {
	return signal{
		id:    "talk-legs",
		leave: (*profile).talkSilent,
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s without signalling have a second leg", n[1], plural(sum(n), "call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
