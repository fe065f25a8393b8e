package erasure

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whenever it is cut off, it is still asked for; when it is done, nothing is left.
func TestErase(t *testing.T) {
	const size = 2*chunk + 4096
	f, err := os.Create(filepath.Join(t.TempDir(), "partition"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(bytes.Repeat([]byte{0xa5}, size)); err != nil {
		t.Fatal(err)
	}
	asked := func() bool {
		t.Helper()
		is, err := Asked(f)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if asked() {
		t.Fatal("asked for by nobody")
	}
	if err := Ask(f); err != nil {
		t.Fatal(err)
	}
	cut := errors.New("cut")
	for n := range 3 {
		if !asked() {
			t.Fatalf("forgotten after %d chunks", n)
		}
		left := n
		err := Erase(size, func(at, n int64) error {
			if left == 0 {
				return cut
			}
			left--
			_, err := f.WriteAt(make([]byte, n), at)
			return err
		})
		if !errors.Is(err, cut) {
			t.Fatalf("after %d chunks: %v", n, err)
		}
	}
	if err := Erase(size, func(at, n int64) error { _, err := f.WriteAt(make([]byte, n), at); return err }); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if len(text) != size || len(bytes.Trim(text, "\x00")) != 0 || asked() {
		t.Error("something is left")
	}
}

func TestAskedOfNothing(t *testing.T) {
	if is, err := Asked(bytes.NewReader(nil)); is || err != nil {
		t.Error(is, err)
	}
}
