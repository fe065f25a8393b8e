package sip

import "bytes"

// readNameAddr reads one name-addr or addr-spec with its parameters from the
// front of b, which does not begin with a blank, into a (RFC 3261 section
// 20.10). rest is what follows: empty, or from the comma of a list on.
func readNameAddr(b []byte, a *NameAddr, l *Leniency) (rest []byte) {
	if len(b) == 0 {
		*l |= LenientURI
		return nil
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
	if named {
		rest = readAngled(b[open:], a, l)
	} else {
		rest = readBare(b, a, l)
	}
	for len(rest) > 0 {
		var name, value []byte
		var more bool
		if name, value, rest, more = nextParam(rest, l); !more {
			break
		}
		switch {
		case len(name) == 3 && a.Tag == nil && fold(name, "tag"):
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
	return rest
}

// readAngled reads "<" URI ">" from the front of b.
func readAngled(b []byte, a *NameAddr, l *Leniency) []byte {
	end := bytes.IndexByte(b, '>')
	if end < 0 {
		// What belongs inside cannot be told from what belongs outside; the
		// tag matters more than the URI's parameters.
		*l |= LenientAngle
		b = skip(b[1:])
		n := spanValue(b)
		a.User, a.Host, a.Port, _ = readURI(b[:n], l)
		return b[n:]
	}
	spec := b[1:end]
	if len(spec) > 0 && (in(spec[0], blankSet) || in(spec[len(spec)-1], blankSet)) {
		*l |= LenientURIBlank
		spec = trim(spec)
	}
	a.User, a.Host, a.Port, _ = readURI(spec, l)
	return b[end+1:]
}

// readBare reads a URI without brackets from the front of b. A semicolon ends
// it: parameters are the header's then.
func readBare(b []byte, a *NameAddr, l *Leniency) []byte {
	n := span(b, valueSet|1<<'>')
	rest, headers := b[n:], false
	if a.User, a.Host, a.Port, headers = readURI(b[:n], l); headers {
		*l |= LenientURIHeaders
	}
	if len(rest) > 0 && rest[0] == '>' {
		*l |= LenientAngle
		rest = rest[1:]
	}
	return rest
}

// maxContacts is how many contacts are looked through: to read an element may
// take a look at all that is behind it.
const maxContacts = 64

// eachContact calls f for the contacts of m, until it says no. It reads the
// headers again.
func (m *Message) eachContact(f func(*NameAddr) bool) {
	var l Leniency
	pos := bytes.IndexByte(m.Raw, '\n') + 1
	n := 0
	for range maxHeaders {
		id, _, value, next := nextHeader(m.Raw, pos, &l)
		if id == headerEnd {
			return
		}
		for id == headerContact && len(value) > 0 {
			if n++; n > maxContacts {
				return
			}
			a := NameAddr{Expires: -1}
			rest := readNameAddr(value, &a, &l)
			if len(a.Host) > 0 && !f(&a) {
				return
			}
			value = skip(rest[min(1, len(rest)):])
		}
		pos = next
	}
}

// countAddrs counts the elements of a list.
func countAddrs(b []byte, l *Leniency) (n int) {
	for {
		b = skip(b)
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
		if k == len(b) {
			return n
		}
		b = b[k+1:]
	}
}
