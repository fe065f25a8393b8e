package heuristics

import (
	"fmt"
)

const (
	stackAccounts = 3
	stackCalls    = 10
)

// sipStack reads whether all of a line's accounts answer in one hand: the order
// and spelling of headers is the software's, whatever name it goes by. One
// device with many accounts has one, as has an office of equal telephones.
func sipStack() signal {
	return signal{
		id: "sip-stack",
		static: func(p *profile, _ int64) int {
			if len(p.accounts) < stackAccounts || p.inboundCounts < stackCalls {
				return none
			}
			switch p.stacks() {
			case 0:
				return none
			case 1:
				return 0
			}
			return 1
		},
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("%s, %s of SIP messages", plural(uint32(len(p.accounts)), "account"), plural(uint32(p.stacks()), "shape"))
		},
		unseen: func(*profile) string { return "" },
	}
}

// stacks is how many shapes the line's answers have, of those that can be
// compared.
func (p *profile) stacks() int {
	return max(p.traits.shapes[0].n(), p.traits.shapes[1].n())
}

// stack is the shape that the line is linked by. What refuses a call has other
// headers than what takes it, so of two equal boxes one may be told apart by how its
// last call went: what rings with a description counts before what rings without,
// and these before what the line asks with itself. Of several the least counts,
// whichever came first.
func (p *profile) stack() uint64 {
	for i := range p.traits.shapes {
		if m := p.traits.shapes[len(p.traits.shapes)-1-i].m; m != nil {
			if least, ok := m.Least(); ok {
				return least
			}
		}
	}
	return p.shape
}
