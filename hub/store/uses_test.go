package store

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"simtrap/report/reportpb"
)

// What an older hub did not count is found and mended, once, by however many look, while
// others write.
func TestRecount(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Store) {
		admit(t, s, "north", "south")
		report := func(sensor string, n int) {
			deliver(t, s, sensor, uint64(n)+1, revisionOf(n, 1, []reportpb.Verdict{none, watch, review}[n%3], fmt.Sprintf("10.0.0.%d", n), func(f *reportpb.Finding) {
				f.Controllers = []*reportpb.Controller{{Addr: fmt.Sprintf("198.51.100.%d", n%5), Role: "registrar"}}
			}))
		}
		for n := range 30 {
			report("north", n)
		}
		// As if ten were never counted, and one twice.
		first := KeyOf(KeyController, "198.51.100.3").Sum
		second := KeyOf(KeyController, "198.51.100.4").Sum
		for _, x := range []struct {
			q    string
			args []any
		}{
			{"DELETE FROM controller_use WHERE digest = ?", []any{first[:]}},
			{"UPDATE controller_use SET lines = lines + 1, review = review - 2 WHERE digest = ?", []any{second[:]}},
		} {
			if err := s.within(t.Context(), func(tx *tx) error { _, err := tx.exec(t.Context(), x.q, x.args...); return err }); err != nil {
				t.Fatal(err)
			}
		}
		s.recounted.Store(new([16]byte))
		// Little at a time: the first of three controllers or more.
		if n, err := s.recount(t.Context(), 1); err != nil || *s.recounted.Load() == ([16]byte{}) {
			t.Fatalf("%d, %v, up to %x", n, err, s.recounted.Load())
		}
		var work sync.WaitGroup
		for range 3 {
			work.Go(func() {
				other := &Store{db: s.db, sql: s.sql, log: s.log}
				other.recounted.Store(new([16]byte))
				if _, err := other.recount(t.Context(), recountRows); err != nil {
					t.Error(err)
				}
			})
		}
		work.Go(func() {
			for n := range 20 {
				report("south", 100+n)
			}
		})
		work.Wait()
		usesAreCounted(t, s)
		for range 2 {
			if n, err := s.recount(t.Context(), recountRows); err != nil || n != 0 {
				t.Errorf("%d mended again, %v", n, err)
			}
		}
		// Expire does it.
		if err := s.within(t.Context(), func(tx *tx) error {
			_, err := tx.exec(t.Context(), "UPDATE controller_use SET watch = watch + 3 WHERE digest = ?", first[:])
			return err
		}); err != nil {
			t.Fatal(err)
		}
		s.recounted.Store(new([16]byte))
		if _, err := s.Expire(t.Context(), noon.Add(time.Hour), Retention{}, nil); err != nil {
			t.Fatal(err)
		}
		us, err := s.ControllerUse(t.Context(), []string{"198.51.100.3"}, 100)
		if err != nil || us[0].Lines != 10 {
			t.Errorf("%+v, %v", us, err)
		}
	})
}
