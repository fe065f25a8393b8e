package ring

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// Types of PEM blocks (RFC 7468).
const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
)

// PublicKey encrypts segments; who has it alone reads none.
type PublicKey struct{ key hpke.PublicKey }

// PrivateKey reads them.
type PrivateKey struct{ key hpke.PrivateKey }

// Public gives the half that encrypts.
func (k *PrivateKey) Public() *PublicKey { return &PublicKey{k.key.PublicKey()} }

// Encode writes it as SubjectPublicKeyInfo in PEM.
func (k *PublicKey) Encode() ([]byte, error) {
	e, err := ecdh.X25519().NewPublicKey(k.key.Bytes())
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(e)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), nil
}

// GenerateKey makes a pair of X25519 in PEM: PKCS #8 and SubjectPublicKeyInfo
// (RFC 8410).
func GenerateKey() (private, public []byte, err error) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	p, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	q, err := x509.MarshalPKIXPublicKey(k.PublicKey())
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: p}), pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: q}), nil
}

// ParsePublicKey reads the public half of GenerateKey.
func ParsePublicKey(text []byte) (*PublicKey, error) {
	b, _ := pem.Decode(text)
	if b != nil && b.Type == pemPrivate {
		return nil, errors.New("a private key: whoever keeps headers needs its public half alone")
	}
	if b == nil || b.Type != pemPublic {
		return nil, errors.New("no public key in PEM")
	}
	k, err := x509.ParsePKIXPublicKey(b.Bytes)
	e, ok := k.(*ecdh.PublicKey)
	if err != nil || !ok || e.Curve() != ecdh.X25519() {
		return nil, errors.New("no public key of X25519")
	}
	p, err := hpke.NewDHKEMPublicKey(e)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return &PublicKey{p}, nil
}

// ParsePrivateKey reads the private half. Errors do not quote it.
func ParsePrivateKey(text []byte) (*PrivateKey, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != pemPrivate {
		return nil, errors.New("no private key in PEM")
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	e, ok := k.(*ecdh.PrivateKey)
	if err != nil || !ok || e.Curve() != ecdh.X25519() {
		return nil, errors.New("no private key of X25519")
	}
	p, err := hpke.NewDHKEMPrivateKey(e)
	if err != nil {
		return nil, errors.New("private key: not usable")
	}
	return &PrivateKey{p}, nil
}
