package heuristics

import "fmt"

// talkRinging counts, of the calls that talk-outbound leaves, those in which the
// line was heard first: it is called, and sends its ringing. Gateways do so by
// their settings, licensed ones as well; telephones hardly ever.
func talkRinging() signal {
	return signal{
		id:    "talk-ringing",
		leave: (*profile).unheard,
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("in %d of %s without signalling the line was heard first, as who is called and sends the ringing", n[1], plural(sum(n), "other call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
