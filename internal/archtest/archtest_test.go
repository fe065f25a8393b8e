package archtest

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestProject(t *testing.T) {
	faults, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

func TestCheck(t *testing.T) {
	tree := fstest.MapFS{}
	add := func(name, src string) { tree[name] = &fstest.MapFile{Data: []byte(src)} }
	add("ident/line.go", `package ident; import "fmt"; func (x T) init() {}`)
	add("ident/line_test.go", `package ident; import ("simtrap/pipeline"; "github.com/google/gopacket")`)
	add("sip/call.go", `package sip; import ("simtrap/ident"; "simtrap/packet"; "simtrap/sip/part")`)
	add("sip/rtp.go", `package sip; import "simtrap/rtp"`)
	add("sip/tagged.go", "//go:build plan9\n\npackage sip; import \"simtrap/control\"")
	add("lab/lab.go", `package lab; import "github.com/google/gopacket/layers"`)
	add("lab/sip.go", `package lab; import "simtrap/sip"`)
	add("packet/layers.go", `package packet; import "github.com/google/gopacket"`)
	add("cmd/simtrap/main.go", `package main; import ("simtrap/lab"; "simtrap/pipeline"); func init() {}`)
	add("capture/ring.go", `package capture; import "C"`)
	add("capture/ring_test.go", `package capture; import "C"`)
	add("util/util.go", `package util`)
	add("root.go", `package simtrap`)
	add("report/r.go", `package report; import "simtrap"`)
	add("tools/go.mod", `module other`)
	add("tools/tool.go", `package tools; import "C"`)
	add("sip/testdata/x.go", `not Go`)

	got, err := Check(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"capture/ring.go: uses cgo",
		"capture/ring_test.go: uses cgo",
		"cmd/simtrap/main.go: has an init function",
		"lab/sip.go: lab must not import simtrap/sip",
		"packet/layers.go: imports github.com/google/gopacket, which only lab and tests may",
		"report/r.go: report must not import simtrap",
		"root.go: Go code outside the folders of docs/design.md",
		"sip/rtp.go: sip must not import simtrap/rtp",
		"sip/tagged.go: sip must not import simtrap/control",
		"util/util.go: Go code outside the folders of docs/design.md",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestCheckRefusesWhatItCannotRead(t *testing.T) {
	if _, err := Check(fstest.MapFS{"ident/bad.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("no error for a file that is no Go")
	}
}
