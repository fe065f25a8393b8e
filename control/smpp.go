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
