package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Reason says why records were lost.
type Reason uint8

// The reasons. Of Damaged and PowerCut there were at most as many as are
// counted; the others are exact.
const (
	Limit    Reason = 1 + iota // the outbox had reached its size
	Space                      // the file system had too little room
	Failed                     // the disk refused the record
	Damaged                    // a segment could not be read
	PowerCut                   // not synced when the machine went down
	Refused                    // the centre will never take it
	Crowded                    // more came than could be appended
)

func (r Reason) String() string {
	switch r {
	case Limit:
		return "limit"
	case Space:
		return "space"
	case Failed:
		return "failed"
	case Damaged:
		return "damaged"
	case PowerCut:
		return "power-cut"
	case Refused:
		return "refused"
	case Crowded:
		return "crowded"
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// AtMost says whether what is counted under r is an upper bound.
func (r Reason) AtMost() bool { return r == Damaged || r == PowerCut }

// Lost is a number of records of one kind that were lost for one reason.
type Lost struct {
	Reason Reason
	Kind   Kind // KindUnknown where that was lost too
	Count  uint64
}

// Gap tells the centre what will not come. Its records had sequences from From
// to To, of which others may have arrived. Superseded records are not in it.
type Gap struct {
	Epoch       uint64
	From, To    uint64
	First, Last time.Time // when the records were appended, or found to be missing
	Lost        []Lost    // ordered by reason and kind
}

// Count is how many records a gap tells of.
func (g *Gap) Count() uint64 {
	var n uint64
	for _, l := range g.Lost {
		n += l.Count
	}
	return n
}

func (g *Gap) add(r Reason, k Kind, n, from, to uint64, t time.Time) {
	if n == 0 {
		return
	}
	if len(g.Lost) == 0 {
		g.From, g.To, g.First, g.Last = from, to, t, t
	}
	g.From, g.To = min(g.From, from), max(g.To, to)
	if t.Before(g.First) {
		g.First = t
	}
	if t.After(g.Last) {
		g.Last = t
	}
	i, found := slices.BinarySearchFunc(g.Lost, Lost{Reason: r, Kind: k}, func(a, b Lost) int {
		return (int(a.Reason)-int(b.Reason))<<8 + int(a.Kind) - int(b.Kind)
	})
	if !found {
		g.Lost = slices.Insert(g.Lost, i, Lost{Reason: r, Kind: k})
	}
	g.Lost[i].Count += n
}

func (g *Gap) merge(other *Gap) {
	for _, l := range other.Lost {
		g.add(l.Reason, l.Kind, l.Count, other.From, other.To, other.First)
	}
	if len(other.Lost) > 0 && other.Last.After(g.Last) {
		g.Last = other.Last
	}
}

// gapRecord is a gap as it is kept. The gap records before it whose sequences
// are not below since are contained in it. Segment is the file that had to go.
type gapRecord struct {
	Gap
	since   uint64
	lane    int // of segment; -1 where there is none
	segment uint64
}

func (g *gapRecord) encode() []byte {
	b := []byte{version, byte(g.lane)}
	for _, v := range []uint64{g.since, g.segment, g.Epoch, g.From, g.To,
		uint64(g.First.UnixNano()), uint64(g.Last.UnixNano())} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, byte(len(g.Lost)))
	for _, l := range g.Lost {
		b = append(b, byte(l.Reason), byte(l.Kind))
		b = binary.LittleEndian.AppendUint64(b, l.Count)
	}
	return b
}

var errGap = errors.New("no gap record of this version")

func decodeGap(b []byte) (*gapRecord, error) {
	const head, row = 59, 10
	if len(b) < head || b[0] != version || len(b) != head+row*int(b[head-1]) {
		return nil, errGap
	}
	g := &gapRecord{lane: int(int8(b[1]))}
	var first, last uint64
	for i, v := range []*uint64{&g.since, &g.segment, &g.Epoch, &g.From, &g.To, &first, &last} {
		*v = binary.LittleEndian.Uint64(b[2+8*i:])
	}
	g.First, g.Last = time.Unix(0, int64(first)), time.Unix(0, int64(last))
	for b = b[head:]; len(b) > 0; b = b[row:] {
		g.Lost = append(g.Lost, Lost{Reason(b[0]), Kind(b[1]), binary.LittleEndian.Uint64(b[2:])})
	}
	return g, nil
}

// Gap reads what a record of KindGap says.
func (r *Record) Gap() (*Gap, error) {
	if r.Kind != KindGap {
		return nil, fmt.Errorf("kind %d is no gap", r.Kind)
	}
	g, err := decodeGap(r.Payload)
	if err != nil {
		return nil, err
	}
	return &g.Gap, nil
}

// addLiving adds those of a segment's records that were still to be sent.
func (o *Outbox) addLiving(g *gapRecord, frames []frame, reason Reason) {
	for i := range frames {
		if f := &frames[i]; !o.isDead(f) {
			g.add(reason, f.Kind, 1, f.Seq, f.Seq, f.Time)
		}
	}
}

// tell writes a gap record. A gap that has not left yet is replaced by one that
// holds both.
func (o *Outbox) tell(g *gapRecord) error {
	merged := *g
	merged.Lost = slices.Clone(g.Lost)
	if o.gap != nil {
		merged.merge(&o.gap.Gap)
	}
	merged.Epoch = o.pos.epoch
	seq, err := o.take()
	if err != nil {
		return err
	}
	merged.since = seq
	if o.gap != nil {
		merged.since = o.gap.since
	}
	r := Record{Kind: KindGap, Seq: seq, Time: time.Now(), Payload: merged.encode()}
	if err = o.write(gapLane, &r); noSpace(err) && o.freeReserve() {
		// What failed may be on the disk after all: its sequence is used up.
		if r.Seq, err = o.take(); err == nil {
			err = o.write(gapLane, &r)
		}
	}
	if err != nil {
		return err
	}
	seq = r.Seq
	if o.gap != nil {
		delete(o.gaps, o.gapSeq)
		if o.gapSegment != nil {
			o.gapSegment.dead += o.gapSize
		}
	}
	o.gaps[seq] = struct{}{}
	o.gap, o.gapSeq, o.gapSize = &merged, seq, recordSize(&r)
	o.gapSegment = o.lanes[gapLane][len(o.lanes[gapLane])-1]
	o.notify()
	return nil
}

// tellOr tells of a gap, now or when it can be written.
func (o *Outbox) tellOr(g *gapRecord) {
	if len(g.Lost) == 0 {
		return
	}
	for _, l := range g.Lost {
		o.lose(l)
	}
	if err := o.tell(g); err != nil {
		o.owed.merge(&g.Gap)
	}
}

// ready begins what a caller asks for: it does first what could not be done
// before.
func (o *Outbox) ready() error {
	if o.closed {
		return ErrClosed
	}
	o.settle()
	return nil
}

// settle does what could not be done before.
func (o *Outbox) settle() {
	if o.ragged {
		o.trim()
	}
	if len(o.owed.Lost) == 0 {
		return
	}
	if err := o.tell(&gapRecord{Gap: o.owed, lane: -1}); err == nil {
		o.owed = Gap{}
	}
}
