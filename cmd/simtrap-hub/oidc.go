package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"simtrap/hub/people"
)

// signIn is who vouches for people beside the hub, as flags say.
type signIn struct {
	issuer, client, secret, url, claim, ca string
	roles                                  []string
}

func (s *signIn) bind(f *pflag.FlagSet) {
	f.StringVar(&s.issuer, "oidc-issuer", "", "`URL` of a provider of OpenID Connect by whom people sign in as well, at /oidc/login")
	f.StringVar(&s.client, "oidc-client", "", "`ID` of the hub there")
	f.StringVar(&s.secret, "oidc-secret", "", "`FILE` with the hub's secret there, for its owner alone")
	f.StringVar(&s.url, "oidc-hub", "", "`URL` of the hub as browsers reach it, such as https://hub.example:8443")
	f.StringArrayVar(&s.roles, "oidc-role", nil, "`GROUP=ROLE`: what role members of a group there have here; may be given again")
	f.StringVar(&s.claim, "oidc-claim", "groups", "`NAME` of the claim with the groups")
	f.StringVar(&s.ca, "oidc-ca", "", "`FILE` of certificates (PEM) that the provider's is to be signed by (default the system's)")
}

// options makes what flags say; ok is false where nobody is to vouch.
func (s *signIn) options() (o people.OIDCOptions, ok bool, err error) {
	if s.issuer == "" {
		if s.client != "" || s.secret != "" || s.url != "" || len(s.roles) > 0 || s.ca != "" {
			return o, false, errors.New("--oidc flags need --oidc-issuer")
		}
		return o, false, nil
	}
	o = people.OIDCOptions{Issuer: s.issuer, Client: s.client, Redirect: strings.TrimSuffix(s.url, "/") + people.CallbackPath, Claim: s.claim, Roles: make(map[string]people.Role)}
	for _, text := range s.roles {
		i := strings.LastIndexByte(text, '=')
		if i <= 0 {
			return o, false, fmt.Errorf("--oidc-role %q: want GROUP=ROLE", text)
		}
		if o.Roles[text[:i]], err = people.ParseRole(text[i+1:]); err != nil {
			return o, false, fmt.Errorf("--oidc-role %w", err)
		}
	}
	if s.secret != "" { // a public client has none
		info, err := os.Stat(s.secret)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			err = errors.New("others may read it: chmod 600 it")
		}
		var b []byte
		if err == nil {
			b, err = readPEM(s.secret)
		}
		if err != nil {
			return o, false, fmt.Errorf("--oidc-secret: %w", err)
		}
		o.Secret = string(bytes.TrimSpace(b))
	}
	if s.ca != "" {
		text, err := readPEM(s.ca)
		if err != nil {
			return o, false, fmt.Errorf("--oidc-ca: %w", err)
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !o.TLS.RootCAs.AppendCertsFromPEM(text) {
			return o, false, fmt.Errorf("--oidc-ca: %s: no certificates in PEM", s.ca)
		}
	}
	// What is wrong with the rest is said before the hub is opened.
	try := o
	try.Key = make([]byte, 32)
	x, err := (&people.People{}).NewOIDC(try)
	if err != nil {
		return o, false, err
	}
	x.Close()
	return o, true, nil
}

// serveOIDC adds the pages of the sign-in.
func serveOIDC(h *hub, s *signIn, beside map[string]http.Handler, done func(http.ResponseWriter, *http.Request, string, time.Time)) (stop func(), err error) {
	o, ok, err := s.options()
	if err != nil || !ok {
		return func() {}, err
	}
	o.Key, o.Done = h.trust.Derive("oidc"), done
	x, err := h.people.NewOIDC(o)
	if err != nil {
		return func() {}, err
	}
	beside[people.OIDCPath], beside[people.CallbackPath] = x.LoginHandler(), x.CallbackHandler()
	return x.Close, nil
}
