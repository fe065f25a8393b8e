package sensor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"simtrap/capture"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/rtp"
	"simtrap/sensor/config"
)

// inNamespace runs the test in a process with a network namespace of its own,
// where it says true.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const key = "SIMTRAP_NAMESPACE_CHILD"
	if os.Getenv(key) == t.Name() {
		for _, args := range []string{"link set lo up", cable, "link set va up", "link set vb up"} {
			ip(t, args)
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces cannot be made")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no iproute2: namespaces cannot be set up")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	c.Env = append(os.Environ(), key+"="+t.Name())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := c.CombinedOutput()
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EINVAL):
		t.Skip("no network namespaces: ", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS"):
		t.Errorf("the test did not run:\n%s", out)
	}
	return false
}

const cable = "link add va type veth peer name vb"

func ip(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// labFrames makes the first seconds of a lab's traffic, wrapped as encap says.
func labFrames(t *testing.T, seconds int64, encap string) (frames [][]byte, times []int64) {
	t.Helper()
	name := t.TempDir() + "/lab.pcap"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := lab.Make(f, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 10 * time.Minute, Encap: encap}); err != nil {
		t.Fatal(err)
	}
	files, err := capture.Open([]string{name}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	// From the first media on.
	var media bool
	for {
		b, err := files.Next(t.Context())
		if err != nil {
			return frames, times
		}
		for i := range b.Frames {
			d := b.Data(i)
			n := len(d) - 14 - 20 - 8
			if encap == "gtpu" {
				n -= 20 + 8 + 8
			}
			media = media || n == 172 || n == 32
			if !media {
				continue
			}
			if len(times) > 0 && b.Frames[i].Time-times[0] > seconds*1e9 {
				b.Release()
				return frames, times
			}
			frames, times = append(frames, append([]byte(nil), d...)), append(times, b.Frames[i].Time)
		}
		b.Release()
	}
}

// sendAll sends frames out of a port in their own time.
func sendAll(t testing.TB, port string, frames [][]byte, times []int64) {
	t.Helper()
	p, err := net.InterfaceByName(port)
	if err != nil {
		t.Error(err)
		return
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	begin := time.Now()
	for i, f := range frames {
		if times != nil {
			time.Sleep(time.Until(begin.Add(time.Duration(times[i] - times[0]))))
		}
		for {
			err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: p.Index})
			if err == nil {
				break
			}
			if !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
				t.Error(err)
				return
			}
		}
	}
}

func openTaps(t *testing.T, text string) (Port, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	ports, err := Taps{}.Open(t.Context(), Attach{Config: parsed(t, "/", "ports: [{name: vb}]\n"+text), Log: zap.New(core)})
	if err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
			t.Skip("programs cannot be loaded: ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ports[0].Source.Close(); err != nil {
			t.Error(err)
		}
	})
	return ports[0], logs
}

// watchFor reads a port for a while.
func watchFor(t *testing.T, p Port, d time.Duration) (frames int, packets uint64, ivs []rtp.Interval) {
	t.Helper()
	a, kernel := p.Source.(pipeline.Accountant)
	for begin := time.Now(); time.Since(begin) < d; {
		b, err := p.Source.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range b.Frames {
			if f.Port != uint16(p.Number) || b.Source != uint32(p.Number) {
				t.Fatalf("port %d of source %d", f.Port, b.Source)
			}
		}
		frames += len(b.Frames)
		b.Release()
		if kernel {
			ivs, _ = a.Intervals(ivs)
		}
	}
	for i := range ivs {
		packets += uint64(ivs[i].Packets)
	}
	return frames, packets, ivs
}

// TestTaps sends a call into a cable in every mode: what the kernel accounts comes
// as intervals, all else as frames.
func TestTaps(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{"auto": "", "xdp": "xdp", "xdp-generic": "xdp-generic", "tcx": "tcx", "clsact": "clsact", "af_packet": "af_packet"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if !inNamespace(t) {
				return
			}
			p, logs := openTaps(t, "capture: "+mode+"\nrealms: [{name: all}]\n")
			if want != "" && p.Mode != want {
				t.Errorf("mode %s", p.Mode)
			}
			if n := logs.FilterMessage("port attached").Len(); n != 1 {
				t.Errorf("told %d times", n)
			}
			all, times := labFrames(t, 8, "")
			done := make(chan struct{})
			go func() { defer close(done); sendAll(t, "va", all, times) }()
			frames, packets, ivs := watchFor(t, p, 14*time.Second)
			<-done
			t.Logf("%s: %d sent, %d frames up, %d packets in %d intervals, %v", p.Mode, len(all), frames, packets, len(ivs), p.Source.(Lossy).Losses())
			if len(all) < 500 {
				t.Fatalf("only %d frames to send", len(all))
			}
			_, kernel := p.Source.(pipeline.Accountant)
			switch {
			case p.Mode == "af_packet" && (kernel || frames < len(all)):
				t.Errorf("%d of %d frames", frames, len(all))
			case p.Mode != "af_packet" && (!kernel || frames == 0 || frames > len(all)/2 || packets < uint64(len(all))/2):
				t.Errorf("of %d frames %d up and %d accounted", len(all), frames, packets)
			}
			for i := range ivs {
				if ivs[i].Flow.Realm != 1 || ivs[i].Flow.TapPort != 1 {
					t.Fatalf("%+v", ivs[i].Flow)
				}
			}
		})
	}
}

// TestTapPasses wants a machine to stay on its network, whatever was asked for.
func TestTapPasses(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"xdp", "xdp-generic", "tcx", "clsact", "af_packet"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if !inNamespace(t) {
				return
			}
			ip(t, "addr add 192.0.2.1/24 dev vb")
			p, logs := openTaps(t, "capture: "+mode+"\non-port: drop\n")
			if logs.FilterMessage("on-port: drop is not followed: the machine would be cut off").Len() != 1 {
				t.Error("nothing said")
			}
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7777})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			vb, err := net.InterfaceByName("vb")
			if err != nil {
				t.Fatal(err)
			}
			f := append(append([]byte(nil), vb.HardwareAddr...), 2, 0, 0, 0, 0, 9, 8, 0)
			d := raw([4]byte{192, 0, 2, 2}, [4]byte{192, 0, 2, 1})
			binary.BigEndian.PutUint16(d[20:], 7777)
			binary.BigEndian.PutUint16(d[22:], 7777)
			d = append(d, "hello"...)
			d[3], d[25] = byte(len(d)), 13
			sum := uint32(0)
			for i := 0; i < 20; i += 2 {
				sum += uint32(binary.BigEndian.Uint16(d[i:]))
			}
			binary.BigEndian.PutUint16(d[10:], ^uint16(sum&0xffff+sum>>16))
			// A link that has just come up may lose the first.
			var b [64]byte
			var n int
			for end := time.Now().Add(10 * time.Second); n == 0 && time.Now().Before(end); {
				sendAll(t, "va", [][]byte{append(f, d...)}, nil)
				if err = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				n, err = c.Read(b[:])
			}
			if string(b[:n]) != "hello" {
				t.Errorf("%s: the machine is cut off: %v", p.Mode, err)
			}
		})
	}
}

// TestTapReturns deletes the port and makes it anew, with rights dropped.
func TestTapReturns(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"auto", "clsact", "af_packet"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if !inNamespace(t) {
				return
			}
			all, _ := labFrames(t, 1, "")
			rights, err := NewRights()
			if err != nil {
				t.Fatal(err)
			}
			core, logs := observer.New(zap.DebugLevel)
			ports, err := Taps{}.Open(t.Context(), Attach{Config: parsed(t, "/", "ports: [{name: vb}]\ncapture: "+mode+"\n"), Log: zap.New(core), Rights: rights})
			if err != nil {
				t.Skip(err)
			}
			p := ports[0]
			defer p.Source.Close()
			ip(t, "link del va")
			ip(t, cable)
			ip(t, "link set va up")
			ip(t, "link set vb up")
			if _, err := rights.Drop(true, p.Source.(Working).Working); err != nil {
				t.Fatal(err)
			}
			before := rights.Effective()
			begin := time.Now()
			for sent := false; ; {
				n, _, _ := watchFor(t, p, time.Second)
				if sent && n > 0 {
					break
				}
				if time.Since(begin) > 2*time.Minute {
					t.Fatalf("not back: %v", logs.All())
				}
				back := logs.FilterMessage("port is back").Len() == 1 || mode == "af_packet"
				if sent = back; sent {
					if err := rights.With(func() error { sendAll(t, "va", all, nil); return nil }); err != nil {
						t.Fatal(err)
					}
				}
			}
			if after := rights.Effective(); len(after) != len(before) {
				t.Errorf("rights %v, then %v", before, after)
			}
			if len(p.Source.(Lossy).Losses()) == 0 {
				t.Error("nothing counted")
			}
		})
	}
}

// TestTapRefuses wants an explicit choice to fail with what is missing, and auto to
// go on and to say why.
func TestTapRefuses(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	try := func(text string) error {
		ports, err := Taps{}.Open(context.Background(), Attach{Config: parsed(t, "/", text), Log: zap.NewNop()})
		for _, p := range ports {
			p.Source.Close()
		}
		return err
	}
	const vlan = "ports: [{name: vb}]\nrealms: [{name: a, vlan: 7}]\n"
	if err := try(vlan + "capture: xdp\n"); err == nil || !strings.Contains(err.Error(), "af_packet") {
		t.Error(err)
	}
	if err := try("ports: [{name: nosuch}]\n"); err == nil || !strings.Contains(err.Error(), "no such") {
		t.Error(err)
	}
	p, logs := openTaps(t, "realms: [{name: a, vlan: 7}]\n")
	if p.Mode != "af_packet" || logs.FilterMessage("way of capture left").Len() != 1 {
		t.Errorf("%s: %v", p.Mode, logs.All())
	}
	// One program is there already.
	if err := p.Source.Close(); err != nil {
		t.Fatal(err)
	}
	first, _ := openTaps(t, "capture: xdp\n")
	err := try("ports: [{name: vb}]\ncapture: xdp\n")
	if first.Mode != "xdp" || err == nil || !strings.Contains(err.Error(), "another program") {
		t.Error(err)
	}
	second, logs := openTaps(t, "capture: auto\n")
	left := logs.FilterMessage("way of capture left").All()
	if second.Mode == "xdp" || len(left) == 0 || left[0].ContextMap()["mode"] != "xdp" || left[0].ContextMap()["remedy"] == "" {
		t.Errorf("%s: %v", second.Mode, left)
	}
}

// TestPrograms wants the kernel to know whose tunnels it must not look into.
func TestPrograms(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "true false false []",
		"tunnels: {gtpu: false, gre: true}": "false false true []",
		"home: [203.0.113.7, 2001:db8::/32]\ntunnels: {vxlan: true}": "true true false [203.0.113.7/32 2001:db8::/32]",
		"home: [203.0.113.0/24]\nnever: [192.0.2.0/24]":              "true false false [203.0.113.0/24 192.0.2.0/24]",
	} {
		c := parsed(t, "/", "ports: [{name: vb}]\n"+text)
		w := way{config: c, port: c.Ports[0], number: 1, log: zap.NewNop()}
		p := w.programs()
		if got := fmt.Sprint(p.GTP, p.VXLAN, p.GRE, p.Homes); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestTapTunnels sends a call behind an operator's tunnel, and behind one that a
// subscriber holds: the one is accounted in the kernel, the other comes up.
func TestTapTunnels(t *testing.T) {
	t.Parallel()
	for home, held := range map[string]bool{"203.0.113.0/24": false, "10.64.0.0/16": true} {
		name := "operator's"
		if held {
			name = "subscriber's"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !inNamespace(t) {
				return
			}
			p, logs := openTaps(t, "home: ["+home+"]\n")
			if n := logs.FilterMessageSnippet("media in tunnels").Len(); n != 1 && p.Mode != "af_packet" {
				t.Errorf("told %d times", n)
			}
			all, times := labFrames(t, 4, "gtpu")
			done := make(chan struct{})
			go func() { defer close(done); sendAll(t, "va", all, times) }()
			frames, packets, ivs := watchFor(t, p, 9*time.Second)
			<-done
			t.Logf("%s: %d sent, %d frames up, %d packets in %d intervals", p.Mode, len(all), frames, packets, len(ivs))
			if _, kernel := p.Source.(pipeline.Accountant); !kernel {
				t.Skip("the kernel accounts nothing here: ", p.Mode)
			}
			if len(all) < 150 || held && (packets > 0 || frames < len(all)) || !held && (packets < uint64(len(all))/2 || frames > len(all)/2) {
				t.Errorf("of %d frames %d up and %d accounted", len(all), frames, packets)
			}
		})
	}
}

// TestRealmsInFrames tells where the kernel cannot know a realm.
func TestRealmsInFrames(t *testing.T) {
	for text, varies := range map[string]bool{
		"ports: [{name: vb}]\n":                                                                     false,
		"ports: [{name: vb}]\nrealms: [{name: a}]\n":                                                false,
		"ports: [{name: vb}]\nrealms: [{name: a, vlan: 7}]\n":                                       true,
		"ports: [{name: vb, realm: p}]\nrealms: [{name: a, vlan: 7}]\n":                             false,
		"ports: [{name: vb}]\nrealms: [{name: a, tunnel: 198.51.100.0/24}]\n":                       true,
		"ports: [{name: vb}]\ntunnels: {gtpu: false}\nrealms: [{name: a, tunnel: 198.51.100.0/24}]": false,
		"ports: [{name: vb}]\nhome: [203.0.113.0/24]\nrealms: [{name: a, tunnel: 198.51.100.0/24}]": true,
	} {
		c := parsed(t, "/", text)
		w := way{config: c, port: c.Ports[0], number: 1, log: zap.NewNop()}
		if why := w.realmsInFrames(); (why != "") != varies {
			t.Errorf("%s: %q", text, why)
		}
	}
	if modeOf(config.CaptureXDP).String() != "xdp-native" || word(modeOf(config.CaptureTCX)) != "tcx" {
		t.Error("modes")
	}
}

// ending is a source in whose ring something is left when it is closed.
type ending struct {
	fails     error
	frames    int
	intervals int
	closed    bool
}

func (e *ending) Next(ctx context.Context) (*capture.Batch, error) {
	switch {
	case e.closed && e.frames == 0:
		return nil, io.EOF
	case e.closed:
		e.frames--
		return batch([]int64{1e9}, []byte{1}), nil
	case e.fails != nil:
		return nil, e.fails
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return batch(nil), nil
}

func (e *ending) Close() error { e.closed = true; return nil }

func (e *ending) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	if e.closed {
		dst, e.intervals = append(dst, make([]rtp.Interval, e.intervals)...), 0
	}
	return dst, 7
}

func (e *ending) Losses() []capture.Loss {
	if !e.closed {
		return nil
	}
	return []capture.Loss{{Stage: "kernel", Reason: "frames_left", Count: uint64(e.frames)}, {Stage: "kernel", Reason: "intervals_left", Count: uint64(e.intervals)}}
}

// TestTapEnds wants what is left in a ring to be given, when the port fails and when the
// daemon is told to end, and what nobody takes to be counted, and that alone.
func TestTapEnds(t *testing.T) {
	open := func(e *ending) kernelTap {
		x := &tap{name: "eth1", number: 1, log: zap.NewNop(), watch: newMonitor(zap.NewNop(), nil, nil), tried: time.Now().Add(time.Hour)}
		x.now = opened{source: e, seen: func() uint64 { return 9 }}
		x.watch.enter()
		return kernelTap{tap: x}
	}
	left := func(x kernelTap) (n uint64) {
		for _, l := range x.Losses() {
			if strings.HasSuffix(l.Reason, "_left") {
				n += l.Count
			}
		}
		return n
	}
	for name, e := range map[string]*ending{
		"lost": {fails: unix.ENODEV, frames: 3, intervals: 2},
		"told": {frames: 3, intervals: 2},
	} {
		t.Run(name, func(t *testing.T) {
			x := open(e)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if e.fails == nil {
				cancel()
			}
			frames, intervals := 0, 0
			for range 4 {
				b, err := x.Next(ctx)
				if err == nil {
					if frames > 0 && len(b.Frames) > 0 && b.Seq != uint64(frames) {
						t.Errorf("frame %d is numbered %d", frames, b.Seq)
					}
					frames += len(b.Frames)
					b.Release()
				}
				ivs, _ := x.Intervals(nil)
				intervals += len(ivs)
				if err != nil && (e.fails != nil || frames < 3 || !errors.Is(err, context.Canceled)) {
					t.Errorf("after %d frames: %v", frames, err)
				}
			}
			if !e.closed || frames != 3 || intervals != 2 || left(x) != 0 {
				t.Errorf("closed %v, %d frames, %d intervals, %d counted as left", e.closed, frames, intervals, left(x))
			}
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	x := open(&ending{frames: 3, intervals: 2})
	if err := x.Close(); err != nil || left(x) != 5 {
		t.Errorf("%v, %d left", err, left(x))
	}
}

// TestTapWithoutRights closes a port when the right to attach was given up for good.
func TestTapWithoutRights(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"xdp", "clsact", "af_packet"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if !inNamespace(t) {
				return
			}
			rights, err := NewRights()
			if err != nil {
				t.Fatal(err)
			}
			ports, err := Taps{}.Open(t.Context(), Attach{Config: parsed(t, "/", "ports: [{name: vb}]\ncapture: "+mode+"\n"), Log: zap.NewNop(), Rights: rights})
			if err != nil {
				t.Skip(err)
			}
			p := ports[0]
			if _, err := rights.Drop(false, p.Source.(Working).Working); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			b, err := p.Source.Next(ctx)
			for ; err == nil; b, err = p.Source.Next(ctx) {
				b.Release()
			}
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			// A filter is taken out by who may; without it passes frames on.
			if err := rights.Closing(p.Source.Close); err != nil && mode != "clsact" {
				t.Error(err)
			}
			if _, err := p.Source.Next(t.Context()); err != io.EOF {
				t.Errorf("not closed: %v", err)
			}
		})
	}
}

// TestTapEndsWhole wants all of what was sent before the end from a port that nobody has
// read yet, the intervals of flows that go on too.
func TestTapEndsWhole(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"auto", "af_packet"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if !inNamespace(t) {
				return
			}
			p, _ := openTaps(t, "capture: "+mode+"\n")
			all, _ := labFrames(t, 4, "")
			sendAll(t, "va", all, nil)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			frames, packets := 0, uint64(0)
			a, kernel := p.Source.(accountant)
			for {
				b, err := p.Source.Next(ctx)
				if kernel {
					ivs, _ := a.Intervals(nil)
					for i := range ivs {
						packets += uint64(ivs[i].Packets)
					}
				}
				if err != nil {
					break
				}
				frames += len(b.Frames)
				b.Release()
			}
			t.Logf("%s: %d sent, %d frames up, %d packets in intervals", p.Mode, len(all), frames, packets)
			switch {
			case !kernel && frames < len(all): // the kernel says something of its own
				t.Errorf("%d frames of %d", frames, len(all))
			case kernel && (frames == 0 || packets < uint64(len(all))/2):
				t.Errorf("of %d frames %d up and %d accounted", len(all), frames, packets)
			}
			for _, l := range p.Source.(Lossy).Losses() {
				if l.Count > 0 {
					t.Errorf("lost: %+v", l)
				}
			}
		})
	}
}
