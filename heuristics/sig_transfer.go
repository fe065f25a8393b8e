package heuristics

import "fmt"

// Categories of hold-or-transfer.
const (
	transferNone = iota
	transferSeen
)

// holdOrTransfer counts answered calls in which somebody was put on hold or
// sent on, as people at desks do.
func holdOrTransfer() signal {
	return signal{
		id: "hold-or-transfer",
		over: func(_ *profile, c *callFact) int {
			if c.Answer == 0 {
				return none
			}
			if c.Holds > 0 || c.Refers > 0 {
				return transferSeen
			}
			return transferNone
		},
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s held or transferred", n[transferSeen], plural(sum(n), "answered call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
