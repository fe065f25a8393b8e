package heuristics

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"simtrap/hidden/talk"
	"simtrap/hidden/tunnel"
	"simtrap/rtp"
)

const (
	protoTCP uint8 = 6
	protoUDP uint8 = 17
)

// window is a count of calls in a tunnel; early is how many more streams go up.
func window(calls, early float64) tunnel.Count {
	return tunnel.Count{Kind: tunnel.Calls, Mean: calls, Peak: calls, Low: calls, High: calls, Early: early, Whole: true, Own: true, Ptime: 20, Active: 1}
}

// windowLength is how long a window is, ns.
const windowLength = tunnel.Window * int64(tunnel.Length)

// tunnel plays windows of a flow that begin so far apart, ns.
func (p *play) tunnel(n int, apart int64, proto uint8, c tunnel.Count) {
	for range n {
		c.Start, c.End = p.now, p.now+windowLength
		p.now += apart
		p.l.Tunnel(p.line, rtp.Flow{Src: p.line.Addr, Dst: p.far, SrcPort: 40000, DstPort: 51820}, proto, &c)
	}
}

func TestTunnelCounts(t *testing.T) {
	paused := window(5, 2)
	paused.Whole = false
	conference := window(5, 0)
	conference.Kind = tunnel.Conference
	answers := window(9, 1)
	answers.Own = false
	unsure := window(8, 0)
	unsure.Low = 6
	for _, tt := range []struct {
		name  string
		proto uint8
		c     tunnel.Count
		calls []uint32
		early []uint32
	}{
		{"one call", protoUDP, window(1, 0), []uint32{3, 0, 0, 0, 0}, []uint32{0, 3, 0}},
		{"nine calls, sound first goes up", protoUDP, window(9, 1), []uint32{0, 0, 0, 3, 0}, []uint32{3, 0, 0}},
		{"nine calls, sound first comes down", tunnel.ESP, window(9, -1), []uint32{0, 0, 0, 3, 0}, []uint32{0, 0, 3}},
		{"little more one way", tunnel.GRE, window(9, 0.4), []uint32{0, 0, 0, 3, 0}, []uint32{0, 3, 0}},
		{"silence is not sent", protoUDP, paused, []uint32{0, 0, 3, 0, 0}, []uint32{0, 0, 0}},
		{"the lower bound counts", protoUDP, unsure, []uint32{0, 0, 3, 0, 0}, []uint32{0, 3, 0}},
		{"over TCP", protoTCP, window(9, 1), nil, nil},
		{"a conference", protoUDP, conference, nil, nil},
		{"a service that answers", protoUDP, answers, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := testLines(t, Config{Homes: home(t)})
			p := newPlay(l)
			p.tunnel(3, tunnelRest, tt.proto, tt.c)
			if tt.calls == nil {
				if l.Has(p.line) {
					t.Error("something is known of the line")
				}
				return
			}
			if d := gocmp.Diff(tt.calls, p.counts(t, "tunnel-calls")); d != "" {
				t.Errorf("tunnel-calls (-want +got):\n%s", d)
			}
			if d := gocmp.Diff(tt.early, p.counts(t, "tunnel-early")); d != "" {
				t.Errorf("tunnel-early (-want +got):\n%s", d)
			}
		})
	}
}

// TestTunnelWatch: a verdict wants three windows of three calls or more, a minute
// apart, and twenty minutes of talk; and a tunnel
// alone does not reach it, since a licensed gateway looks the same.
func TestTunnelWatch(t *testing.T) {
	box, office := window(9, 2), window(9, 0)
	for _, tt := range []struct {
		name    string
		windows int
		c       tunnel.Count
		want    Verdict
	}{
		{"a minute of a box", 3, box, None},
		{"ten minutes of a box, as of a licensed gateway", 30, box, None},
		{"ten minutes of an office", 30, office, None},
		{"ten minutes of two calls at once", 30, window(2, 1), None},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlay(testLines(t, Config{Homes: home(t)}))
			for i := range tt.windows { // calls come and go
				c := tt.c
				if i%3 > 0 {
					c.Mean *= 0.6
					c.Peak, c.Low, c.High, c.Early = c.Mean, c.Mean, c.Mean, c.Early*0.6
				}
				p.tunnel(1, windowLength, protoUDP, c)
			}
			f := p.finding(t)
			if f.Verdict != tt.want {
				t.Errorf("%v with score %.1f, margin %.1f to %s", f.Verdict, f.Score, f.Margin, f.Nearest)
			}
			if want := int(tt.c.Peak); f.Device.Channels != want || f.Calls.PeakConcurrent != want {
				t.Errorf("%d channels, want %d", f.Device.Channels, want)
			}
		})
	}
}

// TestTunnelEnough holds the conditions to their words.
func TestTunnelEnough(t *testing.T) {
	for _, tt := range []struct {
		name    string
		windows int
		apart   time.Duration
		calls   float64
		want    bool
	}{
		{"three windows a minute apart, long talks", 3, time.Minute, 30, true},
		{"two of them", 2, time.Minute, 60, false},
		{"three at once", 3, 0, 60, false},
		{"little talk", 3, time.Minute, 3, false},
		{"two calls at once for long", 100, time.Minute, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlay(testLines(t, Config{Homes: home(t)}))
			for range tt.windows {
				p.tunnel(1, windowLength, protoUDP, window(tt.calls, 0))
				p.now += int64(tt.apart) - windowLength
			}
			if got := p.l.table[p.line].tunnel.enough(); got != tt.want {
				t.Errorf("enough: %v", got)
			}
		})
	}
}

// TestTunnelWindowsOfOneCall: windows one after the other, which the same calls
// fill, count once in tunnelRest.
func TestTunnelWindowsOfOneCall(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.tunnel(30, windowLength, protoUDP, window(3, 1))
	for _, id := range []string{"tunnel-calls", "tunnel-early"} {
		if got := sum(p.counts(t, id)); got != 5 {
			t.Errorf("%s counts %d times in ten minutes, want 5", id, got)
		}
	}
}

// TestTunnelIsWatch: whatever the score, a line whose calls were seen in tunnels
// alone is no more than watched, and early sound says nothing against a licensed
// gateway, where strangers' calls end as well.
func TestTunnelIsWatch(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	p.tunnel(30, minute, protoUDP, window(9, 2))
	x := p.l.table[p.line]
	p.l.judge(x, true)
	x.score.S, x.score.M = 30, 9
	if got := p.l.verdict(x); got != Watch {
		t.Errorf("%v by tunnels alone", got)
	}
	x.voices, x.accepted = watchFlows, watchCalls
	if got := p.l.verdict(x); got != Review {
		t.Errorf("%v with calls beside them", got)
	}
	for _, n := range []int{10, 400, 4000} {
		lookalikes(t, "tunnel-early", []int{n, 0, 0}, 0.05, "pstn-breakout")
	}
}

// TestTunnelLookalikes: the sizes of crowds in tunnels say nothing against those
// who have the same, and early sound nothing much against licensed gateways.
func TestTunnelLookalikes(t *testing.T) {
	// The lab's boxes in tunnels are larger than its offices in tunnels.
	lookalikes(t, "tunnel-calls", []int{1, 4, 15, 10, 0}, 1.9, "vpn-office")
	lookalikes(t, "tunnel-calls", []int{1, 4, 15, 10, 0}, 1.2, "anchored-pbx", "call-centre")
	lookalikes(t, "tunnel-calls", []int{1, 4, 15, 10, 0}, 0.05, "pstn-breakout")
	lookalikes(t, "tunnel-early", []int{25, 5, 0}, 0.05, "pstn-breakout")
	lookalikes(t, "tunnel-early", []int{0, 30, 0}, 0, "vpn-office", "home")
	for _, class := range []string{"home", "mobile-dialler"} {
		if got := nats(t, class, "tunnel-calls", []int{1, 4, 15, 10, 0}); got < 4 {
			t.Errorf("twenty calls at once speak with %.1f nats against %s", got, class)
		}
	}
}

// TestTunnelsOfServices: a flow in which the line answers on a service's port has no
// calls, whatever its packets look like.
func TestTunnelsOfServices(t *testing.T) {
	for port, want := range map[uint16]uint32{53: 0, 123: 0, 3478: 0, 6881: 0, 40000: 1, 51820: 1, 4500: 1} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		c := window(9, 2)
		c.Start, c.End = p.now, p.now+windowLength
		p.l.Tunnel(p.line, rtp.Flow{Src: p.line.Addr, Dst: p.far, SrcPort: port, DstPort: 30000}, protoUDP, &c)
		got := uint32(0)
		if p.l.table[p.line] != nil {
			got = sum(p.counts(t, "tunnel-calls"))
		}
		if got != want {
			t.Errorf("port %d: %d windows, want %d", port, got, want)
		}
	}
}

// TestTunnelFlows: a lone call in a flow that is a tunnel is not counted besides, one
// in another flow to the same far end is; what is kept of flows is bounded.
func TestTunnelFlows(t *testing.T) {
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	p.tunnel(1, 20*second, protoUDP, window(5, 0))
	in := rtp.Flow{Src: p.line.Addr, Dst: p.far, SrcPort: 40000, DstPort: 51820}
	shaped := func(f rtp.Flow) func(*talk.Call) {
		return func(c *talk.Call) { c.Flow, c.Clear, c.Led = f, false, true }
	}
	p.voice(0, shaped(in))
	p.voice(0, shaped(rtp.Flow{Src: in.Src, Dst: in.Dst, SrcPort: 9000, DstPort: 4000}))
	if got := sum(p.counts(t, "talk-concurrency")); got != 1 {
		t.Errorf("%d calls, want the one beside the tunnel", got)
	}
	for i := range 5 * maxTunnelFlows {
		c := window(5, 0)
		p.now += 2 * minute
		c.Start, c.End = p.now, p.now+windowLength
		p.l.Tunnel(p.line, rtp.Flow{Src: p.line.Addr, Dst: p.far, SrcPort: uint16(41000 + i), DstPort: 51820}, protoUDP, &c)
	}
	flows := p.l.table[p.line].tunnel.flows
	if _, ok := flows[tunnelFlow{p.far, uint16(41000 + 5*maxTunnelFlows - 1), 51820}]; !ok || len(flows) != maxTunnelFlows {
		t.Errorf("%d flows are kept, the newest: %v", len(flows), ok)
	}
}
