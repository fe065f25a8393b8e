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

// The layout of <linux/dm-ioctl.h>.
func TestRequest(t *testing.T) {
	le := binary.NativeEndian
	for _, params := range []string{"", "1234567", "12345678"} {
		b := request(dmLoad, 4096, params)
		if len(b)%8 != 0 || len(b) < headSize+targetSize+len(params)+1 || b[len(b)-1] != 0 {
			t.Errorf("%q: %d bytes", params, len(b))
		}
		if le.Uint32(b[12:]) != uint32(len(b)) || le.Uint32(b[16:]) != headSize || le.Uint32(b[20:]) != 1 || le.Uint32(b[28:]) != readOnly {
			t.Errorf("%q: head %v", params, b[:48])
		}
		if got := string(b[headSize+targetSize:][:len(params)]); got != params || le.Uint64(b[headSize+8:]) != 4096 {
			t.Errorf("params %q, want %q", got, params)
		}
	}
	if b := request(dmCreate, 0, ""); len(b) != headSize || string(b[48:48+len(device)]) != device {
		t.Errorf("create: %v", b)
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
