// Package controllers keeps which far ends lines spoke to in one hour, whatever
// their scores, so that rings spread thin over many lines show at the centre.
package controllers

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/axiomhq/hyperloglog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/ident"
	"simtrap/report/reportpb"
)

// Bounds of an hour.
const (
	maxTable   = 1 << 15 // far ends, by role
	maxExact   = 4096    // lines of one that are counted one by one
	maxPairs   = 1 << 20 // lines counted one by one, of all together
	maxHashes  = 1 << 16 // lines whose hash is remembered
	maxStacks  = 8
	maxSent    = 10_000
	leastLines = 4 // from which on a sketch is sent
	// maxMessage is about how many bytes one message may have: an outbox takes a
	// mebibyte.
	maxMessage = 400 << 10
	hourLong   = int64(time.Hour)
)

// Table is the present hour. It is for any number of goroutines.
type Table struct {
	hash func(ident.Line) uint64

	mu     sync.Mutex
	hour   *Hour
	hashes map[ident.Line]uint64
	stats  Stats
}

// Stats are counters since the beginning, and sizes.
type Stats struct {
	Controllers int // in the present hour
	Evicted     uint64
	Estimated   uint64 // far ends whose lines are estimated for want of room
}

// Hour is what was seen of one hour.
type Hour struct {
	start   int64 // ns since the Unix epoch
	table   map[key]*entry
	pairs   int
	evicted uint64
}

type key struct {
	far  ident.Addr
	role string
}

type entry struct {
	exact  []uint64 // sorted hashes of lines
	sketch *hyperloglog.Sketch
	calls  uint64
	stacks []uint64
}

// New makes a table. hash gives the keyed hash of a line, which must be well mixed
// and the same on all sensors.
func New(hash func(ident.Line) uint64) *Table {
	return &Table{hash: hash, hashes: make(map[ident.Line]uint64)}
}

func newHour(t int64) *Hour { return &Hour{start: t - t%hourLong, table: make(map[key]*entry)} }

// Add notes that a far end served a line at a packet time. It gives the hour that
// was over then, or nil.
func (t *Table) Add(line ident.Line, far ident.Addr, role string, shape uint64, call bool, now int64) *Hour {
	t.mu.Lock()
	defer t.mu.Unlock()
	over := t.roll(now)
	if t.hour == nil {
		t.hour = newHour(now)
	}
	h := t.hour
	k := key{far, role}
	e := h.table[k]
	if e == nil {
		if len(h.table) >= maxTable {
			t.stats.Evicted += h.evict()
		}
		e = &entry{}
		h.table[k] = e
	}
	if call {
		e.calls++
	}
	if shape != 0 && len(e.stacks) < maxStacks && !slices.Contains(e.stacks, shape) {
		e.stacks = append(e.stacks, shape)
	}
	x, ok := t.hashes[line]
	if !ok {
		if len(t.hashes) >= maxHashes {
			clear(t.hashes)
		}
		x = t.hash(line)
		t.hashes[line] = x
	}
	if e.sketch != nil {
		e.sketch.InsertHash(x)
		return over
	}
	at, known := slices.BinarySearch(e.exact, x)
	if known {
		return over
	}
	if len(e.exact) >= maxExact || h.pairs >= maxPairs {
		if len(e.exact) < maxExact {
			t.stats.Estimated++
		}
		h.pairs -= len(e.exact)
		e.sketch = e.estimate()
		e.sketch.InsertHash(x)
		e.exact = nil
		return over
	}
	e.exact = slices.Insert(e.exact, at, x)
	h.pairs++
	return over
}

// Roll gives the hour that is over at a packet time, or nil.
func (t *Table) Roll(now int64) *Hour {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.roll(now)
}

func (t *Table) roll(now int64) *Hour {
	h := t.hour
	if h == nil || now-h.start < hourLong {
		return nil
	}
	t.hour = nil
	return h
}

// Take gives what there is of the present hour, which begins anew; nil for
// nothing.
func (t *Table) Take() *Hour {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hour
	t.hour = nil
	return h
}

// Rekey forgets the hashes of lines: the key is another.
func (t *Table) Rekey() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.hashes)
}

// Stats gives the counters.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	if t.hour != nil {
		s.Controllers = len(t.hour.table)
	}
	return s
}

// evict makes room: an eighth of the far ends, those with the fewest lines, and of
// these those with the fewest calls, go.
func (h *Hour) evict() uint64 {
	list := h.sorted()
	n := max(len(list)/8, 1)
	for _, k := range list[len(list)-n:] {
		h.pairs -= len(h.table[k].exact)
		delete(h.table, k)
	}
	h.evicted += uint64(n)
	return uint64(n)
}

// sorted gives the far ends with the most lines first.
func (h *Hour) sorted() []key {
	lines := make(map[key]uint64, len(h.table))
	list := make([]key, 0, len(h.table))
	for k, e := range h.table {
		lines[k] = e.lines()
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b key) int {
		return cmp.Or(cmp.Compare(lines[b], lines[a]), cmp.Compare(h.table[b].calls, h.table[a].calls), a.far.Compare(b.far), cmp.Compare(a.role, b.role))
	})
	return list
}

// lines counts them, or estimates how many there are.
func (e *entry) lines() uint64 {
	if e.sketch != nil {
		return max(e.sketch.Estimate(), 1)
	}
	return uint64(len(e.exact))
}

func (e *entry) estimate() *hyperloglog.Sketch {
	s := hyperloglog.New14()
	for _, x := range e.exact {
		s.InsertHash(x)
	}
	return s
}

// Messages gives the hour as it is sent: the far ends with the most lines, in
// messages that an outbox takes.
func (h *Hour) Messages() ([]*reportpb.ControllerSketch, error) {
	list := h.sorted()
	left := h.evicted
	if len(list) > maxSent {
		left += uint64(len(list) - maxSent)
		list = list[:maxSent]
	}
	var out []*reportpb.ControllerSketch
	var m *reportpb.ControllerSketch
	size := 0
	for _, k := range list {
		e := h.table[k]
		c := &reportpb.ControllerHour{Addr: k.far.String(), Role: k.role, Lines: e.lines(), Calls: e.calls}
		if c.Lines >= leastLines {
			s := e.sketch
			if s == nil {
				s = e.estimate()
			}
			var err error
			if c.LineSketch, err = s.MarshalBinary(); err != nil {
				return nil, err
			}
		}
		for _, x := range e.stacks {
			c.Stacks = append(c.Stacks, hex(x))
		}
		n := proto.Size(c) + 4
		if m == nil || size+n > maxMessage {
			m = &reportpb.ControllerSketch{Hour: timestamppb.New(time.Unix(0, h.start))}
			out, size = append(out, m), 0
		}
		m.Controllers = append(m.Controllers, c)
		size += n
	}
	if len(out) > 0 {
		out[0].Left = left
	}
	return out, nil
}

func hex(x uint64) string {
	s := strconv.FormatUint(x, 16)
	const zeros = "0000000000000000"
	return zeros[len(s):] + s
}

// What an entry's lines are kept as, before the bytes themselves.
const (
	keptExact  = 'E' // hashes, 8 bytes each, little endian
	keptSketch = 'H' // a HyperLogLog
)

// Freeze gives the present hour as bytes for Thaw, nil for nothing.
func (t *Table) Freeze() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hour == nil {
		return nil, nil
	}
	m := &reportpb.ControllerSketch{Hour: timestamppb.New(time.Unix(0, t.hour.start)), Left: t.hour.evicted}
	for k, e := range t.hour.table {
		c := &reportpb.ControllerHour{Addr: k.far.String(), Role: k.role, Calls: e.calls}
		if e.sketch != nil {
			b, err := e.sketch.MarshalBinary()
			if err != nil {
				return nil, err
			}
			c.LineSketch = append([]byte{keptSketch}, b...)
		} else {
			c.LineSketch = []byte{keptExact}
			for _, x := range e.exact {
				c.LineSketch = binary.LittleEndian.AppendUint64(c.LineSketch, x)
			}
		}
		for _, x := range e.stacks {
			c.Stacks = append(c.Stacks, hex(x))
		}
		m.Controllers = append(m.Controllers, c)
	}
	return proto.Marshal(m)
}

// Thaw goes on with an hour that Freeze wrote. What makes no sense is left out.
func (t *Table) Thaw(b []byte) error {
	m := &reportpb.ControllerSketch{}
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	h := newHour(m.GetHour().AsTime().UnixNano())
	h.evicted = m.GetLeft()
	for _, c := range m.GetControllers() {
		far, ok := ident.ParseAddr([]byte(c.GetAddr()))
		kept := c.GetLineSketch()
		if !ok || len(kept) == 0 || len(h.table) >= maxTable {
			continue
		}
		e := &entry{calls: c.GetCalls()}
		switch kept[0] {
		case keptSketch:
			e.sketch = hyperloglog.New14()
			if err := e.sketch.UnmarshalBinary(kept[1:]); err != nil {
				continue
			}
		default:
			for x := kept[1:]; len(x) >= 8 && len(e.exact) < maxExact && h.pairs < maxPairs; x = x[8:] {
				e.exact = append(e.exact, binary.LittleEndian.Uint64(x))
				h.pairs++
			}
			slices.Sort(e.exact)
			n := len(e.exact)
			e.exact = slices.Compact(e.exact)
			h.pairs -= n - len(e.exact)
		}
		for _, s := range c.GetStacks() {
			if x, err := strconv.ParseUint(s, 16, 64); err == nil && len(e.stacks) < maxStacks {
				e.stacks = append(e.stacks, x)
			}
		}
		h.table[key{far, c.GetRole()}] = e
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hour = h
	return nil
}
