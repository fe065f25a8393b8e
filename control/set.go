package control

import (
	"encoding/binary"

	"simtrap/ident"
	"simtrap/packet"
)

// Protocol describes one control protocol.
type Protocol struct {
	Name   string // as in Record.Protocol
	Doc    string // what it is, in plain words
	Vendor string
	// Server is what the far end of a gateway is: sms-server, sim-bank,
	// management. Empty: nothing that serves it, but whoever resolves names,
	// tells the time or connects.
	Server     string
	Source     string // where the facts come from
	Marks      bool   // nothing of it is ever more than a mark
	Confidence string // how sure they are, and what is left out for that reason
}

// reader is all that is known of one protocol: what it is, how it begins, how it
// is read. Each has a file of its own that gives one; readers lists them.
type reader struct {
	Protocol
	// starts are the first bytes that its messages may have, at least one each,
	// the longer the better: they are the test of the hot path. dblNames has
	// none; see dblNamed.
	starts []string
	// looks is a further cheap test of what begins so; nil where the first
	// bytes tell enough. b may be as short as the start.
	looks func(b []byte) bool
	// datagram reads a whole datagram and says whether it is the protocol's; if
	// so it calls emit for each record in it. Nil: not over UDP.
	datagram func(p *packet.Packet, emit func(*Record)) bool
	// stream makes what one direction of a connection needs. Nil: not over TCP.
	stream func() streamReader
	// segment says that a message of a stream is a segment from its first byte
	// on, so that none is looked for behind something else.
	segment bool
	// brief says that a connection is for one exchange, as a rule, so that its
	// first answer must count; see Record.Whole.
	brief bool
}

// streamReader reads one direction of a TCP stream.
type streamReader interface {
	// begins says whether a message may begin with b, of which one byte may be
	// there or many.
	begins(b []byte) bool
	// step reads the message at the beginning of b. done is the number of bytes
	// that it takes, from 1 to len(b); or 0, and want says how many bytes must
	// be there, more than len(b) and at most maxHeld; or both are 0: this is no
	// message of the protocol. skip is how many bytes behind those done with
	// are to be passed over unread. last says that nothing follows b yet, first
	// that no message was read so far on this stream, or that what came before
	// made no sense. No text that is not needed should be waited for.
	step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int)
}

// pairedReader is a streamReader that needs to know what the other direction of
// its connection says. pair is called once both are there.
type pairedReader interface{ pair(other streamReader) }

// readers lists every protocol. A new one is its file and a row here.
func readers() []reader {
	return []reader{
		goipSMS(),
		goipSIMBank(),
		dinstarAPI(),
		dblDDNS(),
		dblTime(),
		dblNames(),
		dblTunnel(),
		dblMail(),
		dblEcho(),
		ejoin(),
		twoSlotBoard(),
		gsmAMI(),
		remoteSIM(),
		smpp(),
		simCommands(),
		makerBanner(),
		sipBase64(),
	}
}

// Protocols tells of every protocol this package reads.
func Protocols() []Protocol {
	var out []Protocol
	for _, r := range readers() {
		out = append(out, r.Protocol)
	}
	return out
}

// Set reads all protocols. It keeps nothing between packets but counters, so
// every shard has one of its own; it is not safe for concurrent use.
type Set struct {
	*openings
	readers []reader // of its own: some remember what a flow said before
	stats   Stats
	held    int // bytes that streams hold
}

// openings is how messages begin. It does not change, so that all shards ask one.
type openings struct {
	// first lists by first byte what may begin so.
	first [256][]opening
	only  []opening // one for each reader, that begins with anything
}

// opening is one way a message may begin.
type opening struct {
	word, mask uint32 // of the first four bytes, little endian
	text       string
	reader     uint8
	looks      func([]byte) bool
}

// Stats counts what a Set read and what it refused.
type Stats struct {
	Records uint64 // records handed out
	Unsound uint64 // of these, not sound, marks apart
	Marks   uint64 // of these, marks
	Refused uint64 // datagrams with known first bytes that are none of the protocols
	Streams uint64 // framers made
	GaveUp  uint64 // streams abandoned after garbage
	Garbage uint64 // bytes of streams passed over between frames
	Gaps    uint64 // holes in streams
	// Doubtful is how many marks were not handed out because their connection
	// was not read from its beginning.
	Doubtful uint64
	Full     uint64 // messages on streams dropped because all streams hold too much
}

// New makes a Set.
func New() *Set {
	r := readers()
	return &Set{openings: newOpenings(r), readers: r}
}

// Another makes a Set of the same protocols that has nothing in common with s but
// how they begin, so that another goroutine may use it.
func (s *Set) Another() *Set { return &Set{openings: s.openings, readers: readers()} }

func newOpenings(readers []reader) *openings {
	s := &openings{}
	for i := range readers {
		r := &readers[i]
		s.only = append(s.only, opening{reader: uint8(i)})
		for _, t := range r.starts {
			o := opening{text: t, reader: uint8(i), looks: r.looks}
			for j := range min(len(t), 4) {
				o.word |= uint32(t[j]) << (8 * j)
				o.mask |= 0xff << (8 * j)
			}
			s.first[t[0]] = append(s.first[t[0]], o)
		}
	}
	return s
}

// Stats gives the counters so far.
func (s *Set) Stats() Stats { return s.stats }

// Looks says by its first bytes whether payload, of a datagram or a piece of a
// TCP stream, is worth handing to UDP or to a Stream. It is the test of the
// hot path: cheap, often wrong in favour, never wrong against.
func (s *Set) Looks(payload []byte) bool {
	if len(payload) < 4 {
		return false
	}
	if dblNamed(payload) {
		return true
	}
	list := s.first[payload[0]]
	if len(list) == 0 {
		return false
	}
	word := binary.LittleEndian.Uint32(payload)
	for i := range list {
		if list[i].fits(payload, word) {
			return true
		}
	}
	return false
}

// fits says whether b, whose first four bytes word is, begins so.
func (t *opening) fits(b []byte, word uint32) bool {
	if word&t.mask != t.word {
		return false
	}
	if n := len(t.text); n > 4 && (len(b) < n || string(b[4:n]) != t.text[4:]) {
		return false
	}
	return t.looks == nil || t.looks(b)
}

// maxSound is the longest payload of UDP that a sound record comes of: with its
// header of 8 bytes it fits 64 fragments of 8 bytes, the least that a datagram
// may be cut into and the most that are put together again.
const maxSound = 64*8 - 8

// UDP reads one datagram and says whether it is a message of one of the
// protocols; if so emit is called for each record in it, before UDP returns.
// The record is the callee's to keep.
//
// Nothing in a datagram of more than 512 bytes, its header included, is Sound.
// A longer one can be sent in more fragments than are put together again, so
// that it is not seen on its way to a service that sends it back, and seen on
// the way back. Keepalives of real gateways are of about 330 bytes.
func (s *Set) UDP(p *packet.Packet, emit func(*Record)) bool {
	return s.Looks(p.Payload) && s.read(p, emit)
}

// read is UDP for what Looks like something.
func (s *Set) read(p *packet.Packet, emit func(*Record)) bool {
	b := p.Payload
	looked := false
	tried := uint64(0)
	out := func(r *Record) {
		// What a snap length cut off was not checked.
		r.Sound = r.Sound && !p.Cut() && len(b) <= maxSound
		s.emit(p, r, emit)
	}
	word := binary.LittleEndian.Uint32(b)
	for i := range s.first[b[0]] {
		t := &s.first[b[0]][i]
		r := &s.readers[t.reader]
		if r.datagram == nil || tried>>t.reader&1 == 1 || !t.fits(b, word) {
			continue
		}
		tried |= 1 << t.reader
		looked = true
		if r.datagram(p, out) {
			return true
		}
	}
	if dblNamed(b) {
		looked = true
		if dblNamesDatagram(p, out) {
			return true
		}
	}
	if looked {
		s.stats.Refused++
	}
	return false
}

func (s *Set) emit(p *packet.Packet, r *Record, emit func(*Record)) {
	r.Time = p.Time
	r.Src, r.Dst, r.SrcPort, r.DstPort = p.Src, p.Dst, p.SrcPort, p.DstPort
	r.Realm, r.TCP = p.Realm, p.Proto == packet.TCP
	s.count(r)
	emit(r)
}

// marksOnly says whether nothing of a protocol is ever more than a mark.
func (s *Set) marksOnly(name string) bool {
	for i := range s.readers {
		if s.readers[i].Name == name {
			return s.readers[i].Marks
		}
	}
	return false
}

func (s *Set) count(r *Record) {
	s.stats.Records++
	switch {
	case r.Kind == Mark:
		s.stats.Marks++
	case !r.Sound && !s.marksOnly(r.Protocol):
		s.stats.Unsound++
	}
}

// exchange names an exchange by what kind it is and its number.
func exchange(kind string, n uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return ident.Hash(ident.Hash(0, []byte(kind)), b[:]) | 1
}

// plausible narrows an IMSI to what a card of a public network carries: 14 or
// 15 digits, a mobile country code from 200 to 799 (ITU-T E.212 zones 2 to 7).
func plausible(imsi []byte) bool {
	return (len(imsi) == 14 || len(imsi) == 15) && imsi[0] >= '2' && imsi[0] <= '7'
}
