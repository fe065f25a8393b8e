package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
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

func (a Account) sound() error {
	if a.Name == "" || len(a.Name) > maxText || !plain(a.Name) || len(a.Role) > maxText || !plain(a.Role) || len(a.Password) > 1024 || !plain(a.Password) {
		return fmt.Errorf("%w: account", ErrInvalid)
	}
	return nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// AddAccount stores a new one. ErrConflict: the name is taken.
func (s *Store) AddAccount(ctx context.Context, a Account) error {
	if err := a.sound(); err != nil {
		return err
	}
	return s.within(ctx, func(t *tx) error {
		return changed(t.exec(ctx, "INSERT INTO account (name, role, password, disabled, made, changed, version) VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
			a.Name, a.Role, a.Password, bit(a.Disabled), nanosOf(a.Made), nanosOf(a.Changed)))
	})
}

// PutAccount changes one whose version is still a.Version: ErrConflict otherwise,
// ErrNotFound when there is none. When it was made stays.
func (s *Store) PutAccount(ctx context.Context, a Account) error {
	if err := a.sound(); err != nil {
		return err
	}
	return s.within(ctx, func(t *tx) error {
		if err := one(ctx, t, []any{new(int64)}, "SELECT version FROM account WHERE name = ?", a.Name); err != nil {
			return err
		}
		return changed(t.exec(ctx, "UPDATE account SET role = ?, password = ?, disabled = ?, changed = ?, version = version + 1 WHERE name = ? AND version = ?",
			a.Role, a.Password, bit(a.Disabled), nanosOf(a.Changed), a.Name, int64(a.Version)))
	})
}

const accountColumns = "name, role, password, disabled, made, changed, version"

func scanAccount(r *sql.Rows) (Account, error) {
	var a Account
	var disabled, made, changed int64
	err := r.Scan(&a.Name, &a.Role, &a.Password, &disabled, &made, &changed, &a.Version)
	a.Disabled, a.Made, a.Changed = disabled != 0, moment(made), moment(changed)
	return a, err
}

// Account gives one. ErrNotFound.
func (s *Store) Account(ctx context.Context, name string) (Account, error) {
	var as []Account
	err := each(ctx, s.db, func(r *sql.Rows) error {
		a, err := scanAccount(r)
		as = append(as, a)
		return err
	}, "SELECT "+accountColumns+" FROM account WHERE name = ?", clean(name, maxText))
	if err := notFound(len(as), err); err != nil {
		return Account{}, err
	}
	return as[0], nil
}

// AccountOf gives the one that has subject in the place of a password. ErrNotFound. Where
// there are several, as two sign-ins at once may make, one that is disabled comes first,
// then the oldest.
func (s *Store) AccountOf(ctx context.Context, subject string) (Account, error) {
	var as []Account
	err := each(ctx, s.db, func(r *sql.Rows) error {
		a, err := scanAccount(r)
		as = append(as, a)
		return err
	}, "SELECT "+accountColumns+" FROM account WHERE password = ? ORDER BY disabled DESC, made, name LIMIT 1", subject)
	if err := notFound(len(as), err); err != nil {
		return Account{}, err
	}
	return as[0], nil
}

// Accounts gives all, by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	var as []Account
	err := each(ctx, s.db, func(r *sql.Rows) error {
		a, err := scanAccount(r)
		as = append(as, a)
		return err
	}, "SELECT "+accountColumns+" FROM account ORDER BY name")
	return as, err
}

// Session is one login, or what a program asks with. Only its token's hash is stored.
type Session struct {
	Hash    [32]byte
	Account string
	Program bool
	Made    time.Time
	Expires time.Time
}

// maxSessions of one account: so many of its person's, and so many of programs.
const maxSessions = 32

// AddSession stores one. Of a person's logins the newest 32 are kept. A program is
// not to lose its token by what others do: where the account has 32 for programs, none
// is added (ErrFull).
func (s *Store) AddSession(ctx context.Context, n Session) error {
	return s.within(ctx, func(t *tx) error {
		if n.Program {
			// Whoever else adds one waits, and counts this.
			if err := one(ctx, t, []any{new(int64)}, "SELECT version FROM account WHERE name = ?"+t.forUpdate(), n.Account); err != nil {
				return err
			}
			var have int
			if err := one(ctx, t, []any{&have}, "SELECT count(*) FROM session WHERE account = ? AND program = 1 AND expires > ?", n.Account, nanosOf(n.Made)); err != nil {
				return err
			}
			if have >= maxSessions {
				return ErrFull
			}
		}
		if err := changed(t.exec(ctx, "INSERT INTO session (hash, account, program, made, expires) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			n.Hash[:], n.Account, bit(n.Program), nanosOf(n.Made), nanosOf(n.Expires))); err != nil {
			return err
		}
		_, err := t.exec(ctx, "DELETE FROM session WHERE account = ? AND program = 0 AND hash NOT IN (SELECT hash FROM session WHERE account = ? AND program = 0 ORDER BY made DESC, hash LIMIT ?)",
			n.Account, n.Account, maxSessions)
		return err
	})
}

// Session gives one that has not expired, or ErrNotFound.
func (s *Store) Session(ctx context.Context, hash [32]byte, now time.Time) (Session, error) {
	n := Session{Hash: hash}
	var program, made, expires int64
	err := one(ctx, s.db, []any{&n.Account, &program, &made, &expires}, "SELECT account, program, made, expires FROM session WHERE hash = ? AND expires > ?", hash[:], now.UnixNano())
	n.Program, n.Made, n.Expires = program != 0, moment(made), moment(expires)
	if err != nil {
		return Session{}, err
	}
	return n, nil
}

// DropSession ends one, if there is such a one.
func (s *Store) DropSession(ctx context.Context, hash [32]byte) error {
	return s.within(ctx, func(t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM session WHERE hash = ?", hash[:])
		return err
	})
}

// DropSessions ends all sessions of an account.
func (s *Store) DropSessions(ctx context.Context, account string) error {
	return s.within(ctx, func(t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM session WHERE account = ?", account)
		return err
	})
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
	var e AuditEntry
	err := s.append(ctx, func(t *tx) error {
		head, err := auditHead(ctx, t)
		if err != nil {
			return err
		}
		if e, err = next(head); err != nil {
			return err
		}
		if e.Sequence != head.Sequence+1 || e.Previous != head.Hash || len(e.Body) > 64<<10 || !plain(e.Account) || !plain(e.Action) {
			return fmt.Errorf("%w: an audit entry that does not continue the chain", ErrInvalid)
		}
		_, err = t.exec(ctx, "INSERT INTO audit (sequence, made, account, action, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
			int64(e.Sequence), e.At.UnixNano(), e.Account, e.Action, append([]byte{}, e.Body...), e.Previous[:], e.Hash[:])
		return err
	})
	if err != nil {
		return AuditEntry{}, err
	}
	return e, nil
}

// append runs what appends a row under the next number, and runs it again as long
// as others are faster, later and later: many hubs that all try again at once are in
// each other's way.
func (s *Store) append(ctx context.Context, do func(*tx) error) error {
	for try := 0; ; try++ {
		err := s.within(ctx, do)
		if !taken(err) {
			return err
		}
		s.count.retries.Add(1)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Millisecond << min(try, 7))):
		}
	}
}

const auditColumns = "sequence, made, account, action, body, previous, hash"

func scanAudit(r *sql.Rows) (AuditEntry, error) {
	var e AuditEntry
	var at int64
	var previous, hash []byte
	if err := r.Scan(&e.Sequence, &at, &e.Account, &e.Action, &e.Body, &previous, &hash); err != nil {
		return e, err
	}
	if len(previous) != 32 || len(hash) != 32 {
		return e, errors.New("audit: an entry has no hash")
	}
	e.At, e.Previous, e.Hash = moment(at), [32]byte(previous), [32]byte(hash)
	return e, nil
}

func auditHead(ctx context.Context, a asker) (AuditEntry, error) {
	var e AuditEntry
	err := each(ctx, a, func(r *sql.Rows) (err error) {
		e, err = scanAudit(r)
		return err
	}, "SELECT "+auditColumns+" FROM audit ORDER BY sequence DESC LIMIT 1")
	return e, err
}

// Audit gives up to n entries from a sequence on, in order.
func (s *Store) Audit(ctx context.Context, from uint64, n int) ([]AuditEntry, error) {
	var es []AuditEntry
	err := each(ctx, s.db, func(r *sql.Rows) error {
		e, err := scanAudit(r)
		es = append(es, e)
		return err
	}, "SELECT "+auditColumns+" FROM audit WHERE sequence >= ? ORDER BY sequence LIMIT ?", int64(min(from, 1<<62)), n)
	return es, err
}

// AuditHead gives the newest entry, the zero AuditEntry when there is none.
func (s *Store) AuditHead(ctx context.Context) (AuditEntry, error) { return auditHead(ctx, s.db) }
