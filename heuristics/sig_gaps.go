package heuristics

import (
	"fmt"
	"slices"
)

const (
	gapsWanted = 20
	gapsLeast  = 5 * second
)

// callGaps reads whether a line of one or two channels keeps a least pause
// between its calls: cards are made to rest, so that no operator's limit is
// met. An agent's time to write down a call looks the same.
func callGaps() signal {
	return signal{
		id: "call-gaps",
		static: func(p *profile, _ int64) int {
			if p.peakUp > 2 || len(p.traits.pauses) < gapsWanted {
				return none
			}
			if _, n := p.traits.quantum(); 4*n >= len(p.traits.pauses) {
				return 1
			}
			return 0
		},
		detail: func(p *profile, _ []uint32) string {
			least, n := p.traits.quantum()
			return fmt.Sprintf("%d of %s between calls within a third of the least, %s", n, plural(uint32(len(p.traits.pauses)), "pause"), duration(least))
		},
		unseen: func(*profile) string { return "" },
	}
}

// quantum is the least pause and how many are within a third of it; none when
// it is too short to be kept on purpose.
func (t *traits) quantum() (least int64, n int) {
	if len(t.pauses) == 0 {
		return 0, 0
	}
	least = slices.Min(t.pauses)
	if least < gapsLeast {
		return least, 0
	}
	for _, p := range t.pauses {
		if p <= least+least/3 {
			n++
		}
	}
	return least, n
}
