package control

import (
	"simtrap/ident"
	"simtrap/packet"
)

// DBLEcho names the protocol, as in Record.Protocol.
const DBLEcho = "dbl-echo"

// dblEcho is how equipment of DBL asks the maker's server for its address behind
// a NAT: "ECHOGWADDRRQ", answered with "ECHOGWADDRRP".
func dblEcho() reader {
	return reader{
		Protocol: Protocol{
			Name:       DBLEcho,
			Doc:        "equipment of DBL asks the maker's server for its own address; UDP, any port (54210 by custom)",
			Vendor:     "DBL/HYBERTONE",
			Marks:      true,
			Source:     "research/gateways.md 1.1.5: the maker's own source",
			Confidence: "text verbatim in the source, never seen on the wire: a mark; the licence request lic:%d;sn:%s; is second-hand, over TCP by one description and UDP by another, and left out",
		},
		starts:   []string{"ECHOGWADDR"},
		datagram: dblEchoDatagram,
	}
}

func dblEchoDatagram(p *packet.Packet, emit func(*Record)) bool {
	b := p.Payload
	if len(b) < 12 || len(b) > 128 {
		return false
	}
	r := &Record{Protocol: DBLEcho, Vendor: "DBL/HYBERTONE", Exchange: exchange("dbl-echo", 0), Digest: ident.Hash(10, b)}
	switch string(b[:12]) {
	case "ECHOGWADDRRQ":
		r.Kind, r.Sender, r.Detail = Mark, RoleGateway, "asks the maker's server for its address"
	case "ECHOGWADDRRP":
		r.Kind, r.Sender, r.Reply = Answer, RoleServer, true
	default:
		return false
	}
	emit(r)
	return true
}
