package heuristics

import "fmt"

// Categories of hold-or-transfer.
const (
	transferNone = iota
	transferSeen
)

// holdOrTransfer counts answered calls in which the line put the other end on
// hold or sent it on, as people at desks do.
func holdOrTransfer() signal {
	return signal{
		id: "hold-or-transfer",
		over: func(_ *profile, c *callFact) int {
			if c.Answer == 0 {
				return none
			}
			own := 0
			if c.inbound {
				own = 1
			}
			if c.HoldsBy[own] > 0 || c.RefersBy[own] > 0 {
				return transferSeen
			}
			return transferNone
		},
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s held or transferred by the line", n[transferSeen], plural(sum(n), "answered call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
