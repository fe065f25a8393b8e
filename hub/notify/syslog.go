package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Formats of a syslog's messages: structured data of RFC 5424, or ArcSight's CEF as its
// text.
const (
	FormatRFC5424 = "rfc5424"
	FormatCEF     = "cef"
)

const (
	syslogTime = 10 * time.Second
	// facility is local0; severities are those of RFC 5424 section 6.2.1.
	facility       = 16
	severityNotice = 5
	severityAlert  = 1
	// maxDatagram is what every receiver takes (RFC 5426 section 3.2).
	maxDatagram = 2048
	// enterprise is the private number of structured data's id: the one that RFC 5612
	// keeps for documentation, since none is assigned.
	enterprise = "simtrap@32473"
	maxField   = 256 // bytes of one
)

// Syslog sends events as messages of RFC 5424, over UDP (RFC 5426), TCP with octet
// counting (RFC 6587) or TLS (RFC 5425).
type Syslog struct {
	network string // udp, tcp or tls
	addr    string
	format  string
	version string
	host    string
	config  *tls.Config
	conn    net.Conn
}

// NewSyslog gives the target of an address: udp://host:port, tcp://host:port or
// tls://host:port. config, for tls, may be nil. version is the program's.
func NewSyslog(address, format, version string, config *tls.Config) (*Syslog, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Port() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" || u.Scheme != "udp" && u.Scheme != "tcp" && u.Scheme != "tls" {
		return nil, errors.New("syslog: want udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT")
	}
	if format != FormatRFC5424 && format != FormatCEF {
		return nil, fmt.Errorf("syslog: format %q: want %s or %s", format, FormatRFC5424, FormatCEF)
	}
	s := &Syslog{network: u.Scheme, addr: u.Host, format: format, version: version, host: "-"}
	if name, err := os.Hostname(); err == nil && name != "" {
		s.host = printable(name, 255)
	}
	if s.network == "tls" {
		s.config = config.Clone()
		if s.config == nil {
			s.config = &tls.Config{}
		}
		s.config.MinVersion = max(s.config.MinVersion, tls.VersionTLS12)
		s.config.ServerName = u.Hostname()
	}
	return s, nil
}

// Name implements Target.
func (s *Syslog) Name() string { return s.network + "://" + s.addr }

// Close implements Target.
func (s *Syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}

// Tell implements Target. Of syslog nobody says that it has arrived: what was written
// counts as told.
func (s *Syslog) Tell(ctx context.Context, e *Event) error {
	m := s.message(e)
	if s.network == "udp" {
		m = cutText(m, maxDatagram)
	} else {
		m = strconv.Itoa(len(m)) + " " + m
	}
	// A connection that the other end has closed shows only when it is read.
	if s.conn != nil && s.network != "udp" {
		if gone(s.conn) {
			s.Close()
		}
	}
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			return err
		}
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(syslogTime)); err != nil {
		s.Close()
		return err
	}
	if _, err := s.conn.Write([]byte(m)); err != nil {
		s.Close()
		return err
	}
	return nil
}

func (s *Syslog) dial(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, syslogTime)
	defer cancel()
	d := &net.Dialer{KeepAlive: time.Minute}
	switch s.network {
	case "tls":
		s.conn, err = (&tls.Dialer{NetDialer: d, Config: s.config}).DialContext(ctx, "tcp", s.addr)
	default:
		s.conn, err = d.DialContext(ctx, s.network, s.addr)
	}
	if err != nil {
		s.conn = nil
	}
	return err
}

// gone says whether the other end has closed: it has nothing to say otherwise.
func gone(c net.Conn) bool {
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return true
	}
	_, err := c.Read(make([]byte, 1))
	ne, ok := errors.AsType[net.Error](err)
	return err != nil && !(ok && ne.Timeout())
}

// message gives an event as one message.
func (s *Syslog) message(e *Event) string {
	severity := severityNotice
	if e.Kind == FindingCase {
		severity = severityAlert
	}
	head := fmt.Sprintf("<%d>1 %s %s simtrap-hub %d %s ", facility*8+severity, e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, os.Getpid(), printable(e.Kind, 32))
	if s.format == FormatCEF {
		return head + "- " + s.cef(e, severity)
	}
	var b strings.Builder
	b.WriteString(head + "[" + enterprise)
	for _, f := range fields(e) {
		b.WriteString(" " + f.name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(f.value) + `"`)
	}
	// A byte order mark says that the text is UTF-8 (section 6.4).
	b.WriteString("] \ufeff" + sentence(e))
	return b.String()
}

// cef gives an event as the text of ArcSight's Common Event Format.
func (s *Syslog) cef(e *Event, severity int) string {
	weight := "5"
	if severity == severityAlert {
		weight = "9"
	}
	head := strings.NewReplacer(`\`, `\\`, `|`, `\|`)
	value := strings.NewReplacer(`\`, `\\`, `=`, `\=`)
	b := "CEF:0|simtrap|simtrap-hub|" + head.Replace(oneLine(s.version)) + "|" + head.Replace(e.Kind) + "|" + head.Replace(sentence(e)) + "|" + weight + "|"
	b += "externalId=" + value.Replace(e.ID) + " rt=" + strconv.FormatInt(e.At.UnixMilli(), 10)
	n := 0
	for _, f := range fields(e) {
		switch f.name {
		case "id":
		case "owner":
			b += " suser=" + value.Replace(f.value)
		case "sensor":
			b += " dvchost=" + value.Replace(f.value)
		default: // six custom strings; an event has fewer
			if n++; n <= 6 {
				b += fmt.Sprintf(" cs%dLabel=%s cs%d=%s", n, f.name, n, value.Replace(f.value))
			}
		}
	}
	return b
}

type field struct{ name, value string }

// fields are those that an event has.
func fields(e *Event) (list []field) {
	for _, f := range []field{{"id", e.ID}, {"case", e.Case}, {"title", e.Title}, {"state", e.State}, {"owner", e.Owner}, {"outcome", e.Outcome}, {"finding", e.Finding}, {"sensor", e.Sensor}, {"verdict", e.Verdict}} {
		if f.value != "" {
			list = append(list, field{f.name, cutText(oneLine(f.value), maxField)})
		}
	}
	return list
}

// sentence tells an event in fixed words.
func sentence(e *Event) string {
	switch e.Kind {
	case CaseOpened:
		return "a case was opened"
	case CaseChanged:
		return "a case was changed"
	case CaseComment:
		return "a comment was added to a case"
	case FindingCase:
		return "a line has reached the verdict case"
	}
	return "something happened"
}

// oneLine leaves out what would begin another line or steer a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// printable gives a field of a message's head: visible ASCII (section 6).
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// cutText cuts a text without leaving half a letter.
func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
