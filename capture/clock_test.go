package capture

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClock(t *testing.T) {
	const h, s = 3600 * second, second
	for _, c := range []struct {
		name  string
		in    []int64 // relative to t0, but from 0 on where abs
		abs   bool
		want  []int64
		count uint64
		at    int  // which record is the first that is told
		kind  Kind // Backwards unless it says otherwise
	}{
		{name: "one", in: []int64{0}, want: []int64{0}},
		{name: "in order", in: []int64{0, 1, 1, h}, want: []int64{0, 1, 1, h}},
		{name: "a little late", in: []int64{0, 5 * s, 3 * s, 4 * s, 6 * s}, want: []int64{0, 5 * s, 5 * s, 5 * s, 6 * s}, count: 2, at: 2},
		{name: "one far ahead", in: []int64{0, 1, 900 * h, 2, 3}, want: []int64{0, 1, 1, 2, 3}, count: 1, at: 2},
		{name: "one far behind", in: []int64{0, 10 * s, -900 * h, 11 * s}, want: []int64{0, 10 * s, 10 * s, 11 * s}, count: 1, at: 2},
		{name: "silence", in: []int64{0, 5 * h, 5*h + 1}, want: []int64{0, 5 * h, 5*h + 1}},
		{name: "silence again and again", in: []int64{0, 2 * h, 4 * h, 6 * h, 6*h + 1}, want: []int64{0, 2 * h, 4 * h, 6 * h, 6*h + 1}},
		{name: "silence, then the last frame", in: []int64{0, 1, 5 * h}, want: []int64{0, 1, 5 * h}},
		{name: "the last frame far ahead", in: []int64{0, 1, 50 * h}, want: []int64{0, 1, 1}, count: 1, at: 2},
		{name: "the last frame far behind", in: []int64{0, 9 * s, 1}, want: []int64{0, 9 * s, 9 * s}, count: 1, at: 2},
		{
			name: "set back", in: []int64{0, 1, 10 * s, -h, -h + s, -h + 7*s, 20 * s}, count: 1, at: 3,
			want: []int64{0, 1, 10 * s, 10 * s, 11 * s, 17 * s, 20 * s}, // the last: the clock has come back
		},
		{name: "set back twice", in: []int64{9 * h, 9 * h, 5 * h, 5*h + s, h, h + s}, want: []int64{9 * h, 9 * h, 9 * h, 9*h + s, 9*h + s, 9*h + 2*s}, count: 2, at: 2},
		{name: "first one far ahead", in: []int64{900 * h, 1, 2, 3}, want: []int64{1, 1, 2, 3}, count: 1, at: 0},
		{name: "second one far behind", in: []int64{5 * s, -900 * h, 6 * s, 7 * s}, want: []int64{5 * s, 5 * s, 6 * s, 7 * s}, count: 1, at: 1},
		{name: "second one far ahead", in: []int64{0, 900 * h, 1, 2}, want: []int64{0, 0, 1, 2}, count: 1, at: 1},
		{name: "first one zero", abs: true, in: []int64{0, t0, t0 + 1}, want: []int64{t0, t0, t0 + 1}, count: 1, at: 0},
		{name: "first of two zero", abs: true, in: []int64{0, t0}, want: []int64{t0, t0}, count: 1, at: 0},
		{name: "all zero", abs: true, in: []int64{0, 0, 0}, want: []int64{0, 0, 0}, count: 3, at: 0, kind: Timeless},
		{name: "from zero on", abs: true, in: []int64{0, 5, 9 * s}, want: []int64{0, 5, 9 * s}},
		{name: "one zero", abs: true, in: []int64{0}, want: []int64{0}},
		{name: "zeros, then times", abs: true, in: []int64{0, 0, t0, t0 + 1}, want: []int64{0, 0, t0, t0 + 1}, count: 2, at: 0, kind: Timeless},
		{name: "a zero last", abs: true, in: []int64{t0, t0 + 1, 0}, want: []int64{t0, t0 + 1, t0 + 1}, count: 1, at: 2, kind: Timeless},
		{name: "zero beside small times", abs: true, in: []int64{0, 5, 0, 6}, want: []int64{0, 5, 5, 6}, count: 1, at: 2, kind: Timeless},
		{name: "a burst of today", in: make([]int64, crowdFrames-1), want: make([]int64, crowdFrames-1)},
		{name: "all at one instant", in: make([]int64, crowdFrames), want: make([]int64, crowdFrames), count: crowdFrames, at: 0, kind: Timeless},
		{name: "all at one instant of 1970", abs: true, in: []int64{7, 7}, want: []int64{7, 7}, count: 2, at: 0, kind: Timeless},
		{name: "zeros between", abs: true, in: []int64{t0, t0 + 1, 0, 0, t0 + 2, 0, 0, 0, t0 + 3, t0 + 4}, want: []int64{t0, t0 + 1, t0 + 1, t0 + 1, t0 + 2, t0 + 2, t0 + 2, t0 + 2, t0 + 3, t0 + 4}, count: 5, at: 2, kind: Timeless},
		{
			name: "the largest times", abs: true, in: []int64{4294967295 * s, 4294967295 * s, 1, 2, 4294967295 * s, 3, 4}, count: 2, at: 2,
			want: []int64{4294967295 * s, 4294967295 * s, 4294967295 * s, 4294967295*s + 1, 4294967295*s + 1, 4294967295*s + 2, 4294967295*s + 3},
		},
		{name: "falling", in: []int64{90 * s, 80 * s, 70 * s, 60 * s}, want: []int64{90 * s, 90 * s, 90 * s, 90 * s}, count: 3, at: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var recs []rec
			var want []int64
			base := t0
			if c.abs {
				base = 0
			}
			for i := range c.in {
				recs = append(recs, rec{Time: base + c.in[i], Data: "x"})
				want = append(want, base+c.want[i])
			}
			f := open(t, Options{}, write(t, t.TempDir(), "a.pcap", plain.file(recs...)))
			if d := cmp.Diff(want, times(drain(t, f))); d != "" {
				t.Error(d)
			}
			var damages []Damage
			if c.count > 0 {
				damages = []Damage{{File: "a.pcap", Kind: max(c.kind, Backwards), Count: c.count, Offset: int64(24 + 17*c.at)}}
			}
			if d := cmp.Diff(damages, cleaned(f.Damages())); d != "" {
				t.Error(d)
			}
		})
	}
}
