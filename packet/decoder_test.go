package packet

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"simtrap/capture"
	"simtrap/ident"
)

// compare leaves out the ends of tunnels within tunnels, stale behind the last.
var compare = cmp.Options{
	cmp.Comparer(func(a, b ident.Addr) bool { return a == b }),
	cmpopts.IgnoreUnexported(Packet{}),
}

// callers are the fields that the decoder must not touch.
var callers = Packet{Time: 11, Seq: 12, Source: 13, TapPort: 14, Realm: 15}

func wanted(v6 bool, proto uint8, access Access, payload []byte) Packet {
	p := callers
	p.Src, p.Dst = addr(inner4Src), addr(inner4Dst)
	if v6 {
		p.Src, p.Dst = addr(inner6Src), addr(inner6Dst)
	}
	p.SrcPort, p.DstPort, p.Proto, p.TTL = srcPort, dstPort, proto, hops
	if proto == TCP {
		p.Flags, p.TCPSeq, p.TCPAck = PSH|ACK, tcpSeq, tcpAck
	}
	p.Length, p.Payload, p.Access = uint32(len(payload)), payload, access
	return p
}

func resultOf(proto uint8) Result {
	if proto == TCP {
		return Segment
	}
	return Datagram
}

// dirty is a packet as a decoder may find it: filled by an earlier frame.
func dirty() Packet {
	p := callers
	p.Src, p.SrcPort, p.DstPort, p.Proto, p.TTL, p.Flags = addr(outer6Src), 1, 2, 3, 4, 5
	p.TCPSeq, p.TCPAck, p.Length, p.Payload = 6, 7, 8, []byte("old")
	p.Access = Access{VLAN: [2]uint16{1, 2}, Session: 3, TEID: 4, Tunnel: 5, OuterSrc: addr(outer6Dst)}
	return p
}

// eachFrame calls f with every encapsulation around every IP header.
func eachFrame(t *testing.T, f func(t *testing.T, e encapsulation, v ipVariant, proto uint8)) {
	for _, e := range encapsulations {
		for _, v := range ipVariants {
			if e.only != 0 && v.v6 != (e.only == 6) {
				continue
			}
			for _, proto := range []uint8{UDP, TCP} {
				t.Run(fmt.Sprintf("%s/%s/%d", e.name, v.name, proto), func(t *testing.T) { f(t, e, v, proto) })
			}
		}
	}
}

var message = []byte("OPTIONS sip:a@b SIP/2.0\r\n\r\n")

func TestEveryEncapsulation(t *testing.T) {
	eachFrame(t, func(t *testing.T, e encapsulation, v ipVariant, proto uint8) {
		frame := e.wrap(t, v.build(t, proto, transport(t, proto, message)), v.v6)
		want := wanted(v.v6, proto, e.access, message)
		for _, padding := range []int{0, 1, 18} {
			padded := append(append([]byte(nil), frame...), make([]byte, padding)...)
			var d Decoder
			p := dirty()
			if r := d.Frame(e.link, padded, uint32(len(padded)), &p); r != resultOf(proto) {
				t.Fatalf("padding %d: %v, counters %v", padding, r, named(&d.Counters))
			}
			if diff := cmp.Diff(want, p, compare); diff != "" {
				t.Fatalf("padding %d: -want +got\n%s", padding, diff)
			}
			if d.Counters != (Counters{}) {
				t.Fatalf("padding %d: counted %v", padding, named(&d.Counters))
			}
		}
	})
}

// Every frame cut at every length, as a snap length does and as a short frame
// is: nothing is read that is not there, and nothing is made up.
func TestEveryTruncation(t *testing.T) {
	eachFrame(t, func(t *testing.T, e encapsulation, v ipVariant, proto uint8) {
		frame := e.wrap(t, v.build(t, proto, transport(t, proto, message)), v.v6)
		for n := range frame {
			data := append(make([]byte, 0, n), frame[:n]...)
			for _, wire := range []int{len(frame), n, 0} {
				var d Decoder
				p := dirty()
				r := d.Frame(e.link, data, uint32(wire), &p)
				checkFrame(t, r, &p, data, uint32(wire))
				lost := uint64(0)
				for i := range firstLost {
					lost += d.Counters[i]
				}
				if refused := r == Ignored || r == Malformed; refused != (lost == 1) {
					t.Fatalf("cut to %d of %d: %v, counters %v", n, wire, r, named(&d.Counters))
				}
				if wire == len(frame) && r == resultOf(proto) && p.DstPort == dstPort {
					if !bytes.HasPrefix(message, p.Payload) || p.Length != uint32(len(message)) {
						t.Fatalf("cut to %d of %d: payload %q, length %d", n, wire, p.Payload, p.Length)
					}
				}
			}
		}
	})
}

// TestOpaque: of what cannot be read the length of all that follows IP is told,
// padding left out.
func TestOpaque(t *testing.T) {
	pptp := append([]byte{0x30, 1, 0x88, 0x0b, 0, 40, 0, 7, 0, 0, 0, 9, 0xfd, 0x90, 1}, make([]byte, 37)...)
	for _, tt := range []struct {
		name  string
		frame []byte
		proto uint8
		want  uint32
	}{
		{"esp", serialize(t, ip4(50), gopacket.Payload(make([]byte, 96))), protoESP, 96},
		{"pptp", serialize(t, ip4(47), gopacket.Payload(pptp)), protoGRE, uint32(len(pptp))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var d Decoder
			p := dirty()
			frame := append(tt.frame, make([]byte, 9)...)
			if r := d.Frame(capture.LinkRaw, frame, uint32(len(frame)), &p); r != Opaque || p.Proto != tt.proto || p.Length != tt.want || p.Src.IsZero() {
				t.Errorf("%v, protocol %d, length %d, want %d", r, p.Proto, p.Length, tt.want)
			}
		})
	}
}

// checkFrame tests what must hold for any result on any input.
func checkFrame(t testing.TB, r Result, p *Packet, data []byte, wire uint32) {
	t.Helper()
	if got := (Packet{Time: p.Time, Seq: p.Seq, Source: p.Source, TapPort: p.TapPort, Realm: p.Realm}); got.Time != callers.Time ||
		got.Seq != callers.Seq || got.Source != callers.Source || got.TapPort != callers.TapPort || got.Realm != callers.Realm {
		t.Fatal("the caller's fields were changed")
	}
	limit := max(uint32(len(data)), min(wire, maxWire))
	switch r {
	case Datagram, Segment:
		if p.Length < uint32(len(p.Payload)) || p.Length > limit {
			t.Fatalf("length %d of %d captured and %d on the wire; payload %d", p.Length, len(data), wire, len(p.Payload))
		}
		if (p.Proto == UDP) != (r == Datagram) || (p.Proto == TCP) != (r == Segment) {
			t.Fatalf("%v of protocol %d", r, p.Proto)
		}
		within(t, data, p.Payload)
	case Opaque:
		if p.Length > limit || p.Payload != nil || p.SrcPort|p.DstPort != 0 || p.Proto != protoESP && p.Proto != protoGRE {
			t.Fatalf("opaque: protocol %d, length %d, ports %d and %d", p.Proto, p.Length, p.SrcPort, p.DstPort)
		}
	case Fragment:
		if p.Frag.Length < uint32(len(p.Frag.Data)) || p.Frag.Length > limit || p.Frag.Offset > 65528 {
			t.Fatalf("fragment %+v", p.Frag)
		}
		within(t, data, p.Frag.Data)
	}
	if p.Access.Tunnel > maxHeaders {
		t.Fatalf("%d tunnels", p.Access.Tunnel)
	}
}

// within tests that part lies in whole.
func within(t testing.TB, whole, part []byte) {
	t.Helper()
	if len(part) == 0 {
		return
	}
	if len(whole) == 0 {
		t.Fatal("payload from nowhere")
	}
	lo, at := uintptr(unsafe.Pointer(&whole[0])), uintptr(unsafe.Pointer(&part[0]))
	if at < lo || at+uintptr(len(part)) > lo+uintptr(len(whole)) {
		t.Fatal("payload outside the frame")
	}
}

func named(c *Counters) map[string]uint64 {
	m := map[string]uint64{}
	for i, n := range c {
		if n > 0 {
			m[Reason(i).String()] = n
		}
	}
	return m
}

func TestFragmentedInEveryEncapsulation(t *testing.T) {
	payload := bytes.Repeat(message, 8)
	eachFrame(t, func(t *testing.T, e encapsulation, v ipVariant, proto uint8) {
		if v.split == nil {
			return // a form without fragments
		}
		fragments := v.split(t, proto, transport(t, proto, payload), 4242, 8, 64, 160)
		for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}} {
			var d Decoder
			f := NewDefrag(DefragConfig{})
			for i, at := range order {
				frame := e.wrap(t, fragments[at], v.v6)
				p := dirty()
				r := d.Frame(e.link, frame, uint32(len(frame)), &p)
				if r != Fragment {
					t.Fatalf("fragment %d: %v %v", at, r, named(&d.Counters))
				}
				whole, ok := f.Add(&p)
				if ok != (i == len(order)-1) {
					t.Fatalf("fragment %d in order %v: complete %v, counters %v", at, order, ok, named(&f.Counters))
				}
				if !ok {
					continue
				}
				if r := d.Resume(whole, &p); r != resultOf(proto) {
					t.Fatalf("resumed: %v %v", r, named(&d.Counters))
				}
				p.Frag = Frag{}
				if diff := cmp.Diff(wanted(v.v6, proto, e.access, payload), p, compare); diff != "" {
					t.Fatalf("-want +got\n%s", diff)
				}
			}
		}
	})
}

// A fragmented tunnel with a fragmented packet inside: the second reassembly
// reads from the first one's buffer.
func TestFragmentsInFragments(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), 150)
	body := transport(t, UDP, payload)
	var d Decoder
	f := NewDefrag(DefragConfig{})
	var p Packet
	done := 0
	for i, part := range split6()(t, UDP, body, 5, 1200) {
		tunnelled := serialize(t, &layers.UDP{SrcPort: 2152, DstPort: 2152}, gopacket.Payload(gtpHeader(0, nil, len(part))), gopacket.Payload(part))
		for _, outer := range split4(nil)(t, UDP, tunnelled, uint32(100+i), 400, 800) {
			p = callers
			r := d.Frame(capture.LinkRaw, outer, uint32(len(outer)), &p)
			for r == Fragment {
				whole, ok := f.Add(&p)
				if !ok {
					break
				}
				r = d.Resume(whole, &p)
			}
			if r == Datagram {
				done++
			}
		}
	}
	if done != 1 || !bytes.Equal(p.Payload, payload) || p.Access.TEID != 0xcafebabe || p.Src != addr(inner6Src) || p.Access.OuterSrc != addr(inner4Src) {
		t.Fatalf("%d datagrams, payload equal %v, %+v, counters %v %v", done, bytes.Equal(p.Payload, payload), p.Access, named(&d.Counters), named(&f.Counters))
	}
}

func patch(b []byte, at int, with ...byte) []byte {
	b = append([]byte(nil), b...)
	copy(b[at:], with)
	return b
}

// What is wrong with a frame is told by reason.
func TestRefused(t *testing.T) {
	udp4 := ipVariants[0].build(t, UDP, transport(t, UDP, message))
	tcp4 := ipVariants[0].build(t, TCP, transport(t, TCP, message))
	udp6 := ipVariants[3].build(t, UDP, transport(t, UDP, message))
	proto4 := func(n uint8, body ...byte) []byte { return serialize(t, ip4(n), gopacket.Payload(body)) }
	next6 := func(n uint8, body ...byte) []byte { return serialize(t, ip6(n), gopacket.Payload(body)) }
	eth := func(typ int, body ...byte) []byte {
		// gopacket would pad it
		return append(append(make([]byte, 12), byte(typ>>8), byte(typ)), body...)
	}
	eth8023 := func(body ...byte) []byte {
		f := append(make([]byte, 14), body...)
		f[13] = byte(len(body))
		return f
	}
	var nested []byte
	for range 17 {
		h := outer4(4)
		if nested == nil {
			h = outer4(UDP)
		}
		nested = serialize(t, h, gopacket.Payload(nested))
	}
	tests := []struct {
		name   string
		link   capture.LinkType
		frame  []byte
		want   Result
		reason Reason
	}{
		{"link type", 147, udp4, Ignored, UnknownLink},
		{"nothing", capture.LinkRaw, nil, Malformed, LinkCut},
		{"nothing on ethernet", capture.LinkEthernet, nil, Malformed, LinkCut},
		{"arp", capture.LinkEthernet, eth(0x0806, make([]byte, 28)...), Ignored, NotARP},
		{"rarp", capture.LinkEthernet, eth(0x8035, make([]byte, 28)...), Ignored, NotARP},
		{"discovery", capture.LinkEthernet, eth(0x8863, 0x11, 9, 0, 0, 0, 0), Ignored, NotDiscovery},
		{"macsec", capture.LinkEthernet, eth(0x88e5, make([]byte, 30)...), Ignored, NotMACsec},
		{"lldp", capture.LinkEthernet, eth(0x88cc, make([]byte, 30)...), Ignored, NotType},
		{"spanning tree", capture.LinkEthernet, eth8023(0x42, 0x42, 3, 0, 0, 0, 0, 0), Ignored, NotLLC},
		{"snap with a length for a type", capture.LinkEthernet, eth8023(0xaa, 0xaa, 3, 0, 0, 0, 0, 9, 1), Ignored, NotLLC},
		{"snap of a vendor", capture.LinkEthernet, eth8023(0xaa, 0xaa, 3, 0, 0, 0xc, 8, 0, 0x45), Ignored, NotLLC},
		{"802.3 longer than its length", capture.LinkEthernet, append(append(make([]byte, 13), 3, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0), udp4...), Ignored, NotLLC},
		{"family", capture.LinkNull, append([]byte{7, 0, 0, 0}, udp4...), Ignored, NotType},
		{"lcp", capture.LinkEthernet, eth(0x8864, 0x11, 0, 0, 1, 0, 6, 0xc0, 0x21, 9, 1, 0, 4), Ignored, NotPPP},
		{"pppoe cut", capture.LinkEthernet, eth(0x8864, 0x11, 0, 0, 1, 0, 6), Malformed, PPPoECut},
		{"pppoe empty", capture.LinkEthernet, eth(0x8864, 0x11, 0, 0, 1, 0, 0, 0, 0x21), Malformed, PPPCut},
		{"pppoe half a protocol", capture.LinkEthernet, eth(0x8864, 0x11, 0, 0, 1, 0, 1, 0, 0x21), Malformed, PPPCut},
		{"pppoe version", capture.LinkEthernet, eth(0x8864, 0x21, 0, 0, 1, 0, 2, 0, 0x21), Malformed, PPPoEBad},
		{"pppoe code", capture.LinkEthernet, eth(0x8864, 0x11, 7, 0, 1, 0, 2, 0, 0x21), Malformed, PPPoEBad},
		{"vlan cut", capture.LinkEthernet, eth(0x8100, 0, 1, 8), Malformed, VLANCut},
		{"vlans without end", capture.LinkEthernet, eth(0x8100, bytes.Repeat([]byte{0, 1, 0x81, 0}, 17)...), Malformed, TooManyHeaders},
		{"mpls cut", capture.LinkEthernet, eth(0x8847, 0, 0, 0, 9, 0, 0, 1), Malformed, MPLSCut},
		{"mpls without end", capture.LinkEthernet, eth(0x8847, make([]byte, 68)...), Malformed, TooManyHeaders},
		{"mpls channel", capture.LinkEthernet, eth(0x8847, 0, 0, 1, 9, 0x10, 0, 0, 7, 1, 2, 3), Ignored, NotMPLS},
		{"mpls empty", capture.LinkEthernet, eth(0x8847, 0, 0, 1, 9), Ignored, NotMPLS},
		{"mpls and half an ip header", capture.LinkEthernet, eth(0x8847, 0, 0, 1, 9, 0x45, 0, 0), Malformed, IPv4Cut},
		{"version", capture.LinkRaw, patch(udp4, 0, 0x55), Malformed, VersionBad},
		{"version against the type", capture.LinkEthernet, eth(0x0800, udp6...), Malformed, IPv4Bad},
		{"version against the type 6", capture.LinkEthernet, eth(0x86dd, append(udp4, make([]byte, 20)...)...), Malformed, IPv6Bad},
		{"ipv4 header length", capture.LinkRaw, patch(udp4, 0, 0x44), Malformed, IPv4Bad},
		{"ipv4 options cut", capture.LinkRaw, patch(udp4, 0, 0x4f)[:40], Malformed, IPv4Cut},
		{"ipv4 length", capture.LinkRaw, patch(udp4, 2, 0, 19), Malformed, IPv4Length},
		{"icmp", capture.LinkRaw, proto4(1, 8, 0, 0, 0), Ignored, NotICMP},
		{"icmpv6", capture.LinkRaw, next6(58, 128, 0, 0, 0), Ignored, NotICMP},
		{"igmp", capture.LinkRaw, proto4(2, 8, 0, 0, 0), Ignored, NotIGMP},
		{"sctp", capture.LinkRaw, proto4(132, 8, 0, 0, 0), Ignored, NotSCTP},
		{"esp", capture.LinkRaw, next6(50, 8, 0, 0, 0), Opaque, NotESP},
		{"no next header", capture.LinkRaw, next6(59), Ignored, NoNextHeader},
		{"ospf", capture.LinkRaw, proto4(89), Ignored, NotUDPOrTCP},
		{"extension header in ipv4", capture.LinkRaw, proto4(60, 17, 0, 0, 0, 0, 0, 0, 0), Ignored, NotUDPOrTCP},
		{"fragment header in ipv4", capture.LinkRaw, proto4(44, 17, 0, 0, 0, 0, 0, 0, 0), Ignored, NotUDPOrTCP},
		{"extension cut", capture.LinkRaw, next6(0, 17, 0, 0, 0), Malformed, ExtensionCut},
		{"extension too long", capture.LinkRaw, next6(60, 17, 9, 0, 0, 0, 0, 0, 0), Malformed, ExtensionBad},
		{"extension just too long", capture.LinkRaw, next6(60, 17, 1, 0, 0, 0, 0, 0, 0), Malformed, ExtensionBad},
		{"fragment header cut", capture.LinkRaw, next6(44, 17, 9, 0, 0, 0, 0, 0), Malformed, ExtensionCut},
		{"authentication short", capture.LinkRaw, proto4(51, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), Malformed, ExtensionBad},
		{"authentication long", capture.LinkRaw, proto4(51, 17, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), Malformed, ExtensionBad},
		{"authentication cut", capture.LinkRaw, proto4(51, 17, 4, 0, 0), Malformed, ExtensionCut},
		{"extensions without end", capture.LinkRaw, next6(60, bytes.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 20)...), Malformed, TooManyHeaders},
		{"tunnels without end", capture.LinkRaw, nested, Malformed, TooManyHeaders},
		{"gre cut", capture.LinkRaw, proto4(47, 0, 0, 8), Malformed, GRECut},
		{"gre options cut", capture.LinkRaw, proto4(47, 0xb0, 0, 8, 0, 0, 0, 0, 0), Malformed, GRECut},
		{"gre source routes", capture.LinkRaw, proto4(47, 0x40, 0, 8, 0), Ignored, NotGRE},
		{"pptp cut", capture.LinkRaw, proto4(47, 0x30, 1, 0x88, 0x0b, 0, 4, 0, 9), Malformed, GRECut},
		{"pptp acknowledgement", capture.LinkRaw, proto4(47, 0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 9, 0, 0, 0, 1), Ignored, NotGRE},
		{"pptp of no length", capture.LinkRaw, proto4(47, 0x30, 1, 0x88, 0x0b, 0, 0, 0, 9, 0, 0, 0, 1, 0x21), Ignored, NotGRE},
		{"pptp without key", capture.LinkRaw, proto4(47, 0x10, 1, 0x88, 0x0b, 0, 4, 0, 9, 0, 0, 0, 1, 0x21), Ignored, NotGRE},
		{"pptp encrypted", capture.LinkRaw, proto4(47, 0x30, 1, 0x88, 0x0b, 0, 4, 0, 9, 0, 0, 0, 1, 0, 0xfd, 0x90, 1), Opaque, NotPPP},
		{"gre version 2", capture.LinkRaw, proto4(47, 0, 2, 8, 0, 0, 0, 0, 0), Ignored, NotGRE},
		{"gre version 1 with ip", capture.LinkRaw, proto4(47, 0x30, 1, 8, 0, 0, 4, 0, 9, 0, 0, 0, 1, 0x45), Ignored, NotGRE},
		{"gre ppp cut", capture.LinkRaw, proto4(47, 0, 0, 0x88, 0x0b, 0), Malformed, PPPCut},
		{"erspan 1 cut", capture.LinkRaw, proto4(47, 0, 0, 0x88, 0xbe, 0, 0, 0, 0), Malformed, LinkCut},
		{"erspan 2 cut", capture.LinkRaw, proto4(47, 0x10, 0, 0x88, 0xbe, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 0, 0), Malformed, GRECut},
		{"erspan 2 of another version", capture.LinkRaw, proto4(47, append([]byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 0, 0x20}, make([]byte, 40)...)...), Ignored, NotGRE},
		{"erspan 3 cut", capture.LinkRaw, proto4(47, append([]byte{0, 0, 0x22, 0xeb, 0x20}, make([]byte, 10)...)...), Malformed, GRECut},
		{"erspan 3 platform cut", capture.LinkRaw, proto4(47, append([]byte{0, 0, 0x22, 0xeb, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 7)...)...), Malformed, GRECut},
		{"erspan 3 of another version", capture.LinkRaw, proto4(47, append([]byte{0, 0, 0x22, 0xeb, 0x10}, make([]byte, 40)...)...), Ignored, NotGRE},
		{"erspan 3 of another frame", capture.LinkRaw, proto4(47, append([]byte{0, 0, 0x22, 0xeb, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0}, make([]byte, 40)...)...), Ignored, NotGRE},
		{"etherip cut", capture.LinkRaw, proto4(97, 0x30), Malformed, GRECut},
		{"etherip version", capture.LinkRaw, proto4(97, append([]byte{0x20, 0}, make([]byte, 20)...)...), Malformed, EtherIPBad},
		{"l2tp control", capture.LinkRaw, proto4(115, append(make([]byte, 4), udp4...)...), Ignored, NotL2TP},
		{"l2tp empty", capture.LinkRaw, proto4(115, 0, 0, 0), Ignored, NotL2TP},
		{"ppp cut", capture.LinkPPP, []byte{0xff, 3, 0}, Malformed, PPPCut},
		{"ppp direction cut", capture.LinkPPPDir, nil, Malformed, LinkCut},
		{"ppp pppd cut", capture.LinkPPPD, []byte{1}, Malformed, LinkCut},
		{"ppp compressed tcp", capture.LinkPPPHDLC, []byte{0xff, 3, 0, 0x2d, 0, 0}, Ignored, NotPPP},
		{"slarp", capture.LinkCiscoHDLC, append([]byte{0x8f, 0, 0x80, 0x35}, make([]byte, 18)...), Ignored, NotARP},
		{"cisco discovery", capture.LinkPPPHDLC, append([]byte{0x8f, 0, 0x20, 0}, make([]byte, 18)...), Ignored, NotType},
		{"cisco hdlc cut", capture.LinkPPPHDLC, []byte{0x0f, 0, 8}, Malformed, LinkCut},
		{"discovery without ethernet", capture.LinkPPPEther, []byte{0x11, 9, 0, 0, 0, 4, 1, 1, 0, 0}, Malformed, PPPoEBad},
		{"backbone cut", capture.LinkEthernet, eth(0x88e7, 0, 0, 1), Malformed, VLANCut},
		{"cooked llc", capture.LinkLinuxSLL, append([]byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0, 4}, 0x42, 0x42, 3), Ignored, NotLLC},
		{"udp cut", capture.LinkRaw, proto4(17, 1, 2, 3, 4, 0, 8, 0), Malformed, UDPCut},
		{"udp length", capture.LinkRaw, patch(udp4, 24, 0, 7), Malformed, UDPLength},
		{"tcp cut", capture.LinkRaw, proto4(6, make([]byte, 19)...), Malformed, TCPCut},
		{"tcp offset small", capture.LinkRaw, patch(tcp4, 32, 0x40), Malformed, TCPBad},
		{"tcp offset large", capture.LinkRaw, proto4(6, patch(make([]byte, 20), 12, 0xf0)...), Malformed, TCPBad},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d Decoder
			p := dirty()
			got := d.Frame(tt.link, tt.frame, uint32(len(tt.frame)), &p)
			var want Counters
			want[tt.reason] = 1
			if got != tt.want || d.Counters != want {
				t.Errorf("%v for %v, want %v for %q", got, named(&d.Counters), tt.want, tt.reason)
			}
		})
	}
}

// Lengths that do not fit are bent, counted, and never exceed the frame.
func TestBentLengths(t *testing.T) {
	udp4 := ipVariants[0].build(t, UDP, transport(t, UDP, message))
	udp6 := ipVariants[3].build(t, UDP, transport(t, UDP, message))
	pppoe := encapsulations[5].wrap(t, udp4, false)
	short := message[:len(message)-4]
	tests := []struct {
		name    string
		link    capture.LinkType
		frame   []byte
		payload []byte
		reason  Reason
	}{
		{"ipv4 zero", capture.LinkRaw, patch(udp4, 2, 0, 0), message, IPLengthZero},
		{"ipv4 long", capture.LinkRaw, patch(udp4, 2, 0xff, 0xff), message, IPLengthLong},
		{"ipv6 zero", capture.LinkRaw, patch(udp6, 4, 0, 0), message, IPLengthZero},
		{"ipv6 long", capture.LinkRaw, patch(udp6, 4, 0xff, 0xff), message, IPLengthLong},
		{"udp zero", capture.LinkRaw, patch(udp4, 24, 0, 0), message, UDPLengthZero},
		{"udp long", capture.LinkRaw, patch(udp4, 24, 0xff, 0xff), message, UDPLengthLong},
		{"udp short", capture.LinkRaw, patch(udp4, 24, 0, byte(8+len(short))), short, reasons},
		{"pppoe long", capture.LinkEthernet, patch(pppoe, 18, 0xff), message, PPPoELengthLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d Decoder
			var p Packet
			var want Counters
			if tt.reason < reasons {
				want[tt.reason] = 1
			}
			got := d.Frame(tt.link, tt.frame, uint32(len(tt.frame)), &p)
			if got != Datagram || !bytes.Equal(p.Payload, tt.payload) || p.Length != uint32(len(tt.payload)) || d.Counters != want {
				t.Errorf("%v, payload %q, length %d, counters %v", got, p.Payload, p.Length, named(&d.Counters))
			}
		})
	}
}

// A length on the wire beyond belief is not believed.
func TestWireBeyondBelief(t *testing.T) {
	udp4 := patch(ipVariants[0].build(t, UDP, patch(transport(t, UDP, message), 4, 0, 0)), 2, 0, 0)
	var d Decoder
	var p Packet
	if r := d.Frame(capture.LinkRaw, udp4, 0xffffffff, &p); r != Datagram || p.Length != maxWire-28 {
		t.Fatalf("%v, length %d", r, p.Length)
	}
}

// What only resembles a tunnel stays the datagram it is.
func TestNotQuiteTunnels(t *testing.T) {
	udp4 := ipVariants[0].build(t, UDP, transport(t, UDP, message))
	udp6 := ipVariants[3].build(t, UDP, transport(t, UDP, message))
	gtpu := func(h []byte) []byte { return append(h, udp4...) }
	n := len(udp4)
	vxlanHeader := []byte{8, 0, 0, 0, 0, 0, 42, 0}
	vx := append(append([]byte(nil), vxlanHeader...), etherFrame(t, udp4, false)...)
	tests := []struct {
		name    string
		port    layers.UDPPort
		payload []byte
		tunnel  bool
	}{
		{"gtp", 2152, gtpu(gtpHeader(0, nil, n)), true},
		{"gtp with bytes behind", 2152, append(gtpu(gtpHeader(0, nil, n)), 1, 2, 3), true},
		{"gtp on another port", 2153, gtpu(gtpHeader(0, nil, n)), false},
		{"gtp echo", 2152, patch(gtpu(gtpHeader(0, nil, n)), 1, 1), false},
		{"gtp version 2", 2152, patch(gtpu(gtpHeader(0, nil, n)), 0, 0x50), false},
		{"gtp prime", 2152, patch(gtpu(gtpHeader(0, nil, n)), 0, 0x20), false},
		{"gtp length beyond", 2152, gtpu(gtpHeader(0, nil, n+1)), false},
		{"gtp length short", 2152, gtpu(gtpHeader(0, nil, n-1)), false},
		{"gtp extension of no length", 2152, gtpu(gtpHeader(4, []byte{0, 0, 0, 0x85, 0, 0, 0, 0}, n)), false},
		{"gtp extension beyond", 2152, gtpu(gtpHeader(4, []byte{0, 0, 0, 0x85, 255, 0, 0, 0}, n)), false},
		{"gtp extension missing", 2152, gtpHeader(4, []byte{0, 0, 0, 0x85}, 0), false},
		{"gtp options missing", 2152, gtpHeader(4, []byte{0, 0}, 0), false},
		{"gtp ipv6", 2152, append(gtpHeader(0, nil, len(udp6)), udp6...), true},
		{"gtp ipv6 length short", 2152, append(gtpHeader(0, nil, len(udp6)-1), udp6...), false},
		{"gtp inner version", 2152, patch(gtpu(gtpHeader(0, nil, n)), 8, 0x55), false},
		{"gtp inner header", 2152, patch(gtpu(gtpHeader(0, nil, n)), 8, 0x41), false},
		{"gtp empty", 2152, gtpHeader(0, nil, 0), false},
		{"gtp nothing", 2152, nil, false},
		{"vxlan", 4789, vx, true},
		{"vxlan without flag", 4789, patch(vx, 0, 0), false},
		{"vxlan reserved flags", 4789, patch(vx, 0, 0x0c), true},
		{"vxlan reserved flags, nothing sound inside", 4789, patch(patch(vx, 0, 0x0c), 32, 1, 2), false},
		{"vxlan reserved", 4789, patch(vx, 2, 1, 1, 2, 3, 4), true},
		{"vxlan reserved, nothing sound inside", 4789, patch(patch(vx, 2, 1), 32, 1, 2), false},
		{"vxlan reserved last, nothing sound inside", 4789, patch(patch(vx, 7, 1), 32, 1, 2), false},
		{"vxlan on another port", 4788, vx, false},
		{"vxlan short", 4789, vx[:21], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame := serialize(t, outer4(UDP), &layers.UDP{SrcPort: 9, DstPort: tt.port}, gopacket.Payload(tt.payload))
			var d Decoder
			p := dirty()
			if r := d.Frame(capture.LinkRaw, frame, uint32(len(frame)), &p); r != Datagram {
				t.Fatal(r, named(&d.Counters))
			}
			want := Access{}
			payload, dst := tt.payload, uint16(tt.port)
			if tt.tunnel {
				want = through4(1)
				if tt.port == 2152 {
					want.TEID = 0xcafebabe
				}
				payload, dst = message, dstPort
			}
			if p.Access != want || !bytes.Equal(p.Payload, payload) || p.DstPort != dst {
				t.Errorf("port %d, payload %q, access %+v", p.DstPort, p.Payload, p.Access)
			}
		})
	}
}

func TestFragmentFields(t *testing.T) {
	body := transport(t, UDP, bytes.Repeat(message, 4))
	var d Decoder
	for _, v6 := range []bool{false, true} {
		split := split4(nil)
		if v6 {
			split = split6()
		}
		for i, ip := range split(t, UDP, body, 0xbeef, 48) {
			p := dirty()
			if r := d.Frame(capture.LinkRaw, ip, uint32(len(ip)), &p); r != Fragment {
				t.Fatal(r)
			}
			want := Frag{ID: 0xbeef, More: true, V6: v6, Proto: UDP, Headers: 2, Length: 48, Data: body[:48]}
			if v6 {
				want.Headers = 3
			}
			if i == 1 {
				want.Offset, want.More, want.Length, want.Data = 48, false, uint32(len(body)-48), body[48:]
			}
			if diff := cmp.Diff(want, p.Frag); diff != "" {
				t.Errorf("ipv6 %v, fragment %d: -want +got\n%s", v6, i, diff)
			}
			if p.Payload != nil || p.Length != 0 || p.SrcPort != 0 || p.TTL != hops {
				t.Errorf("left over: %+v", p)
			}
		}
	}
}

// The limit on headers holds over reassembly.
func TestResumeCountsHeaders(t *testing.T) {
	var d Decoder
	p := Packet{Frag: Frag{Proto: UDP, Headers: maxHeaders}}
	if r := d.Resume(transport(t, UDP, message), &p); r != Malformed || d.Counters[TooManyHeaders] != 1 {
		t.Fatal(r, named(&d.Counters))
	}
	p.Frag.Headers--
	if r := d.Resume(transport(t, UDP, message), &p); r != Datagram {
		t.Fatal(r)
	}
}

func TestFrameAllocatesNothing(t *testing.T) {
	for _, e := range encapsulations {
		frame := e.wrap(t, ipVariants[3*min(e.only/6, 1)].build(t, UDP, transport(t, UDP, message)), e.only == 6)
		var d Decoder
		var p Packet
		if n := testing.AllocsPerRun(100, func() {
			if d.Frame(e.link, frame, uint32(len(frame)), &p) != Datagram {
				t.Fatal(e.name)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", e.name, n)
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, e := range encapsulations {
		for _, i := range []int{0, 4} {
			v := ipVariants[i]
			frame := e.wrap(f, v.build(f, UDP, transport(f, UDP, message)), v.v6)
			f.Add(uint16(e.link), uint32(len(frame)), frame)
			frame = e.wrap(f, v.split(f, TCP, transport(f, TCP, message), 1, 8)[0], v.v6)
			f.Add(uint16(e.link), uint32(len(frame)+10), frame)
		}
	}
	links := []capture.LinkType{0, 1, 9, 12, 14, 50, 51, 101, 104, 108, 113, 166, 204, 228, 229, 276}
	f.Fuzz(func(t *testing.T, link uint16, wire uint32, data []byte) {
		// The given link first, then all others: most mutations of the
		// number would be link types that are not decoded.
		for _, l := range append(links, capture.LinkType(link)) {
			var d Decoder
			p := dirty()
			r := d.Frame(l, data, wire, &p)
			checkFrame(t, r, &p, data, wire)
			if r == Fragment {
				whole := append([]byte(nil), p.Frag.Data...)
				r = d.Resume(whole, &p)
				checkFrame(t, r, &p, whole, 0)
			}
		}
	})
}

func TestReasons(t *testing.T) {
	seen := map[string]Reason{}
	for r := range reasons {
		s := r.String()
		if other, ok := seen[s]; ok || s == "" {
			t.Errorf("reasons %d and %d are both %q", other, r, s)
		}
		seen[s] = r
	}
	for r, want := range map[Reason]bool{UnknownLink: true, NotARP: false, NotUDPOrTCP: false, LinkCut: true, TooManyHeaders: true,
		FragmentEmpty: true, GapEnd: true, IPLengthZero: false, StreamIdle: false} {
		if r.Loss() != want {
			t.Errorf("%q is a loss: %v", r, !want)
		}
	}
	var a, b Counters
	a[NotARP], b[NotARP], b[StreamIdle] = 1, 2, 3
	a.Merge(&b)
	if a[NotARP] != 3 || a[StreamIdle] != 3 {
		t.Error(named(&a))
	}
}

// What a reader calls decoded is what is decoded here.
func TestLinkTypes(t *testing.T) {
	for n := range 1 << 16 {
		var d Decoder
		var p Packet
		link := capture.LinkType(n)
		d.Frame(link, nil, 0, &p)
		if known := d.Counters[UnknownLink] == 0; known != link.Decoded() {
			t.Errorf("link type %d: decoded %v, said to be %v", n, known, link.Decoded())
		}
	}
}
