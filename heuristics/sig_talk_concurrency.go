package heuristics

import "fmt"

// talkConcurrency counts how many other calls without signalling are up when one
// is answered. Its tables are not those of concurrency, for the lines that hide
// their signalling are others than all.
func talkConcurrency() signal {
	return signal{
		id:    "talk-concurrency",
		leave: (*profile).talkSilent,
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("up to %s at once, without signalling", plural(uint32(p.peakUp), "voice stream"))
		},
		unseen: func(*profile) string { return "" },
	}
}
