package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// recordsWindow is how far back a packed file may refer to: what zstd asks for at
// its greatest without --ultra.
const recordsWindow = 32 << 20

// recordFile is an open file of call records, unpacked.
type recordFile struct {
	io.Reader
	file   *os.File
	size   int64
	packed bool
	read   atomic.Int64  // bytes of the file
	rows   atomic.Uint64 // so far, about
	close  func()
}

func openRecords(path string) (*recordFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &recordFile{file: file, close: func() {}}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	if !info.Mode().IsRegular() {
		file.Close()
		return nil, fmt.Errorf("%s is no file that can be read more than once: save the records to one first", path)
	}
	r.size = info.Size()
	in := bufio.NewReaderSize(metered{r}, 1<<18)
	r.Reader = in
	magic, _ := in.Peek(4) // a read that fails does so again
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		r.packed = true
		r.Reader, err = gzip.NewReader(in)
	case bytes.Equal(magic, []byte("\x28\xb5\x2f\xfd")):
		r.packed = true
		var z *zstd.Decoder
		if z, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(recordsWindow)); err == nil {
			r.Reader, r.close = z, z.Close
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

// metered counts the bytes read from the file.
type metered struct{ r *recordFile }

func (m metered) Read(p []byte) (int, error) {
	n, err := m.r.file.Read(p)
	m.r.read.Add(int64(n))
	return n, err
}

func (r *recordFile) progress() (read, total int64) { return r.read.Load(), r.size }

// unpacked is about how many bytes there are, 0 when nobody knows.
func (r *recordFile) unpacked() int64 {
	if r.packed {
		return 0
	}
	return r.size
}

// Close ends reading.
func (r *recordFile) Close() error {
	r.close()
	return r.file.Close()
}
