package hello

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Versions of QUIC whose first packets are read: 1 (RFC 9000) and 2 (RFC 9369).
const (
	quic1 = 0x00000001
	quic2 = 0x6b3343cf
)

const (
	// quicLeast is the least size of a datagram with a client's first packet (RFC
	// 9000 section 14.1).
	quicLeast  = 1200
	maxConnID  = 20
	maxFrames  = 128 // of one packet
	quicNonce  = 12
	quicSample = 16
)

// longHeader is the beginning of a packet of QUIC with a long header (RFC 8999
// section 5.1, RFC 9000 section 17.2).
type longHeader struct {
	version          uint32
	initial, retry   bool
	dcid, scid, rest []byte
}

func readLong(b []byte) (h longHeader, ok bool) {
	if len(b) < 7 || b[0]&0xc0 != 0xc0 {
		return h, false
	}
	h.version = binary.BigEndian.Uint32(b[1:])
	kind := b[0] >> 4 & 3
	switch h.version {
	case quic1:
		h.initial, h.retry = kind == 0, kind == 3
	case quic2: // RFC 9369 section 3.2
		h.initial, h.retry = kind == 1, kind == 0
	default:
		return h, false
	}
	rest := b[5:]
	for _, id := range [...]*[]byte{&h.dcid, &h.scid} {
		if len(rest) == 0 {
			return h, false
		}
		n := int(rest[0])
		if n > maxConnID || len(rest) < 1+n {
			return h, false
		}
		*id, rest = rest[1:1+n], rest[1+n:]
	}
	h.rest = rest
	return h, true
}

// varint reads a number of variable length (RFC 9000 section 16).
func varint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, nil, false
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, b[n:], true
}

// initialKeys are those of a client's first packets. Anybody can make them, of
// what stands in the first of them (RFC 9001 section 5.2, RFC 9369 section 3.3):
// they keep boxes on the way from meddling and hide nothing.
type initialKeys struct {
	aead cipher.AEAD
	mask cipher.Block
	iv   [quicNonce]byte
}

func newInitialKeys(version uint32, dcid []byte) (*initialKeys, error) {
	salt, prefix := []byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}, "quic "
	if version == quic2 {
		salt, prefix = []byte{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9}, "quicv2 "
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		return nil, err
	}
	expand := func(label string, n int) (out []byte) {
		if err == nil {
			// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
			label = "tls13 " + label
			out, err = hkdf.Expand(sha256.New, secret, string([]byte{0, byte(n), byte(len(label))})+label+"\x00", n)
		}
		return out
	}
	secret = expand("client in", sha256.Size)
	key, iv, hp := expand(prefix+"key", 16), expand(prefix+"iv", quicNonce), expand(prefix+"hp", 16)
	if err != nil {
		return nil, err
	}
	k := &initialKeys{}
	copy(k.iv[:], iv)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	k.mask, err = aes.NewCipher(hp)
	return k, err
}

// open deciphers a client's first packet, of which h is the header, at the
// beginning of b. What it gives is its frames, and the packets behind it in the
// datagram (RFC 9000 section 12.2).
func (k *initialKeys) open(b []byte, h *longHeader) (frames, behind []byte, ok bool) {
	n, rest, ok := varint(h.rest) // the token
	if !ok || n > uint64(len(rest)) {
		return nil, nil, false
	}
	n, rest, ok = varint(rest[n:])
	const number = 4 // most bytes of a packet's number
	if !ok || n > uint64(len(rest)) || n < number+quicSample {
		return nil, nil, false
	}
	at := len(b) - len(rest)
	// The header's protection is taken from a copy: the datagram is others' too.
	packet := bytes.Clone(b[:at+int(n)])
	var mask [aes.BlockSize]byte
	k.mask.Encrypt(mask[:], packet[at+number:at+number+quicSample])
	packet[0] ^= mask[0] & 0x0f
	size := int(packet[0]&3) + 1
	nonce := k.iv
	for i := range size {
		packet[at+i] ^= mask[1+i]
		nonce[quicNonce-size+i] ^= packet[at+i]
	}
	head, sealed := packet[:at+size], packet[at+size:]
	frames, err := k.aead.Open(sealed[:0], nonce[:], sealed, head)
	return frames, b[at+int(n):], err == nil
}

// pieces is the beginning of a stream, put together from what comes of it in
// whatever order, cut in whatever way. Of what comes twice the later counts.
type pieces struct {
	data []byte
	have []uint64 // a bit a byte
}

func newPieces(limit int) *pieces {
	return &pieces{data: make([]byte, limit), have: make([]uint64, limit/64)}
}

// put takes bytes of the stream that begin at an offset. What is beyond the limit
// is left out.
func (c *pieces) put(at uint64, b []byte) {
	if at >= uint64(len(c.data)) {
		return
	}
	n := copy(c.data[at:], b)
	for i := int(at); i < int(at)+n; i++ {
		c.have[i/64] |= 1 << (i % 64)
	}
}

// start gives the bytes from the beginning without a hole.
func (c *pieces) start() []byte {
	n := 0
	for n < len(c.data) && c.have[n/64]&(1<<(n%64)) != 0 {
		n++
	}
	return c.data[:n]
}

// holed says whether something has come behind a hole.
func (c *pieces) holed() bool {
	had := 0
	for _, w := range c.have {
		had += bits.OnesCount64(w)
	}
	return had > len(c.start())
}

// frames takes the CRYPTO frames of one packet (RFC 9000 section 19.6). What
// belongs to no first packet ends the reading.
func (c *pieces) frames(b []byte) {
	for range maxFrames {
		b = bytes.TrimLeft(b, "\x00\x01") // PADDING, PING
		if len(b) == 0 {
			return
		}
		kind := b[0]
		b = b[1:]
		next := func() (v uint64) {
			var ok bool
			if v, b, ok = varint(b); !ok {
				b = nil
			}
			return v
		}
		switch kind {
		case 2, 3: // ACK, with counts of marked packets
			next()
			next()
			ranges := next()
			next()
			for range min(ranges, maxFrames) {
				next()
				next()
			}
			if kind == 3 {
				next()
				next()
				next()
			}
		case 6:
			at := next()
			n := next()
			if n > uint64(len(b)) {
				return
			}
			c.put(at, b[:n])
			b = b[n:]
		default:
			return
		}
	}
}
