package ring

import (
	"errors"
	"io"

	"simtrap/evidence"
	"simtrap/ident"
)

// Recutter writes segments of a line to one capture, once more without what packets
// carry: whoever sent them need not be believed. Pseudonyms in SIP are those of a key,
// of the ones that stand there: who has both keys alone can compare.
type Recutter struct {
	out         *evidence.PacketWriter
	trim        *evidence.Trimmer
	First, Last int64 // packet times of what was written, ns since the Unix epoch; 0 of nothing
	Frames      int
}

// NewRecutter begins a capture; application and comment tell in it what it is.
func NewRecutter(w io.Writer, application, comment string, key []byte) *Recutter {
	return &Recutter{out: evidence.NewPacketWriter(w, application, comment), trim: evidence.NewTrimmer(evidence.Options{Names: ident.NewPseudonymizer(key, "")})}
}

// Segment writes the frames of a segment between two times, both within. It stops where
// the segment is damaged, and says so with ErrDamaged; what is before was written.
func (c *Recutter) Segment(r *Reader, from, until int64) error {
	for {
		f, data, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if f.Time < from || f.Time > until {
			continue
		}
		if _, _, ok := c.trim.Frame(&f, data); !ok {
			continue
		}
		out, ok := c.trim.Trim(data)
		if !ok {
			continue
		}
		if c.Frames == 0 {
			c.First, c.Last = f.Time, f.Time
		}
		c.First, c.Last = min(c.First, f.Time), max(c.Last, f.Time)
		c.Frames++
		c.out.Packet(&f, out)
	}
}

// Flush writes what is held back, and gives the first error of all writing.
func (c *Recutter) Flush() error { return c.out.Flush() }
