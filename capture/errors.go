package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"syscall"
)

// InputError says that a named input cannot be used at all, in one line with
// the remedy. Err, which may be nil, is the cause.
type InputError struct {
	Name    string // as the user named it
	Problem string
	Remedy  string
	Err     error
}

// Error gives "name: problem; remedy".
func (e *InputError) Error() string {
	return fmt.Sprintf("%s: %s; %s", printable(e.Name), e.Problem, e.Remedy)
}

// Unwrap gives the cause.
func (e *InputError) Unwrap() error { return e.Err }

// FormatError says that an input is not a capture that can be read.
type FormatError struct {
	Name  string // as the user named it
	Found string // what it is, and how to turn it into a capture if that is known
	Cut   bool   // it may be one: packed data that ends before anything of it could be unpacked
}

// damage tells of a file of which nothing is left as of any other that is cut.
func (e *FormatError) damage() Damage {
	return Damage{File: e.Name, Kind: Cut, Detail: e.Found, Count: 1}
}

// Error gives what was found and what was expected, in one line.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: found %s, expected a pcap or pcapng capture, plain or packed with gzip or zstd",
		printable(e.Name), e.Found)
}

// inputError names the remedy for what opening or listing name gave.
func inputError(name string, err error) *InputError {
	e := &InputError{Name: name, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Problem, e.Remedy = "no such file or folder", "check the name"
	case errors.Is(err, fs.ErrPermission):
		e.Problem, e.Remedy = "permission denied", "make it readable (chmod +r) or run as a user who may read it"
	case outOfFiles(err):
		e.Problem, e.Remedy = "too many open files", "raise the limit (ulimit -n) or merge the files first (mergecap)"
	default:
		e.Problem, e.Remedy = cause(err), "copy it to a local disk and try again"
	}
	return e
}

// outOfFiles tells whether the process or the system has no descriptor left.
func outOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// cause is err without the path that the caller names anyway.
func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// printable quotes a name that would break a line or a terminal.
func printable(name string) string {
	for _, c := range name {
		if !strconv.IsPrint(c) {
			return strconv.Quote(name)
		}
	}
	return name
}
