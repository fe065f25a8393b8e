package match

import (
	"cmp"
	"context"
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
	maxCandidates = 1 << 19 // cards, each with a line it may be behind, that the first reading tells
	maxPairs      = 1 << 17 // the likeliest of them are weighed
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
	lines   []*Line // with events
	all     []*Line
	ways    [ways]crossing
	from    int64
	to      int64

	distinct *hyperloglog.Sketch
	// sums are, in quarters of a nat and at most, how much the coincidences of a
	// card with a line in one way at one offset weigh: two places each, of which
	// the lesser holds.
	sums       [2][]uint8
	candidates map[pair]uint8 // cards that may be accepted, with their best sum
	enough     float64        // nats that a sum must reach, so far
	records    uint64         // in the lines' time
	left       Left
	cards      map[uint64]*card
	talks      int
	second     bool
	slack      int64 // the most that any line allows
	met        []meeting
}

// pair is a card, by its hash, and a line.
type pair struct {
	card uint64
	line int32
}

// slackNats is what sums may be too low by, since weights are those of one call
// where a record meets several.
const slackNats = 1

// crossing has the events of all lines by the time that a way compares.
type crossing struct {
	keys  []int64
	lines []int32
	event []int32
	rates []float64
}

// card is one that may be behind a line.
type card struct {
	text  string
	lines []int32
	talks []talk
	over  bool
}

// Left counts what had no room.
type Left struct {
	Candidates uint64 // records of cards beyond those that are kept in mind
	Pairs      int    // cards that were less likely than those weighed, each with a line
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
	s := &Search{options: o, all: lines, distinct: hyperloglog.New14(), candidates: make(map[pair]uint8)}
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
	for _, l := range s.lines {
		s.slack = max(s.slack, l.slack)
	}
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
		rate        float64
	}
	var all []place
	for n, l := range lines {
		for i, e := range l.ways[w].events {
			all = append(all, place{l.ways[w].keys[i], int32(n), e, l.ways[w].rates[i]})
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.line, b.line), cmp.Compare(a.event, b.event))
	})
	var x crossing
	for _, p := range all {
		x.keys, x.lines = append(x.keys, p.key), append(x.lines, p.line)
		x.event, x.rates = append(x.event, p.event), append(x.rates, p.rate)
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
	// Often at first, when a few more cards ask for much more.
	if s.records&0xffff == 0 || s.records&(s.records-1) == 0 {
		s.enough = s.threshold(0.9 * float64(s.distinct.Estimate()))
	}
	for w := range ways {
		s.note(h, w, &k)
	}
}

// note adds a record to the sums of the offsets at which it coincides in one way.
func (s *Search) note(h uint64, w way, k *talk) {
	x := &s.ways[w]
	reach := s.offsets[len(s.offsets)-1] + s.slack
	first, last, _, _ := s.window(&Line{}, w, k)
	at, _ := slices.BinarySearch(x.keys, first-reach)
	s.met = s.met[:0]
	for ; at < len(x.keys) && x.keys[at] <= last+reach; at++ {
		line := int(x.lines[at])
		l := s.lines[line]
		from, to, lo, hi := s.window(l, w, k)
		if !l.Events[x.event[at]].matches(k, lo, hi) {
			continue
		}
		// from + offset <= key <= to + offset
		a, _ := slices.BinarySearch(s.offsets, x.keys[at]-to)
		b := a
		for b < len(s.offsets) && s.offsets[b] <= x.keys[at]-from {
			b++
		}
		p := l.accident(x.rates[at], float64(to-from), lo, hi)
		if a < b && p < 1 && len(s.met) < maxMet {
			s.met = append(s.met, meeting{int32(line), int32(a), int32(b), -math.Log(p)})
		}
	}
	if len(s.met) > 1 {
		slices.SortFunc(s.met, func(a, b meeting) int { return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.from, b.from)) })
	}
	// A record may coincide with several calls of one line, and counts once for
	// each offset; their weights differ little, and sums have room for it.
	for i := 0; i < len(s.met); {
		line, done, best := s.met[i].line, int32(0), uint8(0)
		for ; i < len(s.met) && s.met[i].line == line; i++ {
			m := &s.met[i]
			for a := max(m.from, done); a < m.to; a++ {
				best = max(best, s.add(mix(h, int(line), int(w)*maxOffsets+int(a)+1), m.nats))
			}
			done = max(done, m.to)
		}
		s.propose(pair{h, line}, best)
	}
}

// meeting is a call of a line that a record coincides with at offsets from one to
// before another.
type meeting struct {
	line, from, to int32
	nats           float64
}

// maxMet is how many calls one record is compared with: as many as begin in a
// minute on hundreds of lines.
const maxMet = 1 << 12

// propose keeps a card and a line in mind when their sum may be enough.
func (s *Search) propose(p pair, sum uint8) {
	if float64(sum)/4+slackNats < s.enough {
		return
	}
	if had, ok := s.candidates[p]; ok {
		s.candidates[p] = max(had, sum)
	} else if len(s.candidates) < maxCandidates {
		s.candidates[p] = sum
	} else {
		s.left.Candidates++
	}
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

// choose ends the first reading: which cards are weighed, against which lines.
func (s *Search) choose() {
	type one struct {
		pair
		sum uint8
	}
	var list []one
	least := s.threshold(s.count())
	for p, sum := range s.candidates {
		if float64(sum)/4+slackNats >= least {
			list = append(list, one{p, sum})
		}
	}
	slices.SortFunc(list, func(a, b one) int {
		return cmp.Or(cmp.Compare(b.sum, a.sum), cmp.Compare(a.card, b.card), cmp.Compare(a.line, b.line))
	})
	if len(list) > maxPairs {
		s.left.Pairs = len(list) - maxPairs
		list = list[:maxPairs]
	}
	s.cards = make(map[uint64]*card)
	for _, p := range list {
		c := s.cards[p.card]
		if c == nil {
			c = &card{}
			s.cards[p.card] = c
		}
		c.lines = append(c.lines, p.line)
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
	Records int    // answered calls of the card in the line's hours, those with one number once
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
	Nameless      bool     // no number that it called is known
	Cells         []string // where it was, at most four
	LineCalls     int      // answered calls of the line
}

// Result is what a search found.
type Result struct {
	Matches []Match // surest first
	// Timetables are cards that would be accepted, but coincide as well when the
	// line's calls are shifted: both keep to a timetable.
	Timetables []Match
	// Called are cards that would be accepted, but that the line itself called.
	Called  []Match
	Lines   []*Line
	Records uint64  // answered, in the lines' time
	Cards   float64 // that have them, an estimate not too low
	Offsets int
	Weighed int // cards that were looked at in full
	Left    Left
}

// Result weighs the cards that were kept, which may take minutes where many are
// weighed at many offsets. It ends early with the context's error.
func (s *Search) Result(ctx context.Context) (*Result, error) {
	if !s.second {
		s.choose()
	}
	r := &Result{Lines: s.all, Records: s.records, Cards: s.count(), Offsets: len(s.offsets), Weighed: len(s.cards), Left: s.left}
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
		c.talks = apart(c.talks, s.tolerance+s.slack)
		names = append(names, c)
	}
	slices.SortFunc(names, func(a, b *card) int { return strings.Compare(a.text, b.text) })
	by := make([][]*card, len(s.lines))
	for _, c := range names {
		for _, n := range c.lines {
			by[n] = append(by[n], c)
		}
	}
	for n, l := range s.lines {
		s.judge(ctx, r, l, by[n], least)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	order := func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.E, a.E), strings.Compare(a.Line, b.Line), strings.Compare(a.Card, b.Card))
	}
	slices.SortFunc(r.Matches, order)
	slices.SortFunc(r.Timetables, order)
	slices.SortFunc(r.Called, order)
	return r, nil
}

// trial is a card that is weighed with a line.
type trial struct {
	*card
	b      best
	agreed []float64 // what it told of ways and offsets, nil when too little
	prior  []float64 // what the others told
	hits   int       // coincidences with the line's calls shifted
	top    float64   // the most that a shift gave
}

// leastAgreed is how many cards of a line tell the others its clock.
const leastAgreed = 3

// weighAll weighs cards with a line, each with what the others tell of the clock:
// who goes with a line by accident has no part in what the rest says, so that what
// is promised of it holds.
func (s *Search) weighAll(ctx context.Context, l *Line, cards []*card, least float64) (found []*trial) {
	trials := make([]*trial, len(cards))
	var total []float64
	agreed := 0
	for i, c := range cards {
		if ctx.Err() != nil {
			return nil
		}
		t := &trial{card: c, b: s.weigh(l, c.talks, 1, nil), top: math.Inf(-1)}
		trials[i] = t
		if t.b.log >= least {
			t.agreed = t.b.agreed()
			agreed++
			if total == nil {
				total = make([]float64, len(t.agreed))
			}
			for k, v := range t.agreed {
				total[k] += v
			}
		}
		t.b.grid = nil
	}
	for _, t := range trials {
		if ctx.Err() != nil {
			return nil
		}
		others := agreed
		if t.agreed != nil {
			others--
		}
		if others >= leastAgreed {
			t.prior = slices.Clone(total)
			for k := range t.prior {
				if t.agreed != nil {
					t.prior[k] -= t.agreed[k]
				}
				t.prior[k] = max(t.prior[k]/float64(others), 0)
			}
			t.b = s.weigh(l, t.talks, 1, t.prior)
		}
		if t.b.log >= least {
			found = append(found, t)
		}
	}
	return found
}

// judge looks at cards that coincide enough by what accident would do if the
// line's calls stood elsewhere: where that is more than the rates say, they are
// raised; where one shift alone gives what only a common cue can, it is a timetable.
func (s *Search) judge(ctx context.Context, r *Result, l *Line, cards []*card, least float64) {
	found := s.weighAll(ctx, l, cards, least)
	if len(found) == 0 {
		return
	}
	used := l.marks()
	try := func(m *Line, within bool) {
		if ctx.Err() != nil {
			return
		}
		for _, c := range found {
			t := s.compare(m, c.b.way, c.b.offset, c.talks, 1, used, true)
			if within {
				c.hits += len(t.hits)
			}
			c.top = max(c.top, t.log)
		}
	}
	turns := shifts()
	for _, by := range turns {
		try(l.shifted(by), true)
	}
	hours := [...]int{-24, -3, -2, -1, 1, 2, 3, 24}
	for _, hours := range hours {
		try(l.later(time.Duration(hours)*time.Hour), false)
	}
	// What a shift gives is an e-value of nothing: for a card behind the line all of
	// them together reach this once in a hundred times.
	timetable := math.Log(Accepted * float64(len(turns)+len(hours)))
	for _, t := range found {
		expected := t.b.tally.expected * float64(len(turns))
		// Three standard deviations, so that chance alone raises nothing.
		factor := max(float64(t.hits)/(expected+3*math.Sqrt(expected)+3), 1)
		alone := t.b.tally.log
		if factor > 1 {
			t.b = s.weigh(l, t.talks, factor, t.prior)
		}
		m, called := s.describe(l, t.card, &t.b, max(float64(t.hits)/float64(len(turns)), t.b.tally.expected), least)
		switch {
		case t.b.log < least:
		case t.top > min(alone-math.Log(Accepted), timetable):
			r.Timetables = append(r.Timetables, m)
		case called:
			r.Called = append(r.Called, m)
		default:
			r.Matches = append(r.Matches, m)
		}
	}
}

// describe tells of a card. called says that the line called it: most of its
// coincidences are incoming calls to the number that the line asked for.
func (s *Search) describe(l *Line, c *card, b *best, expected, least float64) (m Match, called bool) {
	asked := 0
	m = Match{
		Line: l.Name, Card: c.text, Records: b.tally.n, Coincide: len(b.tally.hits), Expected: expected,
		E: b.log - least + math.Log(Accepted), Offset: time.Duration(b.offset), Early: b.way != exact, LineCalls: len(l.Events),
		Nameless: true,
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
		if k.called != "" && k.direction != Incoming || k.calling != "" && k.direction == Incoming {
			m.Nameless = false
		}
		if k.cell != "" && len(m.Cells) < maxCells && !slices.Contains(m.Cells, k.cell) {
			m.Cells = append(m.Cells, k.cell)
		}
		if s.options.Number != nil && k.called != "" && e.Called != "" {
			if s.options.Number(k.called) == e.Called {
				m.Agree++
				if k.direction == Incoming {
					asked++
				}
			} else {
				m.Differ++
			}
		}
	}
	return m, 2*asked > len(b.tally.hits)
}
