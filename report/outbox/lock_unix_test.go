//go:build unix

package outbox

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A program that is just being started has the lock's file as well.
func TestLockEndsWhereverItsFileIs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	l, err := Disk{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(l.(locked).Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if _, err := (Disk{}).Lock(name); err != ErrLocked {
		t.Errorf("%v, want %v", err, ErrLocked)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Disk{}.Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
