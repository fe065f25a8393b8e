package pipeline

import (
	"simtrap/control"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// Observer is told everything that the stages conclude, by one goroutine and in
// an order that does not depend on the number of workers. It is for views:
// nothing it does changes a verdict. What pointers lead to is the pipeline's
// own: it may be read during the call only.
type Observer interface {
	Message(*packet.Packet, *sip.Message)
	Call(*sip.Call, sip.CallEvent)
	Registration(*sip.Registration)
	Request(*sip.Request)
	Record(*control.Record)
	// Interval comes 2.2 s after its end, before the Streams it belongs to are
	// told of.
	Interval(*rtp.Interval)
	// Stream is told of a confirmed stream, bound to its call where that is
	// known by then, and again with ended set when it is over.
	Stream(s *rtp.Stream, ended bool)
}
