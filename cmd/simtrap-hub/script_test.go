package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"simtrap/cmd/internal/scripttest"
	"simtrap/firmware/update"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"simtrap-hub": profiled})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// The audit log names who did what.
			e.Vars = append(e.Vars, "USER=ops", "SUDO_USER=")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    scripttest.Status,
			"narrow":    scripttest.Narrow,
			"serving":   servingCommand,
			"get":       getCommand,
			"terminate": terminateCommand,
			"variable":  variableCommand,
			"tamper":    tamperCommand,
			"catalogue": catalogueCommand,
			"bundle":    bundleCommand,
			"kept":      keptCommand,
		},
	})
}

// bundleCommand makes a bundle of an update, signed by nobody's key: bundle FILE VERSION
// ARCH SEQUENCE [short].
func bundleCommand(ts *testscript.TestScript, neg bool, args []string) {
	sequence, err := strconv.ParseUint(args[3], 10, 64)
	ts.Check(err)
	var b bytes.Buffer
	ts.Check(update.Write(&b, update.Release{Version: args[1], Arch: args[2], Sequence: sequence, Floor: 1},
		strings.NewReader("kernel"), strings.NewReader(strings.Repeat(args[2]+args[3], 100_000)), ed25519.NewKeyFromSeed(make([]byte, 32))))
	if len(args) > 4 {
		b.Truncate(b.Len() / 2)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

// keptCommand counts what is in a folder: kept FOLDER NUMBER.
func keptCommand(ts *testscript.TestScript, neg bool, args []string) {
	list, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if want := args[1]; fmt.Sprint(len(list)) != want {
		ts.Fatalf("%d files in %s, want %s: %v", len(list), args[0], want, list)
	}
}

// servingCommand waits until the log of a hub in the background says where it
// serves, and puts the addresses into HUB and METRICS: serving LOG.
func servingCommand(ts *testscript.TestScript, neg bool, args []string) {
	find := func(text, after string) string {
		_, rest, ok := strings.Cut(text, after)
		if !ok {
			return ""
		}
		address, _, _ := strings.Cut(rest, `"`)
		return address
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(ts.MkAbs(args[0]))
		hub, metrics := find(string(b), `"msg":"serving","on":"`), find(string(b), `"msg":"metrics","on":"`)
		if hub != "" && metrics != "" {
			ts.Setenv("HUB", hub)
			ts.Setenv("METRICS", metrics)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the hub does not serve: %s", b)
		}
	}
}

// getCommand gets a page and looks for a text in it: get URL TEXT.
func getCommand(ts *testscript.TestScript, neg bool, args []string) {
	r, err := (&http.Client{Timeout: 10 * time.Second}).Get(args[0])
	ts.Check(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	ts.Check(err)
	if strings.Contains(string(b), args[1]) == neg {
		ts.Fatalf("%d %s", r.StatusCode, b)
	}
}

// terminateCommand sends SIGTERM to the commands in the background.
func terminateCommand(ts *testscript.TestScript, neg bool, args []string) {
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGTERM))
	}
}

// variableCommand puts what the last command printed into a variable: variable NAME.
func variableCommand(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// tamperCommand replaces a text in a file by one of the same length: tamper FILE OLD
// NEW.
func tamperCommand(ts *testscript.TestScript, neg bool, args []string) {
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	if len(args[1]) != len(args[2]) || !strings.Contains(string(b), args[1]) {
		ts.Fatalf("no %q in %s", args[1], args[0])
	}
	ts.Check(os.WriteFile(name, []byte(strings.ReplaceAll(string(b), args[1], args[2])), 0o600))
}

// catalogueCommand copies the project's catalogue: catalogue FOLDER.
func catalogueCommand(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[0]), os.DirFS(catalogueFolder)))
}

// catalogueFolder, from this package's.
var catalogueFolder = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir + "/../../heuristics/catalogue"
}()

func TestParseSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"0d": 0, "90d": 90 * 24 * time.Hour, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := parseSpan(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "d", "-1d", "1.5d", " 1d", "99999d", "-1h", "week"} {
		if got, err := parseSpan(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestVLAN(t *testing.T) {
	for text, want := range map[string]string{"7": "7-7", "0-4094": "0-4094", "100-199": "100-199"} {
		if got, err := vlan(text); err != nil || fmt.Sprintf("%d-%d", got.GetFirst(), got.GetLast()) != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "x", "1-", "-1", "5-4", "4095", "1-2-3", "1 ", "007"} {
		if got, err := vlan(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
