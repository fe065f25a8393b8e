package sip

import (
	"fmt"
	"strings"
	"testing"
)

// TestTortureIPv6 runs the messages of RFC 5118.
func TestTortureIPv6(t *testing.T) {
	register := func(uri string) string {
		return "REGISTER " + uri + ` SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER
`
	}
	options := func(received string) string {
		return `OPTIONS sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=` + received + `;branch=z9hG4bKas3-111
Call-ID: SSG95523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::9:1]>
CSeq: 921 OPTIONS
`
	}
	colons := func(host string) string {
		return "OPTIONS sip:user@" + host + ` SIP/2.0
To: sip:user@` + host + `
From: sip:user@example.com;tag=810x2
Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111
Call-ID: G9559905523997077@hlau_4100
CSeq: 689 OPTIONS
Max-Forwards: 70
`
	}
	const sdp = `v=0
o=assistant 971731711378798081 0 IN IP6 %[1]s
s=Live video feed for today's meeting
c=IN IP6 %[1]s
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000
`
	for _, c := range []struct {
		section, head, body string
		lenient             Leniency
		want                string // request host, Via, contact, media
	}{
		{"4.1", register("sip:[2001:db8::10]"), "", 0, "[2001:db8::10] [2001:db8::9:1]:0 z9hG4bKas3-111 caller@[2001:db8::1]:0"},
		{"4.2", register("sip:2001:db8::10"), "", LenientURI, "2001:db8::10 [2001:db8::9:1]:0 z9hG4bKas3-111 caller@[2001:db8::1]:0"},
		{"4.3", register("sip:[2001:db8::10:5070]"), "", 0, "[2001:db8::10:5070] [2001:db8::9:1]:0 z9hG4bKas3-111 caller@[2001:db8::1]:0"},
		{"4.4", register("sip:[2001:db8::10]:5070"), "", 0, "[2001:db8::10] [2001:db8::9:1]:0 z9hG4bKas3-111 caller@[2001:db8::1]:0"},
		{"4.5 with brackets", options("[2001:db8::9:255]"), "", 0, "[2001:db8::10] [2001:db8::9:1]:0 z9hG4bKas3-111 caller@[2001:db8::9:1]:0"},
		{"4.5 without", options("2001:db8::9:255"), "", 0, "[2001:db8::10] [2001:db8::9:1]:0 z9hG4bKas3-111 caller@[2001:db8::9:1]:0"},
		{"4.6", `INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::20]>
CSeq: 8612 INVITE
Max-Forwards: 70
Content-Type: application/sdp
`, fmt.Sprintf(sdp, "2001:db8::20"), 0, "[2001:db8::10] [2001:db8::20]:0 z9hG4bKas3-111 caller@[2001:db8::20]:0 2001:db8::20:6000"},
		{"4.7", `BYE sip:user@host.example.net SIP/2.0
Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
Call-ID: 997077@lau_4100
Max-Forwards: 70
CSeq: 89187 BYE
To: sip:user@example.net;tag=9817--94
From: sip:user@example.com;tag=81x2
`, "", 0, "host.example.net [2001:db8::9:1]:6050 z9hG4bKas3-111 @:0"},
		{"4.8", `INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::9:1]>
Max-Forwards: 70
CSeq: 8912 INVITE
Content-Type: application/sdp
`, `v=0
o=bob 280744730 28977631 IN IP4 host.example.com
s=
t=0 0
m=audio 22334 RTP/AVP 0
c=IN IP4 192.0.2.1
m=video 6024 RTP/AVP 107
c=IN IP6 2001:db8::1
a=rtpmap:107 H263-1998/90000
`, 0, "[2001:db8::10] [2001:db8::9:1]:0 z9hG4bKas3-111 caller@[2001:db8::9:1]:0 192.0.2.1:22334"},
		{"4.9", `INVITE sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:user@east.example.com;tag=81x2
Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19
Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>
CSeq: 612 INVITE
Max-Forwards: 70
Content-Type: application/sdp
`, fmt.Sprintf(sdp, "::ffff:192.0.2.2"), 0, "example.com [::ffff:192.0.2.10]:19823 z9hG4bKbh19 ted@[::ffff:192.0.2.2]:0 192.0.2.2:6000"},
		{"4.10 with three colons", colons("[2001:db8:::192.0.2.1]"), "", 0, "[2001:db8:::192.0.2.1] lab1.east.example.com:0 z9hG4bKas3-111 @:0"},
		{"4.10 with two", colons("[2001:db8::192.0.2.1]"), "", 0, "[2001:db8::192.0.2.1] lab1.east.example.com:0 z9hG4bKas3-111 @:0"},
	} {
		b := withLength(c.head, c.body)
		checkMessage(t, b)
		var m Message
		if err := Parse(b, &m); err != nil {
			t.Fatalf("%s: %v", c.section, err)
		}
		got := fmt.Sprintf("%s %s:%d %s %s@%s:%d", m.URIHost, m.ViaHost, m.ViaPort, m.Branch, m.Contact.User, m.Contact.Host, m.Contact.Port)
		if m.SDP.Present {
			a := &m.SDP.Audio[0]
			got += fmt.Sprintf(" %v:%d", strings.TrimPrefix(a.Addr.String(), "::ffff:"), a.Port)
			if !m.SDP.Video || m.SDP.N != 1 {
				t.Errorf("%s: video %v, %d audio lines", c.section, m.SDP.Video, m.SDP.N)
			}
		}
		if got != c.want || m.Lenient != c.lenient {
			t.Errorf("%s: %q, leniency %v; want %q, %v", c.section, got, m.Lenient, c.want, c.lenient)
		}
	}
}
