package door

import (
	"container/list"
	"sync"
	"time"
)

// Limits of what one sensor may ask, and all together. Zero values have defaults.
type Limits struct {
	// Records a second of one sensor, and how many it may be ahead; 1,000 and 50,000.
	Records, RecordsAhead float64
	// Requests a second of one sensor, and how many it may be ahead; 20 and 100.
	Requests, RequestsAhead float64
	// Pieces of headers a second of one sensor, and how many it may be ahead; 20 and
	// 100. They are counted apart: a long answer must not keep reports from coming.
	Pieces, PiecesAhead float64
	// Enrolments a second from one address, and ahead; 2 and 50.
	Enrolments, EnrolmentsAhead float64
	// InFlight requests of one sensor, so many pieces beside, and its policy streams; 4
	// and 4.
	InFlight, Streams int
	// Batches that are read and stored side by side, of all sensors; 64. Reading, of
	// these, is how many are unpacked at a time; 4. Giving is how many pieces of
	// headers are read and stored side by side; 16.
	Batches, Reading, Giving int
	// Known is how many sensors and addresses are remembered, each; 20,000.
	Known int
	// Connections of all kinds; 8,192. Strangers, of these, are those of whom nobody is
	// known yet; an eighth. Each is how many one sensor or account may have; 32.
	Connections, Strangers, Each int
}

func (l *Limits) defaults() {
	float := func(v *float64, d float64) {
		if *v <= 0 {
			*v = d
		}
	}
	whole := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	float(&l.Records, 1000)
	float(&l.RecordsAhead, 50_000)
	float(&l.Requests, 20)
	float(&l.RequestsAhead, 100)
	float(&l.Pieces, 20)
	float(&l.PiecesAhead, 100)
	float(&l.Enrolments, 2)
	float(&l.EnrolmentsAhead, 50)
	whole(&l.InFlight, 4)
	whole(&l.Streams, 4)
	whole(&l.Batches, 64)
	whole(&l.Reading, 4)
	whole(&l.Giving, 16)
	whole(&l.Known, 20_000)
	whole(&l.Connections, 8192)
	whole(&l.Strangers, max(1, l.Connections/8))
	whole(&l.Each, 32)
}

// bucket lets through so much a second, and a store of it at once. What is taken
// beyond is owed: who owes waits.
type bucket struct {
	level float64
	at    time.Time
}

// fill brings a bucket to a time, and gives how long until it owes nothing.
func (b *bucket) fill(now time.Time, rate, most float64) time.Duration {
	if b.at.IsZero() {
		b.level = most
	} else if d := now.Sub(b.at); d > 0 {
		b.level = min(most, b.level+rate*d.Seconds())
	}
	b.at = now
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / rate * float64(time.Second))
}

// guest is what is remembered of one sensor or address.
type guest struct {
	name                      string
	records, requests, pieces bucket
	inFlight, streams         int
	giving                    int // pieces on their way
}

// guests are the most recent ones, with a bound.
type guests struct {
	most    int
	mu      sync.Mutex
	by      map[string]*list.Element
	order   *list.List // of *guest, the least recent at the back
	evicted uint64
}

func newGuests(most int) *guests {
	return &guests{most: most, by: make(map[string]*list.Element), order: list.New()}
}

// with does something with a guest, made if need be, while nobody else does.
func (g *guests) with(name string, do func(*guest)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e, ok := g.by[name]
	if !ok {
		g.evict()
		e = g.order.PushFront(&guest{name: name})
		g.by[name] = e
	} else {
		g.order.MoveToFront(e)
	}
	do(e.Value.(*guest))
}

// evict makes room for one. Who has a request or a stream is kept: else its end
// would be counted for another.
func (g *guests) evict() {
	for e := g.order.Back(); e != nil && len(g.by) >= g.most; {
		x, before := e.Value.(*guest), e.Prev()
		if x.inFlight == 0 && x.streams == 0 && x.giving == 0 {
			delete(g.by, x.name)
			g.order.Remove(e)
			g.evicted++
		}
		e = before
	}
}

func (g *guests) count() (known int, evicted uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.by), g.evicted
}
