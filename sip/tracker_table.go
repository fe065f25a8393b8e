package sip

import (
	"cmp"
	"slices"

	"simtrap/ident/keyed"
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
	index keyed.Map[int32]
	slots []*slot[T]
	free  []int32
	heap  []wait  // entries by wake, then by age
	place []int32 // in the heap, of each entry
	grade [grades]chain
	seq   uint64
}

type slot[T any] struct {
	v          T
	key        uint64
	due        int64 // when the entry's time is up, ns
	prev, next int32
	level      uint8
}

// wait is an entry in the heap. What it is ordered by is in it, and its place is
// beside the entries: whatever moves others would fetch each of them otherwise,
// which are large and have left the caches.
type wait struct {
	wake  int64  // at or before the entry's due
	seq   uint64 // order of appearance
	entry int32
}

// before says whether a comes before b.
func (a *wait) before(b *wait) bool {
	return a.wake < b.wake || a.wake == b.wake && a.seq < b.seq
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
	t := &table[T]{limit: limit}
	for i := range t.grade {
		t.grade[i] = chain{first: none, last: none}
	}
	return t
}

func (t *table[T]) len() int { return t.index.Len() }

// find gives the entry with key, or none.
func (t *table[T]) find(key uint64) int32 {
	if i, ok := t.index.Get(key); ok {
		return i
	}
	return none
}

func (t *table[T]) at(i int32) *T { return &t.slots[i].v }

// victim is the entry to give up when the table is full, none while it is not.
func (t *table[T]) victim() int32 {
	if t.index.Len() < t.limit {
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
			t.place = append(t.place, none)
			t.free = append(t.free, int32(len(t.slots)-1))
		}
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.seq++
	s := t.slots[i]
	s.key, s.due, s.level = key, due, level
	t.index.Set(key, i)
	t.link(i)
	t.place[i] = int32(len(t.heap))
	t.heap = append(t.heap, wait{due, t.seq, i})
	t.up(len(t.heap) - 1)
	return i
}

// rekey gives entry i another key, which the caller has seen to be new.
func (t *table[T]) rekey(i int32, key uint64) {
	s := t.slots[i]
	t.index.Delete(s.key)
	s.key = key
	t.index.Set(key, i)
}

// remove gives up entry i.
func (t *table[T]) remove(i int32) {
	s := t.slots[i]
	t.index.Delete(s.key)
	t.unlink(i)
	at, last := int(t.place[i]), len(t.heap)-1
	moved := t.heap[last]
	t.heap = t.heap[:last]
	if at < last {
		t.heap[at] = moved
		t.place[moved.entry] = int32(at)
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
	if at := t.place[i]; due < t.heap[at].wake {
		t.heap[at].wake = due
		t.up(int(at))
	}
}

// expired gives an entry whose time is up at now, none when there is none.
func (t *table[T]) expired(now int64) int32 {
	for len(t.heap) > 0 {
		first := &t.heap[0]
		if first.wake > now {
			return none
		}
		due := t.slots[first.entry].due
		if due <= now {
			return first.entry
		}
		first.wake = due
		t.down(0)
	}
	return none
}

// inOrder lists the entries in order of their appearance.
func (t *table[T]) inOrder() []int32 {
	waits := slices.Clone(t.heap)
	slices.SortFunc(waits, func(a, b wait) int { return cmp.Compare(a.seq, b.seq) })
	out := make([]int32, len(waits))
	for i := range waits {
		out[i] = waits[i].entry
	}
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

func (t *table[T]) swap(a, b int) {
	h := t.heap
	h[a], h[b] = h[b], h[a]
	t.place[h[a].entry], t.place[h[b].entry] = int32(a), int32(b)
}

func (t *table[T]) up(at int) {
	for at > 0 {
		parent := (at - 1) / 2
		if !t.heap[at].before(&t.heap[parent]) {
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
		if child+1 < len(t.heap) && t.heap[child+1].before(&t.heap[child]) {
			child++
		}
		if !t.heap[child].before(&t.heap[at]) {
			return
		}
		t.swap(at, child)
		at = child
	}
}
