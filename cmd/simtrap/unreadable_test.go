//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"simtrap/cmd/internal/command"
)

// A file that the user may not read: one line that names it and what helps, and
// status 1. Root may read everything, so root runs the command as nobody.
func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The test program under the command's name is the command (TestMain).
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "simtrap")
	copyFile(t, self, program, 0o755)
	file := filepath.Join(dir, "mine.pcap")
	if err := os.WriteFile(file, []byte{0xd4, 0xc3, 0xb2, 0xa1}, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "replay", file)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=/nonexistent", "PATH=/bin:/usr/bin"}
	if os.Getuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != command.Failed {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "mine.pcap") || !strings.Contains(last, "permission denied; make it readable") {
		t.Errorf("said %q", lines)
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
