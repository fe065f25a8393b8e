package sip

import (
	"bytes"

	"simtrap/ident"
)

// Parse reads one message, a datagram or what a Framer gave, into m, of which
// every field is set anew. It does not allocate, and what it sets are views
// into b. It reads what equipment really sends: every rule of RFC 3261 that was
// bent for it has its bit in m.Lenient. The error is a ParseError, and m is
// then of no use, for what is no SIP or cannot be followed.
//
// Folded headers are read; a view that spans a fold holds its line end. Bytes
// behind the body that Content-Length gives are ignored, as RFC 3261 section
// 18.3 demands.
func Parse(b []byte, m *Message) error {
	*m = Message{Expires: -1, ContentLength: -1}
	m.From.Expires, m.To.Expires, m.Contact.Expires = -1, -1, -1
	if len(b) > maxMessage {
		return ErrTooLong
	}
	if n := leading(b); n > 0 {
		b = b[n:]
		m.Lenient |= LenientLeading
	}
	if len(b) == 0 {
		return ErrEmpty
	}
	s, fault := readStart(b)
	if fault != 0 {
		return fault
	}
	m.Lenient |= s.lenient
	m.Status, m.Reason = s.status, s.reason
	if s.status == 0 {
		readRequest(&s, m)
	}
	h := headers{method: s.method}
	pos, fault := h.read(b, s.size, m)
	if fault != 0 {
		return fault
	}
	readBody(b, pos, m)
	return nil
}

func readRequest(s *start, m *Message) {
	method, lower := methodOf(s.method)
	if lower {
		m.Lenient |= LenientCase
	}
	m.Method, m.URI = method, s.uri
	spec := s.uri
	if spec[0] == '<' {
		m.Lenient |= LenientURIBrackets
		if spec = spec[1:]; len(spec) > 0 && spec[len(spec)-1] == '>' {
			spec = spec[:len(spec)-1]
		}
	}
	if span(spec, blankSet) < len(spec) {
		m.Lenient |= LenientURIBlank
	}
	var headers bool
	if m.URIUser, m.URIHost, _, headers = readURI(spec, &m.Lenient); headers {
		m.Lenient |= LenientURIHeaders
	}
}

// headers is what must be remembered between header lines.
type headers struct {
	method    []byte // of the request line, nil in a response
	seen      uint32 // one bit per header
	pai       bool   // PAI is of P-Asserted-Identity
	agent     header // what UserAgent is of
	expires   int64  // of the first contact
	lastNamed []byte
}

const headersToFollow = 1<<headerVia | 1<<headerFrom | 1<<headerTo | 1<<headerCallID | 1<<headerCSeq

// read reads the headers from pos of b on and says where the body begins.
func (h *headers) read(b []byte, pos int, m *Message) (int, ParseError) {
	h.expires = -1
	for n := 0; ; n++ {
		id, name, value, next := nextHeader(b, pos, &m.Lenient)
		pos = next
		if id == headerEnd {
			break
		}
		if n == maxHeaders {
			return pos, ErrTooManyHeaders
		}
		if id == headerBad {
			m.Lenient |= LenientHeader
			continue
		}
		// Repeated lines (a stack of Via) count once, so that the shape is the
		// sender's and not that of the path.
		if !bytes.Equal(name, h.lastNamed) {
			m.Shape = ident.Hash(m.Shape, name)
			h.lastNamed = name
		}
		h.one(id, name, value, m)
	}
	if h.seen&headersToFollow == 0 {
		return pos, ErrNoHeaders
	}
	if h.seen&headersToFollow != headersToFollow {
		m.Lenient |= LenientMissing
	}
	if h.seen&(1<<headerFrom) != 0 && len(m.From.Tag) == 0 {
		m.Lenient |= LenientNoTag
	}
	if m.Status == 0 && h.seen&(1<<headerForwards) == 0 {
		m.Lenient |= LenientNoMaxForwards
	}
	if m.Expires < 0 {
		m.Expires = h.expires
	}
	return pos, 0
}

// one reads one header.
func (h *headers) one(id header, name, value []byte, m *Message) {
	again := h.seen&(1<<id) != 0
	h.seen |= 1 << id
	switch id {
	case headerOther:
		for _, c := range name {
			if !isToken(c) {
				m.Lenient |= LenientHeader
				break
			}
		}
		return
	case headerPlain:
		return
	case headerVia:
		if !again {
			readVia(value, m)
		}
		return
	case headerContact:
		h.contact(value, m)
		return
	case headerPAI, headerRPID:
		if m.PAI == nil || id == headerPAI && !h.pai {
			var a NameAddr
			readNameAddr(value, &a, &m.Lenient)
			m.PAI, h.pai = a.User, id == headerPAI
		}
		return
	case headerUserAgent, headerServer:
		right := id == headerUserAgent == (m.Status == 0)
		if m.UserAgent == nil || right && h.agent != id {
			m.UserAgent, h.agent = value, id
		}
		return
	}
	if again {
		m.Lenient |= LenientRepeat
		return
	}
	switch id {
	case headerFrom:
		readOnly(value, &m.From, &m.Lenient)
	case headerTo:
		readOnly(value, &m.To, &m.Lenient)
	case headerCallID:
		m.CallID = value
		if len(value) == 0 {
			m.Lenient |= LenientMissing
		}
	case headerCSeq:
		h.cseq(value, m)
	case headerExpires:
		m.Expires = readNumber(value, 1<<32-1, &m.Lenient)
	case headerLength:
		m.ContentLength = readNumber(value, 1<<32-1, &m.Lenient)
	case headerForwards:
		readNumber(value, 255, &m.Lenient)
	case headerEvent:
		m.Event = value[:spanValue(value)]
	case headerType:
		m.ContentType = value
	case headerSession:
		n := max(0, readNumber(value[:spanValue(value)], 1<<32-1, &m.Lenient))
		m.SessionExpires = uint32(n)
	case headerReplaces:
		m.Replaces = value
	case headerDate:
		if len(value) < 4 || !is(value[len(value)-4:], " gmt") {
			m.Lenient |= LenientDate
		}
	}
}

// readOnly reads a name-addr that is no list.
func readOnly(b []byte, a *NameAddr, l *Leniency) {
	if rest := readNameAddr(b, a, l); len(rest) > 0 {
		*l |= LenientParam
	}
}

// readNumber reads a value that is a number alone: -1 when it is none, limit
// when it is above that.
func readNumber(b []byte, limit uint64, l *Leniency) int64 {
	v, n, over := number(b, limit)
	if n < len(b) || n == 0 || over {
		*l |= LenientNumber
	}
	if n == 0 {
		return -1
	}
	return int64(v)
}

func (h *headers) contact(value []byte, m *Message) {
	if len(value) == 1 && value[0] == '*' {
		return
	}
	if m.Contacts > 0 {
		m.Contacts += countAddrs(value, &m.Lenient)
		return
	}
	rest := readNameAddr(value, &m.Contact, &m.Lenient)
	h.expires = m.Contact.Expires
	m.Contacts = 1
	if len(rest) > 0 {
		m.Contacts += countAddrs(rest[1:], &m.Lenient)
	}
}

// cseq reads number and method (RFC 3261 section 20.16).
func (h *headers) cseq(value []byte, m *Message) {
	v, n, over := number(value, 1<<32-1)
	if over || v > 1<<31-1 {
		m.Lenient |= LenientNumber
	}
	m.CSeq = uint32(v)
	word := trim(value[n:])
	if n == 0 || len(word) == 0 || n+len(word) == len(value) {
		m.Lenient |= LenientCSeq
	}
	word = word[:span(word, blankSet)]
	method, lower := methodOf(word)
	if lower {
		m.Lenient |= LenientCase
	}
	switch {
	case m.Status != 0:
		m.Method = method
	case len(word) > 0 && (method != m.Method || method == MethodUnknown && !bytes.Equal(word, h.method)):
		m.Lenient |= LenientCSeqMethod
	}
}

// readBody sets Raw and Body, and SDP when there is one.
func readBody(b []byte, pos int, m *Message) {
	body := b[pos:]
	switch n := m.ContentLength; {
	case n < 0:
		m.Lenient |= LenientNoLength
	case n > int64(len(body)):
		m.Lenient |= LenientLengthLong
	case n > 0 && n < int64(len(body)) && body[n-1] != '\n' && body[n] != '\r' && body[n] != '\n':
		m.Lenient |= LenientLengthShort
	default:
		body = body[:n]
	}
	m.Raw, m.Body = b[:pos+len(body)], body
	switch t := m.ContentType; {
	case len(body) == 0:
	case fold(t, "application/sdp"):
		readSDP(body, m)
	case fold(t, "multipart/"):
		if part := sdpPart(body, boundaryOf(t)); part != nil {
			readSDP(part, m)
		}
	case t == nil && len(body) > 2 && body[0] == 'v' && body[1] == '=':
		m.Lenient |= LenientType
		readSDP(body, m)
	}
}
