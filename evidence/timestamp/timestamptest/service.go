// Package timestamptest is a time-stamp service in memory, for tests.
package timestamptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"time"
)

// Service answers as a time-stamp service would, or as one that lies.
type Service struct {
	Time time.Time // that it tells
	// What it does wrong, for tests of who asks.
	Refuse, OtherHash, OtherNonce, OtherKey, NoCertificate, NoSigning bool

	// Salt is of RSA-PSS, -1 for as long as the hash.
	Salt int

	root, leaf *x509.Certificate
	key        crypto.Signer
	pss        bool
}

// New makes a service that tells one time, certified by a root of its own.
func New(t time.Time) (*Service, error) { return build(t, true, nil) }

// NewPSS makes one that signs by RSA-PSS.
func NewPSS(t time.Time) (*Service, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return build(t, true, key)
}

// NewPlain makes one whose certificate is for web servers.
func NewPlain(t time.Time) (*Service, error) { return build(t, false, nil) }

func build(t time.Time, forStamps bool, key *rsa.PrivateKey) (*Service, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root of tests"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: t.Add(-24 * time.Hour), NotAfter: t.Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	s := &Service{Time: t}
	der, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	if s.root, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if key != nil {
		s.key, s.pss, s.Salt = key, true, -1
	} else if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "time of tests"},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	// crypto/x509 writes extended key usages that are not critical, and the
	// standard wants this one critical.
	usage := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	if forStamps {
		usage = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	}
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{usage})
	if err != nil {
		return nil, err
	}
	leaf.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, s.root, s.key.Public(), rootKey); err != nil {
		return nil, err
	}
	s.leaf, err = x509.ParseCertificate(der)
	return s, err
}

// Roots are those that certify the service.
func (s *Service) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.root)
	return p
}

// RootPEM is the same as a file.
func (s *Service) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.root.Raw})
}

type imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Hash      []byte
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []any `asn1:"set"`
}

// ServeHTTP answers requests.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	question, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "no question", http.StatusBadRequest)
		return
	}
	answer, err := s.Answer(question)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Write(answer)
}

// pssOf names RSA-PSS with SHA-256 throughout.
func pssOf(salt int) (pkix.AlgorithmIdentifier, error) {
	hash := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, Parameters: asn1.NullRawValue}
	inner, err := asn1.Marshal(hash)
	if err != nil {
		return hash, err
	}
	parameters, err := asn1.Marshal(struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		Mask pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
		Salt int                      `asn1:"explicit,tag:2"`
	}{hash, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}, Parameters: asn1.RawValue{FullBytes: inner}}, salt})
	return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, Parameters: asn1.RawValue{FullBytes: parameters}}, err
}

// Answer answers one request.
func (s *Service) Answer(question []byte) ([]byte, error) {
	var q struct {
		Version int
		Imprint imprint
		Nonce   *big.Int `asn1:"optional"`
		Cert    bool     `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(question, &q); err != nil {
		return nil, err
	}
	type status struct{ Status int }
	if s.Refuse {
		return asn1.Marshal(struct{ S any }{struct {
			Status int
			Fail   asn1.BitString
		}{2, asn1.BitString{Bytes: []byte{0, 2}, BitLength: 15}}})
	}
	if s.OtherHash {
		q.Imprint.Hash[0] ^= 1
	}
	if s.OtherNonce {
		q.Nonce.Add(q.Nonce, big.NewInt(1))
	}
	info, err := asn1.Marshal(struct {
		Version  int
		Policy   asn1.ObjectIdentifier
		Imprint  imprint
		Serial   *big.Int
		Time     asn1.RawValue
		Accuracy struct {
			Seconds int
			Millis  int `asn1:"tag:0"`
		}
		Nonce *big.Int
	}{1, asn1.ObjectIdentifier{1, 2, 3, 4}, q.Imprint, big.NewInt(77), asn1.RawValue{Tag: asn1.TagGeneralizedTime, Bytes: []byte(s.Time.UTC().Format("20060102150405.999Z"))}, struct {
		Seconds int
		Millis  int `asn1:"tag:0"`
	}{1, 500}, q.Nonce})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(info)
	certified := sha256.Sum256(s.leaf.Raw)
	type essCert struct{ Hash []byte }
	type signing struct{ Certs []essCert }
	tst := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	list := []attribute{
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}, []any{tst}},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, []any{digest[:]}},
	}
	if !s.NoSigning {
		list = append(list, attribute{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, []any{signing{[]essCert{{certified[:]}}}}})
	}
	set, err := asn1.MarshalWithParams(list, "set")
	if err != nil {
		return nil, err
	}
	key := s.key
	if s.OtherKey {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
	}
	hash := sha256.Sum256(set)
	by := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	var how crypto.SignerOpts = crypto.SHA256
	if s.pss {
		salt := s.Salt
		if salt < 0 {
			salt = sha256.Size
		}
		if by, err = pssOf(salt); err != nil {
			return nil, err
		}
		how = &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256}
	}
	signature, err := key.Sign(rand.Reader, hash[:], how)
	if err != nil {
		return nil, err
	}
	implicit := append([]byte{0xa0}, set[1:]...)
	sha := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}}
	type signer struct {
		Version int
		ID      struct {
			Issuer asn1.RawValue
			Serial *big.Int
		}
		Digest    pkix.AlgorithmIdentifier
		Signed    asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature []byte
	}
	one := signer{Version: 1, Digest: sha, Signed: asn1.RawValue{FullBytes: implicit},
		Algorithm: by, Signature: signature}
	one.ID.Issuer, one.ID.Serial = asn1.RawValue{FullBytes: s.leaf.RawIssuer}, s.leaf.SerialNumber
	certs := append(append([]byte(nil), s.leaf.Raw...), s.root.Raw...)
	if s.NoCertificate {
		certs = s.root.Raw
	}
	type content struct {
		Type asn1.ObjectIdentifier
		Data []byte `asn1:"explicit,tag:0"`
	}
	data, err := asn1.Marshal(struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      content
		Certificates asn1.RawValue
		Signers      []signer `asn1:"set"`
	}{3, []pkix.AlgorithmIdentifier{sha}, content{tst, info},
		asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certs}, []signer{one}})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		Status status
		Token  struct {
			Type    asn1.ObjectIdentifier
			Content asn1.RawValue
		}
	}{Token: struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: data}}})
}
