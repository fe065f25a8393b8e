package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

type dialect int

const (
	sqlite dialect = iota
	postgres
)

// database is one of the two engines behind one way of asking: statements are
// written with ? for their arguments.
type database struct {
	dialect dialect
	// write has all connections on PostgreSQL, and on SQLite the one that writes.
	write *sql.DB
	read  *sql.DB

	numbered sync.Map // statement with ? to statement with $1

	// SQLite: statements that read, prepared once. PostgreSQL's driver does it itself.
	asking sync.Mutex
	asked  map[string]*sql.Stmt

	// SQLite: whoever has the one connection that writes. Waiters are served in
	// the order in which they came.
	turn    chan *tx
	hurried atomic.Int64 // urgent ones among them
	started bool
	back    *sql.DB // writes the log back into the file
	done    chan struct{}
	working sync.WaitGroup
}

// bind writes a statement as the engine wants it.
func (d *database) bind(q string) string {
	if d.dialect == sqlite {
		return q
	}
	if b, ok := d.numbered.Load(q); ok {
		return b.(string)
	}
	var b strings.Builder
	n := 0
	for i := 0; i < len(q); i++ {
		if q[i] != '?' {
			b.WriteByte(q[i])
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	d.numbered.Store(q, b.String())
	return b.String()
}

// asker runs statements: a transaction, or the store at large for reading.
type asker interface {
	query(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	engine() dialect
}

func (d *database) engine() dialect { return d.dialect }

// maxAsked bounds the statements that are kept prepared: some are made for one
// filter, and never come again.
const maxAsked = 100

func (d *database) query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	if d.dialect == postgres {
		return d.read.QueryContext(ctx, d.bind(q), args...)
	}
	d.asking.Lock()
	s, ok := d.asked[q]
	if !ok && len(d.asked) < maxAsked {
		var err error
		if s, err = d.read.PrepareContext(context.WithoutCancel(ctx), q); err != nil {
			d.asking.Unlock()
			return nil, err
		}
		if d.asked == nil {
			d.asked = make(map[string]*sql.Stmt)
		}
		d.asked[q] = s
	}
	d.asking.Unlock()
	if s == nil {
		return d.read.QueryContext(ctx, q, args...)
	}
	return s.QueryContext(ctx, args...)
}

// tx is one transaction on one connection. Statements are prepared once for each
// connection: SQLite by us, PostgreSQL by its driver.
type tx struct {
	d          *database
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	lax        bool // SQLite: commits do not wait for the disk
	sure       bool // rows of statements made by insertSure are not there
}

func (t *tx) engine() dialect { return t.d.dialect }

func (t *tx) prepared(ctx context.Context, q string) (*sql.Stmt, error) {
	if s, ok := t.statements[q]; ok {
		return s, nil
	}
	s, err := t.conn.PrepareContext(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("prepare %.60q: %w", q, err)
	}
	t.statements[q] = s
	return s, nil
}

func (t *tx) exec(ctx context.Context, q string, args ...any) (int64, error) {
	var r sql.Result
	var err error
	if t.d.dialect == postgres {
		r, err = t.conn.ExecContext(ctx, t.d.bind(q), args...)
	} else {
		var s *sql.Stmt
		// Of a context that can end, the driver starts a goroutine for each statement.
		ctx = context.WithoutCancel(ctx)
		if s, err = t.prepared(ctx, q); err == nil {
			r, err = s.ExecContext(ctx, args...)
		}
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *tx) query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	if t.d.dialect == postgres {
		return t.conn.QueryContext(ctx, t.d.bind(q), args...)
	}
	ctx = context.WithoutCancel(ctx)
	s, err := t.prepared(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// each reads all rows of a question.
func each(ctx context.Context, a asker, scan func(*sql.Rows) error, q string, args ...any) error {
	rows, err := a.query(ctx, q, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one reads the one row of a question, or ErrNotFound.
func one(ctx context.Context, a asker, into []any, q string, args ...any) error {
	found := false
	err := each(ctx, a, func(r *sql.Rows) error {
		found = true
		return r.Scan(into...)
	}, q, args...)
	if err == nil && !found {
		return ErrNotFound
	}
	return err
}

// forUpdate follows a question whose rows the transaction will change. SQLite has
// one transaction that writes at a time.
func (t *tx) forUpdate() string {
	if t.d.dialect == postgres {
		return " FOR UPDATE"
	}
	return ""
}

// manner is how a transaction goes about SQLite's one writer. PostgreSQL has many: of it
// lax ones alone differ, which do not wait for the disk.
type manner int

const (
	urgent manner = iota
	// patient lets urgent ones that wait go first, for up to patience.
	patient
	// lax is patient, and a cut of the power may take it back until the next commit of
	// another manner, or until the log is written (200 ms; PostgreSQL: three times its
	// wal_writer_delay, 600 ms): it is for what would be
	// done again. What was committed before it stands.
	lax
)

// patience is how long a patient transaction lets others go first.
const patience = 200 * time.Millisecond

// within runs do in one transaction. It is run again when the engine says that
// another transaction was in the way, so do must not leave traces elsewhere.
func (s *Store) within(ctx context.Context, do func(*tx) error) error {
	return s.withinAs(ctx, urgent, do)
}

func (s *Store) withinAs(ctx context.Context, m manner, do func(*tx) error) error {
	for try := 0; ; try++ {
		err := s.attempt(ctx, m, do)
		if err == nil || !inTheWay(err) || try == 9 {
			return err
		}
		s.count.retries.Add(1)
		wait := time.Duration(rand.Int64N(int64(5*time.Millisecond) << min(try, 5)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// take waits for SQLite's writer.
func (d *database) take(ctx context.Context, m manner) (*tx, error) {
	if m == urgent {
		d.hurried.Add(1)
		defer d.hurried.Add(-1)
	}
	for until := time.Now().Add(patience); ; {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case t := <-d.turn:
			if t == nil {
				d.turn <- nil
				return nil, errClosed
			}
			if m != urgent && d.hurried.Load() > 0 && time.Now().Before(until) {
				d.turn <- t
				runtime.Gosched()
				continue
			}
			if t.lax == (m == lax) {
				return t, nil
			}
			// It takes effect when it is compiled, so it is no prepared statement.
			level := "FULL"
			if m == lax {
				level = "NORMAL"
			}
			if _, err := t.conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous = "+level); err != nil {
				d.turn <- t
				return nil, fmt.Errorf("begin: %w", err)
			}
			t.lax = m == lax
			return t, nil
		}
	}
}

func (s *Store) attempt(ctx context.Context, m manner, do func(*tx) error) (err error) {
	d := s.db
	var t *tx
	if d.dialect == sqlite {
		if t, err = d.take(ctx, m); err != nil {
			return err
		}
		defer func() { d.turn <- t }()
		if _, err := t.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
	} else {
		conn, err := d.write.Conn(ctx)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		defer conn.Close()
		t = &tx{d: d, conn: conn}
		if _, err := t.exec(ctx, "BEGIN"); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if m == lax {
			if _, err := t.exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
				return fmt.Errorf("begin: %w", err)
			}
		}
	}
	done := false
	defer func() {
		if done {
			return
		}
		// The caller's context may be what ended the work.
		back, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		if _, e := t.exec(back, "ROLLBACK"); e != nil && d.dialect == postgres {
			// A connection in an unknown state must not be used again.
			_ = t.conn.Raw(func(any) error { return errBadConn })
		}
	}()
	if err := do(t); err != nil {
		return err
	}
	if _, err := t.exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}

// inTheWay says whether a transaction failed because of another one.
func inTheWay(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01": // serialization failure, deadlock
			return true
		}
	}
	return false
}

// taken says whether a row with that key exists already.
func taken(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite interface{ Code() int }
	if errors.As(err, &lite) {
		switch lite.Code() {
		case 1555, 2067: // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE
			return true
		}
	}
	return false
}

// column kinds for arrays of PostgreSQL.
type kind byte

const (
	bytesKind kind = 'b' // []byte, nil for NULL
	intKind   kind = 'i' // int64
	textKind  kind = 't' // string
	floatKind kind = 'f' // *float64, nil for NULL
	smallKind kind = 's' // int64, stored as SMALLINT
)

func (k kind) array() string {
	switch k {
	case bytesKind:
		return "bytea[]"
	case intKind:
		return "bigint[]"
	case textKind:
		return "text[]"
	case smallKind:
		return "smallint[]"
	default:
		return "float8[]"
	}
}

type column struct {
	name string
	kind kind
}

// columns reads "b:id i:since": a kind and a name each.
func columns(spec string) []column {
	var cs []column
	for _, f := range strings.Fields(spec) {
		cs = append(cs, column{name: f[2:], kind: kind(f[0])})
	}
	return cs
}

// bulk is a statement for many rows: one round trip on PostgreSQL, and few
// statements on SQLite, where each costs as much as some rows do.
type bulk struct {
	columns []column
	pg      string         // one statement for any number of rows
	sure    string         // PostgreSQL: the same where the transaction is sure that no row is there; may be empty
	lite    map[int]string // by number of rows
}

// sqliteRows is how many rows one statement of SQLite takes.
const sqliteRows = 16

func newBulk(spec string, statement func(source func(alias string) string, cs []column) string) *bulk {
	cs := columns(spec)
	b := &bulk{columns: cs, lite: map[int]string{}}
	var arrays []string
	for i, c := range cs {
		arrays = append(arrays, fmt.Sprintf("$%d::%s", i+1, c.kind.array()))
	}
	names := joinNames(cs, "")
	b.pg = statement(func(alias string) string {
		return "unnest(" + strings.Join(arrays, ", ") + ") AS " + alias + " (" + names + ")"
	}, cs)
	for n := 1; n <= sqliteRows; n *= sqliteRows {
		var heads []string
		for i, c := range cs {
			heads = append(heads, fmt.Sprintf("column%d AS %s", i+1, c.name))
		}
		row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(cs)), ", ") + ")"
		b.lite[n] = statement(func(alias string) string {
			return "(SELECT " + strings.Join(heads, ", ") + " FROM (VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") + ")) AS " + alias
		}, cs)
	}
	return b
}

func joinNames(cs []column, prefix string) string {
	var names []string
	for _, c := range cs {
		names = append(names, prefix+c.name)
	}
	return strings.Join(names, ", ")
}

// insertInto makes a statement that inserts rows; conflict follows ON CONFLICT.
func insertInto(table, spec, conflict string) *bulk { return insertBy("INSERT", table, spec, conflict) }

// insertNew makes a statement that inserts those rows that are not there. On SQLite a
// statement that fails leaves what it had done, and the transaction takes it back:
// otherwise each page is copied before a statement changes it.
func insertNew(table, spec string) *bulk {
	b := insertInto(table, spec, "DO NOTHING")
	b.lite = insertBy("INSERT OR FAIL", table, spec, "DO NOTHING").lite
	return b
}

// insertSure is insertNew for rows of which the transaction may know that they are not
// there: PostgreSQL otherwise goes down the index once to look and once more to write.
func insertSure(table, spec string) *bulk {
	b := insertNew(table, spec)
	b.sure = strings.TrimSuffix(b.pg, " WHERE true ON CONFLICT DO NOTHING")
	return b
}

func insertBy(insert, table, spec, conflict string) *bulk {
	return newBulk(spec, func(source func(string) string, cs []column) string {
		// SQLite takes ON for a join's without the WHERE.
		return insert + " INTO " + table + " (" + joinNames(cs, "") + ") SELECT " + joinNames(cs, "r.") +
			" FROM " + source("r") + " WHERE true ON CONFLICT " + conflict
	})
}

// deleteFrom makes a statement that deletes the rows with these values.
func deleteFrom(table, spec string) *bulk {
	return newBulk(spec, func(source func(string) string, cs []column) string {
		return "DELETE FROM " + table + " WHERE (" + joinNames(cs, "") + ") IN (SELECT " + joinNames(cs, "r.") + " FROM " + source("r") + ")"
	})
}

// run runs a bulk statement over rows, flat, and gives how many rows it touched.
func (t *tx) run(ctx context.Context, b *bulk, flat []any) (int64, error) {
	w := len(b.columns)
	if len(flat) == 0 {
		return 0, nil
	}
	if t.d.dialect == postgres {
		args := make([]any, w)
		n := len(flat) / w
		for i, c := range b.columns {
			switch c.kind {
			case bytesKind:
				a := make([][]byte, n)
				for j := range a {
					a[j] = flat[j*w+i].([]byte)
				}
				args[i] = a
			case intKind:
				a := make([]int64, n)
				for j := range a {
					a[j] = flat[j*w+i].(int64)
				}
				args[i] = a
			case smallKind:
				a := make([]int16, n)
				for j := range a {
					a[j] = int16(flat[j*w+i].(int64))
				}
				args[i] = a
			case textKind:
				a := make([]string, n)
				for j := range a {
					a[j] = flat[j*w+i].(string)
				}
				args[i] = a
			case floatKind:
				a := make([]*float64, n)
				for j := range a {
					a[j] = flat[j*w+i].(*float64)
				}
				args[i] = a
			}
		}
		q := b.pg
		if t.sure && b.sure != "" {
			q = b.sure
		}
		r, err := t.conn.ExecContext(ctx, q, args...)
		if err != nil {
			return 0, err
		}
		return r.RowsAffected()
	}
	for i, c := range b.columns {
		if c.kind != floatKind {
			continue
		}
		for j := i; j < len(flat); j += w {
			if p := flat[j].(*float64); p != nil {
				flat[j] = *p
			} else {
				flat[j] = nil
			}
		}
	}
	var touched int64
	for len(flat) > 0 {
		n := 1
		if len(flat) >= sqliteRows*w {
			n = sqliteRows
		}
		k, err := t.exec(ctx, b.lite[n], flat[:n*w]...)
		if err != nil {
			return touched, err
		}
		touched += k
		flat = flat[n*w:]
	}
	return touched, nil
}

// in asks a question once for each of ids, however many there are: q has "IN ?"
// where they belong.
func in[T []byte | string](ctx context.Context, a asker, scan func(*sql.Rows) error, q string, ids []T, more ...any) error {
	if len(ids) == 0 {
		return nil
	}
	if a.engine() == postgres {
		at := strings.Index(q, "IN ?")
		before := strings.Count(q[:at], "?")
		args := append(append(append([]any{}, more[:before]...), ids), more[before:]...)
		return each(ctx, a, scan, strings.Replace(q, "IN ?", "= ANY(?)", 1), args...)
	}
	const chunk = 64
	at := strings.Index(q, "IN ?")
	before := strings.Count(q[:at], "?")
	for len(ids) > 0 {
		part := ids[:min(chunk, len(ids))]
		ids = ids[len(part):]
		n := len(part)
		if n > 1 {
			n = chunk
		}
		args := append([]any{}, more[:before]...)
		for i := range n {
			// What is missing to a whole chunk is the last one again.
			args = append(args, part[min(i, len(part)-1)])
		}
		args = append(args, more[before:]...)
		marks := "IN (" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")"
		if err := each(ctx, a, scan, strings.Replace(q, "IN ?", marks, 1), args...); err != nil {
			return err
		}
	}
	return nil
}
