package bpf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"simtrap/capture"
	"simtrap/ident"
	"simtrap/rtp"
)

// inNamespace runs f on a thread with a network namespace of its own, in which va
// and vb are the ends of a veth.
func inNamespace(t *testing.T, f func(t testing.TB)) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no iproute2: namespaces cannot be set up")
	}
	inBareNamespace(t, func(t testing.TB) {
		for _, args := range []string{"link set lo up", "link add va type veth peer name vb", "link set va up", "link set vb up"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Skipf("ip %s: %v: %s", args, err, out)
			}
		}
		// A port is up some time after it was told to be; what is sent before is dropped.
		for _, name := range []string{"va", "vb"} {
			for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				out, err := exec.Command("ip", "link", "show", name).CombinedOutput()
				if err == nil && bytes.Contains(out, []byte(" state UP ")) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s does not come up: %v: %s", name, err, out)
				}
			}
		}
		f(t)
	})
}

// inBareNamespace is inNamespace with nothing set up.
func inBareNamespace(t testing.TB, f func(t testing.TB)) {
	t.Helper()
	needBPF(t)
	done := make(chan string, 1)
	go func() {
		result := "the test stopped"
		defer func() { done <- result }()
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			result = "skip: no network namespaces: " + err.Error()
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

func ip(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// sender sends frames out of a port.
type sender struct {
	t  testing.TB
	fd int
	to unix.SockaddrLinklayer
}

func newSender(t testing.TB, name string) *sender {
	t.Helper()
	port, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &sender{t, fd, unix.SockaddrLinklayer{Ifindex: port.Index}}
}

func (s *sender) send(frame []byte) {
	s.t.Helper()
	for {
		err := unix.Sendto(s.fd, frame, 0, &s.to)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			s.t.Fatal(err)
		}
	}
}

const invite = "INVITE sip:100@198.51.100.7 SIP/2.0\r\nCall-ID: 1@x\r\nCSeq: 1 INVITE\r\n\r\n"

func tagged(frame []byte, tag uint16) []byte {
	out := append([]byte(nil), frame[:12]...)
	out = append(out, 0x81, 0)
	out = binary.BigEndian.AppendUint16(out, tag)
	return append(out, frame[12:]...)
}

// TestAttach sends a call, tagged and plain signalling into a veth, in every mode,
// and at last what is meant for the machine itself.
func TestAttach(t *testing.T) {
	for _, perfIntervals := range []bool{false, true} {
		for _, m := range append(chain(), Auto) {
			if perfIntervals && m != XDPNative && m != ClsAct {
				continue // the two programs
			}
			name := m.String()
			if perfIntervals {
				name += "-perf"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				inNamespace(t, func(t testing.TB) { attached(t, Config{Port: 3, Mode: m, PerfIntervals: perfIntervals}) })
			})
		}
	}
}

func attached(t testing.TB, cfg Config) {
	s, err := Open("vb", cfg)
	if err != nil {
		var missing *UnsupportedError
		if errors.As(err, &missing) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer s.Close()
	if s.objects.SimtrapXdp != nil && s.objects.SimtrapTc != nil {
		t.Error("both programs are loaded, and one is attached")
	}
	if cfg.Mode == Auto && s.Mode() != XDPNative || cfg.Mode != Auto && s.Mode() != cfg.Mode {
		t.Errorf("mode %v, left %v", s.Mode(), s.Left())
	}
	if dropping, why := s.Dropping(); !dropping {
		t.Errorf("a bare port: %s", why)
	}
	if n := wantAll(t, "vb"); n != 1 {
		t.Errorf("%d want the port to take the frames of all addresses, want one", n)
	}
	began := time.Now().UnixNano()
	out := newSender(t, "va")
	plain := udpFrame("10.1.2.3", "198.51.100.7", 5060, 5060, []byte(invite))
	const calls, packets = 5, 200
	out.send(plain)
	out.send(tagged(plain, 0x6064))
	var frames []capture.Frame
	var bodies [][]byte
	var got []rtp.Interval
	var until int64
	take := func() {
		t.Helper()
		b, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if b.Source != 3 || b.Seq != uint64(len(frames)) {
			t.Errorf("batch of source %d from %d, want 3 from %d", b.Source, b.Seq, len(frames))
		}
		for i := range b.Frames {
			frames = append(frames, b.Frames[i])
			bodies = append(bodies, bytes.Clone(b.Data(i)))
		}
		b.Release()
		got, until = s.Intervals(got)
	}
	for i := range packets {
		for c := range calls {
			out.send(udpFrame("10.1.2.3", "198.51.100.7", uint16(10000+c), 20000, rtpPayload(8, uint16(i), uint32(i)*160, uint32(c), 160)))
		}
		time.Sleep(5 * time.Millisecond)
		if i%50 == 0 {
			take()
		}
	}
	ended := time.Now().UnixNano()
	for range 40 {
		if take(); until > ended+2e9 {
			break
		}
	}
	if until <= ended+2e9 {
		t.Errorf("until is %d ns after the end, want more than an interval", until-ended)
	}
	sum := 0
	for i := range got {
		iv := &got[i]
		sum += int(iv.Packets)
		if iv.Flow.TapPort != 3 || iv.First < began || iv.Last > ended || iv.InStep != iv.Packets && iv.InStep+1 != iv.Packets || iv.PT != 8 || iv.Step != 160 {
			t.Errorf("interval %+v", iv)
		}
	}
	if sum < calls*packets/2 {
		t.Errorf("%d packets in %d intervals", sum, len(got))
	}
	want := [][]byte{plain, tagged(plain, 0x6064)}
	if len(bodies) < 2 || !bytes.Equal(bodies[0], want[0]) || !bytes.Equal(bodies[1], want[1]) {
		t.Errorf("%d frames: %x", len(bodies), bodies)
	}
	for i := range frames {
		f := &frames[i]
		if f.Time < began || f.Time > ended || f.Port != 3 || f.Link != capture.LinkEthernet || f.Len != f.Wire || int(f.Len) != len(bodies[i]) {
			t.Errorf("frame %+v", f)
		}
	}
	for _, l := range s.Losses() {
		if l.Count != 0 && l.Reason != "left_cut" {
			t.Errorf("lost: %+v", l)
		}
	}
	n := s.Counts()
	if n["up_sip"] != 2 || n["accounted"] != uint64(calls*(packets-1)+1) {
		t.Errorf("counts %v", n)
	}
	neverCutOff(t, s, out)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := wantAll(t, "vb"); n != 0 {
		t.Errorf("%d want the port to take the frames of all addresses after the end", n)
	}
	// A slow sender comes into one more interval, with too few packets for it to be told of.
	if n := s.Counts(); uint64(sum)+n["sparse_packets"] != n["accounted"] {
		t.Errorf("%d packets in %d intervals, %d in sparse ones, of %d accounted", sum, len(got), n["sparse_packets"], n["accounted"])
	}
	rest, last := s.Intervals(nil)
	if len(rest) != 0 || last <= until {
		t.Errorf("after the end: %d intervals, until %d", len(rest), last)
	}
}

// wantAll says how many want a port to take the frames of all addresses: a veth takes
// them anyway, a card does not.
func wantAll(t testing.TB, name string) (n int) {
	t.Helper()
	out, err := exec.Command("ip", "-d", "link", "show", name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, after, found := strings.Cut(string(out), " promiscuity ")
	if _, err := fmt.Sscan(after, &n); !found || err != nil {
		t.Fatalf("no promiscuity in %s", out)
	}
	return n
}

// TestLoopback needs no other program and no module, so that it runs on the barest
// of machines: signalling and media of sockets over a loopback of the test's own.
func TestLoopback(t *testing.T) {
	for _, m := range []Mode{XDPGeneric, TCX, ClsAct, Auto} {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			inBareNamespace(t, func(t testing.TB) { loopback(t, m) })
		})
	}
}

func loopback(t testing.TB, m Mode) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	up, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		t.Skipf("no loopback: %v", err)
	}
	s, err := Open("lo", Config{Port: 1, Mode: m})
	if err != nil {
		var missing *UnsupportedError
		if errors.As(err, &missing) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer s.Close()
	if dropping, why := s.Dropping(); dropping || !strings.Contains(why, "127.0.0.1") {
		t.Errorf("dropping %v: %s", dropping, why)
	}
	from, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	send := func(payload []byte) {
		t.Helper()
		if _, err := from.WriteTo(payload, to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		var b [2048]byte
		if n, err := to.Read(b[:]); err != nil || n != len(payload) {
			t.Fatalf("%d bytes of %d arrived: %v", n, len(payload), err)
		}
	}
	send([]byte(invite))
	for i := range 100 {
		send(rtpPayload(0, uint16(i), uint32(i)*160, 5, 160))
	}
	frames := 0
	var got []rtp.Interval
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && len(got) == 0; {
		b, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Frames {
			if bytes.Contains(b.Data(i), []byte(invite)) {
				frames++
			}
		}
		b.Release()
		got, _ = s.Intervals(got)
	}
	if frames != 1 || len(got) != 1 || got[0].Source != 100 || got[0].SSRC != 5 {
		t.Errorf("%d frames, intervals %+v; %v", frames, got, s.Counts())
	}
}

// TestCloseTellsTheRest wants the record that is open when a source is closed.
func TestCloseTellsTheRest(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		s, err := Open("vb", Config{})
		if err != nil {
			t.Fatal(err)
		}
		out := newSender(t, "va")
		for i := range 50 {
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 10000, 20000, rtpPayload(0, uint16(i), uint32(i)*160, 1, 160)))
		}
		time.Sleep(50 * time.Millisecond)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		ivs, _ := s.Intervals(nil)
		if len(ivs) != 1 || ivs[0].Packets != 49 {
			t.Errorf("%+v", ivs)
		}
		if _, err := s.Next(context.Background()); err != io.EOF {
			t.Errorf("frames of a closed source: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSparse wants packets of records that are not told of to be counted, whoever
// closes the record: the program with the next packet, the sweep once the flow is
// silent, or the source's end.
func TestSparse(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		s, err := Open("vb", Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out := newSender(t, "va")
		seq := uint16(0)
		send := func(packets int) {
			for range packets {
				out.send(udpFrame("10.1.2.3", "198.51.100.7", 10000, 20000, rtpPayload(0, seq, uint32(seq)*160, 1, 160)))
				seq++
			}
			time.Sleep(50 * time.Millisecond) // the kernel has them
		}
		var got []rtp.Interval
		want := func(records, packets uint64) {
			t.Helper()
			got, _ = s.Intervals(got)
			if n := s.Counts(); n["sparse"] != records || n["sparse_packets"] != packets {
				t.Errorf("%d packets in %d sparse records, want %d in %d", n["sparse_packets"], n["sparse"], packets, records)
			}
		}
		send(50)
		time.Sleep(time.Duration(rtp.Length))
		send(2)
		want(0, 0) // the record is open
		time.Sleep(time.Duration(rtp.Length))
		send(3)
		want(1, 2)
		s.mu.Lock()
		s.sweep.restart()
		got, _, err = s.sweep.step(got, s.now()+forget+1, math.MaxInt, false)
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		want(2, 5)
		send(3) // the first of them is the flow's first
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want(3, 7)
		if len(got) != 1 || got[0].Packets != 49 || s.Counts()["accounted"] != 49+7 {
			t.Errorf("%+v, %v", got, s.Counts())
		}
	})
}

// TestTogether reads frames and intervals on goroutines of their own, in a flood,
// and closes in the midst of it.
func TestTogether(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		s, err := Open("vb", Config{Port: 1, Flows: 4096, FrameRing: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.work.Lock()
		s.enough = 4 << 10 // so that it always ends before the ring is empty
		s.work.Unlock()
		ended := make(chan error, 1)
		var frames, packets atomic.Int64
		go func() {
			last := int64(0)
			for {
				b, err := s.Next(context.Background())
				if err != nil {
					ended <- err
					return
				}
				for i := range b.Frames {
					if b.Frames[i].Time < last {
						ended <- fmt.Errorf("a frame at %d after %d", b.Frames[i].Time, last)
						return
					}
					last = b.Frames[i].Time
				}
				frames.Add(int64(len(b.Frames)))
				b.Release()
			}
		}()
		var readers sync.WaitGroup
		readers.Go(func() {
			var ivs []rtp.Interval
			for until := int64(0); ; {
				var now int64
				if ivs, now = s.Intervals(ivs[:0]); now < until {
					t.Errorf("until went back from %d to %d", until, now)
				}
				for i := range ivs {
					if ivs[i].Close() <= until {
						t.Errorf("an interval that ended at %d, and none was missing up to %d", ivs[i].Close(), until)
					}
					packets.Add(int64(ivs[i].Packets))
				}
				if until = now; until == math.MaxInt64 {
					return
				}
				s.Losses()
				time.Sleep(20 * time.Millisecond)
			}
		})
		out := newSender(t, "va")
		sent := int64(0)
		for end, i := time.Now().Add(2500*time.Millisecond), 0; time.Now().Before(end); i++ {
			for c := range 20 {
				out.send(udpFrame("10.1.2.3", "198.51.100.7", uint16(10000+c), 20000, rtpPayload(8, uint16(i), uint32(i)*160, uint32(c), 160)))
				sent++
			}
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 5060, 5060, []byte(invite)))
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(20 * time.Millisecond) // the kernel has them
		n := s.Counts()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != io.EOF {
			t.Errorf("frames ended with %v", err)
		}
		readers.Wait()
		if got := int64(n["accounted"] + n["starts"]); got < sent {
			t.Errorf("%d small packets, %d sent", got, sent)
		}
		if want := sent - 20; packets.Load() < want || packets.Load() > want+int64(n["up_sip"]+n["limited_source"]+n["frames_lost"]) {
			t.Errorf("%d packets in intervals, want %d and those of signalling", packets.Load(), want)
		}
		if frames.Load() == 0 || uint64(frames.Load()) > n["up_sip"] {
			t.Errorf("%d frames of %d", frames.Load(), n["up_sip"])
		}
		t.Logf("%d packets, %d in intervals, %d frames, %v", sent, packets.Load(), frames.Load(), n)
	})
}

// neverCutOff wants what is sent to the machine itself to arrive once the port has
// an address, and nothing to be passed on before.
func neverCutOff(t testing.TB, s *Source, out *sender) {
	t.Helper()
	s.work.Lock() // nobody else looks at the port
	defer s.work.Unlock()
	ip(t, "addr add 192.0.2.1/24 dev vb")
	if arrives(t, out) {
		t.Error("a bare port passed a frame on") // it has not been looked at again
	}
	if err := s.look(); err != nil {
		t.Fatal(err)
	}
	if dropping, why := s.Dropping(); dropping || !strings.Contains(why, "192.0.2.1") {
		t.Errorf("dropping %v: %s", dropping, why)
	}
	if !arrives(t, out) {
		t.Error("a port with an address keeps frames from the machine")
	}
}

// arrives says whether what is sent to an address of vb's comes to the machine.
func arrives(t testing.TB, out *sender) bool {
	t.Helper()
	vb, err := net.InterfaceByName("vb")
	if err != nil {
		t.Fatal(err)
	}
	// A port of the kernel's choice: a program that a test beside this one starts holds
	// the socket of the look before until it is executed, and with it the port.
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := udpFrame("192.0.2.2", "192.0.2.1", 7777, uint16(c.LocalAddr().(*net.UDPAddr).Port), []byte("hello"))
	copy(f, vb.HardwareAddr)
	sum := uint32(0)
	f[24], f[25] = 0, 0
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum&0xffff+sum>>16))
	out.send(f)
	if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var b [64]byte
	_, err = c.Read(b[:])
	return err == nil
}

// stuck is a filter that cannot be taken out, as without the right to.
type stuck struct{ io.Closer }

func (stuck) Close() error { return unix.EPERM }

// TestLeftBehind wants a filter that cannot be taken out to let frames pass.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		s, err := Open("vb", Config{Mode: ClsAct})
		if err != nil {
			t.Skip(err)
		}
		if dropping, why := s.Dropping(); !dropping {
			t.Errorf("a bare port: %s", why)
		}
		s.link = stuck{s.link}
		if err := s.Close(); !errors.Is(err, unix.EPERM) {
			t.Errorf("closed: %v", err)
		}
		ip(t, "addr add 192.0.2.1/24 dev vb")
		if !arrives(t, newSender(t, "va")) {
			t.Error("it keeps frames from the machine")
		}
	})
}

func TestUsedFor(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		vb, err := net.InterfaceByName("vb")
		if err != nil {
			t.Fatal(err)
		}
		n, err := openNetlink()
		if err != nil {
			t.Fatal(err)
		}
		defer n.close()
		want := func(words string) {
			t.Helper()
			got, err := n.usedFor(vb.Index)
			if err != nil || !strings.Contains(got, words) || words == "" && got != "" {
				t.Errorf("%q %v, want %q", got, err, words)
			}
		}
		want("")
		for _, kind := range []string{"vlan id 7", "macvlan", "ipvlan"} { // what this kernel has
			if exec.Command("ip", strings.Fields("link add link vb name vb.7 type "+kind)...).Run() == nil {
				want("another interface stands on it")
				ip(t, "link del vb.7")
			}
		}
		ip(t, "route add 203.0.113.0/24 dev vb")
		want("route to 203.0.113.0")
		ip(t, "route del 203.0.113.0/24 dev vb")
		want("")
		ip(t, "addr add 2001:db8::1/64 dev vb")
		want("address 2001:db8::1")
		ip(t, "addr del 2001:db8::1/64 dev vb")
		want("")
	})
}

// TestExplicitChoice wants a typed error with the remedy.
func TestExplicitChoice(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		first, err := Open("vb", Config{Mode: XDPNative})
		if err != nil {
			t.Skip(err)
		}
		defer first.Close()
		_, err = Open("vb", Config{Mode: XDPNative})
		var missing *UnsupportedError
		if !errors.As(err, &missing) || missing.Mode != XDPNative || !strings.Contains(err.Error(), "another program") || !strings.Contains(err.Error(), "tcx") {
			t.Errorf("%v", err)
		}
		second, err := Open("vb", Config{}) // goes on to the next way
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if second.Mode() == XDPNative || len(second.Left()) == 0 {
			t.Errorf("mode %v, left %v", second.Mode(), second.Left())
		}
		if _, err := Open("nosuch", Config{}); err == nil {
			t.Error("a port that does not exist")
		}
	})
}

// TestNoPlaceForXDP opens a port whose place for XDP is taken: the other program is
// loaded then, takes frames, and why the first had no place is told.
func TestNoPlaceForXDP(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		first, err := Open("vb", Config{Mode: XDPNative, Keep: true})
		if err != nil {
			t.Skip(err)
		}
		defer first.Close()
		s, err := Open("vb", Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Mode() != TCX && s.Mode() != ClsAct {
			t.Errorf("mode %v", s.Mode())
		}
		if s.objects.SimtrapXdp != nil || s.objects.SimtrapTc == nil {
			t.Error("the program for XDP is loaded, or the other is not")
		}
		left := s.Left()
		if len(left) != int(s.Mode()-XDPNative) {
			t.Errorf("left %v before %v", left, s.Mode())
		}
		for i, err := range left {
			var missing *UnsupportedError
			if !errors.As(err, &missing) || missing.Mode != chain()[i] || missing.Mode < TCX && !strings.Contains(missing.Missing, "another program is attached") {
				t.Errorf("left %d: %v", i, err)
			}
		}
		if n := wantAll(t, "vb"); n != 2 {
			t.Errorf("%d want the port to take the frames of all addresses, want one for each source", n)
		}
		out := newSender(t, "va")
		want := udpFrame("10.1.2.3", "198.51.100.7", 5060, 5060, []byte(invite))
		out.send(want)
		for range 50 {
			b, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := len(b.Frames) == 1 && bytes.Equal(b.Data(0), want)
			b.Release()
			if got {
				return
			}
		}
		t.Error("it took no frame")
	})
}

// TestMemory holds the estimate to what the kernel says.
func TestMemory(t *testing.T) {
	needBPF(t)
	c := Config{Mode: ClsAct}
	want, err := c.Memory(0) // without rings per CPU
	if err != nil {
		t.Fatal(err)
	}
	if err := c.fill(); err != nil {
		t.Fatal(err)
	}
	o, err := load(&c, haveRing())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var sum uint64
	for _, m := range []*ebpf.Map{o.Flows4, o.Flows6, o.StartsSeen, o.Sources, o.Lines, o.Follows, o.IntervalRing} {
		info, err := m.Info()
		if err != nil {
			t.Fatal(err)
		}
		n, ok := info.Memlock()
		if !ok || n == 0 {
			t.Skip("this kernel does not tell what maps take")
		}
		sum += n
	}
	t.Logf("estimate %d KiB, kernel %d KiB", want>>10, sum>>10)
	if r := float64(sum) / float64(want); r < 0.8 || r > 1.2 {
		t.Errorf("estimate %d, the kernel says %d", want, sum)
	}
}

// TestProbe wants what it says to be so, nothing to stay attached, and what is at
// work to be left alone.
func TestProbe(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		modes, ring, err := Probe("vb")
		if err != nil {
			t.Fatal(err)
		}
		if ring != haveRing() || len(modes) != len(chain()) {
			t.Errorf("%v, ring %v", modes, ring)
		}
		out := newSender(t, "va")
		for _, m := range modes {
			s, err := Open("vb", Config{Mode: m.Mode})
			if (m.Err == nil) != (err == nil) {
				t.Errorf("%v: probed %v, opened %v", m.Mode, m.Err, err)
			}
			if err != nil {
				continue
			}
			if _, _, err := Probe("vb"); err != nil {
				t.Fatal(err)
			}
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 5060, 5060, []byte(invite)))
			time.Sleep(50 * time.Millisecond)
			if n := s.Counts()["up_sip"]; n != 1 {
				t.Errorf("%v: after a probe %d frames came up, want 1", m.Mode, n)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := Probe("nosuch"); err == nil {
			t.Error("a port that does not exist")
		}
	})
}

// TestLooksUnread wants a machine that gets an address on its tap port to have its
// frames although nobody reads the source, and what is gone to be told all the same.
func TestLooksUnread(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		s, err := Open("vb", Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if drop, why := s.Dropping(); !drop {
			t.Fatal("not dropped: ", why)
		}
		ip(t, "addr add 192.0.2.1/24 dev vb")
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			drop, why := s.Dropping()
			if !drop {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the machine is cut off: ", why)
			}
		}
		ip(t, "link del va")
		time.Sleep(time.Duration(lookEvery) + 2*tendEvery)
		if _, err := s.Next(context.Background()); !errors.Is(err, unix.ENODEV) {
			t.Errorf("a port that is gone: %v", err)
		}
	})
}

// TestFollow wants every segment of a connection that user space names, and to hear
// at the end that the port vanished.
func TestFollow(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t testing.TB) {
		s, err := Open("vb", Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		a, _ := ident.ParseAddr([]byte("10.1.2.3"))
		b, _ := ident.ParseAddr([]byte("198.51.100.7"))
		if err := s.Follow(rtp.Flow{Src: a, Dst: b, SrcPort: 40000, DstPort: 80}); err != nil {
			t.Fatal(err)
		}
		out := newSender(t, "va")
		for _, f := range [][]byte{
			tcpFrame("10.1.2.3", "198.51.100.7", 40000, 80, 0x18, []byte{0xff, 1, 2, 3}),
			tcpFrame("198.51.100.7", "10.1.2.3", 80, 40000, 0x18, []byte{0xff, 1, 2, 3}),
			tcpFrame("10.1.2.3", "198.51.100.7", 40001, 80, 0x18, []byte{0xff, 1, 2, 3}),
		} {
			out.send(f)
		}
		time.Sleep(50 * time.Millisecond)
		if n := s.Counts(); n["up_follow"] != 2 || n["tcp_segments"] != 3 {
			t.Errorf("%v", n)
		}
		// The same of UDP, whatever the size.
		if err := s.Follow(rtp.Flow{Src: b, Dst: a, SrcPort: 9000, DstPort: 9001}); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{20, 600, 1400} {
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 9001, 9000, bytes.Repeat([]byte{0xff}, size)))
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 9002, 9000, bytes.Repeat([]byte{0xff}, size)))
		}
		time.Sleep(50 * time.Millisecond)
		if n := s.Counts(); n["up_follow"] != 5 {
			t.Errorf("%v", n)
		}
		// A mark that was overwritten between its reading and its writing is set again.
		if err := s.objects.Marks.Set([numMarks]uint8{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Follow(rtp.Flow{Src: b, Dst: a, SrcPort: 9010, DstPort: 9011}); err != nil {
			t.Fatal(err)
		}
		out.send(udpFrame("10.1.2.3", "198.51.100.7", 9001, 9000, bytes.Repeat([]byte{0xff}, 1400)))
		time.Sleep(50 * time.Millisecond)
		if n := s.Counts(); n["up_follow"] != 6 {
			t.Errorf("%v", n)
		}
		s.work.Lock()
		s.remark()
		s.work.Unlock()
		out.send(udpFrame("10.1.2.3", "198.51.100.7", 9001, 9000, bytes.Repeat([]byte{0xff}, 1400)))
		time.Sleep(50 * time.Millisecond)
		if n := s.Counts(); n["up_follow"] != 7 {
			t.Errorf("%v", n)
		}
		// Large ones of a flow with small ones and no RTP.
		before := s.Counts()["up_first"]
		for range 3 {
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 9003, 9000, bytes.Repeat([]byte{0xff}, 100)))
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 9003, 9000, bytes.Repeat([]byte{0xff}, 700)))
			out.send(udpFrame("10.1.2.3", "198.51.100.7", 9003, 443, bytes.Repeat([]byte{0xff}, 700)))
		}
		time.Sleep(50 * time.Millisecond)
		if n := s.Counts()["up_first"] - before; n != 4 { // two small, two large
			t.Errorf("%d went up as first", n)
		}
		ip(t, "link del va")
		s.work.Lock()
		s.looked = 0
		s.work.Unlock()
		if _, err := s.Next(context.Background()); !errors.Is(err, unix.ENODEV) {
			t.Errorf("a port that is gone: %v", err)
		}
	})
}

func tcpFrame(src, dst string, sport, dport uint16, flags byte, payload []byte) []byte {
	head := make([]byte, 12)
	head[4], head[5] = 0x50, flags
	f := udpFrame(src, dst, sport, dport, append(head, payload...))
	f[23] = 6
	copy(f[38:], []byte{0, 0, 0, 1})
	return f
}
