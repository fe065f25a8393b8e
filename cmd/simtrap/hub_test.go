package main

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/testscript"

	"simtrap/cmd/internal/scripttest"
	"simtrap/hub/admin"
	"simtrap/hub/people"
	"simtrap/hub/query"
	"simtrap/hub/query/querytest"
	"simtrap/hub/store"
	"simtrap/hub/trust"
	"simtrap/report/adminpb/adminpbconnect"
)

// TestHubScript asks two hubs in this process, HUB with a store in memory and STORED
// with one in SQLite.
func TestHubScript(t *testing.T) {
	audit := &querytest.Audit{}
	hub, err := querytest.Hub(querytest.Filled(250), audit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	sqlite, err := store.Open(t.Context(), store.Options{Folder: t.TempDir(), HubKey: querytest.Key()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqlite.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := querytest.Fill(t.Context(), sqlite, 20, nil); err != nil {
		t.Fatal(err)
	}
	stored, err := querytest.Hub(sqlite, audit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stored.Close)
	office, tokens := officeHub(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/hub",
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("HUB", hub.URL)
			env.Setenv("STORED", stored.URL)
			env.Setenv("OFFICE", office)
			for account, token := range tokens {
				if err := os.WriteFile(filepath.Join(env.WorkDir, account), []byte(token+"\n"), 0o600); err != nil {
					return err
				}
			}
			cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hub.Certificate().Raw})
			if err := os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), cert, 0o666); err != nil {
				return err
			}
			for _, account := range []string{"lee", "kim"} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, account), []byte("token-"+account+"\n"), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// shown FILE: nothing in it moves a terminal.
			"shown": func(ts *testscript.TestScript, _ bool, args []string) {
				text := ts.ReadFile(args[0])
				if text == "" {
					ts.Fatalf("%s is empty", args[0])
				}
				for _, r := range text {
					if r != '\n' && r != '\r' && !unicode.IsPrint(r) {
						ts.Fatalf("%U in %q", r, text)
					}
				}
			},
			// rows FILE N [FIELD...]: N lines of JSON, each with those fields first.
			"rows": func(ts *testscript.TestScript, _ bool, args []string) {
				n := 0
				for line := range strings.Lines(ts.ReadFile(args[0])) {
					n++
					if !json.Valid([]byte(line)) {
						ts.Fatalf("no JSON: %s", line)
					}
					at := 0
					for _, field := range args[2:] {
						i := strings.Index(line[at:], `"`+field+`":`)
						if i < 0 {
							ts.Fatalf("no %q in its place in %s", field, line)
						}
						at += i
					}
				}
				if args[1] != strconv.Itoa(n) {
					ts.Fatalf("%d rows, want %s", n, args[1])
				}
			},
			// audited TEXT: a use of that authority was written down.
			"audited": func(ts *testscript.TestScript, neg bool, args []string) {
				found := slices.ContainsFunc(audit.Uses(), func(u query.Use) bool { return u.Authority == args[0] })
				if found == neg {
					ts.Fatalf("uses: %v", audit.Uses())
				}
			},
			// mode FILE MODE, in octal.
			"mode": func(ts *testscript.TestScript, _ bool, args []string) {
				info, err := os.Stat(ts.MkAbs(args[0]))
				ts.Check(err)
				if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[1] {
					ts.Fatalf("mode %s, want %s", got, args[1])
				}
			},
			"status": scripttest.Status,
			"lines":  linesCommand,
			"narrow": scripttest.Narrow,
		},
	})
}

// officeHub is a hub that answers its administration, to accounts of every role.
func officeHub(t *testing.T) (address string, tokens map[string]string) {
	folder := filepath.Join(t.TempDir(), "hub")
	if err := trust.Init(folder, trust.Making{Names: []string{"localhost"}, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	authority, err := trust.Open(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Folder: folder, HubKey: authority.HubKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p := people.New(people.Options{Store: s})
	tokens = make(map[string]string)
	for _, role := range people.Roles() {
		if err := p.Add(t.Context(), "root", string(role), role, "correct horse battery"); err != nil {
			t.Fatal(err)
		}
		if tokens[string(role)], _, err = p.Token(t.Context(), "root", string(role), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	office := admin.New(admin.Options{Store: s, People: p, Tokens: authority})
	mux := http.NewServeMux()
	path, h := adminpbconnect.NewAdminServiceHandler(office, admin.HandlerOptions()...)
	mux.Handle(path, p.Handler(h))
	path, h = adminpbconnect.NewAuditServiceHandler(office, admin.HandlerOptions()...)
	mux.Handle(path, p.Handler(h))
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, tokens
}
