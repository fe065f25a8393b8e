package packet

import (
	"encoding/binary"

	"simtrap/ident"
)

// ipLayer gives the layer that IP protocol or next header number proto
// announces (IANA protocol numbers). Extension headers exist in IPv6 only.
func ipLayer(proto uint8, v6 bool) layer {
	switch proto {
	case UDP:
		return layerUDP
	case TCP:
		return layerTCP
	case 0, 43, 60: // hop-by-hop options, routing, destination options
		if v6 {
			return layerExtension
		}
	case 44:
		if v6 {
			return layerFragment6
		}
	case 51:
		if v6 {
			return layerAuth6
		}
		return layerAuth4
	case 4:
		return layerIPv4InIP
	case 41:
		return layerIPv6InIP
	case protoGRE:
		return layerGRE
	case 97:
		return layerEtherIP
	case 115:
		return layerL2TP
	case 137:
		return layerMPLSInIP
	case 143: // RFC 8986, behind segment routing
		return layerEthernetInIP
	case 1, 58:
		return layerReason + layer(NotICMP)
	case 2:
		return layerReason + layer(NotIGMP)
	case protoESP:
		return layerReason + layer(NotESP)
	case 59:
		return layerReason + layer(NoNextHeader)
	case 132:
		return layerReason + layer(NotSCTP)
	}
	return layerReason + layer(NotUDPOrTCP)
}

// ipv4 reads an IPv4 header (RFC 791 section 3.1); options are passed over.
func (d *Decoder) ipv4(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 20 {
		return stop(IPv4Cut)
	}
	h := int(b[0]&15) * 4
	if b[0]>>4 != 4 || h < 20 {
		return stop(IPv4Bad)
	}
	if len(b) < h {
		return stop(IPv4Cut)
	}
	switch total := int(binary.BigEndian.Uint16(b[2:])); {
	case total == n:
	case total == 0:
		d.Counters[IPLengthZero]++
	case total < h:
		return stop(IPv4Length)
	case total > n:
		d.Counters[IPLengthLong]++
	default:
		n = total
		b = b[:min(len(b), n)]
	}
	p.Src, p.Dst = ident.AddrFrom4(b[12:]), ident.AddrFrom4(b[16:])
	p.TTL = b[8]
	proto := b[9]
	if f := binary.BigEndian.Uint16(b[6:]); f&0x3fff != 0 {
		return fragment(Frag{
			ID:     uint32(binary.BigEndian.Uint16(b[4:])),
			Offset: uint32(f&0x1fff) * 8,
			More:   f&0x2000 != 0,
			Proto:  proto,
		}, b[h:], n-h, p)
	}
	return ipLayer(proto, false), b[h:], n - h
}

// ipv6 reads an IPv6 header (RFC 8200 section 3). A payload length of 0 is read
// as offloading's, since jumbograms do not occur on access lines.
func (d *Decoder) ipv6(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 40 {
		return stop(IPv6Cut)
	}
	if b[0]>>4 != 6 {
		return stop(IPv6Bad)
	}
	switch total := 40 + int(binary.BigEndian.Uint16(b[4:])); {
	case total == n:
	case total == 40:
		d.Counters[IPLengthZero]++
	case total > n:
		d.Counters[IPLengthLong]++
	default:
		n = total
		b = b[:min(len(b), n)]
	}
	p.Src, p.Dst = ident.AddrFrom16(b[8:]), ident.AddrFrom16(b[24:])
	p.TTL = b[7]
	return ipLayer(b[6], true), b[40:], n - 40
}

// extension passes over an IPv6 hop-by-hop, routing or destination options
// header. Dst stays the address in the fixed header even where a routing header
// names a later one.
func extension(b []byte, n int) (layer, []byte, int) {
	if len(b) < 8 {
		return stop(ExtensionCut)
	}
	h := (int(b[1]) + 1) * 8
	if h > n {
		return stop(ExtensionBad)
	}
	if h > len(b) {
		return stop(ExtensionCut)
	}
	return ipLayer(b[0], true), b[h:], n - h
}

// authentication passes over an authentication header (RFC 4302 section 2).
func authentication(b []byte, n int, v6 bool) (layer, []byte, int) {
	if len(b) < 12 {
		return stop(ExtensionCut)
	}
	h := (int(b[1]) + 2) * 4
	if h < 12 || h > n {
		return stop(ExtensionBad)
	}
	if h > len(b) {
		return stop(ExtensionCut)
	}
	return ipLayer(b[0], v6), b[h:], n - h
}

// fragment6 reads an IPv6 fragment header (RFC 8200 section 4.5). An atomic
// fragment (RFC 6946) is whole and goes straight on.
func fragment6(b []byte, n int, p *Packet) (layer, []byte, int) {
	if len(b) < 8 {
		return stop(ExtensionCut)
	}
	f := binary.BigEndian.Uint16(b[2:])
	if f&0xfff9 == 0 {
		return ipLayer(b[0], true), b[8:], n - 8
	}
	return fragment(Frag{
		ID:     binary.BigEndian.Uint32(b[4:]),
		Offset: uint32(f &^ 7),
		More:   f&1 != 0,
		V6:     true,
		Proto:  b[0],
	}, b[8:], n-8, p)
}

func fragment(f Frag, b []byte, n int, p *Packet) (layer, []byte, int) {
	f.Length, f.Data = uint32(n), b
	p.Frag = f
	p.Proto, p.Flags, p.SrcPort, p.DstPort, p.TCPSeq, p.TCPAck = 0, 0, 0, 0, 0, 0
	p.Length, p.Payload = 0, nil
	return layerFragment, nil, 0
}

// innerIP says whether b, n bytes long on the wire, begins with an IP header
// that makes sense: used where only that tells a tunnel from anything else.
func innerIP(b []byte, n int) bool {
	if len(b) < 20 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		h, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		return h >= 20 && total >= h && total <= n
	case 6:
		return len(b) >= 40 && 40+int(binary.BigEndian.Uint16(b[4:])) <= n
	}
	return false
}

// ipVersion gives the layer of the header that innerIP found in b.
func ipVersion(b []byte) layer {
	if b[0]>>4 == 4 {
		return layerIPv4
	}
	return layerIPv6
}

// soundIP is innerIP where nothing around it vouches for it either: the lengths
// must agree to the byte, but that up to room bytes may have padding in them, and
// IPv4's header checksum, which no network card leaves to a later hop, must be right.
func soundIP(b []byte, n, room int) bool {
	if !innerIP(b, n) {
		return false
	}
	if b[0]>>4 == 4 {
		h, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		return fits(total, n, room) && len(b) >= h && checksum(b[:h]) == 0xffff
	}
	if !fits(40+int(binary.BigEndian.Uint16(b[4:])), n, room) || b[8] == 0xff {
		return false // no packet comes from a multicast address
	}
	switch b[6] {
	case 0, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 115, 132, 135:
		return true
	}
	return false
}

// minPayload is what an Ethernet frame holds at least, filled up with padding.
const minPayload = 46

func fits(total, n, room int) bool { return total == n || total < n && n <= room }

// checksum is the ones' complement sum of b (RFC 1071), which is of even length.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum&0xffff + sum>>16
	return uint16(sum + sum>>16)
}

// soundEthernet gives where a sound IP header begins in the Ethernet frame b,
// behind VLAN tags and PPPoE, negative when there is none. Up to room bytes may be
// padding.
func soundEthernet(b []byte, n, room int) int {
	at := 12
	for range 4 {
		if len(b) < at+2 {
			return -1
		}
		t := binary.BigEndian.Uint16(b[at:])
		at += 2
		switch {
		case isVLAN(t):
			at += 2
			continue
		case t == typePPPoE:
			if len(b) < at+8 || b[at] != 0x11 || b[at+1] != 0 {
				return -1
			}
			length := int(binary.BigEndian.Uint16(b[at+4:]))
			at += 6
			if length > n-at {
				return -1
			}
			b, n = b[:min(len(b), at+length)], at+length
			size := pppIP(b[at:], n-at)
			if size < 0 || !soundIP(b[at+size:], n-at-size, 0) {
				return -1
			}
			return at + size
		case (t == typeIPv4 && len(b) > at && b[at]>>4 == 4 || t == typeIPv6 && len(b) > at && b[at]>>4 == 6) &&
			soundIP(b[at:], n-at, room):
			return at
		}
		return -1
	}
	return -1
}
