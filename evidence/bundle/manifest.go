// Package bundle packs what a case rests on into one file that anyone can
// check offline: a tar under zstd with a canonical manifest that names every
// part by its SHA-256, signed with Ed25519, chained to the bundle before it, and
// time-stamped where a service is known (docs/evidence.md is the format).
//
// A bundle may come from anybody: everything in it is read within bounds, and
// nothing is believed before its hash and signature are.
package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Format is the only one there is.
const Format = "simtrap-evidence/1"

// Names of what stands before the parts.
const (
	ManifestName  = "manifest.json"
	SignatureName = "manifest.sig"  // Ed25519 of the manifest's bytes, 64 bytes
	StampName     = "timestamp.tsr" // TimeStampResp of RFC 3161 for the signature; may be absent
)

// Bounds of a bundle. What has more is neither written nor read.
const (
	MaxParts    = 1024
	MaxBytes    = int64(4) << 30   // of all parts, unpacked
	MaxFile     = MaxBytes + 1<<24 // of the file
	MaxManifest = 1 << 20
	MaxStamp    = 64 << 10
	MaxInputs   = 1024

	maxName  = 100 // of a part, as tar has room for
	maxLines = 1024
	window   = 1 << 20 // of zstd
)

// Manifest tells what a bundle holds and where it is from. Times are RFC 3339 in
// UTC, hashes SHA-256 in lower-case hexadecimal digits. Numbers are whole and
// below 2^53.
type Manifest struct {
	Format        string    `json:"format"`
	Made          string    `json:"made"`
	Case          string    `json:"case"`      // as its keeper calls it; may be empty
	Authority     string    `json:"authority"` // under which identities are in clear; empty: they are pseudonyms
	Lines         []string  `json:"lines"`
	Program       Program   `json:"program"`
	Catalogue     Catalogue `json:"catalogue"`
	Configuration string    `json:"configuration_sha256"` // of the part that holds it
	Clock         Clock     `json:"clock"`
	Inputs        []Input   `json:"inputs"`
	Chain         Chain     `json:"chain"`
	Signer        Signer    `json:"signer"`
	Stamped       bool      `json:"time_stamp"` // a service's response stands behind the signature
	Parts         []Entry   `json:"parts"`      // in the order of the file
}

// Program is what made the bundle.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // of its executable; empty when it could not be read
}

// Catalogue is the tables that the verdict rests on.
type Catalogue struct {
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"`
}

// Clock says what is known of the clocks behind the times.
type Clock struct {
	Capture string `json:"capture"` // that dated the packets, in words
	First   string `json:"first"`   // packet of the input; empty when it has none
	Last    string `json:"last"`
	Making  string `json:"making"` // of the machine that made the bundle, in words
}

// Input is a file that was read to make the bundle.
type Input struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Chain joins a bundle to the one made before it.
type Chain struct {
	Number   int64  `json:"number"`   // 1 for the first
	Previous string `json:"previous"` // SHA-256 of the whole file before; empty for the first
}

// Signer is who signed.
type Signer struct {
	Algorithm string `json:"algorithm"`  // Ed25519
	PublicKey string `json:"public_key"` // 32 bytes in hexadecimal digits
}

// Entry is one part.
type Entry struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Fault is the first thing about a bundle that does not hold.
type Fault struct {
	Where string // a part, or "seal", "chain", "signer", "file"
	What  string
	Err   error // what lies behind it; may be nil
}

func (f *Fault) Error() string {
	if f.Err != nil {
		return f.Where + ": " + f.What + ": " + f.Err.Error()
	}
	return f.Where + ": " + f.What
}

func (f *Fault) Unwrap() error { return f.Err }

func fault(where, format string, args ...any) *Fault {
	return &Fault{Where: where, What: fmt.Sprintf(format, args...)}
}

// encode gives the manifest's one spelling.
func (m *Manifest) encode() ([]byte, error) {
	return Canonical(m)
}

// decode reads a manifest and refuses every spelling but the one.
func decode(b []byte) (*Manifest, error) {
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	again, err := m.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, errors.New("not in its canonical form")
	}
	return m, m.check()
}

// check holds what encode and decode both want.
func (m *Manifest) check() error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("format %.40q: this program knows %s", m.Format, Format)
	case m.Signer.Algorithm != "Ed25519":
		return fmt.Errorf("signed with %.40q: this program knows Ed25519", m.Signer.Algorithm)
	case len(m.Parts) == 0 || len(m.Parts) > MaxParts:
		return fmt.Errorf("%d parts: want 1 to %d", len(m.Parts), MaxParts)
	case len(m.Lines) > maxLines || len(m.Inputs) > MaxInputs:
		return fmt.Errorf("%d lines and %d inputs: want %d and %d at most", len(m.Lines), len(m.Inputs), maxLines, MaxInputs)
	}
	if _, err := m.key(); err != nil {
		return err
	}
	for _, s := range []string{m.Made, m.Clock.First, m.Clock.Last} {
		if t, err := time.Parse(time.RFC3339Nano, s); s != "" && (err != nil || t.Location() != time.UTC) || s == "" && m.Made == "" {
			return fmt.Errorf("%.40q is no time in UTC", s)
		}
	}
	for _, s := range []string{m.Program.SHA256, m.Catalogue.SHA256, m.Configuration, m.Chain.Previous} {
		if s != "" && !isHash(s) {
			return fmt.Errorf("%.80q is no SHA-256", s)
		}
	}
	if m.Chain.Number < 1 || (m.Chain.Number == 1) != (m.Chain.Previous == "") {
		return fmt.Errorf("number %d of a chain, with %q before it", m.Chain.Number, m.Chain.Previous)
	}
	for _, in := range m.Inputs {
		if !isHash(in.SHA256) || in.Bytes < 0 {
			return fmt.Errorf("input %.80q: no size or no SHA-256", in.Name)
		}
	}
	var total int64
	seen := map[string]bool{ManifestName: true, SignatureName: true, StampName: true}
	configured := m.Configuration == ""
	for _, p := range m.Parts {
		switch {
		case !ValidName(p.Name):
			return fmt.Errorf("%.120q is no name of a part", p.Name)
		case seen[p.Name]:
			return fmt.Errorf("two parts named %s", p.Name)
		case !isHash(p.SHA256):
			return fmt.Errorf("part %s: no SHA-256", p.Name)
		case p.Bytes < 0 || p.Bytes > MaxBytes-total:
			return fmt.Errorf("part %s: more than %d bytes in all", p.Name, MaxBytes)
		}
		seen[p.Name] = true
		total += p.Bytes
		configured = configured || p.SHA256 == m.Configuration
	}
	if !configured {
		return errors.New("the configuration is none of its parts")
	}
	return nil
}

func (m *Manifest) key() (ed25519.PublicKey, error) {
	b, err := hex.DecodeString(m.Signer.PublicKey)
	if err != nil || len(b) != ed25519.PublicKeySize || m.Signer.PublicKey != hex.EncodeToString(b) {
		return nil, errors.New("the signer's key is none of Ed25519")
	}
	return b, nil
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// ValidName says whether a part may have that name: letters, digits, dots,
// hyphens and underscores in folders, none of which begins with a dot, so that
// it can be unpacked anywhere and lands nowhere else.
func ValidName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for _, word := range strings.Split(s, "/") {
		if word == "" || word[0] == '.' {
			return false
		}
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("._-/", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Fingerprint names a public key: SHA-256 of its SubjectPublicKeyInfo (RFC 8410),
// which `openssl pkey -pubin -outform DER | sha256sum` gives as well.
func Fingerprint(k ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
