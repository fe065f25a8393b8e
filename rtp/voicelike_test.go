package rtp

import (
	"math/rand/v2"
	"testing"

	"simtrap/packet"
)

// shape is one direction of datagrams whose content tells nothing.
type shape struct {
	gap  func(r *rand.Rand) int64
	size func(r *rand.Rand, i int) int
}

func (s shape) packets(r *rand.Rand, up bool, seconds int64) (out []packet.Packet) {
	from, to, fport, tport := end(10000), end(20000), uint16(10000), uint16(20000)
	if !up {
		from, to, fport, tport = to, from, tport, fport
	}
	for i, now := 0, t0; now < t0+seconds*1e9; i++ {
		now += s.gap(r)
		b := make([]byte, s.size(r, i))
		for k := range b {
			b[k] = byte(r.Uint32())
		}
		b[0] &= 0x7f // nothing that reads as RTP
		out = append(out, packet.Packet{Time: now, Src: from, Dst: to, SrcPort: fport, DstPort: tport, Proto: packet.UDP, Length: uint32(len(b)), Payload: b})
	}
	return out
}

// TestVoiceWithoutHeader says what the rule takes for voice, and what it does
// not: sizes and rhythm are all it has, so that what looks like voice in both is
// taken for it whatever it is.
func TestVoiceWithoutHeader(t *testing.T) {
	every := func(ms, noise float64) func(*rand.Rand) int64 {
		return func(r *rand.Rand) int64 { return int64((ms - noise + r.ExpFloat64()*noise) * 1e6) }
	}
	poisson := func(ms float64) func(*rand.Rand) int64 {
		return func(r *rand.Rand) int64 { return int64(r.ExpFloat64() * ms * 1e6) }
	}
	of := func(sizes ...int) func(*rand.Rand, int) int {
		return func(r *rand.Rand, i int) int { return sizes[i%len(sizes)] }
	}
	within := func(lo, hi int) func(*rand.Rand, int) int {
		return func(r *rand.Rand, _ int) int { return lo + r.IntN(hi-lo) }
	}
	// seldom gives other sizes once in n packets.
	seldom := func(n int, usual int, lo, hi int) func(*rand.Rand, int) int {
		return func(r *rand.Rand, i int) int {
			if i%n == n-1 {
				return lo + r.IntN(hi-lo)
			}
			return usual
		}
	}
	for _, c := range []struct {
		name     string
		up, down shape
		want     bool
	}{
		// Accepted: calls under a cipher, and what cannot be told from them.
		{"G.711 under a cipher", shape{every(20, 0.5), of(174)}, shape{every(20, 1), of(174)}, true},
		{"G.729 in WireGuard", shape{every(20, 0.5), of(96)}, shape{every(20, 1), of(96)}, true},
		{"G.711 in WireGuard", shape{every(20, 0.5), of(240)}, shape{every(20, 1), of(240)}, true},
		{"a call in WireGuard beside a trickle of other traffic", shape{every(20, 0.5), seldom(15, 240, 80, 320)}, shape{every(20, 1), seldom(20, 240, 80, 320)}, true},
		{"G.723.1 under a cipher", shape{every(30, 0.5), of(40)}, shape{every(30, 1), of(40)}, true},
		{"60 ms", shape{every(60, 0.5), of(80)}, shape{every(60, 1), of(80)}, true},
		{"a game at 50 Hz with one size both ways", shape{every(20, 0.5), of(64)}, shape{every(20, 0.5), of(90)}, true},
		{"telemetry at 33 Hz with one size both ways", shape{every(30, 0.2), of(48)}, shape{every(30, 0.2), of(48)}, true},

		// Refused.
		{"voice activity of many sizes (Opus)", shape{every(20, 0.5), within(40, 150)}, shape{every(20, 0.5), within(40, 150)}, false},
		{"a game at 64 Hz", shape{every(15.6, 0.3), of(60)}, shape{every(15.6, 0.3), of(60)}, false},
		{"a game at 30 Hz, state of many sizes down", shape{every(33.3, 0.5), of(60)}, shape{every(33.3, 0.5), within(80, 300)}, false},
		{"a game at 20 Hz", shape{every(50, 0.5), of(60)}, shape{every(50, 0.5), of(90)}, false},
		{"a game at 128 Hz", shape{every(7.8, 0.3), of(60)}, shape{every(7.8, 0.3), of(60)}, false},
		{"QUIC: acknowledgements up, nothing small down", shape{poisson(22), of(33)}, shape{poisson(5), of(1250)}, false},
		{"QUIC at an even pace, one size up, large down", shape{every(20, 0.5), of(33)}, shape{every(20, 0.5), of(1250)}, false},
		{"WireGuard that carries the web", shape{poisson(25), of(96, 96, 96, 112)}, shape{poisson(12), of(320, 1452, 1452)}, false},
		{"two calls in one tunnel", shape{every(10, 0.3), of(240)}, shape{every(10, 0.3), of(240)}, false},
		{"DNS flood from one resolver", shape{poisson(21), within(30, 60)}, shape{poisson(21), within(60, 300)}, false},
		{"DNS of one size, as it comes", shape{poisson(21), of(45)}, shape{poisson(21), of(61)}, false},
		{"NTP, a busy server", shape{poisson(20), of(48)}, shape{poisson(20), of(48)}, false},
		{"NTP, one client", shape{every(1000, 5), of(48)}, shape{every(1000, 5), of(48)}, false},
		{"NTP, one client gone wild", shape{every(20, 0.5), of(48)}, shape{every(4000, 1), of(48)}, false},
		{"one way only", shape{every(20, 0.5), of(172)}, shape{every(2000, 0.5), of(40)}, false},
		{"cameras: large packets", shape{every(30, 0.5), of(1000)}, shape{every(30, 0.5), of(60)}, false},
	} {
		r := rand.New(rand.NewPCG(11, 11))
		ps := append(c.up.packets(r, true, 20), c.down.packets(r, false, 20)...)
		h, counters := judge(Config{}, account(ps, 1))
		if got := len(h.ended) == 2; got != c.want || !got && len(h.ended) != 0 {
			t.Errorf("%s: %d streams; %+v", c.name, len(h.ended), counters)
		}
	}
}
