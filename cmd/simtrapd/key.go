package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keySize is the length of a pseudonym key in bytes.
const keySize = 32

// maxKeyFile is more than any key file; another file named by mistake may be
// large.
const maxKeyFile = 4096

// readOrMakeKey reads the pseudonym key in a file, or makes one there with
// mode 0600. made tells which.
func readOrMakeKey(path string) (key []byte, made bool, err error) {
	key, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key = newKey()
	if err := writeKey(path, key); err != nil {
		if errors.Is(err, fs.ErrExist) { // another run was faster
			key, err = readKey(path)
			return key, false, err
		}
		return nil, false, fmt.Errorf("cannot make the pseudonym key: %w", err)
	}
	return key, true, nil
}

func newKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	return key
}

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		// The cause would quote the key.
		return nil, fmt.Errorf("%s: no pseudonym key: want %d hexadecimal digits; name another file as key", path, 2*keySize)
	}
	return key, nil
}

// writeKey makes the file at once and whole, so that a run beside this one
// never reads half a key. It fails with fs.ErrExist rather than replace one.
func writeKey(path string, key []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
