package people

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

type personKey struct{}

// FromContext says who asks, if Handler knew.
func FromContext(ctx context.Context) (Person, bool) {
	p, ok := ctx.Value(personKey{}).(Person)
	return p, ok
}

// WithPerson makes a context tell who asks.
func WithPerson(ctx context.Context, who Person) context.Context {
	return context.WithValue(ctx, personKey{}, who)
}

// Handler tells next who asks, by the header "Authorization: Bearer TOKEN". It
// refuses requests without one, and those whose token does not hold, before
// anything of their bodies is read.
func (p *People) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
		if !ok || !strings.EqualFold(kind, "Bearer") {
			http.Error(w, "log in first: the hub does not know who asks", http.StatusUnauthorized)
			return
		}
		who, err := p.Who(r.Context(), token)
		switch {
		case errors.Is(err, ErrSession):
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case err != nil:
			p.log.Error("session not read", zap.Error(err))
			http.Error(w, "the hub cannot look at sessions now", http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r.WithContext(WithPerson(r.Context(), who)))
		}
	})
}

// maxLogin bounds the body of a login, in bytes.
const maxLogin = 2048

// LoginHandler answers POST of {"account", "password"} with {"token", "expires"},
// and DELETE with a token in the header by ending its session.
func (p *People) LoginHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			p.login(w, r)
		case http.MethodDelete:
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok {
				http.Error(w, "no token", http.StatusUnauthorized)
				return
			}
			if err := p.Logout(r.Context(), token); err != nil {
				p.log.Error("session not ended", zap.Error(err))
				http.Error(w, "the hub cannot end sessions now", http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Allow", "POST, DELETE")
			http.Error(w, "POST logs in, DELETE logs out", http.StatusMethodNotAllowed)
		}
	})
}

func (p *People) login(w http.ResponseWriter, r *http.Request) {
	// A page of another site can send no JSON without being asked about it first.
	if t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); t != "application/json" {
		http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
		return
	}
	var m struct{ Account, Password string }
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLogin))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		http.Error(w, `want {"account": ..., "password": ...}`, http.StatusBadRequest)
		return
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	token, until, err := p.Login(r.Context(), m.Account, m.Password, from.Addr())
	var wait *Throttled
	switch {
	case errors.Is(err, ErrLogin):
		http.Error(w, err.Error(), http.StatusUnauthorized)
	case errors.As(err, &wait):
		w.Header().Set("Retry-After", strconv.Itoa(int(wait.After/time.Second)+1))
		http.Error(w, err.Error(), http.StatusTooManyRequests)
	case errors.Is(err, ErrBusy):
		w.Header().Set("Retry-After", "2")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		p.log.Error("login not carried out", zap.Error(err))
		http.Error(w, "the hub cannot log anybody in now", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(struct {
			Token   string    `json:"token"`
			Expires time.Time `json:"expires"`
		}{token, until.UTC()})
	}
}
