package bundle

import (
	"fmt"
	"io"
	"strconv"
)

// block is what a tar is made of.
const block = 512

// header is that of a file in a tar (POSIX.1-1988, ustar). It has no times and
// no owners, so that name and size make it: a reader makes it again and wants
// every byte of it.
func header(name string, size int64) (h [block]byte) {
	copy(h[:100], name)
	copy(h[100:], "0000644\x00")
	copy(h[108:], "0000000\x00")
	copy(h[116:], "0000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00", size))
	copy(h[136:], "00000000000\x00")
	copy(h[148:], "        ")
	h[156] = '0'
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x00")
	copy(h[337:], "0000000\x00")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

// padding is how many zeros follow a file of that size.
func padding(size int64) int64 { return -size & (block - 1) }

// readHeader reads one header. end is true at the blocks of zeros that end a tar.
func readHeader(r io.Reader) (name string, size int64, end bool, err error) {
	var h [block]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return "", 0, false, err
	}
	if h == [block]byte{} {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return "", 0, false, err
		}
		if h != [block]byte{} {
			return "", 0, false, errHeader
		}
		return "", 0, true, nil
	}
	n := 0
	for n < maxName && h[n] != 0 {
		n++
	}
	name = string(h[:n])
	size, err = strconv.ParseInt(string(h[124:135]), 8, 64)
	if err != nil || size < 0 || !ValidName(name) || header(name, size) != h {
		return "", 0, false, errHeader
	}
	return name, size, false, nil
}
