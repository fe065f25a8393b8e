// Package update takes new systems into an appliance: bundles that are signed, two slots
// of which one runs, and the files by which systemd-boot starts them.
//
// A bundle is, one behind the other:
//
//	"simtrap update 1\n"
//	length of the manifest, 4 bytes, big endian
//	the manifest, JSON
//	signature of it, Ed25519, 64 bytes, over "simtrap update\0" and the manifest
//	the kernel's file (for the EFI system partition), then the system (for a slot)
//
// Nothing of a bundle is looked at before its signature holds, but the manifest's
// length.
package update

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
)

const (
	magic   = "simtrap update 1\n"
	context = "simtrap update\x00"

	// maxManifest is more than any manifest, in bytes.
	maxManifest = 16 << 10
	// MaxKernel bounds the kernel's file, in bytes: two of them and a third on its way
	// fit into the partition.
	MaxKernel = 40 << 20
	// MaxSystem is the size of a slot, in bytes.
	MaxSystem = 256 << 20
)

// Why a bundle is not taken.
var (
	ErrSignature = errors.New("none of the keys of this machine has signed it")
	ErrFloor     = errors.New("it is older than what this machine may go back to")
	ErrDamaged   = errors.New("what it holds is not what its manifest says")
)

// Release says which system something is.
type Release struct {
	Version string `json:"version"` // for people
	Arch    string `json:"arch"`    // amd64 or arm64
	// Sequence rises with every release, and decides which of two is newer.
	Sequence uint64 `json:"sequence"`
	// Floor is the least sequence that may be installed once this release has shown
	// that it works.
	Floor uint64 `json:"floor"`
}

// Part is one of the two files of a bundle.
type Part struct {
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // in hexadecimal
}

// Manifest is what is signed.
type Manifest struct {
	Release
	Kernel Part `json:"kernel"`
	System Part `json:"system"`
}

// versions takes what may stand in a line of text and in the name of a file.
var versions = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.~+-]{0,63}$`)

func (m *Manifest) check() error {
	if !versions.MatchString(m.Version) {
		return fmt.Errorf("version %q must be letters, digits and . ~ + -", m.Version)
	}
	if m.Sequence == 0 || m.Floor > m.Sequence {
		return fmt.Errorf("sequence %d with floor %d", m.Sequence, m.Floor)
	}
	for _, p := range []struct {
		name string
		Part
		most int64
	}{{"kernel", m.Kernel, MaxKernel}, {"system", m.System, MaxSystem}} {
		if p.Size <= 0 || p.Size > p.most {
			return fmt.Errorf("%s of %d bytes, of %d at most", p.name, p.Size, p.most)
		}
		if b, err := hex.DecodeString(p.SHA256); err != nil || len(b) != sha256.Size {
			return fmt.Errorf("%s: %q is no SHA-256", p.name, p.SHA256)
		}
	}
	return nil
}

// Write makes a bundle of a release; both files are read twice.
func Write(w io.Writer, r Release, kernel, system io.ReadSeeker, key ed25519.PrivateKey) error {
	m := Manifest{Release: r}
	for _, p := range []struct {
		from io.ReadSeeker
		to   *Part
	}{{kernel, &m.Kernel}, {system, &m.System}} {
		h := sha256.New()
		n, err := io.Copy(h, p.from)
		if err != nil {
			return err
		}
		*p.to = Part{n, hex.EncodeToString(h.Sum(nil))}
		if _, err := p.from.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	if err := m.check(); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var head bytes.Buffer
	head.WriteString(magic)
	_ = binary.Write(&head, binary.BigEndian, uint32(len(text))) // a buffer takes everything
	head.Write(text)
	head.Write(ed25519.Sign(key, append([]byte(context), text...)))
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	for _, from := range []io.Reader{kernel, system} {
		if _, err := io.Copy(w, from); err != nil {
			return err
		}
	}
	return nil
}

// Bundle is one that a key of this machine has signed; what it holds is read in order.
type Bundle struct {
	Manifest Manifest
	r        io.Reader
}

// Open reads the beginning of a bundle. ErrSignature is the error when none of the keys
// has signed it.
func Open(r io.Reader, keys []ed25519.PublicKey) (*Bundle, error) {
	text, signature, err := manifest(r)
	if err != nil {
		return nil, err
	}
	signed := false
	for _, key := range keys {
		signed = signed || len(key) == ed25519.PublicKeySize && ed25519.Verify(key, append([]byte(context), text...), signature)
	}
	if !signed {
		return nil, ErrSignature
	}
	b := &Bundle{r: r}
	if err := b.Manifest.read(text); err != nil {
		return nil, err
	}
	return b, nil
}

// manifest reads what stands before the files.
func manifest(r io.Reader) (text, signature []byte, err error) {
	var head [len(magic) + 4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:len(magic)]) != magic {
		return nil, nil, errors.New("it is no bundle of an update")
	}
	n := binary.BigEndian.Uint32(head[len(magic):])
	if n > maxManifest {
		return nil, nil, fmt.Errorf("a manifest of %d bytes, of %d at most", n, maxManifest)
	}
	b := make([]byte, n+ed25519.SignatureSize)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, nil, fmt.Errorf("manifest: %w", err)
	}
	return b[:n:n], b[n:], nil
}

func (m *Manifest) read(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return nil
}

// Peek gives the manifest of a bundle whoever signed it, for those who pass bundles on
// and have none of the keys. Nothing may be installed on its word.
func Peek(r io.Reader) (Manifest, error) {
	var m Manifest
	text, _, err := manifest(r)
	if err == nil {
		err = m.read(text)
	}
	return m, err
}

// part gives the next part; at its end it fails with ErrDamaged when it was another.
func (b *Bundle) part(p Part) io.Reader {
	return &checked{r: io.LimitReader(b.r, p.Size), left: p.Size, want: p.SHA256, sum: sha256.New()}
}

// checked passes on what it reads and, at the end, says whether that was what it was
// to be.
type checked struct {
	r    io.Reader
	left int64
	want string
	sum  hash.Hash
}

func (c *checked) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.left -= int64(n)
	c.sum.Write(b[:n])
	if err == io.EOF && (c.left != 0 || hex.EncodeToString(c.sum.Sum(nil)) != c.want) {
		return n, ErrDamaged
	}
	return n, err
}
