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
	sync := func() error { return nil }
	for n := range 4 {
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
		}, sync)
		if !errors.Is(err, cut) {
			t.Fatalf("after %d chunks: %v", n, err)
		}
	}
	// However far the last range but one came, the mark is there until it is on the disk.
	synced := 0
	err = Erase(size, func(at, n int64) error {
		if at == 0 && (n > first || synced == 0) {
			t.Errorf("%d bytes go with the mark, after %d synchronisations", n, synced)
		}
		_, err := f.WriteAt(make([]byte, n), at)
		return err
	}, func() error { synced++; return nil })
	if err != nil || synced != 2 {
		t.Fatal(synced, err)
	}
	if err := Erase(size, func(at, n int64) error { _, err := f.WriteAt(make([]byte, n), at); return err }, sync); err != nil {
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
