package heuristics

import "fmt"

const (
	peersStreams = 10
	peersCalls   = 5
	peersAfter   = 10 * minute
)

// mediaPeers reads how many far ends take the line's voice, once ten streams in
// ten minutes were seen.
func mediaPeers() signal {
	return signal{
		id: "media-peers",
		static: func(p *profile, now int64) int {
			if p.streams < peersStreams || p.callsSeen() < peersCalls || now-p.firstUp < peersAfter {
				return none
			}
			switch n := p.mediaPeers(); {
			case n == 0:
				return none
			case n <= 2:
				return n - 1
			case n <= 5:
				return 2
			}
			return 3
		},
		detail: func(p *profile, _ []uint32) string {
			return fmt.Sprintf("%s to %s", plural(uint32(p.streams), "voice stream"), plural(uint32(p.mediaPeers()), "far end"))
		},
		unseen: func(*profile) string { return "" },
	}
}

func (p *profile) mediaPeers() (n int) {
	for i := range p.peers {
		if p.peers[i].roles[roleMedia] > 0 {
			n++
		}
	}
	return n
}
