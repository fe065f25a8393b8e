//go:build linux

package live

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// service is a simtrapd that runs as the unit says.
type service struct {
	*daemon
	mu     sync.Mutex
	notes  []string // what it told the service manager
	notify *net.UnixConn
}

// serve starts simtrapd as the service manager does: as another user, with the
// unit's capabilities, limits and filters, and all but its folders read-only. Where
// a test may not do so it is skipped.
func (s *space) serve(mode, ports, more string) *service {
	s.t.Helper()
	u, err := readUnit()
	if err != nil {
		s.t.Fatal(err)
	}
	folder := configured(s.t, mode, ports, more)
	for _, name := range []string{"state", "elsewhere"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o750); err != nil {
			s.t.Fatal(err)
		}
	}
	for name, own := range map[string]bool{"": false, "d.yaml": false, "key": true, "state": true, "elsewhere": true, "out": true, "run": true} {
		name, mode := filepath.Join(folder, name), os.FileMode(0o755)
		if own {
			mode = 0o700
			err = os.Chown(name, serviceUser, serviceUser)
		}
		if err == nil {
			err = os.Chmod(name, mode)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	v := &service{daemon: asked(folder)}
	at := filepath.Join(folder, "notify")
	if v.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"}); err == nil {
		err = os.Chmod(at, 0o666)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var listening sync.WaitGroup
	listening.Go(v.listen)
	s.t.Cleanup(func() {
		v.notify.Close()
		listening.Wait()
	})
	watchdog, err := time.ParseDuration(u.one("WatchdogSec") + "s")
	if err != nil {
		s.t.Fatal("WatchdogSec: ", err)
	}
	v.process = s.asService(u, "ExecStart", folder, "NOTIFY_SOCKET="+at, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	v.ready("it is the service", func() bool {
		name, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", v.cmd.Process.Pid))
		return err == nil && name == program("simtrapd") || v.no()
	})
	if v.no() {
		s.t.Skip("files cannot be made read-only here: ", v.said())
	}
	return v
}

// asService starts a command of the unit in the namespace, as the service manager does.
func (s *space) asService(u unit, key, folder string, environment ...string) *process {
	s.t.Helper()
	words := strings.Fields(strings.ReplaceAll(u.one(key), "/etc/simtrapd/simtrapd.yaml", filepath.Join(folder, "d.yaml")))
	if len(words) < 2 || words[0] != "/usr/bin/simtrapd" {
		s.t.Fatalf("%s=%s", key, u.one(key))
	}
	words[0] = program("simtrapd")
	out, err := os.CreateTemp(folder, "simtrapd-*.log")
	if err != nil {
		s.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, words...)
	cmd.Env = append(append(os.Environ(), serviceFolder+"="+folder), environment...)
	return s.launch("", out, cmd)
}

// no says whether the process ended because files cannot be made read-only here.
func (v *service) no() bool {
	select {
	case err := <-v.over:
		v.over <- err
		var exit *exec.ExitError
		return errors.As(err, &exit) && exit.ExitCode() == exitNoMounts
	default:
		return false
	}
}

// listen keeps what the service tells its manager.
func (v *service) listen() {
	b := make([]byte, 4096)
	for {
		n, err := v.notify.Read(b)
		if err != nil {
			return
		}
		v.mu.Lock()
		v.notes = append(v.notes, strings.Split(string(b[:n]), "\n")...)
		v.mu.Unlock()
	}
}

// told says whether the service manager was told.
func (v *service) told(what string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Contains(v.notes, what)
}

// threads gives a line of /proc/PID/status of every thread.
func (p *process) threads(name string) (values []string) {
	p.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		p.t.Fatal("no threads: ", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				values = append(values, strings.Join(strings.Fields(rest), " "))
			}
		}
	}
	return values
}

// TestUnitIsKnown: nothing in the unit is passed over by the tests that run it.
func TestUnitIsKnown(t *testing.T) {
	u, err := readUnit()
	if err != nil {
		t.Fatal(err)
	}
	for key := range u {
		if _, ok := handled()[key]; !ok {
			t.Errorf("%s is not followed where the unit is tried", key)
		}
	}
	if _, err := u.filters(); err != nil {
		t.Error(err)
	}
}

// TestSystemCalls: the sets of system calls that the unit is tried with are those of
// systemd.
func TestSystemCalls(t *testing.T) {
	known, err := sets()
	if err != nil {
		t.Fatal(err)
	}
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze to ask")
	}
	for name, words := range known {
		out, err := exec.Command(tool, "syscall-filter", "--no-pager", name).Output()
		if err != nil {
			t.Skip("systemd-analyze does not say: ", err)
		}
		// Newer ones know calls that were not there before, and take none out.
		for _, w := range words {
			if !slices.Contains(strings.Fields(string(out)), w) {
				t.Errorf("%s has no %s", name, w)
			}
		}
	}
}

// TestUnit: simtrapd runs as the unit that is shipped says: it attaches, gives up its rights, is kept to its files, judges as replay does, is
// fed to the watchdog, reloads, and ends well.
func TestUnit(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	u, err := readUnit()
	if err != nil {
		t.Fatal(err)
	}
	list := traffic(t)
	type run struct {
		name, mode, more string
		judges           bool // is sent traffic
	}
	// Attaching by TCX takes the same system calls as by XDP, by clsact others.
	runs := []run{{"auto", "auto", "", true}, {"af_packet", "af_packet", "reattach: false\n", true},
		{"clsact", "clsact", "", false}, {"not confined", "af_packet", "confine: false\n", false}}
	daemons := make([]*service, len(runs))
	skipped := make([]error, len(runs))
	var senders []*sender
	record := ""
	for i, r := range runs {
		near, far := fmt.Sprintf("near%d", i), fmt.Sprintf("far%d", i)
		s.cable(near, far)
		if skipped[i] = s.missing(far, r.mode); skipped[i] != nil {
			continue
		}
		daemons[i] = s.serve(r.mode, "{name: "+far+"}", homesInYAML+r.more)
		if r.judges {
			senders = append(senders, s.sender(near))
			record = near
		}
	}
	for i, d := range daemons {
		if d != nil {
			d.running()
			d.ready(runs[i].name+": it is ready", func() bool { return d.told("READY=1") })
		}
	}
	first := slices.IndexFunc(daemons, func(d *service) bool { return d != nil })
	if first < 0 {
		t.Skip(skipped[0])
	}
	check := s.asService(u, "ExecStartPre", daemons[first].folder)
	if err := check.wait(10 * time.Second); err != nil {
		t.Errorf("ExecStartPre: %v: %s", err, check.said())
	}
	folder := newFolder(t)
	file, recording := s.record(folder, record)
	if err := play(t.Context(), list, senders); err != nil {
		t.Fatal(err)
	}
	time.Sleep(recorderTakes)
	recorded(recording)
	want := replay(t, homes, file)
	for i, r := range runs {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			d := daemons[i]
			if d == nil {
				t.Skip(skipped[i])
			}
			st := d.settled()
			confined := !strings.Contains(r.more, "confine: false")
			d.hasGivenUp(t, strings.Contains(r.more, "reattach: false"))
			if len(st.Capabilities) > 0 || confined != strings.HasPrefix(st.Confined, "yes") {
				t.Errorf("it says that it has %v, and is confined: %s", st.Capabilities, st.Confined)
			}
			d.reload(t, u, confined)
			if !d.told("WATCHDOG=1") {
				t.Error("the watchdog starves")
			}
			if r.judges {
				equal(t, 3, want, d.findings())
			} else {
				d.end(unix.SIGTERM, 60*time.Second)
			}
			if !d.told("STOPPING=1") {
				t.Error("the service manager is not told that it stops")
			}
		})
	}
}

// hasGivenUp looks what the service may do: no more than the unit says, and of that
// nothing now.
func (v *service) hasGivenUp(t *testing.T, forGood bool) {
	t.Helper()
	u, err := readUnit()
	if err != nil {
		t.Fatal(err)
	}
	may, err := capabilities(u.one("CapabilityBoundingSet"))
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%016x", may)
	none := fmt.Sprintf("%016x", 0)
	filters, err := u.filters()
	if err != nil {
		t.Fatal(err)
	}
	user := strings.TrimSpace(strings.Repeat(fmt.Sprint(serviceUser)+" ", 4))
	want := map[string]string{"Uid": user, "Gid": user, "Groups": "", "CapEff": none, "CapInh": none, "CapAmb": none, "CapPrm": all, "CapBnd": all,
		"NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": fmt.Sprint(len(filters))}
	if forGood {
		want["CapPrm"] = none
	}
	for key, w := range want {
		for _, got := range v.threads(key) {
			if got != w {
				t.Errorf("%s of a thread: %q, want %q", key, got, w)
			}
		}
	}
}

// reload tells the service, as the unit does, to write elsewhere, into a folder that
// is its own: one that is kept to its files cannot, stays as it was and says so.
func (v *service) reload(t *testing.T, u unit, confined bool) {
	t.Helper()
	if u.one("ExecReload") != "/bin/kill -HUP $MAINPID" {
		t.Fatalf("ExecReload=%s", u.one("ExecReload"))
	}
	if err := v.reconfigure("output: out/", "output: elsewhere/"); err != nil {
		t.Fatal(err)
	}
	r := v.reloaded()
	_, err := os.Stat(filepath.Join(v.folder, "elsewhere", "findings.jsonl"))
	switch {
	case confined && (r.Refused != 1 || err == nil || !strings.Contains(v.said(), "permission denied")):
		t.Errorf("it writes where it may not: %+v, %v\n%s", r, err, v.said())
	case !confined && (r.Done != 1 || err != nil):
		t.Errorf("what only landlock should deny is denied: %+v, %v\n%s", r, err, v.said())
	}
}
