package heuristics

import (
	"fmt"
	"slices"
)

// reregisterClock reads the usual time between refreshes, once eight are seen.
func reregisterClock() signal {
	return signal{
		id: "reregister-clock",
		static: func(p *profile, _ int64) int {
			if len(p.refreshes) < 8 {
				return none
			}
			switch s := p.refresh() / second; {
			case s <= 45:
				return 0
			case s <= 75:
				return 1
			case s <= 150:
				return 2
			case s <= 270:
				return 3
			case s <= 900:
				return 4
			}
			return 5
		},
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("registrations refreshed every %d s", p.refresh()/second)
		},
		unseen: func(p *profile) string {
			if len(p.accounts) == 0 {
				return ""
			}
			return "fewer than eight refreshes of a registration: its clock is not known"
		},
	}
}

// refresh is the median time between refreshes, ns.
func (p *profile) refresh() int64 {
	s := slices.Clone(p.refreshes)
	slices.Sort(s)
	return s[len(s)/2]
}
