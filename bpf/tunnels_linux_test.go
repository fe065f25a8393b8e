package bpf

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"simtrap/hidden/tunnel"
	"simtrap/lab"
	"simtrap/packet"
)

// equalTunnels plays the lab's lines that hide calls and those that look like them,
// until there is something to compare.
func equalTunnels(t *testing.T, twins ...*twin) {
	hides := regexp.MustCompile(`^(hide|twin)-`)
	if testing.Short() {
		hides = regexp.MustCompile(`^(hide-(wireguard|pptp|relay)|twin-(vowifi|webrtc-vpn|stream))$`)
	}
	all := slices.DeleteFunc(lab.Hiding(), func(sc lab.Scenario) bool { return !hides.MatchString(sc.Name) })
	protos := map[uint8]int{}
	for i, sc := range all {
		w := twins[i%len(twins)]
		t.Run(sc.Name, func(t *testing.T) {
			w.t = t
			w.play(makeLab(t, lab.Options{Scenario: sc.Name, Seed: 3, Duration: min(3*time.Minute, sc.Duration())}), 12000)
			for _, r := range w.tunnels {
				protos[r.Proto]++
			}
			t.Logf("%d frames, %d left, %d intervals of tunnels, %d by the sweep", w.frames, w.left, len(w.tunnels), w.open.deleted)
		})
		w.t = t
	}
	t.Logf("intervals by protocol: %v", protos)
	for _, p := range []uint8{17, 47} {
		if protos[p] < 10 {
			t.Errorf("%d intervals of protocol %d", protos[p], p)
		}
	}
}

// rawFrame is Ethernet with IP of a protocol that has no ports.
func rawFrame(src, dst string, proto uint8, body []byte) []byte {
	if strings.Contains(src, ":") {
		b := make([]byte, 54, 54+len(body))
		copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60})
		binary.BigEndian.PutUint16(b[18:], uint16(len(body)))
		b[20], b[21] = proto, 57
		s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
		copy(b[22:], s[:])
		copy(b[38:], d[:])
		return append(b, body...)
	}
	b := udpFrame(src, dst, 0, 0, nil)[:34]
	b[23] = proto
	binary.BigEndian.PutUint16(b[16:], uint16(20+len(body)))
	return append(b, body...)
}

// udp6Frame is UDP over IPv6.
func udp6Frame(src, dst string, sport, dport uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return rawFrame(src, dst, packet.UDP, append(append(b, 0, 0), payload...))
}

// pptp is GRE of PPTP with MPPE inside, n bytes in all behind IP.
func pptp(n int, ack bool) []byte {
	b := []byte{0x30, 1, 0x88, 0x0b, 0, 0, 0, 7, 0, 0, 0, 1}
	if ack {
		b[1] |= 0x80
		b = append(b, 0, 0, 0, 1)
	}
	binary.BigEndian.PutUint16(b[4:], uint16(max(n-len(b), 4)))
	return append(append(b, 0, 0xfd, 0x90, 1), make([]byte, max(n-len(b)-4, 0))...)
}

// l2tp is L2TP with MPPE inside.
func l2tp(n int) []byte {
	return append([]byte{0, 2, 0, 1, 0, 2, 0, 0xfd, 0x90, 1}, make([]byte, max(n-10, 0))...)
}

// equalGates plays flows of all kinds that cannot be read, which begin, go on, thin out
// and fall silent, in either direction, with packets about every limit.
func equalGates(t *testing.T, twins ...*twin) {
	sizes := []int{1, 11, 23, 24, 25, 100, 100, 160, 200, 351, 352, 353, 360, 383, 384, 500, 1400}
	kinds := []func(up bool, n int) []byte{
		func(up bool, n int) []byte { return between(udpFrame, up, "10.1.2.3", "198.51.100.7", 40000, 51820, n) },
		func(up bool, n int) []byte { return between(udpFrame, up, "10.1.2.3", "198.51.100.7", 40001, 51820, n) },
		func(up bool, n int) []byte {
			return between(udp6Frame, up, "2001:db8::1", "2001:db8:1::7", 4500, 4500, n)
		},
		func(up bool, n int) []byte { return bare(up, "10.1.2.4", "198.51.100.8", 50, make([]byte, n)) },
		func(up bool, n int) []byte { return bare(up, "2001:db8::2", "2001:db8:1::8", 50, make([]byte, n)) },
		func(up bool, n int) []byte {
			return tagged(bare(up, "10.1.2.5", "198.51.100.9", 47, pptp(n, n%2 == 0)), 7)
		},
		func(up bool, n int) []byte {
			b := l2tp(n)
			if up {
				return udpFrame("10.1.2.6", "198.51.100.9", 1701, 1701, b)
			}
			return udpFrame("198.51.100.9", "10.1.2.6", 1701, 1701, b)
		},
	}
	protos := map[uint8]int{}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := twins[seed%uint64(len(twins))]
		w.reset()
		type way struct {
			next, gap, until int64
			seq              uint16
			rtp              bool
		}
		ways := make([][2]way, len(kinds))
		turn := func(v *way, at int64) { // what it does for a while
			v.next, v.until, v.rtp = at, at+r.Int64N(20e9), r.IntN(12) == 0
			switch r.IntN(8) {
			case 0:
				v.gap = 200e6 // thin
			case 1:
				v.gap, v.until = 40e9, at+r.Int64N(40e9) // silent
			case 2:
				v.gap = 50e6 + r.Int64N(2e6) - 1e6 // about enough
			default:
				v.gap = 8e6 + r.Int64N(24e6)
			}
		}
		for at := t0; at < t0+100e9; {
			k, up := 0, 0
			for i := range ways {
				for j := range 2 {
					if ways[i][j].next < ways[k][up].next {
						k, up = i, j
					}
				}
			}
			v := &ways[k][up]
			at = max(at, v.next)
			if at >= v.until {
				turn(v, at)
				if v.gap == 40e9 {
					v.next = v.until
				}
				continue
			}
			v.next = at + v.gap/2 + r.Int64N(v.gap)
			f := kinds[k](up == 1, sizes[r.IntN(len(sizes))])
			if v.rtp && k < 2 {
				v.seq++
				src, dst, sport, dport := "10.1.2.3", "198.51.100.7", uint16(40000+k), uint16(51820)
				if up == 0 {
					src, dst, sport, dport = dst, src, dport, sport
				}
				f = udpFrame(src, dst, sport, dport, rtpPayload(8, v.seq, uint32(v.seq)*160, 77, 160))
			}
			w.feed(at, f)
		}
		w.finish()
		for _, r := range w.tunnels {
			protos[r.Proto]++
		}
		t.Logf("seed %d: %d frames, intervals by protocol so far %v, %d closed again", seed, w.frames, protos, w.open.repeated)
		if w.left > 0 {
			t.Errorf("%d frames left", w.left)
		}
	}
	for _, p := range []uint8{tunnel.ESP, tunnel.GRE, packet.UDP} {
		if protos[p] < 5 {
			t.Errorf("%d intervals of protocol %d", protos[p], p)
		}
	}
}

// between is a datagram of n bytes that reads as nothing, either way.
func between(frame func(src, dst string, sport, dport uint16, payload []byte) []byte, up bool, src, dst string, sport, dport uint16, n int) []byte {
	if !up {
		src, dst, sport, dport = dst, src, dport, sport
	}
	return frame(src, dst, sport, dport, append([]byte{4, 0, 0, 0}, make([]byte, n)...)[:n])
}

func bare(up bool, src, dst string, proto uint8, body []byte) []byte {
	if !up {
		src, dst = dst, src
	}
	return rawFrame(src, dst, proto, body)
}

// equalSealed holds what is enciphered, and what is not, to the decoder's reading.
func equalSealed(t *testing.T, twins ...*twin) {
	inner := udpFrame("10.9.9.9", "198.51.100.1", 1000, 2000, make([]byte, 50))[14:]
	plain := append([]byte{0x30, 1, 0x88, 0x0b, 0, byte(len(inner) + 2), 0, 7, 0, 0, 0, 1, 0, 0x21}, inner...)
	for _, w := range twins {
		w.reset()
		for _, c := range []struct {
			name string
			f    []byte
			want uint32
		}{
			{"esp", rawFrame("10.1.2.3", "198.51.100.7", 50, make([]byte, 100)), esp},
			{"esp of ipv6", rawFrame("2001:db8::1", "2001:db8::2", 50, make([]byte, 100)), esp},
			{"pptp", rawFrame("10.1.2.3", "198.51.100.7", 47, pptp(100, false)), pptpSealed},
			{"pptp with acknowledgement", rawFrame("10.1.2.3", "198.51.100.7", 47, pptp(100, true)), pptpSealed},
			{"pptp in the clear", rawFrame("10.1.2.3", "198.51.100.7", 47, plain), leftTunnel},
			{"acknowledgement alone", rawFrame("10.1.2.3", "198.51.100.7", 47, []byte{0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 7, 0, 0, 0, 1}), leftTunnel},
			{"l2tp with mppe", udpFrame("10.1.2.3", "198.51.100.7", 1701, 1701, l2tp(60)), nextUDP},
			{"l2tp in the clear", udpFrame("10.1.2.3", "198.51.100.7", 1701, 1701, append([]byte{0, 2, 0, 1, 0, 2, 0, 0x21}, inner...)), leftTunnel},
			{"l2tp with length, in the clear", udpFrame("10.1.2.3", "198.51.100.7", 1701, 1701, append([]byte{0x40, 2, 0, byte(len(inner) + 12), 0, 1, 0, 2, 0xff, 3, 0, 0x21}, inner...)), leftTunnel},
			{"a relay on the port of l2tp", udpFrame("10.1.2.3", "198.51.100.7", 1701, 1701, make([]byte, 60)), nextUDP},
			{"control of l2tp", udpFrame("10.1.2.3", "198.51.100.7", 1701, 1701, append([]byte{0xc8, 2, 0, 12}, make([]byte, 8)...)), nextUDP},
			{"short on that port", udpFrame("10.1.2.3", "198.51.100.7", 1701, 1701, []byte{0, 2, 0}), nextUDP},
		} {
			if r := w.frame(t0, c.f); r.Verdict != c.want {
				t.Errorf("%s: read as %d, want %d", c.name, r.Verdict, c.want)
			}
			for cut := 15; w == twins[0] && cut < len(c.f); cut++ { // TC takes no frame without a whole header of IP
				w.feed(t0, c.f[:cut:cut])
			}
		}
		w.reset() // what the packets were accounted as is not compared
	}
}

// TestOneWay wants a port that shows one direction alone to be known for it, and its
// tunnels then kept; and others not.
func TestOneWay(t *testing.T) {
	b := newBench(t, Config{}, false)
	s := &Source{objects: b.o, sweep: b.sweep, waySweep: b.open}
	const flows = 32
	play := func(at int64, back bool) (n int) {
		for i := range int64(11 * 48) {
			now := at + i*50e6
			for k := range uint16(flows) {
				b.frame(now, between(udpFrame, true, "10.1.2.3", "198.51.100.7", 40000+k, 51820, 100))
				if back {
					b.frame(now, between(udpFrame, false, "10.1.2.3", "198.51.100.7", 40000+k, 51820, 100))
				}
			}
			if i%48 == 47 {
				if _, err := s.passWays(nil, now, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		readRing(b.ways, nil, func([]byte) { n++ })
		return n
	}
	at := t0 - t0%int64(tunnel.Length)
	if n := play(at, false); n < flows {
		t.Errorf("%d intervals of %d flows of which one direction comes by", n, flows)
	}
	var on uint8
	if err := b.o.OneWay.Get(&on); err != nil || on != 1 {
		t.Errorf("one way: %d, %v", on, err)
	}
	if n := play(at+100e9, true); n < 2*flows {
		t.Errorf("%d intervals of %d flows", n, flows)
	}
	if err := b.o.OneWay.Get(&on); err != nil || on != 0 {
		t.Errorf("one way, though both come by: %d, %v", on, err)
	}
}

// TestTunnelsDisplaced wants the tables to hold what they may and what is displaced to
// be counted.
func TestTunnelsDisplaced(t *testing.T) {
	const most, flows = 16, 120
	b := newBench(t, Config{Tunnels: most, Sources: 1024}, false)
	s := &Source{objects: b.o, sweep: b.sweep, waySweep: b.open}
	at := t0 - t0%int64(tunnel.Length)
	now := at
	for i := range int64(5 * 48) {
		now = at + i*50e6
		for k := range flows {
			for _, up := range []bool{true, false} {
				b.frame(now, bare(up, fmt.Sprintf("10.1.%d.%d", k>>8, k&255), "198.51.100.7", 50, make([]byte, 100)))
			}
		}
	}
	for range barePasses {
		if _, err := s.passWays(nil, now, false); err != nil {
			t.Fatal(err)
		}
	}
	n := b.counters()
	if b.open.live > 2*most || b.open.bareLive > 4*most {
		t.Errorf("%d ways and %d gates there", b.open.live, b.open.bareLive)
	}
	if want := n[bareBegun] - b.open.bareLive; s.bareEvicted != want || want == 0 {
		t.Errorf("%d gates evicted, want %d", s.bareEvicted, want)
	}
	if want := n[waysOpened] - n[waysClosed] - b.open.live; s.waysEvicted != want {
		t.Errorf("%d ways evicted, want %d", s.waysEvicted, want)
	}
}

// TestTunnelsLive sends a tunnel's packets over a pair of ports, each burst a length
// after the last by a clock that is put forward, in each way of attaching.
func TestTunnelsLive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode Mode
		perf bool
	}{{XDPGeneric, false}, {ClsAct, true}} {
		t.Run(fmt.Sprintf("%v perf %v", c.mode, c.perf), func(t *testing.T) {
			t.Parallel()
			inNamespace(t, func(t testing.TB) {
				s, err := Open("vb", Config{Port: 1, Mode: c.mode, PerfIntervals: c.perf, Flows: 4096})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				out := newSender(t, "va")
				forward := func() { // to the beginning of the next length
					s.work.Lock()
					defer s.work.Unlock()
					now := s.now()
					s.offset.Add(int64(tunnel.Length) - now%int64(tunnel.Length))
					if err := s.objects.ClockOffset.Set(uint64(s.offset.Load())); err != nil {
						t.Fatal(err)
					}
				}
				var got []tunnel.Record
				for range 6 {
					forward()
					for range 60 {
						for _, up := range []bool{true, false} {
							out.send(between(udpFrame, up, "10.1.2.3", "198.51.100.7", 40000, 51820, 160))
							out.send(bare(up, "10.1.2.3", "198.51.100.7", 50, make([]byte, 160)))
						}
					}
					got = s.Tunnels(got)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				got = s.Tunnels(got)
				packets := map[uint8]int{}
				for _, r := range got {
					packets[r.Proto] += int(r.Up.Packets) + int(r.Down.Packets)
				}
				// Three lengths open the gate, which it does in the fourth.
				if packets[packet.UDP] != 2*2*60 || packets[tunnel.ESP] != 2*2*60 {
					t.Errorf("packets by protocol: %v in %d records", packets, len(got))
				}
				for _, l := range s.Losses() {
					if l.Count > 0 && regexp.MustCompile("way|bare|late").MatchString(l.Reason) {
						t.Errorf("%s: %d", l.Reason, l.Count)
					}
				}
			})
		})
	}
}
