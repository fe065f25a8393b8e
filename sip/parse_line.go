package sip

import "bytes"

// Bounds of what is read: beyond them no real message lies.
const (
	maxMessage = 64 << 10
	maxStart   = 2048 // bytes of the start line
	maxHeaders = 256  // header lines
	maxMethod  = 64   // bytes of a method name
	maxLeading = 64   // bytes of line ends before the start line
)

// start is a start line (RFC 3261 section 7), request or response.
type start struct {
	method, uri, reason []byte
	status              uint16
	lenient             Leniency
	size                int // bytes up to the first header, line end included
}

// leading counts the line ends before the start line, at most maxLeading.
func leading(b []byte) int {
	n := 0
	for n < len(b) && n < maxLeading && (b[n] == '\r' || b[n] == '\n') {
		n++
	}
	return n
}

// readStart reads the start line that b begins with. The error is 0 for none.
func readStart(b []byte) (s start, err ParseError) {
	n := bytes.IndexByte(b[:min(len(b), maxStart+1)], '\n')
	line := b
	switch {
	case n >= 0:
		line, s.size = b[:n], n+1
	case len(b) > maxStart:
		return s, ErrStartLine
	default:
		s.size = len(b)
	}
	if k := len(line); k > 0 && line[k-1] == '\r' {
		line = line[:k-1]
	} else if n >= 0 {
		s.lenient |= LenientLineEnd
	}
	if fold(line, "sip/") {
		return s, s.readStatus(line)
	}
	end := len(line)
	for end > 0 && (line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	if end < len(line) {
		s.lenient |= LenientStartBlank
		line = line[:end]
	}
	v := len(line) - len("SIP/2.0")
	if v < 0 || !fold(line[v:], "sip/") {
		return s, ErrNotSIP
	}
	if string(line[v+4:]) != "2.0" {
		return s, ErrVersion
	}
	if string(line[v:v+3]) != "SIP" {
		s.lenient |= LenientCase
	}
	m := 0
	for m < len(line) && isToken(line[m]) {
		m++
	}
	if m == 0 || m > maxMethod || m >= v || line[m] != ' ' && line[m] != '\t' {
		return s, ErrNotSIP
	}
	uri := line[m:v]
	k := len(uri)
	if uri[k-1] != ' ' && uri[k-1] != '\t' {
		return s, ErrNotSIP
	}
	uri = trim(uri)
	if len(uri) == 0 {
		return s, ErrStartLine
	}
	if len(uri)+2 != k || line[m] != ' ' || line[v-1] != ' ' {
		s.lenient |= LenientStartBlank
	}
	s.method, s.uri = line[:m], uri
	return s, 0
}

// readStatus reads a status line without its line end.
func (s *start) readStatus(line []byte) ParseError {
	if len(line) < len("SIP/2.0 200") || !isDigit(line[4]) {
		return ErrStartLine
	}
	if string(line[4:7]) != "2.0" {
		return ErrVersion
	}
	if string(line[:3]) != "SIP" {
		s.lenient |= LenientCase
	}
	if line[7] != ' ' && line[7] != '\t' {
		return ErrStartLine
	}
	rest := skip(line[8:])
	if len(rest) != len(line)-8 || line[7] != ' ' {
		s.lenient |= LenientStartBlank
	}
	v, n, _ := number(rest, 1000)
	if n != 3 || v < 100 || v > 699 {
		return ErrStatus
	}
	s.status = uint16(v)
	switch rest = rest[n:]; {
	case len(rest) == 0 || rest[0] != ' ':
		s.lenient |= LenientStartBlank
	default:
		rest = rest[1:]
	}
	s.reason = trim(rest)
	return 0
}

// header is one of the header fields that are read, or what a line is instead.
type header uint8

const (
	headerEnd header = iota // the empty line behind the headers, or the end of the bytes
	headerBad               // no colon, or nothing before it
	headerOther
	headerPlain // known by name, not read
	headerVia
	headerFrom
	headerTo
	headerCallID
	headerCSeq
	headerContact
	headerExpires
	headerUserAgent
	headerServer
	headerPAI
	headerRPID
	headerEvent
	headerType
	headerLength
	headerForwards
	headerDate
	headerSession
	headerReplaces
)

// nextHeader reads the header that begins at pos of b, its folds included, and
// says where the next one begins. next is always above pos unless b is at its
// end.
func nextHeader(b []byte, pos int, l *Leniency) (id header, name, value []byte, next int) {
	if pos < len(b) {
		// "Name: value", CRLF, and no fold: nearly every line there is.
		n := pos + bytes.IndexByte(b[pos:], '\n')
		if n > pos && b[n-1] == '\r' && n+1 < len(b) && b[n+1] > ' ' {
			line := b[pos : n-1]
			id, c := usualHeader(line)
			if c > 0 && len(line) > c+2 && line[c+1] == ' ' && line[c+2] > ' ' && line[len(line)-1] > ' ' {
				return id, line[:c], line[c+2:], n + 1
			}
		}
	}
	return oddHeader(b, pos, l)
}

// usualHeader says which header line begins with, spelled as it usually is, and
// how long its name is; 0 when it is none of the usual ones.
func usualHeader(line []byte) (header, int) {
	if len(line) < 16 {
		return headerOther, 0
	}
	switch line[0] {
	case 'V':
		if string(line[:4]) == "Via:" {
			return headerVia, 3
		}
	case 'F':
		if string(line[:5]) == "From:" {
			return headerFrom, 4
		}
	case 'T':
		if string(line[:3]) == "To:" {
			return headerTo, 2
		}
	case 'M':
		if string(line[:13]) == "Max-Forwards:" {
			return headerForwards, 12
		}
	case 'U':
		if string(line[:11]) == "User-Agent:" {
			return headerUserAgent, 10
		}
	case 'A':
		if string(line[:6]) == "Allow:" {
			return headerPlain, 5
		}
	case 'S':
		if string(line[:10]) == "Supported:" {
			return headerPlain, 9
		}
	case 'C':
		switch {
		case string(line[:8]) == "Call-ID:":
			return headerCallID, 7
		case string(line[:8]) == "Contact:":
			return headerContact, 7
		case string(line[:5]) == "CSeq:":
			return headerCSeq, 4
		case string(line[:13]) == "Content-Type:":
			return headerType, 12
		case string(line[:15]) == "Content-Length:":
			return headerLength, 14
		}
	}
	return headerOther, 0
}

// oddHeader is nextHeader for every line, however it is written.
func oddHeader(b []byte, pos int, l *Leniency) (id header, name, value []byte, next int) {
	if pos >= len(b) {
		*l |= LenientNoEnd
		return headerEnd, nil, nil, len(b)
	}
	end := 0 // of the value, without its line end
	for next = pos; ; {
		n := bytes.IndexByte(b[next:], '\n')
		if n < 0 {
			next, end = len(b), len(b)
			break
		}
		end, next = next+n, next+n+1
		if end > pos && b[end-1] == '\r' {
			end--
		} else {
			*l |= LenientLineEnd
		}
		if end == pos {
			return headerEnd, nil, nil, next
		}
		if next >= len(b) || b[next] != ' ' && b[next] != '\t' {
			break
		}
	}
	line := b[pos:end]
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return headerBad, nil, nil, next
	}
	name = line[:colon]
	for len(name) > 0 && (name[len(name)-1] == ' ' || name[len(name)-1] == '\t') {
		name = name[:len(name)-1]
	}
	if len(name) == 0 {
		return headerBad, nil, nil, next
	}
	return headerOf(name), name, trim(line[colon+1:]), next
}

// headerOf names a header field: first as it is usually spelled, then in any
// case and in compact form (RFC 3261 section 7.3.3, RFC 6665 for "o", RFC 4028
// for "x").
func headerOf(name []byte) header {
	switch string(name) {
	case "Via":
		return headerVia
	case "From":
		return headerFrom
	case "To":
		return headerTo
	case "Call-ID":
		return headerCallID
	case "CSeq":
		return headerCSeq
	case "Contact":
		return headerContact
	case "Expires":
		return headerExpires
	case "User-Agent":
		return headerUserAgent
	case "Content-Type":
		return headerType
	case "Content-Length":
		return headerLength
	case "Max-Forwards":
		return headerForwards
	case "Allow", "Supported", "Accept", "Record-Route", "Route", "Authorization":
		return headerPlain
	}
	return headerAnyCase(name)
}

func headerAnyCase(name []byte) header {
	var word string
	h := headerOther
	switch len(name) {
	case 1:
		switch name[0] | 0x20 {
		case 'v':
			return headerVia
		case 'f':
			return headerFrom
		case 't':
			return headerTo
		case 'i':
			return headerCallID
		case 'm':
			return headerContact
		case 'c':
			return headerType
		case 'l':
			return headerLength
		case 'o':
			return headerEvent
		case 'x':
			return headerSession
		}
		return headerOther
	case 2:
		word, h = "to", headerTo
	case 3:
		word, h = "via", headerVia
	case 4:
		switch name[0] | 0x20 {
		case 'f':
			word, h = "from", headerFrom
		case 'c':
			word, h = "cseq", headerCSeq
		default:
			word, h = "date", headerDate
		}
	case 5:
		word, h = "event", headerEvent
	case 6:
		word, h = "server", headerServer
	case 7:
		switch name[2] | 0x20 {
		case 'l':
			word, h = "call-id", headerCallID
		case 'n':
			word, h = "contact", headerContact
		default:
			word, h = "expires", headerExpires
		}
	case 8:
		word, h = "replaces", headerReplaces
	case 10:
		word, h = "user-agent", headerUserAgent
	case 12:
		if name[0]|0x20 == 'c' {
			word, h = "content-type", headerType
		} else {
			word, h = "max-forwards", headerForwards
		}
	case 14:
		word, h = "content-length", headerLength
	case 15:
		word, h = "remote-party-id", headerRPID
		if name[0]|0x20 == 's' {
			word, h = "session-expires", headerSession
		}
	case 19:
		word, h = "p-asserted-identity", headerPAI
	}
	if h != headerOther && fold(name, word) {
		return h
	}
	return headerOther
}

// methodOf names a method. lower is true when it was not spelled in capitals,
// as it must be (RFC 3261 section 7.1).
func methodOf(b []byte) (m Method, lower bool) {
	if m = methodExact(b); m != MethodUnknown || len(b) < 3 || len(b) > 9 {
		return m, false
	}
	var up [9]byte
	for i, c := range b {
		if c-'a' < 26 {
			c &^= 0x20
		}
		up[i] = c
	}
	m = methodExact(up[:len(b)])
	return m, m != MethodUnknown
}

func methodExact(b []byte) Method {
	switch string(b) {
	case "INVITE":
		return INVITE
	case "ACK":
		return ACK
	case "BYE":
		return BYE
	case "CANCEL":
		return CANCEL
	case "REGISTER":
		return REGISTER
	case "OPTIONS":
		return OPTIONS
	case "INFO":
		return INFO
	case "PRACK":
		return PRACK
	case "UPDATE":
		return UPDATE
	case "SUBSCRIBE":
		return SUBSCRIBE
	case "NOTIFY":
		return NOTIFY
	case "REFER":
		return REFER
	case "MESSAGE":
		return MESSAGE
	case "PUBLISH":
		return PUBLISH
	}
	return MethodUnknown
}
