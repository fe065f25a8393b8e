package lab

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// sim is one run: virtual time, the events to come, and everybody in it.
type sim struct {
	seed  uint64
	start int64 // ns since the Unix epoch
	now   int64
	end   int64 // no event is run after it
	queue queue

	shape  encap
	view   view
	vendor string // as in Options
	// wide says that the scenario is one to draw from: accesses, clocks and
	// people are of every kind. The others stay as they are.
	wide bool
	// crowded says that there are thousands of lines, which need addresses.
	crowded bool
	// hiding says that the truth tells each call's course.
	hiding bool
	cut    int64  // nothing before is captured
	ring   string // empty, or what the capture has in common with others
	out    *sink

	noise *rand.Rand // delays and losses
	pool  []byte     // stuff for payloads
	lines []*line
	far   []*node
	addrs map[string]bool // addresses in use
	names map[string]int  // how many actors bear a name
	flows map[flowKey]*flow

	crystals map[float64]bool // errors of the clocks of a wide scenario's devices
}

// newSim starts at nine or later on a working day, Beijing time.
func newSim(opt Options, shape encap, v view, out *sink) *sim {
	s := &sim{
		seed: opt.Seed, shape: shape, view: v, vendor: opt.Vendor, ring: opt.Ring, out: out,
		addrs: map[string]bool{}, names: map[string]int{}, flows: map[flowKey]*flow{},
		crystals: map[float64]bool{},
	}
	r := s.rng("sim")
	when := r
	if s.ring != "" {
		when = s.shared("sim")
	}
	day := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC).AddDate(0, 0, 7*when.IntN(20)+when.IntN(5))
	s.start = day.UnixNano() + when.Int64N(int64(6*time.Hour))
	s.now = s.start
	s.end = s.start + int64(opt.Duration)
	if v == viewMidcall {
		s.cut = s.start + int64(opt.Duration)/3
	}
	s.noise = s.rng("noise")
	s.pool = make([]byte, 1<<16+2048)
	for i := range s.pool {
		s.pool[i] = byte(r.Uint32())
	}
	return s
}

// rng gives a source of its own to every actor, so that one more actor changes
// nothing for the others.
func (s *sim) rng(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	n := s.names[name]
	s.names[name]++
	return rand.New(rand.NewPCG(s.seed+uint64(n)*0x9e3779b97f4a7c15, h.Sum64()))
}

// shared gives a source that all captures of one ring have.
func (s *sim) shared(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	seed := fnv.New64a()
	seed.Write([]byte(s.ring))
	return rand.New(rand.NewPCG(seed.Sum64(), h.Sum64()))
}

// at runs fn at time t, or now when t has passed.
func (s *sim) at(t int64, fn func()) { s.queue.push(event{at: max(t, s.now), fn: fn}) }

// after runs fn d from now.
func (s *sim) after(d time.Duration, fn func()) { s.at(s.now+int64(d), fn) }

// every runs fn now and then again after each period, until the end or until
// fn gives false.
func (s *sim) every(t int64, period func() time.Duration, fn func() bool) {
	s.at(t, func() {
		if fn() {
			s.every(s.now+int64(period()), period, fn)
		}
	})
}

func (s *sim) run() {
	for s.queue.len() > 0 && s.out.err == nil {
		e := &s.queue.heap[0]
		if e.at > s.end {
			return
		}
		s.now = e.at
		if st := e.stream; st != nil {
			if st.step(s) {
				e.at = st.tap
				s.queue.fixTop()
			} else {
				s.queue.pop()
			}
			continue
		}
		fn := e.fn
		s.queue.pop()
		fn()
	}
}

// event is something to do at a time: run a function, or let a stream send its
// next packet.
type event struct {
	at     int64
	seq    uint64 // first come, first served among equals
	fn     func()
	stream *stream
}

// queue is a heap of four children per node: media streams put most of the
// load on replacing the top.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) len() int { return len(q.heap) }

func (e *event) before(f *event) bool {
	return e.at < f.at || e.at == f.at && e.seq < f.seq
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(&q.heap[p]) {
			break
		}
		q.heap[i] = q.heap[p]
		i = p
	}
	q.heap[i] = e
}

func (q *queue) pop() {
	n := len(q.heap) - 1
	q.heap[0] = q.heap[n]
	q.heap[n] = event{}
	q.heap = q.heap[:n]
	if n > 1 {
		q.sift()
	}
}

// fixTop restores order after the time of the first event was put off.
func (q *queue) fixTop() {
	q.seq++
	q.heap[0].seq = q.seq
	q.sift()
}

func (q *queue) sift() {
	e := q.heap[0]
	n, i := len(q.heap), 0
	for {
		c := 4*i + 1
		if c >= n {
			break
		}
		best := c
		for j := c + 1; j < min(c+4, n); j++ {
			if q.heap[j].before(&q.heap[best]) {
				best = j
			}
		}
		if !q.heap[best].before(&e) {
			break
		}
		q.heap[i] = q.heap[best]
		i = best
	}
	q.heap[i] = e
}
