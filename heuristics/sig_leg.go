package heuristics

import (
	"fmt"
	"maps"
	"slices"
)

// oneLeg is counted when a leg has waited long enough for its partner; see
// settleLegs.
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
	// legWait is how long a call waits for its onward leg after it was told to
	// be over: the leg's own end may be told 32 s after it, when the answer to
	// its BYE was not seen (RFC 3261 timer F), a stream's some 15 s.
	legWait = 40 * second
)

// settleLegs counts the calls that have waited long enough, or all of them.
func (l *Lines) settleLegs(p *profile, all bool) {
	kept := p.legs[:0]
	for _, g := range p.legs {
		if !all && l.now-g.until < legWait {
			kept = append(kept, g)
			continue
		}
		if g.verified || !p.tap.twoWay {
			// The tap may have shown its other direction since.
			l.settle(p, &g)
		}
	}
	clear(p.legs[len(kept):])
	p.legs = kept
	p.onward = slices.DeleteFunc(p.onward, func(o span) bool { return o.to != 0 && l.now-o.to > 3*legWait })
}

// settle puts in force what a call counts.
func (l *Lines) settle(p *profile, g *leg) {
	for _, m := range g.marks {
		l.apply(p, m)
	}
	if p.counted == 0 {
		p.firstCounted = g.at
	}
	p.counted++
	if g.accepted {
		p.accepted++
	}
	p.lastCounted = max(p.lastCounted, g.at)
	p.traits.hours[uint64(g.at)/uint64(60*minute)%24]++
	if g.verified {
		p.verified++
	}
	if g.voice {
		p.voices++
	}
	if !g.inbound {
		return
	}
	p.inboundCounts++
	if !g.answered || p.legsLost {
		return
	}
	category := 0
	for _, o := range p.onward {
		if o.follows(g.span) {
			category = 1
			break
		}
	}
	l.count(p, "one-leg", category)
}

// settleOpen moves the calls that are still up to those that are over, with
// their ends unknown.
func (l *Lines) settleOpen(p *profile) {
	for _, key := range slices.Sorted(maps.Keys(p.open)) {
		o := p.open[key]
		if !o.counted || len(p.legs) >= maxLegs {
			continue
		}
		g := leg{span: span{o.answer, 0}, call: o.id, at: l.now, until: l.now, marks: o.marks, voice: o.voice, inbound: o.inbound, answered: o.up, accepted: o.accepted, verified: true}
		p.legs = append(p.legs, g)
		if o.up && !o.inbound {
			l.onward(p, g.span)
		}
		o.counted, o.marks = false, o.marks[:0]
	}
}

// follows says whether s is the onward leg of an inbound call: they end
// together, and it began with it or, behind a menu or an announcement, in it.
// Where an end was not seen the beginnings must agree.
func (s span) follows(inbound span) bool {
	if s.to == 0 || inbound.to == 0 {
		return near(s.from, inbound.from)
	}
	return near(s.to, inbound.to) && s.from >= inbound.from-legSlack && s.from < inbound.to
}

func near(a, b int64) bool { return a-b <= legSlack && b-a <= legSlack }
