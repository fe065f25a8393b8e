package store

import (
	"context"
	"errors"
	"time"

	"simtrap/report/fleetpb"
)

// Token admits one sensor once. Only its hash is stored.
type Token struct {
	Hash    [32]byte // SHA-256 of the secret
	Sensor  string
	By      string // account that made it
	Made    time.Time
	Expires time.Time
}

// AddToken stores a token. The sensor need not exist. ErrConflict: it is there
// already.
func (s *Store) AddToken(ctx context.Context, t Token) error { return errors.ErrUnsupported }

// Admission is a certificate given to a sensor.
type Admission struct {
	Sensor  string
	Serial  string   // of the certificate, hex
	Key     [32]byte // SHA-256 of the public key (SubjectPublicKeyInfo)
	Given   time.Time
	Ends    time.Time
	Version string // of the sensor's program, empty when not told
}

// TakeToken spends a token and admits the sensor under the certificate that issue
// makes for its name, in one transaction: what issue gives back is stored, and of
// an error of it the token is not spent. ErrSpent: the token is not good. A sensor
// that was revoked is admitted anew; its older certificates stay revoked.
func (s *Store) TakeToken(ctx context.Context, hash [32]byte, now time.Time, issue func(sensor string) (Admission, error)) (Admission, error) {
	return Admission{}, errors.ErrUnsupported
}

// Renewed stores a new certificate of an admitted sensor. ErrRevoked: it is not.
func (s *Store) Renewed(ctx context.Context, a Admission) error { return errors.ErrUnsupported }

// Admitted says whether a certificate counts: known, not ended, neither it nor
// its sensor revoked. It gives the sensor's name, or ErrRevoked.
func (s *Store) Admitted(ctx context.Context, serial string, now time.Time) (string, error) {
	return "", errors.ErrUnsupported
}

// Revoke ends all admissions of a sensor at once, and its open tokens.
// ErrNotFound: there is no such sensor.
func (s *Store) Revoke(ctx context.Context, sensor, by, reason string, now time.Time) error {
	return errors.ErrUnsupported
}

// Revoked gives the serials of certificates that were revoked and have not ended,
// in order.
func (s *Store) Revoked(ctx context.Context, now time.Time) ([]string, error) {
	return nil, errors.ErrUnsupported
}

// Policy is what all sensors go by, in one version. Its catalogue and its
// controller verdicts are empty: they are kept apart.
type Policy struct {
	Version uint64 // from 1
	Policy  *fleetpb.Policy
	By      string
	Made    time.Time
}

// AddPolicy stores a new policy. Its version must be one more than the latest:
// ErrConflict otherwise.
func (s *Store) AddPolicy(ctx context.Context, p Policy) error { return errors.ErrUnsupported }

// LatestPolicy gives the policy that holds, version 0 with an empty message when
// there is none yet.
func (s *Store) LatestPolicy(ctx context.Context) (Policy, error) {
	return Policy{}, errors.ErrUnsupported
}

// AddPack stores a signed catalogue pack. Its version must be above the latest:
// ErrConflict otherwise.
func (s *Store) AddPack(ctx context.Context, p *fleetpb.CataloguePack, by string, now time.Time) error {
	return errors.ErrUnsupported
}

// LatestPack gives the pack that holds, nil when there is none.
func (s *Store) LatestPack(ctx context.Context) (*fleetpb.CataloguePack, error) {
	return nil, errors.ErrUnsupported
}

// PolicyStand tells which policy a sensor is to have.
type PolicyStand struct {
	// Version rises whenever anything that the sensor is told changes: the policy,
	// the catalogue, or what is said about its controllers.
	Version   uint64
	Catalogue uint64 // version of the latest pack, 0 for none
}

// PolicyStand tells it. It is cheap: for asking again every few seconds.
func (s *Store) PolicyStand(ctx context.Context, sensor string) (PolicyStand, error) {
	return PolicyStand{}, errors.ErrUnsupported
}
