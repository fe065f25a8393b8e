package control

import (
	"simtrap/ident"
	"simtrap/packet"
)

// DBLTime names the protocol, as in Record.Protocol.
const DBLTime = "dbl-time"

// dblTime is what equipment of DBL hides in network time: a request of version 3
// with nothing in it, as many simple clients send it, but of 64 bytes, padded
// with zeros; and from the same port one of 1072 bytes, with some hundred bytes
// that mean nothing to a clock behind the empty request. The maker's server
// answers with 64 bytes, its time and 16 more.
//
// The plain request of 48 bytes is nobody's in particular and is not looked at.
func dblTime() reader {
	return reader{
		Protocol: Protocol{
			Name:       DBLTime,
			Doc:        "equipment of DBL to the maker's time server: empty requests of 64 bytes, and telemetry of 1072 bytes in the guise of one; UDP port 123",
			Vendor:     "DBL/HYBERTONE",
			Marks:      true,
			Source:     "research/gateways.md 1.1.5: a capture of one device",
			Confidence: "bytes seen in one capture, their meaning inferred: a mark",
		},
		starts:   []string{"\x1b\x00\x00\x00", "\x1c", "\x24"},
		looks:    dblTimeLooks,
		datagram: dblTimeDatagram,
	}
}

const (
	ntpSize      = 48 // RFC 5905 section 7.3, without extension fields and MAC
	dblTimeShort = 64
	dblTimeLong  = 1072
	dblTimeFill  = 64 // least bytes of telemetry that are not zero
)

func dblTimeLooks(b []byte) bool {
	if len(b) == dblTimeShort {
		return true
	}
	return len(b) == dblTimeLong && b[0] == 0x1b
}

func dblTimeDatagram(p *packet.Packet, emit func(*Record)) bool {
	b := p.Payload
	if p.Cut() {
		return false
	}
	r := &Record{Protocol: DBLTime, Vendor: "DBL/HYBERTONE", Exchange: exchange("dbl-time", 0), Digest: ident.Hash(6, b)}
	if b[0] != 0x1b {
		// Mode 4, of a server: the answer. A client's version comes back.
		if p.SrcPort != 123 || len(b) != dblTimeShort || b[1] == 0 || zero(b[ntpSize:]) {
			return false
		}
		r.Kind, r.Sender, r.Reply = Answer, RoleServer, true
		emit(r)
		return true
	}
	if p.DstPort != 123 || !zero(b[1:ntpSize]) {
		return false
	}
	r.Kind, r.Sender = Mark, RoleGateway
	rest := b[ntpSize:]
	if len(b) == dblTimeShort {
		if !zero(rest) {
			return false
		}
		r.Detail = "empty time request of 64 bytes"
		emit(r)
		return true
	}
	filled, end := 0, 0
	for i, c := range rest {
		if c != 0 {
			filled++
			end = i
		}
	}
	if filled < dblTimeFill || end > len(rest)/2 {
		return false
	}
	r.Detail = "telemetry in the guise of a time request"
	emit(r)
	return true
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
