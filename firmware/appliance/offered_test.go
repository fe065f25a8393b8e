package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenOffered(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("file"), []byte("bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openOffered(at("file"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Symlink(at("file"), at("link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "fifo", "none", "."} {
		if f, err := openOffered(at(name)); err == nil {
			f.Close()
			t.Errorf("%s was opened", name)
		}
	}
}
