// Package sealtest gives tests a TPM: swtpm, with a state of its own.
package sealtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// TPM is one that runs until the test ends.
type TPM struct {
	t      *testing.T
	folder string
	cmd    *exec.Cmd
	conn   transport.TPMCloser
}

// New starts one that never ran before; without swtpm the test is skipped.
func New(t *testing.T) *TPM {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Skip("no TPM to try it with: apt-get install swtpm")
	}
	// The name of a socket must be short, and that of a test's own folder need not be.
	folder, err := os.MkdirTemp("", "swtpm-")
	if err != nil {
		t.Fatal(err)
	}
	m := &TPM{t: t, folder: folder}
	t.Cleanup(func() {
		m.stop()
		os.RemoveAll(folder)
	})
	m.start()
	return m
}

// Transport is the way to it, until it restarts.
func (m *TPM) Transport() transport.TPM { return m.conn }

// Restart is a restart of its machine: its registers are empty again, its seeds are not.
func (m *TPM) Restart() {
	m.t.Helper()
	m.stop()
	m.start()
}

func (m *TPM) start() {
	m.t.Helper()
	socket := filepath.Join(m.folder, "s")
	os.Remove(socket) // of the start before
	m.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+m.folder, "--server", "type=unixio,path="+socket, "--flags", "not-need-init,startup-clear")
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		// It looks whether the socket is there, and connects for each command.
		conn, err := linuxudstpm.Open(socket)
		if err == nil {
			m.conn = conn
			if _, err = (tpm2.GetRandom{BytesRequested: 1}).Execute(conn); err == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("swtpm: %v", err)
		}
	}
}

func (m *TPM) stop() {
	if m.conn != nil {
		m.conn.Close()
	}
	_ = m.cmd.Process.Kill() // it may have ended when its connection did
	_ = m.cmd.Wait()
}
