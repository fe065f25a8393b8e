package main

import (
	"encoding/json"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"simtrap/cmd/internal/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"simtrap-lab": main})
}

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scripttest.Status,
			"narrow": scripttest.Narrow,
			"fields": fieldsCommand,
		},
	})
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
