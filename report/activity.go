package report

import (
	"slices"

	"simtrap/ident"
)

// Activity is what one line did, call by call and stream by stream, as far as
// there was room: what a page draws beside the verdict. Package pipeline
// collects it.
type Activity struct {
	Calls   []Call   // in order of their ends
	Streams []Stream // sent by the line, in order of their starts
	// MoreCalls and MoreStreams count those without room.
	MoreCalls, MoreStreams uint64
}

// within gives what began from one time to another: an address may have been
// another subscriber's before and after, and nobody's calls are drawn beside the
// verdict on somebody else.
func (a *Activity) within(from, to int64) *Activity {
	if a == nil || from == 0 && to == 0 {
		return a
	}
	outside := func(t int64) bool { return t < from || t > to }
	if !slices.ContainsFunc(a.Calls, func(c Call) bool { return outside(c.First) }) &&
		!slices.ContainsFunc(a.Streams, func(s Stream) bool { return outside(s.Start) }) {
		return a
	}
	b := *a
	b.Calls = slices.DeleteFunc(slices.Clone(a.Calls), func(c Call) bool { return outside(c.First) })
	b.Streams = slices.DeleteFunc(slices.Clone(a.Streams), func(s Stream) bool { return outside(s.Start) })
	return &b
}

// Call is one call attempt of a line. Times are nanoseconds since the Unix
// epoch, 0 when not seen.
type Call struct {
	Inbound bool
	First   int64 // first message seen
	Ringing int64 // or early media
	Answer  int64
	End     int64 // or the last message seen
	Cause   uint16
	Peer    ident.Addr
	Number  ident.Number  // called
	Account ident.Account // of the line, where a registration told it
}

// Stream is one voice stream that the line sent.
type Stream struct {
	Peer          ident.Addr
	SSRC          uint32
	Start, End    int64
	Packets, Lost uint64
	Jitter        int64 // ns
	Codec         string
	MOS           float64 // an estimate, 0 when there is none
	PPM, PPMError float64
	ClockOK       bool
	// Points are how much later than its RTP time each sample arrived, from
	// the first sample on.
	Points []Point
}

// Point is one clock reading: when it arrived, and arrival minus RTP time.
type Point struct{ Time, Late int64 }
