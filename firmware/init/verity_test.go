package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var hash = strings.Repeat("0123456789abcdef", 4)

func TestParseTree(t *testing.T) {
	got, err := parseTree("quiet simtrap.root=" + hash + ":25600 console=ttyS0\n")
	if diff := cmp.Diff(tree{hash, 25600}, got, cmp.AllowUnexported(tree{})); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if got, want := got.table("/dev/vda2"), "1 /dev/vda2 /dev/vda2 4096 4096 25600 25601 sha256 "+hash+" - 1 restart_on_corruption"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := got.candidate("/dev/vda2"), "1 /dev/vda2 /dev/vda2 4096 4096 25600 25601 sha256 "+hash+" -"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, text := range []string{"", "quiet", "simtrap.root=" + hash, "simtrap.root=" + hash[1:] + ":1", "simtrap.root=" + hash + ":0", "simtrap.root=" + hash + ":-1",
		"simtrap.root=" + hash + ":9999999999999999", "simtrap.root=" + strings.Repeat("x", 64) + ":1"} {
		if _, err := parseTree(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestSlots(t *testing.T) {
	class := t.TempDir()
	for name, text := range map[string]string{"vda": "DEVTYPE=disk\n", "vda1": "PARTNAME=esp\n", "vda2": "DEVTYPE=partition\nPARTNAME=slot-a\n", "vda3": "PARTNAME=slot-b\n", "vda4": "PARTNAME=slot-b2\n"} {
		if err := os.MkdirAll(filepath.Join(class, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, name, "uevent"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := slots(class)
	if diff := cmp.Diff([]slot{{"/dev/vda2", "slot-a"}, {"/dev/vda3", "slot-b"}}, got, cmp.AllowUnexported(slot{})); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// The superblock of a file system that is mounted, of one that is not, and of none.
func TestUnmounted(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		magic    uint16
		features uint32
		want     bool
	}{{0xef53, 0x2c6, false}, {0xef53, 0x2c2, true}, {0, 0x2c2, false}} {
		b := make([]byte, 1024)
		le.PutUint16(b[0x38:], c.magic)
		le.PutUint32(b[0x60:], c.features)
		if got := unmounted(b); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
