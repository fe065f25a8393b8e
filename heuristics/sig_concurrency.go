package heuristics

import "fmt"

// concurrencySignal counts how many other calls are up when one is answered.
func concurrencySignal() signal {
	return signal{
		id: "concurrency",
		counted: func(_ *profile, c *callFact) int {
			if c.Answer == 0 {
				return none
			}
			return concurrencyBin(c.others)
		},
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("up to %s at once", plural(uint32(p.peakUp), "call"))
		},
		unseen: func(*profile) string {
			return "no answered call of the line: how many it holds at once is not known"
		},
	}
}

func concurrencyBin(others int) int {
	switch {
	case others < 2:
		return others
	case others < 4:
		return 2
	case others < 8:
		return 3
	case others < 16:
		return 4
	}
	return 5
}
