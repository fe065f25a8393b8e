package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// emulators gives the emulator of an architecture with its own arguments.
func emulators(arch string) []string {
	if arch == "arm64" {
		return []string{"qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/AAVMF/AAVMF_CODE.fd",
			"-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/AAVMF/AAVMF_VARS.fd"}
	}
	return []string{"qemu-system-x86_64", "-M", "pc", "-cpu", "qemu64,+ssse3,+sse4.1,+sse4.2,+aes,+pclmulqdq", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,snapshot=on,file=/usr/share/OVMF/OVMF_VARS_4M.fd"}
}

// machine is one that is switched on.
type machine struct {
	cmd   *exec.Cmd
	in    io.Writer
	lines chan string
	seen  string // what it has said, the newest of it
	from  int    // where in it nothing has been awaited yet
	log   *os.File
}

// start switches the machine on, with a drive or without one.
func (t *trial) start(drive string) (*machine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t.cable.forget()
	uplink := "user,id=up,restrict=on"
	if t.hub != nil {
		uplink += ",guestfwd=tcp:" + hubAddress + "-cmd:" + self + " relay " + t.hub.way.address()
	}
	all := append(emulators(t.arch), "-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-serial", "stdio",
		"-drive", "if=none,id=disk,format=raw,discard=unmap,file="+t.file("disk"), "-device", "virtio-blk-pci,drive=disk,bootindex=1,addr=0x10",
		"-netdev", uplink, "-device", "virtio-net-pci,netdev=up,addr=0x3,romfile=",
		"-netdev", "stream,id=tap,server=off,addr.type=unix,addr.path="+t.cable.path, "-device", "virtio-net-pci,netdev=tap,addr=0x4,romfile=")
	tpm, err := t.startTPM()
	if err != nil {
		return nil, err
	}
	all = append(all, tpm...)
	if drive != "" {
		all = append(all, "-drive", "if=none,id=drive,format=raw,readonly=on,file="+t.file(drive), "-device", "virtio-blk-pci,drive=drive,addr=0x11")
	}
	m := &machine{cmd: exec.Command(all[0], all[1:]...), lines: make(chan string, 1024)}
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if m.log, err = os.OpenFile(t.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	m.cmd.Stderr = m.log
	fmt.Fprintf(m.log, "\n==== switched on at %s\n", time.Now().Format(time.TimeOnly))
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go m.read(io.TeeReader(out, m.log))
	return m, nil
}

// still has the machine stand still, or go on.
func (m *machine) still(stand bool) error {
	signal := syscall.SIGCONT
	if stand {
		signal = syscall.SIGSTOP
	}
	return m.cmd.Process.Signal(signal)
}

// off takes the power away.
func (m *machine) off() {
	if m.cmd == nil || m.cmd.Process.Kill() != nil {
		return // it is off
	}
	for range m.lines { // until there is no more
	}
	_ = m.cmd.Wait() // killed: that is no failure
	m.log.Close()
}

func (m *machine) read(out io.Reader) {
	defer close(m.lines)
	b := make([]byte, 4096)
	for {
		n, err := out.Read(b)
		if n > 0 {
			m.lines <- string(b[:n])
		}
		if err != nil {
			return
		}
	}
}

func (m *machine) typeLine(s string) error {
	_, err := io.WriteString(m.in, s+"\n")
	return err
}

// maxSeen bounds what is kept of what a machine says, in bytes.
const maxSeen = 1 << 20

// says waits until the machine says something that it has not been asked for before.
func (m *machine) says(ctx context.Context, want string) error {
	for {
		if i := strings.Index(m.seen[m.from:], want); i >= 0 {
			m.from += i + len(want)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%q has not come: %w", want, ctx.Err())
		case s, ok := <-m.lines:
			if !ok {
				return fmt.Errorf("%q has not come before the machine ended", want)
			}
			m.seen += s
			if cut := len(m.seen) - maxSeen; cut > 0 {
				m.seen, m.from = m.seen[cut:], max(0, m.from-cut)
			}
		}
	}
}

// line gives the newest line that holds a text and was awaited.
func (m *machine) line(text string) string {
	i := strings.LastIndex(m.seen[:m.from], text)
	if i < 0 {
		return ""
	}
	begin := strings.LastIndexByte(m.seen[:i], '\n') + 1
	return strings.TrimRight(m.seen[begin:m.from], "\r\n")
}
