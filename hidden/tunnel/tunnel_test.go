package tunnel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sent is a packet of a made-up flow.
type sent struct {
	at   int64
	up   bool
	size int
}

// voices gives n calls of one codec for so long: both ways, each stream at a
// phase of its own, with jitter of so many ms.
func voices(r *rand.Rand, n int, ptime time.Duration, size int, jitter float64, long time.Duration) (list []sent) {
	for range n {
		for _, up := range []bool{true, false} {
			for at := r.Int64N(int64(ptime)); at < int64(long); at += int64(ptime) {
				list = append(list, sent{int64(Length)*100 + at + int64(jitter*r.ExpFloat64()*1e6), up, size})
			}
		}
	}
	return list
}

// counted gives what is counted in packets.
func counted(list []sent, stream bool) (out []Count) {
	slices.SortFunc(list, func(a, b sent) int { return int(a.at - b.at) })
	var c Counter
	m := NewMeter(1, func(_ int, iv *Interval) {
		if k, ok := c.Add(iv); ok {
			out = append(out, k)
		}
	})
	for _, p := range list {
		m.Add(0, p.at, p.up, stream, p.size)
	}
	m.Close()
	return out
}

func TestCount(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	long := 45 * time.Second
	random := func(rate float64, size func() int) (list []sent) {
		for _, up := range []bool{true, false} {
			for at := 0.0; at < long.Seconds(); at += r.ExpFloat64() / rate {
				list = append(list, sent{int64(Length)*100 + int64(at*1e9), up, size()})
			}
		}
		return list
	}
	voice := func() int { return 124 }
	tests := []struct {
		name string
		list []sent
		kind Kind
		n    float64
	}{
		{"nine calls of 20 ms", voices(r, 9, 20*time.Millisecond, 124, 0.3, long), Calls, 9},
		{"the same with much jitter", voices(r, 9, 20*time.Millisecond, 124, 3, long), Calls, 9},
		{"eleven of 30 ms", voices(r, 11, 30*time.Millisecond, 124, 0.5, long), Calls, 11},
		{"eight of 10 ms", voices(r, 8, 10*time.Millisecond, 140, 0.3, long), Calls, 8},
		{"twelve of 60 ms", voices(r, 12, 60*time.Millisecond, 140, 0.3, long), Calls, 12},
		{"thirty", voices(r, 30, 20*time.Millisecond, 268, 0.5, long), Calls, 30},
		{"of 20 ms and of 40", append(voices(r, 6, 20*time.Millisecond, 124, 0.3, long), voices(r, 6, 40*time.Millisecond, 140, 0.3, long)...), Calls, 12},
		{"as many packets at random", random(450, voice), Uneven, 0},
		{"a game of 64 ticks", voices(r, 7, time.Second/64, 124, 0.1, long), Uneven, 0},
		{"voice of ever other sizes", func() []sent {
			l := voices(r, 3, 20*time.Millisecond, 0, 0.3, long)
			for i := range l {
				l[i].size = 80 + r.IntN(160)
			}
			return l
		}(), Varied, 0},
		{"keepalives", voices(r, 9, 2*time.Second, 40, 0, long), Little, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := counted(test.list, false)
			if len(got) == 0 {
				t.Fatal("nothing was counted")
			}
			for _, k := range got {
				if k.Kind != test.kind || math.Abs(k.Mean-test.n) > 0.2*test.n {
					t.Errorf("%v, %.1f calls; want %v, %.0f: %+v", k.Kind, k.Mean, test.kind, test.n, k)
				}
				if k.Kind == Calls && (k.Low > test.n || 1.1*k.High < test.n || k.Peak < k.Mean) {
					t.Errorf("from %.1f to %.1f, peak %.1f; want %.0f within", k.Low, k.High, k.Peak, test.n)
				}
			}
		})
	}
}

// TestConference holds that one voice up and many down are no calls.
func TestConference(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	list := voices(r, 6, 20*time.Millisecond, 124, 0.3, 45*time.Second)
	n := 0
	list = slices.DeleteFunc(list, func(p sent) bool { n++; return p.up && n > 2250 }) // the first call's alone goes up
	for _, k := range counted(list, false) {
		if k.Kind != Conference {
			t.Errorf("%+v", k)
		}
	}
}

func TestMerged(t *testing.T) {
	var list []sent
	for at := int64(0); at < int64(45*time.Second); at += int64(150 * time.Millisecond) {
		list = append(list, sent{int64(Length) + at, true, 1300}, sent{int64(Length) + at + 1, false, 1200}, sent{int64(Length) + at + 2, false, 300})
	}
	for _, k := range counted(list, true) {
		if k.Kind != Merged || k.Mean != 0 {
			t.Errorf("%+v", k)
		}
	}
}

func TestMeter(t *testing.T) {
	var told []string
	m := NewMeter(2, func(k string, iv *Interval) {
		told = append(told, k)
		if n := iv.Up.Packets; n != 30 || iv.Up.Sizes[100/BinBytes] != 30 || iv.Start%int64(Length) != 0 {
			t.Errorf("%s: %d packets", k, n)
		}
	})
	for i := range int64(30) {
		for n, k := range []string{"a", "b"} {
			m.Add(k, int64(Length)*5+i*20e6+int64(n), true, false, 100)
		}
	}
	m.Add("b", 1, true, false, 0) // late, no payload
	m.Add("c", int64(Length)*6, true, false, 100)
	m.Add("b", int64(Length)*6, true, false, 100)
	m.Close()
	if want := []string{"a", "b"}; !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
	if got, want := m.Counters(), (MeterCounters{Packets: 63, Flows: 3, Evicted: 1, Sparse: 2, Late: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestCountersStandStill(t *testing.T) {
	var w Way
	for range 1 << 17 {
		w.Add(0, 1, 100)
	}
	if w.Packets != 1<<16-1 || w.SlotCount[0] != 255 || w.Phase[0] != 255 {
		t.Errorf("%d packets, %d in the first slot, %d at the first phase", w.Packets, w.SlotCount[0], w.Phase[0])
	}
}

// TestLab counts one box and one conference of the lab.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long under the race detector; the full tests run it")
	}
	for name, want := range map[string]bool{"hide-relay": true, "twin-backup": false} {
		truth, flows := capture(t, name, 1, 4*time.Minute)
		n, bad := 0, 0
		for _, ivs := range flows {
			var c Counter
			for i := range ivs {
				k, ok := c.Add(&ivs[i])
				if !ok || k.Kind != Calls {
					continue
				}
				n++
				if m, _ := upAt(truth.Lines[0].Talks, k.Start, k.End); math.Abs(k.Mean-m) > max(1.5, 0.25*m) {
					bad++
				}
			}
		}
		if want != (n > 5) || 4*bad > n {
			t.Errorf("%s: %d windows with calls, %d of them wrong", name, n, bad)
		}
	}
}

// FuzzCount holds that whatever packets come, counts are numbers in order.
func FuzzCount(f *testing.F) {
	f.Add([]byte{0, 20, 1, 100, 0, 20, 0, 100}, uint16(500), false)
	f.Add([]byte{0, 1, 1, 255, 255, 255, 0, 3}, uint16(3000), true)
	f.Add([]byte{0, 10, 3, 124, 0, 10, 2, 124}, uint16(5000), false)
	f.Fuzz(func(t *testing.T, b []byte, times uint16, stream bool) {
		if len(b) < 4 {
			return
		}
		var c Counter
		m := NewMeter(2, func(_ byte, iv *Interval) {
			k, ok := c.Add(iv)
			if !ok {
				return
			}
			for _, v := range []float64{k.Mean, k.Peak, k.Low, k.High, k.Ptime, k.Active, k.Even, k.Early, k.Clarity[0], k.Clarity[1]} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%+v", k)
				}
			}
			if k.Low > k.Mean || k.High < k.Mean || (k.Kind == Calls) != (k.Mean > 0) || len(c.window) != 0 {
				t.Fatalf("%+v", k)
			}
		})
		now := int64(0)
		for i := range min(int(times), 20000) {
			p := b[4*(i%(len(b)/4)):]
			now += int64(binary.BigEndian.Uint16(p)) * 1e6
			m.Add(p[2]>>2, now, p[2]&1 == 0, stream, int(p[3])<<(p[2]>>1&1*3))
		}
		m.Close()
	})
}
