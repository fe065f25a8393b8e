package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// issuer is a provider of OpenID Connect with ES256, for one client, who asks nobody
// anything.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu     sync.Mutex
	asked  url.Values // of the sign-in under way
	claims map[string]any
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &issuer{key: key}
	b64 := base64.RawURLEncoding.EncodeToString
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": x.URL, "authorization_endpoint": x.URL + "/auth", "token_endpoint": x.URL + "/token", "jwks_uri": x.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		point, err := key.PublicKey.Bytes() // 4, X, Y
		if err != nil {
			t.Error(err)
			return
		}
		answer(w, map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": b64(point[1:33]), "y": b64(point[33:])}}})
	})
	mux.HandleFunc("GET /auth", func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		x.asked = r.URL.Query()
		x.mu.Unlock()
		back, err := url.Parse(r.URL.Query().Get("redirect_uri"))
		if err != nil {
			http.Error(w, "no way back", http.StatusBadRequest)
			return
		}
		back.RawQuery = url.Values{"code": {"once"}, "state": {r.URL.Query().Get("state")}}.Encode()
		http.Redirect(w, r, back.String(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		defer x.mu.Unlock()
		id, secret, _ := r.BasicAuth()
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if id != "the-hub" || secret != "a-secret-of-the-hub" || r.FormValue("code") != "once" || b64(sum[:]) != x.asked.Get("code_challenge") || r.FormValue("redirect_uri") != x.asked.Get("redirect_uri") {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]string{"error": "invalid_grant"})
			return
		}
		claims := map[string]any{"iss": x.URL, "aud": "the-hub", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": x.asked.Get("nonce")}
		for k, v := range x.claims {
			claims[k] = v
		}
		head, _ := json.Marshal(map[string]string{"alg": "ES256", "kid": "1"})
		body, _ := json.Marshal(claims)
		text := b64(head) + "." + b64(body)
		digest := sha256.Sum256([]byte(text))
		signature, err := es256(key, digest[:])
		if err != nil {
			t.Error(err)
			return
		}
		answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": text + "." + b64(signature)})
	})
	x.Server = httptest.NewTLSServer(mux)
	t.Cleanup(x.Close)
	return x
}

// es256 signs as JWS does: both numbers in 32 bytes (RFC 7518 section 3.4).
func es256(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	der, err := key.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	rest := der[2:]
	for i := range 2 {
		n := int(rest[1])
		number := rest[2 : 2+n]
		for len(number) > 32 {
			number = number[1:] // the zero of a sign
		}
		copy(out[32*(i+1)-len(number):], number)
		rest = rest[2+n:]
	}
	return out, nil
}

// TestSignIn: a hub that its flags name a provider to lets people in by it, on its pages
// and for programs, with the role of their group, and nobody else.
func TestSignIn(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts programs")
	}
	x := newIssuer(t)
	folder, _, s := madeHub(t, "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ca, secret := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("a-secret-of-the-hub\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := startHub(t, folder, "--oidc-issuer", x.URL, "--oidc-client", "the-hub", "--oidc-secret", secret, "--oidc-ca", ca,
		"--oidc-hub", "https://hub.example:8443", "--oidc-role", "fraud=analyst", "--oidc-role", "readers=viewer", "--oidc-claim", "teams")
	browser := func() *http.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{
			Jar: jar, Timeout: 20 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
			CheckRedirect: func(r *http.Request, _ []*http.Request) error {
				if r.URL.Host == "hub.example:8443" { // as browsers reach it
					r.URL.Host = hub.address
				}
				return nil
			},
		}
	}
	get := func(c *http.Client, address string) (int, string) {
		t.Helper()
		r, err := c.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	at := "https://" + hub.address
	if _, page := get(browser(), at+"/sign-in"); !strings.Contains(page, "/oidc/login?pages") {
		t.Errorf("the page of the sign-in does not lead to the provider: %s", page)
	}
	for _, c := range []struct {
		name   string
		claims map[string]any
		status int
		role   string
	}{
		{"an analyst", map[string]any{"sub": "1", "preferred_username": "Ann", "teams": []string{"staff", "fraud"}}, http.StatusOK, "analyst"},
		{"a viewer", map[string]any{"sub": "2", "email": "kim@login.example", "teams": []string{"readers"}}, http.StatusOK, "viewer"},
		{"of no group", map[string]any{"sub": "3", "preferred_username": "bob", "teams": []string{"staff"}}, http.StatusForbidden, ""},
		{"another with a name that is taken", map[string]any{"sub": "4", "preferred_username": "ann", "teams": []string{"fraud"}}, http.StatusForbidden, ""},
		{"a token for another client", map[string]any{"sub": "1", "preferred_username": "Ann", "teams": []string{"fraud"}, "aud": "another"}, http.StatusUnauthorized, ""},
		{"a token of before", map[string]any{"sub": "1", "preferred_username": "Ann", "teams": []string{"fraud"}, "nonce": "old"}, http.StatusUnauthorized, ""},
	} {
		x.mu.Lock()
		x.claims = c.claims
		x.mu.Unlock()
		b := browser()
		status, page := get(b, at+"/oidc/login?pages")
		if status != c.status {
			t.Errorf("%s: %d %s", c.name, status, page)
		}
		status, page = get(b, at+"/")
		if in := status == http.StatusOK && strings.Contains(page, "@oidc"); in != (c.role != "") || in && !strings.Contains(page, c.role) {
			t.Errorf("%s: the overview afterwards: %d %.2000s", c.name, status, page)
		}
		// A program's token is the text of the answer, and good for what the role may do.
		status, token := get(browser(), at+"/oidc/login")
		if status != c.status {
			t.Errorf("%s, for a program: %d %s", c.name, status, token)
		}
		if c.role == "" {
			continue
		}
		for authority, want := range map[string]int{"": http.StatusOK, "case 1": map[string]int{"analyst": http.StatusOK, "viewer": http.StatusForbidden}[c.role]} {
			body, _ := json.Marshal(map[string]string{"authority": authority})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/simtrap.query.v1.QueryService/ListFindings", strings.NewReader(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
			answer, err := browser().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s, authority %q: %d %s, want %d", c.name, authority, answer.StatusCode, text, want)
			}
		}
	}
	hub.terminate(t)
}
