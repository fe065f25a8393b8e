package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

const fuzzEpoch = 0x1122334455667788

func seedSegment() []byte {
	b := appendSegmentHeader(nil, fuzzEpoch, 0, 1)
	g := gapRecord{lane: -1, since: 3}
	g.add(Limit, 1, 7, 1, 2, time.Unix(1, 0))
	for _, r := range []Record{
		{Seq: 1, Kind: 1, Key: "finding", Revision: 1, Payload: []byte("one")},
		{Seq: 2, Kind: 2, Payload: []byte(strings.Repeat("two", 100))},
		{Seq: 3, Kind: KindGap, Payload: g.encode()},
		{Seq: 9, Kind: 1, Key: "finding", Revision: 2},
	} {
		r.Time = time.Unix(2, 0)
		b = appendRecord(b, fuzzEpoch, &r)
	}
	return b
}

// mendSums makes the checksums right of what lies where a record would.
func mendSums(b []byte) {
	for at := segmentHeader; len(b)-at >= recordHeader; {
		r := b[at:]
		size := recordHeader + int(r[3]) + int(binary.LittleEndian.Uint32(r[4:])&(1<<20-1))
		if size > len(r) {
			return
		}
		binary.LittleEndian.PutUint16(r, recordMark)
		binary.LittleEndian.PutUint32(r[recordHeader-8:], headerSum(fuzzEpoch, r))
		binary.LittleEndian.PutUint32(r[recordHeader-4:], bodySum(r[:size]))
		at += size
	}
}

// FuzzSegment reads any bytes as a segment, and opens an outbox that holds them.
func FuzzSegment(f *testing.F) {
	whole := seedSegment()
	f.Add(whole, true, true)
	f.Add(whole[:len(whole)-5], false, false)
	f.Add(append(bytes.Clone(whole[:segmentHeader+60]), whole[segmentHeader+47:]...), true, false)
	f.Add(append(bytes.Clone(whole), make([]byte, 500)...), false, true)
	f.Add(append(bytes.Clone(whole), whole[segmentHeader:]...), false, true)
	f.Add([]byte(segmentMagic), false, false)
	damaged := bytes.Clone(whole)
	damaged[segmentHeader+4] = 0xff
	f.Add(damaged, true, false)
	f.Fuzz(func(t *testing.T, b []byte, gaps, mended bool) {
		if mended {
			mendSums(b)
		}
		frames, holes := scan(b, fuzzEpoch)
		at := int64(min(segmentHeader, len(b)))
		var last uint64
		for _, f := range frames {
			for len(holes) > 0 && holes[0].at == at {
				at, holes = holes[0].end, holes[1:]
			}
			if f.at != at || f.end <= at || f.Seq <= last {
				t.Fatalf("a record from %d to %d, sequence %d, after %d and %d", f.at, f.end, f.Seq, at, last)
			}
			if again := appendRecord(nil, fuzzEpoch, &f.Record); !bytes.Equal(again, b[f.at:f.end]) {
				t.Fatal("a record is not what it was written as")
			}
			at, last = f.end, f.Seq
		}
		if len(holes) > 0 && holes[0].at == at {
			at = holes[0].end
		}
		if at != int64(len(b)) {
			t.Fatalf("%d bytes of %d are accounted for", at, len(b))
		}

		m := newMemFS()
		opt := Options{Limit: minLimit, Reserve: -1, FS: m}
		p := position{epoch: fuzzEpoch, lease: 100, turn: 1}
		lane := 0
		if gaps {
			lane = gapLane
		}
		for name, data := range map[string][]byte{positionName: p.encode(), segmentName(lane, 1): b} {
			f, err := m.OpenFile("box/"+name, os.O_CREATE)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteAt(data, 0)
			f.Sync()
			f.Close()
		}
		o, err := Open("box", opt)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		seq, err := o.Append(Record{Kind: 1, Key: "finding", Revision: 1 << 63})
		if err != nil && !errors.Is(err, ErrStale) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for {
			got, err := o.Batch(ctx, 1<<20, 100)
			if err != nil {
				break
			}
			if err := o.Ack(got[0].Epoch, got[len(got)-1].Seq); err != nil {
				t.Fatal(err)
			}
		}
		if s := o.Stats(); s.Keys != 0 || s.Acked < seq {
			t.Fatalf("%+v", s)
		}
	})
}

func FuzzPosition(f *testing.F) {
	p := position{turn: 3, epoch: 4, acked: 5, lease: 6, synced: 7, gapSent: 8, boot: 9, policy: SyncNever, clean: true}
	f.Add(p.encode())
	g := gapRecord{lane: 2, segment: 9, since: 3}
	g.add(PowerCut, KindUnknown, 7, 1, 2, time.Unix(1, 0))
	f.Add(g.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := decodePosition(b); ok && !bytes.Equal(p.encode()[:64], b[:64]) {
			t.Fatal("a position is not what it was written as")
		}
		if g, err := decodeGap(b); err == nil && !bytes.Equal(g.encode(), b) {
			t.Fatal("a gap is not what it was written as")
		}
	})
}
