package pages

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/hub/admin"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/store"
)

var nextLink = regexp.MustCompile(`href="([^"]*)" rel="next"`)

// TestMeasurePages says how long pages of a store that the benchmark of hub/store filled take
// (make bench-pages): SIMTRAP_PAGES_STORE is its folder, or the address of its PostgreSQL.
// It changes it: an account is added. A page whose 99th percentile is above what was
// promised fails it.
func TestMeasurePages(t *testing.T) {
	where := os.Getenv("SIMTRAP_PAGES_STORE")
	if where == "" {
		t.Skip("no filled store is named by SIMTRAP_PAGES_STORE")
	}
	key := []byte("a key of a hub, thirty-two bytes")
	o := store.Options{HubKey: key}
	if strings.Contains(where, "://") {
		o.URL = where
	} else {
		o.Folder = where
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, store: s, people: people.New(people.Options{Store: s}), closing: make(chan struct{})}
	q, err := query.New(query.Options{Store: s, People: asker{}, Audit: used{h.people}, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	h.serve(Options{Query: q, Office: admin.New(admin.Options{Store: s, People: h.people}), People: h.people, Store: s, Key: key, Closing: h.closing})
	b := h.browser("analyst")
	body := b.want("/findings?verdict=review")
	paths := []string{"/", "/findings", "/findings?verdict=review", "/findings?verdict=case&sensor=none", "/findings?vendor=nobody", "/rings", "/controllers", "/cases", "/sensors", "/gateways"}
	if m := lineLink.FindStringSubmatch(body); m != nil {
		paths = append(paths, strings.ReplaceAll(m[1], "&amp;", "&"))
		if m := boxLink.FindStringSubmatch(b.want(paths[len(paths)-1])); m != nil {
			paths = append(paths, m[1])
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		t.Logf("load average %s", load)
	}
	const promised = 200 * time.Millisecond
	for i := 0; i < len(paths); i++ {
		path := paths[i]
		// The page behind the first is found by its key, and must cost the same.
		if m := nextLink.FindStringSubmatch(b.want(path)); m != nil && len(paths) < 40 && !strings.Contains(path, "after=") {
			paths = append(paths, strings.ReplaceAll(m[1], "&amp;", "&"))
		}
		var took []time.Duration
		size := 0
		for range 100 {
			at := time.Now()
			status, body, _ := b.get(path)
			took, size = append(took, time.Since(at)), len(body)
			if status != http.StatusOK {
				t.Fatalf("%s: %d", path, status)
			}
		}
		slices.Sort(took)
		t.Logf("| %.60s | %v | %v | %d |", path, took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), size)
		if p99 := took[len(took)*99/100]; p99 > promised {
			t.Errorf("%s: %v at the 99th percentile, promised are %v", path, p99.Round(time.Millisecond), promised)
		}
	}
}
