package main

import (
	"errors"
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

// What is told replaces what was, and no link of simtrapd's makes root write elsewhere.
func TestTellRefused(t *testing.T) {
	dir := t.TempDir()
	daemon, outside := filepath.Join(dir, "simtrapd"), filepath.Join(dir, "outside")
	for _, d := range []string{filepath.Join(daemon, "updates"), outside} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	name, victim := filepath.Join(daemon, refusedUpdate), filepath.Join(outside, "refused")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, name); err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"a longer reason", "another"} {
		if err := tellRefused(daemon, errors.New(why)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != why {
			t.Errorf("%q, %v", got, err)
		}
	}
	for range 2 {
		if err := tellRefused(daemon, nil); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("it stays: %v", err)
		}
	}
	if err := os.Remove(filepath.Join(daemon, "updates")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(daemon, "updates")); err != nil {
		t.Fatal(err)
	}
	if err := tellRefused(daemon, errors.New("x")); err == nil {
		t.Error("written through a link that leads out")
	}
	if got, err := os.ReadFile(victim); err != nil || string(got) != "mine" {
		t.Errorf("another file has %q, %v", got, err)
	}
}

func TestRemoveSame(t *testing.T) {
	name := filepath.Join(t.TempDir(), "offered")
	for _, replaced := range []bool{false, true} {
		if err := os.WriteFile(name, []byte("one"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := openOffered(name)
		if err != nil {
			t.Fatal(err)
		}
		if replaced {
			if err := os.WriteFile(name+".new", []byte("two"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(name+".new", name); err != nil {
				t.Fatal(err)
			}
		}
		err = removeSame(name, f)
		f.Close()
		if _, gone := os.Lstat(name); err != nil || (gone == nil) != replaced {
			t.Errorf("replaced %v: %v, %v", replaced, err, gone)
		}
	}
}
