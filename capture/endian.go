package capture

import (
	"encoding/binary"
	"math/bits"
)

// endian is the byte order of a file, true for big-endian. Unlike a
// binary.ByteOrder it is inlined where every packet is read with it.
type endian bool

func (e endian) Uint16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if e {
		v = bits.ReverseBytes16(v)
	}
	return v
}

func (e endian) Uint32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if e {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (e endian) Uint64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if e {
		v = bits.ReverseBytes64(v)
	}
	return v
}
