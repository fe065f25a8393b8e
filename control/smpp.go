package control

import (
	"bytes"
	"encoding/binary"

	"simtrap/ident"
)

// SMPP 3.4, the protocol of short-message centres: TCP, a header of 16 bytes,
// big endian,
//
//	0  u32  length of the whole
//	4  u32  command; the highest bit set in an answer
//	8  u32  status, 0 in a request
//	12 u32  number, the same in the answer
//
// Who sends messages binds to a centre. Businesses do so to their provider all
// day long, so a bind says nothing about a line. The other way round it does:
// some gateways are centres themselves, for one customer to bind to each channel
// by names like goip01; a line that accepts a bind is a message service, and one
// that accepts such a name is likely a gateway. All that is a mark at most. The
// names are kept as a hash, passwords and texts are stepped over, and of a
// message the recipient's number is taken, to count how many there are.

// SMPP names the protocol, as in Record.Protocol.
const SMPP = "smpp"

func smpp() reader {
	return reader{
		Protocol: Protocol{
			Name:       SMPP,
			Vendor:     "any",
			Doc:        "binds to a short-message centre, and how many messages go to how many numbers; TCP, any port",
			Server:     "sms-server",
			Source:     "SMPP 3.4; research/gateways.md 2.8: names as they are customary with GoIP's own centre",
			Confidence: "a message service, never sound; a mark only where a line accepts a bind by a name like goip01, which one source documents",
		},
		starts: []string{"\x00\x00"},
		looks:  smppLooks,
		stream: func() streamReader { return &smppStream{} },
	}
}

const (
	smppHeader = 16
	smppMax    = 4096 // most bytes of a message: text in an optional parameter included
)

const (
	smppReceiver    = 1
	smppTransmitter = 2
	smppSubmit      = 4
	smppDeliver     = 5
	smppTransceiver = 9
	smppEnquire     = 0x15
	smppAnswer      = 0x80000000
)

// smppLooks says whether b begins with a bind, or its answer, or a message; b
// is at least a header long.
func smppLooks(b []byte) bool {
	if len(b) < smppHeader || b[0]|b[1] != 0 || b[5]|b[6] != 0 || b[4]&0x7f != 0 {
		return false
	}
	n, command, status := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if n < smppHeader || n > smppMax || b[12] >= 0x80 || binary.BigEndian.Uint32(b[12:]) == 0 {
		return false
	}
	switch command {
	case smppReceiver, smppTransmitter, smppTransceiver:
		return status == 0 && n >= smppHeader+7 && n <= smppHeader+16+9+13+3+41
	case smppSubmit, smppDeliver:
		return status == 0 && n >= smppHeader+17
	case smppReceiver | smppAnswer, smppTransmitter | smppAnswer, smppTransceiver | smppAnswer:
		return n >= smppHeader && n <= smppHeader+16+8 && status < 0x1000
	}
	return false
}

// smppKnown gives the most bytes of a message's body that are looked at.
func smppKnown(command uint32) (keep int, ok bool) {
	switch command &^ smppAnswer {
	case smppReceiver, smppTransmitter, smppTransceiver:
		if command&smppAnswer != 0 {
			return 0, true
		}
		return 16, true
	case smppSubmit, smppDeliver:
		if command&smppAnswer != 0 {
			return 0, true
		}
		return 6 + 2 + 21 + 2 + 21, true
	case 3, 6, 7, 0x15, 0x21, 0x0b, 0x102, 0x103, 0: // query, unbind, replace, enquire_link, submit_multi, outbind, alert, data, generic_nack
		return 0, true
	}
	return 0, false
}

// smppString takes a string of at most n bytes and its zero off b.
func smppString(b []byte, n int) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(b[:min(len(b), n)], 0)
	if i < 0 {
		return nil, nil, false
	}
	for _, c := range b[:i] {
		if c < ' ' || c > '~' {
			return nil, nil, false
		}
	}
	return b[:i], b[i+1:], true
}

// smppRecipient gives the number a message is for.
func smppRecipient(b []byte) (number []byte, ok bool) {
	if _, b, ok = smppString(b, 6); !ok || len(b) < 2 || b[0] > 6 || b[1] > 18 {
		return nil, false
	}
	if _, b, ok = smppString(b[2:], 21); !ok || len(b) < 2 || b[0] > 6 || b[1] > 18 {
		return nil, false
	}
	number, _, ok = smppString(b[2:], 21)
	return number, ok && len(number) > 0
}

// smppChannel gives the channel in a name of the form that GoIP gateways have
// by custom, goip01 to goip64; 0 for any other.
func smppChannel(name []byte) (n uint32) {
	d, ok := bytes.CutPrefix(name, []byte("goip"))
	if !ok || len(d) != 2 {
		return 0
	}
	for _, c := range d {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint32(c-'0')
	}
	if n > 64 {
		return 0
	}
	return n
}

// smppNumber makes a number of a recipient, nil of what is none.
func smppNumber(b []byte) ident.Number {
	if !isNumber(b) {
		return ident.Number{}
	}
	return ident.NewNumber(b)
}

// smppStream reads one direction of a connection.
type smppStream struct {
	peer *smppStream
	// The bind that waits for its answer.
	bound  uint32 // its number, 0 none
	name   uint64 // hash of the name that was given
	number uint32 // of a channel, where the name is of that form
}

func (s *smppStream) pair(other streamReader) {
	if o, ok := other.(*smppStream); ok {
		s.peer, o.peer = o, s
	}
}

// begins says whether a message may begin with b. In the middle of a session
// that may be one that says too little to know a session by: enquiries, which are
// most of a quiet one, and answers.
func (s *smppStream) begins(b []byte) bool {
	if len(b) < smppHeader {
		return b[0] == 0
	}
	n, command, status := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	switch command {
	case smppEnquire:
		return n == smppHeader && status == 0
	case smppEnquire | smppAnswer:
		return n == smppHeader && status < 0x1000
	case smppSubmit | smppAnswer, smppDeliver | smppAnswer:
		return n >= smppHeader && n <= smppHeader+65 && status < 0x1000 // a message's name
	}
	return smppLooks(b)
}

// step reads a message; see streamReader.
func (s *smppStream) step(b []byte, first, last bool, now int64, emit func(*Record)) (done, want, skip int) {
	if b[0] != 0 {
		return 0, 0, 0
	}
	if len(b) < smppHeader {
		return 0, smppHeader, 0
	}
	size, command, number := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[12:])
	keep, ok := smppKnown(command)
	if !ok || size < smppHeader || size > smppMax || first && !smppLooks(b) {
		return 0, 0, 0
	}
	keep = smppHeader + min(keep, int(size)-smppHeader)
	if len(b) < keep {
		return 0, keep, 0
	}
	body := b[smppHeader:keep]
	r := Record{Protocol: SMPP, Kind: Event, Digest: ident.Hash(13, b[:smppHeader])}
	r.Exchange = exchange("smpp", uint64(command&^smppAnswer)<<32|uint64(number))
	switch command {
	case smppReceiver, smppTransmitter, smppTransceiver:
		name, _, ok := smppString(body, 16)
		if !ok {
			return 0, 0, 0
		}
		s.bound, s.name, s.number = number, ident.Hash(14, name), smppChannel(name)
		r.Kind, r.Digest = Login, ident.Hash(r.Digest, name)
		emit(&r)
	case smppReceiver | smppAnswer, smppTransmitter | smppAnswer, smppTransceiver | smppAnswer:
		r.Kind, r.Reply = Answer, true
		if binary.BigEndian.Uint32(b[8:]) == 0 && s.peer != nil && s.peer.bound == number && s.peer.number != 0 {
			r.Kind, r.Sender, r.Channel, r.Vendor = Mark, RoleGateway, s.peer.number, "DBL/HYBERTONE"
			r.Detail = "a message centre with a name of GoIP's for each channel"
		}
		emit(&r)
	case smppSubmit, smppDeliver:
		to, ok := smppRecipient(body)
		if !ok {
			return 0, 0, 0
		}
		if command == smppSubmit {
			r.Kind, r.Recipient = Command, smppNumber(to)
		}
		emit(&r)
	}
	return keep, 0, int(size) - keep
}
