package outbox

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// loaded is a segment as it was found.
type loaded struct {
	*segment
	bytes  []byte
	frames []frame
	holes  []hole
	before uint64 // all its records are below
}

// Open opens the outbox of a folder, and begins it anew where there is none. It
// reads all that is kept: what a crash tore is cut off, what is damaged is set
// aside.
func Open(dir string, opt Options) (_ *Outbox, err error) {
	if err := opt.defaults(); err != nil {
		return nil, err
	}
	o := &Outbox{
		dir: dir, fs: opt.FS, opt: opt, log: opt.Log,
		segmentSize: min(max(opt.Limit/64, minSegmentSize), maxSegmentSize),
		wake:        make(chan struct{}, 1),
		keys:        make(map[[16]byte]waiting),
		gaps:        make(map[uint64]struct{}),
		lost:        make(map[Lost]uint64),
	}
	if err := o.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	if o.lock, err = o.fs.Lock(o.path(lockName)); err != nil {
		return nil, fmt.Errorf("open the outbox %s: %w", dir, err)
	}
	defer func() {
		if err == nil {
			return
		}
		for _, l := range o.lanes {
			for _, s := range l {
				if s.file != nil {
					s.file.Close()
				}
			}
		}
		if o.posFile != nil {
			o.posFile.Close()
		}
		o.lock.Close()
		err = fmt.Errorf("open the outbox %s: %w", dir, err)
	}()
	var found bool
	if o.posFile, o.pos, found, err = openPosition(o.fs, o.path(positionName)); err != nil {
		return nil, err
	}
	if err = o.load(found); err != nil {
		return nil, err
	}
	o.restoreReserve()
	o.notify()
	return o, nil
}

// load reads the segments.
func (o *Outbox) load(found bool) error {
	names, err := o.fs.ReadDir(o.dir)
	if err != nil {
		return err
	}
	var all []*loaded
	for _, name := range names {
		if name == reserveName {
			o.reserve = true
		}
		if strings.HasSuffix(name, newSuffix) {
			if err := o.fs.Remove(o.path(name)); err != nil {
				return err
			}
		}
		lane, number, ok := parseName(name)
		if !ok {
			continue
		}
		b, err := readAll(o.fs, o.path(name))
		if err != nil {
			return err
		}
		all = append(all, &loaded{segment: &segment{lane: lane, number: number, size: segmentHeader, read: segmentHeader}, bytes: b})
	}
	// Gap records first: they say which segments were dropped.
	slices.SortFunc(all, func(a, b *loaded) int {
		return cmp.Or(cmp.Compare(b.lane, a.lane), cmp.Compare(a.number, b.number))
	})
	before := o.pos
	if !found {
		o.pos = position{epoch: o.epochOf(all), policy: o.opt.Sync}
	}
	highest, unsynced := o.pos.acked, uint64(0)
	certain := max(o.pos.acked, o.pos.synced)
	named := make(map[uint64]string) // what had to go for a gap record
	var dropped map[string]bool
	var mend []*loaded
	var last [lanes]uint64
	for i, s := range all {
		if epoch, ok := segmentEpoch(s.bytes); ok && epoch != o.pos.epoch {
			if err := o.strange(s); err != nil {
				return err
			}
			continue
		}
		s.frames, s.holes = scan(s.bytes, o.pos.epoch)
		if n := len(s.frames); n > 0 {
			highest = max(highest, s.frames[n-1].Seq)
			s.segment.size, s.segment.last = s.frames[n-1].end, s.frames[n-1].Seq
		}
		final := i+1 == len(all) || all[i+1].lane != s.lane
		if n := len(s.holes); final && n > 0 && s.holes[n-1].before == 0 && !(found && before.clean) {
			// The end of what grew when everything stopped.
			torn := s.holes[n-1]
			s.holes = s.holes[:n-1]
			s.bytes = s.bytes[:torn.at]
			o.stats.Torn++
			o.stats.TornBytes += uint64(torn.end - torn.at)
			o.log.Info("cut off the torn end of a segment", zap.String("segment", s.name()), zap.Int64("bytes", torn.end-torn.at))
		}
		if dropped == nil && s.lane != gapLane {
			dropped = make(map[string]bool)
			for _, name := range named {
				dropped[name] = true
			}
		}
		copied := len(s.frames) > 0 && s.frames[0].Seq <= last[s.lane] // into the one before
		if !copied {
			for _, f := range s.frames {
				unsynced += b2u(f.Seq > certain)
			}
		}
		gone := dropped[s.name()] || copied || len(s.holes) == 0 && s.segment.last <= o.pos.acked
		if gone {
			if err := o.fs.Remove(o.path(s.name())); err != nil {
				return err
			}
			continue
		}
		last[s.lane] = max(last[s.lane], s.segment.last)
		o.lanes[s.lane] = append(o.lanes[s.lane], s.segment)
		o.total += s.segment.size
		for i := range s.frames {
			o.recall(s.segment, &s.frames[i], named)
		}
		if len(s.holes) > 0 {
			if !final {
				s.before = all[i+1].number
			}
			mend = append(mend, s)
		} else if final || !before.clean {
			// A full one may not have been synced by a process that was killed.
			if err := o.resume(s, final); err != nil {
				return err
			}
		}
		s.bytes = nil
		if len(s.holes) == 0 {
			s.frames = nil
		}
	}
	if err := o.fs.SyncDir(o.dir); err != nil {
		return err
	}

	o.next = highest + 1
	if found {
		o.next = max(o.next, o.pos.lease)
	} else if len(all) > 0 {
		o.next += leap
		o.log.Warn("the outbox has lost its position: everything it holds is sent again")
	}
	boot := bootSum(o.fs.Boot())
	cut := found && !before.clean && before.policy != SyncEvery && (before.boot != boot || boot == 0)
	o.pos.clean = false
	o.pos.lease = o.next + leaseBlock
	if !cut {
		// A process killed before the end of this is no power cut to the next.
		o.pos.boot, o.pos.policy = boot, o.opt.Sync
	}
	if err := o.savePosition(); err != nil {
		return err
	}
	if cut {
		// It lasts before the position says that it was told.
		from, to := certain+1, before.lease-1
		if missing := to + 1 - from; to >= from && missing > unsynced {
			g := gapRecord{lane: -1}
			g.add(PowerCut, KindUnknown, missing-unsynced, from, to, time.Now())
			if err := o.tell(&g); err != nil {
				return err
			}
			for _, l := range g.Lost {
				o.lose(l)
			}
		}
	}
	if err := o.sync(); err != nil {
		return err
	}
	o.pos.boot, o.pos.policy = boot, o.opt.Sync
	if err := o.savePosition(); err != nil {
		return err
	}
	for _, s := range mend {
		before := s.before
		if before == 0 {
			before = o.next
		}
		o.mend(s.segment, s.frames, s.holes, before, errFrame)
	}
	return o.sync()
}

// epochOf gives the epoch of segments whose position is lost, else a new one.
func (o *Outbox) epochOf(all []*loaded) uint64 {
	for _, s := range all {
		if epoch, ok := segmentEpoch(s.bytes); ok && epoch != 0 {
			return epoch
		}
	}
	return newEpoch()
}

// recall notes a record of a segment.
func (o *Outbox) recall(s *segment, f *frame, named map[uint64]string) {
	if f.Seq <= o.pos.acked {
		return
	}
	if f.Kind == KindGap {
		g, err := decodeGap(f.Payload)
		if err != nil { // of a later version: the centre may know it
			o.gaps[f.Seq] = struct{}{}
			return
		}
		maps.DeleteFunc(o.gaps, func(seq uint64, _ struct{}) bool { return seq >= g.since })
		maps.DeleteFunc(named, func(seq uint64, _ string) bool { return seq >= g.since })
		o.gaps[f.Seq] = struct{}{}
		if g.lane >= 0 {
			named[f.Seq] = segmentName(g.lane, g.segment)
		}
		if f.Seq > o.pos.gapSent {
			o.gap, o.gapSeq, o.gapSegment, o.gapSize = g, f.Seq, s, f.end-f.at
		}
		return
	}
	if f.Key == "" {
		return
	}
	key := hashKey(f.Key)
	old, known := o.keys[key]
	switch {
	case known && old.revision > f.Revision:
		s.dead += f.end - f.at
		return
	case known:
		if old.revision < f.Revision {
			old.segment.dead += int64(old.size)
		}
	case len(o.keys) >= o.opt.Keys:
		o.stats.Untracked++
		return
	}
	o.keys[key] = waiting{f.Seq, f.Revision, s, int32(f.end - f.at), min(Priority(s.lane), Case)}
}

// resume cuts the torn end of a segment off and goes on with it, if it is the
// last of its lane and not full.
func (o *Outbox) resume(s *loaded, final bool) error {
	f, err := o.fs.OpenFile(o.path(s.name()), os.O_RDWR)
	if err != nil {
		return err
	}
	if err := f.Truncate(s.segment.size); err != nil {
		return errors.Join(err, f.Close())
	}
	s.segment.file = f
	if final && s.segment.size < o.segmentSize {
		return nil
	}
	err = f.Sync()
	s.segment.file = nil
	return errors.Join(err, f.Close())
}

// strange sets a segment aside that belongs to another outbox.
func (o *Outbox) strange(s *loaded) error {
	o.stats.SetAside++
	o.log.Warn("a segment is of another outbox and is set aside", zap.String("segment", s.name()))
	return o.fs.Rename(o.path(s.name()), o.path(s.name()+damagedSuffix))
}
