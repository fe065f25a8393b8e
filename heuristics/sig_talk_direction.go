package heuristics

import (
	"fmt"

	"simtrap/hidden/talk"
)

// talkDirection counts which side of a call without signalling was heard first.
// Who is called rings, and sends the ringing where it is a gateway; who calls a
// telephone by way of the telephone network hears it ring. Where the answer is
// the first sound nothing is told, which is a category of its own: it is the
// habit of a line.
func talkDirection() signal {
	return signal{
		id: "talk-direction",
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("in %s without signalling the line sounded first in %d, the far end in %d",
				plural(sum(n), "call"), n[talk.Inbound], n[talk.Outbound])
		},
		unseen: func(*profile) string { return "" },
	}
}
