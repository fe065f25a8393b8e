package sip

import (
	"cmp"
	"slices"
)

// table is a bounded store of entries by 64-bit keyed hash, with a deadline and
// a grade each. When it is full, an entry goes: of the lowest grade the one
// that was used longest ago, except that the lower grades keep at least a
// quarter of the places, so that a flood of new entries meets itself and not
// what has proved its worth, and new entries can prove theirs.
//
// Entries are reached by number; the number of a removed entry is used again.
type table[T any] struct {
	limit int
	index map[uint64]int32
	slots []*slot[T]
	free  []int32
	heap  []int32 // entries by wake, then by age
	grade [grades]chain
	seq   uint64
}

type slot[T any] struct {
	v          T
	key        uint64
	due        int64  // when the entry's time is up, ns
	wake       int64  // its place in the heap, at or before due
	seq        uint64 // order of appearance
	heapAt     int32
	prev, next int32
	level      uint8
}

// Grades of entries, lowest first.
const (
	gradeDone   uint8 = iota // kept only to know late messages by
	gradeWeak                // one side's word
	gradeStrong              // both sides took part
	grades
)

// chain is a list of entries, longest unused first.
type chain struct {
	first, last int32
	n           int
}

const none int32 = -1

const slotChunk = 64

func newTable[T any](limit int) *table[T] {
	t := &table[T]{limit: limit, index: make(map[uint64]int32)}
	for i := range t.grade {
		t.grade[i] = chain{first: none, last: none}
	}
	return t
}

func (t *table[T]) len() int { return len(t.index) }

// find gives the entry with key, or none.
func (t *table[T]) find(key uint64) int32 {
	if i, ok := t.index[key]; ok {
		return i
	}
	return none
}

func (t *table[T]) at(i int32) *T { return &t.slots[i].v }

// victim is the entry to give up when the table is full, none while it is not.
func (t *table[T]) victim() int32 {
	if len(t.index) < t.limit {
		return none
	}
	switch {
	case t.grade[gradeDone].n > 0:
		return t.grade[gradeDone].first
	case t.grade[gradeWeak].n > t.limit/4 || t.grade[gradeStrong].n == 0:
		return t.grade[gradeWeak].first
	}
	return t.grade[gradeStrong].first
}

// add makes an entry; the caller has seen to it that key is new and that there
// is room.
func (t *table[T]) add(key uint64, level uint8, due int64) int32 {
	if len(t.free) == 0 {
		chunk := make([]slot[T], slotChunk)
		for i := range chunk {
			t.slots = append(t.slots, &chunk[i])
			t.free = append(t.free, int32(len(t.slots)-1))
		}
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.seq++
	s := t.slots[i]
	s.key, s.due, s.wake, s.seq, s.level = key, due, due, t.seq, level
	t.index[key] = i
	t.link(i)
	s.heapAt = int32(len(t.heap))
	t.heap = append(t.heap, i)
	t.up(int(s.heapAt))
	return i
}

// rekey gives entry i another key, which the caller has seen to be new.
func (t *table[T]) rekey(i int32, key uint64) {
	s := t.slots[i]
	delete(t.index, s.key)
	s.key = key
	t.index[key] = i
}

// remove gives up entry i.
func (t *table[T]) remove(i int32) {
	s := t.slots[i]
	delete(t.index, s.key)
	t.unlink(i)
	at, last := int(s.heapAt), len(t.heap)-1
	moved := t.heap[last]
	t.heap = t.heap[:last]
	if at < last {
		t.heap[at] = moved
		t.slots[moved].heapAt = int32(at)
		t.down(at)
		t.up(at)
	}
	var zero T
	s.v = zero
	t.free = append(t.free, i)
}

// touch marks entry i as used now, with its grade and deadline.
func (t *table[T]) touch(i int32, level uint8, due int64) {
	s := t.slots[i]
	if s.level != level || t.grade[level].last != i {
		t.unlink(i)
		s.level = level
		t.link(i)
	}
	s.due = due
	// A later deadline is looked at when the earlier one comes.
	if due < s.wake {
		s.wake = due
		t.up(int(s.heapAt))
	}
}

// expired gives an entry whose time is up at now, none when there is none.
func (t *table[T]) expired(now int64) int32 {
	for len(t.heap) > 0 {
		i := t.heap[0]
		s := t.slots[i]
		if s.wake > now {
			return none
		}
		if s.due <= now {
			return i
		}
		s.wake = s.due
		t.down(0)
	}
	return none
}

// inOrder lists the entries in order of their appearance.
func (t *table[T]) inOrder() []int32 {
	out := slices.Clone(t.heap)
	slices.SortFunc(out, func(a, b int32) int { return cmp.Compare(t.slots[a].seq, t.slots[b].seq) })
	return out
}

func (t *table[T]) link(i int32) {
	s := t.slots[i]
	c := &t.grade[s.level]
	s.prev, s.next = c.last, none
	if c.last == none {
		c.first = i
	} else {
		t.slots[c.last].next = i
	}
	c.last = i
	c.n++
}

func (t *table[T]) unlink(i int32) {
	s := t.slots[i]
	c := &t.grade[s.level]
	if s.prev == none {
		c.first = s.next
	} else {
		t.slots[s.prev].next = s.next
	}
	if s.next == none {
		c.last = s.prev
	} else {
		t.slots[s.next].prev = s.prev
	}
	c.n--
}

func (t *table[T]) before(a, b int32) bool {
	x, y := t.slots[a], t.slots[b]
	return x.wake < y.wake || x.wake == y.wake && x.seq < y.seq
}

func (t *table[T]) swap(a, b int) {
	h := t.heap
	h[a], h[b] = h[b], h[a]
	t.slots[h[a]].heapAt, t.slots[h[b]].heapAt = int32(a), int32(b)
}

func (t *table[T]) up(at int) {
	for at > 0 {
		parent := (at - 1) / 2
		if !t.before(t.heap[at], t.heap[parent]) {
			return
		}
		t.swap(at, parent)
		at = parent
	}
}

func (t *table[T]) down(at int) {
	for {
		child := 2*at + 1
		if child >= len(t.heap) {
			return
		}
		if child+1 < len(t.heap) && t.before(t.heap[child+1], t.heap[child]) {
			child++
		}
		if !t.before(t.heap[child], t.heap[at]) {
			return
		}
		t.swap(at, child)
		at = child
	}
}
