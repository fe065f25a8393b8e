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
		{"SSDP byebye", "NOTIFY * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\nNTS: ssdp:byebye\r\nSERVER: x SIP/2.0\r\n\r\n", false},
		{"another search", "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\n\r\n", false},
		{"RTSP star", "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", false},
		{"RTSP describe", "DESCRIBE rtsp://192.0.2.1/stream SIP/2.0/1 RTSP/1.0\r\nCSeq: 2\r\n\r\n", false},
		{"RTSP announce", "ANNOUNCE rtsp://192.0.2.1/sip RTSP/1.0\r\nContent-Type: application/sdp\r\n\r\n", false},
		{"RTSP 2", "PLAY_NOTIFY rtsp://example.com/foo RTSP/2.0\r\n", false},
		{"ICAP", "OPTIONS icap://icap.example.net/sample-service ICAP/1.0\r\nHost: icap.example.net\r\n\r\n", false},
		{"ICAP modification", "REQMOD icap://icap.example.net/?x= SIP/2.0 ICAP/1.0\r\n\r\n", false},
		{"ICAP answer", "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\n\r\n", false},
		{"HTTP register", "REGISTER /users HTTP/1.1\r\nHost: x\r\n\r\n", false},
		{"HTTP 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false},
		{"HTTP with SIP in its body", "POST /log HTTP/1.1\r\nContent-Length: 40\r\n\r\nINVITE sip:a@b SIP/2.0\r\n", false},
		{"WebDAV subscribe", "SUBSCRIBE /public/inbox HTTP/1.1\r\nHost: example.com\r\n\r\n", false},
		{"GENA", "NOTIFY /evt HTTP/1.0\r\nNT: upnp:event\r\n\r\n", false},
		{"MRCP request", "MRCP/2.0 83 SPEAK 543257\r\n", false},
		{"MRCP answer", "MRCP/2.0 83 543257 200 COMPLETE\r\n", false},
		{"MSRP", "MSRP a786hjs2 SEND\r\nTo-Path: msrp://x:7394/2s93i;tcp\r\n", false},
		{"MGCP", "CRCX 1204 aaln/1@rgw.example.net MGCP 1.0\r\nC: A3C47F2\r\n", false},
		{"Megaco", "MEGACO/1 [192.0.2.1]:2944\r\n", false},
		{"syslog of SIP", "<134>Feb 10 08:15:30 sbc: INVITE sip:a@b SIP/2.0\r\n", false},
		{"a mirror protocol for SIP", "HEP3\x02\x51\x00\x00\x00\x01\x00\x07\x02INVITE sip:a@b SIP/2.0\r\n", false},
		{"JSON of SIP", "{\"m\":\"INVITE sip:a@b SIP/2.0\r\n\"}", false},
		{"mail", "EHLO sip.example.com\r\n", false},
		{"SIP without its number", "INVITE sip:a@b SIP/\r\nVia: x", false},
		{"SIP 1", "INVITE sip:a@b SIP/1.0\r\n", false},
		{"SIP 2.0.1", "INVITE sip:a@b SIP/2.0.1\r\n", false},
		{"a status that is none", "SIP/2.0 OK 200\r\n", false},
		{"a status of two digits", "SIP/2.0 99 x\r\n", false},
		{"a version that goes on", "SIP/2.0beta 200 OK\r\n", false},
		{"words behind the version", "INVITE sip:a@b SIP/2.0 please\r\n", false},
		{"the version on the second line", "INVITE sip:a@b\r\n SIP/2.0\r\n", false},
		{"STUN", "\x00\x01\x00\x00\x21\x12\xa4\x42SIP/2.0 200", false},
		{"keep-alive of NULs before SIP", "\x00\x00INVITE sip:a@b SIP/2.0\r\n", false},
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
