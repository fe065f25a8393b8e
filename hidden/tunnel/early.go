package tunnel

import "math"

// ringing follows sound before the answer in one flow: a stream that begins one
// way alone and gains its other side, or ends without it, within the time that a
// telephone rings. What goes one way for another cause is not that: a call on hold
// loses a side, packets lost are missing from all streams, and what a mirror gives
// twice begins twice.
type ringing struct {
	last [2][2 * reach]float64 // streams in the last quarters
	n    int                   // of these that are known
	now  int                   // quarters so far
	// begun are the quarters at which streams began one way alone that are still
	// alone, up and down.
	begun [2][]int
}

const (
	quarters = 4   // of an interval, 600 ms each
	reach    = 2   // quarters either side of a change that it is measured over
	ringsFor = 100 // quarters: a minute
	maxRings = 64
	stepLone = 0.7 // streams that begin or end
	stepStil = 0.3 // and less than which is no change the other way
	stepMore = 0.1 // streams more one way than the other where one is alone, less what is lost
)

// window takes the streams of a window by quarters, up and down, and gives how
// many streams of either direction were before their answer, on average.
func (r *ringing) window(s *[2][Window * quarters]float64) (mean [2]float64) {
	const known = 2 * reach
	var all [2][known + Window*quarters]float64
	for k := range all {
		copy(all[k][:], r.last[k][:])
		copy(all[k][known:], s[k][:])
	}
	from := known - r.n
	change := func(k, i int) float64 {
		return (all[k][i+1] + all[k][i+2] - all[k][i-1] - all[k][i-2]) / reach
	}
	for i := from + reach; i < len(all[0])-reach; i++ {
		for k := range all {
			more := (all[k][i+1] + all[k][i+2] - all[1-k][i+1] - all[1-k][i+2]) / reach
			r.step(k, change(k, i), change(1-k, i), more, func(o int) float64 {
				if j := i + o; j >= from+reach && j < len(all[0])-reach {
					return math.Abs(change(k, j))
				}
				return 0
			})
		}
		r.now++
		for k := range r.begun {
			for len(r.begun[k]) > 0 && r.now-r.begun[k][0] > ringsFor {
				r.begun[k] = r.begun[k][1:]
			}
			mean[k] += float64(len(r.begun[k])) / (Window * quarters)
		}
	}
	for k := range all {
		copy(r.last[k][:], all[k][Window*quarters:])
	}
	r.n = known
	return mean
}

// step takes a change of one direction while the other changed by other, after
// which there are more streams of it than of the other by so many; near gives the size of the changes some quarters from it, of which the largest counts.
func (r *ringing) step(k int, change, other, more float64, near func(int) float64) {
	size := math.Abs(change)
	if size < stepLone || math.Abs(other) > stepStil {
		return
	}
	for o := 1; o <= reach; o++ {
		if near(-o) >= size || near(o) > size {
			return
		}
	}
	for range int(math.Round(size)) {
		back := &r.begun[1-k]
		switch {
		case change < 0:
			back = &r.begun[k] // it ends unanswered, or a call loses a side
			if len(*back) > 0 {
				*back = (*back)[1:]
			}
		case len(*back) > 0:
			*back = (*back)[1:] // it gains its other side
		case more > stepMore && len(r.begun[k]) < maxRings: // else the other side of one not seen to begin
			r.begun[k] = append(r.begun[k], r.now)
		}
	}
}

// quarterly gives the streams of a window by quarters, at packet times of so many
// ms.
func (c *Counter) quarterly(ptime [2]float64) (s [2][Window * quarters]float64) {
	for i := range c.window {
		for k, w := range [2]*Way{&c.window[i].Up, &c.window[i].Down} {
			for slot, n := range w.SlotCount {
				s[k][i*quarters+slot*quarters/Slots] += float64(n) * ptime[k] * quarters / float64(Length.Milliseconds())
			}
		}
	}
	return s
}

// own follows whether the subscriber sends more than it is sent: whatever answers
// whoever asks, one for one, sends no more than it was asked for, but what is
// still on its way.
type own struct {
	ahead int64 // packets sent beyond those that came, since it was least
	most  int64 // packets that came in an interval, at most: as many may be on their way
	shown bool
}

func (o *own) add(iv *Interval) {
	o.most = max(o.most, int64(iv.Down.Packets))
	o.ahead = max(0, o.ahead+int64(iv.Up.Packets)-int64(iv.Down.Packets))
	o.shown = o.shown || o.ahead > max(o.most, Least)
}

// copied says whether packets of some direction come twice: of one that does
// nearly all counters are even. Those of a stream without jitter are as well, at so
// many packets a phase in each interval, and say nothing.
func (c *Counter) copied() bool {
	const (
		each   = uint8(Length / Fold)
		enough = 100
		share  = 0.8
	)
	var cells, even [2]int
	for i := range c.window {
		for k, w := range [2]*Way{&c.window[i].Up, &c.window[i].Down} {
			for _, n := range w.Phase {
				if n == 0 || n == ^uint8(0) || n%each == 0 {
					continue
				}
				cells[k]++
				if n%2 == 0 {
					even[k]++
				}
			}
		}
	}
	for k, n := range cells {
		if n >= enough && float64(even[k]) > share*float64(n) {
			return true
		}
	}
	return false
}
