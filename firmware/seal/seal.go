// Package seal gives a secret to the machine's TPM to keep: what comes back is worth
// nothing without that TPM, and without the state of Secure Boot in which it was made.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// secureBoot is the register that firmware extends with whether Secure Boot is on, its
// keys, and the key that signed what it started. An update that is signed with the same
// key leaves it as it is; the registers of what was started (4, 11) it would change.
const secureBoot = 7

// registers selects it, in SHA-256.
func registers() tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(secureBoot)}}}
}

// primary is the key that the TPM makes of its seed, the same each time until it is
// cleared, under which secrets are kept.
type primary struct {
	tpm  transport.TPM
	made *tpm2.CreatePrimaryResponse
	pub  tpm2.TPMTPublic
}

func newPrimary(t transport.TPM) (*primary, error) {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return nil, fmt.Errorf("its storage key: %w", err)
	}
	p := &primary{tpm: t, made: made}
	pub, err := made.OutPublic.Contents()
	if err != nil {
		return nil, errors.Join(err, p.flush())
	}
	p.pub = *pub
	return p, nil
}

func (p *primary) flush() error { return flush(p.tpm, p.made.ObjectHandle) }

func flush(t transport.TPM, h tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: h}.Execute(t)
	return err
}

// handle names it, in a session whose parameters nobody reads on the wires between
// processor and TPM.
func (p *primary) handle() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: p.made.ObjectHandle, Name: p.made.Name,
		Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.AESEncryption(128, tpm2.EncryptIn), tpm2.Salted(p.made.ObjectHandle, p.pub))}
}

// policy gives what the registers come to now.
func policy(t transport.TPM) (_ []byte, err error) {
	read, err := tpm2.PCRRead{PCRSelectionIn: registers()}.Execute(t)
	if err != nil {
		return nil, err
	}
	// A policy about registers that are not there would bind to nothing.
	if len(read.PCRValues.Digests) != 1 {
		return nil, errors.New("it has no registers of SHA-256")
	}
	s, end, err := tpm2.PolicySession(t, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if _, err := (tpm2.PolicyPCR{PolicySession: s.Handle(), Pcrs: registers()}).Execute(t); err != nil {
		return nil, err
	}
	d, err := tpm2.PolicyGetDigest{PolicySession: s.Handle()}.Execute(t)
	if err != nil {
		return nil, err
	}
	return d.PolicyDigest.Buffer, nil
}

// Seal gives what Open makes the secret of. It has 128 bytes at most.
func Seal(t transport.TPM, secret []byte) (_ []byte, err error) {
	digest, err := policy(t)
	if err != nil {
		return nil, err
	}
	p, err := newPrimary(t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.flush()) }()
	made, err := tpm2.Create{
		ParentHandle: p.handle(),
		InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret})}},
		// Without UserWithAuth nothing but the policy opens it; guesses are none, so that
		// a TPM that counts them need not be asked.
		InPublic: tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true}, AuthPolicy: tpm2.TPM2BDigest{Buffer: digest}}),
	}.Execute(t)
	if err != nil {
		return nil, err
	}
	return append(tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)...), nil
}

// Open gives the secret back, where the TPM does.
func Open(t transport.TPM, sealed []byte) (_ []byte, err error) {
	public, private, err := parts(sealed)
	if err != nil {
		return nil, err
	}
	p, err := newPrimary(t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.flush()) }()
	loaded, err := tpm2.Load{ParentHandle: p.handle(), InPublic: *public, InPrivate: *private}.Execute(t)
	if errors.Is(err, tpm2.TPMRCIntegrity) {
		return nil, errors.New("another TPM has sealed it, or this one was cleared")
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, flush(t, loaded.ObjectHandle)) }()
	now := tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(t transport.TPM, h tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicyPCR{PolicySession: h, Pcrs: registers()}.Execute(t)
		return err
	}, tpm2.AESEncryption(128, tpm2.EncryptOut), tpm2.Salted(p.made.ObjectHandle, p.pub))
	got, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: now}}.Execute(t)
	if errors.Is(err, tpm2.TPMRCPolicyFail) {
		return nil, errors.New("with Secure Boot as it is now it gives nothing: it was sealed with other keys or settings")
	}
	if err != nil {
		return nil, err
	}
	return got.OutData.Buffer, nil
}

// parts takes apart what Seal put together. Whatever stands on the disk is not trusted.
func parts(sealed []byte) (*tpm2.TPM2BPublic, *tpm2.TPM2BPrivate, error) {
	first, rest, ok := piece(sealed)
	second, rest, both := piece(rest)
	if !ok || !both || len(rest) > 0 {
		return nil, nil, errors.New("it is not what a TPM has sealed")
	}
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](first)
	if err != nil {
		return nil, nil, err
	}
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](second)
	return public, private, err
}

// piece cuts off the first of what have their length before them, in two bytes.
func piece(b []byte) (first, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// magic begins what Box and Frame make.
var magic = []byte("simtrap: sealed ")

// Sealed says whether something begins as what Box and Frame make.
func Sealed(b []byte) bool { return bytes.HasPrefix(b, magic) }

// Frame puts what Seal gave into so many bytes, in which Unframe knows it again.
func Frame(sealed []byte, size int) ([]byte, error) {
	b := bytes.Clone(magic)
	b = binary.BigEndian.AppendUint16(b, uint16(len(sealed)))
	b = append(b, sealed...)
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	if len(b) > size || len(sealed) > 1<<16-1 {
		return nil, fmt.Errorf("%d bytes are sealed, too many for %d", len(sealed), size)
	}
	return append(b, make([]byte, size-len(b))...), nil
}

// Unframe gives what Frame was given; false says that there is none, or none whole.
func Unframe(b []byte) ([]byte, bool) {
	if !Sealed(b) {
		return nil, false
	}
	first, rest, ok := piece(b[len(magic):])
	if !ok || len(rest) < sha256.Size {
		return nil, false
	}
	sum := sha256.Sum256(b[:len(magic)+len(first)])
	return first[2:], bytes.Equal(sum[:], rest[:sha256.Size])
}

// Box encrypts a text under a key of its own, which the TPM keeps.
func Box(t transport.TPM, text []byte) ([]byte, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it does not fail
	sealed, err := Seal(t, key)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	b := bytes.Clone(magic)
	b = binary.BigEndian.AppendUint16(b, uint16(len(sealed)))
	b = append(b, sealed...)
	return aead.Seal(b, nil, text, nil), nil
}

// Unbox gives the text of a box.
func Unbox(t transport.TPM, box []byte) ([]byte, error) {
	if !Sealed(box) {
		return nil, errors.New("it is no box")
	}
	first, rest, ok := piece(box[len(magic):])
	if !ok {
		return nil, errors.New("the box is cut off")
	}
	key, err := Open(t, first[2:])
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, rest, nil)
}

// newAEAD draws its nonces itself, and writes them first.
func newAEAD(key []byte) (cipher.AEAD, error) {
	c, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(c)
}
