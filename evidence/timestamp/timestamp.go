// Package timestamp asks a time-stamp service for the time of a hash and checks
// its answer offline (RFC 3161, RFC 5816; the answer is signed data after RFC
// 5652). Of the many ways to sign it knows those that services use: SHA-256 and
// longer with RSA (PKCS #1 v1.5), ECDSA or Ed25519.
package timestamp

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// MaxResponse is the longest answer that is read, in bytes.
const MaxResponse = 64 << 10

// maxCertificates is how many certificates of one answer are looked at.
const maxCertificates = 16

// Stamp is what a service said.
type Stamp struct {
	Time     time.Time     // UTC
	Accuracy time.Duration // 0 when the service does not tell
	Serial   string        // in hexadecimal digits
	Policy   string        // an object identifier
	Service  string        // the subject of its certificate
}

type algorithm = pkix.AlgorithmIdentifier

type imprint struct {
	Algorithm algorithm
	Hash      []byte
}

type request struct {
	Version int
	Imprint imprint
	Nonce   *big.Int `asn1:"optional"`
	CertReq bool     `asn1:"optional"`
}

type response struct {
	Status struct {
		Status int
		Text   []asn1.RawValue `asn1:"optional"`
		Fail   asn1.BitString  `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version int
	Digests []algorithm `asn1:"set"`
	Content struct {
		Type asn1.ObjectIdentifier
		Data []byte `asn1:"explicit,tag:0"`
	}
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	CRLs         asn1.RawValue `asn1:"optional,tag:1"`
	Signers      []signer      `asn1:"set"`
}

type signer struct {
	Version   int
	ID        asn1.RawValue
	Digest    algorithm
	Signed    asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm algorithm
	Signature []byte
	Unsigned  asn1.RawValue `asn1:"optional,tag:1"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

type info struct {
	Version    int
	Policy     asn1.ObjectIdentifier
	Imprint    imprint
	Serial     *big.Int
	Time       time.Time     `asn1:"generalized"`
	Accuracy   accuracy      `asn1:"optional"`
	Ordering   bool          `asn1:"optional"`
	Nonce      *big.Int      `asn1:"optional"`
	Service    asn1.RawValue `asn1:"optional,tag:0"`
	Extensions asn1.RawValue `asn1:"optional,tag:1"`
}

type accuracy struct {
	Seconds int `asn1:"optional"`
	Millis  int `asn1:"optional,tag:0"`
	Micros  int `asn1:"optional,tag:1"`
}

// Object identifiers.
var (
	oidSHA1        = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSA256      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidRSA384      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidRSA512      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidPSS         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidECDSA256    = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSA384    = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSA512    = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
	oidEd25519     = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidSignedData  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigning     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12} // RFC 2634
	oidSigningV2   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47} // RFC 5035
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// marshalRequest asks for the time of a SHA-256, with the service's certificates.
func marshalRequest(sum [32]byte, nonce *big.Int) ([]byte, error) {
	return asn1.Marshal(request{1, imprint{algorithm{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, sum[:]}, nonce, true})
}

// Verify checks an answer: that it is of that SHA-256, and that the service
// whose certificate it brings signed it. With roots that certificate must lead
// to one of them, at the time that the answer tells.
func Verify(answer []byte, sum [32]byte, roots *x509.CertPool) (*Stamp, error) {
	s, _, err := verify(answer, sum, roots)
	return s, err
}

func verify(answer []byte, sum [32]byte, roots *x509.CertPool) (*Stamp, *info, error) {
	if len(answer) > MaxResponse {
		return nil, nil, fmt.Errorf("%d bytes, more than %d", len(answer), MaxResponse)
	}
	var r response
	if err := unmarshal(answer, &r); err != nil {
		return nil, nil, fmt.Errorf("no time-stamp response: %w", err)
	}
	if r.Status.Status != 0 && r.Status.Status != 1 { // granted, and with changes
		return nil, nil, fmt.Errorf("the service refused: status %d%s", r.Status.Status, failure(r.Status.Fail))
	}
	var outer contentInfo
	if err := unmarshal(r.Token.FullBytes, &outer); err != nil || !outer.Type.Equal(oidSignedData) {
		return nil, nil, errors.New("the response holds no signed data")
	}
	var d signedData
	if err := unmarshal(outer.Content.Bytes, &d); err != nil {
		return nil, nil, fmt.Errorf("signed data: %w", err)
	}
	if !d.Content.Type.Equal(oidTSTInfo) {
		return nil, nil, errors.New("what is signed is no time-stamp")
	}
	var t info
	if err := unmarshal(d.Content.Data, &t); err != nil {
		return nil, nil, fmt.Errorf("time-stamp: %w", err)
	}
	switch {
	case t.Version != 1:
		return nil, nil, fmt.Errorf("time-stamp of version %d: want 1", t.Version)
	case !t.Imprint.Algorithm.Algorithm.Equal(oidSHA256):
		return nil, nil, errors.New("the time-stamp is of another kind of hash than SHA-256")
	case !bytes.Equal(t.Imprint.Hash, sum[:]):
		return nil, nil, errors.New("the time-stamp is of something else")
	case len(d.Signers) != 1:
		return nil, nil, fmt.Errorf("%d signatures: want one", len(d.Signers))
	}
	all, err := certificates(d.Certificates.Bytes)
	if err != nil {
		return nil, nil, err
	}
	service, err := d.Signers[0].signedBy(all, d.Content.Data)
	if err != nil {
		return nil, nil, err
	}
	if err := forTimeStamps(service); err != nil {
		return nil, nil, err
	}
	if t.Time.Before(service.NotBefore) || t.Time.After(service.NotAfter) {
		return nil, nil, errors.New("the service's certificate was not valid at that time")
	}
	if roots != nil {
		between := x509.NewCertPool()
		for _, c := range all {
			between.AddCert(c)
		}
		_, err := service.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: t.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}})
		if err != nil {
			return nil, nil, fmt.Errorf("the service is not certified by whom you trust: %w", err)
		}
	}
	a := t.Accuracy
	if a.Seconds < 0 || a.Seconds > 1e6 || a.Millis < 0 || a.Millis > 999 || a.Micros < 0 || a.Micros > 999 || t.Serial.BitLen() > 160 {
		return nil, nil, errors.New("the time-stamp has a number out of bounds")
	}
	return &Stamp{
		Time:     t.Time.UTC(),
		Accuracy: time.Duration(a.Seconds)*time.Second + time.Duration(a.Millis)*time.Millisecond + time.Duration(a.Micros)*time.Microsecond,
		Serial:   t.Serial.Text(16),
		Policy:   t.Policy.String(),
		Service:  service.Subject.String(),
	}, &t, nil
}

// unmarshal reads DER and wants nothing behind it.
func unmarshal(b []byte, v any) error {
	rest, err := asn1.Unmarshal(b, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("something stands behind it")
	}
	return err
}

// failure names what a PKIFailureInfo says (RFC 3161 section 2.4.2).
func failure(b asn1.BitString) string {
	for _, f := range [...]struct {
		bit int
		why string
	}{
		{0, "it does not take the algorithm"}, {2, "it takes no such request"}, {5, "it did not understand the request"},
		{14, "its clock is not available"}, {15, "it does not know the policy"}, {16, "it does not take extensions"},
		{17, "it cannot tell what was asked beside the time"}, {25, "it failed"},
	} {
		if b.At(f.bit) == 1 {
			return ": " + f.why
		}
	}
	return ""
}

func certificates(b []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for len(b) > 0 {
		var raw asn1.RawValue
		rest, err := asn1.Unmarshal(b, &raw)
		if err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
		b = rest
		if raw.Class != asn1.ClassUniversal || raw.Tag != asn1.TagSequence {
			continue // attribute certificates and other kinds
		}
		if len(all) == maxCertificates {
			return nil, fmt.Errorf("more than %d certificates", maxCertificates)
		}
		c, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// forTimeStamps holds a certificate to RFC 3161 section 2.3: it is for
// time-stamps, and for nothing else.
func forTimeStamps(c *x509.Certificate) error {
	critical := slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Critical && e.Id.Equal(oidExtKeyUsage) })
	if !critical || len(c.UnknownExtKeyUsage) > 0 || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}) {
		return errors.New("the certificate is not one for time-stamps alone")
	}
	return nil
}

// is says whether a certificate is the one that the signer names.
func (s *signer) is(c *x509.Certificate) bool {
	if s.ID.Class == asn1.ClassContextSpecific && s.ID.Tag == 0 {
		return len(c.SubjectKeyId) > 0 && bytes.Equal(s.ID.Bytes, c.SubjectKeyId)
	}
	var id struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	return unmarshal(s.ID.FullBytes, &id) == nil && bytes.Equal(id.Issuer.FullBytes, c.RawIssuer) && id.Serial.Cmp(c.SerialNumber) == 0
}

// signedBy checks the signature of content and gives the certificate of whom
// signed.
func (s *signer) signedBy(all []*x509.Certificate, content []byte) (*x509.Certificate, error) {
	at := slices.IndexFunc(all, s.is)
	if at < 0 {
		return nil, errors.New("the certificate of whoever signed is not in the response")
	}
	c := all[at]
	digest, err := hashFunc(s.Digest.Algorithm)
	if err != nil {
		return nil, err
	}
	if len(s.Signed.FullBytes) == 0 {
		return nil, errors.New("no signed attributes")
	}
	// What is signed is the set as such, not as the field it stands in (RFC
	// 5652 section 5.4).
	signed := slices.Clone(s.Signed.FullBytes)
	signed[0] = asn1.TagSet | 0x20
	var attributes []attribute
	rest, err := asn1.UnmarshalWithParams(signed, &attributes, "set")
	if err != nil || len(rest) > 0 {
		return nil, errors.New("signed attributes cannot be read")
	}
	var kind, hash, certified bool
	for _, a := range attributes {
		if len(a.Values) != 1 {
			continue
		}
		v := a.Values[0]
		switch {
		case a.Type.Equal(oidContentType):
			var oid asn1.ObjectIdentifier
			if unmarshal(v.FullBytes, &oid) != nil || !oid.Equal(oidTSTInfo) {
				return nil, errors.New("what is signed is no time-stamp")
			}
			kind = true
		case a.Type.Equal(oidDigest):
			var sum []byte
			h := digest.New()
			h.Write(content)
			if unmarshal(v.FullBytes, &sum) != nil || !bytes.Equal(sum, h.Sum(nil)) {
				return nil, errors.New("the time-stamp is not what was signed")
			}
			hash = true
		case a.Type.Equal(oidSigning), a.Type.Equal(oidSigningV2):
			if !names(v.FullBytes, a.Type.Equal(oidSigningV2), c) {
				return nil, errors.New("the signature is of another certificate")
			}
			certified = true
		}
	}
	if !kind || !hash || !certified {
		return nil, errors.New("the signature does not say what it is of")
	}
	how, err := signatureAlgorithm(s.Algorithm, digest)
	if err != nil {
		return nil, err
	}
	if err := c.CheckSignature(how, signed, s.Signature); err != nil {
		return nil, errors.New("the service's signature does not hold")
	}
	return c, nil
}

// names says whether a signing-certificate attribute is of c: its first
// certificate is the signer's (RFC 2634 section 5.4, RFC 5035 section 4).
func names(b []byte, v2 bool, c *x509.Certificate) bool {
	var list struct {
		Certs    []asn1.RawValue
		Policies asn1.RawValue `asn1:"optional"`
	}
	if unmarshal(b, &list) != nil || len(list.Certs) == 0 {
		return false
	}
	first := list.Certs[0].FullBytes
	if !v2 {
		var id struct {
			Hash   []byte
			Issuer asn1.RawValue `asn1:"optional"`
		}
		sum := sha1.Sum(c.Raw) // what the older attribute has; the signature itself is of a longer hash
		return unmarshal(first, &id) == nil && bytes.Equal(id.Hash, sum[:])
	}
	var id struct {
		Algorithm algorithm `asn1:"optional"`
		Hash      []byte
		Issuer    asn1.RawValue `asn1:"optional"`
	}
	if unmarshal(first, &id) != nil {
		return false
	}
	kind := crypto.SHA256
	if id.Algorithm.Algorithm != nil {
		var err error
		if kind, err = hashFunc(id.Algorithm.Algorithm); err != nil {
			return false
		}
	}
	h := kind.New()
	h.Write(c.Raw)
	return bytes.Equal(id.Hash, h.Sum(nil))
}

func hashFunc(oid asn1.ObjectIdentifier) (crypto.Hash, error) {
	switch {
	case oid.Equal(oidSHA256):
		return crypto.SHA256, nil
	case oid.Equal(oidSHA384):
		return crypto.SHA384, nil
	case oid.Equal(oidSHA512):
		return crypto.SHA512, nil
	case oid.Equal(oidSHA1):
		return 0, errors.New("a hash that no longer holds: SHA-1")
	}
	return 0, fmt.Errorf("unknown hash %s", oid)
}

// pss checks that parameters of RSASSA-PSS (RFC 4055 section 3.1) are those that
// everybody uses: one hash throughout, that of the message, and a salt as long as it. The
// defaults of the standard are of SHA-1, and are not taken.
func pss(parameters asn1.RawValue, digest crypto.Hash) error {
	var p struct {
		Hash    algorithm `asn1:"optional,explicit,tag:0"`
		Mask    algorithm `asn1:"optional,explicit,tag:1"`
		Salt    int       `asn1:"optional,explicit,tag:2,default:20"`
		Trailer int       `asn1:"optional,explicit,tag:3,default:1"`
	}
	if err := unmarshal(parameters.FullBytes, &p); err != nil {
		return errors.New("RSA-PSS whose parameters cannot be read")
	}
	var inner algorithm
	if p.Hash.Algorithm == nil || !p.Mask.Algorithm.Equal(oidMGF1) || unmarshal(p.Mask.Parameters.FullBytes, &inner) != nil {
		return errors.New("RSA-PSS of another kind than MGF1 with SHA-256 or longer")
	}
	for _, oid := range []asn1.ObjectIdentifier{p.Hash.Algorithm, inner.Algorithm} {
		h, err := hashFunc(oid)
		if err != nil {
			return err
		}
		if h != digest {
			return errors.New("RSA-PSS of several hashes")
		}
	}
	if p.Salt != digest.Size() || p.Trailer != 1 {
		return fmt.Errorf("RSA-PSS with a salt of %d bytes: want %d", p.Salt, digest.Size())
	}
	return nil
}

func signatureAlgorithm(by algorithm, digest crypto.Hash) (x509.SignatureAlgorithm, error) {
	oid := by.Algorithm
	byHash := func(a, b, c x509.SignatureAlgorithm) x509.SignatureAlgorithm {
		return map[crypto.Hash]x509.SignatureAlgorithm{crypto.SHA256: a, crypto.SHA384: b, crypto.SHA512: c}[digest]
	}
	switch {
	case oid.Equal(oidRSA):
		return byHash(x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA), nil
	case oid.Equal(oidPSS):
		return byHash(x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS), pss(by.Parameters, digest)
	case oid.Equal(oidRSA256):
		return x509.SHA256WithRSA, nil
	case oid.Equal(oidRSA384):
		return x509.SHA384WithRSA, nil
	case oid.Equal(oidRSA512):
		return x509.SHA512WithRSA, nil
	case oid.Equal(oidECDSA256):
		return x509.ECDSAWithSHA256, nil
	case oid.Equal(oidECDSA384):
		return x509.ECDSAWithSHA384, nil
	case oid.Equal(oidECDSA512):
		return x509.ECDSAWithSHA512, nil
	case oid.Equal(oidEd25519):
		return x509.PureEd25519, nil
	}
	return 0, fmt.Errorf("unknown kind of signature %s", oid)
}
