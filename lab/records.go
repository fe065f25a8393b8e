package lab

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// City says what call records RecordsOf writes.
type City struct {
	Seed  uint64
	Cards int // honest cards; 0 for 2,000
	// Busy is how many calls an honest card makes in an hour, about; 0 for 3. Some
	// make twenty times as many.
	Busy float64
	// Ahead is by how much the records' clock is ahead of the tap's.
	Ahead time.Duration
	// TimeStep and DurationStep are what times are cut off to and durations rounded
	// up to; 0 for a second.
	TimeStep, DurationStep time.Duration
	Zone                   *time.Location // nil for Beijing's
	// Margin is how long before and after the capture there are records too; 0 for
	// an hour.
	Margin time.Duration
}

// RecordNames is the first row of what RecordsOf writes.
const RecordNames = "imsi,msisdn,direction,calling,called,start,answer,end,duration,cell"

// RecordsOf writes the call records of an operator in whose city the capture was
// made: those of the cards behind lines with a box, and those of honest cards,
// some of which are as like them as they get. What follows is the same for the
// same truth and city. It gives the cards behind each box, by the line's address,
// that made a call in the capture's time.
//
// The decoys: heavy callers, cards that call whom the box calls, soon after it,
// a lunch hour when everybody calls, machines that call every five minutes for as
// long, calls that are recorded twice, in parts, from both ends or not answered.
func RecordsOf(w io.Writer, t *Truth, o City) (map[string][]string, error) {
	if o.Cards < 0 || o.Busy < 0 || o.Margin < 0 || o.TimeStep < 0 || o.DurationStep < 0 {
		return nil, errors.New("a city's numbers are 0 or more")
	}
	if o.Cards == 0 {
		o.Cards = 2000
	}
	if o.Busy == 0 {
		o.Busy = 3
	}
	if o.Margin == 0 {
		o.Margin = time.Hour
	}
	o.TimeStep, o.DurationStep = max(o.TimeStep, time.Second), max(o.DurationStep, time.Second)
	if o.Zone == nil {
		o.Zone = time.FixedZone("", 8*3600)
	}
	h := fnv.New64a()
	h.Write([]byte("city"))
	c := &city{City: o, r: rand.New(rand.NewPCG(o.Seed, h.Sum64())),
		from: t.Start.UnixNano() - int64(o.Margin), to: t.Start.Add(t.Duration).UnixNano() + int64(o.Margin)}
	behind := c.boxes(t)
	c.people()
	slices.SortFunc(c.rows, func(a, b row) int {
		if a.end != b.end { // records are written when calls end
			return int(min(max(a.end-b.end, -1), 1))
		}
		return a.n - b.n
	})
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, RecordNames)
	for i := range c.rows {
		c.write(out, &c.rows[i])
	}
	return behind, out.Flush()
}

type city struct {
	City
	r        *rand.Rand
	from, to int64
	rows     []row
	called   []row // calls of boxes, which decoys copy
}

// row is one record before it is rounded.
type row struct {
	n                  int
	card               Card
	inbound            bool
	other              string
	start, answer, end int64
	unanswered         bool
}

func (c *city) add(r row) {
	r.n = len(c.rows)
	c.rows = append(c.rows, r)
}

// boxes lets cards carry the calls of boxes: the one that was idle for longest
// takes the next.
func (c *city) boxes(t *Truth) map[string][]string {
	behind := make(map[string][]string)
	first, last := t.Start.UnixNano(), t.Start.Add(t.Duration).UnixNano()
	for _, l := range t.Lines {
		if !l.Box() || l.Class == ClassMessageBox {
			continue
		}
		cards := slices.Clone(l.Cards)
		if len(cards) < l.Channels {
			cards = append(cards, newCards(c.r, l.Channels-len(cards))...)
		}
		free := make([]int64, len(cards))
		used := make([]int, len(cards))
		for _, k := range l.talks {
			if k.inbound != (l.Class != ClassOrigination) {
				continue
			}
			at := 0
			for i := range free {
				if free[i] < free[at] {
					at = i
				}
			}
			if len(cards) == 0 || free[at] > k.from {
				continue // no card left: it failed on the other side of the truth
			}
			ring := int64(between(c.r, 3*time.Second, 20*time.Second))
			x := row{card: cards[at], inbound: l.Class == ClassOrigination, other: k.called,
				answer: k.from - int64(between(c.r, 50*time.Millisecond, 600*time.Millisecond)),
				end:    k.to + int64(between(c.r, 0, 900*time.Millisecond))}
			x.start = x.answer - ring
			free[at] = x.end + int64(time.Second)
			if k.to <= last && k.from >= first {
				used[at]++
			}
			c.add(x)
			c.called = append(c.called, x)
		}
		for i, n := range used {
			if n > 0 {
				behind[l.Address] = append(behind[l.Address], cards[i].IMSI)
			}
		}
	}
	return behind
}

// people draws the honest cards.
func (c *city) people() {
	lunch := c.from + c.r.Int64N(max(c.to-c.from, 1)) // a peak of some minutes
	for n := range c.Cards {
		card := newCards(c.r, 1)[0]
		switch {
		case n%50 == 0:
			c.machine(card)
		case n%25 == 1 && len(c.called) > 0:
			c.follower(card)
		default:
			c.person(card, lunch)
		}
	}
}

// person calls as people do: some much, some little.
func (c *city) person(card Card, lunch int64) {
	r := c.r
	rate := c.Busy * math.Exp(0.8*r.NormFloat64()-0.3)
	if chance(r, 0.04) {
		rate = c.Busy * 20 // couriers, drivers, sellers
	}
	mean := time.Duration(float64(time.Hour) / rate)
	median := time.Duration(magnitude(r, float64(15*time.Second), float64(2*time.Minute)))
	busy := c.from
	talk := func(t int64) {
		if t < busy || t > c.to {
			return
		}
		x := row{card: card, inbound: chance(r, 0.4), other: mobile(r), start: t, unanswered: chance(r, 0.35)}
		x.answer = t + int64(between(r, 2*time.Second, 25*time.Second))
		x.end = x.answer + int64(lognormal(r, median, 0.9, 2*time.Second, time.Hour))
		if x.unanswered {
			x.end = x.answer
		}
		busy = x.end + int64(time.Second)
		c.add(x)
		switch {
		case x.unanswered:
		case chance(r, 0.01): // recorded twice
			c.add(x)
		case chance(r, 0.01) && x.end-x.answer > int64(20*time.Second): // in two parts
			y := x
			y.answer += (x.end - x.answer) / 2
			y.start = y.answer
			c.add(y)
		}
	}
	for t := c.from + int64(r.ExpFloat64()*float64(mean)); t < c.to; t += int64(r.ExpFloat64() * float64(mean)) {
		talk(max(t, busy))
	}
	if chance(r, 0.5) {
		talk(lunch + int64(r.NormFloat64()*float64(2*time.Minute)))
	}
}

// follower calls whom a box called, soon after it: whoever missed something, or
// was called by both.
func (c *city) follower(card Card) {
	busy := int64(0)
	for i := 0; i < len(c.called); i += 1 + c.r.IntN(4) {
		x := c.called[i]
		length := x.end - x.answer
		x.card = card
		x.start = x.end + int64(between(c.r, 5*time.Second, 3*time.Minute))
		x.answer = x.start + int64(between(c.r, 2*time.Second, 20*time.Second))
		x.end = x.answer + int64(float64(length)*share(c.r, 0.5, 2))
		if x.start < busy {
			continue
		}
		busy = x.end + int64(time.Second)
		c.add(x)
	}
}

// machine calls every five minutes for as long.
func (c *city) machine(card Card) {
	period := int64(5 * time.Minute)
	length := int64(between(c.r, 5*time.Second, 40*time.Second))
	number := mobile(c.r)
	phase := c.r.Int64N(2) * c.r.Int64N(period)
	for t := c.from - c.from%period + phase; t < c.to; t += period {
		a := t + int64(between(c.r, 2*time.Second, 4*time.Second))
		c.add(row{card: card, other: number, start: t, answer: a, end: a + length})
	}
}

func (c *city) write(w io.Writer, x *row) {
	stamp := func(t int64) string {
		t += int64(c.Ahead)
		return time.Unix(0, t-t%int64(c.TimeStep)).In(c.Zone).Format("2006-01-02 15:04:05")
	}
	direction, calling, called := "MO", x.card.MSISDN, x.other
	if x.inbound {
		direction, calling, called = "MT", x.other, x.card.MSISDN
	}
	answer, length := "", int64(0)
	if !x.unanswered {
		answer = stamp(x.answer)
		step := int64(c.DurationStep)
		length = (x.end - x.answer + step - 1) / step * step
	}
	fmt.Fprintf(w, "%s,%s,%s,%s,%s,%s,%s,%s,%d,cell-%d\n", x.card.IMSI, x.card.MSISDN, direction, calling, called,
		stamp(x.start), answer, stamp(x.end), length/int64(time.Second), x.card.IMSI[len(x.card.IMSI)-1]-'0')
}
