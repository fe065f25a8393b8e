package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"

	"simtrap/firmware/seal"
)

// copies keeps on the boot partition what lets a machine whose data partition is lost
// go on: its configuration, and who it is to its hub. There are two, written in turn and
// in place: when the power is cut while one is written the other is whole, and nothing
// of an older one is left behind elsewhere on the disk. Those of a machine whose data
// partition is sealed are sealed as well, each by itself: the partition may be lost, or
// opened by its TPM no more.
type copies struct {
	folder string // of the two
	files  []copied
	sealed func() bool // whether the data partition is
	tpm    func() (transport.TPMCloser, error)
}

// copied is a file that is copied. Whoever owns the folder may put links there: none
// leads out of it.
type copied struct {
	folder, name string
	daemon       bool // it is simtrapd's, to whom a new one is given
}

func (c copied) path() string { return filepath.Join(c.folder, c.name) }

var machineCopies = copies{"/boot/simtrap", []copied{
	{filepath.Dir(kept), filepath.Base(kept), false},
	{filepath.Dir(tokenDone), filepath.Base(tokenDone), false},
	{daemonFolder, "fleet/member", true}, // who it is to the hub: certificate, its key, keys of pseudonyms
}, func() bool {
	sealed, err := readSealed(dataPartition)
	return err == nil && sealed != nil
}, openTPM}

// A copy is the SHA-256 of what follows up to the end of the archive; turn and length of
// the archive, 8 bytes each, little endian; a tar archive, or seal.Box of one; zeros,
// where one that was there before was longer.
const (
	sumSize  = sha256.Size
	copyHead = sumSize + 16
	maxCopy  = 4 << 20 // bytes
)

func (c copies) name(i int) string { return filepath.Join(c.folder, fmt.Sprintf("copy-%d", i)) }

// newest gives the whole copy of the highest turn, and which of the two it is; -1 where
// none is whole.
func (c copies) newest() (which int, turn uint64, archive []byte) {
	which = -1
	for i := range 2 {
		f, err := os.Open(c.name(i))
		if err != nil {
			continue
		}
		b, err := readAtMost(f, maxCopy)
		if err != nil || len(b) < copyHead {
			continue
		}
		at, n := binary.LittleEndian.Uint64(b[sumSize:]), binary.LittleEndian.Uint64(b[sumSize+8:])
		if n > uint64(len(b)-copyHead) {
			continue
		}
		sum := sha256.Sum256(b[sumSize : copyHead+int(n)])
		if bytes.Equal(sum[:], b[:sumSize]) && (which < 0 || at > turn) {
			which, turn, archive = i, at, b[copyHead:copyHead+int(n)]
		}
	}
	return which, turn, archive
}

// readAtMost reads a file to its end and closes it.
func readAtMost(f *os.File, most int64) ([]byte, error) {
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s has more than %d bytes", f.Name(), most)
	}
	return b, err
}

// read gives what a file has, fs.ErrNotExist where there is none.
func (c copied) read() ([]byte, error) {
	root, err := os.OpenRoot(c.folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(c.name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is no file", c.path()), err, f.Close())
	}
	return readAtMost(f, maxConfig)
}

// save takes a copy, if anything has changed since the last one.
func (c copies) save() error {
	var now bytes.Buffer
	w := tar.NewWriter(&now)
	for _, file := range c.files {
		b, err := file.read()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: file.path()[1:], Mode: 0o600, Size: int64(len(b))}); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	which, turn, last := c.newest()
	archive := now.Bytes()
	if was := seal.Sealed(last); was || c.sealed() {
		tpm, err := c.tpm()
		if err != nil {
			return err
		}
		defer tpm.Close()
		if was {
			// What another TPM has sealed is of no use here, and is written anew.
			if text, err := seal.Unbox(tpm, last); err == nil && bytes.Equal(text, archive) {
				return nil
			}
		} else if err := c.erase(); err != nil {
			return err // they stood there for all to read
		}
		if archive, err = seal.Box(tpm, archive); err != nil {
			return err
		}
	} else if which >= 0 && bytes.Equal(last, archive) {
		return nil
	}
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		return err
	}
	b := make([]byte, copyHead, copyHead+len(archive))
	binary.LittleEndian.PutUint64(b[sumSize:], turn+1)
	binary.LittleEndian.PutUint64(b[sumSize+8:], uint64(len(archive)))
	b = append(b, archive...)
	sum := sha256.Sum256(b[sumSize:])
	copy(b, sum[:])
	return overwrite(c.name(1-max(which, 0)), b)
}

// overwrite writes a file in place, with zeros to the end of what was there before.
func overwrite(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if more := info.Size() - int64(len(b)); more > 0 {
		b = append(slices.Clip(b), make([]byte, more)...)
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// restore puts back what the newest copy has, and says whether there was one.
func (c copies) restore() (bool, error) {
	which, _, archive := c.newest()
	if which < 0 {
		return false, nil
	}
	if seal.Sealed(archive) {
		tpm, err := c.tpm()
		if err != nil {
			return false, err
		}
		defer tpm.Close()
		if archive, err = seal.Unbox(tpm, archive); err != nil {
			return false, err
		}
	}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		i := slices.IndexFunc(c.files, func(f copied) bool { return f.path() == "/"+h.Name })
		if i < 0 {
			continue // another system kept it, and this one knows no such file
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return false, err
		}
		if err := c.files[i].write(b); err != nil {
			return false, err
		}
	}
}

// write makes the file, in memory that nobody else has written to yet.
func (c copied) write(b []byte) error {
	path := c.path()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := keep(path, b); err != nil || !c.daemon {
		return err
	}
	info, err := os.Stat(c.folder)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s belongs to nobody", c.folder)
	}
	return errors.Join(os.Chown(filepath.Dir(path), int(owner.Uid), int(owner.Gid)), os.Chown(path, int(owner.Uid), int(owner.Gid)))
}

// erase overwrites both with zeros, and removes them.
func (c copies) erase() error {
	var all error
	for i := range 2 {
		name := c.name(i)
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		all = errors.Join(all, overwrite(name, nil), os.Remove(name))
	}
	return all
}

// resetAsked is there from when a factory reset was asked for: nothing is copied any more.
const resetAsked = ownFolder + "reset-asked"

// saveCopies is run by systemd when what is copied has changed.
func saveCopies() error {
	if _, err := os.Stat(resetAsked); err == nil {
		return nil
	}
	return machineCopies.save()
}
