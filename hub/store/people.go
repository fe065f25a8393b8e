package store

import (
	"context"
	"errors"
	"time"
)

// Account is a person's.
type Account struct {
	Name     string
	Role     string
	Password string // as argon2id writes it, never the password
	Disabled bool
	Made     time.Time
	Changed  time.Time
	Version  uint64 // set by the store, from 1
}

// AddAccount stores a new one. ErrConflict: the name is taken.
func (s *Store) AddAccount(ctx context.Context, a Account) error { return errors.ErrUnsupported }

// PutAccount changes one whose version is still a.Version: ErrConflict otherwise,
// ErrNotFound when there is none.
func (s *Store) PutAccount(ctx context.Context, a Account) error { return errors.ErrUnsupported }

// Account gives one. ErrNotFound.
func (s *Store) Account(ctx context.Context, name string) (Account, error) {
	return Account{}, errors.ErrUnsupported
}

// Accounts gives all, by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) { return nil, errors.ErrUnsupported }

// Session is one login. Only its token's hash is stored.
type Session struct {
	Hash    [32]byte
	Account string
	Made    time.Time
	Expires time.Time
}

// AddSession stores one. Of one account the newest 32 are kept.
func (s *Store) AddSession(ctx context.Context, n Session) error { return errors.ErrUnsupported }

// Session gives one that has not expired, or ErrNotFound.
func (s *Store) Session(ctx context.Context, hash [32]byte, now time.Time) (Session, error) {
	return Session{}, errors.ErrUnsupported
}

// DropSession ends one; DropSessions ends all of an account.
func (s *Store) DropSession(ctx context.Context, hash [32]byte) error { return errors.ErrUnsupported }

// DropSessions ends all sessions of an account.
func (s *Store) DropSessions(ctx context.Context, account string) error {
	return errors.ErrUnsupported
}

// AuditEntry is one link of the chain of what people did. The store keeps the
// chain whole: it knows nothing of how Hash is made.
type AuditEntry struct {
	Sequence uint64 // from 1, without holes
	At       time.Time
	Account  string
	Action   string
	Body     []byte   // what the hash is over, at most 64 KiB
	Previous [32]byte // hash of the entry before, zeros for the first
	Hash     [32]byte
}

// AppendAudit appends the entry that next makes of the newest one (the zero
// AuditEntry when there is none), and calls it again when another hub was faster.
// next must continue the chain: ErrInvalid otherwise.
func (s *Store) AppendAudit(ctx context.Context, next func(head AuditEntry) (AuditEntry, error)) (AuditEntry, error) {
	return AuditEntry{}, errors.ErrUnsupported
}

// Audit gives up to n entries from a sequence on, in order.
func (s *Store) Audit(ctx context.Context, from uint64, n int) ([]AuditEntry, error) {
	return nil, errors.ErrUnsupported
}

// AuditHead gives the newest entry, the zero AuditEntry when there is none.
func (s *Store) AuditHead(ctx context.Context) (AuditEntry, error) {
	return AuditEntry{}, errors.ErrUnsupported
}
