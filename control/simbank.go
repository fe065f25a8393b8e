package control

import (
	"bytes"
	"encoding/binary"

	"simtrap/ident"
	"simtrap/packet"
)

// The GoIP SIM bank protocol. Every message has a header of 12 bytes, little
// endian,
//
//	0  u32  0x43215678 (78 56 21 43 on the wire)
//	4  u32  line, bank number * 100 + slot
//	8  u16  command
//	10 u16  type: 2 from a gateway and in the server's echoes of it, 1 from
//	        the card's side, by most commands; 0 or 1 in the server's "ready"
//
// and no length: a datagram ends where it ends, a frame on a stream by what its
// command carries, or at the next header. Most messages carry a number and an
// MD5 sum over it and the shared key (20 bytes). Sums are looked at for being
// sums and not kept; of SIM commands only the structure is read, and of answers
// EF IMSI and EF ICCID where they are plain to see.

// GoIPSIMBank names the protocol, as in Record.Protocol.
const GoIPSIMBank = "goip-simbank"

func goipSIMBank() reader {
	return reader{
		Protocol: Protocol{
			Name:       GoIPSIMBank,
			Doc:        "GoIP gateway to a SIM bank or its scheduler: login, reset and SIM commands under the magic number 0x43215678; UDP and TCP",
			Vendor:     "DBL/HYBERTONE",
			Server:     "sim-bank",
			Source:     "research/gateways.md 2.3: an emulator tested by its author against gateways; APDU by ETSI TS 51.011 and 31.102",
			Confidence: "frames verbatim in one tested source, for TCP; that UDP carries the same frames is second-hand, and checked byte for byte all the same; text states and RC4 are second-hand and not read",
		},
		starts:   []string{simbankStart},
		datagram: simbankDatagram,
		stream:   func() streamReader { return simbankReader{} },
	}
}

// simbankStart is simbankMagic on the wire.
const simbankStart = "\x78\x56\x21\x43"

func simbankDatagram(p *packet.Packet, emit func(*Record)) bool {
	r := simbankFrame(p.Payload)
	if r != nil {
		emit(r)
	}
	return r != nil
}

// simbankReader needs to remember nothing.
type simbankReader struct{}

func (simbankReader) begins(b []byte) bool {
	n := min(len(simbankStart), len(b))
	return string(b[:n]) == simbankStart[:n]
}

func (st simbankReader) step(b []byte, _, last bool, _ int64, emit func(*Record)) (done, want, skip int) {
	if !st.begins(b) {
		return 0, 0, 0
	}
	r, done, want := simbankStep(b, last)
	if r == nil {
		return 0, want, 0
	}
	emit(r)
	return done, 0, 0
}

const (
	simbankMagic  = 0x43215678
	simbankHeader = 12
	simbankToken  = 4 + 16 // number, MD5 sum
	simbankAPDU   = simbankHeader + simbankToken
	simbankMax    = simbankAPDU + 5 + 256 + 2 // longest short APDU, or INS, answer, SW
)

const (
	simbankCard    = 0x0000 // a SIM command (type 2), or answer or ATR (type 1)
	simbankAlive   = 0x0001
	simbankLogin   = 0x0003
	simbankStatus  = 0x001f // answered by 0x0069
	simbankState   = 0x001e
	simbankReady   = 0x0028
	simbankAccept  = 0x005b
	simbankReport  = 0x0069
	simbankReset   = 0x00c8
	simbankResetOK = 0x00c9
)

// simbankFrame reads one whole frame.
func simbankFrame(b []byte) *Record {
	if len(b) < simbankHeader || binary.LittleEndian.Uint32(b) != simbankMagic {
		return nil
	}
	line := binary.LittleEndian.Uint32(b[4:])
	command, kind := binary.LittleEndian.Uint16(b[8:]), binary.LittleEndian.Uint16(b[10:])
	body := b[simbankHeader:]
	// Slots count from 1, and no type beyond 2 is known.
	if line%100 == 0 || kind > 2 || len(b) > simbankMax {
		return nil
	}
	r := &Record{
		Protocol: GoIPSIMBank, Vendor: "DBL/HYBERTONE", Channel: line,
		Kind: Event, Exchange: exchange("login", uint64(line)),
		// Without the length, to be that of a frame which is cut off as well.
		Digest: ident.Hash(4, b[:min(len(b), simbankHeader+4)]),
	}
	token := len(body) == simbankToken && sum(body[4:])
	own := token && binary.LittleEndian.Uint32(body) == line
	switch command {
	case simbankLogin:
		// Both ends say it: the server gives a login back as it came, and
		// keepalives look the same. Of type 1 it is the server's for certain.
		r.Kind, r.Sound = Login, own && kind != 0
		r.served(kind)
	case simbankAlive:
		r.Kind, r.Sound = Keepalive, own && kind != 0
		r.served(kind)
	case simbankAccept:
		r.Kind, r.Sender, r.Reply, r.Sound = Answer, RoleServer, true, len(body) == 0 && kind == 1
	case simbankReady:
		r.Kind, r.Sender, r.Reply, r.Sound = Answer, RoleServer, true, len(body) == 0 && kind < 2
	case simbankReset:
		r.Kind, r.Sender, r.Sound = Command, RoleGateway, token && kind == 2
		r.Exchange, r.Reset = exchange("reset", uint64(line)), true
	case simbankResetOK:
		r.Kind, r.Sender, r.Reply, r.Sound = Answer, RoleServer, true, token && kind == 1
		r.Exchange, r.Reset = exchange("reset", uint64(line)), true
	case simbankCard:
		r.Kind, r.Exchange = APDU, exchange("apdu", uint64(line))
		if len(body) <= simbankToken {
			break
		}
		card := body[simbankToken:]
		switch kind {
		case 2:
			r.Sender, r.Sound = RoleGateway, sum(body[4:simbankToken]) && apduCommand(card)
		case 1:
			r.Sender, r.Reply = RoleBank, true
			// The reset is the gateway's word; of the bank, who tells the
			// identities, it is the ATR that shows it.
			r.Reset = atr(card)
			r.Sound = sum(body[4:simbankToken]) && (r.Reset || apduAnswer(card))
			if r.Sound {
				r.card(card)
			}
		}
	case simbankStatus, simbankState:
		// What a status query must carry is not known well enough to check.
		r.Kind, r.Sender, r.Exchange = Keepalive, RoleGateway, exchange("status", uint64(line))
	case simbankReport:
		r.Kind, r.Sender, r.Reply, r.Exchange = Answer, RoleServer, true, exchange("status", uint64(line))
	}
	return r
}

// served marks what both ends say as the server's answer if its type tells.
func (r *Record) served(kind uint16) {
	if kind == 1 {
		r.Sender, r.Reply = RoleServer, true
	}
}

// card takes an identity out of the answer to a READ BINARY.
func (r *Record) card(b []byte) {
	if len(b) > 3 && b[0] == insReadBinary {
		r.identity(b[1:])
	}
}

// identity takes an identity out of what a card answers: EF IMSI is nine bytes,
// the length 8 and the digits behind a parity nibble 9 or 1 (3GPP TS 31.102
// section 4.2.2), EF ICCID ten bytes (TS 51.011 section 10.1.1), each before the
// status word for success.
func (r *Record) identity(b []byte) {
	if len(b) < 3 || b[len(b)-2] != 0x90 || b[len(b)-1] != 0 {
		return
	}
	var digits [20]byte
	switch b = b[:len(b)-2]; {
	case len(b) == 9 && b[0] == 8 && b[1]&7 == 1:
		d := nibbles(digits[:0], b[1:])
		if len(d) > 1 && plausible(d[1:]) {
			r.IMSI, _ = ident.NewIMSI(d[1:])
		}
	case len(b) == 10:
		d := nibbles(digits[:0], b)
		if c, ok := ident.NewICCID(d); ok && c.Checked() {
			r.ICCID = c
		}
	}
}

// nibbles appends the digits of b, low nibble first, up to a filler; nil when
// there is anything else.
func nibbles(d, b []byte) []byte {
	for i := 0; i < 2*len(b); i++ {
		n := b[i/2] >> (i % 2 * 4) & 15
		switch {
		case n <= 9:
			d = append(d, '0'+n)
		case n == 15 && i == 2*len(b)-1:
		default:
			return nil
		}
	}
	return d
}

// sum says whether b may be an MD5 sum: of sixteen random bytes, hardly ever
// are fewer than eight different.
func sum(b []byte) bool {
	var seen [4]uint64
	n := 0
	for _, c := range b[:16] {
		if bit := uint64(1) << (c & 63); seen[c>>6]&bit == 0 {
			seen[c>>6] |= bit
			n++
		}
	}
	return n >= 8
}

// simbankStep reads the first frame in b, which is what a stream holds; last says that
// no more has arrived. It gives how many bytes are done with, or none and how
// many it wants.
func simbankStep(b []byte, last bool) (r *Record, done, want int) {
	if len(b) < simbankHeader {
		return nil, 0, simbankHeader
	}
	magic := [...]byte{0x78, 0x56, 0x21, 0x43}
	if bytes.HasPrefix(b[simbankHeader:], magic[:]) {
		return simbankFrame(b[:simbankHeader]), simbankHeader, 0 // nothing in it
	}
	switch binary.LittleEndian.Uint16(b[8:]) {
	case simbankAccept, simbankReady:
		return simbankFrame(b[:simbankHeader]), simbankHeader, 0
	case simbankAlive, simbankLogin, simbankStatus, simbankState, simbankReset, simbankResetOK, 0x0014, 0x0032:
		if len(b) < simbankAPDU {
			return nil, 0, simbankAPDU
		}
		return simbankFrame(b[:simbankAPDU]), simbankAPDU, 0
	}
	// The end shows only in what follows: the next header, or nothing.
	from := min(len(b), simbankHeader)
	if binary.LittleEndian.Uint16(b[8:]) == simbankCard {
		from = min(len(b), simbankAPDU) // a sum may hold anything
	}
	if i := bytes.Index(b[from:min(len(b), simbankMax+4)], magic[:]); i >= 0 {
		return simbankFrame(b[:from+i]), from + i, 0
	}
	if len(b) >= simbankMax+4 {
		return nil, 4, 0 // too long for any frame: garbage, look further on
	}
	// What ends like the beginning of a header may be one, cut in two.
	header := false
	for n := range magic {
		header = header || n > 0 && bytes.HasSuffix(b, magic[:n])
	}
	if r = simbankFrame(b); last && !header && r != nil && r.Sound {
		return r, len(b), 0
	}
	return nil, 0, simbankMax + 4
}
