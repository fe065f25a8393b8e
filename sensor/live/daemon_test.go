//go:build linux

package live

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"simtrap/sensor"
)

// homes are the networks of the lab's lines.
const homes = "203.0.113.0/24,198.51.100.0/24"

// daemon is a simtrapd at work.
type daemon struct {
	*process
	folder string
	client http.Client
}

// newFolder makes a folder whose path is short enough for a socket's.
func newFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "live")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	// One key, so that pseudonyms compare.
	if err := os.WriteFile(filepath.Join(folder, "key"), []byte(strings.Repeat("5a", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// watch starts simtrapd on ports, with more lines of configuration.
func (s *space) watch(mode, ports, more string) *daemon {
	s.t.Helper()
	folder := configured(s.t, mode, ports, more)
	return s.daemon(folder)
}

// daemon starts simtrapd in a folder that is set up for it.
func (s *space) daemon(folder string) *daemon {
	s.t.Helper()
	d := asked(folder)
	d.process = s.start(folder, program("simtrapd"), "run", "-c", "d.yaml")
	return d
}

// configured makes the folder of a daemon: its configuration, and where it writes.
func configured(t testing.TB, mode, ports, more string) string {
	t.Helper()
	folder := newFolder(t)
	configure(t, folder, mode, ports, more)
	for _, name := range []string{"out", "run"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// configure writes the configuration.
func configure(t testing.TB, folder, mode, ports, more string) {
	t.Helper()
	text := fmt.Sprintf("ports: [%s]\ncapture: %s\nstate: state\nkey: %s/key\noutput: out/findings.jsonl\nsocket: run/s\nmetrics: {listen: none}\n%s", ports, mode, folder, more)
	if err := os.WriteFile(filepath.Join(folder, "d.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// asked gives the daemon of a folder, which answers at its socket.
func asked(folder string) *daemon {
	d := &daemon{folder: folder}
	d.client = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(folder, "run", "s"))
		},
	}}
	return d
}

// running waits until the daemon is at work.
func (d *daemon) running() {
	d.t.Helper()
	d.ready("it runs", func() bool {
		s, err := d.status()
		return err == nil && s.State == "running"
	})
}

// status asks the daemon how things stand.
func (d *daemon) status() (s sensor.Status, err error) {
	answer, err := d.client.Get("http://localhost/status")
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// mustStatus is status of a daemon that is known to answer.
func (d *daemon) mustStatus() sensor.Status {
	d.t.Helper()
	s, err := d.status()
	if err != nil {
		d.t.Fatalf("%v\n%s", err, d.said())
	}
	return s
}

// settled waits until what came in has been judged.
func (d *daemon) settled() sensor.Status {
	d.t.Helper()
	for before := d.mustStatus(); ; {
		time.Sleep(500 * time.Millisecond)
		s := d.mustStatus()
		if s.Messages == before.Messages && s.Streams == before.Streams && s.Ports[0].Frames == before.Ports[0].Frames {
			return s
		}
		before = s
	}
}

// findings ends the daemon and gives the last that it said of each line.
func (d *daemon) findings() map[string]*finding {
	d.t.Helper()
	d.end(unix.SIGTERM, 60*time.Second)
	// In the order of their names: a reload goes on in another file.
	names, err := filepath.Glob(filepath.Join(d.folder, "out", "*.jsonl"))
	if err != nil || len(names) == 0 {
		d.t.Fatal("nothing was said: ", err)
	}
	var all []byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			d.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return findingsOf(d.t, all)
}

// reconfigure replaces parts of the configuration and has the daemon read it.
func (d *daemon) reconfigure(oldNew ...string) error {
	at := filepath.Join(d.folder, "d.yaml")
	b, err := os.ReadFile(at)
	if err != nil {
		return err
	}
	for i := 0; i < len(oldNew); i += 2 {
		if !bytes.Contains(b, []byte(oldNew[i])) {
			return fmt.Errorf("%s has no %s", at, oldNew[i])
		}
	}
	if err := os.WriteFile(at, []byte(strings.NewReplacer(oldNew...).Replace(string(b))), 0o644); err != nil {
		return err
	}
	d.signal(unix.SIGHUP)
	return nil
}

// reloaded waits until the daemon has taken over, or refused, what it was told to read.
func (d *daemon) reloaded() sensor.ReloadStatus {
	d.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if r := d.mustStatus().Reload; r.Done+r.Refused > 0 {
			return r
		}
		if time.Now().After(end) {
			d.t.Fatalf("nothing is read anew\n%s", d.said())
		}
	}
}

// finding is what of a finding is compared.
type finding struct {
	Line        string   `json:"line"`
	Verdict     string   `json:"verdict"`
	Proof       bool     `json:"proof"`
	Score       *float64 `json:"score"`
	Cards       any      `json:"cards"`
	Controllers any      `json:"controllers"`
	Calls       any      `json:"calls"`
	Signals     []struct {
		ID string `json:"id"`
	} `json:"signals"`
	Margin *float64 `json:"margin"`
	Hub    *struct {
		Nats    float64 `json:"nats"`
		Verdict string  `json:"verdict"`
	} `json:"hub"`
}

// outline is what is equal between two findings of one line.
type outline struct {
	Line, Verdict             string
	Proof                     bool
	Cards, Controllers, Calls any
	Signals                   []string
}

func (f *finding) outline() outline {
	var ids []string
	for _, s := range f.Signals {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return outline{f.Line, f.Verdict, f.Proof, f.Cards, f.Controllers, f.Calls, slices.Compact(ids)}
}

// findingsOf reads JSON Lines; the last of a line counts.
func findingsOf(t testing.TB, text []byte) map[string]*finding {
	t.Helper()
	out := map[string]*finding{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := &finding{}
		if err := json.Unmarshal(lines.Bytes(), f); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		out[f.Line] = f
	}
	return out
}

// replay gives what simtrap replay says of captures, of lines below watch too.
func replay(t testing.TB, home string, captures ...string) map[string]*finding {
	t.Helper()
	folder := newFolder(t)
	args := []string{"replay", "--json", "--all", "--quiet", "--key", filepath.Join(folder, "key"), "--home", home}
	c := exec.Command(program("simtrap"), append(args, captures...)...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	// Of frames that several processors sent at once the recorder may put the later
	// one first.
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 && strings.Contains(said.String(), "time ran backwards") {
		err = nil
	}
	if err != nil {
		t.Fatalf("replay: %v\n%s", err, said.String())
	}
	return findingsOf(t, out)
}

// equal holds what the daemon found against what replay did, by which so many lines
// are suspect. Of lines below watch the daemon says nothing.
func equal(t testing.TB, suspects int, want, got map[string]*finding) {
	t.Helper()
	for line, w := range want {
		g := got[line]
		if w.Verdict == "none" {
			if g != nil && g.Verdict != "none" {
				t.Errorf("%s: %s, replay says nothing of it", line, g.Verdict)
			}
			continue
		}
		suspects--
		if g == nil {
			t.Errorf("%s: nothing said, replay says %s", line, w.Verdict)
			continue
		}
		if d := cmp.Diff(w.outline(), g.outline()); d != "" {
			t.Errorf("%s (-replay +live):\n%s", line, d)
		}
		if w.Score == nil || g.Score == nil || math.Abs(*w.Score-*g.Score) > 0.5 {
			t.Errorf("%s: score %v, replay says %v", line, number(g.Score), number(w.Score))
			continue
		}
		t.Logf("%s: %s, score %.3f, replay says %.3f", line, g.Verdict, *g.Score, *w.Score)
	}
	for line, g := range got {
		if want[line] == nil && g.Verdict != "none" {
			t.Errorf("%s: %s, replay does not know it", line, g.Verdict)
		}
	}
	if suspects != 0 {
		t.Errorf("%d lines fewer than there should be are suspect by replay", suspects)
	}
}

func number(f *float64) string {
	if f == nil {
		return "none"
	}
	return fmt.Sprintf("%.3f", *f)
}
