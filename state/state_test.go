package state

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

type inner struct {
	K uint64
	S string
}

type thing struct {
	A int64
	B uint16
	C bool
	F float64
	T string
	L []inner
	M map[uint64]int8
}

func (x *thing) code(c *Coder) {
	Int(c, &x.A)
	Int(c, &x.B)
	c.Bool(&x.C)
	c.Float(&x.F)
	c.Text(&x.T, 16)
	List(c, &x.L, 4, func(i *inner) { c.Word(&i.K); c.Text(&i.S, 8) })
	Map(c, &x.M, 4, func(k *uint64, v *int8) { c.Word(k); Int(c, v) })
}

func sample() thing {
	return thing{A: math.MinInt64, B: 65535, C: true, F: -1.5, T: "text", L: []inner{{1, "a"}, {1 << 63, ""}}, M: map[uint64]int8{7: -128}}
}

func TestRoundTrip(t *testing.T) {
	x := sample()
	w := Writer(nil)
	x.code(w)
	var y thing
	r := Reader(w.Bytes())
	y.code(r)
	if err := r.End(); err != nil || !reflect.DeepEqual(x, y) {
		t.Errorf("%v: %+v, want %+v", err, y, x)
	}
	for n := range w.Bytes() {
		r := Reader(w.Bytes()[:n])
		y.code(r)
		if !errors.Is(r.End(), ErrBroken) {
			t.Errorf("cut at %d: %v", n, r.Err())
		}
	}
	r = Reader(append(w.Bytes(), 0))
	y.code(r)
	if r.End() == nil {
		t.Error("what is left over is no fault")
	}
}

// TestBeyondLimits: what is beyond a limit is cut when written, and a fault when
// read; so is what does not fit its type, and what is no number.
func TestBeyondLimits(t *testing.T) {
	x := sample()
	x.T, x.L = "a text that is too long", make([]inner, 9)
	w := Writer(nil)
	x.code(w)
	var y thing
	r := Reader(w.Bytes())
	y.code(r)
	if r.End() != nil || y.T != "a text that is t" || len(y.L) != 4 {
		t.Errorf("%v: %+v", r.Err(), y)
	}
	big, bad := int64(70000), math.NaN()
	w = Writer(nil)
	Int(w, &big)
	r = Reader(w.Bytes())
	if Int(r, &y.B); r.Err() == nil {
		t.Error("70000 fits 16 bits")
	}
	w = Writer(nil)
	w.Float(&bad)
	r = Reader(w.Bytes())
	if r.Float(&y.F); r.Err() == nil {
		t.Error("NaN is a number")
	}
	r = Reader([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	var list []inner
	if List(r, &list, math.MaxInt32*4, func(i *inner) { r.Word(&i.K) }); r.Err() == nil || cap(list) > 0 {
		t.Error("room for what is not there")
	}
}

func FuzzReader(f *testing.F) {
	x := sample()
	w := Writer(nil)
	x.code(w)
	f.Add(w.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		var x, y thing
		r := Reader(b)
		x.code(r)
		if r.End() != nil {
			return
		}
		w := Writer(nil)
		x.code(w)
		r = Reader(w.Bytes())
		y.code(r)
		if r.End() != nil || !reflect.DeepEqual(x, y) {
			t.Errorf("%+v, then %+v", x, y)
		}
	})
}
