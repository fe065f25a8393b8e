package outbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// window is how much of a segment is read at once.
const window = 64 << 10

// reader walks over the records of a lane that are to be sent.
type reader struct {
	o       *Outbox
	lane    int
	segment *segment
	file    File
	buf     []byte // of the file from at
	at      int64
	off     int64 // of the next record
	taken   uint64
	cur     *frame
	done    bool
}

func (o *Outbox) readers() []reader {
	r := make([]reader, lanes)
	for i := range r {
		r[i] = reader{o: o, lane: i}
	}
	return r
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

func (r *reader) next() {
	r.taken = r.cur.Seq
	r.cur = nil
}

// peek gives the next record that is to be sent, nil if the lane has none. What
// is dead at the beginning of a lane is passed over once only.
func (r *reader) peek() *frame {
	for r.cur == nil && !r.done {
		if r.segment == nil || r.off >= r.segment.size {
			r.turn()
			continue
		}
		f, err := r.frame()
		if err != nil {
			r.o.damaged(r.segment, err)
			r.restart()
			continue
		}
		begin := r.off == r.segment.read
		r.off = f.end
		if r.o.isDead(f) {
			if begin {
				r.segment.read = f.end
			}
			continue
		}
		if f.Seq <= r.taken {
			continue
		}
		r.cur = f
	}
	return r.cur
}

// turn goes to the next segment.
func (r *reader) turn() {
	r.close()
	after := uint64(0)
	if r.segment != nil {
		after = r.segment.number
	}
	first := r.segment == nil
	r.segment, r.buf = nil, nil
	for _, s := range r.o.lanes[r.lane] {
		if s.read >= s.size || !first && s.number <= after {
			continue
		}
		r.segment, r.off = s, s.read
		return
	}
	r.done = true
}

// restart begins the segment anew, which has been mended or taken away. What was
// taken of it already is known by its sequence.
func (r *reader) restart() {
	number := r.segment.number
	r.segment = nil
	r.close()
	r.buf = nil
	for _, s := range r.o.lanes[r.lane] {
		if s.number >= number && s.read < s.size {
			r.segment, r.off = s, s.read
			return
		}
	}
	r.done = true
}

var errFrame = errors.New("damaged record")

func (r *reader) frame() (*frame, error) {
	need := int64(recordHeader)
	for {
		from := r.off - r.at
		if r.buf == nil || from < 0 || from+need > int64(len(r.buf)) {
			if r.off+need > r.segment.size {
				return nil, errFrame
			}
			if err := r.fill(need); err != nil {
				return nil, err
			}
			from = 0
		}
		rec, size, v := parseRecord(r.buf[from:], r.o.pos.epoch)
		switch v {
		case sound:
			return &frame{rec, r.off, r.off + int64(size)}, nil
		case bad:
			return nil, errFrame
		}
		need = int64(size)
	}
}

// fill reads from the next record on into a buffer of its own, since records
// that were given away point into the one before.
func (r *reader) fill(need int64) error {
	if r.file == nil {
		f, err := r.o.fs.OpenFile(r.o.path(r.segment.name()), os.O_RDONLY)
		if err != nil {
			return err
		}
		r.file = f
	}
	r.buf = make([]byte, min(max(need, window), r.segment.size-r.off))
	r.at = r.off
	if n, err := r.file.ReadAt(r.buf, r.at); n < len(r.buf) {
		if err == io.EOF {
			err = errFrame
		}
		return fmt.Errorf("read %s: %w", r.segment.name(), err)
	}
	return nil
}

const (
	damagedSuffix = ".damaged"
	// maxDamaged is how many damaged segments are kept for whoever wants to
	// look at them.
	maxDamaged = 4
)

// damaged mends a segment that cannot be read as it was written.
func (o *Outbox) damaged(s *segment, cause error) {
	if s.file != nil {
		o.seal(s)
	}
	frames, holes := o.scanFile(s)
	for i := range o.sent {
		if o.sent[i].segment == s {
			o.sent[i].end = 0 // what is kept of it will lie elsewhere
		}
	}
	o.unknow(s, frames)
	o.mend(s, frames, holes, s.last+1, cause)
}

// mend sets a damaged segment aside, puts what can be read of it in its place,
// and tells of the rest; before is a sequence that all of it were below.
func (o *Outbox) mend(s *segment, frames []frame, holes []hole, before uint64, cause error) {
	g := gapRecord{lane: -1}
	o.lostIn(&g, s, holes, before)
	o.stats.SetAside++
	o.log.Warn("a damaged segment of the outbox is set aside", zap.String("segment", s.name()),
		zap.Int("records_left", len(frames)), zap.Uint64("lost_at_most", g.Count()), zap.Error(cause))
	o.setAside(s)
	o.tellOr(&g)
	if err := o.rewrite(s, nil, slices.Clone(frames), true); err != nil {
		// It cannot be left where it is, as it could not be read in order.
		o.log.Warn("a damaged segment cannot be written anew", zap.String("segment", s.name()), zap.Error(err))
		g := gapRecord{lane: s.lane, segment: s.number}
		o.addLiving(&g, frames, Failed)
		o.tellOr(&g)
		o.unknow(s, nil)
		o.forget(s)
		if err := o.remove(s); err != nil {
			o.log.Warn("cannot remove a segment", zap.String("segment", s.name()), zap.Error(err))
		}
	}
}

// unknow forgets the keys of a segment's records, but for some that are kept.
func (o *Outbox) unknow(s *segment, kept []frame) {
	seqs := make(map[uint64]struct{}, len(kept))
	for i := range kept {
		seqs[kept[i].Seq] = struct{}{}
	}
	for key, w := range o.keys {
		if _, ok := seqs[w.seq]; w.segment == s && !ok {
			delete(o.keys, key)
		}
	}
}

// setAside keeps a copy of a damaged segment, if there is room for it.
func (o *Outbox) setAside(s *segment) {
	b, err := readAll(o.fs, o.path(s.name()))
	if err != nil {
		return
	}
	if names, err := o.fs.ReadDir(o.dir); err == nil {
		n := 0
		for _, name := range names {
			if strings.HasSuffix(name, damagedSuffix) {
				n++
			}
		}
		if n >= maxDamaged {
			return
		}
	}
	if free, err := o.fs.Free(o.dir); err != nil || free < o.opt.Reserve+int64(len(b)) || len(b) == 0 {
		return
	}
	name := o.path(s.name() + damagedSuffix)
	f, err := o.fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err == nil {
		_, err = f.WriteAt(b, 0)
		f.Close()
	}
	if err != nil {
		o.fs.Remove(name)
	}
}
