package tunnel

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/lab"
)

var (
	seeds    = flag.Int("seeds", 0, "how many seeds of each scenario TestMeasure takes; 0 skips it")
	firstOne = flag.Uint64("first", 1, "the first of them: 1 and on were for design, 1001 and on are for reports")
	only     = flag.String("only", "", "scenarios that TestMeasure takes, all of Hiding where empty")
	verbose  = flag.Bool("each", false, "print each capture")
)

// answered are the calls that were.
func answered(talks []lab.Talk) []lab.Talk {
	var out []lab.Talk
	for _, k := range talks {
		if !k.Start.IsZero() {
			k.Early = time.Time{}
			out = append(out, k)
		}
	}
	return out
}

// upAt gives how many calls talked on average over [from, to), and how many at
// most.
func upAt(talks []lab.Talk, from, to int64) (mean float64, most int) {
	var in []lab.Talk
	for _, k := range answered(talks) {
		a, b := max(k.From().UnixNano(), from), min(k.End.UnixNano(), to)
		if b > a {
			mean += float64(b-a) / float64(to-from)
			in = append(in, k)
		}
	}
	return mean, lab.Peak(in)
}

// result is what counting made of one capture.
type result struct {
	kinds map[Kind]int // windows by kind, of flows with enough packets
	calls int          // windows with calls counted
	two   int          // windows in which two or more were
	wrong []float64    // relative errors of the mean, of windows with eight or more
	few   []float64    // errors in calls, of windows with fewer
	peak  [2]float64   // counted, true
	// bounds are windows of one call or more whose truth was within Low and High,
	// and all of them.
	bounds [2]int
	high   float64 // most calls counted in any window of any flow
}

// measure counts a capture's calls by flow; truth is that of its first line, of
// which one flow carries all calls in the scenarios of boxes.
func measure(t testing.TB, name string, seed uint64) result {
	truth, flows := capture(t, name, seed, 0)
	l := truth.Lines[0]
	r := result{kinds: map[Kind]int{}}
	type slot struct {
		n        float64
		from, to int64
	}
	sums := map[int64]*slot{}
	keys := slices.SortedFunc(maps.Keys(flows), func(a, b flowKey) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	for _, k := range keys {
		if k.near.Addr().String() != l.Address {
			continue
		}
		var c Counter
		for i := range flows[k] {
			out, ok := c.Add(&flows[k][i])
			if !ok {
				continue
			}
			if out.Kind == Little {
				continue
			}
			r.kinds[out.Kind]++
			if out.Kind != Calls {
				continue
			}
			r.calls++
			r.high = max(r.high, out.Mean)
			if out.Mean >= 1.7 {
				r.two++
			}
			if m, _ := upAt(l.Talks, out.Start, out.End); m >= 1 {
				r.bounds[1]++
				if out.Low <= m && m <= out.High {
					r.bounds[0]++
				}
			}
			s := sums[out.Start]
			if s == nil {
				s = &slot{from: out.Start, to: out.End}
				sums[out.Start] = s
			}
			s.n += out.Mean
			r.peak[0] = max(r.peak[0], out.Peak)
			if *verbose {
				m, _ := upAt(l.Talks, out.Start, out.End)
				fmt.Printf("    %s %d %v: %.1f (%.1f-%.1f) peak %.1f true %.1f ptime %.1f active %.2f clarity %.0f even %.2f\n", name, seed, k.far.Port(), out.Mean, out.Low, out.High, out.Peak, m, out.Ptime, out.Active, out.Clarity, out.Even)
			}
		}
	}
	for _, s := range sums {
		m, _ := upAt(l.Talks, s.from, s.to)
		if m >= 8 {
			r.wrong = append(r.wrong, s.n/m-1)
		} else {
			r.few = append(r.few, s.n-m)
		}
	}
	r.peak[1] = float64(lab.Peak(answered(l.Talks)))
	return r
}

func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return v[min(int(q*float64(len(v))), len(v)-1)]
}

// TestMeasure prints how well calls are counted in the lab's tunnels, and what
// is counted on honest lines.
func TestMeasure(t *testing.T) {
	if *seeds == 0 {
		t.Skip("-args -seeds N measures")
	}
	for _, sc := range lab.Hiding() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), sc.Name) {
			continue
		}
		begin := time.Now()
		kinds := map[Kind]int{}
		var wrong, few []float64
		lines, good, peaks, most, two, eight := 0, 0, 0, 0.0, 0, 0
		var bounds [2]int
		for i := range *seeds {
			r := measure(t, sc.Name, *firstOne+uint64(i))
			for k, n := range r.kinds {
				kinds[k] += n
			}
			few = append(few, r.few...)
			most = max(most, r.high)
			two += min(r.two, 1)
			if r.peak[0] >= 6 {
				eight++
			}
			bounds[0], bounds[1] = bounds[0]+r.bounds[0], bounds[1]+r.bounds[1]
			if r.peak[1] < 8 {
				continue
			}
			lines++
			wrong = append(wrong, r.wrong...)
			if m := math.Abs(quantile(r.wrong, 0.5)); m <= 0.2 {
				good++
			}
			if r.peak[0] > 0 && math.Abs(r.peak[0]/r.peak[1]-1) <= 0.2 {
				peaks++
			} else if *verbose {
				fmt.Printf("    %s %d: peak %.1f true %.0f\n", sc.Name, *firstOne+uint64(i), r.peak[0], r.peak[1])
			}
		}
		in := 0
		for _, w := range wrong {
			if math.Abs(w) <= 0.2 {
				in++
			}
		}
		fmt.Printf("%-18s | %2d of %2d at 8+: windows in 20%% %3d/%-3d p10 %4.0f%% p50 %4.0f%% p90 %4.0f%%, median of line in 20%% %d, peak in 20%% %d | in bounds %d/%d, few %.1f | most %.1f, two+ on %d, six+ on %d | %v %s\n",
			sc.Name, lines, *seeds, in, len(wrong), 100*quantile(wrong, 0.1), 100*quantile(wrong, 0.5), 100*quantile(wrong, 0.9), good, peaks, bounds[0], bounds[1], quantile(few, 0.5), most, two, eight, kinds, time.Since(begin).Round(time.Second))
	}
}
