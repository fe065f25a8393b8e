package bundle

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

// Types of PEM blocks (RFC 7468).
const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
)

// EncodeKey writes a signing key as PKCS #8 and its public half as
// SubjectPublicKeyInfo, both in PEM, as OpenSSL reads them.
func EncodeKey(k ed25519.PrivateKey) (private, public []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	public, err = EncodePublicKey(k.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), public, nil
}

// EncodePublicKey writes the public half alone.
func EncodePublicKey(k ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), nil
}

// ParseKey reads a signing key. Errors do not quote it.
func ParseKey(text []byte) (ed25519.PrivateKey, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != pemPrivate {
		return nil, errors.New("no signing key: want one that `simtrap evidence keygen` made, or another of Ed25519 in PKCS #8")
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if key, ok := k.(ed25519.PrivateKey); err == nil && ok {
		return key, nil
	}
	return nil, errors.New("no signing key: it is not one of Ed25519")
}

// ParsePublicKey reads the public half.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	b, _ := pem.Decode(text)
	if b != nil && b.Type == pemPrivate {
		return nil, errors.New("a signing key: whoever checks needs its public half alone")
	}
	if b == nil || b.Type != pemPublic {
		return nil, errors.New("no public key: want one that `simtrap evidence keygen` made, or another of Ed25519")
	}
	k, err := x509.ParsePKIXPublicKey(b.Bytes)
	if key, ok := k.(ed25519.PublicKey); err == nil && ok {
		return key, nil
	}
	return nil, errors.New("no public key: it is not one of Ed25519")
}
