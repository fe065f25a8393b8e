package packet

import "encoding/binary"

// gre reads a GRE header of version 0 (RFC 2784, RFC 2890). PPTP's version 1
// and ERSPAN are not read.
func gre(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 4 {
		return stop(GRECut)
	}
	flags := binary.BigEndian.Uint16(b)
	if flags&0x4007 != 0 { // source routes (RFC 1701) or another version
		return stop(NotGRE)
	}
	h := 4
	for _, bit := range [...]uint16{0x8000, 0x2000, 0x1000} { // checksum, key, sequence
		if flags&bit != 0 {
			h += 4
		}
	}
	if len(b) < h {
		return stop(GRECut)
	}
	l := layerEthernet
	switch t := binary.BigEndian.Uint16(b[2:]); t {
	case typeEthernet:
	case typeIPv4, typeIPv6, typeMPLS, typeMPLSMulti:
		l = etherLayer(t)
	default:
		return stop(NotGRE)
	}
	p.enterTunnel()
	return l, b[h:], n - h
}

// gtp reads a GTP-U version 1 header (3GPP TS 29.281 section 5.1) of a T-PDU.
// Anybody may send anything to its port, so whatever is not in order in every
// respect remains the datagram it is.
func gtp(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 8 || b[0]&0xf0 != 0x30 || b[1] != 255 {
		return layerDatagram, nil, 0
	}
	flags, teid := b[0], binary.BigEndian.Uint32(b[4:])
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length > n-8 {
		return layerDatagram, nil, 0
	}
	b, n = b[8:min(len(b), 8+length)], length
	if flags&7 != 0 { // sequence, N-PDU number and type of extension: all or none
		if len(b) < 4 {
			return layerDatagram, nil, 0
		}
		next := b[3]
		b, n = b[4:], n-4
		if flags&4 == 0 {
			next = 0
		}
		for ; next != 0; b, n = b[int(b[0])*4:], n-int(b[0])*4 {
			if len(b) < 4 || b[0] == 0 || len(b) < int(b[0])*4 {
				return layerDatagram, nil, 0
			}
			next = b[int(b[0])*4-1]
		}
	}
	if !innerIP(b, n) {
		return layerDatagram, nil, 0
	}
	if p.Access.TEID == 0 {
		p.Access.TEID = teid
	}
	p.enterTunnel()
	return raw(b, n)
}

// vxlan reads a VXLAN header (RFC 7348 section 5), also with a group policy
// identifier. Reserved bits must be zero, or it remains a datagram.
func vxlan(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 8+14 || b[0]&^0x80 != 0x08 || b[7] != 0 {
		return layerDatagram, nil, 0
	}
	if policy := b[0]&0x80 != 0; !policy && (b[1]|b[2]|b[3]) != 0 {
		return layerDatagram, nil, 0
	}
	p.enterTunnel()
	return layerEthernet, b[8:], n - 8
}
