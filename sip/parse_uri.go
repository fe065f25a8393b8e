package sip

import "bytes"

// uri is what is read of a URI (RFC 3261 section 19.1, RFC 3966 for tel).
type uri struct {
	user, host []byte
	port       uint16
	headers    bool // "?" and what follows
}

type scheme uint8

const (
	schemeNone scheme = iota
	schemeSIP         // and sips
	schemeTel
	schemeOther
)

// schemeOf says which scheme b begins with, and how long it is, its colon
// included.
func schemeOf(b []byte) (scheme, int) {
	switch {
	case len(b) >= 4 && b[3] == ':' && fold(b, "sip"):
		return schemeSIP, 4
	case len(b) >= 5 && b[4] == ':' && fold(b, "sips"):
		return schemeSIP, 5
	case len(b) >= 4 && b[3] == ':' && fold(b, "tel"):
		return schemeTel, 4
	}
	for i, c := range b {
		switch {
		case (c|0x20)-'a' < 26:
		case i > 0 && (isDigit(c) || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return schemeOther, i + 1
		default:
			return schemeNone, 0
		}
	}
	return schemeNone, 0
}

// readURI reads a URI that stands alone in b. The user part is given without
// its parameters and password; escapes stay as they are. A tel URI gives its
// number as user; a scheme other than sip, sips and tel gives nothing.
func readURI(b []byte, l *Leniency) (u uri) {
	kind, n := schemeOf(b)
	switch kind {
	case schemeOther:
		return u
	case schemeTel:
		b = b[n:]
		u.user = b[:span(b, 1<<';'|1<<'?'|1<<'>'|blankSet)]
		if len(u.user) == 0 {
			*l |= LenientURI
		}
		return u
	case schemeNone:
		*l |= LenientURIScheme
	}
	tail := b[n:]
	if at := bytes.IndexByte(tail, '@'); at >= 0 {
		whole := tail
		tail = tail[at+1:]
		if bytes.IndexByte(tail, '@') >= 0 {
			*l |= LenientURI
			// An address taken for a name ("me@example.org@proxy"): the host
			// is behind the last "@" that is not in parameters.
			k := at + 1 + span(tail, 1<<';'|1<<'?')
			at = bytes.LastIndexByte(whole[:k], '@')
			tail = whole[at+1:]
		}
		u.user = whole[:at]
		u.user = u.user[:span(u.user, 1<<';'|1<<':')]
	}
	u.host, u.port, tail = readHostPort(tail, l)
	u.headers = bytes.IndexByte(tail, '?') >= 0
	return u
}

// readHostPort reads host [ ":" port ] from the front of b: of a URI, or of a
// Via, where blanks may stand around the colon.
func readHostPort(b []byte, l *Leniency) (host []byte, port uint16, rest []byte) {
	const stop = 1<<':' | 1<<';' | 1<<'?' | 1<<',' | 1<<'>' | 1<<'/' | blankSet
	n := 0
	if len(b) > 0 && b[0] == '[' {
		if n = bytes.IndexByte(b, ']') + 1; n == 0 {
			*l |= LenientURI
			n = span(b, stop&^(1<<':'))
		}
	} else {
		n = span(b, stop)
	}
	host, rest = b[:n], b[n:]
	if n == 0 {
		*l |= LenientURI
	}
	colon := rest
	if len(colon) > 0 && in(colon[0], blankSet) {
		colon = skip(colon)
	}
	if len(colon) == 0 || colon[0] != ':' {
		return host, 0, rest
	}
	if e := span(colon, stop&^(1<<':')); len(colon) == len(rest) && n > 0 && b[0] != '[' && bytes.IndexByte(colon[1:e], ':') >= 0 {
		// IPv6 without its brackets.
		*l |= LenientURI
		return b[:n+e], 0, b[n+e:]
	}
	rest = skip(colon[1:])
	v, d, over := number(rest, 65535)
	if d == 0 || over {
		*l |= LenientURI
		v = 0
	}
	return host, uint16(v), rest[d:]
}
