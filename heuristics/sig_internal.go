package heuristics

import (
	"fmt"

	"simtrap/ident"
)

// Categories of internal-calls.
const (
	callInternal = iota
	callExternal
)

// internalCalls counts calls from one extension to another: a colleague calls a
// colleague through a hosted exchange.
func internalCalls() signal {
	return signal{
		id: "internal-calls",
		counted: func(_ *profile, c *callFact) int {
			if c.CalleeKey == 0 || c.CallerKey == 0 {
				return none
			}
			if c.CalleeClass == ident.NumberInternal && c.CallerClass == ident.NumberInternal && c.CalleeKey != c.CallerKey {
				return callInternal
			}
			return callExternal
		},
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("%d of %s from extension to extension", n[callInternal], plural(sum(n), "call"))
		},
		unseen: func(*profile) string { return "" },
	}
}
