package bpf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf/perf"
	"github.com/google/go-cmp/cmp"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
	"simtrap/pipeline"
	"simtrap/rtp"
)

func homesOf(t testing.TB, prefixes []netip.Prefix) *ident.Homes {
	t.Helper()
	var texts []string
	for _, p := range prefixes {
		texts = append(texts, p.String())
	}
	h, err := ident.ParseHomes(texts, 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func prefixes(t testing.TB, texts ...string) (out []netip.Prefix) {
	t.Helper()
	for _, s := range texts {
		p, err := ident.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// setHomes puts others into the kernel's table.
func (b *bench) setHomes(homes []netip.Prefix) {
	b.t.Helper()
	var keys []kernelPrefix
	var key kernelPrefix
	var value uint32
	for it := b.o.Homes.Iterate(); it.Next(&key, &value); {
		keys = append(keys, key)
	}
	for i := range keys {
		if err := b.o.Homes.Delete(&keys[i]); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := putHomes(b.o.Homes, homes); err != nil {
		b.t.Fatal(err)
	}
}

// room is as many prefixes as a test puts in later.
func room() []netip.Prefix {
	return slices.Repeat([]netip.Prefix{netip.MustParsePrefix("240.0.0.0/32")}, 64)
}

// ipFrame is Ethernet and IP of the addresses' kind; a mapped address stands in IPv6.
func ipFrame(src, dst string, proto byte, payload []byte) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}
	if s.Is4() {
		b = append(b, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0)
		binary.BigEndian.PutUint16(b[16:], uint16(20+len(payload)))
	} else {
		b[12], b[13] = 0x86, 0xdd
		b = append(b, 0x60, 0, 0, 0, 0, 0, proto, 64)
		binary.BigEndian.PutUint16(b[18:], uint16(len(payload)))
	}
	b = append(append(b, s.AsSlice()...), d.AsSlice()...)
	return append(b, payload...)
}

func udpOver(src, dst string, sport, dport uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return ipFrame(src, dst, packet.UDP, append(append(b, 0, 0), payload...))
}

// tunnels put an Ethernet frame, or the IP packet in it, into a tunnel.
var tunnels = []struct {
	name string
	make func(src, dst string, inner []byte) []byte
}{
	{"gtpu", func(src, dst string, inner []byte) []byte {
		head := binary.BigEndian.AppendUint16([]byte{0x30, 255}, uint16(len(inner)-14))
		return udpOver(src, dst, 2152, 2152, append(append(head, 0, 0, 0, 9), inner[14:]...))
	}},
	{"vxlan", func(src, dst string, inner []byte) []byte {
		return udpOver(src, dst, 50000, 4789, append([]byte{8, 0, 0, 0, 0, 0, 7, 0}, inner...))
	}},
	{"gre", func(src, dst string, inner []byte) []byte {
		return ipFrame(src, dst, 47, append([]byte{0, 0, inner[12], inner[13]}, inner[14:]...))
	}},
	{"gre-eth", func(src, dst string, inner []byte) []byte {
		return ipFrame(src, dst, 47, append([]byte{0, 0, 0x65, 0x58}, inner...))
	}},
}

// TestEqualPrefixes holds the kernel's table to package ident at the edges of prefixes, of
// both ends of a tunnel: those of every length, in one another, of both families.
func TestEqualPrefixes(t *testing.T) {
	b := newBench(t, Config{GTP: true, Homes: room()}, false)
	held, free := 0, 0
	try := func(homes []netip.Prefix) {
		t.Helper()
		b.setHomes(homes)
		known := homesOf(t, homes)
		var ends []netip.Addr
		for _, p := range homes {
			last := p.Masked().Addr().AsSlice()
			for i := p.Bits(); i < 8*len(last); i++ {
				last[i/8] |= 0x80 >> (i % 8)
			}
			end, _ := netip.AddrFromSlice(last)
			for _, a := range []netip.Addr{p.Addr(), p.Addr().Prev(), end, end.Next()} {
				if a.IsValid() {
					ends = append(ends, a, netip.AddrFrom16(a.As16())) // mapped, where it is IPv4
				}
			}
		}
		for _, a := range ends {
			far := "192.0.2.200"
			if !a.Is4() {
				far = "fd00::1"
			}
			for _, turn := range []bool{false, true} {
				src, dst := a.String(), far
				if turn {
					src, dst = dst, src
				}
				f := tunnels[0].make(src, dst, udpFrame("10.1.2.3", "198.51.100.7", 9, 9, []byte("something")))
				s, _ := ident.ParseAddr([]byte(src))
				d, _ := ident.ParseAddr([]byte(dst))
				want := uint32(nextUDP)
				if free++; known.Contains(s) || known.Contains(d) {
					want = leftHeld
					free, held = free-1, held+1
				}
				if r := b.frame(t0, f); r.Verdict != want {
					t.Fatalf("home %v: a tunnel from %s to %s: verdict %d, want %d", homes, src, dst, r.Verdict, want)
				}
			}
		}
	}
	for _, texts := range [][]string{
		{"203.0.113.7"},
		{"203.0.113.0/25", "2001:db8:1::/48"},
		{"0.0.0.0/0"}, {"::/0"}, {"::/96"}, {"::ffff:0:0/96"}, {"::ffff:203.0.113.0/120"},
		{"0.0.0.0/1", "128.0.0.0/1"},
		{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "9.255.255.255", "::/1", "2001:db8::1"},
		{"fe80::/10", "ffff::/16", "255.255.255.255", "0.0.0.0"},
	} {
		try(prefixes(t, texts...))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var homes []netip.Prefix
		for range 1 + r.IntN(12) {
			// Few bits are drawn, so that prefixes lie in one another.
			a := [16]byte{0x20, 1, byte(r.IntN(2)), 15: byte(r.IntN(4))}
			if r.IntN(2) == 0 {
				a = [16]byte{10: 0xff, 11: 0xff, 12: byte(r.IntN(2)), 15: byte(r.IntN(4))}
			}
			addr := netip.AddrFrom16(a).Unmap()
			homes = append(homes, netip.PrefixFrom(addr, r.IntN(addr.BitLen()+1)).Masked())
		}
		try(homes)
	}
	if n := b.counters(); held < 2000 || free < 2000 || n[leftHeld] != uint64(held) || n[leftTunnel] != 0 {
		t.Errorf("%d tunnels held, %d not; %d counted", held, free, n[leftHeld])
	}
}

// TestEqualHomes sends a call through tunnels of every kind, held by a subscriber at
// either end or by nobody: what the kernel looks into it must account as the run
// does that knows the subscribers.
func TestEqualHomes(t *testing.T) {
	const line, line6 = "203.0.113.7", "2001:db8:1::7"
	home := prefixes(t, "203.0.113.0/24", "2001:db8:1::/48", "10.64.1.0/24", "2001:db8:64::/48")
	ends := []struct {
		name, near, far string
		held            bool
	}{
		{"nobody", "10.64.0.255", "10.96.0.1", false},
		{"near end", "10.64.1.0", "10.96.0.1", true},
		{"far end", "10.96.0.1", "10.64.1.255", true},
		{"both ends", "10.64.1.1", "203.0.113.9", true},
		{"nobody, IPv6", "2001:db8:63:ffff::1", "2001:db8:96::1", false},
		{"near end, IPv6", "2001:db8:64::1", "2001:db8:96::1", true},
		{"far end, IPv6", "2001:db8:96::1", "2001:db8:64:ffff::1", true},
		{"mapped, nobody", "::ffff:10.64.0.1", "2001:db8:96::1", false},
		{"mapped, held", "::ffff:10.64.1.1", "2001:db8:96::1", true},
	}
	for _, tc := range []bool{false, true} {
		w := newTwin(t, Config{GTP: true, VXLAN: true, GRE: true, Homes: home}, tc)
		for _, tunnel := range tunnels {
			for _, e := range ends {
				for _, inner := range []string{line, line6} {
					w.reset()
					there := "198.51.100.7"
					if inner == line6 {
						there = "2001:db8:5::7"
					}
					for i := range 150 {
						at := t0 + int64(i)*20e6
						w.feed(at, tunnel.make(e.near, e.far, udpOver(inner, there, 10000, 20000, rtpPayload(8, uint16(i), uint32(i)*160, 77, 160))))
						w.feed(at+3e6, tunnel.make(e.far, e.near, udpOver(there, inner, 20000, 10000, rtpPayload(8, uint16(i), uint32(i)*160, 78, 160))))
					}
					w.finish()
					switch {
					case e.held && (w.left != w.frames || len(w.got) > 0):
						t.Errorf("%s held at %s: %d of %d frames left, %d intervals", tunnel.name, e.name, w.left, w.frames, len(w.got))
					case !e.held && (w.left > 0 || len(w.got) != 4):
						t.Errorf("%s held by %s: %d of %d frames left, %d intervals", tunnel.name, e.name, w.left, w.frames, len(w.got))
					}
				}
			}
		}
		// One within another is nobody's to look into; what is on a tunnel's port and is
		// none is the subscriber's own media, and accounted.
		w.reset()
		media := udpFrame(line, "198.51.100.7", 10000, 20000, rtpPayload(8, 1, 160, 77, 160))
		for i := range 150 {
			at := t0 + int64(i)*20e6
			w.feed(at, tunnels[0].make("10.64.0.1", "10.96.0.1", tunnels[2].make(line, "198.51.100.7", media)))
			w.feed(at, udpFrame(line, "198.51.100.7", 2152, 20000, rtpPayload(8, uint16(i), uint32(i)*160, 77, 160)))
			w.feed(at, udpFrame(line, "198.51.100.7", 10000, 4789, rtpPayload(8, uint16(i), uint32(i)*160, 77, 160)))
		}
		w.finish()
		if w.left != 150 || len(w.got) != 4 {
			t.Errorf("%d frames left of 150 in two tunnels, %d intervals beside them", w.left, len(w.got))
		}
		n := w.counters()
		t.Logf("tc %v: %d held, %d left else, %d accounted", tc, n[leftHeld], n[leftTunnel], n[accounted])
	}
}

// tap plays frames as a port with the programs gives them, under their own clock.
type tap struct {
	*bench
	list   []capture.Frame // offsets of block
	block  []byte
	reader *perf.Reader
	now    int64
	swept  int64
	seq    uint64
}

func newTap(t testing.TB, c Config, file string) *tap {
	p := &tap{bench: newBench(t, c, false)}
	err := eachFrame(file, 1<<30, func(at int64, data []byte) {
		p.list = append(p.list, capture.Frame{Time: at, Off: uint32(len(p.block)), Len: uint32(len(data))})
		p.block = append(p.block, data...)
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.reader, err = perf.NewReader(p.o.FrameEvents, 1<<20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.reader.Close() })
	return p
}

func (p *tap) Close() error { return nil }

// Next runs a few frames and gives those of them that went up.
func (p *tap) Next(ctx context.Context) (*capture.Batch, error) {
	if len(p.list) == 0 {
		return nil, io.EOF
	}
	b := capture.NewBatch(nil, nil)
	b.Source, b.Seq = 1, p.seq
	n := min(len(p.list), 100)
	for _, f := range p.list[:n] {
		p.frame(f.Time, p.block[f.Off:f.Off+f.Len])
		p.now = f.Time
		p.reader.SetDeadline(time.Unix(1, 0))
		var rec perf.Record
		for {
			err := p.reader.ReadInto(&rec)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err
			}
			got := rec.RawSample[frameSize:]
			got = got[:min(len(got), int(binary.NativeEndian.Uint32(rec.RawSample[12:])))]
			b.Frames = append(b.Frames, capture.Frame{
				Time: f.Time, Off: uint32(len(b.Block)), Len: uint32(len(got)), Wire: f.Len, Link: capture.LinkEthernet, Port: 1,
			})
			b.Block = append(b.Block, got...)
		}
	}
	p.list = p.list[n:]
	p.seq += uint64(len(b.Frames))
	if p.now >= p.swept+1e9 {
		p.passOver(p.now, false)
		p.swept = p.now
	}
	return b, nil
}

func (p *tap) Intervals(dst []rtp.Interval) ([]rtp.Interval, int64) {
	if len(p.list) == 0 {
		p.passOver(1<<62, true)
		p.swept = p.now
	}
	dst = append(dst, p.got...)
	p.got = p.got[:0]
	return dst, p.swept - grace
}

// TestEqualFindings judges a box behind an operator's tunnel, and one that holds the
// tunnel itself, from what the kernel gives, and holds it to a replay.
func TestEqualFindings(t *testing.T) {
	file := makeLab(t, lab.Options{Scenario: "goip-line", Seed: 2, Duration: 4 * time.Minute, Encap: "gtpu"})
	for _, c := range []struct {
		name string
		held bool
		home []netip.Prefix
	}{
		{"operator's", false, prefixes(t, "203.0.113.0/24", "198.51.100.0/24")},
		{"subscriber's", true, prefixes(t, "203.0.113.0/24", "198.51.100.0/24", "10.64.0.0/16")},
	} {
		src, err := capture.Open([]string{file}, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		cfg := pipeline.Config{Workers: 1, Homes: homesOf(t, c.home), Ledgers: heuristics.None}
		replay, err := pipeline.Run(t.Context(), src, cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := newTap(t, Config{GTP: true, Homes: c.home, Flows: 1 << 14, Starts: 1 << 14}, file)
		live, err := pipeline.NewLive(cfg, p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := live.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := p.counters()
		outline := func(r *pipeline.Result) (out []string) {
			for i := range r.Findings {
				f := &r.Findings[i]
				if c.held { // what was said of calls: their media was left
					f.Calls.Streams, f.Calls.TalkSeconds = 0, 0
					f.Controllers = slices.DeleteFunc(f.Controllers, func(c heuristics.Controller) bool { return c.Role == "media" })
				}
				out = append(out, fmt.Sprint(f.Line, f.Verdict, f.Proof, f.Cards, f.Controllers, f.Calls))
			}
			slices.Sort(out)
			return out
		}
		if d := cmp.Diff(outline(replay), outline(got)); d != "" || len(replay.Findings) == 0 {
			t.Errorf("%s (-replay +kernel):\n%s", c.name, d)
		}
		if (n[leftHeld] > 0) != c.held || (n[accounted] > 1000) == c.held || n[upSIP] == 0 && !c.held {
			t.Errorf("%s: %d held, %d accounted, %d of SIP", c.name, n[leftHeld], n[accounted], n[upSIP])
		}
		for i := range replay.Findings {
			for k := range got.Findings {
				a, b := &replay.Findings[i], &got.Findings[k]
				if a.Line != b.Line {
					continue
				}
				t.Logf("%s: %v: %v %.2f, replay %v %.2f", c.name, b.Line, b.Verdict, b.Score, a.Verdict, a.Score)
				if d := a.Score - b.Score; !c.held && (d > 0.5 || d < -0.5) {
					t.Errorf("%s: %v: score %.2f, replay %.2f", c.name, a.Line, b.Score, a.Score)
				}
			}
		}
		if got.Stats.Streams != replay.Stats.Streams && !c.held {
			t.Errorf("%s: %+v, replay %+v", c.name, got.Stats, replay.Stats)
		}
	}
}
