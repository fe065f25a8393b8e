package packet

import "encoding/binary"

// Ports that tunnels are sent to (IANA). What comes back goes to the same port
// of the other end, but for those whose clients send from any port.
const (
	portL2TP     = 1701
	portGTPU     = 2152
	portTeredo   = 3544
	portGRE      = 4754
	portVXLAN    = 4789
	portVXLANGPE = 4790
	portGeneve   = 6081
	portMPLS     = 6635
)

// udp reads a UDP header (RFC 768), and what it carries when it is a tunnel.
// Anybody may send anything to a port, so whatever is not a tunnel's in every
// respect remains the datagram it is.
func (d *Decoder) udp(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 8 {
		return stop(UDPCut)
	}
	switch length := int(binary.BigEndian.Uint16(b[4:])); {
	case length == n:
	case length == 0:
		d.Counters[UDPLengthZero]++
	case length < 8:
		return stop(UDPLength)
	case length > n:
		d.Counters[UDPLengthLong]++
	default:
		n = length
		b = b[:min(len(b), n)]
	}
	p.Proto, p.Flags, p.TCPSeq, p.TCPAck = UDP, 0, 0, 0
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	b, n = b[8:], n-8
	p.Payload, p.Length = b, uint32(n)
	if min(p.SrcPort, p.DstPort) > portMPLS { // the last of them; most media is here
		return layerDatagram, nil, 0
	}
	var l layer
	switch p.DstPort {
	case portL2TP:
		l, b, n = l2tp(b, n, p)
	case portGTPU:
		l, b, n = gtp(b, n, p)
	case portTeredo:
		l, b, n = teredo(b, n, p)
	case portGRE:
		l, b, n = greUDP(b, n, p)
	case portVXLAN:
		l, b, n = vxlan(b, n, p)
	case portVXLANGPE:
		l, b, n = vxlanGPE(b, n, p)
	case portGeneve:
		l, b, n = geneve(b, n, p)
	case portMPLS:
		l, b, n = mplsUDP(b, n, p)
	default:
		switch p.SrcPort {
		case portL2TP:
			l, b, n = l2tp(b, n, p)
		case portGTPU:
			l, b, n = gtp(b, n, p)
		case portTeredo:
			l, b, n = teredo(b, n, p)
		default:
			return layerDatagram, nil, 0
		}
	}
	if l == layerDatagram {
		d.Counters[NotTunnel]++
	}
	return l, b, n
}

// tcp reads a TCP header (RFC 9293 section 3.1). Options may be cut by a snap
// length: then there is no payload, but a length.
func tcp(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 20 {
		return stop(TCPCut)
	}
	h := int(b[12]>>4) * 4
	if h < 20 || h > n {
		return stop(TCPBad)
	}
	p.Proto, p.Flags = TCP, b[13]&(FIN|SYN|RST|PSH|ACK)
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.TCPSeq, p.TCPAck = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	p.Payload, p.Length = b[min(h, len(b)):], uint32(n-h)
	return layerSegment, nil, 0
}
