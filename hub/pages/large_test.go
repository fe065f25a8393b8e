package pages

import (
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
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
	"simtrap/report/reportpb"
)

var nextLink = regexp.MustCompile(`href="([^"]*)" rel="next"`)

// TestMeasurePages says how long pages of a store that the benchmark of hub/store filled take
// (make bench-pages): SIMTRAP_PAGES_STORE is its folder, or the address of its PostgreSQL.
// It changes it: two accounts are added, and a box of a hundred lines, its ring and a case
// of it, since a filled store has none. A page whose 99th percentile is above what was
// promised fails it; so does a store that is none of those, and it says which it wants.
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
	t.Cleanup(func() { s.Close() })
	c, err := s.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := c.None + c.Watch + c.Review + c.Case
	t.Logf("%d findings: %d below watch, %d watch, %d review, %d case", stored, c.None, c.Watch, c.Review, c.Case)
	if c.Review+c.Case < 200 {
		t.Fatalf("SIMTRAP_PAGES_STORE: %d findings at review or above: want a store that the benchmark of hub/store filled, of 20,000 findings or more (docs/scale.md): go test ./hub/store -run '^$' -bench Store -benchtime 1x -store.fill -store.findings 20000 -store.folder FOLDER", c.Review+c.Case)
	}
	h := &hub{t: t, store: s, people: people.New(people.Options{Store: s}), closing: make(chan struct{})}
	q, err := query.New(query.Options{Store: s, People: asker{}, Audit: used{h.people}, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	h.serve(Options{Query: q, Office: admin.New(admin.Options{Store: s, People: h.people}), People: h.people, Store: s, Key: key, Closing: h.closing})
	b, auditor := h.browser("analyst"), h.browser("auditor")
	some, err := s.Findings(t.Context(), store.Filter{MinVerdict: reportpb.Verdict_VERDICT_REVIEW}, store.Page{Size: 100})
	if err != nil || len(some.Rows) < 100 {
		t.Fatal(len(some.Rows), err)
	}
	first := some.Rows[0]
	told := first.Report.GetFinding()
	far := told.GetControllers()[0]
	ids := groupedFindings(t, s, some.Rows, far.GetAddr())
	day := first.Since.UTC().Format("2006-01-02")
	paths := []string{
		"/", "/findings", "/findings?verdict=review", "/findings?verdict=case", "/findings?verdict=case&sensor=none", "/findings?vendor=nobody", "/findings?proof=true", "/findings?declared=true",
		"/findings?sensor=" + first.Sensor, "/findings?vendor=" + url.QueryEscape(told.GetDevice().GetVendor()), "/findings?from=" + day, "/findings?until=" + day,
		"/findings?controller=" + far.GetAddr(), "/findings?verdict=review&controller=" + far.GetAddr(), "/findings?sensor=" + first.Sensor + "&controller=" + far.GetAddr(),
		"/findings?line=" + around(told.GetLine()), "/findings?box=" + ids[0].String(), "/findings?ring=" + ids[1].String(), "/findings?case=" + ids[2].String(),
		"/lines/" + lineLink.FindStringSubmatch(b.want("/findings?verdict=review"))[1][len("/lines/"):], "/boxes/" + ids[0].String(), "/rings", "/rings?controller=" + far.GetAddr(), "/rings/" + ids[1].String(),
		"/controllers", "/controllers?all=1", controllerPath(far.GetAddr(), far.GetRole()), "/cases", "/cases?state=open", "/cases/" + ids[2].String(), "/sensors", "/gateways", "/help", "/audit",
	}
	if cards := told.GetCards(); len(cards) > 0 {
		paths = append(paths, "/findings?card="+url.QueryEscape(cards[0].GetImsi()))
	}
	for i := range paths {
		paths[i] = strings.ReplaceAll(paths[i], "&amp;", "&")
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		t.Logf("load average %s", load)
	}
	const promised = 200 * time.Millisecond
	for i := 0; i < len(paths); i++ {
		path, b := paths[i], b
		if path == "/audit" {
			b = auditor
		}
		// The page behind the first is found by its key, and must cost the same.
		if m := nextLink.FindStringSubmatch(b.want(path)); m != nil && len(paths) < 60 && !strings.Contains(path, "after=") {
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

// groupedFindings gives the ids of a box of findings, of its ring and of a case of both,
// which are made where an earlier measurement has not.
func groupedFindings(t *testing.T, s *store.Store, of []store.Finding, far string) (ids [3]store.ID) {
	t.Helper()
	ctx, at := t.Context(), time.Now()
	ids = [3]store.ID{{15: 1}, {15: 2}, {15: 3}}
	if _, err := s.Case(ctx, ids[2]); err == nil {
		return ids
	}
	l := store.Links{
		Seen:  map[store.ID]uint64{},
		Boxes: []store.Box{{ID: ids[0], Ring: ids[1], Verdict: reportpb.Verdict_VERDICT_REVIEW, First: at.Add(-time.Hour), Last: at}},
		Rings: []store.Ring{{ID: ids[1], Boxes: ids[:1], Verdict: reportpb.Verdict_VERDICT_REVIEW, First: at.Add(-time.Hour), Last: at, Lines: len(of), Sensors: []string{of[0].Sensor}, Controllers: []string{far}}},
	}
	tenancies, err := s.Tenancies(ctx, findingIDs(of))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tenancies {
		l.Seen[x.ID] = x.Version
	}
	for _, f := range of {
		l.Judged = append(l.Judged, f.ID)
	}
	l.Boxes[0].Members = l.Judged
	for i := 1; i < len(of); i++ {
		a, b := of[i-1].ID, of[i].ID
		if bytes.Compare(a[:], b[:]) > 0 {
			a, b = b, a
		}
		l.Edges = append(l.Edges, store.Edge{A: a, B: b, Kind: 1, Nats: 5, Reason: "the same address behind the NAT, known from 2 lines", Since: at})
	}
	if err := s.SaveLinks(ctx, l); err != nil {
		t.Fatal(err)
	}
	if err := s.AddCase(ctx, store.Case{ID: ids[2], Title: "measured", State: store.CaseOpen, Owner: "analyst", Boxes: ids[:1], Rings: ids[1:2], Opened: at}); err != nil {
		t.Fatal(err)
	}
	return ids
}

func findingIDs(of []store.Finding) (ids []store.ID) {
	for _, f := range of {
		ids = append(ids, f.ID)
	}
	return ids
}

// around gives the /24 or /48 of a line.
func around(line string) string {
	a, err := netip.ParseAddr(line[strings.LastIndexByte(line, '/')+1:])
	if err != nil {
		return "10.0.0.0/8"
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}
