package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// What outlives a restart, on the data partition.
const (
	kept       = "/var/lib/appliance/appliance.yaml"
	tokenDone  = "/var/lib/appliance/token-used"
	driveLabel = "/dev/disk/by-label/SIMTRAP"
	driveFile  = "appliance.yaml"
	driveMount = "/run/appliance-drive"
)

// setup takes a new configuration from a stick or config drive, if there is one, and
// makes the files of the system from the one that is kept. Without any, nothing is
// made, and so nothing is started that needs it.
func setup() error {
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	lost := lostData()
	if lost != "" {
		switch found, err := machineCopies.restore(); {
		case err != nil:
			fmt.Fprintf(os.Stderr, "copies on the boot partition: %v\n", err)
		case found:
			fmt.Println("configuration and admission are those copied to the boot partition")
		}
	}
	tell(lostAlarm, lost)
	if err := takeDrive(); err != nil {
		fmt.Fprintf(os.Stderr, "config drive: %v; the configuration of before stays\n", err)
	}
	c, err := keptConfig()
	if err != nil {
		return err
	}
	if err := saveCopies(); err != nil {
		fmt.Fprintf(os.Stderr, "the configuration is not copied to the boot partition: %v\n", err)
	}
	fallen := ""
	if m, err := thisMachine(); err == nil && readFallen(fallbackFile, m.Release.Sequence).Plain {
		fallen = crashed
		fmt.Println(fallen + " until the console's 6 or another system")
		if err := c.plain(); err != nil {
			return err
		}
	}
	tell(fallenAlarm, fallen)
	if err := write(c); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(c.Name)); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	// Names are looked up as /etc/resolv.conf says, which the read-only system has
	// as an empty file.
	if err := unix.Mount(ownFolder+"resolv.conf", "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("resolv.conf: %w", err)
	}
	return nil
}

// keptConfig reads the configuration that is kept.
func keptConfig() (*Config, error) {
	text, err := os.ReadFile(kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no configuration: put appliance.yaml on a stick or drive labelled SIMTRAP and restart")
	}
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kept, err)
	}
	return c, nil
}

// writeSensor writes simtrapd's configuration alone.
func writeSensor(c *Config) error {
	files, err := render(c)
	if err != nil {
		return err
	}
	return os.WriteFile(ownFolder+"simtrapd.yaml", []byte(files[ownFolder+"simtrapd.yaml"]), 0o644)
}

// portsWithin is how long drivers of cards may take to find their ports.
const portsWithin = time.Minute

// write writes what a configuration comes to.
func write(c *Config) error {
	// Rules of a port that is not there cannot be made, and none would be in force.
	all := c.taps
	deadline := time.Now().Add(portsWithin)
	c.taps = slices.DeleteFunc(slices.Clone(all), func(port string) bool {
		for {
			_, err := os.Stat("/sys/class/net/" + port)
			if err == nil {
				return false
			}
			if time.Now().After(deadline) {
				fmt.Fprintf(os.Stderr, "tap port %s: no such interface\n", port)
				return true
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	files, err := render(c)
	c.taps = all
	if err != nil {
		return err
	}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mountDrive mounts the drive read-only, without programs and devices; fs.ErrNotExist
// says that there is none.
func mountDrive() (unmount func(), err error) {
	if _, err := os.Stat(driveLabel); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(driveMount, 0o700); err != nil {
		return nil, err
	}
	for _, kind := range []string{"vfat", "iso9660"} {
		if err = unix.Mount(driveLabel, driveMount, kind, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err == nil {
			return func() { _ = unix.Unmount(driveMount, 0) }, nil
		}
	}
	return nil, fmt.Errorf("mount: %w", err)
}

// fromDrive does something with a file of the drive. There need be neither: a drive may
// bring an update alone.
func fromDrive(name string, do func(*os.File) error) error {
	unmount, err := mountDrive()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unmount()
	f, err := os.Open(filepath.Join(driveMount, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

// takeDrive keeps the configuration of the drive, when there is one that says nothing
// wrong.
func takeDrive() error { return fromDrive(driveFile, takeConfig) }

func takeConfig(f *os.File) error {
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return err
	}
	old, err := os.ReadFile(kept)
	if err == nil && bytes.Equal(old, text) {
		return nil
	}
	c, err := parseConfig(text)
	if err != nil {
		return err
	}
	if err := checkSensor(c); err != nil {
		return err
	}
	if err := keep(kept, text); err != nil {
		return err
	}
	// A new file may have a new token.
	if err := os.Remove(tokenDone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkSensor has simtrapd judge its part.
func checkSensor(c *Config) error {
	files, err := render(c)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("/run", "simtrapd-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(files[ownFolder+"simtrapd.yaml"])
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if out, err := exec.Command("/usr/bin/simtrapd", "check", f.Name()).CombinedOutput(); err != nil {
		return fmt.Errorf("sensor: %s", strings.ReplaceAll(strings.TrimSpace(string(out)), f.Name()+":", "line "))
	}
	return nil
}

// keep writes a file so that the old or the new one is there, whatever happens.
func keep(path string, text []byte) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// refusedFile has what the last try to be admitted came to, for the console.
const refusedFile = ownFolder + "not-admitted"

// enroll has the hub admit the machine with the token, until it has. A token is good
// once, so that it is not tried again when it has done its work. simtrapd, which did not
// wait for it, is started again then: it looks for its identity when it starts.
func enroll() error {
	c, err := keptConfig()
	if err != nil {
		return err
	}
	if _, err := os.Stat(tokenDone); err == nil || c.Hub.Token == "" {
		return nil
	}
	for wait := time.Second; ; wait = min(2*wait, 5*time.Minute) {
		cmd := exec.Command("/usr/bin/simtrapd", "enroll", "-c", ownFolder+"simtrapd.yaml", c.Hub.Address, "-")
		cmd.Stdin = strings.NewReader(c.Hub.Token + "\n")
		out, err := cmd.CombinedOutput()
		fmt.Print(string(out))
		if err == nil {
			_ = os.Remove(refusedFile) // it may never have been there
			err = keep(tokenDone, nil)
			if said := onMachine("/usr/bin/systemctl", "--no-block", "try-restart", "simtrapd.service"); said != "" {
				err = errors.Join(err, errors.New(said))
			}
			return err
		}
		// The console says it; where that cannot be written the log has it.
		_ = os.WriteFile(refusedFile, []byte(lastLine(string(out))), 0o600)
		time.Sleep(wait)
	}
}

// lastLine gives the last line of what a program said, or something in its place.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1 // whoever answered may have said it, and a terminal would obey
	}, text[strings.LastIndexByte(text, '\n')+1:])
	if text == "" {
		return "no reason was given"
	}
	return text
}

// admission says how the machine stands with its hub, for the console: one line, empty
// where it has no hub. used says that the token has done its work, refused what the last
// try came to.
func admission(c *Config, used bool, refused string) string {
	switch {
	case c.Hub.Address == "":
		return ""
	case used:
		return "admitted by " + c.Hub.Address
	case c.Hub.Token == "":
		return "no token for " + c.Hub.Address + ": put one on the stick, unless it was admitted before"
	case refused != "":
		return "not admitted by " + c.Hub.Address + " yet: " + refused
	}
	return "waits to be admitted by " + c.Hub.Address
}
