package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"simtrap/firmware/mapper"
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
	sector = mapper.Sector
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

// errSpoilt: a slot bears the tree, and not all that it holds is what the tree says.
var errSpoilt = errors.New("it does not bear its hashes any more")

// open makes mapped the verified content of a disk, after a look at all of it if asked
// for. Nothing is left of it when the disk does not bear the tree, or, with errSpoilt,
// not all of it.
func open(t tree, disk string, all bool) error {
	length, err := sectors(disk)
	if err != nil {
		return err
	}
	if need := (t.blocks + 1) * (block / sector); length < need {
		return fmt.Errorf("it has %d sectors of %d", length, need)
	}
	if err := activate(t, t.candidate(disk)); err != nil {
		return err
	}
	if err = probe(); err != nil {
		err = fmt.Errorf("it does not bear the hash: %w", err)
	} else if all {
		err = readAll(mapped)
	}
	remove()
	if err != nil {
		return err
	}
	return activate(t, t.table(disk))
}

func remove() {
	os.Remove(mapped)
	if err := mapper.Remove(device); err != nil {
		say("%v", err)
	}
}

func activate(t tree, table string) error {
	dev, err := mapper.Make(device, mapper.Target{Kind: "verity", Params: table, Sectors: t.blocks * (block / sector), ReadOnly: true})
	if err != nil {
		return err
	}
	if err := unix.Mknod(mapped, unix.S_IFBLK|0o600, int(dev)); err != nil {
		remove()
		return err
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

// readAll reads a device to its end.
func readAll(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	if err != nil {
		return fmt.Errorf("%w: after %d MB: %w", errSpoilt, n/1e6, err)
	}
	return nil
}

// sectors gives the size of a disk, of 512 bytes each.
func sectors(disk string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(disk), "size"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
