package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"simtrap/evidence/bundle"
	"simtrap/evidence/ring"
)

// Keys of evidence. A hub that was made by an earlier program has none until
// MakeEvidence.
const (
	evidenceFile = "evidence.key" // PEM, PKCS #8, Ed25519: signs bundles
	headersFile  = "headers.key"  // PEM, PKCS #8, X25519: reads headers that sensors encrypt
)

func evidenceFiles() ([]file, error) {
	_, signer, err := newSigner()
	if err != nil {
		return nil, err
	}
	reader, _, err := ring.GenerateKey()
	if err != nil {
		return nil, err
	}
	return []file{{evidenceFile, signer}, {headersFile, reader}}, nil
}

// MakeEvidence makes those of the keys of evidence that a folder does not have, and
// says whether there were any to make.
func MakeEvidence(folder string) (made bool, err error) {
	files, err := evidenceFiles()
	if err != nil {
		return false, err
	}
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(folder, f.name)); err == nil {
			continue
		}
		if err := write(filepath.Join(folder, f.name), f.content); err != nil {
			return made, err
		}
		made = true
	}
	return made, syncFolder(folder)
}

// openEvidence reads them, where they are.
func (t *Trust) openEvidence(folder string) error {
	b, err := readFile(folder, evidenceFile)
	if err == nil {
		t.evidence, err = bundle.ParseKey(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Join(folder, evidenceFile), err)
	}
	b, err = readFile(folder, headersFile)
	if err == nil {
		t.headers, err = ring.ParsePrivateKey(b)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Join(folder, headersFile), err)
	}
	return nil
}

// Evidence gives the key that signs bundles; nil where there is none.
func (t *Trust) Evidence() ed25519.PrivateKey { return t.evidence }

// Headers gives the key that reads what sensors encrypted; nil where there is none.
func (t *Trust) Headers() *ring.PrivateKey { return t.headers }
