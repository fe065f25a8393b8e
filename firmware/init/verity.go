package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tree is a hash tree of dm-verity, as the kernel's command line tells it:
// simtrap.root=HASH:BLOCKS, where BLOCKS blocks of 4096 bytes of data are followed by
// a superblock and the tree.
type tree struct {
	root   string // SHA-256, in hexadecimal
	blocks uint64
}

const (
	block  = 4096
	sector = 512
	device = "simtrap-root"
	mapped = "/dev/mapper-" + device
)

func parseTree(cmdline string) (tree, error) {
	for _, word := range strings.Fields(cmdline) {
		value, ok := strings.CutPrefix(word, "simtrap.root=")
		if !ok {
			continue
		}
		root, count, _ := strings.Cut(value, ":")
		sum, err := hex.DecodeString(root)
		if err != nil || len(sum) != 32 {
			return tree{}, fmt.Errorf("simtrap.root: %q is no SHA-256", root)
		}
		// 2^40 blocks are more than any disk, and far from an overflow.
		blocks, err := strconv.ParseUint(count, 10, 40)
		if err != nil || blocks == 0 {
			return tree{}, fmt.Errorf("simtrap.root: %q is no number of blocks", count)
		}
		return tree{root, blocks}, nil
	}
	return tree{}, errors.New("no simtrap.root on the kernel's command line")
}

// table gives what the verity target is told. A block that does not bear its hash
// restarts the machine.
func (t tree) table(disk string) string {
	return fmt.Sprintf("1 %s %s %d %d %d %d sha256 %s - 1 restart_on_corruption", disk, disk, block, block, t.blocks, t.blocks+1, t.root)
}

// candidate is table for finding out whether a disk bears the tree at all: a block that
// does not is an error of reading.
func (t tree) candidate(disk string) string {
	return strings.TrimSuffix(t.table(disk), " 1 restart_on_corruption")
}

// Requests of <linux/dm-ioctl.h>: _IOWR(0xfd, N, struct dm_ioctl).
const (
	headSize   = 312
	targetSize = 40
	dmCreate   = 0xc138fd03
	dmRemove   = 0xc138fd04
	dmSuspend  = 0xc138fd06
	dmLoad     = 0xc138fd09
	readOnly   = 1
)

// request is a struct dm_ioctl, and for dmLoad one target behind it.
func request(command uint, length uint64, params string) []byte {
	size := headSize
	if command == dmLoad {
		size += targetSize + (len(params)+8)/8*8 // with its zero at the end
	}
	b := make([]byte, size)
	le := binary.NativeEndian
	le.PutUint32(b[0:], 4) // version 4.0.0
	le.PutUint32(b[12:], uint32(size))
	le.PutUint32(b[16:], headSize)
	copy(b[48:], device)
	if command == dmLoad {
		le.PutUint32(b[20:], 1)
		le.PutUint32(b[28:], readOnly)
		target := b[headSize:]
		le.PutUint64(target[8:], length)
		copy(target[24:], "verity")
		copy(target[targetSize:], params)
	}
	return b
}

func ask(control *os.File, command uint, length uint64, params string) ([]byte, error) {
	b := request(command, length, params)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), uintptr(command), uintptr(unsafe.Pointer(&b[0])))
	runtime.KeepAlive(b)
	if errno != 0 {
		return nil, errno
	}
	return b, nil
}

// open makes mapped the verified content of a disk. Nothing is left of it when the disk
// does not bear the tree.
func open(t tree, disk string) error {
	length, err := sectors(disk)
	if err != nil {
		return err
	}
	if need := (t.blocks + 1) * (block / sector); length < need {
		return fmt.Errorf("it has %d sectors of %d", length, need)
	}
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	if err := activate(control, t, t.candidate(disk)); err != nil {
		return err
	}
	err = probe()
	remove(control)
	if err != nil {
		return fmt.Errorf("it does not bear the hash: %w", err)
	}
	return activate(control, t, t.table(disk))
}

func remove(control *os.File) {
	os.Remove(mapped)
	if _, err := ask(control, dmRemove, 0, ""); err != nil {
		say("remove the device: %v", err)
	}
}

func activate(control *os.File, t tree, table string) error {
	made, err := ask(control, dmCreate, 0, "")
	if err != nil {
		return fmt.Errorf("create a device: %w", err)
	}
	_, err = ask(control, dmLoad, t.blocks*(block/sector), table)
	if err == nil {
		_, err = ask(control, dmSuspend, 0, "") // which resumes
	}
	if err == nil {
		dev := binary.NativeEndian.Uint64(made[40:])
		err = unix.Mknod(mapped, unix.S_IFBLK|0o600, int(dev))
	}
	if err != nil {
		remove(control)
		return fmt.Errorf("dm-verity: %w", err)
	}
	return nil
}

// probe reads the first block, for which the tree is followed from its root.
func probe() error {
	f, err := os.Open(mapped)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(make([]byte, block), 0)
	return err
}

// sectors gives the size of a disk, of 512 bytes each.
func sectors(disk string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(disk), "size"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
