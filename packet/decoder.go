package packet

import (
	"simtrap/capture"
	"simtrap/ident"
)

// Result is what a frame turned out to be.
type Result uint8

const (
	Ignored   Result = iota // nothing of interest, counted by reason
	Malformed               // cut or contradictory, counted by reason
	Datagram                // a UDP datagram
	Segment                 // a TCP segment
	Fragment                // needs a Defrag; Packet.Frag holds it
	// Opaque is a packet of ESP, or of GRE of PPTP whose inside is enciphered:
	// Src, Dst, Proto and Length say all that there is, the last of what follows
	// the IP header. It is counted by reason as what is ignored is.
	Opaque
)

// String names r in lower case.
func (r Result) String() string {
	return [...]string{"ignored", "malformed", "datagram", "segment", "fragment", "opaque"}[min(r, Opaque)]
}

const (
	// maxHeaders bounds the headers removed from one frame, reassembly
	// included. Honest traffic has fewer than ten; the bound keeps hostile
	// nesting from costing more than a frame is worth.
	maxHeaders = 16
	// maxWire bounds the length on the wire that is believed, in bytes. It is
	// twice the largest frame that offloading builds.
	maxWire = 1 << 20
)

// Decoder removes the headers of frames. The zero value is ready; it is for
// one goroutine and holds nothing but counters.
type Decoder struct {
	Counters Counters
}

// A layer names the header that comes next, or, from the value layerDatagram
// on, how decoding ended.
type layer uint16

const (
	layerEthernet layer = iota
	layerSLL
	layerSLL2
	layerFamily // BSD null and loop
	layerRaw    // IP by its version nibble
	layerLLC
	layerBackbone
	layerPPP
	layerHDLC
	layerCisco
	layerPPPoE
	layerMPLS
	layerIPv4
	layerIPv6
	layerIPv4InIP
	layerIPv6InIP
	layerEthernetInIP
	layerMPLSInIP
	layerExtension
	layerFragment6
	layerAuth4
	layerAuth6
	layerGRE
	layerL2TP
	layerEtherIP
	layerUDP
	layerTCP
	layerDatagram
	layerSegment
	layerFragment
	layerReason // plus the Reason
)

// stop ends decoding for a reason. It has the results of a layer's function so
// that those can return it as it stands.
func stop(r Reason) (layer, []byte, int) { return layerReason + layer(r), nil, 0 }

// Frame decodes data, one captured frame of wire bytes of which len(data) were
// captured. It fills everything in p but Time, Seq, Source, TapPort and Realm,
// which are the caller's and stay as they are. What it filled in means
// something only as the result says: addresses, ports, lengths and payload for
// Datagram and Segment, addresses and Frag for Fragment, Access for all three.
//
// Lengths in headers are believed up to what encloses them. Bytes behind them
// (Ethernet padding) are dropped; bytes that a snap length cut are missing from
// Payload and present in Length.
func (d *Decoder) Frame(link capture.LinkType, data []byte, wire uint32, p *Packet) Result {
	p.Access, p.pptp = Access{}, 0
	n := max(len(data), int(min(wire, maxWire)))
	var l layer
	switch link {
	case capture.LinkEthernet:
		l = layerEthernet
	case capture.LinkRaw, capture.LinkRawOld, capture.LinkRawOpen:
		l = layerRaw
	case capture.LinkIPv4:
		l = layerIPv4
	case capture.LinkIPv6:
		l = layerIPv6
	case capture.LinkLinuxSLL:
		l = layerSLL
	case capture.LinkLinuxSLL2:
		l = layerSLL2
	case capture.LinkNull, capture.LinkLoop:
		l = layerFamily
	case capture.LinkPPP:
		l = layerPPP
	case capture.LinkPPPDir:
		if len(data) == 0 {
			l = layerReason + layer(LinkCut)
			break
		}
		l, data, n = layerPPP, data[1:], n-1
	case capture.LinkPPPHDLC:
		l = layerHDLC
	case capture.LinkPPPD:
		if len(data) < 2 {
			l = layerReason + layer(LinkCut)
			break
		}
		l, data, n = layerPPP, data[2:], n-2 // direction and control
	case capture.LinkPPPEther:
		l = layerPPPoE
	case capture.LinkCiscoHDLC:
		l = layerCisco
	default:
		l = layerReason + layer(UnknownLink)
	}
	return d.walk(l, data, n, 0, p)
}

// Resume decodes on from whole, the payload that a Defrag made of p and the
// fragments before it. The result can be Fragment again, when a tunnel's inside
// was fragmented too; the limit on headers bounds that.
func (d *Decoder) Resume(whole []byte, p *Packet) Result {
	return d.walk(ipLayer(p.Frag.Proto, p.Frag.V6), whole, len(whole), int(p.Frag.Headers), p)
}

// walk removes headers until it comes to an end. b is what was captured of the
// rest of the frame, n how long that is on the wire; n is never below len(b).
func (d *Decoder) walk(l layer, b []byte, n, used int, p *Packet) Result {
	for ; l < layerDatagram; used++ {
		if used >= maxHeaders {
			l = layerReason + layer(TooManyHeaders)
			break
		}
		switch l {
		case layerEthernet:
			l, b, n = ethernet(b, n, p)
		case layerSLL:
			l, b, n = cooked(b, n, 14, 16, p)
		case layerSLL2:
			l, b, n = cooked(b, n, 0, 20, p)
		case layerFamily:
			l, b, n = family(b, n)
		case layerRaw:
			l, b, n = raw(b, n)
		case layerLLC:
			l, b, n = llc(b, n)
		case layerBackbone:
			l, b, n = backbone(b, n)
		case layerPPP:
			l, b, n = ppp(b, n)
		case layerHDLC:
			l, b, n = hdlc(b, n)
		case layerCisco:
			l, b, n = ciscoHDLC(b, n)
		case layerPPPoE:
			l, b, n = d.pppoe(b, n, p)
		case layerMPLS:
			l, b, n = mpls(b, n)
		case layerIPv4InIP:
			p.enterTunnel()
			l, b, n = d.ipv4(b, n, p)
		case layerIPv6InIP:
			p.enterTunnel()
			l, b, n = d.ipv6(b, n, p)
		case layerEthernetInIP:
			p.enterTunnel()
			l, b, n = ethernet(b, n, p)
		case layerMPLSInIP:
			p.enterTunnel()
			l, b, n = mpls(b, n)
		case layerIPv4:
			l, b, n = d.ipv4(b, n, p)
		case layerIPv6:
			l, b, n = d.ipv6(b, n, p)
		case layerExtension:
			l, b, n = extension(b, n)
		case layerFragment6:
			l, b, n = fragment6(b, n, p)
		case layerAuth4:
			l, b, n = authentication(b, n, false)
		case layerAuth6:
			l, b, n = authentication(b, n, true)
		case layerGRE:
			l, b, n = d.gre(b, n, p)
		case layerL2TP:
			l, b, n = l2tpIP(b, n, p)
		case layerEtherIP:
			l, b, n = etherIP(b, n, p)
		case layerUDP:
			l, b, n = d.udp(b, n, p)
		case layerTCP:
			l, b, n = tcp(b, n, p)
		}
	}
	switch l {
	case layerDatagram:
		return Datagram
	case layerSegment:
		return Segment
	case layerFragment:
		p.Frag.Headers = uint8(used)
		return Fragment
	}
	r := Reason(l - layerReason)
	d.Counters[r]++
	switch {
	case r == NotESP:
		return p.opaque(protoESP, n)
	case r == NotPPP && p.pptp > 0:
		return p.opaque(protoGRE, int(p.pptp))
	case r < firstMalformed:
		return Ignored
	}
	return Malformed
}

// opaque is a packet of n bytes behind the IP header that cannot be read.
func (p *Packet) opaque(proto uint8, n int) Result {
	p.Proto, p.Flags, p.SrcPort, p.DstPort, p.TCPSeq, p.TCPAck = proto, 0, 0, 0, 0, 0
	p.Length, p.Payload = uint32(n), nil
	return Opaque
}

// enterTunnel notes that the header just read belongs to a tunnel, whose ends
// are the addresses so far.
func (p *Packet) enterTunnel() {
	switch n := int(p.Access.Tunnel); {
	case n == 0:
		p.Access.OuterSrc, p.Access.OuterDst = p.Src, p.Dst
	case n < maxTunnels:
		p.ends[n-1] = [...]ident.Addr{p.Src, p.Dst}
	}
	p.Access.Tunnel++
}
