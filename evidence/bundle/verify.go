package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"simtrap/evidence/timestamp"
)

var errHeader = errors.New("no header of a bundle's tar")

// Options of Verify. All may be left out; what is then not compared stands in
// Verified.
type Options struct {
	// Signer must have signed. Without one the bundle is held to the key that
	// it brings along, which anybody could have made.
	Signer ed25519.PublicKey
	// Previous is the SHA-256 of the file of the bundle before.
	Previous *[sha256.Size]byte
	// PreviousNumber is its number in the chain, 0 when nobody knows.
	PreviousNumber int64
	// Roots are who is trusted to certify time-stamp services.
	Roots *x509.CertPool
	// Part is given each part while it is read, before it is known whether it
	// holds: what it makes of one is of no use before Verify has ended well. It
	// need not read all. May be nil.
	Part func(e Entry, r io.Reader) error
}

// Verified is what holds of a bundle.
type Verified struct {
	Manifest Manifest
	Key      ed25519.PublicKey
	File     [sha256.Size]byte // of the whole file
	Size     int64
	Stamp    *timestamp.Stamp // nil without one

	SignerKnown   bool // it is the one asked for
	PreviousKnown bool // it is the one asked for
	StampTrusted  bool // its service's certificate leads to a root asked for
}

// Verify reads a bundle of size bytes and holds it to everything that it says
// of itself and that Options ask for. An error of type *Fault is the first
// thing that does not hold, in the order of the file; any other is one of reading.
func Verify(r io.ReaderAt, size int64, o Options) (*Verified, error) {
	if size > MaxFile {
		return nil, fault("file", "%d bytes, more than a bundle may have", size)
	}
	end := size - int64(sealSize)
	if end <= 0 {
		return nil, fault("file", "too short for a bundle: %d bytes", max(size, 0))
	}
	seal := make([]byte, sealSize)
	if n, err := r.ReadAt(seal, end); n < len(seal) {
		return nil, err
	}
	head := sealHead()
	if !bytes.Equal(seal[:len(head)], head) {
		return nil, fault("seal", "the file does not end with one: it was cut short, or is no bundle")
	}
	body := &watched{r: io.NewSectionReader(r, 0, end), sum: sha256.New()}
	v := &Verified{Size: size}
	f := v.read(body, o)
	if body.err != nil {
		return nil, body.err
	}
	if f != nil {
		return nil, f
	}
	if !ed25519.Verify(v.Key, sealed(body.sum.Sum(nil)), seal[len(head):]) {
		return nil, fault("seal", "it does not fit the file")
	}
	body.sum.Write(seal)
	v.File = [sha256.Size]byte(body.sum.Sum(nil))
	if o.Previous != nil {
		switch want := hex.EncodeToString(o.Previous[:]); v.Manifest.Chain.Previous {
		case want:
			if n := v.Manifest.Chain.Number; o.PreviousNumber != 0 && n != o.PreviousNumber+1 {
				return nil, fault("chain", "it is number %d, and the bundle before it number %d", n, o.PreviousNumber)
			}
			v.PreviousKnown = true
		case "":
			return nil, fault("chain", "it is the first of its chain, and names none before it")
		default:
			return nil, fault("chain", "the bundle before it is %s, not %s", v.Manifest.Chain.Previous, want)
		}
	}
	return v, nil
}

// watched hashes what is read, and remembers an error of reading, which is no fault
// of the bundle.
type watched struct {
	r   io.Reader
	sum hash.Hash
	err error
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.sum.Write(b[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// walk reads the tar.
type walk struct {
	r    io.Reader
	name string // of the file that comes
	size int64
	end  bool
}

// next reads the header of the file that should be the one named.
func (w *walk) next(want string) error {
	var err error
	w.name, w.size, w.end, err = readHeader(w.r)
	if err != nil {
		return unpacking(want, err)
	}
	return nil
}

// unpacking makes an error of the layers below a fault.
func unpacking(where string, err error) *Fault {
	switch {
	case errors.Is(err, errHeader):
		return fault(where, "the tar's header before it is changed")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fault(where, "the file ends before it does")
	}
	return &Fault{where, "cannot be unpacked", err}
}

// small reads a file that must be the one named, and the header that follows.
func (w *walk) small(want string, most int64) ([]byte, error) {
	switch {
	case w.end:
		return nil, fault(want, "missing")
	case w.name != want:
		return nil, fault(want, "missing: %s is in its place", w.name)
	case w.size > most:
		return nil, fault(want, "%d bytes, more than %d", w.size, most)
	}
	b := make([]byte, w.size)
	if _, err := io.ReadFull(w.r, b); err != nil {
		return nil, unpacking(want, err)
	}
	return b, w.pad(want)
}

// pad reads the zeros behind a file.
func (w *walk) pad(where string) error {
	var zeros [block]byte
	b := zeros[:padding(w.size)]
	if _, err := io.ReadFull(w.r, b); err != nil {
		return unpacking(where, err)
	}
	if !bytes.Equal(b, make([]byte, len(b))) {
		return fault(where, "something stands behind it")
	}
	return nil
}

// read walks through the packed tar to its end.
func (v *Verified) read(body io.Reader, o Options) error {
	z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(uint64(MaxFile)))
	if err != nil {
		return unpacking(ManifestName, err)
	}
	defer z.Close()
	w := &walk{r: z}

	if err := w.next(ManifestName); err != nil {
		return err
	}
	text, err := w.small(ManifestName, MaxManifest)
	if err != nil {
		return err
	}
	if err := w.next(SignatureName); err != nil {
		return err
	}
	signature, err := w.small(SignatureName, ed25519.SignatureSize)
	if err != nil {
		return err
	}
	if err := v.believe(text, signature, o); err != nil {
		return err
	}
	m := &v.Manifest
	if m.Stamped {
		if err := w.next(StampName); err != nil {
			return err
		}
		response, err := w.small(StampName, MaxStamp)
		if err != nil {
			return err
		}
		if err := v.stamped(response, signature, o); err != nil {
			return err
		}
	}
	if err := w.next(m.Parts[0].Name); err != nil {
		return err
	}
	for i := range m.Parts {
		if err := w.part(&m.Parts[i], o.Part); err != nil {
			return err
		}
		following := "end"
		if i+1 < len(m.Parts) {
			following = m.Parts[i+1].Name
		}
		if err := w.next(following); err != nil {
			return err
		}
	}
	if !w.end {
		return fault(w.name, "the manifest names no such part")
	}
	switch n, err := io.CopyN(io.Discard, z, 1); {
	case n > 0:
		return fault("end", "something stands behind the last part")
	case !errors.Is(err, io.EOF):
		return unpacking("end", err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	return nil
}

// believe takes the manifest if its signature holds.
func (v *Verified) believe(text, signature []byte, o Options) error {
	m, err := decode(text)
	if err != nil {
		return &Fault{ManifestName, "cannot be read", err}
	}
	if v.Key, err = m.key(); err != nil {
		return &Fault{ManifestName, "cannot be read", err}
	}
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(v.Key, text, signature) {
		return fault(SignatureName, "the manifest is not what was signed")
	}
	if o.Signer != nil {
		if subtle.ConstantTimeCompare(o.Signer, v.Key) != 1 {
			return fault("signer", "signed with the key %s, not with %s", Fingerprint(v.Key), Fingerprint(o.Signer))
		}
		v.SignerKnown = true
	}
	v.Manifest = *m
	return nil
}

func (v *Verified) stamped(response, signature []byte, o Options) error {
	s, err := timestamp.Verify(response, sha256.Sum256(signature), o.Roots)
	if err != nil {
		return &Fault{StampName, "does not hold", err}
	}
	v.Stamp, v.StampTrusted = s, o.Roots != nil
	return nil
}

// part reads one part and compares it with what the manifest says of it.
func (w *walk) part(e *Entry, use func(Entry, io.Reader) error) error {
	switch {
	case w.end:
		return fault(e.Name, "missing")
	case w.name != e.Name:
		return fault(e.Name, "missing: %s is in its place", w.name)
	case w.size != e.Bytes:
		return fault(e.Name, "%d bytes, where the manifest says %d", w.size, e.Bytes)
	}
	sum := sha256.New()
	limited := &io.LimitedReader{R: w.r, N: e.Bytes}
	r := io.TeeReader(limited, sum)
	if use != nil {
		if err := use(*e, r); err != nil {
			return fmt.Errorf("part %s: %w", e.Name, err)
		}
	}
	if _, err := io.CopyBuffer(sum, limited, make([]byte, min(256<<10, e.Bytes+1))); err != nil {
		return unpacking(e.Name, err)
	}
	if limited.N > 0 {
		return unpacking(e.Name, io.ErrUnexpectedEOF)
	}
	if hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
		return fault(e.Name, "it is not what the manifest says: its SHA-256 differs")
	}
	return w.pad(e.Name)
}
