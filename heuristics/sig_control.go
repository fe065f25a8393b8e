package heuristics

import "fmt"

// controlRecord is the first sighting of a gateway's own protocol, sent by the
// line.
func controlRecord() signal {
	return signal{
		id: "control-record",
		seen: func(p *profile) (since, first int64, ok bool) {
			first = p.firstControl()
			if first == 0 && p.sealed() {
				return 0, 0, false
			}
			return p.firstUp, first, first != 0
		},
		detail: func(p *profile, _ []uint32) string {
			if p.firstControl() == 0 {
				return fmt.Sprintf("no control protocol of a gateway in %s of clear traffic", duration(p.last-p.firstUp))
			}
			n, channels := 0, 0
			name := ""
			for _, e := range p.control {
				if !p.tap.counts(e) {
					continue // marks alone, or anybody may have sent it
				}
				n += e.Sound
				channels = max(channels, e.Seen.Channels)
				if name == "" {
					name = e.Protocol
				}
			}
			return fmt.Sprintf("%s of %s, %s", plural(uint32(n), "sound record"), name, plural(uint32(channels), "channel"))
		},
		unseen: func(p *profile) string {
			if p.sealed() {
				return "the line's signalling cannot be read: control protocols, which would prove multi-SIM equipment, would go unseen as well"
			}
			return "nothing that the line itself sent: control protocols, which would prove multi-SIM equipment, would go unseen"
		},
	}
}

func duration(ns int64) string {
	switch s := ns / second; {
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 2*3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%d h", s/3600)
	default:
		return fmt.Sprintf("%d days", s/86400)
	}
}
