package heuristics

import "fmt"

const unreadCalls = 8

// Categories of unread-signalling.
const (
	signallingRead = iota
	signallingUnread
)

// unreadSignalling reads whether the signalling of a line's calls can be read at
// all. That nothing of it is seen is not enough: it may go another way than
// media, or the tap shows voice alone. Something sealed must keep step with the
// calls. Of a line that scrambles its messages one by one hidden-sip says more.
func unreadSignalling() signal {
	return signal{
		id:   "unread-signalling",
		anew: true,
		static: func(p *profile, _ int64) int {
			switch {
			case p.firstHidden != 0 || p.traits.exchanges.first != 0:
				return none
			case p.counted >= unreadCalls:
				return signallingRead
			case p.voiceAlone() && p.traits.sealed.inStep():
				return signallingUnread
			}
			return none
		},
		detail: func(p *profile, _ []uint32) string {
			if p.counted > 0 {
				return "its calls have signalling that can be read"
			}
			return fmt.Sprintf("%s without signalling that can be read, in step with sealed exchanges", plural(uint32(p.traits.talked.calls), "call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
