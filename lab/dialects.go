package lab

import (
	"fmt"
	"math/rand/v2"
)

// dialect is how one make of SIP software writes: research notes on gateways,
// sections 1.1, 2.10 and 4.
type dialect struct {
	name     string
	agent    string // User-Agent, empty for none
	server   bool   // names itself in Server when it answers
	request  []string
	response []string
	forwards string // Max-Forwards
	allow    string
	support  string
	rport    bool
	// phoneOutside writes ;user=phone behind the brackets of From.
	phoneOutside bool
	lengthGap    string // between "Content-Length:" and the number
	contactTail  string // parameters of the Contact URI
	branch       func(*rand.Rand) string
	tag          func(*rand.Rand) string
	callID       func(*rand.Rand, string) string
	cseq         func(*rand.Rand) int
	expires      int // of REGISTER, seconds
	sdpUser      string
	sdpName      string
	sdpID        func(*rand.Rand) string // session id and version
	bareStatic   bool                    // no rtpmap for static payload types
	seq15        bool                    // RTP begins with a sequence number below 0x8000
	tsFromFrame  bool                    // RTP timestamps begin with one frame
}

var (
	orderOSIP      = []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "*", "Max-Forwards", "User-Agent", "Expires", "Allow", "Content-Type", "Content-Length"}
	orderOSIPAns   = []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "*", "User-Agent", "Allow", "Content-Type", "Content-Length"}
	orderYealink   = []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "*", "Allow", "Content-Type", "Max-Forwards", "User-Agent", "Supported", "Expires", "Content-Length"}
	orderGrand     = []string{"Via", "From", "To", "Contact", "Max-Forwards", "Supported", "*", "User-Agent", "Allow", "Expires", "Call-ID", "CSeq", "Content-Type", "Content-Length"}
	orderChanSIP   = []string{"Via", "Max-Forwards", "From", "To", "Contact", "Call-ID", "CSeq", "User-Agent", "*", "Expires", "Allow", "Supported", "Content-Type", "Content-Length"}
	orderChanAns   = []string{"Via", "From", "To", "Call-ID", "CSeq", "Server", "*", "Allow", "Supported", "Contact", "Content-Type", "Content-Length"}
	orderPJ        = []string{"Via", "From", "To", "Contact", "Call-ID", "CSeq", "Expires", "Allow", "Supported", "*", "Max-Forwards", "User-Agent", "Content-Type", "Content-Length"}
	orderPJAns     = []string{"Via", "Call-ID", "From", "To", "CSeq", "Server", "*", "Contact", "Allow", "Supported", "Content-Type", "Content-Length"}
	orderKamailio  = []string{"Via", "*", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "User-Agent", "Expires", "Allow", "Supported", "Content-Type", "Content-Length"}
	orderKamAns    = []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "*", "Server", "Content-Type", "Content-Length"}
	orderVOS       = []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "*", "User-Agent", "Expires", "Allow", "Content-Type", "Content-Length"}
	orderVOSAns    = []string{"Via", "From", "To", "Call-ID", "CSeq", "*", "Contact", "Server", "Content-Type", "Content-Length"}
	orderFritz     = []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Expires", "User-Agent", "Supported", "Allow", "*", "Content-Type", "Content-Length"}
	orderSoftphone = []string{"Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Expires", "Allow", "Supported", "User-Agent", "*", "Content-Type", "Content-Length"}
)

func decimal(r *rand.Rand) string { return fmt.Sprint(r.Uint32() >> 1) }
func hex8(r *rand.Rand) string    { return fmt.Sprintf("%08x", r.Uint32()) }
func hex16(r *rand.Rand) string   { return fmt.Sprintf("%016x", r.Uint64()) }
func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", r.Uint32(), r.Uint32()>>16, r.Uint32()>>20, r.Uint32()>>18|0x8000, r.Uint64()>>16)
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func word(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = base62[r.IntN(62)]
		}
		return string(b)
	}
}

func before(p string, f func(*rand.Rand) string) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return p + f(r) }
}

func atHost(f func(*rand.Rand) string) func(*rand.Rand, string) string {
	return func(r *rand.Rand, host string) string { return f(r) + "@" + host }
}

func alone(f func(*rand.Rand) string) func(*rand.Rand, string) string {
	return func(r *rand.Rand, _ string) string { return f(r) }
}

func fixedID(s string) func(*rand.Rand) string { return func(*rand.Rand) string { return s } }

func unixID(r *rand.Rand) string {
	n := 1_772_400_000 + r.IntN(10_000_000)
	return fmt.Sprintf("%d %d", n, n)
}

func smallCSeq(r *rand.Rand) int { return 1 + r.IntN(20) }
func largeCSeq(r *rand.Rand) int { return 1 + r.IntN(32000) }

// named is the dialect under another name, as Options.Vendor says.
func (d *dialect) named(vendor string) *dialect {
	other := *d
	switch vendor {
	case vendorNone:
		other.agent, other.sdpUser, other.sdpName = "", "-", "-"
	case vendorPhone:
		other.agent, other.sdpUser, other.sdpName = "Yealink SIP-T46S 66.85.0.5", "-", "SDP data"
	default:
		return d
	}
	return &other
}

// dialDBL is an oSIP gateway as the makers' manuals show it.
func dialDBL() *dialect {
	return &dialect{
		name: "dbl", agent: "DBL", request: orderOSIP, response: orderOSIPAns, forwards: "30",
		allow:        "INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER, REGISTER, MESSAGE, INFO, SUBSCRIBE",
		phoneOutside: true, lengthGap: "  ", branch: decimal, tag: decimal, callID: atHost(decimal),
		cseq: smallCSeq, expires: 60, sdpUser: "userX", sdpName: "-", sdpID: fixedID("20000001 20000001"),
	}
}

// dialQuiet is a gateway that names nobody: oSIP without a User-Agent.
func dialQuiet() *dialect {
	d := dialDBL()
	d.name, d.agent, d.phoneOutside, d.lengthGap, d.forwards = "quiet", "", false, " ", "70"
	d.sdpUser, d.sdpID = "-", unixID
	d.rport, d.bareStatic = true, true
	return d
}

func dialYealink(model string) *dialect {
	return &dialect{
		name: "yealink", agent: "Yealink " + model, request: orderYealink, response: orderYealink, forwards: "70",
		allow: "INVITE, INFO, PRACK, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REGISTER, SUBSCRIBE, REFER, PUBLISH, UPDATE, MESSAGE",
		rport: true, lengthGap: " ", branch: decimal, tag: decimal, callID: atHost(decimal), cseq: func(r *rand.Rand) int { return 1 },
		expires: 3600, sdpUser: "-", sdpName: "SDP data", sdpID: fixedID("20001 20001"),
	}
}

func dialGrandstream(model string) *dialect {
	return &dialect{
		name: "grandstream", agent: "Grandstream " + model, request: orderGrand, response: orderOSIPAns, forwards: "70",
		allow:   "INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE, MESSAGE",
		support: "replaces, path, timer", rport: true, lengthGap: " ", branch: decimal, tag: decimal,
		callID: atHost(func(r *rand.Rand) string { return fmt.Sprintf("%d-%d-%d", r.Uint32()>>1, 5060, 1+r.IntN(40)) }),
		cseq:   smallCSeq, expires: 3600, sdpUser: "8000", sdpName: "SIP Call", sdpID: fixedID("8000 8000"),
	}
}

func dialChanSIP(agent string) *dialect {
	return &dialect{
		name: "chan_sip", agent: agent, server: true, request: orderChanSIP, response: orderChanAns, forwards: "70",
		allow:   "INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE",
		support: "replaces, timer", rport: true, lengthGap: " ", branch: hex8, tag: before("as", hex8),
		callID: atHost(func(r *rand.Rand) string { return hex16(r) + hex16(r) }),
		cseq:   func(*rand.Rand) int { return 102 }, expires: 120, sdpUser: "root", sdpName: "Asterisk PBX", sdpID: unixID,
		seq15: true, tsFromFrame: true,
	}
}

func dialPJSIP(agent string) *dialect {
	return &dialect{
		name: "pjsip", agent: agent, server: true, request: orderPJ, response: orderPJAns, forwards: "70",
		allow:   "OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, MESSAGE, REFER",
		support: "100rel, timer, replaces, norefersub", rport: true, lengthGap: "  ", branch: before("Pj", uuid), tag: uuid, callID: alone(uuid),
		cseq: largeCSeq, expires: 300, sdpUser: "-", sdpName: "Asterisk", sdpID: unixID, seq15: true, tsFromFrame: true,
	}
}

func dialVOS(version string) *dialect {
	return &dialect{
		name: "vos", agent: "VOS3000 " + version, server: true, request: orderVOS, response: orderVOSAns, forwards: "70",
		allow: "INVITE,ACK,OPTIONS,BYE,CANCEL,REGISTER,INFO,UPDATE,PRACK,REFER,SUBSCRIBE,NOTIFY,MESSAGE", rport: true, lengthGap: " ",
		branch: hex16, tag: hex16, callID: atHost(hex16), cseq: smallCSeq, expires: 3600,
		sdpUser: "-", sdpName: "-", sdpID: unixID,
	}
}

// dialQuietSwitch is a softswitch that names nobody.
func dialQuietSwitch() *dialect {
	d := dialVOS("")
	d.name, d.agent = "switch", ""
	d.tag, d.branch = word(13), before("K", word(12))
	return d
}

func dialKamailio(agent string) *dialect {
	return &dialect{
		name: "kamailio", agent: agent, server: true, request: orderKamailio, response: orderKamAns, forwards: "69",
		allow: "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, REFER, NOTIFY", support: "timer, path, replaces", rport: true, lengthGap: " ",
		branch: func(r *rand.Rand) string { return fmt.Sprintf("%x.%08x.0", r.Uint32()>>16, r.Uint32()) },
		tag:    word(13), callID: alone(uuid), cseq: func(r *rand.Rand) int { return 90_000_000 + r.IntN(9_000_000) },
		expires: 300, sdpUser: "FreeSWITCH", sdpName: "FreeSWITCH", sdpID: unixID,
	}
}

func dialFritz(model string) *dialect {
	return &dialect{
		name: "fritz", agent: "AVM FRITZ!Box " + model, request: orderFritz, response: orderFritz, forwards: "70",
		allow:   "INVITE, ACK, OPTIONS, CANCEL, BYE, UPDATE, PRACK, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, PUBLISH",
		support: "100rel, replaces, timer", rport: true, lengthGap: " ", branch: func(r *rand.Rand) string { return hex8(r)[:4] + hex16(r) },
		tag: func(r *rand.Rand) string { return hex16(r)[:15] + "A" }, callID: atHost(hex16), cseq: smallCSeq,
		expires: 300, sdpUser: "user", sdpName: "call", sdpID: func(r *rand.Rand) string { return fmt.Sprintf("%d %d", r.Uint32()>>8, r.Uint32()>>8) },
	}
}

// dialApp is the SIP side of a mobile dialler.
func dialApp(agent string) *dialect {
	d := dialPJSIP(agent)
	d.name, d.server, d.request, d.response = "app", false, orderSoftphone, orderPJAns
	d.sdpName, d.contactTail, d.expires = "pjmedia", ";ob", 600
	return d
}

// dialScanner is the scanners' well-known library.
func dialScanner(r *rand.Rand) *dialect {
	agents := [...]string{"friendly-scanner", "VaxSIPUserAgent/3.1", "PBX", "Cisco-SIPGateway/IOS-12.x", "pplsip"}
	return &dialect{
		name: "scanner", agent: agents[r.IntN(len(agents))], request: orderSoftphone, response: orderSoftphone, forwards: "70",
		allow: "", rport: true, lengthGap: " ", branch: func(r *rand.Rand) string { return "-" + decimal(r) },
		tag: hex16, callID: alone(decimal), cseq: func(*rand.Rand) int { return 1 }, expires: 60,
		sdpUser: "-", sdpName: "-", sdpID: unixID,
	}
}
