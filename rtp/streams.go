package rtp

import "cmp"

// Silence is how long after the end of its last interval a stream is over, ns.
const Silence int64 = 10e9

// StreamHandler is told about streams, in order of time. A *Stream belongs to
// Streams; it is valid and kept up to date from StreamConfirmed until
// StreamEnded returns. The handler may set Call, FromCaller and Secure.
type StreamHandler interface {
	StreamConfirmed(*Stream) // once
	StreamEnded(*Stream)     // once, and only after StreamConfirmed
}

// StreamCounters says what Streams did with the intervals it was given. Every
// interval is in exactly one of RTP, Voice, Shapeless and Mirrored.
type StreamCounters struct {
	RTP       uint64 // of a readable source
	Voice     uint64 // without one, in the shape of voice
	Shapeless uint64 // neither
	Mirrored  uint64 // of a flow that another tap port shows as well

	Candidates uint64 // streams, confirmed or not
	Confirmed  uint64
	VoiceLike  uint64 // of those, without a readable header
	Ended      uint64 // confirmed ones
	Forgotten  uint64 // candidates displaced by the cap
	Evicted    uint64 // confirmed streams ended by the cap
}

// streamKey is what tells streams apart. The tap port is not in it: a call that
// two ports see is one call. SSRC is 0 and voice set for voice-like flows.
type streamKey struct {
	flow  Flow
	ssrc  uint32
	voice bool
}

// entry is a Stream and what Streams keeps of it beside what it tells.
type entry struct {
	Stream
	key         streamKey
	tap         uint16 // tap port whose records count
	confirmed   bool
	touched     int64 // end of the last interval
	older, next *entry
	lost        uint64 // sequence numbers passed over, late ones included
	ptVotes     int64
	guess       uint32 // the clock rate that the samples tell, when Rate is 0 or wrong

	// Of the eight-packet rule, until confirmed.
	inStep, astray, timed, untimed uint64

	// Of the rule for flows without a readable header: intervals in a row that
	// had the shape, and the last one's number, first and last packet, packets.
	run      uint32
	number   uint32
	from, to int64
	count    uint16

	clock clock
}

// Streams puts streams together from the intervals of all shards. It is not for
// use by several goroutines at once.
type Streams struct {
	h       StreamHandler
	cap     int
	lastID  uint64
	streams map[streamKey]*entry
	byID    map[uint64]*entry // confirmed ones
	// Two lists by time of the last interval, so that a flood of candidates
	// cannot displace a confirmed stream.
	waiting, running recent
	c                StreamCounters
}

// recent is a list of streams, least recent first.
type recent struct{ oldest, newest *entry }

func (r *recent) push(s *entry) {
	s.older, s.next = r.newest, nil
	if r.newest != nil {
		r.newest.next = s
	} else {
		r.oldest = s
	}
	r.newest = s
}

func (r *recent) remove(s *entry) {
	if s.older != nil {
		s.older.next = s.next
	} else {
		r.oldest = s.next
	}
	if s.next != nil {
		s.next.older = s.older
	} else {
		r.newest = s.older
	}
	s.older, s.next = nil, nil
}

// NewStreams makes an empty Streams that tells h.
func NewStreams(cfg Config, h StreamHandler) *Streams {
	if cfg.Streams <= 0 {
		cfg.Streams = 131072
	}
	return &Streams{
		h:       h,
		cap:     cfg.Streams,
		streams: make(map[streamKey]*entry),
		byID:    make(map[uint64]*entry),
	}
}

// Counters gives a copy of the counters.
func (ss *Streams) Counters() StreamCounters { return ss.c }

// Get gives the confirmed stream of that ID, nil when it has ended.
func (ss *Streams) Get(id uint64) *Stream {
	if s := ss.byID[id]; s != nil {
		return &s.Stream
	}
	return nil
}

// SetRate sets the clock rate in Hz that signalling told for a confirmed
// stream; 0 takes it back. It says whether there is such a stream.
func (ss *Streams) SetRate(id uint64, rate uint32) bool {
	s := ss.byID[id]
	if s == nil {
		return false
	}
	s.Rate = min(rate, 1e6)
	s.measure()
	return true
}

// Interval takes the next interval. They come in the order of Interval.Compare;
// Streams ended by then are told first.
func (ss *Streams) Interval(iv *Interval) {
	now := iv.Close()
	ss.Advance(now)
	key := streamKey{flow: iv.Flow}
	key.flow.TapPort = 0
	switch {
	case iv.InStep >= minInStep && iv.PT != NoPT && 2*uint32(iv.Source) >= uint32(iv.Packets):
		key.ssrc = iv.SSRC
	case voiceShape(iv):
		key.voice = true
	default:
		ss.c.Shapeless++
		return
	}
	s := ss.streams[key]
	switch {
	case s == nil:
		s = ss.add(key, iv)
	case s.tap != iv.Flow.TapPort && s.touched > now-2*Length:
		ss.c.Mirrored++
		return
	}
	s.tap = iv.Flow.TapPort
	s.touched = now
	list := &ss.waiting
	if s.confirmed {
		list = &ss.running
	}
	list.remove(s)
	list.push(s)
	s.add(iv)
	if key.voice {
		ss.c.Voice++
		ss.pair(s, iv)
	} else {
		ss.c.RTP++
		if !s.confirmed && s.eightPackets(iv) {
			s.Readable = true
			ss.confirm(s)
		}
	}
}

// Advance says that no interval that ends before now will come: streams silent
// for longer than Silence are ended.
func (ss *Streams) Advance(now int64) {
	for _, list := range [...]*recent{&ss.running, &ss.waiting} {
		for list.oldest != nil && now-list.oldest.touched > Silence {
			ss.end(list.oldest)
		}
	}
}

// Flush ends every stream, least recent first.
func (ss *Streams) Flush() {
	for _, list := range [...]*recent{&ss.running, &ss.waiting} {
		for list.oldest != nil {
			ss.end(list.oldest)
		}
	}
}

func (ss *Streams) add(key streamKey, iv *Interval) *entry {
	if len(ss.streams) >= ss.cap {
		if s := ss.waiting.oldest; s != nil {
			ss.c.Forgotten++
			ss.end(s)
		} else {
			ss.c.Evicted++
			ss.end(ss.running.oldest)
		}
	}
	ss.lastID++
	ss.c.Candidates++
	s := &entry{key: key, Stream: Stream{ID: ss.lastID, Flow: iv.Flow, SSRC: key.ssrc, PT: NoPT, Start: iv.First}}
	if !key.voice {
		s.PT, s.Rate = iv.PT, iv.Rate
	}
	ss.streams[key] = s
	ss.waiting.push(s)
	return s
}

func (ss *Streams) confirm(s *entry) {
	s.confirmed = true
	ss.c.Confirmed++
	if s.key.voice {
		ss.c.VoiceLike++
	}
	ss.waiting.remove(s)
	ss.running.push(s)
	ss.byID[s.ID] = s
	ss.h.StreamConfirmed(&s.Stream)
}

func (ss *Streams) end(s *entry) {
	delete(ss.streams, s.key)
	if !s.confirmed {
		ss.waiting.remove(s)
		return
	}
	ss.running.remove(s)
	ss.c.Ended++
	s.measure()
	ss.h.StreamEnded(&s.Stream)
	delete(ss.byID, s.ID)
}

// add adds one interval to the sums of s.
func (s *entry) add(iv *Interval) {
	s.End = iv.Last
	s.Bytes += uint64(iv.Bytes)
	s.Duplicates += uint64(iv.Duplicates)
	if s.key.voice {
		s.Packets += uint64(iv.Packets)
		s.Ptime = shapePtime(iv)
		return
	}
	s.Packets += uint64(iv.Source)
	s.Events += uint64(iv.Events)
	s.Late += uint64(iv.Late)
	s.lost += uint64(iv.Lost)
	s.Lost = s.lost - min(s.lost, s.Late) // what came late was not lost
	s.vote(iv)
	if iv.Rate != 0 {
		s.Jitter = max(s.Jitter, int64(iv.Jitter)*1e9/(16*int64(iv.Rate)))
	}
	rate := cmp.Or(s.Rate, s.guess, guessRate(iv))
	if p := ptime(iv, rate); p != 0 {
		s.Ptime = p
	}
	if iv.Start.Arrival != 0 && s.clock.add(iv.Least, rate) {
		s.measure()
	}
}

// vote keeps PT the payload type of most packets (Boyer and Moore, by packets),
// and Rate that of PT, while signalling has not told it.
func (s *entry) vote(iv *Interval) {
	n := int64(iv.Source - iv.Events)
	switch {
	case iv.PT == s.PT:
		s.ptVotes += n
	case n <= s.ptVotes:
		s.ptVotes -= n
	default:
		s.PT, s.ptVotes = iv.PT, n-s.ptVotes
		if s.Rate == 0 {
			s.Rate = iv.Rate
		}
	}
}
