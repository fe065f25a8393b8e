// Package pages is what analysts look at in a browser: findings, lines, boxes, rings,
// cases and the register, over what package query answers.
//
// There is one source of what is shown, a query.Service, so that what it masks is
// masked here, and what it writes down is written down. Pages need no script to be
// read and worked with: the script that there is renews what has changed, and gives
// keys. Nothing is asked of anywhere else, and the policy of every answer says so.
package pages

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"simtrap/hub/admin"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/store"
)

// People tells who asks, by sessions as programs have them.
type People interface {
	Login(ctx context.Context, name, password string, from netip.Addr) (token string, until time.Time, err error)
	Logout(ctx context.Context, token string) error
	Who(ctx context.Context, token string) (people.Person, error)
}

// Store keeps what is of pages alone, and tells what has changed.
type Store interface {
	SaveView(context.Context, store.View) error
	DropView(ctx context.Context, account, name string) error
	Views(ctx context.Context, account string) ([]store.View, error)
	Stand(context.Context) (store.Stand, error)
	AuditHead(context.Context) (store.AuditEntry, error)
}

// Evidence gives bundles of a case. The implementation asks who may and writes the
// use of the authority down before it gives anything.
type Evidence interface {
	// Bundle writes the bundle of a case; it writes nothing when it fails.
	Bundle(ctx context.Context, who people.Person, caseID, authority string, w io.Writer) error
}

// Options of pages. The zero value of each but Query, Office, People, Store and Key
// has a default.
type Options struct {
	Query  *query.Service
	Office admin.Service
	People People
	Store  Store
	// Evidence, nil for none, is asked for the bundles of cases.
	Evidence Evidence
	// Elsewhere is where those may sign in who have no password here, a path of the hub
	// that ends with Enter; empty for none.
	Elsewhere string
	// Key, 32 bytes, secret: cookies are sealed with it. The hubs of one store need
	// the same.
	Key []byte
	// Known, nil for nothing, is told of every request of somebody who is known.
	Known func(context.Context, people.Person)
	// Closing ends streams when it is closed; nil for never.
	Closing <-chan struct{}
	// Idle is how long a session of a browser may rest, without what pages ask for by
	// themselves; 30 minutes.
	Idle time.Duration
	// Unlock is how long an authority that was typed in holds; 15 minutes.
	Unlock time.Duration
	// Silent is how long a sensor may say nothing before its tap counts as silent;
	// 15 minutes.
	Silent time.Duration
	// Watch is how often it is looked for changes while anybody has a stream; 3 s.
	Watch time.Duration
	// Streams is how many there may be at once, StreamsEach of one account; 256 and 8.
	Streams, StreamsEach int
	Now                  func() time.Time
	Log                  *zap.Logger
}

// Pages answers browsers.
type Pages struct {
	o       Options
	log     *zap.Logger
	seal    cipher.AEAD
	csrf    []byte
	static  map[string]asset
	looks   map[lang]*look
	streams *streams
	handler http.Handler
}

// New makes pages. It fails for a key that is not 32 bytes.
func New(o Options) (*Pages, error) {
	if len(o.Key) != 32 {
		return nil, fmt.Errorf("key of pages: %d bytes, want 32", len(o.Key))
	}
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{{&o.Idle, 30 * time.Minute}, {&o.Unlock, 15 * time.Minute}, {&o.Silent, 15 * time.Minute}, {&o.Watch, 3 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	if o.Streams <= 0 {
		o.Streams = 256
	}
	if o.StreamsEach <= 0 {
		o.StreamsEach = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	p := &Pages{o: o, log: o.Log, csrf: derive(o.Key, "pages csrf")}
	block, err := aes.NewCipher(derive(o.Key, "pages cookies"))
	if err != nil {
		return nil, err
	}
	if p.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	if p.static, err = readStatic(); err != nil {
		return nil, err
	}
	if p.looks, err = p.readLooks(); err != nil {
		return nil, err
	}
	p.streams = newStreams(o)
	p.handler = p.routed()
	return p, nil
}

func derive(key []byte, purpose string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// ServeHTTP implements http.Handler.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// need is who may see a page.
type need uint8

const (
	anyone need = iota
	reads       // every role
	works       // analysts and admins: cases, authorities
	admins      // the register
	audits      // the audit log
)

func (n need) met(who people.Person) bool {
	switch n {
	case reads:
		return who.Role.Reads()
	case works:
		return who.Role.Clear()
	case admins:
		return who.Role == people.Admin
	case audits:
		return who.Role == people.Auditor
	}
	return true
}

// route is one page, or one change.
type route struct {
	pattern string // of an http.ServeMux
	need    need
	do      func(*Pages, *visit) error
}

// routes are all there are.
func routes() []route {
	return []route{
		{"GET /{$}", reads, (*Pages).overview},
		{"GET /sign-in", anyone, (*Pages).signIn},
		{"POST /sign-in", anyone, (*Pages).signedIn},
		{"POST /sign-out", reads, (*Pages).signOut},
		{"POST /authority", works, (*Pages).unlock},
		{"GET /help", reads, (*Pages).help},
		{"GET /findings", reads, (*Pages).findings},
		{"POST /views", reads, (*Pages).saveView},
		{"POST /views/remove", reads, (*Pages).dropView},
		{"POST /outcomes", works, (*Pages).setOutcome},
		{"GET /lines/{id}", reads, (*Pages).line},
		{"GET /boxes/{id}", reads, (*Pages).box},
		{"GET /rings", reads, (*Pages).rings},
		{"GET /rings/{id}", reads, (*Pages).ring},
		{"GET /controllers", reads, (*Pages).controllers},
		{"GET /controllers/{addr}/{role}", reads, (*Pages).controller},
		{"GET /sensors", reads, (*Pages).sensors},
		{"GET /cases", reads, (*Pages).cases},
		{"POST /cases", works, (*Pages).openCase},
		{"GET /cases/{id}", reads, (*Pages).caseFile},
		{"POST /cases/{id}", works, (*Pages).changeCase},
		{"POST /cases/{id}/evidence", works, (*Pages).evidence},
		{"GET /export", reads, (*Pages).export},
		{"GET /gateways", reads, (*Pages).gateways},
		{"POST /gateways", admins, (*Pages).declare},
		{"POST /gateways/remove", admins, (*Pages).undeclare},
		{"GET /audit", audits, (*Pages).audit},
	}
}

// policy is what every answer may do in a browser: nothing but what the hub itself
// serves.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func (p *Pages) routed() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) { p.answer(w, q, r) })
	}
	mux.HandleFunc("GET /static/{name}", p.asset)
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		p.answer(w, q, route{do: func(*Pages, *visit) error { return errNone }})
	})
	// Forms of other sites are refused before anything is read, beside the token that
	// each of our own holds.
	var guard http.CrossOriginProtection
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		p.answer(w, q, route{do: func(*Pages, *visit) error { return errForged }})
	}))
	inner := guard.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded(w.Header())
		inner.ServeHTTP(w, r)
	})
}

// guarded says to the browser what no page needs.
func guarded(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Cache-Control", "no-store")
}

// Errors that become pages of their own.
var (
	errNone    = errors.New("there is no such page")
	errForged  = errors.New("the form is not one of this session: load the page again")
	errMay     = errors.New("this account may not do that")
	errInvalid = errors.New("the form makes no sense")
)
