package tunnel

import (
	"cmp"

	"simtrap/ident"
)

// IP protocols of flows without ports.
const (
	GRE uint8 = 47 // of PPTP (RFC 2637)
	ESP uint8 = 50 // RFC 4303
)

// Flow names both directions of a flow of which nothing can be read, whichever
// port of the tap each comes in by. A is the end with the lower address, or of
// one address the lower port.
//
// ESP and GRE have no ports. Neither the index of ESP nor the call number of PPTP
// is part of the name: each direction has its own, and only the negotiation, which
// is enciphered or long over, tells which belong together.
type Flow struct {
	A, B         ident.Addr
	APort, BPort uint16
	Proto        uint8 // of IP: 6 for TCP, 17 for UDP, ESP or GRE
	Realm        ident.Realm
}

// NewFlow gives the flow of a packet from src to dst; up is set when src is A.
func NewFlow(src, dst ident.Addr, srcPort, dstPort uint16, proto uint8, realm ident.Realm) (f Flow, up bool) {
	up = cmp.Or(src.Compare(dst), cmp.Compare(srcPort, dstPort)) <= 0
	if !up {
		src, dst, srcPort, dstPort = dst, src, dstPort, srcPort
	}
	return Flow{A: src, B: dst, APort: srcPort, BPort: dstPort, Proto: proto, Realm: realm}, up
}

// Compare orders flows.
func (f Flow) Compare(o Flow) int {
	return cmp.Or(f.A.Compare(o.A), f.B.Compare(o.B), cmp.Compare(f.APort, o.APort), cmp.Compare(f.BPort, o.BPort),
		cmp.Compare(f.Proto, o.Proto), cmp.Compare(f.Realm, o.Realm))
}

// Record is what a source tells of one flow and one interval. Up is what A sends,
// whoever the subscriber is.
//
// A source that sees the directions at different ports may give a record for
// each: records of equal flow and start are one (Merge).
type Record struct {
	Flow
	Interval
}

// Compare orders records by time, then by flow.
func (r *Record) Compare(o *Record) int {
	return cmp.Or(cmp.Compare(r.Start, o.Start), r.Flow.Compare(o.Flow))
}

// Merge adds o, an interval of the same flow and start. Of a direction that both
// have seen the one that saw more counts, since its packets are the same.
func (iv *Interval) Merge(o *Interval) {
	for _, w := range [...][2]*Way{{&iv.Up, &o.Up}, {&iv.Down, &o.Down}} {
		if w[1].Packets > w[0].Packets {
			*w[0] = *w[1]
		}
	}
	iv.Stream = iv.Stream || o.Stream
}
