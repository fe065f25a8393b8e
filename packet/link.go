package packet

import "encoding/binary"

// EtherTypes (IANA IEEE 802 numbers).
const (
	typeIPv4      = 0x0800
	typeARP       = 0x0806
	typeEthernet  = 0x6558 // transparent Ethernet bridging, in GRE
	typeRARP      = 0x8035
	typeVLAN      = 0x8100
	typeIPv6      = 0x86dd
	typeMPLS      = 0x8847
	typeMPLSMulti = 0x8848
	typeDiscovery = 0x8863
	typePPPoE     = 0x8864
	typeProvider  = 0x88a8 // IEEE 802.1ad
	typeMACsec    = 0x88e5
	typeOldQinQ   = 0x9100

	minType = 0x0600 // below, the field is a length (IEEE 802.3 section 3.2.6)
)

// etherLayer gives the layer that EtherType t announces, VLAN tags apart.
func etherLayer(t uint16) layer {
	switch t {
	case typeIPv4:
		return layerIPv4
	case typeIPv6:
		return layerIPv6
	case typePPPoE:
		return layerPPPoE
	case typeMPLS, typeMPLSMulti:
		return layerMPLS
	case typeARP, typeRARP:
		return layerReason + layer(NotARP)
	case typeDiscovery:
		return layerReason + layer(NotDiscovery)
	case typeMACsec:
		return layerReason + layer(NotMACsec)
	}
	if t < minType {
		return layerReason + layer(NotLLC)
	}
	return layerReason + layer(NotType)
}

func ethernet(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 14 {
		return stop(LinkCut)
	}
	return tagged(binary.BigEndian.Uint16(b[12:]), b, n, 14, p)
}

// cooked reads a Linux cooked header of size bytes with the protocol at at.
// The other fields (packet type, hardware type, sender) mean nothing here.
func cooked(b []byte, n, at, size int, p *Packet) (layer, []byte, int) {
	if len(b) < size {
		return stop(LinkCut)
	}
	return tagged(binary.BigEndian.Uint16(b[at:]), b, n, size, p)
}

func isVLAN(t uint16) bool { return t == typeVLAN || t == typeProvider || t == typeOldQinQ }

// tagged takes EtherType t, whose payload begins at b[at], and goes on behind
// the VLAN tags that t may announce.
func tagged(t uint16, b []byte, n, at int, p *Packet) (layer, []byte, int) {
	for tags := 0; isVLAN(t); tags++ {
		if tags == maxHeaders {
			return stop(TooManyHeaders)
		}
		if len(b) < at+4 {
			return stop(VLANCut)
		}
		if id := binary.BigEndian.Uint16(b[at:]) & 0xfff; id != 0 { // 0 is a priority tag
			if v := &p.Access.VLAN; v[0] == 0 {
				v[0] = id
			} else if v[1] == 0 {
				v[1] = id
			}
		}
		t = binary.BigEndian.Uint16(b[at+2:])
		at += 4
	}
	if t < minType {
		return snap(int(t), b[at:], n-at)
	}
	return etherLayer(t), b[at:], n - at
}

// snap reads an IEEE 802.3 frame, whose type field is the length: IP within
// LLC and SNAP (RFC 1042) goes on, all else is ignored.
func snap(length int, b []byte, n int) (layer, []byte, int) {
	if length < n {
		n = length
		b = b[:min(len(b), n)]
	}
	if len(b) < 8 || [6]byte(b) != [6]byte{0xaa, 0xaa, 3} {
		return stop(NotLLC)
	}
	return etherLayer(binary.BigEndian.Uint16(b[6:])), b[8:], n - 8
}

// family reads the address family of BSD loopback captures, in the byte order
// of whichever host captured: families are small numbers, so the order shows.
func family(b []byte, n int) (layer, []byte, int) {
	if len(b) < 4 {
		return stop(LinkCut)
	}
	f := binary.LittleEndian.Uint32(b)
	if f > 0xffff {
		f = binary.BigEndian.Uint32(b)
	}
	switch f {
	case 2:
		return layerIPv4, b[4:], n - 4
	case 10, 24, 28, 30: // Linux; NetBSD and OpenBSD; FreeBSD; Darwin
		return layerIPv6, b[4:], n - 4
	}
	return stop(NotType)
}

func raw(b []byte, n int) (layer, []byte, int) {
	if len(b) == 0 {
		return stop(LinkCut)
	}
	switch b[0] >> 4 {
	case 4:
		return layerIPv4, b, n
	case 6:
		return layerIPv6, b, n
	}
	return stop(VersionBad)
}

// pppoe reads a PPPoE session header (RFC 2516 section 4) and the PPP protocol
// behind it, which may be compressed to one byte (RFC 1661 section 6.5).
func (d *Decoder) pppoe(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 7 {
		return stop(PPPoECut)
	}
	if b[0] != 0x11 || b[1] != 0 {
		return stop(PPPoEBad)
	}
	if p.Access.Session == 0 {
		p.Access.Session = binary.BigEndian.Uint16(b[2:])
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	b, n = b[6:], n-6
	if length < n {
		n = length
		b = b[:min(len(b), n)]
	} else if length > n {
		d.Counters[PPPoELengthLong]++
	}
	if len(b) == 0 {
		return stop(PPPoECut)
	}
	protocol, size := uint16(b[0]), 1
	if b[0]&1 == 0 {
		if len(b) < 2 {
			return stop(PPPoECut)
		}
		protocol, size = binary.BigEndian.Uint16(b), 2
	}
	switch b, n = b[size:], n-size; protocol {
	case 0x0021:
		return layerIPv4, b, n
	case 0x0057:
		return layerIPv6, b, n
	case 0x0281, 0x0283:
		return layerMPLS, b, n
	}
	return stop(NotPPP)
}

// mpls removes a label stack (RFC 3032). Nothing in it tells what it carries;
// the first nibble does for IP (RFC 4928), and an Ethernet header with a type
// that can be read tells a pseudowire, behind a control word (RFC 4448 section
// 4.6) or without one.
func mpls(b []byte, n int) (layer, []byte, int) {
	for labels, bottom := 0, false; !bottom; b, n = b[4:], n-4 {
		if labels++; labels > maxHeaders {
			return stop(TooManyHeaders)
		}
		if len(b) < 4 {
			return stop(MPLSCut)
		}
		bottom = b[2]&1 != 0
	}
	if innerIP(b, n) {
		return raw(b, n)
	}
	if len(b) > 4 && b[0]>>4 == 0 && readable(b[4:]) {
		return layerEthernet, b[4:], n - 4
	}
	if readable(b) {
		return layerEthernet, b, n
	}
	if len(b) > 0 && (b[0]>>4 == 4 || b[0]>>4 == 6) {
		return raw(b, n) // which tells what is wrong with it
	}
	return stop(NotMPLS)
}

// readable says whether b begins with an Ethernet header whose type leads on.
func readable(b []byte) bool {
	if len(b) < 14 {
		return false
	}
	t := binary.BigEndian.Uint16(b[12:])
	return etherLayer(t) < layerDatagram || isVLAN(t)
}
