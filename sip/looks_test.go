package sip

import (
	"strings"
	"testing"
)

func TestLooks(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"request", "INVITE sip:a@b SIP/2.0\r\n", true},
		{"unknown method", "FROB sip:a@b SIP/2.0\r\n", true},
		{"one-letter method", "F sip:a@b SIP/2.0\r\n", true},
		{"response", "SIP/2.0 200 OK\r\n", true},
		{"lower case", "sip/2.0 200 OK\r\n", true},
		{"no line end", "INVITE sip:a@b SIP/2.0", true},
		{"LF", "INVITE sip:a@b SIP/2.0\nVia: x", true},
		{"behind line ends", "\r\n\r\nINVITE sip:a@b SIP/2.0\r\n", true},
		{"tel", "INVITE tel:112 SIP/2.0\r\n", true},
		{"star", "OPTIONS * SIP/2.0\r\n", true},
		{"keep-alive", "\r\n\r\n", false},
		{"many line ends", strings.Repeat("\r\n", 100), false},
		{"NULs", strings.Repeat("\x00", 4), false},
		{"SSDP", "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n", false},
		{"SSDP search", "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n", false},
		{"SSDP answer", "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n", false},
		{"RTSP", "OPTIONS rtsp://example.com/media RTSP/1.0\r\nCSeq: 1\r\n\r\n", false},
		{"RTSP answer", "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", false},
		{"HTTP", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
		{"HTTP that names SIP", "GET /?v=SIP/2.0 HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
		{"RTP", "\x80\x08\x00\x01\x00\x00\x00\xa0\x12\x34\x56\x78" + strings.Repeat("\xd5", 160), false},
		{"DNS", "AB\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01", false},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 100), false},
		{"gateway keep-alive", "req:17;id:goip;pass:x;num:;signal:21;gsm_status:LOGIN;", false},
		{"URI missing", "INVITE SIP/2.0\r\n", false},
		{"only a version", "SIP/2.0\r\n", false},
		{"long line", "INVITE sip:" + strings.Repeat("a", 3000) + " SIP/2.0\r\n", false},
		{"empty", "", false},
	} {
		if got := Looks([]byte(c.text)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzLooks(f *testing.F) {
	f.Add([]byte("INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n"))
	f.Add([]byte("\r\nSIP/2.0 100\r\ni: x\r\n\r\n"))
	f.Add([]byte("NOTIFY * HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		looks := Looks(b)
		var m Message
		if Parse(b, &m) == nil && !looks {
			t.Fatal("Looks refuses what Parse reads")
		}
		// What follows the first line does not matter.
		if n := strings.IndexByte(strings.TrimLeft(string(b), "\r\n"), '\n'); n >= 0 && looks {
			if !Looks(append(b[:len(b):len(b)], "anything"...)) {
				t.Fatal("more bytes make it look otherwise")
			}
		}
	})
}

func BenchmarkLooks(b *testing.B) {
	for _, c := range []struct {
		name string
		text []byte
	}{
		{"rtp", []byte("\x80\x08\x00\x01\x00\x00\x00\xa0\x12\x34\x56\x78xxxxxxxxxxxxxxxxxxxxxx")},
		{"dns", []byte("\x41\x02\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01")},
		{"tls", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03xxxxxxxxxxxxxxxxxxxxxx")},
		{"ssdp", []byte("NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n")},
		{"invite", typicalInvite()},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				if Looks(c.text) {
					n++
				}
			}
			_ = n
		})
	}
}
