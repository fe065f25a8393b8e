package pipeline

import (
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"simtrap/control"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/rtp"
)

// crowd gives records of a flow with so many streams each way at 20 ms.
func crowd(near, far ident.Addr, port uint16, calls, lengths int) (out []tunnel.Record) {
	for n := range lengths {
		start := int64(1e6+n) * int64(tunnel.Length)
		f, up := tunnel.NewFlow(near, far, port, 51820, 17, 0)
		r := tunnel.Record{Flow: f, Interval: tunnel.Interval{Start: start}}
		for k := range int(tunnel.Length / (20 * time.Millisecond)) {
			for c := range calls {
				at := start + int64(k)*20e6 + int64(c)*1e6
				r.Up.Add(start, at, 200)
				r.Down.Add(start, at+5e6, 200)
			}
			// Either end sends of its own accord for two windows.
			if n < 2*tunnel.Window {
				r.Up.Add(start, start+int64(k)*20e6+15e6, 200)
			} else if n < 4*tunnel.Window {
				r.Down.Add(start, start+int64(k)*20e6+15e6, 200)
			}
		}
		if !up {
			r.Up, r.Down = r.Down, r.Up
		}
		out = append(out, r)
	}
	return out
}

// halves gives the directions of records one by one, as two ports see them.
func halves(list []tunnel.Record) (out []tunnel.Record) {
	for _, r := range list {
		up, down := r, r
		up.Down, down.Up = tunnel.Way{}, tunnel.Way{}
		out = append(out, down, up)
	}
	return out
}

// channelsOf plays records, in batches of so many, and gives the channels of each
// line found. Flows of paths began as a browser's do.
func channelsOf(t *testing.T, list []tunnel.Record, batch int, paths ...rtp.Flow) (map[string]int, *tunnels) {
	t.Helper()
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(Config{Homes: homes, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range paths {
		r.join.talks.paths.see(f)
	}
	q := &r.join.tunnels
	for part := range slices.Chunk(list, batch) {
		q.take(slices.Clone(part))
		q.play(r.join, part[len(part)-1].Start+int64(tunnel.Length)+tunnelLag)
	}
	q.play(r.join, math.MaxInt64)
	out := map[string]int{}
	for _, f := range r.join.lines.Findings(true, 0) {
		out[f.Line.String()] = f.Device.Channels
	}
	return out, q
}

func TestTunnelsCount(t *testing.T) {
	home, other := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{203, 0, 113, 9})
	far, low := ident.AddrFrom4([]byte{210, 0, 0, 1}), ident.AddrFrom4([]byte{9, 9, 9, 9})
	for _, tt := range []struct {
		name string
		list []tunnel.Record
		want map[string]int
	}{
		{"far end has the higher address", crowd(home, far, 4000, 9, 40), map[string]int{"203.0.113.7": 9}},
		{"far end has the lower address", crowd(home, low, 4000, 9, 40), map[string]int{"203.0.113.7": 9}},
		{"both ends are lines", crowd(home, other, 4000, 5, 40), map[string]int{"203.0.113.7": 5, "203.0.113.9": 5}},
		{"neither end is", crowd(low, far, 4000, 9, 40), map[string]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, batch := range []int{1, 7, 1000} {
				got, _ := channelsOf(t, tt.list, batch)
				if d := gocmp.Diff(tt.want, got); d != "" {
					t.Errorf("in batches of %d (-want +got):\n%s", batch, d)
				}
				if got, _ = channelsOf(t, halves(tt.list), 2*batch); !gocmp.Equal(tt.want, got) {
					t.Errorf("from two ports, in batches of %d: %v", batch, got)
				}
			}
		})
	}
}

// TestTunnelsOfStranger: whoever asks a service of a home nine times in each 20 ms
// makes no calls of its answers.
func TestTunnelsOfStranger(t *testing.T) {
	home, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{210, 0, 0, 1})
	var list []tunnel.Record
	for n := range 80 {
		start := int64(1e6+n) * int64(tunnel.Length)
		f, _ := tunnel.NewFlow(home, far, 6881, 20000, 17, 0)
		r := tunnel.Record{Flow: f, Interval: tunnel.Interval{Start: start}}
		for k := range int64(tunnel.Length / (20 * time.Millisecond)) {
			for c := range int64(9) {
				at := start + k*20e6 + c*1e6
				r.Down.Add(start, at, 92)
				r.Up.Add(start, at+10e6, 120)
				if c < 2 { // too small for voice, but answered
					r.Down.Add(start, at+5e5, 20)
					r.Up.Add(start, at+10e6+5e5, 120)
				}
			}
		}
		list = append(list, r)
	}
	if got, _ := channelsOf(t, list, 7); len(got) > 0 {
		t.Errorf("calls of %v", got)
	}
}

// TestTunnelsOfCopies: a mirror that gives everything twice, the copy later than a
// counter could tell, makes no calls more.
func TestTunnelsOfCopies(t *testing.T) {
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	home, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{210, 0, 0, 1})
	counted := func(copies int) (packets uint64) {
		r, err := newRun(Config{Homes: homes, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		s := newShard(1, r.arenas, control.New())
		s.meter.homes = homes
		for k := range int64(1000) {
			for c := range copies {
				payload := make([]byte, 200)
				payload[0] = 4 // data of WireGuard, with a counter
				payload[8], payload[9] = byte(k), byte(k>>8)
				p := packet.Packet{Time: 1e18 + k*20e6 + int64(c)*3e6, Seq: uint64(int(k)*copies + c), Proto: packet.UDP, Src: home, Dst: far, SrcPort: 4000, DstPort: 51820, Length: 200, Payload: payload}
				if k%2 == 0 {
					p.Src, p.Dst, p.SrcPort, p.DstPort = far, home, 51820, 4000
				}
				s.take(&p)
			}
		}
		s.flush()
		for i := range s.output.tunnels {
			packets += uint64(s.output.tunnels[i].Up.Packets) + uint64(s.output.tunnels[i].Down.Packets)
		}
		return packets
	}
	if once, twice := counted(1), counted(2); once == 0 || once != twice {
		t.Errorf("%d packets, %d of a mirror that gives all twice", once, twice)
	}
}

// TestTunnelsBounds: what comes too late is left out and counted, and so are
// flows for which there is no room.
func TestTunnelsBounds(t *testing.T) {
	home, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{210, 0, 0, 1})
	list := crowd(home, far, 4000, 9, 20)
	if _, q := channelsOf(t, append(list, list[3], list[4]), 1); q.late != 2 {
		t.Errorf("%d late, want 2", q.late)
	}
	var many []tunnel.Record
	one := crowd(home, far, 4000, 2, 1)[0]
	for i := range maxTunnels + 10 {
		one.APort = uint16(i)
		many = append(many, one)
	}
	if _, q := channelsOf(t, many, len(many)); q.evicted != 10 || len(q.flows) != maxTunnels {
		t.Errorf("%d evicted, %d kept", q.evicted, len(q.flows))
	}
}

// TestTunnelsOfLab: a gateway's calls in a tunnel are counted from frames, the same
// with any number of workers.
func TestTunnelsOfLab(t *testing.T) {
	for _, name := range []string{"hide-pptp"} {
		t.Run(name, func(t *testing.T) {
			file, truth := made(t, lab.Options{Scenario: name, Seed: 5, Duration: 4 * time.Minute})
			homes, err := ident.ParseHomes(lab.Homes(), 0)
			if err != nil {
				t.Fatal(err)
			}
			var first string
			for _, workers := range []int{1, 2} {
				r, err := Run(t.Context(), opened(t, file), Config{Homes: homes, Workers: workers})
				if err != nil {
					t.Fatal(err)
				}
				got := written(t, r)
				if workers == 1 {
					first = got
				} else if d := gocmp.Diff(first, got); d != "" {
					t.Errorf("%d workers (-one +several):\n%s", workers, d)
				}
				peak := lab.Peak(truth.Lines[0].Talks)
				for _, f := range r.Findings {
					if f.Line.Addr.String() == truth.Lines[0].Address {
						if n := f.Device.Channels; math.Abs(float64(n-peak)) > max(1, 0.3*float64(peak)) {
							t.Errorf("%d calls at once, truly %d", n, peak)
						}
						peak = -1
					}
				}
				if peak >= 0 {
					t.Error("no finding of the line")
				}
			}
		})
	}
}

// TestTunnelsOfBrowsers: what a page sends its server in one flow that began with
// STUN, DTLS or QUIC, at whatever pace, is no tunnel of calls, from either end.
func TestTunnelsOfBrowsers(t *testing.T) {
	home, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
	list := crowd(home, far, 4000, 6, 40)
	if got, _ := channelsOf(t, list, 7); len(got) != 1 {
		t.Fatalf("%v: the test measures nothing", got)
	}
	there := rtp.Flow{Src: home, Dst: far, SrcPort: 4000, DstPort: 51820}
	for _, f := range []rtp.Flow{there, {Src: far, Dst: home, SrcPort: 51820, DstPort: 4000}} {
		if got, _ := channelsOf(t, list, 7, f); len(got) != 0 {
			t.Errorf("%v counts", got)
		}
	}
	other := there
	other.SrcPort++
	if got, _ := channelsOf(t, list, 7, other); len(got) != 1 {
		t.Errorf("%v: another flow's beginning took this one's calls", got)
	}
}
