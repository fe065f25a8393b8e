package control

import (
	"encoding/binary"

	"simtrap/ident"
	"simtrap/packet"
)

// Names of the protocols, as in Record.Protocol.
const (
	GoIPSMS     = "goip-sms"
	GoIPSIMBank = "goip-simbank"
	DinstarAPI  = "dinstar-api"
	RSPRO       = "rspro"
	GSMAMI      = "gsm-ami"
)

// Protocol describes one control protocol.
type Protocol struct {
	Name       string // as in Record.Protocol
	Doc        string // what it is, in plain words
	Vendor     string
	Server     string // what the far end of a gateway is: sms-server, sim-bank
	Source     string // where the facts come from
	Confidence string // how sure they are, and what is left out for that reason
}

// Protocols lists every protocol this package reads. A new one is its file, a
// row here, and its first bytes in Looks.
func Protocols() []Protocol {
	return []Protocol{
		{
			Name:       GoIPSMS,
			Doc:        "GoIP gateway to its SMS server: a keepalive per channel with the identities of module and card, call and message events, commands; UDP, any port",
			Vendor:     "DBL/HYBERTONE",
			Server:     "sms-server",
			Source:     "research/gateways.md 2.1: the maker's SMS interface document and five independent implementations",
			Confidence: "verbatim in several sources; commands and bulk messages are recognised and never sound, their grammar being too plain",
		},
		{
			Name:       GoIPSIMBank,
			Doc:        "GoIP gateway to a SIM bank or its scheduler: login, reset and SIM commands under the magic number 0x43215678; UDP and TCP",
			Vendor:     "DBL/HYBERTONE",
			Server:     "sim-bank",
			Source:     "research/gateways.md 2.3: an emulator tested by its author against gateways; APDU by ETSI TS 51.011 and 31.102",
			Confidence: "frames verbatim in one tested source, for TCP; that UDP carries the same frames is second-hand, and checked byte for byte all the same; text states and RC4 are second-hand and not read",
		},
		{
			Name:       DinstarAPI,
			Doc:        "Dinstar DWG gateway to an application server: keepalive, port states, messages and USSD under a 24-byte header; TCP, any port",
			Vendor:     "Dinstar",
			Server:     "sms-server",
			Source:     "research/gateways.md 2.4: two independent server implementations",
			Confidence: "verbatim in two sources; the body of the call-state report (515) is not known, so it is never sound",
		},
	}
}

// Set reads all protocols. It keeps nothing between packets but counters, so
// every shard has one of its own; it is not safe for concurrent use.
type Set struct{ stats Stats }

// Stats counts what a Set read and what it refused.
type Stats struct {
	Records uint64 // records handed out
	Unsound uint64 // of these, not sound
	Refused uint64 // datagrams with known first bytes that are none of the protocols
	Streams uint64 // framers made
	GaveUp  uint64 // streams abandoned after garbage
	Garbage uint64 // bytes of streams passed over between frames
	Gaps    uint64 // holes in streams
}

// New makes a Set.
func New() *Set { return &Set{} }

// Stats gives the counters so far.
func (s *Set) Stats() Stats { return s.stats }

// Looks says by its first bytes whether payload, of a datagram or a piece of a
// TCP stream, is worth handing to UDP or to a Stream. It is the test of the
// hot path: cheap, often wrong in favour, never wrong against.
func (s *Set) Looks(payload []byte) bool {
	// RTP, RTCP and most of what is encrypted has its highest bit set or is
	// gone after the first switch.
	if len(payload) < 4 || payload[0] >= 0x80 {
		return false
	}
	if payload[0] == 0 {
		return dinstarLooks(payload)
	}
	switch binary.LittleEndian.Uint32(payload) {
	case simbankMagic,
		'r' | 'e'<<8 | 'q'<<16 | ':'<<24, 'r' | 'e'<<8 | 'g'<<16 | ':'<<24, // req: reg:
		'S' | 'T'<<8 | 'A'<<16 | 'T'<<24,                                   // STATE
		'R' | 'E'<<8 | 'C'<<16 | 'O'<<24,                                   // RECORD
		'H' | 'A'<<8 | 'N'<<16 | 'G'<<24,                                   // HANGUP
		'R' | 'E'<<8 | 'M'<<16 | 'A'<<24,                                   // REMAIN
		'E' | 'X'<<8 | 'P'<<16 | 'I'<<24,                                   // EXPIRY
		'R' | 'E'<<8 | 'C'<<16 | 'E'<<24,                                   // RECEIVE
		'D' | 'E'<<8 | 'L'<<16 | 'I'<<24,                                   // DELIVER
		'U' | 'S'<<8 | 'S'<<16 | 'N'<<24, 'U' | 'S'<<8 | 'S'<<16 | 'D'<<24, // USSN USSD...
		'G' | 'S'<<8 | 'M'<<16 | ':'<<24, 'G' | 'S'<<8 | 'M'<<16 | ' '<<24, // GSM
		'B' | 'C'<<8 | 'C'<<16 | 'H'<<24,                                   // BCCH
		'C' | 'E'<<8 | 'L'<<16 | 'L'<<24,                                   // CELLS
		'M' | 'S'<<8 | 'G'<<16 | ' '<<24,                                   // MSG
		'P' | 'A'<<8 | 'S'<<16 | 'S'<<24,                                   // PASSWORD
		'S' | 'E'<<8 | 'N'<<16 | 'D'<<24, 'W' | 'A'<<8 | 'I'<<16 | 'T'<<24, // SEND WAIT
		'D' | 'O'<<8 | 'N'<<16 | 'E'<<24, 'E' | 'R'<<8 | 'R'<<16 | 'O'<<24, // DONE ERROR
		'g' | 'e'<<8 | 't'<<16 | '_'<<24, 's' | 'e'<<8 | 't'<<16 | '_'<<24, // get_ set_
		's' | 'v'<<8 | 'r'<<16 | '_'<<24,                                   // svr_
		'r' | 'e'<<8 | 's'<<16 | 'e'<<24,                                   // reset_remain_time
		'm' | 'o'<<8 | 'd'<<16 | 'u'<<24,                                   // module_ctl
		'C' | 'U'<<8 | 'R'<<16 | 'C'<<24,                                   // CURCELL
		'A' | 'T'<<8 | 'S'<<16 | 'T'<<24,                                   // ATSTART ATSTOP
		'A' | 'T'<<8 | 'A'<<16 | 'L'<<24,                                   // ATALIVE
		'A' | 'T'<<8 | 'C'<<16 | 'M'<<24,                                   // ATCMD
		'C' | 'F'<<8 | 'O'<<16 | 'K'<<24, 'C' | 'F'<<8 | 'E'<<16 | 'R'<<24, // CFOK CFERROR
		'C' | 'W'<<8 | 'O'<<16 | 'K'<<24, 'C' | 'W'<<8 | 'E'<<16 | 'R'<<24: // CWOK CWERROR
		return true
	}
	switch payload[2] {
	case ' ':
		return payload[0] == 'O' && payload[1] == 'K' || payload[0] == 'C' && (payload[1] == 'F' || payload[1] == 'W')
	case ':':
		return payload[0] == 'A' && payload[1] == 'T'
	}
	return false
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
	b := p.Payload
	if len(b) < 4 || b[0] == 0 || !s.Looks(b) {
		return false
	}
	var r *Record
	if binary.LittleEndian.Uint32(b) == simbankMagic {
		r = simbankFrame(b)
	} else {
		r = goipMessage(b)
	}
	if r == nil {
		s.stats.Refused++
		return false
	}
	// What a snap length cut off was not checked.
	r.Sound = r.Sound && !p.Cut() && len(b) <= maxSound
	s.emit(p, r, emit)
	return true
}

func (s *Set) emit(p *packet.Packet, r *Record, emit func(*Record)) {
	r.Time = p.Time
	r.Src, r.Dst, r.SrcPort, r.DstPort = p.Src, p.Dst, p.SrcPort, p.DstPort
	r.Realm, r.TCP = p.Realm, p.Proto == packet.TCP
	s.stats.Records++
	if !r.Sound {
		s.stats.Unsound++
	}
	emit(r)
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
