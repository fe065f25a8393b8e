package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

// fill writes findings 0 to n at revision 1 into an empty store, with the sensors'
// counts, as Ingest and linking would leave them: without indexes, which are made at
// the end, and without waiting for the disk. TestFill compares.
func fill(t testing.TB, s *Store, l *storetest.Reports, n int, received time.Time) {
	t.Helper()
	f := &filler{s: s, l: l, received: received.UnixNano(), levels: make([][5]int64, l.Sensors), faces: map[faceKey]face{}}
	var err error
	if s.db.dialect == sqlite {
		err = f.sqlite(t, n)
	} else {
		err = f.postgres(t, n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type filler struct {
	s        *Store
	l        *storetest.Reports
	received int64
	levels   [][5]int64
	faces    map[faceKey]face
}

// fillTables are the tables that are written for each finding.
var fillTables = []struct {
	table   string
	columns string
	order   string // by which they are stored, where that is not the order of coming
}{
	{"finding", "id, line, sensor, since, verdict, aged, received, revision, last_seen, flags, vendor, told, keys, body", ""},
	{"line", "id, sensor, name, addr, since, verdict", ""},
	{"revision", "finding, revision, received, verdict, flags, score, margin, nearest, vendor, model", "finding, revision"},
	{"bearer", "kind, digest, finding, verdict", "kind, digest, finding"},
	{"card", "id, imsi, imei, iccid, msisdn, since, first_seen, last_seen", ""},
}

// rows are of one table each, as fillTables has them.
type rows [5][][]any

// chunk makes the rows of findings from to until.
func (f *filler) chunk(from, until int) (out rows, ps []*prepared, err error) {
	for n := from; n < until; n++ {
		p := &prepared{sensor: f.l.Sensor(n % f.l.Sensors), owned: true, received: f.received}
		if ok, err := f.s.prepareFinding(p, f.l.Revision(n, 1)); err != nil || !ok {
			return out, nil, fmt.Errorf("finding %d: %v, %w", n, ok, err)
		}
		e := p.findings[0]
		ps = append(ps, p)
		out[0] = append(out[0], []any{e.id[:], e.line[:], p.sensor, e.since, e.verdict, f.received / agedUnit, f.received, e.revision, e.last, e.flags, e.vendor, e.told[:], e.keyed[:], e.body})
		out[1] = append(out[1], []any{e.line[:], p.sensor, e.name, e.addr, e.since, e.verdict})
		out[2] = append(out[2], []any{e.id[:], e.revision, f.received, e.verdict, e.flags, *e.score, *e.margin, e.near, e.vendor, e.model})
		for i := range e.keys {
			out[3] = append(out[3], []any{int64(e.keys[i].Kind), e.keys[i].Sum[:], e.id[:], e.verdict})
		}
		for _, c := range e.cards {
			out[4] = append(out[4], []any{c.id[:], c.imsi, c.imei, c.iccid, c.msisdn, e.since, c.first, c.last})
		}
	}
	return out, ps, nil
}

// each makes all rows, by all processors, and writes them one chunk after another.
func (f *filler) each(t testing.TB, n int, write func(rows) error) error {
	const size = 5_000
	type made struct {
		rows rows
		ps   []*prepared
		err  error
	}
	var chunks []chan made
	for range (n + size - 1) / size {
		chunks = append(chunks, make(chan made, 1))
	}
	stop := make(chan struct{})
	ahead := make(chan struct{}, 8)
	var next int
	var mu sync.Mutex
	var working sync.WaitGroup
	defer working.Wait()
	defer close(stop)
	for range runtime.GOMAXPROCS(0) {
		working.Go(func() {
			for {
				select {
				case ahead <- struct{}{}:
				case <-stop:
					return
				}
				mu.Lock()
				k := next
				next++
				mu.Unlock()
				if k >= len(chunks) {
					return
				}
				var m made
				m.rows, m.ps, m.err = f.chunk(k*size, min(n, (k+1)*size))
				chunks[k] <- m
			}
		})
	}
	began := time.Now()
	for k, c := range chunks {
		m := <-c
		if m.err != nil {
			return m.err
		}
		if err := write(m.rows); err != nil {
			return err
		}
		for i, p := range m.ps {
			e := p.findings[0]
			f.levels[(k*size+i)%f.l.Sensors][e.verdict]++
			for _, x := range e.faces {
				key := faceKey{x.addr, x.role}
				if o, ok := f.faces[key]; ok {
					x.first, x.last = min(o.first, x.first), max(o.last, x.last)
				}
				f.faces[key] = x
			}
		}
		<-ahead
		if k%100 == 99 {
			t.Logf("filled %d in %v", (k+1)*size, time.Since(began).Round(time.Second))
		}
	}
	return nil
}

// rest writes what is not written for each finding.
func (f *filler) rest(ctx context.Context) error {
	return f.s.within(ctx, func(t *tx) error {
		g := &ingest{s: f.s, t: t, ctx: ctx, group: []*prepared{{received: f.received}}, faces: f.faces}
		if err := g.writeFaces(); err != nil {
			return err
		}
		for k, n := range f.levels {
			if _, err := t.exec(ctx, "UPDATE sensor SET last_report = ?, n_none = ?, n_watch = ?, n_review = ?, n_case = ? WHERE name = ?", f.received, n[1], n[2], n[3], n[4], f.l.Sensor(k)); err != nil {
				return err
			}
		}
		return nil
	})
}

// indexes gives the statements that make the indexes of the tables that are filled.
func (f *filler) indexes(ctx context.Context) (names, statements []string, err error) {
	q := "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('finding', 'line', 'revision', 'bearer', 'card') ORDER BY name"
	if f.s.db.dialect == postgres {
		q = `SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.schemaname = current_schema() AND i.tablename IN ('finding', 'line', 'revision', 'bearer', 'card')
			AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname) ORDER BY i.indexname`
	}
	err = each(ctx, f.s.db, func(r *sql.Rows) error {
		var name, statement string
		err := r.Scan(&name, &statement)
		names, statements = append(names, name), append(statements, statement)
		return err
	}, q)
	return names, statements, err
}

func (f *filler) sqlite(t testing.TB, n int) error {
	ctx := t.Context()
	names, statements, err := f.indexes(ctx)
	if err != nil {
		return err
	}
	x := <-f.s.db.turn
	defer func() { f.s.db.turn <- x }()
	do := func(qs ...string) error {
		for _, q := range qs {
			began := time.Now()
			if _, err := x.conn.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
			if d := time.Since(began); d > time.Second {
				t.Logf("%v: %.60s", d.Round(time.Second), q)
			}
		}
		return nil
	}
	// Sorting goes to files, the caches hold the indexes of keys.
	if err := do("PRAGMA synchronous = OFF", "PRAGMA temp_store = FILE", "PRAGMA cache_size = -1500000"); err != nil {
		return err
	}
	for _, name := range names {
		if err := do("DROP INDEX " + name); err != nil {
			return err
		}
	}
	var inserts [5]*sql.Stmt
	for i, w := range fillTables {
		into := w.table
		if w.order != "" {
			into = "fill_" + w.table
			if err := do("CREATE TEMP TABLE " + into + " AS SELECT " + w.columns + " FROM " + w.table + " LIMIT 0"); err != nil {
				return err
			}
		}
		mark := "(" + strings.TrimSuffix(strings.Repeat("?, ", strings.Count(w.columns, ",")+1), ", ") + ")"
		if inserts[i], err = x.conn.PrepareContext(ctx, "INSERT INTO "+into+" ("+w.columns+") VALUES "+mark); err != nil {
			return err
		}
		defer inserts[i].Close()
	}
	err = f.each(t, n, func(rs rows) error {
		if err := do("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		for i, table := range rs {
			for _, r := range table {
				if _, err := inserts[i].ExecContext(context.WithoutCancel(ctx), r...); err != nil {
					return errors.Join(fmt.Errorf("%s: %w", fillTables[i].table, err), do("ROLLBACK"))
				}
			}
		}
		return do("COMMIT")
	})
	if err != nil {
		return err
	}
	for _, w := range fillTables {
		if w.order == "" {
			continue
		}
		if err := do("INSERT INTO "+w.table+" ("+w.columns+") SELECT "+w.columns+" FROM fill_"+w.table+" ORDER BY "+w.order, "DROP TABLE fill_"+w.table); err != nil {
			return err
		}
	}
	if err := do(statements...); err != nil {
		return err
	}
	if err := do("PRAGMA temp_store = MEMORY", "PRAGMA cache_size = -65536", "PRAGMA synchronous = FULL", "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	f.s.db.turn <- x
	err = f.rest(ctx)
	x = <-f.s.db.turn
	return err
}

func (f *filler) postgres(t testing.TB, n int) error {
	ctx := t.Context()
	names, statements, err := f.indexes(ctx)
	if err != nil {
		return err
	}
	conn, err := f.s.db.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	do := func(qs ...string) error {
		for _, q := range qs {
			began := time.Now()
			if _, err := conn.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
			if d := time.Since(began); d > time.Second {
				t.Logf("%v: %.60s", d.Round(time.Second), q)
			}
		}
		return nil
	}
	if err := do("SET maintenance_work_mem = '1GB'", "SET synchronous_commit = off"); err != nil {
		return err
	}
	for _, name := range names {
		if err := do("DROP INDEX " + name); err != nil {
			return err
		}
	}
	for _, w := range fillTables {
		key := "id"
		if w.order != "" {
			key = w.order
		}
		if err := do("ALTER TABLE " + w.table + " DROP CONSTRAINT " + w.table + "_pkey"); err != nil {
			return err
		}
		statements = append([]string{"ALTER TABLE " + w.table + " ADD PRIMARY KEY (" + key + ")"}, statements...)
	}
	small := map[string]bool{"verdict": true, "flags": true, "kind": true}
	if err := conn.Raw(func(c any) error {
		pg := c.(*stdlib.Conn).Conn()
		return f.each(t, n, func(rs rows) error {
			for i, w := range fillTables {
				columns := strings.Split(w.columns, ", ")
				for _, r := range rs[i] {
					for j, c := range columns {
						if v, ok := r[j].(int64); ok && small[c] {
							r[j] = int16(v)
						}
					}
				}
				if _, err := pg.CopyFrom(ctx, pgx.Identifier{w.table}, columns, pgx.CopyFromRows(rs[i])); err != nil {
					return fmt.Errorf("%s: %w", w.table, err)
				}
			}
			return nil
		})
	}); err != nil {
		return err
	}
	if err := do(statements...); err != nil {
		return err
	}
	if err := do("VACUUM ANALYZE", "RESET maintenance_work_mem", "RESET synchronous_commit", "CHECKPOINT"); err != nil {
		return err
	}
	return f.rest(ctx)
}

// What fill leaves is what Ingest leaves, but for what waits to be linked.
func TestFill(t *testing.T) {
	const n = 300
	l, err := storetest.NewReports(sampleFile, 7, n, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			open := func() *Store {
				if kind == "postgres" {
					return openStore(t, Options{URL: postgresURL(t)})
				}
				return openStore(t, Options{Folder: t.TempDir()})
			}
			told, fast := open(), open()
			for _, s := range []*Store{told, fast} {
				for k := range l.Sensors {
					admit(t, s, l.Sensor(k))
				}
			}
			for k := range l.Sensors {
				var rs []*reportpb.FindingRevision
				for i := k; i < n; i += l.Sensors {
					rs = append(rs, l.Revision(i, 1))
				}
				d := Delivery{Sensor: l.Sensor(k), Epoch: 1, First: 1, Last: uint64(len(rs)), ReceivedAt: noon}
				for i, r := range rs {
					d.Records = append(d.Records, record(uint64(i+1), r))
				}
				if _, err := told.Ingest(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			fill(t, fast, l, n, noon)
			for _, table := range []string{"finding", "line", "revision", "bearer", "card", "controller", "sensor"} {
				if diff := cmp.Diff(dump(t, told, table), dump(t, fast, table)); diff != "" {
					t.Errorf("%s (-told +filled):\n%.2000s", table, diff)
				}
			}
			a, err := told.Findings(t.Context(), Filter{MinVerdict: watch}, Page{Size: 10})
			if err != nil {
				t.Fatal(err)
			}
			b, err := fast.Findings(t.Context(), Filter{MinVerdict: watch}, Page{Size: 10})
			if err != nil || len(b.Rows) != 10 || a.Rows[9].ID != b.Rows[9].ID {
				t.Errorf("lists differ: %v, %d rows", err, len(b.Rows))
			}
			if w, g := indexNames(t, told), indexNames(t, fast); !slices.Equal(w, g) {
				t.Errorf("indexes %v, want %v", g, w)
			}
		})
	}
}

func indexNames(t *testing.T, s *Store) []string {
	q := "SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name"
	if s.db.dialect == postgres {
		q = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() ORDER BY indexname"
	}
	var names []string
	if err := each(t.Context(), s.db, func(r *sql.Rows) error {
		names = append(names, "")
		return r.Scan(&names[len(names)-1])
	}, q); err != nil {
		t.Fatal(err)
	}
	return names
}

// dump gives a table's rows as text, in order.
func dump(t *testing.T, s *Store, table string) []string {
	var out []string
	if err := each(t.Context(), s.db, func(r *sql.Rows) error {
		names, err := r.Columns()
		if err != nil {
			return err
		}
		row, into := make([]any, len(names)), make([]any, len(names))
		for i := range row {
			into[i] = &row[i]
		}
		if err := r.Scan(into...); err != nil {
			return err
		}
		var b bytes.Buffer
		for i, name := range names {
			fmt.Fprintf(&b, "%s=%v ", name, row[i])
		}
		out = append(out, b.String())
		return nil
	}, "SELECT * FROM "+table); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
