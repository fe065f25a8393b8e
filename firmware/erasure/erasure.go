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

// Erase overwrites so many bytes from the end to the beginning with what zero does to a
// range of them. Cut off, the mark is still there.
func Erase(size int64, zero func(at, n int64) error) error {
	for end := size; end > 0; {
		at := max(0, (end-1)/chunk*chunk)
		if err := zero(at, end-at); err != nil {
			return err
		}
		end = at
	}
	return nil
}
