//go:build linux

package live

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"simtrap/bpf"
)

// built names the folder of the programs, for the tests of this process.
const built = "SIMTRAP_LIVE_PROGRAMS"

func TestMain(m *testing.M) {
	if folder := os.Getenv(serviceFolder); folder != "" {
		os.Exit(become(folder, os.Args[1:]))
	}
	flag.Parse()
	// Most of these wait for packets most of the time.
	_ = flag.Set("test.parallel", "8")
	folder := ""
	// Real tunnels are judged by this process itself.
	if os.Geteuid() == 0 && !testing.Short() && os.Getenv(realTunnels) == "" {
		var err error
		if folder, err = build(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Setenv(built, folder)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(folder)
		os.Exit(code)
	}))
}

// build builds the programs, as they are shipped.
func build() (folder string, err error) {
	if folder, err = os.MkdirTemp("", "simtrap-live"); err != nil {
		return "", err
	}
	// The service's user reads them too.
	if err = os.Chmod(folder, 0o755); err != nil {
		return "", err
	}
	c := exec.Command("go", "build", "-o", folder+"/", "simtrap/cmd/simtrap", "simtrap/cmd/simtrapd", "simtrap/cmd/simtrap-hub")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		os.RemoveAll(folder)
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return folder, nil
}

// program gives the path of one of the project's programs.
func program(name string) string { return filepath.Join(os.Getenv(built), name) }

// space is a network namespace of its own: a thread that stays in it, on which
// everything that is to happen there is done.
type space struct {
	t    testing.TB
	tid  int
	jobs chan func()
}

// newSpace makes a namespace, or skips the test where there can be none. When the
// test is over the thread ends, and with it whatever was started from it.
func newSpace(t testing.TB) *space {
	t.Helper()
	if testing.Short() {
		t.Skip("takes its time, and what it tries are programs without the race detector")
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no iproute2: namespaces cannot be set up")
	}
	s := &space{t: t, jobs: make(chan func())}
	made, over := make(chan error), make(chan struct{})
	go func() {
		defer close(over)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		s.tid = unix.Gettid()
		// Without IPv6, where there is any, the kernel says nothing of its own.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		made <- err
		for f := range s.jobs {
			f()
		}
	}()
	t.Cleanup(func() {
		close(s.jobs)
		<-over
	})
	if err := <-made; err != nil {
		t.Skip("no network namespaces: ", err)
	}
	s.ip("link set lo up")
	return s
}

// do runs f in the namespace, and waits for it. f must not stop the test.
func (s *space) do(f func() error) error {
	err := make(chan error)
	s.jobs <- func() { err <- f() }
	return <-err
}

func (s *space) ip(commands ...string) {
	s.t.Helper()
	for _, c := range commands {
		if out, err := s.run("ip", strings.Fields(c)...); err != nil {
			s.t.Fatalf("ip %s: %v: %s", c, err, out)
		}
	}
}

// run runs a program in the namespace to its end.
func (s *space) run(name string, args ...string) (out []byte, err error) {
	_ = s.do(func() error {
		out, err = exec.Command(name, args...).CombinedOutput()
		return nil
	})
	return out, err
}

// process is a program that runs in a namespace.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  *os.File // what it says, both ways
	over chan error
	// patience is how long ready waits.
	patience time.Duration
}

// start starts a program in the namespace. It does not outlive the test.
func (s *space) start(folder, name string, args ...string) *process {
	s.t.Helper()
	out, err := os.CreateTemp(folder, filepath.Base(name)+"-*.log")
	if err != nil {
		s.t.Fatal(err)
	}
	return s.launch(folder, out, exec.Command(name, args...))
}

// launch starts what was made ready, in the namespace.
func (s *space) launch(folder string, out *os.File, cmd *exec.Cmd) *process {
	s.t.Helper()
	p := &process{t: s.t, name: filepath.Base(cmd.Path), cmd: cmd, out: out, over: make(chan error, 1), patience: 2 * time.Minute}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = folder, out, out
	// Memory is measured of programs that collect as they do for their users,
	// however the tests do.
	p.cmd.Env = slices.DeleteFunc(p.cmd.Environ(), func(s string) bool { return strings.HasPrefix(s, "GOGC=") })
	// Of the thread, which is the namespace's.
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := s.do(p.cmd.Start); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.over <- p.cmd.Wait() }()
	s.t.Cleanup(func() {
		p.signal(unix.SIGKILL)
		_ = p.wait(10 * time.Second)
		out.Close()
	})
	return p
}

func (p *process) signal(s unix.Signal) { _ = p.cmd.Process.Signal(s) }

// wait waits for the end of the process, which may have been before.
func (p *process) wait(patience time.Duration) error {
	select {
	case err := <-p.over:
		p.over <- err
		return err
	case <-time.After(patience):
		return fmt.Errorf("%s does not end within %v", p.name, patience)
	}
}

// end tells the process to end, and wants it to do so well.
func (p *process) end(s unix.Signal, patience time.Duration) {
	p.t.Helper()
	p.signal(s)
	if err := p.wait(patience); err != nil {
		p.t.Fatalf("%s: %v\n%s", p.name, err, p.said())
	}
}

// said gives what the process has said so far.
func (p *process) said() string {
	b, _ := os.ReadFile(p.out.Name())
	return string(b)
}

// ready waits until f says so; when the process ends before, the test does.
func (p *process) ready(what string, f func() bool) {
	p.t.Helper()
	for end := time.Now().Add(p.patience); !f(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-p.over:
			p.over <- err
			p.t.Fatalf("%s ended before %s: %v\n%s", p.name, what, err, p.said())
		default:
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s: %s: not within %v\n%s", p.name, what, p.patience, p.said())
		}
	}
}

// cable adds a veth of two ports, up and carrying.
func (s *space) cable(near, far string) {
	s.t.Helper()
	// Queues long enough for the bursts of several senders on two processors.
	s.ip("link add "+near+" txqueuelen 10000 type veth peer name "+far, "link set "+near+" up", "link set "+far+" up")
	s.carries(near)
}

// carries waits for a cable that was just set up: until the kernel has come to
// switch it on, it drops what is sent.
func (s *space) carries(port string) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out, err := s.run("ip", "-o", "link", "show", port)
		if err == nil && strings.Contains(string(out), " state UP ") {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s does not carry: %v: %s", port, err, out)
		}
	}
}

// record records what goes out of a port, and in, until it is told to end.
func (s *space) record(folder, port string) (file string, p *process) {
	s.t.Helper()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		s.t.Skip("no tcpdump: nothing records what is sent")
	}
	file = filepath.Join(folder, port+".pcap")
	p = s.start(folder, "tcpdump", "-Z", "root", "-B", "65536", "-s", "0", "--time-stamp-precision", "nano", "-i", port, "-w", file)
	p.ready("it listens", func() bool { return strings.Contains(p.said(), "listening on") })
	return file, p
}

// recorderTakes is how long a recorder may leave frames where it takes them from.
const recorderTakes = 1500 * time.Millisecond

// recorded ends a recording, after recorderTakes, which must be whole, and gives how
// many frames it is of.
func recorded(p *process) (frames int) {
	p.t.Helper()
	p.end(unix.SIGINT, 10*time.Second)
	before, _, ok := strings.Cut(p.said(), " packets captured\n")
	_, err := fmt.Sscan(before[strings.LastIndexByte(before, '\n')+1:], &frames)
	if !ok || err != nil || !strings.Contains(p.said(), "\n0 packets dropped by kernel") {
		p.t.Fatalf("the recording has holes:\n%s", p.said())
	}
	return frames
}

// missing says why a way of capturing is not to be had on a port, nil when it is.
func (s *space) missing(port, mode string) error {
	s.t.Helper()
	want := map[string]bpf.Mode{"xdp": bpf.XDPNative, "xdp-generic": bpf.XDPGeneric, "tcx": bpf.TCX, "clsact": bpf.ClsAct}[mode]
	if want == bpf.Auto {
		return nil // packet sockets
	}
	var why error
	err := s.do(func() error {
		modes, _, err := bpf.Probe(port)
		for _, m := range modes {
			var none *bpf.UnsupportedError
			if m.Mode == want && errors.As(m.Err, &none) {
				why = m.Err
			}
		}
		return err
	})
	if err != nil {
		s.t.Skip("no kernel programs here: ", err)
	}
	return why
}

// sender sends frames out of a port, many at a time.
type sender struct {
	fd   int
	msgs []mmsghdr
	vecs []unix.Iovec
	sent uint64
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// sender makes a sender, for one goroutine, anywhere.
func (s *space) sender(name string) *sender {
	s.t.Helper()
	out := &sender{}
	err := s.do(func() error {
		port, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		if out.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		s.t.Cleanup(func() { unix.Close(out.fd) })
		return unix.Bind(out.fd, &unix.SockaddrLinklayer{Ifindex: port.Index})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// batchFrames is how many frames are given to the kernel at once.
const batchFrames = 256

// send sends all frames. What the kernel has no room for is sent again.
func (s *sender) send(frames [][]byte) error {
	for len(frames) > 0 {
		part := frames[:min(len(frames), batchFrames)]
		s.msgs, s.vecs = slices.Grow(s.msgs[:0], len(part))[:len(part)], slices.Grow(s.vecs[:0], len(part))[:len(part)]
		for i, f := range part {
			s.vecs[i].Base = &f[0]
			s.vecs[i].SetLen(len(f))
			s.msgs[i] = mmsghdr{}
			s.msgs[i].hdr.Iov = &s.vecs[i]
			s.msgs[i].hdr.SetIovlen(1)
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(len(part)), 0, 0, 0)
		runtime.KeepAlive(part)
		switch errno {
		case 0:
			s.sent += uint64(n)
			frames = frames[n:]
		case unix.ENOBUFS, unix.EINTR, unix.EAGAIN:
			runtime.Gosched()
		default:
			return fmt.Errorf("send: %w", errno)
		}
	}
	return nil
}

// play sends frames in their own time: those of way n out of all of ports[n].
func play(ctx context.Context, list []frame, ports ...[]*sender) error {
	began := time.Now()
	var due [][]byte
	for len(list) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := int64(time.Since(began))
		if wait := list[0].at - now; wait > 0 {
			time.Sleep(time.Duration(wait))
			continue
		}
		due = due[:0]
		way := list[0].way
		for len(list) > 0 && list[0].at <= now && list[0].way == way && len(due) < batchFrames {
			due, list = append(due, list[0].data), list[1:]
		}
		for _, p := range ports[way] {
			if err := p.send(due); err != nil {
				return err
			}
		}
	}
	return nil
}

// counter reads one of the statistics of an interface, such as rx_packets.
func (s *space) counter(port, name string) (n uint64) {
	s.t.Helper()
	out, err := s.run("ip", "-s", "-s", "-j", "link", "show", port)
	if err != nil {
		s.t.Fatal(err)
	}
	way, what, _ := strings.Cut(name, "_")
	_, after, ok := bytes.Cut(out, []byte(`"`+way+`":{`))
	if !ok {
		s.t.Fatalf("no %s in %s", name, out)
	}
	_, after, ok = bytes.Cut(after, []byte(`"`+what+`":`))
	if _, err := fmt.Sscan(string(after), &n); !ok || err != nil {
		s.t.Fatalf("no %s in %s", name, out)
	}
	return n
}
