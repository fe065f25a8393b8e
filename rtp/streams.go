package rtp

import (
	"cmp"
	"math"
)

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
// interval is in exactly one of RTP, Fax, Voice, Shapeless and Mirrored.
type StreamCounters struct {
	RTP       uint64 // of a readable source
	Fax       uint64 // without one, where signalling says that there is T.38
	Voice     uint64 // without one, in the shape of voice
	Shapeless uint64 // neither
	Mirrored  uint64 // of a flow that another tap port shows as well

	Candidates uint64 // streams, confirmed or not
	Confirmed  uint64
	VoiceLike  uint64 // of those, without a readable header
	Ended      uint64 // confirmed ones
	Forgotten  uint64 // candidates displaced by the cap
	Evicted    uint64 // confirmed streams ended by the cap

	Byes           uint64 // streams that ended with a BYE of RTCP
	ByesDropped    uint64 // too many at once
	FactsForgotten uint64 // of RTCP about one source, displaced by the caps
}

// streamKey is what tells streams apart. The tap port is not in it: a call that
// two ports see is one call. SSRC is 0 and voice set for voice-like flows.
type streamKey struct {
	flow  Flow
	ssrc  uint32
	voice bool
	fax   bool
}

// entry is a Stream and what Streams keeps of it beside what it tells.
type entry struct {
	Stream
	tap         uint16 // tap port whose records count
	voice, fax  bool   // as of its key
	confirmed   bool
	lastPT      uint8  // of sound, in the interval before
	count       uint16 // packets of the last interval
	guess       uint32 // the clock rate that the samples tell, when Rate is 0 or wrong
	touched     int64  // end of the last interval
	older, next *entry
	lost        uint64 // sequence numbers passed over, late ones included
	skips       uint64 // steps that passed numbers over
	sides       [4]side
	desc        *Description
	ptVotes     int64
	tagged      int32 // intervals whose sizes show a tag, less those whose sizes show none

	// Of the eight-packet rule, until confirmed.
	inStep, astray, timed, untimed uint64

	// Of the rule for flows without a readable header: intervals in a row that
	// had the shape, and the last one's number, first and last packet; count is its too.
	run      uint32
	number   uint32
	from, to int64

	clock clock
}

// key is where the entry stands. It is made from what is told of the stream: kept
// beside that, it would take 4 MiB of a full table.
func (s *entry) key() streamKey {
	k := streamKey{flow: s.Flow, ssrc: s.SSRC, voice: s.voice, fax: s.fax}
	k.flow.TapPort = 0
	return k
}

// side counts packets that are not of the source's main type, by type.
type side struct {
	packets, keys uint32 // as much as that, where there were more
	pt            uint8
}

// Description is what signalling tells of the payload types of a stream.
type Description struct {
	Formats [12]Format
	N       int
	Secure  bool
}

// Format is one payload type.
type Format struct {
	PT    uint8
	Codec Codec
	Rate  uint32 // Hz, at most 1 MHz; 0 unknown
}

// Streams puts streams together from the intervals of all shards. It is not for
// use by several goroutines at once.
type Streams struct {
	h       StreamHandler
	cap     int
	lastID  uint64
	streams map[streamKey]*entry
	byID    map[uint64]*entry // confirmed ones
	byFlow  map[Flow]*entry   // the newest confirmed readable one of a flow
	facts   factTable
	byes    []bye // in order of time
	// Fax, if set, says whether signalling expects T.38 in an interval's flow.
	Fax func(*Interval) bool
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
		byFlow:  make(map[Flow]*entry),
		facts:   factTable{cap: cfg.Streams, m: make(map[factKey]*facts)},
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

// Describe tells what signalling says of a confirmed stream: d, which nobody may
// change from now on. It says whether there is such a stream.
func (ss *Streams) Describe(id uint64, d *Description) bool {
	s := ss.byID[id]
	if s == nil {
		return false
	}
	s.desc = d
	if f := s.format(s.PT); f != nil && f.Rate != 0 {
		s.Rate = min(f.Rate, 1e6)
	}
	s.total()
	s.measure()
	return true
}

// format gives what signalling tells of a payload type, nil when nothing.
func (s *entry) format(pt uint8) *Format {
	if s.desc == nil {
		return nil
	}
	for i := range s.desc.Formats[:s.desc.N] {
		if f := &s.desc.Formats[i]; f.PT == pt {
			return f
		}
	}
	return nil
}

// codec gives what a payload type is, by signalling or by the static table.
func (s *entry) codec(pt uint8) Codec {
	if f := s.format(pt); f != nil && f.Codec != CodecUnknown {
		return f.Codec
	}
	return staticCodec(pt)
}

// Interval takes the next interval. They come in the order of Interval.Compare;
// Streams ended by then are told first. It gives false for one that another tap
// port has shown.
func (ss *Streams) Interval(iv *Interval) (first bool) {
	now := iv.Close()
	ss.Advance(now)
	key := streamKey{flow: iv.Flow}
	key.flow.TapPort = 0
	switch {
	case iv.InStep >= minInStep && iv.PT != NoPT && 2*uint32(iv.Source) >= uint32(iv.Packets):
		key.ssrc = iv.SSRC
	case ss.Fax != nil && ss.Fax(iv):
		key.fax = true
	case voiceShape(iv):
		key.voice = true
	default:
		ss.c.Shapeless++
		return true
	}
	s := ss.streams[key]
	switch {
	case s == nil:
		s = ss.add(key, iv)
	case s.tap != iv.Flow.TapPort && s.touched > now-2*Length:
		ss.c.Mirrored++
		return false
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
	if key.fax {
		ss.c.Fax++
		if s.run++; s.run == minFax {
			s.Fax = true
			ss.confirm(s)
		}
	} else if key.voice {
		ss.c.Voice++
		ss.pair(s, iv)
	} else {
		ss.c.RTP++
		if !s.confirmed && s.eightPackets(iv) {
			s.Readable = true
			ss.confirm(s)
		}
	}
	return true
}

// minFax is how many intervals make a fax stream: signalling vouches for it.
const minFax = 2

// Advance says that no interval that ends before now will come: streams silent
// for longer than Silence are ended.
func (ss *Streams) Advance(now int64) {
	for _, list := range [...]*recent{&ss.running, &ss.waiting} {
		for list.oldest != nil && now-list.oldest.touched > Silence {
			ss.end(list.oldest)
		}
	}
	ss.gone(now)
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
	s := &entry{voice: key.voice, fax: key.fax, Stream: Stream{ID: ss.lastID, Flow: iv.Flow, SSRC: key.ssrc, PT: NoPT, Start: iv.First}}
	s.lastPT = NoPT
	if !key.voice && !key.fax {
		s.PT, s.Rate = iv.PT, iv.Rate
	}
	ss.streams[key] = s
	ss.waiting.push(s)
	return s
}

func (ss *Streams) confirm(s *entry) {
	s.confirmed = true
	ss.c.Confirmed++
	if s.voice {
		ss.c.VoiceLike++
	}
	ss.waiting.remove(s)
	ss.running.push(s)
	ss.byID[s.ID] = s
	if s.Readable {
		ss.byFlow[s.key().flow] = s
	}
	ss.learn(s)
	ss.h.StreamConfirmed(&s.Stream)
}

func (ss *Streams) end(s *entry) {
	delete(ss.streams, s.key())
	if !s.confirmed {
		ss.waiting.remove(s)
		return
	}
	ss.running.remove(s)
	ss.c.Ended++
	s.measure()
	ss.learn(s)
	ss.h.StreamEnded(&s.Stream)
	delete(ss.byID, s.ID)
	if ss.byFlow[s.key().flow] == s {
		delete(ss.byFlow, s.key().flow)
	}
}

// add adds one interval to the sums of s.
func (s *entry) add(iv *Interval) {
	s.End = iv.Last
	s.Bytes += uint64(iv.Bytes)
	s.Duplicates += uint64(iv.Duplicates)
	if s.voice || s.fax {
		s.Packets += uint64(iv.Packets)
		if s.voice {
			s.Ptime = shapePtime(iv)
		}
		return
	}
	s.Packets += uint64(iv.Source)
	s.Late += uint64(iv.Late)
	s.Restarts += uint64(iv.Jumps)
	s.lost += uint64(iv.Lost)
	s.skips += uint64(iv.Skips)
	s.Lost = s.lost - min(s.lost, s.Late) // what came late was not lost
	s.beside(iv.SidePT, uint64(iv.Sides), uint64(iv.Keys))
	defer s.total()
	if !s.codec(iv.PT).Sound() {
		// A type that signalling says is none took over for a while, as comfort
		// noise of a dynamic number does in a long silence.
		n := uint64(iv.Source - iv.Events)
		s.beside(iv.PT, n, n)
		return
	}
	s.vote(iv)
	if s.lastPT != iv.PT && s.lastPT != NoPT {
		s.Switches++
	}
	s.lastPT = iv.PT
	s.tag(iv)
	if iv.Rate != 0 {
		s.Jitter = max(s.Jitter, int64(iv.Jitter)*1e9/(16*int64(iv.Rate)))
	}
	rate := cmp.Or(s.Rate, s.guess, guessRate(iv))
	if p := packetTime(iv, rate); p != 0 {
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
		if f := s.format(iv.PT); f != nil && f.Rate != 0 {
			s.Rate = min(f.Rate, 1e6)
		} else if s.Rate == 0 {
			s.Rate = iv.Rate
		}
	}
}

// beside counts packets of another type than the main one. What they are may
// only become known when signalling is.
func (s *entry) beside(pt uint8, packets, keys uint64) {
	if packets == 0 {
		return
	}
	for i := range s.sides {
		if d := &s.sides[i]; d.packets == 0 || d.pt == pt {
			d.pt = pt
			d.packets = uint32(min(uint64(d.packets)+packets, math.MaxUint32))
			d.keys = uint32(min(uint64(d.keys)+keys, math.MaxUint32))
			return
		}
	}
}

// total sums up by what the payload types are known to be.
func (s *entry) total() {
	s.Codec = s.codec(s.PT)
	s.Events, s.Keys, s.Noise = 0, 0, 0
	for _, d := range s.sides {
		switch s.codec(d.pt) {
		case CodecEvent:
			s.Events += uint64(d.packets)
			s.Keys += uint64(d.keys)
		case CodecNoise:
			s.Noise += uint64(d.packets)
		}
	}
	s.Secure = s.desc != nil && s.desc.Secure || s.tagged > 0
}

// tag looks whether packets are ten bytes longer than the frames that their
// timestamps promise: the authentication tag of SRTP (RFC 3711 section 5.2). No
// extension or list of contributors has that length.
func (s *entry) tag(iv *Interval) {
	var frames uint32
	switch s.codec(iv.PT) {
	case CodecPCMU, CodecPCMA, CodecG722:
		frames = iv.Step
	case CodecG729:
		frames = iv.Step / 8
	case CodecGSM:
		frames = iv.Step * 33 / 160
	}
	if frames == 0 {
		return
	}
	for i, n := range iv.SizeCounts {
		if 2*uint32(n) < uint32(iv.Packets) {
			continue
		}
		switch uint32(iv.Sizes[i]) {
		case 12 + frames:
			s.tagged--
		case 12 + frames + 10:
			s.tagged++
		}
	}
}

// score rates a stream; back is the time from the tap to its sender and back,
// ns, 0 unknown.
func (s *entry) score(back int64) {
	s.MOS = 0
	ie, bpl, ok := s.Codec.impairment()
	if !ok || s.Packets == 0 {
		return
	}
	lost, runs := float64(s.Lost), 1.0
	if s.skips > 0 {
		runs = float64(s.lost) / float64(s.skips)
	}
	if s.Far.Reports > 0 { // what was lost behind the tap as well
		lost = max(lost, float64(s.Far.Lost))
	}
	sent := float64(s.Packets + s.Lost)
	delay := 0.0
	if s.Far.Trip > 0 && back > 0 {
		delay = float64(s.Far.Trip+back) / 2e6
	}
	s.MOS = opinion(rating(ie, bpl, min(lost/sent, 1), runs, delay))
}
