//go:build linux

// Init is the first and only program of the virtual machines of scripts/kernels.sh.
// It mounts what tests need, loads modules, runs the commands of /plan one after the
// other, tells on the console what came of them and switches the machine off. Called
// as ip it is the little of iproute2 that the tests use.
//
// A plan has a command in each line, words between tabs:
//
//	test DIRECTORY PROGRAM WORD...   a test binary, its flags, the tests of it that must run
//	run NAME PROGRAM ARGUMENT...     a program, which must end with status 0
//	link NAME PEER                   a veth for the programs, both ends up
//	skips TEST REASON                a test that is skipped on this kernel, and why
//
// What is told begins with "@": "@up", "@pass NAME", "@fail NAME", "@skip NAME: REASON",
// and last "@done PASSED FAILED SKIPPED". A test that was skipped and is not named by
// skips has failed, as has one that is named and was not skipped.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	if filepath.Base(os.Args[0]) == "ip" {
		if err := ip(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "ip:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this runs as the first program of a virtual machine: make test-kernels")
		os.Exit(2)
	}
	// Whatever comes, the machine is switched off.
	defer off()
	if err := boot(); err != nil {
		fmt.Println("@fail boot:", err)
		return
	}
	fmt.Println("@up")
	b, err := os.ReadFile("/plan")
	if err != nil {
		fmt.Println("@fail plan:", err)
		return
	}
	p, err := parsePlan(string(b))
	if err != nil {
		fmt.Println("@fail plan:", err)
		return
	}
	p.run(os.Stdout)
}

func off() {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("power off:", err)
	}
	select {}
}

// boot makes of an initramfs what programs take for a machine.
func boot() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"bpf", "/sys/fs/bpf"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for _, v := range []string{"PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp"} {
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	modules, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, name := range modules {
		if err := insert(name); err != nil {
			return fmt.Errorf("load %s: %w", filepath.Base(name), err)
		}
	}
	return ip([]string{"link", "set", "lo", "up"})
}

func insert(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}
