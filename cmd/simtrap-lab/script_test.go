package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"simtrap-lab": main})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": statusCommand,
			"narrow": narrowCommand,
			"fields": fieldsCommand,
		},
	})
}

// statusCommand runs a command and checks its exit status: status N COMMAND...
func statusCommand(ts *testscript.TestScript, neg bool, args []string) {
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = string(rune('0' + exit.ExitCode()))
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// narrowCommand refuses lines of more than 100 columns: narrow FILE.
func narrowCommand(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if text == "" {
		ts.Fatalf("%s is empty", args[0])
	}
	for line := range strings.Lines(text) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 100 {
			ts.Fatalf("%d columns: %s", n, line)
		}
	}
}

// fieldsCommand checks that a file is one JSON object that has fields:
// fields FILE NAME...
func fieldsCommand(ts *testscript.TestScript, neg bool, args []string) {
	var object map[string]json.RawMessage
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	for _, name := range args[1:] {
		if _, here := object[name]; !here {
			ts.Fatalf("no %s in %s", name, args[0])
		}
	}
}
