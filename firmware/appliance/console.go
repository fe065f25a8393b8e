package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// console serves whoever sits at the serial port: what an engineer on site needs, and
// no shell. It reads lines until its input ends; systemd begins it anew.
func console() error { return menu(os.Stdin, os.Stdout, show) }

// self is this program.
const self = "/usr/bin/simtrap-appliance"

// onMachine runs a program and gives all it says.
func onMachine(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	text := string(out)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		text += err.Error() + "\n"
	}
	return text
}

// show runs a program and passes on what it says as it says it: who installs an update
// is to see that it is at work.
func show(out io.Writer, name string, args ...string) {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		fmt.Fprintln(out, err)
	}
}

// menu shows the entries and carries out what is chosen.
func menu(in io.Reader, out io.Writer, run func(out io.Writer, name string, args ...string)) error {
	lines := bufio.NewScanner(in)
	ask := func(question string) (string, bool) {
		fmt.Fprint(out, question)
		if !lines.Scan() {
			return "", false
		}
		return strings.TrimSpace(lines.Text()), true
	}
	for {
		choice, ok := ask("\nsimtrap  1 status  2 network  3 doctor  4 log  5 time  6 restart  7 factory reset  8 update\n> ")
		if !ok {
			return lines.Err()
		}
		switch choice {
		case "1":
			if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(out, "not set up: put appliance.yaml on a stick labelled SIMTRAP and restart")
			}
			run(out, self, "system")
			run(out, "/usr/bin/simtrapd", "status", "-c", ownFolder+"simtrapd.yaml")
		case "2":
			run(out, "/usr/bin/networkctl", "--no-pager", "status", "--all")
		case "3":
			port, ok := ask("port: ")
			if !ok {
				return lines.Err()
			}
			if !isPort(port) {
				fmt.Fprintln(out, "that is no name of a port")
				continue
			}
			run(out, "/usr/bin/simtrapd", "doctor", port)
		case "4":
			run(out, "/usr/bin/journalctl", "--no-pager", "-b", "-n", "100")
		case "5":
			run(out, "/usr/bin/chronyc", "-n", "tracking")
			run(out, "/usr/bin/chronyc", "-n", "sources")
		case "6":
			// Whoever restarts it by hand wants to see everything tried again.
			if err := os.Remove(fallbackFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(out, err)
			}
			run(out, "/usr/bin/systemctl", "reboot")
		case "7":
			word, ok := ask("everything that was found and the configuration are erased at the next start.\ntype ERASE to go on: ")
			if !ok {
				return lines.Err()
			}
			if word != "ERASE" {
				fmt.Fprintln(out, "nothing was erased")
				continue
			}
			run(out, self, "reset")
		case "8":
			run(out, self, "update-again")
		}
	}
}
