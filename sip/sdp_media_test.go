package sip

import (
	"testing"

	"simtrap/ident"
)

func TestEncodings(t *testing.T) {
	for _, c := range []struct {
		line string
		want Encoding
	}{
		{"a=rtpmap:96 telephone-event/8000", EncodingEvent},
		{"a=rtpmap:96 Telephone-Event/8000", EncodingEvent},
		{"a=rtpmap: 96  CN/8000", EncodingNoise},
		{"a=rtpmap:96 AMR/8000/1", EncodingAMR},
		{"a=rtpmap:96 AMR-WB/16000", EncodingAMRWB},
		{"a=rtpmap:96 OPUS/48000/2", EncodingOpus},
		{"a=rtpmap:96 iLBC/8000", EncodingILBC},
		{"a=rtpmap:96 AMR-WB+/72000", EncodingOther},
		{"a=rtpmap:96 telephone-events/8000", EncodingOther},
		{"a=rtpmap:96 /8000", EncodingOther},
		{"a=rtpmap:97 telephone-event/8000", EncodingNone}, // not on the line
		{"a=rtpmap:96 telephone-event", EncodingNone},
	} {
		d, _ := scan("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nm=audio 4000 RTP/AVP 0 96\n" + c.line + "\n")
		if m := &d.Audio[0]; m.Encodings[1] != c.want || m.Encodings[0] != EncodingNone {
			t.Errorf("%s: %v, want %d", c.line, m.Encodings[:2], c.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	d, _ := scan("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n" +
		"a=candidate:1 1 UDP 2130706431 10.0.0.1 4000 typ host\n" +
		"a=candidate:1 2 UDP 2130706430 10.0.0.1 4001 typ host\n" + // RTCP
		"a=candidate:2 1 TCP 2105524479 10.0.0.1 9 typ host tcptype active\n" +
		"a=candidate:3 1 udp 1694498815 198.51.100.7 6000 typ srflx raddr 10.0.0.1 rport 4000\n" +
		"a=candidate:4 1 udp 1 host.local 4000 typ host\n" +
		"a=candidate:5 1 udp 1 10.0.0.9 0 typ host\n" +
		"a=candidate:6 1 udp 1 10.0.0.9\n" +
		"a=candidate:7 1 udp 1 2001:db8::7 7000 typ relay\n" +
		"a=candidate:8 1 udp 1 192.0.2.99 7000 typ host\n") // a fourth
	want := [3]Socket{{parsed("10.0.0.1"), 4000}, {parsed("198.51.100.7"), 6000}, {parsed("2001:db8::7"), 7000}}
	if m := &d.Audio[0]; m.NICE != 3 || m.ICE != want {
		t.Errorf("%d candidates: %v", m.NICE, m.ICE)
	}
}

func parsed(s string) ident.Addr { a, _ := ident.ParseAddr([]byte(s)); return a }

func TestImage(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\n"
	for _, c := range []struct {
		text string
		want Socket
	}{
		{"m=image 5000 udptl t38\n", Socket{parsed("192.0.2.1"), 5000}},
		{"m=image 5000 UDPTL t38\nc=IN IP4 192.0.2.8\n", Socket{parsed("192.0.2.8"), 5000}},
		{"m=audio 0 RTP/AVP 8\nm=image 5000 udptl t38\nc=IN IP4 192.0.2.8\na=T38FaxVersion:0\n", Socket{parsed("192.0.2.8"), 5000}},
		{"m=image 5000 udptl t38\nm=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.8\n", Socket{parsed("192.0.2.1"), 5000}},
		{"m=image 5000 udptl t38\nm=image 6000 udptl t38\nc=IN IP4 192.0.2.8\n", Socket{parsed("192.0.2.1"), 5000}},
		{"m=image 0 udptl t38\n", Socket{}},
		{"m=image 5000 TCP t38\n", Socket{}},
		{"m=image 99999 udptl t38\n", Socket{}},
		{"m=image udptl t38\n", Socket{}},
		{"m=imagery 5000 udptl t38\n", Socket{}},
	} {
		if d, _ := scan(head + c.text); d.Image != c.want {
			t.Errorf("%q: %v, want %v", c.text, d.Image, c.want)
		}
	}
}
