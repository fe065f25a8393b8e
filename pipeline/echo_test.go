package pipeline

import (
	"encoding/binary"
	"fmt"
	"testing"

	"simtrap/ident"
)

// TestEchoService: a stranger calls a home that sends back what it is sent, and
// says both ends' part himself. The home takes part in none of it.
func TestEchoService(t *testing.T) {
	stranger, home := [4]byte{198, 51, 100, 9}, [4]byte{203, 0, 113, 7}
	for _, echo := range []bool{true, false} {
		var frames []frameOf
		now := int64(1.7e18)
		send := func(src, dst [4]byte, text string) {
			now += 20e6
			frames = append(frames, frameOf{now, datagram(src, dst, text)})
		}
		for i := range 12 {
			head := func(method, tag string) string {
				return fmt.Sprintf("Via: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bK%d%s\r\nFrom: <sip:139%08d@198.51.100.9>;tag=a%d\r\nTo: <sip:138%08d@203.0.113.7>%s\r\nCall-ID: call-%d\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
					i, method[:1], i, i, i*7919, tag, i, method)
			}
			tag := fmt.Sprintf(";tag=b%d", i)
			uri := fmt.Sprintf(" sip:138%08d@203.0.113.7 SIP/2.0\r\n", i*7919)
			for _, m := range []struct {
				text   string
				answer bool
			}{
				{"INVITE" + uri + head("INVITE", ""), false},
				{"SIP/2.0 180 Ringing\r\n" + head("INVITE", tag), true},
				{"SIP/2.0 200 OK\r\n" + head("INVITE", tag), true},
				{"ACK" + uri + head("ACK", tag), false},
				{"BYE" + uri + head("BYE", tag), false},
			} {
				if echo || !m.answer {
					send(stranger, home, m.text)
				}
				if echo || m.answer {
					send(home, stranger, m.text)
				}
			}
			now += 60e9
		}
		homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Run(t.Context(), &talkSource{frames: frames}, Config{Homes: homes})
		if err != nil {
			t.Fatal(err)
		}
		verified := 0
		for i := range r.Findings {
			verified += r.Findings[i].Calls.Verified
		}
		if echo && verified != 0 || !echo && verified != 12 {
			t.Errorf("echo %v: %d calls count", echo, verified)
		}
	}
}

// datagram makes a frame of UDP between two addresses, on port 5060 of both.
func datagram(src, dst [4]byte, text string) []byte {
	b := make([]byte, 14+20+8, 42+len(text))
	b[12] = 8
	ip, udp := b[14:34], b[34:]
	ip[0], ip[8], ip[9] = 0x45, 60, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(text)))
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(udp, 5060)
	binary.BigEndian.PutUint16(udp[2:], 5060)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(text)))
	return append(b, text...)
}
