package heuristics

// talkPlace reads where the far end is that takes most of the voice of a line
// without signalling, be it the end of a tunnel, once a list of networks tells. It is not controller-place:
// media may go elsewhere than signalling.
func talkPlace() signal {
	return signal{
		id:   "talk-place",
		anew: true,
		static: func(p *profile, _ int64) int {
			if p.talkSilent() {
				return none
			}
			if (p.traits.talked.calls < placeCalls || p.traits.talked.last-p.traits.talked.first < placeAfter) && !p.tunnel.enough() {
				return none
			}
			w, _, ok := p.placeOf(roleMedia, roleVPNPeer)
			if !ok {
				return none
			}
			return w.category()
		},
		detail: func(p *profile, _ []uint32) string {
			w, x, _ := p.placeOf(roleMedia, roleVPNPeer)
			return "voice goes to " + x.addr.String() + w.says()
		},
		unseen: func(p *profile) string {
			if p.traits.talked.calls < placeCalls && !p.tunnel.enough() || p.tap.places == nil {
				return ""
			}
			return "no list of networks names where the line's voice goes: whether that is abroad or on a server for hire is not known"
		},
	}
}
