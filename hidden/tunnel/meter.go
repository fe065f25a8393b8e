package tunnel

// Meter keeps the intervals of flows, from their packets. K names a flow, both
// directions of it. It holds at most a given number of flows; the one that has
// been silent for longest makes room.
type Meter[K comparable] struct {
	cap   int
	flows map[K]*metered[K]
	emit  func(K, *Interval)
	// Newest and oldest of a list in order of the last packet.
	newest, oldest *metered[K]
	c              MeterCounters
}

// MeterCounters says what a Meter did.
type MeterCounters struct {
	Packets uint64
	Flows   uint64 // begun
	Evicted uint64 // for want of room
	Sparse  uint64 // intervals not told of, for want of packets
	Late    uint64 // packets from before the flow's present interval
}

type metered[K comparable] struct {
	key          K
	iv           Interval
	newer, older *metered[K]
}

// minPackets of an interval that is told of, both directions: half a stream's at
// 60 ms.
const minPackets = 20

// NewMeter makes a meter of at most n flows, one at least, that tells emit of
// each interval; it is valid until emit returns.
func NewMeter[K comparable](n int, emit func(K, *Interval)) *Meter[K] {
	return &Meter[K]{cap: max(n, 1), flows: make(map[K]*metered[K]), emit: emit}
}

// full says whether a flow would have to make room for k.
func (m *Meter[K]) full(k K) bool { return len(m.flows) >= m.cap && m.flows[k] == nil }

// Counters gives a copy of the counters.
func (m *Meter[K]) Counters() MeterCounters { return m.c }

// Add takes a packet of size bytes of payload at t, ns since the Unix epoch. up
// is set when the subscriber sent it, stream for TCP. Packets come in order of
// time, or nearly.
func (m *Meter[K]) Add(k K, t int64, up, stream bool, size int) {
	if t < 0 {
		return
	}
	m.c.Packets++
	f := m.flows[k]
	start := t - t%int64(Length)
	switch {
	case f == nil:
		if len(m.flows) >= m.cap {
			m.drop(m.oldest)
			m.c.Evicted++
		}
		f = &metered[K]{key: k, iv: Interval{Start: start, Stream: stream}}
		m.flows[k] = f
		m.c.Flows++
	case start > f.iv.Start:
		m.tell(f)
		f.iv = Interval{Start: start, Stream: stream}
		m.unlink(f)
	default:
		if start < f.iv.Start {
			m.c.Late++
			t = f.iv.Start
		}
		m.unlink(f)
	}
	m.link(f)
	if up {
		f.iv.Up.Add(f.iv.Start, t, size)
	} else {
		f.iv.Down.Add(f.iv.Start, t, size)
	}
}

// Sweep says that time has reached now, ns since the Unix epoch: intervals that
// are over are told of, and flows without a packet since forgotten.
func (m *Meter[K]) Sweep(now int64) {
	for m.oldest != nil && m.oldest.iv.Start+int64(Length) <= now {
		m.drop(m.oldest)
	}
}

// Close tells of what is left and forgets all flows, least recent first.
func (m *Meter[K]) Close() {
	for m.oldest != nil {
		m.drop(m.oldest)
	}
}

// Sparse says whether too little is in an interval, both directions, to tell of it. A
// source that sees one direction cannot say.
func (iv *Interval) Sparse() bool {
	return int(iv.Up.Packets)+int(iv.Down.Packets) < minPackets
}

func (m *Meter[K]) tell(f *metered[K]) {
	if f.iv.Sparse() {
		m.c.Sparse++
		return
	}
	m.emit(f.key, &f.iv)
}

func (m *Meter[K]) drop(f *metered[K]) {
	m.tell(f)
	m.unlink(f)
	delete(m.flows, f.key)
}

func (m *Meter[K]) link(f *metered[K]) {
	f.older, f.newer = m.newest, nil
	if m.newest != nil {
		m.newest.newer = f
	} else {
		m.oldest = f
	}
	m.newest = f
}

func (m *Meter[K]) unlink(f *metered[K]) {
	if f.newer != nil {
		f.newer.older = f.older
	} else {
		m.newest = f.older
	}
	if f.older != nil {
		f.older.newer = f.newer
	} else {
		m.oldest = f.newer
	}
	f.newer, f.older = nil, nil
}
