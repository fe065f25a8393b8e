package sip

// readVia reads the first element of a Via value (RFC 3261 section 20.42) into
// m.
func readVia(b []byte, m *Message) {
	m.Via = b
	rest, ok := viaProtocol(b, &m.Lenient)
	if !ok {
		m.Lenient |= LenientVia
		return
	}
	m.ViaHost, m.ViaPort, rest = readHostPort(rest, &m.Lenient)
	for {
		name, value, r, more := nextParam(rest, &m.Lenient)
		rest = r
		if !more {
			break
		}
		if m.Branch == nil && is(name, "branch") {
			m.Branch = value
		}
	}
	m.Via = trim(b[:len(b)-len(rest)])
	// Later elements matter only for what they bend.
	if len(rest) > 0 {
		countAddrs(rest[1:], &m.Lenient)
	}
}

// viaProtocol reads "SIP/2.0/UDP " and gives what follows it.
func viaProtocol(b []byte, l *Leniency) (rest []byte, ok bool) {
	if len(b) > 8 && string(b[:8]) == "SIP/2.0/" {
		b = b[8:]
	} else {
		if !fold(b, "sip") {
			return nil, false
		}
		if b = skip(b[3:]); len(b) == 0 || b[0] != '/' {
			return nil, false
		}
		b = skip(b[1:])
		n := span(b, blankSet|1<<'/')
		if string(b[:n]) != "2.0" {
			*l |= LenientVia
		}
		if b = skip(b[n:]); len(b) == 0 || b[0] != '/' {
			return nil, false
		}
		b = skip(b[1:])
	}
	n := spanValue(b)
	if n == 0 || n == len(b) || !in(b[n], blankSet) {
		return nil, false
	}
	return skip(b[n:]), true
}
