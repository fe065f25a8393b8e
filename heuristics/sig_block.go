package heuristics

import "fmt"

// Categories of number-block.
const (
	blockSame = iota
	blockOther
)

// numberBlock counts whether a number that was never called before lies in a
// row with one that was: a subscriber's own numbers do, strangers' do not.
func numberBlock() signal {
	return signal{
		id: "number-block",
		counted: func(p *profile, c *callFact) int {
			switch c.callee {
			case fanMobile, fanLandline, fanForeign, fanOther:
			default:
				return none
			}
			b, ok := c.CalledUser.Block()
			if !ok || p.traits.blocks.n() == 0 {
				return none
			}
			if p.traits.blocks.has(b) {
				return blockSame
			}
			return blockOther
		},
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s differ from one before in their last two digits only", n[blockSame], plural(sum(n), "new called number"))
		},
		unseen: func(*profile) string { return "" },
	}
}
