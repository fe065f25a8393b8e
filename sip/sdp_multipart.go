package sip

import "bytes"

// maxParts is how many parts of a multipart body are looked through.
const maxParts = 16

// boundaryOf finds the boundary parameter of a multipart Content-Type, without
// its quotes (RFC 2046 section 5.1); nil when there is none.
func boundaryOf(contentType []byte) []byte {
	var l Leniency
	rest := contentType[spanValue(contentType):]
	for {
		name, value, r, more := nextParam(rest, &l)
		if !more {
			return nil
		}
		if is(name, "boundary") {
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			return value
		}
		rest = r
	}
}

// sdpPart finds the first part of a multipart body that is a session
// description, nil when there is none. Parts within parts are not looked into.
func sdpPart(body, boundary []byte) []byte {
	if len(boundary) == 0 || len(boundary) > 70 {
		return nil
	}
	rest, ok := afterDelimiter(body, boundary)
	for range maxParts {
		if !ok {
			return nil
		}
		part := rest
		rest, ok = afterDelimiter(rest, boundary)
		if ok {
			part = part[:len(part)-len(rest)-len(boundary)-2]
		}
		if text, is := sdpOf(part); is {
			return text
		}
	}
	return nil
}

// afterDelimiter gives what follows the next "--boundary" that begins a line.
func afterDelimiter(b, boundary []byte) ([]byte, bool) {
	for from := 0; ; {
		n := bytes.Index(b[from:], boundary)
		if n < 0 {
			return nil, false
		}
		at := from + n
		if at >= 2 && b[at-1] == '-' && b[at-2] == '-' && (at == 2 || b[at-3] == '\n') {
			return b[at+len(boundary):], true
		}
		from = at + 1
	}
}

// sdpOf reads the headers of a part, which begins behind its delimiter, and
// gives its content if that is a session description.
func sdpOf(part []byte) ([]byte, bool) {
	n := bytes.IndexByte(part, '\n')
	if n < 0 {
		return nil, false
	}
	var l Leniency
	found := false
	for pos, lines := n+1, 0; lines < maxHeaders; lines++ {
		id, _, value, next := nextHeader(part, pos, &l)
		pos = next
		if id == headerEnd {
			return part[pos:], found
		}
		if id == headerType {
			found = fold(value, "application/sdp")
		}
	}
	return nil, false
}
