package sip

import "bytes"

// readNameAddr reads one name-addr or addr-spec with its parameters from the
// front of b (RFC 3261 section 20.10). rest is what follows: empty, or from the
// comma of a list on.
func readNameAddr(b []byte, l *Leniency) (a NameAddr, rest []byte) {
	a.Expires = -1
	b = skip(b)
	if len(b) == 0 {
		*l |= LenientURI
		return a, nil
	}
	open, named := 0, true
	switch kind := scheme(schemeNone); {
	case b[0] == '<':
	case b[0] == '"':
		if open = quoteEnd(b); open < 0 {
			*l |= LenientQuote
			open = 1
		}
		if b = skip(b[open:]); len(b) == 0 || b[0] != '<' {
			if open = bytes.IndexByte(b, '<'); open < 0 {
				*l |= LenientAngle
				named = false
			} else if *l&LenientQuote == 0 {
				*l |= LenientDisplay
			}
		} else {
			open = 0
		}
	default:
		if kind, _ = schemeOf(b); kind == schemeSIP || kind == schemeTel {
			named = false
			break
		}
		if open = bytes.IndexByte(b, '<'); open < 0 {
			named = false
			break
		}
		for _, c := range b[:open] {
			if !isToken(c) && !in(c, blankSet) {
				*l |= LenientDisplay
				break
			}
		}
	}
	var u uri
	if named {
		u, rest = readAngled(b[open:], l)
	} else {
		u, rest = readBare(b, l)
	}
	a.User, a.Host, a.Port = u.user, u.host, u.port
	for {
		var name, value []byte
		var more bool
		if name, value, rest, more = nextParam(rest, l); !more {
			return a, rest
		}
		switch {
		case a.Tag == nil && is(name, "tag"):
			a.Tag = value
		case is(name, "expires"):
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				*l |= LenientNumber
				value = value[1 : n-1]
			}
			a.Expires = readNumber(value, 1<<32-1, l)
		case is(name, "user"):
			*l |= LenientParamPlace
		}
	}
}

// readAngled reads "<" URI ">" from the front of b.
func readAngled(b []byte, l *Leniency) (uri, []byte) {
	end := bytes.IndexByte(b, '>')
	if end < 0 {
		// What belongs inside cannot be told from what belongs outside; the
		// tag matters more than the URI's parameters.
		*l |= LenientAngle
		b = skip(b[1:])
		n := span(b, valueSet)
		return readURI(b[:n], l), b[n:]
	}
	spec := b[1:end]
	if len(spec) > 0 && (in(spec[0], blankSet) || in(spec[len(spec)-1], blankSet)) {
		*l |= LenientURIBlank
		spec = trim(spec)
	}
	return readURI(spec, l), b[end+1:]
}

// readBare reads a URI without brackets from the front of b. A semicolon ends
// it: parameters are the header's then.
func readBare(b []byte, l *Leniency) (uri, []byte) {
	n := span(b, valueSet|1<<'>')
	u, rest := readURI(b[:n], l), b[n:]
	if u.headers {
		*l |= LenientURIHeaders
	}
	if len(rest) > 0 && rest[0] == '>' {
		*l |= LenientAngle
		rest = rest[1:]
	}
	return u, rest
}

// countAddrs counts the elements of the list that goes on with the comma b
// begins with.
func countAddrs(b []byte, l *Leniency) (n int) {
	for len(b) > 0 {
		b = skip(b[1:])
		k := 0
	element:
		for k < len(b) {
			switch b[k] {
			case ',':
				break element
			case '"':
				e := quoteEnd(b[k:])
				if e < 0 {
					*l |= LenientQuote
					e = len(b) - k
				}
				k += e
			case '<':
				e := bytes.IndexByte(b[k:], '>')
				if e < 0 {
					*l |= LenientAngle
					e = len(b) - k - 1
				}
				k += e + 1
			default:
				k++
			}
		}
		if k == 0 {
			*l |= LenientParam
		} else {
			n++
		}
		b = b[k:]
	}
	return n
}
