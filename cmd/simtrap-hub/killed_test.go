package main

import (
	"database/sql"
	"errors"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"simtrap/hub/store"
	"simtrap/hub/store/storetest"
)

// killsFromEnv says how often a hub is killed: SIMTRAP_KILLS, or n.
func killsFromEnv(n int) int {
	if k, err := strconv.Atoi(os.Getenv("SIMTRAP_KILLS")); err == nil {
		return k
	}
	return n
}

// reporting lets reporters report all the time until stop.
func reporting(t *testing.T, all []*reporter, perSecond int) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	for _, r := range all {
		running.Go(func() {
			const every = 20 * time.Millisecond
			tick := time.NewTicker(every)
			defer tick.Stop()
			rng := mrand.New(mrand.NewPCG(uint64(r.number), 11))
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				n := int(time.Duration(perSecond) * every / time.Second)
				if rng.IntN(250) == 0 {
					n = 1500 // more than the outbox holds
				}
				r.give(t, rng, n)
			}
		})
	}
	return func() { close(done); running.Wait() }
}

// TestKilled kills a hub at random moments, of its start too, while sensors report
// to it. Whatever it has acknowledged is there, once; gaps equal what is missing;
// and what it links is linked. SIMTRAP_KILLS says how often, 10 without.
func TestKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts programs")
	}
	kills := killsFromEnv(10)
	folder, h, s := madeHub(t, "")
	b := newBalancer(t, 1)
	var all []*reporter
	for i, m := range enrollAll(t, s, h, 2*boxLines) {
		all = append(all, newReporter(t, m, i, b.address()))
	}
	// Nobody but the hub has the tables while it is killed.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stop := reporting(t, all, 100)
	rng := mrand.New(mrand.NewPCG(4, 1))
	early := 0
	for range kills {
		p := launchHub(t, folder, "--sensor-records", "1000000")
		if rng.IntN(5) == 0 {
			time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
			early++
		} else {
			p.serving(t)
			b.set(0, p.address)
			time.Sleep(time.Duration(rng.IntN(600)) * time.Millisecond)
		}
		p.kill(t)
		b.set(0, "")
	}
	overflow(t, all)
	stop()
	p := startHub(t, folder, "--sensor-records", "1000000")
	b.set(0, p.address)
	drain(t, all, time.Minute)
	s, db := beside(t, folder, h.HubKey())
	boxes := linked(t, s, all, 2*time.Minute)
	for _, r := range all {
		r.stop()
	}
	p.terminate(t)
	sum := account(t, s, db, all)
	if sum.acked == 0 || sum.missing == 0 || boxes == 0 {
		t.Errorf("nothing was tried: %v; %d boxes", sum, boxes)
	}
	t.Logf("%d kills, %d of them before the hub served: %v; %d boxes linked as they are", kills, early, sum, boxes)
}

// beside opens the store of a hub that serves, and its tables themselves.
func beside(t *testing.T, folder string, key []byte) (*store.Store, *sql.DB) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Folder: folder, HubKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	db, err := sql.Open("sqlite", filepath.Join(folder, "hub.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	lapse(t, db)
	return s, db
}

// overflow waits until a sensor that goes on reporting has had to drop records.
func overflow(t *testing.T, all []*reporter) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, r := range all {
			if len(r.box.Stats().Lost) > 0 {
				return
			}
		}
	}
	t.Fatal("no outbox is full after a minute")
}

// lapse lets the leases of hubs that were killed be over, for which one would wait
// a minute. Who lives renews his, or judges again.
func lapse(t *testing.T, db *sql.DB) {
	t.Helper()
	// Those who work at it may be in the way.
	for try := 0; ; try++ {
		_, err := db.ExecContext(t.Context(), "UPDATE queue SET until = 0")
		if err == nil {
			return
		}
		if try == 20 {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestSeveralHubs runs three hubs on one PostgreSQL behind a balancer, and kills one
// after another under load. Nothing is lost or doubled, and linking goes on.
// SIMTRAP_KILLS says how often, 4 without.
func TestSeveralHubs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts programs")
	}
	kills := killsFromEnv(4)
	pg, err := storetest.Start()
	if errors.Is(err, storetest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	url, err := pg.URL()
	if err != nil {
		t.Fatal(err)
	}
	folder, h, s := madeHub(t, url)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	const hubs = 3
	b := newBalancer(t, hubs)
	var running [hubs]*process
	start := func(i int) {
		running[i] = startHub(t, folder, "--store", url, "--sensor-records", "1000000")
		b.set(i, running[i].address)
	}
	for i := range hubs {
		start(i)
	}
	var all []*reporter
	for i, m := range enrollAll(t, s, h, 2*boxLines) {
		all = append(all, newReporter(t, m, i, b.address()))
	}
	stop := reporting(t, all, 100)
	rng := mrand.New(mrand.NewPCG(4, 2))
	for range kills {
		time.Sleep(time.Duration(100+rng.IntN(300)) * time.Millisecond)
		i := rng.IntN(hubs)
		// The balancer does not know: who comes to it goes on to the next.
		running[i].kill(t)
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		start(i)
	}
	stop()
	drain(t, all, time.Minute)
	lapse(t, db)
	boxes := linked(t, s, all, 2*time.Minute)
	for _, r := range all {
		r.stop()
	}
	for _, p := range running {
		p.terminate(t)
	}
	sum := account(t, s, db, all)
	if sum.acked == 0 || boxes == 0 {
		t.Errorf("nothing was tried: %v; %d boxes", sum, boxes)
	}
	t.Logf("%d kills of one of %d: %v; %d boxes linked as they are", kills, hubs, sum, boxes)
}
