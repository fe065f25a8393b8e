package sensor

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The unit is one that systemd understands, and leaves little open.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile("systemd/simtrapd.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(b)
	for _, want := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "User=simtrapd", "WatchdogSec=", "SystemCallFilter=", "StateDirectory=simtrapd",
		"Type=notify", "RuntimeDirectory=simtrapd", "MemoryMax=", "OOMPolicy=", "LimitMEMLOCK=", "ExecReload=", "CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN CAP_BPF CAP_PERFMON\n"} {
		if !strings.Contains(unit, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	var set uint64
	line := regexp.MustCompile(`(?m)^AmbientCapabilities=(.*)$`).FindStringSubmatch(unit)
	for _, name := range names(attaching) {
		if line == nil || !strings.Contains(" "+line[1]+" ", " "+name+" ") {
			t.Errorf("no %s, which attaching takes", name)
		}
		set++
	}
	if line != nil && uint64(len(strings.Fields(line[1]))) != set {
		t.Errorf("more than attaching takes: %s", line[1])
	}
	// Of address families what capturing, netlink, loopback and notices take, in
	// whatever mode; no more.
	if !strings.Contains(unit, "\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET\n") {
		t.Error("other address families than simtrapd takes")
	}
	// A set that is taken out takes with it what lines before it let in.
	filters := regexp.MustCompile(`(?m)^SystemCallFilter=(.*)$`).FindAllStringSubmatch(unit, -1)
	allowed := map[string]bool{}
	for _, f := range filters {
		words, out := strings.CutPrefix(f[1], "~")
		for _, w := range strings.Fields(words) {
			for _, call := range callsOf(t, w) {
				allowed[call] = !out
			}
		}
	}
	for _, call := range []string{"bpf", "perf_event_open", "capset", "prctl", "sched_setaffinity", "landlock_restrict_self"} {
		if !allowed[call] {
			t.Errorf("%s is filtered out", call)
		}
	}
	for _, call := range []string{"reboot", "init_module", "ptrace", "mount", "chroot", "setuid"} {
		if allowed[call] {
			t.Errorf("%s is let through", call)
		}
	}
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	// Its program and its user are not on this machine.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit = strings.NewReplacer("/usr/bin/simtrapd", self, "Documentation=man:simtrapd(8)\n", "").Replace(unit)
	name := filepath.Join(t.TempDir(), "simtrapd.service")
	if err := os.WriteFile(name, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "verify", "--man=no", name).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "simtrapd.service") {
			t.Errorf("%s", line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Skip("systemd-analyze does not work here: ", err)
	}
	out, err = exec.Command(tool, "security", "--offline=yes", "--no-pager", name).CombinedOutput()
	m := regexp.MustCompile(`exposure level[^:]*: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Skipf("no security verdict here: %v: %.200s", err, out)
	}
	if x, _ := strconv.ParseFloat(string(m[1]), 64); x > 3 {
		t.Errorf("exposure %.1f:\n%s", x, out)
	} else {
		t.Logf("exposure %.1f", x)
	}
}

// callsOf gives the system calls that a word of a filter stands for. Without systemd
// to ask, those are known of its sets that simtrapd needs although they are in one
// that it is denied.
func callsOf(t *testing.T, word string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(word, "@") {
		return []string{word}
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", word).Output()
	if err != nil {
		switch word {
		case "@system-service":
			return []string{"prctl", "capset", "sched_setaffinity"}
		case "@privileged":
			return []string{"bpf", "capset"}
		case "@resources":
			return []string{"sched_setaffinity", "setrlimit", "prlimit64"}
		}
		return nil
	}
	for line := range strings.Lines(string(out)) {
		w := strings.TrimSpace(line)
		if w == "" || w == word || strings.HasPrefix(w, "#") {
			continue
		}
		calls = append(calls, callsOf(t, w)...)
	}
	return calls
}
