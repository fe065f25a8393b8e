package controllers

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/axiomhq/hyperloglog"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"simtrap/ident"
	"simtrap/report/reportpb"
)

const start = int64(1_800_000_000) * 1e9 / hourLong * hourLong

func line(n int) ident.Line {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24+uint32(n))
	return ident.Line{Addr: ident.AddrFrom4(b[:])}
}

func far(n int) ident.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 198<<24+uint32(n))
	return ident.AddrFrom4(b[:])
}

func mixed(l ident.Line) uint64 { return ident.Hash(7, fmt.Append(nil, l)) ^ l.Addr.Hash(9) }

func messages(t *testing.T, h *Hour) []*reportpb.ControllerSketch {
	t.Helper()
	if h == nil {
		t.Fatal("no hour")
	}
	m, err := h.Messages()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHour(t *testing.T) {
	x := New(mixed)
	for i := range 3 {
		x.Add(line(i), far(1), "registrar", 0xabc, false, start+int64(i))
		x.Add(line(i), far(1), "registrar", 0xabc, false, start+int64(i)) // again
	}
	x.Add(line(0), far(2), "trunk-peer", 0, true, start+5)
	x.Add(line(0), far(2), "trunk-peer", 0, true, start+6)
	if h := x.Roll(start + hourLong - 1); h != nil {
		t.Error("over before its end")
	}
	h := x.Add(line(9), far(3), "media", 0, false, start+hourLong)
	got := messages(t, h)
	want := []*reportpb.ControllerSketch{{Hour: got[0].Hour, Controllers: []*reportpb.ControllerHour{
		{Addr: "198.0.0.1", Role: "registrar", Lines: 3, Stacks: []string{"0000000000000abc"}},
		{Addr: "198.0.0.2", Role: "trunk-peer", Lines: 1, Calls: 2},
	}}}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !got[0].Hour.AsTime().Equal(time.Unix(0, start)) {
		t.Errorf("hour %v", got[0].Hour.AsTime())
	}
	if n := len(messages(t, x.Take())[0].Controllers); n != 1 || x.Take() != nil {
		t.Errorf("%d in the next hour", n)
	}
}

// Lines are counted up to 4,096 and estimated above; sketches of two sensors join.
func TestManyLines(t *testing.T) {
	a, b := New(mixed), New(mixed)
	for i := range 4096 {
		a.Add(line(i), far(1), "registrar", 0, false, start)
	}
	for i := range 30_000 {
		b.Add(line(i), far(1), "registrar", 0, false, start)
	}
	one, two := messages(t, a.Take())[0].Controllers[0], messages(t, b.Take())[0].Controllers[0]
	if one.Lines != 4096 {
		t.Errorf("%d lines, want 4096", one.Lines)
	}
	if two.Lines < 29_000 || two.Lines > 31_000 {
		t.Errorf("%d lines, want about 30000", two.Lines)
	}
	var x, y hyperloglog.Sketch
	if err := x.UnmarshalBinary(one.LineSketch); err != nil {
		t.Fatal(err)
	}
	if err := y.UnmarshalBinary(two.LineSketch); err != nil {
		t.Fatal(err)
	}
	if err := x.Merge(&y); err != nil {
		t.Fatal(err)
	}
	if n := x.Estimate(); n < 29_000 || n > 31_000 {
		t.Errorf("joined %d, want about 30000: the lines of one are among the other's", n)
	}
}

// A flood of far ends leaves those with many lines, counts what goes, and fits an
// outbox.
func TestFlood(t *testing.T) {
	x := New(mixed)
	for i := range 200 {
		x.Add(line(i), far(0), "registrar", 0, false, start)
	}
	const flood = 3 * maxTable
	for i := range flood {
		x.Add(line(i%100), far(1+i), "media", 0, false, start)
	}
	if s := x.Stats(); s.Controllers > maxTable || s.Evicted == 0 || uint64(s.Controllers)+s.Evicted != flood+1 {
		t.Errorf("%+v of %d", s, flood+1)
	}
	list := messages(t, x.Take())
	n := 0
	for i, m := range list {
		n += len(m.Controllers)
		if i > 0 && m.Left != 0 {
			t.Error("left is told twice")
		}
	}
	if n != maxSent || uint64(n)+list[0].Left != flood+1 || list[0].Controllers[0].Lines != 200 {
		t.Errorf("%d sent, %d left, the first with %d lines", n, list[0].Left, list[0].Controllers[0].Lines)
	}
}

// What is kept over a restart goes on as if nothing had been.
func TestFreeze(t *testing.T) {
	x, y := New(mixed), New(mixed)
	add := func(x *Table, from, to int) {
		for i := from; i < to; i++ {
			x.Add(line(i), far(1), "registrar", 5, true, start)
			x.Add(line(i%7), far(2), "media", 0, false, start)
		}
	}
	add(x, 0, 5000)
	b, err := x.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if err := y.Thaw(b); err != nil {
		t.Fatal(err)
	}
	add(x, 4000, 6000)
	add(y, 4000, 6000)
	if d := cmp.Diff(messages(t, x.Take()), messages(t, y.Take()), protocmp.Transform()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	if b, err := x.Freeze(); b != nil || err != nil {
		t.Errorf("nothing is kept as %d bytes, %v", len(b), err)
	}
}

func FuzzThaw(f *testing.F) {
	x := New(mixed)
	x.Add(line(1), far(1), "media", 3, true, start)
	b, err := x.Freeze()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		x := New(mixed)
		if x.Thaw(b) != nil {
			return
		}
		x.Add(line(2), far(1), "media", 3, true, start)
		if h := x.Take(); h != nil {
			if _, err := h.Messages(); err != nil {
				t.Error(err)
			}
		}
	})
}
