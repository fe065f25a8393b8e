package heuristics

import "fmt"

const (
	hoursSpan  = 72 * 60 * minute
	hoursCalls = 100
	nightHours = 6
)

// roundTheClock reads how many calls fall into the line's six quietest hours,
// once three days and a hundred calls were seen.
func roundTheClock() signal {
	return signal{
		id: "round-the-clock",
		static: func(p *profile, _ int64) int {
			if p.callsSpan() < hoursSpan || p.callsSeen() < hoursCalls {
				return none
			}
			switch n := p.traits.night(); {
			case n < 3:
				return 0
			case n < 12:
				return 1
			}
			return 2
		},
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("%d %% of the calls of %s in the six quietest hours of the day", p.traits.night(), duration(p.callsSpan()))
		},
		unseen: func(p *profile) string {
			if p.callsSeen() < hoursCalls {
				return ""
			}
			return "seen for under three days: whether it rests at night is not known"
		},
	}
}

// night is the share of calls in the six quietest hours of the day, per cent.
func (t *traits) night() int {
	least := ^uint32(0)
	for from := range t.hours {
		n := uint32(0)
		for i := range nightHours {
			n += t.hours[(from+i)%24]
		}
		least = min(least, n)
	}
	return percent(least, sum(t.hours[:]))
}
