package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"regexp"
	"slices"

	"simtrap/hub/trust"
	"simtrap/report/fleetpb"
)

// Bounds of what is offered.
const (
	maxUpdates = 16
	maxNamed   = 10_000    // sensors of one offer
	MaxBundle  = 512 << 20 // bytes
	everybody  = 1000      // permille
)

// updateWord is what a version and an architecture may be: they are printed, logged and
// kept in every sensor's policy. A bundle's version has the same bounds.
var updateWord = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.~+-]{0,63}$`)

// Offer gives a change that has an update known, to nobody yet: Stage offers it.
func Offer(o *fleetpb.UpdateOffer) func(*fleetpb.Policy) (*fleetpb.Policy, error) {
	return func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
		switch {
		case !updateWord.MatchString(o.GetVersion()) || !updateWord.MatchString(o.GetArch()):
			return nil, invalid("version %q for %q: want at most 64 letters, digits and . ~ + -", o.GetVersion(), o.GetArch())
		case o.GetSequence() == 0 || o.GetFloor() > o.GetSequence() || len(o.GetSha256()) != sha256.Size || o.GetSize() == 0 || o.GetSize() > MaxBundle:
			return nil, invalid("an update needs a sequence from 1, a floor that is not above it, a SHA-256, and 1 to %d bytes", MaxBundle)
		case len(m.GetUpdates()) >= maxUpdates:
			return nil, invalid("%d updates are there already: withdraw one", maxUpdates)
		}
		for _, x := range m.GetUpdates() {
			if x.GetSequence() == o.GetSequence() && x.GetArch() == o.GetArch() {
				return nil, invalid("an update of sequence %d for %s is there already", o.GetSequence(), o.GetArch())
			}
		}
		m.Updates = append(m.Updates, &fleetpb.UpdateOffer{
			Version: o.GetVersion(), Arch: o.GetArch(), Sequence: o.GetSequence(), Floor: o.GetFloor(), Size: o.GetSize(), Sha256: o.GetSha256(),
		})
		return m, nil
	}
}

// Stage gives a change of whom the updates of a sequence are offered to: a share of all
// sensors, in permille, and those that are named.
func Stage(sequence uint64, permille uint32, sensors []string) func(*fleetpb.Policy) (*fleetpb.Policy, error) {
	return func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
		if permille > everybody || len(sensors) > maxNamed {
			return nil, invalid("want a share of 0 to 100 %%, and at most %d names", maxNamed)
		}
		for _, s := range sensors {
			if !trust.SensorName(s) {
				return nil, invalid("%q: %w", s, trust.ErrSensorName)
			}
		}
		sensors := slices.Compact(slices.Sorted(slices.Values(sensors)))
		found := false
		for _, x := range m.GetUpdates() {
			if x.GetSequence() == sequence {
				x.Permille, x.Sensors, found = permille, sensors, true
			}
		}
		if !found {
			return nil, invalid("there is no update of sequence %d", sequence)
		}
		return m, nil
	}
}

// Withdraw gives a change that offers the updates of a sequence to nobody any more.
func Withdraw(sequence uint64) func(*fleetpb.Policy) (*fleetpb.Policy, error) {
	return func(m *fleetpb.Policy) (*fleetpb.Policy, error) {
		n := len(m.GetUpdates())
		m.Updates = slices.DeleteFunc(m.Updates, func(x *fleetpb.UpdateOffer) bool { return x.GetSequence() == sequence })
		if n == len(m.GetUpdates()) {
			return nil, invalid("there is no update of sequence %d", sequence)
		}
		return m, nil
	}
}

// Offered gives of the updates those that a sensor is offered, without whom else. A
// sensor that was in a share is in every larger one of the same version, whatever the
// architecture, and the shares of two versions have nothing to do with each other.
func Offered(list []*fleetpb.UpdateOffer, sensor string) (out []*fleetpb.UpdateOffer) {
	for _, x := range list {
		// Neither a version nor a name has a zero byte.
		sum := sha256.Sum256([]byte(x.GetVersion() + "\x00" + sensor))
		share := binary.BigEndian.Uint64(sum[:8]) % everybody
		if share >= uint64(x.GetPermille()) && !slices.Contains(x.GetSensors(), sensor) {
			continue
		}
		out = append(out, &fleetpb.UpdateOffer{
			Version: x.GetVersion(), Arch: x.GetArch(), Sequence: x.GetSequence(), Floor: x.GetFloor(), Size: x.GetSize(), Sha256: x.GetSha256(),
		})
	}
	return out
}
