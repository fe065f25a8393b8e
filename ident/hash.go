package ident

import (
	"encoding/binary"
	"math/bits"
)

// mix is the 64x64 to 128 bit multiply-and-fold that wyhash and the Go runtime
// use where there is no AES.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Hash is the fast keyed hash of the hot path: for tables and sketches, never
// for anything that is written out (that is a Pseudonymizer's work). A seed
// drawn at start keeps strangers from aiming collisions; a replay fixes it, so
// that the same input gives the same output.
func Hash(seed uint64, b []byte) uint64 {
	h := seed ^ 0xa0761d6478bd642f
	n := uint64(len(b))
	for len(b) >= 16 {
		h = mix(binary.LittleEndian.Uint64(b)^0xe7037ed1a0b428db, binary.LittleEndian.Uint64(b[8:])^h)
		b = b[16:]
	}
	var x, y uint64
	switch {
	case len(b) >= 8:
		x, y = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		x, y = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	case len(b) > 0:
		x = uint64(b[0])<<16 | uint64(b[len(b)>>1])<<8 | uint64(b[len(b)-1])
	}
	return mix(n^0x8ebc6af09c88c6e3, mix(x^0xe7037ed1a0b428db, y^h))
}
