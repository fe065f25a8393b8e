package heuristics

// lineAge reads how soon after the line came into its present hands its voice
// began, where somebody knows (Config.Tenancy).
func lineAge() signal {
	return signal{
		id: "line-age",
		static: func(p *profile, _ int64) int {
			from, voice, ok := p.tenancy()
			switch days := (voice - from) / (24 * 60 * minute); {
			case !ok:
				return none
			case days < 1:
				return 0
			case days < 14:
				return 1
			}
			return 2
		},
		detail: func(p *profile, _ []uint32) string {
			from, voice, _ := p.tenancy()
			return "calls began " + duration(voice-from) + " after the line came into these hands"
		},
		unseen: func(*profile) string { return "" },
	}
}

// tenancy is since when the line is in its present hands, and when its calls
// began.
func (p *profile) tenancy() (since, voice int64, ok bool) {
	if p.tap.tenancy == nil || p.counted < watchCalls {
		return 0, 0, false
	}
	since, ok = p.tap.tenancy.Since(p.line, p.firstCounted)
	return since, p.firstCounted, ok && since <= p.firstCounted
}
