package pipeline

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/packet"
)

// connection feeds a shard segments of one TCP connection of a home to a far
// server.
type connection struct {
	s    *shard
	at   int64
	port uint16
	next [2]uint32
}

func (c *connection) segment(up bool, flags uint8, data string) {
	home, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
	c.at += 1e6
	p := &packet.Packet{Time: c.at, Src: home, Dst: far, SrcPort: c.port, DstPort: 8080, Proto: packet.TCP, Flags: flags, Payload: []byte(data), Length: uint32(len(data))}
	d := 0
	if !up {
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
		d = 1
	}
	p.TCPSeq, p.TCPAck = c.next[d], c.next[1-d]
	if c.next[d] += uint32(len(data)); flags&packet.SYN != 0 {
		c.next[d]++
	}
	c.s.take(p)
}

func (c *connection) open() {
	c.segment(true, packet.SYN, "")
	c.segment(false, packet.SYN|packet.ACK, "")
	c.segment(true, packet.ACK, "")
}

const dialling = `{"type":"dev-status","seq":%d,"max-ports":2,"max-slots":1,"status":[{"port":"1.01","st":3,"imei":"356938035643809","imsi":"460001234567890","iccid":"8986001234567890120"},{"port":"2.01","st":3,"imei":"490154203237518","imsi":"460009876543210","iccid":"8986009876543210989"}]}`

func posted(head, body string) string {
	return fmt.Sprintf("POST /r HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// Reports of a gateway prove it; the same words in what a page makes a visitor's
// browser send prove nothing, however they are cut.
func TestReports(t *testing.T) {
	body := func(i int) string { return fmt.Sprintf(dialling, i) }
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		say   func(c *connection, i int)
		proof bool
	}{
		"a gateway": {func(c *connection, i int) { c.segment(true, packet.ACK, posted("", body(i))) }, true},
		"a gateway, head and body apart": {func(c *connection, i int) {
			text := posted("", body(i))
			c.segment(true, packet.ACK, text[:len(text)-len(body(i))])
			c.segment(true, packet.ACK, body(i))
		}, true},
		"a browser": {func(c *connection, i int) {
			c.segment(true, packet.ACK, posted("User-Agent: Mozilla/5.0\r\n", body(i)))
		}, false},
		"a browser, head and body apart": {func(c *connection, i int) {
			text := posted("User-Agent: Mozilla/5.0\r\n", body(i))
			c.segment(true, packet.ACK, text[:len(text)-len(body(i))])
			c.segment(true, packet.ACK, body(i))
		}, false},
		"a browser, a whole message in its body": {func(c *connection, i int) {
			c.segment(true, packet.ACK, fmt.Sprintf("POST /r HTTP/1.1\r\nUser-Agent: Mozilla/5.0\r\nContent-Length: %d\r\n\r\n", len(posted("", body(i)))))
			c.segment(true, packet.ACK, posted("", body(i)))
		}, false},
	} {
		s := newShard(7, &arenas{}, control.New())
		sessions := control.NewSessions(control.Limits{})
		for i := range 5 {
			x := &connection{s: s, at: int64(i) * 60e9, port: uint16(40000 + i), next: [2]uint32{1000, 7000}}
			x.open()
			c.say(x, i)
			x.segment(false, packet.ACK, ok)
		}
		proof := false
		for i := range s.controls {
			if e, _ := sessions.Record(&s.controls[i]); e != nil {
				is, oneWay, _ := e.Proof()
				proof = proof || is && !oneWay
			}
		}
		for _, e := range sessions.All() {
			is, oneWay, _ := e.Proof()
			proof = proof || is && !oneWay
		}
		if proof != c.proof {
			t.Errorf("%s: proof %v of %d records", name, proof, len(s.controls))
		}
	}
}

// Traffic of the web leaves nothing in the table of streams.
func TestWebIsForgotten(t *testing.T) {
	s := newShard(7, &arenas{}, control.New())
	followed := 0
	for i, text := range []string{
		"GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n",
		posted("", `{"type":"temperature","value":21}`),
		posted("User-Agent: python-requests/2.31\r\n", strings.Repeat(" ", 100)),
		"POST /r HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n", // its body comes apart
	} {
		x := &connection{s: s, port: uint16(40000 + i), next: [2]uint32{1000, 7000}}
		x.open()
		x.segment(true, packet.ACK, text)
		followed += s.streams.Len()
		x.segment(true, packet.ACK, `{"type":"temperature","value":21}`)
		x.segment(false, packet.ACK, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	}
	if followed != 1 {
		t.Errorf("%d were followed for a while", followed)
	}
	if n := s.streams.Len(); n != 0 || len(s.controls) != 0 {
		t.Errorf("%d streams, %d records", n, len(s.controls))
	}
}

// SIP in Base64 is read as SIP, and marked.
func TestBase64SIP(t *testing.T) {
	home, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{198, 51, 100, 9})
	register := "REGISTER sip:198.51.100.9 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.7:5060;branch=z9hG4bK7\r\nFrom: <sip:1001@198.51.100.9>;tag=1\r\nTo: <sip:1001@198.51.100.9>\r\nCall-ID: 1@203.0.113.7\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
	s := newShard(7, &arenas{}, control.New())
	send := func(text string) {
		b := []byte(text)
		s.take(&packet.Packet{Time: 1, Src: home, Dst: far, SrcPort: 5060, DstPort: 5060, Proto: packet.UDP, Payload: b, Length: uint32(len(b))})
	}
	send(register)
	send(base64.StdEncoding.EncodeToString([]byte(register)))
	send(base64.StdEncoding.EncodeToString([]byte(register))[:40] + "!!" + base64.StdEncoding.EncodeToString([]byte(register))[42:])
	if s.messages != 2 || string(s.output.message(1).sip.Raw) != register {
		t.Fatalf("%d messages", s.messages)
	}
	if len(s.controls) != 1 || s.controls[0].Protocol != control.SIPBase64 || s.controls[0].Kind != control.Mark || s.lost.unparsed != 1 {
		t.Errorf("%d marks, %d not read", len(s.controls), s.lost.unparsed)
	}
}
