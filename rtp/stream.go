package rtp

// Stream is one RTP source in one flow over time: everything with one SSRC in
// one direction of one conversation, put together from its intervals.
type Stream struct {
	ID   uint64 // unique within a Streams, in order of appearance
	Flow Flow
	SSRC uint32
	PT   uint8  // of most packets
	Rate uint32 // clock rate in Hz: from SDP when bound, else the static table, else 0

	Start, End int64 // arrival of first and last packet, ns
	Packets    uint64
	Bytes      uint64 // UDP payload
	Lost       uint64 // by sequence numbers
	Late       uint64
	Duplicates uint64
	Events     uint64 // telephone-event and other side payload types
	Ptime      int64  // ns between packets as sent, 0 unknown
	Jitter     int64  // RFC 3550 section 6.4.1, ns, largest of the intervals

	// Readable is set for RTP confirmed by the eight-packet rule; a stream that
	// is not Readable is voice-like by shape alone.
	Readable bool
	Secure   bool // bound to RTP/SAVP

	// PPM is the sender's clock against the tap's, parts per million, positive
	// when the sender is fast; PPMError is the half width of its uncertainty.
	// ClockOK says that there was enough to tell.
	PPM, PPMError float64
	ClockOK       bool

	// Call is the sip.Call bound by SDP, 0 when none; FromCaller says which
	// side sends. Package pipeline sets them.
	Call       uint64
	FromCaller bool
}
