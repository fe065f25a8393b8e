package pipeline

import (
	"encoding/binary"

	"simtrap/packet"
	"simtrap/rtp"
)

// exchangeSeen is an exchange under TLS, or one of STUN, DTLS or QUIC, between two
// sockets, both of which took part.
type exchangeSeen struct {
	flow  rtp.Flow
	paths bool // STUN, DTLS or QUIC
	begun bool // no exchange yet: a client's first message to a port of SIP over TLS
	asked bool // of TLS: the connection was seen to be opened, and the flow goes from who did
}

const (
	// sealedPause is the silence of a connection before an exchange, and
	// sealedTurn how soon its answer comes, ns.
	sealedPause = int64(300e6)
	sealedTurn  = int64(2e9)
	// pathsAgain is how often, ns, a flow is told of again: consent to send is
	// asked for every five seconds (RFC 7675 section 5.1).
	pathsAgain = int64(10e9)
	// maxSealedSecond bounds what a shard tells of in a second, of either kind.
	maxSealedSecond = 500
)

// sealedTable finds such exchanges. Its tables are small and lossy: a flow that
// finds its place taken takes it. Of TLS that says less of lines and never more;
// STUN and DTLS, which speak for a line, have a table of their own, so that the
// far more of TLS leave them alone.
type sealedTable struct {
	tls, paths sealedSecond
	tlsFlows   [256]tlsPlace
	pathFlows  [256]exchangeFlow
}

// tlsPlace is where some flows' exchanges are kept, and beside it, since a packet
// meets both, which connections were seen to be opened: more of them, since most
// say nothing for long.
type tlsPlace struct {
	exchangeFlow
	opened [4]openedFlow
}

// at gives the place of a key, and that of its connection in it.
func (t *sealedTable) at(key uint64) (*tlsPlace, *openedFlow) {
	p := &t.tlsFlows[key>>32%uint64(len(t.tlsFlows))]
	return p, &p.opened[key>>40%uint64(len(p.opened))]
}

// openedFlow is a connection that was seen to be opened, and by which end. One whose
// place another took, or that was open before the tap looked, is nobody's.
type openedFlow struct {
	key uint64
	way bool
}

// sealedSecond counts what is told of in a second.
type sealedSecond struct {
	second  int64
	n       int
	crowded uint64 // exchanges not told of: too many
}

func (q *sealedSecond) room(t int64) bool {
	if second := t / 1e9; second != q.second {
		q.second, q.n = second, 0
	}
	if q.n >= maxSealedSecond {
		q.crowded++
		return false
	}
	q.n++
	return true
}

type exchangeFlow struct {
	key  uint64
	last int64
	from int64 // when the side that spoke first after a silence did; 0 for none
	way  bool
	told int64

	known, client bool // of TLS: it was seen to be opened, and by whom, as way
}

// packet takes a packet and says whether it completes an exchange.
func (t *sealedTable) packet(p *packet.Packet, e hashes, out *exchangeSeen) bool {
	paths := p.Proto == packet.UDP && findsPaths(p.Payload)
	if p.Proto == packet.TCP && p.DstPort == sipsPort && tlsHello(p.Payload) && t.tls.room(p.Time) {
		*out = exchangeSeen{flow: flowOfPacket(p), begun: true}
		return true
	}
	opens := p.Proto == packet.TCP && p.Flags&(packet.SYN|packet.ACK) == packet.SYN
	if !paths && !opens && (p.Proto != packet.TCP || !tlsData(p.Payload)) {
		return false
	}
	key, way := sealedKey(p, e)
	place, opened := t.at(key)
	second, f := &t.tls, &place.exchangeFlow
	if paths {
		second, f = &t.paths, &t.pathFlows[key>>32%uint64(len(t.pathFlows))]
	}
	known := f.key == key
	if opens { // it takes no other's place among those that have records
		*opened = openedFlow{key, way}
		if known {
			*f = exchangeFlow{}
		}
		return false
	}
	if !known {
		*f = exchangeFlow{key: key}
	}
	if !paths && !f.known && opened.key == key {
		f.known, f.client = true, opened.way
	}
	silent := p.Time-f.last >= sealedPause
	f.last = p.Time
	switch {
	case paths && f.from == 0, !paths && known && silent:
		f.from, f.way = p.Time, way
		return false
	case f.from == 0 || f.way == way:
		return false
	case paths && f.told != 0 && p.Time-f.told < pathsAgain:
		return false
	case !paths && p.Time-f.from > sealedTurn:
		f.from = 0
		return false
	}
	if f.told = p.Time; !paths {
		f.from = 0
	}
	if !second.room(p.Time) {
		return false
	}
	*out = exchangeSeen{flow: flowOfPacket(p), paths: paths, asked: f.known}
	if f.known && f.client != way {
		out.flow = out.flow.Reverse()
	}
	return true
}

func sealedKey(p *packet.Packet, e hashes) (key uint64, way bool) {
	key, way = e.flow(p)
	return key ^ uint64(p.Realm) | 1, way
}

func flowOfPacket(p *packet.Packet) rtp.Flow {
	return rtp.Flow{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Realm: p.Realm}
}

// sipsPort is that of SIP over TLS (RFC 3261 section 19.1.2).
const sipsPort = 5061

// tlsHello says whether a segment begins with the first message of a TLS client (RFC
// 8446 section 4.1.2).
func tlsHello(b []byte) bool { return len(b) >= 6 && b[0] == 22 && b[1] == 3 && b[5] == 1 }

// tlsData says whether a segment begins with a record of application data (RFC
// 8446 section 5.1).
func tlsData(b []byte) bool {
	return len(b) >= 5 && b[0] == 23 && b[1] == 3 && b[2] <= 4 && binary.BigEndian.Uint16(b[3:]) <= 1<<14+256
}

// findsPaths says whether a datagram is of STUN (RFC 8489 section 5) or DTLS (RFC
// 9147), with which browsers open every flow of media, or has a long header of QUIC
// (RFC 9000 section 17.2; RFC 9369), by which pages send datagrams (WebTransport).
func findsPaths(b []byte) bool {
	switch {
	case len(b) >= 20 && b[0] < 4:
		return binary.BigEndian.Uint32(b[4:]) == 0x2112a442 && b[3]&3 == 0
	case len(b) >= 13 && b[0] >= 20 && b[0] <= 25:
		return b[1] == 0xfe && (b[2] == 0xfd || b[2] == 0xff)
	case len(b) >= 7 && b[0]&0xc0 == 0xc0:
		version := binary.BigEndian.Uint32(b[1:])
		return version == 1 || version == 0x6b3343cf || version>>8 == 0xff0000 // drafts
	}
	return false
}

// maxPaths bounds each of the two generations of flows that paths keeps: 3 MB
// in all.
const maxPaths = 1 << 16

// paths remembers, by hash, flows that STUN or DTLS was seen in. A flow whose
// consent is asked for anew moves to the newer generation.
type paths struct {
	seed         uint64
	newer, older map[uint64]struct{}
	forgotten    uint64
}

// key is the same for either direction.
func (q *paths) key(f rtp.Flow) uint64 {
	a, b := f.Src.Hash(q.seed+uint64(f.SrcPort)), f.Dst.Hash(q.seed+uint64(f.DstPort))
	return (a + b) ^ (a^b)*0x9e3779b97f4a7c15 ^ uint64(f.Realm)
}

func (q *paths) see(f rtp.Flow) {
	if q.newer == nil || len(q.newer) >= maxPaths {
		q.forgotten += uint64(len(q.older))
		q.newer, q.older = make(map[uint64]struct{}), q.newer
	}
	q.newer[q.key(f)] = struct{}{}
}

// has says whether either direction of a flow was seen.
func (q *paths) has(f *rtp.Flow) bool {
	if q.newer == nil {
		return false
	}
	k := q.key(*f)
	if _, ok := q.newer[k]; ok {
		return true
	}
	_, ok := q.older[k]
	return ok
}

// sealed takes an exchange that a shard found.
func (j *joiner) sealed(x *exchangeSeen) {
	f := &x.flow
	if x.paths {
		j.talks.paths.see(*f)
		return
	}
	// Kernel programs let next to nothing of TCP up but what is asked for. Of TLS
	// that is what a line begins on the port of SIP.
	if j.follow != nil && (f.DstPort == sipsPort || f.SrcPort == sipsPort) {
		client := f.Src
		if f.SrcPort == sipsPort {
			client = f.Dst
		}
		if _, ok := j.line(client, f.Realm); ok {
			j.follow(*f, j.now)
		}
	}
	// What is served to a stranger may come whenever he likes, at the ends of calls too;
	// and of a connection that was open before the tap looked nobody knows who began.
	if !x.asked {
		return
	}
	if line, ok := j.line(f.Src, f.Realm); ok {
		j.lines.Sealed(line, f.Dst, j.now)
	}
}
