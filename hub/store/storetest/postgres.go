// Package storetest starts what tests of the hub need: a PostgreSQL of their own,
// from the binaries that are installed.
package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// ErrMissing says that there is no PostgreSQL to start.
var ErrMissing = errors.New("no PostgreSQL is installed (its initdb was looked for in PATH and /usr/lib/postgresql/*/bin)")

// Server is a PostgreSQL in a folder of its own, on a socket in that folder.
type Server struct {
	folder string
	cmd    *exec.Cmd
	stdin  io.Closer
	output *bytes.Buffer
	names  atomic.Int64
}

// Start starts one. settings are such as "fsync=on": without, it is fast and
// survives nothing. Stop ends it; so does the end of this process, however it
// comes.
func Start(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "simtrap-pg")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, output: &bytes.Buffer{}}
	if err := s.start(bin, settings); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres: %w\n%s", err, s.output), s.Stop())
	}
	return s, nil
}

func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func (s *Server) start(bin string, settings []string) error {
	// It refuses to run as root.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				return err
			}
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return err
		}
		if err := os.Chown(s.folder, uid, gid); err != nil {
			return err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(s.folder, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "simtrap", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Stdout, initdb.Stderr, initdb.Dir = attr, s.output, s.output, s.folder
	if err := initdb.Run(); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	s.output.Reset()
	// The shell ends the server when its input does, that is with this process.
	args := []string{"-c", `"$0" "$@" </dev/null & p=$!; cat >/dev/null; kill -INT $p; wait $p`, filepath.Join(bin, "postgres"),
		"-D", data, "-k", s.folder, "-c", "listen_addresses=", "-c", "max_connections=100", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal"}
	for _, x := range settings {
		args = append(args, "-c", x)
	}
	s.cmd = exec.Command("/bin/sh", args...)
	s.cmd.SysProcAttr, s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = attr, s.output, s.output, s.folder
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	s.stdin = in
	if err := s.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := s.exec("SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) url(v url.Values) string {
	v.Set("host", s.folder)
	v.Set("user", "simtrap")
	return "postgres:///postgres?" + v.Encode()
}

func (s *Server) exec(q string) error {
	db, err := sql.Open("pgx", s.url(url.Values{}))
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	_, err = db.ExecContext(ctx, q)
	return errors.Join(err, db.Close())
}

// URL gives a place of its own, empty, for one store.
func (s *Server) URL() (string, error) {
	name := fmt.Sprintf("place_%d", s.names.Add(1))
	if err := s.exec("CREATE SCHEMA " + name); err != nil {
		return "", err
	}
	return s.url(url.Values{"search_path": {name}}), nil
}

// Stop ends the server and deletes its folder.
func (s *Server) Stop() error {
	var errs []error
	if s.cmd != nil && s.cmd.Process != nil {
		errs = append(errs, s.stdin.Close())
		s.cmd.Wait() // ended by a signal, as asked
	}
	return errors.Join(append(errs, os.RemoveAll(s.folder))...)
}
