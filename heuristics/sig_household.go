package heuristics

import (
	"fmt"
	"math/bits"
)

// Categories of dark-household, in the order of its table.
const (
	darkVoice = iota
	darkOther
	faintVoice
	faintOther
	litHousehold
)

const (
	// householdAfter is how long the line's other traffic is measured before
	// it is read.
	householdAfter = 20 * minute
	householdCalls = 5
	// darkNames and darkWeb are what a device alone asks for in that time: its
	// time server, its updates, its maker's cloud.
	darkNames = 4
	darkWeb   = 64 << 10
	// litNames or litWeb is what people make.
	litNames = 12
	litWeb   = 1 << 20
)

// darkHousehold reads whether anybody lives behind the line: names asked for
// and web traffic, jointly with the share of voice in all its bytes. It is
// visible only where the tap has shown the web of somebody: in a capture of
// nothing but telephony every line is dark.
func darkHousehold() signal {
	return signal{
		id: "dark-household",
		static: func(p *profile, _ int64) int {
			t := p.traits
			from := max(t.metered, p.tap.web)
			if p.tap.web == 0 || t.metered == 0 || t.meteredTo-from < householdAfter || p.callsSeen() < householdCalls || t.voiceBytes == 0 {
				return none
			}
			h := &t.household
			voice := t.voiceShare() >= 50
			switch {
			case h.names() >= litNames || h.Web >= litWeb:
				return litHousehold
			case h.names() > darkNames || h.Web > darkWeb:
				if voice {
					return faintVoice
				}
				return faintOther
			case voice:
				return darkVoice
			}
			return darkOther
		},
		detail: func(p *profile, _ []uint32) string {
			t := p.traits
			h := &t.household
			return fmt.Sprintf("beside its calls about %s asked for, %s, %d KiB of web; voice is %d %% of its bytes",
				plural(uint32(h.names()), "name"), plural(uint32(bits.OnesCount64(h.Far[0])+bits.OnesCount64(h.Far[1])), "far end"), h.Web>>10, t.voiceShare())
		},
		unseen: func(p *profile) string {
			switch {
			case p.callsSeen() < householdCalls:
				return ""
			case p.tap.web == 0:
				return "the tap has shown nobody's web traffic: whether anybody lives behind the line is not known"
			}
			return "the line's other traffic was measured for under 20 min: whether anybody lives behind it is not known"
		},
	}
}

// voiceShare is the part of voice in the line's bytes, per cent.
func (t *traits) voiceShare() int {
	all := max(t.household.Up+t.household.Down, t.voiceBytes)
	if all == 0 {
		return 0
	}
	return int(100 * t.voiceBytes / all)
}
