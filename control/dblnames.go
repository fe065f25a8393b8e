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
// gives. The number alone is anybody's with such a library; with the maker's
// names it is a mark.
func dblNames() reader {
	return reader{
		Protocol: Protocol{
			Name:       DBLNames,
			Doc:        "equipment of DBL looks up the maker's time servers, under the transaction number of an unseeded random generator; DNS over UDP",
			Vendor:     "DBL/HYBERTONE",
			Marks:      true,
			Source:     "research/gateways.md 1.1.5: a capture of one device",
			Confidence: "bytes seen in one capture: a mark",
		},
		starts:   []string{"\x67\xc6"},
		datagram: dblNamesDatagram,
	}
}

// dblDomains are the maker's names, as they stand in a question (RFC 1035
// section 3.1).
func dblDomains() []string {
	return []string{"\x03www\x05gontp\x03com\x00", "\x05gontp\x03org\x00"}
}

const dnsHeader = 12

func dblNamesDatagram(p *packet.Packet, emit func(*Record)) bool {
	b := p.Payload
	if len(b) < dnsHeader+4 || p.SrcPort != 53 && p.DstPort != 53 || binary.BigEndian.Uint16(b[4:]) != 1 {
		return false
	}
	for i, name := range dblDomains() {
		if !named(b[dnsHeader:], name) {
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
			r.Kind, r.Sender, r.Detail = Mark, RoleGateway, "looks up its maker's time server as it starts"
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
