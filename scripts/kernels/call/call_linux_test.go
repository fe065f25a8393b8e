// Package call holds tests alone: a box's calls, sent through a veth to every way of
// capturing that this kernel has. What comes up must be whole; with -paced, when the
// calls take the time that they took, the box must be found as well.
package call

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"simtrap/bpf"
	"simtrap/capture"
	"simtrap/capture/afpacket"
	"simtrap/heuristics"
	"simtrap/lab"
	"simtrap/pipeline"
	"simtrap/rtp"
)

var (
	paced = flag.Bool("paced", false, "send at the calls' own pace, which takes 40 s, and judge them")
	only  = flag.String("ways", "", "the ways to capture, with commas between; all if empty")
)

// A GoIP with a few calls: 3,600 frames in 40 s, enough for a review.
var traffic = lab.Options{Scenario: "goip-line", Seed: 2, Duration: 40 * time.Second}

// way is one way of capturing, at the far end of a veth of its own.
type way struct {
	name    string
	mode    bpf.Mode // Auto where no program is attached
	open    func(port string) (capture.Source, error)
	missing error // why this kernel has it not
	src     capture.Source
	tee     *tee
	to      *unix.SockaddrLinklayer // the near end
	result  *pipeline.Result
	ended   chan error
	err     error
}

// ways gives those that were asked for.
func ways(t *testing.T) []*way {
	kernel := func(name string, cfg bpf.Config) *way {
		// Small tables, which the machines of make test-kernels have memory for. With
		// the tunnels the verifier looks at more.
		cfg.Port, cfg.Flows, cfg.Sources, cfg.Follows, cfg.IntervalRing = 1, 4096, 1024, 1024, 1<<20
		return &way{name: name, mode: cfg.Mode, open: func(port string) (capture.Source, error) { return bpf.Open(port, cfg) }}
	}
	homes := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	all := []*way{
		kernel("xdp-native", bpf.Config{Mode: bpf.XDPNative, GTP: true, VXLAN: true, GRE: true, Homes: homes}),
		kernel("xdp-generic", bpf.Config{Mode: bpf.XDPGeneric, PerfIntervals: true}),
		kernel("tcx", bpf.Config{Mode: bpf.TCX}),
		kernel("clsact", bpf.Config{Mode: bpf.ClsAct, GTP: true, VXLAN: true, GRE: true, Homes: homes}),
		{name: "af_packet", open: func(port string) (capture.Source, error) {
			s, err := afpacket.Open([]string{port}, afpacket.Options{Memory: 8 << 20, Promiscuous: true})
			if err != nil {
				return nil, err
			}
			return s[0], nil
		}},
	}
	if *only == "" {
		return all
	}
	names := strings.Split(*only, ",")
	all = slices.DeleteFunc(all, func(w *way) bool { return !slices.Contains(names, w.name) })
	if len(all) != len(names) {
		t.Fatalf("%d ways are called %s", len(all), *only)
	}
	return all
}

// tee keeps what a source gave. It is read when the run is over.
type tee struct {
	capture.Source
	frames    [][]byte
	intervals []rtp.Interval
}

func (s *tee) Next(ctx context.Context) (*capture.Batch, error) {
	b, err := s.Source.Next(ctx)
	if err == nil {
		for i := range b.Frames {
			s.frames = append(s.frames, bytes.Clone(b.Data(i)))
		}
	}
	return b, err
}

// accounting is tee for a source that accounts media itself.
type accounting struct {
	*tee
	from pipeline.Accountant
}

func (s *accounting) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	had := len(dst)
	dst, until := s.from.Intervals(dst)
	s.intervals = append(s.intervals, dst[had:]...)
	return dst, until
}

// frame is what is sent, and when.
type frame struct {
	at   int64
	data []byte
}

// makeTraffic gives the calls, the address of the box and what replay says of it.
func makeTraffic(t *testing.T) (list []frame, box string, replayed *pipeline.Result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "box.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	truth, err := lab.Make(f, traffic)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range truth.Lines {
		if l.MinVerdict != "" && l.MinVerdict != "none" {
			box = l.Address
		}
	}
	open := func() capture.Source {
		src, err := capture.Open([]string{file}, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	src := open()
	defer src.Close()
	for {
		b, err := src.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Frames {
			list = append(list, frame{b.Frames[i].Time, bytes.Clone(b.Data(i))})
		}
		b.Release()
	}
	again := open()
	defer again.Close()
	if replayed, err = pipeline.Run(t.Context(), again, pipeline.Config{Workers: 1}); err != nil {
		t.Fatal(err)
	}
	return list, box, replayed
}

// flow is an Ethernet frame's addresses and ports, when it is UDP over IPv4.
type flow struct {
	src, dst     [4]byte
	sport, dport uint16
}

func flowOf(f []byte) (k flow, payload []byte, ok bool) {
	if len(f) < 42 || f[12] != 8 || f[13] != 0 || f[14] != 0x45 || f[23] != 17 || f[20]&0x3f != 0 || f[21] != 0 {
		return k, nil, false
	}
	size := int(binary.BigEndian.Uint16(f[38:]))
	if size < 8 || 34+size > len(f) {
		return k, nil, false
	}
	return flow{[4]byte(f[26:]), [4]byte(f[30:]), binary.BigEndian.Uint16(f[34:]), binary.BigEndian.Uint16(f[36:])}, f[42 : 34+size], true
}

func isSIP(payload []byte) bool { return bytes.Contains(payload, []byte("SIP/2.0\r\n")) }

// signalling gives the frames that carry SIP, in order.
func signalling(list [][]byte) (out [][]byte) {
	for _, f := range list {
		if _, p, ok := flowOf(f); ok && isSIP(p) {
			out = append(out, f)
		}
	}
	return out
}

// media counts the packets of each flow that is voice.
func media(list [][]byte) map[flow]int {
	n := map[flow]int{}
	for _, f := range list {
		if k, p, ok := flowOf(f); ok && len(p) >= 12 && p[0]>>6 == 2 && p[1]&0x7f < 72 {
			n[k]++
		}
	}
	for k, v := range n {
		if v < 100 {
			delete(n, k)
		}
	}
	return n
}

// inNamespace runs f on a thread with a network namespace of its own.
func inNamespace(t *testing.T, f func() error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: nothing can be captured")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no iproute2: namespaces cannot be set up")
	}
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ended <- &noNamespace{err}
			return
		}
		// Without IPv6, where there is any, the kernel says nothing of its own.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		ended <- f()
	}()
	err := <-ended
	var no *noNamespace
	if errors.As(err, &no) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

type noNamespace struct{ err error }

func (e *noNamespace) Error() string { return "no network namespace with veth: " + e.err.Error() }

// addVeth makes a cable, both ends of it up.
func addVeth(near, far string) error {
	for _, args := range []string{"link add " + near + " type veth peer name " + far, "link set " + near + " up", "link set " + far + " up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return &noNamespace{fmt.Errorf("ip %s: %w: %s", args, err, out)}
		}
	}
	return nil
}

// TestWays wants every way of attaching to be had, or to say what is missing.
func TestWays(t *testing.T) {
	var modes []bpf.Support
	inNamespace(t, func() error {
		err := addVeth("near", "far")
		if err == nil {
			modes, _, err = bpf.Probe("far")
		}
		return err
	})
	for _, m := range modes {
		t.Run(m.Mode.String(), func(t *testing.T) {
			var none *bpf.UnsupportedError
			if errors.As(m.Err, &none) {
				t.Skip(m.Err)
			}
			if m.Err != nil {
				t.Fatal(m.Err)
			}
		})
	}
}

func TestCall(t *testing.T) {
	list, box, replayed := makeTraffic(t)
	all := ways(t)
	inNamespace(t, func() error { return play(t.Context(), all, list) })
	sent := make([][]byte, len(list))
	for i := range list {
		sent[i] = list[i].data
	}
	for _, w := range all {
		t.Run(w.name, func(t *testing.T) {
			var none *bpf.UnsupportedError
			if errors.As(w.missing, &none) {
				t.Skip(w.missing)
			}
			if w.missing != nil {
				t.Fatal(w.missing)
			}
			if w.err != nil {
				t.Fatal(w.err)
			}
			w.whole(t, sent)
			if *paced {
				w.judged(t, box, replayed)
			}
		})
	}
}

// play opens every way and sends the frames to all of them.
func play(ctx context.Context, all []*way, list []frame) error {
	var kernel []bpf.Support
	for i, w := range all {
		near, far := fmt.Sprintf("near%d", i), fmt.Sprintf("far%d", i)
		if err := addVeth(near, far); err != nil {
			return err
		}
		port, err := net.InterfaceByName(near)
		if err != nil {
			return err
		}
		w.to = &unix.SockaddrLinklayer{Ifindex: port.Index}
		if i == 0 {
			var err error
			if kernel, _, err = bpf.Probe(far); err != nil {
				return err
			}
		}
		for _, m := range kernel {
			if m.Mode == w.mode {
				w.missing = m.Err
			}
		}
		if w.missing == nil {
			w.err = w.start(ctx, far)
		}
	}
	var to []unix.Sockaddr
	for _, w := range all {
		if w.src != nil {
			to = append(to, w.to)
		}
	}
	if err := send(list, to); err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond) // the kernel and the rings have them
	for _, w := range all {
		if w.src != nil {
			w.err = errors.Join(w.src.Close(), <-w.ended)
		}
	}
	return nil
}

// send sends every frame out of all ports, at the pace of the calls if that is wanted.
func send(list []frame, to []unix.Sockaddr) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	began := time.Now()
	for i, f := range list {
		// The kernel's backlog holds a thousand frames, and a busy machine lets it wait.
		if !*paced && i%16 == 15 {
			time.Sleep(time.Millisecond)
		}
		if wait := time.Duration(f.at-list[0].at) - time.Since(began); *paced && wait > 0 {
			time.Sleep(wait)
		}
		for _, port := range to {
			var err error = unix.ENOBUFS
			for errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR) {
				err = unix.Sendto(fd, f.data, 0, port)
			}
			if err != nil {
				return fmt.Errorf("send: %w", err)
			}
		}
	}
	return nil
}

// start opens the port and begins to judge what comes of it.
func (w *way) start(ctx context.Context, port string) error {
	src, err := w.open(port)
	if err != nil {
		return err
	}
	w.tee = &tee{Source: src}
	given := capture.Source(w.tee)
	if from, ok := src.(pipeline.Accountant); ok {
		given = &accounting{w.tee, from}
	}
	live, err := pipeline.NewLive(pipeline.Config{Workers: 1}, given)
	if err != nil {
		return errors.Join(err, src.Close())
	}
	w.src, w.ended = src, make(chan error, 1)
	go func() {
		var err error
		w.result, err = live.Run(ctx)
		w.ended <- err
	}()
	return nil
}

// whole holds what came up to what was sent.
func (w *way) whole(t *testing.T, sent [][]byte) {
	want, got := signalling(sent), signalling(w.tee.frames)
	if len(want) < 20 || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d frames of SIP came up, %d were sent, or not the same", len(got), len(want))
	}
	voice := media(sent)
	if len(voice) < 6 {
		t.Fatalf("%d flows of voice are no calls", len(voice))
	}
	source, accounts := w.src.(*bpf.Source)
	if !accounts {
		if got := media(w.tee.frames); !maps.Equal(got, voice) {
			t.Errorf("voice %v, sent %v", got, voice)
		}
		if len(w.tee.frames) != len(sent) {
			t.Errorf("%d frames came up, %d were sent", len(w.tee.frames), len(sent))
		}
	} else {
		// The first packet of a flow is in no interval, and those of an interval too
		// short to tell of are counted.
		counted := map[flow]int{}
		for i := range w.tee.intervals {
			iv := &w.tee.intervals[i]
			src, dst := iv.Flow.Src.As16(), iv.Flow.Dst.As16()
			counted[flow{[4]byte(src[12:]), [4]byte(dst[12:]), iv.Flow.SrcPort, iv.Flow.DstPort}] += int(iv.Packets) + int(iv.Duplicates)
		}
		missing := 0
		for k, n := range voice {
			if m := n - 1 - counted[k]; m < 0 {
				t.Errorf("%v: %d packets in intervals, %d were sent", k, counted[k], n)
			} else {
				missing += m
			}
		}
		if sparse := int(source.Counts()["sparse_packets"]); missing > sparse {
			t.Errorf("%d packets in no interval, %d of them in sparse ones", missing, sparse)
		}
	}
	losses, _ := w.src.(interface{ Losses() []capture.Loss })
	for _, l := range losses.Losses() {
		if l.Count != 0 && l.Reason != "left_cut" { // of frames that TC shows a part of
			t.Errorf("lost: %+v", l)
		}
	}
	t.Logf("%d frames came up of %d, %d intervals", len(w.tee.frames), len(sent), len(w.tee.intervals))
}

// judged wants the box to be found for what it is.
func (w *way) judged(t *testing.T, box string, replayed *pipeline.Result) {
	of := func(r *pipeline.Result) *heuristics.Finding {
		for i := range r.Findings {
			if r.Findings[i].Line.String() == box {
				return &r.Findings[i]
			}
		}
		t.Fatalf("nothing is said of the box among %d findings", len(r.Findings))
		return nil
	}
	want, got := of(replayed), of(w.result)
	if want.Verdict < heuristics.Review || got.Verdict != want.Verdict || got.Calls != want.Calls {
		t.Errorf("verdict %v, calls %+v; replay says %v, %+v", got.Verdict, got.Calls, want.Verdict, want.Calls)
	}
	if d := got.Score - want.Score; d < -1 || d > 1 {
		t.Errorf("score %.2f, replay says %.2f", got.Score, want.Score)
	}
	t.Logf("%v, score %.2f; replay says %v, %.2f", got.Verdict, got.Score, want.Verdict, want.Score)
}
