package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// Backup writes a copy of the whole store to a new file while it is used: what was
// committed when it began. PostgreSQL has pg_dump for it: ErrUnsupported.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.db.dialect != sqlite {
		return fmt.Errorf("%w: PostgreSQL is copied with pg_dump", ErrUnsupported)
	}
	// SQLite would make the file readable for others, and writes into an empty one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	err = f.Close()
	if err == nil {
		err = s.vacuumInto(ctx, path)
	}
	if err == nil {
		err = syncFile(path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("backup: %w", err), os.Remove(path))
	}
	return nil
}

func (s *Store) vacuumInto(ctx context.Context, path string) error {
	conn, err := s.db.read.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// A reader is told not to write; a copy is a file of its own.
	if _, err := conn.ExecContext(ctx, "PRAGMA query_only = 0"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "VACUUM INTO ?", path)
	_, back := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA query_only = 1")
	return errors.Join(err, back)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = errors.Join(f.Sync(), f.Close())
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Exists says whether a folder has a store of SQLite, or something of one.
func Exists(folder string) bool {
	for _, end := range []string{"", "-wal", "-journal"} {
		if _, err := os.Lstat(filepath.Join(folder, fileName+end)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// Unmake takes back the tables of SQLite that were just made in a folder, for who could
// not make the rest of them: else nothing is made over what is left. No store may have
// them open.
func Unmake(folder string) error {
	var errs []error
	for _, end := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(filepath.Join(folder, fileName+end)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Restore puts a copy that Backup made into a folder that has no store yet, after
// looking whether it is whole and not of a newer version, and makes it safe to serve
// (Restored). It makes the folder if need be, and of an error leaves nothing in it.
func Restore(ctx context.Context, path, folder string, now time.Time) error {
	target := filepath.Join(folder, fileName)
	if Exists(folder) {
		return fmt.Errorf("restore: %w: %s is there", ErrConflict, target)
	}
	_, missing := os.Lstat(folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	err := restore(ctx, path, folder, target, now)
	if err != nil && missing != nil {
		os.Remove(folder) // unless somebody has put something in it
	}
	return err
}

func restore(ctx context.Context, path, folder, target string, now time.Time) error {
	// Nothing in the folder is called hub.db before it was found whole.
	half, err := os.MkdirTemp(folder, "restoring-")
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer os.RemoveAll(half)
	copied := filepath.Join(half, fileName)
	if err := copyFile(path, copied); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := whole(ctx, copied); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	// No identity is keyed in it: the key is none.
	s, err := Open(ctx, Options{Folder: half, HubKey: make([]byte, 32)})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := errors.Join(s.Restored(ctx, now), s.Close()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if info, err := os.Stat(copied + "-wal"); err == nil && info.Size() > 0 {
		return errors.New("restore: the copy is open somewhere")
	}
	if err := os.Rename(copied, target); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncFile(target)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return errors.Join(out.Sync(), out.Close())
}

// whole looks whether a file is a store of a version that is known.
func whole(ctx context.Context, path string) (err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", sqliteName(path, "query_only(1)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return fmt.Errorf("the copy is no store: %w", err)
	}
	if answer != "ok" {
		return fmt.Errorf("the copy is damaged: %s", answer)
	}
	var version int64
	if err := db.QueryRowContext(ctx, "SELECT max(version) FROM schema_version").Scan(&version); err != nil {
		return fmt.Errorf("the copy is no store: %w", err)
	}
	d := &database{dialect: sqlite, write: db, read: db}
	p, err := d.provider(zap.NewNop())
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; version > newest {
		return fmt.Errorf("the copy is of version %d, this program knows %d", version, newest)
	}
	return nil
}
