package sip

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"simtrap/ident"
)

// crlf turns the lines of a Go raw string into those of a message.
func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.TrimPrefix(s, "\n"), "\n", "\r\n"))
}

// withLength adds a body and its Content-Length.
func withLength(head, body string) []byte {
	b := crlf(body)
	return append(crlf(fmt.Sprintf("%sContent-Length: %d\n\n", head, len(b))), b...)
}

func typicalInvite() []byte {
	return withLength(`
INVITE sip:8613800138000@203.0.113.40:5060;user=phone SIP/2.0
Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK7d3f1a2b9c;rport
Max-Forwards: 70
From: "4420" <sip:442079460123@198.51.100.7>;tag=as2b7c9d01
To: <sip:8613800138000@203.0.113.40:5060;user=phone>
Contact: <sip:442079460123@198.51.100.7:5060>
Call-ID: 3f2a7c915d0b4e6a1c88@198.51.100.7:5060
CSeq: 102 INVITE
User-Agent: Example PBX 16.2.1
Date: Tue, 10 Feb 2026 08:15:30 GMT
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, UPDATE
Supported: replaces, timer
Content-Type: application/sdp
`, `v=0
o=root 1821740733 1821740733 IN IP4 198.51.100.7
s=Example PBX
c=IN IP4 198.51.100.7
t=0 0
m=audio 14836 RTP/AVP 18 8 0 101
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=maxptime:150
a=sendrecv
`)
}

func typicalRegister() []byte {
	return withLength(`
REGISTER sip:198.51.100.7:5060 SIP/2.0
Via: SIP/2.0/UDP 192.168.1.67:5062;branch=z9hG4bK1298452137;rport
From: "2001" <sip:2001@198.51.100.7:5060>;tag=1283459872
To: "2001" <sip:2001@198.51.100.7:5060>
Call-ID: 1834599127@192.168.1.67
CSeq: 4127 REGISTER
Contact: <sip:2001@192.168.1.67:5062>
Authorization: Digest username="2001", realm="example", nonce="49ce2f8a", uri="sip:198.51.100.7:5060", response="5ccc069c403ebaf9f0171e9517f40e41", algorithm=MD5
Max-Forwards: 70
User-Agent: gateway
Expires: 60
`, "")
}

func typicalOK() []byte {
	return withLength(`
SIP/2.0 200 OK
Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK7d3f1a2b9c;received=198.51.100.7;rport=5060
From: "4420" <sip:442079460123@198.51.100.7>;tag=as2b7c9d01
To: <sip:8613800138000@203.0.113.40:5060;user=phone>;tag=1843921
Call-ID: 3f2a7c915d0b4e6a1c88@198.51.100.7:5060
CSeq: 102 INVITE
Contact: <sip:8613800138000@203.0.113.40:5060>
Server: gateway 4.1
Content-Type: application/sdp
`, `v=0
o=userX 20000001 20000001 IN IP4 203.0.113.40
s=A call
c=IN IP4 203.0.113.40
t=0 0
m=audio 16404 RTP/AVP 18 101
a=rtpmap:18 G729/8000
a=rtpmap:101 telephone-event/8000
`)
}

func TestParseTypical(t *testing.T) {
	var m Message
	b := typicalInvite()
	if len(b) < 800 || len(b) > 1000 {
		t.Fatalf("the typical INVITE has %d bytes, want 800 to 1000", len(b))
	}
	if err := Parse(b, &m); err != nil {
		t.Fatal(err)
	}
	if m.Lenient != 0 {
		t.Errorf("leniency %v, want none", m.Lenient)
	}
	want := tortureFields{
		Method: INVITE, URIUser: "8613800138000", URIHost: "203.0.113.40", ViaHost: "198.51.100.7", ViaPort: 5060, Branch: "z9hG4bK7d3f1a2b9c",
		FromUser: "442079460123", FromHost: "198.51.100.7", FTag: "as2b7c9d01", ToUser: "8613800138000", ToHost: "203.0.113.40",
		CallID: "3f2a7c915d0b4e6a1c88@198.51.100.7:5060", CSeq: 102, Contacts: 1, ContactUser: "442079460123", ContactHost: "198.51.100.7",
		Expires: -1, Length: int64(len(m.Body)), BodyLen: len(m.Body), AudioAddr: "198.51.100.7", AudioPort: 14836, OriginUser: "root",
		UserAgent: "Example PBX 16.2.1", CT: "application/sdp",
	}
	if d := cmp.Diff(want, fieldsOf(&m)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	a := m.SDP.Audio[0]
	if a.Ptime != 20 || a.Direction != SendRecv || a.N != 4 || a.Formats[3] != (Format{101, 8000}) {
		t.Errorf("audio %+v", a)
	}

	if err := Parse(typicalRegister(), &m); err != nil {
		t.Fatal(err)
	}
	if m.Lenient != 0 || m.Method != REGISTER || m.Expires != 60 || string(m.To.User) != "2001" || m.Contact.Port != 5062 || len(m.Body) != 0 || m.SDP.Present {
		t.Errorf("REGISTER: leniency %v, %+v", m.Lenient, fieldsOf(&m))
	}
	if err := Parse(typicalOK(), &m); err != nil {
		t.Fatal(err)
	}
	if m.Lenient != 0 || m.Status != 200 || string(m.Reason) != "OK" || m.Method != INVITE || string(m.UserAgent) != "gateway 4.1" || string(m.To.Tag) != "1843921" || m.SDP.Audio[0].Port != 16404 {
		t.Errorf("200: leniency %v, %+v", m.Lenient, fieldsOf(&m))
	}
}

// A message without bends, to bend one line of.
const plainStart = "OPTIONS sip:bob@example.org SIP/2.0\n"

// plain gives the headers of that message but for the one that begins with
// the name of line, which line replaces; an empty line replaces none.
func plain(line string) string {
	name, _, _ := strings.Cut(line, ":")
	var b strings.Builder
	for _, h := range []string{
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx",
		"From: <sip:alice@example.com>;tag=1",
		"To: <sip:bob@example.org>",
		"Call-ID: c1",
		"CSeq: 7 OPTIONS",
		"Max-Forwards: 70",
	} {
		if n, _, _ := strings.Cut(h, ":"); line != "" && n == strings.TrimSpace(name) {
			h = line
			line = ""
		}
		b.WriteString(h + "\n")
	}
	if line != "" {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// TestParseLenient bends one rule at a time and looks at what was read.
func TestParseLenient(t *testing.T) {
	message := func(line string) string { return plainStart + plain(line) + "Content-Length: 0\n\n" }
	type get = func(m *Message) string
	fromUser := func(m *Message) string { return string(m.From.User) + "@" + string(m.From.Host) }
	toUser := func(m *Message) string { return string(m.To.User) + "@" + string(m.To.Host) }
	uri := func(m *Message) string { return string(m.URIUser) + "@" + string(m.URIHost) }
	via := func(m *Message) string {
		return fmt.Sprintf("%s %d %s", m.ViaHost, m.ViaPort, m.Branch)
	}
	contact := func(m *Message) string {
		return fmt.Sprintf("%d %s@%s:%d %d", m.Contacts, m.Contact.User, m.Contact.Host, m.Contact.Port, m.Expires)
	}
	for _, c := range []struct {
		name    string
		text    string
		lenient Leniency
		get     get
		want    string
	}{
		{"nothing bent", message(""), 0, fromUser, "alice@example.com"},
		{"leading line ends", "\n\n" + message(""), LenientLeading, fromUser, "alice@example.com"},
		{"lower-case method", "options" + message("")[7:], LenientCase, uri, "bob@example.org"},
		{"lower-case version", strings.Replace(message(""), "SIP/2.0\n", "sip/2.0\n", 1), LenientCase, uri, "bob@example.org"},
		{"tab in the start line", strings.Replace(message(""), "OPTIONS sip", "OPTIONS\tsip", 1), LenientStartBlank, uri, "bob@example.org"},
		{"no bracket behind the request-URI", strings.Replace(message(""), " sip:bob@example.org ", " <sip:bob@example.org ", 1), LenientURIBrackets, uri, "bob@example.org"},
		{"request-URI without scheme", strings.Replace(message(""), " sip:bob@", " bob@", 1), LenientURIScheme, uri, "bob@example.org"},
		{"tel request-URI", strings.Replace(message(""), " sip:bob@example.org ", " tel:+8613800138000;phone-context=x ", 1), 0, uri, "+8613800138000@"},
		{"user parameters and password", strings.Replace(message(""), "sip:bob@", "sip:0138;phone-context=+86:secret@", 1), 0, uri, "0138@example.org"},
		{"password", strings.Replace(message(""), "sip:bob@", "SIP:bob:secret@", 1), 0, uri, "bob@example.org"},
		{"IPv6 request-URI", strings.Replace(message(""), "example.org ", "[2001:db8::1]:5060;transport=udp ", 1), 0, uri, "bob@[2001:db8::1]"},
		{"IPv6 without brackets", strings.Replace(message(""), "example.org ", "2001:db8::1;lr ", 1), LenientURI, uri, "bob@2001:db8::1"},
		{"two at signs", strings.Replace(message(""), "sip:bob@", "sip:bob@home@", 1), LenientURI, uri, "bob@home@example.org"},
		{"at sign in a parameter", strings.Replace(message(""), "example.org ", "example.org;x=a@b ", 1), LenientURI, uri, "bob@example.org"},
		{"bad port", strings.Replace(message(""), "example.org ", "example.org:99999 ", 1), LenientURI, uri, "bob@example.org"},
		{"no host", strings.Replace(message(""), "example.org ", " ", 1), LenientURI, uri, "bob@"},

		{"blanks before the colon", message("From \t : <sip:a@b>;tag=1"), 0, fromUser, "a@b"},
		{"compact", message("f: <sip:a@b>;tag=1"), LenientRepeat, fromUser, "alice@example.com"},
		{"any case", strings.NewReplacer("From", "FROM", "CSeq", "cSEQ", "Call-ID", "call-id", "Via", "vIA").Replace(message("")), 0, fromUser, "alice@example.com"},
		{"quoted name with escapes", message(`From: "A \"<sip:x@y>;\\" <sip:a@b>;tag=1`), 0, fromUser, "a@b"},
		{"UTF-8 in quotes", message(`From: "李雷" <sip:a@b>;tag=1`), 0, fromUser, "a@b"},
		{"UTF-8 without quotes", message("From: 李雷 <sip:a@b>;tag=1"), LenientDisplay, fromUser, "a@b"},
		{"quote does not end", message(`From: "A <sip:a@b>;tag=1`), LenientQuote, fromUser, "a@b"},
		{"blank in brackets", message("From: < sip:a@b>;tag=1"), LenientURIBlank, fromUser, "a@b"},
		{"blank behind the scheme", message("From: <sip: 8613800000000@b:5060>;tag=1"), LenientURIBlank, fromUser, "8613800000000@b"},
		{"blank behind the scheme of the request-URI", strings.Replace(message(""), " sip:bob@", " sip: bob@", 1), LenientURIBlank, uri, "bob@example.org"},
		{"comma, semicolon and bracket in a quoted name", message(`From: "Li, \"Lei\"; <x" <sip:a@b>;tag=1`), 0, fromUser, "a@b"},
		{"number parameters", strings.Replace(message(""), "sip:bob@", "sip:13812345678;npdi;rn=+8613800100500;isub=12@", 1), 0, uri, "13812345678@example.org"},
		{"tel with number parameters", strings.Replace(message(""), " sip:bob@example.org ", " tel:+8613812345678;npdi;rn=+8613800100500 ", 1), 0, uri, "+8613812345678@"},
		{"called and calling", strings.Replace(message(""), "sip:bob@", "sip:13812345678*13900001111@", 1), 0, uri, "13812345678*13900001111@example.org"},
		{"escapes", strings.Replace(message(""), "sip:bob@", "sip:%2B8613812345678@", 1), 0, uri, "%2B8613812345678@example.org"},
		{"blanks before a length", strings.Replace(message(""), "Content-Length: 0", "Content-Length:     0", 1), 0, uri, "bob@example.org"},
		{"no brackets behind a name", message(`From: "A" sip:a@b;tag=1`), LenientAngle, fromUser, "a@b"},
		{"no closing bracket", message("From: <sip:a@b;tag=1"), LenientAngle, fromUser, "a@b"},
		{"no opening bracket", message("From: sip:a@b>;tag=1"), LenientAngle, fromUser, "a@b"},
		{"user=phone outside", message("From: <sip:86138@b>;user=phone;tag=1"), LenientParamPlace, fromUser, "86138@b"},
		{"bare with parameters", message("From: sip:a@b:5060;tag=1"), 0, fromUser, "a@b"},
		{"no scheme", message("From: <a@b>;tag=1"), LenientURIScheme, fromUser, "a@b"},
		{"tel", message("From: <tel:+86138>;tag=1"), 0, fromUser, "+86138@"},
		{"no tag", message("From: <sip:a@b>"), LenientNoTag, fromUser, "a@b"},
		{"empty tag", message("From: <sip:a@b>;tag="), LenientNoTag, fromUser, "a@b"},
		{"empty From", message("From:"), LenientURI | LenientNoTag, fromUser, "@"},
		{"junk behind the brackets", message("From: <sip:a@b> junk;tag=1"), LenientParam, fromUser, "a@b"},
		{"a list for From", message("From: <sip:a@b>;tag=1, <sip:c@d>"), LenientParam, fromUser, "a@b"},
		{"folded", message("To:\n <sip:a@b>\n\t;x=y"), 0, toUser, "a@b"},

		{"IPv6 Via", message("Via: SIP/2.0/UDP [2001:db8::9]:5061;branch=z9hG4bKy"), 0, via, "[2001:db8::9] 5061 z9hG4bKy"},
		{"odd blanks in Via", message("Via: SIP / 2.0 / UDP 192.0.2.9 : 5061 ; branch = z9hG4bKy"), 0, via, "192.0.2.9 5061 z9hG4bKy"},
		{"list of Via", message("Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKy,SIP/2.0/TCP 192.0.2.10;branch=z9hG4bKz"), 0, via, "192.0.2.9 0 z9hG4bKy"},
		{"empty element behind the first Via", message("Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKy,,SIP/2.0/TCP a"), LenientParam, via, "192.0.2.9 0 z9hG4bKy"},
		{"Via without transport", message("Via: SIP/2.0 192.0.2.9;branch=z9hG4bKy"), LenientVia, via, " 0 "},
		{"Via of another version", message("Via: SIP/3.0/UDP 192.0.2.9;branch=z9hG4bKy"), LenientVia, via, "192.0.2.9 0 z9hG4bKy"},
		{"empty Via parameter", message("Via: SIP/2.0/UDP 192.0.2.9;;branch=z9hG4bKy"), LenientParam, via, "192.0.2.9 0 z9hG4bKy"},

		{"contact", message("Contact: <sip:c@d:5070>;expires=90"), 0, contact, "1 c@d:5070 90"},
		{"contact list", message(`Contact: "x, <y" <sip:c@d;a=1,2>;q=0.5, sip:e@f, <sip:g@h>`), 0, contact, "3 c@d:0 -1"},
		{"two contact lines", message("Contact: <sip:c@d>\nm: <sip:e@f>,<sip:g@h>"), 0, contact, "3 c@d:0 -1"},
		{"contact star", message("Contact: *"), 0, contact, "0 @:0 -1"},
		{"quoted expires", message(`Contact: <sip:c@d>;expires="90"`), LenientNumber, contact, "1 c@d:0 90"},
		{"Expires over the contact's", message("Contact: <sip:c@d>;expires=90\nExpires: 60"), 0, contact, "1 c@d:0 60"},
		{"empty element", message("Contact: <sip:c@d>,,<sip:e@f>"), LenientParam, contact, "2 c@d:0 -1"},
		{"negative Expires", message("Expires: -1"), LenientNumber, contact, "0 @:0 -1"},

		{"no CSeq number", message("CSeq: OPTIONS"), LenientCSeq, func(m *Message) string { return fmt.Sprint(m.CSeq) }, "0"},
		{"no CSeq method", message("CSeq: 9"), LenientCSeq, func(m *Message) string { return fmt.Sprint(m.CSeq) }, "9"},
		{"no blank in CSeq", message("CSeq: 9OPTIONS"), LenientCSeq, func(m *Message) string { return fmt.Sprint(m.CSeq) }, "9"},
		{"another CSeq method", message("CSeq: 9 INVITE"), LenientCSeqMethod, func(m *Message) string { return fmt.Sprint(m.Method == OPTIONS) }, "true"},
		{"blanks about a long Call-ID", message("Call-ID: 0123456789abcdef \t"), 0, func(m *Message) string { return string(m.CallID) }, "0123456789abcdef"},
		{"no Call-ID", strings.Replace(message(""), "Call-ID: c1\n", "", 1), LenientMissing, fromUser, "alice@example.com"},
		{"no Max-Forwards", strings.Replace(message(""), "Max-Forwards: 70\n", "", 1), LenientNoMaxForwards, fromUser, "alice@example.com"},
		{"no colon", message("nonsense"), LenientHeader, fromUser, "alice@example.com"},
		{"blank in a header name", message("X Y: z"), LenientHeader, fromUser, "alice@example.com"},
		{"no name", message(": z"), LenientHeader, fromUser, "alice@example.com"},
		{"not GMT", message("Date: Tue, 10 Feb 2026 08:15:30 CST"), LenientDate, fromUser, "alice@example.com"},
		{"no end", strings.TrimSuffix(message(""), "\n\n"), LenientNoEnd, fromUser, "alice@example.com"},

		{"asserted identity", message(`P-Asserted-Identity: "x" <sip:+861@b>, <tel:+862>`), 0, func(m *Message) string { return string(m.PAI) }, "+861"},
		{"asserted over remote party", message("Remote-Party-ID: <sip:1@b>;party=calling\nP-Asserted-Identity: <sip:2@b>"), 0, func(m *Message) string { return string(m.PAI) }, "2"},
		{"remote party", message("Remote-Party-ID: \"x\" <sip:1@b>;party=calling;privacy=off"), 0, func(m *Message) string { return string(m.PAI) }, "1"},
		{"event", message("Event: message-summary;id=1"), 0, func(m *Message) string { return string(m.Event) }, "message-summary"},
		{"Server of a request", message("Server: s"), 0, func(m *Message) string { return string(m.UserAgent) }, "s"},
		{"User-Agent over Server", message("Server: s\nUser-Agent: u"), 0, func(m *Message) string { return string(m.UserAgent) }, "u"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Message
			b := crlf(c.text)
			if strings.HasPrefix(c.text, "\n") {
				b = append([]byte("\r\n\r\n"), crlf(strings.TrimLeft(c.text, "\n"))...)
			}
			if err := Parse(b, &m); err != nil {
				t.Fatal(err)
			}
			if m.Lenient != c.lenient {
				t.Errorf("leniency %v, want %v", m.Lenient, c.lenient)
			}
			if got := c.get(&m); got != c.want {
				t.Errorf("read %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseTag(t *testing.T) {
	for _, from := range []string{
		"<sip:a@b>;tag=t1", "<sip:a@b> ; tag = t1 ;x", "<sip:a@b;tag=t1", "sip:a@b;tag=t1", `"A" <sip:a@b;tag=no>;x="tag=no;";tag=t1`,
		"sip:a@b;user=phone;TAG=t1", "<sip:a@b>;tag=t1;tag=t2", `"A sip:a@b <sip:a@b>;tag=t1`,
	} {
		var m Message
		if err := Parse(crlf(plainStart+plain("From: "+from)+"\n"), &m); err != nil || string(m.From.Tag) != "t1" {
			t.Errorf("%s: tag %q, %v", from, m.From.Tag, err)
		}
	}
}

func TestParseLineEnds(t *testing.T) {
	b := bytes.ReplaceAll(typicalInvite(), []byte("\r\n"), []byte("\n"))
	var m Message
	if err := Parse(b, &m); err != nil {
		t.Fatal(err)
	}
	if m.Lenient != LenientLineEnd|LenientLengthLong || m.SDP.Audio[0].Port != 14836 {
		t.Errorf("LF alone: leniency %v, port %d", m.Lenient, m.SDP.Audio[0].Port)
	}
	b = bytes.Replace(typicalInvite(), []byte("SIP/2.0\r\n"), []byte("SIP/2.0\n"), 1)
	b = bytes.Replace(b, []byte("\r\n\r\n"), []byte("\r\n\n"), 1)
	if err := Parse(b, &m); err != nil {
		t.Fatal(err)
	}
	if m.Lenient != LenientLineEnd || m.SDP.Audio[0].Port != 14836 {
		t.Errorf("mixed: leniency %v, port %d", m.Lenient, m.SDP.Audio[0].Port)
	}
}

func TestParseBody(t *testing.T) {
	const body = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n"
	n := len(crlf(body))
	for _, c := range []struct {
		name, length, kind, body string
		lenient                  Leniency
		want                     int
		sdp                      bool
	}{
		{"right", fmt.Sprint(n), "application/sdp", body, 0, n, true},
		{"none", "", "application/sdp", body, LenientNoLength, n, true},
		{"too long", fmt.Sprint(n + 100), "application/sdp", body, LenientLengthLong, n, true},
		{"ends within a line", fmt.Sprint(n - 9), "application/sdp", body, LenientLengthShort, n, true},
		{"ends with a line", fmt.Sprint(n), "application/sdp", body + "a=sendonly\n", 0, n, true},
		{"zero", "0", "application/sdp", body, 0, 0, false},
		{"other type", fmt.Sprint(n), "text/plain", body, 0, n, false},
		{"no type", fmt.Sprint(n), "", body, LenientType, n, true},
		{"type in capitals, with a parameter", fmt.Sprint(n), "Application/SDP; charset=x", body, 0, n, true},
	} {
		head := plainStart + plain("")
		if c.kind != "" {
			head += "Content-Type: " + c.kind + "\n"
		}
		if c.length != "" {
			head += "Content-Length: " + c.length + "\n"
		}
		b := crlf(head + "\n" + c.body)
		var m Message
		if err := Parse(b, &m); err != nil {
			t.Fatal(err)
		}
		if m.Lenient != c.lenient || len(m.Body) != c.want || m.SDP.Present != c.sdp {
			t.Errorf("%s: leniency %v, body of %d, SDP %v; want %v, %d, %v", c.name, m.Lenient, len(m.Body), m.SDP.Present, c.lenient, c.want, c.sdp)
		}
	}
}

func TestParseErrors(t *testing.T) {
	many := plainStart + plain("") + strings.Repeat("X: y\n", 300)
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", ErrEmpty},
		{"keep-alive", "\r\n\r\n", ErrEmpty},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ErrNotSIP},
		{"no version", "INVITE sip:a@b\r\nVia: x\r\n\r\n", ErrNotSIP},
		{"no URI", "INVITE SIP/2.0\r\nVia: x\r\n\r\n", ErrStartLine},
		{"version 3", "INVITE sip:a@b SIP/3.0\r\nVia: x\r\n\r\n", ErrVersion},
		{"response of version 1", "SIP/1.0 200 OK\r\nVia: x\r\n\r\n", ErrVersion},
		{"status 99", "SIP/2.0 099 OK\r\nVia: x\r\n\r\n", ErrStatus},
		{"status 700", "SIP/2.0 700 OK\r\nVia: x\r\n\r\n", ErrStatus},
		{"status of two digits", "SIP/2.0 20 OKAY\r\nVia: x\r\n\r\n", ErrStatus},
		{"status missing", "SIP/2.0\r\nVia: x\r\n\r\n", ErrStartLine},
		{"long start line", "INVITE sip:" + strings.Repeat("a", 3000) + " SIP/2.0\r\nVia: x\r\n\r\n", ErrStartLine},
		{"start line alone", "INVITE sip:a@b SIP/2.0\r\n\r\n", ErrNoHeaders},
		{"nothing to follow", "INVITE sip:a@b SIP/2.0\r\nX: y\r\n\r\n", ErrNoHeaders},
		{"many headers", many, ErrTooManyHeaders},
		{"too long", plainStart + plain("") + "\n" + strings.Repeat("x", maxMessage), ErrTooLong},
		{"long method", strings.Repeat("A", 65) + " sip:a@b SIP/2.0\r\nVia: x\r\n\r\n", ErrNotSIP},
		{"RTP", "\x80\x00\x12\x34\x00\x00\x00\x00\x00\x00\x00\x00", ErrNotSIP},
	} {
		var m Message
		err := Parse([]byte(c.text), &m)
		if err != c.want {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "sip: ") {
			t.Errorf("%s: %q does not say who speaks", c.name, err)
		}
	}
}

func TestParseErrorsHaveWords(t *testing.T) {
	seen := map[string]ParseError{}
	for e := ErrEmpty; e <= ErrTooLong; e++ {
		s := e.Error()
		if other, ok := seen[s]; ok || strings.Contains(s, "unknown") {
			t.Errorf("error %d says %q, as does %d", e, s, other)
		}
		seen[s] = e
	}
}

func TestLeniencyString(t *testing.T) {
	for _, c := range []struct {
		l    Leniency
		want string
	}{
		{0, ""},
		{LenientLineEnd, "line-end"},
		{LenientLineEnd | LenientVia | LenientSDP, "line-end|via|sdp"},
		{LenientSDP << 1, "unknown"},
		{LenientDate, "date"},
		{LenientNoMaxForwards, "no-max-forwards"},
	} {
		if got := c.l.String(); got != c.want {
			t.Errorf("%#x is %q, want %q", uint32(c.l), got, c.want)
		}
	}
}

// TestParseShape: the shape follows names, their order and spelling, and
// neither values nor the number of hops.
func TestParseShape(t *testing.T) {
	shape := func(line string) uint64 {
		var m Message
		if err := Parse(crlf(plainStart+plain(line)+"\n"), &m); err != nil {
			t.Fatal(err)
		}
		return m.Shape
	}
	base := shape("")
	for _, same := range []string{"Call-ID: other", "Call-ID : other", "Via: SIP/2.0/UDP a\nVia: SIP/2.0/UDP b"} {
		if shape(same) != base {
			t.Errorf("%q changes the shape", same)
		}
	}
	for _, other := range []string{"X: y", "Call-ID: c\nVia: SIP/2.0/UDP a", "CALL-ID: c"} {
		if shape(other) == base {
			t.Errorf("%q does not change the shape", other)
		}
	}
	var want uint64
	for _, n := range []string{"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards"} {
		want = ident.Hash(want, []byte(n))
	}
	if base != want {
		t.Errorf("shape %x, want %x", base, want)
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	bad := crlf("INVITE sip:a@b SIP/2.0\nX: y\n\n")
	for _, b := range [][]byte{typicalInvite(), typicalRegister(), typicalOK(), tortureBytes(t)["wsinv"], tortureBytes(t)["mpart01"], bad} {
		var m Message
		var err error
		if n := testing.AllocsPerRun(100, func() { err = Parse(b, &m) }); n != 0 {
			t.Errorf("%v allocations (%v)", n, err)
		}
	}
}

// within says whether v is a view into b.
func within(b, v []byte) bool {
	if v == nil || len(v) == 0 && cap(v) == 0 {
		return true
	}
	start, p := uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	return p >= start && p+uintptr(len(v)) <= start+uintptr(len(b))
}

func views(m *Message) [][]byte {
	return [][]byte{
		m.Raw, m.Reason, m.URI, m.URIUser, m.URIHost, m.Via, m.ViaHost, m.Branch, m.CallID, m.UserAgent, m.PAI, m.Event, m.Replaces,
		m.ContentType, m.Body, m.SDP.OriginUser, m.SDP.OriginAddr, m.SDP.Name,
		m.From.User, m.From.Host, m.From.Tag, m.To.User, m.To.Host, m.To.Tag, m.Contact.User, m.Contact.Host, m.Contact.Tag,
	}
}

// checkMessage holds the invariants of every message read.
func checkMessage(t *testing.T, b []byte) {
	t.Helper()
	before := bytes.Clone(b)
	m := Message{Status: 999, Expires: 12, Branch: []byte("left over")}
	err := Parse(b, &m)
	if !bytes.Equal(b, before) {
		t.Fatal("the input was changed")
	}
	if err != nil {
		if _, ok := err.(ParseError); !ok {
			t.Fatalf("error of type %T", err)
		}
		return
	}
	contacts := 0
	m.eachContact(func(a *NameAddr) bool {
		contacts++
		if !within(b, a.Host) || !within(b, a.User) {
			t.Fatal("a contact lies outside the input")
		}
		return true
	})
	if contacts > maxContacts {
		t.Fatalf("%d contacts", contacts)
	}
	for i, v := range views(&m) {
		if !within(b, v) {
			t.Fatalf("view %d lies outside the input", i)
		}
	}
	if !Looks(b) {
		t.Fatal("Looks refuses what Parse reads")
	}
	if m.Contacts < 0 || m.SDP.N < 0 || m.SDP.N > 2 || m.Expires < -1 || m.Expires > 1<<32-1 || m.Status != 0 && (m.Status < 100 || m.Status > 699) {
		t.Fatalf("out of range: %+v", m)
	}
	if m.Lenient.String() == "" != (m.Lenient == 0) || strings.Contains(m.Lenient.String(), "unknown") {
		t.Fatalf("leniency %#x has no name", uint32(m.Lenient))
	}
	var again, raw Message
	if err := Parse(b, &again); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, again, cmpopts.EquateComparable(ident.Addr{})); d != "" {
		t.Fatalf("read twice, read differently\n%s", d)
	}
	if err := Parse(m.Raw, &raw); err != nil {
		t.Fatalf("Raw: %v", err)
	}
	m.Lenient &^= LenientLeading
	if d := cmp.Diff(m, raw, cmpopts.EquateComparable(ident.Addr{})); d != "" {
		t.Fatalf("Raw reads differently\n%s", d)
	}
}

// TestParseCorpus reads every file of the corpus that holds one SIP message as
// text.
func TestParseCorpus(t *testing.T) {
	dir := corpus(t)
	read, refused := 0, 0
	for _, sub := range []string{"kamailio+kamailio", "resiprocate+resiprocate", "emiago+sipgo", "rtckit+php-sip"} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if len(b) > maxMessage {
				return nil
			}
			checkMessage(t, b)
			if ext := filepath.Ext(path); ext != ".sip" && ext != ".dat" {
				return nil
			}
			var m Message
			err = Parse(b, &m)
			want := map[string]error{"badvers.dat": ErrVersion, "bigcode.dat": ErrStatus, "test.dat": ErrNotSIP, "bad_via2.sip": ErrNotSIP, "bad_via3.sip": ErrNotSIP}[filepath.Base(path)]
			if err != want {
				t.Errorf("%s: error %v, want %v", filepath.Base(path), err, want)
			}
			if err != nil {
				refused++
			} else {
				read++
			}
			return nil
		})
		if err != nil {
			t.Skip("the corpus lacks ", sub)
		}
	}
	t.Logf("%d messages read, %d refused", read, refused)
}

func FuzzParse(f *testing.F) {
	for _, x := range tortureTexts() {
		b, err := tortureMessage(x.text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(typicalInvite())
	f.Add(typicalRegister())
	f.Add(typicalOK())
	f.Add([]byte("\r\n\r\nA b SIP/2.0\nv:\ni:x\n"))
	f.Fuzz(checkMessage)
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name string
		text []byte
	}{{"invite", typicalInvite()}, {"register", typicalRegister()}, {"ok", typicalOK()}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			var m Message
			for b.Loop() {
				if err := Parse(c.text, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
