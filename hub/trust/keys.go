package trust

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Fleet keys are good for a year; the last 30 days of one are the first of the
// next.
const (
	fleetLife    = 365 * day
	fleetOverlap = 30 * day
	// fleetAhead is how long before its first day a key is given: more than sensors
	// take from one renewal to the next.
	fleetAhead = 30 * day
)

// fleet is what all fleet keys follow from: one seed and the first day.
type fleet struct {
	start time.Time
	seed  []byte
}

// FleetKey is what all sensors make pseudonyms with for a year.
type FleetKey struct {
	Epoch               uint32 // from 1
	Key                 []byte // 32 bytes; secret
	NotBefore, NotAfter time.Time
}

func fleetText(now time.Time, seed []byte) []byte {
	return []byte(now.UTC().Truncate(day).Format(time.RFC3339) + " " + hex.EncodeToString(seed) + "\n")
}

func readFleet(text []byte) (fleet, error) {
	start, seed, ok := strings.Cut(strings.TrimSpace(string(text)), " ")
	at, err := time.Parse(time.RFC3339, start)
	key, bad := readHex([]byte(seed))
	if !ok || err != nil || bad != nil {
		return fleet{}, fmt.Errorf("want a time and %d hexadecimal digits", 2*keySize)
	}
	return fleet{at.UTC(), key}, nil
}

func (f fleet) key(epoch uint32) FleetKey {
	from := f.start.Add(time.Duration(epoch-1) * (fleetLife - fleetOverlap))
	return FleetKey{Epoch: epoch, Key: derive(f.seed, fmt.Sprintf("fleet key %d", epoch)), NotBefore: from, NotAfter: from.Add(fleetLife)}
}

// FleetKeys gives the keys that a sensor needs now and until it asks again,
// oldest first.
func (t *Trust) FleetKeys() []FleetKey {
	now := t.now()
	// The first that may not have ended, from the length of the epochs.
	first := uint32(1)
	if n := now.Sub(t.fleet.start) - fleetLife; n > 0 {
		first += uint32(n / (fleetLife - fleetOverlap))
	}
	var keys []FleetKey
	for epoch := first; ; epoch++ {
		k := t.fleet.key(epoch)
		if k.NotBefore.After(now.Add(fleetAhead)) && len(keys) > 0 {
			return keys
		}
		if k.NotAfter.After(now) {
			keys = append(keys, k)
		}
	}
}

func derive(key []byte, purpose string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("simtrap hub\x00" + purpose))
	return m.Sum(nil)
}

// packText is what a pack's signature is over (fleet.proto).
func packText(version uint64, content []byte) []byte {
	sum := sha256.Sum256(content)
	b := binary.BigEndian.AppendUint64([]byte("simtrap catalogue pack\x00"), version)
	return append(b, sum[:]...)
}
