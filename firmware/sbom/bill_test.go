package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const sum = "4c0f36c2b0a3b5f6a1b1d0e2a2c8f6a1f50b3d6bb2c1dc2a4b0a9a1e5d3c7b10"

func someBill(t *testing.T) document {
	t.Helper()
	b := newBill(subject{"image", "1", "arm64"}, time.Unix(1_700_000_000, 0))
	info := &debug.BuildInfo{GoVersion: "go1.26.7", Deps: []*debug.Module{
		{Path: "example.org/b/v2", Version: "v2.0.0", Sum: "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{Path: "example.org/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/new", Version: "v1.1.0+incompatible"}},
	}}
	// What two programs share is there once.
	for range 2 {
		if err := b.addProgram(info); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.addDebs(strings.NewReader("# list\n\nlibc6 2.36-9+deb12u14 arm64 " + sum + "\n")); err != nil {
		t.Fatal(err)
	}
	return b.document()
}

func TestBill(t *testing.T) {
	d := someBill(t)
	var got []string
	for _, p := range d.Packages {
		line := p.Refs[0].Locator
		for _, c := range p.Checksums {
			line += " " + c.Value[:8]
		}
		got = append(got, line)
	}
	want := []string{
		"pkg:generic/image@1?arch=arm64",
		"pkg:deb/debian/libc6@2.36-9+deb12u14?arch=arm64 4c0f36c2",
		"pkg:golang/example.org/b/v2@v2.0.0 00000000",
		"pkg:golang/example.org/new@v1.1.0+incompatible",
		"pkg:golang/stdlib@1.26.7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d.Creation.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("created %s", d.Creation.Created)
	}
	valid := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	ids := map[string]bool{d.ID: true}
	for _, p := range d.Packages {
		if !valid.MatchString(p.ID) || ids[p.ID] {
			t.Errorf("identifier %q is there twice or not one of SPDX", p.ID)
		}
		ids[p.ID] = true
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("relationship %v with what is not there", r)
		}
	}
	if len(d.Relationships) != len(d.Packages) {
		t.Errorf("%d relationships of %d packages", len(d.Relationships), len(d.Packages))
	}
	if diff := cmp.Diff(d, someBill(t)); diff != "" {
		t.Errorf("another bill of the same: %s", diff)
	}
}

func TestBillRefuses(t *testing.T) {
	for _, text := range []string{"libc6 1 arm64\n", "libc6 1 arm64 abcd\n", "libc6 1 arm64 " + sum + "\nlibc6 1 arm64 " + sum + "\n"} {
		if err := newBill(subject{}, time.Time{}).addDebs(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	bad := &debug.BuildInfo{Deps: []*debug.Module{{Path: "x", Version: "v1.0.0", Sum: "h1:AAAA"}}}
	if err := newBill(subject{}, time.Time{}).addProgram(bad); err == nil {
		t.Error("a short checksum was taken")
	}
}

// The test itself is a program of Go; of a test's modules nothing is recorded.
func TestRun(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	debs := filepath.Join(t.TempDir(), "debs")
	if err := os.WriteFile(debs, []byte("zlib1g 1:1.2 amd64 "+sum+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run([]string{"--name", "x", "--version", "0~1", "--arch", "amd64", "--debs", debs, self}, "0", &out); err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pkg:golang/stdlib@", "pkg:deb/debian/zlib1g@1:1.2?arch=amd64"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s", want)
		}
	}
	for _, args := range [][]string{{"--name", "x"}, {"--name", "x", "--version", "1", "--arch", "amd64", debs}, {"--name", "x", "--version", "1", "--arch", "amd64", "--debs", debs + "0"}} {
		if err := run(args, "0", &out); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if err := run([]string{"--name", "x", "--version", "1", "--arch", "amd64"}, "now", &out); err == nil {
		t.Error("a time that is none was taken")
	}
}
