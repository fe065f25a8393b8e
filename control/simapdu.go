package control

import (
	"encoding/binary"

	"simtrap/ident"
	"simtrap/packet"
)

// SIM commands on their way over a network under a protocol that is not known.
// Banks of cards need them to go from the modem to the card and back, and many
// makers let them go in the clear, behind a header of a few bytes of their own.
// The commands that every modem sends, whatever the card,
//
//	a0 a4 00 00 02 …     SELECT by file identifier (ETSI TS 51.011 section 9.2.1)
//	a0 88 00 00 10 …     RUN GSM ALGORITHM (section 9.2.16)
//	00 88 00 80|81 22 …  AUTHENTICATE (3GPP TS 31.102 section 7.1.2)
//
// have a fixed length, so they must end a datagram or segment, and before them
// must stand nothing, or at most 16 bytes that begin with a length.
// That this is how banks speak is inferred and not seen, so it is a mark, and
// only after several commands of one end and several answers of the other.

// SIMCommands names the protocol, as in Record.Protocol.
const SIMCommands = "sim-commands"

func simCommands() reader {
	flows := &apduFlows{}
	// Alone, or behind a header that begins with their length.
	starts := []string{"\xa0\xa4\x00\x00\x02", "\xa0\x88\x00\x00\x10", "\x00", "\x02", "\x03", "\x07", "\x15", "\x27", "\x28"}
	return reader{
		Protocol: Protocol{
			Name:       SIMCommands,
			Vendor:     "any",
			Doc:        "commands of a modem to a SIM card and the card's answers, in the clear, under a protocol that is not known; UDP and TCP, any port",
			Server:     "sim-bank",
			Source:     "ETSI TS 51.011 and 3GPP TS 31.102; research/gateways.md 2.3",
			Confidence: "inferred from the standards: a mark, after several commands and several answers, never sound; GSMTAP of researchers is left out",
		},
		starts:   starts,
		looks:    apduLooks,
		datagram: flows.datagram,
		stream:   func() streamReader { return &apduStream{} },
		segment:  true,
	}
}

func apduLooks(b []byte) bool {
	return len(b) <= apduHead+apduLongest && (apduBehind(b) >= 0 || apduAhead(b))
}

const (
	apduHead    = 16 // most bytes before a command
	apduLongest = 5 + 34 + 1
	apduTimes   = 3 // commands, and answers, before anything is said
)

// apduBehind says where in b, which is one datagram or segment, a command
// begins that ends it; -1 when there is none.
func apduBehind(b []byte) int {
	n := len(b)
	if n < 7 || n > apduHead+apduLongest {
		return -1
	}
	if at := n - 7; at <= apduHead && b[at] == 0xa0 && b[at+1] == insSelect && b[at+2]|b[at+3] == 0 && b[at+4] == 2 && fileID(b[at+5:]) {
		return apduFits(b, at)
	}
	if at := n - 21; at >= 0 && at <= apduHead && b[at] == 0xa0 && b[at+1] == insAuth && b[at+2]|b[at+3] == 0 && b[at+4] == 16 {
		return apduFits(b, at)
	}
	for at := n - apduLongest; at <= n-apduLongest+1; at++ { // with the length of the answer, or not
		if at >= 0 && at <= apduHead && b[at] == 0 && b[at+1] == insAuth && b[at+2] == 0 && b[at+3]&0xfe == 0x80 &&
			b[at+4] == 34 && b[at+5] == 16 && b[at+22] == 16 {
			return apduFits(b, at)
		}
	}
	return -1
}

// apduFits checks the header before a command or answer at: it begins with the
// length of what is at, or with a number of two or four bytes, big endian, that
// is the length of what follows the number or of the whole.
func apduFits(b []byte, at int) int {
	n := uint32(len(b))
	switch {
	case at == 0:
		return 0
	case gsmtap(b):
	case uint32(b[0]) == n-uint32(at),
		at >= 2 && apduCounts(uint32(binary.BigEndian.Uint16(b)), n, uint32(at), 2),
		at >= 4 && apduCounts(binary.BigEndian.Uint32(b), n, uint32(at), 4):
		return at
	}
	return -1
}

func apduCounts(v, n, at, size uint32) bool { return v == n-at || v == n-size || v == n }

// gsmtap says whether b is of a researcher's tracer: GSMTAP version 2, a header
// of four words, type 4 for SIM. Tracers copy what a card in the lab says to a
// screen; nothing in it works anything.
func gsmtap(b []byte) bool {
	return len(b) >= 16 && b[0] == 2 && b[1] == 4 && b[2] == 4
}

// apduAhead says whether b may be the answer to one of the commands: behind a
// header as above the instruction or not, and a status word that answers them.
func apduAhead(b []byte) bool {
	n := len(b)
	if n < 2 || n > apduHead+3 {
		return false
	}
	switch b[n-2] {
	case 0x9f, 0x61:
		if b[n-1] == 0 {
			return false
		}
	case 0x90:
		if b[n-1] != 0 {
			return false
		}
	default:
		return false
	}
	if n == 2 || apduFits(b, n-2) >= 0 {
		return true
	}
	return (b[n-3] == insSelect || b[n-3] == insAuth) && apduFits(b, n-3) >= 0
}

// apduFlows counts commands and answers on flows of UDP. It is of fixed size;
// flows that fall on the same place push each other out.
type apduFlows [64]struct {
	flow              uint64
	commands, answers uint8
}

// apduFlow is equal for both directions.
func apduFlow(src, dst ident.Addr, srcPort, dstPort uint16) uint64 {
	return src.Hash(uint64(srcPort)) + dst.Hash(uint64(dstPort)) | 1
}

// see counts a datagram and says whether enough has passed both ways for a
// command to be marked.
func (f *apduFlows) see(flow uint64, command bool) bool {
	p := &f[flow>>1%uint64(len(f))]
	if p.flow != flow {
		if !command {
			return false
		}
		p.flow, p.commands, p.answers = flow, 0, 0
	}
	if !command {
		p.answers = min(p.answers+1, p.commands, 250)
		return false
	}
	p.commands = min(p.commands+1, 250)
	return p.commands > apduTimes && p.answers >= apduTimes
}

// apduDatagrams reads UDP.
func (f *apduFlows) datagram(p *packet.Packet, emit func(*Record)) bool {
	command := apduBehind(p.Payload) >= 0
	if !command && !apduAhead(p.Payload) {
		return false
	}
	if !f.see(apduFlow(p.Src, p.Dst, p.SrcPort, p.DstPort), command) {
		return false
	}
	emit(apduMark(p.Payload))
	return true
}

// apduMark is what is said of the end that sends commands to a card elsewhere.
func apduMark(b []byte) *Record {
	return &Record{
		Protocol: SIMCommands, Kind: Mark, Sender: RoleGateway, Digest: ident.Hash(15, b),
		Detail: "commands to a SIM card over the network, in the clear",
	}
}

// apduStream reads one direction of a connection, a segment at a time.
type apduStream struct {
	peer              *apduStream
	commands, answers uint8
}

func (s *apduStream) pair(other streamReader) {
	if o, ok := other.(*apduStream); ok {
		s.peer, o.peer = o, s
	}
}

func (s *apduStream) begins(b []byte) bool { return apduLooks(b) }

// step reads a segment; see streamReader.
func (s *apduStream) step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int) {
	switch {
	case apduBehind(b) >= 0:
		s.commands = min(s.commands+1, 250)
		if s.commands > apduTimes && s.peer != nil && s.peer.answers >= apduTimes {
			emit(apduMark(b))
		}
	case s.peer != nil && s.answers < s.peer.commands && apduAhead(b):
		s.answers++
	default:
		return 0, 0, 0
	}
	return len(b), 0, 0
}
