package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"simtrap/cmd/internal/command"
	"simtrap/lab"
)

func run(args ...string) (string, error) {
	var out bytes.Buffer
	c := newRoot(command.Terminal{Program: "simtrap-lab", Out: &out, Err: io.Discard})
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}

// misuse says whether an error makes the program exit as for wrong usage.
func misuse(err error) bool {
	return command.Exit(command.Terminal{Err: io.Discard}, err) == command.Misuse
}

func TestList(t *testing.T) {
	out, err := run("list")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(lab.Scenarios()) {
		t.Errorf("%d lines for %d scenarios", len(lines), len(lab.Scenarios()))
	}
	for i, s := range lab.Scenarios() {
		if !strings.HasPrefix(lines[i], s.Name+" ") || !strings.HasSuffix(lines[i], s.Text) {
			t.Errorf("line %q for %s", lines[i], s.Name)
		}
	}
}

func TestMake(t *testing.T) {
	dir := t.TempDir()
	file, truth := filepath.Join(dir, "a.pcap"), filepath.Join(dir, "a.json")
	if _, err := run("make", "goip-line", "-o", file, "--truth", truth, "--seed", "3", "--duration", "1m", "--encap", "pppoe", "--view", "up"); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil || st.Size() < 10_000 {
		t.Errorf("capture: %v, %v", st, err)
	}
	b, err := os.ReadFile(truth)
	if err != nil {
		t.Fatal(err)
	}
	var got lab.Truth
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Scenario != "goip-line" || got.Seed != 3 || got.View != "up" || got.Encap != "pppoe" || len(got.Lines) != 1 || len(got.Lines[0].Cards) != 8 {
		t.Errorf("truth: %+v", got)
	}
}

func TestMakeFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.pcap")
	for _, args := range [][]string{
		{"make", "no-such", "-o", file},
		{"make", "demo"},
		{"make", "-o", file},
		{"make", "home-voip", "-o", file, "--view", "sideways"},
		{"make", "home-voip", "-o", filepath.Join(dir, "none", "a.pcap")},
	} {
		if _, err := run(args...); err == nil {
			t.Errorf("%v was taken", args)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%v left a file", args)
		}
	}
	null := filepath.Join(dir, "null")
	if err := os.Symlink(os.DevNull, null); err != nil {
		t.Fatal(err)
	}
	if _, err := run("make", "no-such", "-o", null); err == nil {
		t.Error("no-such was taken")
	}
	if _, err := os.Lstat(null); err != nil {
		t.Error("a device was removed")
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args  []string
		want  string
		usage bool
	}{
		{[]string{"make"}, "name one scenario; simtrap-lab list has them", true},
		{[]string{"make", "demo", "demo", "-o", "x"}, "name one scenario; simtrap-lab list has them", true},
		{[]string{"make", "demo", "--duration", "1x"}, "--duration", true},
		{[]string{"make", "nobody", "-o", filepath.Join(t.TempDir(), "x")}, "unknown scenario", false},
	} {
		_, err := run(c.args...)
		if usage := misuse(err); err == nil || !strings.Contains(err.Error(), c.want) || usage != c.usage {
			t.Errorf("%q: %v", c.args, err)
		}
	}
	help, err := run("make", "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(help, "\n") {
		if len(line) > 100 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	for _, e := range lab.Encaps() {
		if !strings.Contains(help, " "+e) {
			t.Errorf("no %s in the help", e)
		}
	}
}
