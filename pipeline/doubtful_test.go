package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
)

// tcpTalk is a TCP conversation between a home and a server abroad, frame by
// frame.
type tcpTalk struct {
	frames []frameOf
	now    int64
	seq    [2]uint32 // next of the home, of the server
}

const synFlag, ackFlag = 2, 16

func (c *tcpTalk) segment(side int, flags byte, payload string) {
	ends := [2][4]byte{{203, 0, 113, 7}, {198, 51, 100, 9}}
	ports := [2]uint16{40000, 5060}
	b := make([]byte, 14+20+20, 54+len(payload))
	b[12] = 8
	ip, tcp := b[14:34], b[34:]
	ip[0], ip[8], ip[9] = 0x45, 60, 6
	binary.BigEndian.PutUint16(ip[2:], uint16(40+len(payload)))
	copy(ip[12:], ends[side][:])
	copy(ip[16:], ends[1-side][:])
	binary.BigEndian.PutUint16(tcp, ports[side])
	binary.BigEndian.PutUint16(tcp[2:], ports[1-side])
	binary.BigEndian.PutUint32(tcp[4:], c.seq[side])
	binary.BigEndian.PutUint32(tcp[8:], c.seq[1-side])
	tcp[12], tcp[13] = 5<<4, flags
	c.seq[side] += uint32(len(payload))
	if flags&synFlag != 0 {
		c.seq[side]++
	}
	c.now += 20e6
	c.frames = append(c.frames, frameOf{c.now, append(b, payload...)})
}

// talkSource gives the frames of a conversation.
type talkSource struct {
	frames []frameOf
	done   bool
}

func (s *talkSource) Next(context.Context) (*capture.Batch, error) {
	if s.done {
		return nil, io.EOF
	}
	s.done = true
	b := capture.NewBatch(nil, func(*capture.Batch) {})
	for _, f := range s.frames {
		b.Frames = append(b.Frames, capture.Frame{Time: f.time, Off: uint32(len(b.Block)), Len: uint32(len(f.data)), Wire: uint32(len(f.data)), Link: capture.LinkEthernet})
		b.Block = append(b.Block, f.data...)
	}
	return b, nil
}

func (s *talkSource) Close() error { return nil }

// TestPageInABrowser: a page makes its visitor's browser answer calls in the
// bodies of POST requests. Calls in the same words on a connection that is SIP
// from its first byte count.
func TestPageInABrowser(t *testing.T) {
	for _, tt := range []struct {
		name, first string
		counts      bool
		silence     int64 // between two calls
	}{
		{"sip from the first byte", "", true, 0},
		{"keep-alives first", "\r\n\r\n", true, 0},
		{"a page", "POST / HTTP/1.1\r\nHost: 198.51.100.9:5060\r\nContent-Length: 100000\r\n\r\n", false, 0},
		// Silent for longer than a connection is followed.
		{"sip now and then", "", true, 11 * 60e9},
		{"a page now and then", "POST / HTTP/1.1\r\nHost: 198.51.100.9:5060\r\nContent-Length: 100000\r\n\r\n", false, 11 * 60e9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &tcpTalk{now: 1.7e18}
			c.segment(0, synFlag, "")
			c.segment(1, synFlag|ackFlag, "")
			c.segment(0, ackFlag, "")
			if tt.first != "" {
				c.segment(0, ackFlag, tt.first)
			}
			for i := range 12 {
				head := func(method string) string {
					return fmt.Sprintf("Via: SIP/2.0/TCP 198.51.100.9:5060;branch=z9hG4bK%d\r\nFrom: <sip:139%08d@198.51.100.9>;tag=a%d\r\nTo: <sip:138%08d@203.0.113.7>%s\r\nCall-ID: call-%d\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
						i, i, i, i*7919, map[bool]string{true: "", false: fmt.Sprintf(";tag=b%d", i)}[method == "INVITE"], i, method)
				}
				c.segment(1, ackFlag, fmt.Sprintf("INVITE sip:138%08d@203.0.113.7 SIP/2.0\r\n", i*7919)+head("INVITE"))
				answer := bytes.Replace([]byte(head("INVITE")), []byte("@203.0.113.7>"), []byte(fmt.Sprintf("@203.0.113.7>;tag=b%d", i)), 1)
				c.segment(0, ackFlag, "SIP/2.0 180 Ringing\r\n"+string(answer))
				c.segment(0, ackFlag, "SIP/2.0 200 OK\r\n"+string(answer))
				c.segment(1, ackFlag, fmt.Sprintf("ACK sip:138%08d@203.0.113.7 SIP/2.0\r\n", i*7919)+head("ACK"))
				c.now += 60e9
				c.segment(1, ackFlag, fmt.Sprintf("BYE sip:138%08d@203.0.113.7 SIP/2.0\r\n", i*7919)+head("BYE"))
				c.now += tt.silence
			}
			homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Run(t.Context(), &talkSource{frames: c.frames}, Config{Homes: homes, Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			if r.Stats.Messages < 48 {
				t.Fatalf("only %d messages were read", r.Stats.Messages)
			}
			verified, verdict := 0, heuristics.None
			for i := range r.Findings {
				verified, verdict = r.Findings[i].Calls.Verified, r.Findings[i].Verdict
			}
			if got := verified == 12; got != tt.counts || !tt.counts && verified > 0 {
				t.Errorf("%d calls count, verdict %v", verified, verdict)
			}
		})
	}
}
