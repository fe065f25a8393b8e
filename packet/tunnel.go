package packet

import "encoding/binary"

// EtherTypes in GRE alone.
const (
	typeERSPAN  = 0x88be // type I and II
	typeERSPAN3 = 0x22eb
	typeWCCP    = 0x883e // web traffic on the way to a cache
)

// gre reads a GRE header of version 0 (RFC 2784, RFC 2890), and goes to version
// 1, which is PPTP's.
func (d *Decoder) gre(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 4 {
		return stop(GRECut)
	}
	flags, t := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&7 == 1 && t == typePPP {
		return d.pptp(flags, b, n, p)
	}
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
	b, n = b[h:], n-h
	l := layerEthernet
	switch t {
	case typeEthernet:
	case typeERSPAN:
		if flags&0x1000 != 0 { // without sequence numbers it is type I, which has no header
			if l, b, n = erspan2(b, n); l >= layerDatagram {
				return l, b, n
			}
		}
	case typeERSPAN3:
		if l, b, n = erspan3(b, n); l >= layerDatagram {
			return l, b, n
		}
	case typePPP:
		l = layerPPP
	case typeWCCP: // version 2 has a header of four bytes, version 1 none
		if l = layerIPv4; len(b) >= 4 && b[0]>>4 != 4 {
			b, n = b[4:], n-4
		}
	case typeIPv4, typeIPv6, typeMPLS, typeMPLSMulti:
		l = etherLayer(t)
	default:
		return stop(NotGRE)
	}
	p.enterTunnel()
	return l, b, n
}

// greUDP reads a GRE header over UDP (RFC 8086), with IP inside.
func greUDP(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 4 || b[0]&^0xb0|b[1] != 0 {
		return layerDatagram, nil, 0
	}
	h := 4
	for _, bit := range [...]byte{0x80, 0x20, 0x10} { // checksum, key, sequence
		if b[0]&bit != 0 {
			h += 4
		}
	}
	t := binary.BigEndian.Uint16(b[2:])
	if len(b) < h || !innerIP(b[h:], n-h) || etherLayer(t) != ipVersion(b[h:]) {
		return layerDatagram, nil, 0
	}
	p.enterTunnel()
	return etherLayer(t), b[h:], n - h
}

// mplsUDP reads a label stack over UDP (RFC 7510), with IP inside.
func mplsUDP(b []byte, n int, p *Packet) (layer, []byte, int) {
	for at := 0; at < 4*maxHeaders && len(b) >= at+4; at += 4 {
		if b[at+2]&1 == 0 {
			continue
		}
		if at += 4; !innerIP(b[at:], n-at) {
			break
		}
		p.enterTunnel()
		return layerRaw, b[at:], n - at
	}
	return layerDatagram, nil, 0
}

// pptp reads GRE of version 1 (RFC 2637 section 4.1): the key is the payload's
// length and the call, and a packet without sequence number only acknowledges.
func (d *Decoder) pptp(flags uint16, b []byte, n int, p *Packet) (layer, []byte, int) {
	if flags&^0x1080 != 0x2001 {
		return stop(NotGRE)
	}
	h := 8
	if flags&0x1000 != 0 { // sequence
		h += 4
	}
	if flags&0x0080 != 0 { // acknowledgement
		h += 4
	}
	if len(b) < h {
		return stop(GRECut)
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if flags&0x1000 == 0 || length == 0 {
		return stop(NotGRE)
	}
	whole := n
	b, n = b[h:], n-h
	if protocol, size := pppHeader(b); size > 0 && protocol == pppEnciphered {
		p.pptp = uint32(whole)
	}
	if length > n {
		d.Counters[PPTPLengthLong]++
	} else {
		b, n = b[:min(len(b), length)], length
	}
	p.enterTunnel()
	return layerPPP, b, n
}

// erspan2 reads the header of ERSPAN type II, version 1 on the wire
// (draft-foschiano-erspan-03 section 4.2).
func erspan2(b []byte, n int) (layer, []byte, int) {
	if len(b) < 8 {
		return stop(GRECut)
	}
	if b[0]>>4 != 1 {
		return stop(NotGRE)
	}
	return layerEthernet, b[8:], n - 8
}

// erspan3 reads the header of ERSPAN type III, version 2 on the wire
// (draft-foschiano-erspan-03 section 4.3), with the platform's part if it has
// one. The mirrored frame is Ethernet or begins with IP.
func erspan3(b []byte, n int) (layer, []byte, int) {
	if len(b) < 12 {
		return stop(GRECut)
	}
	if b[0]>>4 != 2 {
		return stop(NotGRE)
	}
	h := 12
	if b[11]&1 != 0 {
		h = 20
	}
	if len(b) < h {
		return stop(GRECut)
	}
	switch b[10] >> 2 & 0x1f {
	case 0:
		return layerEthernet, b[h:], n - h
	case 2:
		return layerRaw, b[h:], n - h
	}
	return stop(NotGRE)
}

// etherIP reads the header of Ethernet within IP (RFC 3378).
func etherIP(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 2 {
		return stop(GRECut)
	}
	if b[0] != 0x30 || b[1] != 0 {
		return stop(EtherIPBad)
	}
	p.enterTunnel()
	return layerEthernet, b[2:], n - 2
}

// gtp reads a GTP-U version 1 header (3GPP TS 29.281 section 5.1) of a T-PDU,
// with its extension headers, whatever their types.
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
// identifier. Where reserved bits are not zero, as some vendors' are not, the
// frame inside must lead to a sound IP header, or it remains a datagram.
func vxlan(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 8+14 || b[0]&0x08 == 0 {
		return layerDatagram, nil, 0
	}
	policy := b[0]&0x80 != 0
	if (b[0]&^0x88 != 0 || b[7] != 0 || !policy && (b[1]|b[2]|b[3]) != 0) && soundEthernet(b[8:], n-8, minPayload) < 0 {
		return layerDatagram, nil, 0
	}
	p.enterTunnel()
	return layerEthernet, b[8:], n - 8
}

// vxlanGPE reads a VXLAN header with a next protocol
// (draft-ietf-nvo3-vxlan-gpe-12 section 3).
func vxlanGPE(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 8 || b[0] != 0x0c || b[1]|b[2]|b[7] != 0 {
		return layerDatagram, nil, 0
	}
	next := b[3]
	b, n = b[8:], n-8
	l := layerRaw
	switch {
	case next == 1 && innerIP(b, n) && ipVersion(b) == layerIPv4, next == 2 && innerIP(b, n) && ipVersion(b) == layerIPv6:
	case next == 3 && len(b) >= 14:
		l = layerEthernet
	case next == 5 && len(b) >= 4:
		l = layerMPLS
	default:
		return layerDatagram, nil, 0
	}
	p.enterTunnel()
	return l, b, n
}

// geneve reads a Geneve header (RFC 8926 section 3.4), whose options must fill
// their room. Control packets remain datagrams.
func geneve(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 8 || b[0]>>6 != 0 || b[1]&^0x40 != 0 || b[7] != 0 {
		return layerDatagram, nil, 0
	}
	h := 8 + int(b[0]&0x3f)*4
	if len(b) < h {
		return layerDatagram, nil, 0
	}
	for at := 8; at < h; at += 4 + int(b[at+3]&0x1f)*4 {
		if at+4+int(b[at+3]&0x1f)*4 > h {
			return layerDatagram, nil, 0
		}
	}
	t := binary.BigEndian.Uint16(b[2:])
	b, n = b[h:], n-h
	l := layerRaw
	switch {
	case (t == typeIPv4 || t == typeIPv6) && innerIP(b, n) && etherLayer(t) == ipVersion(b):
	case t == typeEthernet && len(b) >= 14:
		l = layerEthernet
	case (t == typeMPLS || t == typeMPLSMulti) && len(b) >= 4:
		l = layerMPLS
	default:
		return layerDatagram, nil, 0
	}
	p.enterTunnel()
	return l, b, n
}

// teredo reads the indicators that may stand before a Teredo packet (RFC 4380
// section 5.1.1). The IPv6 packet behind them has a Teredo address at one end, or
// link-local ones at both while a client asks its server for an address.
func teredo(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) >= 13 && b[0] == 0 && b[1] == 1 { // authentication
		h := 13 + int(b[2]) + int(b[3])
		if len(b) < h {
			return layerDatagram, nil, 0
		}
		b, n = b[h:], n-h
	}
	if len(b) >= 8 && b[0] == 0 && b[1] == 0 { // origin
		b, n = b[8:], n-8
	}
	if !innerIP(b, n) || ipVersion(b) != layerIPv6 || !teredoEnds(b[8:24], b[24:40]) {
		return layerDatagram, nil, 0
	}
	p.enterTunnel()
	return layerIPv6, b, n
}

func teredoEnds(src, dst []byte) bool {
	const service, local = 0x20010000, 0xfe800000
	s, d := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(dst)
	return s == service || d == service || s == local && (d == local || dst[0] == 0xff)
}
