package control

import (
	"encoding/binary"

	"simtrap/ident"
	"simtrap/packet"
)

// DBLNames names the protocol, as in Record.Protocol.
const DBLNames = "dbl-names"

// dblNames is how equipment of DBL looks up its maker's time servers when it
// starts: every question goes to several resolvers at once from one port, and
// all bear the transaction number 0x67c6, the first that an unseeded rand()
// gives. The number alone is anybody's with such a library; the maker's names
// are a mark. A resolver in between puts a number of its own on the question,
// and who is curious may ask for the names too, so that under another number
// less is said.
//
// That one question goes to several resolvers is not told: they are different
// flows, which are not read in one place.
func dblNames() reader {
	return reader{
		Protocol: Protocol{
			Name:       DBLNames,
			Doc:        "equipment of DBL looks up the maker's time servers, as it starts under the transaction number of an unseeded random generator; DNS over UDP",
			Vendor:     "DBL/HYBERTONE",
			Marks:      true,
			Source:     "research/gateways.md 1.1.5: a capture of one device",
			Confidence: "bytes seen in one capture: a mark; that a question goes to several resolvers at once is left out, as they are different flows",
		},
		datagram: dblNamesDatagram,
	}
}

// dblDomains are the maker's names, as they stand in a question (RFC 1035
// section 3.1).
func dblDomains() []string {
	return []string{"\x03www\x05gontp\x03com\x00", "\x05gontp\x03org\x00"}
}

const (
	dnsHeader  = 12
	dblNumber  = 0x67c6
	dblNameLow = 0x2020202020202020 // makes small letters of capitals
)

// dblNamed says whether b may be DNS with one of the maker's names as its
// question. The number before may be any, so that every payload is asked: it is
// one comparison for most.
func dblNamed(b []byte) bool {
	if len(b) < dnsHeader+8 {
		return false
	}
	v := binary.BigEndian.Uint64(b[dnsHeader:]) | dblNameLow
	return v == 0x2377777725676f6e || v == 0x25676f6e7470236f // 3www5gon, 5gontp3o
}

func dblNamesDatagram(p *packet.Packet, emit func(*Record)) bool {
	b := p.Payload
	if len(b) < dnsHeader+4 || p.SrcPort != 53 && p.DstPort != 53 || binary.BigEndian.Uint16(b[4:]) != 1 {
		return false
	}
	// A plain question or its answer (RFC 1035 section 4.1.1), of type A or AAAA.
	if b[2]&0x78 != 0 {
		return false
	}
	for i, name := range dblDomains() {
		if !named(b[dnsHeader:], name) || !dnsAddress(b[dnsHeader+len(name):]) {
			continue
		}
		answer := b[2]&0x80 != 0
		if answer != (p.SrcPort == 53) {
			return false
		}
		r := &Record{Protocol: DBLNames, Vendor: "DBL/HYBERTONE", Exchange: exchange("dbl-names", uint64(i)), Digest: ident.Hash(7, b)}
		if answer {
			r.Kind, r.Sender, r.Reply = Answer, RoleServer, true
		} else {
			r.Kind, r.Sender, r.Detail = Mark, RoleGateway, "looks up the time server of a maker of gateways"
			if binary.BigEndian.Uint16(b) == dblNumber {
				r.Detail = "looks up its maker's time server as it starts"
			}
		}
		emit(r)
		return true
	}
	return false
}

// named says whether a question begins with a name, whatever the case of its
// letters.
func named(b []byte, name string) bool {
	if len(b) < len(name) {
		return false
	}
	for i := range len(name) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// dnsAddress says whether a question goes on to ask for an address of the
// Internet.
func dnsAddress(b []byte) bool {
	return len(b) >= 4 && b[0] == 0 && (b[1] == 1 || b[1] == 28) && b[2] == 0 && b[3] == 1
}
