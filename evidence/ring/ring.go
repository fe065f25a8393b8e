// Package ring keeps headers of suspect lines for a while, in files of bounded size
// and age, so that what a verdict rests on can be asked for later. It keeps what it is
// given; package evidence leaves out what packets carry before that.
//
// Files are read by whoever has the key's private half, which need not be on the
// machine that writes them. What was written is lost with the disk, and the last
// seconds with the machine: nothing is synced, since no verdict needs it.
package ring

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"simtrap/capture"
	"simtrap/ident"
)

const (
	suffix    = ".headers"
	damaged   = ".damaged"
	linesFile = "lines.json"

	maxQueue    = 1 << 16  // frames on their way to the disk
	maxQueued   = 16 << 20 // bytes of them
	flushAfter  = 5 * time.Second
	maxSegments = 1 << 15 // files
	maxDamaged  = 8       // files that are set aside
	maxLines    = 4096    // names that are taken up at the start
	// A segment is a part of what a line may have, and of how long it is kept, so
	// that what goes is small and old.
	perSegment = 16
	leastBytes = 64 << 10
	// A full file has a block more than this, and is to fit into a part of what a hub
	// asks for at once: 4 MiB where it asks for as many lines as it may.
	mostBytes = 2 << 20
	mostWrite = int64(maxHead + blockHead + maxBody) // bytes that are written at once

	maxBuffered = 16 << 20 // bytes of all lines that wait to be written
	keptBuffer  = 8 << 10  // bytes of a buffer that is kept for the next block
)

// Options of a Ring. Folder and the three bounds are needed.
type Options struct {
	Folder  string
	Limit   int64         // bytes of all files
	PerLine int64         // bytes of one line's
	Age     time.Duration // that a file is kept after its last frame was written
	Lines   int           // followed at once; 1,024
	Key     *PublicKey    // nil for plain files
	// Reserve is how many bytes of the file system stay free: with fewer the oldest
	// files go, and where that is not enough nothing is written. Free says how many
	// there are; nil where nobody looks.
	Reserve int64
	Free    func() (int64, error)
	// Line gives the line that a name means; for what was followed before a restart.
	Line func(name string) (ident.Line, bool)
	Log  *zap.Logger
	Now  func() time.Time // wall clock
}

// Stats says how a ring does. Counts are of this run.
type Stats struct {
	Lines    int   // followed
	Segments int   // files
	Bytes    int64 // of them
	Frames   uint64
	Lost     uint64 // frames that found no room on their way to the disk
	Failed   uint64 // frames that the disk did not take
	Left     uint64 // times that a line was not followed, or no more, since others are more suspect
	Evicted  uint64 // files that went for room
	Aged     uint64 // files that went for their age
	Damaged  uint64 // files that were set aside, or could not be read at the start
	Removed  uint64 // of these, that went for others
}

// followed is a line whose headers are kept.
type followed struct {
	line ident.Line
	name string
	rank int       // the higher the more suspect
	told time.Time // wall clock, when it last was

	// Of the writer.
	buf         []byte
	frames      int
	first, last int64
	since       time.Time // of the oldest in buf
	turn        uint64    // of buf among all that were begun
	open        *segment  // that is written to
	seal        *sealer
}

// segment is one file.
type segment struct {
	name     string // in the folder
	line     string
	sequence uint64
	size     int64 // up to which it is whole
	frames   int
	first    int64 // packet time; 0 of none
	last     int64
	made     time.Time
	written  time.Time
	gone     bool
}

// Ring is one. Its methods may be called from anywhere.
type Ring struct {
	o     Options
	queue chan frame
	ask   chan func()
	ended chan struct{}
	close sync.Once

	set  sync.Mutex // held to change who is followed
	list atomic.Pointer[map[ident.Line]*followed]

	lost, failed, frames, left, evicted, aged, bad, removed atomic.Uint64
	bytes                                                   atomic.Int64
	queued                                                  atomic.Int64 // bytes
	count                                                   atomic.Int64

	// Of the writer.
	segments []*segment         // by sequence
	ofLine   map[string]int64   // bytes
	pending  map[*followed]bool // that have something to be written
	buffered int                // bytes of them
	turns    uint64             // buffers begun
	next     uint64
	dirty    atomic.Bool // the list of lines is to be written
}

// frame is one on its way to the disk.
type frame struct {
	to   *followed
	f    capture.Frame
	data []byte
}

// Open opens a folder, made if need be, and takes up what is there. Close the ring.
func Open(o Options) (*Ring, error) {
	if o.Lines <= 0 {
		o.Lines = 1024
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limit < 4*leastBytes || o.PerLine < leastBytes || o.Age <= 0 {
		return nil, fmt.Errorf("headers: bounds of %d bytes, %d of a line, and %v", o.Limit, o.PerLine, o.Age)
	}
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, err
	}
	r := &Ring{o: o, queue: make(chan frame, maxQueue), ask: make(chan func()), ended: make(chan struct{}), ofLine: make(map[string]int64), pending: make(map[*followed]bool), next: 1}
	r.list.Store(&map[ident.Line]*followed{})
	if err := r.scan(); err != nil {
		return nil, err
	}
	r.restoreLines()
	r.room(0)
	r.free(0)
	go r.run()
	return r, nil
}

// Close writes what is on its way. Nobody may Add any more.
func (r *Ring) Close() error {
	r.close.Do(func() { close(r.queue) })
	<-r.ended
	return nil
}

// Follows says whether anything is followed, and so whether frames are to be looked at.
func (r *Ring) Follows() bool { return len(*r.list.Load()) > 0 }

// Wants says whether a line's headers are kept.
func (r *Ring) Wants(l ident.Line) bool { return (*r.list.Load())[l] != nil }

// Follow keeps a line's headers from now on, or says again that it is suspect. When
// there are as many lines as may be, the least suspect makes room for one of a higher
// rank.
func (r *Ring) Follow(l ident.Line, name string, rank int) {
	r.set.Lock()
	defer r.set.Unlock()
	old := *r.list.Load()
	if f := old[l]; f != nil && f.rank == rank {
		f.told = r.o.Now()
		return
	}
	if name == "" || len(name) > maxName {
		return
	}
	list := make(map[ident.Line]*followed, len(old)+1)
	var least *followed
	for k, f := range old {
		list[k] = f
		if least == nil || f.rank < least.rank || f.rank == least.rank && f.told.Before(least.told) {
			least = f
		}
	}
	f := old[l]
	if f == nil {
		if len(list) >= r.o.Lines {
			r.left.Add(1)
			if least.rank >= rank {
				return
			}
			delete(list, least.line)
		}
		f = &followed{line: l, name: name}
	}
	f.rank, f.told = rank, r.o.Now()
	list[l] = f
	r.list.Store(&list)
	r.dirty.Store(true)
}

// Leave keeps no more of a line. What is there stays for its time.
func (r *Ring) Leave(l ident.Line) {
	if !r.Wants(l) {
		return
	}
	r.set.Lock()
	defer r.set.Unlock()
	r.leave(func(f *followed) bool { return f.line == l })
}

// leave is called with set held.
func (r *Ring) leave(whom func(*followed) bool) {
	old := *r.list.Load()
	list := make(map[ident.Line]*followed, len(old))
	for k, f := range old {
		if !whom(f) {
			list[k] = f
		}
	}
	if len(list) < len(old) {
		r.list.Store(&list)
		r.dirty.Store(true)
	}
}

// Add keeps what is left of a frame of a line; data is copied. It never waits.
func (r *Ring) Add(l ident.Line, f *capture.Frame, data []byte) {
	to := (*r.list.Load())[l]
	if to == nil {
		return
	}
	x := frame{to: to, f: *f, data: append([]byte(nil), data[:min(len(data), maxKept)]...)}
	if r.queued.Add(int64(len(x.data))) <= maxQueued {
		select {
		case r.queue <- x:
			return
		default:
		}
	}
	r.queued.Add(-int64(len(x.data)))
	r.lost.Add(1)
}

// Stats says how things stand.
func (r *Ring) Stats() Stats {
	return Stats{Lines: len(*r.list.Load()), Segments: int(r.count.Load()), Bytes: r.bytes.Load(), Frames: r.frames.Load(), Lost: r.lost.Load(),
		Failed: r.failed.Load(), Left: r.left.Load(), Evicted: r.evicted.Load(), Aged: r.aged.Load(), Damaged: r.bad.Load(), Removed: r.removed.Load()}
}

// Segment is what is there of a line.
type Segment struct {
	Sequence    uint64
	Size        int64 // bytes of the file that are whole
	Frames      int
	First, Last int64 // packet time, ns since the Unix epoch
	name        string
}

// Segments gives what there is of a line between two times, both within, in the order
// in which it was written. What is on its way is written before.
func (r *Ring) Segments(line string, from, until int64) (list []Segment) {
	done := make(chan struct{})
	select {
	case r.ask <- func() {
		defer close(done)
		r.flushThose(func(f *followed) bool { return f.name == line })
		for _, s := range r.segments {
			if s.line == line && s.frames > 0 && s.first <= until && s.last >= from {
				list = append(list, Segment{s.sequence, s.size, s.frames, s.first, s.last, s.name})
			}
		}
	}:
		<-done
	case <-r.ended:
	}
	return list
}

// Open opens a segment's file, of which Size bytes count. fs.ErrNotExist says that it
// went meanwhile.
func (r *Ring) Open(s Segment) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(r.o.Folder, s.name))
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, s.Size), f}, nil
}

// run is the writer.
func (r *Ring) run() {
	defer close(r.ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case x, ok := <-r.queue:
			if !ok {
				r.flushThose(func(*followed) bool { return true })
				r.keepLines()
				return
			}
			r.take(x)
		case f := <-r.ask:
			for n := len(r.queue); n > 0; n-- { // what came before
				if x, ok := <-r.queue; ok {
					r.take(x)
				}
			}
			f()
		case <-tick.C:
			r.sweep()
		}
	}
}

// take puts a frame into its line's block.
func (r *Ring) take(x frame) {
	f := x.to
	r.queued.Add(-int64(len(x.data)))
	if f.frames > 0 && len(f.buf)+recordHead+len(x.data) > maxBlock {
		r.flush(f)
	}
	if f.frames == 0 {
		r.turns++
		f.turn, f.since, f.first, f.last = r.turns, r.o.Now(), x.f.Time, x.f.Time
		r.pending[f] = true
	}
	before := len(f.buf)
	f.buf = appendRecord(f.buf, &x.f, x.data)
	r.buffered += len(f.buf) - before
	f.frames++
	f.first, f.last = min(f.first, x.f.Time), max(f.last, x.f.Time)
	for r.buffered > maxBuffered {
		r.flush(r.oldest())
	}
}

// oldest gives whose frames wait longest; there is one.
func (r *Ring) oldest() (oldest *followed) {
	for f := range r.pending {
		if oldest == nil || f.turn < oldest.turn {
			oldest = f
		}
	}
	return oldest
}

// flushThose writes what waits of those that it is asked for, in the order in which
// they began to: a line that was left and is followed again waits twice.
func (r *Ring) flushThose(asked func(*followed) bool) {
	for _, f := range slices.SortedFunc(maps.Keys(r.pending), func(a, b *followed) int { return cmp.Compare(a.turn, b.turn) }) {
		if asked(f) {
			r.flush(f)
		}
	}
}

// flush writes a line's block.
func (r *Ring) flush(f *followed) {
	if f.frames == 0 {
		return
	}
	n := f.frames
	err := r.write(f)
	if err != nil {
		r.failed.Add(uint64(n))
		r.o.Log.Error("headers were not written", zap.Error(err))
		f.open = nil // what stands behind its end is another's
		if errors.Is(err, syscall.ENOSPC) && len(r.segments) > 0 {
			r.evict(r.segments[0])
		}
	} else {
		r.frames.Add(uint64(n))
	}
	r.buffered -= len(f.buf)
	f.buf, f.frames = f.buf[:0], 0
	delete(r.pending, f)
	// A line that was busy once may be still for days, or be followed no more.
	if cap(f.buf) > keptBuffer || (*r.list.Load())[f.line] != f {
		f.buf = nil
	}
}

func (r *Ring) write(f *followed) error {
	now := r.o.Now()
	r.room(mostWrite) // before the open file is looked at, which may go for it
	if !r.free(mostWrite) {
		return errReserve
	}
	if s := f.open; s != nil && (s.size >= r.segmentSize() || now.Sub(s.made) > r.o.Age/perSegment || s.gone) {
		f.open = nil
	}
	flag := os.O_WRONLY | os.O_APPEND
	var head []byte
	if f.open == nil {
		var err error
		if head, f.seal, err = newHead(f.name, r.next, now, r.o.Key); err != nil {
			return err
		}
		f.open = &segment{name: fmt.Sprintf("%020d%s", r.next, suffix), line: f.name, sequence: r.next, made: now, first: f.first, last: f.last}
		flag |= os.O_CREATE | os.O_EXCL
		r.next++
	}
	block, err := f.seal.block(f.buf, f.frames, f.first, f.last)
	if err != nil {
		return err
	}
	s := f.open
	file, err := os.OpenFile(filepath.Join(r.o.Folder, s.name), flag, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(head, block...))
	if err := errors.Join(err, file.Close()); err != nil {
		if head != nil {
			os.Remove(filepath.Join(r.o.Folder, s.name))
		}
		return err
	}
	if head != nil {
		r.segments = append(r.segments, s)
		r.count.Add(1)
	}
	n := int64(len(head) + len(block))
	s.size += n
	r.bytes.Add(n)
	r.ofLine[s.line] += n
	s.frames += f.frames
	s.first, s.last, s.written = min(s.first, f.first), max(s.last, f.last), now
	r.lineRoom(s.line)
	return nil
}

func (r *Ring) segmentSize() int64 {
	return min(max(min(r.o.PerLine, r.o.Limit)/perSegment, leastBytes), mostBytes)
}

// room deletes the oldest files until so many bytes more may be written.
func (r *Ring) room(more int64) {
	for len(r.segments) > 0 && (r.bytes.Load()+more > r.o.Limit || len(r.segments) >= maxSegments) {
		r.evict(r.segments[0])
	}
}

// errReserve says that the rest of the file system is for others.
var errReserve = errors.New("the file system has too little room")

// free deletes the oldest files until so many bytes more leave the reserve free, and
// says whether they do. What the file system gives back late is not waited for: no more
// files go than have what is missing.
func (r *Ring) free(more int64) bool {
	if r.o.Free == nil {
		return true
	}
	free, err := r.o.Free()
	if err != nil {
		r.o.Log.Warn("how much room headers leave cannot be told", zap.Error(err))
		return true
	}
	missing := r.o.Reserve + more - free
	for missing > 0 && len(r.segments) > 0 {
		missing -= r.segments[0].size
		r.evict(r.segments[0])
	}
	return missing <= 0
}

// lineRoom deletes one line's oldest files until it has no more than it may, of which the newest file stays.
func (r *Ring) lineRoom(line string) {
	for i := 0; i < len(r.segments) && r.ofLine[line] > r.o.PerLine; {
		s := r.segments[i]
		if s.line != line {
			i++
			continue
		}
		if s.size == r.ofLine[line] {
			return
		}
		r.evict(s)
	}
}

func (r *Ring) evict(s *segment) {
	r.evicted.Add(1)
	r.delete(s)
}

func (r *Ring) delete(s *segment) {
	if err := os.Remove(filepath.Join(r.o.Folder, s.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.o.Log.Error("headers were not deleted", zap.String("file", s.name), zap.Error(err))
	}
	r.drop(s)
}

// drop forgets a file.
func (r *Ring) drop(s *segment) {
	if i := slices.Index(r.segments, s); i >= 0 {
		r.segments = slices.Delete(r.segments, i, i+1)
		s.gone = true
		r.bytes.Add(-s.size)
		r.count.Add(-1)
		if r.ofLine[s.line] -= s.size; r.ofLine[s.line] <= 0 {
			delete(r.ofLine, s.line)
		}
	}
}

// sweep does what goes by time.
func (r *Ring) sweep() {
	now := r.o.Now()
	r.set.Lock()
	r.leave(func(f *followed) bool { return now.Sub(f.told) > r.o.Age })
	r.set.Unlock()
	r.flushThose(func(f *followed) bool { return now.Sub(f.since) >= flushAfter })
	for _, s := range slices.Clone(r.segments) {
		if now.Sub(s.written) > r.o.Age {
			r.aged.Add(1)
			r.delete(s)
		}
	}
	r.free(0)
	if r.dirty.Swap(false) {
		r.keepLines()
	}
}

// keptLine is a line in the list that outlives a restart.
type keptLine struct {
	Line string    `json:"line"`
	Rank int       `json:"rank"`
	Told time.Time `json:"told"`
}

// keepLines writes who is followed.
func (r *Ring) keepLines() {
	var list []keptLine
	r.set.Lock()
	for _, f := range *r.list.Load() {
		list = append(list, keptLine{f.name, f.rank, f.told.UTC()})
	}
	r.set.Unlock()
	slices.SortFunc(list, func(a, b keptLine) int { return strings.Compare(a.Line, b.Line) })
	b, err := json.Marshal(list)
	name := filepath.Join(r.o.Folder, linesFile)
	if err == nil {
		err = os.WriteFile(name+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		r.o.Log.Error("which lines' headers are kept will not outlive a restart", zap.Error(err))
	}
}

func (r *Ring) restoreLines() {
	f, err := os.Open(filepath.Join(r.o.Folder, linesFile))
	if err != nil || r.o.Line == nil {
		return
	}
	defer f.Close()
	var list []keptLine
	if err := json.NewDecoder(io.LimitReader(f, maxLines*(maxName+200))).Decode(&list); err != nil {
		r.o.Log.Warn("which lines' headers were kept is lost: those that are told again are followed", zap.Error(err))
		return
	}
	for _, k := range list[:min(len(list), maxLines)] {
		l, ok := r.o.Line(k.Line)
		if !ok || r.o.Now().Sub(k.Told) > r.o.Age {
			continue
		}
		r.Follow(l, k.Line, k.Rank)
		if x := (*r.list.Load())[l]; x != nil {
			x.told = k.Told
		}
	}
}

// scan takes up the files that are there, and sets aside what is damaged.
func (r *Ring) scan() error {
	entries, err := os.ReadDir(r.o.Folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue
		}
		s, err := r.look(e.Name())
		if errors.Is(err, ErrDamaged) {
			r.aside(e.Name(), err)
			continue
		}
		if err != nil {
			// The others are worth more than to know of this one.
			r.bad.Add(1)
			r.o.Log.Error("a file of headers cannot be read and is left out", zap.String("file", e.Name()), zap.Error(err))
			if n, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 10, 64); err == nil {
				r.next = max(r.next, n+1) // its name is taken
			}
			continue
		}
		r.segments = append(r.segments, s)
		r.bytes.Add(s.size)
		r.ofLine[s.line] += s.size
		r.count.Add(1)
		r.next = max(r.next, s.sequence+1)
	}
	slices.SortFunc(r.segments, func(a, b *segment) int { return cmp.Compare(a.sequence, b.sequence) })
	r.clearAside()
	return nil
}

// look reads what a file says of itself: its head, and the heads of its blocks. A block
// that is cut was being written when the machine went down, and does not count.
func (r *Ring) look(name string) (*segment, error) {
	f, err := os.Open(filepath.Join(r.o.Folder, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b, err := bufio.NewReaderSize(f, maxHead).Peek(maxHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	h, err := readHead(b)
	if err != nil {
		return nil, err
	}
	if name != fmt.Sprintf("%020d%s", h.Sequence, suffix) {
		return nil, fmt.Errorf("%w: segment %d by another name", ErrDamaged, h.Sequence)
	}
	s := &segment{name: name, line: h.Line, sequence: h.Sequence, size: int64(h.size), made: h.Made, written: info.ModTime()}
	head := make([]byte, blockHead)
	for {
		if n, err := f.ReadAt(head, s.size); n < len(head) {
			if errors.Is(err, io.EOF) {
				return s, nil
			}
			return nil, err
		}
		x, err := readBlockHead(head)
		if err != nil {
			return nil, err
		}
		end := s.size + blockHead + int64(x.length)
		if end > info.Size() {
			return s, nil
		}
		if s.frames == 0 {
			s.first, s.last = x.first, x.last
		}
		s.size = end
		s.frames += x.frames
		s.first, s.last = min(s.first, x.first), max(s.last, x.last)
	}
}

// aside sets a file aside.
func (r *Ring) aside(name string, why error) {
	r.bad.Add(1)
	r.o.Log.Error("a file of headers is damaged and set aside", zap.String("file", name), zap.Error(why))
	path := filepath.Join(r.o.Folder, name)
	if err := os.Rename(path, path+damaged); err != nil {
		r.o.Log.Error("it could not be set aside", zap.Error(err))
	}
}

// clearAside deletes the oldest of too many that were set aside.
func (r *Ring) clearAside() {
	list, err := filepath.Glob(filepath.Join(r.o.Folder, "*"+suffix+damaged))
	if err != nil {
		return
	}
	slices.Sort(list)
	for len(list) > maxDamaged {
		r.removed.Add(1)
		os.Remove(list[0])
		list = list[1:]
	}
}

// Aside sets a segment aside that could not be read to its end.
func (r *Ring) Aside(s Segment, why error) {
	done := make(chan struct{})
	select {
	case r.ask <- func() {
		defer close(done)
		i := slices.IndexFunc(r.segments, func(x *segment) bool { return x.name == s.name })
		if i < 0 {
			return
		}
		r.drop(r.segments[i])
		r.aside(s.name, why)
		r.clearAside()
	}:
		<-done
	case <-r.ended:
	}
}
