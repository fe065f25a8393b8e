package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"simtrap/firmware/update"
)

// A system that has shown that it works is not counted by the boot loader: were a block
// of it spoilt later, the machine would restart at that block for good. So after a run
// that did not end in order, as at such a block, all of the slot is read before its
// system is started, and one that is spoilt is taken out of use where there is another.

// cutOff says whether the last run may not have ended in order: it did where the file
// system in the data partition is marked as not in use, or is not there yet. One that is
// sealed does not tell.
func cutOff(class string) bool {
	list, err := partitions(class, "data")
	if err != nil || len(list) == 0 {
		return false
	}
	f, err := os.Open(list[0].device)
	if err != nil {
		return true
	}
	defer f.Close()
	b := make([]byte, 1024)
	_, err = f.ReadAt(b, 1024)
	return err != nil || !unmounted(b)
}

// unmounted says whether a superblock is that of an ext4 whose journal has nothing to
// replay.
func unmounted(b []byte) bool {
	le := binary.LittleEndian
	const magic, needsRecovery = 0xef53, 0x4
	return le.Uint16(b[0x38:]) == magic && le.Uint32(b[0x60:])&needsRecovery == 0
}

const bootMount = "/run/boot"

// giveUp takes the system of a tree out of use, in the boot partition, so that the boot
// loader starts the other slot.
func giveUp(class string, t tree, modules string) error {
	list, err := partitions(class, "esp")
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("there is no boot partition")
	}
	if err := drivers(modules, "fat.ko", "vfat.ko", "nls_cp437.ko", "nls_ascii.ko"); err != nil {
		return err
	}
	if err := os.MkdirAll(bootMount, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(list[0].device, bootMount, "vfat", unix.MS_DIRSYNC|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount the boot partition: %w", err)
	}
	m := update.Machine{Root: t.root, Entries: filepath.Join(bootMount, "EFI/Linux")}
	err = m.Spoilt()
	return errors.Join(err, unix.Unmount(bootMount, 0))
}

// drivers loads those of the list that have these names, in its order.
func drivers(folder string, names ...string) error {
	list, err := os.ReadFile(filepath.Join(folder, "order"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		for _, name := range names {
			if strings.HasSuffix(line, "-"+name) {
				if err := insert(filepath.Join(folder, line)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
