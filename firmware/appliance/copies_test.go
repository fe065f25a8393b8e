package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// forCopies makes files to be copied, and says what they have.
func forCopies(t *testing.T) (copies, func(name, text string), func(name string) string) {
	t.Helper()
	dir := t.TempDir()
	c := copies{filepath.Join(dir, "boot"), []copied{
		{filepath.Join(dir, "appliance"), "appliance.yaml", false}, {filepath.Join(dir, "appliance"), "token-used", false}, {filepath.Join(dir, "daemon"), "fleet/member", true}},
		func() bool { return false }, nil}
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "-"
		}
		return string(b)
	}
	write("appliance/x", "")
	write("daemon/x", "")
	return c, write, read
}

// lose removes what was copied, as a data partition that is lost.
func lose(t *testing.T, c copies) {
	t.Helper()
	for _, f := range c.files {
		if err := os.RemoveAll(f.path()); err != nil {
			t.Fatal(err)
		}
	}
}

func mustSave(t *testing.T, c copies) {
	t.Helper()
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
}

func mustRestore(t *testing.T, c copies) {
	t.Helper()
	if found, err := c.restore(); !found || err != nil {
		t.Fatalf("%v, %v", found, err)
	}
}

// What was copied last comes back, and what was not there then does not.
func TestCopies(t *testing.T) {
	c, write, read := forCopies(t)
	if found, err := c.restore(); found || err != nil {
		t.Errorf("nothing was copied: %v, %v", found, err)
	}
	for _, long := range []int{5000, 10, 700} {
		config := "name: a" + strings.Repeat("x", long)
		write("appliance/appliance.yaml", config)
		write("daemon/fleet/member", "key")
		mustSave(t, c)
		lose(t, c)
		mustRestore(t, c)
		if read("appliance/appliance.yaml") != config || read("daemon/fleet/member") != "key" || read("appliance/token-used") != "-" {
			t.Errorf("%d: %q, %q, %q", long, read("appliance/appliance.yaml"), read("daemon/fleet/member"), read("appliance/token-used"))
		}
	}
}

// A copy that is cut off anywhere leaves the one of before, and one that changes nothing
// writes nothing.
func TestCopiesCutOff(t *testing.T) {
	c, write, read := forCopies(t)
	write("appliance/appliance.yaml", "first")
	mustSave(t, c)
	write("appliance/appliance.yaml", "second")
	mustSave(t, c)
	which, turn, _ := c.newest()
	mustSave(t, c)
	if again, after, _ := c.newest(); again != which || after != turn {
		t.Errorf("the same was written again: turn %d after %d", after, turn)
	}
	before, err := os.ReadFile(c.name(1 - which))
	if err != nil {
		t.Fatal(err)
	}
	write("appliance/appliance.yaml", "third")
	mustSave(t, c)
	now, turn3, _ := c.newest()
	if now == which || turn3 != turn+1 {
		t.Fatalf("not in turn: %d %d, %d %d", which, turn, now, turn3)
	}
	after, err := os.ReadFile(c.name(now))
	if err != nil {
		t.Fatal(err)
	}
	for n := range after {
		cut := append(bytes.Clone(after[:n]), before[min(n, len(before)):]...)
		if bytes.Equal(cut, after) {
			continue // nothing was missing
		}
		if err := os.WriteFile(c.name(now), cut, 0o600); err != nil {
			t.Fatal(err)
		}
		lose(t, c)
		mustRestore(t, c)
		if got := read("appliance/appliance.yaml"); got != "second" {
			t.Fatalf("cut off after %d of %d bytes: %q", n, len(after), got)
		}
	}
}

// Neither a shorter copy nor the erasure leaves anything of one before, and they are
// written in place: what a file system has freed nobody could overwrite.
func TestCopiesErased(t *testing.T) {
	c, write, read := forCopies(t)
	write("appliance/appliance.yaml", strings.Repeat("secret ", 1000))
	mustSave(t, c)
	write("appliance/appliance.yaml", "short")
	mustSave(t, c)
	inode, err := os.Stat(c.name(1))
	if err != nil {
		t.Fatal(err)
	}
	write("appliance/appliance.yaml", "shorter")
	mustSave(t, c)
	if now, err := os.Stat(c.name(1)); err != nil || !os.SameFile(inode, now) {
		t.Errorf("%v: not written in place", err)
	}
	for i := range 2 {
		if text := read("boot/copy-" + string(rune('0'+i))); text == "-" || strings.Contains(text, "secret") {
			t.Errorf("copy %d has %d bytes, and the secret: %v", i, len(text), strings.Contains(text, "secret"))
		}
	}
	f, err := os.Open(c.name(1)) // as the disk, on which it stays
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := c.erase(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, _ := f.Read(b)
	if n < 7000 || !bytes.Equal(b[:n], make([]byte, n)) {
		t.Errorf("%d bytes are left, not all of them zero", n)
	}
	if found, err := c.restore(); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

// simtrapd may do what it likes in its folder: what it may not read is not copied for
// it, and nobody waits for it.
func TestCopiesOfDaemon(t *testing.T) {
	c, write, read := forCopies(t)
	write("appliance/appliance.yaml", "mine")
	write("secret", "root's")
	link := filepath.Join(c.files[2].folder, "fleet")
	for name, to := range map[string]string{"folder": filepath.Dir(c.folder), "file": ""} {
		if err := os.RemoveAll(link); err != nil {
			t.Fatal(err)
		}
		if to != "" {
			write("member", "root's")
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := os.Mkdir(link, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../../secret", filepath.Join(link, "member")); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.save(); err == nil {
			t.Errorf("%s: a link was followed: %q", name, read("boot/copy-1"))
		}
	}
}
