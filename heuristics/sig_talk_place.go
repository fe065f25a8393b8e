package heuristics

// talkPlace reads where the far end is that takes most of the voice of a line
// without signalling, once a list of networks tells. It is not controller-place:
// media may go elsewhere than signalling.
func talkPlace() signal {
	return signal{
		id: "talk-place",
		static: func(p *profile, _ int64) int {
			if p.talked.calls < placeCalls || p.talked.last-p.talked.first < placeAfter {
				return none
			}
			w, _, ok := p.placeOf(roleMedia)
			if !ok {
				return none
			}
			return w.category()
		},
		detail: func(p *profile, _ []uint32) string {
			w, x, _ := p.placeOf(roleMedia)
			return "voice goes to " + x.addr.String() + w.says()
		},
		unseen: func(p *profile) string {
			if p.talked.calls < placeCalls || p.tap.places == nil {
				return ""
			}
			return "no list of networks names where the line's voice goes: whether that is abroad or on a server for hire is not known"
		},
	}
}
