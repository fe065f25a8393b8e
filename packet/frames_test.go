package packet

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"simtrap/capture"
	"simtrap/ident"
)

// The innermost packet of all built frames: who talks to whom, and what.
var (
	inner4Src = net.IP{10, 1, 2, 3}
	inner4Dst = net.IP{198, 51, 100, 7}
	inner6Src = net.ParseIP("2001:db8:1::5")
	inner6Dst = net.ParseIP("2001:db8:2::9")
	outer4Src = net.IP{192, 0, 2, 1}
	outer4Dst = net.IP{192, 0, 2, 2}
	outer6Src = net.ParseIP("2001:db8:ffff::1")
	outer6Dst = net.ParseIP("2001:db8:ffff::2")
	macs      = layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
)

const (
	srcPort = 40000
	dstPort = 5060
	hops    = 57
	tcpSeq  = 0x12345678
	tcpAck  = 0x9abcdef0
)

func addr(ip net.IP) ident.Addr {
	if ip4 := ip.To4(); ip4 != nil {
		return ident.AddrFrom4(ip4)
	}
	return ident.AddrFrom16(ip)
}

func serialize(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, l := range ls {
		if ip, ok := l.(*layers.IPv4); ok {
			sumIPv4(b.Bytes()[at:])
			at += 4 * int(ip.IHL)
			continue
		}
		at += map[gopacket.LayerType]int{
			layers.LayerTypeEthernet: 14, layers.LayerTypeDot1Q: 4, layers.LayerTypeIPv6: 40, layers.LayerTypeUDP: 8,
			layers.LayerTypeVXLAN: 8, layers.LayerTypeGTPv1U: 8, layers.LayerTypeMPLS: 4,
		}[l.LayerType()]
		if p, ok := l.(gopacket.Payload); ok {
			at += len(p)
		}
	}
	return b.Bytes()
}

// sumIPv4 writes the checksum of the IPv4 header that b begins with.
func sumIPv4(b []byte) {
	b[10], b[11] = 0, 0
	sum := 0
	for i := 0; i < 4*int(b[0]&15); i += 2 {
		sum += int(b[i])<<8 | int(b[i+1])
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
}

// transport builds a UDP datagram or a TCP segment with payload.
func transport(t testing.TB, proto uint8, payload []byte) []byte {
	if proto == UDP {
		return serialize(t, &layers.UDP{SrcPort: srcPort, DstPort: dstPort}, gopacket.Payload(payload))
	}
	return serialize(t, &layers.TCP{
		SrcPort: srcPort, DstPort: dstPort, Seq: tcpSeq, Ack: tcpAck, ACK: true, PSH: true, Window: 1000,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}},
	}, gopacket.Payload(payload))
}

// ipVariant is one way to write the innermost IP header around a transport.
type ipVariant struct {
	name  string
	v6    bool
	build func(t testing.TB, proto uint8, body []byte) []byte
	// split, where there is one, cuts body into fragments at the given offsets.
	split func(t testing.TB, proto uint8, body []byte, id uint32, at ...int) [][]byte
}

func ip4(proto uint8) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: hops, Protocol: layers.IPProtocol(proto), SrcIP: inner4Src, DstIP: inner4Dst, Id: 77}
}

func ip6(next uint8) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: hops, NextHeader: layers.IPProtocol(next), SrcIP: inner6Src, DstIP: inner6Dst}
}

func split4(options []layers.IPv4Option) func(testing.TB, uint8, []byte, uint32, ...int) [][]byte {
	return func(t testing.TB, proto uint8, body []byte, id uint32, at ...int) (out [][]byte) {
		from := 0
		for _, to := range append(at, len(body)) {
			h := ip4(proto)
			h.Id, h.FragOffset, h.Options = uint16(id), uint16(from/8), options
			if to < len(body) {
				h.Flags = layers.IPv4MoreFragments
			}
			out = append(out, serialize(t, h, gopacket.Payload(body[from:to])))
			from = to
		}
		return out
	}
}

func split6(before ...byte) func(testing.TB, uint8, []byte, uint32, ...int) [][]byte {
	return func(t testing.TB, proto uint8, body []byte, id uint32, at ...int) (out [][]byte) {
		from := 0
		for _, to := range append(at, len(body)) {
			h := fragmentHeader(proto, from, to < len(body), id)
			next := uint8(44)
			if len(before) > 0 {
				next = 0
			}
			out = append(out, serialize(t, ip6(next), gopacket.Payload(before), gopacket.Payload(h), gopacket.Payload(body[from:to])))
			from = to
		}
		return out
	}
}

func fragmentHeader(next uint8, offset int, more bool, id uint32) []byte {
	h := make([]byte, 8)
	h[0] = next
	binary.BigEndian.PutUint16(h[2:], uint16(offset))
	if more {
		h[3] |= 1
	}
	binary.BigEndian.PutUint32(h[4:], id)
	return h
}

// options6 is a hop-by-hop header, destination options of 16 bytes and a
// routing header, leading to next.
func options6(next uint8) []byte {
	return append(append([]byte{60, 0, 1, 4, 0, 0, 0, 0},
		43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		next, 0, 253, 0, 0, 0, 0, 0)
}

func authHeader(next uint8) []byte {
	return append([]byte{next, 4}, make([]byte, 22)...)
}

var ipVariants = []ipVariant{
	{name: "ipv4", build: func(t testing.TB, proto uint8, body []byte) []byte {
		return serialize(t, ip4(proto), gopacket.Payload(body))
	}, split: split4(nil)},
	{name: "ipv4 options", build: func(t testing.TB, proto uint8, body []byte) []byte {
		h := ip4(proto)
		h.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		return serialize(t, h, gopacket.Payload(body))
	}, split: split4([]layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}})},
	{name: "ipv4 authenticated", build: func(t testing.TB, proto uint8, body []byte) []byte {
		return serialize(t, ip4(51), gopacket.Payload(authHeader(proto)), gopacket.Payload(body))
	}},
	{name: "ipv6", v6: true, build: func(t testing.TB, proto uint8, body []byte) []byte {
		return serialize(t, ip6(proto), gopacket.Payload(body))
	}, split: split6()},
	{name: "ipv6 options", v6: true, build: func(t testing.TB, proto uint8, body []byte) []byte {
		return serialize(t, ip6(0), gopacket.Payload(options6(proto)), gopacket.Payload(body))
	}, split: split6(44, 0, 1, 4, 0, 0, 0, 0)},
	{name: "ipv6 authenticated", v6: true, build: func(t testing.TB, proto uint8, body []byte) []byte {
		return serialize(t, ip6(51), gopacket.Payload(authHeader(proto)), gopacket.Payload(body))
	}},
	{name: "ipv6 atomic fragment", v6: true, build: func(t testing.TB, proto uint8, body []byte) []byte {
		return serialize(t, ip6(44), gopacket.Payload(fragmentHeader(proto, 0, false, 9)), gopacket.Payload(body))
	}},
}

// encapsulation is one way from an IP packet to a frame.
type encapsulation struct {
	name   string
	link   capture.LinkType
	only   int // 4 or 6 when it carries one version only
	access Access
	wrap   func(t testing.TB, ip []byte, v6 bool) []byte
}

func etherTypeOf(v6 bool) layers.EthernetType {
	if v6 {
		return layers.EthernetTypeIPv6
	}
	return layers.EthernetTypeIPv4
}

func ether(typ layers.EthernetType) *layers.Ethernet {
	e := macs
	e.EthernetType = typ
	return &e
}

func etherFrame(t testing.TB, ip []byte, v6 bool) []byte {
	return serialize(t, ether(etherTypeOf(v6)), gopacket.Payload(ip))
}

func outer4(proto uint8) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 9, Protocol: layers.IPProtocol(proto), SrcIP: outer4Src, DstIP: outer4Dst}
}

func outer6(proto uint8) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: layers.IPProtocol(proto), SrcIP: outer6Src, DstIP: outer6Dst}
}

func pppProtocol(v6 bool) []byte {
	if v6 {
		return []byte{0, 0x57}
	}
	return []byte{0, 0x21}
}

func pppoeSession(body int) []byte {
	h := []byte{0x11, 0, 0x12, 0x34, 0, 0}
	binary.BigEndian.PutUint16(h[4:], uint16(body))
	return h
}

func label(bottom bool) *layers.MPLS {
	return &layers.MPLS{Label: 1000, StackBottom: bottom, TTL: 3}
}

func through4(n int) Access {
	return Access{Tunnel: uint8(n), OuterSrc: addr(outer4Src), OuterDst: addr(outer4Dst)}
}

func through6(n int) Access {
	return Access{Tunnel: uint8(n), OuterSrc: addr(outer6Src), OuterDst: addr(outer6Dst)}
}

func with(a Access, f func(*Access)) Access { f(&a); return a }

func gtpHeader(flags byte, extra []byte, body int) []byte {
	h := []byte{0x30 | flags, 255, 0, 0, 0xca, 0xfe, 0xba, 0xbe}
	binary.BigEndian.PutUint16(h[2:], uint16(len(extra)+body))
	return append(h, extra...)
}

func fourByteFamily(order binary.ByteOrder, v6 bool) []byte {
	f := make([]byte, 4)
	order.PutUint32(f, 2)
	if v6 {
		order.PutUint32(f, 30)
	}
	return f
}

func prefixed(prefix []byte) func(t testing.TB, ip []byte, v6 bool) []byte {
	return func(_ testing.TB, ip []byte, _ bool) []byte { return append(append([]byte(nil), prefix...), ip...) }
}

var encapsulations = []encapsulation{
	{name: "ethernet", link: capture.LinkEthernet, wrap: etherFrame},
	{name: "vlan", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{100}},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 100, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "priority tag", link: capture.LinkEthernet,
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{Priority: 5, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "qinq", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{100, 200}},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeQinQ), &layers.Dot1Q{VLANIdentifier: 100, Type: layers.EthernetTypeDot1Q},
				&layers.Dot1Q{VLANIdentifier: 200, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "three tags", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{100, 200}},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(0x9100), &layers.Dot1Q{VLANIdentifier: 100, Type: layers.EthernetTypeDot1Q},
				&layers.Dot1Q{VLANIdentifier: 200, Type: layers.EthernetTypeDot1Q},
				&layers.Dot1Q{VLANIdentifier: 300, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "pppoe", link: capture.LinkEthernet, access: Access{Session: 0x1234},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			body := append(pppProtocol(v6), ip...)
			return serialize(t, ether(layers.EthernetTypePPPoESession), gopacket.Payload(pppoeSession(len(body))), gopacket.Payload(body))
		}},
	{name: "pppoe compressed", link: capture.LinkEthernet, access: Access{Session: 0x1234},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			body := append(pppProtocol(v6)[1:], ip...)
			return serialize(t, ether(layers.EthernetTypePPPoESession), gopacket.Payload(pppoeSession(len(body))), gopacket.Payload(body))
		}},
	{name: "qinq pppoe", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{100, 200}, Session: 0x1234},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			body := append(pppProtocol(v6), ip...)
			return serialize(t, ether(layers.EthernetTypeQinQ), &layers.Dot1Q{VLANIdentifier: 100, Type: layers.EthernetTypeDot1Q},
				&layers.Dot1Q{VLANIdentifier: 200, Type: layers.EthernetTypePPPoESession},
				gopacket.Payload(pppoeSession(len(body))), gopacket.Payload(body))
		}},
	{name: "pppoe mpls", link: capture.LinkEthernet, access: Access{Session: 0x1234},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			body := serialize(t, gopacket.Payload{2, 0x81}, label(true), gopacket.Payload(ip))
			return serialize(t, ether(layers.EthernetTypePPPoESession), gopacket.Payload(pppoeSession(len(body))), gopacket.Payload(body))
		}},
	{name: "mpls", link: capture.LinkEthernet,
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeMPLSUnicast), label(true), gopacket.Payload(ip))
		}},
	{name: "mpls three labels", link: capture.LinkEthernet,
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeMPLSMulticast), label(false), label(false), label(true), gopacket.Payload(ip))
		}},
	{name: "mpls pseudowire", link: capture.LinkEthernet,
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeMPLSUnicast), label(true), gopacket.Payload(etherFrame(t, ip, v6)))
		}},
	{name: "mpls pseudowire control word", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{300}},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeMPLSUnicast), label(true), gopacket.Payload{0, 0, 0, 0},
				ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 300, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "snap", link: capture.LinkEthernet,
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			head := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 0, 0}
			binary.BigEndian.PutUint16(head[12:], uint16(8+len(ip)))
			binary.BigEndian.PutUint16(head[20:], uint16(etherTypeOf(v6)))
			return append(head, ip...)
		}},
	{name: "raw", link: capture.LinkRaw, wrap: prefixed(nil)},
	{name: "raw old", link: capture.LinkRawOld, wrap: prefixed(nil)},
	{name: "raw open", link: capture.LinkRawOpen, wrap: prefixed(nil)},
	{name: "link ipv4", link: capture.LinkIPv4, only: 4, wrap: prefixed(nil)},
	{name: "link ipv6", link: capture.LinkIPv6, only: 6, wrap: prefixed(nil)},
	{name: "null little", link: capture.LinkNull, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return append(fourByteFamily(binary.LittleEndian, v6), ip...)
	}},
	{name: "null big", link: capture.LinkNull, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return append(fourByteFamily(binary.BigEndian, v6), ip...)
	}},
	{name: "loop", link: capture.LinkLoop, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return append(fourByteFamily(binary.BigEndian, v6), ip...)
	}},
	{name: "cooked", link: capture.LinkLinuxSLL, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		h := []byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(h[14:], uint16(etherTypeOf(v6)))
		return append(h, ip...)
	}},
	{name: "cooked vlan", link: capture.LinkLinuxSLL, access: Access{VLAN: [2]uint16{7}}, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		h := []byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x81, 0, 0, 7, 0, 0}
		binary.BigEndian.PutUint16(h[18:], uint16(etherTypeOf(v6)))
		return append(h, ip...)
	}},
	{name: "cooked v2", link: capture.LinkLinuxSLL2, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		h := append(make([]byte, 4), 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0)
		binary.BigEndian.PutUint16(h, uint16(etherTypeOf(v6)))
		return append(h, ip...)
	}},
	{name: "in ipv4", link: capture.LinkEthernet, access: through4(1),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			proto := uint8(4)
			if v6 {
				proto = 41
			}
			return serialize(t, ether(layers.EthernetTypeIPv4), outer4(proto), gopacket.Payload(ip))
		}},
	{name: "in ipv6", link: capture.LinkEthernet, access: through6(1),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			proto := uint8(4)
			if v6 {
				proto = 41
			}
			return serialize(t, ether(layers.EthernetTypeIPv6), outer6(proto), gopacket.Payload(ip))
		}},
	{name: "mpls in ipv4", link: capture.LinkEthernet, access: through4(1),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv4), outer4(137), label(true), gopacket.Payload(ip))
		}},
	{name: "gre", link: capture.LinkEthernet, access: through4(1),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv4), outer4(47), &layers.GRE{Protocol: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "gre with everything over ipv6", link: capture.LinkEthernet, access: through6(1),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv6), outer6(47),
				&layers.GRE{Protocol: etherTypeOf(v6), ChecksumPresent: true, KeyPresent: true, SeqPresent: true, Key: 5, Seq: 6}, gopacket.Payload(ip))
		}},
	{name: "gre ethernet", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.VLAN[0] = 55 }),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv4), outer4(47), &layers.GRE{Protocol: layers.EthernetTypeTransparentEthernetBridging, KeyPresent: true},
				ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 55, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "gtp", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.TEID = 0xcafebabe }),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv4), outer4(17), &layers.UDP{SrcPort: 2152, DstPort: 2152},
				&layers.GTPv1U{Version: 1, ProtocolType: 1, MessageType: 255, MessageLength: uint16(len(ip)), TEID: 0xcafebabe}, gopacket.Payload(ip))
		}},
	{name: "gtp sequence", link: capture.LinkEthernet, access: with(through6(1), func(a *Access) { a.TEID = 0xcafebabe }),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv6), outer6(17), &layers.UDP{SrcPort: 31000, DstPort: 2152},
				gopacket.Payload(gtpHeader(2, []byte{0, 9, 0, 0x85}, len(ip))), gopacket.Payload(ip))
		}},
	{name: "gtp extensions", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.TEID = 0xcafebabe; a.VLAN[0] = 9 }),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			extra := []byte{0, 9, 0, 0x85, 1, 0, 9, 0xc0, 2, 0, 0, 0, 0, 0, 0, 0}
			return serialize(t, ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 9, Type: layers.EthernetTypeIPv4}, outer4(17), &layers.UDP{SrcPort: 2152, DstPort: 2152},
				gopacket.Payload(gtpHeader(4, extra, len(ip))), gopacket.Payload(ip))
		}},
	{name: "vxlan", link: capture.LinkEthernet, access: through4(1),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv4), outer4(17), &layers.UDP{SrcPort: 50000, DstPort: 4789},
				&layers.VXLAN{ValidIDFlag: true, VNI: 42}, ether(etherTypeOf(v6)), gopacket.Payload(ip))
		}},
	{name: "vxlan policy", link: capture.LinkEthernet, access: through6(1),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeIPv6), outer6(17), &layers.UDP{SrcPort: 50000, DstPort: 4789},
				&layers.VXLAN{ValidIDFlag: true, VNI: 42, GBPExtension: true, GBPGroupPolicyID: 3}, ether(etherTypeOf(v6)), gopacket.Payload(ip))
		}},
	{name: "vxlan gre ipip", link: capture.LinkEthernet, access: through4(3),
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			proto := uint8(4)
			if v6 {
				proto = 41
			}
			return serialize(t, ether(layers.EthernetTypeIPv4), outer4(17), &layers.UDP{SrcPort: 50000, DstPort: 4789},
				&layers.VXLAN{ValidIDFlag: true, VNI: 42}, ether(layers.EthernetTypeIPv6), outer6(47),
				&layers.GRE{Protocol: layers.EthernetTypeIPv6}, outer6(proto), gopacket.Payload(ip))
		}},
	{name: "qinq 9200", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{100, 200}},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(0x9200), &layers.Dot1Q{VLANIdentifier: 100, Type: 0x9100},
				&layers.Dot1Q{VLANIdentifier: 200, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "virtual interface tag", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{100, 200}},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 100, Type: 0x8926}, gopacket.Payload{0, 1, 0, 2, 0x81, 0},
				&layers.Dot1Q{VLANIdentifier: 200, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "backbone", link: capture.LinkEthernet, access: Access{VLAN: [2]uint16{100, 200}},
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			return serialize(t, ether(layers.EthernetTypeQinQ), &layers.Dot1Q{VLANIdentifier: 100, Type: 0x88e7}, gopacket.Payload{0, 0, 0, 7},
				ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 200, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "802.1h", link: capture.LinkEthernet, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return lengthFrame(append(typed([]byte{0xaa, 0xaa, 3, 0, 0, 0xf8}, v6), ip...))
	}},
	{name: "llc", link: capture.LinkEthernet, only: 4, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return lengthFrame(append([]byte{6, 6, 3}, ip...))
	}},
	{name: "cooked llc", link: capture.LinkLinuxSLL, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return append(typed([]byte{0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0xaa, 0xaa, 3, 0, 0, 0}, v6), ip...)
	}},
	{name: "mpls pseudowire like ip", link: capture.LinkEthernet,
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			e := ether(etherTypeOf(v6))
			e.DstMAC = net.HardwareAddr{0x46, 0, 0, 0x18, 1, 2} // IPv4 of 24 bytes
			return serialize(t, ether(layers.EthernetTypeMPLSUnicast), label(true), e, gopacket.Payload(ip))
		}},
	{name: "mpls pseudowire like a control word", link: capture.LinkEthernet,
		wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
			e := ether(layers.EthernetTypeDot1Q)
			return serialize(t, ether(layers.EthernetTypeMPLSUnicast), label(true), e, &layers.Dot1Q{Priority: 5, Type: etherTypeOf(v6)}, gopacket.Payload(ip))
		}},
	{name: "ppp", link: capture.LinkPPP, wrap: func(t testing.TB, ip []byte, v6 bool) []byte { return append(pppProtocol(v6), ip...) }},
	{name: "ppp compressed", link: capture.LinkPPP, wrap: func(t testing.TB, ip []byte, v6 bool) []byte { return append(pppProtocol(v6)[1:], ip...) }},
	{name: "ppp framed", link: capture.LinkPPP, wrap: framed(0xff, 3)},
	{name: "ppp hdlc", link: capture.LinkPPPHDLC, wrap: framed(0xff, 3)},
	{name: "ppp hdlc cisco", link: capture.LinkPPPHDLC, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return append(typed([]byte{0x8f, 0}, v6), ip...)
	}},
	{name: "cisco hdlc", link: capture.LinkCiscoHDLC, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return append(typed([]byte{0x0f, 0}, v6), ip...)
	}},
	{name: "ppp direction", link: capture.LinkPPPDir, wrap: framed(1, 0xff, 3)},
	{name: "ppp direction bare", link: capture.LinkPPPDir, wrap: framed(0)},
	{name: "pppd", link: capture.LinkPPPD, wrap: framed(0, 3)},
	{name: "pppoe alone", link: capture.LinkPPPEther, access: Access{Session: 0x1234}, wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		body := append(pppProtocol(v6), ip...)
		return append(pppoeSession(len(body)), body...)
	}},
	{name: "pptp", link: capture.LinkEthernet, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append(pptpHeader(0x3081, 4+len(ip), 0, 0, 0, 7, 0, 0, 0, 8, 0xff, 3), append(pppProtocol(v6), ip...)...)
	})},
	{name: "pptp compressed", link: capture.LinkEthernet, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append(pptpHeader(0x3001, 1+len(ip), 0, 0, 0, 7), append(pppProtocol(v6)[1:], ip...)...)
	})},
	{name: "gre ppp", link: capture.LinkEthernet, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append([]byte{0, 0, 0x88, 0x0b}, append(pppProtocol(v6), ip...)...)
	})},
	{name: "erspan 1", link: capture.LinkEthernet, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append([]byte{0, 0, 0x88, 0xbe}, innerFrame(ip, v6)...)
	})},
	{name: "erspan 2", link: capture.LinkEthernet, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append([]byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 9, 0x10, 100, 0x18, 1, 0, 0, 0, 7}, innerFrame(ip, v6)...)
	})},
	{name: "erspan 3", link: capture.LinkEthernet, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append([]byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 9, 0x20, 100, 0, 1, 1, 2, 3, 4, 0, 0, 0x83, 0xfe}, innerFrame(ip, v6)...)
	})},
	{name: "erspan 3 ip with platform", link: capture.LinkEthernet, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append([]byte{0x10, 0, 0x22, 0xeb, 0, 0, 0, 9, 0x20, 100, 0, 1, 1, 2, 3, 4, 0, 0, 8, 1, 0x0c, 1, 2, 3, 4, 5, 6, 7}, ip...)
	})},
	{name: "segment routing ethernet", link: capture.LinkEthernet, access: through6(1), wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		return serialize(t, ether(layers.EthernetTypeIPv6), outer6(43), gopacket.Payload{143, 2, 4, 0, 0, 0, 0, 0}, gopacket.Payload(inner6Dst),
			gopacket.Payload(innerFrame(ip, v6)))
	}},
	{name: "segment routing ip", link: capture.LinkEthernet, access: through6(1), wrap: func(t testing.TB, ip []byte, v6 bool) []byte {
		next := byte(4)
		if v6 {
			next = 41
		}
		return serialize(t, ether(layers.EthernetTypeIPv6), outer6(43), gopacket.Payload{next, 2, 4, 0, 0, 0, 0, 0}, gopacket.Payload(inner6Dst), gopacket.Payload(ip))
	}},
	{name: "etherip", link: capture.LinkEthernet, access: through4(1), wrap: overIP(97, func(ip []byte, v6 bool) []byte {
		return append([]byte{0x30, 0}, innerFrame(ip, v6)...)
	})},
	{name: "gtp from its port", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.TEID = 0xcafebabe }),
		wrap: overUDP(2152, 1024, func(ip []byte, v6 bool) []byte { return append(gtpHeader(0, nil, len(ip)), ip...) })},
	{name: "vxlan reserved bits", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(1, 4789, func(ip []byte, v6 bool) []byte {
		return append([]byte{8, 8, 0x7f, 0x7f, 0, 1, 2, 0}, innerFrame(ip, v6)...)
	})},
	{name: "gre wccp", link: capture.LinkEthernet, only: 4, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append([]byte{0, 0, 0x88, 0x3e, 0, 1, 2, 3}, ip...)
	})},
	{name: "gre wccp 1", link: capture.LinkEthernet, only: 4, access: through4(1), wrap: overIP(47, func(ip []byte, v6 bool) []byte {
		return append([]byte{0, 0, 0x88, 0x3e}, ip...)
	})},
	{name: "gre over udp", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(60000, 4754, func(ip []byte, v6 bool) []byte {
		return append(append(typed([]byte{0xb0, 0}, v6), 1, 2, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8), ip...)
	})},
	{name: "mpls over udp", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(60000, 6635, func(ip []byte, v6 bool) []byte {
		return append([]byte{1, 2, 0x30, 9, 1, 2, 0x31, 9}, ip...)
	})},
	{name: "vxlan gpe ip", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(1, 4790, func(ip []byte, v6 bool) []byte {
		return append([]byte{0x0c, 0, 0, ip[0]>>4/2 - 1, 0, 1, 2, 0}, ip...) // 1 for version 4, 2 for version 6
	})},
	{name: "vxlan gpe ethernet", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(1, 4790, func(ip []byte, v6 bool) []byte {
		return append([]byte{0x0c, 0, 0, 3, 0, 1, 2, 0}, innerFrame(ip, v6)...)
	})},
	{name: "vxlan gpe mpls", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(1, 4790, func(ip []byte, v6 bool) []byte {
		return append([]byte{0x0c, 0, 0, 5, 0, 1, 2, 0, 0, 1, 1, 9}, ip...)
	})},
	{name: "geneve ethernet", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(1, 6081, func(ip []byte, v6 bool) []byte {
		return append([]byte{0, 0, 0x65, 0x58, 0, 1, 2, 0}, innerFrame(ip, v6)...)
	})},
	{name: "geneve options", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(1, 6081, func(ip []byte, v6 bool) []byte {
		return append(append(typed([]byte{4, 0x40}, v6), 0, 1, 2, 0, 1, 3, 0x80, 2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 1, 0), ip...)
	})},
	{name: "geneve mpls", link: capture.LinkEthernet, access: through4(1), wrap: overUDP(1, 6081, func(ip []byte, v6 bool) []byte {
		return append([]byte{0, 0, 0x88, 0x47, 0, 1, 2, 0, 0, 1, 1, 9}, ip...)
	})},
	{name: "l2tp 2", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.L2TP = 0x00050006 }),
		wrap: overUDP(1701, 1701, func(ip []byte, v6 bool) []byte {
			n := 12 + len(ip)
			return append([]byte{0x40, 2, byte(n >> 8), byte(n), 0, 5, 0, 6, 0xff, 3}, append(pppProtocol(v6), ip...)...)
		})},
	{name: "l2tp 2 with everything", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.L2TP = 0x00050006 }),
		wrap: overUDP(1701, 40000, func(ip []byte, v6 bool) []byte {
			n := 19 + len(ip)
			return append([]byte{0x4b, 2, byte(n >> 8), byte(n), 0, 5, 0, 6, 0, 1, 0, 2, 0, 4, 0xde, 0xad, 0xbe, 0xef}, append(pppProtocol(v6)[1:], ip...)...)
		})},
	{name: "l2tp 3", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.L2TP = 0x01020304 }),
		wrap: overUDP(1701, 1701, func(ip []byte, v6 bool) []byte {
			return append([]byte{0, 3, 0, 0, 1, 2, 3, 4}, innerFrame(ip, v6)...)
		})},
	{name: "l2tp 3 cookie and sublayer", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.L2TP = 0x01020304; a.VLAN[0] = 100; a.Session = 9 }),
		wrap: overUDP(40000, 1701, func(ip []byte, v6 bool) []byte {
			n := 2 + len(ip)
			f := append([]byte{0, 3, 0, 0, 1, 2, 3, 4, 9, 8, 7, 6, 5, 4, 3, 2, 0x40, 0, 0, 9, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 100, 0x88, 0x64},
				0x11, 0, 0, 9, byte(n>>8), byte(n))
			return append(append(f, pppProtocol(v6)...), ip...)
		})},
	{name: "l2tp 3 in ip", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.L2TP = 0x01020304 }),
		wrap: overIP(115, func(ip []byte, v6 bool) []byte {
			return append([]byte{1, 2, 3, 4, 0xfe, 0xdc, 0xba, 0x98}, innerFrame(ip, v6)...)
		})},
	{name: "l2tp 3 ppp", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.L2TP = 0x01020304 }),
		wrap: overIP(115, func(ip []byte, v6 bool) []byte {
			return append([]byte{1, 2, 3, 4, 0xfe, 0xdc, 0xba, 0x98, 0xff, 3}, append(pppProtocol(v6), ip...)...)
		})},
	{name: "l2tp 3 bare ip", link: capture.LinkEthernet, access: with(through4(1), func(a *Access) { a.L2TP = 0x01020304 }),
		wrap: overIP(115, func(ip []byte, v6 bool) []byte { return append([]byte{1, 2, 3, 4}, ip...) })},
}

// typed appends an EtherType to head.
func typed(head []byte, v6 bool) []byte {
	return binary.BigEndian.AppendUint16(head, uint16(etherTypeOf(v6)))
}

// lengthFrame puts an Ethernet header with a length before body.
func lengthFrame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, uint16(len(body))), body...)
}

// innerFrame is an Ethernet frame as a tunnel carries it, without padding.
func innerFrame(ip []byte, v6 bool) []byte {
	return append(typed([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}, v6), ip...)
}

func framed(head ...byte) func(testing.TB, []byte, bool) []byte {
	return func(_ testing.TB, ip []byte, v6 bool) []byte {
		return append(append(append([]byte(nil), head...), pppProtocol(v6)...), ip...)
	}
}

func pptpHeader(flags, length int, rest ...byte) []byte {
	return append([]byte{byte(flags >> 8), byte(flags), 0x88, 0x0b, byte(length >> 8), byte(length), 0, 9}, rest...)
}

// overIP puts what f makes into an outer IPv4 packet of protocol proto.
func overIP(proto uint8, f func(ip []byte, v6 bool) []byte) func(testing.TB, []byte, bool) []byte {
	return func(t testing.TB, ip []byte, v6 bool) []byte {
		return serialize(t, ether(layers.EthernetTypeIPv4), outer4(proto), gopacket.Payload(f(ip, v6)))
	}
}

func overUDP(src, dst layers.UDPPort, f func(ip []byte, v6 bool) []byte) func(testing.TB, []byte, bool) []byte {
	return func(t testing.TB, ip []byte, v6 bool) []byte {
		return serialize(t, ether(layers.EthernetTypeIPv4), outer4(17), &layers.UDP{SrcPort: src, DstPort: dst}, gopacket.Payload(f(ip, v6)))
	}
}
