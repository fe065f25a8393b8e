package outbox

import (
	"io"
	"os"
)

// FS is what an outbox needs of a file system. Disk is the real one; tests put
// others beneath, which lose what was not synced or fail at a chosen operation.
type FS interface {
	MkdirAll(dir string) error
	// OpenFile takes the flags of package os.
	OpenFile(name string, flag int) (File, error)
	ReadDir(dir string) (names []string, err error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes created, renamed and removed names of a folder last.
	SyncDir(dir string) error
	// Free says how many bytes an ordinary user can still write.
	Free(dir string) (int64, error)
	// Lock takes a file for this process alone until it is closed; it gives
	// ErrLocked when another has it.
	Lock(name string) (io.Closer, error)
	// Boot names the running of the machine: what was written but not synced is
	// there as long as it stays the same. Empty where nobody knows.
	Boot() string
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}

// Disk is the file system of the machine.
type Disk struct{}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// MkdirAll makes a folder that only its owner enters.
func (Disk) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// OpenFile opens a file that only its owner reads.
func (Disk) OpenFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// ReadDir lists a folder.
func (Disk) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Rename puts a file in the place of another.
func (Disk) Rename(from, to string) error { return os.Rename(from, to) }

// Remove removes a file.
func (Disk) Remove(name string) error { return os.Remove(name) }

// SyncDir syncs a folder.
func (Disk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
