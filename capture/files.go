package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// MaxOverlap bounds how many files may cover the same time, since all of
	// them are read at once.
	MaxOverlap = 2048
	// activeBytes is what the blocks of files read at once should take.
	activeBytes = 16 << 20
	// peekSize is the block for reading a first time.
	peekSize = 16 << 10
	// passFrames is how many frames a batch must have to be passed on as it
	// stands while other frames wait in a merged block.
	passFrames = 64
)

// Options says what to read. Since and Until are nanoseconds since the Unix
// epoch; frames outside [Since, Until) are dropped and counted. Nil is no limit.
type Options struct {
	Stdin io.Reader // what "-" reads
	Since *int64
	Until *int64
}

// Counters tells what became of the input.
type Counters struct {
	Frames  uint64 // frames delivered
	Bytes   uint64 // captured bytes of those
	Merged  uint64 // frames of those that were copied because inputs overlap
	Outside uint64 // frames read and dropped for their time
	Late    uint64 // frames of a file that changed while it waited, given a later time

	Files        int // captures, standard input among them
	FilesOutside int // of those, not read because they begin at Until or later
	FilesSkipped int // other files in folders
}

// Files is a Source of capture files, merged by time. Next and Close are for
// one goroutine; batches may be released by any; the other methods may be
// called at any time by any.
type Files struct {
	stdin io.Reader
	since int64 // the least number for no limit
	until int64 // the greatest number for no limit
	pool  *pool
	tools unpackers
	total int64
	done  atomic.Int64 // bytes read or given up

	waiting []*input  // not yet opened, in the order of their first frames
	heap    []*active // being read, the one with the earliest frame first
	out     *Batch    // merged frames; nil when there are none
	outN    int       // bytes of out that are used
	seq     uint64
	last    int64 // time of the last frame given
	err     error // what Next gave, for good

	inputs []*input // by name
	mu     sync.Mutex
	count  Counters
}

// An active is a file that is being read.
type active struct {
	in   *input
	rd   *reader
	cur  *Batch // nil when the next batch is to be read
	i    int    // the frames of cur before i are given
	head int64  // time of frame i
}

// Open finds and checks the capture files that paths name: files, folders (with
// the folders in them), patterns, "-" for standard input. The error is an
// *InputError or a *FormatError. A file that is named must be a capture; one in
// a folder is passed over and counted if neither its content nor its name is
// that of a capture, and is told by Damages if only its name is.
//
// Every file is opened for a moment to learn the time of its first frame.
// Standard input and pipes are first read by Next, which then may give a
// *FormatError.
func Open(paths []string, opt Options) (*Files, error) {
	ins, err := findInputs(paths)
	if err != nil {
		return nil, err
	}
	f := &Files{stdin: opt.Stdin, since: math.MinInt64, until: math.MaxInt64, pool: newPool()}
	if opt.Since != nil {
		f.since = *opt.Since
	}
	if opt.Until != nil {
		f.until = *opt.Until
	}
	if err := f.peekAll(ins); err != nil {
		return nil, err
	}
	for i, in := range f.inputs {
		in.order = i
		f.total += in.size
	}
	if slices.ContainsFunc(f.inputs, func(in *input) bool { return in.once }) {
		f.total = 0
	}
	f.count.Files = len(f.inputs)
	f.waiting = slices.Clone(f.inputs)
	slices.SortStableFunc(f.waiting, func(a, b *input) int { return cmp.Compare(a.first, b.first) })
	return f, nil
}

// Once names an input that can be read only once, standard input or a pipe; ok
// is false when every input is a file.
func (f *Files) Once() (name string, ok bool) {
	for _, in := range f.inputs {
		if in.once {
			return in.name, true
		}
	}
	return "", false
}

// Inputs names the captures, in the order of their names.
func (f *Files) Inputs() []string {
	names := make([]string, len(f.inputs))
	for i, in := range f.inputs {
		names[i] = in.name
	}
	return names
}

// peekAll keeps those of ins that are captures, and learns when they begin.
func (f *Files) peekAll(ins []*input) error {
	usable := map[string]bool{} // by folder
	var folders []string
	for _, in := range ins {
		if in.folder != "" && !usable[in.folder] {
			usable[in.folder] = false
			folders = append(folders, in.folder)
		}
		if in.once {
			switch {
			case in.folder != "":
				f.count.FilesSkipped++
				continue
			case in.name == stdinName && f.stdin == nil:
				return &InputError{Name: stdinName, Problem: "there is no standard input", Remedy: "name a file"}
			}
			in.first = math.MinInt64
			f.inputs = append(f.inputs, in)
			continue
		}
		err := f.peek(in)
		format, isFormat := errors.AsType[*FormatError](err)
		switch {
		case err == nil:
			usable[in.folder] = true
			f.inputs = append(f.inputs, in)
		case isFormat && format.Cut && (in.folder == "" || isCaptureName(in.name)):
			usable[in.folder] = true
			in.first = math.MaxInt64
			in.damages = []Damage{format.damage()}
			f.inputs = append(f.inputs, in)
		case in.folder == "" || !isFormat && isCaptureName(in.name) || outOfFiles(err):
			return err
		case isFormat && isCaptureName(in.name):
			in.first = math.MaxInt64
			in.damages = []Damage{{File: in.name, Kind: Corrupt, Detail: "no capture: found " + format.Found, Count: 1}}
			f.inputs = append(f.inputs, in)
		default:
			f.count.FilesSkipped++
		}
	}
	for _, folder := range folders {
		if !usable[folder] {
			return noCapture(folder)
		}
	}
	return nil
}

// peek reads the time of the first frame.
func (f *Files) peek(in *input) error {
	rd, err := f.open(in, peekSize, nil)
	if err != nil {
		return err
	}
	defer rd.close()
	b, err := rd.next(context.Background())
	if err != nil {
		in.first = math.MinInt64 // it holds no frame; read early, it is soon done
		return nil
	}
	in.first = b.Frames[0].Time
	b.Release()
	return nil
}

// open begins to read an input with blocks of the size given, or less if the
// file is smaller.
func (f *Files) open(in *input, size int, into *atomic.Int64) (*reader, error) {
	r := f.stdin
	var closer io.Closer
	if in.name != stdinName {
		file, err := os.Open(in.name)
		if err != nil {
			return nil, inputError(in.name, err)
		}
		r, closer = file, file
	}
	src, err := newStream(r, closer, &f.tools, into)
	if err != nil {
		defer src.close()
		if src.pack == "" {
			return nil, inputError(in.name, err)
		}
		return nil, src.unreadable(in.name, err)
	}
	if src.pack == "" && !in.once {
		for size > minBlock && int64(size/2) > in.size {
			size /= 2
		}
	}
	return newReader(in.name, src, f.pool, size)
}

// Next gives the next batch; see Source. Source is 0 and Seq goes on over all
// files. After an error every call gives that error.
func (f *Files) Next(ctx context.Context) (*Batch, error) {
	if f.err != nil {
		return nil, f.err
	}
	b, err := f.next(ctx)
	if err != nil {
		f.err = err
		return nil, err
	}
	b.Source, b.Seq = 0, f.seq
	f.seq += uint64(len(b.Frames))
	f.tally(b)
	return b, nil
}

// tally keeps the order of times over all files and counts. The order can only
// be wrong if a file was changed after its first frame was looked at.
func (f *Files) tally(b *Batch) {
	var bytes, late uint64
	for i := range b.Frames {
		fr := &b.Frames[i]
		bytes += uint64(fr.Len)
		if fr.Time < f.last {
			fr.Time = f.last
			late++
		}
		f.last = fr.Time
	}
	f.mu.Lock()
	f.count.Frames += uint64(len(b.Frames))
	f.count.Bytes += bytes
	f.count.Late += late
	f.mu.Unlock()
}

func (f *Files) next(ctx context.Context) (*Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.advance(ctx); err != nil {
			return nil, err
		}
		if len(f.heap) == 0 {
			if f.out != nil {
				return f.flush(), nil
			}
			return nil, io.EOF
		}
		if b := f.run(); b != nil {
			return b, nil
		}
	}
}

// advance brings the heap up to date: a next batch for the file that was used
// up, and every file opened whose time has come.
func (f *Files) advance(ctx context.Context) error {
	if len(f.heap) > 0 && f.heap[0].cur == nil {
		a := f.heap[0]
		ok, err := f.load(ctx, a)
		if err != nil {
			return err
		}
		if !ok {
			last := len(f.heap) - 1
			f.heap[0] = f.heap[last]
			f.heap[last] = nil
			f.heap = f.heap[:last]
		}
		f.down()
	}
	for len(f.waiting) > 0 && (len(f.heap) == 0 || f.waiting[0].first <= f.heap[0].head) {
		in := f.waiting[0]
		f.waiting = f.waiting[1:]
		if in.first >= f.until || len(in.damages) > 0 {
			f.leave(in)
			continue
		}
		if err := f.start(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// leave passes an input over: it begins too late, or was seen to be no capture.
func (f *Files) leave(in *input) {
	f.done.Add(in.size)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(in.damages) == 0 {
		f.count.FilesOutside++
	}
}

// start opens an input and puts it on the heap.
func (f *Files) start(ctx context.Context, in *input) error {
	n := len(f.heap) + 1
	if n > MaxOverlap {
		return &InputError{
			Name:    in.name,
			Problem: fmt.Sprintf("more than %d files cover the time at which it begins", MaxOverlap),
			Remedy:  "merge files that cover the same time first (mergecap), or name fewer",
		}
	}
	size := blockSize
	for size > minBlock && size*n > activeBytes {
		size /= 2
	}
	rd, err := f.open(in, size, &f.done)
	if err != nil {
		format, isFormat := errors.AsType[*FormatError](err)
		cut := isFormat && format.Cut
		if in.once && !cut || outOfFiles(err) {
			return err
		}
		damage := Damage{File: in.name, Kind: Cut, Detail: "could not be opened again: " + err.Error(), Count: 1}
		if in.once {
			damage = format.damage()
		}
		// Unless it is a pipe it could be read a moment ago. What it holds now
		// is lost, the rest is not.
		f.mu.Lock()
		in.damages = []Damage{damage}
		f.mu.Unlock()
		f.done.Add(in.size)
		return nil
	}
	rd.since, rd.until = f.since, f.until
	a := &active{in: in, rd: rd}
	ok, err := f.load(ctx, a)
	if err != nil {
		rd.close()
		return err
	}
	if ok {
		f.heap = append(f.heap, a)
		f.up()
	}
	return nil
}

// load reads the next batch of a. It is false at the end of the file.
func (f *Files) load(ctx context.Context, a *active) (bool, error) {
	b, err := a.rd.next(ctx)
	f.publish(a)
	if errors.Is(err, io.EOF) {
		a.rd.close()
		f.done.Add(max(a.in.size-a.rd.src.raw.n, 0))
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a.cur, a.i, a.head = b, 0, b.Frames[0].Time
	return true, nil
}

// publish makes what the reader noted visible to Damages and Counters.
func (f *Files) publish(a *active) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count.Outside += a.rd.outside
	a.rd.outside = 0
	a.in.damages = a.in.damages[:0]
	for _, d := range a.rd.damage {
		if d.Count > 0 {
			a.in.damages = append(a.in.damages, d)
		}
	}
}

// run takes frames of the earliest file up to where another one is due. It
// gives a batch when one is complete: that of the file as it stands if all of
// it comes before the others, else merged frames.
func (f *Files) run() *Batch {
	a := f.heap[0]
	t, order := f.due()
	frames := a.cur.Frames
	rest := frames[a.i:]
	if earlier(rest[len(rest)-1].Time, a.in.order, t, order) {
		if f.out == nil {
			b := a.cur
			b.Frames = rest
			a.cur = nil
			return b
		}
		if len(rest) >= passFrames {
			return f.flush()
		}
	}
	merged := uint64(0)
	defer func() {
		f.mu.Lock()
		f.count.Merged += merged
		f.mu.Unlock()
	}()
	for ; a.i < len(frames) && earlier(frames[a.i].Time, a.in.order, t, order); a.i++ {
		if f.out == nil {
			f.out, f.outN = f.pool.get(blockSize), 0
		}
		data := a.cur.Data(a.i)
		if len(data) > len(f.out.Block)-f.outN {
			a.head = frames[a.i].Time
			return f.flush()
		}
		copy(f.out.Block[f.outN:], data)
		fr := frames[a.i]
		fr.Off = uint32(f.outN)
		f.outN += len(data)
		f.out.Frames = append(f.out.Frames, fr)
		merged++
	}
	if a.i == len(frames) {
		a.cur.Release()
		a.cur = nil
		return nil
	}
	a.head = frames[a.i].Time
	f.down()
	return nil
}

// due gives the time at which, and the order of the file with which, the first
// file of the heap must stop for another.
func (f *Files) due() (t int64, order int) {
	t, order = math.MaxInt64, math.MaxInt
	for _, a := range f.heap[1:min(3, len(f.heap))] {
		if earlier(a.head, a.in.order, t, order) {
			t, order = a.head, a.in.order
		}
	}
	if len(f.waiting) > 0 && earlier(f.waiting[0].first, f.waiting[0].order, t, order) {
		t, order = f.waiting[0].first, f.waiting[0].order
	}
	return t, order
}

// flush ends the merged block.
func (f *Files) flush() *Batch {
	b := f.out
	b.Block = b.Block[:f.outN]
	b.room = b.Frames
	f.out = nil
	return b
}

// earlier is the order of frames: by time, then by name of the file.
func earlier(t int64, order int, t2 int64, order2 int) bool {
	return t < t2 || t == t2 && order < order2
}

func (f *Files) less(i, j int) bool {
	a, b := f.heap[i], f.heap[j]
	return earlier(a.head, a.in.order, b.head, b.in.order)
}

// down sinks the first of the heap to its place.
func (f *Files) down() {
	i := 0
	for {
		c := 2*i + 1
		if c >= len(f.heap) {
			return
		}
		if c+1 < len(f.heap) && f.less(c+1, c) {
			c++
		}
		if !f.less(c, i) {
			return
		}
		f.heap[i], f.heap[c] = f.heap[c], f.heap[i]
		i = c
	}
}

// up lifts the last of the heap to its place.
func (f *Files) up() {
	for i := len(f.heap) - 1; i > 0; {
		p := (i - 1) / 2
		if !f.less(i, p) {
			return
		}
		f.heap[i], f.heap[p] = f.heap[p], f.heap[i]
		i = p
	}
}

// Damages tells what was wrong with the inputs so far, one for each file and
// kind, ordered by file and offset.
func (f *Files) Damages() []Damage {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Damage
	for _, in := range f.inputs {
		n := len(all)
		all = append(all, in.damages...)
		slices.SortStableFunc(all[n:], func(a, b Damage) int { return cmp.Compare(a.Offset, b.Offset) })
	}
	return all
}

// Counters tells what became of the input so far.
func (f *Files) Counters() Counters {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Progress gives the bytes read of all files as they lie on disk, packed or
// not, and their sum, which is 0 when standard input or a pipe is among them.
// What is left out of a file counts as read.
func (f *Files) Progress() (read, total int64) {
	return f.done.Load(), f.total
}

// Close ends reading. Batches that were given stay valid until their Release.
func (f *Files) Close() error {
	for _, a := range f.heap {
		a.rd.close()
		if a.cur != nil {
			a.cur.Release()
		}
	}
	if f.out != nil {
		f.out.Release()
	}
	f.heap, f.waiting, f.out = nil, nil, nil
	if f.err == nil {
		f.err = os.ErrClosed
	}
	if f.tools.zst != nil {
		f.tools.zst.Close()
		f.tools.zst = nil
	}
	return nil
}

var _ Source = (*Files)(nil)
