package ring

import (
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"simtrap/capture"
)

// A segment is one file of one line's headers:
//
//	"simtrap headers 1\n"
//	mode         1 byte: 0 plain, 1 encrypted
//	sequence     8 bytes, big endian as all numbers: which segment of the ring it is
//	made         8 bytes: wall clock, ns since the Unix epoch
//	line         2 bytes of length, then its name
//	key          2 bytes of length, then what HPKE encapsulated; empty when plain
//	checksum     4 bytes: CRC-32C of all before it
//
// and blocks:
//
//	length       4 bytes: of the body
//	frames       4 bytes
//	first, last  8 bytes each: packet time of the frames, ns since the Unix epoch
//	body         records; when encrypted as HPKE seals them, in order, with the block's
//	             head as additional data; when plain, 4 bytes of CRC-32C of head and
//	             records behind them
//
// A record is the frame's time (8), length on the wire (4), link type (2), tap port
// (2), length kept (2), and that many bytes. Encryption is RFC 9180: DHKEM(X25519,
// HKDF-SHA256), HKDF-SHA256, AES-256-GCM, with the file's head up to the key as info.
const (
	magic     = "simtrap headers 1\n"
	modePlain = 0
	modeHPKE  = 1

	blockHead  = 4 + 4 + 8 + 8
	recordHead = 8 + 4 + 2 + 2 + 2
	maxName    = 256
	maxKey     = 1024
	maxBlock   = 64 << 10 // bytes of records in one, the one that overflows included
	maxBody    = maxBlock + 64
	maxKept    = 16 << 10 // bytes of one frame; a SIP message of more is cut
	maxHead    = len(magic) + 1 + 8 + 8 + 2 + maxName + 2 + maxKey + 4
)

var table = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged says that a segment is not as it was written.
var ErrDamaged = errors.New("damaged")

// ErrKey says that a segment is encrypted, and that no key was given.
var ErrKey = errors.New("encrypted")

func suite() (hpke.KDF, hpke.AEAD) { return hpke.HKDFSHA256(), hpke.AES256GCM() }

// Head is what a segment says of itself.
type Head struct {
	Line      string
	Sequence  uint64
	Made      time.Time // wall clock
	Encrypted bool
	info, key []byte
	size      int
}

// sealer makes blocks of one segment.
type sealer struct {
	to *hpke.Sender // nil for plain
}

// newHead gives a segment's first bytes, and what seals its blocks.
func newHead(line string, sequence uint64, made time.Time, to *PublicKey) ([]byte, *sealer, error) {
	if line == "" || len(line) > maxName {
		return nil, nil, fmt.Errorf("a line's name of %d bytes", len(line))
	}
	b := append([]byte(magic), modePlain)
	if to != nil {
		b[len(magic)] = modeHPKE
	}
	b = binary.BigEndian.AppendUint64(b, sequence)
	b = binary.BigEndian.AppendUint64(b, uint64(made.UnixNano()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(line)))
	b = append(b, line...)
	s := &sealer{}
	var enc []byte
	if to != nil {
		var err error
		kdf, aead := suite()
		if enc, s.to, err = hpke.NewSender(to.key, kdf, aead, b); err != nil {
			return nil, nil, err
		}
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(enc)))
	b = append(b, enc...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, table)), s, nil
}

// block gives a block of records.
func (s *sealer) block(records []byte, frames int, first, last int64) ([]byte, error) {
	n := len(records) + 4
	if s.to != nil {
		n = len(records) + 16
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, blockHead+n), uint32(n))
	b = binary.BigEndian.AppendUint32(b, uint32(frames))
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	b = binary.BigEndian.AppendUint64(b, uint64(last))
	if s.to == nil {
		b = append(b, records...)
		return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, table)), nil
	}
	sealed, err := s.to.Seal(b, records)
	if err == nil && len(sealed) != n {
		err = fmt.Errorf("a seal of %d bytes", len(sealed)-len(records))
	}
	return append(b, sealed...), err
}

// appendRecord appends a frame of which data is kept.
func appendRecord(b []byte, f *capture.Frame, data []byte) []byte {
	data = data[:min(len(data), maxKept)]
	b = binary.BigEndian.AppendUint64(b, uint64(f.Time))
	b = binary.BigEndian.AppendUint32(b, f.Wire)
	b = binary.BigEndian.AppendUint16(b, uint16(f.Link))
	b = binary.BigEndian.AppendUint16(b, f.Port)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// readHead reads a segment's head from its first bytes.
func readHead(b []byte) (h Head, err error) {
	bad := func(what string) (Head, error) { return Head{}, fmt.Errorf("%w: %s", ErrDamaged, what) }
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return bad("no segment of headers")
	}
	at := len(magic)
	take := func(n int) []byte {
		if len(b)-at < n {
			return nil
		}
		at += n
		return b[at-n : at]
	}
	fixed := take(1 + 8 + 8 + 2)
	if fixed == nil {
		return bad("the head is cut")
	}
	if fixed[0] > modeHPKE {
		return bad("of a kind that is not known")
	}
	h.Encrypted = fixed[0] == modeHPKE
	h.Sequence = binary.BigEndian.Uint64(fixed[1:])
	h.Made = time.Unix(0, int64(binary.BigEndian.Uint64(fixed[9:]))).UTC()
	n := int(binary.BigEndian.Uint16(fixed[17:]))
	name := take(n)
	if n == 0 || n > maxName || name == nil {
		return bad("no name of a line")
	}
	h.Line = string(name)
	h.info = b[:at]
	size := take(2)
	if size == nil {
		return bad("the head is cut")
	}
	n = int(binary.BigEndian.Uint16(size))
	if h.key = take(n); n > maxKey || h.key == nil || (n > 0) != h.Encrypted {
		return bad("no key")
	}
	end := at
	sum := take(4)
	if sum == nil || binary.BigEndian.Uint32(sum) != crc32.Checksum(b[:end], table) {
		return bad("the head's checksum")
	}
	h.size = at
	return h, nil
}

// blockOf reads the head of a block.
type blockOf struct {
	length, frames int
	first, last    int64
}

func readBlockHead(b []byte) (x blockOf, err error) {
	n, frames := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	x = blockOf{int(n), int(frames), int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b[16:]))}
	if n < 4 || n > maxBody || frames == 0 || frames > maxBlock/recordHead+1 || x.first > x.last {
		return x, fmt.Errorf("%w: the head of a block", ErrDamaged)
	}
	return x, nil
}

// Reader reads the frames of one segment, whoever wrote it.
type Reader struct {
	Head Head
	// Torn is set when the segment ends within a block, as one does that was being
	// written when its machine went down. What is before is whole.
	Torn bool

	rest   io.Reader
	from   *hpke.Recipient
	block  []byte // that is left of the present one
	frames int    // that are left in it
}

// NewReader reads a segment's head. key may be nil for one that is not encrypted. It
// fails with ErrDamaged, with ErrKey, or as r does.
func NewReader(r io.Reader, key *PrivateKey) (*Reader, error) {
	first := make([]byte, len(magic)+1+8+8+2)
	if _, err := io.ReadFull(r, first); err != nil {
		return nil, cut(err)
	}
	more := func(b []byte, n int) ([]byte, error) {
		part := make([]byte, n)
		_, err := io.ReadFull(r, part)
		return append(b, part...), cut(err)
	}
	n := int(binary.BigEndian.Uint16(first[len(first)-2:]))
	if n > maxName {
		return nil, fmt.Errorf("%w: no name of a line", ErrDamaged)
	}
	b, err := more(first, n+2)
	if err != nil {
		return nil, err
	}
	if n = int(binary.BigEndian.Uint16(b[len(b)-2:])); n > maxKey {
		return nil, fmt.Errorf("%w: no key", ErrDamaged)
	}
	if b, err = more(b, n+4); err != nil {
		return nil, err
	}
	x := &Reader{rest: r}
	if x.Head, err = readHead(b); err != nil {
		return nil, err
	}
	if !x.Head.Encrypted {
		return x, nil
	}
	if key == nil {
		return nil, fmt.Errorf("%w: no key was given", ErrKey)
	}
	kdf, aead := suite()
	if x.from, err = hpke.NewRecipient(x.Head.key, key.key, kdf, aead, x.Head.info); err != nil {
		return nil, fmt.Errorf("%w: the encapsulated key", ErrDamaged)
	}
	return x, nil
}

// cut makes damage of an end that came too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the head is cut", ErrDamaged)
	}
	return err
}

// Next gives the next frame and what was kept of it, until the call after; io.EOF
// behind the last. It fails with ErrDamaged where a block is not as it was written:
// what came before is. A block that another key is for cannot be told from a damaged
// one.
func (x *Reader) Next() (f capture.Frame, data []byte, err error) {
	if x.frames == 0 {
		if err := x.fill(); err != nil {
			return f, nil, err
		}
	}
	b := x.block
	if len(b) < recordHead {
		return f, nil, fmt.Errorf("%w: a record", ErrDamaged)
	}
	n := int(binary.BigEndian.Uint16(b[16:]))
	f = capture.Frame{Time: int64(binary.BigEndian.Uint64(b)), Wire: binary.BigEndian.Uint32(b[8:]), Link: capture.LinkType(binary.BigEndian.Uint16(b[12:])),
		Port: binary.BigEndian.Uint16(b[14:]), Len: uint32(n)}
	if n > len(b)-recordHead || f.Time < 0 || f.Wire < f.Len {
		return f, nil, fmt.Errorf("%w: a record", ErrDamaged)
	}
	data = b[recordHead : recordHead+n : recordHead+n]
	x.block = b[recordHead+n:]
	if x.frames--; x.frames == 0 && len(x.block) > 0 {
		return f, nil, fmt.Errorf("%w: a block of more than its records", ErrDamaged)
	}
	return f, data, nil
}

// fill reads the next block.
func (x *Reader) fill() error {
	head := make([]byte, blockHead)
	n, err := io.ReadFull(x.rest, head)
	if errors.Is(err, io.EOF) && n == 0 {
		return io.EOF
	}
	torn := func(err error) error {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			x.Torn = true
			return io.EOF
		}
		return err
	}
	if err != nil {
		return torn(err)
	}
	h, err := readBlockHead(head)
	if err != nil {
		return err
	}
	body := make([]byte, h.length)
	if _, err := io.ReadFull(x.rest, body); err != nil {
		return torn(err)
	}
	if x.from == nil {
		end := len(body) - 4
		if crc32.Update(crc32.Checksum(head, table), table, body[:end]) != binary.BigEndian.Uint32(body[end:]) {
			return fmt.Errorf("%w: a block's checksum", ErrDamaged)
		}
		body = body[:end]
	} else if body, err = x.from.Open(head, body); err != nil {
		return fmt.Errorf("%w: a block does not open, by this key or at all", ErrDamaged)
	}
	x.block, x.frames = body, h.frames
	return nil
}
