// Package store keeps what the hub knows, in SQLite or in PostgreSQL, with the
// same tables and the same answers.
//
// Everything is stored under natural keys and every write can be repeated, so
// that a report has its effect once however often it comes, and so that several
// hubs can work on one PostgreSQL, none of them a leader. Identities are keyed
// anew with the hub's own key before anything is written; lines stand under
// their address.
package store

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Errors that a caller branches on. Others are failures of the store itself:
// what was asked may be tried again.
var (
	// ErrNotFound says that there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that somebody else was first: the row exists, or is of
	// another version than the caller had seen. Read again, then decide.
	ErrConflict = errors.New("changed by somebody else")
	// ErrRevoked says that a sensor is not, or no longer, admitted.
	ErrRevoked = errors.New("sensor is not admitted")
	// ErrInvalid says that what was given will never be taken.
	ErrInvalid = errors.New("invalid")
	// ErrBusy says that more waits to be written than is good: try later.
	ErrBusy = errors.New("too much is waiting to be written")
	// ErrSpent says that a token was used before, has expired, or never was.
	ErrSpent = errors.New("token is spent, expired or unknown")
	// ErrFull says that there are as many of a kind as there may be.
	ErrFull = errors.New("there are as many as there may be")
	// ErrUnsupported says that this kind of store has another way for it.
	ErrUnsupported = errors.New("not supported by this store")
)

// ID names a row: 16 bytes, 32 hex digits as text. The zero ID names nothing.
type ID [16]byte

// String gives 32 hex digits, or nothing for the zero ID.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// IsZero says whether the ID names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads 32 hex digits. Anything else is ErrInvalid.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("%w: an id has 32 hex digits", ErrInvalid)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("%w: an id has 32 hex digits", ErrInvalid)
	}
	return id, nil
}

// FindingID names a finding: the sensor that made it, and the id that it has
// there.
func FindingID(sensor string, id []byte) ID { return derive("finding", sensor, string(id)) }

// LineID names a line: one access as one sensor sees it. The same address at
// two sensors is two lines, since private addresses repeat.
func LineID(sensor, line string) ID { return derive("line", sensor, line) }

func derive(parts ...string) ID {
	b := make([]byte, 0, 128)
	for _, p := range parts {
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(b, ':')
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return ID(sum[:16])
}

// Options of a store. Folder or URL is needed, and HubKey.
type Options struct {
	// Folder in which SQLite keeps "hub.db". Used when URL is empty.
	Folder string
	// URL of a PostgreSQL: "postgres://...".
	URL string
	// HubKey makes pseudonyms of the sensors' pseudonyms; 32 bytes.
	HubKey []byte
	// Log is where the store tells what it does; nil for nowhere.
	Log *zap.Logger
	// Now gives the wall clock; nil for time.Now.
	Now func() time.Time
	// Writers is how many transactions of reports run side by side on
	// PostgreSQL; 0 for 4. SQLite has one.
	Writers int
	// Waiting is how many records may wait to be written before Ingest says
	// ErrBusy; 0 for 50,000.
	Waiting int
}

// Store keeps what the hub knows. Its methods may be called from anywhere.
type Store struct {
	db    *database
	log   *zap.Logger
	now   func() time.Time
	names *pseudonyms
	pack  *packer
	sql   *statements

	count   counters
	waiting atomic.Int64
	limit   int64
	orphans atomic.Pointer[callPlace] // calls up to there were looked for theirs

	recounted atomic.Pointer[[16]byte] // controllers up to there were counted anew
	walkFrom  int                      // above so many findings of a controller they are read in the list's order

	mu      sync.RWMutex // held for reading while something is handed to a writer
	closed  bool
	writers []chan *prepared
	ended   sync.WaitGroup
}

var errClosed = errors.New("the store is closed")

// errBadConn makes database/sql throw a connection away.
var errBadConn = driver.ErrBadConn

// Open opens a store and brings its tables to the version of this program. A
// store of a newer version is refused.
func Open(ctx context.Context, o Options) (*Store, error) { return open(ctx, o, 0) }

// open brings the tables to version, 0 for the newest.
func open(ctx context.Context, o Options, version int64) (*Store, error) {
	if len(o.HubKey) != 32 {
		return nil, fmt.Errorf("%w: the hub's key has 32 bytes", ErrInvalid)
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Waiting == 0 {
		o.Waiting = 50_000
	}
	if o.Writers == 0 {
		o.Writers = 4
	}
	pack, err := newPacker()
	if err != nil {
		return nil, err
	}
	var db *database
	switch {
	case o.URL != "":
		db, err = openPostgres(ctx, o)
	case o.Folder != "":
		o.Writers = 1
		db, err = openSQLite(ctx, o)
	default:
		err = fmt.Errorf("%w: a store needs a folder or a URL", ErrInvalid)
	}
	if err != nil {
		pack.close()
		return nil, err
	}
	s := &Store{
		db: db, log: o.Log, now: o.Now, names: newPseudonyms(o.HubKey), pack: pack, sql: newStatements(),
		limit: int64(o.Waiting), writers: make([]chan *prepared, o.Writers), walkFrom: walkMost,
	}
	if err := db.migrate(ctx, o.Log, version); err != nil {
		s.shut()
		return nil, err
	}
	if err := db.start(ctx); err != nil {
		s.shut()
		return nil, err
	}
	for i := range s.writers {
		s.writers[i] = make(chan *prepared, 4096)
		s.ended.Go(func() { s.writeAll(s.writers[i]) })
	}
	return s, nil
}

func (s *Store) shut() error {
	s.pack.close()
	return s.db.close()
}

// Close ends what runs, after what Ingest has taken is committed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for _, w := range s.writers {
		close(w)
	}
	s.mu.Unlock()
	s.ended.Wait()
	return s.shut()
}

// Ready says whether the store answers and can be written to.
func (s *Store) Ready(ctx context.Context) error {
	return s.within(ctx, func(t *tx) error {
		if t.d.dialect == sqlite {
			// Its lock is to be had on a full disk too: only what is written shows it.
			_, err := t.exec(ctx, "UPDATE schema_version SET version = version WHERE version = 1")
			return err
		}
		// The lock of a row is refused where nothing can be written.
		return one(ctx, t, []any{new(int64)}, "SELECT version FROM schema_version WHERE version = 1"+t.forUpdate())
	})
}

// Counters of one process since it opened the store.
type Counters struct {
	Deliveries uint64 // committed
	Commits    uint64 // transactions that they took
	Findings   uint64 // new, or of a higher revision
	Older      uint64 // revisions that came again, or after a higher one
	Calls      uint64
	Sketches   uint64
	Healths    uint64
	Gaps       uint64
	Unknown    uint64 // records of a kind that this program does not know
	Refused    uint64 // records that made no sense, acknowledged all the same
	Cut        uint64 // keys of findings left out since one finding had too many
	Busy       uint64 // deliveries sent away
	Retries    uint64 // transactions done again after a conflict
	Waiting    int    // records that wait now
}

type counters struct {
	deliveries, commits, findings, older, calls, sketches, healths, gaps, unknown, refused, cut, busy, retries atomic.Uint64
}

// Counters gives them.
func (s *Store) Counters() Counters {
	c := &s.count
	return Counters{
		Deliveries: c.deliveries.Load(), Commits: c.commits.Load(), Findings: c.findings.Load(), Older: c.older.Load(),
		Calls: c.calls.Load(), Sketches: c.sketches.Load(), Healths: c.healths.Load(), Gaps: c.gaps.Load(),
		Unknown: c.unknown.Load(), Refused: c.refused.Load(), Cut: c.cut.Load(), Busy: c.busy.Load(),
		Retries: c.retries.Load(), Waiting: int(s.waiting.Load()),
	}
}
