package pages

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/hub/admin"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/store"
)

// TestMeasurePages says how long pages of a store that the benchmark of hub/store filled take:
// SIMTRAP_PAGES_STORE is its folder, or the address of its PostgreSQL. It changes it:
// an account is added.
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
	for _, path := range paths {
		var took []time.Duration
		size := 0
		for range 20 {
			at := time.Now()
			status, body, _ := b.get(path)
			took, size = append(took, time.Since(at)), len(body)
			if status != http.StatusOK {
				t.Fatalf("%s: %d", path, status)
			}
		}
		slices.Sort(took)
		t.Logf("%-60s median %v, worst %v, %d bytes", path, took[10].Round(time.Millisecond), took[19].Round(time.Millisecond), size)
	}
}
