package lab

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"strconv"
	"strings"
)

// field is one header.
type field struct{ name, value string }

// message is a SIP message before it is written in somebody's dialect.
type message struct {
	method  string // of the request, or empty
	uri     string
	status  int
	via     []string
	from    string
	to      string
	callID  string
	cseq    string // number and method
	contact string
	expires int // -1 for none
	extra   []field
	ctype   string
	body    string
	allow   bool
}

var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted", 401: "Unauthorized", 403: "Forbidden",
	404: "Not Found", 407: "Proxy Authentication Required", 408: "Request Timeout", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
	410: "Gone", 484: "Address Incomplete", 500: "Server Internal Error", 502: "Bad Gateway", 504: "Server Time-out", 503: "Service Unavailable", 603: "Decline",
}

// render writes m.
func (d *dialect) render(m *message) []byte {
	b := make([]byte, 0, 700+len(m.body))
	order := d.request
	if m.status == 0 {
		b = append(b, m.method...)
		b = append(b, ' ')
		b = append(b, m.uri...)
		b = append(b, " SIP/2.0\r\n"...)
	} else {
		order = d.response
		b = append(b, "SIP/2.0 "...)
		b = strconv.AppendInt(b, int64(m.status), 10)
		b = append(b, ' ')
		b = append(b, reasons[m.status]...)
		b = append(b, "\r\n"...)
	}
	put := func(name, value string) {
		if value == "" {
			return
		}
		b = append(b, name...)
		b = append(b, ": "...)
		b = append(b, value...)
		b = append(b, "\r\n"...)
	}
	for _, h := range order {
		switch h {
		case "Via":
			for _, v := range m.via {
				put(h, v)
			}
		case "From":
			put(h, m.from)
		case "To":
			put(h, m.to)
		case "Call-ID":
			put(h, m.callID)
		case "CSeq":
			put(h, m.cseq)
		case "Contact":
			put(h, m.contact)
		case "Max-Forwards":
			if m.status == 0 {
				put(h, d.forwards)
			}
		case "User-Agent":
			if m.status == 0 || !d.server {
				put(h, d.agent)
			}
		case "Server":
			put(h, d.agent)
		case "Expires":
			if m.expires >= 0 {
				put(h, strconv.Itoa(m.expires))
			}
		case "Allow":
			if m.allow {
				put(h, d.allow)
			}
		case "Supported":
			if m.allow {
				put(h, d.support)
			}
		case "*":
			for _, f := range m.extra {
				put(f.name, f.value)
			}
		case "Content-Type":
			put(h, m.ctype)
		case "Content-Length":
			b = append(b, "Content-Length:"...)
			b = append(b, d.lengthGap...)
			b = strconv.AppendInt(b, int64(len(m.body)), 10)
			b = append(b, "\r\n"...)
		}
	}
	b = append(b, "\r\n"...)
	return append(b, m.body...)
}

// digest answers a challenge (RFC 2617, without qop).
func digest(method, uri, user, realm, nonce, secret string) string {
	h := func(s string) string {
		v := md5.Sum([]byte(s))
		return hex.EncodeToString(v[:])
	}
	resp := h(h(user+":"+realm+":"+secret) + ":" + nonce + ":" + h(method+":"+uri))
	return `Digest username="` + user + `", realm="` + realm + `", nonce="` + nonce + `", uri="` + uri + `", response="` + resp + `", algorithm=MD5`
}

// codec is one payload format.
type codec struct {
	pt   uint8
	name string
	size int // bytes of a packet, which is 20 ms unless ms says otherwise
	ms   int
	hz   int // timestamp units a millisecond, 8 unless it says otherwise
	vary int // packets are up to so many bytes shorter
}

// frame gives the length of a packet in ms.
func (c *codec) frame() int { return cmp.Or(c.ms, 20) }

// in gives the codec in packets of ms.
func (c *codec) in(ms int) *codec {
	other := *c
	other.size, other.ms = c.size*ms/c.frame(), ms
	return &other
}

var (
	pcmu = &codec{pt: 0, name: "PCMU/8000", size: 160}
	pcma = &codec{pt: 8, name: "PCMA/8000", size: 160}
	g729 = &codec{pt: 18, name: "G729/8000", size: 20}
	g722 = &codec{pt: 9, name: "G722/8000", size: 160}
	gsm  = &codec{pt: 3, name: "GSM/8000", size: 33}
	ilbc = &codec{pt: 97, name: "iLBC/8000", size: 38}
	opus = &codec{pt: 111, name: "opus/48000/2", size: 90, hz: 48, vary: 50}
)

// sdp writes a session description for media at host:port.
func (d *dialect) sdp(id, host string, port uint16, codecs []*codec, dir string) string {
	fam := "IP4 "
	if strings.Contains(host, ":") {
		fam = "IP6 "
	}
	var b strings.Builder
	b.WriteString("v=0\r\no=" + d.sdpUser + " " + id + " IN " + fam + host + "\r\ns=" + d.sdpName + "\r\nc=IN " + fam + host + "\r\nt=0 0\r\nm=audio " + strconv.Itoa(int(port)) + " RTP/AVP")
	for _, c := range codecs {
		b.WriteString(" " + strconv.Itoa(int(c.pt)))
	}
	b.WriteString(" 101\r\n")
	for _, c := range codecs {
		if !d.bareStatic || c.pt >= 96 {
			b.WriteString("a=rtpmap:" + strconv.Itoa(int(c.pt)) + " " + c.name + "\r\n")
		}
		if c.pt == g729.pt {
			b.WriteString("a=fmtp:18 annexb=no\r\n")
		}
	}
	b.WriteString("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:" + strconv.Itoa(codecs[0].frame()) + "\r\na=" + dir + "\r\n")
	return b.String()
}
