package sessions

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

const maxLine = 64 << 10 // bytes

// errEnd is the end of a file.
var errEnd = io.EOF

// lines reads a text file by lines, of which it knows the number.
type lines struct {
	name    string
	scanner *bufio.Scanner
	n       int
	close   func()
}

func newLines(r io.Reader, name string) *lines {
	l := &lines{name: name, scanner: bufio.NewScanner(r), close: func() {}}
	l.scanner.Buffer(make([]byte, 0, 4096), maxLine)
	return l
}

func (l *lines) next() (string, error) {
	l.n++
	if l.scanner.Scan() {
		return l.scanner.Text(), nil
	}
	l.shut()
	switch err := l.scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return "", l.fault(fmt.Errorf("a line of more than %d bytes", maxLine))
	case err != nil:
		return "", l.fault(err)
	}
	return "", errEnd
}

func (l *lines) shut() {
	l.close()
	l.close = func() {}
}

func (c *csvSource) Close() error {
	c.lines.shut()
	return nil
}

func (d *detailSource) Close() error {
	d.lines.shut()
	return nil
}

func (l *lines) fault(err error) error { return fmt.Errorf("%s:%d: %w", l.name, l.n, err) }

// Open opens files of whatever kind, and reads text files through once, so
// that a bad row is told before any work begins. captures opens what is no
// text.
func Open(names []string, captures func(name string) (Source, error)) (*Feed, error) {
	var sources []Source
	for _, name := range names {
		s, err := checked(name, captures)
		if err != nil {
			for _, s := range sources {
				closeSource(s)
			}
			return nil, err
		}
		sources = append(sources, s)
	}
	return NewFeed(sources...), nil
}

func checked(name string, captures func(name string) (Source, error)) (Source, error) {
	s, err := open(name, captures)
	if err != nil {
		return nil, err
	}
	if _, text := s.(textSource); !text {
		return s, nil
	}
	for err == nil {
		_, err = s.Next()
	}
	closeSource(s)
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return open(name, captures)
}

// textSource marks what is cheap to read twice.
type textSource interface{ text() }

func (c *csvSource) text()    {}
func (d *detailSource) text() {}

func open(name string, captures func(name string) (Source, error)) (Source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	r, closer, err := unpacked(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if head, _ := r.Peek(4); isCapture(head) {
		closer()
		return captures(name)
	}
	s, err := Read(r, name)
	if err != nil {
		closer()
		return nil, err
	}
	switch s := s.(type) {
	case *csvSource:
		s.lines.close = closer
	case *detailSource:
		s.lines.close = closer
	}
	return s, nil
}

// unpacked looks through gzip and zstd.
func unpacked(f *os.File) (*bufio.Reader, func(), error) {
	r := bufio.NewReader(f)
	head, _ := r.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		return bufio.NewReader(z), func() { f.Close() }, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		return bufio.NewReader(z), func() { z.Close(); f.Close() }, nil
	}
	return r, func() { f.Close() }, nil
}

// isCapture knows the first bytes of pcap and pcapng files.
func isCapture(head []byte) bool {
	for _, magic := range []string{"\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x4d\x3c\xb2\xa1", "\x0a\x0d\x0d\x0a"} {
		if string(head) == magic {
			return true
		}
	}
	return false
}

// Read reads text: CSV where the first line is a header of it, else a detail
// file.
func Read(r io.Reader, name string) (Source, error) {
	b := bufio.NewReaderSize(r, maxLine)
	head, _ := b.Peek(maxLine)
	head = bytes.TrimLeft(head, "\r\n")
	first, _, _ := bytes.Cut(head, []byte("\n"))
	l := newLines(b, name)
	switch line := string(bytes.TrimPrefix(bytes.TrimSpace(first), []byte("\ufeff"))); {
	case isCSV(line):
		return newCSV(l)
	case isDetail(line):
		return &detailSource{lines: l}, nil
	case line == "":
		return nil, fmt.Errorf("%s: an empty file", name)
	}
	return nil, fmt.Errorf("%s:1: neither the header start,end,address[,realm][,subscriber] of a CSV file, nor a detail file of FreeRADIUS, nor a capture", name)
}
