package pipeline

import (
	"simtrap/control"
	"simtrap/packet"
)

// Origins remembers where the latest connections began, as far as their
// handshake was seen, to know whether a stream that is followed from some
// segment on was followed from its first byte. It is of fixed size; connections
// that fall on the same place push each other out, and nothing is known of them.
type Origins [512]struct {
	connection uint64
	first      [2]uint32 // sequence number of the first byte, by direction
	known      [2]bool
	twice      bool // one end gave two of them
}

// key gives the place of a connection, and which direction p goes.
func (o *Origins) key(p *packet.Packet, seed uint64) (connection uint64, dir int) {
	a := p.Src.Hash(seed+uint64(p.Realm)) + uint64(p.SrcPort)*0x9e3779b97f4a7c15
	b := p.Dst.Hash(seed+uint64(p.Realm)) + uint64(p.DstPort)*0x9e3779b97f4a7c15
	if a > b {
		dir = 1
	}
	return a ^ b, dir
}

// Handshake takes a segment with SYN. The first of a connection has no ACK and
// begins anew; the second has. Anybody can send another one for his own end, on
// a connection that stands, and then nothing is known; for the other end, whose
// system answers no such thing, he cannot.
func (o *Origins) Handshake(p *packet.Packet, seed uint64) {
	c, dir := o.key(p, seed)
	e := &o[c>>32%uint64(len(o))]
	first := p.TCPSeq + 1
	switch {
	case p.Flags&packet.ACK == 0:
		e.connection, e.known, e.twice = c, [2]bool{}, false
	case e.connection != c:
		return
	case e.known[dir] && e.first[dir] != first:
		e.twice = true
		return
	}
	e.first[dir], e.known[dir] = first, true
}

// Of says where in its direction of the connection the piece p stood.
func (o *Origins) Of(p *packet.Packet, seed uint64) control.Origin {
	c, dir := o.key(p, seed)
	e := &o[c>>32%uint64(len(o))]
	switch {
	case e.connection != c || !e.known[dir] || e.twice:
		return control.OriginUnknown
	case e.first[dir] == p.TCPSeq:
		return control.OriginStart
	}
	return control.OriginMiddle
}

// Rest takes the packet with which a followed connection would have gone on when
// it was given up. What came before is known for what it was, so that its
// direction may be taken for one that begins there.
func (o *Origins) Rest(p *packet.Packet, seed uint64) {
	c, dir := o.key(p, seed)
	if e := &o[c>>32%uint64(len(o))]; e.connection == c && e.known[dir] {
		e.first[dir] = p.TCPSeq
	}
}

// lineEnds is how many bytes may stand before the first message of a connection:
// keep-alives, which are line ends (RFC 5626 section 3.5.1).
const lineEnds = 8

// Doubtful says whether a stream of signalling that is followed from p on began
// with something else. A page can make its visitor's browser send anything to
// anybody, but not as the first bytes of a connection, which are HTTP's.
func (o *Origins) Doubtful(p *packet.Packet, seed uint64) bool {
	c, dir := o.key(p, seed)
	e := &o[c>>32%uint64(len(o))]
	return e.connection == c && e.known[dir] && !e.twice && p.TCPSeq-e.first[dir] > lineEnds
}
