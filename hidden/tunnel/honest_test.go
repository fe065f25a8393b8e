package tunnel

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// crowd is a made-up tunnel of calls of 20 ms with jitter.
type crowd struct {
	calls            int
	up, down         float64 // share lost
	upTwice, bothWay bool    // copied by a mirror
	pauses           float64 // share of time in which nothing comes down
	held             int     // more that go up alone
	rings            bool    // each third of a minute a call rings for 10 s, its sound going up, and is answered for 25
	out              bool    // it is the callees' sound, which comes down
	holds            bool    // each third of a minute one call is held for 10 s, and hears music
}

// sent gives its packets over so long.
func (x crowd) sent(seed uint64, long time.Duration) (list []sent) {
	r := rand.New(rand.NewPCG(seed, 7))
	put := func(at int64, up bool, lost float64, twice bool) {
		if r.Float64() < lost {
			return
		}
		p := sent{int64(Length)*100 + at + int64(2e6*math.Abs(r.NormFloat64())), up, 208}
		if list = append(list, p); twice {
			p.at += 2e3
			list = append(list, p)
		}
	}
	stream := func(up bool, pauses float64, from, to int64, gap func(int64) bool) {
		talk, left := true, 0
		for at := from + r.Int64N(20e6); at < to; at += 20e6 {
			if left--; pauses > 0 && left <= 0 {
				if talk = !talk; talk {
					left = int(r.ExpFloat64() * 75 * (1 - pauses) / pauses)
				} else {
					left = int(r.ExpFloat64() * 75)
				}
			}
			if !talk || gap != nil && gap(at) {
				continue
			}
			if up {
				put(at, true, x.up, x.upTwice)
			} else {
				put(at, false, x.down, x.upTwice && x.bothWay)
			}
		}
	}
	const third = int64(20e9)
	for i := range x.calls {
		var hold func(int64) bool
		if x.holds && i == 0 {
			hold = func(at int64) bool { return at%third > third/2 }
		}
		stream(true, 0, 0, int64(long), nil)
		stream(false, x.pauses, 0, int64(long), hold)
	}
	for range x.held {
		stream(true, 0, 0, int64(long), nil)
	}
	if x.rings {
		for at := int64(0); at+2*third < int64(long); at += third {
			stream(!x.out, 0, at, at+2*third-5e9, nil)
			stream(x.out, 0, at+third/2, at+2*third-5e9, nil)
		}
	}
	return list
}

// TestEarlyComesAndGoes: sound before the answer begins one way alone and gains
// its other side; what is lost, paused, held or copied is none of it.
func TestEarlyComesAndGoes(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   crowd
		want bool
	}{
		{"calls that ring", crowd{calls: 4, rings: true}, true},
		{"calls that ring among more", crowd{calls: 6, rings: true}, true},
		{"as many each way", crowd{calls: 5}, false},
		{"5 in 100 lost down", crowd{calls: 5, down: 0.05}, false},
		{"8 in 100 lost down", crowd{calls: 5, down: 0.08}, false},
		{"8 in 100 lost down, of nine", crowd{calls: 9, down: 0.08}, false},
		{"8 in 100 pauses down", crowd{calls: 6, pauses: 0.08}, false},
		{"10 in 100 pauses down", crowd{calls: 10, pauses: 0.10}, false},
		{"12 in 100 pauses down", crowd{calls: 10, pauses: 0.12}, false},
		{"15 in 100 pauses down", crowd{calls: 10, pauses: 0.15}, false},
		{"one held for long", crowd{calls: 5, held: 1}, false},
		{"one held again and again", crowd{calls: 5, holds: true}, false},
		{"calls out", crowd{calls: 5, rings: true, out: true}, false},
		{"calls out, 3 in 100 lost down", crowd{calls: 7, rings: true, out: true, down: 0.03}, false},
		{"up comes twice", crowd{calls: 4, upTwice: true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up, whole, own := 0, 0, false
			got := counted(tt.of.sent(1, 12*Window*Length), false)
			for _, c := range got {
				if c.Kind != Calls || !c.Whole {
					continue
				}
				own = own || c.Own
				whole++
				if c.Early >= max(0.25, 0.06*c.Mean) {
					up++
				}
			}
			t.Logf("%d of %d windows, %d whole", up, len(got), whole)
			if tt.want && (2*up < whole || whole < 8 || !own) {
				t.Errorf("%d of %d windows with sound that goes up", up, whole)
			}
			if !tt.want && up > 0 {
				t.Errorf("%d of %d windows with sound that goes up", up, whole)
			}
		})
	}
}

// TestCopies: packets that come twice give no number of calls.
func TestCopies(t *testing.T) {
	for _, x := range []crowd{{calls: 2, upTwice: true}, {calls: 4, upTwice: true}, {calls: 2, upTwice: true, bothWay: true}, {calls: 9, upTwice: true, bothWay: true}} {
		for _, c := range counted(x.sent(1, 4*Window*Length), false) {
			if c.Kind != Copied || c.Mean > 0 {
				t.Errorf("%+v: %v, %.1f calls", x, c.Kind, c.Mean)
			}
		}
	}
	for n := range 12 {
		for _, c := range counted(crowd{calls: n + 1, down: 0.02}.sent(uint64(n), 4*Window*Length), false) {
			if c.Kind != Calls {
				t.Errorf("%d calls: %v", n+1, c.Kind)
			}
		}
	}
}

// TestAnswers: what a service sends to whoever asks is not its own, however small
// the requests, late the answers or lossy the way.
func TestAnswers(t *testing.T) {
	for _, small := range []int{0, 2} {
		for _, late := range []time.Duration{2 * time.Millisecond, 30 * time.Millisecond, time.Second} {
			r := rand.New(rand.NewPCG(uint64(small), 7))
			var list []sent
			ask := func(size int) {
				for at := r.Int64N(20e6); at < int64(12*Window*Length); at += 20e6 {
					list = append(list, sent{int64(Length)*100 + at, false, size})
					if r.Float64() > 0.05 {
						list = append(list, sent{int64(Length)*100 + at + int64(late) + r.Int64N(2e6), true, 120})
					}
				}
			}
			for range 9 {
				ask(92)
			}
			for range small {
				ask(20)
			}
			for _, c := range counted(list, false) {
				if c.Own {
					t.Fatalf("%d small, answers after %v: %+v", small, late, c)
				}
			}
		}
	}
	// Where nobody answers, but the line speaks first, it does.
	own := false
	for _, c := range counted(crowd{calls: 4, rings: true}.sent(3, 12*Window*Length), false) {
		own = c.Own
	}
	if !own {
		t.Error("a line whose calls ring has nothing of its own")
	}
}

// TestAnswersWithSeveral: who answers each packet with two or three sends more than
// sound before the answer can be, and makes no calls.
func TestAnswersWithSeveral(t *testing.T) {
	for _, several := range []int{2, 3} {
		r := rand.New(rand.NewPCG(uint64(several), 7))
		var list []sent
		for range 9 {
			for at := r.Int64N(20e6); at < int64(12*Window*Length); at += 20e6 {
				list = append(list, sent{int64(Length)*100 + at, false, 92})
				for range several {
					list = append(list, sent{int64(Length)*100 + at + 30e6 + r.Int64N(2e6), true, 120})
				}
			}
		}
		for _, c := range counted(list, false) {
			if c.Kind == Calls {
				t.Fatalf("%d for one: %+v", several, c)
			}
		}
	}
}

// TestMergeOfPorts: directions that two ports tell are put together, not added up.
func TestMergeOfPorts(t *testing.T) {
	var a, b Interval
	for i := range int64(100) {
		a.Up.Add(0, i*20e6, 200)
		b.Up.Add(0, i*20e6, 200)
		b.Down.Add(0, i*20e6, 200)
	}
	b.Up.Add(0, 1, 200)
	whole := b
	if a.Merge(&b); a != whole {
		t.Errorf("%d up, %d down", a.Up.Packets, a.Down.Packets)
	}
	if b.Merge(&Interval{Up: Way{Packets: 3}}); b != whole {
		t.Error("less of a direction took the place of more")
	}
}
