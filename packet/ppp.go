package packet

import "encoding/binary"

// pppHeader gives the PPP protocol of b and how long the header is, 0 when it is
// cut. The address and control bytes may be left out and the protocol may be one
// byte (RFC 1661 section 6.5, RFC 1662 section 3.1): all protocols are odd, and
// the first of two bytes is even.
func pppHeader(b []byte) (protocol uint16, size int) {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 3 {
		b, size = b[2:], 2
	}
	switch {
	case len(b) > 1 && b[0]&1 == 0: // mostly
		return binary.BigEndian.Uint16(b), size + 2
	case len(b) > 0 && b[0]&1 != 0:
		return uint16(b[0]), size + 1
	}
	return 0, 0
}

// PPP protocols (IANA PPP DLL protocol numbers).
const (
	pppIPv4      = 0x0021
	pppIPv6      = 0x0057
	pppMPLS      = 0x0281
	pppMPLSMulti = 0x0283

	pppEnciphered = 0x00fd // MPPE (RFC 3078), and what is compressed
)

// ppp reads a PPP header (RFC 1661 section 2).
func ppp(b []byte, n int) (layer, []byte, int) {
	protocol, size := pppHeader(b)
	if size == 0 {
		return stop(PPPCut)
	}
	switch b, n = b[size:], n-size; protocol {
	case pppIPv4:
		return layerIPv4, b, n
	case pppIPv6:
		return layerIPv6, b, n
	case pppMPLS, pppMPLSMulti:
		return layerMPLS, b, n
	}
	return stop(NotPPP)
}

// pppIP gives where the IP header begins in PPP, negative when b is anything
// else: used where only that tells a tunnel from anything else.
func pppIP(b []byte, n int) int {
	protocol, size := pppHeader(b)
	if size == 0 || !innerIP(b[size:], n-size) {
		return -1
	}
	if ipVersion(b[size:]) == layerIPv4 && protocol == pppIPv4 || ipVersion(b[size:]) == layerIPv6 && protocol == pppIPv6 {
		return size
	}
	return -1
}

// hdlc reads what follows the flag of a serial line: PPP (RFC 1662), or Cisco's
// framing, told by its address.
func hdlc(b []byte, n int) (layer, []byte, int) {
	if len(b) > 0 && (b[0] == 0x0f || b[0] == 0x8f) {
		return ciscoHDLC(b, n)
	}
	return ppp(b, n)
}

// ciscoHDLC reads address, control and an EtherType (RFC 1547 section 4.3.1).
func ciscoHDLC(b []byte, n int) (layer, []byte, int) {
	if len(b) < 4 {
		return stop(LinkCut)
	}
	return etherLayer(binary.BigEndian.Uint16(b[2:])), b[4:], n - 4
}

// pppoe reads a PPPoE session header (RFC 2516 section 4) and goes on with PPP.
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
	return ppp(b, n)
}
