package sensor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What the appliance says of the machine is an alarm while it says so, and nothing that
// it writes is longer, or does more to a terminal, than a line.
func TestAmiss(t *testing.T) {
	state := t.TempDir()
	if a := amiss(state); len(a) != 0 {
		t.Errorf("%+v", a)
	}
	folder := filepath.Join(state, machineFolder)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	since := time.Unix(1_700_000_000, 0)
	for name, text := range map[string]string{"data-lost": "no superblock\x1b[2J" + strings.Repeat("x", 1000), "capture-fallback": "it crashed", "stranger": "of no meaning"} {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, since, since); err != nil {
			t.Fatal(err)
		}
	}
	a := amiss(state)
	if len(a) != 2 || a[0].ID != "data-lost" || a[1].ID != "capture-fallback" {
		t.Fatalf("%+v", a)
	}
	if text := a[0].Text; !strings.Contains(text, `no superblock\x1b[2J`) || len(text) > 2*maxWhy {
		t.Errorf("%q", text)
	}
	if a[1].Text != "it crashed" || a[1].Since != since.UnixNano() || a[1].Remedy == "" {
		t.Errorf("%+v", a[1])
	}
}
