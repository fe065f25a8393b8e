package pages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"simtrap/hub/admin"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/report/reportpb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"))
}

const password = "correct horse battery"

// hub is pages over a store with what querytest.Fill puts there, over TLS.
type hub struct {
	t       testing.TB
	store   *store.Store
	people  *people.People
	pages   *Pages
	server  *httptest.Server
	ids     [3]store.ID
	closing chan struct{}
}

// asker tells queries who asks, as cmd/simtrap-hub does.
type asker struct{}

func (asker) Who(ctx context.Context) (query.Person, error) {
	p, ok := people.FromContext(ctx)
	if !ok {
		return query.Person{}, people.ErrSession
	}
	return query.Person{Account: p.Account, Reads: p.Role.Reads(), Clear: p.Role.Clear()}, nil
}

type used struct{ people *people.People }

func (u used) Used(ctx context.Context, x query.Use) error {
	_, err := u.people.Record(ctx, people.Entry{Account: x.Account, Action: x.Action, Object: x.Method, Authority: x.Authority, Detail: x.Request})
	return err
}

// open makes a hub. It has an account of each role that somebody signs in with, named
// as the role is.
func open(t testing.TB, others int, change func(*reportpb.Finding), with func(*Options)) *hub {
	t.Helper()
	ctx := t.Context()
	s, err := store.Open(ctx, store.Options{Folder: t.TempDir(), HubKey: querytest.Key()})
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, store: s, people: people.New(people.Options{Store: s}), closing: make(chan struct{})}
	if h.ids, err = querytest.Fill(ctx, s, others, change); err != nil {
		t.Fatal(err)
	}
	q, err := query.New(query.Options{Store: s, People: asker{}, Audit: used{h.people}, Key: querytest.Key()})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Query: q, Office: admin.New(admin.Options{Store: s, People: h.people}), People: h.people, Store: s, Key: querytest.Key(), Closing: h.closing}
	if with != nil {
		with(&o)
	}
	h.serve(o)
	return h
}

// serve serves pages until the test ends.
func (h *hub) serve(o Options) {
	h.t.Helper()
	var err error
	if h.pages, err = New(o); err != nil {
		h.t.Fatal(err)
	}
	h.server = httptest.NewTLSServer(h.pages)
	h.t.Cleanup(func() {
		select {
		case <-h.closing:
		default:
			close(h.closing)
		}
		h.server.Close()
		if err := h.store.Close(); err != nil {
			h.t.Error(err)
		}
	})
}

// account makes one, if it is not there yet: passwords take their time to be hashed.
func (h *hub) account(role string) {
	h.t.Helper()
	if _, err := h.store.Account(h.t.Context(), role); err == nil {
		return
	}
	if err := h.people.Add(h.t.Context(), "test", role, people.Role(role), password); err != nil {
		h.t.Fatal(err)
	}
}

// browser is somebody's, with his cookies.
type browser struct {
	t    testing.TB
	c    *http.Client
	base string
}

// browser gives one of whoever is signed in as an account; empty for nobody.
func (h *hub) browser(account string) *browser {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	c := h.server.Client()
	b := &browser{h.t, &http.Client{Transport: c.Transport, Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, h.server.URL}
	if account != "" {
		h.account(account)
		status, _, head := b.send("/sign-in", url.Values{"account": {account}, "password": {password}, "next": {"/"}})
		if status != http.StatusSeeOther || head.Get("Location") != "/" {
			h.t.Fatalf("sign-in of %s: %d", account, status)
		}
	}
	return b
}

func (b *browser) do(r *http.Request) (int, string, http.Header) {
	b.t.Helper()
	a, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return a.StatusCode, string(body), a.Header
}

func (b *browser) get(path string) (int, string, http.Header) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

// want gives a page that is to be there.
func (b *browser) want(path string) string {
	b.t.Helper()
	status, body, _ := b.get(path)
	if status != http.StatusOK {
		b.t.Fatalf("GET %s: %d\n%s", path, status, body)
	}
	return body
}

func (b *browser) send(path string, form url.Values) (int, string, http.Header) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

var csrfField = regexp.MustCompile(`name="csrf" value="([0-9a-f]{32})"`)

// post sends a form as a page would, with the token that pages hold.
func (b *browser) post(path string, form url.Values) (int, string, http.Header) {
	b.t.Helper()
	m := csrfField.FindStringSubmatch(b.want("/help"))
	if m == nil {
		b.t.Fatal("no token in a page")
	}
	form.Set("csrf", m[1])
	return b.send(path, form)
}

var lineLink = regexp.MustCompile(`href="(/lines/[0-9a-f]{32}\?finding=[0-9a-f]{32})"`)

// bundles gives a bundle of nothing.
type bundles struct{}

func (bundles) Bundle(_ context.Context, who people.Person, caseID, authority string, w io.Writer) error {
	_, err := io.WriteString(w, who.Account+" "+caseID+" "+authority)
	return err
}

// sum is the SHA-256 of a file.
func (a asset) sum() string {
	s := sha256.Sum256(a.plain)
	return hex.EncodeToString(s[:])
}
