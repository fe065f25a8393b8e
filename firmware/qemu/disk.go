package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"simtrap/firmware/update"
	"simtrap/report/outbox"
)

// Where the parts of the disk begin (firmware/image), in bytes.
const (
	bootAt  = 1 << 20
	slotAAt = bootAt + 128<<20
	slotBAt = slotAAt + 256<<20
)

// disk is what a disk tells whose machine is off, or stands still.
type disk struct {
	entries []string // names of the files that the boot loader starts
	kernel  int64    // of the update that is being installed, so far; -1 for none
	pending uint64   // sequence of the update that stands as pending; 0 for none
	fetched int64    // of an update that the hub offers, so far; -1 for none
	handed  bool     // it is whole, and the appliance is to take it
	acked   uint64
	records []outbox.Record // that wait, without those that tell of gaps
}

// look reads the disk as the next start would find it: with a copy of the data partition
// whose journal is replayed.
func (t *trial) look(ctx context.Context) (*disk, error) {
	d := &disk{kernel: -1, fetched: -1}
	esp := t.file("disk") + "@@" + strconv.Itoa(bootAt)
	out, err := output(ctx, "mdir", "-b", "-i", esp, "::EFI/Linux")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		switch name := filepath.Base(strings.TrimSpace(line)); name {
		case ".", "":
		case "update.new":
			whole, err := output(ctx, "mtype", "-i", esp, "::EFI/Linux/update.new")
			if err != nil {
				return nil, err
			}
			d.kernel = int64(len(whole))
		default:
			d.entries = append(d.entries, name)
		}
	}
	if err := t.copyData(ctx); err != nil {
		return nil, err
	}
	return d, t.lookData(ctx, d)
}

// copyData copies the data partition as it is at this moment.
func (t *trial) copyData(ctx context.Context) error {
	return tools(ctx, []string{"rm", "-f", t.file("data")},
		[]string{"dd", "if=" + t.file("disk"), "of=" + t.file("data"), "bs=1M", "skip=" + strconv.Itoa(dataAt>>20), "conv=sparse", "status=none"})
}

func (t *trial) lookData(ctx context.Context, d *disk) error {
	// It mends what a power cut leaves, and ends with 1 when it did.
	if out, err := output(ctx, "e2fsck", "-f", "-y", t.file("data")); err != nil && exitCode(err) != 1 {
		return fmt.Errorf("%w: %s", err, out)
	}
	text, err := output(ctx, "debugfs", "-R", "cat /lib/appliance/update-pending", t.file("data"))
	if err != nil {
		return err
	}
	var pending update.Pending
	if json.Unmarshal([]byte(text), &pending) == nil { // there may be none
		d.pending = pending.To.Sequence
	}
	text, err = output(ctx, "debugfs", "-R", "ls -p /lib/simtrapd/updates", t.file("data"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if f := strings.Split(line, "/"); len(f) > 6 { // /inode/mode/uid/gid/name/size/
			d.handed = d.handed || f[5] == "offered.update"
			if strings.HasSuffix(f[5], ".part") {
				d.fetched, _ = strconv.ParseInt(f[6], 10, 64)
			}
		}
	}
	folder := t.file("outbox")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if out, err := output(ctx, "debugfs", "-R", "rdump /lib/simtrapd/outbox "+t.folder, t.file("data")); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	box, err := outbox.Open(folder, outbox.Options{Reserve: -1})
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	d.acked = box.Stats().Acked
	some, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	d.records, err = box.Batch(some, 32<<20, 10_000)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil // nothing waits
	}
	d.records = slices.DeleteFunc(d.records, func(r outbox.Record) bool { return r.Kind == outbox.KindGap })
	return errors.Join(err, box.Close())
}

// record writes the log of the newest start on the disk into a file, each line with the
// seconds since the kernel began.
func (t *trial) record(ctx context.Context, name string) error {
	if err := t.copyData(ctx); err != nil {
		return err
	}
	if out, err := output(ctx, "e2fsck", "-f", "-y", t.file("data")); err != nil && exitCode(err) != 1 {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := os.RemoveAll(t.file("journal")); err != nil {
		return err
	}
	if out, err := output(ctx, "debugfs", "-R", "rdump /log/journal "+t.folder, t.file("data")); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	text, err := output(ctx, "journalctl", "--directory", t.file("journal"), "--no-pager", "--boot", "-o", "short-monotonic")
	if err != nil {
		return err
	}
	t.say("the log of this start is in %s", t.file(name))
	return os.WriteFile(t.file(name), []byte(text), 0o644)
}

// standing looks at what waits on the disk of a machine that runs, which stands still
// while its data partition is copied: it is what a power cut would leave.
func (t *trial) standing(ctx context.Context, m *machine) (*disk, error) {
	if err := m.still(true); err != nil {
		return nil, err
	}
	err := t.copyData(ctx)
	if err := errors.Join(err, m.still(false)); err != nil {
		return nil, err
	}
	d := &disk{}
	return d, t.lookData(ctx, d)
}

// lost gives the records that waited and are neither there any more, nor acknowledged,
// nor replaced by a newer revision.
func lost(before, after *disk) []outbox.Record {
	return slices.DeleteFunc(slices.Clone(before.records), func(r outbox.Record) bool {
		return r.Seq <= after.acked || slices.ContainsFunc(after.records, func(x outbox.Record) bool {
			return x.Epoch == r.Epoch && x.Seq == r.Seq || r.Key != "" && x.Key == r.Key && x.Revision > r.Revision
		})
	})
}

// firstBlock finds where in a system the first block of one of its files lies: a byte
// that is turned there changes the file from its beginning.
func (t *trial) firstBlock(ctx context.Context, system, file string) (int64, error) {
	whole, err := output(ctx, "unsquashfs", "-p", "1", "-cat", system, file)
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(system, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	changes := func(at int64) (bool, error) {
		if err := turn(f, at); err != nil {
			return false, err
		}
		got, err := output(ctx, "unsquashfs", "-p", "1", "-cat", system, file)
		if exitCode(err) < 0 {
			return false, err
		}
		return got != whole, turn(f, at)
	}
	// What the file system knows of its files comes behind all that they hold.
	const step = 1 << 20
	for at := int64(step); at < info.Size(); at += step {
		in, err := changes(at)
		if err != nil {
			return 0, err
		}
		if !in {
			continue
		}
		before := at - step
		for at-before > verityBlock {
			middle := (at + before) / 2
			if in, err = changes(middle); err != nil {
				return 0, err
			}
			if in {
				at = middle
			} else {
				before = middle
			}
		}
		return at + verityBlock, nil
	}
	return 0, fmt.Errorf("%s is nowhere in %s", file, system)
}

// verityBlock is what is hashed at once, in bytes. A block of a file has many.
const verityBlock = 4096

// turn turns the bits of one byte.
func turn(f *os.File, at int64) error {
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 0xff
	_, err := f.WriteAt(b, at)
	return err
}

// bundle is an update that lies beside the image.
type bundle struct {
	update.Manifest
	path string
	at   int64 // where its kernel begins
}

func openBundle(path string) (*bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := update.Peek(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	at, err := f.Seek(0, io.SeekCurrent)
	return &bundle{m, path, at}, err
}

// systemTo writes the bundle's system into a file.
func (b *bundle) systemTo(path string) error {
	from, err := os.Open(b.path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(from, b.at+b.Kernel.Size, b.System.Size))
	return errors.Join(err, to.Close())
}

// again signs what the bundle holds under another sequence, so that it can be installed
// once more.
func (b *bundle) again(key string, sequence uint64, path string) (*bundle, error) {
	text, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is no private key", key)
	}
	from, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	r := b.Release
	r.Sequence = sequence
	err = update.Write(to, r, io.NewSectionReader(from, b.at, b.Kernel.Size), io.NewSectionReader(from, b.at+b.Kernel.Size, b.System.Size), ed25519.NewKeyFromSeed(seed))
	if err := errors.Join(err, to.Close()); err != nil {
		return nil, err
	}
	return openBundle(path)
}

// written gives the share of a bundle's system that a slot holds.
func (b *bundle) written(disk string, at int64) (float64, error) {
	d, err := os.Open(disk)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	f, err := os.Open(b.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	same, all := 0, 0
	one, other := make([]byte, verityBlock), make([]byte, verityBlock)
	for done := int64(0); done < b.System.Size; done += verityBlock {
		if _, err := d.ReadAt(one, at+done); err != nil {
			return 0, err
		}
		if _, err := f.ReadAt(other, b.at+b.Kernel.Size+done); err != nil {
			return 0, err
		}
		all++
		if string(one) == string(other) {
			same++
		}
	}
	return float64(same) / float64(cmp.Or(all, 1)), nil
}

// output runs a program and gives what it writes to its standard output.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return string(out), err
}

// exitCode gives 0 for no error, and -1 where a program did not end by itself.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}
