// Package match joins the answered calls of subscriber lines with an operator's
// call records and names the cards behind a line: those whose calls begin and
// end with the line's, more often than accident allows. It needs times alone, so
// it works where nothing but media was seen. docs/match.md explains the
// statistic, its source and its limits.
package match

import (
	"cmp"
	"math"
	"slices"
	"time"

	"simtrap/report/reportpb"
)

// Direction of a call, seen from a card.
type Direction uint8

const (
	Unknown  Direction = iota
	Outgoing           // the card calls: the line was called
	Incoming           // the card is called: the line calls
)

// Event is one answered call of a line. Times are nanoseconds since the Unix
// epoch.
type Event struct {
	Answer, End int64
	// Direction of the card's call that this would be.
	Direction Direction
	Called    string // as Options.Number names it, empty when unknown
}

const (
	// reach is how far around a line's calls records are looked at.
	reach = int64(30 * time.Minute)
	// maxEvents is how many calls of a line are looked at, the first ones.
	maxEvents = 1 << 17
	// maxCall is the longest call that is believed.
	maxCall = int64(7 * 24 * time.Hour)
	// maxSlack is the greatest uncertainty of a call's times: one that is less
	// sure coincides with anything.
	maxSlack = int64(10 * time.Second)
)

// Line is a subscriber line and its answered calls.
type Line struct {
	Name   string
	Events []Event
	// Unanswered, Unsure and Left count calls that were not answered, whose times
	// are not known or too unsure, and that had no room.
	Unanswered, Unsure, Left int

	slack     int64 // by how much any of its times may be off, ns
	durations []int64
	ways      [ways]index
	spans     []span // when records may coincide, apart and in order
}

// way is how a line's call goes with a record's.
type way uint8

const (
	// exact: answered and ended together.
	exact way = iota
	// early: ended together; the line's side was answered, or its media began,
	// while the mobile network still rang.
	early
	ways
)

// index holds the events of a line by the time that a way compares, with the
// line's rate there. An event counts itself, so that the rate never says that what
// did happen could not.
type index struct {
	keys   []int64
	events []int32
	rates  []float64
}

type span struct{ from, to int64 }

// NewLines makes lines of calls, in the order of their names. from and to bound
// what was observed, ns since the Unix epoch; 0 for the first and the last time
// of any call.
func NewLines(calls []*reportpb.Call, from, to int64) []*Line {
	by := make(map[string]*Line)
	for _, c := range calls {
		l := by[c.Line]
		if l == nil {
			l = &Line{Name: c.Line}
			by[c.Line] = l
		}
		l.add(c)
	}
	lines := make([]*Line, 0, len(by))
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	for _, l := range by {
		lines = append(lines, l)
		for i := range l.Events {
			first, last = min(first, l.Events[i].Answer), max(last, l.Events[i].End)
		}
	}
	slices.SortFunc(lines, func(a, b *Line) int { return cmp.Compare(a.Name, b.Name) })
	for _, l := range lines {
		l.build(cmp.Or(from, first), cmp.Or(to, last))
	}
	return lines
}

func (l *Line) add(c *reportpb.Call) {
	if !c.Answered.IsValid() {
		l.Unanswered++
		return
	}
	e := Event{Called: c.Called}
	believed := func(s int64) bool { return s >= earliest && s <= latest } // others have no nanoseconds
	if believed(c.Answered.Seconds) {
		e.Answer = c.Answered.AsTime().UnixNano()
	}
	slack := int64(min(max(c.StartUncertaintyNs, c.EndUncertaintyNs), uint64(math.MaxInt64)))
	if c.End.IsValid() && e.Answer != 0 && believed(c.End.Seconds) {
		e.End = c.End.AsTime().UnixNano()
	}
	if e.End <= e.Answer || e.End-e.Answer > maxCall || slack > maxSlack {
		l.Unsure++
		return
	}
	if len(l.Events) >= maxEvents {
		l.Left++
		return
	}
	switch c.Direction {
	case reportpb.Direction_DIRECTION_INBOUND:
		e.Direction = Outgoing
	case reportpb.Direction_DIRECTION_OUTBOUND:
		e.Direction = Incoming
	}
	l.slack = max(l.slack, slack)
	l.Events = append(l.Events, e)
}

// build orders the events and indexes them.
func (l *Line) build(from, to int64) {
	slices.SortFunc(l.Events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Answer, b.Answer), cmp.Compare(a.End, b.End), cmp.Compare(a.Called, b.Called))
	})
	l.spans = nil
	for i := range l.Events {
		s := span{max(l.Events[i].Answer-reach, from), min(l.Events[i].End+reach, to)}
		if n := len(l.spans); n > 0 && s.from <= l.spans[n-1].to {
			l.spans[n-1].to = max(l.spans[n-1].to, s.to)
			continue
		}
		if s.to > s.from {
			l.spans = append(l.spans, s)
		}
	}
	l.reindex()
}

func (l *Line) reindex() {
	n := len(l.Events)
	l.durations = make([]int64, n)
	for i := range l.Events {
		l.durations[i] = l.Events[i].End - l.Events[i].Answer
	}
	slices.Sort(l.durations)
	for w := range ways {
		x := index{keys: make([]int64, n), events: make([]int32, n)}
		for i := range x.events {
			x.events[i] = int32(i)
		}
		slices.SortStableFunc(x.events, func(a, b int32) int { return cmp.Compare(l.Events[a].key(w), l.Events[b].key(w)) })
		for i, e := range x.events {
			x.keys[i] = l.Events[e].key(w)
		}
		x.rates = make([]float64, n)
		l.ways[w] = x
		for i, t := range x.keys {
			x.rates[i] = l.rate(w, t)
			if x.rates[i] == 0 { // beyond what was observed
				x.rates[i] = 1
			}
		}
	}
}

func (e *Event) key(w way) int64 {
	if w == early {
		return e.End
	}
	return e.Answer
}

// within counts the sorted values from lo to hi, both included.
func within(sorted []int64, lo, hi int64) int {
	a, _ := slices.BinarySearch(sorted, lo)
	b, _ := slices.BinarySearch(sorted, hi+1)
	return max(b-a, 0)
}

// span gives that in which t lies.
func (l *Line) span(t int64) (span, bool) {
	i, found := slices.BinarySearchFunc(l.spans, t, func(s span, t int64) int { return cmp.Compare(s.from, t) })
	if !found {
		i--
	}
	if i < 0 || t > l.spans[i].to {
		return span{}, false
	}
	return l.spans[i], true
}

// scales are the half widths of the times over which a line's rate is taken;
// the greatest counts. Lines and cards that are busy in the same hour, the same
// ten minutes or the same two coincide no more often than that rate says.
var scales = [...]int64{int64(time.Minute), int64(5 * time.Minute), reach}

// rate is how many calls of the line have their key around t, per nanosecond: the
// most of any scale.
func (l *Line) rate(w way, t int64) float64 {
	s, ok := l.span(t)
	if !ok {
		return 0
	}
	rate := 0.0
	for _, h := range scales {
		from, to := max(t-h, s.from), min(t+h, s.to)
		n := within(l.ways[w].keys, t-h, t+h)
		rate = max(rate, float64(n)/float64(max(to-from, int64(time.Minute))))
	}
	return rate
}

// accident is the probability, at most 1, that a call of the line whose length
// is from lo to hi has its key in a window of the width, where rate calls come.
func (l *Line) accident(rate, width float64, lo, hi int64) float64 {
	return min(rate*width*float64(within(l.durations, lo, hi))/float64(len(l.durations)), 1)
}
