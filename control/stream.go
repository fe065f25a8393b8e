package control

import "simtrap/packet"

const (
	// maxHeld is the most a Stream keeps of a message that is not complete.
	maxHeld = 4096
	// maxHeldAll is the most that all Streams of a Set keep together.
	maxHeldAll = 256 << 10
	// maxGarbage is how much may pass without a message before a Stream gives up.
	maxGarbage = 4096
	// endOfStream, as a number of bytes to pass over, says that nothing more of a
	// stream is of interest.
	endOfStream = 1 << 40
	// maxWaiting is how many marks wait for the other end to speak.
	maxWaiting = 4
)

// Stream finds messages in one direction of a TCP stream. It holds at most 4
// KiB, most protocols some hundred bytes. The first protocol of which it finds a
// message is the stream's. After bytes that make no sense it looks for the next
// message; after 4 KiB of them it gives up for good.
type Stream struct {
	set     *Set
	peer    *Stream // of the other direction
	spoke   bool    // a piece was pushed
	found   int     // reader + 1 once a message was found
	reading int     // the reader at work
	over    bool
	states  []streamReader // by reader, made when needed
	held    []byte
	want    int // bytes to hold before trying again; more than are held
	skip    int // bytes of a body still to be passed over
	garbage int
	waiting []Record // marks
	inside  bool     // the next byte to be read is not the first of a segment
	origin  Origin
}

// NewStream makes a Stream for one direction of a connection whose payload
// Looks like one of the protocols; it need not be its beginning. peer is the
// Stream of the other direction, or nil as long as there is none.
func (s *Set) NewStream(peer *Stream) *Stream {
	s.stats.Streams++
	st := &Stream{set: s, peer: peer}
	if peer != nil {
		peer.peer = st
	}
	return st
}

// Origin says what is known of where the first piece of a stream stood in its
// direction of the connection.
type Origin uint8

const (
	OriginUnknown Origin = iota // the beginning of the connection was not seen
	OriginStart                 // it was the first
	OriginMiddle                // something had gone before
)

// Began says where the first piece stood. Where something had gone before that
// looked like none of the protocols, anybody may be behind what follows: a page
// makes a visitor's browser send what it likes behind a head of HTTP, and a
// service that sends back what it is sent may cut it otherwise. Nothing on such
// a connection is sound, and no mark is handed out.
func (st *Stream) Began(o Origin) { st.origin = o }

// doubtful says that one of the directions was not read from its beginning,
// which was seen.
func (st *Stream) doubtful() bool {
	return st.origin == OriginMiddle || st.peer != nil && st.peer.origin == OriginMiddle
}

// whole says that all that either end has said so far was read.
func (st *Stream) whole() bool {
	return st.origin == OriginStart && (st.peer == nil || st.peer.origin == OriginStart)
}

// Over says that the stream is none of the protocols, or no longer; nothing
// will come of pushing more.
func (st *Stream) Over() bool { return st.over && len(st.waiting) == 0 }

// Close gives back what the stream holds. It must be called of each Stream that
// is dropped.
func (st *Stream) Close() {
	st.hold(st.held[:0])
	st.over, st.held, st.waiting, st.states = true, nil, nil, nil
}

// Gap says that bytes of the stream are missing before the next Push.
func (st *Stream) Gap() {
	st.set.stats.Gaps++
	st.hold(st.held[:0])
	st.skip = 0
	st.garbage++ // not where a message begins, most likely
}

// hold sets what is kept, and counts it.
func (st *Stream) hold(b []byte) {
	st.set.held += len(b) - len(st.held)
	st.held = b
}

// Push takes the next piece of the stream, and calls emit for each record
// completed by it, before it returns. Records bear the time and addresses of
// the packet that completed them, and are the callee's to keep.
//
// A mark is handed out when the other end of the connection has spoken too: to
// get that far takes a connection, which cannot be forged from afar.
func (st *Stream) Push(p *packet.Packet, emit func(*Record)) {
	data := p.Payload
	st.spoke = st.spoke || len(data) > 0
	if st.spoke && st.peer != nil {
		st.peer.heard(p, emit)
	}
	if st.over {
		return
	}
	out := func(r *Record) {
		if st.doubtful() {
			if r.Sound = false; r.Kind == Mark {
				st.set.stats.Doubtful++
				return
			}
		}
		r.Whole = st.set.readers[st.reading].brief && st.whole()
		if r.Kind == Mark && (st.peer == nil || !st.peer.spoke) {
			if len(st.waiting) < maxWaiting {
				st.waiting = append(st.waiting, *r)
			}
			return
		}
		st.set.emit(p, r, emit)
	}
	for st.inside = false; len(data) > 0 && !st.over; st.inside = true {
		if st.skip > 0 {
			n := min(st.skip, len(data))
			st.skip -= n
			data = data[n:]
			continue
		}
		if len(st.held) == 0 {
			done, want := st.step(data, true, p.Time, out)
			if done == 0 {
				if st.full(len(data)) {
					break
				}
				st.hold(append(st.held[:0:cap(st.held)], data...))
				st.want = want
				break
			}
			data = data[min(done, len(data)):]
			continue
		}
		n := min(st.want-len(st.held), len(data))
		if st.full(n) {
			break
		}
		st.set.held += n
		st.held = append(st.held, data[:n]...)
		data = data[n:]
		st.drain(len(data) == 0, p.Time, out)
	}
	if p.Cut() && !st.over {
		st.Gap()
	}
	if st.over {
		st.hold(st.held[:0])
		st.held, st.states = nil, nil
	}
}

// full drops what is held when all streams hold too much, and says so.
func (st *Stream) full(more int) bool {
	if st.set.held+more <= maxHeldAll {
		return false
	}
	st.set.stats.Full++
	st.Gap()
	return true
}

// heard hands out the marks that waited for the other end, whose packet p is.
func (st *Stream) heard(p *packet.Packet, emit func(*Record)) {
	for i := range st.waiting {
		r := &st.waiting[i]
		r.Time = p.Time
		r.Src, r.Dst, r.SrcPort, r.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
		r.Realm, r.TCP = p.Realm, true
		st.set.count(r)
		emit(r)
	}
	st.waiting = nil
}

// drain steps through what is held until more is wanted.
func (st *Stream) drain(last bool, now int64, emit func(*Record)) {
	for len(st.held) > 0 && !st.over {
		done, want := st.step(st.held, last, now, emit)
		if done == 0 {
			st.want = want
			return
		}
		st.hold(st.held[:copy(st.held, st.held[done:])])
		n := min(st.skip, len(st.held))
		st.skip -= n
		st.hold(st.held[:copy(st.held, st.held[n:])])
	}
}

// step reads one message at the beginning of b, or passes over what is none. It
// gives the number of bytes done with, from 1 to len(b), or 0 and how many it
// wants, more than len(b) and at most maxHeld. last says that nothing follows b
// yet.
func (st *Stream) step(b []byte, last bool, now int64, emit func(*Record)) (done, want int) {
	wait := 0
	tried := uint64(0)
	list := st.set.first[b[0]]
	if st.found != 0 {
		list = st.set.only[st.found-1 : st.found]
	}
	for i := range list {
		n := int(list[i].reader)
		if tried>>n&1 == 1 {
			continue
		}
		tried |= 1 << n
		r := st.reader(n)
		if r == nil || !r.begins(b) {
			continue
		}
		st.reading = n
		done, want, skip := r.step(b, st.found == 0 || st.garbage > 0, last, now, emit)
		switch {
		case done > 0:
			st.found, st.garbage, st.skip = n+1, 0, skip
			st.over = st.over || skip >= endOfStream
			return done, 0
		case want > len(b) && want <= maxHeld:
			if wait == 0 || want < wait {
				wait = want
			}
		}
	}
	if wait != 0 {
		return 0, wait
	}
	// Pass over what cannot begin a message, one byte at least.
	st.inside = true
	n := 1
	for n < len(b) && !st.begins(b[n:]) {
		n++
	}
	st.waste(n)
	return n, 0
}

// reader gives the state of reader n for this stream, nil if it reads none, or
// none from here on.
func (st *Stream) reader(n int) streamReader {
	if st.set.readers[n].stream == nil || st.set.readers[n].segment && st.inside {
		return nil
	}
	if st.states == nil {
		st.states = make([]streamReader, len(st.set.readers))
	}
	if st.states[n] == nil {
		st.states[n] = st.set.readers[n].stream()
		if p, ok := st.states[n].(pairedReader); ok && st.peer != nil && st.peer.states != nil && st.peer.states[n] != nil {
			p.pair(st.peer.states[n])
		}
	}
	return st.states[n]
}

func (st *Stream) waste(n int) {
	st.set.stats.Garbage += uint64(n)
	if st.garbage += n; st.garbage >= maxGarbage {
		st.over = true
		st.set.stats.GaveUp++
	}
}

// begins says whether a message may begin with b, of which one byte may be
// there or many.
func (st *Stream) begins(b []byte) bool {
	if st.found != 0 {
		r := st.reader(st.found - 1)
		return r != nil && r.begins(b)
	}
	for i := range st.set.first[b[0]] {
		if r := st.reader(int(st.set.first[b[0]][i].reader)); r != nil && r.begins(b) {
			return true
		}
	}
	return false
}
