package sip

import "strings"

// What was bent to read a message. Sections are those of RFC 3261 unless
// another is named.
const (
	// LenientLineEnd: a line ended in LF without CR (section 7).
	LenientLineEnd Leniency = 1 << iota
	// LenientLeading: line ends before the start line (section 7.5 asks
	// receivers to bear them).
	LenientLeading
	// LenientNoEnd: no empty line behind the headers; the message may be cut.
	LenientNoEnd
	// LenientStartBlank: a blank too many or too few in the start line.
	LenientStartBlank
	// LenientCase: method or version in the wrong case; both are
	// case-sensitive in the start line and in CSeq.
	LenientCase
	// LenientURIBrackets: the request-URI stood in angle brackets.
	LenientURIBrackets
	// LenientURIBlank: a blank inside a URI or beside it in its brackets.
	LenientURIBlank
	// LenientURIHeaders: a URI carried headers ("?...") where it may not.
	LenientURIHeaders
	// LenientURIScheme: a URI without a scheme.
	LenientURIScheme
	// LenientURI: a URI broken otherwise: no host, a bad port, IPv6 without
	// brackets, more than one "@".
	LenientURI
	// LenientHeader: a header line without a colon, or whose name is no token.
	LenientHeader
	// LenientRepeat: a header that may occur once occurred again.
	LenientRepeat
	// LenientNumber: a number with anything but digits, or out of range.
	LenientNumber
	// LenientCSeq: CSeq without its number or its method.
	LenientCSeq
	// LenientCSeqMethod: CSeq names another method than the request line.
	LenientCSeqMethod
	// LenientVia: a Via that is not name, version, transport and host, or of a
	// version other than 2.0.
	LenientVia
	// LenientDisplay: a display name that needs quotes stood without.
	LenientDisplay
	// LenientQuote: a quoted string that does not end.
	LenientQuote
	// LenientAngle: one angle bracket of a pair was missing, or both where
	// there is a display name.
	LenientAngle
	// LenientParam: an empty parameter or list element, or bytes between
	// parameters that belong to none.
	LenientParam
	// LenientParamPlace: user= of a URI stood outside its brackets, where it
	// is a parameter of the header (section 20).
	LenientParamPlace
	// LenientNoTag: From without a tag, as RFC 2543 allowed.
	LenientNoTag
	// LenientMissing: Via, From, To, Call-ID or CSeq is missing.
	LenientMissing
	// LenientNoMaxForwards: a request without Max-Forwards, as RFC 2543
	// allowed.
	LenientNoMaxForwards
	// LenientNoLength: no Content-Length, as is allowed over UDP only.
	LenientNoLength
	// LenientLengthLong: Content-Length counts more than there is.
	LenientLengthLong
	// LenientLengthShort: Content-Length ends within a line of the body; the
	// body was taken to be all there is.
	LenientLengthShort
	// LenientDate: a Date in a zone other than GMT.
	LenientDate
	// LenientType: a session description without a Content-Type.
	LenientType
	// LenientSDP: a session description without its v= line, or with blanks
	// missing or numbers that are none in a line that was read (RFC 4566).
	LenientSDP
)

// String gives the names of the bits, joined by "|", in the order above; "" for
// none.
func (l Leniency) String() string {
	names := [...]string{
		"line-end", "leading", "no-end", "start-blank", "case", "uri-brackets",
		"uri-blank", "uri-headers", "uri-scheme", "uri", "header", "repeat",
		"number", "cseq", "cseq-method", "via", "display", "quote", "angle",
		"param", "param-place", "no-tag", "missing", "no-max-forwards",
		"no-length", "length-long", "length-short", "date", "type", "sdp",
	}
	var b strings.Builder
	for i := 0; l != 0 && i < 32; i++ {
		if l&(1<<i) == 0 {
			continue
		}
		l &^= 1 << i
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		if i < len(names) {
			b.WriteString(names[i])
		} else {
			b.WriteString("unknown")
		}
	}
	return b.String()
}
