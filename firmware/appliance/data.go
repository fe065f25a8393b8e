package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"

	"simtrap/firmware/seal"
)

// The data partition is mounted in a place of its own first, and var.mount binds it to
// /var: so something else can take its place where it cannot be mounted.
const (
	dataMount = "/run/appliance-data"
	// dataLost tells why memory has taken its place; there is none where all is well.
	dataLost = "/run/appliance-data-lost"
	// standIn is how much of memory may take its place: the log is not kept there
	// (dataOnce), and reports leave 64 MiB free (hub.outbox-reserve).
	standIn = "size=256m,mode=0755"
)

// How long a disk may take to appear, and a check of the file system to end: the machine
// sees nothing meanwhile.
const (
	diskWithin  = time.Minute
	checkWithin = 5 * time.Minute
)

// dataOnce is one start's way to a data partition, for tests.
type dataOnce struct {
	device  string
	await   func(device string) error
	mount   func(source, kind string, flags uintptr, options string) error
	run     func(name string, args ...string) error
	tpm     func(fresh bool) (transport.TPMCloser, error)
	crypt   func(device string, key []byte) (inner string, err error)
	uncrypt func() error
	out     io.Writer
	kept    string // how, for the console
}

// data mounts the data partition, or memory in its place.
func data() error {
	if err := os.MkdirAll(dataMount, 0o755); err != nil {
		return err
	}
	d := dataOnce{device: dataPartition, out: os.Stdout, await: awaitDisk, run: runWithin, tpm: machineTPM, crypt: crypt, uncrypt: uncrypt,
		mount: func(source, kind string, flags uintptr, options string) error {
			return unix.Mount(source, dataMount, kind, flags, options)
		}}
	why := d.place()
	if err := os.WriteFile(dataKept, []byte(d.kept), 0o644); err != nil {
		return err
	}
	if why == nil {
		return nil
	}
	fmt.Printf("the data partition cannot be used: %v; memory takes its place until the next start\n", why)
	if err := unix.Mount("tmpfs", dataMount, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, standIn); err != nil {
		return err
	}
	// With a file where its folder would be the journal stays in its own memory, which
	// is bounded, and leaves this to reports.
	if err := os.MkdirAll(filepath.Join(dataMount, "log"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dataMount, "log/journal"), nil, 0o644); err != nil {
		return err
	}
	return os.WriteFile(dataLost, []byte(why.Error()), 0o644)
}

// lostData says why memory stands in for the data partition, or nothing.
func lostData() string {
	text, err := os.ReadFile(dataLost)
	if err != nil {
		return "" // there is none
	}
	return string(text)
}

// place mounts the partition. A new one is sealed to the TPM where there is one; one
// that holds something stays as it is.
func (d *dataOnce) place() error {
	if err := d.await(d.device); err != nil {
		return err
	}
	sealed, err := readSealed(d.device)
	if err != nil {
		return err
	}
	if sealed != nil {
		return d.placeSealed(sealed)
	}
	d.kept = oldPlain
	fresh, err := isFresh(d.device)
	if err != nil {
		return err
	}
	if fresh {
		inner, err := d.seal()
		if err == nil {
			d.kept = isSealed
			fmt.Fprintln(d.out, "the data partition is sealed to the TPM")
			return d.ext4(inner)
		}
		d.kept = notSealed + err.Error()
		fmt.Fprintf(d.out, "the data partition is %s\n", d.kept)
	}
	return d.mountOn(d.device, true)
}

// mkfs makes the file system, as systemd-repart makes it at the first start.
var mkfs = []string{"/usr/sbin/mkfs.ext4", "-q", "-F", "-L", "data", "-m", "0", "-b", "4096", "-T", "default", "-E", "lazy_itable_init=1"}

// mountOn mounts what is on a device; what does not let itself be mounted, or says that
// it has errors, is checked first. Only one without anything on it is given a file
// system, where it may be.
func (d *dataOnce) mountOn(device string, may bool) error {
	if !faulty(device) {
		err := d.ext4(device)
		if err == nil {
			return nil
		}
		fmt.Fprintf(d.out, "the data partition is not mounted: %v\n", err)
	}
	empty, err := hasNothing(device)
	if err != nil {
		return err
	}
	if empty && may {
		fmt.Fprintln(d.out, "the data partition is empty and gets its file system")
		if err := d.run(mkfs[0], append(mkfs[1:], device)...); err != nil {
			return err
		}
		return d.ext4(device)
	}
	fmt.Fprintln(d.out, "the data partition is checked")
	// What can be mended without a question, then whatever it takes: it looks for a copy
	// of the superblock by itself then.
	if d.run("/usr/sbin/e2fsck", "-p", device) != nil {
		if err := d.run("/usr/sbin/e2fsck", "-y", device); err != nil {
			return err
		}
	}
	err = d.ext4(device)
	if err == nil {
		fmt.Fprintln(d.out, "the data partition was mended")
	}
	return err
}

func (d *dataOnce) ext4(device string) error {
	return d.mount(device, "ext4", unix.MS_NOATIME|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "errors=remount-ro")
}

// Of ext4 (Documentation/filesystems/ext4/super.rst of Linux), in bytes and in blocks of
// 4096 bytes.
const (
	superAt    = 1024 // the superblock, in the partition
	mountedAt  = 44   // in the superblock; 4 bytes, when it was mounted last
	mountsAt   = 52   // 2 bytes, how often it was
	magicAt    = 56   // in the superblock; 2 bytes, 0xef53
	stateAt    = 58   // 2 bytes
	stateError = 2    // a bit: the kernel saw an error
	block      = 4096
	group      = 32768 // blocks
)

// copiesOfSuper are the groups that a copy of the superblock begins: 1 and powers of 3, 5
// and 7, as many as anybody looks for.
var copiesOfSuper = []int64{1, 3, 5, 7, 9, 25, 27, 49}

// isSuper says whether what begins here looks like a superblock.
func isSuper(b []byte) bool {
	return len(b) >= stateAt+2 && b[magicAt] == 0x53 && b[magicAt+1] == 0xef
}

// faulty says whether the superblock tells of errors. What cannot be read is for others
// to say.
func faulty(device string) bool {
	f, err := os.Open(device)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, 64)
	if _, err := f.ReadAt(b, superAt); err != nil {
		return false
	}
	return isSuper(b) && b[stateAt]&stateError != 0
}

// hasNothing says that no file system has to be on a partition: nothing is in its first
// block, no copy of a superblock where one would be, and nothing that a TPM has sealed. A
// factory reset leaves it so, and the making of a file system that was cut off, which
// writes that block last.
func hasNothing(device string) (bool, error) {
	f, err := os.Open(device)
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, block)
	if _, err := f.ReadAt(b, 0); err != nil {
		return false, err
	}
	if !bytes.Equal(b, make([]byte, block)) {
		return false, nil
	}
	if _, err := f.ReadAt(b, sealedAgain); err != nil || seal.Sealed(b) {
		return false, err
	}
	for _, n := range copiesOfSuper {
		_, err := f.ReadAt(b, n*group*block)
		if err == io.EOF {
			break // that far it does not reach
		}
		if err != nil {
			return false, err
		}
		if isSuper(b) {
			return false, nil
		}
	}
	return true, nil
}

// awaitDisk waits for a device.
func awaitDisk(device string) error {
	for deadline := time.Now().Add(diskWithin); ; time.Sleep(100 * time.Millisecond) {
		_, err := os.Stat(device)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// runWithin runs a check of the file system, and gives what it said last where it did
// not leave a sound one.
func runWithin(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	// e2fsck ends with 1 when it has mended everything.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 && filepath.Base(name) == "e2fsck" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, firstComplaint(string(out)))
	}
	return nil
}

// firstComplaint gives the first line of what a program said, without the one that has
// its version alone.
func firstComplaint(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !versionLine.MatchString(line) {
			return lastLine(line)
		}
	}
	return lastLine("")
}

var versionLine = regexp.MustCompile(`^(e2fsck|mke2fs) [0-9.]+ \(`)
