// Package h323 reads H.323 as far as it takes to know who calls whom and who is
// registered: call signalling (H.225.0 over Q.931 in TPKT, TCP) and RAS
// (H.225.0, UDP). Messages are found by what they say, whatever the port: every
// one of H.225.0 that opens something names the recommendation by its object
// identifier.
//
// H.245 is read only where it comes inside a SETUP or its answer (fastStart),
// and of that the address of the voice. Annex E (signalling over UDP) is not
// read. Of what a caller keys in during a call nothing is read.
package h323

import (
	"errors"

	"simtrap/ident"
)

// MessageType is a message type of Q.931, as H.225.0 uses it (table 4).
type MessageType uint8

const (
	Alerting        MessageType = 0x01
	CallProceeding  MessageType = 0x02
	Progress        MessageType = 0x03
	Setup           MessageType = 0x05
	Connect         MessageType = 0x07
	SetupAck        MessageType = 0x0d
	ConnectAck      MessageType = 0x0f
	ReleaseComplete MessageType = 0x5a
	Facility        MessageType = 0x62
	Notify          MessageType = 0x6e
	StatusInquiry   MessageType = 0x75
	Information     MessageType = 0x7b
	Status          MessageType = 0x7d
)

func (t MessageType) known() bool {
	switch t {
	case Alerting, CallProceeding, Progress, Setup, Connect, SetupAck, ConnectAck, ReleaseComplete, Facility, Notify, StatusInquiry, Information, Status:
		return true
	}
	return false
}

// Message is one message of call signalling. Nothing in it is a view of what
// was read.
type Message struct {
	Type MessageType
	// Ref is the call reference without its flag; FromCallee is the flag: set in
	// what the side that did not choose the reference sends.
	Ref        uint16
	FromCallee bool
	Cause      uint8 // Q.850, 0 when none was given
	Reason     uint8 // releaseCompleteReason plus one, 0 when none was given

	Called, Calling Alias
	Withheld        bool // the calling number is not to be shown

	// H225 says that the user-user element names H.225.0 by its object
	// identifier, of version Version.
	H225    bool
	Version uint8
	CallID  [16]byte // zero when not given
	Agent   Alias    // product and version of the sender
	Media   Media    // where the sender wants voice, by fastStart
}

// Media is where one side of a call wants voice.
type Media struct {
	Addr ident.Addr
	Port uint16
}

var (
	errFrame  = errors.New("no TPKT with a Q.931 message")
	errHeader = errors.New("Q.931 header is not that of H.225.0")
	errCut    = errors.New("information element runs past the end")
)

const (
	headerSize  = 4 // of TPKT
	headQ931    = 5 // discriminator, reference, type
	minMessage  = headerSize + headQ931
	maxMessage  = 16 << 10
	protocol    = 0x08
	tpktVersion = 3
)

// Looks says whether a TCP connection that begins with b may carry call
// signalling: a TPKT header (RFC 1006 section 6), behind it a Q.931 message with
// a call reference of two octets. Some send the header of four octets alone.
// Others in TPKT (RDP, MMS, S7: ISO 8073) have a length and a type there.
func Looks(b []byte) bool {
	if len(b) < headerSize || b[0] != tpktVersion || b[1] != 0 {
		return false
	}
	n := int(b[2])<<8 | int(b[3])
	if n < minMessage || n > maxMessage {
		return false
	}
	b = b[headerSize:]
	switch {
	case len(b) == 0:
		return true
	case b[0] != protocol || len(b) > 1 && b[1] != 2:
		return false
	}
	return len(b) < headQ931 || MessageType(b[4]).known()
}

// Parse reads one message in its TPKT. Elements behind one that cannot be read
// are left out.
func Parse(b []byte, m *Message) error {
	*m = Message{}
	if !Looks(b) || len(b) < minMessage || len(b) != int(b[2])<<8|int(b[3]) {
		return errFrame
	}
	b = b[headerSize:]
	if !MessageType(b[4]).known() {
		return errHeader
	}
	m.Type = MessageType(b[4])
	m.Ref = uint16(b[2])&0x7f<<8 | uint16(b[3])
	m.FromCallee = b[2]&0x80 != 0
	return m.elements(b[headQ931:])
}

// Information elements (Q.931 section 4.5).
const (
	elementCause    = 0x08
	elementCalling  = 0x6c
	elementCalled   = 0x70
	elementUserUser = 0x7e
	shift           = 0x90 // to another codeset
)

func (m *Message) elements(b []byte) error {
	for len(b) > 0 {
		id := b[0]
		if id&0x80 != 0 { // one octet
			if id&0xf0 == shift {
				return nil
			}
			b = b[1:]
			continue
		}
		head := 2
		if id == elementUserUser {
			head = 3 // H.225.0 section 7.2.2.31: two octets of length
		}
		if len(b) < head {
			return errCut
		}
		n := int(b[head-1])
		if head == 3 {
			n |= int(b[1]) << 8
		}
		if n > len(b)-head {
			return errCut
		}
		m.element(id, b[head:head+n])
		b = b[head+n:]
	}
	return nil
}

func (m *Message) element(id byte, v []byte) {
	switch id {
	case elementCause:
		// The location, and an octet 3a where its first bit is not set.
		if len(v) > 1 && v[0]&0x80 == 0 {
			v = v[1:]
		}
		if len(v) > 1 {
			m.Cause = v[1] & 0x7f
		}
	case elementCalled:
		number(v, &m.Called)
	case elementCalling:
		if len(v) > 1 && v[0]&0x80 == 0 {
			// Presentation restricted or not available (octet 3a).
			m.Withheld = v[1]&0x60 != 0
		}
		number(v, &m.Calling)
	case elementUserUser:
		if len(v) > 1 && v[0] == 5 { // X.680 and X.690
			r := per{b: v[1:]}
			r.userInformation(m)
		}
	}
}

// number reads the digits of a party number element; an international one gets
// its plus.
func number(v []byte, a *Alias) {
	if len(v) == 0 {
		return
	}
	international := v[0]>>4&7 == 1
	for len(v) > 1 && v[0]&0x80 == 0 {
		v = v[1:]
	}
	v = v[1:]
	if len(v) == 0 {
		return
	}
	b := a.text[:0:maxText]
	if international && v[0] != '+' {
		b = append(b, '+')
	}
	for _, c := range v {
		if c < ' ' || c > '~' || len(b) == maxText {
			break
		}
		b = append(b, c)
	}
	a.Number, a.n = true, uint8(len(b))
}
