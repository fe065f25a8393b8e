package people

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"simtrap/hub/store"
)

// provider is one of OpenID Connect that a test can make lie.
type provider struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu        sync.Mutex
	claims    map[string]any // of the next token, over those that hold
	challenge string         // of the sign-in under way
	nonce     string
	asked     int // for tokens
	sign      *rsa.PrivateKey
}

// vouching gives people whose clock is the wall's, as a provider's is.
func vouching(t *testing.T) *People {
	t.Helper()
	p, _, now := crowd(t)
	*now = time.Now()
	return p
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, sign: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if r.FormValue("code") != "good" || b64(sum[:]) != p.challenge {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]string{"error": "invalid_grant"})
			return
		}
		claims := map[string]any{"iss": p.URL, "sub": "1", "aud": "hub", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": p.nonce, "preferred_username": "Ann", "groups": []string{"staff", "fraud"}}
		for k, v := range p.claims {
			if v == nil {
				delete(claims, k)
				continue
			}
			claims[k] = v
		}
		head, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": "1"})
		body, _ := json.Marshal(claims)
		text := b64(head) + "." + b64(body)
		digest := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(rand.Reader, p.sign, crypto.SHA256, digest[:])
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": text + "." + b64(signature)})
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) oidc(t *testing.T, people *People) *OIDC {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	x, err := people.NewOIDC(OIDCOptions{Issuer: p.URL, Client: "hub", Secret: "secret", Redirect: "https://hub.example" + CallbackPath, Key: make([]byte, 32), TLS: &tls.Config{RootCAs: roots},
		Roles: map[string]Role{"fraud": Analyst, "bosses": Admin, "readers": Viewer}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

// begin sends a browser off, and gives what it holds and the state that comes back.
func (p *provider) begin(t *testing.T, x *OIDC) (*http.Cookie, string) {
	t.Helper()
	w := httptest.NewRecorder()
	x.LoginHandler().ServeHTTP(w, httptest.NewRequest("GET", OIDCPath, nil))
	if w.Code != http.StatusFound {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" || q.Get("response_type") != "code" || q.Get("redirect_uri") != "https://hub.example"+CallbackPath || !strings.HasPrefix(to.String(), p.URL+"/auth?") {
		t.Errorf("sent to %s", to)
	}
	c := w.Result().Cookies()[0]
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") {
		t.Errorf("cookie %+v", c)
	}
	p.mu.Lock()
	p.challenge, p.nonce = q.Get("code_challenge"), q.Get("nonce")
	p.mu.Unlock()
	return c, q.Get("state")
}

func back(x *OIDC, c *http.Cookie, query string) (int, string) {
	r := httptest.NewRequest("GET", CallbackPath+"?"+query, nil)
	if c != nil {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	x.CallbackHandler().ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestOIDC(t *testing.T) {
	p, people := newProvider(t), vouching(t)
	x := p.oidc(t, people)
	in := func(claims map[string]any) (int, string) {
		t.Helper()
		c, state := p.begin(t, x)
		p.mu.Lock()
		p.claims = claims
		p.mu.Unlock()
		return back(x, c, "code=good&state="+state)
	}
	status, token := in(nil)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, token)
	}
	if who, err := people.Who(t.Context(), token); err != nil || who.Account != "ann@oidc" || who.Role != Analyst {
		t.Errorf("%+v, %v", who, err)
	}
	// A role follows the groups of the day, also of sessions that are open.
	if status, text := in(map[string]any{"groups": []string{"readers", "bosses"}}); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if who, err := people.Who(t.Context(), token); err != nil || who.Role != Admin {
		t.Errorf("%+v, %v", who, err)
	}
	// A name that the provider has changed makes no second account.
	if status, text := in(map[string]any{"preferred_username": "Ann.Other"}); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	} else if who, err := people.Who(t.Context(), text); err != nil || who.Account != "ann@oidc" {
		t.Errorf("%+v, %v", who, err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		claims map[string]any
		status int
	}{
		"no group that counts":  {map[string]any{"groups": []string{"staff"}}, 403},
		"no groups":             {map[string]any{"groups": nil}, 403},
		"another nonce":         {map[string]any{"nonce": "x"}, 401},
		"another audience":      {map[string]any{"aud": "other"}, 401},
		"another issuer":        {map[string]any{"iss": "https://evil.example"}, 401},
		"ended":                 {map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, 401},
		"another of that name":  {map[string]any{"sub": "2"}, 403},
		"no name":               {map[string]any{"preferred_username": "../ann"}, 403},
		"an endless subject":    {map[string]any{"sub": strings.Repeat("s", 5000), "preferred_username": "long"}, 403},
		"groups that are none":  {map[string]any{"groups": 7}, 401},
		"a group and no list":   {map[string]any{"groups": "fraud"}, 200},
		"an address for a name": {map[string]any{"preferred_username": nil, "email": "bob@x.example", "sub": "3"}, 200},
	} {
		if status, text := in(c.claims); status != c.status || status != 200 && strings.HasPrefix(text, sessionKind) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	p.sign = other
	if status, text := in(nil); status != 401 {
		t.Errorf("another's signature: %d %s", status, text)
	}
	p.sign = p.key
	// What does not come back as it went is refused, before the provider is asked.
	c, state := p.begin(t, x)
	stale, _ := p.begin(t, x)
	asked := p.asked
	for name, try := range map[string]struct {
		cookie *http.Cookie
		query  string
	}{
		"no cookie":      {nil, "code=good&state=" + state},
		"no state":       {c, "code=good"},
		"another state":  {c, "code=good&state=x"},
		"another's":      {stale, "code=good&state=" + state},
		"a made cookie":  {&http.Cookie{Name: oidcCookie, Value: "AAAA"}, "code=good&state="},
		"the provider's": {c, "error=access_denied&state=" + state},
	} {
		if status, text := back(x, try.cookie, try.query); status != 401 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if p.asked != asked {
		t.Errorf("the provider was asked %d times", p.asked-asked)
	}
	if status, _ := back(x, stale, "code=bad&state=x"); status != 401 {
		t.Error(status)
	}
	// Who is disabled stays out, and nobody has a password.
	if err := people.Disable(t.Context(), "test", "ann@oidc", true); err != nil {
		t.Fatal(err)
	}
	if status, text := in(nil); status != 403 {
		t.Errorf("disabled: %d %s", status, text)
	}
	if status, text := in(map[string]any{"preferred_username": "anna"}); status != 403 {
		t.Errorf("disabled, by another name: %d %s", status, text)
	}
	if _, err := people.store.Account(t.Context(), "anna@oidc"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second account of who is disabled: %v", err)
	}
	if _, _, err := people.Login(t.Context(), "bob@x.example@oidc", "oidc:"+p.URL+"#3", netip.MustParseAddr("203.0.113.9")); err == nil {
		t.Error("what stands for a password is one")
	}
	log, err := people.Log(t.Context(), 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, e := range log {
		seen[e.Action+" "+e.Account] = true
	}
	for _, want := range []string{"account.add ann@oidc", "login ann@oidc", "account.role ann@oidc"} {
		if !seen[want] {
			t.Errorf("the audit log has no %s", want)
		}
	}
	// A provider that is away is no reason to wait long.
	p.Close()
	y := p.oidc(t, people)
	for range 2 {
		w := httptest.NewRecorder()
		y.LoginHandler().ServeHTTP(w, httptest.NewRequest("GET", OIDCPath, nil))
		if w.Code != http.StatusBadGateway {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestOIDCOptions(t *testing.T) {
	people := vouching(t)
	good := OIDCOptions{Issuer: "https://x", Client: "c", Redirect: "https://h" + CallbackPath, Key: make([]byte, 32), Roles: map[string]Role{"g": Viewer}}
	if x, err := people.NewOIDC(good); err != nil {
		t.Error(err)
	} else {
		x.Close()
	}
	for i, bad := range []func(*OIDCOptions){
		func(o *OIDCOptions) { o.Issuer = "http://x" }, func(o *OIDCOptions) { o.Client = "" }, func(o *OIDCOptions) { o.Redirect = "https://h/x" },
		func(o *OIDCOptions) { o.Key = nil }, func(o *OIDCOptions) { o.Roles = nil }, func(o *OIDCOptions) { o.Roles = map[string]Role{"g": "god"} },
	} {
		o := good
		bad(&o)
		if _, err := people.NewOIDC(o); err == nil {
			t.Error(fmt.Sprint(i), "is taken")
		}
	}
}
