package people

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a password: what OWASP asks of argon2id at the least memory. Two of
// them at a time leave the hub its memory.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	saltSize    = 16
	hashSize    = 32
	// A stored hash may ask for no more than this.
	maxArgonMemory = 256 << 10
	maxArgonTime   = 16
)

// hashPassword gives a password as it is stored, in the common text form of
// argon2id.
func hashPassword(password string) string {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	b := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, 1, hashSize)
	e := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, argonMemory, argonTime, e.EncodeToString(salt), e.EncodeToString(b))
}

// samePassword says whether a stored hash is of a password.
func samePassword(hash, password string) bool {
	var version, memory, times, threads int
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false
	}
	if n, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &times, &threads); n != 4 || err != nil {
		return false
	}
	if version != argon2.Version || memory < 8 || memory > maxArgonMemory || times < 1 || times > maxArgonTime || threads < 1 || threads > 16 {
		return false
	}
	e := base64.RawStdEncoding
	salt, err := e.DecodeString(parts[4])
	want, bad := e.DecodeString(parts[5])
	if err != nil || bad != nil || len(want) < 16 || len(want) > 64 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, uint32(times), uint32(memory), uint8(threads), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}
