package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

// multiply makes of each finding that is stored as many, in place, with the rows of
// all tables that grow by finding: ids, lines and keys of a copy are others, and as
// random as those of a hash; its controller, its body and its times are the same.
// Copies lie beside what they were copied from, so that what was reported lies all
// over the store. Of what waits to be linked nothing stays. Nobody else may use the
// store.
func multiply(ctx context.Context, t testing.TB, o Options, copies int) error {
	if copies > storetest.MaxCopies {
		return fmt.Errorf("%d copies, %d are the most", copies, storetest.MaxCopies)
	}
	var db *sql.DB
	var err error
	d := sqlite
	if o.URL != "" {
		d = postgres
		db, err = sql.Open("pgx", o.URL)
	} else {
		db, err = sql.Open("sqlite", sqliteName(filepath.Join(o.Folder, fileName), "temp_store(1)", "cache_size(-1000000)", "synchronous(0)", "journal_mode(OFF)"))
	}
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	qs, err := multiplying(ctx, db, d, copies)
	for _, q := range qs {
		began := time.Now()
		if _, err = db.ExecContext(ctx, q); err != nil {
			err = fmt.Errorf("%.200s: %w", q, err)
			break
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Logf("%v: %.60s", took.Round(time.Second), q)
		}
	}
	return errors.Join(err, db.Close())
}

// multiplying gives the statements.
func multiplying(ctx context.Context, db *sql.DB, d dialect, copies int) ([]string, error) {
	const tables = "'finding', 'line', 'revision', 'bearer', 'card'"
	q := "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN (" + tables + ") ORDER BY name"
	if d == postgres {
		q = "SELECT indexname, indexdef FROM pg_indexes i WHERE schemaname = current_schema() AND tablename IN (" + tables + `)
			AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname) ORDER BY indexname`
	}
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var before, after []string
	for rows.Next() {
		var name, made string
		if err := rows.Scan(&name, &made); err != nil {
			return nil, err
		}
		before, after = append(before, "DROP INDEX "+name), append(after, made)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}

	// Copy number 0 is what was there; no other is without being turned, which would be
	// equal to it where it ends so by chance.
	id := func(x string) string {
		return strings.ReplaceAll("CASE WHEN n = 0 THEN x ELSE CAST(substr(CAST(substr(x, 2 + n % 15) || substr(x, 1, 1 + n % 15) AS BLOB), 1, 15) || char(n) AS BLOB) END", "x", x)
	}
	text := "CASE WHEN n = 0 THEN name ELSE (16 + n) || substr(name, 3) END"
	addr := "CASE WHEN n = 0 THEN addr ELSE CAST(substr(addr, 1, 12) || char(16 + n) || substr(addr, 14) AS BLOB) END"
	from := fmt.Sprintf(" b CROSS JOIN (WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT n FROM c) AS c", copies-1)
	if d == postgres {
		id = func(x string) string {
			return strings.ReplaceAll("CASE WHEN n = 0 THEN x ELSE set_byte(substr(x, 2 + n % 15) || substr(x, 1, 1 + n % 15), 15, n) END", "x", x)
		}
		addr = "CASE WHEN n = 0 THEN addr ELSE set_byte(addr, 12, 16 + n) END"
		// What depends on a row is the inner part of the join.
		from = fmt.Sprintf(" b CROSS JOIN LATERAL generate_series(0, %d + 0 * b.verdict) AS c(n)", copies-1)
		before = append(before, "SET maintenance_work_mem = '1GB'", "SET synchronous_commit = off")
	}
	var middle []string
	for _, w := range []struct{ table, columns, values, key string }{
		{"finding", "id, line, sensor, since, verdict, aged, received, revision, last_seen, flags, vendor, told, keys, body",
			id("id") + ", " + id("line") + ", sensor, since, verdict, aged, received, revision, last_seen, flags, vendor, told, keys, body", "id"},
		{"line", "id, sensor, name, addr, since, verdict", id("id") + ", sensor, " + text + ", " + addr + ", since, verdict", "id"},
		{"revision", "finding, revision, received, verdict, flags, score, margin, nearest, vendor, model",
			id("finding") + ", revision, received, verdict, flags, score, margin, nearest, vendor, model", "finding, revision"},
		{"bearer", "kind, digest, finding, verdict",
			"kind, CASE WHEN kind = 6 THEN digest ELSE " + id("digest") + " END, " + id("finding") + ", verdict", "kind, digest, finding"},
	} {
		before = append(before, "CREATE TABLE base_"+w.table+" AS SELECT * FROM "+w.table)
		insert := "INSERT INTO " + w.table + " (" + w.columns + ") SELECT " + w.values + " FROM base_" + w.table + from
		if d == postgres {
			before = append(before, "TRUNCATE "+w.table, "ALTER TABLE "+w.table+" DROP CONSTRAINT "+w.table+"_pkey")
			after = append(after, "ALTER TABLE "+w.table+" ADD PRIMARY KEY ("+w.key+")")
		} else {
			before = append(before, "DELETE FROM "+w.table)
			if strings.Contains(w.key, ",") {
				// Stored in this order.
				n := strings.Count(w.key, ",") + 1
				insert += " ORDER BY " + strings.Join([]string{"1", "2", "3"}[:n], ", ")
			}
		}
		middle = append(middle, insert, "DROP TABLE base_"+w.table)
	}
	after = append(after, "DELETE FROM queue", fmt.Sprintf("UPDATE controller_use SET lines = lines * %d, watch = watch * %[1]d, review = review * %[1]d", copies),
		fmt.Sprintf("UPDATE sensor SET n_none = n_none * %d, n_watch = n_watch * %[1]d, n_review = n_review * %[1]d, n_case = n_case * %[1]d", copies))
	if d == postgres {
		after = append(after, "VACUUM ANALYZE", "CHECKPOINT")
	} else {
		after = append(after, "PRAGMA journal_mode = WAL")
	}
	return append(append(before, middle...), after...), nil
}

// A multiplied store has all indexes, and what was reported is found beside its copies.
func TestMultiply(t *testing.T) {
	const n, copies = 70, 20
	l, err := storetest.NewReports(sampleFile, 7, n, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			o := Options{Folder: t.TempDir(), HubKey: hubKey}
			if kind == "postgres" {
				o = Options{URL: postgresURL(t), HubKey: hubKey}
			}
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			want := indexNames(t, s)
			for k := range l.Sensors {
				admit(t, s, l.Sensor(k))
				var rs []*reportpb.FindingRevision
				for i := k; i < n; i += l.Sensors {
					rs = append(rs, l.Revision(i, 1))
				}
				deliver(t, s, l.Sensor(k), 1, rs...)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := multiply(t.Context(), t, o, copies); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, o)
			if got := indexNames(t, s); !slices.Equal(want, got) {
				t.Errorf("indexes %v, want %v", got, want)
			}
			c, err := s.Census(t.Context())
			if err != nil || c.None+c.Watch+c.Review+c.Case != n*copies {
				t.Errorf("%+v, %v", c, err)
			}
			for table, per := range map[string]int{"finding": 1, "line": 1, "revision": 1, "bearer": 0, "queue": 0} {
				var have int
				if err := one(t.Context(), s.db, []any{&have}, "SELECT count(*) FROM "+table); err != nil {
					t.Fatal(err)
				}
				if per > 0 && have != n*copies*per || table == "bearer" && have%copies != 0 || table == "queue" && have != 0 {
					t.Errorf("%s has %d rows", table, have)
				}
			}
			list, err := s.Findings(t.Context(), Filter{Lines: []LineMatch{{Name: "35.0.0.11"}}}, Page{Size: 10})
			if err != nil || len(list.Rows) != 1 || list.Rows[0].ID == FindingID(l.Sensor(11%7), l.ID(11)) {
				t.Errorf("a copy by its line: %d rows, %v", len(list.Rows), err)
			}
			// What was reported can be revised, and a copy has its keys.
			if got := deliver(t, s, l.Sensor(4), 50, l.Revision(11, 2)); got.Stored != 1 {
				t.Errorf("%+v", got)
			}
			us, err := s.ControllerUse(t.Context(), []string{"198.18.0.11"}, 100)
			if err != nil || us[0].Lines != copies {
				t.Errorf("%+v, %v", us, err)
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
