package storetest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Shared is the PostgreSQL of all tests of a package, started by the first that asks
// for it. The zero value is one.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// URL gives a database of the test's own. Where no PostgreSQL is installed the test is
// skipped.
func (s *Shared) URL(t testing.TB) string {
	t.Helper()
	s.once.Do(func() { s.server, s.err = Start() })
	if errors.Is(s.err, ErrMissing) {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	u, err := s.server.URL()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Main runs a package's tests, ends the server, and looks for goroutines that are left.
// It gives the exit status.
func (s *Shared) Main(m *testing.M) int {
	code := m.Run()
	if s.server != nil {
		if err := s.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}
