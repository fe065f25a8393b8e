package store

import (
	_ "embed"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"simtrap/report/reportpb"
)

// maxBody bounds a stored message, unpacked.
const maxBody = 8 << 20

// packer writes messages as they are stored: protobuf, compressed by Zstandard
// against a dictionary of what findings usually say. The first byte tells the form and
// with it the dictionary, so that another one can follow.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

const (
	packedPlain byte = 0 // not compressed
	packedZstd  byte = 1 // without a dictionary, as programs before 2 wrote it
	packedDict  byte = 2 // against dictionary, whose id in the frame is the same
)

// dictionary is made of findings of lab captures (TestMakeDictionary). What was stored
// against it can be read with these very bytes alone: a better one is another form.
//
//go:embed body-2.dict
var dictionary []byte

// leastPacked is how many bytes a message has that may become shorter.
const leastPacked = 64

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithEncoderDict(dictionary),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderDicts(dictionary), zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecoderLowmem(true))
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
	if len(plain) < leastPacked {
		return plain, nil
	}
	packed := p.enc.EncodeAll(plain[1:], append(make([]byte, 0, len(plain)/2), packedDict))
	if len(packed) >= len(plain) {
		return plain, nil
	}
	return packed, nil
}

func (p *packer) unpack(b []byte, m proto.Message) error {
	plain, err := p.plain(b)
	if err != nil {
		return err
	}
	return proto.Unmarshal(plain, m)
}

// plain gives a stored message uncompressed.
func (p *packer) plain(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	switch b[0] {
	case packedPlain:
		return b[1:], nil
	case packedZstd, packedDict:
		plain, err := p.dec.DecodeAll(b[1:], nil)
		if err != nil {
			return nil, fmt.Errorf("stored message: %w", err)
		}
		return plain, nil
	default:
		return nil, fmt.Errorf("stored message is of form %d: written by a newer program", b[0])
	}
}

// unpackFacts unpacks a finding's revision without its ledger, which is the most of
// it and which linking does not look at.
func (p *packer) unpackFacts(b []byte, m *reportpb.FindingRevision) error {
	plain, err := p.plain(b)
	if err != nil {
		return err
	}
	var rest, finding []byte
	if err := fields(plain, func(n protowire.Number, field, value []byte) {
		if n == findingField {
			finding = value
			return
		}
		rest = append(rest, field...)
	}); err != nil {
		return fmt.Errorf("stored message: %w", err)
	}
	if err := proto.Unmarshal(rest, m); err != nil || finding == nil {
		return err
	}
	rest = rest[:0]
	if err := fields(finding, func(n protowire.Number, field, _ []byte) {
		if n != signalsField && n != unseenField {
			rest = append(rest, field...)
		}
	}); err != nil {
		return fmt.Errorf("stored message: %w", err)
	}
	m.Finding = &reportpb.Finding{}
	return proto.Unmarshal(rest, m.Finding)
}

// The numbers of fields as the schema has them.
const (
	findingField = protowire.Number(5)  // of reportpb.FindingRevision
	signalsField = protowire.Number(12) // of reportpb.Finding
	unseenField  = protowire.Number(13)
)

// fields gives the fields of a message: number, all bytes, and those of the value
// where it is bytes.
func fields(b []byte, each func(n protowire.Number, field, value []byte)) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		k := protowire.ConsumeFieldValue(num, typ, b[n:])
		if k < 0 {
			return protowire.ParseError(k)
		}
		var value []byte
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(b[n:])
		}
		each(num, b[:n+k], value)
		b = b[n+k:]
	}
	return nil
}

func (p *packer) close() {
	p.enc.Close()
	p.dec.Close()
}
