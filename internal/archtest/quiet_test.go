package archtest

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestQuiet(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	quiet := QuietOf(string(makefile))
	if len(quiet) == 0 {
		t.Fatal("the Makefile names no quiet packages")
	}
	faults, err := CheckQuiet(os.DirFS("../.."), quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Errorf("%s: take the package out of QUIET in the Makefile", f)
	}
}

func TestCheckQuiet(t *testing.T) {
	tree := fstest.MapFS{}
	add := func(name, src string) { tree[name] = &fstest.MapFile{Data: []byte(src)} }
	add("sip/call.go", "package sip\nimport \"simtrap/ident\"\nfunc f() { g.Wait() }")
	add("sip/call_test.go", "package sip\nimport \"simtrap/pipeline\"\nfunc TestF(t T) { t.Parallel(); go f() }")
	add("ident/line.go", "package ident\nfunc f() {\n\tg.Go(f)\n\ttime.AfterFunc(1, f)\n}")
	add("capture/read.go", "package capture")
	add("hidden/tunnel/count.go", "package tunnel")
	add("capture/read_test.go", "package capture\nfunc f() { go f() }")
	got, err := CheckQuiet(tree, []string{"sip", "ident", "gone"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"sip/call_test.go:2: imports simtrap/pipeline, which may start goroutines",
		"sip/call_test.go:3: starts a goroutine",
		"ident/line.go:3: starts a goroutine by Go",
		"ident/line.go:4: starts a goroutine by AfterFunc",
		"gone: no Go code there",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"sip", "a/b"}, QuietOf("X = y\nQUIET = sip a/b\nQUIET2 = z\n")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
