// Command init is the first program of the appliance: it loads the drivers of disks,
// looks for the slot whose content bears the root hash of its kernel's command line,
// and hands over to the system there. It has no shell and asks nobody; when it finds
// no slot it restarts the machine, and the boot loader counts that against this one.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"simtrap/firmware/erasure"
	"simtrap/firmware/mapper"
	"simtrap/firmware/update"
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
	if err := load(tree, "/modules"); err != nil {
		return errors.Join(err, giveUp("/sys/class/block", tree, "/modules"))
	}
	if err := eraseAsked("/sys/class/block"); err != nil {
		say("erase: %v; it is tried again at the next start", err)
	}
	if err := unix.Mount(mapped, "/root", "squashfs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount the slot: %w", err)
	}
	return handOver()
}

// load loads the drivers of a folder in the order of its list, until one of them has
// brought the slot; then it waits for disks that take their time. The system loads the
// rest.
func load(t tree, folder string) error {
	list, err := os.ReadFile(filepath.Join(folder, "order"))
	if err != nil {
		return err
	}
	refused := map[string]bool{}
	for name := range strings.Lines(string(list)) {
		if err := insert(filepath.Join(folder, strings.TrimSpace(name))); err != nil {
			return err
		}
		if found, err := try(t, refused); found || err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(patience); ; {
		if found, err := try(t, refused); found || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no slot bears hash %s", t.root)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// insert loads one driver. It may refuse where its hardware is not there: what is needed
// and does not work shows later.
func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST && err != unix.ENODEV {
		say("module %s: %v", filepath.Base(path), err)
	}
	return nil
}

// slotFile tells the system which slot it is in, slot-a or slot-b.
const slotFile = "/run/simtrap-slot"

// try tries the slots that have not been refused; refusals for want of the drivers of
// the hash are no refusals.
func try(t tree, refused map[string]bool) (bool, error) {
	if _, err := os.Stat(mapper.Control); err != nil {
		return false, nil // without verity
	}
	list, err := slots("/sys/class/block")
	if err != nil {
		return false, err
	}
	for _, s := range list {
		if refused[s.device] {
			continue
		}
		if err := open(t, s.device, cutOff("/sys/class/block")); err != nil {
			say("%s: %v", s.device, err)
			if !errors.Is(err, errSpoilt) {
				refused[s.device] = true
				continue
			}
			// Whole it may be no more, but where nothing else is there it is what
			// there is: what it has lost may be nothing that is read.
			switch err := giveUp("/sys/class/block", t, "/modules"); {
			case err == nil:
				return false, errSpoilt
			case !errors.Is(err, update.ErrAlone):
				say("%v", err)
			}
			if err := open(t, s.device, false); err != nil {
				return false, err
			}
		}
		say("system on %s", s.device)
		return true, os.WriteFile(slotFile, []byte(s.name), 0o644)
	}
	return false, nil
}

// slot is a partition that may hold a system.
type slot struct{ device, name string }

// slots gives the partitions that are named slot-a or slot-b.
func slots(class string) ([]slot, error) {
	return partitions(class, "slot-a", "slot-b")
}

// eraseAsked overwrites the data partition where someone has asked for that. An empty
// one is given its file system by the system.
func eraseAsked(class string) error {
	list, err := partitions(class, "data")
	if err != nil {
		return err
	}
	for _, p := range list {
		if err := eraseOne(p.device); err != nil {
			return fmt.Errorf("%s: %w", p.device, err)
		}
	}
	return nil
}

func eraseOne(device string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if asked, err := erasure.Asked(f); err != nil || !asked {
		return err
	}
	count, err := sectors(device)
	if err != nil {
		return err
	}
	say("erasing %s", device)
	err = erasure.Erase(int64(count)*sector, func(at, n int64) error {
		// It writes zeros where the disk cannot be told to.
		span := [2]uint64{uint64(at), uint64(n)}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), blkZeroOut, uintptr(unsafe.Pointer(&span)))
		if errno != 0 {
			return errno
		}
		return nil
	}, f.Sync)
	if err != nil {
		return err
	}
	say("%s is erased", device)
	return nil
}

// blkZeroOut is BLKZEROOUT of <linux/fs.h>, _IO(0x12, 127).
const blkZeroOut = 0x127f

// partitions gives those of some names.
func partitions(class string, names ...string) ([]slot, error) {
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, err
	}
	var list []slot
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(class, e.Name(), "uevent"))
		if err != nil {
			continue // it has just gone
		}
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PARTNAME="); ok && slices.Contains(names, name) {
				list = append(list, slot{"/dev/" + e.Name(), name})
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
