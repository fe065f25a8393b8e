// Package smalldisk gives a test a small file system of its own, which it may fill.
package smalldisk

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

const env = "SIMTRAP_TEST_SMALL_DISK"

// noMount is the exit status that says that there can be none.
const noMount = 77

// Folder runs the test that calls it a second time, in a process that has a tmpfs of
// so many bytes ("3m", as mount(8) reads it) in a mount namespace of its own. There
// it gives the folder of the tmpfs; here, once that process has passed, nothing, and
// the test is over. It skips the test where no tmpfs can be mounted.
func Folder(t *testing.T, size string) string {
	t.Helper()
	if dir := os.Getenv(env); dir != "" {
		return dir
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("mounting a small tmpfs needs root on Linux")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := exec.Command("unshare", "-m", "sh", "-c",
		`mount -t tmpfs -o "size=$2" none "$1" || exit 77; exec "$0" "-test.run=^$3\$" -test.v`, self, dir, size, t.Name())
	c.Env = append(os.Environ(), env+"="+dir)
	out, err := c.CombinedOutput()
	switch {
	case c.ProcessState == nil || c.ProcessState.ExitCode() == noMount || strings.Contains(string(out), "unshare failed"):
		t.Skipf("no mount namespace: %v: %s", err, out)
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" "):
		t.Fatalf("on a tmpfs of %s: %v\n%s", size, err, out)
	}
	t.Logf("on a tmpfs of %s:\n%s", size, out)
	return ""
}

// Fill takes all the room that is left in a folder, but for so many bytes, and
// gives it back with the function.
func Fill(t *testing.T, folder string, but int64) (free func()) {
	t.Helper()
	f, err := os.CreateTemp(folder, "ballast")
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for b := make([]byte, 4096); ; {
		n, err := f.Write(b)
		size += int64(n)
		if err != nil {
			break
		}
	}
	if err := f.Truncate(max(size-but, 0)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}
