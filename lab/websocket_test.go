package lab

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// TestWebSocket opens the frames of a capture whose SIP goes over WebSocket: the
// same messages must come out as over TCP.
func TestWebSocket(t *testing.T) {
	opt := Options{Scenario: "goip-line", Seed: 9, Duration: 90 * time.Second, Encap: "sip-ws"}
	streams := map[[2]any][]byte{}
	for _, d := range makeAndRead(t, opt).packets {
		if d.proto == protoTCP && len(d.payload) > 0 {
			k := [2]any{[2]any{d.src, d.sport}, [2]any{d.dst, d.dport}}
			streams[k] = append(streams[k], d.payload...)
		}
	}
	messages, split, pings := 0, 0, 0
	for k, b := range streams {
		n := bytes.Index(b, []byte("\r\n\r\n"))
		if !bytes.HasPrefix(b, []byte("GET /ws")) && !bytes.HasPrefix(b, []byte("HTTP/1.1 101")) {
			continue // not SIP
		}
		if n < 0 || !bytes.Contains(b[:n], []byte("Sec-WebSocket-Protocol: sip")) {
			t.Fatalf("%v: no handshake", k)
		}
		client := bytes.HasPrefix(b, []byte("GET "))
		var msg []byte
		for b = b[n+4:]; len(b) > 0; {
			first, size, head := b[0], int(b[1]&0x7f), 2
			if size == 126 {
				size, head = int(binary.BigEndian.Uint16(b[2:])), 4
			}
			if masked := b[1]&0x80 != 0; masked != client {
				t.Fatalf("%v: masked %v", k, masked)
			}
			var key [4]byte
			if client {
				head += copy(key[:], b[head:head+4])
			}
			if first == 0x89 {
				pings++
			} else {
				for i, c := range b[head : head+size] {
					msg = append(msg, c^key[i&3])
				}
			}
			b = b[head+size:]
			switch first {
			case 0x01:
				split++
			case 0x81, 0x80:
				messages++
				if d := (&datagram{payload: msg}); !d.sip() || !bytes.Contains(msg, []byte("Via: SIP/2.0/WS ")) {
					t.Fatalf("%v: no SIP: %q", k, msg)
				}
				msg = nil
			}
		}
	}
	if messages < 20 || split == 0 || pings != split {
		t.Errorf("%d messages, %d in two frames, %d pings", messages, split, pings)
	}
}
