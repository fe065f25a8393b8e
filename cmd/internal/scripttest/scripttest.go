// Package scripttest has the script commands that the tests of several programs
// use.
package scripttest

import (
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// Status runs a command and checks its exit status: status N COMMAND...
func Status(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// Narrow refuses lines of more than 100 columns: narrow FILE.
func Narrow(ts *testscript.TestScript, neg bool, args []string) {
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
