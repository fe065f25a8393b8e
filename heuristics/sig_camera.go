package heuristics

// cameraMessages is the first message of a camera platform (GB/T 28181) that
// the line sent and its server took.
func cameraMessages() signal {
	return signal{
		id: "camera-messages",
		seen: func(p *profile) (since, first int64, ok bool) {
			t := p.traits
			if p.sipUp == 0 || p.counted == 0 && len(p.accounts) == 0 {
				return 0, 0, false // anybody may have sent what bears its address
			}
			return p.firstUp, t.camera, t.camera != 0
		},
		detail: func(p *profile, _ []uint32) string {
			if p.traits.camera == 0 {
				return "no message of a camera platform in " + duration(p.last-p.firstUp)
			}
			return "speaks as cameras do to their platform (MANSCDP)"
		},
		unseen: func(*profile) string { return "" },
	}
}
