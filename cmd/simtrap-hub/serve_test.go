package main

import (
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"

	"simtrap/cmd/internal/command"
)

// What SQLite's caches take is left to them, and what the environment says goes before.
func TestBound(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for _, x := range []struct {
		sqlite      bool
		environment string
		want        int64
	}{
		{true, "", 384 << 20}, {false, "", 472 << 20}, {true, "1GiB", before},
	} {
		debug.SetMemoryLimit(before)
		t.Setenv("GOMEMLIMIT", x.environment)
		(&serving{memory: 512}).bound(x.sqlite)
		if got := debug.SetMemoryLimit(-1); got != x.want {
			t.Errorf("%+v: the limit is %d", x, got)
		}
	}
}

// Less than a hub needs and more than there is are refused before anything is opened.
func TestMemoryRefused(t *testing.T) {
	for text, want := range map[string]string{"319": "want 320 or more", "99999999": "more than this machine has"} {
		cmd := newServe(&place{t: command.Terminal{Program: "simtrap-hub"}, folder: t.TempDir()})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		root := &cobra.Command{Use: "simtrap-hub"}
		root.AddCommand(cmd)
		root.SetArgs([]string{"serve", "--memory", text})
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--memory %s: %v", text, err)
		}
	}
	for text, want := range map[string]int{"MemFree: 1 kB\nMemTotal:       24576000 kB\n": 24000, "": 0, "MemTotal: many\n": 0} {
		if got := machineMemory(fstest.MapFS{"proc/meminfo": {Data: []byte(text)}}); got != want {
			t.Errorf("%q: %d MiB", text, got)
		}
	}
	if machineMemory(fstest.MapFS{}) != 0 {
		t.Error("memory of a machine that tells none")
	}
}
