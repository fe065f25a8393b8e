package trust

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// TokenLife is how long a token admits.
const TokenLife = 24 * time.Hour

const (
	tokenKind       = "st1"
	fingerprintSize = 16
	secretSize      = 16
)

// ErrToken is the error of a text that is no token.
var ErrToken = errors.New("no token: want st1-, 32 hexadecimal digits, - and 32 more")

// NewToken draws a token: "st1-" with the fingerprint by which a sensor knows the
// hub before it says anything, "-", and a secret of 128 bits. The hash is what
// is kept of it.
func (t *Trust) NewToken() (text string, hash [32]byte) {
	secret := make([]byte, secretSize)
	rand.Read(secret)
	text = tokenKind + "-" + t.Fingerprint() + "-" + hex.EncodeToString(secret)
	return text, tokenHash(secret)
}

// TokenHash gives the hash of a token that this hub may have given; another
// hub's is none.
func (t *Trust) TokenHash(text string) ([32]byte, error) {
	kind, rest, _ := strings.Cut(text, "-")
	print, secret, ok := strings.Cut(rest, "-")
	b, err := hex.DecodeString(secret)
	if !ok || kind != tokenKind || err != nil || len(b) != secretSize {
		return [32]byte{}, ErrToken
	}
	if print != t.Fingerprint() {
		return [32]byte{}, errors.New("the token is of another hub")
	}
	return tokenHash(b), nil
}

// tokenHash needs no slow hash: nobody guesses 128 bits.
func tokenHash(secret []byte) [32]byte {
	return sha256.Sum256(append([]byte("simtrap token\x00"), secret...))
}
