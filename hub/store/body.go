package store

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

// maxBody bounds a stored message, unpacked.
const maxBody = 8 << 20

// packer writes messages as they are stored: protobuf, compressed by Zstandard
// against a dictionary of what findings usually say. The first byte tells the
// dictionary, so that another one can follow.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

const (
	packedPlain byte = 0 // not compressed
	packedZstd  byte = 1
)

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("decompressor: %w", err)
	}
	return &packer{enc: enc, dec: dec}, nil
}

func (p *packer) pack(m proto.Message) ([]byte, error) {
	plain, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 1, 2048), m)
	if err != nil {
		return nil, err
	}
	if len(plain) < 256 {
		return plain, nil
	}
	packed := p.enc.EncodeAll(plain[1:], append(make([]byte, 0, len(plain)/2), packedZstd))
	if len(packed) >= len(plain) {
		return plain, nil
	}
	return packed, nil
}

func (p *packer) unpack(b []byte, m proto.Message) error {
	if len(b) == 0 {
		return proto.Unmarshal(nil, m)
	}
	switch b[0] {
	case packedPlain:
		return proto.Unmarshal(b[1:], m)
	case packedZstd:
		plain, err := p.dec.DecodeAll(b[1:], nil)
		if err != nil {
			return fmt.Errorf("stored message: %w", err)
		}
		return proto.Unmarshal(plain, m)
	default:
		return fmt.Errorf("stored message is of form %d: written by a newer program", b[0])
	}
}

func (p *packer) close() {
	p.enc.Close()
	p.dec.Close()
}
