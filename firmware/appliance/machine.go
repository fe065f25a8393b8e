package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"simtrap/firmware/update"
)

// Where the system tells of itself.
const (
	releaseFile  = "/usr/lib/simtrap/release.json"
	keysFile     = "/usr/lib/simtrap/update-keys" // Ed25519, in hexadecimal, one a line
	slotFile     = "/run/simtrap-slot"            // of firmware/init: the slot that runs
	entryFolder  = "/boot/EFI/Linux"
	labelFolder  = "/dev/disk/by-partlabel/"
	driveUpdate  = "simtrap.update"
	fallbackFile = "/var/lib/appliance/fallback"
)

// thisMachine gives the machine as updates see it.
func thisMachine() (*update.Machine, error) {
	m := &update.Machine{Entries: entryFolder, State: filepath.Dir(kept)}
	text, err := os.ReadFile(releaseFile)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &m.Release); err != nil {
		return nil, fmt.Errorf("%s: %w", releaseFile, err)
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	m.Root = update.Root(string(line))
	slot, err := os.ReadFile(slotFile)
	if err != nil {
		return nil, err
	}
	switch string(slot) {
	case "slot-a":
		m.Other = labelFolder + "slot-b"
	case "slot-b":
		m.Other = labelFolder + "slot-a"
	default:
		return nil, fmt.Errorf("%s: %q is no slot", slotFile, slot)
	}
	text, err = os.ReadFile(keysFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		key, err := hex.DecodeString(string(bytes.TrimSpace(line)))
		if err != nil || len(key) == 0 {
			return nil, fmt.Errorf("%s: %q is no key", keysFile, line)
		}
		m.Keys = append(m.Keys, key)
	}
	return m, nil
}

// updateFromDrive installs what a stick or drive has, and restarts the machine into it.
func updateFromDrive(by chosen) error {
	// There need not be any; what is on one that cannot be mounted was said by setup.
	return fromDrive(driveUpdate, func(f *os.File) error { return install(f, by) })
}

// daemonFolder is simtrapd's own: what stands in it is not trusted, and nothing is
// written there through links that lead out of it.
const daemonFolder = "/var/lib/simtrapd"

// In that folder.
const (
	offeredUpdate = "updates/offered.update" // the bundle that the hub offers, when it is whole
	refusedUpdate = "updates/refused"        // why the last one was not taken, of which simtrapd makes an alarm
	lostAlarm     = "machine/data-lost"      // why the data partition is not used, likewise
	fallenAlarm   = "machine/capture-fallback"
)

// updateOffered installs it, and restarts the machine into it. The file goes whatever
// comes of it: simtrapd hands over each once.
func updateOffered() error {
	name := filepath.Join(daemonFolder, offeredUpdate)
	f, err := openOffered(name)
	if err != nil {
		return errors.Join(err, tellRefused(daemonFolder, err), os.Remove(name))
	}
	defer f.Close()
	err = install(f, byHub)
	return errors.Join(err, tellRefused(daemonFolder, err), removeSame(name, f))
}

// removeSame removes a file by its name, unless another has taken its place since it was
// opened: a newer update that was handed over meanwhile is looked at next.
func removeSame(name string, f *os.File) error {
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(opened, now) {
		return nil
	}
	return os.Remove(name)
}

// tellRefused leaves for simtrapd why an update was not taken, or, for nil, that none was
// refused.
func tellRefused(folder string, why error) error {
	if why == nil {
		return leave(folder, refusedUpdate, "")
	}
	return leave(folder, refusedUpdate, why.Error())
}

// tell leaves for simtrapd why an alarm stands, or, for nothing, that it does not. What
// cannot be left is said.
func tell(name, why string) {
	if err := leave(daemonFolder, name, why); err != nil {
		fmt.Printf("simtrapd is not told: %v\n", err)
	}
}

// leave writes a file in simtrapd's folder, or removes it where there is no text. One
// that says so already is left as it is: its time is the alarm's.
func leave(folder, name, text string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() && text != "" {
		if was, err := root.ReadFile(name); err == nil && string(was) == text {
			return nil
		}
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if text == "" {
		return nil
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// openOffered opens a file in a folder that simtrapd writes, as which nothing else may
// pass: no link to where simtrapd may not read, nothing that makes one wait.
func openOffered(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// chosen says who wants a bundle installed.
type chosen int

const (
	byDrive chosen = iota // somebody put it in
	byHand                // and wants it tried again, though it did not work
	byHub                 // nobody is here: it must be newer than what runs
)

func install(f *os.File, by chosen) error {
	m, err := thisMachine()
	if err != nil {
		return err
	}
	m.Forward = by == byHub
	if lostData() != "" {
		// What it may not go back below, and that an update is on trial, stands there.
		return errors.New("no update is installed while the data partition cannot be used")
	}
	if len(m.Keys) == 0 {
		return errors.New("this system was built without a key for updates and takes none")
	}
	reported := false
	if s, err := askDaemon(); err == nil && s.Hub != nil {
		reported = s.Hub.Acked > 0
	}
	fmt.Println("an update is looked at and written; leave the power on")
	m.Reached = func(step string) error {
		if step == "kernel" || step == "system" {
			fmt.Printf("update: its %s is written\n", step)
		}
		return nil
	}
	to, err := m.Install(f, by == byHand, reported)
	switch {
	case errors.Is(err, update.ErrRunning), errors.Is(err, update.ErrFailed) && by == byDrive:
		fmt.Printf("update %s is left alone: %v\n", to.Version, err)
		return nil
	case err != nil:
		return fmt.Errorf("update %s: %w; nothing was changed that runs", to.Version, err)
	}
	fmt.Printf("update %s is installed beside %s; restarting\n", to.Version, m.Release.Version)
	return restart()
}

func restart() error {
	if said := onMachine("/usr/bin/systemctl", "--no-block", "reboot"); said != "" {
		return fmt.Errorf("restart: %s", strings.TrimSpace(said))
	}
	return nil
}
