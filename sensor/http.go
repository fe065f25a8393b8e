package sensor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"simtrap/sensor/config"
)

// pages is what the daemon serves. It is read only.
type pages struct {
	snapshot func() Status
	healthy  func() error
	ready    func() error
	profiles func() bool
	registry *prometheus.Registry
}

func (p *pages) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	answer := func(check func() error) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			if err := check(); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprintln(w, err)
				return
			}
			fmt.Fprintln(w, "ok")
		}
	}
	mux.HandleFunc("GET /healthz", answer(p.healthy))
	mux.HandleFunc("GET /readyz", answer(p.ready))
	mux.Handle("GET /status", local(http.HandlerFunc(p.status)))
	profile := func(f http.HandlerFunc) http.Handler {
		return local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !p.profiles() {
				http.NotFound(w, r)
				return
			}
			f(w, r)
		}))
	}
	mux.Handle("GET /debug/pprof/", profile(pprof.Index))
	mux.Handle("GET /debug/pprof/profile", profile(pprof.Profile))
	mux.Handle("GET /debug/pprof/trace", profile(pprof.Trace))
	mux.Handle("GET /debug/pprof/symbol", profile(pprof.Symbol))
	return mux
}

func (p *pages) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(p.snapshot())
}

// local serves to this machine alone: by the address that asks, and by the name
// that it asks for, since a page of the web may lead a browser here under a
// name of its own.
func local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			name, _, err := net.SplitHostPort(r.Host)
			if err != nil {
				name = r.Host
			}
			host, err := netip.ParseAddr(name)
			if !a.Addr().Unmap().IsLoopback() || name != "localhost" && (err != nil || !host.IsLoopback()) {
				http.Error(w, "for this machine alone", http.StatusForbidden)
				return
			}
		} else if _, unix := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); !unix {
			http.Error(w, "for this machine alone", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// server serves on one listener at a time.
type server struct {
	handler http.Handler
	mu      sync.Mutex
	http    *http.Server
	done    chan struct{}
	address string
}

// listen starts to serve at an address in place of the one before; where that
// fails the one before stays.
func (s *server) listen(network, address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if address == s.address {
		return nil
	}
	var l net.Listener
	if address != config.None {
		var err error
		if l, err = listen(network, address); err != nil {
			return err
		}
	}
	s.stop()
	s.address = address
	if l == nil {
		return nil
	}
	s.http = &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 2 * time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	s.done = make(chan struct{})
	go func(h *http.Server, done chan struct{}) {
		defer close(done)
		h.Serve(l) // ends when it is closed
	}(s.http, s.done)
	return nil
}

// close stops serving.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	s.address = ""
}

func (s *server) stop() {
	if s.http == nil {
		return
	}
	s.http.Close()
	<-s.done
	s.http = nil
}

// listen listens; a socket that a dead daemon left is taken away first.
func listen(network, address string) (net.Listener, error) {
	if network != "unix" {
		a, err := config.ListenAddress(address)
		if err != nil {
			return nil, err
		}
		return net.Listen(network, a.String())
	}
	if err := os.MkdirAll(filepath.Dir(address), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(address); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket", address)
		}
		if c, err := net.DialTimeout("unix", address, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s: another simtrapd answers there", address)
		}
		if err := os.Remove(address); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	l, err := net.Listen("unix", address)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(address, 0o660)
}
