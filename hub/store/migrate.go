package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
	"go.uber.org/zap"
)

// The tables, version by version: only forward, and a version that was released
// is never edited. One text serves both engines; what they call differently is
// replaced.
//
//go:embed migrations/*.sql
var migrations embed.FS

// words replaces what the engines call differently.
func (d dialect) words() *strings.Replacer {
	if d == sqlite {
		return strings.NewReplacer("BYTEA", "BLOB", "DOUBLE PRECISION", "REAL", "{{rowless}}", "WITHOUT ROWID", "{{updated}}", "", "{{counted}}", "WITHOUT ROWID", "{{writers of bearer wait}}", "",
			"{{sort on disk}}", "PRAGMA temp_store = 1;", "{{sort in memory}}", "PRAGMA temp_store = 2;")
	}
	// Room in each page lets a new version of a row stay where its old one was.
	return strings.NewReplacer("{{rowless}}", "", "{{updated}}", "WITH (fillfactor = 85)", "{{counted}}", "WITH (fillfactor = 50)", "{{writers of bearer wait}}", "LOCK TABLE bearer IN SHARE ROW EXCLUSIVE MODE;",
		"{{sort on disk}}", "", "{{sort in memory}}", "")
}

func (d *database) migrations() ([]*goose.Migration, error) {
	entries, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	words := d.dialect.words()
	var ms []*goose.Migration
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", e.Name(), err)
		}
		text, err := fs.ReadFile(migrations, "migrations/"+e.Name())
		if err != nil {
			return nil, err
		}
		var plain []string
		for line := range strings.Lines(words.Replace(string(text))) {
			if !strings.HasPrefix(line, "--") {
				plain = append(plain, line)
			}
		}
		statements := strings.Split(strings.Join(plain, ""), ";")
		ms = append(ms, goose.NewGoMigration(version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			for _, q := range statements {
				if q = strings.TrimSpace(q); q == "" {
					continue
				}
				if _, err := tx.ExecContext(ctx, q); err != nil {
					return fmt.Errorf("%.40q: %w", q, err)
				}
			}
			return nil
		}}, nil))
	}
	return ms, nil
}

// provider knows the versions and which of them the tables are of.
func (d *database) provider(log *zap.Logger) (*goose.Provider, error) {
	ms, err := d.migrations()
	if err != nil {
		return nil, err
	}
	o := []goose.ProviderOption{
		goose.WithGoMigrations(ms...),
		goose.WithDisableGlobalRegistry(true),
		goose.WithStore(&versions{d}),
		goose.WithLogger(told{log.Sugar()}),
	}
	if d.dialect == postgres {
		// Several hubs may start at once.
		l, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, err
		}
		o = append(o, goose.WithSessionLocker(l))
	}
	return goose.NewProvider("", d.write, nil, o...)
}

// migrate brings the tables to version, 0 for the newest, and refuses tables of
// a newer program.
func (d *database) migrate(ctx context.Context, log *zap.Logger, version int64) error {
	p, err := d.provider(log)
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	has, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	if has > known {
		return fmt.Errorf("tables are of version %d, this program knows %d: use a newer simtrap-hub", has, known)
	}
	if version != 0 {
		_, err = p.UpTo(ctx, version)
	} else {
		_, err = p.Up(ctx)
	}
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	return nil
}

// told passes on what goose says. None of it is for everyday logs.
type told struct{ log *zap.SugaredLogger }

func (t told) Printf(format string, v ...any) { t.log.Debugf(format, v...) }
func (t told) Fatalf(format string, v ...any) { t.log.Errorf(format, v...) }

// versions is goose's table, without the sequence that its own has.
type versions struct{ d *database }

var _ goosedb.Store = (*versions)(nil)

func (v *versions) Tablename() string { return "schema_version" }

func (v *versions) CreateVersionTable(ctx context.Context, db goosedb.DBTxConn) error {
	_, err := db.ExecContext(ctx, "CREATE TABLE schema_version (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL)")
	return err
}

func (v *versions) Insert(ctx context.Context, db goosedb.DBTxConn, r goosedb.InsertRequest) error {
	_, err := db.ExecContext(ctx, v.d.bind("INSERT INTO schema_version (version, applied) VALUES (?, ?)"), r.Version, time.Now().UnixNano())
	return err
}

func (v *versions) Delete(ctx context.Context, db goosedb.DBTxConn, version int64) error {
	return errors.New("tables only go forward")
}

func (v *versions) GetMigration(ctx context.Context, db goosedb.DBTxConn, version int64) (*goosedb.GetMigrationResult, error) {
	var at int64
	err := db.QueryRowContext(ctx, v.d.bind("SELECT applied FROM schema_version WHERE version = ?"), version).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %d", goosedb.ErrVersionNotFound, version)
	}
	if err != nil {
		return nil, err
	}
	return &goosedb.GetMigrationResult{Timestamp: time.Unix(0, at), IsApplied: true}, nil
}

func (v *versions) GetLatestVersion(ctx context.Context, db goosedb.DBTxConn) (int64, error) {
	var version sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT max(version) FROM schema_version").Scan(&version); err != nil {
		return -1, err
	}
	if !version.Valid {
		return -1, fmt.Errorf("latest: %w", goosedb.ErrVersionNotFound)
	}
	return version.Int64, nil
}

func (v *versions) ListMigrations(ctx context.Context, db goosedb.DBTxConn) ([]*goosedb.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, "SELECT version FROM schema_version ORDER BY version DESC")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var rs []*goosedb.ListMigrationsResult
	for rows.Next() {
		r := &goosedb.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&r.Version); err != nil {
			return nil, err
		}
		rs = append(rs, r)
	}
	return rs, rows.Err()
}
