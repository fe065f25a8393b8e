// Package trust holds what a hub is trusted by: its authority for certificates,
// the tokens that admit a sensor, the keys of pseudonyms and the keys that packs
// and deletion records are signed with. All of it lies in one folder, in files
// that only the hub's user may read. Hubs of one store share a copy of it.
package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"simtrap/evidence/ring"
)

// The files of the folder.
const (
	caCertFile    = "ca.crt"        // PEM, the issuing certificate first
	caKeyFile     = "ca.key"        // PEM, PKCS #8
	catalogueFile = "catalogue.key" // PEM, PKCS #8, Ed25519; may be kept elsewhere
	cataloguePubs = "catalogue.pub" // PEM, PKIX, one or more
	recordsFile   = "records.key"   // PEM, PKCS #8, Ed25519
	fleetFile     = "fleet.key"     // a time and 64 hex digits
	hubFile       = "hub.key"       // 64 hex digits
	namesFile     = "names"         // one name or address a line
)

// How long certificates are good for. Sensors renew after two thirds.
const (
	authorityLife = 10 * 365 * day
	clientLife    = 30 * day
	serverLife    = 30 * day
	serverRenew   = 20 * day
	// early is by how much a clock may be slow that looks at a new certificate.
	early = time.Hour
	day   = 24 * time.Hour
)

const (
	keySize     = 32
	maxFile     = 1 << 20 // bytes of any file of the folder
	maxNames    = 100
	secretMode  = 0o600
	folderMode  = 0o700
	maxHostName = 253
)

// ErrMade is the error of Init where a hub has been made before.
var ErrMade = errors.New("the folder holds a hub already")

// Making says how a hub's trust is made.
type Making struct {
	// Names and addresses by which sensors and people reach the hub.
	Names []string
	// CACert and CAKey, PEM, are the operator's own issuing certificate with those
	// above it, and its key. Empty for one made here.
	CACert, CAKey []byte
	Now           time.Time
}

// Init makes keys and certificates in a folder, which it makes if need be. It
// replaces no file: where any is there already it fails with ErrMade.
func Init(folder string, m Making) error {
	files, err := m.files()
	if err != nil {
		return err
	}
	return place(folder, files)
}

// place writes files into a folder, all or none, over nothing.
func place(folder string, files []file) error {
	_, missing := os.Lstat(folder)
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return err
	}
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(folder, f.name)); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fmt.Errorf("%w: %s", ErrMade, filepath.Join(folder, f.name))
			}
			return err
		}
	}
	for i, f := range files {
		if err := write(filepath.Join(folder, f.name), f.content); err != nil {
			// What is half a hub helps nobody.
			for _, made := range files[:i] {
				os.Remove(filepath.Join(folder, made.name))
			}
			if missing != nil {
				os.Remove(folder)
			}
			return err
		}
	}
	return syncFolder(folder)
}

// Unmake takes back what Init or Copy has just made, for who could not make the rest
// of a hub: else there were half of one, over which none is made.
func Unmake(folder string) error {
	var errs []error
	for _, name := range fileNames() {
		if err := os.Remove(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// fileNames are those of the folder.
func fileNames() []string {
	return []string{caCertFile, caKeyFile, catalogueFile, cataloguePubs, recordsFile, fleetFile, hubFile, namesFile, evidenceFile, headersFile}
}

type file struct {
	name    string
	content []byte
}

func (m Making) files() ([]file, error) {
	names, err := checkNames(m.Names)
	if err != nil {
		return nil, err
	}
	cert, key := m.CACert, m.CAKey
	if len(cert) == 0 && len(key) == 0 {
		if cert, key, err = newAuthority(m.Now); err != nil {
			return nil, err
		}
	}
	if _, err := readAuthority(cert, key, m.Now); err != nil {
		return nil, err
	}
	pub, catalogueKey, err := newSigner()
	if err != nil {
		return nil, err
	}
	_, recordsKey, err := newSigner()
	if err != nil {
		return nil, err
	}
	evidence, err := evidenceFiles()
	if err != nil {
		return nil, err
	}
	return append([]file{
		{caCertFile, cert}, {caKeyFile, key},
		{catalogueFile, catalogueKey}, {cataloguePubs, pub}, {recordsFile, recordsKey},
		{fleetFile, fleetText(m.Now, newKey())},
		{hubFile, []byte(hex.EncodeToString(newKey()) + "\n")},
		{namesFile, []byte(strings.Join(names, "\n") + "\n")},
	}, evidence...), nil
}

func newKey() []byte {
	k := make([]byte, keySize)
	rand.Read(k) // never fails
	return k
}

func newSigner() (pub, key []byte, err error) {
	p, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	q, err := x509.MarshalPKIXPublicKey(p)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: q}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), nil
}

func newAuthority(now time.Time) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber: serial,
		// Authorities of two hubs must not look like one to who chooses by name.
		Subject:               pkix.Name{CommonName: fmt.Sprintf("simtrap-hub %08x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-early),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		return nil, nil, err
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), nil
}

// newSerial draws 127 bits, as RFC 5280 wants them: positive.
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

// authority is who issues certificates.
type authority struct {
	chain []*x509.Certificate // the issuing one first
	key   crypto.Signer
}

func readAuthority(certPEM, keyPEM []byte, now time.Time) (*authority, error) {
	var a authority
	for rest := certPEM; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the authority's certificate: %w", err)
		}
		a.chain = append(a.chain, c)
	}
	if len(a.chain) == 0 {
		return nil, errors.New("the authority's certificate: no PEM block CERTIFICATE")
	}
	c := a.chain[0]
	if !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, errors.New("the authority's certificate may not issue certificates")
	}
	if now.After(c.NotAfter) {
		return nil, fmt.Errorf("the authority's certificate ended on %s", c.NotAfter.Format(time.DateOnly))
	}
	for i, above := range a.chain[1:] {
		if err := a.chain[i].CheckSignatureFrom(above); err != nil {
			return nil, fmt.Errorf("certificate %d of the authority's chain is not issued by the next: %w", i+1, err)
		}
	}
	key, err := readKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(c.PublicKey) {
		return nil, errors.New("the authority's key is not that of its certificate")
	}
	a.key = key
	return &a, nil
}

func readKey(text []byte) (crypto.Signer, error) {
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, errors.New("no PEM block")
	}
	var key any
	var err error
	switch b.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	default:
		return nil, fmt.Errorf("a PEM block %q; want an unencrypted PRIVATE KEY", b.Type)
	}
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("a key of kind %T; want ECDSA or Ed25519", key)
}

func readSigner(text []byte) (ed25519.PrivateKey, error) {
	k, err := readKey(text)
	if err != nil {
		return nil, err
	}
	e, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("no Ed25519 key")
	}
	return e, nil
}

// checkNames gives names as certificates have them.
func checkNames(names []string) ([]string, error) {
	if len(names) == 0 || len(names) > maxNames {
		return nil, fmt.Errorf("%d names of the hub: want 1 to %d", len(names), maxNames)
	}
	var list []string
	for _, n := range names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if net.ParseIP(n) == nil && !hostName(n) {
			return nil, fmt.Errorf("%q: neither a host name nor an address", n)
		}
		list = append(list, n)
	}
	return list, nil
}

func hostName(s string) bool {
	if s == "" || len(s) > maxHostName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// write makes a file that is not there.
func write(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, secretMode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(name)
		return err
	}
	return nil
}

func syncFolder(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile reads a file that its owner alone may read.
func readFile(folder, name string) ([]byte, error) {
	path := filepath.Join(folder, name)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %04o): chmod 600 it", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Trust is a hub's, opened.
type Trust struct {
	authority *authority
	catalogue ed25519.PrivateKey // nil when it is kept elsewhere
	pubs      []ed25519.PublicKey
	records   ed25519.PrivateKey
	fleet     fleet
	hubKey    []byte
	names     []string
	evidence  ed25519.PrivateKey // these two nil where there are none
	headers   *ring.PrivateKey
	now       func() time.Time

	mu     sync.Mutex
	server *tls.Certificate
}

// Open reads what Init made. now is the clock, nil for the wall's.
func Open(folder string, now func() time.Time) (*Trust, error) {
	if now == nil {
		now = time.Now
	}
	t := &Trust{now: now}
	content := map[string][]byte{}
	for _, name := range []string{caCertFile, caKeyFile, cataloguePubs, recordsFile, fleetFile, hubFile, namesFile} {
		b, err := readFile(folder, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no hub in %s (%s is missing): make one with `simtrap-hub init`", folder, name)
		}
		if err != nil {
			return nil, err
		}
		content[name] = b
	}
	wrap := func(name string, err error) error { return fmt.Errorf("%s: %w", filepath.Join(folder, name), err) }
	var err error
	if t.authority, err = readAuthority(content[caCertFile], content[caKeyFile], now()); err != nil {
		return nil, wrap(caCertFile, err)
	}
	if t.pubs, err = readPublics(content[cataloguePubs]); err != nil {
		return nil, wrap(cataloguePubs, err)
	}
	if t.records, err = readSigner(content[recordsFile]); err != nil {
		return nil, wrap(recordsFile, err)
	}
	if t.fleet, err = readFleet(content[fleetFile]); err != nil {
		return nil, wrap(fleetFile, err)
	}
	if t.hubKey, err = readHex(content[hubFile]); err != nil {
		return nil, wrap(hubFile, err)
	}
	if t.names, err = checkNames(strings.Fields(string(content[namesFile]))); err != nil {
		return nil, wrap(namesFile, err)
	}
	switch b, err := readFile(folder, catalogueFile); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if t.catalogue, err = readSigner(b); err != nil {
			return nil, wrap(catalogueFile, err)
		}
	}
	return t, t.openEvidence(folder)
}

func readHex(text []byte) ([]byte, error) {
	k, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(k) != keySize {
		// The cause would quote the key.
		return nil, fmt.Errorf("want %d hexadecimal digits", 2*keySize)
	}
	return k, nil
}

func readPublics(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		k, err := x509.ParsePKIXPublicKey(b.Bytes)
		if err != nil {
			return nil, err
		}
		e, ok := k.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("a key of kind %T; want Ed25519", k)
		}
		keys = append(keys, e)
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block PUBLIC KEY")
	}
	return keys, nil
}

// HubKey is what the hub keys pseudonyms with, 32 bytes. It never leaves the
// hub.
func (t *Trust) HubKey() []byte { return bytes.Clone(t.hubKey) }

// Names are those of the hub's certificate.
func (t *Trust) Names() []string { return t.names }

// Fingerprint of the authority's key: the first 32 hex digits of the SHA-256 of
// its SubjectPublicKeyInfo.
func (t *Trust) Fingerprint() string { return fingerprint(t.authority.chain[0]) }

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:fingerprintSize])
}

// Derive gives a key of 32 bytes for one purpose, from the hub's own key, so that
// hubs of one store have the same.
func (t *Trust) Derive(purpose string) []byte { return derive(t.hubKey, purpose) }

// Sign signs a record of what was deleted, so that others can be shown that it was
// the hub that did. key is the first 8 bytes of the SHA-256 of the public key, in
// hex.
func (t *Trust) Sign(body []byte) (signature []byte, key string, err error) {
	return ed25519.Sign(t.records, recordText(body)), hex.EncodeToString(keyID(t.records.Public().(ed25519.PublicKey))), nil
}

// Verify checks a signature of Sign.
func (t *Trust) Verify(body, signature []byte) bool {
	return ed25519.Verify(t.records.Public().(ed25519.PublicKey), recordText(body), signature)
}

func recordText(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append([]byte("simtrap deletion record\x00"), sum[:]...)
}

// Copy copies a hub's keys into another folder, which it makes if need be. As Init
// it replaces nothing.
func Copy(from, to string) error {
	if _, err := Open(from, nil); err != nil {
		return err
	}
	var files []file
	for _, name := range fileNames() {
		b, err := readFile(from, name)
		if (name == catalogueFile || name == evidenceFile || name == headersFile) && errors.Is(err, fs.ErrNotExist) {
			// Kept elsewhere, or not made yet. One that lies in the other folder is not ours to take for a part
			// of what is made there.
			if _, err := os.Lstat(filepath.Join(to, name)); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: %s", ErrMade, filepath.Join(to, name))
			}
			continue
		}
		if err != nil {
			return err
		}
		files = append(files, file{name, b})
	}
	return place(to, files)
}
