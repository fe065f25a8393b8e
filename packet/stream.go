package packet

import (
	"math"
	"slices"

	"simtrap/ident"
)

// StreamConfig bounds a Streams. A number that is not positive takes the
// default.
type StreamConfig struct {
	Streams int    // connections followed at once; default 4096
	Held    int    // bytes held out of order for one direction; default 64 KiB
	Total   int    // bytes held out of order for all streams together; default 4 MiB
	Wait    int64  // how long a gap may stay open, ns of packet time; default 5 s
	Idle    int64  // how long a connection may be silent, ns; default 10 min
	Seed    uint64 // of the hash, so that strangers cannot aim collisions
	// Dropped, when set, is told of each Stream that is given up, after its
	// last piece. It must not call the Streams.
	Dropped func(*Stream)
}

const (
	// pieceCost is what holding a segment is charged besides its bytes, so that
	// a flood of tiny ones is bounded too.
	pieceCost = 64
	// farAway is how far from the expected sequence number a segment may lie
	// and still be taken for one of the same stream, in bytes.
	farAway = 1 << 20
)

// Streams brings TCP segments in order, for connections whose beginning is of
// interest; it keeps nothing of others. It is for one goroutine. It never sees
// a handshake as necessary: a connection is followed from the first segment of
// interest on, in mid-connection too, and its other direction from the next
// segment with payload.
//
// What is held at most: Total bytes, and about 700 bytes for each stream.
type Streams struct {
	Counters Counters

	cfg      StreamConfig
	interest func([]byte) bool

	slots   []slot // open addressing, linear probing; a power of two, at most half full
	streams []*Stream
	free    []uint32 // unused indices of streams
	live    int
	ids     uint64
	held    int // bytes held, with pieceCost

	recent, stale *Stream // list by use: most and least recent
	first, last   *half   // list of the halves that wait for a gap, longest first
	deadline      int64   // nothing needs sweeping before
	piece         Packet
}

// slot points from a hash to a stream: index + 1 in Streams.streams, 0 is empty.
type slot struct{ hash, stream uint32 }

// Stream is one TCP connection that is followed.
type Stream struct {
	ID uint64 // from 1, in order of appearance
	// Dir is the direction of the piece that is being handed over: 0 as the
	// segment that aroused interest, 1 the other way.
	Dir int
	// State is the caller's, one for each direction.
	State [2]any
	// Over is set by the caller when it wants no more of the connection, which
	// is then forgotten as if it had never been of interest.
	Over bool

	src, dst         ident.Addr // of direction 0
	srcPort, dstPort uint16
	realm            ident.Realm
	halves           [2]half
	used             int64 // time of the last segment
	newer, older     *Stream
	hash, index      uint32
	gone             bool // given up
}

// Next gives the packet with which a direction would go on: its addresses, ports,
// and the sequence number after the last piece. ok is false where nothing of the
// direction was followed.
func (st *Stream) Next(dir int) (p Packet, ok bool) {
	p = Packet{Src: st.src, Dst: st.dst, SrcPort: st.srcPort, DstPort: st.dstPort, Realm: st.realm, Proto: TCP}
	if dir == 1 {
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	}
	h := &st.halves[dir]
	p.TCPSeq = h.next
	return p, h.open
}

// half is one direction of a Stream.
type half struct {
	stream     *Stream
	open       bool   // next is known
	done       bool   // everything up to the FIN was handed over
	fin        bool   // finAt is known
	acked      bool   // ack is known
	next       uint32 // sequence number expected
	finAt      uint32 // of the byte behind the last
	ack        uint32 // what the other side expects, as it last said
	missing    uint32 // bytes lost since the last piece
	held       []segment
	bytes      int // of held, with pieceCost
	since      int64
	prev, succ *half  // neighbours in the list of those waiting
	waiting    bool   // in that list
	model      Packet // what the half's packets have in common
}

// segment is a piece held out of order. Its data is shorter than its length
// when a snap length cut it.
type segment struct {
	seq, length uint32
	flags       uint8
	data        []byte
}

// NewStreams makes a Streams. interest says of the payload of a segment of an
// unknown connection whether the connection should be followed; it is called
// for every such segment, so it should look at the first bytes only.
func NewStreams(cfg StreamConfig, interest func(payload []byte) bool) *Streams {
	cfg.Streams = positive(cfg.Streams, 4096)
	cfg.Held = positive(cfg.Held, 64<<10)
	cfg.Total = positive(cfg.Total, 4<<20)
	cfg.Wait = positive(cfg.Wait, 5e9)
	cfg.Idle = positive(cfg.Idle, 600e9)
	return &Streams{cfg: cfg, interest: interest, slots: make([]slot, 64), deadline: math.MaxInt64}
}

// Len is how many connections are followed.
func (s *Streams) Len() int { return s.live }

// Feed takes p, for which a Decoder returned Segment, and hands to emit the
// pieces that it brings in order, none or several. gap is how many bytes of the
// stream are missing before the piece; where it is not 0 a framer must find its
// bearings anew (after a stream was taken up anew elsewhere the number itself
// means little). A piece that completes a hole carries time and frame number of
// the segment that was the occasion, since it could not be known earlier. Piece
// and payload are valid during the call only. emit must not call s.
//
// A segment cut by a snap length is a shorter piece with a gap behind it; cut
// to nothing it is a gap alone.
func (s *Streams) Feed(p *Packet, emit func(st *Stream, piece *Packet, gap uint32)) {
	if p.Time >= s.deadline {
		s.sweep(p, emit)
	}
	if s.live == 0 {
		if p.Length > 0 && s.wanted(p) {
			s.begin(p, hashOf(p, s.cfg.Seed), emit)
		}
		return
	}
	hash := hashOf(p, s.cfg.Seed)
	st, dir := s.find(p, hash)
	if st != nil && p.Flags&SYN != 0 && !st.halves[dir].expectsSYN(p) {
		s.end(st, p, emit) // the ports are used for a new connection
		st = nil
	}
	if st == nil {
		if p.Length > 0 && s.wanted(p) {
			s.begin(p, hash, emit)
		}
		return
	}
	st.used = p.Time
	s.touch(st)
	s.take(st, dir, p, emit)
	s.leave(st, p, emit)
}

// Flush hands over everything that is held, each piece behind its gap, and
// gives up all streams. p says when, as a frame does; at the end of the input
// that is the last one.
func (s *Streams) Flush(p *Packet, emit func(st *Stream, piece *Packet, gap uint32)) {
	for s.stale != nil {
		s.end(s.stale, p, emit)
	}
}

func (s *Streams) wanted(p *Packet) bool {
	return len(p.Payload) > 0 && p.Flags&RST == 0 && s.interest(p.Payload)
}

// expectsSYN says whether p, which has SYN set, belongs to the connection.
func (h *half) expectsSYN(p *Packet) bool {
	return !h.open || int32(p.TCPSeq+1-h.next) <= 0 && int32(p.TCPSeq+1-h.next) > -farAway && !h.done
}

type emitter = func(st *Stream, piece *Packet, gap uint32)

// begin follows a new connection from p on.
func (s *Streams) begin(p *Packet, hash uint32, emit emitter) {
	if s.live >= s.cfg.Streams {
		s.Counters[StreamTableFull]++
		s.end(s.stale, p, emit)
	}
	s.ids++
	st := &Stream{
		ID: s.ids, hash: hash, used: p.Time, realm: p.Realm,
		src: p.Src, dst: p.Dst, srcPort: p.SrcPort, dstPort: p.DstPort,
	}
	st.halves[0].stream, st.halves[1].stream = st, st
	s.insert(st)
	s.push(st)
	s.deadline = min(s.deadline, after(p.Time, s.cfg.Idle))
	s.take(st, 0, p, emit)
	s.leave(st, p, emit)
}

// leave gives st up if the caller wants no more of it.
func (s *Streams) leave(st *Stream, p *Packet, emit emitter) {
	if st.Over && !st.gone {
		s.end(st, p, emit)
	}
}

// take works off one segment of a followed connection.
func (s *Streams) take(st *Stream, dir int, p *Packet, emit emitter) {
	h := &st.halves[dir]
	if p.Flags&ACK != 0 {
		st.halves[1-dir].ack, st.halves[1-dir].acked = p.TCPAck, true
	}
	seq := p.TCPSeq
	if p.Flags&SYN != 0 {
		seq++
	}
	if p.Flags&RST != 0 {
		if near(seq, h.expected(seq)) {
			s.end(st, p, emit)
		}
		return
	}
	if !h.open && (p.Length > 0 && !h.keepalive(p) || p.Flags&SYN != 0) {
		h.open, h.next = true, seq
	}
	if !h.open {
		if p.Length > 0 {
			s.Counters[SegmentKeepalive]++
		}
		if p.Flags&FIN != 0 && near(seq, h.expected(seq)) {
			h.done = true
			s.settle(st, p, emit)
		}
		return
	}
	h.model = *p
	h.model.Payload, h.model.Frag = nil, Frag{}
	if p.Flags&FIN != 0 && !h.fin && near(seq+p.Length, h.next) {
		h.fin, h.finAt = true, seq+p.Length
	}
	if p.Length > 0 {
		s.data(h, dir, seq, p, emit)
	}
	s.settle(st, p, emit)
}

// expected is the sequence number that is due, or def when that is not known.
func (h *half) expected(def uint32) uint32 {
	switch {
	case h.open:
		return h.next
	case h.acked:
		return h.ack
	}
	return def
}

// near says whether seq lies at next or not far ahead of it.
func near(seq, next uint32) bool { return seq-next < farAway }

// keepalive says whether p is a probe for a half that is not open yet: one
// byte that the other side has acknowledged before (RFC 9293 section 3.8.4).
func (h *half) keepalive(p *Packet) bool {
	return h.acked && p.Length == 1 && p.TCPSeq == h.ack-1
}

// settle ends st when both directions have come to their end.
func (s *Streams) settle(st *Stream, p *Packet, emit emitter) {
	for i := range st.halves {
		if h := &st.halves[i]; h.open && h.fin && int32(h.next-h.finAt) >= 0 {
			h.done = true
		}
	}
	if st.halves[0].done && st.halves[1].done {
		s.end(st, p, emit)
	}
}

// data takes the payload of p, which begins at seq.
func (s *Streams) data(h *half, dir int, seq uint32, p *Packet, emit emitter) {
	distance := int32(seq - h.next)
	if distance > farAway || distance < -farAway {
		if !s.wanted(p) {
			s.Counters[SegmentFar]++
			return
		}
		s.Counters[StreamRestarted]++
		s.release(h, dir, p, GapEnd, emit)
		h.lose(max(1, seq-h.next)) // behind: a large number
		h.next, h.fin, h.done = seq, false, false
		distance = 0
	} else if h.done {
		if distance < 0 && distance+int32(p.Length) <= 0 {
			s.Counters[SegmentRetransmitted]++
		} else {
			s.Counters[SegmentAfterEnd]++
		}
		return
	}
	if distance > 0 {
		if distance = s.makeRoom(h, dir, seq, p, emit); distance > 0 {
			s.hold(h, seq, p)
			return
		}
	}
	switch end := distance + int32(p.Length); {
	case end > 0:
	case distance == -1 && p.Length == 1:
		s.Counters[SegmentKeepalive]++
		return
	default:
		s.Counters[SegmentRetransmitted]++
		return
	}
	s.deliver(h, dir, p, segment{seq: seq, length: p.Length, flags: p.Flags, data: p.Payload}, emit)
	s.drain(h, dir, p, emit)
}

// makeRoom gives up gaps until the payload of p, which begins at seq and lies
// behind a gap, can be held, or is due. It gives the distance that is left.
func (s *Streams) makeRoom(h *half, dir int, seq uint32, p *Packet, emit emitter) int32 {
	cost := len(p.Payload) + pieceCost
	for {
		distance := int32(seq - h.next)
		if distance <= 0 {
			return distance
		}
		full := GapStreamFull
		if h.bytes+cost <= s.cfg.Held {
			if s.held+cost <= s.cfg.Total {
				return distance
			}
			full = GapMemoryFull
			if v := s.first; v != nil && v.stream != h.stream {
				s.skip(v, v.dir(), p, full, emit)
				s.settle(v.stream, p, emit)
				continue
			}
		}
		if len(h.held) > 0 {
			s.skip(h, dir, p, full, emit)
			continue
		}
		if v := s.first; full == GapMemoryFull && v != nil { // the other direction's
			s.skip(v, v.dir(), p, full, emit)
			continue
		}
		s.Counters[full]++ // a single segment beyond the limit
		h.lose(uint32(distance))
		h.next = seq
		return 0
	}
}

// lose notes that n bytes are missing before the next piece.
func (h *half) lose(n uint32) { h.missing += min(n, math.MaxUint32-h.missing) }

func (h *half) dir() int {
	if h == &h.stream.halves[1] {
		return 1
	}
	return 0
}

// deliver hands over what of g lies at h.next or behind it, and moves h.next
// on. p gives the time.
func (s *Streams) deliver(h *half, dir int, p *Packet, g segment, emit emitter) {
	old := h.next - g.seq // bytes known already; less than g.length
	g.data = g.data[min(old, uint32(len(g.data))):]
	g.length -= old
	g.seq = h.next
	h.next += g.length
	cut := g.length - uint32(len(g.data))
	if cut > 0 {
		s.Counters[SegmentCut]++
	}
	if len(g.data) == 0 {
		h.lose(cut)
		return
	}
	q := &s.piece
	*q = h.model
	q.Time, q.Seq, q.Source, q.TapPort = p.Time, p.Seq, p.Source, p.TapPort
	q.TCPSeq, q.Flags, q.Length, q.Payload = g.seq, g.flags, g.length, g.data
	gap := h.missing
	h.missing = cut
	h.stream.Dir = dir
	emit(h.stream, q, gap)
	q.Payload = nil
}

// drain hands over what is held and has come in order.
func (s *Streams) drain(h *half, dir int, p *Packet, emit emitter) {
	done := 0
	for done < len(h.held) && int32(h.held[done].seq-h.next) <= 0 {
		g := h.held[done]
		h.held[done].data = nil
		done++
		s.charge(h, -len(g.data)-pieceCost)
		if int32(g.seq+g.length-h.next) > 0 {
			s.deliver(h, dir, p, g, emit)
		}
	}
	if done == 0 {
		return
	}
	h.held = slices.Delete(h.held, 0, done)
	s.stopWaiting(h)
	if len(h.held) > 0 {
		s.wait(h, p.Time) // for the next gap, with its own time limit
	}
}

// skip gives up the gap before the first segment that h holds.
func (s *Streams) skip(h *half, dir int, p *Packet, r Reason, emit emitter) {
	s.Counters[r]++
	h.lose(h.held[0].seq - h.next)
	h.next = h.held[0].seq
	s.drain(h, dir, p, emit)
}

// release hands over everything that h holds.
func (s *Streams) release(h *half, dir int, p *Packet, r Reason, emit emitter) {
	for len(h.held) > 0 {
		s.skip(h, dir, p, r, emit)
	}
}

// hold copies those bytes of p that are not held yet. Held segments never
// overlap and are in order.
func (s *Streams) hold(h *half, seq uint32, p *Packet) {
	added := false
	at, end := seq, seq+p.Length
	for i := 0; at != end; i++ {
		stop := end
		if i < len(h.held) {
			g := h.held[i]
			if int32(g.seq+g.length-at) <= 0 { // wholly before
				continue
			}
			if int32(g.seq-at) <= 0 { // covers at
				if at = g.seq + g.length; int32(at-end) > 0 {
					at = end
				}
				continue
			}
			if int32(g.seq-end) < 0 {
				stop = g.seq
			}
		}
		lo, hi := min(int(at-seq), len(p.Payload)), min(int(stop-seq), len(p.Payload))
		data := p.Payload[lo:hi]
		if cost := len(data) + pieceCost; h.bytes+cost > s.cfg.Held || s.held+cost > s.cfg.Total {
			break // many pieces of one segment cost more than it was reckoned at
		}
		h.held = slices.Insert(h.held, i, segment{seq: at, length: stop - at, flags: p.Flags, data: slices.Clone(data)})
		s.charge(h, len(data)+pieceCost)
		added = true
		at = stop
	}
	if !added {
		s.Counters[SegmentRetransmitted]++
		return
	}
	s.Counters[SegmentHeld]++
	if !h.waiting {
		s.wait(h, p.Time)
	}
}

func (s *Streams) charge(h *half, n int) {
	h.bytes += n
	s.held += n
}

// end gives st up, after handing over what it holds.
func (s *Streams) end(st *Stream, p *Packet, emit emitter) {
	s.release(&st.halves[0], 0, p, GapEnd, emit)
	s.release(&st.halves[1], 1, p, GapEnd, emit)
	s.remove(st)
	s.pull(st)
	st.gone = true
	if s.cfg.Dropped != nil {
		s.cfg.Dropped(st)
	}
}

// sweep skips the gaps that stood open too long and forgets idle connections.
func (s *Streams) sweep(p *Packet, emit emitter) {
	for s.first != nil && after(s.first.since, s.cfg.Wait) <= p.Time {
		h := s.first
		s.skip(h, h.dir(), p, GapTimeout, emit)
		s.settle(h.stream, p, emit)
	}
	for s.stale != nil && after(s.stale.used, s.cfg.Idle) <= p.Time {
		s.Counters[StreamIdle]++
		s.end(s.stale, p, emit)
	}
	s.deadline = math.MaxInt64
	if s.first != nil {
		s.deadline = after(s.first.since, s.cfg.Wait)
	}
	if s.stale != nil {
		s.deadline = min(s.deadline, after(s.stale.used, s.cfg.Idle))
	}
}

// after is t + d without wrapping.
func after(t, d int64) int64 {
	if t > math.MaxInt64-d {
		return math.MaxInt64
	}
	return t + d
}

// wait puts h at the end of those that wait for a gap.
func (s *Streams) wait(h *half, now int64) {
	h.since, h.waiting = now, true
	h.prev, h.succ = s.last, nil
	if s.last != nil {
		s.last.succ = h
	} else {
		s.first = h
	}
	s.last = h
	s.deadline = min(s.deadline, after(now, s.cfg.Wait))
}

func (s *Streams) stopWaiting(h *half) {
	if !h.waiting {
		return
	}
	if h.prev != nil {
		h.prev.succ = h.succ
	} else {
		s.first = h.succ
	}
	if h.succ != nil {
		h.succ.prev = h.prev
	} else {
		s.last = h.prev
	}
	h.prev, h.succ, h.waiting = nil, nil, false
}

// push puts st before all others in the list by use.
func (s *Streams) push(st *Stream) {
	st.newer, st.older = nil, s.recent
	if s.recent != nil {
		s.recent.newer = st
	} else {
		s.stale = st
	}
	s.recent = st
}

func (s *Streams) pull(st *Stream) {
	if st.newer != nil {
		st.newer.older = st.older
	} else {
		s.recent = st.older
	}
	if st.older != nil {
		st.older.newer = st.newer
	} else {
		s.stale = st.newer
	}
	st.newer, st.older = nil, nil
}

func (s *Streams) touch(st *Stream) {
	if s.recent != st {
		s.pull(st)
		s.push(st)
	}
}
