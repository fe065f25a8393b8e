package bpf

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/hidden/tunnel"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
)

const t0 = int64(1_700_000_000_000_000_000)

// twin feeds the same frames to the kernel program and to the Go decoder and
// accounting.
type twin struct {
	*bench
	as     pipeline.Config // who subscribers are
	dec    packet.Decoder
	acc    *rtp.Accounting
	want   []rtp.Interval
	gates  *tunnel.Gates
	hidden []tunnel.Record // what they told of
	frames int
	left   int // frames that the kernel leaves to user space
	swept  int64
}

func newTwin(t testing.TB, c Config, tc bool) *twin {
	if c.Flows == 0 {
		c.Flows, c.Starts = 1<<13, 1<<13 // more than any input has, and quick to look through
	}
	w := &twin{bench: newBench(t, c, tc)}
	if len(c.Homes) > 0 {
		w.as.Homes = homesOf(t, c.Homes)
	}
	w.reset()
	return w
}

// reset forgets everything, for another input.
func (w *twin) reset() {
	w.passOver(1<<62, true)
	w.passWays(1<<62, true)
	w.got, w.want, w.frames, w.left, w.swept = nil, nil, 0, 0, 0
	w.tunnels, w.hidden = nil, nil
	clear(w.open.told)
	w.emptyBare()
	w.sweep.restart()
	clear(w.sweep.v4.told)
	clear(w.sweep.v6.told)
	var keys []kernelKey
	var key kernelKey
	for it, at := w.o.StartsSeen.Iterate(), uint64(0); it.Next(&key, &at); {
		keys = append(keys, key)
	}
	for i := range keys {
		if err := w.o.StartsSeen.Delete(&keys[i]); err != nil {
			w.t.Fatal(err)
		}
	}
	w.dec = packet.Decoder{}
	w.gates = tunnel.NewGates(func(r *tunnel.Record) { w.hidden = append(w.hidden, *r) })
	w.acc = rtp.NewAccounting(rtp.Config{Flows: 1 << 16, Types: w.types}, func(iv *rtp.Interval) { w.want = append(w.want, *iv) })
}

// emptyBare takes out all gates without a record.
func (w *twin) emptyBare() {
	w.t.Helper()
	var keys []kernelWayKey
	var key kernelWayKey
	var gate kernelGate
	for it := w.o.Bare.Iterate(); it.Next(&key, &gate); {
		keys = append(keys, key)
	}
	for i := range keys {
		if err := w.o.Bare.Delete(&keys[i]); err != nil {
			w.t.Fatal(err)
		}
	}
}

// feed runs one frame through both and compares the readings.
func (w *twin) feed(at int64, data []byte) {
	w.t.Helper()
	if at >= w.swept+1e9 || at < w.swept {
		if w.swept > 0 && at > w.swept {
			w.passOver(at, false)
			w.passWays(at, false)
			w.gates.Sweep(at)
		}
		w.swept = at
	}
	w.frames++
	data = data[:len(data):len(data)] // so that capacities tell places
	r := w.frame(at, data)
	p := packet.Packet{Time: at}
	kind := w.decode(data, &p)
	if r.Verdict >= leftLink && r.Verdict <= leftCut {
		if w.left++; r.Verdict == leftHeld && !w.tunnelHeld(&p) {
			w.t.Fatalf("left as a subscriber's tunnel, of which the decoder knows nothing: %x", data)
		}
		return
	}
	w.compare(data, &r, kind, &p)
	switch {
	case kind == packet.Datagram && !w.acc.Packet(&p), kind == packet.Opaque:
		if w.gates.Wants(at, int(p.Length)) {
			w.gates.Packet(p.Src.Hash(1)+p.Dst.Hash(1), p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto, 0, at, int(p.Length))
		}
	}
}

// decode reads a frame as a run does, and gives what comes out of a subscriber's
// tunnel to him.
func (w *twin) decode(data []byte, p *packet.Packet) packet.Result {
	kind := w.dec.Frame(capture.LinkEthernet, data, uint32(len(data)), p)
	w.as.Locate(p)
	return kind
}

// tunnelHeld says whether the outermost tunnel has an end at a subscriber's.
func (w *twin) tunnelHeld(p *packet.Packet) bool {
	if p.Tunnels() == 0 {
		return false
	}
	src, dst := p.Tunnel(0)
	return w.as.Homes.Contains(src) || w.as.Homes.Contains(dst)
}

// Verdicts of the kernel's reading that are no counters: parse.h.
const (
	nextUDP = numCounters + 3
	nextTCP = numCounters + 4
)

// compare holds the kernel's reading to the decoder's.
func (w *twin) compare(data []byte, r *kernelReading, kind packet.Result, p *packet.Packet) {
	w.t.Helper()
	switch r.Verdict {
	case nextUDP, nextTCP:
		want := packet.Datagram
		if r.Verdict == nextTCP {
			want = packet.Segment
		}
		if kind != want {
			w.t.Fatalf("kernel read %v, the decoder %v: %x", want, kind, data)
		}
		if w.tunnelHeld(p) {
			w.t.Fatalf("kernel looked into a subscriber's tunnel: %x", data)
		}
		type reading struct {
			Src, Dst     ident.Addr
			Sport, Dport uint16
			Proto, Flags uint8
			At, Length   int
		}
		f := flowOf(&r.Key, 0)
		got := reading{f.Src, f.Dst, f.SrcPort, f.DstPort, r.Proto, r.Flags, int(r.At), int(r.Length)}
		wanted := reading{p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto, p.Flags, len(data) - cap(p.Payload), int(p.Length)}
		if got != wanted {
			w.t.Fatalf("kernel %+v, decoder %+v: %x", got, wanted, data)
		}
	case fragments:
		if kind != packet.Fragment {
			w.t.Fatalf("kernel read a fragment, the decoder %v: %x", kind, data)
		}
	case malformed:
		if kind != packet.Malformed {
			w.t.Fatalf("kernel read malformed, the decoder %v: %x", kind, data)
		}
	default:
		if kind != packet.Ignored && kind != packet.Opaque {
			w.t.Fatalf("kernel read %s, the decoder %v: %x", counterNames()[r.Verdict], kind, data)
		}
	}
}

// finish ends the input on both sides and compares every interval.
func (w *twin) finish() {
	w.t.Helper()
	w.acc.Flush()
	w.gates.Close()
	w.passOver(1<<62, true)
	w.passWays(1<<62, true)
	n, c := w.counters(), w.acc.Counters()
	if c.Evicted+c.StartsForgotten > 0 || n[records]-n[flowsIdle]-w.sweep.deleted() != w.sweep.live() {
		w.t.Fatalf("flows were displaced, the test is too large: %+v; %d records, %d idle, %d taken out, %d there",
			c, n[records], n[flowsIdle], w.sweep.deleted(), w.sweep.live())
	}
	w.finishTunnels()
	if d := cmp.Diff(sorted(w.want), sorted(w.got), cmp.AllowUnexported(ident.Addr{})); d != "" {
		if len(d) > 4000 {
			d = d[:4000]
		}
		w.t.Fatalf("%d intervals in Go, %d from the kernel (-Go +kernel):\n%s", len(w.want), len(w.got), d)
	}
}

// finishTunnels compares what both sides told of flows that cannot be read.
func (w *twin) finishTunnels() {
	w.t.Helper()
	n, c := w.counters(), w.gates.Counters()
	if c.Evicted+c.Crowded+c.Meter.Evicted > 0 || n[waysOpened] != n[waysClosed]+w.open.deleted+w.open.live {
		w.t.Fatalf("tunnels were displaced, the test is too large: %+v; %d opened, %d closed, %d taken out, %d there",
			c, n[waysOpened], n[waysClosed], w.open.deleted, w.open.live)
	}
	compare := func(a, b tunnel.Record) int { return a.Compare(&b) }
	slices.SortFunc(w.hidden, compare)
	slices.SortStableFunc(w.tunnels, compare)
	var got []tunnel.Record
	for _, r := range w.tunnels { // a record of each direction
		if last := len(got) - 1; last >= 0 && got[last].Compare(&r) == 0 {
			got[last].Merge(&r.Interval)
		} else {
			got = append(got, r)
		}
	}
	got = slices.DeleteFunc(got, func(r tunnel.Record) bool { return r.Sparse() })
	w.tunnels = got
	if d := cmp.Diff(w.hidden, got, cmp.AllowUnexported(ident.Addr{})); d != "" {
		w.t.Fatalf("%d intervals of tunnels in Go, %d from the kernel (-Go +kernel):\n%.4000s", len(w.hidden), len(got), d)
	}
}

// TestEqual plays what is written below, and the lab, through one load of each
// program: the verifier takes longer for one than most of them do.
func TestEqual(t *testing.T) {
	xdp, tc := newTwin(t, Config{}, false), newTwin(t, Config{}, true)
	on := func(f func(*testing.T, ...*twin)) func(*testing.T) {
		return func(t *testing.T) {
			xdp.t, tc.t = t, t
			f(t, xdp, tc)
		}
	}
	t.Run("one call", on(equalOneCall))
	t.Run("anything", on(equalAnything))
	t.Run("full record", on(equalFullRecord))
	t.Run("lab", on(equalLab))
	t.Run("tunnels", on(equalTunnels))
	t.Run("gates", on(equalGates))
	t.Run("sealed", on(equalSealed))
}

func equalOneCall(t *testing.T, twins ...*twin) {
	for _, w := range twins {
		w.reset()
		before := w.counters()
		for i := range 1000 {
			at := t0 + int64(i)*20e6
			w.feed(at, udpFrame("10.1.2.3", "198.51.100.7", 10000, 20000, rtpPayload(8, uint16(i), uint32(i)*160, 77, 160)))
			w.feed(at+3e6, udpFrame("198.51.100.7", "10.1.2.3", 20000, 10000, rtpPayload(8, uint16(i)+500, uint32(i)*160, 78, 160)))
		}
		w.finish()
		if len(w.want) != 20 {
			t.Errorf("%d intervals, want 20", len(w.want))
		}
		c := w.counters()
		t.Logf("%d frames, %d intervals, %d by the sweep", w.frames, len(w.got), w.sweep.emitted())
		if c[accounted]-before[accounted] != 1998 || c[starts]-before[starts] != 2 {
			t.Errorf("accounted %d, starts %d, before %d, %d", c[accounted], c[starts], before[accounted], before[starts])
		}
	}
}

// equalAnything plays flows that do everything that docs/interval.md knows.
func equalAnything(t *testing.T, twins ...*twin) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := twins[seed%2]
		w.reset()
		type flow struct {
			seq      uint16
			ts, ssrc uint32
			pt       uint8
		}
		flows := make([]flow, 12)
		at := t0
		for range 20000 {
			i := r.IntN(len(flows))
			f := &flows[i]
			switch n := r.IntN(1000); {
			case n < 500:
				at += r.Int64N(3e6)
			case n < 505:
				at += r.Int64N(3e9)
			case n < 506:
				at += r.Int64N(40e9)
			case n < 550:
				at -= r.Int64N(30e6)
			}
			f.seq++
			f.ts += 160
			var payload []byte
			switch n := r.IntN(100); {
			case n < 60:
			case n < 64:
				f.seq += uint16(r.IntN(4000))
			case n < 68:
				f.seq -= uint16(r.IntN(80))
			case n < 70:
				f.seq--
				f.ts -= 160
			case n < 72:
				f.ts += uint32(r.IntN(5)) * 80
			case n < 73:
				f.ts = r.Uint32()
			case n < 74:
				f.ssrc = uint32(r.IntN(3))
			case n < 76:
				f.pt = uint8([]int{0, 8, 18, 13, 101, 111, 72, 9}[r.IntN(8)])
			case n < 80:
				payload = make([]byte, r.IntN(60))
				for i := range payload {
					payload[i] = byte(r.Uint32())
				}
			}
			if payload == nil {
				pt := f.pt
				switch r.IntN(30) {
				case 0:
					pt = 101
				case 1:
					pt = 13
				case 2:
					pt = uint8(r.IntN(128))
				case 3:
					pt |= 0x80
				}
				ssrc := f.ssrc
				if r.IntN(20) == 0 {
					ssrc = 9
				}
				payload = rtpPayload(pt, f.seq, f.ts, ssrc, r.IntN(360))
				if r.IntN(10) == 0 {
					payload[0] |= byte(r.IntN(64))
				}
				if r.IntN(40) == 0 {
					payload[1] = byte(r.IntN(256))
				}
			}
			w.feed(at, udpFrame("10.1.2.3", "198.51.100.7", uint16(10000+i), 20000, payload))
		}
		w.finish()
		t.Logf("seed %d: %d intervals, %d by the sweep, %d of them closed again", seed, len(w.got), w.sweep.emitted(), w.sweep.repeated())
		if len(w.want) < 100 {
			t.Errorf("only %d intervals", len(w.want))
		}
	}
}

// equalFullRecord fills a record to its limit.
func equalFullRecord(_ *testing.T, twins ...*twin) {
	w := twins[0]
	w.reset()
	for i := range 140000 {
		seq := uint16(i)
		if i%3 == 0 {
			seq-- // a copy
		}
		ts := uint32(seq) * 80
		w.feed(t0+int64(i)*20e3, udpFrame("10.1.2.3", "198.51.100.7", 10000, 20000, rtpPayload(0, seq, ts, 77, 20)))
	}
	w.finish()
}
