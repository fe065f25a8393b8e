package ring

import (
	"errors"
	"io"

	"simtrap/evidence"
)

// Recut writes the frames of a segment between two times, both within, to a capture,
// once more without what their packets carry: whoever sent the segment need not be
// believed. Pseudonyms in SIP are those of the trimmer, of the ones that stand there:
// who has both keys alone can compare. It stops where the segment is damaged, and says
// so with ErrDamaged; what is before was written. frames is how many were.
func Recut(w *evidence.PacketWriter, r *Reader, t *evidence.Trimmer, from, until int64) (frames int, err error) {
	for {
		f, data, err := r.Next()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		if f.Time < from || f.Time > until {
			continue
		}
		if _, _, ok := t.Frame(&f, data); !ok {
			continue
		}
		if out, ok := t.Trim(data); ok {
			w.Packet(&f, out)
			frames++
		}
	}
}
