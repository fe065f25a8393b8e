package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// encap is how inner IP packets are wrapped, and what else is done to them.
type encap struct {
	link   string // ethernet, vlan, ...
	v6     bool
	mtu    int // of the inner IP packet
	sipTCP bool
	sipWS  bool // over WebSocket
}

func parseEncap(s string) (encap, error) {
	e := encap{link: "ethernet", mtu: 1500}
	for _, part := range strings.Split(s, "+") {
		switch part {
		case "":
		case "ethernet", "vlan", "qinq", "pppoe", "vlan-pppoe", "mpls", "gre", "gtpu", "vxlan", "raw", "sll", "sll2", "null":
			e.link = part
		case "ipv6":
			e.v6 = true
		case "fragments":
			e.mtu = 576
		case "sip-tcp":
			e.sipTCP = true
		case "sip-ws":
			e.sipTCP, e.sipWS = true, true
		default:
			return e, fmt.Errorf("unknown encapsulation %q: want one of %s", part, strings.Join(Encaps(), ", "))
		}
	}
	return e, nil
}

// Encaps gives the names that Options.Encap knows.
func Encaps() []string {
	return []string{"ethernet", "vlan", "qinq", "pppoe", "vlan-pppoe", "mpls", "gre", "gtpu", "vxlan",
		"raw", "sll", "sll2", "null", "ipv6", "fragments", "sip-tcp", "sip-ws"}
}

// linkType is the number of the file's link type (tcpdump.org/linktypes.html).
func (e encap) linkType() uint16 {
	switch e.link {
	case "raw":
		return 101
	case "sll":
		return 113
	case "sll2":
		return 276
	case "null":
		return 0
	}
	return 1
}

func (e encap) ethernet() bool { return e.linkType() == 1 }

// prefix is everything before the inner IP header, with the places in it that
// depend on the length of the frame.
type prefix struct {
	bytes []byte
	lens  []lenField
	outer int // offset of an outer IPv4 header, -1 when there is none
}

// lenField is a 16-bit field at byte at that holds the frame's length less sub.
type lenField struct{ at, sub int }

// access is what identifies a line below IP.
type access struct {
	mac          net.HardwareAddr // of the subscriber's side
	svlan, cvlan uint16
	session      uint16
	labels       [2]uint32 // up, down
	teid         [2]uint32
	vni          uint32
	near, far    netip.Addr // ends of the tunnel
}

// build makes the prefix of packets from (up) or to (not up) a line.
func (e encap) build(a *access, up, v6 bool) prefix {
	gate := net.HardwareAddr{0x02, 0x5e, 0x10, 0, 0, 1}
	src, dst := a.mac, gate
	dir := 0
	near, far := a.near, a.far
	if !up {
		src, dst = gate, a.mac
		dir = 1
		near, far = far, near
	}
	et := layers.EthernetTypeIPv4
	ppp := layers.PPPTypeIPv4
	if v6 {
		et, ppp = layers.EthernetTypeIPv6, layers.PPPTypeIPv6
	}

	p := prefix{outer: -1}
	var stack []gopacket.SerializableLayer
	n := 0
	add := func(size int, l gopacket.SerializableLayer) {
		stack = append(stack, l)
		n += size
	}
	eth := func(t layers.EthernetType) {
		add(14, &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: t})
	}
	tunnel := func(proto layers.IPProtocol) {
		eth(layers.EthernetTypeIPv4)
		p.outer = n
		p.lens = append(p.lens, lenField{n + 2, n})
		add(20, &layers.IPv4{Version: 4, IHL: 5, TTL: 62, Protocol: proto, SrcIP: near.AsSlice(), DstIP: far.AsSlice()})
	}
	udp := func(port layers.UDPPort) {
		p.lens = append(p.lens, lenField{n + 4, n})
		add(8, &layers.UDP{SrcPort: port, DstPort: port})
	}
	pppoe := func() {
		p.lens = append(p.lens, lenField{n + 4, n + 6})
		add(6, &layers.PPPoE{Version: 1, Type: 1, Code: layers.PPPoECodeSession, SessionId: a.session})
		add(2, &layers.PPP{PPPType: ppp})
	}
	switch e.link {
	case "ethernet":
		eth(et)
	case "vlan":
		eth(layers.EthernetTypeDot1Q)
		add(4, &layers.Dot1Q{VLANIdentifier: a.cvlan, Type: et})
	case "qinq":
		eth(layers.EthernetTypeQinQ)
		add(4, &layers.Dot1Q{VLANIdentifier: a.svlan, Type: layers.EthernetTypeDot1Q})
		add(4, &layers.Dot1Q{VLANIdentifier: a.cvlan, Type: et})
	case "pppoe":
		eth(layers.EthernetTypePPPoESession)
		pppoe()
	case "vlan-pppoe":
		eth(layers.EthernetTypeDot1Q)
		add(4, &layers.Dot1Q{VLANIdentifier: a.cvlan, Type: layers.EthernetTypePPPoESession})
		pppoe()
	case "mpls":
		eth(layers.EthernetTypeMPLSUnicast)
		add(4, &layers.MPLS{Label: a.labels[dir], TTL: 60})
		add(4, &layers.MPLS{Label: a.labels[dir] + 1, StackBottom: true, TTL: 60})
	case "gre":
		tunnel(layers.IPProtocolGRE)
		add(4, &layers.GRE{Protocol: et})
	case "gtpu":
		tunnel(layers.IPProtocolUDP)
		udp(2152)
		p.lens = append(p.lens, lenField{n + 2, n + 8})
		add(8, &layers.GTPv1U{Version: 1, ProtocolType: 1, MessageType: 255, TEID: a.teid[dir]})
	case "vxlan":
		tunnel(layers.IPProtocolUDP)
		udp(4789)
		add(8, &layers.VXLAN{ValidIDFlag: true, VNI: a.vni})
		eth(et)
	case "sll", "sll2", "null", "raw":
		p.bytes = cooked(e.link, src, up, uint16(et))
		return p
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{}, stack...); err != nil {
		panic(fmt.Sprintf("lab: layers of %s: %v", e.link, err)) // own constants, not input
	}
	// gopacket fills short Ethernet frames; the headers alone are wanted.
	p.bytes = append(p.bytes, buf.Bytes()[:n]...)
	return p
}

// cooked is the link header of the types that gopacket does not write.
func cooked(link string, src net.HardwareAddr, up bool, et uint16) []byte {
	out := byte(0) // to us
	if !up {
		out = 4 // sent by us
	}
	switch link {
	case "sll":
		b := make([]byte, 16)
		b[1], b[3], b[5] = out, 1, 6
		copy(b[6:], src)
		b[14], b[15] = byte(et>>8), byte(et)
		return b
	case "sll2":
		b := make([]byte, 20)
		b[0], b[1] = byte(et>>8), byte(et)
		b[7], b[9], b[10], b[11] = 2, 1, out, 6
		copy(b[12:], src)
		return b
	case "null":
		if et == uint16(layers.EthernetTypeIPv6) {
			return []byte{30, 0, 0, 0}
		}
		return []byte{2, 0, 0, 0}
	}
	return nil
}
