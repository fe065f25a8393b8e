package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"

	"simtrap/report/fleetpb"
)

// MaxPack is the most that a pack's content may have, in bytes.
const MaxPack = 4 << 20

// Why a pack is refused.
var (
	// ErrPackUnsigned: no known key signed it, or its content is another.
	ErrPackUnsigned = errors.New("the pack is not signed by a key that counts here")
	// ErrPackSize: it is empty or too large.
	ErrPackSize = fmt.Errorf("a pack has 1 to %d bytes", MaxPack)
)

// CatalogueKeys are those whose packs count.
func (t *Trust) CatalogueKeys() []ed25519.PublicKey { return t.pubs }

// SignPack signs content as a version, with the folder's key.
func (t *Trust) SignPack(version uint64, content []byte) (*fleetpb.CataloguePack, error) {
	if t.catalogue == nil {
		return nil, fmt.Errorf("no %s in the hub's folder: sign where it is kept", catalogueFile)
	}
	return SignPack(t.catalogue, version, content)
}

// VerifyPack checks that a key that counts signed a pack, and its size.
func (t *Trust) VerifyPack(p *fleetpb.CataloguePack) error { return VerifyPack(t.pubs, p) }

// SignPack signs content as a version.
func SignPack(key ed25519.PrivateKey, version uint64, content []byte) (*fleetpb.CataloguePack, error) {
	if version == 0 {
		return nil, errors.New("versions of packs begin at 1")
	}
	if len(content) == 0 || len(content) > MaxPack {
		return nil, ErrPackSize
	}
	return &fleetpb.CataloguePack{
		Version: version, Content: content, KeyId: keyID(key.Public().(ed25519.PublicKey)),
		Signature: ed25519.Sign(key, packText(version, content)),
	}, nil
}

// VerifyPack checks that one of keys signed a pack, and its size.
func VerifyPack(keys []ed25519.PublicKey, p *fleetpb.CataloguePack) error {
	if len(p.GetContent()) == 0 || len(p.GetContent()) > MaxPack || p.GetVersion() == 0 {
		return ErrPackSize
	}
	for _, k := range keys {
		if bytes.Equal(keyID(k), p.GetKeyId()) && ed25519.Verify(k, packText(p.GetVersion(), p.GetContent()), p.GetSignature()) {
			return nil
		}
	}
	return ErrPackUnsigned
}

// ReadPackKey reads a signing key that is kept elsewhere (PEM, PKCS #8).
func ReadPackKey(text []byte) (ed25519.PrivateKey, error) {
	k, err := readSigner(text)
	if err != nil {
		if b, _ := pem.Decode(text); b != nil {
			return nil, fmt.Errorf("the pack key (%s): %w", b.Type, err)
		}
		return nil, fmt.Errorf("the pack key: %w", err)
	}
	return k, nil
}

func keyID(k ed25519.PublicKey) []byte {
	sum := sha256.Sum256(k)
	return sum[:8]
}
