package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

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
func (s *Store) AddToken(ctx context.Context, t Token) error {
	if t.Sensor == "" || len(t.Sensor) > maxText || clean(t.Sensor, maxText) != t.Sensor {
		return fmt.Errorf("%w: name of a sensor", ErrInvalid)
	}
	return s.within(ctx, func(x *tx) error {
		n, err := x.exec(ctx, `INSERT INTO token (hash, sensor, made_by, made, expires) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			t.Hash[:], t.Sensor, t.By, t.Made.UnixNano(), t.Expires.UnixNano())
		return changed(n, err)
	})
}

// changed makes ErrConflict of a write that touched nothing.
func changed(n int64, err error) error {
	if err == nil && n == 0 {
		return ErrConflict
	}
	return err
}

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
// an error of it the token is not spent. issue may be called more than once.
// ErrSpent: the token is not good. A sensor that was revoked is admitted anew. Its
// older certificates count no more: who has enrolled has another key, and whoever
// holds the key of before need not be the sensor.
func (s *Store) TakeToken(ctx context.Context, hash [32]byte, now time.Time, issue func(sensor string) (Admission, error)) (Admission, error) {
	var a Admission
	err := s.within(ctx, func(t *tx) error {
		var sensor string
		var expires int64
		var taken sql.NullInt64
		err := one(ctx, t, []any{&sensor, &expires, &taken}, "SELECT sensor, expires, taken FROM token WHERE hash = ?"+t.forUpdate(), hash[:])
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && (taken.Valid || now.UnixNano() >= expires):
			return ErrSpent
		case err != nil:
			return err
		}
		if a, err = issue(sensor); err != nil {
			return err
		}
		a.Sensor = sensor
		if _, err := t.exec(ctx, "UPDATE token SET taken = ? WHERE hash = ?", now.UnixNano(), hash[:]); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO sensor (name, admitted, certificate_ends, program) VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET admitted = excluded.admitted, revoked = NULL, revoked_by = '', revoked_why = '',
			certificate_ends = excluded.certificate_ends, program = excluded.program`,
			sensor, now.UnixNano(), a.Ends.UnixNano(), clean(a.Version, maxText)); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "UPDATE certificate SET revoked = ? WHERE sensor = ? AND revoked IS NULL", now.UnixNano(), sensor); err != nil {
			return err
		}
		return addCertificate(ctx, t, a)
	})
	if err != nil {
		return Admission{}, err
	}
	return a, nil
}

func addCertificate(ctx context.Context, t *tx, a Admission) error {
	if a.Serial == "" {
		return fmt.Errorf("%w: a certificate without a serial", ErrInvalid)
	}
	return changed(t.exec(ctx, "INSERT INTO certificate (serial, sensor, public_key, given, ends) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		a.Serial, a.Sensor, a.Key[:], a.Given.UnixNano(), a.Ends.UnixNano()))
}

// Renewed stores a new certificate of a sensor that asked for it with the one of
// serial from. ErrRevoked: that one counts no more.
func (s *Store) Renewed(ctx context.Context, from string, a Admission) error {
	return s.within(ctx, func(t *tx) error {
		// Whoever revokes or admits the sensor holds its row, so what is read behind this
		// is what stands.
		n, err := t.exec(ctx, "UPDATE sensor SET certificate_ends = ? WHERE name = ? AND revoked IS NULL", a.Ends.UnixNano(), a.Sensor)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrRevoked
		}
		err = one(ctx, t, []any{new(int64)}, "SELECT given FROM certificate WHERE serial = ? AND sensor = ? AND revoked IS NULL", from, a.Sensor)
		if errors.Is(err, ErrNotFound) {
			return ErrRevoked
		}
		if err != nil {
			return err
		}
		return addCertificate(ctx, t, a)
	})
}

// Admitted says whether a certificate counts: known, not ended, neither it nor
// its sensor revoked. It gives the sensor's name and since when it is admitted, or
// ErrRevoked.
func (s *Store) Admitted(ctx context.Context, serial string, now time.Time) (sensor string, since time.Time, err error) {
	var at int64
	err = one(ctx, s.db, []any{&sensor, &at}, `SELECT c.sensor, s.admitted FROM certificate c JOIN sensor s ON s.name = c.sensor
		WHERE c.serial = ? AND c.revoked IS NULL AND s.revoked IS NULL AND c.given <= ? AND c.ends > ?`, serial, now.Add(time.Hour).UnixNano(), now.UnixNano())
	if errors.Is(err, ErrNotFound) {
		return "", time.Time{}, ErrRevoked
	}
	return sensor, moment(at), err
}

// Revoke ends all admissions of a sensor at once, and its open tokens.
// ErrNotFound: there is no such sensor, nor a token for one.
func (s *Store) Revoke(ctx context.Context, sensor, by, reason string, now time.Time) error {
	return s.within(ctx, func(t *tx) error {
		// First the tokens: whoever takes one at this moment waits, and finds it spent, or
		// was faster and is revoked below.
		tokens, err := t.exec(ctx, "UPDATE token SET taken = ? WHERE sensor = ? AND taken IS NULL", now.UnixNano(), sensor)
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, "UPDATE sensor SET revoked = ?, revoked_by = ?, revoked_why = ? WHERE name = ?",
			now.UnixNano(), clean(by, maxText), clean(reason, 4*maxText), sensor)
		if err != nil {
			return err
		}
		if n == 0 && tokens == 0 {
			return ErrNotFound
		}
		_, err = t.exec(ctx, "UPDATE certificate SET revoked = ? WHERE sensor = ? AND revoked IS NULL", now.UnixNano(), sensor)
		return err
	})
}

// Revoked gives the serials of certificates that were revoked and have not ended,
// in order.
func (s *Store) Revoked(ctx context.Context, now time.Time) ([]string, error) {
	var serials []string
	err := each(ctx, s.db, func(r *sql.Rows) error {
		serials = append(serials, "")
		return r.Scan(&serials[len(serials)-1])
	}, "SELECT serial FROM certificate WHERE revoked IS NOT NULL AND ends > ? ORDER BY serial", now.UnixNano())
	return serials, err
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
func (s *Store) AddPolicy(ctx context.Context, p Policy) error {
	m := proto.CloneOf(p.Policy)
	if m == nil {
		m = &fleetpb.Policy{}
	}
	m.Version, m.Catalogue, m.ControllerVerdicts = p.Version, nil, nil
	return s.addVersion(ctx, "policy", p.Version, true, p.By, p.Made, m)
}

func (s *Store) addVersion(ctx context.Context, table string, version uint64, next bool, by string, made time.Time, m proto.Message) error {
	body, err := s.pack.pack(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if version == 0 || version > 1<<62 {
		return fmt.Errorf("%w: version %d", ErrInvalid, version)
	}
	err = s.within(ctx, func(t *tx) error {
		var latest uint64
		if err := one(ctx, t, []any{&latest}, "SELECT COALESCE(max(version), 0) FROM "+table); err != nil {
			return err
		}
		if version <= latest || next && version != latest+1 {
			return fmt.Errorf("%w: version %d is there, %d was given", ErrConflict, latest, version)
		}
		_, err := t.exec(ctx, "INSERT INTO "+table+" (version, made_by, made, body) VALUES (?, ?, ?, ?)", int64(version), by, made.UnixNano(), body)
		return err
	})
	if taken(err) {
		return fmt.Errorf("%w: version %d", ErrConflict, version)
	}
	return err
}

// LatestPolicy gives the policy that holds, version 0 with an empty message when
// there is none yet.
func (s *Store) LatestPolicy(ctx context.Context) (Policy, error) {
	p := Policy{Policy: &fleetpb.Policy{}}
	var made int64
	var body []byte
	err := one(ctx, s.db, []any{&p.Version, &p.By, &made, &body}, "SELECT version, made_by, made, body FROM policy ORDER BY version DESC LIMIT 1")
	if errors.Is(err, ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return Policy{}, err
	}
	p.Made = moment(made)
	return p, s.pack.unpack(body, p.Policy)
}

// AddPack stores a signed catalogue pack. Its version must be above the latest:
// ErrConflict otherwise.
func (s *Store) AddPack(ctx context.Context, p *fleetpb.CataloguePack, by string, now time.Time) error {
	return s.addVersion(ctx, "pack", p.GetVersion(), false, by, now, p)
}

// LatestPack gives the pack that holds, nil when there is none.
func (s *Store) LatestPack(ctx context.Context) (*fleetpb.CataloguePack, error) {
	var body []byte
	err := one(ctx, s.db, []any{&body}, "SELECT body FROM pack ORDER BY version DESC LIMIT 1")
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &fleetpb.CataloguePack{}
	return p, s.pack.unpack(body, p)
}

// CatalogueAt tells how many admitted sensors say that they have a catalogue of this
// version or a later one, and the latest that one says.
func (s *Store) CatalogueAt(ctx context.Context, version uint64) (sensors int, newest uint64, err error) {
	err = one(ctx, s.db, []any{&sensors, &newest}, "SELECT count(*), COALESCE(max(catalogue), 0) FROM sensor WHERE revoked IS NULL AND catalogue > 0 AND catalogue >= ?", int64(min(version, 1<<62)))
	return sensors, newest, err
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
	var p PolicyStand
	var policy, told uint64
	err := one(ctx, s.db, []any{&policy, &p.Catalogue, &told}, `SELECT
		(SELECT COALESCE(max(version), 0) FROM policy), (SELECT COALESCE(max(version), 0) FROM pack),
		COALESCE((SELECT told FROM sensor WHERE name = ?), 0)`, sensor)
	// Each of them only rises, so their sum rises with each.
	p.Version = policy + p.Catalogue + told
	return p, err
}

// Restored makes a store that was put back from a copy safe to serve. What happened
// after the copy is not known here, so every token that is open in it ends, as it may
// have been spent, and so does every session, as its account may have been closed;
// and numbers of policies go on from the present time in milliseconds, above every one
// that was given after the copy: sensors would take another policy of the same number
// for the one that they have.
func (s *Store) Restored(ctx context.Context, now time.Time) error {
	latest, err := s.LatestPolicy(ctx)
	if err != nil {
		return err
	}
	version := max(latest.Version+1, uint64(now.UnixMilli()))
	latest.Policy.Version = version
	body, err := s.pack.pack(latest.Policy)
	if err != nil {
		return err
	}
	return s.within(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "UPDATE token SET taken = ? WHERE taken IS NULL", now.UnixNano()); err != nil {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM session"); err != nil {
			return err
		}
		_, err := t.exec(ctx, "INSERT INTO policy (version, made_by, made, body) VALUES (?, ?, ?, ?)", int64(version), "restore", now.UnixNano(), body)
		return err
	})
}

// moment gives a stored time; 0 is none.
func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
