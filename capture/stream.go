package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Windows of zstd decoders. A decoder reserves what a frame's header asks for,
// so that is bounded: by maxWindow for one, by a share of windowBudget where
// many are read at once, but never below minWindow, which is what zstd uses at
// its default level.
const (
	maxWindow    = 64 << 20
	minWindow    = 2 << 20
	windowBudget = 128 << 20
)

// A stream is the bytes of one input, unpacked.
type stream struct {
	io.Reader
	raw    *counter
	closer io.Closer // nil where somebody else closes
	pack   string    // "gzip", "zstd" or nothing
	gz     *gunzipper
	zst    *zstd.Decoder
	tools  *unpackers
}

// counter counts the bytes that were read from the disk.
type counter struct {
	r    io.Reader
	n    int64
	into *atomic.Int64 // nil when nobody wants to know
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.into != nil {
		c.into.Add(int64(n))
	}
	return n, err
}

// gunzipper is a gzip reader with its buffer.
type gunzipper struct {
	buf *bufio.Reader
	z   gzip.Reader
}

// unpackers keeps one idle decoder of each kind, since a folder may hold
// thousands of packed files that are read one after the other.
type unpackers struct {
	gz   *gunzipper
	zst  *zstd.Decoder
	busy int // zstd decoders in use
}

// newStream begins to read r. closer, which may be nil, is closed by close.
func newStream(r io.Reader, closer io.Closer, tools *unpackers, into *atomic.Int64) (*stream, error) {
	s := &stream{raw: &counter{r: r, into: into}, closer: closer, tools: tools}
	head := make([]byte, 4)
	n, err := readFull(s.raw, head)
	if err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	s.Reader = &prefixed{head: head[:n], r: s.raw}
	if n < 4 {
		return s, nil
	}
	switch magic := binary.LittleEndian.Uint32(head); {
	case magic&0xffff == 0x8b1f:
		s.pack = "gzip"
		g := tools.gz
		tools.gz = nil
		if g == nil {
			g = &gunzipper{buf: bufio.NewReaderSize(nil, 64<<10)}
		}
		s.gz = g
		g.buf.Reset(s.Reader)
		s.Reader = &g.z
		return s, unexpected(g.z.Reset(g.buf))
	case magic == 0xfd2fb528, magic&0xfffffff0 == 0x184d2a50:
		// The latter are frames to skip, which some packers put in front.
		s.pack = "zstd"
		return s, s.unzstd()
	}
	return s, nil
}

func (s *stream) unzstd() error {
	t := s.tools
	t.busy++
	window := uint64(max(minWindow, min(maxWindow, windowBudget/t.busy)))
	z := t.zst
	t.zst = nil
	if z == nil {
		var err error
		if z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
			t.busy--
			return err
		}
	}
	s.zst = z
	err := z.ResetWithOptions(s.Reader, zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(window))
	s.Reader = z
	return err
}

// close gives back the decoder and closes what was opened. It may be called
// more than once.
func (s *stream) close() error {
	if s.gz != nil {
		s.gz.buf.Reset(nil)
		s.tools.gz = s.gz
		s.gz = nil
	}
	if s.zst != nil {
		s.tools.busy--
		if s.tools.zst == nil && s.zst.Reset(nil) == nil {
			s.tools.zst = s.zst
		} else {
			s.zst.Close()
		}
		s.zst = nil
	}
	if s.closer == nil {
		return nil
	}
	err := s.closer.Close()
	s.closer = nil
	return err
}

// explain says what an error of Read, other than io.EOF, means for the file.
func (s *stream) explain(err error) (Kind, string) {
	_, io1 := errors.AsType[*fs.PathError](err)
	switch {
	case io1 || s.pack == "":
		return Cut, fmt.Sprintf("reading failed (%s); the rest of the file is missing", cause(err))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Cut, fmt.Sprintf("%s data that is cut short", s.pack)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return Corrupt, "zstd data whose window is too large (unpack the file first: zstd -d --long=31)"
	}
	return Corrupt, fmt.Sprintf("damaged %s data (%s)", s.pack, err)
}

// unreadable says what a packed file is of which too little could be unpacked to
// tell what it holds.
func (s *stream) unreadable(name string, err error) *FormatError {
	e := &FormatError{Name: name, Cut: errors.Is(err, io.ErrUnexpectedEOF)}
	if _, e.Found = s.explain(err); e.Cut {
		e.Found = s.pack + " data that is cut short before anything could be unpacked"
	}
	return e
}

// prefixed gives head, then what r gives.
type prefixed struct {
	head []byte
	r    io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.r.Read(b)
}

// readFull fills b, however little each Read gives, so that what is made of it
// does not depend on how a pipe delivers. Unlike io.ReadFull it keeps the error
// of Read as it is: gzip says io.ErrUnexpectedEOF when its data is cut short.
func readFull(r io.Reader, b []byte) (int, error) {
	n, idle := 0, 0
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			idle = 0
		} else if idle++; idle == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// unexpected makes an end of file where a header was begun what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
