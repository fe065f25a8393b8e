package rtp

import "simtrap/ident"

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
	Restarts   uint64 // sequence numbers that went on elsewhere
	Events     uint64 // packets of telephone events
	Keys       uint64 // telephone events, by their timestamps: at least so many
	Noise      uint64 // packets of comfort noise
	Switches   uint32 // changes of the payload type of sound
	Ptime      int64  // ns between packets as sent, 0 unknown
	Jitter     int64  // RFC 3550 section 6.4.1, ns, largest of the intervals

	// Readable is set for RTP confirmed by the eight-packet rule; a stream that
	// is not Readable is voice-like by shape alone.
	Readable bool
	// Secure is set for SRTP: as signalling told, else as the sizes tell, which
	// show a tag of ten bytes behind a codec of known frames.
	Secure bool
	// Fax is set for a flow that signalling said is T.38 over UDPTL: it has no
	// header to read, and packets in bursts.
	Fax bool

	// Codec is that of PT. MOS is the E-model's estimate (ITU-T G.107) from the
	// codec, loss and its runs, as far as the tap or RTCP shows it, and the delay
	// where RTCP tells both halves of it; 0 where the codec has no published
	// values. It is information, not evidence.
	Codec Codec
	MOS   float64

	// What RTCP told, as of the stream's confirmation and of its end. Bye says
	// that the source took its leave and fell silent.
	CNAME ident.CNAME
	Far   FarEnd
	Bye   bool

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
