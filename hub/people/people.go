// Package people holds who may ask the hub what: local accounts with roles,
// sessions, and the audit log of what was done.
package people

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"simtrap/hub/store"
)

// Role is what an account is for.
type Role string

// The roles.
const (
	Viewer  Role = "viewer"  // reads what is masked
	Analyst Role = "analyst" // and in clear, under an authority; works cases
	Admin   Role = "admin"   // as analysts, and changes accounts, sensors, policy
	Auditor Role = "auditor" // reads what is masked, and the audit log
)

// Roles in the order in which they are told.
func Roles() []Role { return []Role{Viewer, Analyst, Admin, Auditor} }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	for _, r := range Roles() {
		if s == string(r) {
			return r, nil
		}
	}
	return "", fmt.Errorf("%q: want viewer, analyst, admin or auditor", s)
}

// Reads: may see what the hub shows of its findings.
func (r Role) Reads() bool { return r == Viewer || r == Analyst || r == Admin || r == Auditor }

// Clear: may see addresses of lines in clear, under an authority.
func (r Role) Clear() bool { return r == Analyst || r == Admin }

// Person is who asks.
type Person struct {
	Account string
	Role    Role
}

// Store is what of a store.Store people need.
type Store interface {
	AddAccount(context.Context, store.Account) error
	PutAccount(context.Context, store.Account) error
	Account(context.Context, string) (store.Account, error)
	AccountOf(ctx context.Context, subject string) (store.Account, error)
	Accounts(context.Context) ([]store.Account, error)
	AddSession(context.Context, store.Session) error
	Session(context.Context, [32]byte, time.Time) (store.Session, error)
	DropSession(context.Context, [32]byte) error
	DropSessions(context.Context, string) error
	AppendAudit(context.Context, func(store.AuditEntry) (store.AuditEntry, error)) (store.AuditEntry, error)
	Audit(context.Context, uint64, int) ([]store.AuditEntry, error)
}

// Errors that a caller branches on.
var (
	// ErrLogin: the account, its password or the token does not hold; it is not said
	// which.
	ErrLogin = errors.New("the account and the password do not belong together")
	// ErrSession: the token is unknown, has ended, or its account is disabled.
	ErrSession = errors.New("the session is unknown or has ended: log in again")
	// ErrBusy: as many logins as may wait are waiting.
	ErrBusy = errors.New("too many log in at once: try again")
	// ErrName: a text cannot name an account.
	ErrName = fmt.Errorf("an account's name has 1 to %d of a-z, 0-9, and . _ @ - within", maxName)
	// ErrRefused: there is no such account, or it is there already, or may not have what
	// is asked for it; the error says which.
	ErrRefused = errors.New("refused")
	// ErrPassword: a text cannot be a password.
	ErrPassword = fmt.Errorf("a password has %d to %d bytes", minPassword, maxPassword)
)

// Bounds.
const (
	maxName     = 64
	minPassword = 12
	maxPassword = 256
	// SessionLife is how long a login holds.
	SessionLife = 12 * time.Hour
	// MaxTokenLife is how long a program's token may hold.
	MaxTokenLife = 366 * 24 * time.Hour
	// maxWaiting is how many logins may wait for their password to be hashed, from
	// all addresses: a second or two of hashing.
	maxWaiting = 32
)

// Options of People. The zero value of each but Store has a default.
type Options struct {
	Store Store
	Now   func() time.Time
	Log   *zap.Logger
}

// People are those who have accounts.
type People struct {
	store    Store
	now      func() time.Time
	log      *zap.Logger
	throttle *throttle
	failures *failures
	hashing  chan struct{} // bounds how much memory passwords take
	waiting  chan struct{} // and how many wait for it
	nobody   func() string // a hash to compare with where there is no account
}

// New gives people.
func New(o Options) *People {
	p := &People{store: o.Store, now: o.Now, log: o.Log, hashing: make(chan struct{}, 2), waiting: make(chan struct{}, maxWaiting)}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = zap.NewNop()
	}
	p.throttle = newThrottle(p.now)
	p.failures = newFailures()
	p.nobody = sync.OnceValue(func() string { return hashPassword(rand.Text()) })
	return p
}

// Name says whether s may name an account.
func Name(s string) bool {
	if s == "" || len(s) > maxName || !letter(s[0]) {
		return false
	}
	for _, c := range []byte(s) {
		if !letter(c) && !strings.ContainsRune("._@-", rune(c)) {
			return false
		}
	}
	return true
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// Add makes an account; by is who does.
func (p *People) Add(ctx context.Context, by, name string, role Role, password string) error {
	hash, err := p.check(name, password)
	if err != nil {
		return err
	}
	if _, err := ParseRole(string(role)); err != nil {
		return err
	}
	if _, err := p.Record(ctx, Entry{Account: by, Action: "account.add", Object: name, Detail: string(role)}); err != nil {
		return err
	}
	now := p.now()
	err = p.store.AddAccount(ctx, store.Account{Name: name, Role: string(role), Password: hash, Made: now, Changed: now})
	if errors.Is(err, store.ErrConflict) {
		return refused("there is an account %q already", name)
	}
	return err
}

func (p *People) check(name, password string) (hash string, err error) {
	if !Name(name) {
		return "", ErrName
	}
	if len(password) < minPassword || len(password) > maxPassword {
		return "", ErrPassword
	}
	return hashPassword(password), nil
}

// SetPassword changes one and ends the account's sessions.
func (p *People) SetPassword(ctx context.Context, by, name, password string) error {
	hash, err := p.check(name, password)
	if err != nil {
		return err
	}
	return p.change(ctx, Entry{Account: by, Action: "account.password", Object: name}, func(a *store.Account) { a.Password = hash })
}

// SetRole changes one; sessions that are open have the new role at once.
func (p *People) SetRole(ctx context.Context, by, name string, role Role) error {
	if _, err := ParseRole(string(role)); err != nil {
		return err
	}
	return p.change(ctx, Entry{Account: by, Action: "account.role", Object: name, Detail: string(role)}, func(a *store.Account) { a.Role = string(role) })
}

// Disable ends an account's sessions and lets it open none, or lets it again.
func (p *People) Disable(ctx context.Context, by, name string, disabled bool) error {
	action := "account.enable"
	if disabled {
		action = "account.disable"
	}
	return p.change(ctx, Entry{Account: by, Action: action, Object: name}, func(a *store.Account) { a.Disabled = disabled })
}

func (p *People) change(ctx context.Context, e Entry, do func(*store.Account)) error {
	a, err := p.store.Account(ctx, e.Object)
	if errors.Is(err, store.ErrNotFound) {
		return refused("there is no account %q", e.Object)
	}
	if err != nil {
		return err
	}
	if _, err := p.Record(ctx, e); err != nil {
		return err
	}
	do(&a)
	a.Changed = p.now()
	if err := p.store.PutAccount(ctx, a); err != nil {
		return err
	}
	if e.Action == "account.role" {
		return nil
	}
	return p.store.DropSessions(ctx, a.Name)
}

// refusal is an ErrRefused in the words that tell why.
type refusal struct{ error }

func (refusal) Is(target error) bool { return target == ErrRefused }

func refused(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// Accounts gives all, by name.
func (p *People) Accounts(ctx context.Context) ([]store.Account, error) { return p.store.Accounts(ctx) }

// Login opens a session for whoever knows an account's password. It fails with
// ErrLogin, with a Throttled after too many failures of the account or from the
// address, or with ErrBusy.
func (p *People) Login(ctx context.Context, name, password string, from netip.Addr) (token string, until time.Time, err error) {
	if !Name(name) || len(password) > maxPassword {
		return "", time.Time{}, ErrLogin
	}
	if wait := p.throttle.take(name, from); wait > 0 {
		p.failures.refused(name, from, p.now())
		return "", time.Time{}, &Throttled{After: wait}
	}
	compared := false
	defer func() {
		if !compared {
			p.throttle.giveBack(name, from)
		}
	}()
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	default:
		return "", time.Time{}, ErrBusy
	}
	a, err := p.store.Account(ctx, name)
	known := err == nil && !a.Disabled && !strings.HasPrefix(a.Password, oidcKind)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", time.Time{}, err
	}
	hash := a.Password
	if !known {
		hash = p.nobody() // as long a wait as for one that is there
	}
	select {
	case p.hashing <- struct{}{}:
	case <-ctx.Done():
		return "", time.Time{}, ctx.Err()
	}
	same := samePassword(hash, password)
	compared = true
	<-p.hashing
	if !same || !known {
		p.log.Warn("login failed", zap.String("account", name), zap.Stringer("from", from))
		// Not written down before it is answered: how long that takes would tell whether
		// there is such an account, and anybody could make the log as long as he likes.
		p.failures.failed(name, err == nil, from, p.now())
		return "", time.Time{}, ErrLogin
	}
	p.throttle.succeeded(name, from)
	token, until, err = p.open(ctx, Entry{Account: name, Action: "login", Detail: from.String()}, name, SessionLife, false)
	if err != nil {
		return "", time.Time{}, err
	}
	// Who changed the password meanwhile, or disabled the account, ended the sessions
	// that there were by then: this one is not among them.
	now, err := p.store.Account(ctx, name)
	if err == nil && !now.Disabled && now.Password == a.Password {
		return token, until, nil
	}
	if err == nil || errors.Is(err, store.ErrNotFound) {
		err = ErrLogin
	}
	if bad := p.store.DropSession(context.WithoutCancel(ctx), sessionHash(token)); bad != nil {
		p.log.Error("the session of an old password was not ended", zap.String("account", name), zap.Error(bad))
	}
	return "", time.Time{}, err
}

// Token opens a session for a program, which needs no login.
func (p *People) Token(ctx context.Context, by, name string, life time.Duration) (token string, until time.Time, err error) {
	if life <= 0 || life > MaxTokenLife {
		return "", time.Time{}, refused("a token holds up to %d days", MaxTokenLife/(24*time.Hour))
	}
	a, err := p.store.Account(ctx, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", time.Time{}, refused("there is no account %q", name)
	case err != nil:
		return "", time.Time{}, err
	case a.Disabled:
		return "", time.Time{}, refused("the account %q is disabled", name)
	}
	token, until, err = p.open(ctx, Entry{Account: by, Action: "account.token", Object: name, Detail: life.String()}, name, life, true)
	if errors.Is(err, store.ErrFull) {
		err = refused("the account %q has as many tokens of programs as it may: log some out, or all with a new password", name)
	}
	return token, until, err
}

func (p *People) open(ctx context.Context, e Entry, account string, life time.Duration, program bool) (string, time.Time, error) {
	if _, err := p.Record(ctx, e); err != nil {
		return "", time.Time{}, err
	}
	secret := make([]byte, sessionSecret)
	rand.Read(secret)
	token := sessionKind + hex.EncodeToString(secret)
	now := p.now()
	s := store.Session{Hash: sessionHash(token), Account: account, Program: program, Made: now, Expires: now.Add(life)}
	if err := p.store.AddSession(ctx, s); err != nil {
		return "", time.Time{}, err
	}
	return token, s.Expires, nil
}

const (
	sessionKind   = "sp1-"
	sessionSecret = 20 // bytes
)

// sessionHash needs no slow hash: nobody guesses 160 bits.
func sessionHash(token string) [32]byte {
	return sha256.Sum256([]byte("simtrap session\x00" + token))
}

// sessionToken says whether a text can be a token.
func sessionToken(s string) bool {
	return len(s) == len(sessionKind)+2*sessionSecret && strings.HasPrefix(s, sessionKind)
}

// Who says whose a session's token is. It fails with ErrSession.
func (p *People) Who(ctx context.Context, token string) (Person, error) {
	if !sessionToken(token) {
		return Person{}, ErrSession
	}
	s, err := p.store.Session(ctx, sessionHash(token), p.now())
	if errors.Is(err, store.ErrNotFound) {
		return Person{}, ErrSession
	}
	if err != nil {
		return Person{}, err
	}
	a, err := p.store.Account(ctx, s.Account)
	if errors.Is(err, store.ErrNotFound) || err == nil && a.Disabled {
		return Person{}, ErrSession
	}
	if err != nil {
		return Person{}, err
	}
	return Person{a.Name, Role(a.Role)}, nil
}

// Logout ends a session, if there is such a one.
func (p *People) Logout(ctx context.Context, token string) error {
	if !sessionToken(token) {
		return nil
	}
	// Anybody may ask: without a session nothing is written.
	hash := sessionHash(token)
	if _, err := p.store.Session(ctx, hash, p.now()); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	return p.store.DropSession(ctx, hash)
}
