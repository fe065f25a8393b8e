package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"

	"simtrap/firmware/seal/sealtest"
)

// shared is a TPM that outlives who opened it.
type shared struct{ transport.TPM }

func (shared) Close() error { return nil }

// onceSealed is once on a machine with a TPM: a file beside the partition, one for each
// key, stands for what the kernel decrypts.
func onceSealed(t *testing.T, name string, tpm *sealtest.TPM) (d *dataOnce, ran *[]string) {
	t.Helper()
	if _, err := os.Stat("/usr/sbin/e2fsck"); err != nil {
		t.Skip("no e2fsck: apt-get install e2fsprogs")
	}
	d, ran = once(t, name)
	d.tpm = func(bool) (transport.TPMCloser, error) { return shared{tpm.Transport()}, nil }
	d.crypt = func(device string, key []byte) (string, error) {
		inner := device + "-" + hex.EncodeToString(key[:8])
		if _, err := os.Stat(inner); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(inner, nil, 0o600); err != nil {
				return "", err
			}
		}
		return inner, os.Truncate(inner, 400<<20-cipherAt)
	}
	d.uncrypt = func() error { return nil }
	return d, ran
}

// repart makes the file system that systemd-repart makes at the first start.
func repart(t *testing.T, name string) {
	t.Helper()
	if out, err := exec.Command(mkfs[0], append(slices.Clone(mkfs[1:]), name)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// inners gives what stands for what was decrypted.
func inners(t *testing.T, name string) []string {
	t.Helper()
	all, err := filepath.Glob(name + "-*")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// beginning is what of a partition has more than a file system in it.
func beginning(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 2<<20)
	if _, err := io.ReadFull(f, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// A new partition is sealed, whether systemd-repart has made a file system on it or it
// was erased; from then on its TPM opens it, and another leaves it as it is.
func TestSealData(t *testing.T) {
	tpm, other := sealtest.New(t), sealtest.New(t)
	for _, made := range []bool{true, false} {
		name := blank(t)
		if made {
			repart(t, name)
		}
		d, ran := onceSealed(t, name, tpm)
		if err := d.place(); err != nil || !slices.Equal(*ran, []string{"mkfs.ext4 -q"}) || d.kept != isSealed {
			t.Fatalf("new: %v, %q, %s", err, *ran, d.kept)
		}
		if all := inners(t, name); len(all) != 1 {
			t.Fatalf("decrypted %q", all)
		}
		for _, tpmOf := range []*sealtest.TPM{tpm, other, tpm} {
			before := beginning(t, name)
			d, ran = onceSealed(t, name, tpmOf)
			err := d.place()
			if len(*ran) != 0 || d.kept != isSealed || (err != nil) != (tpmOf == other) {
				t.Errorf("%v, %q, %s", err, *ran, d.kept)
			}
			if err != nil && !strings.Contains(err.Error(), "another TPM has sealed it") {
				t.Error(err)
			}
			if !bytes.Equal(before, beginning(t, name)) || len(inners(t, name)) != 1 {
				t.Error("it was written to")
			}
		}
		d, ran = once(t, name)
		if err := d.place(); !errors.Is(err, errNoTPM) || len(*ran) != 0 {
			t.Errorf("without a TPM: %v, %q", err, *ran)
		}
	}
}

// What held something stays as it is, and says so; without a TPM a new one does.
func TestPlainData(t *testing.T) {
	tpm := sealtest.New(t)
	name := blank(t)
	repart(t, name)
	d, ran := onceSealed(t, name, tpm)
	d.tpm = func(bool) (transport.TPMCloser, error) { return nil, errNoTPM }
	if err := d.place(); err != nil || len(*ran) != 0 || d.kept != notSealed+errNoTPM.Error() {
		t.Errorf("without a TPM: %v, %q, %s", err, *ran, d.kept)
	}
	if out, err := exec.Command("/usr/sbin/debugfs", "-w", "-R", "ssv mtime 20260101", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := beginning(t, name)
	d, ran = onceSealed(t, name, tpm)
	if err := d.place(); err != nil || len(*ran) != 0 || d.kept != oldPlain || !bytes.Equal(before, beginning(t, name)) {
		t.Errorf("mounted before: %v, %q, %s", err, *ran, d.kept)
	}
}

// What cannot be sealed is kept plain, and a machine that is switched off within the
// sealing begins anew, with a TPM or without.
func TestSealCutOff(t *testing.T) {
	tpm := sealtest.New(t)
	off := errors.New("switched off")
	for _, c := range []struct {
		name string
		cut  func(d *dataOnce)
		kept string // that it goes on with
	}{
		{"no dm-crypt", func(d *dataOnce) {
			d.crypt = func(string, []byte) (string, error) { return "", errors.New("no crypt") }
		}, notSealed + "no crypt"},
		{"before its file system", func(d *dataOnce) { d.run = func(string, ...string) error { return off } }, ""},
		{"before its header", func(d *dataOnce) {
			run := d.run
			d.run = func(name string, args ...string) error { return errors.Join(run(name, args...), off) }
		}, ""},
	} {
		for _, again := range []bool{true, false} {
			name := blank(t)
			repart(t, name)
			d, _ := onceSealed(t, name, tpm)
			c.cut(d)
			err := d.place()
			if c.kept != "" {
				if err != nil || d.kept != c.kept {
					t.Errorf("%s: %v, %s", c.name, err, d.kept)
				}
				continue
			}
			if !errors.Is(err, off) {
				t.Fatalf("%s: %v", c.name, err)
			}
			if again {
				d, _ = onceSealed(t, name, tpm)
			} else {
				d, _ = once(t, name)
			}
			if err := d.place(); err != nil || (d.kept == isSealed) != again {
				t.Errorf("%s: then %v, %s", c.name, err, d.kept)
			}
		}
	}
}

// What the TPM has sealed stands there twice: one of them will do, and is written anew.
// With neither nothing is made on what is there.
func TestSealDamaged(t *testing.T) {
	tpm := sealtest.New(t)
	for _, c := range []struct {
		at   []int64
		lost bool
	}{{[]int64{sealedAt + 40}, false}, {[]int64{sealedAgain + 40}, false}, {[]int64{0}, false}, {[]int64{sealedAt + 40, sealedAgain + 40}, true}, {[]int64{0, sealedAgain + 40}, true}} {
		name := blank(t)
		d, _ := onceSealed(t, name, tpm)
		if err := d.place(); err != nil {
			t.Fatal(err)
		}
		before := beginning(t, name)
		spoil(t, name, 1024, c.at...)
		d, ran := onceSealed(t, name, tpm)
		err := d.place()
		if (err != nil) != c.lost || len(*ran) != 0 {
			t.Errorf("%d: %v, %q", c.at, err, *ran)
		}
		if !c.lost && !bytes.Equal(before[sealedAt:], beginning(t, name)[sealedAt:]) {
			t.Errorf("%d: it is not mended", c.at)
		}
	}
}

// The file system within is mended as a plain one, but never made anew.
func TestSealMended(t *testing.T) {
	tpm := sealtest.New(t)
	name := blank(t)
	d, _ := onceSealed(t, name, tpm)
	if err := d.place(); err != nil {
		t.Fatal(err)
	}
	inner := inners(t, name)[0]
	spoil(t, inner, 1024, superAt)
	d, ran := onceSealed(t, name, tpm)
	if err := d.place(); err != nil || !slices.Equal(*ran, []string{"e2fsck -p", "e2fsck -y"}) {
		t.Errorf("%v, %q", err, *ran)
	}
	if err := errors.Join(os.Truncate(inner, 0), os.Truncate(inner, 400<<20-cipherAt)); err != nil {
		t.Fatal(err)
	}
	d, ran = onceSealed(t, name, tpm)
	if err := d.place(); err == nil || slices.Contains(*ran, "mkfs.ext4 -q") {
		t.Errorf("%v, %q", err, *ran)
	}
}

// A factory reset takes the key at once; of a plain partition it takes nothing here.
func TestForget(t *testing.T) {
	tpm := sealtest.New(t)
	name := blank(t)
	d, _ := onceSealed(t, name, tpm)
	if err := d.place(); err != nil {
		t.Fatal(err)
	}
	if err := forget(name); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(beginning(t, name)[:cipherAt], make([]byte, cipherAt)) {
		t.Error("something of it is left")
	}
	d, _ = onceSealed(t, name, tpm)
	if err := d.place(); err != nil || len(inners(t, name)) != 2 {
		t.Errorf("it has no new key: %v, %q", err, inners(t, name))
	}
	plain := blank(t)
	spoil(t, plain, 1<<20, 0)
	before := beginning(t, plain)
	if err := forget(plain); err != nil || !bytes.Equal(before, beginning(t, plain)) {
		t.Errorf("%v: a plain partition was written to", err)
	}
}

// The words of Documentation/admin-guide/device-mapper/dm-crypt.rst of Linux.
func TestCryptTable(t *testing.T) {
	key := bytes.Repeat([]byte{0xab}, keySize)
	got := cryptTable("/dev/vda4", key, 1<<30)
	want := fmt.Sprintf("aes-xts-plain64 %s 0 /dev/vda4 2048", strings.Repeat("ab", keySize))
	if got.Kind != "crypt" || got.Params != want || got.Sectors != 1<<21-2048 || got.ReadOnly {
		t.Errorf("%+v", got)
	}
}

// Copies of a sealed machine are worth nothing elsewhere, and leave nothing of those that
// were not sealed.
func TestCopiesSealed(t *testing.T) {
	tpm := sealtest.New(t)
	c, write, read := forCopies(t)
	const secret = "name: north-1"
	write("appliance/appliance.yaml", secret)
	mustSave(t, c)
	mustSave(t, c)
	c.sealed = func() bool { return true }
	c.tpm = func() (transport.TPMCloser, error) { return nil, errNoTPM }
	if err := c.save(); !errors.Is(err, errNoTPM) {
		t.Errorf("without its TPM: %v", err)
	}
	c.tpm = func() (transport.TPMCloser, error) { return shared{tpm.Transport()}, nil }
	mustSave(t, c)
	for _, name := range []string{"boot/copy-0", "boot/copy-1"} {
		if strings.Contains(read(name), secret) {
			t.Errorf("%s has the secret", name)
		}
	}
	_, turn, _ := c.newest()
	mustSave(t, c)
	if _, after, _ := c.newest(); after != turn {
		t.Error("the same was written again")
	}
	write("appliance/appliance.yaml", secret+"\ntime: []")
	mustSave(t, c)
	// The partition is lost: what was sealed stays so.
	c.sealed = func() bool { return false }
	lose(t, c)
	mustRestore(t, c)
	if got := read("appliance/appliance.yaml"); got != secret+"\ntime: []" {
		t.Errorf("%q", got)
	}
	other := sealtest.New(t)
	c.tpm = func() (transport.TPMCloser, error) { return shared{other.Transport()}, nil }
	lose(t, c)
	if found, err := c.restore(); found || err == nil || read("appliance/appliance.yaml") != "-" {
		t.Errorf("another TPM: %v, %v", found, err)
	}
	// There somebody sets it up anew.
	write("appliance/appliance.yaml", "name: south-1")
	mustSave(t, c)
	lose(t, c)
	mustRestore(t, c)
	if got := read("appliance/appliance.yaml"); got != "name: south-1" {
		t.Errorf("%q", got)
	}
}
