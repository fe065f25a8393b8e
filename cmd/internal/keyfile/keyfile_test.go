package keyfile

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Runs that start at once must end up with one key.
func TestKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "key")
	keys := make([]string, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, _, err := ReadOrMake(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = string(key)
		})
	}
	wg.Wait()
	for _, k := range keys {
		if len(k) != Size || k != keys[0] {
			t.Fatalf("keys differ: %x", keys)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("folder holds %v, %v; want the key alone", left, err)
	}
}
