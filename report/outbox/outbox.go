// Package outbox keeps what an appliance has to report, on disk, until the
// centre has acknowledged it: through cuts of the network, restarts, power cuts
// and full disks. What cannot be kept is counted, and the count is itself sent.
// docs/outbox.md tells the format and what is promised when.
package outbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Kind says what a payload is. The outbox only counts by it.
type Kind uint8

// The kinds that are not the caller's, who has those from 1 to MaxKind.
const (
	KindGap     Kind = 0    // written by the outbox itself, see Record.Gap
	KindUnknown Kind = 0xff // in a Gap: of records that cannot be read
	MaxKind          = 15
)

// Priority says what is dropped first.
type Priority uint8

// The priorities. Each has files of its own, so that dropping gives room back
// at once.
const (
	Low Priority = iota
	Middle
	High
	Case // dropped last
)

const (
	gapLane = int(Case) + 1
	lanes   = gapLane + 1
)

// Bounds of a record, and of a batch's records whatever is asked for.
const (
	MaxKey     = 64
	MaxPayload = 1 << 20
	maxBatch   = 10_000
)

// Record is one thing to report.
type Record struct {
	// Key is what a record is about: of one key only the newest revision is
	// sent. A record without one is sent always.
	Key      string
	Revision uint64
	Kind     Kind
	Priority Priority
	Payload  []byte

	// Epoch, Seq and Time are given by Append. An outbox never gives the same
	// pair of epoch and sequence to two records.
	Epoch, Seq uint64
	Time       time.Time
}

// Sync says when records are made to last through a power cut. The end of the
// process alone loses none, whatever the policy.
type Sync uint8

// The policies.
const (
	SyncEvery    Sync = iota // before Append returns
	SyncInterval             // within Options.Interval
	SyncNever                // when a segment is full
)

func (s Sync) String() string {
	switch s {
	case SyncEvery:
		return "every"
	case SyncInterval:
		return "interval"
	case SyncNever:
		return "never"
	}
	return fmt.Sprintf("sync-%d", uint8(s))
}

// Options of an outbox. The zero value of each has a default.
type Options struct {
	Limit    int64 // bytes of all segments; 256 MiB
	Reserve  int64 // bytes that stay free on the file system; 64 MiB, -1 for none
	Sync     Sync
	Interval time.Duration // of SyncInterval; 200 ms
	// Keys bounds the keys whose newest revision is known; about 170 bytes of
	// memory each. What is beyond is sent in every revision. 100,000
	Keys int
	FS   FS // Disk
	Log  *zap.Logger
}

const (
	minLimit       = 64 << 10
	maxSegmentSize = 4 << 20
	minSegmentSize = 1 << 10
	reserveSize    = 32 << 10
	reserveName    = "reserve"
	lockName       = "lock"

	// leaseBlock is how many sequences are set aside with one writing of the
	// position: so many are skipped after a cut.
	leaseBlock = 4096
	// leap is skipped when the position is lost and nobody knows which
	// sequences were given out.
	leap = 1 << 40
	// maxGaps bounds gap records that may have left without an answer. Beyond,
	// the last one does not leave.
	maxGaps = 4096
)

func (o *Options) defaults() error {
	if o.Limit == 0 {
		o.Limit = 256 << 20
	}
	if o.Reserve == 0 {
		o.Reserve = 64 << 20
	}
	if o.Interval == 0 {
		o.Interval = 200 * time.Millisecond
	}
	if o.Keys == 0 {
		o.Keys = 100_000
	}
	if o.FS == nil {
		o.FS = Disk{}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	o.Reserve = max(o.Reserve, 0)
	switch {
	case o.Limit < minLimit:
		return fmt.Errorf("an outbox of %d bytes is too small: %d at least", o.Limit, minLimit)
	case o.Sync > SyncNever:
		return fmt.Errorf("unknown policy %v", o.Sync)
	case o.Interval < 0 || o.Keys < 0:
		return errors.New("a negative interval or number of keys")
	}
	return nil
}

// What can go wrong and a caller may want to know apart.
var (
	ErrLocked  = errors.New("in use by another process")
	ErrClosed  = errors.New("outbox is closed")
	ErrStale   = errors.New("a revision as new is already waiting")
	ErrDropped = errors.New("dropped")
	ErrTooBig  = errors.New("record is too big")
	ErrAck     = errors.New("acknowledges what was not sent")
)

// Outbox is a folder of segments. One goroutine may take batches out while
// others put records in.
type Outbox struct {
	dir string
	fs  FS
	opt Options
	log *zap.Logger

	segmentSize int64
	lock        io.Closer
	wake        chan struct{} // holds one word: there may be something to send

	mu      sync.Mutex
	closed  bool
	posFile File
	pos     position
	next    uint64 // sequence of the next record
	lanes   [lanes][]*segment
	total   int64 // bytes of all segments
	credit  int64 // bytes given back while the file system was too full
	reserve bool  // the reserve file is there
	// A segment is ragged, or doubtful.
	ragged, doubtful bool
	buf              []byte

	keys map[[16]byte]waiting
	gaps map[uint64]struct{} // gap records that wait

	gap        *gapRecord // the last of them, while it has not left
	gapSeq     uint64
	gapSegment *segment
	gapSize    int64
	owed       Gap // what could not be written yet

	sent        []sent // the last batch
	superseding uint64 // the last record that superseded another
	timer       *time.Timer
	stats       Stats
	lost        map[Lost]uint64
}

// waiting is the newest revision of a key that waits.
type waiting struct {
	seq, revision uint64
	segment       *segment
	size          int32
	priority      Priority
}

// sent is a record of the last batch.
type sent struct {
	seq     uint64
	segment *segment
	end     int64
	kind    Kind
	key     string
}

// Stats are counters since Open, and a few sizes.
type Stats struct {
	Epoch    uint64
	Next     uint64 // sequence of the next record
	Acked    uint64
	Bytes    int64 // of all segments
	Segments int
	Keys     int // whose newest revision is known

	Appended, Superseded, Stale, Untracked uint64
	Delivered                              uint64 // records acknowledged
	Torn, TornBytes                        uint64 // ends of segments cut off after a crash
	SetAside                               uint64 // damaged segments
	Compacted                              uint64 // segments written anew without superseded records
	WriteErrors, SyncErrors                uint64
	Lost                                   []Lost // what gaps were written for, or are to be
}

// Append keeps a record. It may sync, write a segment anew or drop what is less
// important, but it waits for nobody. When it returns nil the record is kept as
// the policy promises. ErrStale says that nothing had to be done, ErrDropped
// that there was no room; after any other error the record is lost too, and
// counted like it if it had got a sequence.
func (o *Outbox) Append(r Record) (uint64, error) {
	switch {
	case r.Kind == KindGap || r.Kind > MaxKind:
		return 0, fmt.Errorf("kind %d is not from 1 to %d", r.Kind, MaxKind)
	case r.Priority > Case:
		return 0, fmt.Errorf("unknown priority %d", r.Priority)
	case len(r.Key) > MaxKey || len(r.Payload) > MaxPayload || recordSize(&r) > o.opt.Limit/8:
		return 0, fmt.Errorf("%w: key of %d bytes, payload of %d", ErrTooBig, len(r.Key), len(r.Payload))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.ready(); err != nil {
		return 0, err
	}
	var key [16]byte
	var old waiting
	var known bool
	if r.Key != "" {
		key = hashKey(r.Key)
		if old, known = o.keys[key]; known {
			if r.Revision <= old.revision {
				o.stats.Stale++
				return 0, ErrStale
			}
			// So the newer one is never dropped while the older one stays.
			r.Priority = max(r.Priority, old.priority)
		}
	}
	seq, err := o.take()
	if err != nil {
		o.lose(Lost{Reason: Failed, Kind: r.Kind, Count: 1})
		o.owed.add(Failed, r.Kind, 1, o.next, o.next, time.Now())
		return 0, err
	}
	r.Seq, r.Epoch, r.Time = seq, o.pos.epoch, time.Now()

	reason, err := o.put(&r)
	if err != nil {
		var g gapRecord
		g.lane = -1
		g.add(reason, r.Kind, 1, r.Seq, r.Seq, r.Time)
		o.tellOr(&g)
		return r.Seq, err
	}
	seq = r.Seq
	o.stats.Appended++
	if r.Key != "" {
		s := o.lanes[r.Priority][len(o.lanes[r.Priority])-1]
		if known {
			// The old one may have been dropped while room was made.
			if was, still := o.keys[key]; still && was.seq == old.seq {
				was.segment.dead += int64(was.size)
				o.stats.Superseded++
				o.superseding = seq
			} else {
				known = false
			}
		}
		if known || len(o.keys) < o.opt.Keys {
			o.keys[key] = waiting{seq, r.Revision, s, int32(recordSize(&r)), r.Priority}
		} else {
			o.stats.Untracked++
		}
	}
	o.notify()
	return seq, nil
}

func hashKey(key string) (h [16]byte) {
	sum := sha256.Sum256([]byte(key))
	copy(h[:], sum[:])
	return h
}

// put finds room for a record and writes it.
func (o *Outbox) put(r *Record) (Reason, error) {
	for try := 0; ; try++ {
		if reason, ok := o.room(r.Priority, recordSize(r)+segmentHeader); !ok {
			return reason, fmt.Errorf("%w: %v", ErrDropped, reason)
		}
		err := o.write(int(r.Priority), r)
		switch {
		case err == nil:
			return 0, nil
		case !noSpace(err):
			return Failed, err
		case try >= 2 || !o.give(r.Priority, Space):
			return Space, fmt.Errorf("%w: %w", ErrDropped, err)
		}
		// What failed may be on the disk after all: its sequence is used up.
		if r.Seq, err = o.take(); err != nil {
			return Failed, err
		}
	}
}

// Miss tells the centre of records that were never given to Append, since they came
// faster than it took them: a gap with one sequence of its own.
func (o *Outbox) Miss(kind Kind, count uint64) error {
	if kind == KindGap || kind > MaxKind {
		return fmt.Errorf("kind %d is not from 1 to %d", kind, MaxKind)
	}
	if count == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.ready(); err != nil {
		return err
	}
	seq, err := o.take()
	if err != nil {
		// Of what cannot be written now is told when it can.
		seq = o.next
	}
	var g gapRecord
	g.lane = -1
	g.add(Crowded, kind, count, seq, seq, time.Now())
	o.tellOr(&g)
	return nil
}

// take gives the next sequence.
func (o *Outbox) take() (uint64, error) {
	if o.next >= o.pos.lease {
		lease := o.pos.lease
		o.pos.lease = o.next + leaseBlock
		if err := o.savePosition(); err != nil {
			o.pos.lease = lease
			return 0, err
		}
	}
	o.next++
	return o.next - 1, nil
}

// write appends a record to a lane.
func (o *Outbox) write(lane int, r *Record) error {
	o.buf = appendRecord(o.buf[:0], o.pos.epoch, r)
	size := int64(len(o.buf))
	s := o.growing(lane)
	if s != nil && s.size+size > o.segmentSize && s.size > segmentHeader {
		o.seal(s)
		s = nil
	}
	if s == nil {
		var err error
		if s, err = o.create(lane, r.Seq); err != nil {
			o.stats.WriteErrors++
			return err
		}
	}
	_, err := s.file.WriteAt(o.buf, s.size)
	if err != nil {
		o.stats.WriteErrors++
	} else if o.opt.Sync == SyncEvery {
		if err = s.file.Sync(); err != nil {
			o.stats.SyncErrors++
		}
	}
	if err != nil {
		o.retract(s)
		return fmt.Errorf("write %s: %w", s.name(), err)
	}
	s.size += size
	s.last = r.Seq
	o.total += size
	if o.opt.Sync == SyncEvery {
		s.synced = s.size
		o.pos.synced = r.Seq
	}
	o.later()
	return nil
}

// growing gives the segment of a lane that takes records.
func (o *Outbox) growing(lane int) *segment {
	if l := o.lanes[lane]; len(l) > 0 && l[len(l)-1].file != nil {
		return l[len(l)-1]
	}
	return nil
}

// create begins a segment. Its name lasts before a record is in it.
func (o *Outbox) create(lane int, number uint64) (*segment, error) {
	s := &segment{lane: lane, number: number, size: segmentHeader, read: segmentHeader}
	name := o.path(s.name())
	f, err := o.fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(appendSegmentHeader(nil, o.pos.epoch, lane, number), 0); err == nil {
		err = o.fs.SyncDir(o.dir)
	}
	if err != nil {
		f.Close()
		o.fs.Remove(name)
		return nil, err
	}
	s.file = f
	o.lanes[lane] = append(o.lanes[lane], s)
	o.total += s.size
	return s, nil
}

// retract takes back a write that failed. The segment takes no more records: who
// knows what a later sync of it would mean.
func (o *Outbox) retract(s *segment) {
	if err := s.file.Truncate(s.size); err != nil {
		o.log.Warn("cannot take a failed write back", zap.String("segment", s.name()), zap.Error(err))
		s.ragged, o.ragged = true, true
	}
	if s.size > segmentHeader {
		o.seal(s)
		return
	}
	o.forget(s)
	if err := o.fs.Remove(o.path(s.name())); err != nil {
		o.log.Warn("cannot remove a segment", zap.String("segment", s.name()), zap.Error(err))
	}
}

// seal closes a segment for records to come.
func (o *Outbox) seal(s *segment) {
	if s.dirty() && !s.doubtful {
		if err := s.file.Sync(); err != nil {
			o.stats.SyncErrors++
			s.doubtful, o.doubtful = true, true
			o.log.Warn("cannot sync a segment", zap.String("segment", s.name()), zap.Error(err))
		}
	}
	s.file.Close()
	s.file = nil
}

// forget takes a segment out of its lane; its file is the caller's business.
func (o *Outbox) forget(s *segment) {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	l := o.lanes[s.lane]
	for i := range l {
		if l[i] == s {
			o.lanes[s.lane] = append(l[:i:i], l[i+1:]...)
			o.total -= s.size
			return
		}
	}
}

// later syncs when the interval has passed.
func (o *Outbox) later() {
	if o.opt.Sync == SyncInterval && o.timer == nil {
		o.timer = time.AfterFunc(o.opt.Interval, o.tick)
	}
}

// tick syncs without keeping others from appending.
func (o *Outbox) tick() {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return
	}
	o.timer = nil
	if o.doubtful {
		if o.sync() != nil {
			o.later()
		}
		o.mu.Unlock()
		return
	}
	upto := o.next - 1
	type part struct {
		segment *segment
		file    File
		size    int64
	}
	var parts []part
	for _, l := range o.lanes {
		for _, s := range l {
			if s.dirty() {
				parts = append(parts, part{s, s.file, s.size})
			}
		}
	}
	o.mu.Unlock()
	var failed error
	for i, p := range parts {
		// A segment that was sealed meanwhile was synced then.
		if err := p.file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			failed = err
			parts[i].size = -1
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range parts {
		p.segment.synced = max(p.segment.synced, p.size)
		if p.size < 0 {
			p.segment.doubtful, o.doubtful = true, true
		}
	}
	if failed == nil {
		o.pos.synced = max(o.pos.synced, upto)
		return
	}
	o.stats.SyncErrors++
	o.log.Warn("cannot sync the outbox", zap.Error(failed))
	if !o.closed {
		o.later()
	}
}

// Sync makes everything that was appended last.
func (o *Outbox) Sync() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.ready(); err != nil {
		return err
	}
	return o.sync()
}

func (o *Outbox) sync() error {
	for _, l := range o.lanes {
		for _, s := range l {
			var err error
			if s.doubtful {
				err = o.renew(s)
			} else if s.dirty() {
				if err = s.file.Sync(); err != nil {
					s.doubtful, o.doubtful = true, true
				}
			}
			if err != nil {
				o.stats.SyncErrors++
				return fmt.Errorf("sync %s: %w", s.name(), err)
			}
			s.synced = s.size
		}
	}
	o.pos.synced = o.next - 1
	o.doubtful = false
	return nil
}

// renew writes a doubtful segment anew, as it is.
func (o *Outbox) renew(s *segment) error {
	b, err := readAll(o.fs, o.path(s.name()))
	if err != nil {
		return err
	}
	if int64(len(b)) < s.size {
		return fmt.Errorf("%d bytes of %d are left", len(b), s.size)
	}
	replaced, err := o.replace(o.path(s.name()), b[:s.size])
	if !replaced {
		return err
	}
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
	s.ragged, s.doubtful = false, err != nil
	return err
}

func (o *Outbox) notify() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Batch waits for records and gives the oldest ones, in order: at most so many,
// and of so many bytes unless the first alone is longer. Without an Ack it gives
// them again. Their payloads are the caller's.
func (o *Outbox) Batch(ctx context.Context, maxBytes, maxRecords int) ([]Record, error) {
	maxRecords = min(max(maxRecords, 1), maxBatch)
	maxBytes = min(max(maxBytes, 1), int(o.opt.Limit/8))
	for {
		batch, err := o.collect(int64(maxBytes), maxRecords)
		if len(batch) > 0 || err != nil {
			return batch, err
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (o *Outbox) collect(maxBytes int64, maxRecords int) ([]Record, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.ready(); err != nil {
		return nil, err
	}
	for _, s := range o.sent {
		s.segment.pinned = false
	}
	o.sent = o.sent[:0]
	readers := o.readers()
	defer func() {
		for i := range readers {
			readers[i].close()
		}
	}()
	var batch []Record
	var bytes int64
	for len(batch) < maxRecords {
		first := -1
		for i := range readers {
			if f := readers[i].peek(); f != nil && (first < 0 || f.Seq < readers[first].peek().Seq) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		f := readers[first].peek()
		bytes += f.end - f.at
		if len(batch) > 0 && bytes > maxBytes {
			break
		}
		if f.Kind == KindGap && f.Seq == o.gapSeq {
			if len(o.gaps) > maxGaps {
				break
			}
			o.gap = nil // it may not change any more
		}
		r := f.Record
		r.Priority = min(Priority(first), Case)
		batch = append(batch, r)
		s := readers[first].segment
		s.pinned = true
		o.sent = append(o.sent, sent{r.Seq, s, f.end, r.Kind, r.Key})
		readers[first].next()
	}
	o.leave(batch)
	return batch, nil
}

// leave notes that gap records are about to be seen by others: they cannot be
// changed any more, not even after a restart.
func (o *Outbox) leave(batch []Record) {
	upto := o.pos.gapSent
	for i := range batch {
		if batch[i].Kind == KindGap {
			upto = max(upto, batch[i].Seq)
		}
	}
	if upto == o.pos.gapSent {
		return
	}
	o.pos.gapSent = upto
	if err := o.savePosition(); err != nil {
		o.log.Warn("cannot note that a gap record leaves", zap.Error(err))
	}
}

// Ack says that the centre keeps everything up to seq that was given by Batch.
// When it returns nil, nothing of it is given again, not even after a cut.
func (o *Outbox) Ack(epoch, seq uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.ready(); err != nil {
		return err
	}
	return o.ack(epoch, seq)
}

// Refuse gives up the first record of the last batch, which the centre will
// never take, so that those behind it are sent. A gap tells of it, unless it is
// a gap record itself.
func (o *Outbox) Refuse(epoch, seq uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.ready(); err != nil {
		return err
	}
	if len(o.sent) == 0 || o.sent[0].seq != seq || epoch != o.pos.epoch {
		return fmt.Errorf("%w: refuses sequence %d", ErrAck, seq)
	}
	if kind := o.sent[0].kind; kind != KindGap {
		g := gapRecord{lane: -1}
		g.add(Refused, kind, 1, seq, seq, time.Now())
		o.tellOr(&g)
	}
	return o.ack(epoch, seq)
}

func (o *Outbox) ack(epoch, seq uint64) error {
	if epoch != o.pos.epoch {
		return fmt.Errorf("%w: epoch %016x, not %016x", ErrAck, epoch, o.pos.epoch)
	}
	if seq <= o.pos.acked {
		return nil
	}
	if len(o.sent) == 0 || seq > o.sent[len(o.sent)-1].seq {
		return fmt.Errorf("%w: sequence %d", ErrAck, seq)
	}
	// What lies below and was superseded is passed over for good: the newer one
	// must last first.
	if o.superseding > o.pos.synced {
		if err := o.sync(); err != nil {
			return err
		}
	}
	rest := o.sent[:0]
	for _, s := range o.sent {
		if s.seq > seq {
			rest = append(rest, s)
			continue
		}
		s.segment.pinned = false
		s.segment.read = max(s.segment.read, s.end)
		delete(o.gaps, s.seq)
		if s.key != "" {
			if key := hashKey(s.key); o.keys[key].seq == s.seq {
				delete(o.keys, key)
			}
		}
		o.stats.Delivered++
	}
	o.sent = rest
	for _, s := range o.sent {
		s.segment.pinned = true
	}
	o.pos.acked = seq
	err := o.savePosition()
	o.clear()
	return err
}

// clear removes the segments of which nothing needs to be sent any more.
func (o *Outbox) clear() {
	removed := false
	for _, l := range o.lanes {
		for _, s := range l[:len(l):len(l)] {
			if s.last > o.pos.acked || s.file != nil && s.size < o.segmentSize/2 {
				break
			}
			o.forget(s)
			if err := o.fs.Remove(o.path(s.name())); err != nil {
				o.stats.WriteErrors++
				o.log.Warn("cannot remove a segment", zap.String("segment", s.name()), zap.Error(err))
			}
			removed = true
		}
	}
	if removed {
		// A name that comes back after a cut holds only what was acknowledged.
		if err := o.fs.SyncDir(o.dir); err != nil {
			o.stats.SyncErrors++
		}
		o.restoreReserve()
	}
}

// isDead says whether a record needs to be sent no more.
func (o *Outbox) isDead(f *frame) bool {
	if f.Seq <= o.pos.acked {
		return true
	}
	if f.Kind == KindGap {
		_, alive := o.gaps[f.Seq]
		return !alive
	}
	if f.Key == "" {
		return false
	}
	newest, known := o.keys[hashKey(f.Key)]
	return known && newest.revision > f.Revision && newest.seq != f.Seq
}

// Stats gives the counters.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.stats
	s.Epoch, s.Next, s.Acked, s.Bytes, s.Keys = o.pos.epoch, o.next, o.pos.acked, o.total, len(o.keys)
	for _, l := range o.lanes {
		s.Segments += len(l)
	}
	var g Gap
	for l, n := range o.lost {
		g.add(l.Reason, l.Kind, n, 0, 0, time.Time{})
	}
	s.Lost = g.Lost
	return s
}

func (o *Outbox) lose(l Lost) {
	n := l.Count
	l.Count = 0
	o.lost[l] += n
}

// Close syncs what is kept and lets the folder go.
func (o *Outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.settle()
	o.closed = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.notify()
	err := o.sync()
	if err == nil && len(o.owed.Lost) == 0 {
		o.pos.clean = true
		o.pos.lease = o.next
		err = o.savePosition()
	}
	for _, l := range o.lanes {
		for _, s := range l {
			if s.file != nil {
				s.file.Close()
			}
		}
	}
	return errors.Join(err, o.posFile.Close(), o.lock.Close())
}

func newEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:])
	// 63 bits, so that a database's signed number holds it.
	return max(binary.LittleEndian.Uint64(b[:])>>1, 1)
}

func bootSum(boot string) uint64 {
	if boot == "" {
		return 0
	}
	return 1<<32 | uint64(crc32.Checksum([]byte(boot), castagnoli))
}
