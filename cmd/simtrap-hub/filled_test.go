package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"simtrap/hub/store"
	"simtrap/hub/trust"
)

// filledHub gives a hub on the store that the benchmark of hub/store filled, with the
// key that it was filled with.
func filledHub(t *testing.T, l load) (string, *trust.Trust, *store.Store) {
	t.Helper()
	if l.folder == "" {
		l.folder = filepath.Join(t.TempDir(), "hub")
	}
	key := filepath.Join(l.folder, "hub.key")
	if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
		if err := trust.Init(l.folder, trust.Making{Names: []string{"localhost", "127.0.0.1"}, Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(key, []byte(hex.EncodeToString([]byte("a key of a hub, thirty-two bytes"))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := trust.Open(l.folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{Folder: l.folder, URL: l.store, HubKey: h.HubKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return l.folder, h, s
}

// processor is the time that a process had one, in user mode and in the kernel.
func processor(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	kernel, _ := strconv.Atoi(f[12])
	return time.Duration(user+kernel) * 10 * time.Millisecond
}

// profiled runs main, and writes a profile if one is asked for.
func profiled() {
	name := os.Getenv("SIMTRAP_LOAD_PROFILE")
	if name == "" || len(os.Args) < 2 || os.Args[1] != "serve" {
		main()
		return
	}
	f, err := os.Create(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() { <-ended; pprof.StopCPUProfile(); f.Close() }()
	main()
}
