// Package packet turns frames into datagrams and pieces of TCP streams: link
// layers, VLAN tags, PPPoE, MPLS, tunnels, fragments, TCP in order. It is all
// our own code because it meets hostile bytes; every length is checked, every
// table is bounded, and whatever is dropped is counted by its reason.
package packet

import "simtrap/ident"

// IP protocol numbers (IANA).
const (
	TCP uint8 = 6
	UDP uint8 = 17
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
	Proto            uint8 // UDP or TCP
	TTL              uint8 // or IPv6 hop limit, of the innermost header
	Flags            uint8 // TCP only
	TapPort          uint16
	TCPSeq, TCPAck   uint32 // TCP only
	// Length is the payload's length on the wire, by the UDP length or the IP
	// length; Payload is shorter when a snap length cut the frame.
	Length  uint32
	Payload []byte
	Access  Access
}

// Access is how the line reached the tap: attributes of a line, not its key.
// Zero means absent.
type Access struct {
	VLAN    [2]uint16 // outer, inner VLAN identifier (IEEE 802.1Q)
	Session uint16    // PPPoE session (RFC 2516)
	TEID    uint32    // GTP-U tunnel endpoint (3GPP TS 29.281)
	Tunnel  uint8     // how many tunnel headers were removed
}

// Cut says whether a snap length took part of the payload.
func (p *Packet) Cut() bool { return uint32(len(p.Payload)) < p.Length }
