package capture

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stdinName is how the user names standard input.
const stdinName = "-"

// An input is one file that is to be read.
type input struct {
	name   string
	order  int    // by name; of two frames with one time that of the lower goes first
	folder string // the folder it was found in; nothing if it was named
	once   bool   // standard input or a pipe: cannot be opened twice
	size   int64  // bytes on disk, 0 when unknown
	first  int64  // time of its first frame; the least number when there is none

	damages []Damage // by kind; guarded by Files.mu
}

// findInputs turns what the user named into inputs, ordered by name, each file
// once. A file within a folder is taken if it is a regular one; whether it is a
// capture is for the caller to see.
func findInputs(paths []string) ([]*input, error) {
	if len(paths) == 0 {
		return nil, &InputError{Name: "input", Problem: "none named", Remedy: "name capture files, folders or - for standard input"}
	}
	var ins []*input
	for _, path := range paths {
		if path == stdinName {
			ins = append(ins, &input{name: path, once: true})
			continue
		}
		names := []string{path}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(path, "*?[") {
			// The shell did not expand it.
			if names, err = filepath.Glob(path); err != nil || len(names) == 0 {
				return nil, &InputError{Name: path, Problem: "no file matches", Remedy: "check the pattern", Err: err}
			}
		}
		for _, name := range names {
			found, err := stat(name)
			if err != nil {
				return nil, err
			}
			ins = append(ins, found...)
		}
	}
	return byName(ins), nil
}

// stat gives the inputs of one file or folder.
func stat(name string) ([]*input, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, inputError(name, err)
	}
	if info.IsDir() {
		return walk(name)
	}
	in := &input{name: name, once: !info.Mode().IsRegular()}
	if !in.once {
		in.size = info.Size()
	}
	return []*input{in}, nil
}

// walk gives the regular files of a folder and the folders within. Links to
// files are followed, links to folders are not, so it ends.
func walk(root string) ([]*input, error) {
	var ins []*input
	for todo := []string{root}; len(todo) > 0; {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, inputError(dir, err)
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if e.IsDir() {
				todo = append(todo, name)
				continue
			}
			info, err := os.Stat(name)
			if err != nil && isCaptureName(name) {
				return nil, inputError(name, err)
			}
			if err != nil || !info.Mode().IsRegular() {
				// A broken link, a socket: kept so that it is counted.
				ins = append(ins, &input{name: name, folder: root, once: true})
				continue
			}
			ins = append(ins, &input{name: name, folder: root, size: info.Size()})
		}
	}
	if len(ins) == 0 {
		return nil, noCapture(root)
	}
	return ins, nil
}

func noCapture(folder string) error {
	return &InputError{Name: folder, Problem: "this folder holds no capture", Remedy: "name one with pcap or pcapng files"}
}

// byName sorts the inputs and drops what was named twice, of which a name given
// by the user wins over one found in a folder.
func byName(ins []*input) []*input {
	slices.SortStableFunc(ins, func(a, b *input) int {
		if c := strings.Compare(filepath.Clean(a.name), filepath.Clean(b.name)); c != 0 {
			return c
		}
		return strings.Compare(a.folder, b.folder)
	})
	return slices.CompactFunc(ins, func(a, b *input) bool {
		return filepath.Clean(a.name) == filepath.Clean(b.name)
	})
}

// isCaptureName tells whether a file's name is that of a capture: .pcap,
// .pcapng, .cap or .dmp, then perhaps a number as rotation appends it (x.pcap3,
// x.pcap.3), then perhaps .gz, .zst or .zstd.
func isCaptureName(name string) bool {
	s := strings.ToLower(filepath.Base(name))
	for _, packed := range []string{".gz", ".zst", ".zstd"} {
		if t, ok := strings.CutSuffix(s, packed); ok {
			s = t
			break
		}
	}
	s = strings.TrimSuffix(strings.TrimRight(s, "0123456789"), ".")
	switch filepath.Ext(s) {
	case ".pcap", ".pcapng", ".cap", ".dmp":
		return true
	}
	return false
}
