package linker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"simtrap/hub/link"
	"simtrap/hub/store"
)

// tellingStore notes of which controllers it was told.
type tellingStore struct {
	*fakeStore
	told []string
}

func (s *tellingStore) SaveVerdicts(_ context.Context, seen map[string]uint64, _ []store.ControllerVerdict) error {
	for a := range seen {
		s.told = append(s.told, a)
	}
	return nil
}

// Of controllers of very many lines one job tells of few and of each again only after a
// while; all have their turn. Of small ones every job tells.
func TestTellOfLargeControllers(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	s := &tellingStore{fakeStore: newFakeStore(func() time.Time { return now })}
	w := New(Options{Store: s, Owner: "one", Now: func() time.Time { return now }})
	const large = 3*mostLarge + 1
	job := func() []string {
		f := w.newFacts()
		touched := make(set)
		for i := range large + 2 {
			addr := fmt.Sprintf("198.51.100.%d", i+1)
			id := store.ID{15: byte(i + 1)}
			f.nodes[id] = &node{keys: map[link.Key]store.Key{{Kind: link.ControllerKey, Value: addr}: {}}}
			f.uses[addr] = store.ControllerUse{Addr: addr, More: i < large}
			touched[id] = true
		}
		s.told = nil
		if err := w.tell(t.Context(), f, touched); err != nil {
			t.Fatal(err)
		}
		return s.told
	}
	count := make(map[string]int)
	for range 4 {
		told := job()
		if len(told) > mostLarge+2 {
			t.Errorf("one job told of %d controllers", len(told))
		}
		for _, a := range told {
			count[a]++
		}
	}
	for i := range large + 2 {
		want := 1
		if i >= large {
			want = 4
		}
		if a := fmt.Sprintf("198.51.100.%d", i+1); count[a] != want {
			t.Errorf("%s was told of %d times in 4 jobs, want %d", a, count[a], want)
		}
	}
	if got := len(job()); got != 2 {
		t.Errorf("%d told of, of which but two were told lately", got)
	}
	now = now.Add(toldFor)
	if got := len(job()); got != mostLarge+2 {
		t.Errorf("%d told of when it is time again, want %d", got, mostLarge+2)
	}
}
