// Package sessions reads who had which address when: from CSV files, from the
// detail files of FreeRADIUS and from RADIUS accounting packets (RFC 2866). It
// gives one stream of events in order of time, however many files there are,
// and holds no more than what is out of order.
package sessions

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"simtrap/ident"
)

// Event is the beginning or end of one tenancy of an address.
type Event struct {
	Time       int64 // ns since the Unix epoch
	Prefix     netip.Prefix
	Realm      string // empty where the feed does not say
	Stop       bool
	Session    uint64 // names the session among those of its address, 0 for none
	Subscriber ident.Subscriber
}

// Source gives events as they lie in one file, and io.EOF at its end.
type Source interface{ Next() (Event, error) }

const (
	// slack is how far out of order a file may be: interim updates that were
	// kept back while a server was out of reach.
	slack = int64(3600e9)
	// maxPending bounds the events that wait for their time: ends of sessions
	// that run, in a file of whole sessions.
	maxPending = 1 << 20
)

// Counters of a Feed.
type Counters struct {
	Events  uint64
	Late    uint64 // more than an hour out of order, left aside
	Crowded uint64 // let go before their time, too many waited
	Skipped uint64 // accounting records of no session, or without an address
	Broken  uint64 // files that could not be read to their end
}

// Feed merges sources by time. The zero Feed has none.
type Feed struct {
	queues   []*queue
	counters Counters
	errs     []error
}

// NewFeed merges sources; equal times go in the order given.
func NewFeed(sources ...Source) *Feed {
	f := &Feed{}
	for _, s := range sources {
		f.queues = append(f.queues, &queue{source: s})
	}
	return f
}

// Next gives the next event up to time t. ok is false when there is none.
func (f *Feed) Next(t int64) (e Event, ok bool) {
	for {
		var first *queue
		for _, q := range f.queues {
			q.fill(f)
			if len(q.pending) > 0 && (first == nil || q.pending[0].Time < first.pending[0].Time) {
				first = q
			}
		}
		if first == nil || first.pending[0].Time > t {
			return Event{}, false
		}
		e = heap.Pop(&first.pending).(waiting).Event
		if e.Time < first.last {
			f.counters.Late++
			continue
		}
		first.last = e.Time
		f.counters.Events++
		return e, true
	}
}

// Counters gives what was read and left aside so far.
func (f *Feed) Counters() Counters {
	c := f.counters
	for _, q := range f.queues {
		if s, ok := q.source.(interface{ Skipped() uint64 }); ok {
			c.Skipped += s.Skipped()
		}
	}
	return c
}

// Err gives the fault of each file that could not be read to its end, nil when
// there is none.
func (f *Feed) Err() error {
	if f == nil {
		return nil
	}
	return errors.Join(f.errs...)
}

// Close closes the files. A Feed that is nil has none.
func (f *Feed) Close() {
	if f == nil {
		return
	}
	for _, q := range f.queues {
		q.ended = true
		closeSource(q.source)
	}
}

func closeSource(s Source) {
	if c, ok := s.(io.Closer); ok {
		_ = c.Close() // it was read
	}
}

// queue puts the events of one source in order.
type queue struct {
	source  Source
	pending pending
	newest  int64 // of what was read
	last    int64 // of what was given
	n       uint64
	ended   bool
}

// fill reads until the first event can have no earlier one behind it.
func (q *queue) fill(f *Feed) {
	for !q.ended && (len(q.pending) == 0 || q.pending[0].Time > q.newest-slack) {
		if len(q.pending) >= maxPending {
			f.counters.Crowded++
			return
		}
		e, err := q.source.Next()
		if err != nil {
			q.ended = true
			if !errors.Is(err, io.EOF) {
				f.counters.Broken++
				f.errs = append(f.errs, err)
			}
			return
		}
		// An end that lies ahead says nothing about the order of the file.
		if !e.Stop || e.Session == 0 {
			q.newest = max(q.newest, e.Time)
		}
		q.n++
		heap.Push(&q.pending, waiting{e, q.n})
	}
}

type waiting struct {
	Event
	n uint64
}

// pending is a heap by time. What begins comes before what ends, so that a
// change of hands within one second is no gap.
type pending []waiting

func (p pending) Len() int { return len(p) }
func (p pending) Less(i, j int) bool {
	a, b := &p[i], &p[j]
	if a.Time != b.Time {
		return a.Time < b.Time
	}
	if a.Stop != b.Stop {
		return b.Stop
	}
	return cmp.Less(a.n, b.n)
}
func (p pending) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *pending) Push(x any)   { *p = append(*p, x.(waiting)) }
func (p *pending) Pop() any {
	old := *p
	x := old[len(old)-1]
	old[len(old)-1] = waiting{}
	*p = old[:len(old)-1]
	return x
}

// parsePrefix reads the address or prefix of a session.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := ident.ParsePrefix(s)
	if err != nil || p.Addr().IsUnspecified() || p.Bits() == 0 {
		return p, fmt.Errorf("address %q: want an address, or a prefix such as 2001:db8:1::/56", s)
	}
	return p, nil
}
