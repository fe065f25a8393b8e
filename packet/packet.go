// Package packet turns frames into datagrams and pieces of TCP streams: link
// layers, VLAN tags, PPP, MPLS, tunnels, fragments, TCP in order. It is all
// our own code because it meets hostile bytes; every length is checked, every
// table is bounded, and whatever is dropped is counted by its reason.
//
// The three parts are used like this, each by one goroutine at a time:
//
//	r := dec.Frame(f.Link, batch.Data(i), f.Wire, &p)
//	for r == packet.Fragment {
//		whole, ok := defrag.Add(&p)
//		if !ok {
//			break
//		}
//		r = dec.Resume(whole, &p)
//	}
//	switch r {
//	case packet.Datagram: // p is a UDP datagram
//	case packet.Segment:
//		streams.Feed(&p, emit)
//	}
//
// No checksum is verified: network cards fill them in after a capture on the
// sending host has seen the packet, so a wrong one says nothing.
package packet

import "simtrap/ident"

// IP protocol numbers (IANA).
const (
	TCP uint8 = 6
	UDP uint8 = 17

	protoGRE uint8 = 47
	protoESP uint8 = 50
)

// TCP flags (RFC 9293 section 3.1).
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// Packet is one decoded datagram, TCP segment or in-order piece of a TCP
// stream: what lies innermost, behind all tunnels. Payload is a view into the
// batch (or into the reassembler's buffer), valid until that is released.
type Packet struct {
	Time             int64  // nanoseconds since the Unix epoch
	Seq              uint64 // number of the (completing) frame within its source
	Source           uint32
	Src, Dst         ident.Addr
	SrcPort, DstPort uint16
	Realm            ident.Realm
	Proto            uint8 // UDP or TCP; ESP or GRE where the result is Opaque
	TTL              uint8 // or IPv6 hop limit, of the innermost header
	Flags            uint8 // TCP only
	TapPort          uint16
	TCPSeq, TCPAck   uint32 // TCP only
	// Length is the payload's length on the wire, by the UDP length or the IP
	// length; Payload is shorter when a snap length cut the frame.
	Length  uint32
	Payload []byte
	// Doubtful says that a page in somebody's browser may have written the piece
	// of a stream: the connection began with something else than what is read of
	// it, or is a WebSocket. Package pipeline sets it.
	Doubtful bool
	Access   Access
	// Frag is set when the decoder's result is Fragment, and stale otherwise.
	Frag Frag
	// ends are those of the tunnels within the outermost one, as many as
	// Access.Tunnel says, and stale behind them.
	ends [maxTunnels - 1][2]ident.Addr
	// pptp is how many bytes follow the IP header of GRE of PPTP with something
	// enciphered inside, 0 for none: that of the innermost.
	pptp uint32
}

// Access is how the line reached the tap: attributes of a line, not its key.
// Zero means absent. Of what occurs more than once the outermost is kept.
type Access struct {
	VLAN [2]uint16 // outer, inner VLAN identifier (IEEE 802.1Q)
	TEID uint32    // GTP-U tunnel endpoint (3GPP TS 29.281)
	// L2TP is the session of version 3 (RFC 3931), or the tunnel in the upper
	// and the session in the lower 16 bits of version 2 (RFC 2661).
	L2TP    uint32
	Session uint16 // PPPoE session (RFC 2516)
	Tunnel  uint8  // how many tunnel headers were removed: GRE, GTP-U, VXLAN, IP in IP and so on
	// OuterSrc and OuterDst are the ends of the outermost tunnel.
	OuterSrc, OuterDst ident.Addr
}

// Frag is one fragment of an IP datagram (RFC 791 section 3.2, RFC 8200
// section 4.5). Src, Dst and Access of the Packet are those of the fragmented
// datagram.
type Frag struct {
	ID     uint32 // identification; 16 bits in IPv4
	Offset uint32 // bytes, a multiple of 8, at most 65528
	Length uint32 // bytes on the wire; Data is shorter when a snap length cut the frame
	More   bool   // not the last fragment
	V6     bool
	Proto  uint8 // what the reassembled bytes begin with; in IPv6 only the first fragment's counts
	// Headers is how many headers were removed so far, so that the limit holds
	// over reassembly too.
	Headers uint8
	Data    []byte // a view, as Payload is
}

// maxTunnels is how many tunnels around a packet are known by their ends: a
// mirror's, two of the operator's, and a subscriber's own within them.
const maxTunnels = 4

// Tunnels says how many tunnels around the packet are known by their ends.
func (p *Packet) Tunnels() int { return min(int(p.Access.Tunnel), maxTunnels) }

// Tunnel gives the ends of tunnel i around the packet, of which 0 is outermost.
func (p *Packet) Tunnel(i int) (src, dst ident.Addr) {
	if i == 0 {
		return p.Access.OuterSrc, p.Access.OuterDst
	}
	return p.ends[i-1][0], p.ends[i-1][1]
}

// Cut says whether a snap length took part of the payload.
func (p *Packet) Cut() bool { return uint32(len(p.Payload)) < p.Length }
