package packet

import "encoding/binary"

// Ports that tunnels are sent to (IANA); what comes back from one goes to the
// same port of the other end.
const (
	portGTPU  = 2152
	portVXLAN = 4789
)

// udp reads a UDP header (RFC 768), and what it carries when it is a tunnel.
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
	switch p.DstPort {
	case portGTPU:
		return gtp(b, n, p)
	case portVXLAN:
		return vxlan(b, n, p)
	}
	return layerDatagram, nil, 0
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
