package outbox

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

// room sees to it that there is room for a record, by taking away what is
// superseded, then what is less important, then what is as important and older.
func (o *Outbox) room(p Priority, need int64) (Reason, bool) {
	for {
		reason := Limit
		if o.total+need <= o.opt.Limit {
			reason = Space
			if o.space(need) {
				return 0, true
			}
		}
		if o.compact() {
			continue
		}
		if !o.give(p, reason) {
			return reason, false
		}
	}
}

// space says whether the file system has room for a record. When it has too
// little, the outbox may write again what it has given back.
func (o *Outbox) space(need int64) bool {
	free, err := o.fs.Free(o.dir)
	if err != nil {
		o.stats.WriteErrors++
		return true // the write itself will tell
	}
	if free >= o.opt.Reserve+need {
		o.credit = 0
		return true
	}
	if o.credit >= need {
		o.credit -= need
		return true
	}
	return false
}

// give drops the oldest segment of the least important lane that may go for a
// record of priority p.
func (o *Outbox) give(p Priority, reason Reason) bool {
	victim := func(below Priority, pinned bool) *segment {
		for _, l := range o.lanes[:below] {
			for _, s := range l {
				if s.size > segmentHeader && (pinned || !s.pinned) {
					return s
				}
			}
		}
		return nil
	}
	s := victim(p+1, false)
	if s == nil {
		// What is under way may have arrived; it goes only for what is more
		// important.
		if s = victim(p, true); s == nil {
			return false
		}
	}
	size := s.size
	if err := o.drop(s, reason); err != nil {
		o.log.Warn("cannot drop a segment", zap.String("segment", s.name()), zap.Error(err))
		return false
	}
	o.credit += size
	return true
}

// drop gives up the records of a segment. The gap record lasts before the
// segment goes and names it, so that after a cut between the two the dropping is
// finished: a record is either told of or delivered.
func (o *Outbox) drop(s *segment, reason Reason) error {
	if s.file != nil {
		o.seal(s)
	}
	frames, holes := o.scanFile(s)
	g := gapRecord{lane: s.lane, segment: s.number}
	o.lostIn(&g, s, holes, s.last+1)
	o.addLiving(&g, frames, reason)
	if len(g.Lost) > 0 {
		if err := o.tell(&g); err != nil {
			return err
		}
		for _, l := range g.Lost {
			o.lose(l)
		}
		if err := o.sync(); err != nil {
			o.log.Warn("cannot sync a gap record", zap.Error(err))
		}
	}
	for i := range frames {
		if f := &frames[i]; f.Key != "" {
			if key := hashKey(f.Key); o.keys[key].seq == f.Seq {
				delete(o.keys, key)
			}
		}
	}
	if len(holes) > 0 {
		o.unknow(s, nil)
	}
	o.forget(s)
	return o.remove(s)
}

// scanFile reads the records of a segment. What cannot be read is a hole.
func (o *Outbox) scanFile(s *segment) ([]frame, []hole) {
	b, err := readAll(o.fs, o.path(s.name()))
	if err != nil {
		b = nil
	}
	b = b[:min(int64(len(b)), s.size)]
	frames, holes := scan(b, o.pos.epoch)
	if int64(len(b)) < s.size {
		h := hole{at: int64(len(b)), end: s.size}
		if len(frames) > 0 {
			h.after = frames[len(frames)-1].Seq
		}
		holes = append(holes, h)
	}
	return frames, holes
}

// lostIn counts what the holes of a segment may have held; before is a sequence
// that all of it were below.
func (o *Outbox) lostIn(g *gapRecord, s *segment, holes []hole, before uint64) {
	after := max(o.pos.acked, s.number-1)
	for _, h := range holes {
		to := before - 1
		if h.before != 0 {
			to = h.before - 1
		}
		g.add(Damaged, KindUnknown, h.atMost(after, before), max(after, h.after)+1, to, time.Now())
	}
}

// remove removes a segment's file for good.
func (o *Outbox) remove(s *segment) error {
	err := o.fs.Remove(o.path(s.name()))
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = o.fs.SyncDir(o.dir)
	}
	if err != nil {
		o.stats.WriteErrors++
		return fmt.Errorf("remove %s: %w", s.name(), err)
	}
	return nil
}

// compact writes the segment anew that superseded records fill most, if they
// are half of it.
func (o *Outbox) compact() bool {
	var worst *segment
	var before *segment // the one before it in its lane
	for _, l := range o.lanes {
		for i, s := range l {
			if s.file != nil || s.pinned || s.dead*2 < s.size || worst != nil && s.dead <= worst.dead {
				continue
			}
			worst, before = s, nil
			if i > 0 && !l[i-1].pinned && l[i-1].file == nil {
				before = l[i-1]
			}
		}
	}
	if worst == nil {
		return false
	}
	size := worst.size
	frames, holes := o.scanFile(worst)
	if len(holes) > 0 {
		worst.dead = 0
		o.damaged(worst, errFrame)
		return true
	}
	err := o.sync() // what superseded its records lasts first
	if err == nil {
		err = o.rewrite(worst, before, frames, false)
	}
	if err != nil {
		o.log.Warn("cannot write a segment anew", zap.String("segment", worst.name()), zap.Error(err))
		worst.dead = 0
		return false
	}
	o.stats.Compacted++
	o.credit += size / 2
	return true
}

// rewrite puts a segment's living records into a new file in its place, or adds
// them to the segment before, if that has room for them. A cut leaves the old
// file, the new one, or both, and then the old one is known by its sequences.
func (o *Outbox) rewrite(s, before *segment, frames []frame, damaged bool) error {
	var moved []byte
	var last uint64
	living := frames[:0]
	for i := range frames {
		if f := &frames[i]; damaged || !o.isDead(f) {
			moved = appendRecord(moved, o.pos.epoch, &f.Record)
			last = f.Seq
			living = append(living, *f)
		}
	}
	if len(living) == 0 {
		o.forget(s)
		return o.remove(s)
	}
	into := s
	b := appendSegmentHeader(nil, o.pos.epoch, s.lane, s.number)
	if before != nil && before.size+int64(len(moved)) <= o.segmentSize {
		whole, err := readAll(o.fs, o.path(before.name()))
		if err != nil {
			return err
		}
		if _, holes := scan(whole, o.pos.epoch); len(holes) == 0 && int64(len(whole)) == before.size {
			into, b = before, whole
		}
	}
	b = append(b, moved...)
	name := o.path(into.name())
	replaced, err := o.replace(name, b)
	if !replaced {
		return err
	}
	o.total += int64(len(b)) - into.size
	into.size, into.last, into.ragged = int64(len(b)), last, false
	into.doubtful = into.doubtful && err != nil
	if into == s {
		s.read, s.dead = segmentHeader, 0
	} else {
		o.forget(s)
		if err == nil {
			err = o.remove(s)
		}
	}
	if err != nil {
		o.stats.WriteErrors++ // the next start removes what is twice there
	}
	for i := range living {
		f := &living[i]
		if f.Seq == o.gapSeq {
			o.gapSegment = into
		}
		if f.Key != "" {
			key := hashKey(f.Key)
			if w, ok := o.keys[key]; ok && w.seq == f.Seq {
				w.segment = into
				o.keys[key] = w
			}
		}
	}
	return nil
}

// replace puts b in the place of a file, all or nothing. It may have succeeded
// without lasting: with an error.
func (o *Outbox) replace(name string, b []byte) (bool, error) {
	f, err := o.fs.OpenFile(name+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return false, err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = o.fs.Rename(name+newSuffix, name)
	}
	if err != nil {
		o.fs.Remove(name + newSuffix)
		return false, err
	}
	return true, o.fs.SyncDir(o.dir)
}

// freeReserve gives the reserve file's room to what must be written on a full
// disk.
func (o *Outbox) freeReserve() bool {
	if !o.reserve {
		return false
	}
	o.reserve = false
	return o.fs.Remove(o.path(reserveName)) == nil
}

// restoreReserve fills the reserve file, when there is room for it.
func (o *Outbox) restoreReserve() {
	if o.reserve {
		return
	}
	free, err := o.fs.Free(o.dir)
	if err != nil || free < reserveSize {
		return
	}
	f, err := o.fs.OpenFile(o.path(reserveName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return
	}
	_, err = f.WriteAt(make([]byte, reserveSize), 0)
	f.Close()
	if err != nil {
		o.fs.Remove(o.path(reserveName))
		return
	}
	o.reserve = true
}

// trim takes failed writes back, so that no later start finds them.
func (o *Outbox) trim() {
	o.ragged = false
	for _, l := range o.lanes {
		for _, s := range l {
			if !s.ragged {
				continue
			}
			f, err := o.fs.OpenFile(o.path(s.name()), os.O_RDWR)
			if err == nil {
				if err = f.Truncate(s.size); err == nil {
					err = f.Sync()
				}
				f.Close()
			}
			s.ragged = err != nil
			o.ragged = o.ragged || s.ragged
		}
	}
}
