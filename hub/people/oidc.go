package people

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"simtrap/hub/store"
)

// OIDCOptions say by whom people are signed in beside the hub's own passwords.
type OIDCOptions struct {
	Issuer   string // https, as its discovery document says
	Client   string
	Secret   string
	Redirect string          // where the hub's CallbackPath is reached from a browser, https
	Claim    string          // of the ID token that has the groups; "groups"
	Roles    map[string]Role // by group; who has several has the first of admin, analyst, auditor, viewer
	Key      []byte          // 32 bytes: seals what a browser holds meanwhile; hubs of one store have the same
	TLS      *tls.Config     // for the issuer; nil for the system's
	// Done answers a browser that began at OIDCPages; who began at OIDCPath, as everybody
	// where it is nil, is shown the token, for simtrap hub.
	Done func(w http.ResponseWriter, r *http.Request, token string, until time.Time)
}

// Paths of the sign-in.
const (
	OIDCPath     = "/oidc/login"
	OIDCPages    = OIDCPath + "?pages"
	CallbackPath = "/oidc/callback"
)

const (
	oidcCookie = "__Host-simtrap-oidc"
	oidcTime   = 10 * time.Minute // that a sign-in may take
	oidcCall   = 15 * time.Second
	// oidcSuffix is of accounts that a provider vouches for, so that none has the name of
	// a local one by accident.
	oidcSuffix = "@oidc"
	maxGroups  = 10_000
	maxSubject = 512 // bytes, the issuer's name included
	// oidcHold is for how long a provider that did not answer is not asked again.
	oidcHold = 5 * time.Second
	// oidcKind begins what such an account has for a password: no hash of one does.
	oidcKind = "oidc:"
)

// OIDC signs people in by OpenID Connect: authorization code with PKCE (RFC 7636), state
// and nonce, all bound to the browser by a sealed cookie. Who signs in has an account
// named as the provider did the first time, whose role follows from its groups each time; the hub's admin
// can disable it as any other.
type OIDC struct {
	people *People
	o      OIDCOptions
	seal   cipher.AEAD
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider // once it answered
	failed   time.Time      // when it last did not
	failure  error
}

// NewOIDC checks options; the provider is asked when somebody signs in.
func (p *People) NewOIDC(o OIDCOptions) (*OIDC, error) {
	issuer, err := url.Parse(o.Issuer)
	redirect, bad := url.Parse(o.Redirect)
	switch {
	case err != nil || issuer.Scheme != "https" || issuer.Host == "":
		return nil, errors.New("oidc: want an issuer such as https://login.example")
	case bad != nil || redirect.Scheme != "https" || redirect.Host == "" || redirect.Path != CallbackPath:
		return nil, fmt.Errorf("oidc: want a redirection such as https://hub.example:8443%s", CallbackPath)
	case o.Client == "":
		return nil, errors.New("oidc: want the id of a client")
	case len(o.Roles) == 0:
		return nil, errors.New("oidc: want a role for at least one group")
	}
	for _, r := range o.Roles {
		if _, err := ParseRole(string(r)); err != nil {
			return nil, fmt.Errorf("oidc: %w", err)
		}
	}
	if o.Claim == "" {
		o.Claim = "groups"
	}
	x := &OIDC{people: p, o: o, client: &http.Client{Timeout: oidcCall, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, TLSHandshakeTimeout: oidcCall, IdleConnTimeout: time.Minute}}}
	block, err := aes.NewCipher(o.Key)
	if err != nil || len(o.Key) != 32 {
		return nil, errors.New("oidc: want a key of 32 bytes")
	}
	x.seal, err = cipher.NewGCMWithRandomNonce(block)
	return x, err
}

// Close lets connections to the provider go.
func (x *OIDC) Close() { x.client.CloseIdleConnections() }

// pending is what a browser holds while somebody signs in.
type pending struct {
	State, Nonce, Verifier string
	Until                  time.Time
	Pages                  bool // it began at OIDCPages
}

// ask gives the provider, once it has answered.
func (x *OIDC) ask(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.provider == nil {
		// Anybody may ask, and an answer that does not come takes long.
		if now := x.people.now(); now.Sub(x.failed) < oidcHold && !now.Before(x.failed) {
			return nil, nil, x.failure
		}
		// Its keys are fetched with the client of this context, long after the request.
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), x.client), x.o.Issuer)
		if err != nil {
			x.failed, x.failure = x.people.now(), err
			return nil, nil, err
		}
		x.provider = p
	}
	return x.provider, &oauth2.Config{ClientID: x.o.Client, ClientSecret: x.o.Secret, RedirectURL: x.o.Redirect, Endpoint: x.provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"}}, nil
}

// LoginHandler sends a browser to the provider.
func (x *OIDC) LoginHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", "GET")
			http.Error(w, "GET signs in", http.StatusMethodNotAllowed)
			return
		}
		_, config, err := x.ask(r.Context())
		if err != nil {
			x.people.log.Error("the provider of sign-ins does not answer", zap.Error(err))
			http.Error(w, "the provider of sign-ins does not answer", http.StatusBadGateway)
			return
		}
		p := pending{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), x.people.now().Add(oidcTime), r.URL.Query().Has("pages")}
		b, err := json.Marshal(p)
		if err != nil {
			http.Error(w, "not possible now", http.StatusInternalServerError)
			return
		}
		sealed := base64.RawURLEncoding.EncodeToString(x.seal.Seal(nil, nil, b, []byte(oidcCookie)))
		http.SetCookie(w, &http.Cookie{Name: oidcCookie, Value: sealed, Path: "/", MaxAge: int(oidcTime / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, config.AuthCodeURL(p.State, oidc.Nonce(p.Nonce), oauth2.S256ChallengeOption(p.Verifier)), http.StatusFound)
	})
}

// errOIDC says nothing of why to whoever asks; the log does.
var errOIDC = errors.New("the sign-in does not hold: begin again")

// CallbackHandler takes a browser back from the provider.
func (x *OIDC) CallbackHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: oidcCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		token, until, pages, err := x.callback(r)
		switch {
		case errors.Is(err, errOIDC):
			x.people.log.Warn("a sign-in was refused", zap.String("from", r.RemoteAddr), zap.Error(err))
			http.Error(w, errOIDC.Error(), http.StatusUnauthorized)
		case errors.Is(err, ErrRefused):
			x.people.log.Warn("a sign-in was refused", zap.String("from", r.RemoteAddr), zap.Error(err))
			http.Error(w, "this account may not sign in here", http.StatusForbidden)
		case err != nil:
			x.people.log.Error("sign-in not carried out", zap.Error(err))
			http.Error(w, "the hub cannot sign anybody in now", http.StatusServiceUnavailable)
		case pages && x.o.Done != nil:
			x.o.Done(w, r, token, until)
		default:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintf(w, "%s\n", token)
		}
	})
}

func refuseOIDC(format string, args ...any) error {
	return fmt.Errorf("%w (%w)", errOIDC, fmt.Errorf(format, args...))
}

func (x *OIDC) callback(r *http.Request) (token string, until time.Time, pages bool, err error) {
	fail := func(err error) (string, time.Time, bool, error) { return "", time.Time{}, false, err }
	if r.Method != http.MethodGet {
		return fail(refuseOIDC("method %s", r.Method))
	}
	c, err := r.Cookie(oidcCookie)
	if err != nil {
		return fail(refuseOIDC("no cookie"))
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return fail(refuseOIDC("cookie: %w", err))
	}
	b, err := x.seal.Open(nil, nil, sealed, []byte(oidcCookie))
	if err != nil {
		return fail(refuseOIDC("cookie: %w", err))
	}
	var p pending
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&p); err != nil || !x.people.now().Before(p.Until) {
		return fail(refuseOIDC("it took too long"))
	}
	q := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(p.State)) != 1 {
		return fail(refuseOIDC("another state"))
	}
	if q.Get("error") != "" {
		return fail(refuseOIDC("the provider says %.100q", q.Get("error")))
	}
	provider, config, err := x.ask(r.Context())
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(r.Context(), x.client), oidcCall)
	defer cancel()
	answer, err := config.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(p.Verifier))
	if err != nil {
		if _, is := errors.AsType[*oauth2.RetrieveError](err); is {
			return fail(refuseOIDC("the code: %w", err))
		}
		return fail(err)
	}
	raw, _ := answer.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: x.o.Client, Now: x.people.now}).Verify(ctx, raw)
	if err != nil {
		return fail(refuseOIDC("ID token: %w", err))
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(p.Nonce)) != 1 {
		return fail(refuseOIDC("another nonce"))
	}
	name, role, err := x.who(id)
	if err != nil {
		return fail(err)
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	token, until, err = x.people.vouched(r.Context(), name, role, oidcKind+id.Issuer+"#"+id.Subject, from.Addr())
	return token, until, p.Pages, err
}

// who gives the name and the role that a provider's token tells.
func (x *OIDC) who(id *oidc.IDToken) (string, Role, error) {
	var names struct {
		Preferred string `json:"preferred_username"`
		Email     string `json:"email"`
	}
	var claims map[string]json.RawMessage
	if err := errors.Join(id.Claims(&names), id.Claims(&claims)); err != nil {
		return "", "", refuseOIDC("claims: %w", err)
	}
	name := names.Preferred
	if name == "" {
		name = names.Email
	}
	name = strings.ToLower(name) + oidcSuffix
	if !Name(name) {
		return "", "", refused("%.100q cannot name an account", name)
	}
	var groups []string
	if raw := claims[x.o.Claim]; raw != nil {
		if err := json.Unmarshal(raw, &groups); err != nil {
			var one string
			if json.Unmarshal(raw, &one) != nil {
				return "", "", refuseOIDC("claim %s: no list of names", x.o.Claim)
			}
			groups = []string{one}
		}
	}
	for _, role := range []Role{Admin, Analyst, Auditor, Viewer} {
		if slices.ContainsFunc(groups[:min(len(groups), maxGroups)], func(g string) bool { return x.o.Roles[g] == role }) {
			return name, role, nil
		}
	}
	return "", "", refused("%s is in no group that has a role", name)
}

// vouched opens a session for whom a provider has signed in. subject, which no password
// hashes to, is kept in the place of one, and says whose an account is: a name is what
// its provider lets somebody change, and an account that is disabled stays so under
// another. An account of that name that is another's, or a local one, is not taken over.
func (p *People) vouched(ctx context.Context, name string, role Role, subject string, from netip.Addr) (string, time.Time, error) {
	fail := func(err error) (string, time.Time, error) { return "", time.Time{}, err }
	if len(subject) > maxSubject {
		return fail(refused("a subject of %d bytes", len(subject)))
	}
	a, err := p.store.AccountOf(ctx, subject)
	switch {
	case errors.Is(err, store.ErrNotFound):
		switch _, err := p.store.Account(ctx, name); {
		case err == nil:
			return fail(refused("the account %q is another's", name))
		case !errors.Is(err, store.ErrNotFound):
			return fail(err)
		}
		if _, err := p.Record(ctx, Entry{Account: name, Action: "account.add", Object: name, Detail: string(role) + " " + subject}); err != nil {
			return fail(err)
		}
		now := p.now()
		err := p.store.AddAccount(ctx, store.Account{Name: name, Role: string(role), Password: subject, Made: now, Changed: now})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return fail(err)
		}
		a, err = p.store.AccountOf(ctx, subject)
		if errors.Is(err, store.ErrNotFound) {
			return fail(refused("the account %q is another's", name))
		}
		if err != nil {
			return fail(err)
		}
	case err != nil:
		return fail(err)
	}
	switch {
	case a.Disabled:
		return fail(refused("the account %q is disabled", a.Name))
	case a.Role != string(role):
		if err := p.SetRole(ctx, a.Name, a.Name, role); err != nil {
			return fail(err)
		}
	}
	return p.open(ctx, Entry{Account: a.Name, Action: "login", Detail: "oidc " + from.String()}, a.Name, SessionLife, false)
}
