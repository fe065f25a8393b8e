package pipeline

import (
	"sync/atomic"

	"simtrap/heuristics"
)

// Sink takes findings while a live run goes on: each when it changed materially.
// It is called by one goroutine, and may take its time: the run does not wait. A
// finding that it refuses is counted and not given again.
type Sink interface {
	Finding(*heuristics.Finding) error
}

const (
	tellEvery  = int64(5e9) // of packet time
	maxTelling = 1024       // findings that wait for the sink
)

// telling hands findings to a sink.
type telling struct {
	sink    Sink
	queue   chan *heuristics.Finding
	done    chan struct{}
	last    int64 // packet time
	waits   uint64
	refused atomic.Uint64
}

func newTelling(s Sink) *telling {
	return &telling{sink: s, queue: make(chan *heuristics.Finding, maxTelling), done: make(chan struct{})}
}

// run hands on what comes until close.
func (t *telling) run() {
	defer close(t.done)
	for f := range t.queue {
		if err := t.sink.Finding(f); err != nil {
			t.refused.Add(1)
		}
	}
}

// tell says whether there was room; else the finding comes again.
func (t *telling) tell(f *heuristics.Finding) bool {
	c := *f
	select {
	case t.queue <- &c:
		return true
	default:
		t.waits++
		return false
	}
}

// put waits for room.
func (t *telling) put(f *heuristics.Finding) {
	c := *f
	t.queue <- &c
}

// close waits until the sink has had everything.
func (t *telling) close() {
	close(t.queue)
	<-t.done
}
