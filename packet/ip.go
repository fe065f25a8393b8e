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
	case 47:
		return layerGRE
	case 137:
		return layerMPLS
	case 1, 58:
		return layerReason + layer(NotICMP)
	case 2:
		return layerReason + layer(NotIGMP)
	case 50:
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
