package store

import (
	"context"
	"errors"
	"time"
)

// Retention says how long what is kept: from the hub's last receipt of a finding,
// by its verdict. Zero values have defaults.
type Retention struct {
	None   time.Duration // 24 h
	Watch  time.Duration // 7 days
	Review time.Duration // 30 days
	Case   time.Duration // 2 years; never while a case of people holds it open
	// Outcome holds findings with an outcome; 2 years.
	Outcome time.Duration
	// Sketch holds hours of controllers; 7 days.
	Sketch time.Duration
}

// Signer signs deletion records.
type Signer interface {
	// Sign gives a signature over a body, and the name of the key.
	Sign(body []byte) (signature []byte, key string, err error)
}

// Deletion is a signed record of what was deleted: counts and a digest, nothing
// of what it was.
type Deletion struct {
	Sequence  uint64 // from 1, without holes
	At        time.Time
	Body      []byte // JSON with counts by kind and verdict, the digest of deleted ids, and the hash of the record before
	Signature []byte
	Key       string
}

// Expire deletes what is older than retention lets it be, in small transactions
// beside other work, and leaves a signed record in the same transaction as each.
// It gives how many findings went.
func (s *Store) Expire(ctx context.Context, now time.Time, r Retention, sign Signer) (int, error) {
	return 0, errors.ErrUnsupported
}

// Deletions gives up to n records from a sequence on, in order.
func (s *Store) Deletions(ctx context.Context, from uint64, n int) ([]Deletion, error) {
	return nil, errors.ErrUnsupported
}
