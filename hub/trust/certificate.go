package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"
)

// MaxCSR is the most that a certificate signing request may have, in bytes.
const MaxCSR = 4096

const maxSensorName = 64

// ErrCSR is the error of a signing request that is not taken.
var ErrCSR = errors.New("the signing request is not taken")

// ErrSensorName is the error of a text that can name no sensor.
var ErrSensorName = fmt.Errorf("a sensor's name has 1 to %d of a-z, 0-9, hyphen and dot, the first no sign", maxSensorName)

// Why a certificate does not name a sensor.
var (
	ErrNoCertificate = errors.New("no certificate")
	ErrExpired       = errors.New("the certificate has ended")
	ErrForeign       = errors.New("the certificate is no sensor's")
)

// Identity is who a certificate is of.
type Identity struct {
	Sensor string // the common name
	Serial string // lower case hex
}

// Certificate is one that was issued to a sensor.
type Certificate struct {
	Identity
	Key         [32]byte // SHA-256 of the public key (SubjectPublicKeyInfo)
	Given, Ends time.Time
	Chain       [][]byte // DER, its own first
}

// SensorName says whether s may name a sensor.
func SensorName(s string) bool {
	if s == "" || len(s) > maxSensorName || s[0] == '-' || s[0] == '.' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// Issue gives a client's certificate for a signing request (PKCS #10, DER), good
// for 30 days, with the authority's behind it (DER). Of the request the key
// alone counts. It fails with ErrCSR for one that is malformed, not signed by
// its own key, or of a key other than ECDSA P-256, P-384 or Ed25519.
func (t *Trust) Issue(csr []byte, sensor string) (*Certificate, error) {
	if !SensorName(sensor) {
		return nil, fmt.Errorf("%q: %w", sensor, ErrSensorName)
	}
	if len(csr) == 0 || len(csr) > MaxCSR {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d", ErrCSR, len(csr), MaxCSR)
	}
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	switch k := r.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return nil, fmt.Errorf("%w: a key on another curve than P-256 and P-384", ErrCSR)
		}
	default:
		return nil, fmt.Errorf("%w: a key that is neither ECDSA nor Ed25519", ErrCSR)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	now := t.now()
	leaf, err := t.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: sensor},
		NotBefore:   now.Add(-early),
		NotAfter:    now.Add(clientLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, r.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Certificate{
		Identity: Identity{sensor, serialText(leaf)},
		Key:      sha256.Sum256(leaf.RawSubjectPublicKeyInfo),
		Given:    now, Ends: leaf.NotAfter,
		Chain: append([][]byte{leaf.Raw}, t.chain()...),
	}, nil
}

func serialText(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

func (t *Trust) issue(template *x509.Certificate, public any) (*x509.Certificate, error) {
	issuer := t.authority.chain[0]
	template.SerialNumber = newSerial()
	template.BasicConstraintsValid = true
	if template.NotAfter.After(issuer.NotAfter) {
		template.NotAfter = issuer.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, t.authority.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (t *Trust) chain() [][]byte {
	var list [][]byte
	for _, c := range t.authority.chain {
		list = append(list, c.Raw)
	}
	return list
}

// Roots are what sensors trust the hub by (DER): the issuing certificate alone,
// since what else the operator's own authorities issue is not the hub.
func (t *Trust) Roots() [][]byte { return [][]byte{t.authority.chain[0].Raw} }

// Peer says who a connection is of. It looks at the time anew: a connection may
// outlive its certificate. Whether the certificate is one that the hub gave and
// has not taken back is for who keeps them to say: the operator's own authority
// may issue others.
func (t *Trust) Peer(s *tls.ConnectionState) (Identity, error) {
	if s == nil || len(s.PeerCertificates) == 0 {
		return Identity{}, ErrNoCertificate
	}
	if len(s.VerifiedChains) == 0 {
		return Identity{}, ErrForeign
	}
	leaf := s.VerifiedChains[0][0]
	if now := t.now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return Identity{}, ErrExpired
	}
	if !SensorName(leaf.Subject.CommonName) {
		return Identity{}, ErrForeign
	}
	return Identity{leaf.Subject.CommonName, serialText(leaf)}, nil
}

// ServerConfig is the hub's side of TLS: version 1.3, and a client's certificate
// must be of this hub where one is given. Who gives none gets no further than
// the calls that need none.
func (t *Trust) ServerConfig() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(t.authority.chain[0])
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  pool,
		Time:       t.now,
		// A ticket would carry an old verdict about a certificate, and means nothing
		// to another hub behind the same balancer.
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.serverCertificate() },
	}
}

// serverCertificate gives the hub's own, made when it starts and every 20 days
// anew. Its key is never written down.
func (t *Trust) serverCertificate() (*tls.Certificate, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.server != nil && now.Before(t.server.Leaf.NotBefore.Add(serverRenew)) {
		return t.server, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: t.names[0]},
		NotBefore:   now.Add(-early),
		NotAfter:    now.Add(serverLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range t.names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	leaf, err := t.issue(template, key.Public())
	if err != nil {
		return nil, err
	}
	if !now.Before(leaf.NotAfter) {
		return nil, fmt.Errorf("the authority's certificate ended on %s", leaf.NotAfter.Format(time.DateOnly))
	}
	// The authority's goes along: a sensor that knows its fingerprint alone must see
	// it.
	t.server = &tls.Certificate{Certificate: append([][]byte{leaf.Raw}, t.chain()...), PrivateKey: key, Leaf: leaf}
	return t.server, nil
}
