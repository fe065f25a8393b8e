package control

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The table against a list that does the same slowly.
func TestRecency(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		table := newRecency[int, int](limit)
		var model []int // most recently used first
		key := rapid.IntRange(0, 9)
		find := func(k int) int { return slices.Index(model, k) }
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				k := key.Draw(t, "k")
				v, ok := table.get(k)
				i := find(k)
				if ok != (i >= 0) || ok && v != -k {
					t.Fatalf("get %d: %d %v", k, v, ok)
				}
				if ok {
					model = slices.Insert(slices.Delete(model, i, i+1), 0, k)
				}
			},
			"put": func(t *rapid.T) {
				k := key.Draw(t, "k")
				if find(k) >= 0 {
					return
				}
				out, full := table.put(k, -k)
				if full != (len(model) == limit) {
					t.Fatalf("put says full: %v", full)
				}
				if full {
					if out != -model[len(model)-1] {
						t.Fatalf("%d went", -out)
					}
					model = model[:len(model)-1]
				}
				model = slices.Insert(model, 0, k)
			},
			"remove": func(t *rapid.T) {
				k := key.Draw(t, "k")
				_, ok := table.remove(k)
				i := find(k)
				if ok != (i >= 0) {
					t.Fatalf("remove %d: %v", k, ok)
				}
				if ok {
					model = slices.Delete(model, i, i+1)
				}
			},
			"drop": func(t *rapid.T) {
				v, ok := table.drop()
				if ok != (len(model) > 0) {
					t.Fatalf("drop: %v", ok)
				}
				if ok {
					if v != -model[len(model)-1] {
						t.Fatalf("%d dropped", -v)
					}
					model = model[:len(model)-1]
				}
			},
			"": func(t *rapid.T) {
				var got []int
				table.each(func(v int) { got = append(got, -v) })
				if !slices.Equal(got, model) || table.len() != len(model) || len(table.entries) > limit {
					t.Fatalf("%v, want %v; %d entries", got, model, len(table.entries))
				}
			},
		})
	})
}
