package bpf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
)

// needBPF skips a test where programs cannot be loaded.
func needBPF(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: kernel programs cannot be loaded")
	}
	_ = raiseMemlock()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Skipf("no kernel programs here: %v", err)
	}
	m.Close()
}

// bench runs frames through a program of its own, under a clock set by hand.
type bench struct {
	t       testing.TB
	o       *kernelObjects
	prog    *ebpf.Program
	types   rtp.Types
	sweep   *sweepers
	ring    *ringbuf.Reader
	ways    *ringbuf.Reader
	open    *waySweeper
	tunnels []tunnel.Record // what the program told of flows that cannot be read
	got     []rtp.Interval
	run     ebpf.RunOptions
	told    *ebpf.Memory // what the program read of a frame, without a call for each
}

func newBench(t testing.TB, c Config, tc bool) *bench {
	t.Helper()
	needBPF(t)
	c.test = !c.live
	if c.Mode = XDPGeneric; tc { // load only what runs
		c.Mode = ClsAct
	}
	for _, v := range []*uint32{&c.PerSource, &c.Left, &c.FirstTotal, &c.Fragments} {
		if *v == 0 {
			*v = 1 << 31
		}
	}
	if err := c.fill(); err != nil {
		t.Fatal(err)
	}
	if !haveRing() {
		t.Skip("no ring buffer in this kernel: intervals cannot be read without waiting")
	}
	o, err := load(&c, true)
	if err != nil {
		var ve *ebpf.VerifierError
		if errors.As(err, &ve) {
			t.Logf("%+v", ve)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	b := &bench{t: t, o: o, prog: o.SimtrapXdp, types: c.Types, sweep: newSweepers(o, &c.Types, 0)}
	if tc {
		b.prog = o.SimtrapTc
	}
	if c.test {
		if b.told, err = o.Readings.Memory(); err != nil {
			t.Fatal(err)
		}
	}
	if b.ring, err = ringbuf.NewReader(o.IntervalRing); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.ring.Close() })
	if b.ways, err = ringbuf.NewReader(o.WayRing); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.ways.Close() })
	b.open = newWaySweeper(o)
	return b
}

// frame runs one frame at a time and gives what was read of it.
func (b *bench) frame(at int64, data []byte) kernelReading {
	b.t.Helper()
	if err := b.o.TestNow.Set(uint64(at)); err != nil {
		b.t.Fatal(err)
	}
	b.run.Data = data
	if _, err := b.prog.Run(&b.run); err != nil {
		b.t.Fatalf("run on %d bytes: %v", len(data), err)
	}
	var r kernelReading
	if b.told == nil { // the program does not tell
		return r
	}
	if _, err := b.told.ReadAt((*[unsafe.Sizeof(r)]byte)(unsafe.Pointer(&r))[:], 0); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// collect takes the intervals that the kernel closed.
func (b *bench) collect() {
	b.t.Helper()
	b.ring.SetDeadline(time.Unix(1, 0))
	var rec ringbuf.Record
	for {
		err := b.ring.ReadInto(&rec)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			b.t.Fatal(err)
		}
		v, ok := readInterval(rec.RawSample)
		if !ok {
			b.t.Fatalf("an interval of %d bytes", len(rec.RawSample))
		}
		if b.sweep.closedByKernel(&v) {
			b.got = append(b.got, intervalOf(&v, 0))
		}
	}
}

// passWays makes one pass over what cannot be read.
func (b *bench) passWays(now int64, all bool) {
	b.t.Helper()
	readRing(b.ways, nil, func(raw []byte) {
		v, ok := readWay(raw)
		if !ok {
			b.t.Fatalf("a way of %d bytes", len(raw))
		}
		if b.open.closedByKernel(&v) {
			b.tunnels = append(b.tunnels, recordOf(&v))
		}
	})
	var err error
	if b.tunnels, err = b.open.pass(b.tunnels, now, all); err != nil {
		b.t.Fatal(err)
	}
}

// passOver makes one pass of the sweep.
func (b *bench) passOver(now int64, all bool) {
	b.t.Helper()
	b.collect()
	for over := false; !over; {
		var err error
		if b.got, over, err = b.sweep.step(b.got, now, batchSize, all); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) counters() [numCounters]uint64 {
	b.t.Helper()
	n, err := sumCounters(b.o.Counts)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// sorted orders intervals, those too that Compare finds equal.
func sorted(ivs []rtp.Interval) []rtp.Interval {
	slices.SortFunc(ivs, func(a, b rtp.Interval) int {
		return cmp.Or(a.Compare(&b), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	return ivs
}

// The least a frame needs: Ethernet, IPv4, UDP.
func udpFrame(src, dst string, sport, dport uint16, payload []byte) []byte {
	b := make([]byte, 42, 42+len(payload))
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0})
	b[14], b[22], b[23] = 0x45, 57, packet.UDP
	binary.BigEndian.PutUint16(b[16:], uint16(28+len(payload)))
	s, _ := ident.ParseAddr([]byte(src))
	d, _ := ident.ParseAddr([]byte(dst))
	s16, d16 := s.As16(), d.As16()
	copy(b[26:], s16[12:])
	copy(b[30:], d16[12:])
	binary.BigEndian.PutUint16(b[34:], sport)
	binary.BigEndian.PutUint16(b[36:], dport)
	binary.BigEndian.PutUint16(b[38:], uint16(8+len(payload)))
	return append(b, payload...)
}

func rtpPayload(pt uint8, seq uint16, ts, ssrc uint32, size int) []byte {
	b := make([]byte, 12+size)
	b[0], b[1] = 0x80, pt
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}
