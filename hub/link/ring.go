package link

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// Least is how many lines of distinct subscribers make a ring.
const Least = 3

// Ring is what one hand drives, and the hub's own verdict on it.
type Ring struct {
	Lines   int     // accesses, those of one named subscriber once
	Certain int     // lines that are certainly of distinct subscribers
	Judged  bool    // whether there is a margin: at least Least are certain
	Margin  float64 // nats, the least over all classes
	Nearest string  // the class of that margin
	Verdict Verdict
	// Families are what the margin against the nearest class rests on, in order
	// of name.
	Families []FamilyNats
}

const (
	// familyNats is the most that a family may say for or against a ring: it is
	// capped once, however many lines the ring has.
	familyNats = 3.0
	// normalise is what docs/verdict.md section 4 takes off for the contamination
	// of its tables.
	normalise = 0.6

	watchMargin  = 0.0
	reviewMargin = 3.0
	caseMargin   = 5.0
)

// NewRing judges the lines that one hand drives. ok is false when they are no
// ring: fewer than three lines, or nothing that shows them to be of more than one
// subscriber. A box at home gets a new address every day, and none of these is a
// line of its own.
func NewRing(lines []Line) (r Ring, ok bool) {
	who := make(map[string]bool)
	for i := range lines {
		who[lines[i].owner()] = true
	}
	r.Lines = len(who)
	if r.Lines < Least {
		return Ring{}, false
	}
	apart := Apart(lines)
	r.Certain = len(apart)
	if r.Certain < 2 {
		return Ring{}, false
	}
	r.judge(lines, apart)
	return r, true
}

// owner is who has the line, as far as it is known.
func (l *Line) owner() string {
	if l.Subscriber != "" {
		return "s" + l.Sensor + "/" + l.Subscriber
	}
	return "l" + string(l.Access[:])
}

// Apart puts lines, by index, into as few groups as their subscribers may be: those
// of one named subscriber together, and of the others, at each sensor, those that
// one after the other may have been one subscriber's changing address; of an access
// that nobody is named for, all tenancies go together. Lines of two groups are of
// distinct subscribers.
func Apart(lines []Line) [][]int {
	order := make([]int, len(lines))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := &lines[a], &lines[b]
		return cmp.Or(cmp.Compare(x.Sensor, y.Sensor), cmp.Compare(x.Subscriber, y.Subscriber),
			cmp.Compare(x.First, y.First), x.ID.compare(y.ID))
	})
	var groups [][]int
	for len(order) > 0 {
		n := 1
		for n < len(order) && lines[order[n]].Sensor == lines[order[0]].Sensor &&
			lines[order[n]].Subscriber == lines[order[0]].Subscriber {
			n++
		}
		if lines[order[0]].Subscriber != "" {
			groups = append(groups, slices.Clone(order[:n]))
		} else {
			groups = append(groups, tracks(lines, order[:n])...)
		}
		order = order[n:]
	}
	return joinAccess(lines, groups)
}

// joinAccess puts groups together that have an access in common, which two
// sensors may see.
func joinAccess(lines []Line, groups [][]int) [][]int {
	u := newUnion(len(groups))
	first := make(map[ID]int32)
	for g, group := range groups {
		for _, i := range group {
			if to, ok := first[lines[i].Access]; ok && lines[i].Subscriber == "" {
				u.join(to, int32(g))
			} else if !ok {
				first[lines[i].Access] = int32(g)
			}
		}
	}
	out := make([][]int, 0, len(groups))
	at := make(map[int32]int)
	for g, group := range groups {
		r := u.root(int32(g))
		if n, ok := at[r]; ok {
			out[n] = append(out[n], group...)
			continue
		}
		at[r] = len(out)
		out = append(out, group)
	}
	return out
}

// tracks lays lines, in order of their first evidence, end to end on as few
// tracks as they fit on.
func tracks(lines []Line, order []int) [][]int {
	var groups [][]int
	access := make(map[ID]int) // tenancies of one access may be one subscriber's
	var free ends
	for _, i := range order {
		l := &lines[i]
		g, known := access[l.Access]
		switch {
		case known:
		case len(free) > 0 && free[0].last <= l.First+slack:
			g = free[0].group
			heap.Pop(&free)
		default:
			g = len(groups)
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
		access[l.Access] = g
		if known {
			// Its end is in the heap already, and an earlier one errs to fewer groups.
			continue
		}
		heap.Push(&free, end{l.Last, g})
	}
	return groups
}

// ends is a heap of when tracks are free, the first on top.
type ends []end

type end struct {
	last  int64
	group int
}

func (e ends) Len() int { return len(e) }
func (e ends) Less(i, j int) bool {
	return e[i].last < e[j].last || e[i].last == e[j].last && e[i].group < e[j].group
}
func (e ends) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)   { *e = append(*e, x.(end)) }
func (e *ends) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

// judge sums, per class, what the families of the lines say. Of lines that may be
// one subscriber's it takes the mean: the mean of likelihood ratios keeps what
// each promises whatever they have in common. Declared lines give nothing.
func (r *Ring) judge(lines []Line, apart [][]int) {
	type family struct{ class, name string }
	sums := make(map[family]float64)
	classes := make(map[string]bool)
	heard, watched, reviewed := 0, 0, 0
	for _, group := range apart {
		own := make(map[family]float64)
		n, best := 0, None
		for _, i := range group {
			l := &lines[i]
			if l.Declared || len(l.Standings) == 0 {
				continue
			}
			n++
			best = max(best, l.Verdict)
			for _, s := range l.Standings {
				classes[s.Class] = true
				for _, f := range s.Families {
					if finite(f.Nats) {
						own[family{s.Class, f.Family}] += f.Nats
					}
				}
			}
		}
		if n == 0 {
			continue
		}
		heard++
		if best >= Watch {
			watched++
		}
		if best >= Review {
			reviewed++
		}
		for k, v := range own {
			sums[k] += v / float64(n)
		}
	}
	if heard < Least || len(classes) == 0 {
		return
	}
	by := make(map[string][]FamilyNats)
	for k, v := range sums {
		by[k.class] = append(by[k.class], FamilyNats{k.name, math.Round(clamp(v, -familyNats, familyNats)*1e3) / 1e3})
	}
	margin := func(fs []FamilyNats) float64 {
		m := -normalise
		for _, f := range fs {
			m += f.Nats
		}
		return m
	}
	r.Judged, r.Margin = true, math.Inf(1)
	for class := range classes {
		fs := by[class]
		slices.SortFunc(fs, func(a, b FamilyNats) int { return cmp.Compare(a.Family, b.Family) })
		if m := margin(fs); m < r.Margin || m == r.Margin && class < r.Nearest {
			r.Margin, r.Nearest, r.Families = m, class, fs
		}
	}
	r.Margin = math.Round(r.Margin*1e3) / 1e3
	// A case asks for what it asks of a line (docs/verdict.md section 6): two
	// families against the nearest, four against a household.
	strong := func(fs []FamilyNats) (n int) {
		for _, f := range fs {
			if f.Nats >= 1 {
				n++
			}
		}
		return n
	}
	switch {
	case watched < Least || r.Margin < watchMargin:
	case r.Margin < reviewMargin:
		r.Verdict = Watch
	case r.Margin < caseMargin || reviewed < Least || strong(r.Families) < 2 || strong(by["home"]) < 4:
		r.Verdict = Review
	default:
		r.Verdict = Case
	}
}
