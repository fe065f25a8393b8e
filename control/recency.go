package control

// recency is a table of limited size whose least recently used entry goes first.
type recency[K comparable, V any] struct {
	index      map[K]int32
	entries    []entry[K, V]
	head, tail int32 // most and least recently used, -1 when empty
	free       int32 // first unused entry, chained by next
	limit      int
}

type entry[K comparable, V any] struct {
	key        K
	value      V
	prev, next int32
}

func newRecency[K comparable, V any](limit int) *recency[K, V] {
	return &recency[K, V]{index: map[K]int32{}, head: -1, tail: -1, free: -1, limit: limit}
}

func (t *recency[K, V]) len() int { return len(t.index) }

// get finds k and makes it the most recently used.
func (t *recency[K, V]) get(k K) (v V, ok bool) {
	i, ok := t.index[k]
	if !ok {
		return v, false
	}
	t.unlink(i)
	t.push(i)
	return t.entries[i].value, true
}

// put adds k, which must not be there. When the table was full the least
// recently used entry makes room and is returned.
func (t *recency[K, V]) put(k K, v V) (out V, full bool) {
	if len(t.index) >= t.limit {
		out, full = t.drop()
	}
	i := t.free
	if i >= 0 {
		t.free = t.entries[i].next
	} else {
		i = int32(len(t.entries))
		t.entries = append(t.entries, entry[K, V]{})
	}
	t.entries[i].key, t.entries[i].value = k, v
	t.index[k] = i
	t.push(i)
	return out, full
}

// drop removes the least recently used entry.
func (t *recency[K, V]) drop() (v V, ok bool) {
	if t.tail < 0 {
		return v, false
	}
	return t.remove(t.entries[t.tail].key)
}

func (t *recency[K, V]) remove(k K) (v V, ok bool) {
	i, ok := t.index[k]
	if !ok {
		return v, false
	}
	v = t.entries[i].value
	t.unlink(i)
	delete(t.index, k)
	t.entries[i] = entry[K, V]{next: t.free}
	t.free = i
	return v, true
}

func (t *recency[K, V]) push(i int32) {
	t.entries[i].prev, t.entries[i].next = -1, t.head
	if t.head >= 0 {
		t.entries[t.head].prev = i
	} else {
		t.tail = i
	}
	t.head = i
}

func (t *recency[K, V]) unlink(i int32) {
	e := &t.entries[i]
	if e.prev >= 0 {
		t.entries[e.prev].next = e.next
	} else {
		t.head = e.next
	}
	if e.next >= 0 {
		t.entries[e.next].prev = e.prev
	} else {
		t.tail = e.prev
	}
}

// each calls f from the most to the least recently used.
func (t *recency[K, V]) each(f func(V)) {
	for i := t.head; i >= 0; i = t.entries[i].next {
		f(t.entries[i].value)
	}
}
