// Command image puts the parts of the appliance into one image of a disk: a partition
// for the boot loader, slot A with the system, an empty slot B. The data partition is
// made by the machine itself, as large as its disk allows.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"simtrap/firmware/gpt"
)

// Sizes of partitions, and their types. A slot's type is of this project, so that
// nothing else takes one for its own.
const (
	espSize  = 128 << 20
	slotSize = 256 << 20

	espType  = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	slotType = "5D3F7A60-6C7D-4B7A-9E55-51AB1E51A907"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: image DISK ESP SLOT")
		os.Exit(2)
	}
	if err := build(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func build(disk, esp, slot string) (err error) {
	parts := []gpt.Partition{
		{Name: "esp", Type: espType, ID: "5D3F7A60-0000-4000-8000-000000000001", Size: espSize},
		{Name: "slot-a", Type: slotType, ID: "5D3F7A60-0000-4000-8000-000000000002", Size: slotSize},
		{Name: "slot-b", Type: slotType, ID: "5D3F7A60-0000-4000-8000-000000000003", Size: slotSize},
	}
	starts, size := gpt.Starts(parts)
	out, err := os.Create(disk)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(size); err != nil {
		return err
	}
	for i, name := range []string{esp, slot} {
		if err := put(out, name, starts[i], parts[i].Size); err != nil {
			return err
		}
	}
	return gpt.Write(out, "5D3F7A60-0000-4000-8000-000000000000", parts)
}

// put copies a file to a place, leaving holes where it is empty.
func put(out *os.File, name string, at, room int64) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	b, zero := make([]byte, 1<<16), [1 << 16]byte{}
	for done := int64(0); ; {
		n, err := io.ReadFull(in, b)
		if done += int64(n); done > room {
			return fmt.Errorf("%s does not fit into %d bytes", name, room)
		}
		if string(b[:n]) != string(zero[:n]) {
			if _, err := out.WriteAt(b[:n], at+done-int64(n)); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
