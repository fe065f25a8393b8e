package heuristics

import "fmt"

// oneLeg is counted when a leg has waited long enough for its partner; see
// profile.settleLegs.
func oneLeg() signal {
	return signal{
		id: "one-leg",
		detail: func(_ *profile, n []uint32) string {
			if n[1] == 0 {
				return fmt.Sprintf("none of %s goes on over the network", plural(n[0], "answered inbound call"))
			}
			return fmt.Sprintf("%d of %s go on over the network", n[1], plural(sum(n), "answered inbound call"))
		},
		unseen: func(p *profile) string {
			if p.inboundCounts == 0 {
				return ""
			}
			return "no answered inbound call seen to its end: whether calls go on over the network is not known"
		},
	}
}

const (
	// legSlack is how far apart the ends of two legs of one call may lie
	// (VERDICT section 7).
	legSlack = second
	// legWait is how long a leg waits for its partner: streams are told to be
	// over some 10 s after their last packet.
	legWait = 15 * second
)

// settleLegs counts the calls that have waited long enough, or all of them.
func (p *profile) settleLegs(now int64, all bool, apply func(mark), leg func(category int)) {
	kept := p.legs[:0]
	for _, l := range p.legs {
		if !all && now-l.until < legWait {
			kept = append(kept, l)
			continue
		}
		for _, m := range l.marks {
			apply(m)
		}
		if !l.inbound {
			continue
		}
		category := 0
		for _, o := range p.onward {
			if within(o.from, l.from) && within(o.to, l.to) {
				category = 1
				break
			}
		}
		leg(category)
	}
	clear(p.legs[len(kept):])
	p.legs = kept
	old := 0
	for old < len(p.onward) && now-p.onward[old].to > 2*legWait {
		old++
	}
	p.onward = append(p.onward[:0], p.onward[old:]...)
}

func within(a, b int64) bool { return a-b <= legSlack && b-a <= legSlack }

func (p *profile) addOnward(s span) {
	if len(p.onward) < maxLegs {
		p.onward = append(p.onward, s)
	}
}

func (p *profile) addLeg(l leg) bool {
	if len(p.legs) >= maxLegs {
		return false
	}
	p.legs = append(p.legs, l)
	return true
}
