package fleet

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/klauspost/compress/zstd"

	"simtrap/heuristics"
	"simtrap/heuristics/catalogue"
	"simtrap/report/fleetpb"
)

// Bounds of a pack.
const (
	maxPack      = 4 << 20  // bytes of its content
	maxUnpacked  = 32 << 20 // and of the files in it
	maxPackFiles = 512
)

// Why a pack is refused.
var (
	ErrPackSignature = errors.New("the pack is not signed by a key that counts here")
	ErrPackOld       = errors.New("the pack's version is not above the one in use")
	ErrPackContent   = errors.New("the pack holds no catalogue that this program can use")
)

// packText is what a pack's signature is over (fleet.proto).
func packText(version uint64, content []byte) []byte {
	sum := sha256.Sum256(content)
	return append(binary.BigEndian.AppendUint64([]byte("simtrap catalogue pack\x00"), version), sum[:]...)
}

// ReadPack checks that one of keys signed a pack, that its version is above one,
// and that what it holds can be judged by. It fails with one of the errors above.
func ReadPack(p *fleetpb.CataloguePack, keys []ed25519.PublicKey, above uint64) (*catalogue.Catalogue, error) {
	if n := len(p.GetContent()); n == 0 || n > maxPack {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrPackContent, n, maxPack)
	}
	signed := false
	for _, k := range keys {
		sum := sha256.Sum256(k)
		signed = signed || bytes.Equal(sum[:8], p.GetKeyId()) && ed25519.Verify(k, packText(p.GetVersion(), p.GetContent()), p.GetSignature())
	}
	if !signed {
		return nil, ErrPackSignature
	}
	if p.GetVersion() <= above {
		return nil, fmt.Errorf("%w: %d, not above %d", ErrPackOld, p.GetVersion(), above)
	}
	files, err := Unpack(p.GetContent())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackContent, err)
	}
	c, err := catalogue.Read(files)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackContent, err)
	}
	m, err := heuristics.NewModel(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackContent, err)
	}
	// It may name signals that this program has no code for.
	if _, err := heuristics.NewLines(m, heuristics.Config{}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackContent, err)
	}
	return c, nil
}

// Unpack gives the files of a pack's content, a tar archive compressed by
// Zstandard: what catalogue.Read takes. Folders and other kinds of entries than
// files are passed over; names that lead out of the archive are an error.
func Unpack(content []byte) (fs.FS, error) {
	d, err := zstd.NewReader(bytes.NewReader(content), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	// An archive in memory that can be read by name.
	var store bytes.Buffer
	w := zip.NewWriter(&store)
	in := tar.NewReader(io.LimitReader(d, maxUnpacked))
	seen := make(map[string]bool)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := path.Clean(h.Name)
		switch {
		case !fs.ValidPath(name) || name == ".":
			return nil, fmt.Errorf("archive: a file named %q", h.Name)
		case seen[name]:
			return nil, fmt.Errorf("archive: %q is there twice", name)
		case len(seen) >= maxPackFiles:
			return nil, fmt.Errorf("archive: more than %d files", maxPackFiles)
		}
		seen[name] = true
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(f, in); err != nil {
			return nil, fmt.Errorf("archive: %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(store.Bytes()), int64(store.Len()))
}
