package bundles_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"simtrap/hub/admin"
	"simtrap/hub/linker"
	"simtrap/hub/pages"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/report/querypb"
)

// secrets are what of a capture nobody may read of a hub: numbers and accounts of SIP,
// names that credentials are of, their digests and keys, identities of cards, and the
// lines' own addresses behind their NAT.
func secrets(t *testing.T, folder string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, "box.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	kinds := make([]int, 4)
	for i, p := range []string{`sip:([^@;>:\s"]{6,})@`, `username="([^"]{4,})"`, `(?:response|nonce|cnonce)="([^"]{8,})"`, `[^0-9](460[0-9]{12}|8986[0-9]{15,16}|35[0-9]{13})[^0-9]`} {
		for _, m := range regexp.MustCompile(p).FindAllSubmatch(b, -1) {
			found[string(m[1])] = true
			kinds[i]++
		}
	}
	if kinds[0] == 0 || len(found) < 50 {
		t.Fatalf("%v of each kind in the capture, %d in all", kinds, len(found))
	}
	t.Logf("%d to look for; of each kind %v times", len(found), kinds)
	var list []string
	for s := range found {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// reader goes through pages as somebody who is signed in.
type reader struct {
	t     *testing.T
	c     *http.Client
	base  string
	pages map[string]string
}

// post sends a form with the token that pages hold.
func (r *reader) post(path string, form url.Values) int {
	r.t.Helper()
	if m := regexp.MustCompile(`name="csrf" value="([0-9a-f]{32})"`).FindStringSubmatch(r.pages["/help"]); m != nil {
		form.Set("csrf", m[1])
	}
	a, err := r.c.PostForm(r.base+path, form)
	if err != nil {
		r.t.Fatal(err)
	}
	a.Body.Close()
	return a.StatusCode
}

var anyLink = regexp.MustCompile(`(?:href|action|src|hx-get)="(/[^"]*)"`)

// crawl reads every page that links lead to, and every export.
func (r *reader) crawl() {
	r.t.Helper()
	r.pages = make(map[string]string)
	todo := []string{"/", "/help", "/audit", "/findings", "/rings", "/controllers", "/controllers?all=1", "/cases", "/sensors", "/gateways", "/nowhere", "/lines/0", "/findings?verdict=nonsense"}
	for _, kind := range []string{"findings", "lines", "boxes", "rings", "controllers", "cards", "sensors", "cases", "feedback"} {
		for _, format := range []string{"jsonl", "csv", "stix"} {
			todo = append(todo, "/export?kind="+kind+"&format="+format)
		}
	}
	for len(todo) > 0 && len(r.pages) < 400 {
		path := todo[0]
		todo = todo[1:]
		if _, is := r.pages[path]; is || strings.Contains(path, "lang=") || strings.HasPrefix(path, "/events") || strings.HasPrefix(path, "/sign-out") {
			continue
		}
		a, err := r.c.Get(r.base + path)
		if err != nil {
			r.t.Fatal(err)
		}
		b, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil {
			r.t.Fatal(err)
		}
		if a.StatusCode >= 500 {
			r.t.Errorf("GET %s: %d", path, a.StatusCode)
		}
		r.pages[path] = string(b)
		for _, m := range anyLink.FindAllStringSubmatch(string(b), -1) {
			todo = append(todo, html.UnescapeString(m[1]))
		}
	}
}

// told says whether a text has a secret in it. A short one must stand for itself: its
// digits are in some pseudonym or number by chance.
func told(text, secret string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], secret)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(secret)
		if len(secret) >= 8 || (i == 0 || !word(text[i-1])) && (end == len(text) || !word(text[end])) {
			return true
		}
		at = i + 1
	}
}

func word(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-'
}

func TestTold(t *testing.T) {
	for text, want := range map[string]bool{"a8002f": false, "18002": false, "0.8002 x8002": false, "<td>8002</td>": true, "sip:8002@x": true, "~a8002, 8002": true, "": false} {
		if told(text, "8002") != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
	if !told("x13800138000y", "13800138000") {
		t.Error("a long one is not found")
	}
}

// kept looks through what the daemon has written, packed or not: findings, headers,
// what waits for the hub, its own state. The capture that it reads is no part of it.
func kept(t *testing.T, folder string, hidden []string) {
	t.Helper()
	looked := make(map[string]int)
	if err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a segment that was acknowledged meanwhile
			return nil
		}
		if err != nil || !d.Type().IsRegular() || d.Name() == "box.pcap" {
			return err
		}
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(folder, file)
		looked[name] = len(b)
		for _, s := range hidden {
			if told(string(b), s) {
				t.Errorf("the daemon keeps %q in %s", s, name)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("looked through %v", looked)
	if looked["findings.jsonl"] == 0 || len(looked) < 4 {
		t.Errorf("too little to look through: %v", looked)
	}
}

// TestNoClearIdentities runs a capture of the lab through a sensor into a hub, and looks
// through everything that the hub's pages and exports say for what nobody may read there.
// With an authority the line's address is in clear, and still nothing else: the hub has
// pseudonyms of pseudonyms alone.
func TestNoClearIdentities(t *testing.T) {
	h := started(t)
	folder := t.TempDir()
	// Where nobody says who the subscribers are both ends are judged, and a line is its far
	// end's controller, whose address is shown.
	h.runSensor(folder, "north", "home: [198.51.100.0/24, 203.0.113.0/24]\n")
	q, _ := h.as(people.Analyst)
	h.as(people.Viewer)
	l := line(t, q)
	work := linker.New(linker.Options{Store: h.store, Owner: "test", Idle: 50 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan struct{})
	go func() { defer close(worked); work.Run(ctx) }()
	defer func() { stop(); <-worked }()
	var f *querypb.Finding
	await(t, "a box", func() bool {
		a, err := q.ListFindings(t.Context(), connect.NewRequest(&querypb.ListFindingsRequest{Filter: &querypb.Filter{Lines: []string{l.GetId()}}}))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range a.Msg.GetFindings() {
			if x.GetBoxId() != "" {
				f = x
			}
		}
		return f != nil
	})
	if _, err := q.OpenCase(t.Context(), connect.NewRequest(&querypb.OpenCaseRequest{Title: "a case", BoxIds: []string{f.GetBoxId()}})); err != nil {
		t.Fatal(err)
	}

	asked, err := query.New(query.Options{Store: h.store, People: asking{}, Audit: uses{h.people}, Key: h.trust.Derive("query")})
	if err != nil {
		t.Fatal(err)
	}
	closing := make(chan struct{})
	p, err := pages.New(pages.Options{Query: asked, Office: admin.New(admin.Options{Store: h.store, People: h.people}), People: h.people, Store: h.store, Key: h.trust.Derive("pages"), Closing: closing})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(p)
	defer web.Close()
	defer close(closing)

	hidden := secrets(t, folder)
	h.hidden = hidden
	kept(t, folder, hidden)
	look := func(r *reader, who string, address bool) {
		t.Helper()
		r.crawl()
		kinds := make(map[string]int)
		var whole []string
		for path, body := range r.pages {
			kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
			kind, _, _ = strings.Cut(kind, "?")
			kinds[kind]++
			plain := html.UnescapeString(body)
			for _, s := range hidden {
				if told(plain, s) {
					t.Fatalf("as %s, %s tells %q", who, path, s)
				}
			}
			if told(plain, l.GetLine()) {
				whole = append(whole, path)
			}
		}
		if (len(whole) > 0) != address {
			t.Errorf("as %s: the address %s of the line is on %q", who, l.GetLine(), whole)
		}
		for _, kind := range []string{"", "findings", "lines", "boxes", "controllers", "sensors", "cases", "gateways", "export"} {
			if kinds[kind] == 0 {
				t.Errorf("as %s: no page of %q was looked at: %v", who, kind, kinds)
			}
		}
		if !strings.Contains(fmt.Sprint(r.pages), "~") {
			t.Errorf("as %s: not one pseudonym", who)
		}
		t.Logf("as %s: %d pages and exports", who, len(r.pages))
	}
	for _, role := range []people.Role{people.Viewer, people.Analyst} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{t: t, c: &http.Client{Transport: web.Client().Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, base: web.URL}
		if status := r.post("/sign-in", url.Values{"account": {string(role)}, "password": {"a password of twelve"}, "next": {"/"}}); status != http.StatusSeeOther {
			t.Fatalf("sign-in of %s: %d", role, status)
		}
		look(r, string(role), false)
		if role == people.Analyst {
			if status := r.post("/authority", url.Values{"authority": {"case 2026-114"}, "next": {"/"}}); status != http.StatusSeeOther {
				t.Fatalf("authority: %d", status)
			}
			look(r, "analyst under an authority", true)
		}
	}
}
