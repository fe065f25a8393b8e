package h323

import (
	"cmp"
	"slices"
)

// table is a bounded store by keyed hash. Entries are weak until they have
// proved themselves, then strong; each of the two grades has its own time to
// live, counted from the last use, and is a list in order of use. When the table
// is full a weak one goes, as long as they hold more than a quarter of it: a
// flood of new entries meets itself.
type table[T any] struct {
	limit int
	index map[uint64]*entry[T]
	grade [2]chain[T]
	seq   uint64
}

type entry[T any] struct {
	v          T
	key, seq   uint64
	used       int64
	strong     bool
	prev, next *entry[T]
}

type chain[T any] struct {
	first, last *entry[T] // longest unused first
	n           int
	lifetime    int64
}

func (t *table[T]) open(limit int, weak, strong int64) {
	t.limit, t.index = limit, make(map[uint64]*entry[T])
	t.grade[0].lifetime, t.grade[1].lifetime = weak, strong
}

func (t *table[T]) find(key uint64) *entry[T] { return t.index[key] }

// victim is the entry to give up when the table is full, nil while it is not.
func (t *table[T]) victim() *entry[T] {
	if len(t.index) < t.limit {
		return nil
	}
	if w := &t.grade[0]; w.n > t.limit/4 || t.grade[1].n == 0 {
		return w.first
	}
	return t.grade[1].first
}

// add makes an entry; the caller has seen to it that key is new and that there
// is room.
func (t *table[T]) add(key uint64, now int64) *entry[T] {
	t.seq++
	e := &entry[T]{key: key, seq: t.seq, used: now}
	t.index[key] = e
	t.grade[0].push(e)
	return e
}

func (t *table[T]) chain(e *entry[T]) *chain[T] {
	if e.strong {
		return &t.grade[1]
	}
	return &t.grade[0]
}

func (t *table[T]) touch(e *entry[T], strong bool, now int64) {
	t.chain(e).take(e)
	e.strong, e.used = strong, now
	t.chain(e).push(e)
}

func (t *table[T]) remove(e *entry[T]) {
	t.chain(e).take(e)
	delete(t.index, e.key)
}

// expired gives the entry whose time was up first, nil when there is none.
func (t *table[T]) expired(now int64) (out *entry[T]) {
	var due int64
	for i := range t.grade {
		g := &t.grade[i]
		if e := g.first; e != nil && now-e.used >= g.lifetime && (out == nil || e.used+g.lifetime < due) {
			out, due = e, e.used+g.lifetime
		}
	}
	return out
}

// inOrder lists the entries in order of their appearance.
func (t *table[T]) inOrder() []*entry[T] {
	out := make([]*entry[T], 0, len(t.index))
	for i := range t.grade {
		for e := t.grade[i].first; e != nil; e = e.next {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry[T]) int { return cmp.Compare(a.seq, b.seq) })
	return out
}

func (c *chain[T]) push(e *entry[T]) {
	e.prev, e.next = c.last, nil
	if c.last == nil {
		c.first = e
	} else {
		c.last.next = e
	}
	c.last = e
	c.n++
}

func (c *chain[T]) take(e *entry[T]) {
	if e.prev == nil {
		c.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		c.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	c.n--
}
