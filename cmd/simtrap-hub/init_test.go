package main

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"simtrap/cmd/internal/command"
	"simtrap/hub/store"
)

// Of a hub whose making was cut short nothing is left, so that it can be made.
func TestInitCutShort(t *testing.T) {
	t.Setenv("SIMTRAP_HUB_STORE", "")
	p := &place{t: command.Terminal{Program: "simtrap-hub", Out: io.Discard, Err: io.Discard}, folder: filepath.Join(t.TempDir(), "hub"), by: "test"}
	initialise := func(ctx context.Context) error {
		cmd := newInit(p)
		cmd.SetArgs([]string{"--name", "hub.example"})
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		return cmd.ExecuteContext(ctx)
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if err := initialise(cut); err == nil {
		t.Fatal("made without a moment's time")
	}
	if store.Exists(p.folder) {
		t.Error("tables are left")
	}
	if err := initialise(t.Context()); err != nil {
		t.Errorf("made again: %v", err)
	}
}
