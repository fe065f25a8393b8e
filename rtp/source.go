package rtp

// source is the RTP source in force in a flow, one SSRC and payload type, and
// what contends for its place. The zero value is no source.
type source struct {
	seen    uint64 // bit i: sequence number newest-i has been seen
	mainAt  int64  // arrival of the newest main packet
	ssrc    uint32
	newTS   uint32 // timestamp of the newest packet by sequence
	mainTS  uint32 // timestamp of the newest main packet
	step    uint32 // timestamp step in force
	other   uint32 // the last timestamp step that was not
	jitter  uint32
	sideTS  uint32 // timestamp of the newest packet that was not main
	rivalID uint32 // SSRC of the contender
	rivalTS uint32
	newest  uint16 // sequence number
	mainSeq uint16
	pt      uint8 // NoPT until a main packet came
	rivalPT uint8
	sidePT  uint8 // of the newest packet that was not main
	sided   bool  // there was one
	run     uint8 // packets of the contender, 0 none
	set     bool  // there is a source
	chain   bool  // mainAt, mainTS and mainSeq hold
}

// place is where a sequence number stands against the newest.
type place uint8

const (
	inStep place = iota
	skip
	late
	copied
	jump
	begin // the first of a source
)

// locate gives the place of sequence number seq, and the step from the newest.
// Wrap-around is that of 16-bit arithmetic.
func (s *source) locate(seq uint16, ts uint32) (place, uint16) {
	d := seq - s.newest
	switch {
	case d == 1:
		return inStep, 1
	case d == 0:
		// A sender whose sequence number stands still is no copy.
		if ts == s.newTS {
			return copied, 0
		}
		return jump, 0
	case d <= maxDropout:
		return skip, d
	case -d < window:
		if s.seen>>(-d)&1 != 0 {
			return copied, 0
		}
		return late, -d
	}
	return jump, 0
}

// rival hears of a packet of another source and says whether that one takes
// over. Packets that repeat the contender's timestamp (copies, and the packets
// of one telephone event) do not count.
func (s *source) rival(h *header) bool {
	switch {
	case s.run == 0 || s.rivalID != h.ssrc || s.rivalPT != h.pt:
		s.run = 1
	case s.rivalTS != h.timestamp:
		s.run++
	}
	s.rivalID, s.rivalPT, s.rivalTS = h.ssrc, h.pt, h.timestamp
	return s.run == takeOver
}

// account adds one packet to the record of s. The order of the steps is that of
// docs/interval.md. A packet is ok that is of the source in force and goes
// on with its sequence; a copy is in a record in which others do, since what a
// relay puts before payloads it cannot read may look like one packet over and over.
func (a *Accounting) account(s *slot, t int64, length uint32, b []byte) (ok bool) {
	iv := &s.iv
	if t >= s.end || uint32(iv.Packets)+uint32(iv.Duplicates) == fullRecord {
		a.close(s)
		if t >= s.end {
			n := uint32((t - iv.Epoch) / Length)
			iv.Number = n
			s.end = iv.Close()
		}
	}
	if iv.Packets|iv.Duplicates == 0 {
		*a.dueOf(s) = s.end
	}
	h, k := read(b, length)
	at, d := begin, uint16(0)
	ours, main := false, false
	if k == readable {
		side := a.types[h.pt].Side
		if !s.set {
			s.start(&h, side)
			a.check(b, length)
		} else if h.ssrc == s.ssrc {
			if at, d = s.locate(h.seq, h.timestamp); at == copied {
				iv.Duplicates++
				return iv.InStep > 0
			}
		}
		switch {
		case side:
		case h.ssrc == s.ssrc && (h.pt == s.pt || s.pt == NoPT):
			s.pt, s.run, main = h.pt, 0, true
		case s.rival(&h):
			old := s.source // closing may clear it
			a.close(s)
			if h.ssrc == old.ssrc { // another payload type in the same sequence
				s.source = old.withPT(h.pt)
			} else {
				s.start(&h, false)
				a.check(b, length)
			}
			main = true
		}
		ours = h.ssrc == s.ssrc
	}

	if iv.Packets == 0 {
		iv.First = t
	}
	gap := t - s.last
	s.last, iv.Last = t, t
	iv.Packets++
	iv.Bytes += length
	iv.Gaps[bin(gap)]++
	iv.MaxGap = max(iv.MaxGap, gap)
	iv.size(uint16(length))

	switch {
	case k == rtcp:
		iv.RTCP++
	case k == readable && !ours:
		iv.Others++
	case ours:
		iv.Source++
		s.advance(iv, at, d, &h)
		if !main {
			s.beside(iv, &h)
			break
		}
		if h.marker {
			iv.Marks++
		}
		if at != late {
			s.main(iv, at, t, &h, int64(a.types[h.pt].Rate))
		}
	}
	return ours && at <= late
}

func (s *source) start(h *header, side bool) {
	*s = source{set: true, ssrc: h.ssrc, pt: h.pt}
	if side {
		s.pt = NoPT
	}
}

// withPT gives the same SSRC with another payload type in force: the sequence
// goes on, the timing starts anew.
func (s *source) withPT(pt uint8) source {
	return source{set: true, ssrc: s.ssrc, pt: pt, seen: s.seen, newest: s.newest, newTS: s.newTS,
		sided: s.sided, sidePT: s.sidePT, sideTS: s.sideTS}
}

// advance keeps the sequence logic of the SSRC in force.
func (s *source) advance(iv *Interval, at place, d uint16, h *header) {
	switch at {
	case inStep:
		iv.InStep++
		s.seen = s.seen<<1 | 1
	case skip:
		iv.Skips++
		iv.Lost += uint32(d) - 1
		s.seen = s.seen<<d | 1 // 0 left of it when d exceeds the window
	case late:
		iv.Late++
		s.seen |= 1 << d
		return
	default:
		if at == jump {
			iv.Jumps++
		}
		s.seen = 1
		s.chain = false
	}
	s.newest, s.newTS = h.seq, h.timestamp
}

// beside counts a packet of the source in force that is not of its main type.
// All packets of one telephone event bear the timestamp of its start.
func (s *source) beside(iv *Interval, h *header) {
	if iv.Events == 0 {
		iv.SidePT = h.pt
	}
	iv.Events++
	if h.pt == iv.SidePT {
		iv.Sides++
		if !s.sided || s.sideTS != h.timestamp || s.sidePT != h.pt {
			iv.Keys++
		}
	}
	s.sided, s.sidePT, s.sideTS = true, h.pt, h.timestamp
}

// main keeps the timing of the source in force, for a main packet that is not
// late: timestamp step, jitter and clock sample.
func (s *source) main(iv *Interval, at place, t int64, h *header, rate int64) {
	whole := s.chain
	if s.chain {
		dt := h.timestamp - s.mainTS
		s.judge(iv, dt, h.seq-s.mainSeq == 1)
		if rate != 0 {
			if since := t - s.mainAt; since <= Idle {
				off := since*rate/1e9 - int64(int32(dt))
				if off < 0 {
					off = -off
				}
				if off >= 2*rate {
					iv.Breaks++
					whole = false
				} else {
					s.jitter += uint32(off) - (s.jitter+8)>>4
					iv.Jitter = max(iv.Jitter, s.jitter)
				}
			}
		}
	}
	if !whole || iv.Start.Arrival == 0 {
		iv.Start = Sample{t, h.timestamp}
		iv.Least = iv.Start
	} else if rate != 0 {
		// Transit less that of the record's least, in ns × Hz: exact.
		if (t-iv.Least.Arrival)*rate-int64(int32(h.timestamp-iv.Least.Timestamp))*1e9 < 0 {
			iv.Least = Sample{t, h.timestamp}
		}
	}
	s.chain, s.mainAt, s.mainTS, s.mainSeq = true, t, h.timestamp, h.seq
}

// judge counts timestamp step dt as timed or not. The step in force is the
// first between neighbours in sequence; two equal others in a row replace it.
func (s *source) judge(iv *Interval, dt uint32, neighbours bool) {
	forward := dt != 0 && dt < 1<<31
	switch {
	case s.step == 0:
		if !forward || !neighbours {
			return
		}
		s.step = dt
		iv.Timed++
	case dt == s.step, forward && dt%s.step == 0:
		iv.Timed++
		s.other = 0
	default:
		iv.Untimed++
		if forward && dt == s.other {
			s.step, s.other = dt, 0
		} else {
			s.other = dt
		}
	}
}

// bin gives the bin of Interval.Gaps for a time between packets.
func bin(gap int64) int {
	switch {
	case gap < 18e6:
		switch {
		case gap < 5e6:
			return 0
		case gap < 12e6:
			return 1
		}
		return 2
	case gap < 22e6:
		return 3
	case gap < 28e6:
		return 4
	case gap < 32e6:
		return 5
	case gap < 42e6:
		return 6
	}
	return 7
}

// size counts a payload size in the two slots, after Misra and Gries: a size
// that fits neither takes one from both.
func (iv *Interval) size(n uint16) {
	switch {
	case iv.Sizes[0] == n && iv.SizeCounts[0] != 0:
		iv.SizeCounts[0]++
	case iv.Sizes[1] == n && iv.SizeCounts[1] != 0:
		iv.SizeCounts[1]++
	case iv.SizeCounts[0] == 0:
		iv.Sizes[0], iv.SizeCounts[0] = n, 1
	case iv.SizeCounts[1] == 0:
		iv.Sizes[1], iv.SizeCounts[1] = n, 1
	default:
		iv.SizeCounts[0]--
		iv.SizeCounts[1]--
		iv.SizeMisses++
	}
}
