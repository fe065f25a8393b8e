package heuristics

// cardRotation is the first time that a channel held another card than before.
// It is looked for only where a gateway's own protocol tells the card in a
// channel, so it adds to control-record what that does not know.
func cardRotation() signal {
	return signal{
		id: "card-rotation",
		seen: func(p *profile) (since, first int64, ok bool) {
			if p.firstControl() == 0 {
				return 0, 0, false
			}
			t := p.traits
			return t.carded, t.rotation, t.rotation != 0
		},
		detail: func(p *profile, _ []uint32) string {
			if p.traits.rotation == 0 {
				return "every channel kept its card for " + duration(p.last-p.traits.carded)
			}
			n := 0
			for _, e := range p.control {
				if p.tap.counts(e) {
					n += e.Changes
				}
			}
			return "cards changed " + plural(uint32(n), "time")
		},
		unseen: func(*profile) string { return "" },
	}
}
