// Package keyed holds a map whose keys are hashes already, of what strangers
// send: package ident's, under a key. It costs one cache line for a look where a
// map of the language costs two or three and hashes the hash once more.
package keyed

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Map is a map by 64-bit hashes. The zero value is empty and ready for use. It is
// for one goroutine, has no bound of its own, and is
// gone through in ascending order of keys alone, since its own is another in each
// run.
//
// Entries lie where their key, times an odd number drawn for each map, says, or
// behind it as far as the entries before are in the way (linear probing). The
// number is drawn so that who knows how keys are made, as of a replay, whose hashes
// are the same each time, cannot make keys that lie together.
type Map[V any] struct {
	slots []slot[V] // a power of two of them, none before the first entry
	shift uint8     // 64 less its exponent
	times uint64
	n     int
	// The key 0 marks free slots, so its own entry lies here.
	zero V
	has0 bool
}

type slot[V any] struct {
	v   V // first, so that a set's slots are of eight bytes
	key uint64
}

// firstSlots is how many slots the first entry makes.
const firstSlots = 4

// Len is how many entries there are.
func (m *Map[V]) Len() int {
	if m.has0 {
		return m.n + 1
	}
	return m.n
}

// Get gives what lies under key, and whether anything does.
func (m *Map[V]) Get(key uint64) (v V, ok bool) {
	if key == 0 {
		return m.zero, m.has0
	}
	if m.n == 0 {
		return v, false
	}
	for i := m.home(key); ; i = m.next(i) {
		s := &m.slots[i]
		if s.key == key {
			return s.v, true
		}
		if s.key == 0 {
			return v, false
		}
	}
}

// At gives the place of what lies under key, nil when nothing does. It is good until
// the next Set, Ensure or Delete.
func (m *Map[V]) At(key uint64) *V {
	if key == 0 {
		if m.has0 {
			return &m.zero
		}
		return nil
	}
	if m.n == 0 {
		return nil
	}
	for i := m.home(key); ; i = m.next(i) {
		s := &m.slots[i]
		if s.key == key {
			return &s.v
		}
		if s.key == 0 {
			return nil
		}
	}
}

// Set puts v under key.
func (m *Map[V]) Set(key uint64, v V) {
	p, _ := m.Ensure(key)
	*p = v
}

// Ensure gives the place of what lies under key, as At does, and makes it with the
// zero value when nothing did, which fresh says.
func (m *Map[V]) Ensure(key uint64) (p *V, fresh bool) {
	if key == 0 {
		fresh, m.has0 = !m.has0, true
		return &m.zero, fresh
	}
	if 4*(m.n+1) > 3*len(m.slots) {
		// A key that is there already may make it grow: once, and no more than the
		// next new one would.
		m.grow()
	}
	for i := m.home(key); ; i = m.next(i) {
		s := &m.slots[i]
		if s.key == key {
			return &s.v, false
		}
		if s.key == 0 {
			s.key = key
			m.n++
			return &s.v, true
		}
	}
}

// Delete forgets key.
func (m *Map[V]) Delete(key uint64) {
	var none V
	if key == 0 {
		m.zero, m.has0 = none, false
		return
	}
	if m.n == 0 {
		return
	}
	i := m.home(key)
	for m.slots[i].key != key {
		if m.slots[i].key == 0 {
			return
		}
		i = m.next(i)
	}
	// What lies behind it moves up, where its own place is not past the gap: so a
	// look may end at the first free slot, however much was deleted.
	for j := m.next(i); m.slots[j].key != 0; j = m.next(j) {
		home := m.home(m.slots[j].key)
		if (j-home)&(len(m.slots)-1) >= (j-i)&(len(m.slots)-1) {
			m.slots[i] = m.slots[j]
			i = j
		}
	}
	m.slots[i] = slot[V]{}
	m.n--
}

// Least gives the least key, and whether there is any.
func (m *Map[V]) Least() (least uint64, ok bool) {
	if m.has0 {
		return 0, true
	}
	for i := range m.slots {
		if k := m.slots[i].key; k != 0 && (!ok || k < least) {
			least, ok = k, true
		}
	}
	return least, ok
}

// Keys gives the keys in ascending order.
func (m *Map[V]) Keys() []uint64 {
	keys := make([]uint64, 0, m.Len())
	if m.has0 {
		keys = append(keys, 0)
	}
	for i := range m.slots {
		if k := m.slots[i].key; k != 0 {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func (m *Map[V]) home(key uint64) int { return int(key * m.times >> m.shift) }

func (m *Map[V]) next(i int) int { return (i + 1) & (len(m.slots) - 1) }

// grow makes twice as many slots. 65,536 entries of eight bytes move within a
// millisecond.
func (m *Map[V]) grow() {
	old := m.slots
	if m.times == 0 {
		m.times = rand.Uint64() | 1
	}
	m.slots = make([]slot[V], max(firstSlots, 2*len(old)))
	m.shift = uint8(65 - bits.Len(uint(len(m.slots))))
	for k := range old {
		if old[k].key == 0 {
			continue
		}
		i := m.home(old[k].key)
		for m.slots[i].key != 0 {
			i = m.next(i)
		}
		m.slots[i] = old[k]
	}
}
