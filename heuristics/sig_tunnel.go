package heuristics

import (
	"fmt"
	"math"

	"simtrap/hidden/tunnel"
)

// tunnelCalls counts how many calls are up at once inside one tunnel, in each
// window of some twenty seconds, by the lower bound of what is counted.
func tunnelCalls() signal {
	return signal{
		id:    "tunnel-calls",
		leave: (*profile).callsBeside,
		detail: func(p *profile, n []uint32) string {
			return fmt.Sprintf("up to %s at once inside one flow that cannot be read, in %s of 20 s with calls; %d min of talk",
				plural(uint32(p.tunnel.peak), "call"), plural(sum(n), "window"), p.tunnel.talk/minute)
		},
		unseen: func(*profile) string { return "" },
	}
}

// tunnelBin gives the category of tunnel-calls.
func tunnelBin(c *tunnel.Count) int {
	switch n := atOnce(c); {
	case n < 1.5:
		return 0
	case n < 3.5:
		return 1
	case n < 7.5:
		return 2
	case n < 15.5:
		return 3
	}
	return 4
}

// Categories of tunnel-early.
const (
	earlyUp = iota
	earlyEven
	earlyDown
)

// tunnelEarlyShare and tunnelEarlyLeast are from how many more streams one way
// than the other on, of those that talk and at all, sound goes one way.
const (
	tunnelEarlyShare = 0.06
	tunnelEarlyLeast = 0.25
)

// tunnelEarlySignal counts in which windows more streams go one way than the
// other inside a tunnel. Sound before an answer comes from the callee's side: the
// line where strangers' calls end sends the tone and the announcements of the
// mobile network, an office hears those of the people that it calls. Where
// silence is not sent nothing is told.
func tunnelEarlySignal() signal {
	return signal{
		id: "tunnel-early",
		detail: func(_ *profile, n []uint32) string {
			return fmt.Sprintf("inside its tunnels sound before the answer goes up in %d of %s, comes down in %d",
				n[earlyUp], plural(sum(n), "window"), n[earlyDown])
		},
		unseen: func(p *profile) string {
			if p.tunnel.windows == 0 || p.tunnel.whole > 0 {
				return ""
			}
			return "silence is not sent inside the line's tunnel: from which side sound comes before the answer is not known"
		},
	}
}

// tunnelEarly gives the category of tunnel-early, none where nothing is told.
func tunnelEarly(c *tunnel.Count) int {
	if !c.Whole {
		return none
	}
	switch {
	case math.Abs(c.Early) < max(tunnelEarlyLeast, tunnelEarlyShare*c.Mean):
		return earlyEven
	case c.Early > 0:
		return earlyUp
	}
	return earlyDown
}
