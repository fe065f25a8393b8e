// Package capture gives frames: from capture files, and later from live taps.
//
// A Source hands out Batches. A Batch is one owned block of bytes and the
// frames in it; it is valid until Release, and whoever keeps bytes longer
// copies them. A Frame holds no pointer, so a batch of thousands costs the
// garbage collector nothing.
package capture

import (
	"context"
	"fmt"
	"sync/atomic"
)

// LinkType is a LINKTYPE_ value of the tcpdump.org registry.
type LinkType uint16

// The link types that package packet decodes. Frames of every other one are
// passed on as they stand and told as Undecoded.
const (
	LinkNull      LinkType = 0   // BSD loopback, address family in host order
	LinkEthernet  LinkType = 1   // IEEE 802.3
	LinkPPP       LinkType = 9   // PPP, with or without address and control
	LinkRawOld    LinkType = 12  // raw IP as some systems' DLT_RAW
	LinkRawOpen   LinkType = 14  // raw IP as OpenBSD's DLT_RAW
	LinkPPPHDLC   LinkType = 50  // PPP in HDLC-like framing, or Cisco HDLC
	LinkPPPEther  LinkType = 51  // PPPoE sessions, from their header on
	LinkRaw       LinkType = 101 // raw IP
	LinkCiscoHDLC LinkType = 104 // Cisco PPP with HDLC framing
	LinkLoop      LinkType = 108 // OpenBSD loopback, family in network order
	LinkLinuxSLL  LinkType = 113 // Linux cooked v1
	LinkPPPD      LinkType = 166 // PPP as pppd records it, a direction for the address
	LinkPPPDir    LinkType = 204 // PPP behind a byte of direction
	LinkIPv4      LinkType = 228
	LinkIPv6      LinkType = 229
	LinkLinuxSLL2 LinkType = 276 // Linux cooked v2
)

// Decoded tells whether package packet decodes l.
func (l LinkType) Decoded() bool {
	switch l {
	case LinkNull, LinkEthernet, LinkPPP, LinkRawOld, LinkRawOpen, LinkPPPHDLC, LinkPPPEther, LinkRaw, LinkCiscoHDLC,
		LinkLoop, LinkLinuxSLL, LinkPPPD, LinkPPPDir, LinkIPv4, LinkIPv6, LinkLinuxSLL2:
		return true
	}
	return false
}

// Frame is one captured frame of a Batch. Time is nanoseconds since the Unix
// epoch, UTC, never negative and never less than the time of the frame before
// it of the same source. Len is what was captured, Wire the length on the wire,
// at least Len; Len < Wire means that a snap length cut the frame.
type Frame struct {
	Time int64
	Off  uint32 // where in Batch.Block the frame begins
	Len  uint32
	Wire uint32
	Link LinkType
	Port uint16 // tap port or pcapng interface, for records; 0 when there is one
}

// Batch is one block and the frames in it. Frame i of a batch is frame Seq+i of
// its Source, so (Time, Source, Seq+i) orders all frames of a run. Files, however
// many, are one source with number 0: they are merged by time before they are
// numbered, and one batch may hold frames of several files. Live ports have
// source numbers of their own.
type Batch struct {
	Block  []byte
	Frames []Frame
	Source uint32 // 0 for files, else which live port
	Seq    uint64 // number of Frames[0] within Source, from 0

	refs    atomic.Int32
	release func(*Batch)
	room    []Frame // the whole of what Frames is a part of, for reuse
}

// NewBatch makes a batch with one reference; release, which may be nil, is
// called when the last reference is gone.
func NewBatch(block []byte, release func(*Batch)) *Batch {
	b := &Batch{Block: block, release: release}
	b.refs.Store(1)
	return b
}

// Data gives the captured bytes of frame i.
func (b *Batch) Data(i int) []byte {
	f := &b.Frames[i]
	return b.Block[f.Off : f.Off+f.Len : f.Off+f.Len]
}

// Retain takes another reference.
func (b *Batch) Retain() { b.refs.Add(1) }

// Release drops a reference; after the last one the block may be reused.
func (b *Batch) Release() {
	switch n := b.refs.Add(-1); {
	case n == 0 && b.release != nil:
		b.release(b)
	case n < 0:
		panic("capture: batch released twice")
	}
}

// Source gives batches in order of time. Next returns io.EOF after the last
// one; any other error means that the work cannot go on. Damage to an input is
// no error: it is told by Damages, and Next goes on with what can be read.
type Source interface {
	Next(context.Context) (*Batch, error)
	Close() error
}

// Kind is what was wrong with an input.
type Kind uint8

const (
	Cut       Kind = iota + 1 // the input ends within a record
	Corrupt                   // a header makes no sense; the rest of the file is lost
	Truncated                 // frames cut by a snap length
	Backwards                 // time ran backwards or was out of line
	Skipped                   // a packet or a section was passed over
	Undecoded                 // frames have a link type that package packet does not decode
	Timeless                  // frames have no time, or times that nothing can be made of

	kinds = iota + 1
)

// Damage is one kind of thing that was wrong with one input, with the place of
// the first occurrence and how often it occurred. It is an error so that a
// caller may wrap it.
type Damage struct {
	File   string // as the user named it; "-" is standard input
	Offset int64  // of the first occurrence, in the (decompressed) file
	Kind   Kind
	Detail string // what was found, and the remedy where there is one
	Count  uint64
}

// Error gives one line: file, offset, what was found.
func (d *Damage) Error() string {
	s := fmt.Sprintf("%s: offset %d: %s", printable(d.File), d.Offset, d.Detail)
	if d.Count > 1 {
		s += fmt.Sprintf(" (%d times)", d.Count)
	}
	return s
}
