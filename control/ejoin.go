package control

import (
	"bytes"

	"simtrap/ident"
)

// The interface of Ejoin gateways, which Skyline's have too: HTTP with JSON.
// Either the gateway posts to a server, at a path of the operator's choice,
//
//	{"type":"dev-status","seq":1,"expires":180,"mac":"00-30-f1-01-02-03","ip":"192.168.1.67",
//	 "max-ports":32,"max-slots":4,
//	 "status":[{"port":"1.01","st":3,"imei":"…","imsi":"…","iccid":"…"}, …]}
//
// and port-status, one port alone, and recv-sms; or a server asks the gateway
// for /goip_get_status.html and its like, and gets the same back. Passwords
// stand in the queries, texts in the bodies; neither is read.

// Ejoin names the protocol, as in Record.Protocol.
const Ejoin = "ejoin"

func ejoin() reader {
	return reader{
		Protocol: Protocol{
			Name:       Ejoin,
			Doc:        "Ejoin and Skyline gateways: state and cards of each port, pushed to a server or asked for by it, messages and commands; HTTP with JSON; TCP, any port",
			Vendor:     "Ejoin/Skyline",
			Server:     "sms-server",
			Source:     "research/gateways.md 2.5: the makers' interface and several independent programs for it",
			Confidence: "verbatim in several sources; commands by the four paths of the newer interface are too plain to be sound, and nothing that a browser sends is read",
		},
		starts: []string{"GET /", "POST /", "HTTP/1."},
		looks:  httpLooks,
		stream: func() streamReader { return &httpStream{} },
		brief:  true,
	}
}

// ejoinCards is the most cards of one message that are told of, as many as an
// Evidence holds: some gateways tell of every slot of every port. A stream holds
// 40 bytes for each, from the message's first port to its end.
const ejoinCards = maxCards

type ejoinKind uint8

const (
	ejoinNone ejoinKind = iota
	ejoinDevice
	ejoinPort
	ejoinSMS
	ejoinOther // a type that is not known: not a gateway's message
)

// ejoinMessage takes what a jsonReader reads. Cards are held until the message
// has come to its end and every field of it has passed.
type ejoinMessage struct {
	kind         ejoinKind
	ports, slots int
	seq          bool
	status       bool // within the list of ports
	sms          bool // within the list of messages
	code         bool // a result, as answers have
	index        int  // of the value in a list
	wrong        bool // a field that does not hold
	card         ejoinCard
	cards        []ejoinCard
	lost         int // ports without room
	digest       uint64
}

// ejoinCard is one port, its digits packed.
type ejoinCard struct {
	port, slot uint16
	state      bool
	imsi, imei [8]byte
	iccid      [10]byte
	number     [8]byte // of the card, without a plus
}

func (m *ejoinMessage) wants(key []byte, depth int) bool {
	switch {
	case m.kind == ejoinOther:
		return false
	case depth == 1:
		switch string(key) {
		case "type", "seq", "max-ports", "max-slots", "max-slot", "code", "port", "imei", "imsi", "iccid", "sn":
			return true
		}
	case depth == 3 && m.status:
		switch string(key) {
		case "port", "st", "imei", "imsi", "iccid", "sn":
			return true
		}
	case depth == 3 && m.sms:
		m.index++
		return m.index == 2 // the port
	}
	return false
}

func (m *ejoinMessage) open(key []byte, array bool, depth int) {
	switch {
	case depth == 1 && array && string(key) == "status":
		m.status = true
	case depth == 1 && array && string(key) == "sms":
		m.sms = true
	case depth == 2:
		m.card, m.index = ejoinCard{}, 0
	}
}

func (m *ejoinMessage) shut(_ bool, depth int) {
	switch {
	case depth == 1:
		m.status, m.sms = false, false
	case depth == 2 && m.status, depth == 2 && m.sms && m.index > 1, depth == 0 && m.kind == ejoinPort:
		m.file()
	}
}

// file takes in the port that was read.
func (m *ejoinMessage) file() {
	c := &m.card
	switch {
	case c.port == 0 || m.status && !c.state:
		m.wrong = true
	case len(m.cards) >= ejoinCards:
		m.lost++
	default:
		m.cards = append(m.cards, *c)
	}
}

func (m *ejoinMessage) value(key, text []byte, depth int) {
	if text == nil {
		return
	}
	if depth == 1 {
		m.top(key, text)
		return
	}
	if m.sms {
		m.port(text)
		return
	}
	switch string(key) {
	case "st":
		m.card.state = len(text) <= 2 && isInteger(text)
		m.wrong = m.wrong || !m.card.state
	default:
		m.identity(key, text)
	}
}

// top reads a field of the message itself.
func (m *ejoinMessage) top(key, text []byte) {
	switch string(key) {
	case "type":
		switch string(text) {
		case "dev-status":
			m.kind = ejoinDevice
		case "port-status":
			m.kind = ejoinPort
		case "recv-sms":
			m.kind = ejoinSMS
		default:
			if number3(text) != 0 {
				return // a board's answer has a number there
			}
			m.kind = ejoinOther
		}
	case "seq":
		m.seq = isInteger(text)
	case "max-ports":
		m.ports = ejoinNumber(text)
	case "max-slots", "max-slot":
		m.slots = ejoinNumber(text)
	case "code":
		m.code = isInteger(text)
		return
	default:
		m.identity(key, text)
		return
	}
	m.digest = ident.Hash(m.digest, text)
}

// identity reads a field of a port.
func (m *ejoinMessage) identity(key, text []byte) {
	m.digest = ident.Hash(m.digest, text)
	ok := true
	switch string(key) {
	case "port":
		m.port(text)
		return
	case "sn":
		if isNumber(text) {
			pack(m.card.number[:], bytes.TrimPrefix(text, []byte{'+'}))
		}
	case "imei":
		if !zeros(text) {
			_, ok = ident.NewIMEI(text)
			ok = ok && len(text) == 15 && pack(m.card.imei[:], text)
		}
	case "imsi":
		if !zeros(text) {
			ok = plausible(text) && pack(m.card.imsi[:], text)
		}
	case "iccid":
		if !zeros(text) {
			var c ident.ICCID
			c, ok = ident.NewICCID(text)
			ok = ok && (c.Checked() || len(bytes.TrimRight(text, "fF")) <= 18) && pack(m.card.iccid[:], bytes.TrimRight(text, "fF"))
		}
	}
	m.wrong = m.wrong || !ok
}

// port reads "1.01": the port and the slot in it.
func (m *ejoinMessage) port(text []byte) {
	port, slot, _ := bytes.Cut(text, []byte{'.'})
	m.card.port, m.card.slot = uint16(ejoinNumber(port)), uint16(ejoinNumber(slot))
	m.wrong = m.wrong || m.card.port == 0 || m.card.slot == 0
}

// ejoinNumber reads a number from 1 to 512; 0 for anything else.
func ejoinNumber(b []byte) int {
	if n := number3(b); n <= 512 {
		return n
	}
	return 0
}

// number3 reads a number of at most three digits; 0 for anything else.
func number3(b []byte) (n int) {
	if len(b) == 0 || len(b) > 3 {
		return 0
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// pack puts digits into nibbles, 15 behind the last.
func pack(dst, digits []byte) bool {
	if len(digits) > 2*len(dst) {
		return false
	}
	for i := range 2 * len(dst) {
		d := byte(15)
		if i < len(digits) {
			if d = digits[i] - '0'; d > 9 {
				return false
			}
		}
		dst[i/2] |= d << (4 * (1 - i%2))
	}
	return true
}

// unpack gives the digits of what pack packed; none of what is all zero.
func unpack(dst, b []byte) []byte {
	for _, c := range b {
		for _, d := range [...]byte{c >> 4, c & 15} {
			if d <= 9 {
				dst = append(dst, '0'+d)
			}
		}
	}
	return dst
}

// emit tells of a message that is whole. pushed says that the gateway sent it
// of its own, sound that its framing held.
func (m *ejoinMessage) emit(pushed, sound bool, emit func(*Record)) {
	r := Record{Protocol: Ejoin, Vendor: "Ejoin/Skyline", Sender: RoleGateway, Reply: !pushed, Digest: ident.Hash(m.digest, []byte{byte(m.kind)})}
	sound = sound && !m.wrong
	switch m.kind {
	case ejoinDevice:
		r.Kind = Identity
		sound = sound && m.ports > 0 && m.slots > 0 && m.seq
	case ejoinPort:
		r.Kind = Identity
		sound = sound && m.seq
	case ejoinSMS:
		r.Kind = Event
	default:
		return
	}
	if len(m.cards) == 0 {
		emit(&r)
		return
	}
	for _, c := range m.cards {
		if m.kind == ejoinDevice && (int(c.port) > m.ports || int(c.slot) > m.slots) {
			sound = false
		}
	}
	var d [20]byte
	for i := range m.cards {
		c := &m.cards[i]
		port := r
		port.Sound, port.Channel = sound, uint32(c.port)*1000+uint32(c.slot)
		if c.imsi != [8]byte{} {
			port.IMSI, _ = ident.NewIMSI(unpack(d[:0], c.imsi[:]))
		}
		if c.imei != [8]byte{} {
			port.IMEI, _ = ident.NewIMEI(unpack(d[:0], c.imei[:]))
		}
		if c.iccid != [10]byte{} {
			port.ICCID, _ = ident.NewICCID(unpack(d[:0], c.iccid[:]))
		}
		if c.number != [8]byte{} {
			port.Number = ident.NewNumber(unpack(d[:0], c.number[:]))
		}
		emit(&port)
	}
	if m.lost > 0 {
		emit(&r) // not sound: it stands for those there was no room for
	}
}
