package heuristics

import "fmt"

const (
	// outageAccounts is how many accounts there must be for the absence of one
	// to be the channel's and not the line's.
	outageAccounts = 3
	// outageRefresh is how often an account must be refreshed for its absence
	// to show.
	outageRefresh = 200 * second
	outageLeast   = 30 * second
	outageMost    = 10 * minute
)

// channelOutages is the first time that one account stayed away for a while as
// others of the line did not: a card is swapped, or rests. A telephone that is
// started again looks the same.
func channelOutages() signal {
	return signal{
		id: "channel-outages",
		seen: func(p *profile) (since, first int64, ok bool) {
			t := p.traits
			return t.outageSince, t.outage, t.outage != 0
		},
		detail: func(p *profile, _ []uint32) string {
			if p.traits.outage == 0 {
				return fmt.Sprintf("none of %s stayed away alone in %s", plural(uint32(len(p.accounts)), "account"), duration(p.last-p.traits.outageSince))
			}
			return "an account stayed away for a while as others did not"
		},
		unseen: func(p *profile) string {
			if len(p.accounts) < outageAccounts {
				return ""
			}
			return "registrations are refreshed too seldom: cards that are swapped or rest would go unseen"
		},
	}
}
