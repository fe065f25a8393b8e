package main

import (
	"runtime/debug"
	"testing"

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
		{true, "", 336 << 20}, {false, "", 472 << 20}, {true, "1GiB", before},
	} {
		debug.SetMemoryLimit(before)
		t.Setenv("GOMEMLIMIT", x.environment)
		(&serving{memory: 512}).bound(x.sqlite)
		if got := debug.SetMemoryLimit(-1); got != x.want {
			t.Errorf("%+v: the limit is %d", x, got)
		}
	}
}

// Less than a hub needs is refused before anything is opened.
func TestLeastMemory(t *testing.T) {
	cmd := newServe(&place{t: command.Terminal{Program: "simtrap-hub"}, folder: t.TempDir()})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	root := &cobra.Command{Use: "simtrap-hub"}
	root.AddCommand(cmd)
	root.SetArgs([]string{"serve", "--memory", "319"})
	if err := root.Execute(); err == nil {
		t.Error("taken")
	}
}
