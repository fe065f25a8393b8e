package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// fileName of SQLite's database in the hub's folder.
const fileName = "hub.db"

// readers of SQLite that run side by side with the one that writes.
const readers = 4

func openSQLite(ctx context.Context, o Options) (*database, error) {
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(o.Folder, fileName))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// SQLite would make it readable for others; its other files take the mode of
	// this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	d := &database{dialect: sqlite, turn: make(chan *tx, 1)}
	// An acknowledgement says that the report survives the loss of power: FULL.
	// Caches are in KiB.
	d.write, err = sql.Open("sqlite", sqliteName(path, "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-32768)", "wal_autocheckpoint(64000)", "journal_size_limit(134217728)"))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	d.write.SetMaxOpenConns(1)
	// A reader throws its pages away whenever something was committed since, that is
	// always while reports come in: a large cache is memory that is taken and given back,
	// page by page, which took a quarter of the hub's processor time. The operating
	// system has the pages.
	d.read, err = sql.Open("sqlite", sqliteName(path, "cache_size(-1024)", "query_only(1)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), d.write.Close())
	}
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	d.back, err = sql.Open("sqlite", sqliteName(path, "cache_size(-2048)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), d.write.Close(), d.read.Close())
	}
	d.back.SetMaxOpenConns(1)
	return d, nil
}

func sqliteName(path string, pragmas ...string) string {
	v := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "temp_store(2)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: v.Encode()}).String()
}

func openPostgres(ctx context.Context, o Options) (*database, error) {
	c, err := pgx.ParseConfig(o.URL)
	if err != nil {
		// The URL may hold a password: the driver's words do not repeat it.
		return nil, fmt.Errorf("%w: the store's URL: %w", ErrInvalid, err)
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	// A hub whose network is gone must not hold what others wait for.
	for name, value := range map[string]string{"application_name": "simtrap-hub", "idle_in_transaction_session_timeout": "60000", "lock_timeout": "30000"} {
		if _, set := c.RuntimeParams[name]; !set {
			c.RuntimeParams[name] = value
		}
	}
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(o.Writers + 8)
	db.SetMaxIdleConns(o.Writers + 4)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), db.Close())
	}
	return &database{dialect: postgres, write: db, read: db}, nil
}

// start takes the connection that writes, once the tables are there.
func (d *database) start(ctx context.Context) error {
	if d.dialect == postgres {
		return nil
	}
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	d.started = true
	d.turn <- &tx{d: d, conn: conn, statements: map[string]*sql.Stmt{}}
	d.done = make(chan struct{})
	d.working.Go(d.writeBack)
	return nil
}

const (
	// writeBackEvery is how often SQLite's log is written back into the file.
	writeBackEvery = 200 * time.Millisecond
	// longLog is how many pages of 4 KiB make a log that must be begun anew, and
	// longestLog one that is begun anew even if the writer has to wait.
	longLog, longestLog = 8_000, 48_000
	// littleLeft is how many pages the writer may have to wait for.
	littleLeft = 1_000
)

// writeBack writes SQLite's log back into the file beside the one who writes, who
// would have to do it himself otherwise, with reports waiting for him. A log is begun
// anew when nothing in it is left to be written back: where he is never idle the last
// of it is written while he stands still.
func (d *database) writeBack() {
	tick := time.NewTicker(writeBackEvery)
	defer tick.Stop()
	before := 0 // pages of the log that were in the file
	for {
		select {
		case <-d.done:
			return
		case <-tick.C:
		}
		// What fails is tried again, and the writer does it himself when the log is far
		// too long.
		for {
			pages, written, err := d.checkpoint()
			if err != nil {
				break
			}
			// About as much as was written back came meanwhile, or less.
			came := written - before
			if before = written; pages < longLog {
				break
			}
			if came > littleLeft && pages < longestLog {
				continue
			}
			select {
			case <-d.done:
				return
			case t := <-d.turn:
				_, _, _ = d.checkpoint()
				before = 0
				d.turn <- t
			}
			break
		}
	}
}

// checkpoint gives how many pages the log has, and how many of them are in the file.
func (d *database) checkpoint() (pages, written int, err error) {
	var busy int
	err = d.back.QueryRow("PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &written)
	return pages, written, err
}

func (d *database) close() error {
	if d.dialect == postgres {
		return d.write.Close()
	}
	if d.done != nil {
		close(d.done)
		d.working.Wait()
	}
	var errs []error
	d.asking.Lock()
	for _, s := range d.asked {
		errs = append(errs, s.Close())
	}
	d.asked = nil
	d.asking.Unlock()
	errs = append(errs, d.read.Close(), d.back.Close())
	if !d.started {
		return errors.Join(append(errs, d.write.Close())...)
	}
	select {
	case t := <-d.turn:
		d.turn <- nil
		if t != nil {
			for _, s := range t.statements {
				errs = append(errs, s.Close())
			}
			errs = append(errs, t.conn.Close())
		}
	case <-time.After(10 * time.Second):
		errs = append(errs, errors.New("store: a transaction does not end"))
	}
	// The last connection to close writes the log back into the file.
	return errors.Join(append(errs, d.write.Close())...)
}
