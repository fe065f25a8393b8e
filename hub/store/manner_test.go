package store

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// Who links waits until reports are written, but not for ever, and does not wait for the
// disk; what comes behind it does.
func TestManners(t *testing.T) {
	s := openStore(t, Options{Folder: t.TempDir()})
	level := func(m manner) (n int) {
		if err := s.withinAs(t.Context(), m, func(x *tx) error {
			return x.conn.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, want := range []struct {
		m     manner
		level int
	}{{urgent, 2}, {lax, 1}, {lax, 1}, {patient, 2}, {lax, 1}, {urgent, 2}} {
		if got := level(want.m); got != want.level {
			t.Errorf("manner %d: synchronous is %d, want %d", want.m, got, want.level)
		}
	}

	// The one who comes first is patient, the other is not.
	held, err := s.db.take(t.Context(), urgent)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []manner
	var wg sync.WaitGroup
	come := func(m manner) {
		wg.Go(func() {
			if err := s.withinAs(context.Background(), m, func(*tx) error {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, m)
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	come(lax)
	time.Sleep(20 * time.Millisecond)
	come(urgent)
	for s.db.hurried.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	s.db.turn <- held
	wg.Wait()
	if !slices.Equal(order, []manner{urgent, lax}) {
		t.Errorf("written in the order %v", order)
	}

	// It is not kept waiting by those who never cease to come.
	s.db.hurried.Add(1)
	defer s.db.hurried.Add(-1)
	began := time.Now()
	level(patient)
	if took := time.Since(began); took < patience || took > 50*patience {
		t.Errorf("waited %v, want %v", took, patience)
	}
}
