package bpf

import (
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
)

// TestSample wants one frame in so many of what nobody asked for to go up, whatever
// its shape: it is all that is known of what a line does beside its calls, and a home
// of which a part is never in it looks as if nobody lived there.
func TestSample(t *testing.T) {
	const in, sent = 32, 3200
	web := make([]byte, 100)
	web[0] = 0x17
	segment := tcpFrame("10.1.2.3", "198.51.100.7", 40000, 443, 0x10, web)
	for _, tc := range []bool{false, true} {
		b := newBench(t, Config{Sample: in, live: true}, tc)
		for _, c := range []struct {
			name  string
			want  uint64
			frame []byte
		}{
			{"TCP", sent / in, segment},
			{"TCP behind a tag", sent / in, tagged(segment, 1)},
			{"TCP without payload", 0, tcpFrame("10.1.2.3", "198.51.100.7", 40000, 443, 0x10, nil)},
			{"large UDP", sent / in, udpFrame("10.1.2.3", "198.51.100.7", 40000, 443, append(web, make([]byte, 900)...))},
			{"RTP", sent / in, nil},
		} {
			before := b.counters()
			if c.frame != nil {
				if _, err := b.prog.Run(&ebpf.RunOptions{Data: c.frame, Repeat: sent}); err != nil {
					t.Fatal(err)
				}
			} else { // one after the other, perhaps on several processors
				for i := range uint32(sent) {
					b.frame(0, udpFrame("10.1.2.3", "198.51.100.7", 40000, 40002, rtpPayload(8, uint16(i), i*160, 77, 160)))
				}
			}
			n := b.counters()
			up := n[upSample] + n[framesLost] - before[upSample] - before[framesLost] // nobody listens
			// Each processor counts for itself. A flow's first packet is not accounted,
			// and goes up where none was before it.
			if up+uint64(runtime.NumCPU()) < c.want+1 || up > c.want+1 {
				t.Errorf("%s, tc %v: %d of %d frames went up, want %d", c.name, tc, up, sent, c.want)
			}
		}
		if n := b.counters(); n[accounted] < sent-2 {
			t.Errorf("%d packets of RTP are accounted", n[accounted])
		}
	}
}
