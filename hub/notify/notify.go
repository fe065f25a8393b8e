// Package notify hands over what is new: it tells webhooks and syslogs that people
// opened or changed a case, and that a line has reached the verdict case. What it tells
// names neither subscribers nor addresses; whoever wants more asks the hub, which writes
// down who does (docs/hub.md, "Hand-over").
package notify

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Kinds of events.
const (
	CaseOpened  = "case.opened"
	CaseChanged = "case.changed"
	CaseComment = "case.comment"
	FindingCase = "finding.case"
)

// Event is something that is told. Fields that a kind does not have are empty.
type Event struct {
	ID      string    `json:"id"` // of the event: one that comes twice is the same
	Kind    string    `json:"kind"`
	At      time.Time `json:"at"`
	Case    string    `json:"case,omitempty"` // 32 hex digits, as simtrap hub cases shows it
	Title   string    `json:"title,omitempty"`
	State   string    `json:"state,omitempty"`
	Owner   string    `json:"owner,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	Finding string    `json:"finding,omitempty"` // 32 hex digits, as simtrap hub findings shows it
	Sensor  string    `json:"sensor,omitempty"`
	Verdict string    `json:"verdict,omitempty"`
}

// Target is where events are told. Tell fails with a Permanent when it is of no use to
// try again.
type Target interface {
	Name() string // without secrets
	Tell(context.Context, *Event) error
	Close() error
}

// Permanent is an error that stays.
type Permanent struct{ Err error }

func (p *Permanent) Error() string { return p.Err.Error() }

// Unwrap gives the cause.
func (p *Permanent) Unwrap() error { return p.Err }

// Options of a Notifier. The zero value of each but Targets has a default.
type Options struct {
	Targets []Target
	Queue   int           // events that wait for one target; 1,000. More are dropped, the newest.
	Keep    time.Duration // for which one is tried; 24 h
	// BackoffMin and BackoffMax are the waits between tries; 1 s and 5 min.
	BackoffMin, BackoffMax time.Duration
	Log                    *zap.Logger
	Now                    func() time.Time
}

// Stats counts events of one target. Those that still waited when Run ended are among the
// dropped.
type Stats struct {
	Target                        string // its name, with #2 and so on where another has the same
	Told, Tries, Dropped, GivenUp uint64
	Waiting                       int
}

// Notifier tells events to targets, each in order and for itself. What waits is lost when
// the process ends, which it says.
type Notifier struct {
	o     Options
	lanes []*lane
}

// lane is what waits for one target.
type lane struct {
	target                        Target
	name                          string // of the target, and of no other's
	queue                         chan *Event
	told, tries, dropped, givenUp atomic.Uint64
}

// New gives a notifier; nothing is told before Run.
func New(o Options) *Notifier {
	if o.Queue <= 0 {
		o.Queue = 1000
	}
	if o.Keep <= 0 {
		o.Keep = 24 * time.Hour
	}
	if o.BackoffMin <= 0 {
		o.BackoffMin = time.Second
	}
	if o.BackoffMax <= 0 {
		o.BackoffMax = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	n := &Notifier{o: o}
	same := make(map[string]int)
	for _, t := range o.Targets {
		name := t.Name()
		if same[name]++; same[name] > 1 {
			name = fmt.Sprintf("%s#%d", name, same[name])
		}
		n.lanes = append(n.lanes, &lane{target: t, name: name, queue: make(chan *Event, o.Queue)})
	}
	return n
}

// Tell puts an event into the queues; it never waits. ID and At are filled in.
func (n *Notifier) Tell(e Event) {
	e.ID, e.At = crand.Text(), n.o.Now().UTC()
	for _, l := range n.lanes {
		select {
		case l.queue <- &e:
		default:
			if l.dropped.Add(1)%1000 == 1 {
				n.o.Log.Error("events are dropped: too many wait for a target", zap.String("target", l.name))
			}
		}
	}
}

// Run tells until ctx is done, then closes the targets.
func (n *Notifier) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, l := range n.lanes {
		all.Go(func() { n.run(ctx, l) })
	}
	all.Wait()
}

func (n *Notifier) run(ctx context.Context, l *lane) {
	defer l.target.Close()
	for {
		select {
		case <-ctx.Done():
			if left := len(l.queue); left > 0 {
				l.dropped.Add(uint64(left))
				n.o.Log.Warn("events are not told any more: the hub ends", zap.String("target", l.name), zap.Int("events", left))
			}
			return
		case e := <-l.queue:
			n.tell(ctx, l, e)
		}
	}
}

// tell tries until it is told, or given up.
func (n *Notifier) tell(ctx context.Context, l *lane, e *Event) {
	said := false
	for wait := n.o.BackoffMin; ; wait = min(2*wait, n.o.BackoffMax) {
		l.tries.Add(1)
		err := l.target.Tell(ctx, e)
		if err == nil {
			l.told.Add(1)
			if said {
				n.o.Log.Info("a target is told events again", zap.String("target", l.name))
			}
			return
		}
		if ctx.Err() != nil {
			l.dropped.Add(1)
			n.o.Log.Warn("an event is not told any more: the hub ends", zap.String("target", l.name), zap.String("event", e.ID))
			return
		}
		_, permanent := errors.AsType[*Permanent](err)
		if permanent || n.o.Now().Sub(e.At) >= n.o.Keep {
			l.givenUp.Add(1)
			n.o.Log.Error("an event is given up", zap.String("target", l.name), zap.String("event", e.ID), zap.String("kind", e.Kind), zap.Error(err))
			return
		}
		if !said {
			said = true
			n.o.Log.Warn("an event could not be told: it is tried again", zap.String("target", l.name), zap.String("event", e.ID), zap.Error(err))
		}
		t := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// Stats says how the targets do, in their order.
func (n *Notifier) Stats() (list []Stats) {
	for _, l := range n.lanes {
		list = append(list, Stats{Target: l.name, Told: l.told.Load(), Tries: l.tries.Load(), Dropped: l.dropped.Load(), GivenUp: l.givenUp.Load(), Waiting: len(l.queue)})
	}
	return list
}

// body is an event as webhooks have it.
func body(e *Event) ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, &Permanent{fmt.Errorf("event: %w", err)}
	}
	return b, nil
}
