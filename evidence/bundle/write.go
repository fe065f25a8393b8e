package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Part is one file to be packed.
type Part struct {
	Name string
	Size int64
	// Data is read twice: for its hash, which stands before it, and for itself.
	Data io.ReaderAt
}

// Bytes makes a part of what is in memory.
func Bytes(name string, b []byte) Part { return Part{name, int64(len(b)), bytes.NewReader(b)} }

// Stamper asks a time-stamp service for a response for a SHA-256.
type Stamper func(ctx context.Context, imprint [sha256.Size]byte) (response []byte, err error)

// The seal is a frame that readers of zstd skip (RFC 8878 section 3.1.2), the
// last of the file: an Ed25519 signature of everything before it. Manifest and hashes tell what the
// parts are; the seal holds that not a byte of the file around them is another.
const (
	sealMagic = 0x184d2a5e
	sealWords = "simtrap seal 1\n"
	sealSize  = 8 + len(sealWords) + ed25519.SignatureSize
)

// sealed is what the seal signs.
func sealed(sum []byte) []byte { return append([]byte("simtrap bundle file 1\n"), sum...) }

func sealHead() []byte {
	b := binary.LittleEndian.AppendUint32(nil, sealMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(sealSize-8))
	return append(b, sealWords...)
}

// Write packs parts in their order. It fills in the manifest's Format, Signer,
// Stamped and Parts. The same manifest, parts and key give the same bytes, but for the
// response of a time-stamp service; stamp may be nil. The hash is that of the
// file, by which the next bundle names it.
func Write(ctx context.Context, w io.Writer, m Manifest, parts []Part, key ed25519.PrivateKey, stamp Stamper) (file [sha256.Size]byte, err error) {
	m.Format = Format
	m.Signer = Signer{"Ed25519", hex.EncodeToString(key.Public().(ed25519.PublicKey))}
	m.Stamped = stamp != nil
	m.Parts = make([]Entry, 0, len(parts))
	if m.Lines == nil {
		m.Lines = []string{}
	}
	if m.Inputs == nil {
		m.Inputs = []Input{}
	}
	for _, p := range parts {
		if p.Size < 0 || p.Size > MaxBytes {
			return file, fmt.Errorf("part %s: more than %d bytes", p.Name, MaxBytes)
		}
		sum, err := hashOf(ctx, p)
		if err != nil {
			return file, fmt.Errorf("part %s: %w", p.Name, err)
		}
		m.Parts = append(m.Parts, Entry{p.Name, p.Size, sum})
	}
	text, err := m.encode()
	if err != nil {
		return file, fmt.Errorf("manifest: %w", err)
	}
	if len(text) > MaxManifest {
		return file, fmt.Errorf("manifest: %d bytes, more than %d", len(text), MaxManifest)
	}
	// Read as a stranger will read it: what would not be taken is not written.
	if _, err := decode(text); err != nil {
		return file, fmt.Errorf("manifest: %w", err)
	}
	signature := ed25519.Sign(key, text)
	first := []Part{Bytes(ManifestName, text), Bytes(SignatureName, signature)}
	if stamp != nil {
		response, err := stamp(ctx, sha256.Sum256(signature))
		if err != nil {
			return file, fmt.Errorf("time-stamp: %w", err)
		}
		if len(response) > MaxStamp {
			return file, fmt.Errorf("time-stamp: %d bytes, more than %d", len(response), MaxStamp)
		}
		first = append(first, Bytes(StampName, response))
	}

	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	// One thread: what several would write depends on nothing else either, but
	// no promise of theirs says so.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(true), zstd.WithWindowSize(window))
	if err != nil {
		return file, err
	}
	// Each file of the tar is a frame of its own, so that damage is named by the
	// part it is in.
	for i, p := range append(first, parts...) {
		want := ""
		if i >= len(first) {
			want = m.Parts[i-len(first)].SHA256
		}
		z.Reset(out)
		if err := errors.Join(writePart(ctx, z, p, want), z.Close()); err != nil {
			return file, fmt.Errorf("part %s: %w", p.Name, err)
		}
	}
	z.Reset(out)
	if _, err := z.Write(make([]byte, 2*block)); err != nil {
		return file, err
	}
	if err := z.Close(); err != nil {
		return file, err
	}
	if _, err := out.Write(append(sealHead(), ed25519.Sign(key, sealed(sum.Sum(nil)))...)); err != nil {
		return file, err
	}
	return [sha256.Size]byte(sum.Sum(nil)), nil
}

func hashOf(ctx context.Context, p Part) (string, error) {
	h := sha256.New()
	if err := copyPart(ctx, h, p); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func writePart(ctx context.Context, w io.Writer, p Part, want string) error {
	h := header(p.Name, p.Size)
	if _, err := w.Write(h[:]); err != nil {
		return err
	}
	sum := sha256.New()
	if want == "" {
		sum = nil
	}
	if err := copyPart(ctx, tee(w, sum), p); err != nil {
		return err
	}
	if sum != nil && hex.EncodeToString(sum.Sum(nil)) != want {
		return errors.New("it changed while it was packed")
	}
	_, err := w.Write(make([]byte, padding(p.Size)))
	return err
}

func tee(w io.Writer, h hash.Hash) io.Writer {
	if h == nil {
		return w
	}
	return io.MultiWriter(w, h)
}

// copyPart copies all of a part, and fails when there is less.
func copyPart(ctx context.Context, w io.Writer, p Part) error {
	b := make([]byte, min(256<<10, p.Size))
	for at := int64(0); at < p.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := p.Data.ReadAt(b[:min(int64(len(b)), p.Size-at)], at)
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		at += int64(n)
		if err != nil && at < p.Size {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
