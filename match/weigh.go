package match

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Limits of what is accepted.
const (
	// Accepted is the e-value from which a card is named, after all that was
	// searched. By Markov's inequality a run names a card of no box at most once
	// in so many runs.
	Accepted = 100

	// ringing is for how long the mobile network may ring after the line's side
	// was answered or its media began.
	ringing = int64(time.Minute)
	// setup is for how long a call is set up before it is answered: the beginning
	// must be seen for a call to be known.
	setup = int64(20 * time.Second)
	// shortest is the least that the line's calls are shifted by, within the hour.
	shortest = 10 * time.Minute
	// maxOffsets is how many clock offsets are searched.
	maxOffsets = 1201
)

// shares are the parts of a card's calls that may run over the line, all as
// likely as the others.
var shares = [...]float64{0.95, 0.7, 0.4, 0.15}

// talk is one answered call of a card, as bounds of what the record may mean.
// Times are nanoseconds.
type talk struct {
	start, startTo        int64 // answered from start to startTo
	shortest, longest     int64
	end, endTo            int64
	direction             Direction
	called, calling, cell string
}

// search is what is compared and how.
type search struct {
	tolerance int64   // ns, besides the line's own and the record's uncertainty
	offsets   []int64 // ns, line's clock minus the records'
}

// window gives what a talk is compared with: the key's time and width at offset
// 0, and the lengths of the line's call.
func (s *search) window(l *Line, w way, k *talk) (from, to, lo, hi int64) {
	slack := s.tolerance + l.slack
	if w == early {
		return k.end - slack, k.endTo + slack, k.shortest - slack, k.longest + slack + ringing
	}
	return k.start - slack, k.startTo + slack, k.shortest - slack, k.longest + slack
}

// matches says whether the event's length and direction are the talk's. Whom a
// gateway's cards call is called when the line is, so of a line whose direction is
// not known incoming calls of cards tell nothing.
func (e *Event) matches(k *talk, lo, hi int64) bool {
	d := e.End - e.Answer
	return d >= lo && d <= hi && (k.direction == Unknown || e.Direction == k.direction || e.Direction == Unknown && k.direction == Outgoing)
}

// Limits of what makes two talks of a card one.
const (
	farDigits = 8  // of a number: how it was dialled stands before them
	lookBack  = 64 // talks that one is compared with
)

// apart gives, of a card's talks in order, those that each tell something new: one
// for every number at the far end, since whoever often calls an honest line, or is
// called by it, goes with it call after call; and one for every time, since a
// call may be told of in several records and have several legs on the line. It
// looks at nothing of the line, so what is promised holds for those that are left.
// Outgoing calls whose number is not told are taken for calls to different ones.
func apart(talks []talk, slack int64) []talk {
	type end struct {
		direction Direction
		number    string
	}
	out := make([]talk, 0, len(talks))
	met := make(map[end]bool)
next:
	for _, k := range talks {
		far := end{k.direction, k.called}
		if k.direction == Incoming {
			far.number = k.calling
		}
		far.number = far.number[max(len(far.number)-farDigits, 0):]
		told := far.number != "" || k.direction == Incoming
		if told && met[far] {
			continue
		}
		for i := len(out) - 1; i >= max(len(out)-lookBack, 0); i-- {
			o := &out[i]
			if k.start-o.startTo <= 2*slack && k.end-o.endTo <= 2*slack && o.end-k.endTo <= 2*slack {
				continue next
			}
		}
		met[far] = told
		out = append(out, k)
	}
	return out
}

// tally is how the talks of a card went with a line's calls, in one way and at
// one offset.
type tally struct {
	log      float64 // of the e-value, the mean over shares
	n        int     // talks in the line's time
	hits     []hit
	expected float64 // coincidences by accident, where hits are kept
}

type hit struct{ talk, event int32 }

// compare weighs talks, which are in order, with a line. factor raises the
// probabilities of accident. hits are kept when keep is set.
func (s *search) compare(l *Line, w way, offset int64, talks []talk, factor float64, used []uint64, keep bool) (t tally) {
	x := &l.ways[w]
	clear(used)
	var logs [len(shares)]float64
	coincided, missed := 0, 0
	for i := range talks {
		k := &talks[i]
		from, to, lo, hi := s.window(l, w, k)
		from, to = from+offset, to+offset
		middle := from + (to-from)/2
		// A call that was open when observation began or ended is none of the events.
		if s, ok := l.span(middle); !ok || k.start+offset-setup < s.from || k.endTo+offset > s.to {
			continue
		}
		at, _ := slices.BinarySearch(x.keys, from)
		found, taken := int32(-1), false
		rate := 0.0
		for ; at < len(x.keys) && x.keys[at] <= to; at++ {
			e := x.events[at]
			if !l.Events[e].matches(k, lo, hi) {
				continue
			}
			if used[e>>6]>>(e&63)&1 != 0 {
				taken = true // the same call, told of in two records
				continue
			}
			found, rate = e, x.rates[at]
			break
		}
		if found < 0 && taken {
			continue
		}
		t.n++
		if keep {
			t.expected += min(l.accident(l.rate(w, middle), float64(to-from), lo, hi)*factor, 1)
		}
		if found < 0 {
			missed++
			continue
		}
		used[found>>6] |= 1 << (found & 63)
		coincided++
		p := min(l.accident(rate, float64(to-from), lo, hi)*factor, 1)
		for b, share := range shares {
			logs[b] += math.Log(1 - share + share/p)
		}
		if keep {
			t.hits = append(t.hits, hit{int32(i), found})
		}
	}
	if coincided == 0 {
		// No evidence for anything; the exact value is below 1 and adds nothing.
		t.log = math.Inf(-1)
		return t
	}
	for b, share := range shares {
		logs[b] += float64(missed) * math.Log1p(-share)
	}
	t.log = mean(logs[:])
	return t
}

// mean is the logarithm of the mean of what logs are the logarithms of.
func mean(logs []float64) float64 {
	top := slices.Max(logs)
	if math.IsInf(top, -1) {
		return top
	}
	sum := 0.0
	for _, v := range logs {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum/float64(len(logs)))
}

// best is the way and the offset at which a card goes best with a line, and the
// logarithm of the e-value over all of them.
type best struct {
	way    way
	offset int64
	log    float64
	tally  tally
	grid   []float64 // logarithms by way and offset
}

func (l *Line) marks() []uint64 { return make([]uint64, (len(l.Events)+63)/64) }

// weigh is the e-value of a card: the mean over ways, offsets and shares, each of
// which is one. Where prior is not nil, it has the weights of ways and offsets that
// other cards gave, and the e-value is the mean of that under these weights and
// that under equal ones.
func (s *search) weigh(l *Line, talks []talk, factor float64, prior []float64) (b best) {
	used := l.marks()
	b.grid = make([]float64, 0, int(ways)*len(s.offsets))
	top := math.Inf(-1)
	for w := range ways {
		for _, offset := range s.offsets {
			t := s.compare(l, w, offset, talks, factor, used, false)
			b.grid = append(b.grid, t.log)
			if t.log > top {
				top, b.way, b.offset = t.log, w, offset
			}
		}
	}
	b.log = mean(b.grid)
	if math.IsInf(top, -1) {
		return b
	}
	if prior != nil {
		sum := 0.0
		for i, v := range b.grid {
			sum += prior[i] * math.Exp(v-top)
		}
		b.log = mean([]float64{b.log, top + math.Log(sum)})
	}
	b.tally = s.compare(l, b.way, b.offset, talks, factor, used, true)
	return b
}

// agreed gives how often, as far as a card tells, each way and offset is the right
// one: weights that add up to 1.
func (b *best) agreed() []float64 {
	out := make([]float64, len(b.grid))
	for i, v := range b.grid {
		out[i] = math.Exp(v-b.log) / float64(len(b.grid))
	}
	return out
}

// shifts are by how much the line's calls are shifted to see what accident does:
// whole minutes, which timetables keep to, and others, all ten minutes or more.
func shifts() []time.Duration {
	var out []time.Duration
	for d := shortest; d <= time.Hour-shortest; d += time.Minute {
		out = append(out, d)
	}
	r := rand.New(rand.NewPCG(1, 1)) // the same for the same input
	for len(out) < 200 {
		out = append(out, shortest+time.Duration(r.Int64N(int64(time.Hour-2*shortest))))
	}
	return out
}

// shifted gives the line with its calls turned within the hour: each stays in its
// hour and keeps its length. Where less than an hour was observed it is turned
// within that.
func (l *Line) shifted(by time.Duration) *Line {
	from, to := l.spans[0].from, l.spans[len(l.spans)-1].to
	blocks := max((to-from)/int64(time.Hour), 1)
	block := max((to-from)/blocks, 1)
	turn := int64(float64(by) / float64(time.Hour) * float64(block))
	if block >= int64(time.Hour) {
		turn = int64(by)
	}
	m := &Line{Name: l.Name, Events: slices.Clone(l.Events), slack: l.slack, spans: l.spans}
	for i := range m.Events {
		e := &m.Events[i]
		at := max(e.Answer-from, 0)
		n := min(at/block, blocks-1)
		moved := from + n*block + (at-n*block+turn)%block
		e.Answer, e.End = moved, moved+e.End-e.Answer
	}
	m.reindex()
	return m
}

// later gives the line with all its calls later by some hours or days.
func (l *Line) later(by time.Duration) *Line {
	m := &Line{Name: l.Name, Events: slices.Clone(l.Events), slack: l.slack, spans: slices.Clone(l.spans)}
	for i := range m.Events {
		m.Events[i].Answer += int64(by)
		m.Events[i].End += int64(by)
	}
	for i := range m.spans {
		m.spans[i].from += int64(by)
		m.spans[i].to += int64(by)
	}
	m.reindex()
	return m
}
