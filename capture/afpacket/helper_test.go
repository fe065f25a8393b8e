//go:build linux

package afpacket

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inNamespace runs f in a network namespace of its own, in which va and vb are
// the ends of one cable. What f starts must open no sockets in other threads.
func inNamespace(t testing.TB, f func(t testing.TB)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: packet sockets cannot be opened")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no iproute2: namespaces cannot be set up")
	}
	t.Cleanup(func() {
		if n := mappings(t); n != 0 {
			t.Errorf("%d rings are still mapped", n)
		}
	})
	done := make(chan string, 1)
	go func() {
		result := "the test stopped"
		defer func() { done <- result }()
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result = "skip: no network namespaces: " + err.Error()
			return
		}
		// Without IPv6, where there is any, the kernel says nothing of its own.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		if err := tryIP("link set lo up", addCable, "link set va up", "link set vb up"); err != nil {
			result = "skip: " + err.Error()
			return
		}
		f(t)
		result = ""
	}()
	switch why := <-done; {
	case strings.HasPrefix(why, "skip: "):
		t.Skip(why[6:])
	case why != "" && !t.Failed() && !t.Skipped():
		t.Error(why)
	}
}

const addCable = "link add va type veth peer name vb"

func tryIP(commands ...string) error {
	for _, c := range commands {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %v: %s", c, err, out)
		}
	}
	return nil
}

func ip(t testing.TB, commands ...string) {
	t.Helper()
	if err := tryIP(commands...); err != nil {
		t.Fatal(err)
	}
}

// sender sends frames out of a port, many at a time.
type sender struct {
	fd   int
	msgs []mmsghdr
	vecs []unix.Iovec
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// newSender waits for a cable that was just set up: until the kernel has come to
// switch it on, it drops what is sent.
func newSender(t testing.TB, name string) *sender {
	t.Helper()
	if name == "va" {
		until(t, "the cable carries", func() bool {
			out, err := exec.Command("ip", "-o", "link", "show", name).Output()
			return err == nil && strings.Contains(string(out), " state UP ")
		})
	}
	port, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: port.Index}); err != nil {
		t.Fatal(err)
	}
	return &sender{fd: fd}
}

// batch gives at most 256 frames to the kernel, and how many it took.
func (s *sender) batch(frames [][]byte) (int, error) {
	frames = frames[:min(len(frames), 256)]
	if cap(s.msgs) < len(frames) {
		s.msgs, s.vecs = make([]mmsghdr, len(frames)), make([]unix.Iovec, len(frames))
	}
	s.msgs, s.vecs = s.msgs[:len(frames)], s.vecs[:len(frames)]
	for i, f := range frames {
		s.vecs[i].Base = &f[0]
		s.vecs[i].SetLen(len(f))
		s.msgs[i].hdr.Iov = &s.vecs[i]
		s.msgs[i].hdr.SetIovlen(1)
	}
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(len(frames)), 0, 0, 0)
	runtime.KeepAlive(frames)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// send sends all frames.
func (s *sender) send(frames [][]byte) error {
	for len(frames) > 0 {
		n, err := s.batch(frames)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("send: %w", err)
		}
		frames = frames[n:]
	}
	return nil
}

const macs = "\x02SIMb\x01\x02SIMa\x01"

// flow is the addresses and ports of a datagram.
type flow struct{ src, dst, sport, dport uint16 }

func (f flow) reverse() flow { return flow{f.dst, f.src, f.dport, f.sport} }

// datagram makes a UDP datagram that carries n in its first eight bytes.
func (f flow) datagram(n uint64, size int) []byte {
	payload := make([]byte, max(size, 8))
	for i := range payload {
		payload[i] = byte(n + uint64(i))
	}
	binary.BigEndian.PutUint64(payload, n)
	udp := binary.BigEndian.AppendUint16(nil, f.sport)
	udp = binary.BigEndian.AppendUint16(udp, f.dport)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(payload)))
	udp = append(udp, 0, 0) // no checksum
	return f.ip(uint16(n), 0, append(udp, payload...))
}

// ip makes a frame with an IPv4 packet; frag is its flags and offset.
func (f flow) ip(id, frag uint16, payload []byte) []byte {
	h := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 0, 198, 18, 0, 0}
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(h[4:], id)
	binary.BigEndian.PutUint16(h[6:], frag)
	binary.BigEndian.PutUint16(h[14:], f.src)
	binary.BigEndian.PutUint16(h[18:], f.dst)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	frame := append([]byte(macs), 8, 0)
	return append(append(frame, h...), payload...)
}

// fragments cuts a datagram in three.
func (f flow) fragments(n uint64) [][]byte {
	whole := f.datagram(n, 1400)[34:]
	a, b := 480, 960
	return [][]byte{
		f.ip(uint16(n), 0x2000, whole[:a]),
		f.ip(uint16(n), 0x2000|uint16(a/8), whole[a:b]),
		f.ip(uint16(n), uint16(b/8), whole[b:]),
	}
}

// tag puts a VLAN tag in front of what stands behind the addresses.
func tag(frame []byte, tpid, tci uint16) []byte {
	out := append([]byte(nil), frame[:addresses]...)
	out = binary.BigEndian.AppendUint16(out, tpid)
	out = binary.BigEndian.AppendUint16(out, tci)
	return append(out, frame[addresses:]...)
}

func mustOpen(t testing.TB, opt Options, names ...string) []*Source {
	t.Helper()
	all, err := Open(names, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = CloseAll(all) })
	return all
}

// frame is one of ours that came.
type frame struct {
	data   string
	time   int64
	wire   uint32
	source uint32
	port   uint16
}

// collect reads all sources until each has been silent twice, and checks what
// holds for every batch. Frames of the kernel's own are left out.
func collect(t testing.TB, all ...*Source) []frame {
	t.Helper()
	var out []frame
	for _, s := range all {
		for silent := 0; silent < 2; {
			b, err := s.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if b.Source != s.Number() || b.Seq+uint64(len(b.Frames)) != s.seq {
				t.Fatalf("source %d, seq %d of %d frames; want %d and %d", b.Source, b.Seq, len(b.Frames), s.Number(), s.seq)
			}
			if len(b.Frames) == 0 {
				silent++
			} else {
				silent = 0
			}
			for i, f := range b.Frames {
				if data := b.Data(i); len(data) > 12 && string(data[:12]) == macs {
					out = append(out, frame{string(data), f.Time, f.Wire, b.Source, f.Port})
				}
			}
			b.Release()
		}
	}
	return out
}

func lost(s *Source, reason string) uint64 {
	for _, l := range s.Losses() {
		if strings.HasPrefix(l.Reason, reason) {
			return l.Count
		}
	}
	return 0
}

// until waits for something that is to come about soon.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// mappings counts the rings in this process's memory.
func mappings(t testing.TB) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), "socket:")
}
