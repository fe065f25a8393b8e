package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

// filling writes the findings of a fleet to an empty store as they would lie there
// after all had been ingested, without indexes, transactions and the disk being waited
// for: ten million take minutes. TestFill holds it against ingest, table by table.
type filling struct {
	s        *Store // prepares, and writes what is little
	l        *storetest.Reports
	count    int
	received int64
	// linked says that all have been looked at for links and have none: nothing is in
	// the queue, who could be linked is in no box, and sensors have told of the
	// controllers, whose first hour would put all of their suspects into the queue again.
	linked bool

	tell func(format string, args ...any)

	mu     sync.Mutex // of what follows
	levels map[string]*[5]int64
	faces  faces
	uses   uses
}

// filledTable is a table of which there is a row or more for each finding.
type filledTable struct {
	name, columns string // as newStatements has them
	key           string
	sorted        bool // on SQLite its rows lie in the order of the key
}

var filledTables = []filledTable{
	{"finding", strings.Replace(findingColumns, "i:due", "n:due", 1), "id", false},
	{"line", "b:id t:sensor t:name b:addr i:since s:verdict", "id", false},
	{"revision", "b:finding i:revision i:received s:verdict s:flags f:score f:margin t:nearest t:vendor t:model", "finding, revision", true},
	{"bearer", bearerColumns, "kind, digest, finding", true},
	{"card", "b:id t:imsi t:imei t:iccid t:msisdn i:since i:first_seen i:last_seen", "id", false},
	{"queue", "b:finding i:stamp i:touched t:owner i:until", "finding", false},
	{"member", "b:finding b:box i:version", "finding", false},
	{"controller_finding", farColumns, "digest, since, finding", true},
}

// part is flat rows of each of filledTables.
type part [8][]any

// partSize is how many findings a part has.
const partSize = 1000

// make makes part number k.
func (f *filling) make(k int) (*part, error) {
	var p part
	levels, seen, us := map[string]*[5]int64{}, faces{}, uses{}
	for n := k * partSize; n < min((k+1)*partSize, f.count); n++ {
		sensor := f.l.Sensor(n % f.l.Sensors)
		made, err := f.s.prepare(Delivery{Sensor: sensor, Owned: true, ReceivedAt: time.Unix(0, f.received), Records: []*reportpb.Record{record(1, f.l.Revision(n, 1))}})
		if err != nil {
			return nil, err
		}
		if len(made.findings) != 1 {
			return nil, fmt.Errorf("finding %d makes no sense", n)
		}
		x := made.findings[0]
		id := x.id[:]
		p[0] = append(p[0], id, x.line[:], sensor, x.since, x.verdict, f.received/agedUnit, f.received, x.revision, x.last, x.flags, x.vendor, x.told[:], x.keyed[:], x.body)
		p[1] = append(p[1], x.line[:], sensor, x.name, x.addr, x.since, x.verdict)
		p[2] = append(p[2], id, x.revision, f.received, x.verdict, x.flags, x.score, x.margin, x.near, x.vendor, x.model)
		for i := range x.keys {
			p[3] = append(p[3], int64(x.keys[i].Kind), x.keys[i].Sum[:], id, x.verdict)
		}
		p[7] = append(p[7], farRows(x.keys, x.since, id)...)
		for i := range x.cards {
			c := &x.cards[i]
			p[4] = append(p[4], c.id[:], clean(c.imsi, maxText), clean(c.imei, maxText), clean(c.iccid, maxText), clean(c.msisdn, maxText), x.since, c.first, c.last)
		}
		switch {
		case x.verdict < watchVerdict:
		case f.linked:
			p[6] = append(p[6], id, []byte(nil), int64(1))
		default:
			p[5] = append(p[5], id, rand.Int64(), f.received, "", int64(0))
		}
		if levels[sensor] == nil {
			levels[sensor] = new([5]int64)
		}
		levels[sensor][x.verdict]++
		us.add(sensor, x.keys, x.verdict, 1)
		for _, c := range x.faces {
			if f.linked {
				c.told = int64(f.l.Controller(n).Lines)
			}
			seen.see(c)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for sensor, x := range levels {
		if f.levels[sensor] == nil {
			f.levels[sensor] = new([5]int64)
		}
		for v, n := range x {
			f.levels[sensor][v] += n
		}
	}
	for _, c := range seen {
		f.faces.see(c)
	}
	for k, x := range us {
		y := f.uses[k]
		f.uses[k] = use{y.lines + x.lines, y.watch + x.watch, y.review + x.review}
	}
	return &p, nil
}

// fill gives an empty store count findings. One that is not empty stays as it is.
func fill(ctx context.Context, t testing.TB, o Options, l *storetest.Reports, count int, received time.Time, linked bool) error {
	o.HubKey = hubKey
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	if c, err := s.Census(ctx); err != nil || c != (Census{}) {
		return errors.Join(err, s.Close())
	}
	for k := range l.Sensors {
		admit(t, s, l.Sensor(k))
	}
	if err := s.Close(); err != nil {
		return err
	}
	pack, err := newPacker()
	if err != nil {
		return err
	}
	defer pack.close()
	f := &filling{
		s: &Store{names: newPseudonyms(hubKey), pack: pack}, l: l, count: count, received: received.UnixNano(), linked: linked,
		levels: map[string]*[5]int64{}, faces: faces{}, uses: uses{}, tell: t.Logf,
	}
	began := time.Now()
	to := f.toSQLite
	if o.URL != "" {
		to = f.toPostgres
	}
	if err := to(ctx, o); err != nil {
		return err
	}
	if s, err = Open(ctx, o); err != nil {
		return err
	}
	if err := errors.Join(f.rest(ctx, s), s.Close()); err != nil {
		return err
	}
	t.Logf("%d findings filled in %v", count, time.Since(began).Round(100*time.Millisecond))
	return nil
}

// rest writes what there is little of.
func (f *filling) rest(ctx context.Context, s *Store) error {
	g := &ingest{s: s, ctx: ctx, group: []*prepared{{received: f.received}}, faces: f.faces, uses: f.uses}
	return s.within(ctx, func(t *tx) error {
		g.t = t
		if err := errors.Join(g.writeFaces(), g.writeUses()); err != nil {
			return err
		}
		for sensor, n := range f.levels {
			if _, err := t.exec(ctx, "UPDATE sensor SET last_report = ?, n_none = ?, n_watch = ?, n_review = ?, n_case = ? WHERE name = ?",
				f.received, n[1], n[2], n[3], n[4], sensor); err != nil {
				return err
			}
		}
		return nil
	})
}

// filledIndexes gives how the indexes of the filled tables are dropped and made again.
func filledIndexes(ctx context.Context, d dialect, db *sql.DB) (drop, create []string, err error) {
	var names []string
	for _, w := range filledTables {
		names = append(names, "'"+w.name+"'")
	}
	tables := "(" + strings.Join(names, ", ") + ")"
	q := "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN " + tables + " ORDER BY name"
	if d == postgres {
		q = "SELECT indexname, indexdef FROM pg_indexes i WHERE schemaname = current_schema() AND tablename IN " + tables + `
			AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname) ORDER BY indexname`
	}
	rows, err := db.QueryContext(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, made string
		if err := rows.Scan(&name, &made); err != nil {
			return nil, nil, err
		}
		drop, create = append(drop, "DROP INDEX "+name), append(create, made)
	}
	return drop, create, rows.Err()
}

// do runs statements and tells of those that take long.
func (f *filling) do(ctx context.Context, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, qs ...string) error {
	for _, q := range qs {
		began := time.Now()
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%.200s: %w", q, err)
		}
		f.took(began, q)
	}
	return nil
}

func (f *filling) took(began time.Time, what string) {
	if d := time.Since(began); d > 5*time.Second {
		f.tell("%v: %.70s", d.Round(time.Second), what)
	}
}

// sqliteFilled is how many rows one statement has.
const sqliteFilled = 50

// toSQLite writes everything in one transaction. Tables that lie in the order of their
// keys are kept in memory until they can be sorted: some 50 bytes for each key.
func (f *filling) toSQLite(ctx context.Context, o Options) (err error) {
	db, err := sql.Open("sqlite", sqliteName(filepath.Join(o.Folder, fileName), "temp_store(1)", "synchronous(0)", "journal_mode(OFF)", "locking_mode(EXCLUSIVE)", "cache_size(-2000000)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	drop, create, err := filledIndexes(ctx, sqlite, db)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := f.do(ctx, conn, append(drop, "BEGIN EXCLUSIVE")...); err != nil {
		return err
	}
	var into []*inserting
	for _, w := range filledTables {
		i, err := newInserting(ctx, conn, w)
		if err != nil {
			return err
		}
		defer i.close()
		into = append(into, i)
	}
	type bearer struct {
		kind, verdict   byte
		digest, finding ID
	}
	type revision struct {
		finding ID
		rest    int
	}
	type far struct {
		digest, finding ID
		since           int64
	}
	var fars []far
	bearers, revisions := make([]bearer, 0, 5*f.count), make([]revision, 0, f.count)
	rests, restOf := [][]any{}, map[string]int{}
	began := time.Now()
	parts, failed := f.parts(ctx)
	for p := range parts {
		for i, flat := range p {
			switch w := len(into[i].columns); filledTables[i].name {
			case "bearer":
				for r := 0; r < len(flat); r += w {
					bearers = append(bearers, bearer{byte(flat[r].(int64)), byte(flat[r+3].(int64)), ID(flat[r+1].([]byte)), ID(flat[r+2].([]byte))})
				}
			case "controller_finding":
				for r := 0; r < len(flat); r += w {
					fars = append(fars, far{ID(flat[r].([]byte)), ID(flat[r+2].([]byte)), flat[r+1].(int64)})
				}
			case "revision":
				// But for the finding they are mostly the same.
				for r := 0; r < len(flat); r += w {
					rest := flat[r+1 : r+w]
					score, margin := "", ""
					if x := rest[4].(*float64); x != nil {
						score = fmt.Sprint(*x)
					}
					if x := rest[5].(*float64); x != nil {
						margin = fmt.Sprint(*x)
					}
					name := fmt.Sprint(rest[:4], score, margin, rest[6:])
					at, there := restOf[name]
					if !there {
						at = len(rests)
						restOf[name], rests = at, append(rests, slices.Clone(rest))
					}
					revisions = append(revisions, revision{ID(flat[r].([]byte)), at})
				}
			default:
				if err := into[i].add(ctx, flat...); err != nil {
					return err
				}
			}
		}
	}
	if err := failed(); err != nil {
		return err
	}
	f.took(began, "findings")
	began = time.Now()
	slices.SortFunc(revisions, func(a, b revision) int { return bytes.Compare(a.finding[:], b.finding[:]) })
	for i := range revisions {
		r := &revisions[i]
		if err := into[2].add(ctx, append([]any{r.finding[:]}, rests[r.rest]...)...); err != nil {
			return err
		}
	}
	f.took(began, "revisions")
	began = time.Now()
	slices.SortFunc(bearers, func(a, b bearer) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), bytes.Compare(a.digest[:], b.digest[:]), bytes.Compare(a.finding[:], b.finding[:]))
	})
	f.took(began, "keys sorted")
	for i := range bearers {
		b := &bearers[i]
		if err := into[3].add(ctx, int64(b.kind), b.digest[:], b.finding[:], int64(b.verdict)); err != nil {
			return err
		}
	}
	slices.SortFunc(fars, func(a, b far) int {
		return cmp.Or(bytes.Compare(a.digest[:], b.digest[:]), cmp.Compare(a.since, b.since), bytes.Compare(a.finding[:], b.finding[:]))
	})
	for i := range fars {
		f := &fars[i]
		if err := into[7].add(ctx, f.digest[:], f.since, f.finding[:]); err != nil {
			return err
		}
	}
	for _, i := range into {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	f.took(began, "keys")
	return f.do(ctx, conn, append(append([]string{"COMMIT"}, create...), "PRAGMA journal_mode = WAL")...)
}

// inserting inserts rows of one table, many with a statement.
type inserting struct {
	columns []column
	text    string
	conn    *sql.Conn
	many    *sql.Stmt
	waiting []any
}

func newInserting(ctx context.Context, conn *sql.Conn, w filledTable) (*inserting, error) {
	i := &inserting{columns: columns(w.columns), conn: conn}
	i.text = "INSERT INTO " + w.name + " (" + joinNames(i.columns, "") + ") VALUES "
	var err error
	i.many, err = conn.PrepareContext(ctx, i.text+i.rows(sqliteFilled))
	return i, err
}

func (i *inserting) rows(n int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(i.columns)), ", ") + ")"
	return strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
}

func (i *inserting) add(ctx context.Context, flat ...any) error {
	for k, v := range flat {
		if x, ok := v.(*float64); ok {
			flat[k] = nil
			if x != nil {
				flat[k] = *x
			}
		}
	}
	i.waiting = append(i.waiting, flat...)
	size := sqliteFilled * len(i.columns)
	at := 0
	for ; len(i.waiting)-at >= size; at += size {
		if _, err := i.many.ExecContext(ctx, i.waiting[at:at+size]...); err != nil {
			return fmt.Errorf("%.40s: %w", i.text, err)
		}
	}
	i.waiting = append(i.waiting[:0], i.waiting[at:]...)
	return nil
}

func (i *inserting) flush(ctx context.Context) error {
	if len(i.waiting) == 0 {
		return nil
	}
	_, err := i.conn.ExecContext(ctx, i.text+i.rows(len(i.waiting)/len(i.columns)), i.waiting...)
	i.waiting = nil
	return err
}

func (i *inserting) close() { i.many.Close() }

// toPostgres copies each table over a connection of its own. Rows come frozen, as if they
// had been vacuumed since.
func (f *filling) toPostgres(ctx context.Context, o Options) (err error) {
	db, err := sql.Open("pgx", o.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	before, after, err := filledIndexes(ctx, postgres, db)
	if err != nil {
		return err
	}
	for _, w := range filledTables {
		before = append(before, "ALTER TABLE "+w.name+" DROP CONSTRAINT "+w.name+"_pkey")
		after = append(after, "ALTER TABLE "+w.name+" ADD PRIMARY KEY ("+w.key+")")
	}
	if err := f.do(ctx, db, before...); err != nil {
		return err
	}
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts, failed := f.parts(ctx)
	var to []chan []any
	errs := make(chan error, len(filledTables))
	for _, w := range filledTables {
		rows := make(chan []any, 8)
		to = append(to, rows)
		go func() {
			err := copyRows(ctx, o.URL, w, rows)
			if err != nil {
				stop()
				err = fmt.Errorf("%s: %w", w.name, err)
			}
			errs <- err
		}()
	}
	for p := range parts {
		for i, flat := range p {
			select {
			case to[i] <- flat:
			case <-ctx.Done():
			}
		}
	}
	for _, rows := range to {
		close(rows)
	}
	err = failed()
	for range filledTables {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	f.took(began, "rows")
	// Of two connections each makes half of the indexes.
	var making sync.WaitGroup
	work := make(chan string)
	for range 2 {
		making.Go(func() {
			conn, e := db.Conn(ctx)
			if e == nil {
				defer conn.Close()
				e = f.do(ctx, conn, "SET maintenance_work_mem = '1GB'")
			}
			for q := range work {
				if e == nil {
					e = f.do(ctx, conn, q)
				}
			}
			f.mu.Lock()
			err = errors.Join(err, e)
			f.mu.Unlock()
		})
	}
	for _, q := range after {
		work <- q
	}
	close(work)
	making.Wait()
	if err != nil {
		return err
	}
	return f.do(ctx, db, "ANALYZE", "CHECKPOINT")
}

// copyRows copies what comes into an empty table.
func copyRows(ctx context.Context, url string, w filledTable, from <-chan []any) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	cs := columns(w.columns)
	r, to := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		b := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		for flat := range from {
			for i, v := range flat {
				if i%len(cs) == 0 {
					b = binary.BigEndian.AppendUint16(b, uint16(len(cs)))
				}
				b = appendCopied(b, cs[i%len(cs)].kind, v)
			}
			if _, err := to.Write(b); err != nil {
				// The other end tells why.
				for range from {
				}
				return
			}
			b = b[:0]
		}
		to.Write(append(b, 0xff, 0xff))
		to.Close()
	}()
	err = func() error {
		for _, q := range []string{"BEGIN", "TRUNCATE " + w.name} {
			if _, err := conn.Exec(ctx, q); err != nil {
				return err
			}
		}
		if _, err := conn.PgConn().CopyFrom(ctx, r, "COPY "+w.name+" ("+joinNames(cs, "")+") FROM STDIN (FORMAT binary, FREEZE)"); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "COMMIT")
		return err
	}()
	r.CloseWithError(io.ErrClosedPipe)
	if err == nil {
		<-written
	}
	return err
}

// appendCopied writes a value in COPY's binary form.
func appendCopied(b []byte, k kind, v any) []byte {
	switch x := v.(type) {
	case []byte:
		if x == nil {
			return binary.BigEndian.AppendUint32(b, math.MaxUint32)
		}
		return append(binary.BigEndian.AppendUint32(b, uint32(len(x))), x...)
	case string:
		return append(binary.BigEndian.AppendUint32(b, uint32(len(x))), x...)
	case *float64:
		if x == nil {
			return binary.BigEndian.AppendUint32(b, math.MaxUint32)
		}
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), math.Float64bits(*x))
	case int64:
		switch k {
		case smallKind:
			return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(b, 2), uint16(x))
		case 'n': // stored as INTEGER
			return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), uint32(x))
		}
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(x))
	}
	panic(fmt.Sprintf("a value of type %T", v))
}

// parts gives all parts, in any order, made by as many as there are processors.
func (f *filling) parts(ctx context.Context) (<-chan *part, func() error) {
	out := make(chan *part, 4)
	var next atomic.Int64
	var making sync.WaitGroup
	errs := make(chan error, runtime.GOMAXPROCS(0))
	for range runtime.GOMAXPROCS(0) {
		making.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k*partSize >= f.count {
					return
				}
				p, err := f.make(k)
				if err != nil {
					errs <- err
					return
				}
				select {
				case out <- p:
				case <-ctx.Done():
					errs <- ctx.Err()
					return
				}
			}
		})
	}
	go func() {
		making.Wait()
		close(out)
	}()
	return out, func() error {
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
}

// A filled store has the rows that one has that was told of the same findings, and all
// indexes.
func TestFill(t *testing.T) {
	const n = 420
	l, err := storetest.NewReports(caseFolders, 7, n, noon)
	if err != nil {
		t.Fatal(err)
	}
	options := func(t *testing.T, kind string) Options {
		o := Options{HubKey: hubKey, Now: func() time.Time { return noon }}
		if kind == "postgres" {
			o.URL = postgresURL(t)
		} else {
			o.Folder = t.TempDir()
		}
		return o
	}
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			told := openStore(t, options(t, kind))
			for k := range l.Sensors {
				admit(t, told, l.Sensor(k))
				var rs []*reportpb.FindingRevision
				for i := k; i < n; i += l.Sensors {
					rs = append(rs, l.Revision(i, 1))
				}
				if got := deliver(t, told, l.Sensor(k), 1, rs...); got.Stored != n/l.Sensors {
					t.Fatalf("%+v", got)
				}
			}
			o := options(t, kind)
			if err := fill(t.Context(), t, o, l, n, noon, false); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, o)
			if diff := gocmp.Diff(indexNames(t, told), indexNames(t, s)); diff != "" {
				t.Errorf("indexes (-told +filled):\n%s", diff)
			}
			for _, table := range tableNames(t, told) {
				want, got := allRows(t, told, table), allRows(t, s, table)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-told +filled):\n%.3000s", table, diff)
				}
				if wanted := slices.ContainsFunc(filledTables, func(w filledTable) bool { return w.name == table && w.name != "member" }); wanted && len(want) == 0 {
					t.Errorf("nothing in %s", table)
				}
			}
			// A second filling changes nothing.
			if err := fill(t.Context(), t, o, l, n+7, noon, false); err != nil {
				t.Fatal(err)
			}
			if c, err := s.Census(t.Context()); err != nil || c.None+c.Watch+c.Review+c.Case != n {
				t.Errorf("%+v, %v", c, err)
			}
			// One that is linked has a member for each that waits to be linked in this one.
			o = options(t, kind)
			if err := fill(t.Context(), t, o, l, n, noon, true); err != nil {
				t.Fatal(err)
			}
			linked := openStore(t, o)
			for _, c := range allRows(t, linked, "controller") {
				if want := fmt.Sprint("told=", l.Controller(0).Lines); !strings.Contains(c, want) {
					t.Errorf("a controller %s, want %s", c, want)
				}
			}
			if q, m := len(allRows(t, linked, "queue")), len(allRows(t, linked, "member")); q != 0 || m != len(allRows(t, s, "queue")) {
				t.Errorf("%d wait and %d are members, %d waited", q, m, len(allRows(t, s, "queue")))
			}
		})
	}
}

// allRows gives the rows of a table as texts, in order, without what is random or says
// in which order reports came.
func allRows(t *testing.T, s *Store, table string) []string {
	t.Helper()
	varies := map[string][]string{"queue": {"stamp"}, "controller": {"since", "first_seen", "last_seen"}}[table]
	var all []string
	if err := each(t.Context(), s.db, func(r *sql.Rows) error {
		names, err := r.Columns()
		if err != nil {
			return err
		}
		values := make([]any, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := r.Scan(into...); err != nil {
			return err
		}
		var row []string
		for i, n := range names {
			if b, is := values[i].([]byte); is {
				values[i] = fmt.Sprintf("%x", b)
			}
			if !slices.Contains(varies, n) {
				row = append(row, fmt.Sprintf("%s=%v", n, values[i]))
			}
		}
		all = append(all, strings.Join(row, " "))
		return nil
	}, "SELECT * FROM "+table); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func tableNames(t *testing.T, s *Store) []string {
	q := "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version' ORDER BY name"
	if s.db.dialect == postgres {
		q = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'schema_version' ORDER BY 1"
	}
	return texts(t, s, q)
}

func indexNames(t *testing.T, s *Store) []string {
	q := "SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name"
	if s.db.dialect == postgres {
		q = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() ORDER BY indexname"
	}
	return texts(t, s, q)
}

func texts(t *testing.T, s *Store, q string) []string {
	t.Helper()
	var all []string
	if err := each(t.Context(), s.db, func(r *sql.Rows) error {
		all = append(all, "")
		return r.Scan(&all[len(all)-1])
	}, q); err != nil {
		t.Fatal(err)
	}
	return all
}
