package bpf

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
)

// raw is one frame as it comes out of the ring.
func raw(at int64, body string, wire int, proto, tci uint16) []byte {
	b := make([]byte, frameSize, frameSize+len(body)+7)
	binary.NativeEndian.PutUint64(b, uint64(at))
	binary.NativeEndian.PutUint32(b[8:], uint32(wire))
	binary.NativeEndian.PutUint32(b[12:], uint32(len(body)))
	binary.NativeEndian.PutUint16(b[20:], proto)
	binary.NativeEndian.PutUint16(b[22:], tci)
	b = append(b, body...)
	return append(b, make([]byte, 7)...) // padding of the ring
}

// TestOrder wants frames of several CPUs in order of time, each with its own bytes,
// and those that are too young to wait.
func TestOrder(t *testing.T) {
	s := &Source{cfg: Config{Port: 2}}
	r := rand.New(rand.NewPCG(1, 1))
	const frames = 20000
	at := make([]int64, frames) // each CPU's own order
	next := int64(0)
	for i := range at {
		next += r.Int64N(100)
		at[i] = next
	}
	got, last := 0, int64(-1)
	take := func() {
		t.Helper()
		for _, b := range s.ready {
			if b.Source != 2 || b.Seq != uint64(got) || len(b.Frames) > batchFrames {
				t.Fatalf("batch of %d from %d, source %d", len(b.Frames), b.Seq, b.Source)
			}
			for i := range b.Frames {
				f := &b.Frames[i]
				body := b.Data(i)
				if f.Time < last || len(body) != 8 || int64(binary.BigEndian.Uint64(body)) != f.Time {
					t.Fatalf("frame at %d after %d: %x", f.Time, last, body)
				}
				last = f.Time
				got++
			}
		}
		s.ready = nil
	}
	for n := 0; n < frames; {
		part := min(r.IntN(6000)+1, frames-n)
		// Rings are read one after the other: even ones, then odd ones.
		for odd := range 2 {
			for i := n; i < n+part; i++ {
				if i&1 == odd {
					s.take(raw(at[i], string(binary.BigEndian.AppendUint64(nil, uint64(at[i]))), 8, 0, 0))
				}
			}
		}
		n += part
		until := at[n-1] - 1000
		s.order(until)
		take()
		if last > until {
			t.Fatalf("a frame at %d, until %d", last, until)
		}
	}
	s.order(math.MaxInt64)
	if take(); got != frames || s.reordered != 0 || len(s.pending) != 0 {
		t.Errorf("%d frames, %d reordered, %d left", got, s.reordered, len(s.pending))
	}
	// One that comes far too late comes with the newest, and is counted.
	s.take(raw(5, "too late", 8, 0, 0))
	s.order(math.MaxInt64)
	if len(s.ready) != 1 || s.ready[0].Frames[0].Time != last || s.reordered != 1 {
		t.Errorf("%+v, %d reordered", s.ready, s.reordered)
	}
}

func TestTake(t *testing.T) {
	s := &Source{}
	for _, b := range [][]byte{nil, make([]byte, frameSize-1), make([]byte, frameSize)} {
		s.take(b)
	}
	s.take(raw(9, "abcdefghijklmnop", 1500, 0x88a8, 0x2005))
	s.order(math.MaxInt64)
	b := s.ready[len(s.ready)-1]
	f := b.Frames[len(b.Frames)-1]
	if got := string(b.Data(len(b.Frames) - 1)); got != "abcdefghijkl\x88\xa8\x20\x05mnop" || f.Wire != 1504 || f.Len != 20 {
		t.Errorf("%q, %+v", got, f)
	}
}
