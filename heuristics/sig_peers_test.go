package heuristics

import (
	"fmt"
	"testing"

	"simtrap/rtp"
)

func TestMediaPeers(t *testing.T) {
	for _, tt := range []struct{ ends, calls, want int }{{1, 20, 0}, {2, 20, 1}, {4, 20, 2}, {12, 20, 3}, {1, 8, none}} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		for i := range tt.calls {
			p.inbound(callOptions{callee: uint64(i + 1), noMedia: true})
			s := &rtp.Stream{ID: uint64(i), Call: p.id, Flow: rtp.Flow{Src: p.line.Addr, Dst: addr(fmt.Sprintf("198.51.100.%d", 20+i%tt.ends))}, Start: p.now, End: p.now}
			p.l.Stream(p.line, true, s, false)
			p.l.Stream(p.line, true, s, true)
		}
		if got := p.read(t, "media-peers"); got != tt.want {
			t.Errorf("%d calls to %d far ends: category %d, want %d", tt.calls, tt.ends, got, tt.want)
		}
	}
	// One provider's server says next to nothing against its customers.
	lookalikes(t, "media-peers", []int{0}, 0.1, "home", "office-phones", "anchored-pbx", "fxs-adapter", "pstn-breakout", "call-centre")
}
