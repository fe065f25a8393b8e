// Package erasure overwrites a partition so that nothing of it is left, over as many
// restarts as that takes: a mark at its beginning, where file systems of Linux keep
// nothing, asks for it and is the last thing to go.
package erasure

import (
	"bytes"
	"io"
)

// mark fills the first sector, so that no chance makes one.
var mark = bytes.Repeat([]byte("simtrap: erase! "), 512/16)

// chunk is how much is overwritten at once, in bytes.
const chunk = 4 << 20

// Ask marks a partition.
func Ask(w io.WriterAt) error {
	_, err := w.WriteAt(mark, 0)
	return err
}

// Asked says whether a partition is marked.
func Asked(r io.ReaderAt) (bool, error) {
	b := make([]byte, len(mark))
	if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
		return false, err
	}
	return bytes.Equal(b, mark), nil
}

// first is what the mark lies in: disks write so many bytes at once, or none.
const first = 512

// Erase overwrites so many bytes from the end to the beginning with what zero does to a
// range of them. What holds the mark goes last, by itself, once sync says that all else
// is on the disk: cut off anywhere, the mark is still there, or nothing is left.
func Erase(size int64, zero func(at, n int64) error, sync func() error) error {
	for end := size; end > first; {
		at := max(first, (end-1)/chunk*chunk)
		if err := zero(at, end-at); err != nil {
			return err
		}
		end = at
	}
	if err := sync(); err != nil {
		return err
	}
	if err := zero(0, min(first, size)); err != nil {
		return err
	}
	return sync()
}
