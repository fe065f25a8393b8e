package heuristics

import (
	"fmt"

	"simtrap/rtp"
)

const (
	clocksWanted = 6
	// clockLimit is the largest error, ppm, of a reading that tells clocks
	// apart at all.
	clockLimit = 5.0
	// clockFloor is added to every reading's error, ppm: queue drift and
	// temperature (literature 3a).
	clockFloor = 0.5
)

// clocksSignal reads how many clocks the line's streams need, once six
// readings are good enough and more than one call was up at once.
func clocksSignal() signal {
	return signal{
		id: "clocks",
		static: func(p *profile, _ int64) int {
			if len(p.clocks) < clocksWanted || p.peakUp < 2 {
				return none
			}
			switch n := p.clockGroups(); {
			case n == 1:
				return 0
			case n == 2 && len(p.clocks) < 2*clocksWanted:
				return none
			}
			return 1
		},
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("%s need %s", plural(uint32(len(p.clocks)), "voice stream"), plural(uint32(p.clockGroups()), "sending clock"))
		},
		unseen: func(p *profile) string {
			if p.mediaUp == 0 {
				return "no voice stream of the line: one chassis cannot be told from many telephones by its clock"
			}
			return fmt.Sprintf("%d of %d clock readings (streams of a minute or so): one chassis cannot be told from many telephones yet", len(p.clocks), clocksWanted)
		},
	}
}

func (p *profile) clockGroups() int {
	r := make([]*rtp.Stream, len(p.clocks))
	for i, c := range p.clocks {
		r[i] = &rtp.Stream{PPM: c.ppm, PPMError: 2*c.err + clockFloor, ClockOK: true}
	}
	n, _ := rtp.ClockGroups(r)
	return n
}
