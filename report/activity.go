package report

import "simtrap/ident"

// Activity is what one line did, call by call and stream by stream, as far as
// there was room: what a page draws beside the verdict. Package pipeline
// collects it.
type Activity struct {
	Calls   []Call   // in order of their ends
	Streams []Stream // sent by the line, in order of their starts
	// MoreCalls and MoreStreams count those without room.
	MoreCalls, MoreStreams uint64
}

// tellLate is how long after its beginning a line may first be told of, ns: a
// stream is confirmed some seconds after its first packet.
const tellLate = int64(30e9)

// during gives what of a belongs to a finding of that time. A line has a finding
// for each of its tenants, and one's calls are none of the other's.
func (a *Activity) during(from, to int64) *Activity {
	within := func(begin, end int64) bool { return begin <= to && end >= from && begin >= from-tellLate }
	kept := &Activity{MoreCalls: a.MoreCalls, MoreStreams: a.MoreStreams}
	for _, c := range a.Calls {
		if within(c.First, c.End) {
			kept.Calls = append(kept.Calls, c)
		}
	}
	for _, s := range a.Streams {
		if within(s.Start, s.End) {
			kept.Streams = append(kept.Streams, s)
		}
	}
	return kept
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
