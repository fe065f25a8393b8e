// Package mapper makes devices of the kernel's device mapper, of one target each.
package mapper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sector is what sizes are counted in, in bytes.
const Sector = 512

// Target is what a device does with what is read from it and written to it.
type Target struct {
	Kind     string // verity, crypt
	Params   string // as Documentation/admin-guide/device-mapper of Linux has them
	Sectors  uint64
	ReadOnly bool
}

// Control is where the kernel is asked; it is there once the mapper is.
const Control = "/dev/mapper/control"

// Make makes a device and gives its number.
func Make(name string, t Target) (uint64, error) {
	control, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer control.Close()
	made := head(create, name, 0)
	if err := ask(control, create, made); err != nil {
		return 0, fmt.Errorf("create a device: %w", err)
	}
	err = ask(control, load, table(name, t))
	if err == nil {
		err = ask(control, suspend, head(suspend, name, 0)) // which resumes
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("dm-%s: %w", t.Kind, err), ask(control, remove, head(remove, name, 0)))
	}
	return binary.NativeEndian.Uint64(made[40:]), nil
}

// Remove takes a device away that nobody has open.
func Remove(name string) error {
	control, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	if err := ask(control, remove, head(remove, name, 0)); err != nil {
		return fmt.Errorf("remove the device: %w", err)
	}
	return nil
}

// Requests of <linux/dm-ioctl.h>: _IOWR(0xfd, N, struct dm_ioctl).
const (
	headSize   = 312
	targetSize = 40
	create     = 0xc138fd03
	remove     = 0xc138fd04
	suspend    = 0xc138fd06
	load       = 0xc138fd09

	readOnly = 1 << 0
	secret   = 1 << 15 // the kernel keeps nothing of what it was sent
)

// head is a struct dm_ioctl, with room behind it.
func head(command uint, name string, room int) []byte {
	b := make([]byte, headSize+room)
	ne := binary.NativeEndian
	ne.PutUint32(b[0:], 4) // version 4.0.0
	ne.PutUint32(b[12:], uint32(len(b)))
	ne.PutUint32(b[16:], headSize)
	if command == load {
		ne.PutUint32(b[28:], secret)
	}
	copy(b[48:], name)
	return b
}

// table is the request that gives a device its target.
func table(name string, t Target) []byte {
	b := head(load, name, targetSize+(len(t.Params)+8)/8*8) // with its zero at the end
	ne := binary.NativeEndian
	ne.PutUint32(b[20:], 1)
	if t.ReadOnly {
		ne.PutUint32(b[28:], secret|readOnly)
	}
	target := b[headSize:]
	ne.PutUint64(target[8:], t.Sectors)
	copy(target[24:], t.Kind)
	copy(target[targetSize:], t.Params)
	return b
}

func ask(control *os.File, command uint, b []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), uintptr(command), uintptr(unsafe.Pointer(&b[0])))
	runtime.KeepAlive(b)
	if errno != 0 {
		return errno
	}
	return nil
}
