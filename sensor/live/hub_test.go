//go:build linux

package live

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite", to count what a hub has stored

	"simtrap/lab"
)

// centre is a simtrap-hub in a namespace, and an analyst who asks it.
type centre struct {
	*process
	s       *space
	folder  string
	address string
	people  []string // environment of the analyst
}

// newCentre makes a hub that is known by an address of the namespace, and starts it.
func newCentre(s *space, ip string) *centre {
	s.t.Helper()
	c := &centre{s: s, folder: newFolder(s.t)}
	c.hub("", "init", "-d", "hub", "--name", ip)
	c.process = s.start(c.folder, program("simtrap-hub"), "serve", "-d", "hub", "--listen", ip+":0", "--metrics", "none", "--log-format", "json", "--policy-interval", "1s")
	c.ready("it serves", func() bool {
		_, rest, ok := strings.Cut(c.said(), `"msg":"serving","on":"`)
		c.address, _, _ = strings.Cut(rest, `"`)
		return ok
	})
	c.hub("correct horse battery", "account", "add", "-d", "hub", "--role", "analyst", "ann")
	if err := os.WriteFile(filepath.Join(c.folder, "ca.pem"), c.hub("", "ca", "-d", "hub"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	c.people = append(os.Environ(), "HOME="+c.folder, "XDG_CONFIG_HOME="+filepath.Join(c.folder, "config"))
	c.ask("correct horse battery", "login", "--ca", "ca.pem", "--account", "ann", "https://"+c.address)
	return c
}

// output runs a program in the namespace to its end, beside others.
func (s *space) output(folder, input string, env []string, name string, args ...string) []byte {
	s.t.Helper()
	c := exec.Command(program(name), args...)
	var out, said bytes.Buffer
	c.Dir, c.Env, c.Stdin, c.Stdout, c.Stderr = folder, env, strings.NewReader(input+"\n"), &out, &said
	c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	err := s.do(c.Start)
	if err == nil {
		err = c.Wait()
	}
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, said.String())
	}
	return out.Bytes()
}

// hub runs a command of simtrap-hub on the hub's machine.
func (c *centre) hub(input string, args ...string) []byte {
	c.s.t.Helper()
	return c.s.output(c.folder, input, nil, "simtrap-hub", args...)
}

// ask runs a command of simtrap hub.
func (c *centre) ask(input string, args ...string) []byte {
	c.s.t.Helper()
	return c.s.output(c.folder, input, c.people, "simtrap", append([]string{"hub"}, args...)...)
}

// token gives one with which an appliance is admitted.
func (c *centre) token(name string) string {
	c.s.t.Helper()
	return strings.TrimSpace(string(c.hub("", "enroll", "-d", "hub", name)))
}

// rows reads JSON Lines.
func rows[T any](t testing.TB, text []byte) (list []T) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var x T
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		list = append(list, x)
	}
	return list
}

// stored is a finding as the hub lists it.
type stored struct {
	ID, Sensor string
	BoxID      string `json:"box_id"`
	RingID     string `json:"ring_id"`
	Finding    finding
}

// findings lists them with whole addresses, which takes an authority.
func (c *centre) findings() []stored {
	c.s.t.Helper()
	return rows[stored](c.s.t, c.ask("", "findings", "--json", "--limit", "0", "--authority", "case 2026-114"))
}

// count counts rows of one of the hub's tables.
func (c *centre) count(table string) (n int) {
	c.s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(c.folder, "hub", "hub.db")+"?_pragma=query_only(1)&_pragma=busy_timeout(10000)")
	if err == nil {
		err = db.QueryRowContext(c.s.t.Context(), "SELECT count(*) FROM "+table).Scan(&n)
		db.Close()
	}
	if err != nil {
		c.s.t.Fatal(err)
	}
	return n
}

// linked waits until nothing waits to be linked.
func (c *centre) linked() {
	c.s.t.Helper()
	c.ready("all is linked", func() bool { return c.count("queue") == 0 })
}

// makeCapture makes a capture of the lab.
func makeCapture(t testing.TB, file string, o lab.Options) *lab.Truth {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := lab.Make(f, o)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return truth
}

// appliance is a simtrapd that was admitted by a centre, in a folder of its own.
func (s *space) appliance(c *centre, name, text string) (folder string) {
	s.t.Helper()
	folder = newFolder(s.t)
	if err := os.WriteFile(filepath.Join(folder, "d.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range []string{"out", "run"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	s.output(folder, "", nil, "simtrapd", "enroll", "-c", "d.yaml", c.address, c.token(name))
	return folder
}

// replayed is how an appliance of files is set up.
func replayed(speed float64, end string, ports ...string) string {
	return fmt.Sprintf("ports: [%s]\ncapture: file\nreplay: {speed: %v, at-end: %s}\nhome: [%s]\nstate: state\noutput: out/findings.jsonl\nsocket: run/s\nmetrics: {listen: none}\nhub: {health-interval: 1s}\n",
		strings.Join(ports, ", "), speed, end, homes)
}

// arrived waits until all that an appliance has to report is at the hub.
func (d *daemon) arrived(patience time.Duration) {
	d.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		s, err := d.status()
		if err == nil && s.Hub != nil && s.Hub.Waiting == 0 && s.Hub.Acked > 0 {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("not within %v: %v %+v\n%s", patience, err, s.Hub, d.said())
		}
	}
}
