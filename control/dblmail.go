package control

import (
	"bytes"

	"simtrap/ident"
)

// DBLMail names the protocol, as in Record.Protocol.
const DBLMail = "dbl-mail"

// dblMail is a gateway that passes received short messages on by mail: SMTP in
// clear (RFC 5321) with the header lines
//
//	Subject: SMS
//	X-Mailer: smail 0.1
//
// Only the names of commands and the header are looked at, up to its end; what
// the mail says, who signs in and to whom it goes is passed over.
func dblMail() reader {
	return reader{
		Protocol: Protocol{
			Name:       DBLMail,
			Doc:        "GoIP gateway passes short messages on by mail, in the maker's own mailer; SMTP in clear",
			Vendor:     "DBL/HYBERTONE",
			Marks:      true,
			Source:     "research/gateways.md 1.1.5: a capture of one device",
			Confidence: "header lines seen in one capture: a mark",
		},
		starts: []string{"EHLO ", "HELO ", "MAIL FROM:", "DATA\r\n"},
		stream: func() streamReader { return &dblMailReader{} },
	}
}

type dblMailReader struct {
	phase   mailPhase
	subject bool
	mailer  bool
	lines   int
}

type mailPhase uint8

const (
	mailCommands mailPhase = iota
	mailHeader
	mailOver
)

const (
	mailLine  = 998 // most bytes of a line that is looked at (RFC 5322 section 2.1.1)
	mailLines = 64  // most lines of commands and header together
)

func (m *dblMailReader) begins(b []byte) bool {
	if m.lines > 0 {
		return m.phase != mailOver
	}
	for _, s := range dblMail().starts {
		if n := min(len(s), len(b)); s[:n] == string(b[:n]) {
			return true
		}
	}
	return false
}

func (m *dblMailReader) step(b []byte, _, _ bool, _ int64, emit func(*Record)) (done, want, skip int) {
	end := bytes.IndexByte(b[:min(len(b), mailLine)], '\n')
	if end < 0 {
		if len(b) < mailLine {
			return 0, len(b) + 1, 0
		}
		m.phase = mailOver
		return len(b), 0, endOfStream
	}
	line := bytes.TrimRight(b[:end], "\r")
	m.lines++
	switch {
	case m.phase == mailCommands && bytes.EqualFold(line, []byte("DATA")):
		m.phase = mailHeader
	case m.phase == mailHeader && len(line) == 0:
		if m.subject && m.mailer {
			emit(&Record{
				Protocol: DBLMail, Vendor: "DBL/HYBERTONE", Kind: Mark, Sender: RoleGateway,
				Detail: "short messages passed on by the maker's mailer", Digest: ident.Hash(9, nil),
			})
		}
		m.phase = mailOver
	case m.phase == mailHeader:
		m.subject = m.subject || string(line) == "Subject: SMS"
		m.mailer = m.mailer || bytes.HasPrefix(line, []byte("X-Mailer: smail "))
	}
	if m.phase == mailOver || m.lines >= mailLines {
		m.phase = mailOver
		return end + 1, 0, endOfStream
	}
	return end + 1, 0, 0
}
