package querytest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/hub/query"
	"simtrap/report/querypb/querypbconnect"
)

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

type whoKey struct{}

// People knows the accounts lee, who may see addresses in clear, and kim, who may
// not, by their tokens "token-lee" and "token-kim", and jo, who may read nothing.
type People struct{}

// Who implements query.People.
func (People) Who(ctx context.Context) (query.Person, error) {
	p, ok := ctx.Value(whoKey{}).(query.Person)
	if !ok {
		return p, errors.New("nobody")
	}
	return p, nil
}

// As gives a context in which an account asks.
func As(ctx context.Context, account string) context.Context {
	return context.WithValue(ctx, whoKey{}, query.Person{Account: account, Reads: account != "jo", Clear: account == "lee"})
}

// Audit keeps uses in memory.
type Audit struct {
	mu   sync.Mutex
	uses []query.Use
	// Err fails every use.
	Err error
}

// Used implements query.Audit.
func (a *Audit) Used(_ context.Context, u query.Use) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Err != nil {
		return a.Err
	}
	a.uses = append(a.uses, u)
	return nil
}

// Uses gives what was written down.
func (a *Audit) Uses() []query.Use {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]query.Use(nil), a.uses...)
}

// Key is a key for tests.
func Key() []byte { return []byte("0123456789abcdef0123456789abcdef") }

// Hub serves a store over TLS on the loopback, with /login as the hub's door has
// it: the password of every account is "secret". Close it.
func Hub(s query.Store, a query.Audit) (*httptest.Server, error) {
	service, err := query.New(query.Options{Store: s, People: People{}, Audit: a, Key: Key()})
	if err != nil {
		return nil, err
	}
	path, handler := querypbconnect.NewQueryServiceHandler(service, query.HandlerOptions()...)
	mux := http.NewServeMux()
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer token-"); ok {
			r = r.WithContext(As(r.Context(), token))
		}
		handler.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		var m struct{ Account, Password string }
		data, err := io.ReadAll(io.LimitReader(r.Body, 4096))
		if err != nil || json.Unmarshal(data, &m) != nil || m.Password != "secret" {
			http.Error(w, "no such account, or another password", http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"token": "token-" + m.Account, "expires": Day()})
	})
	mux.HandleFunc("DELETE /login", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer token-") {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	hub := httptest.NewUnstartedServer(mux)
	hub.EnableHTTP2 = true
	hub.StartTLS()
	return hub, nil
}
