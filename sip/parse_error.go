package sip

// ParseError says why a run of bytes could not be read as a SIP message. What
// can be read with a rule bent is no error but a Leniency. The values are
// constants, so that refusing costs no allocation.
type ParseError uint8

const (
	// ErrEmpty is returned for no bytes at all, and for line ends alone, which
	// are keep-alives (RFC 5626 section 3.5.1).
	ErrEmpty ParseError = iota + 1
	// ErrNotSIP is returned when the first line neither begins with "SIP/" nor
	// ends in it.
	ErrNotSIP
	// ErrVersion is returned for any version of SIP but 2.0.
	ErrVersion
	// ErrStartLine is returned for a first line with a part missing, or one
	// longer than 2048 bytes.
	ErrStartLine
	// ErrStatus is returned for a status code outside 100 to 699.
	ErrStatus
	// ErrNoHeaders is returned when none of Via, From, To, Call-ID and CSeq is
	// there: nothing that could be followed.
	ErrNoHeaders
	// ErrTooManyHeaders is returned for more than 256 header lines.
	ErrTooManyHeaders
	// ErrTooLong is returned for more than 64 KiB.
	ErrTooLong
)

// Error gives the reason in words.
func (e ParseError) Error() string {
	switch e {
	case ErrEmpty:
		return "sip: empty message"
	case ErrNotSIP:
		return "sip: first line is not SIP"
	case ErrVersion:
		return "sip: version is not 2.0"
	case ErrStartLine:
		return "sip: first line is incomplete or too long"
	case ErrStatus:
		return "sip: status code outside 100 to 699"
	case ErrNoHeaders:
		return "sip: no header to follow the message by"
	case ErrTooManyHeaders:
		return "sip: more than 256 header lines"
	case ErrTooLong:
		return "sip: longer than 64 KiB"
	}
	return "sip: unknown error"
}
