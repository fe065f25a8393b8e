package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"simtrap/internal/smalldisk"
)

// TestDiskFull fills the disk of a hub on SQLite while sensors report. It goes on
// serving, acknowledges nothing that is not stored and says that it is not ready; it
// may be killed then. With room again it takes what waits, and all is accounted for.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts programs")
	}
	disk := smalldisk.Folder(t, "48m")
	if disk == "" {
		return
	}
	folder, h, s := madeHubIn(t, filepath.Join(disk, "hub"), "")
	b := newBalancer(t, 1)
	var all []*reporter
	for i, m := range enrollAll(t, s, h, boxLines) {
		all = append(all, newReporter(t, m, i, b.address()))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begin := func() *process {
		p := startHub(t, folder, "--sensor-records", "1000000", "--metrics", "127.0.0.1:0")
		b.set(0, p.address)
		return p
	}
	p := begin()
	stop := reporting(t, all, 400)
	acked := func() (n uint64) {
		for _, r := range all {
			n += r.box.Stats().Delivered
		}
		return n
	}
	until := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				log, _ := os.ReadFile(p.log)
				t.Fatalf("not within 30 s: %s\n%s", what, log)
			}
		}
	}
	until("reports arrive", func() bool { return acked() > 1000 })

	free := smalldisk.Fill(t, disk, 16<<10)
	until("nothing is acknowledged any more", func() bool {
		before := acked()
		time.Sleep(300 * time.Millisecond)
		return acked() == before
	})
	if log, err := os.ReadFile(p.log); err != nil || !strings.Contains(string(log), "a batch was not stored") {
		t.Errorf("the log does not tell of it: %v: %s", err, log)
	}
	ready := func() int {
		r, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + p.metrics(t) + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		return r.StatusCode
	}
	// What little is left each look uses up.
	until("it says that it is not ready", func() bool { return ready() == http.StatusServiceUnavailable })
	full := acked()
	free()
	until("it takes reports again", func() bool { return acked() > full+1000 })
	until("it says that it is ready", func() bool { return ready() == http.StatusOK })

	// Once more, and it is killed while there is no room.
	free = smalldisk.Fill(t, disk, 0)
	until("nothing is acknowledged any more", func() bool {
		before := acked()
		time.Sleep(300 * time.Millisecond)
		return acked() == before
	})
	p.kill(t)
	b.set(0, "")
	overflow(t, all)
	free()
	p = begin()
	stop()
	drain(t, all, time.Minute)
	s, db := beside(t, folder, h.HubKey())
	boxes := linked(t, s, all, time.Minute)
	for _, r := range all {
		r.stop()
	}
	p.terminate(t)
	sum := account(t, s, db, all)
	if sum.acked == 0 || sum.missing == 0 || boxes == 0 {
		t.Errorf("nothing was tried: %v; %d boxes", sum, boxes)
	}
	t.Logf("%v; %d boxes linked as they are", sum, boxes)
}
