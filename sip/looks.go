package sip

// Looks says whether b may begin a SIP message, whatever the port: its first
// line begins with "SIP/2.0", or is a method, a URI and "SIP/2.0" (RFC 3261
// section 7). Line ends before that are allowed; alone, as keep-alives, they
// are not SIP. It is meant for every packet: what is not text costs the look
// at one byte or a few, and no more than 2 KiB are ever looked at. Whatever
// Parse reads, Looks accepts.
func Looks(b []byte) bool {
	if len(b) < len("SIP/2.0 200") {
		return false
	}
	if b[0] == '\r' || b[0] == '\n' {
		if b = b[leading(b):]; len(b) < len("SIP/2.0 200") {
			return false
		}
	}
	// A method of one or two letters ends in a blank within the first bytes.
	if !isToken(b[0]) || !isToken(b[1]) && b[1] != ' ' && b[1] != '\t' {
		return false
	}
	return looksText(b)
}

// looksText is apart so that Looks stays small.
func looksText(b []byte) bool {
	_, err := readStart(b)
	return err == 0
}
