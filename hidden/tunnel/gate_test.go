package tunnel

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"simtrap/ident"
)

// play gives the lengths at whose first packet the gate is open, of a flow with
// so many packets up and down in each.
func play(g *Gate, lengths [][2]int) (open []int) {
	for i, n := range lengths {
		start := int64(1000+i) * int64(Length)
		first := true
		for k := range max(n[0], n[1]) {
			for way := range 2 {
				if k >= n[way] {
					continue
				}
				at := start + int64(k)*int64(Length)/int64(max(n[0], n[1]))
				if g.Packet(at, way == 0, 100) && first {
					open = append(open, i)
				}
				first = false
			}
		}
	}
	return open
}

func times(n int, of [2]int) (out [][2]int) {
	for range n {
		out = append(out, of)
	}
	return out
}

func TestGate(t *testing.T) {
	enough, few, oneWay, quiet := [2]int{Least, Least}, [2]int{Least, Least - 1}, [2]int{500, 0}, [2]int{}
	for _, tt := range []struct {
		name    string
		lengths [][2]int
		want    []int
	}{
		{"three lengths in a row", times(6, enough), []int{4, 5}},
		{"too few one way", times(9, few), nil},
		{"one way", times(9, oneWay), nil},
		{"one of three is thin", append(append(times(2, enough), few), times(3, enough)...), nil},
		{"one of three has nothing", append(append(times(2, enough), quiet), times(3, enough)...), nil},
		{"a call ends and another begins", append(append(times(3, enough), times(2, few)...), enough), []int{4, 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := gocmp.Diff(tt.want, play(&Gate{}, tt.lengths)); d != "" {
				t.Errorf("open at (-want +got):\n%s", d)
			}
		})
	}
}

// TestGateShuts: after 26 s in which it was thin or silent a gate is shut and
// must be earned again.
func TestGateShuts(t *testing.T) {
	for _, tt := range []struct {
		name string
		thin [2]int
		n    int
		want bool
	}{
		{"thin for a while", [2]int{5, 5}, Stays - 1, true},
		{"thin for long", [2]int{5, 5}, Stays, false},
		{"silent for a while", [2]int{}, Stays - 1, true},
		{"silent for long", [2]int{}, Stays, false},
		{"silent for very long", [2]int{}, 100_000, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lengths := append(times(4, [2]int{Least, Least}), times(tt.n, tt.thin)...)
			lengths = append(lengths, [2]int{1, 0})
			open := play(&Gate{}, lengths)
			if got := len(open) > 0 && open[len(open)-1] == len(lengths)-1; got != tt.want {
				t.Errorf("open %v, want %v", got, tt.want)
			}
		})
	}
}

// TestGateIsNorm: whatever comes, the gate is what its definition says.
func TestGateIsNorm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lengths := rapid.SliceOfN(rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, Least - 1, Least, 200}), 2, 2),
			func(v []int) [2]int { return [2]int{v[0], v[1]} }), 1, 90).Draw(t, "lengths")
		var want []int
		run, since, open := 0, Stays, false
		for i, n := range lengths {
			if n != [2]int{} {
				// The length in which it opens is not kept.
				if open && since < Stays {
					want = append(want, i)
				}
				open = since < Stays
			}
			if n[0] >= Least && n[1] >= Least {
				run++
			} else {
				run = 0
			}
			since++
			if run >= Opens {
				since = 0
			} else if run > 0 {
				// Lengths that have enough do not count as without.
				since--
			}
		}
		if d := gocmp.Diff(want, play(&Gate{}, lengths)); d != "" {
			t.Errorf("open at (-want +got):\n%s", d)
		}
	})
}

func at(last byte) ident.Addr { return ident.AddrFrom4([]byte{203, 0, 113, last}) }

// TestGatesBounds: any number of flows leaves the tables within their bounds, and
// what makes room is counted.
func TestGatesBounds(t *testing.T) {
	told := 0
	g := NewGates(func(*Record) { told++ })
	const flows = 3 * gateWays * gateBuckets
	for i := range flows {
		g.Packet(uint64(i)*0x9e3779b97f4a7c15, at(byte(i)), at(byte(i>>8)), 1, 2, 17, 0, 1e15, 100)
	}
	if c := g.Counters(); c.Evicted < flows/3 || c.Evicted >= flows {
		t.Errorf("%d of %d gates evicted", c.Evicted, flows)
	}
	// All of these are open: the meter holds maxOpen at once.
	g = NewGates(func(*Record) { told++ })
	now := int64(0)
	for k := range 6 * Least {
		now = int64(k)*int64(Length)/Least + 1
		if k%Least == 0 {
			g.Sweep(now)
		}
		for i := range 2 * maxOpen {
			g.Packet(5, at(1), at(2), uint16(i), 2, 17, 0, now, 100)
			g.Packet(5, at(2), at(1), 2, uint16(i), 17, 0, now, 100)
		}
	}
	if n := len(g.meter.flows); n != maxOpen {
		t.Errorf("%d flows are metered, want %d", n, maxOpen)
	}
	g.Sweep(now + int64(Length))
	if c := g.Counters(); c.Crowded == 0 || c.Meter.Evicted > 0 || told != 2*maxOpen {
		t.Errorf("%+v, %d told, want %d", c, told, 2*maxOpen)
	}
}

// TestSweep: an interval is told of once time has passed its end, and only then.
func TestSweep(t *testing.T) {
	var got []int64
	m := NewMeter(8, func(_ int, iv *Interval) { got = append(got, iv.Start) })
	end := int64(Length)
	for i := range 50 {
		m.Add(i%2, int64(i)*int64(10*time.Millisecond), true, false, 100)
	}
	m.Sweep(end - 1)
	if len(got) > 0 {
		t.Fatalf("told of %v before the end", got)
	}
	m.Sweep(end)
	if d := gocmp.Diff([]int64{0, 0}, got); d != "" {
		t.Errorf("told of (-want +got):\n%s", d)
	}
	if len(m.flows) > 0 {
		t.Errorf("%d flows left", len(m.flows))
	}
}

// TestMerge: what two ports saw of one flow is as if one had seen it.
func TestMerge(t *testing.T) {
	var one, up, down Interval
	for i := range 5000 {
		at, size := int64(i)*int64(Length)/5000, i%500
		if i%3 == 0 {
			one.Up.Add(0, at, size)
			up.Up.Add(0, at, size)
		} else {
			one.Down.Add(0, at, size)
			down.Down.Add(0, at, size)
		}
	}
	up.Merge(&down)
	if d := gocmp.Diff(one, up); d != "" {
		t.Errorf("(-one port +two):\n%s", d)
	}
	up.Merge(&down) // counters stand still
	for i, n := range up.Down.SlotCount {
		if n < one.Down.SlotCount[i] {
			t.Errorf("slot %d fell from %d to %d", i, one.Down.SlotCount[i], n)
		}
	}
}

func TestNewFlow(t *testing.T) {
	f, up := NewFlow(at(1), at(2), 5, 4, 17, 3)
	g, down := NewFlow(at(2), at(1), 4, 5, 17, 3)
	if f != g || !up || down {
		t.Errorf("%v %v, %v %v", f, up, g, down)
	}
	if f, up := NewFlow(at(1), at(1), 5, 4, 17, 3); up || f.APort != 4 {
		t.Errorf("one address: %v %v", f, up)
	}
}
