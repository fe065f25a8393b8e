package heuristics

import "fmt"

// talkOutbound counts the calls without signalling in which the far end was
// heard first: whoever calls a telephone hears it ring. Where the answer is the
// first sound nothing is told of the direction, so that few such calls show as
// much as none of the other way.
func talkOutbound() signal {
	return signal{
		id:    "talk-outbound",
		leave: (*profile).unheard,
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("in %d of %s without signalling the far end was heard first, as by who calls", n[1], plural(sum(n), "call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
