package heuristics

// subscriptions is the first time that the line's server took a subscription
// to what telephones watch: other extensions, a mailbox, presence.
func subscriptions() signal {
	return signal{
		id: "subscriptions",
		seen: func(p *profile) (since, first int64, ok bool) {
			t := p.traits
			if p.sipUp == 0 || p.counted == 0 && len(p.accounts) == 0 {
				return 0, 0, false // anybody may have sent what bears its address
			}
			return p.firstUp, t.subscribed, t.subscribed != 0
		},
		detail: func(p *profile, _ []uint32) string {
			if p.traits.subscribed == 0 {
				return "no busy lamp, mailbox or presence watched in " + duration(p.last-p.firstUp)
			}
			return "watches busy lamps, a mailbox or presence, as telephones do"
		},
		unseen: func(*profile) string { return "" },
	}
}
