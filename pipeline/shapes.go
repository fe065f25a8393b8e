package pipeline

import (
	"slices"

	"simtrap/hidden/tunnel"
	"simtrap/packet"
	"simtrap/rtp"
)

// shapes are the flows in which a stream that has the shape of voice goes on. Its
// call is counted as such, and not as one inside a tunnel too. They are bounded by
// the streams that are followed.
type shapes map[tunnel.Flow]shape

type shape struct {
	id   uint64 // of the newest such stream
	most int64  // packets one way in an interval that one call alone may have
}

// stream follows a stream that belongs to no call seen.
func (q shapes) stream(s *rtp.Stream, ended bool) {
	f, _ := tunnel.NewFlow(s.Flow.Src, s.Flow.Dst, s.Flow.SrcPort, s.Flow.DstPort, packet.UDP, s.Flow.Realm)
	switch {
	case ended && q[f].id == s.ID:
		delete(q, f)
	case !ended && !s.Readable && s.Call == 0:
		ptime := s.Ptime
		if ptime <= 0 {
			ptime = 20e6
		}
		q[f] = shape{s.ID, 5 * int64(tunnel.Length) / (4 * ptime)}
	}
}

// less leaves out the intervals in which such a stream is all that a flow has.
// Where there is more than one call's, the flow is a tunnel.
func (q shapes) less(list []tunnel.Record) []tunnel.Record {
	if len(q) == 0 {
		return list
	}
	return slices.DeleteFunc(list, func(r tunnel.Record) bool {
		x, ok := q[r.Flow]
		return ok && int64(max(r.Up.Packets, r.Down.Packets)) <= x.most
	})
}
