//go:build linux

package afpacket

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"simtrap/capture"
)

// TestEveryFrame sends frames of all kinds over a cable: each arrives once, with
// the bytes it was sent with.
func TestEveryFrame(t *testing.T) {
	for _, c := range []struct {
		rings  int
		fanout Fanout
	}{{1, FanoutHash}, {4, FanoutHash}, {2, FanoutCPU}, {2, FanoutQueue}} {
		rings := c.rings
		t.Run(fmt.Sprintf("%d rings, fanout %d", rings, c.fanout), func(t *testing.T) {
			inNamespace(t, func(t testing.TB) {
				all := mustOpen(t, Options{Rings: rings, Fanout: c.fanout, First: 3}, "vb")
				if len(all) != rings {
					t.Fatalf("%d sources, want %d", len(all), rings)
				}
				var frames [][]byte
				for n := range uint64(5000) {
					f := flow{uint16(n % 97), uint16(n % 89), 5060, uint16(n % 31)}
					d := f.datagram(n, int(n%1400))
					switch n % 6 {
					case 1:
						d = tag(d, 0x8100, uint16(n%4096)|0xa000)
					case 2:
						d = tag(tag(d, 0x8100, uint16(n%4094)), 0x88a8, uint16(n%4093))
					case 3:
						d = tag(tag(d, 0x8100, 7), 0x8100, uint16(n%4091))
					case 4:
						frames = append(frames, f.fragments(n)...)
						continue
					}
					frames = append(frames, d)
				}
				before := time.Now().UnixNano()
				if err := newSender(t, "va").send(frames); err != nil {
					t.Fatal(err)
				}
				got := collect(t, all...)
				after := time.Now().UnixNano()

				var have, want []string
				used := map[uint32]int{}
				last := map[uint32]int64{}
				for _, f := range got {
					have = append(have, f.data)
					used[f.source]++
					if f.wire != uint32(len(f.data)) || f.port != 1 {
						t.Fatalf("wire %d of %d, port %d", f.wire, len(f.data), f.port)
					}
					if f.time < before || f.time > after || f.time < last[f.source] {
						t.Fatalf("time %d, not from %d to %d, or before %d", f.time, before, after, last[f.source])
					}
					last[f.source] = f.time
				}
				for _, f := range frames {
					want = append(want, string(f))
				}
				slices.Sort(have)
				slices.Sort(want)
				if !slices.Equal(have, want) {
					t.Fatalf("sent %d, received %d, or others", len(want), len(have))
				}
				// This cable has one queue, and the sender one processor.
				if len(used) != rings && c.fanout == FanoutHash {
					t.Errorf("sources that had frames: %v; want %d", used, rings)
				}
				for _, s := range all {
					if l := s.Losses(); len(l) > 0 && l[0].Reason != "frames given the time of the one before: time ran backwards" {
						t.Errorf("losses %v", l)
					}
				}
			})
		})
	}
}

// TestFlowsStayTogether has both directions of a flow, and all fragments of a
// datagram, in one of four rings, in the order in which they were sent.
func TestFlowsStayTogether(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		all := mustOpen(t, Options{Rings: 4}, "vb")
		var frames [][]byte
		const flows, turns = 64, 50
		for turn := range uint64(turns) {
			for i := range uint64(flows) {
				f := flow{uint16(i), 9, 4000 + uint16(i), 5004}
				if turn%2 == 1 {
					f = f.reverse()
				}
				frames = append(frames, f.datagram(i<<32|turn, 160))
			}
		}
		broken := flow{1, 2, 5060, 5060}.fragments(7)
		if err := newSender(t, "va").send(append(frames, broken...)); err != nil {
			t.Fatal(err)
		}
		home, turn := map[uint64]uint32{}, map[uint64]uint64{}
		spread, pieces := map[uint32]bool{}, map[uint32]int{}
		for _, f := range collect(t, all...) {
			if binary.BigEndian.Uint16([]byte(f.data)[20:])&0x3fff != 0 {
				pieces[f.source]++
				continue
			}
			n := binary.BigEndian.Uint64([]byte(f.data)[42:])
			id := n >> 32
			if s, ok := home[id]; ok && s != f.source {
				t.Fatalf("flow %d in rings %d and %d", id, s, f.source)
			}
			if n&0xffffffff != turn[id] {
				t.Fatalf("flow %d: frame %d came as number %d", id, n&0xffffffff, turn[id])
			}
			home[id] = f.source
			turn[id]++
			spread[f.source] = true
		}
		if len(home) != flows || len(spread) != 4 || len(pieces) != 1 {
			t.Errorf("%d flows in %d rings, fragments in %v; want %d in 4, in one", len(home), len(spread), pieces, flows)
		}
	})
}

// TestOutgoing has what the port itself sends, since a mirror may be sent out of
// it, and what a loopback sends only once.
func TestOutgoing(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		all := mustOpen(t, Options{}, "va", "lo")
		if all[0].Number() != 1 || all[1].Number() != 2 {
			t.Fatalf("numbers %d and %d", all[0].Number(), all[1].Number())
		}
		d := flow{1, 2, 3, 4}.datagram(5, 20)
		for _, name := range []string{"va", "lo"} {
			if err := newSender(t, name).send([][]byte{d}); err != nil {
				t.Fatal(err)
			}
		}
		got := collect(t, all...)
		for i := range got {
			got[i].time = 0
		}
		want := []frame{{string(d), 0, uint32(len(d)), 1, 1}, {string(d), 0, uint32(len(d)), 2, 2}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(frame{})); diff != "" {
			t.Errorf("frames (-want +got):\n%s", diff)
		}
	})
}

func TestSnap(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		all := mustOpen(t, Options{Snap: 96}, "vb")
		f := flow{1, 2, 3, 4}
		sent := [][]byte{f.datagram(1, 1000), f.datagram(2, 10), tag(f.datagram(3, 1000), 0x8100, 5)}
		if err := newSender(t, "va").send(sent); err != nil {
			t.Fatal(err)
		}
		got := collect(t, all...)
		if len(got) != 3 {
			t.Fatalf("%d frames", len(got))
		}
		for i, n := range []int{96, 52, 100} { // the tag is beyond what is cut
			if got[i].data != string(sent[i][:n]) || got[i].wire != uint32(len(sent[i])) {
				t.Errorf("frame %d: %d of %d bytes, want %d of %d", i, len(got[i].data), got[i].wire, n, len(sent[i]))
			}
		}
	})
}

// TestPromiscuous looks whether the port is, and no longer when it is closed,
// though a batch is still held.
func TestPromiscuous(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		promiscuity := func() string {
			out, err := exec.Command("ip", "-d", "link", "show", "dev", "vb").Output()
			if err != nil {
				t.Fatal(err)
			}
			_, rest, ok := strings.Cut(string(out), "promiscuity ")
			if !ok {
				t.Skip("this ip does not tell of promiscuous mode")
			}
			return strings.Fields(rest)[0]
		}
		if p := promiscuity(); p != "0" {
			t.Fatalf("%s before", p)
		}
		s := mustOpen(t, Options{Promiscuous: true}, "vb")[0]
		if p := promiscuity(); p != "1" {
			t.Errorf("%s while capturing", p)
		}
		b := oneBatch(t, s, newSender(t, "va"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if p := promiscuity(); p != "0" {
			t.Errorf("%s after Close", p)
		}
		b.Release()
	})
}

// oneBatch sends a frame, and gives the batch it came in.
func oneBatch(t testing.TB, s *Source, from *sender) *capture.Batch {
	t.Helper()
	if err := from.send([][]byte{flow{1, 2, 3, 4}.datagram(1, 100)}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		b, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Frames) > 0 {
			return b
		}
	}
	t.Fatal("no frame came")
	return nil
}

// TestAfterClose has batches that outlive their source, and the memory gone with
// the last of them.
func TestAfterClose(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		s := mustOpen(t, Options{}, "vb")[0]
		from := newSender(t, "va")
		a, b := oneBatch(t, s, from), oneBatch(t, s, from)
		want := flow{1, 2, 3, 4}.datagram(1, 100)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Next(context.Background()); !errors.Is(err, io.EOF) {
			t.Errorf("Next after Close: %v", err)
		}
		if err := from.send([][]byte{want}); err != nil {
			t.Fatal(err)
		}
		for _, batch := range []*capture.Batch{b, a} {
			if n := s.ring.refs.Load(); n < 1 || mappings(t) != 1 {
				t.Errorf("%d references, %d mappings, with batches held", n, mappings(t))
			}
			if !bytes.Equal(batch.Data(0), want) {
				t.Error("a batch changed after Close")
			}
			batch.Release()
		}
		if n := s.ring.refs.Load(); n != 0 || mappings(t) != 0 {
			t.Errorf("%d references, %d mappings, with no batch held", n, mappings(t))
		}
		_ = s.Losses()
		_ = s.Status()
	})
}

// TestHeld holds every batch. The kernel drops what has no room and says so,
// Next comes back with nothing, and all goes on when the batches are released.
func TestHeld(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		const blocks = 4
		s := mustOpen(t, Options{Memory: blocks * DefaultBlock}, "vb")[0]
		from := newSender(t, "va")
		var frames [][]byte
		for n := range uint64(2000) {
			frames = append(frames, flow{1, 2, 3, 4}.datagram(n, 1000))
		}
		if err := from.send(frames); err != nil {
			t.Fatal(err)
		}
		var held []*capture.Batch
		came, calls := 0, 0
		begun, cpu := time.Now(), processorTime(t)
		for time.Since(begun) < time.Second {
			b, err := s.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			calls++
			came += len(b.Frames)
			held = append(held, b)
		}
		if busy := processorTime(t) - cpu; calls > blocks+12 || busy > 200*time.Millisecond {
			t.Errorf("Next came back %d times in a second, and took %v", calls, busy)
		}
		if n := lost(s, "times that the ring came round"); n != 1 {
			t.Errorf("came round to a held block %d times, want 1", n)
		}
		if n := lost(s, "frames dropped: ring full"); n == 0 || n+uint64(came) < 2000 {
			t.Errorf("%d dropped, %d came, of 2000", n, came)
		}
		for i := range held {
			held[len(held)-1-i].Release()
		}
		oneBatch(t, s, from).Release()
	})
}

// processorTime is what the process has used.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// TestReleaseOrder releases batches in any order, from several goroutines: what
// is held never changes, every frame comes once, in order, or is counted.
func TestReleaseOrder(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		from := newSender(t, "va")
		rapid.Check(t.(*testing.T), func(r *rapid.T) {
			all, err := Open([]string{"vb"}, Options{Memory: 6 * minBlock, Block: minBlock, Timeout: time.Millisecond})
			if err != nil {
				r.Fatal(err)
			}
			s := all[0]
			defer s.Close()
			type holding struct {
				batch *capture.Batch
				copy  string
			}
			var held []holding
			var group sync.WaitGroup
			next, sent, received := uint64(0), uint64(0), uint64(0)
			drop := func(i int) {
				h := held[i]
				held = slices.Delete(held, i, i+1)
				if string(h.batch.Block[blockHeader:]) != h.copy {
					r.Fatal("a batch changed while it was held")
				}
				group.Go(h.batch.Release)
			}
			for range rapid.IntRange(1, 12).Draw(r, "steps") {
				var frames [][]byte
				for range rapid.IntRange(0, 300).Draw(r, "frames") {
					frames = append(frames, flow{1, 2, 3, 4}.datagram(sent, 500))
					sent++
				}
				if err := from.send(frames); err != nil {
					r.Fatal(err)
				}
				for range rapid.IntRange(0, 3).Draw(r, "reads") {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
					b, err := s.Next(ctx)
					cancel()
					if err != nil {
						break
					}
					for i := range b.Frames {
						if d := b.Data(i); string(d[:12]) == macs {
							n := binary.BigEndian.Uint64(d[42:])
							if n < next {
								r.Fatalf("frame %d after %d", n, next)
							}
							next = n + 1
							received++
						}
					}
					if len(b.Frames) == 0 {
						b.Release()
						continue
					}
					held = append(held, holding{b, string(b.Block[blockHeader:])})
				}
				for len(held) > 0 && rapid.Bool().Draw(r, "release") {
					drop(rapid.IntRange(0, len(held)-1).Draw(r, "which"))
				}
			}
			closeFirst := rapid.Bool().Draw(r, "close first")
			if !closeFirst {
				for len(held) > 0 {
					drop(0)
				}
				group.Wait()
				for _, f := range drainOne(r, s) {
					if f < next {
						r.Fatalf("frame %d after %d", f, next)
					}
					next = f + 1
					received++
				}
				if n := lost(s, "frames dropped: ring full"); received > sent || received+n < sent {
					r.Fatalf("%d sent, %d received, %d dropped", sent, received, n)
				}
			}
			if err := s.Close(); err != nil {
				r.Fatal(err)
			}
			for len(held) > 0 {
				drop(len(held) - 1)
			}
			group.Wait()
			if n := s.ring.refs.Load(); n != 0 {
				r.Fatalf("%d references at the end", n)
			}
		})
	})
}

// drainOne gives the numbers of what is still in the ring.
func drainOne(t interface{ Fatal(...any) }, s *Source) []uint64 {
	var out []uint64
	for {
		b, err := s.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n := len(b.Frames)
		for i := range b.Frames {
			if d := b.Data(i); string(d[:12]) == macs {
				out = append(out, binary.BigEndian.Uint64(d[42:]))
			}
		}
		b.Release()
		if n == 0 {
			return out
		}
	}
}

// TestGone deletes the port and makes it again. One ring waits for it, without
// taking a processor; several say that they are to be opened anew.
func TestGone(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		s := mustOpen(t, Options{Promiscuous: true}, "vb")[0]
		oneBatch(t, s, newSender(t, "va")).Release()
		if st := s.Status(); st != (Status{Present: true, Up: true}) {
			t.Errorf("at first: %+v", st)
		}

		ip(t, "link set vb down")
		collect(t, s)
		if st := s.Status(); st != (Status{Present: true, Downs: 1}) {
			t.Errorf("down: %+v", st)
		}
		ip(t, "link set vb up")
		oneBatch(t, s, newSender(t, "va")).Release()
		until(t, "up again", func() bool { collect(t, s); return s.Status() == Status{Present: true, Up: true, Downs: 1} })

		for round := range uint64(3) {
			// What came last before the end is given all the same.
			last := flow{1, 2, 3, 4}.datagram(99, 60)
			if err := newSender(t, "va").send([][]byte{last}); err != nil {
				t.Fatal(err)
			}
			ip(t, "link del va")
			begun, cpu := time.Now(), processorTime(t)
			if got := collect(t, s); len(got) != 1 || got[0].data != string(last) {
				t.Errorf("%d frames at the end", len(got))
			}
			calls := 0
			for ; time.Since(begun) < 600*time.Millisecond; calls++ {
				collect(t, s)
			}
			if busy := processorTime(t) - cpu; calls > 5 || busy > 100*time.Millisecond {
				t.Errorf("waiting for the port took %d rounds and %v", calls, busy)
			}
			if st := s.Status(); st.Present || st.Up || st.Vanished != round+1 || st.Returned != round {
				t.Errorf("gone: %+v", st)
			}
			ip(t, addCable, "link set va up", "link set vb up")
			// A daemon has given up its rights by then.
			withoutRights(t, func() {
				until(t, "bound again", func() bool { collect(t, s); return s.Status().Returned == round+1 })
			})
			oneBatch(t, s, newSender(t, "va")).Release()
			if st := s.Status(); !st.Present || !st.Up {
				t.Errorf("back: %+v", st)
			}
		}
		if n := lost(s, "times that the interface vanished"); n != 3 {
			t.Errorf("vanished %d times, by the losses", n)
		}

		all := mustOpen(t, Options{Rings: 2}, "vb")
		ip(t, "link del va")
		for _, s := range all {
			err := error(nil)
			for range 20 {
				b, e := s.Next(context.Background())
				if err = e; err != nil {
					break
				}
				b.Release()
			}
			var gone *GoneError
			if !errors.As(err, &gone) || gone.Name != "vb" || !errors.Is(err, unix.ENODEV) {
				t.Errorf("of two rings: %v", err)
			}
		}
		if err := CloseAll(all); err != nil {
			t.Error(err)
		}
		ip(t, addCable, "link set va up", "link set vb up")
		again := mustOpen(t, Options{Rings: 2}, "vb")
		if err := newSender(t, "va").send([][]byte{flow{1, 2, 3, 4}.datagram(1, 9)}); err != nil {
			t.Fatal(err)
		}
		if got := collect(t, again...); len(got) != 1 {
			t.Errorf("%d frames after opening anew", len(got))
		}
	})
}

// withoutRights runs f in this thread, which takes no part of the capabilities
// of the process meanwhile.
func withoutRights(t testing.TB, f func()) {
	t.Helper()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&h, &had[0]); err != nil {
		t.Fatal(err)
	}
	none := had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&h, &none[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&h, &had[0]); err != nil {
			t.Error(err)
		}
	}()
	if fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err == nil {
		unix.Close(fd)
		t.Error("a packet socket was opened without rights")
	}
	f()
}

func TestOpenErrors(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		check := func(want string, opt Options, names ...string) {
			t.Helper()
			all, err := Open(names, opt)
			if err == nil {
				_ = CloseAll(all)
				t.Errorf("no error; want %q", want)
				return
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %q", err, want)
			}
			var input *capture.InputError
			if !errors.As(err, &input) || input.Remedy == "" {
				t.Errorf("%v names no remedy", err)
			}
		}
		check("vx: no such interface", Options{}, "vb", "vx")
		withoutRights(t, func() { check("CAP_NET_RAW", Options{}, "vb") })
		check("no such interface", Options{}, "a name that no interface can have")
		if n := mappings(t); n != 0 {
			t.Errorf("%d rings left by ports that did open", n)
		}
		ip(t, "link set vb down")
		all, err := Open([]string{"vb"}, Options{Rings: 2})
		if err == nil { // since 6.15
			_ = CloseAll(all)
		} else if !errors.Is(err, errDown) {
			t.Errorf("several rings on a port that is down: %v", err)
		}
		s := mustOpen(t, Options{}, "vb")[0]
		if st := s.Status(); st.Up || !st.Present {
			t.Errorf("of a port that is down: %+v", st)
		}
		ip(t, "link set vb up")
		oneBatch(t, s, newSender(t, "va")).Release()
	})
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{Rings: -1}, {Rings: maxRings + 1}, {Fanout: 3}, {Block: 3 << 16}, {Block: minBlock / 2}, {Block: 2 * maxBlock},
		{Memory: DefaultBlock}, {Rings: 4, Memory: 7 * DefaultBlock}, {Memory: -1},
		{Timeout: time.Microsecond}, {Timeout: time.Second}, {Snap: 63}, {Snap: 1 << 20},
	} {
		if all, err := Open(nil, o); err == nil || len(all) != 0 {
			t.Errorf("%+v was taken", o)
		}
	}
	if all, err := Open(nil, Options{}); err != nil || len(all) != 0 {
		t.Errorf("no ports: %v, %v", all, err)
	}
}

func TestLinks(t *testing.T) {
	for hardware, want := range map[uint16]link{
		unix.ARPHRD_ETHER:    {kind: capture.LinkEthernet},
		unix.ARPHRD_LOOPBACK: {kind: capture.LinkEthernet, loopback: true},
		unix.ARPHRD_PPP:      {kind: capture.LinkRaw, network: true},
		unix.ARPHRD_NONE:     {kind: capture.LinkRaw, network: true},
	} {
		if got, ok := linkOf(hardware); !ok || got != want {
			t.Errorf("%d: %+v, %v", hardware, got, ok)
		}
	}
	if _, ok := linkOf(unix.ARPHRD_IEEE80211_RADIOTAP); ok {
		t.Error("radiotap was taken")
	}
	err := problem("wlan0", "listening", &LinkTypeError{unix.ARPHRD_IEEE80211_RADIOTAP})
	var kind *LinkTypeError
	if !errors.As(err, &kind) || !strings.Contains(err.Error(), "803") || err.Remedy == "" {
		t.Error(err)
	}
}

// TestRawIP captures on a tunnel without link header.
func TestRawIP(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		// A tun has a carrier as long as somebody has it open.
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Skip("no tun interfaces here: ", err)
		}
		defer unix.Close(fd)
		req, err := unix.NewIfreq("tun9")
		if err != nil {
			t.Fatal(err)
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			t.Skip("no tun interfaces here: ", err)
		}
		ip(t, "link set tun9 up")
		s := mustOpen(t, Options{Snap: 64}, "tun9")[0]
		d := flow{1, 2, 3, 4}.datagram(1, 60)[14:]
		if err := newSender(t, "tun9").send([][]byte{d}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			b, err := s.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range b.Frames {
				if f.Link != capture.LinkRaw {
					t.Fatalf("link type %d", f.Link)
				}
				if bytes.Equal(b.Data(i), d[:64]) && f.Wire == uint32(len(d)) {
					b.Release()
					return
				}
			}
			b.Release()
		}
		t.Error("the packet did not come, or not as it was sent")
	})
}

// TestStops ends a Next that waits, by its context and by Close.
func TestStops(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		s := mustOpen(t, Options{}, "vb")[0]
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled before: %v", err)
		}
		ctx, cancel = context.WithCancel(context.Background())
		result := make(chan error, 1)
		run := func(ctx context.Context) {
			for {
				b, err := s.Next(ctx)
				if err != nil {
					result <- err
					return
				}
				b.Release()
				_ = s.Losses()
			}
		}
		go run(ctx)
		time.Sleep(30 * time.Millisecond)
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		go run(context.Background())
		from := newSender(t, "va")
		for n := range uint64(20) {
			_ = from.send([][]byte{flow{1, 2, 3, 4}.datagram(n, 1000)})
			_, _ = s.Losses(), s.Status()
			time.Sleep(time.Millisecond)
		}
		_ = s.Close()
		if err := <-result; !errors.Is(err, io.EOF) {
			t.Errorf("closed: %v", err)
		}
		if n := s.ring.refs.Load(); n != 0 {
			t.Errorf("%d references at the end", n)
		}
	})
}

// TestMemory reads many blocks: nothing grows with them.
func TestMemory(t *testing.T) {
	inNamespace(t, func(t testing.TB) {
		s := mustOpen(t, Options{Memory: 8 * DefaultBlock}, "vb")[0]
		from := newSender(t, "va")
		var frames [][]byte
		for n := range uint64(256) {
			frames = append(frames, flow{1, 2, 3, 4}.datagram(n, 160))
		}
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		var first uint64
		var received int
		const rounds = 1500
		for round := range rounds {
			if err := from.send(frames); err != nil {
				t.Fatal(err)
			}
			if round%4 == 3 {
				b, err := s.Next(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				received += len(b.Frames)
				b.Release()
			}
			if round == 100 {
				first = heap()
			}
		}
		if last := heap(); last > first+256<<10 {
			t.Errorf("%d bytes of heap after 100 rounds, %d after %d", first, last, rounds)
		}
		if got := collect(t, s); received+len(got)+int(lost(s, "frames dropped: ring full")) < rounds*len(frames) {
			t.Errorf("%d of %d frames, and the rest not counted", received+len(got), rounds*len(frames))
		}
	})
}
