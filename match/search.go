package match

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/axiomhq/hyperloglog"
)

// Limits of what is kept of records. What has no room is counted.
const (
	maxCandidates = 1 << 19 // cards that may be behind a line, told by the first reading
	maxCards      = 1 << 16 // the likeliest of them are weighed
	maxTalks      = 1 << 20 // records kept of those
	maxCardTalks  = 1 << 13 // of one card
	maxText       = 64      // bytes of a number or cell
	maxCells      = 4       // cells told of a card
)

// Options says what is compared.
type Options struct {
	// Tolerance is by how much two times of one call may differ besides clocks
	// and rounding: what lies between the line's signalling and the mobile
	// network's. From 100 ms to 30 s; 0 for 2 s.
	Tolerance time.Duration
	// ClockError bounds by how much the records' clock may be off, either way, at
	// most 10 min.
	ClockError time.Duration
	// Coarseness is how coarse the records' times are; offsets need be no finer.
	Coarseness time.Duration
	// Rows is about how many records there are, 0 when nobody knows.
	Rows int64
	// Number names a number as the calls of lines name it, to tell whether two are
	// the same; nil compares none.
	Number func(string) string
}

// Search looks for the cards behind lines. Every record is given to it twice, in
// the same or another order: First for all, then Second for all, then Result.
type Search struct {
	search
	options Options
	lines   []*Line
	ways    [ways]crossing
	from    int64
	to      int64

	distinct *hyperloglog.Sketch
	// sums are, in quarters of a nat and at most, how much the coincidences of a
	// card with a line in one way at one offset weigh: two places each, of which
	// the lesser holds.
	sums       [2][]uint8
	candidates map[uint64]uint8 // cards that may be accepted, with their best sum
	records    uint64           // in the lines' time
	left       Left
	cards      map[uint64]*card
	talks      int
	second     bool
	seen       []bool // offsets a record coincides at, for one line and way
	touched    []int
}

// crossing has the events of all lines by the time that a way compares.
type crossing struct {
	keys  []int64
	lines []int32
	event []int32
}

// card is one that may be behind a line.
type card struct {
	text  string
	sum   uint8
	talks []talk
	over  bool
}

// Left counts what had no room.
type Left struct {
	Candidates uint64 // records of cards beyond those that are kept in mind
	Cards      int    // cards that were less likely than those weighed
	Busy       int    // cards with more records than are kept of one
	Records    uint64 // records of cards that are weighed
}

// NewSearch begins a search. Lines without events are of no use to it.
func NewSearch(lines []*Line, o Options) (*Search, error) {
	o.Tolerance = cmp.Or(o.Tolerance, 2*time.Second)
	if o.Tolerance < 100*time.Millisecond || o.Tolerance > 30*time.Second {
		return nil, fmt.Errorf("tolerance %v: want 100ms to 30s", o.Tolerance)
	}
	if o.ClockError < 0 || o.ClockError > 10*time.Minute {
		return nil, fmt.Errorf("clock error %v: want 0s to 10m", o.ClockError)
	}
	s := &Search{options: o, distinct: hyperloglog.New14(), candidates: make(map[uint64]uint8)}
	s.tolerance = int64(o.Tolerance)
	s.from, s.to = math.MaxInt64, math.MinInt64
	for _, l := range lines {
		if len(l.spans) == 0 {
			continue
		}
		s.lines = append(s.lines, l)
		s.from = min(s.from, l.spans[0].from-int64(o.ClockError))
		s.to = max(s.to, l.spans[len(l.spans)-1].to+int64(o.ClockError))
	}
	step := max(o.Tolerance, o.Coarseness/4)
	n := int64((o.ClockError + step - 1) / step)
	if 2*n+1 > maxOffsets {
		return nil, fmt.Errorf("a clock error of %v in steps of %v is %d offsets to search, more than %d: raise the tolerance or lower the clock error", o.ClockError, step, 2*n+1, maxOffsets)
	}
	for k := -n; k <= n; k++ {
		s.offsets = append(s.offsets, k*int64(step))
	}
	s.seen = make([]bool, len(s.offsets))
	for w := range ways {
		s.ways[w] = cross(s.lines, w)
	}
	size := 1 << 16
	for size < 1<<25 && (o.Rows <= 0 || int64(size) < 4*o.Rows) {
		size *= 2
	}
	s.sums = [2][]uint8{make([]uint8, size), make([]uint8, size)}
	return s, nil
}

func cross(lines []*Line, w way) crossing {
	type place struct {
		key         int64
		line, event int32
	}
	var all []place
	for n, l := range lines {
		for i, e := range l.ways[w].events {
			all = append(all, place{l.ways[w].keys[i], int32(n), e})
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.line, b.line), cmp.Compare(a.event, b.event))
	})
	var x crossing
	for _, p := range all {
		x.keys, x.lines, x.event = append(x.keys, p.key), append(x.lines, p.line), append(x.event, p.event)
	}
	return x
}

// Offsets is how many clock offsets are searched.
func (s *Search) Offsets() int { return len(s.offsets) }

// talk gives what a record may mean; ok is false when it is of no use, or of
// another time than the lines.
func (s *Search) talk(r *Record) (k talk, ok bool) {
	if !r.Answered || r.EndTo < s.from || r.Start > s.to {
		return k, false
	}
	return talk{
		start: r.Start, startTo: r.StartTo, end: r.End, endTo: r.EndTo,
		shortest: r.Shortest, longest: r.Longest, direction: r.Direction,
	}, true
}

// hash is FNV-1a, stirred: the same in every run, so that the same input gives
// the same output. Who issues cards does not choose it against us.
func (s *Search) hash(text []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, c := range text {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return mix(h, 0, 0)
}

// mix makes places in sums of a card, a line, a way and an offset.
func mix(h uint64, line, at int) uint64 {
	h ^= uint64(line)<<32 | uint64(at)
	h *= 0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// threshold is what an e-value's logarithm must reach for so many cards.
func (s *Search) threshold(cards float64) float64 {
	return math.Log(Accepted) + math.Log(max(cards, 1)) + math.Log(float64(max(len(s.lines), 1)))
}

// count is how many distinct cards have records in the lines' time: an estimate,
// raised by more than what it may be wrong by.
func (s *Search) count() float64 { return math.Ceil(1.05 * float64(s.distinct.Estimate())) }

// First takes note of a record.
func (s *Search) First(r *Record) {
	k, ok := s.talk(r)
	if !ok || len(s.lines) == 0 {
		return
	}
	s.records++
	h := s.hash(r.Card)
	s.distinct.InsertHash(mix(h, 0, 0))
	sum := uint8(0)
	for w := range ways {
		sum = max(sum, s.note(h, w, &k))
	}
	// 0.25 nats of slack: sums are in quarters, rounded up.
	if sum == 0 || float64(sum)/4+0.25 < s.threshold(1) {
		return
	}
	if had, ok := s.candidates[h]; ok {
		s.candidates[h] = max(had, sum)
	} else if len(s.candidates) < maxCandidates {
		s.candidates[h] = sum
	} else {
		s.left.Candidates++
	}
}

// note adds a record to the sums of the offsets at which it coincides in one way,
// and gives the greatest.
func (s *Search) note(h uint64, w way, k *talk) (best uint8) {
	x := &s.ways[w]
	reach := s.offsets[len(s.offsets)-1]
	// What a line allows besides is bounded, so that one search serves all.
	wide := talk{start: k.start - maxSlack, startTo: k.startTo + maxSlack, end: k.end - maxSlack, endTo: k.endTo + maxSlack}
	none := Line{}
	first, last, _, _ := s.window(&none, w, &wide)
	at, _ := slices.BinarySearch(x.keys, first-reach)
	for line, more := int32(-1), true; more; {
		// One line after the other, in the order of their numbers: a record may
		// coincide with several calls of one, and counts once for each offset.
		next := int32(math.MaxInt32)
		for i := at; i < len(x.keys) && x.keys[i] <= last+reach; i++ {
			if x.lines[i] > line {
				next = min(next, x.lines[i])
			}
		}
		if more = next != math.MaxInt32; !more {
			break
		}
		line = next
		best = max(best, s.noteLine(h, w, k, int(line), at, last+reach))
	}
	return best
}

func (s *Search) noteLine(h uint64, w way, k *talk, line, at int, until int64) (best uint8) {
	x, l := &s.ways[w], s.lines[line]
	from, to, lo, hi := s.window(l, w, k)
	s.touched = s.touched[:0]
	for i := at; i < len(x.keys) && x.keys[i] <= until; i++ {
		if int(x.lines[i]) != line || !l.Events[x.event[i]].matches(k, lo, hi) {
			continue
		}
		// from + offset <= key <= to + offset
		a, _ := slices.BinarySearch(s.offsets, x.keys[i]-to)
		for ; a < len(s.offsets) && s.offsets[a] <= x.keys[i]-from; a++ {
			if !s.seen[a] {
				s.seen[a] = true
				s.touched = append(s.touched, a)
			}
		}
	}
	for _, a := range s.touched {
		s.seen[a] = false
		p := l.accident(w, from+s.offsets[a]+(to-from)/2, to-from, lo, hi)
		if p >= 1 {
			continue
		}
		best = max(best, s.add(mix(h, line, int(w)*maxOffsets+a+1), -math.Log(p)))
	}
	return best
}

// add adds nats and gives the sum, which others that share both places may have
// raised: it is never too low.
func (s *Search) add(h uint64, nats float64) uint8 {
	q := uint(min(math.Ceil(4*nats), 255))
	sum := uint8(255)
	for row := range s.sums {
		// 32 bits of the hash for each row
		p := &s.sums[row][uint32(h>>(32*row))&uint32(len(s.sums[row])-1)]
		*p = uint8(min(uint(*p)+q, 255))
		sum = min(sum, *p)
	}
	return sum
}

// choose ends the first reading: which cards are weighed.
func (s *Search) choose() {
	type one struct {
		h   uint64
		sum uint8
	}
	var list []one
	least := s.threshold(s.count())
	for h, sum := range s.candidates {
		if float64(sum)/4+0.25 >= least {
			list = append(list, one{h, sum})
		}
	}
	slices.SortFunc(list, func(a, b one) int { return cmp.Or(cmp.Compare(b.sum, a.sum), cmp.Compare(a.h, b.h)) })
	if len(list) > maxCards {
		s.left.Cards = len(list) - maxCards
		list = list[:maxCards]
	}
	s.cards = make(map[uint64]*card, len(list))
	for _, c := range list {
		s.cards[c.h] = &card{sum: c.sum}
	}
	s.candidates, s.sums, s.second = nil, [2][]uint8{}, true
}

// ErrChanged is what Result says of records that were not the same twice.
var ErrChanged = errors.New("the call records changed while they were read")

// Second takes the record again.
func (s *Search) Second(r *Record) {
	if !s.second {
		s.choose()
	}
	k, ok := s.talk(r)
	if !ok || len(s.cards) == 0 {
		return
	}
	c := s.cards[s.hash(r.Card)]
	if c == nil {
		return
	}
	switch {
	case c.text == "":
		c.text = string(r.Card)
	case c.text != string(r.Card): // one hash for two, once in ten thousand million million
		return
	}
	if len(c.talks) >= maxCardTalks || s.talks >= maxTalks {
		if !c.over && len(c.talks) >= maxCardTalks {
			s.left.Busy++
		}
		c.over = true
		s.left.Records++
		return
	}
	k.called, k.calling, k.cell = short(r.Called), short(r.Calling), short(r.Cell)
	c.talks = append(c.talks, k)
	s.talks++
}

func short(b []byte) string { return string(b[:min(len(b), maxText)]) }

// Match is a card that is behind a line.
type Match struct {
	Line    string
	Card    string // as the records have it
	MSISDN  string // calling number of its outgoing calls, where the records have one
	Records int    // answered calls of the card in the line's hours
	// Coincide of them begin and end with a call of the line; Expected would by
	// accident: of one card, at one clock offset.
	Coincide int
	Expected float64
	// E is the natural logarithm of the e-value after all cards, lines and clock
	// offsets that were searched.
	E      float64
	Offset time.Duration // line's clock minus the records'
	// Early says that the line's side was answered while the mobile network rang.
	Early       bool
	First, Last int64 // of the coincidences, ns since the Unix epoch
	// Agree and Differ count the coincidences whose called numbers are known on
	// both sides and are the same or not. They count for nothing.
	Agree, Differ int
	Cells         []string // where it was, at most four
	LineCalls     int      // answered calls of the line
}

// Result is what a search found.
type Result struct {
	Matches []Match // surest first
	// Timetables are cards that would be accepted, but coincide as well when the
	// line's calls are shifted: both keep to a timetable.
	Timetables []Match
	Lines      []*Line
	Records    uint64  // answered, in the lines' time
	Cards      float64 // that have them, an estimate not too low
	Offsets    int
	Weighed    int // cards that were looked at in full
	Left       Left
}

// Result weighs the cards that were kept.
func (s *Search) Result() (*Result, error) {
	if !s.second {
		s.choose()
	}
	r := &Result{Lines: s.lines, Records: s.records, Cards: s.count(), Offsets: len(s.offsets), Weighed: len(s.cards), Left: s.left}
	least := s.threshold(r.Cards)
	names := make([]*card, 0, len(s.cards))
	for _, c := range s.cards {
		if c.text == "" {
			return nil, ErrChanged
		}
		if c.over {
			continue // what is missing might speak against it
		}
		slices.SortFunc(c.talks, func(a, b talk) int {
			return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(a.called, b.called))
		})
		names = append(names, c)
	}
	slices.SortFunc(names, func(a, b *card) int { return strings.Compare(a.text, b.text) })
	for _, l := range s.lines {
		var found []*card
		for _, c := range names {
			if s.weigh(l, c.talks, 1).log >= least {
				found = append(found, c)
			}
		}
		s.judge(r, l, found, least)
	}
	order := func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.E, a.E), strings.Compare(a.Line, b.Line), strings.Compare(a.Card, b.Card))
	}
	slices.SortFunc(r.Matches, order)
	slices.SortFunc(r.Timetables, order)
	return r, nil
}

// judge looks at cards that coincide enough by what accident would do if the
// line's calls stood elsewhere: where that is more than the rates say, they are
// raised; where one shift alone does as well, it is a timetable.
func (s *Search) judge(r *Result, l *Line, found []*card, least float64) {
	if len(found) == 0 {
		return
	}
	type trial struct {
		b    best
		hits int
		top  float64
	}
	trials := make([]trial, len(found))
	for i, c := range found {
		trials[i] = trial{b: s.weigh(l, c.talks, 1), top: math.Inf(-1)}
	}
	used := l.marks()
	try := func(m *Line, within bool) {
		for i, c := range found {
			t := s.compare(m, trials[i].b.way, trials[i].b.offset, c.talks, 1, used, true)
			if within {
				trials[i].hits += len(t.hits)
			}
			trials[i].top = max(trials[i].top, t.log)
		}
	}
	turns := shifts()
	for _, by := range turns {
		try(l.shifted(by), true)
	}
	for _, hours := range []int{-24, -3, -2, -1, 1, 2, 3, 24} {
		try(l.later(time.Duration(hours)*time.Hour), false)
	}
	for i, c := range found {
		t := &trials[i]
		expected := t.b.tally.expected * float64(len(turns))
		// Three standard deviations, so that chance alone raises nothing.
		factor := max(float64(t.hits)/(expected+3*math.Sqrt(expected)+3), 1)
		alone := t.b.tally.log
		if factor > 1 {
			t.b = s.weigh(l, c.talks, factor)
		}
		m := s.describe(l, c, &t.b, max(float64(t.hits)/float64(len(turns)), t.b.tally.expected), least)
		switch {
		case t.b.log < least:
		case t.top > alone-math.Log(Accepted):
			r.Timetables = append(r.Timetables, m)
		default:
			r.Matches = append(r.Matches, m)
		}
	}
}

func (s *Search) describe(l *Line, c *card, b *best, expected, least float64) Match {
	m := Match{
		Line: l.Name, Card: c.text, Records: b.tally.n, Coincide: len(b.tally.hits), Expected: expected,
		E: b.log - least + math.Log(Accepted), Offset: time.Duration(b.offset), Early: b.way == early, LineCalls: len(l.Events),
	}
	for _, h := range b.tally.hits {
		k, e := &c.talks[h.talk], &l.Events[h.event]
		if m.First == 0 {
			m.First = e.Answer
		}
		m.First, m.Last = min(m.First, e.Answer), max(m.Last, e.End)
		if k.direction == Outgoing && k.calling != "" {
			m.MSISDN = k.calling
		}
		if k.cell != "" && len(m.Cells) < maxCells && !slices.Contains(m.Cells, k.cell) {
			m.Cells = append(m.Cells, k.cell)
		}
		if s.options.Number != nil && k.called != "" && e.Called != "" {
			if s.options.Number(k.called) == e.Called {
				m.Agree++
			} else {
				m.Differ++
			}
		}
	}
	return m
}
