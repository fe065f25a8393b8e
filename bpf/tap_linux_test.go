package bpf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"simtrap/capture"
	"simtrap/pipeline"
	"simtrap/rtp"
)

const (
	tapRounds = 5
	tapTime   = 2 * time.Second
	tapGoal   = 0.8
)

// BenchmarkTap sends a tap's mix into a veth from two threads as fast as they can,
// in turns to a program that reads addresses and ports and drops, and to all of
// simtrap: the program, the rings, and the pipeline that judges what comes up. Who
// sends, the kernel and simtrap share the processors. make bench-live prints it.
//
// A veth of one queue looks at all packets on one processor, which cannot follow two
// that send; what it has no room for it drops and counts. With a queue for each
// processor nothing waits.
func BenchmarkTap(b *testing.B) {
	for _, queues := range []int{1, 2} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			inBareNamespace(b, func(t testing.TB) { benchTap(t, b, queues) })
		})
	}
}

func benchTap(t testing.TB, b *testing.B, queues int) {
	n := fmt.Sprintf("numtxqueues %d numrxqueues %d", queues, queues)
	ip(t, "link add va "+n+" type veth peer name vb "+n)
	// Nobody but the senders is to be heard.
	for _, port := range []string{"va", "vb"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+port+"/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		ip(t, "link set "+port+" up")
	}
	var bare, ours []float64
	for range tapRounds {
		bare = append(bare, tapBare(t))
		ours = append(ours, tapOurs(t))
	}
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, ours[i]/bare[i])
	}
	verdict := "reached"
	if median(ratios) < tapGoal {
		verdict = "MISSED"
	}
	b.Logf("%-22s %8s %8s %8s", "thousand packets/s", "median", "least", "most")
	for _, v := range []struct {
		name string
		n    []float64
	}{{"parse and drop", bare}, {"simtrap, whole path", ours}} {
		b.Logf("%-22s %8.0f %8.0f %8.0f", v.name, median(v.n)/1e3, slices.Min(v.n)/1e3, slices.Max(v.n)/1e3)
	}
	b.Logf("ratio %.2f (%.2f to %.2f of a round), goal %.1f: %s", median(ratios), slices.Min(ratios), slices.Max(ratios), tapGoal, verdict)
	b.ReportMetric(median(ratios), "of-bare")
	b.ReportMetric(0, "ns/op")
}

func median(v []float64) float64 { v = slices.Sorted(slices.Values(v)); return v[len(v)/2] }

// tapBare gives how many packets a second a bare program sees.
func tapBare(t testing.TB) float64 {
	seen, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // data_end
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, 38),
		asm.JGT.Reg(asm.R4, asm.R3, "drop"),
		asm.LoadMem(asm.R5, asm.R2, 12, asm.Half),
		asm.HostTo(asm.BE, asm.R5, asm.Half),
		asm.JNE.Imm(asm.R5, 0x0800, "drop"),
		asm.LoadMem(asm.R5, asm.R2, 14, asm.Byte),
		asm.JNE.Imm(asm.R5, 0x45, "drop"),
		asm.LoadMem(asm.R6, asm.R2, 23, asm.Byte), // protocol
		asm.LoadMem(asm.R7, asm.R2, 26, asm.Word), // addresses
		asm.LoadMem(asm.R8, asm.R2, 30, asm.Word),
		asm.Xor.Reg(asm.R7, asm.R8),
		asm.LoadMem(asm.R8, asm.R2, 34, asm.Word), // ports
		asm.Xor.Reg(asm.R7, asm.R8),
		asm.JEq.Imm(asm.R6, 6, "count"),
		asm.JNE.Imm(asm.R6, 17, "drop"),
		asm.Mov.Imm(asm.R1, 0).WithSymbol("count"),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, seen.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("drop"),
		asm.Return(),
	}})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer p.Close()
	port, err := net.InterfaceByName("vb")
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: port.Index, Flags: link.XDPDriverMode})
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	return tapSend(t, func() uint64 {
		var cpus []uint64
		if err := seen.Lookup(uint32(0), &cpus); err != nil {
			t.Fatal(err)
		}
		sum := uint64(0)
		for _, n := range cpus {
			sum += n
		}
		return sum
	}, nil)
}

// counting counts the frames and packets that come up.
type counting struct {
	*Source
	frames, packets atomic.Uint64
}

func (c *counting) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := c.Source.Next(ctx)
	if err == nil {
		c.frames.Add(uint64(len(b.Frames)))
	}
	return b, err
}

func (c *counting) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	had := len(dst)
	dst, until := c.Source.Intervals(dst)
	for i := range dst[had:] {
		c.packets.Add(uint64(dst[had+i].Packets) + uint64(dst[had+i].Duplicates))
	}
	return dst, until
}

// tapOurs gives how many packets a second simtrap sees, and wants each accounted for.
func tapOurs(t testing.TB) float64 {
	s, err := Open("vb", Config{Port: 1, Mode: XDPNative})
	if err != nil {
		t.Fatal(err)
	}
	src := &counting{Source: s}
	live, err := pipeline.NewLive(pipeline.Config{}, src)
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := live.Run(context.Background())
		ended <- err
	}()
	n := map[string]uint64{}
	rate := tapSend(t, s.Seen, func(sip uint64) {
		time.Sleep(3 * idle) // what is in the rings comes up
		n = s.Counts()
		if got := n["up_sip"] + n["limited_source"] + n["frames_lost"]; got < sip {
			t.Errorf("of %d frames of SIP %d came up or are counted", sip, got)
		}
	})
	if err := errors.Join(s.Close(), <-ended); err != nil {
		t.Error(err)
	}
	up := uint64(0)
	for name, v := range n {
		if strings.HasPrefix(name, "up_") {
			up += v
		}
	}
	if got := src.frames.Load(); got+n["frames_lost"] < up {
		t.Errorf("of %d frames %d were given and %d are counted as lost", up, got, n["frames_lost"])
	}
	if got := src.packets.Load() + n["sparse_packets"]; got < n["accounted"]*99/100 && n["intervals_lost"] == 0 {
		t.Errorf("of %d packets accounted %d are in intervals or sparse, and no interval was lost", n["accounted"], got)
	}
	return rate
}

// tapSend sends, and gives how many packets a second were seen. What was sent must be
// seen or counted as dropped by the veth. after is called when all are through, with
// how many of those seen were SIP at least.
func tapSend(t testing.TB, seen func() uint64, after func(sip uint64)) float64 {
	dropped := func() uint64 {
		return droppedBy(t, "va", 11) + droppedBy(t, "vb", 3)
	}
	had := dropped()
	var sent, sip atomic.Uint64
	var senders sync.WaitGroup
	var mixes [2]*mix
	for i := range mixes { // here, since only this thread is in the namespace
		mixes[i] = newMix(t, i)
		defer unix.Close(mixes[i].fd)
	}
	began := time.Now()
	end := began.Add(tapTime)
	for _, m := range mixes {
		senders.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for time.Now().Before(end) {
				n, err := m.send()
				sent.Add(n)
				sip.Add(mixSIP)
				if err != nil {
					t.Error(err)
					return
				}
				m.next()
			}
		})
	}
	senders.Wait()
	took := time.Since(began)
	for range 100 { // what waits in the ring
		if seen()+dropped()-had >= sent.Load() {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	got, lost := seen(), dropped()-had
	if got+lost != sent.Load() {
		t.Errorf("%d packets sent, %d seen and %d dropped", sent.Load(), got, lost)
	}
	if after != nil {
		least := sip.Load()
		after(least - min(least, lost))
	}
	return float64(got) / took.Seconds()
}

// droppedBy reads a column of a port: 3 is dropped when received, 11 when sent.
func droppedBy(t testing.TB, port string, column int) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if dev, figures, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && dev == port {
			n, err := strconv.ParseUint(strings.Fields(figures)[column], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no port %s among those of this namespace", port)
	return 0
}

// What one thread sends in a round: 95 % is TCP that nobody asks for, half of it
// without data; then RTP, a packet of each flow, and requests of SIP.
const (
	mixFrames = 5000
	mixRTP    = 225
	mixSIP    = 25
	mixBatch  = 250
)

// mix is one sender and its frames.
type mix struct {
	fd     int
	frames [][]byte
	rtp    [][]byte // where in the frames their payloads are
	calls  [][]byte // and the numbers of calls
	round  uint32
	msgs   []mmsghdr
	vecs   []unix.Iovec
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func newMix(t testing.TB, number int) *mix {
	t.Helper()
	m := &mix{}
	for i := range mixFrames {
		home, far := fmt.Sprintf("10.%d.%d.%d", number, i>>8, i&255), fmt.Sprintf("198.51.%d.%d", i>>8, i&255)
		var f []byte
		switch {
		case i%(mixFrames/mixSIP) == 0:
			call := strings.Replace(invite, "Call-ID: 1@x", fmt.Sprintf("Call-ID: 00000000.%d.%d@x", number, i), 1)
			f = udpFrame(home, far, 5060, 5060, []byte(call+strings.Repeat("X-Filler: 0123456789\r\n", 20)))
			at := 42 + strings.Index(call, "Call-ID: ") + 9
			m.calls = append(m.calls, f[at:at+8])
		case i%22 == 11 && len(m.rtp) < mixRTP:
			f = udpFrame(home, far, 10000, 20000, rtpPayload(8, 0, 0, uint32(i), 160))
			m.rtp = append(m.rtp, f[42:])
		default:
			f = tcpFrame(home, far, uint16(40000+i), 443, 0x10, nil)
			if i%2 == 0 {
				f = tcpFrame(home, far, uint16(40000+i), 443, 0x18, append([]byte{0x17, 3, 3, 4, 0}, make([]byte, 1355)...))
			}
		}
		m.frames = append(m.frames, f)
	}
	if len(m.rtp) != mixRTP || len(m.calls) != mixSIP {
		t.Fatalf("%d flows of RTP, %d calls", len(m.rtp), len(m.calls))
	}
	port, err := net.InterfaceByName("va")
	if err == nil {
		m.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	}
	if err == nil {
		err = errors.Join(unix.Bind(m.fd, &unix.SockaddrLinklayer{Ifindex: port.Index}),
			unix.SetsockoptInt(m.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
			// Room for more than the veth's ring holds: a call that waited for it could be
			// interrupted in between, and that looks as if the veth had dropped a frame.
			unix.SetsockoptInt(m.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 32<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	m.msgs, m.vecs = make([]mmsghdr, mixFrames), make([]unix.Iovec, mixFrames)
	for i, f := range m.frames {
		m.vecs[i].Base = &f[0]
		m.vecs[i].SetLen(len(f))
		m.msgs[i].hdr.Iov = &m.vecs[i]
		m.msgs[i].hdr.SetIovlen(1)
	}
	return m
}

// next makes the frames of the next round.
func (m *mix) next() {
	m.round++
	for _, p := range m.rtp {
		binary.BigEndian.PutUint16(p[2:], uint16(m.round))
		binary.BigEndian.PutUint32(p[4:], m.round*160)
	}
	for _, c := range m.calls {
		copy(c, fmt.Sprintf("%08d", m.round))
	}
}

// send gives all frames to the port, each once, and says how many it has.
func (m *mix) send() (sent uint64, err error) {
	for at := 0; at < mixFrames; {
		part := min(mixBatch, mixFrames-at)
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(m.fd), uintptr(unsafe.Pointer(&m.msgs[at])), uintptr(part), 0, 0, 0)
		switch errno {
		case 0, unix.ENOBUFS:
			done := int(n)
			if errno != 0 {
				done = 0
			}
			if done < part { // the next of them the veth dropped, and counted
				done++
			}
			sent += uint64(done)
			at += done
		case unix.EINTR:
		default:
			return sent, fmt.Errorf("send: %w", errno)
		}
	}
	runtime.KeepAlive(m.frames)
	return sent, nil
}
