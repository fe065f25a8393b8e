package control

import (
	"bytes"
	"encoding/binary"

	"simtrap/ident"
)

// The Dinstar DWG API: TCP, the gateway calls the server on whatever port was
// set. Every message has a header of 24 bytes, big endian,
//
//	0  u32  length of the body
//	4  MAC address, 6 bytes, then 2 of zero
//	12 u32  time, seconds since 1970
//	16 u32  serial number
//	20 u16  type
//	22 u16  flag
//
// Odd types are requests and the next even one their answer, whose header is
// the request's, or without time and serial. Of bodies lengths, ports and counts
// are read, and numbers for their form; texts and the password of the login are
// stepped over and never copied.

// DinstarAPI names the protocol, as in Record.Protocol.
const DinstarAPI = "dinstar-api"

func dinstarAPI() reader {
	return reader{
		Protocol: Protocol{
			Name:       DinstarAPI,
			Doc:        "Dinstar DWG gateway to an application server: keepalive, port states, messages and USSD under a 24-byte header; TCP, any port",
			Vendor:     "Dinstar",
			Server:     "sms-server",
			Source:     "research/gateways.md 2.4: three independent server implementations",
			Confidence: "verbatim in the sources, receipts (17) in one of them; the body of the call-state report (515) is not known, so it is never sound",
		},
		starts: []string{"\x00\x00"},
		looks:  dinstarLooks,
		stream: func() streamReader { return &dinstarStream{} },
	}
}

const (
	dinstarHeader = 24
	dinstarPorts  = 64   // most ports in a state report
	dinstarText   = 3072 // most bytes of a message
)

const (
	dinstarAlive   = 0
	dinstarSend    = 1
	dinstarResult  = 3
	dinstarReceive = 5
	dinstarState   = 7
	dinstarUSSD    = 9
	dinstarUSSN    = 11
	dinstarSignal  = 13
	dinstarLogin   = 15
	dinstarReceipt = 17
	dinstarCall    = 515
)

// dinstarBody gives who sends messages of a type, how long their bodies are,
// and how many bytes of it are needed for checking.
func dinstarBody(kind uint16) (sender Role, least, most, keep int, ok bool) {
	switch kind {
	case dinstarAlive:
		return RoleUnknown, 0, 0, 0, true
	case dinstarSend: // port, encoding, type, count; number 24; length; text
		return RoleServer, 30, 30 + 24*127 + dinstarText, 4, true
	case dinstarResult: // count; number 24; port, result, slices, sent
		return RoleGateway, 29, 29, 29, true
	case dinstarReceive: // number 24; type, port; time 15; zone, encoding; length; text
		return RoleGateway, 45, 45 + dinstarText, 45, true
	case dinstarState, dinstarSignal: // count; a byte per port
		return RoleGateway, 2, 1 + dinstarPorts, 1 + dinstarPorts, true
	case dinstarUSSD: // port, type; length; text
		return RoleServer, 4, 4 + dinstarText, 4, true
	case dinstarUSSN: // port, status; length; encoding; text
		return RoleGateway, 5, 5 + dinstarText, 5, true
	case dinstarLogin: // user 16; password 16
		return RoleGateway, 32, 32, 16, true
	case dinstarReceipt: // port; number 23; id; time 15; zone, state
		return RoleGateway, 42, 42, 42, true
	case dinstarCall:
		return RoleGateway, 1, 512, 0, true
	case dinstarSend + 1, dinstarUSSD + 1:
		return RoleGateway, 1, 1, 1, true
	case dinstarResult + 1, dinstarReceive + 1, dinstarState + 1, dinstarUSSN + 1, dinstarSignal + 1,
		dinstarLogin + 1, dinstarReceipt + 1, dinstarCall + 1:
		return RoleServer, 1, 1, 1, true
	}
	return RoleUnknown, 0, 0, 0, false
}

// dinstarLooks tests a whole header for what no other message of a stranger has
// by chance.
func dinstarLooks(b []byte) bool {
	if len(b) < dinstarHeader || b[0]|b[1]|b[10]|b[11] != 0 || b[4]&1 != 0 {
		return false
	}
	if b[4]|b[5]|b[6]|b[7]|b[8]|b[9] == 0 {
		return false
	}
	_, least, most, _, ok := dinstarBody(binary.BigEndian.Uint16(b[20:]))
	n := int(binary.BigEndian.Uint16(b[2:]))
	return ok && n >= least && n <= most
}

// dinstarStream is what checks that reach over several messages need, for one
// direction of a stream.
type dinstarStream struct {
	role   Role // what the sender has shown itself to be
	mac    [6]byte
	serial uint32
	seen   bool // mac and serial are set
}

// dinstarFirst says whether a header may be the first of a stream, or after
// garbage. Where bytes of zero abound many places look like a keepalive or an
// answer, so the time must fit, or be left out as some servers do; or the body
// must be one that says more.
func dinstarFirst(head []byte, now int64) bool {
	kind := binary.BigEndian.Uint16(head[20:])
	sender, _, _, _, _ := dinstarBody(kind)
	switch {
	case kind == dinstarLogin, kind == dinstarReceive, kind == dinstarResult:
		return true
	case sender == RoleServer && binary.BigEndian.Uint64(head[12:]) == 0:
		return true
	}
	return timely(head, now)
}

// timely says whether the time of a header is within two days of the packet's.
func timely(head []byte, now int64) bool {
	off := now/1e9 - int64(binary.BigEndian.Uint32(head[12:]))
	return off > -2*86400 && off < 2*86400
}

func (d *dinstarStream) begins(b []byte) bool {
	return b[0] == 0 && (len(b) < dinstarHeader || dinstarLooks(b))
}

// step reads the first message in b; lost says that what came before made no
// sense, or that nothing did. skip is how many bytes of the body, beyond those done
// with, are to be passed over.
func (d *dinstarStream) step(b []byte, lost, _ bool, now int64, emit func(*Record)) (done, want, skip int) {
	if len(b) < dinstarHeader {
		return 0, dinstarHeader, 0
	}
	if !dinstarLooks(b) || lost && !dinstarFirst(b, now) {
		return 0, 0, 0
	}
	kind := binary.BigEndian.Uint16(b[20:])
	size := int(binary.BigEndian.Uint32(b))
	sender, _, _, keep, _ := dinstarBody(kind)
	keep = min(keep, size)
	if len(b) < dinstarHeader+keep {
		return 0, dinstarHeader + keep, 0
	}
	head, body := b[:dinstarHeader], b[dinstarHeader:dinstarHeader+keep]
	if !dinstarCheck(kind, body, size) {
		return 0, 0, 0
	}
	if sender != RoleUnknown && d.role == RoleUnknown {
		d.role = sender
	}
	r := Record{
		Protocol: DinstarAPI, Vendor: "Dinstar", Sender: d.role,
		Digest: ident.Hash(3, head),
	}
	request := kind
	if kind != 0 && kind%2 == 0 {
		request, r.Reply = kind-1, true
	}
	r.Exchange = exchange("dinstar", uint64(binary.BigEndian.Uint32(head[16:]))<<16|uint64(request))
	r.Kind = dinstarKind(kind)
	r.Sound = d.sound(head, kind, sender, now)
	switch kind {
	case dinstarState:
		for i, state := range body[1:] {
			if state == 3 {
				continue // no such port
			}
			port := r
			port.Channel = uint32(i) + 1
			emit(&port)
		}
		return dinstarHeader + keep, 0, size - keep
	case dinstarResult:
		r.Channel = uint32(body[25]) + 1
		if to := bytes.TrimRight(body[1:25], "\x00"); r.Sound && body[26] == 0 && isNumber(to) {
			r.Sent = ident.NewNumber(to)
		}
	case dinstarReceive:
		r.Channel = uint32(body[25]) + 1
	case dinstarUSSN, dinstarReceipt:
		r.Channel = uint32(body[0]) + 1
	}
	emit(&r)
	return dinstarHeader + keep, 0, size - keep
}

func dinstarKind(kind uint16) Kind {
	switch {
	case kind == dinstarAlive:
		return Keepalive
	case kind == dinstarLogin:
		return Login
	case kind%2 == 0:
		return Answer
	case kind == dinstarSend, kind == dinstarUSSD:
		return Command
	}
	return Event
}

// sound says whether the header fits the messages before it on the stream. A
// gateway's requests count up and bear the same address and a time within two
// days of the packet's; the first message of a stream has nothing to fit, so
// it is never sound. Of a server's answers nothing can be asked but their form.
func (d *dinstarStream) sound(head []byte, kind uint16, sender Role, now int64) bool {
	if sender == RoleServer {
		return d.role == RoleServer
	}
	if d.role != RoleGateway || kind != 0 && kind%2 == 0 {
		return false
	}
	serial := binary.BigEndian.Uint32(head[16:])
	mac := [6]byte(head[4:10])
	step := serial - d.serial
	fits := d.seen && mac == d.mac && step > 0 && step < 1<<20 && timely(head, now)
	// A keepalive may give the server's back, with the server's numbers.
	if fits || kind != dinstarAlive {
		d.mac, d.serial, d.seen = mac, serial, true
	}
	return fits && kind != dinstarCall
}

// dinstarCheck tests what is known of a body; size is its whole length.
func dinstarCheck(kind uint16, b []byte, size int) bool {
	switch kind {
	case dinstarSend:
		return (b[0] < dinstarPorts || b[0] == 0xff) && b[3] > 0 && size >= 6+24*int(b[3])
	case dinstarResult:
		return b[0] == 1 && padded(b[1:25]) && b[25] < dinstarPorts
	case dinstarReceive:
		return padded(b[:24]) && b[25] < dinstarPorts && stamp(b[26:41]) && int(binary.BigEndian.Uint16(b[43:])) == size-45
	case dinstarState:
		for _, state := range b[1:] {
			if state > 3 {
				return false
			}
		}
		return int(b[0]) == size-1
	case dinstarSignal:
		return int(b[0]) == size-1
	case dinstarUSSD:
		return b[0] < dinstarPorts && (b[1] == 1 || b[1] == 2) && int(binary.BigEndian.Uint16(b[2:])) == size-4
	case dinstarUSSN:
		return b[0] < dinstarPorts && int(binary.BigEndian.Uint16(b[2:])) == size-5
	case dinstarLogin:
		return b[0] != 0 && padded(b)
	case dinstarReceipt:
		return b[0] < dinstarPorts && padded(b[1:24]) && stamp(b[25:40])
	}
	return true
}

// padded says whether b is text filled up with zeros.
func padded(b []byte) bool {
	zero := false
	for _, c := range b {
		if c == 0 {
			zero = true
		} else if zero || c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// stamp checks "20261123211500" and a zero.
func stamp(b []byte) bool {
	for _, c := range b[:14] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return b[14] == 0
}
