package keyed

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestMapIsAMap compares it with a map of the language, whatever is done to both.
func TestMapIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Map[int]
		if rapid.Bool().Draw(t, "plain") {
			m.times = 1 << 63 // every key at one of two places: the worst draw
			m.times |= 1
		}
		want := make(map[uint64]int)
		key := rapid.OneOf(rapid.Uint64Range(0, 40), rapid.Uint64())
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.Int().Draw(t, "value")
				m.Set(k, v)
				want[k] = v
			},
			"ensure": func(t *rapid.T) {
				k := key.Draw(t, "key")
				_, was := want[k]
				p, fresh := m.Ensure(k)
				if fresh == was || *p != want[k] {
					t.Fatalf("ensure %d: %d, %v; it was there: %v, as %d", k, *p, fresh, was, want[k])
				}
				*p++
				want[k]++
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				m.Delete(k)
				delete(want, k)
			},
			"": func(t *rapid.T) {
				if m.Len() != len(want) {
					t.Fatalf("%d entries, want %d", m.Len(), len(want))
				}
				for k, v := range want {
					got, ok := m.Get(k)
					if p := m.At(k); !ok || got != v || p == nil || *p != v {
						t.Fatalf("%d: %d, %v, want %d", k, got, ok, v)
					}
				}
				if got := m.Keys(); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
					t.Fatalf("keys %v, want those of %v", got, want)
				}
				if least, ok := m.Least(); ok != (len(want) > 0) || ok && least != m.Keys()[0] {
					t.Fatalf("least %d, %v of %v", least, ok, m.Keys())
				}
				k := key.Draw(t, "other")
				_, is := want[k]
				if _, ok := m.Get(k); ok != is || (m.At(k) != nil) != is {
					t.Fatalf("%d is there: %v, want %v", k, ok, is)
				}
			},
		})
	})
}

// TestMapKeepsNothingDeleted: entries that are deleted keep nothing alive.
func TestMapKeepsNothingDeleted(t *testing.T) {
	var m Map[*int]
	for k := range uint64(100) {
		m.Set(k, new(int))
	}
	for k := range uint64(100) {
		m.Delete(k)
	}
	for i := range m.slots {
		if m.slots[i].v != nil {
			t.Fatalf("slot %d holds what was deleted", i)
		}
	}
	if m.zero != nil || m.Len() != 0 {
		t.Fatal("the entry of key 0 stays")
	}
}

func BenchmarkMap(b *testing.B) {
	const n = 1 << 17
	keys := make([]uint64, n)
	x := uint64(1)
	for i := range keys {
		x = x*6364136223846793005 + 1442695040888963407
		keys[i] = x ^ x>>29
	}
	b.Run("keyed", func(b *testing.B) {
		var m Map[int32]
		for i, k := range keys {
			m.Set(k, int32(i))
		}
		for i := 0; b.Loop(); i++ {
			if _, ok := m.Get(keys[i*7919%n]); !ok {
				b.Fatal("lost")
			}
		}
	})
	b.Run("language", func(b *testing.B) {
		m := make(map[uint64]int32)
		for i, k := range keys {
			m[k] = int32(i)
		}
		for i := 0; b.Loop(); i++ {
			if _, ok := m[keys[i*7919%n]]; !ok {
				b.Fatal("lost")
			}
		}
	})
}
