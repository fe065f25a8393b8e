package update

import (
	"debug/pe"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Tries is how often systemd-boot starts a new system before it takes another one.
const Tries = 3

// Entry is a file of the EFI system partition that systemd-boot starts. Its name has
// the generation, which rises with each installation, so that systemd-boot takes the
// newest first; and behind a plus how many tries are left, until the system has shown
// that it works: simtrap_00000002+3.efi. One without tries is taken when nothing else is
// there.
type Entry struct {
	Path       string
	Generation uint64
	Tries      int    // -1 when they are not counted
	Root       string // hash of the system that it starts, as its command line has it
}

// Good says whether the entry has shown that it works, and is not given up.
func (e Entry) Good() bool { return e.Tries < 0 }

var (
	names = regexp.MustCompile(`(?i)^simtrap_([0-9]{1,16})(\+([0-9]{1,3})(-[0-9]{1,3})?)?\.efi$`)
	roots = regexp.MustCompile(`simtrap\.root=([0-9a-f]{64}):`)
)

// entryName gives the name of a file, tries -1 for none.
func entryName(generation uint64, tries int) string {
	counted := ""
	if tries >= 0 {
		counted = fmt.Sprintf("+%d", tries)
	}
	return fmt.Sprintf("simtrap_%08d%s.efi", generation, counted)
}

// Entries gives those of a folder, the newest first. A file that cannot be read as one
// has no Root.
func Entries(folder string) ([]Entry, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, f := range files {
		m := names.FindStringSubmatch(f.Name())
		if m == nil {
			continue
		}
		e := Entry{Path: filepath.Join(folder, f.Name()), Tries: -1}
		e.Generation, _ = strconv.ParseUint(m[1], 10, 64) // 16 digits fit
		if m[3] != "" {
			e.Tries, _ = strconv.Atoi(m[3])
		}
		if line, err := commandLine(e.Path); err == nil {
			e.Root = Root(line)
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		if a.Generation != b.Generation {
			return -1 + 2*boolInt(a.Generation < b.Generation)
		}
		return strings.Compare(a.Path, b.Path)
	})
	return list, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Root gives the hash of a system that a kernel's command line names, or nothing.
func Root(line string) string {
	m := roots.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return m[1]
}

// commandLine reads the section of that name of a file for UEFI.
func commandLine(path string) (string, error) {
	f, err := pe.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	s := f.Section(".cmdline")
	if s == nil || s.Size > maxManifest {
		return "", errors.New("no command line")
	}
	b, err := s.Data()
	return string(b), err
}

// Mark renames an entry so that so many tries are left to it, -1 for good, and gives
// the new one.
func Mark(e Entry, tries int) (Entry, error) {
	to := filepath.Join(filepath.Dir(e.Path), entryName(e.Generation, tries))
	if to == e.Path {
		return e, nil
	}
	if err := rename(e.Path, to); err != nil {
		return e, err
	}
	e.Path, e.Tries = to, tries
	return e, nil
}

// rename changes a name and has that on the disk before it returns. On FAT the size of a
// file and where it begins stand beside its name, and Linux first writes the new name
// with neither: a power cut then would leave an empty file. So the file itself is
// synchronised before its folder; and the boot partition is mounted with dirsync, with
// which the name of before goes only when the new one has both.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	f, err := os.Open(to)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// syncFolder makes names outlast a power cut. FAT knows no such thing for folders
// before Linux 5.17 or so, and says EINVAL: what is behind it is synchronised then.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
