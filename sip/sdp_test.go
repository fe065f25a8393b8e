package sip

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pion/sdp/v3"

	"simtrap/ident"
)

func addr(s string) ident.Addr {
	a, _ := ident.ParseAddr([]byte(s))
	return a
}

// scan reads one description; every line of text ends in CRLF.
func scan(text string) (SDP, Leniency) {
	var m Message
	readSDP(crlf(text), &m)
	return m.SDP, m.Lenient
}

func formats(f ...Format) (a [12]Format) {
	copy(a[:], f)
	return a
}

func TestSDP(t *testing.T) {
	const head = "v=0\no=root 1 2 IN IP4 192.0.2.9\ns=x y\nc=IN IP4 192.0.2.1\nt=0 0\n"
	one := func(m Media) SDP {
		return SDP{Present: true, OriginUser: []byte("root"), OriginAddr: []byte("192.0.2.9"), Name: []byte("x y"), Audio: [2]Media{m}, N: 1}
	}
	pcmu := func(m Media) SDP {
		m.N, m.Formats = 1, formats(Format{0, 8000})
		return one(m)
	}
	at := func(s string, port uint16) Media { return Media{Addr: addr(s), Port: port} }
	with := func(m Media, f func(*Media)) Media { f(&m); return m }
	two := pcmu(at("192.0.2.1", 4000))
	two.Video = true
	none := func(f func(*SDP)) SDP {
		s := one(Media{})
		s.N = 0
		f(&s)
		return s
	}
	two.N, two.Audio[1] = 2, Media{Addr: addr("2001:db8::5"), Port: 5000, Direction: SendOnly, N: 1, Formats: formats(Format{9, 8000})}

	for _, c := range []struct {
		name, text string
		want       SDP
		lenient    Leniency
	}{
		{"plain", head + "m=audio 4000 RTP/AVP 0\n", pcmu(at("192.0.2.1", 4000)), 0},
		{"own connection", head + "m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.7\n", pcmu(at("192.0.2.7", 4000)), 0},
		{"IPv6, ttl, count", head + "m=audio 4000/2 RTP/AVP 0\nc=IN IP6 2001:db8::1/127\n", pcmu(at("2001:db8::1", 4000)), 0},
		{"host name", head + "m=audio 4000 RTP/AVP 0\nc=IN IP4 media.example.org\n", pcmu(Media{Port: 4000}), 0},
		{"rates", head + "m=audio 4000 RTP/AVP 9 96 18 3 4\na=rtpmap:96 opus/48000/2\na=rtpmap:18 G729/8000\n",
			one(with(at("192.0.2.1", 4000), func(m *Media) {
				m.N, m.Formats = 5, formats(Format{9, 8000}, Format{96, 48000}, Format{18, 8000}, Format{3, 8000}, Format{4, 8000})
			})), 0},
		{"unknown rate", head + "m=audio 4000 RTP/AVP 97\n", one(with(at("192.0.2.1", 4000), func(m *Media) { m.N, m.Formats = 1, formats(Format{97, 0}) })), 0},
		{"secure", head + "m=audio 4000 RTP/SAVP 0\n", pcmu(with(at("192.0.2.1", 4000), func(m *Media) { m.Secure = true })), 0},
		{"secure with feedback", head + "m=audio 4000 UDP/TLS/RTP/SAVPF 0\n", pcmu(with(at("192.0.2.1", 4000), func(m *Media) { m.Secure = true })), 0},
		{"ptime, rtcp, direction", head + "m=audio 4000 RTP/AVP 0\na=ptime:30\na=rtcp:4009 IN IP4 192.0.2.1\na=recvonly\n",
			pcmu(with(at("192.0.2.1", 4000), func(m *Media) { m.Ptime, m.RTCPPort, m.Direction = 30, 4009, RecvOnly })), 0},
		{"of the session", head + "a=inactive\na=ptime:40\nm=audio 4000 RTP/AVP 0\n",
			pcmu(with(at("192.0.2.1", 4000), func(m *Media) { m.Ptime, m.Direction = 40, Inactive })), 0},
		{"media over session", head + "a=sendonly\nm=audio 4000 RTP/AVP 0\na=sendrecv\n", pcmu(at("192.0.2.1", 4000)), 0},
		{"hold", head + "m=audio 0 RTP/AVP 0\na=sendonly\n", pcmu(with(at("192.0.2.1", 0), func(m *Media) { m.Direction = SendOnly })), 0},
		{"two and a third", head + "m=audio 4000 RTP/AVP 0\nm=video 9 RTP/AVP 31\nc=IN IP4 192.0.2.3\na=recvonly\nm=audio 5000 RTP/AVP 9\nc=IN IP6 2001:db8::5\na=sendonly\nm=audio 6000 RTP/AVP 8\na=inactive\n", two, 0},
		{"fax beside a refused voice", head + "m=audio 0 RTP/AVP 0\nm=image 4000 udptl t38\n", func() SDP { s := pcmu(at("192.0.2.1", 0)); s.Image = Socket{addr("192.0.2.1"), 4000}; return s }(), 0},
		{"video refused", head + "m=video 0 RTP/AVP 96\n", none(func(s *SDP) {}), 0},
		{"video alone", head + "m=video 4000 RTP/AVP 96\na=inactive\na=crypto:1 x\n", none(func(s *SDP) { s.Video = true }), 0},
		{"words that only begin so", head + "m=videophone 4000 RTP/AVP 96\n", none(func(s *SDP) {}), 0},
		{"keys beside a plain profile", head + "m=audio 4000 RTP/AVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\n",
			pcmu(with(at("192.0.2.1", 4000), func(m *Media) { m.Secure = true })), 0},
		{"a browser's", head + "a=group:BUNDLE 0 1\na=fingerprint:sha-256 00:11\na=ice-ufrag:x\nm=audio 9 UDP/TLS/RTP/SAVPF 0\nc=IN IP4 0.0.0.0\na=candidate:1 1 udp 1 192.0.2.1 4000 typ host\nm=video 0 UDP/TLS/RTP/SAVPF 96\na=bundle-only\n",
			func() SDP {
				s := pcmu(with(at("0.0.0.0", 9), func(m *Media) { m.Secure = true }))
				s.ICE = true
				s.Audio[0].ICE[0], s.Audio[0].NICE = Socket{addr("192.0.2.1"), 4000}, 1
				return s
			}(), 0},
		{"fax alone", head + "m=image 4000 udptl t38\n", func() SDP {
			s := one(Media{})
			s.N, s.Image = 0, Socket{addr("192.0.2.1"), 4000}
			return s
		}(), 0},
		{"another word", head + "m=audiovisual 4000 RTP/AVP 0\n", func() SDP { s := one(Media{}); s.N = 0; return s }(), 0},
		{"no version", strings.TrimPrefix(head, "v=0\n") + "m=audio 4000 RTP/AVP 0\n", pcmu(at("192.0.2.1", 4000)), LenientSDP},
		{"no blank behind audio", head + "m=audio4000 RTP/AVP 0\n", pcmu(at("192.0.2.1", 4000)), LenientSDP},
		{"blanks about", head + "m = audio  4000  RTP/AVP  0 \nc= IN IP4 192.0.2.7 \n", pcmu(at("192.0.2.7", 4000)), LenientSDP},
		{"no blank in c", strings.Replace(head, "IN IP4 192.0.2.1\n", "INIP4 192.0.2.1\n", 1) + "m=audio 4000 RTP/AVP 0\n", pcmu(at("192.0.2.1", 4000)), LenientSDP},
		{"bad formats", head + "m=audio 4000 RTP/AVP 128 x 0\n", pcmu(at("192.0.2.1", 4000)), LenientSDP},
		{"bad port", head + "m=audio 65536 RTP/AVP 0\na=inactive\n", func() SDP { s := one(Media{}); s.N = 0; return s }(), LenientSDP},
		{"bad attributes", head + "m=audio 4000 RTP/AVP 0\na=ptime:x\na=rtcp:99999\na=rtpmap:0\na=rtpmap:x y/1\n", pcmu(at("192.0.2.1", 4000)), LenientSDP},
		{"empty", "", SDP{}, 0},
		{"no description", "hello\nworld=1\n", SDP{}, 0},
	} {
		got, lenient := scan(c.text)
		if d := cmp.Diff(c.want, got, cmpopts.EquateComparable(ident.Addr{}), cmpopts.IgnoreFields(Media{}, "Encodings")); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
		if lenient != c.lenient {
			t.Errorf("%s: leniency %v, want %v", c.name, lenient, c.lenient)
		}
	}
}

// TestSDPStaticRates holds RFC 3551 section 6, table 4.
func TestSDPStaticRates(t *testing.T) {
	for pt, want := range []uint32{8000, 0, 0, 8000, 8000, 8000, 16000, 8000, 8000, 8000, 44100, 44100, 8000, 8000, 90000, 8000, 11025, 22050, 8000, 8000, 0, 0} {
		if got := staticRate(uint8(pt)); got != want {
			t.Errorf("payload type %d: %d Hz, want %d", pt, got, want)
		}
	}
}

func TestSDPFormatsAreBounded(t *testing.T) {
	got, _ := scan("v=0\nm=audio 4000 RTP/AVP 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14\n")
	if a := got.Audio[0]; a.N != 12 || a.Formats[11].PT != 11 {
		t.Errorf("%d formats, the last %d", a.N, a.Formats[11].PT)
	}
}

func TestMultipart(t *testing.T) {
	const sdp = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\n"
	for _, c := range []struct {
		name, kind, body string
		port             uint16
	}{
		{"first", "multipart/mixed;boundary=b1", "--b1\nContent-Type: application/sdp\n\n" + sdp + "\n--b1\nContent-Type: text/plain\n\nx\n--b1--\n", 4000},
		{"second, quoted", `Multipart/Mixed ; x=y; boundary="b1"`, "preamble\n--b1\nContent-Type: application/isup;version=x\n\n\x01\x02--b1\n--b1\nc: application/SDP\n\n" + sdp + "--b1--", 4000},
		{"no last delimiter", "multipart/mixed;boundary=b1", "--b1\nContent-Type: application/sdp\n\n" + sdp, 4000},
		{"none", "multipart/mixed;boundary=b1", "--b1\nContent-Type: text/plain\n\n" + sdp + "--b1--", 0},
		{"no headers", "multipart/mixed;boundary=b1", "--b1\n\n" + sdp + "--b1--", 0},
		{"no boundary", "multipart/mixed", "--b1\nContent-Type: application/sdp\n\n" + sdp + "--b1--", 0},
		{"delimiter inside a line", "multipart/mixed;boundary=b1", "x--b1\nContent-Type: application/sdp\n\n" + sdp, 0},
	} {
		var m Message
		if err := Parse(withLength(plainStart+plain("")+"Content-Type: "+c.kind+"\n", c.body), &m); err != nil {
			t.Fatal(err)
		}
		if got := m.SDP.Audio[0].Port; got != c.port || m.SDP.Present != (c.port > 0) {
			t.Errorf("%s: port %d, want %d", c.name, got, c.port)
		}
	}
}

// oracle reads text as pion/sdp does and gives what an SDP would hold.
func oracle(text []byte) (SDP, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(text); err != nil {
		return SDP{}, err
	}
	out := SDP{Present: true, OriginUser: []byte(d.Origin.Username), OriginAddr: []byte(d.Origin.UnicastAddress), Name: []byte(d.SessionName)}
	connection := func(c *sdp.ConnectionInformation) ident.Addr {
		if c == nil || c.Address == nil {
			return ident.Addr{}
		}
		a, _, _ := strings.Cut(c.Address.Address, "/")
		return addr(a)
	}
	direction := func(as []sdp.Attribute, d Direction) Direction {
		for _, a := range as {
			switch a.Key {
			case "sendrecv":
				d = SendRecv
			case "sendonly":
				d = SendOnly
			case "recvonly":
				d = RecvOnly
			case "inactive":
				d = Inactive
			}
		}
		return d
	}
	for _, md := range d.MediaDescriptions {
		out.Video = out.Video || md.MediaName.Media == "video" && md.MediaName.Port.Value != 0
		if md.MediaName.Media != "audio" || out.N == 2 {
			continue
		}
		m := Media{Addr: connection(d.ConnectionInformation), Port: uint16(md.MediaName.Port.Value), Direction: direction(md.Attributes, direction(d.Attributes, SendRecv))}
		if md.ConnectionInformation != nil {
			m.Addr = connection(md.ConnectionInformation)
		}
		for _, p := range md.MediaName.Protos {
			m.Secure = m.Secure || strings.HasPrefix(p, "SAVP")
		}
		for _, s := range md.MediaName.Formats {
			var pt uint8
			if _, err := fmt.Sscanf(s, "%d", &pt); err == nil && pt < 128 && m.N < len(m.Formats) {
				m.Formats[m.N] = Format{pt, staticRate(pt)}
				m.N++
			}
		}
		for _, a := range md.Attributes {
			switch a.Key {
			case "ptime":
				fmt.Sscanf(a.Value, "%d", &m.Ptime)
			case "rtcp":
				fmt.Sscanf(a.Value, "%d", &m.RTCPPort)
			case "rtpmap":
				var pt uint8
				var name string
				if _, err := fmt.Sscanf(a.Value, "%d %s", &pt, &name); err == nil {
					parts := strings.Split(name, "/")
					for i := range m.Formats[:m.N] {
						if m.Formats[i].PT == pt && len(parts) > 1 {
							fmt.Sscanf(parts[1], "%d", &m.Formats[i].Rate)
						}
					}
				}
			}
		}
		out.Audio[out.N] = m
		out.N++
	}
	return out, nil
}

// TestSDPOracle compares with pion/sdp on well-formed descriptions of many
// kinds.
func TestSDPOracle(t *testing.T) {
	n := 0
	for _, conn := range []string{"", "c=IN IP4 192.0.2.1\n", "c=IN IP6 2001:db8::1\n", "c=IN IP4 224.2.1.1/127\n"} {
		for _, sess := range []string{"", "a=sendonly\n", "a=tool:x\na=inactive\n"} {
			for _, proto := range []string{"RTP/AVP", "RTP/SAVP", "RTP/AVPF", "UDP/TLS/RTP/SAVPF"} {
				for _, attrs := range []string{"", "c=IN IP4 198.51.100.3\n", "a=rtpmap:96 AMR-WB/16000/1\na=ptime:20\n", "a=rtcp:53020\na=recvonly\na=rtpmap:0 PCMU/8000\n"} {
					for _, more := range []string{"", "m=video 6000 RTP/AVP 31\nc=IN IP4 203.0.113.1\na=inactive\n", "m=audio 7000/2 RTP/AVP 8 18 101\na=sendonly\na=rtpmap:101 telephone-event/8000\n"} {
						text := crlf("v=0\no=alice 2890844526 2890842807 IN IP4 192.0.2.5\ns=a b\n" + conn + "t=0 0\n" + sess + "m=audio 49170 " + proto + " 0 96 13\n" + attrs + more)
						want, err := oracle(text)
						if err != nil {
							t.Fatalf("%v\n%s", err, text)
						}
						got, lenient := scan(string(text))
						if d := cmp.Diff(want, got, cmpopts.EquateComparable(ident.Addr{}), cmpopts.IgnoreFields(Media{}, "Encodings")); d != "" || lenient != 0 {
							t.Fatalf("leniency %v, -want +got\n%s\n%s", lenient, d, text)
						}
						n++
					}
				}
			}
		}
	}
	t.Logf("%d descriptions agree", n)
}

func FuzzSDP(f *testing.F) {
	for _, x := range tortureTexts() {
		if _, body, ok := strings.Cut(x.text, "\n\n"); ok && strings.HasPrefix(body, "v=") {
			f.Add(crlf(body))
		}
	}
	f.Add([]byte("m=audio1/ \r\nc=\r\na=rtpmap:\r\n"))
	f.Add([]byte("o= \nm=\nm=audio\nc=/\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		readSDP(b, &m)
		readSDP(b, &again)
		if d := cmp.Diff(m, again, cmpopts.EquateComparable(ident.Addr{})); d != "" {
			t.Fatalf("read twice, read differently\n%s", d)
		}
		for _, v := range views(&m) {
			if !within(b, v) {
				t.Fatal("view outside the input")
			}
		}
		if m.SDP.N > 0 && !m.SDP.Present {
			t.Fatal("media without a description")
		}
		for i, a := range m.SDP.Audio {
			if a.N < 0 || a.N > len(a.Formats) || a.Direction > Inactive || i >= m.SDP.N && a != (Media{}) {
				t.Fatalf("audio line %d: %+v", i, a)
			}
			for _, x := range a.Formats[:a.N] {
				if x.PT > 127 {
					t.Fatalf("payload type %d", x.PT)
				}
			}
		}
	})
}
