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
// each: records of equal flow and start are one, their counters added.
type Record struct {
	Flow
	Interval
}

// Compare orders records by time, then by flow.
func (r *Record) Compare(o *Record) int {
	return cmp.Or(cmp.Compare(r.Start, o.Start), r.Flow.Compare(o.Flow))
}

// Merge adds o, an interval of the same flow and start.
func (iv *Interval) Merge(o *Interval) {
	iv.Up.merge(&o.Up)
	iv.Down.merge(&o.Down)
	iv.Stream = iv.Stream || o.Stream
}

func (w *Way) merge(o *Way) {
	grow(&w.Packets, o.Packets)
	grow(&w.Bytes, o.Bytes)
	grow(&w.Large, o.Large)
	for i, n := range o.Sizes {
		grow(&w.Sizes[i], n)
	}
	for i, n := range o.SlotCount {
		grow(&w.SlotCount[i], n)
		grow(&w.SlotBytes[i], o.SlotBytes[i])
	}
	for i, n := range o.Phase {
		grow(&w.Phase[i], n)
	}
}

// grow is a sum that stands still at the largest.
func grow[T uint8 | uint16 | uint32](c *T, n T) {
	if *c += n; *c < n {
		*c = ^T(0)
	}
}
