package control

import (
	"simtrap/ident"
	"simtrap/packet"
)

// SIPBase64 names the marks, as in Record.Protocol.
const SIPBase64 = "sip-base64"

// sipBase64 is SIP that was put into Base64, which package sip reads; what is
// told here is that somebody did. It has no first bytes of its own, since its
// messages are looked for before ours.
func sipBase64() reader {
	return reader{Protocol: Protocol{
		Name:       SIPBase64,
		Doc:        "SIP put into Base64 to get past filters, as Ejoin gateways offer; UDP, any port",
		Vendor:     "Ejoin/Skyline",
		Marks:      true,
		Source:     "research/gateways.md 1.3: the maker's manual names it among the ciphers; RFC 4648",
		Confidence: "that whole datagrams are encoded is inferred from the name, and they are read as SIP or not at all: a mark",
	}}
}

// Base64SIP tells of a SIP message that came in Base64 in p, a response if
// answer says so; call is equal in a request and its responses. Both ends of the
// exchange disguise what they say; the mark is the gateway's, which registers,
// or answers the calls of the other.
func (s *Set) Base64SIP(p *packet.Packet, registers, answer bool, call uint64, emit func(*Record)) {
	r := &Record{Protocol: SIPBase64, Kind: Event, Reply: answer, Exchange: exchange("sip", call), Digest: ident.Hash(21, p.Payload)}
	switch {
	case registers != answer:
		r.Kind, r.Sender, r.Detail = Mark, RoleGateway, "SIP disguised as Base64"
	case registers:
		r.Kind, r.Sender = Answer, RoleServer
	}
	s.emit(p, r, emit)
}
