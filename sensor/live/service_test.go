//go:build linux

package live

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// unitFile is the unit that the project ships.
const unitFile = "../systemd/simtrapd.service"

// unit is what a unit says under [Service]: the values of each key, in their order.
type unit map[string][]string

func readUnit() (unit, error) {
	f, err := os.Open(unitFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	u := unit{}
	section := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = line
		case ok && section == "[Service]":
			u[key] = append(u[key], value)
		}
	}
	return u, nil
}

// one gives the value of a key that stands once.
func (u unit) one(key string) string {
	if v := u[key]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// handled says which keys of the unit are followed here; the others are the service
// manager's own, or take what a test cannot give, with the reason.
func handled() map[string]string {
	const followed = ""
	m := map[string]string{}
	for _, key := range []string{"User", "Group", "AmbientCapabilities", "CapabilityBoundingSet", "NoNewPrivileges", "SecureBits", "UMask",
		"LimitNOFILE", "LimitMEMLOCK", "ProtectSystem", "StateDirectory", "RuntimeDirectory", "ProtectProc", "ProtectKernelTunables",
		"RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "RestrictAddressFamilies",
		"SystemCallArchitectures", "SystemCallErrorNumber", "SystemCallFilter", "ExecStartPre", "ExecStart", "ExecReload", "Type", "NotifyAccess",
		"WatchdogSec", "StateDirectoryMode"} {
		m[key] = followed
	}
	for _, key := range []string{"Restart", "RestartSec", "TimeoutStopSec", "OOMPolicy", "ConfigurationDirectory", "RemoveIPC"} {
		m[key] = "of the service manager alone"
	}
	for _, key := range []string{"PrivateTmp", "ProtectHome"} {
		m[key] = "the programs and folders of the test lie there"
	}
	for _, key := range []string{"PrivateDevices", "ProtectControlGroups"} {
		m[key] = "hides or protects files that are read-only anyway"
	}
	for _, key := range []string{"ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules"} {
		m[key] = "takes system calls and capabilities that are not let through anyway"
	}
	m["MemoryMax"] = "TestMemoryOfFlows measures it"
	return m
}

// sets reads sets of system calls by their names.
func sets() (map[string][]string, error) {
	b, err := os.ReadFile("testdata/syscalls")
	if err != nil {
		return nil, err
	}
	out, name := map[string][]string{}, ""
	for line := range strings.Lines(string(b)) {
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@"):
			name = strings.TrimSpace(line)
		default:
			out[name] = append(out[name], strings.Fields(line)...)
		}
	}
	return out, nil
}

// calls gives the system calls that SystemCallFilter lets through, as systemd.exec(5)
// has it: the first line lets in, with @default; those behind it let in and take out.
// Those that the machine's architecture does not have are left out.
func (u unit) calls() ([]string, error) {
	known, err := sets()
	if err != nil {
		return nil, err
	}
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	allowed := map[string]bool{}
	var set func(word string, in bool) error
	set = func(word string, in bool) error {
		if !strings.HasPrefix(word, "@") {
			allowed[word] = in
			return nil
		}
		words, ok := known[word]
		if !ok {
			return fmt.Errorf("testdata/syscalls does not know %s", word)
		}
		for _, w := range words {
			if err := set(w, in); err != nil {
				return err
			}
		}
		return nil
	}
	lines := u["SystemCallFilter"]
	if len(lines) == 0 || strings.HasPrefix(lines[0], "~") {
		return nil, errors.New("SystemCallFilter lets everything through that it does not name")
	}
	err = set("@default", true)
	for _, line := range lines {
		words, out := strings.CutPrefix(line, "~")
		for _, w := range strings.Fields(words) {
			err = errors.Join(err, set(w, !out))
		}
	}
	var names []string
	for name, in := range allowed {
		if _, ok := machine.SyscallNames[name]; ok && in {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// shmExec is SHM_EXEC of shmat(2).
const shmExec = 0o100000

func refused(errno unix.Errno) seccomp.Action {
	return seccomp.Action(uint32(seccomp.ActionErrno)&^0xffff | uint32(errno))
}

// when is a system call with some of its arguments.
func when(name string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: conditions}
}

func bits(argument uint32, set uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.BitsSet, Value: set}
}

func not(argument uint32, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.NotEqual, Value: value}
}

// filters gives the filters of system calls that the unit asks for, the last of which
// is that of SystemCallFilter.
func (u unit) filters() (out []seccomp.Policy, err error) {
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	deny := func(errno unix.Errno, list ...seccomp.NameWithConditions) {
		// Of calls that an architecture does not have there is nothing to deny.
		list = slices.DeleteFunc(list, func(n seccomp.NameWithConditions) bool {
			_, ok := machine.SyscallNames[n.Name]
			return !ok
		})
		group := seccomp.SyscallGroup{Action: refused(errno)}
		for _, n := range list {
			if len(n.Conditions) == 0 {
				group.Names = append(group.Names, n.Name)
			} else {
				group.NamesWithCondtions = append(group.NamesWithCondtions, n)
			}
		}
		out = append(out, seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{group}})
	}
	if u.one("MemoryDenyWriteExecute") == "yes" {
		deny(unix.EPERM, when("mmap", bits(2, unix.PROT_WRITE), bits(2, unix.PROT_EXEC)), when("mprotect", bits(2, unix.PROT_EXEC)),
			when("pkey_mprotect", bits(2, unix.PROT_EXEC)), when("shmat", bits(2, shmExec)))
	}
	if u.one("RestrictNamespaces") == "yes" {
		const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
		deny(unix.EPERM, when("unshare"), when("setns"), when("clone", bits(0, namespaces)))
		deny(unix.ENOSYS, when("clone3"))
	}
	if u.one("RestrictRealtime") == "yes" {
		deny(unix.EPERM, when("sched_setscheduler", not(1, unix.SCHED_NORMAL), not(1, unix.SCHED_BATCH), not(1, unix.SCHED_IDLE)))
	}
	if u.one("RestrictSUIDSGID") == "yes" {
		const both = unix.S_ISUID | unix.S_ISGID
		deny(unix.EPERM, when("chmod", bits(1, both)), when("fchmod", bits(1, both)), when("fchmodat", bits(2, both)),
			when("mkdir", bits(1, both)), when("mkdirat", bits(2, both)), when("mknod", bits(1, both)), when("mknodat", bits(2, both)),
			when("open", bits(1, unix.O_CREAT), bits(2, both)), when("openat", bits(2, unix.O_CREAT), bits(3, both)), when("creat", bits(1, both)))
		deny(unix.ENOSYS, when("openat2"))
	}
	if u.one("LockPersonality") == "yes" {
		deny(unix.EPERM, when("personality", not(0, 0)))
	}
	if families := u.one("RestrictAddressFamilies"); families != "" {
		numbers := map[string]uint64{"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6, "AF_NETLINK": unix.AF_NETLINK, "AF_PACKET": unix.AF_PACKET}
		var others []seccomp.Condition
		for _, name := range strings.Fields(families) {
			n, ok := numbers[name]
			if !ok {
				return nil, fmt.Errorf("address family %s is not known here", name)
			}
			others = append(others, not(0, n))
		}
		deny(unix.EAFNOSUPPORT, when("socket", others...))
	}
	if u.one("SystemCallErrorNumber") != "EPERM" || u.one("SystemCallArchitectures") != "native" {
		return nil, errors.New("SystemCallErrorNumber and SystemCallArchitectures are not what is known here")
	}
	names, err := u.calls()
	return append(out, seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{{Names: names, Action: seccomp.ActionAllow}}}), err
}

// serviceUser is whom the service runs as here: nobody that the machine knows.
const serviceUser = 64321

// The environment of a process of the tests that is to become the service: the folder
// that it may write to.
const serviceFolder = "SIMTRAP_LIVE_SERVICE"

// exitNoMounts is how a process ends that cannot become the service because mounts
// are not to be had.
const exitNoMounts = 77

// become makes of the process what the service manager makes of the one that it
// starts, and executes a program, by the unit. It comes back only with an error, of
// which it gives the exit status.
func become(folder string, argv []string) int {
	// All of this is of the thread alone, and what is executed has no other.
	runtime.LockOSThread()
	u, err := readUnit()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := ownFiles(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitNoMounts
	}
	fmt.Fprintln(os.Stderr, u.execute(argv))
	return 1
}

func (u unit) execute(argv []string) error {
	filters, err := u.filters()
	if err != nil {
		return err
	}
	if err := limit(u); err != nil {
		return err
	}
	mask, err := strconv.ParseUint(u.one("UMask"), 8, 32)
	if err != nil {
		return fmt.Errorf("UMask: %w", err)
	}
	unix.Umask(int(mask))
	if err := rights(u); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	environment := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, serviceFolder+"=") })
	for i := range filters {
		// The last one lets no more filters in.
		if err := seccomp.LoadFilter(seccomp.Filter{Policy: filters[i]}); err != nil {
			return err
		}
	}
	return fmt.Errorf("execute %s: %w", argv[0], unix.Exec(argv[0], argv, environment))
}

// ownFiles makes all files read-only but those in a folder, and hides the processes of
// others.
func ownFiles(folder string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a namespace of mounts: %w", err)
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"keep mounts from others", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"own processes", func() error {
			return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "hidepid=invisible")
		}},
		{"mount " + folder, func() error { return unix.Mount(folder, folder, "", unix.MS_BIND, "") }},
		{"all read-only", func() error {
			return unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		}},
		{"processes as they were", func() error {
			return unix.MountSetattr(unix.AT_FDCWD, "/proc", 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		}},
		{"tunables read-only", func() error { return unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, "") }},
		{"tunables read-only", func() error {
			return unix.MountSetattr(unix.AT_FDCWD, "/proc/sys", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		}},
		{folder + " to write", func() error {
			return unix.MountSetattr(unix.AT_FDCWD, folder, 0, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		}},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

func limit(u unit) error {
	for key, which := range map[string]int{"LimitNOFILE": unix.RLIMIT_NOFILE, "LimitMEMLOCK": unix.RLIMIT_MEMLOCK} {
		n := uint64(unix.RLIM_INFINITY)
		if v := u.one(key); v != "infinity" {
			var err error
			if n, err = strconv.ParseUint(v, 10, 64); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		var now unix.Rlimit
		if err := unix.Getrlimit(which, &now); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		// The service manager may raise it, which takes a right that a test may lack.
		n = min(n, now.Max)
		if err := unix.Setrlimit(which, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// capabilities gives a set by its names.
func capabilities(names string) (set uint64, err error) {
	numbers := map[string]int{"CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON}
	for _, name := range strings.Fields(names) {
		n, ok := numbers[name]
		if !ok {
			return 0, fmt.Errorf("%s is not known here", name)
		}
		set |= 1 << n
	}
	return set, nil
}

// rights leaves the thread the unit's capabilities and makes it its user's.
func rights(u unit) error {
	bounds, err := capabilities(u.one("CapabilityBoundingSet"))
	if err != nil {
		return err
	}
	ambient, err := capabilities(u.one("AmbientCapabilities"))
	if err != nil {
		return err
	}
	if u.one("SecureBits") != "noroot-locked" || u.one("NoNewPrivileges") != "yes" || u.one("User") == "" {
		return errors.New("SecureBits, NoNewPrivileges and User are not what is known here")
	}
	const noroot, norootLocked, keepCaps = 1 << 0, 1 << 1, 1 << 4
	for c := range uintptr(64) {
		if bounds&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break // beyond the last one of this kernel
		} else if err != nil {
			return fmt.Errorf("bound capabilities: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, noroot|norootLocked|keepCaps, 0, 0, 0); err != nil {
		return fmt.Errorf("secure bits: %w", err)
	}
	// The library's own calls would be of all threads.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("groups: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, serviceUser, serviceUser, serviceUser); errno != 0 {
		return fmt.Errorf("group: %w", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, serviceUser, serviceUser, serviceUser); errno != 0 {
		return fmt.Errorf("user: %w", errno)
	}
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	d := [2]unix.CapUserData{}
	for i := range d {
		part := uint32(ambient >> (32 * i))
		d[i] = unix.CapUserData{Effective: part, Permitted: part, Inheritable: part}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&d[0])), 0); errno != 0 {
		return fmt.Errorf("capabilities: %w", errno)
	}
	for c := range uintptr(64) {
		if ambient&(1<<c) != 0 {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
				return fmt.Errorf("ambient capabilities: %w", err)
			}
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new rights: %w", err)
	}
	// Another user's does not end with its parent unless it says so again.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}
