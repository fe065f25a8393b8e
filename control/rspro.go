package control

import (
	"bytes"
	"encoding/binary"

	"simtrap/ident"
)

// RSPRO, the remote SIM protocol of osmo-remsim: modems ("clients"), banks of
// cards ("bankd") and a server that tells them who belongs to whom. Over TCP,
// each message in a frame of IPA,
//
//	0  u16  length of what follows the third byte, big endian
//	2  u8   0xee, and then 0x07 for RSPRO; or 0xfe: 0 ping, 1 pong
//
// and in it, in BER with implicit tags,
//
//	RsproPDU ::= SEQUENCE { version [0], tag [1], msg [2] CHOICE }
//
// Only the slots, the component's kind, and the structure of what passes
// between modem and card are read; names and keys are not kept. The software is
// free and has honest users too: researchers, and operators who test networks.

// RSPRO names the protocol, as in Record.Protocol.
const RSPRO = "rspro"

func remoteSIM() reader {
	return reader{
		Protocol: Protocol{
			Name:       RSPRO,
			Doc:        "osmo-remsim: modem to a bank of cards, and both to their server; slots, connections and SIM commands in BER under IPA; TCP, any port",
			Vendor:     "osmocom",
			Server:     "sim-bank",
			Source:     "research/gateways.md 2.7: the ASN.1 definition and source of the software",
			Confidence: "verbatim in the source; free software that researchers use too",
		},
		starts: []string{"\x00", "\x01"},
		looks:  rsproLooks,
		stream: func() streamReader { return rsproReader{} },
	}
}

const (
	ipaHeader = 3
	ipaOsmo   = 0xee
	ipaCCM    = 0xfe
	ipaRSPRO  = 0x07
	// rsproMax is the longest frame that is read: the longest message has two
	// slots, flags and a command of 260 bytes.
	rsproMax = 400
)

// Choices of RsproPDUchoice.
const (
	rsproConnectBank    = 0
	rsproConnectClient  = 2
	rsproSetATR         = 10
	rsproModemToCard    = 12
	rsproCardToModem    = 13
	rsproClientStatus   = 14
	rsproBankStatus     = 15
	rsproErrorInd       = 16
	rsproConfigBank     = 17
	rsproConfigBankDone = 18
	rsproReset          = 19
	rsproResetDone      = 20
)

// rsproLooks says whether b begins with a frame that no other protocol has by
// chance: the length of a short message, and its first three fields.
func rsproLooks(b []byte) bool {
	if len(b) < ipaHeader+6 || b[2] != ipaOsmo || b[3] != ipaRSPRO || b[4] != 0x30 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b))
	return n >= 10 && n <= rsproMax-ipaHeader
}

// rsproSize gives the length of the frame at the beginning of b, 0 when there
// is none; b is at least ipaHeader long.
func rsproSize(b []byte) int {
	n := int(binary.BigEndian.Uint16(b))
	switch {
	case b[2] == ipaOsmo && n >= 2 && n <= rsproMax-ipaHeader, b[2] == ipaCCM && n >= 1 && n <= 64:
		return ipaHeader + n
	}
	return 0
}

// rsproFrame reads one whole frame. The record is nil when it tells nothing; ok
// says that it was a frame all the same.
func rsproFrame(b []byte) (r *Record, ok bool) {
	body := b[ipaHeader:]
	if b[2] == ipaCCM {
		return nil, true // ping, pong and names of the link below
	}
	if body[0] != ipaRSPRO {
		return nil, true // another protocol of the family
	}
	pdu, rest, good := ber(body[1:], 0x30)
	if !good || len(rest) != 0 {
		return nil, false
	}
	version, pdu, ok1 := berNumber(pdu, 0x80)
	tag, pdu, ok2 := berNumber(pdu, 0x81)
	msg, rest, ok3 := ber(pdu, 0xa2)
	if !ok1 || !ok2 || !ok3 || len(rest) != 0 || version != 2 || len(msg) < 2 {
		return nil, false
	}
	// Which of the choices: constructed, of context class.
	choice := int(msg[0]) - 0xa0
	m, rest, good := ber(msg, msg[0])
	if !good || len(rest) != 0 || choice < 0 || choice > rsproResetDone {
		return nil, false
	}
	r = &Record{Protocol: RSPRO, Vendor: "osmocom", Kind: Event, Digest: ident.Hash(6, b)}
	r.Exchange = exchange("rspro", uint64(tag)<<8|uint64(rsproRequest(choice)))
	if !r.rspro(choice, m) {
		return nil, false
	}
	r.Sound = true
	return r, true
}

// rsproRequest gives the choice that another one answers, or itself.
func rsproRequest(choice int) int {
	switch {
	case choice == rsproConfigBankDone:
		return rsproConfigBank
	case choice == rsproResetDone:
		return rsproReset
	case choice < rsproModemToCard:
		return choice &^ 1
	}
	return choice
}

// rspro reads the message m and says whether it holds.
func (r *Record) rspro(choice int, m []byte) bool {
	switch choice {
	case rsproConnectBank, rsproConnectBank + 1, rsproConnectClient, rsproConnectClient + 1:
		return r.rsproConnect(choice, m)
	case rsproModemToCard, rsproCardToModem:
		return r.rsproTPDU(choice, m)
	case rsproClientStatus, rsproBankStatus:
		client, bank, ok := rsproSlots(choice == rsproClientStatus, &m)
		status, rest, ok2 := ber(m, 0x30)
		if !ok || !ok2 || len(rest) != 0 || !berFlags(status, 0x80) {
			return false
		}
		if choice == rsproClientStatus {
			r.Sender, r.Channel = RoleGateway, client
		} else {
			r.Sender, r.Channel = RoleBank, bank
		}
		return true
	case rsproSetATR:
		// Only the client's slot is told, which is no channel of the bank.
		_, rest, ok := rsproSlot(m)
		card, rest, ok2 := ber(rest, 0x04)
		r.Kind, r.Sender = APDU, RoleBank
		return ok && ok2 && len(rest) == 0 && atr(card)
	case rsproSetATR + 1:
		r.Kind, r.Sender, r.Reply = Answer, RoleGateway, true
		return rsproResult(m)
	case 4, 6: // createMapping, removeMapping: client, bank
		_, _, ok := rsproSlots(true, &m)
		r.Kind, r.Sender = Command, RoleServer
		return ok && len(m) == 0
	case 5, 7:
		r.Kind, r.Sender, r.Reply = Answer, RoleBank, true
		return rsproResult(m)
	case 8: // configClientId
		_, rest, ok := rsproSlot(m)
		r.Kind, r.Sender = Command, RoleServer
		return ok && len(rest) == 0
	case rsproConfigBank: // the bank's slot, address and port
		_, rest, ok := rsproSlot(m)
		at, rest, ok2 := ber(rest, 0x30)
		r.Kind, r.Sender = Command, RoleServer
		return ok && ok2 && len(rest) == 0 && len(at) > 0
	case 9, rsproConfigBankDone:
		r.Kind, r.Sender, r.Reply = Answer, RoleGateway, true
		return rsproResult(m)
	case rsproReset:
		r.Kind, r.Sender = Command, RoleServer
		return len(m) == 0
	case rsproResetDone: // from either
		r.Kind, r.Reply = Answer, true
		return rsproResult(m)
	}
	return choice == rsproErrorInd && len(m) > 0
}

// rsproConnect reads who connects, or who lets connect.
func (r *Record) rsproConnect(choice int, m []byte) bool {
	identity, rest, ok := ber(m, 0x30)
	kind, more, ok2 := berNumber(identity, 0x0a)
	name, more, ok3 := ber(more, 0x16)
	software, more, ok4 := ber(more, 0x80)
	version, more, ok5 := ber(more, 0x81)
	if !ok || !ok2 || !ok3 || !ok4 || !ok5 || !rsproName(name) || !rsproName(software) || !rsproName(version) {
		return false
	}
	for tag := byte(0x82); len(more) > 0; tag++ { // maker, model, numbers: not kept
		if tag > 0x86 {
			return false
		}
		if more[0] != tag {
			continue
		}
		var s []byte
		if s, more, ok = ber(more, tag); !ok || !rsproName(s) {
			return false
		}
	}
	r.Kind = Login
	switch kind {
	case 0:
		r.Sender = RoleGateway
	case 1:
		r.Sender = RoleServer
	case 2:
		r.Sender = RoleBank
	default:
		return false
	}
	if choice&1 == 1 {
		r.Kind, r.Reply = Answer, true
		return r.Sender != RoleGateway && rsproResult(rest)
	}
	if choice == rsproConnectBank {
		bank, rest, ok := berNumber(rest, 0x02)
		slots, rest, ok2 := berNumber(rest, 0x02)
		return ok && ok2 && len(rest) == 0 && bank < 1024 && slots < 1024 && r.Sender == RoleBank
	}
	if r.Sender != RoleGateway {
		return false
	}
	if len(rest) > 0 {
		r.Channel, rest, ok = rsproSlot(rest)
	}
	return ok && len(rest) == 0
}

// rsproTPDU reads what passes between modem and card.
func (r *Record) rsproTPDU(choice int, m []byte) bool {
	client, bank, ok := rsproSlots(choice == rsproModemToCard, &m)
	flags, m, ok2 := ber(m, 0x30)
	data, rest, ok3 := ber(m, 0x04)
	if !ok || !ok2 || !ok3 || len(rest) != 0 || !berFlags(flags, 0x01) {
		return false
	}
	r.Kind, r.Exchange = APDU, exchange("rspro-tpdu", uint64(client)<<32|uint64(bank))
	if choice == rsproModemToCard {
		r.Sender, r.Channel = RoleGateway, client
		return apduCommand(data)
	}
	r.Sender, r.Channel, r.Reply = RoleBank, bank, true
	if !apduResponse(data) {
		return false
	}
	r.identity(data)
	return true
}

// rsproSlots takes the two slots off m, the client's first if first says so.
func rsproSlots(first bool, m *[]byte) (client, bank uint32, ok bool) {
	a, rest, ok1 := rsproSlot(*m)
	b, rest, ok2 := rsproSlot(rest)
	*m = rest
	if !first {
		a, b = b, a
	}
	return a, b, ok1 && ok2
}

// rsproSlot reads a client's or bank's number and the slot in it, as one number
// that is never 0.
func rsproSlot(b []byte) (slot uint32, rest []byte, ok bool) {
	s, rest, ok := ber(b, 0x30)
	unit, s, ok1 := berNumber(s, 0x02)
	n, s, ok2 := berNumber(s, 0x02)
	if !ok || !ok1 || !ok2 || len(s) != 0 || unit > 1023 || n > 1023 {
		return 0, nil, false
	}
	return unit<<10 + n + 1, rest, true
}

func rsproResult(b []byte) bool {
	n, rest, ok := berNumber(b, 0x0a)
	return ok && len(rest) == 0 && (n <= 5 || n >= 100 && n <= 102)
}

func rsproName(b []byte) bool {
	return len(b) >= 1 && len(b) <= 32 && bytes.IndexFunc(b, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// ber takes one element with the given tag off b, its length in the definite
// form of one to three bytes (ITU-T X.690 section 8.1).
func ber(b []byte, tag byte) (value, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, at := int(b[1]), 2
	switch {
	case n == 0x81 && len(b) > 2:
		n, at = int(b[2]), 3
	case n == 0x82 && len(b) > 3:
		n, at = int(binary.BigEndian.Uint16(b[2:])), 4
	case n >= 0x80:
		return nil, nil, false
	}
	if len(b)-at < n {
		return nil, nil, false
	}
	return b[at : at+n], b[at+n:], true
}

// berNumber takes a number of at most 31 bits, and no sign, off b.
func berNumber(b []byte, tag byte) (n uint32, rest []byte, ok bool) {
	v, rest, ok := ber(b, tag)
	if !ok || len(v) == 0 || len(v) > 4 || v[0] >= 0x80 {
		return 0, nil, false
	}
	for _, c := range v {
		n = n<<8 | uint32(c)
	}
	return n, rest, true
}

// berFlags says whether b is a few booleans and nothing else; tag is that of
// the first, of which those of context class count on.
func berFlags(b []byte, tag byte) bool {
	n := 0
	for ; len(b) > 0; n++ {
		if len(b) < 3 || b[1] != 1 || n > 8 {
			return false
		}
		if b[0] != tag && (tag < 0x80 || b[0] < tag || b[0] > tag+7) {
			return false
		}
		b = b[3:]
	}
	return n > 0
}

// rsproReader needs to remember nothing.
type rsproReader struct{}

func (rsproReader) begins(b []byte) bool {
	if len(b) < ipaHeader+6 {
		return b[0] < 2
	}
	return rsproLooks(b) || b[2] == ipaCCM && rsproSize(b) != 0
}

// step reads a frame; see streamReader.
func (rsproReader) step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int) {
	if len(b) < ipaHeader {
		return 0, ipaHeader, 0
	}
	n := rsproSize(b)
	switch {
	case n == 0, first && b[2] == ipaCCM:
		return 0, 0, 0
	case len(b) < n:
		return 0, n, 0
	}
	r, ok := rsproFrame(b[:n])
	if !ok {
		return 0, 0, 0
	}
	if r != nil {
		emit(r)
	}
	return n, 0, 0
}
