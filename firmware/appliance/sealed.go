package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"golang.org/x/sys/unix"

	"simtrap/firmware/mapper"
	"simtrap/firmware/seal"
)

// A sealed data partition has what the TPM has sealed in its first block, behind the
// sector that asks for its erasure, and once more; what is encrypted with that follows.
const (
	sealedAt    = 512
	sealedSize  = block - sealedAt
	sealedAgain = 512 << 10
	cipherAt    = 1 << 20
	// keySize is of AES-256 in XTS, which takes two keys.
	keySize = 64
	// cryptName is the device mapper's name for what is read and written through it.
	cryptName = "simtrap-data"
)

// dataKept tells how the data partition is kept, for the console.
const dataKept = "/run/appliance-data-kept"

const (
	isSealed  = "sealed to this machine's TPM"
	notSealed = "not sealed: "
	// oldPlain is of one that held something before it could be sealed.
	oldPlain = notSealed + "it was made without; a factory reset seals it, where there is a TPM"
)

// tpmDevice is the kernel's own way to a TPM 2.0: it shares it out.
const tpmDevice = "/dev/tpmrm0"

// machineTPM gives the TPM of the machine, for a data partition that is new, which need
// not have one, or for one that cannot be read without it.
func machineTPM(fresh bool) (transport.TPMCloser, error) {
	if fresh {
		// When udev is done its driver is loaded, if there is something to drive.
		onMachine("/usr/bin/udevadm", "settle", "--timeout=30")
	} else if err := awaitDisk(tpmDevice); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return openTPM()
}

func openTPM() (transport.TPMCloser, error) {
	if _, err := os.Stat(tpmDevice); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("there is no TPM 2.0")
	}
	return linuxtpm.Open(tpmDevice)
}

// readSealed gives what the TPM has sealed of a partition, nil where it is not sealed.
func readSealed(device string) ([]byte, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var damaged error
	for _, at := range []int64{sealedAt, sealedAgain} {
		b := make([]byte, sealedSize)
		if _, err := f.ReadAt(b, at); err != nil {
			damaged = err // the other may be read
			continue
		}
		if sealed, ok := seal.Unframe(b); ok {
			return sealed, nil
		}
		if seal.Sealed(b) {
			damaged = errors.New("it is sealed, and what the TPM has sealed is damaged")
		}
	}
	return nil, damaged
}

// writeSealed writes both, unless they are there: the first one last, for before it the
// partition counts as new.
func writeSealed(device string, sealed []byte) error {
	framed, err := seal.Frame(sealed, sealedSize)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for _, at := range []int64{sealedAgain, sealedAt} {
		was := make([]byte, sealedSize)
		if _, err := f.ReadAt(was, at); err == nil && bytes.Equal(was, framed) {
			continue
		}
		_, err := f.WriteAt(framed, at)
		if err = errors.Join(err, f.Sync()); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// forget overwrites what the TPM has sealed, without which nobody reads the rest: it
// takes no time, whatever the disk.
func forget(device string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var all error
	for _, at := range []int64{sealedAt, sealedAgain} {
		b := make([]byte, sealedSize)
		if _, err := f.ReadAt(b, at); err != nil || !seal.Sealed(b) {
			continue // it is not there, or of a file system
		}
		_, err := f.WriteAt(make([]byte, sealedSize), at)
		all = errors.Join(all, err)
	}
	return errors.Join(all, f.Sync(), f.Close())
}

// seal encrypts a new partition under a key that the TPM keeps, and gives what is to be
// mounted. On an error the partition is as new as before.
func (d *dataOnce) seal() (inner string, err error) {
	tpm, err := d.tpm(true)
	if err != nil {
		return "", err
	}
	defer tpm.Close()
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // it does not fail
	sealed, err := seal.Seal(tpm, key)
	if err != nil {
		return "", fmt.Errorf("the TPM does not seal: %w", err)
	}
	// One that does not give back what it took would lose everything at the next start.
	if back, err := seal.Open(tpm, sealed); err != nil || !bytes.Equal(back, key) {
		return "", errors.Join(errors.New("the TPM does not give back what it has sealed"), err)
	}
	if inner, err = d.crypt(d.device, key); err != nil {
		return "", err
	}
	err = func() error {
		if err := wipeSupers(d.device); err != nil {
			return err
		}
		if err := d.run(mkfs[0], append(mkfs[1:], inner)...); err != nil {
			return err
		}
		if err := flushDisk(inner); err != nil {
			return err
		}
		return writeSealed(d.device, sealed)
	}()
	if err != nil {
		return "", errors.Join(err, d.uncrypt())
	}
	return inner, nil
}

// placeSealed mounts what the TPM gives the key of.
func (d *dataOnce) placeSealed(sealed []byte) error {
	d.kept = isSealed
	tpm, err := d.tpm(false)
	if err != nil {
		return fmt.Errorf("it is sealed, and %w", err)
	}
	defer tpm.Close()
	key, err := seal.Open(tpm, sealed)
	if err != nil {
		return fmt.Errorf("it is sealed, and the TPM does not give its key: %w", err)
	}
	inner, err := d.crypt(d.device, key)
	if err != nil {
		return err
	}
	if err := writeSealed(d.device, sealed); err != nil {
		fmt.Fprintf(d.out, "what the TPM has sealed is on the disk once, not twice: %v\n", err)
	}
	return d.mountOn(inner, false)
}

// cryptTable is what the crypt target is told.
func cryptTable(device string, key []byte, size int64) mapper.Target {
	return mapper.Target{Kind: "crypt", Sectors: uint64(size-cipherAt) / mapper.Sector,
		Params: fmt.Sprintf("aes-xts-plain64 %s 0 %s %d", hex.EncodeToString(key), device, cipherAt/mapper.Sector)}
}

// crypt has the kernel decrypt a partition, and gives the device to read it by.
func crypt(device string, key []byte) (string, error) {
	if len(key) != keySize {
		return "", fmt.Errorf("a key of %d bytes", len(key))
	}
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	n, err := mapper.Make(cryptName, cryptTable(device, key, size))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/dev/dm-%d", unix.Minor(n)), nil
}

// uncrypt takes back what crypt made. udev may be looking at it.
func uncrypt() error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err := mapper.Remove(cryptName)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// isFresh says that a partition never held anything: nothing is on it, or a file system
// that was never mounted, which systemd-repart makes.
func isFresh(device string) (bool, error) {
	f, err := os.Open(device)
	if err != nil {
		return false, err
	}
	b := make([]byte, 64)
	_, err = f.ReadAt(b, superAt)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	if !isSuper(b) {
		return hasNothing(device)
	}
	return bytes.Equal(b[mountedAt:mountedAt+4], make([]byte, 4)) && bytes.Equal(b[mountsAt:mountsAt+2], make([]byte, 2)), nil
}

// wipeSupers makes of a file system that was never mounted a partition on which nothing
// is, to hasNothing and to e2fsck: the first superblock goes last, for until then it is
// new all the same.
func wipeSupers(device string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	zero := make([]byte, block)
	for _, n := range copiesOfSuper {
		if at := n * group * block; at+block <= size {
			_, err = f.WriteAt(zero, at)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.WriteAt(zero, 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// flushDisk waits until a disk has what was written to it.
func flushDisk(device string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
