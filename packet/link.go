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
	typePPP       = 0x880b // in GRE
	typeMPLS      = 0x8847
	typeMPLSMulti = 0x8848
	typeDiscovery = 0x8863
	typePPPoE     = 0x8864
	typeProvider  = 0x88a8 // IEEE 802.1ad
	typeMACsec    = 0x88e5
	typeBackbone  = 0x88e7 // IEEE 802.1ah
	typeVNTag     = 0x8926 // Cisco's tag of virtual interfaces
	typeOldQinQ   = 0x9100 // and the next, before IEEE 802.1ad
	typeOlderQinQ = 0x9200

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
	case typeBackbone:
		return layerBackbone
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

// cookedLLC is what Linux writes for a frame whose type field was a length.
const cookedLLC = 4

// cooked reads a Linux cooked header of size bytes with the protocol at at.
// The other fields (packet type, hardware type, sender) mean nothing here.
func cooked(b []byte, n, at, size int, p *Packet) (layer, []byte, int) {
	if len(b) < size {
		return stop(LinkCut)
	}
	t := binary.BigEndian.Uint16(b[at:])
	if t == cookedLLC {
		return layerLLC, b[size:], n - size
	}
	return tagged(t, b, n, size, p)
}

func isVLAN(t uint16) bool {
	switch t {
	case typeVLAN, typeProvider, typeOldQinQ, typeOlderQinQ:
		return true
	}
	return false
}

// isTag says whether t announces a tag, which ends with another type.
func isTag(t uint16) bool { return isVLAN(t) || t == typeVNTag }

// tagged takes EtherType t, whose payload begins at b[at], and goes on behind
// the tags that t may announce.
func tagged(t uint16, b []byte, n, at int, p *Packet) (layer, []byte, int) {
	for tags := 0; isTag(t); tags++ {
		if tags == maxHeaders {
			return stop(TooManyHeaders)
		}
		vlan := t != typeVNTag
		if !vlan {
			at += 2
		}
		if len(b) < at+4 {
			return stop(VLANCut)
		}
		if id := binary.BigEndian.Uint16(b[at:]) & 0xfff; vlan && id != 0 { // 0 is a priority tag
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
		return length8023(int(t), b[at:], n-at)
	}
	return etherLayer(t), b[at:], n - at
}

// length8023 reads an IEEE 802.3 frame, whose type field is the length.
func length8023(length int, b []byte, n int) (layer, []byte, int) {
	if length < n {
		n = length
		b = b[:min(len(b), n)]
	}
	return llc(b, n)
}

// llc reads an IEEE 802.2 header: IP within SNAP (RFC 1042), also where a bridge
// translated the frame (IEEE 802.1H), and IP with an access point of its own (RFC
// 948) go on, all else is ignored.
func llc(b []byte, n int) (layer, []byte, int) {
	switch {
	case len(b) >= 8 && [5]byte(b) == [5]byte{0xaa, 0xaa, 3} && (b[5] == 0 || b[5] == 0xf8):
		return etherLayer(binary.BigEndian.Uint16(b[6:])), b[8:], n - 8
	case len(b) >= 3 && [3]byte(b) == [3]byte{6, 6, 3}:
		return layerIPv4, b[3:], n - 3
	}
	return stop(NotLLC)
}

// backbone removes the service tag of a provider backbone bridge (IEEE 802.1ah),
// behind which the customer's whole frame follows.
func backbone(b []byte, n int) (layer, []byte, int) {
	if len(b) < 4 {
		return stop(VLANCut)
	}
	return layerEthernet, b[4:], n - 4
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
	if innerIP(b, n) && soundEthernet(b, n, maxWire) < 0 { // a MAC address may look like IP
		return raw(b, n)
	}
	if len(b) > 4 && b[0]>>4 == 0 && readable(b[4:]) && soundEthernet(b, n, maxWire) < 0 {
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
	return etherLayer(t) < layerDatagram || isTag(t)
}
