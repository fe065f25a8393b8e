// Package gpt writes partition tables of UEFI (GUID partition tables), the same bytes
// for the same partitions.
package gpt

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

const (
	// Sector is the size in which tables count, in bytes.
	Sector = 512
	// Align is where partitions may begin, in bytes.
	Align = 1 << 20

	entries   = 128
	entrySize = 128
	tableSize = entries * entrySize
	first     = 2 + tableSize/Sector // sector behind the first table
	behind    = 1 + tableSize/Sector // sectors of the second table and its header
)

// Partition is one partition. Its beginning follows from the ones before it.
type Partition struct {
	Name string // at most 36 characters
	Type string // GUID, as it is written: C12A7328-F81F-11D2-BA4B-00A0C93EC93B
	ID   string // GUID
	Size int64  // bytes, a multiple of Align
}

// Starts gives where each partition begins, and the size of the whole disk, in bytes.
func Starts(parts []Partition) ([]int64, int64) {
	at, starts := int64(Align), []int64(nil)
	for _, p := range parts {
		starts = append(starts, at)
		at += p.Size
	}
	return starts, at + Align
}

// Write writes both tables and the protective record in front of them; what lies in
// the partitions is left alone.
func Write(w io.WriterAt, disk string, parts []Partition) error {
	if len(parts) > entries {
		return fmt.Errorf("%d partitions, of %d at most", len(parts), entries)
	}
	id, err := guid(disk)
	if err != nil {
		return err
	}
	starts, size := Starts(parts)
	last := uint64(size/Sector) - 1
	table := make([]byte, tableSize)
	le := binary.LittleEndian
	for i, p := range parts {
		e := table[i*entrySize:]
		kind, err := guid(p.Type)
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.Name, err)
		}
		own, err := guid(p.ID)
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.Name, err)
		}
		name := utf16.Encode([]rune(p.Name))
		if len(name) > 36 {
			return fmt.Errorf("partition %s: the name is longer than 36", p.Name)
		}
		if p.Size <= 0 || p.Size%Align != 0 {
			return fmt.Errorf("partition %s: %d bytes are no multiple of %d", p.Name, p.Size, Align)
		}
		copy(e, kind)
		copy(e[16:], own)
		le.PutUint64(e[32:], uint64(starts[i]/Sector))
		le.PutUint64(e[40:], uint64((starts[i]+p.Size)/Sector)-1)
		for j, c := range name {
			le.PutUint16(e[56+2*j:], c)
		}
	}
	header := func(own, other, at uint64) []byte {
		h := make([]byte, Sector)
		copy(h, "EFI PART")
		le.PutUint32(h[8:], 0x10000)
		le.PutUint32(h[12:], 92)
		le.PutUint64(h[24:], own)
		le.PutUint64(h[32:], other)
		le.PutUint64(h[40:], first)
		le.PutUint64(h[48:], last-behind)
		copy(h[56:], id)
		le.PutUint64(h[72:], at)
		le.PutUint32(h[80:], entries)
		le.PutUint32(h[84:], entrySize)
		le.PutUint32(h[88:], crc32.ChecksumIEEE(table))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
		return h
	}
	// One partition of type EE over everything, so that nothing old takes the disk
	// for an empty one.
	mbr := make([]byte, Sector)
	record := mbr[446:]
	copy(record, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff}) // from head 0, sector 2
	le.PutUint32(record[8:], 1)
	le.PutUint32(record[12:], uint32(min(last, 0xffffffff)))
	copy(mbr[510:], []byte{0x55, 0xaa})

	var all error
	put := func(b []byte, sector uint64) {
		_, err := w.WriteAt(b, int64(sector)*Sector)
		all = errors.Join(all, err)
	}
	put(mbr, 0)
	put(header(1, last, 2), 1)
	put(table, 2)
	put(table, last-tableSize/Sector)
	put(header(last, 1, last-tableSize/Sector), last)
	return all
}

// guid gives the bytes of a GUID: its first three numbers are little endian.
func guid(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 || len(s) != 36 {
		return nil, fmt.Errorf("%q is no GUID", s)
	}
	for _, swap := range [][2]int{{0, 3}, {1, 2}, {4, 5}, {6, 7}} {
		b[swap[0]], b[swap[1]] = b[swap[1]], b[swap[0]]
	}
	return b, nil
}
