// Package fleet is an appliance's membership of a fleet: how it is admitted, the
// certificate that says who it is, the keys of its pseudonyms, and the policy that
// it goes by. All of it lies in one folder that only its owner reads.
package fleet

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"simtrap/report/fleetpb"
	"simtrap/report/fleetpb/fleetpbconnect"
)

// What lies in the folder.
const (
	memberFile    = "member" // all that Enroll and renewal give, the private key too
	policyFile    = "policy"
	catalogueFile = "catalogue"
)

const (
	maxFile     = 32 << 20 // bytes of any of them
	maxKeys     = 64       // fleet keys, certificates, catalogue keys
	maxAnswer   = 1 << 20  // of Enroll and Renew
	callTimeout = 30 * time.Second
)

// ErrNotEnrolled says that the appliance is in no fleet.
var ErrNotEnrolled = errors.New("not enrolled: run simtrapd enroll HUB TOKEN with a token of simtrap-hub enroll")

// Key is what all appliances make pseudonyms with for a year.
type Key struct {
	Epoch               uint32 // from 1
	Key                 []byte // 32 bytes; secret
	NotBefore, NotAfter time.Time
}

// String keeps the key out of logs.
func (k Key) String() string { return fmt.Sprintf("fleet key %d", k.Epoch) }

// Format does so for every verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// kept is what the member file says.
type kept struct {
	Hub           string // host:port
	Sensor        string
	PrivateKey    []byte   // PKCS #8, DER
	Certificates  [][]byte // DER, the appliance's own first
	Roots         [][]byte // DER
	Keys          []keptKey
	CatalogueKeys [][]byte // Ed25519
}

type keptKey struct {
	Epoch               uint32
	Key                 []byte
	NotBefore, NotAfter time.Time
}

// Member is an appliance in a fleet. It is for any number of goroutines.
type Member struct {
	dir string

	mu   sync.Mutex
	kept kept
	leaf *x509.Certificate
	key  crypto.Signer

	transport atomic.Pointer[http.Transport]
}

// Open reads what a folder says. It fails with ErrNotEnrolled where there is
// nothing.
func Open(dir string) (*Member, error) {
	b, err := readFile(filepath.Join(dir, memberFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, err
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		// The cause may quote a key.
		return nil, fmt.Errorf("%s is damaged: enroll anew", filepath.Join(dir, memberFile))
	}
	m := &Member{dir: dir}
	if err := m.take(k); err != nil {
		return nil, fmt.Errorf("%s: %w: enroll anew", filepath.Join(dir, memberFile), err)
	}
	return m, nil
}

// take checks what is kept and makes it the present one.
func (m *Member) take(k kept) error {
	if _, _, err := net.SplitHostPort(k.Hub); err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	private, err := x509.ParsePKCS8PrivateKey(k.PrivateKey)
	if err != nil {
		return errors.New("no private key")
	}
	key, ok := private.(crypto.Signer)
	if !ok {
		return errors.New("a private key that does not sign")
	}
	if len(k.Certificates) == 0 || len(k.Certificates) > maxKeys || len(k.Roots) == 0 || len(k.Roots) > maxKeys || len(k.Keys) > maxKeys || len(k.CatalogueKeys) > maxKeys {
		return errors.New("no certificates, or too many")
	}
	leaf, err := x509.ParseCertificate(k.Certificates[0])
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if p, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(key.Public()) {
		return errors.New("the certificate is for another key")
	}
	roots := x509.NewCertPool()
	for _, der := range k.Roots {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("root: %w", err)
		}
		roots.AddCert(c)
	}
	for _, x := range k.Keys {
		if len(x.Key) != 32 || x.Epoch == 0 {
			return errors.New("a fleet key that is none")
		}
	}
	for _, x := range k.CatalogueKeys {
		if len(x) != ed25519.PublicKeySize {
			return errors.New("a catalogue key that is none")
		}
	}
	m.mu.Lock()
	m.kept, m.leaf, m.key = k, leaf, key
	m.mu.Unlock()
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots,
		Certificates: []tls.Certificate{{Certificate: k.Certificates, PrivateKey: key, Leaf: leaf}},
	}
	// A connection keeps the certificate that it began with, so a new one takes new
	// connections.
	if old := m.transport.Swap(newTransport(config)); old != nil {
		old.CloseIdleConnections()
	}
	return nil
}

// newTransport speaks HTTP/2 alone, and notices when the other end is gone.
func newTransport(config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Transport{
		TLSClientConfig: config, Protocols: protocols,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     5 * time.Minute,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// RoundTrip implements http.RoundTripper with the present certificate.
func (m *Member) RoundTrip(r *http.Request) (*http.Response, error) {
	return m.transport.Load().RoundTrip(r)
}

// Client speaks to the hub as this member.
func (m *Member) Client() *http.Client { return &http.Client{Transport: m} }

// Close closes the connections that nobody uses.
func (m *Member) Close() { m.transport.Load().CloseIdleConnections() }

// URL is where the hub is.
func (m *Member) URL() string { return "https://" + m.Hub() }

// Hub is its host and port.
func (m *Member) Hub() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Hub
}

// SetHub takes another address of the same hub, until the next Open.
func (m *Member) SetHub(hub string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept.Hub = hub
}

// Sensor is the name that the appliance was admitted under.
func (m *Member) Sensor() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Sensor
}

// Valid tells from and until when the certificate holds.
func (m *Member) Valid() (from, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leaf.NotBefore, m.leaf.NotAfter
}

// KeyAt gives the fleet key for pseudonyms at a time: the newest that is used by
// then. Of times that no key is for, as in replays of old captures, it is the
// nearest. ok is false when there is none at all.
func (m *Member) KeyAt(t time.Time) (key Key, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best *keptKey
	for i := range m.kept.Keys {
		k := &m.kept.Keys[i]
		switch {
		case best == nil:
			best = k
		case best.NotBefore.After(t): // not used yet: an earlier one is nearer
			if k.NotBefore.Before(best.NotBefore) {
				best = k
			}
		case !k.NotBefore.After(t) && k.NotBefore.After(best.NotBefore):
			best = k
		}
	}
	if best == nil {
		return Key{}, false
	}
	return Key(*best), true
}

// catalogueKeys are those whose packs count.
func (m *Member) catalogueKeys() (out []ed25519.PublicKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.kept.CatalogueKeys {
		out = append(out, k)
	}
	return out
}

// Token admits an appliance once. Its first half says which authority the hub's
// certificate must be of, so that the other half is told to nobody else.
type Token struct {
	text  string
	print [16]byte // of the SHA-256 of the authority's public key (SPKI)
}

// ErrToken says that a text is no token.
var ErrToken = errors.New("no token: want st1-, 32 hexadecimal digits, - and 32 more, as simtrap-hub enroll prints it")

// ParseToken reads a token.
func ParseToken(s string) (Token, error) {
	s = strings.TrimSpace(s)
	parts := strings.Split(s, "-")
	if len(parts) != 3 || parts[0] != "st1" {
		return Token{}, ErrToken
	}
	t := Token{text: s}
	if len(parts[1]) != 32 || len(parts[2]) != 32 {
		return Token{}, ErrToken
	}
	if _, err := hex.Decode(t.print[:], []byte(parts[1])); err != nil {
		return Token{}, ErrToken
	}
	if _, err := hex.DecodeString(parts[2]); err != nil {
		return Token{}, ErrToken
	}
	return t, nil
}

// ErrAuthority says that whoever answered is not the hub that a token is of. The
// token was not told.
var ErrAuthority = errors.New("what answers is not the hub that the token is of: its certificate comes from another authority; nothing was told")

// verify looks whether the chain of a hub holds the token's authority, and its
// certificate is for host. The connection's own ServerName is empty for an address.
func (t Token) verify(s tls.ConnectionState, host string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range s.PeerCertificates {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		if c.IsCA && subtle.ConstantTimeCompare(sum[:len(t.print)], t.print[:]) == 1 {
			roots.AddCert(c)
			found = true
			continue
		}
		between.AddCert(c)
	}
	if !found {
		return ErrAuthority
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return fmt.Errorf("the hub's certificate: %w; nothing was told", err)
	}
	return nil
}

// Enroll has an appliance admitted by the hub at an address (host:port), with a
// key that is made here and never leaves the folder. What the folder said before
// is replaced when the hub has answered.
func Enroll(ctx context.Context, dir, hub string, token Token, version string) (*Member, error) {
	host, _, err := net.SplitHostPort(hub)
	if err != nil {
		return nil, fmt.Errorf("hub %q: want host:port", hub)
	}
	// A token is good once: what would fail afterwards fails before.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(belongs(d, filepath.Dir(dir)), d.Close()); err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, ".try"), nil); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(dir, ".try")); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	transport := newTransport(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: host,
		// What it would verify is not known yet; VerifyConnection asks for more.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return token.verify(s, host) },
	})
	defer transport.CloseIdleConnections()
	client := fleetpbconnect.NewFleetServiceClient(&http.Client{Transport: transport}, "https://"+hub, connect.WithGRPC(), connect.WithReadMaxBytes(maxAnswer))
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := client.Enroll(ctx, connect.NewRequest(&fleetpb.EnrollRequest{Token: token.text, Csr: csr, Version: version}))
	if err != nil {
		return nil, fmt.Errorf("enroll: %w", err)
	}
	a := answer.Msg
	k := kept{Hub: hub, Sensor: a.GetSensor(), PrivateKey: private, Certificates: a.GetCertificates(), Roots: a.GetRoots(), Keys: keysOf(a.GetFleetKeys()), CatalogueKeys: a.GetCatalogueKeys()}
	m := &Member{dir: dir}
	if err := m.take(k); err != nil {
		return nil, fmt.Errorf("what the hub answers: %w", err)
	}
	if len(k.Keys) == 0 {
		return nil, errors.New("what the hub answers: no fleet keys")
	}
	// Another fleet's policy is none of this one.
	for _, name := range [...]string{policyFile, catalogueFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return m, m.save(k)
}

func keysOf(list []*fleetpb.FleetKey) (out []keptKey) {
	for _, k := range list {
		out = append(out, keptKey{k.GetEpoch(), k.GetKey(), k.GetNotBefore().AsTime(), k.GetNotAfter().AsTime()})
	}
	return out
}

func (m *Member) save(k kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(m.dir, memberFile), b)
}

// Renew gets a certificate anew for the same key, and the fleet keys of today.
func (m *Member) Renew(ctx context.Context) error {
	m.mu.Lock()
	k, key := m.kept, m.key
	m.mu.Unlock()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := m.service().Renew(ctx, connect.NewRequest(&fleetpb.RenewRequest{Csr: csr}))
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	a := answer.Msg
	k.Certificates = a.GetCertificates()
	if len(a.GetRoots()) > 0 {
		k.Roots = a.GetRoots()
	}
	// A key that has ended is kept for the ids of findings that began under it.
	for _, n := range keysOf(a.GetFleetKeys()) {
		known := false
		for _, o := range k.Keys {
			known = known || o.Epoch == n.Epoch && bytes.Equal(o.Key, n.Key)
		}
		if !known {
			k.Keys = append(k.Keys[:len(k.Keys):len(k.Keys)], n)
		}
	}
	if n := len(k.Keys); n > 4 {
		k.Keys = k.Keys[n-4:]
	}
	old, _ := m.Valid()
	if leaf, err := x509.ParseCertificate(first(k.Certificates)); err != nil || leaf.NotBefore.Before(old) {
		return errors.New("renew: the hub gives no newer certificate")
	}
	if err := m.take(k); err != nil {
		return fmt.Errorf("renew: what the hub answers: %w", err)
	}
	return m.save(k)
}

func first(list [][]byte) []byte {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func (m *Member) service() fleetpbconnect.FleetServiceClient {
	return fleetpbconnect.NewFleetServiceClient(m.Client(), m.URL(), connect.WithGRPC(), connect.WithReadMaxBytes(maxPolicy))
}

// readFile reads a file of the folder, which is never large.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, at most %d", name, info.Size(), int64(maxFile))
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// writeFile replaces a file at once and whole, for its owner alone. The folder's
// owner owns it, whoever runs the program.
func writeFile(name string, b []byte) error {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = belongs(f, dir)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
