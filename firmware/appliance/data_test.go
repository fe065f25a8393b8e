package main

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"
)

// blank makes a file that stands for a partition of 400 MB.
func blank(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 400<<20); err != nil {
		t.Fatal(err)
	}
	return name
}

// spoil writes chance over so many bytes from each of some places on.
func spoil(t *testing.T, name string, n int, at ...int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	_, _ = rand.Read(b) // it does not fail
	for _, off := range at {
		if _, err := f.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	}
}

var errNoTPM = errors.New("there is no TPM 2.0")

// once is a start with a file as its partition: mounted is what has a superblock that
// e2fsck has nothing against.
func once(t *testing.T, name string) (d *dataOnce, ran *[]string) {
	t.Helper()
	ran = new([]string)
	d = &dataOnce{device: name, out: io.Discard, await: func(string) error { return nil },
		tpm: func(bool) (transport.TPMCloser, error) { return nil, errNoTPM }}
	d.run = func(name string, args ...string) error {
		*ran = append(*ran, filepath.Base(name)+" "+args[0])
		return runWithin(name, args...)
	}
	d.mount = func(source, kind string, _ uintptr, _ string) error {
		if out, err := exec.Command("/usr/sbin/e2fsck", "-fn", source).CombinedOutput(); err != nil {
			return errors.New(lastLine(string(out)))
		}
		return nil
	}
	return d, ran
}

// A partition is given a file system where nothing is on it, is mended where it can be,
// and is left alone where it cannot: then place says why.
func TestPlaceData(t *testing.T) {
	if _, err := os.Stat("/usr/sbin/e2fsck"); err != nil {
		t.Skip("no e2fsck: apt-get install e2fsprogs")
	}
	const copy1, copy2 = 1 * group * block, 3 * group * block // of the superblock
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, name string)
		run    []string
		lost   bool
	}{
		{"sound", nil, nil, false},
		{"damaged superblock", func(t *testing.T, name string) { spoil(t, name, 1024, superAt) }, []string{"e2fsck -p", "e2fsck -y"}, false},
		{"zeros over its beginning", func(t *testing.T, name string) {
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil {
				t.Fatal(err)
			}
		}, []string{"e2fsck -p", "e2fsck -y"}, false},
		{"says that it has errors", func(t *testing.T, name string) {
			if out, err := exec.Command("/usr/sbin/debugfs", "-w", "-R", "ssv state 2", name).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}, []string{"e2fsck -p"}, false},
		{"no superblock anywhere", func(t *testing.T, name string) { spoil(t, name, 1<<20, 0, copy1, copy2) }, []string{"e2fsck -p", "e2fsck -y"}, true},
		{"erased", func(t *testing.T, name string) {
			if err := errors.Join(os.Truncate(name, 0), os.Truncate(name, 400<<20)); err != nil {
				t.Fatal(err)
			}
		}, []string{"mkfs.ext4 -q"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := blank(t)
			d, ran := once(t, name)
			if err := d.place(); err != nil || !slices.Equal(*ran, []string{"mkfs.ext4 -q"}) {
				t.Fatalf("new: %v, %q", err, *ran)
			}
			if c.damage != nil {
				c.damage(t, name)
			}
			*ran = nil
			err := d.place()
			if !slices.Equal(*ran, c.run) {
				t.Errorf("ran %q, want %q", *ran, c.run)
			}
			if c.lost != (err != nil) || err != nil && !strings.HasSuffix(err.Error(), "Bad magic number in super-block") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A disk that is not there is no reason to make anything on what is.
func TestNoDisk(t *testing.T) {
	d, ran := once(t, blank(t))
	none := errors.New("no such device")
	d.await = func(string) error { return none }
	if err := d.place(); !errors.Is(err, none) || len(*ran) != 0 {
		t.Errorf("%v, %q", err, *ran)
	}
}
