package sip

import "bytes"

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
	if len(b) >= 5 && b[0]|0x20 == 's' && b[1]|0x20 == 'i' && b[2]|0x20 == 'p' {
		if b[3] == ':' {
			return schemeSIP, 4
		}
		if b[3]|0x20 == 's' && b[4] == ':' {
			return schemeSIP, 5
		}
	}
	if fold(b, "tel:") {
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

// readURI reads a URI that stands alone in b (RFC 3261 section 19.1, RFC 3966
// for tel). The user part is given without its parameters and password; escapes
// stay as they are. A tel URI gives its number as user; a scheme other than
// sip, sips and tel gives nothing. headers says that there is a "?" and
// something behind it.
func readURI(b []byte, l *Leniency) (user, host []byte, port uint16, headers bool) {
	kind, n := schemeOf(b)
	switch kind {
	case schemeOther:
		return
	case schemeTel:
		b = b[n:]
		user = b[:span(b, 1<<';'|1<<'?'|1<<'>'|blankSet)]
		if len(user) == 0 {
			*l |= LenientURI
		}
		return
	case schemeNone:
		*l |= LenientURIScheme
	}
	whole := b[n:]
	if len(whole) > 0 && in(whole[0], blankSet) {
		// Manuals of gateways by DBL print "<sip: user@host>".
		*l |= LenientURIBlank
		whole = skip(whole)
	}
	at := bytes.IndexByte(whole, '@')
	host, port, rest := readHostPort(whole[at+1:], l)
	if len(rest) > 0 {
		if bytes.IndexByte(rest, '@') >= 0 {
			*l |= LenientURI
			// An address taken for a name ("me@example.org@proxy"): the host
			// is behind the last "@" that is not in parameters.
			tail := whole[at+1:]
			tail = tail[:span(tail, 1<<';'|1<<'?')]
			if more := bytes.LastIndexByte(tail, '@'); more >= 0 {
				at += 1 + more
				host, port, rest = readHostPort(whole[at+1:], l)
			}
		}
		headers = bytes.IndexByte(rest, '?') >= 0
	}
	if at > 0 {
		user = whole[:at]
		user = user[:span(user, 1<<';'|1<<':')]
	}
	return user, host, port, headers
}

// hostSet is what ends a host, beside "@".
const hostSet = 1<<':' | 1<<';' | 1<<'?' | 1<<',' | 1<<'>' | 1<<'/' | blankSet

// readHostPort reads host [ ":" port ] from the front of b: of a URI, or of a
// Via, where blanks may stand around the colon.
func readHostPort(b []byte, l *Leniency) (host []byte, port uint16, rest []byte) {
	n := 0
	if len(b) > 0 && b[0] == '[' {
		if n = bytes.IndexByte(b, ']') + 1; n == 0 {
			*l |= LenientURI
			n = span(b, hostSet&^(1<<':'))
		}
	} else {
		for n < len(b) && b[n] != '@' && !in(b[n], hostSet) {
			n++
		}
	}
	host, rest = b[:n], b[n:]
	if n == 0 {
		*l |= LenientURI
	}
	if len(rest) == 0 || rest[0] == ';' {
		return host, 0, rest
	}
	if rest[0] == ':' {
		v, d, over := number(rest[1:], 65535)
		if after := rest[1+d:]; d > 0 && !over && (len(after) == 0 || after[0] == ';') {
			return host, uint16(v), after
		}
	}
	return oddPort(b, n, l)
}

// oddPort is what is left of readHostPort when the host, the first n bytes of
// b, is not followed by nothing or by a colon and a port.
func oddPort(b []byte, n int, l *Leniency) (host []byte, port uint16, rest []byte) {
	host, rest = b[:n], b[n:]
	colon := rest
	if len(colon) > 0 && in(colon[0], blankSet) {
		colon = skip(colon)
	}
	if len(colon) == 0 || colon[0] != ':' {
		return host, 0, rest
	}
	if e := span(colon, hostSet&^(1<<':')); len(colon) == len(rest) && n > 0 && b[0] != '[' && bytes.IndexByte(colon[1:e], ':') >= 0 {
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
