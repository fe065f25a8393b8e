// Command init is the first program of the appliance: it loads the drivers of disks,
// looks for the slot whose content bears the root hash of its kernel's command line,
// and hands over to the system there. It has no shell and asks nobody; when it finds
// no slot it restarts the machine, and the boot loader counts that against this one.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long disks may take to appear.
const patience = 30 * time.Second

func main() {
	err := boot()
	say("%v; restarting", err)
	time.Sleep(5 * time.Second)
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

func say(format string, args ...any) { fmt.Printf("simtrap: "+format+"\n", args...) }

// boot returns only when it cannot go on.
func boot() error {
	for _, m := range []struct{ from, to, kind string }{{"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"}, {"dev", "/dev", "devtmpfs"}, {"run", "/run", "tmpfs"}} {
		if err := unix.Mount(m.from, m.to, m.kind, unix.MS_NOSUID, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.to, err)
		}
	}
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	tree, err := parseTree(string(text))
	if err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := await(tree); err != nil {
		return err
	}
	if err := unix.Mount(mapped, "/root", "squashfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount the slot: %w", err)
	}
	return handOver()
}

// loadModules loads the files of a folder in the order of its list.
func loadModules(folder string) error {
	list, err := os.ReadFile(filepath.Join(folder, "order"))
	if err != nil {
		return err
	}
	for name := range strings.Lines(string(list)) {
		f, err := os.Open(filepath.Join(folder, strings.TrimSpace(name)))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		// A driver whose hardware is not there may refuse; what is needed and does
		// not work shows below.
		if err != nil && err != unix.EEXIST && err != unix.ENODEV {
			say("module %s: %v", strings.TrimSpace(name), err)
		}
	}
	return nil
}

// await tries the slots until one of them bears the tree's hash.
func await(t tree) error {
	deadline := time.Now().Add(patience)
	for {
		slots, err := slots("/sys/class/block")
		if err != nil {
			return err
		}
		for _, s := range slots {
			if err := open(t, s); err != nil {
				say("%s: %v", s, err)
				continue
			}
			say("system on %s", s)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no slot of %d bears hash %s", len(slots), t.root)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// slots gives the device nodes of partitions that are named slot-a or slot-b.
func slots(class string) ([]string, error) {
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(class, e.Name(), "uevent"))
		if err != nil {
			continue // it has just gone
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line == "PARTNAME=slot-a" || line == "PARTNAME=slot-b" {
				list = append(list, "/dev/"+e.Name())
			}
		}
	}
	return list, nil
}

// handOver makes /root the root and its init the first program.
func handOver() error {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run"} {
		if err := unix.Mount(dir, "/root"+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", dir, err)
		}
	}
	// What the initramfs held is of no more use, and takes memory.
	for _, name := range []string{"/modules", "/init"} {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	if err := unix.Chdir("/root"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	const next = "/lib/systemd/systemd"
	return fmt.Errorf("%s: %w", next, unix.Exec(next, []string{next}, []string{"PATH=/usr/sbin:/usr/bin", "TERM=vt220"}))
}
