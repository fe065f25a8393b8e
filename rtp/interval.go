// Package rtp accounts media. One Interval says what one flow did in two
// seconds; docs/interval.md is the norm for it, and the kernel program keeps
// the same record. Streams are put together from intervals alone, so that a
// replay and a tap judge the same.
package rtp

import (
	"cmp"

	"simtrap/ident"
)

// Flow is one direction of one UDP conversation at one tap port.
type Flow struct {
	Src, Dst         ident.Addr
	SrcPort, DstPort uint16
	Realm            ident.Realm
	TapPort          uint16
}

// Reverse gives the opposite direction of f at the same tap port.
func (f Flow) Reverse() Flow {
	f.Src, f.Dst = f.Dst, f.Src
	f.SrcPort, f.DstPort = f.DstPort, f.SrcPort
	return f
}

// Compare orders flows: by realm, addresses, ports, tap port.
func (f *Flow) Compare(g *Flow) int {
	return cmp.Or(
		cmp.Compare(f.Realm, g.Realm),
		f.Src.Compare(g.Src),
		f.Dst.Compare(g.Dst),
		cmp.Compare(f.SrcPort, g.SrcPort),
		cmp.Compare(f.DstPort, g.DstPort),
		cmp.Compare(f.TapPort, g.TapPort),
	)
}

// The constants of docs/interval.md.
const (
	Length     int64  = 2e9    // of an interval, ns
	Idle       int64  = 30e9   // a flow silent for longer is over, ns
	MaxPayload uint32 = 352    // of the packets accounted, bytes of UDP payload on the wire
	NoPT       uint8  = 0xff   // Interval.PT when no source was in force
	fullRecord        = 0xffff // packets and copies one record can hold
	maxDropout        = 3000   // RFC 3550 appendix A.1: a larger step is a jump
	window            = 64     // sequence numbers remembered
	takeOver          = 3      // packets of another source that put it in force
	minInStep         = 4      // a record is emitted from so many in step,
	minPackets        = 24     // or so many packets
	maxTime    int64  = 1 << 62
)

// Edges are the upper bounds, exclusive, of the first seven bins of
// Interval.Gaps; the last bin has none. Nanoseconds.
var Edges = [7]int64{5e6, 12e6, 18e6, 22e6, 28e6, 32e6, 42e6}

// Sample is one raw clock reading: the arrival of a packet by the tap's clock,
// ns since the Unix epoch, and its RTP timestamp by the sender's.
type Sample struct {
	Arrival   int64
	Timestamp uint32
}

// Interval is what one flow did in one interval of two seconds. It holds no
// pointer. Every field is defined in docs/interval.md.
type Interval struct {
	Flow  Flow
	Epoch int64 // arrival of the flow's first packet
	First int64 // arrival of the record's first packet
	Last  int64 // and of its last

	Start Sample // first packet of the source in force; Arrival 0 when none
	Least Sample // the one of least transit
	// MaxGap is the longest time between two packets, ns.
	MaxGap int64

	Number uint32 // of the interval; it begins at Epoch + Number × Length
	SSRC   uint32 // of the source in force
	Rate   uint32 // clock rate of its payload type by the table, Hz, 0 unknown
	Step   uint32 // timestamp step in force, 0 unknown
	Jitter uint32 // RFC 3550 section 6.4.1, largest in the record, 1/16 timestamp unit
	Bytes  uint32 // UDP payload of all packets
	Lost   uint32 // sequence numbers passed over

	Packets    uint16 // all packets but copies
	Duplicates uint16 // copies, which are counted nowhere else
	Source     uint16 // packets of the SSRC in force
	Others     uint16 // readable packets of another SSRC
	RTCP       uint16 // packets that read as RTCP
	InStep     uint16 // sequence step of exactly 1
	Skips      uint16 // sequence steps of 2 to 3000
	Late       uint16 // behind the newest, within the window, not a copy
	Jumps      uint16 // any other sequence step: a new start
	Timed      uint16 // timestamp steps that are a multiple of Step
	Untimed    uint16 // timestamp steps that are not
	Breaks     uint16 // timestamp steps two seconds or more from the arrival's
	Events     uint16 // of Source, not of PT: telephone events, comfort noise, another codec
	Sides      uint16 // of Events, those of type SidePT
	Keys       uint16 // distinct timestamps in a row among Sides
	Marks      uint16 // packets with the marker bit

	Sizes      [2]uint16 // the payload sizes of the two Misra-Gries slots
	SizeCounts [2]uint16 // their counts
	SizeMisses uint16    // packets that fitted neither slot
	Gaps       [8]uint16 // times between packets, by Edges

	PT     uint8 // payload type of the source in force, NoPT when none
	SidePT uint8 // payload type of the record's first of Events, if any
}

// Close is when the interval ends, ns. Records are ordered by it (see Compare).
func (iv *Interval) Close() int64 { return iv.Epoch + (int64(iv.Number)+1)*Length }

// Compare is the order in which Streams wants intervals: by Close, then Flow,
// then First, then SSRC. It does not depend on how the work was spread.
func (iv *Interval) Compare(o *Interval) int {
	return cmp.Or(
		cmp.Compare(iv.Close(), o.Close()),
		iv.Flow.Compare(&o.Flow),
		cmp.Compare(iv.First, o.First),
		cmp.Compare(iv.SSRC, o.SSRC),
	)
}
