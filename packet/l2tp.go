package packet

import "encoding/binary"

// l2tp reads the header of an L2TP data message over UDP, of version 2 (RFC 2661
// section 3.1) or 3 (RFC 3931 section 4.1.2.1). Other things use its port too,
// relays of gateways among them, so what is inside must be IP; control messages
// and PPP's own negotiation remain datagrams.
func l2tp(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 6 {
		return layerDatagram, nil, 0
	}
	flags := binary.BigEndian.Uint16(b)
	if flags == 3 {
		if len(b) < 8 || b[2]|b[3] != 0 {
			return layerDatagram, nil, 0
		}
		return session(b[4:], n-4, p, layerDatagram)
	}
	if flags&^0x4b00 != 2 { // length, sequence, offset and priority may be set
		return layerDatagram, nil, 0
	}
	at := 2
	if flags&0x4000 != 0 {
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length > n {
			return layerDatagram, nil, 0
		}
		b, n = b[:min(len(b), length)], length
		at = 4
	}
	ids := at
	at += 4
	if flags&0x0800 != 0 {
		at += 4
	}
	if flags&0x0200 != 0 {
		if len(b) < at+2 {
			return layerDatagram, nil, 0
		}
		at += 2 + int(binary.BigEndian.Uint16(b[at:]))
	}
	if len(b) < at || b[ids]|b[ids+1] == 0 || b[ids+2]|b[ids+3] == 0 || pppIP(b[at:], n-at) < 0 {
		return layerDatagram, nil, 0
	}
	if p.Access.L2TP == 0 {
		p.Access.L2TP = binary.BigEndian.Uint32(b[ids:])
	}
	p.enterTunnel()
	return layerPPP, b[at:], n - at
}

// l2tpIP reads an L2TP version 3 packet over IP (RFC 3931 section 4.1.1).
func l2tpIP(b []byte, n int, p *Packet) (layer, []byte, int) {
	return session(b, n, p, layerReason+layer(NotL2TP))
}

// session reads the session header of L2TP version 3. Whether a cookie of 4 or 8
// bytes and a sublayer of 4 follow the session, and what it carries, both ends
// agreed on before, so it is tried out: Ethernet, PPP and IP at each place, of
// which only what leads to a sound IP header counts. Where two layouts lead to
// different ones, none is believed, and the result is no.
func session(b []byte, n int, p *Packet, no layer) (layer, []byte, int) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) == 0 { // session 0 is control
		return no, nil, 0
	}
	id := binary.BigEndian.Uint32(b)
	b, n = b[4:], n-4
	found, from, ip := no, 0, -1
	for at := 0; at <= 12 && at < len(b); at += 4 {
		l, inside := carried(b[at:], n-at)
		switch {
		case inside < 0:
		case ip < 0:
			found, from, ip = l, at, at+inside
		case ip != at+inside:
			return no, nil, 0
		}
	}
	if ip < 0 {
		return no, nil, 0
	}
	if p.Access.L2TP == 0 {
		p.Access.L2TP = id
	}
	p.enterTunnel()
	return found, b[from:], n - from
}

// carried says what b is, when it leads to a sound IP header, and where that is.
func carried(b []byte, n int) (l layer, ip int) {
	if ip := soundEthernet(b, n, minPayload); ip >= 0 {
		return layerEthernet, ip
	}
	if ip := pppIP(b, n); ip >= 0 && soundIP(b[ip:], n-ip, 0) {
		return layerPPP, ip
	}
	if soundIP(b, n, 0) {
		return layerRaw, 0
	}
	return 0, -1
}
