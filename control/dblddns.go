package control

import (
	"bytes"
	"net/netip"

	"simtrap/ident"
	"simtrap/packet"
)

// DBLDDNS names the protocol, as in Record.Protocol.
const DBLDDNS = "dbl-ddns"

// dblDDNS is the dynamic DNS of the maker: the device gives its serial number,
//
//	86 70 14 13 01 "8MCDRM18047247"
//
// and is answered with its address and name,
//
//	86 70 14 13 00 "203.0.113.7" 09 "www.8mcdrm18047247.com"
//
// The maker sells adapters and telephones that may do the same, so this is a
// mark and not a record.
func dblDDNS() reader {
	return reader{
		Protocol: Protocol{
			Name:       DBLDDNS,
			Doc:        "equipment of DBL to the maker's dynamic DNS: a serial number, answered with an address and a name; UDP, any port (39800 by custom)",
			Vendor:     "DBL/HYBERTONE",
			Marks:      true,
			Source:     "research/gateways.md 1.1.5: a capture of one device",
			Confidence: "bytes seen in one capture; which of the maker's products do so is not known, so it is a mark",
		},
		starts:   []string{"\x86\x70\x14\x13"},
		datagram: dblDDNSDatagram,
	}
}

const (
	dblSerialLeast = 8
	dblSerialMost  = 24
)

func dblDDNSDatagram(p *packet.Packet, emit func(*Record)) bool {
	b := p.Payload
	if len(b) < 5+dblSerialLeast || p.Cut() {
		return false
	}
	r := &Record{Protocol: DBLDDNS, Vendor: "DBL/HYBERTONE", Digest: ident.Hash(5, b)}
	body := b[5:]
	switch b[4] {
	case 1:
		if len(body) > dblSerialMost || !serial(body) {
			return false
		}
		r.Kind, r.Sender, r.Detail = Mark, RoleGateway, "dynamic DNS of the maker"
		r.Exchange = exchange("dbl-ddns", ident.Hash(0, bytes.ToLower(body)))
	case 0:
		addr, name, ok := bytes.Cut(body, []byte{9})
		if !ok || len(addr) > 15 {
			return false
		}
		if a, err := netip.ParseAddr(string(addr)); err != nil || !a.Is4() {
			return false
		}
		s, ok1 := bytes.CutPrefix(name, []byte("www."))
		s, ok2 := bytes.CutSuffix(s, []byte(".com"))
		if !ok1 || !ok2 || len(s) < dblSerialLeast || len(s) > dblSerialMost || !serial(s) {
			return false
		}
		r.Kind, r.Sender, r.Reply = Answer, RoleServer, true
		r.Exchange = exchange("dbl-ddns", ident.Hash(0, bytes.ToLower(s)))
	default:
		return false
	}
	emit(r)
	return true
}

// serial says whether b is letters and digits.
func serial(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
