// Package state writes what a program knows as bytes and reads it back. One
// function per type does both, so that they cannot differ: it names its fields to
// a Coder, which either appends them or fills them.
//
// What is read may come from a damaged or hostile file: nothing is allocated that
// the bytes at hand do not pay for, and the first fault stops the rest.
package state

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrBroken says that bytes are not what a Coder wrote.
var ErrBroken = errors.New("state: bytes make no sense")

// Coder appends values to bytes, or reads them.
type Coder struct {
	b       []byte // written so far, or left to read
	reading bool
	err     error
}

// Writer makes a Coder that appends to dst.
func Writer(dst []byte) *Coder { return &Coder{b: dst} }

// Reader makes a Coder that reads b, of which it keeps nothing.
func Reader(b []byte) *Coder { return &Coder{b: b, reading: true} }

// Reading says whether values are filled rather than appended.
func (c *Coder) Reading() bool { return c.reading }

// Bytes gives what was written, or what is left to read.
func (c *Coder) Bytes() []byte { return c.b }

// Err gives the first fault of what was read.
func (c *Coder) Err() error { return c.err }

// Fail notes a fault that the caller found.
func (c *Coder) Fail() {
	if c.err == nil {
		c.err = ErrBroken
	}
	c.b = nil
}

// End is for the end of what was read: nothing may be left.
func (c *Coder) End() error {
	if c.err == nil && len(c.b) > 0 {
		c.Fail()
	}
	return c.err
}

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Int codes an integer, small ones in few bytes.
func Int[T integer](c *Coder, v *T) {
	if !c.reading {
		c.b = binary.AppendVarint(c.b, int64(*v))
		return
	}
	x, n := binary.Varint(c.b)
	if n <= 0 || int64(T(x)) != x {
		c.Fail()
		*v = 0
		return
	}
	*v, c.b = T(x), c.b[n:]
}

// Word codes eight bytes, as of a hash.
func (c *Coder) Word(v *uint64) {
	if !c.reading {
		c.b = binary.LittleEndian.AppendUint64(c.b, *v)
		return
	}
	if len(c.b) < 8 {
		c.Fail()
		*v = 0
		return
	}
	*v, c.b = binary.LittleEndian.Uint64(c.b), c.b[8:]
}

// Float codes a number; one that is none is a fault.
func (c *Coder) Float(v *float64) {
	w := math.Float64bits(*v)
	c.Word(&w)
	if c.reading {
		if *v = math.Float64frombits(w); math.IsNaN(*v) || math.IsInf(*v, 0) {
			c.Fail()
			*v = 0
		}
	}
}

// Bool codes a truth value.
func (c *Coder) Bool(v *bool) {
	n := uint8(0)
	if *v {
		n = 1
	}
	Int(c, &n)
	if n > 1 {
		c.Fail()
	}
	*v = n == 1
}

// Text codes a string of at most limit bytes; a longer one is cut.
func (c *Coder) Text(v *string, limit int) {
	if !c.reading {
		s := *v
		s = s[:min(len(s), limit)]
		c.b = append(binary.AppendUvarint(c.b, uint64(len(s))), s...)
		return
	}
	n := c.count(limit)
	if n > len(c.b) {
		c.Fail()
		n = 0
	}
	*v, c.b = string(c.b[:n]), c.b[n:]
}

func (c *Coder) count(limit int) int {
	n, k := binary.Uvarint(c.b)
	if k <= 0 || n > uint64(limit) {
		c.Fail()
		return 0
	}
	c.b = c.b[k:]
	return int(n)
}

// Len codes how many things follow, each of at least one byte, and gives their
// number: at most limit, and no more than there are bytes for.
func (c *Coder) Len(n, limit int) int {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, uint64(min(n, limit)))
		return min(n, limit)
	}
	if n = c.count(limit); n > len(c.b) {
		c.Fail()
		n = 0
	}
	return n
}

// List codes a list of at most limit things.
func List[T any](c *Coder, list *[]T, limit int, each func(*T)) {
	n := c.Len(len(*list), limit)
	if !c.reading {
		for i := range (*list)[:n] {
			each(&(*list)[i])
		}
		return
	}
	*list = nil
	for range n {
		var v T
		if each(&v); c.err != nil {
			return
		}
		*list = append(*list, v)
	}
}

// Map codes a map of at most limit entries.
func Map[K comparable, V any](c *Coder, m *map[K]V, limit int, each func(*K, *V)) {
	n := c.Len(len(*m), limit)
	if !c.reading {
		for k, v := range *m {
			if n--; n < 0 {
				return
			}
			each(&k, &v)
		}
		return
	}
	*m = nil
	if n > 0 {
		*m = make(map[K]V)
	}
	for range n {
		var k K
		var v V
		if each(&k, &v); c.err != nil {
			return
		}
		(*m)[k] = v
	}
}
