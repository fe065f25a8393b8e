package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"simtrap/cmd/internal/scripttest"
	"simtrap/lab"
	"simtrap/report/fleet/fleettest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"simtrapd": main})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"lab":      labCommand,
			"hub":      hubCommand(),
			"status":   scripttest.Status,
			"await":    awaitCommand,
			"hangup":   hangupCommand,
			"port":     portCommand,
			"envsubst": envsubstCommand,
		},
	})
}

// hubCommand is a hub in memory: hub start puts its address and a token into HUB and
// TOKEN; hub findings fails when it has none.
func hubCommand() func(*testscript.TestScript, bool, []string) {
	var hub *fleettest.Hub
	return func(ts *testscript.TestScript, neg bool, args []string) {
		switch args[0] {
		case "start":
			var err error
			hub, err = fleettest.New()
			ts.Check(err)
			ts.Check(hub.Start())
			ts.Defer(hub.Stop)
			ts.Setenv("HUB", hub.Addr())
			ts.Setenv("TOKEN", hub.Token("north"))
		case "findings":
			if len(hub.Findings()) == 0 {
				ts.Fatalf("the hub has no findings")
			}
		}
	}
}

// labCommand makes a capture of a scenario: lab FILE SCENARIO DURATION.
func labCommand(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[2])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	_, err = lab.Make(f, lab.Options{Scenario: args[1], Seed: 1, Duration: d})
	ts.Check(err)
}

// awaitCommand repeats a command until its output holds a text: await TEXT COMMAND...
func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		ts.Exec(args[1], args[2:]...)
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %q in %s%s", args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// hangupCommand sends SIGHUP to the commands in the background.
func hangupCommand(ts *testscript.TestScript, neg bool, args []string) {
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(syscall.SIGHUP))
	}
}

// portCommand puts a port that nobody listens on into a variable: port NAME.
func portCommand(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	ts.Check(l.Close())
}

// envsubstCommand copies a file with its variables filled in: envsubst FROM TO.
func envsubstCommand(ts *testscript.TestScript, neg bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o666))
}
