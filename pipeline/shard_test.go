package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/packet"
)

// wire feeds a shard with segments and datagrams between two hosts.
type wire struct {
	shard *shard
	time  int64
	seq   [2]uint32
	port  uint16
}

// take is packet with the hashes that a worker makes.
func (s *shard) take(p *packet.Packet) {
	s.hashes = hashesOf(p, s.seed)
	s.packet(p)
}

func newWire() *wire {
	return &wire{shard: newShard(0, &arenas{}, control.New()), time: 1e18, seq: [2]uint32{1000, 2000}, port: 40000}
}

func (w *wire) packet(up bool, proto uint8, payload string) *packet.Packet {
	w.time += 1e8
	client, server := ident.AddrFrom4([]byte{192, 0, 2, 1}), ident.AddrFrom4([]byte{198, 51, 100, 1})
	p := &packet.Packet{Time: w.time, Src: client, Dst: server, SrcPort: w.port, DstPort: 443, Proto: proto, Flags: packet.ACK, Payload: []byte(payload), Length: uint32(len(payload))}
	side := 0
	if !up {
		side = 1
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	}
	p.TCPSeq, p.TCPAck = w.seq[side], w.seq[1-side]
	w.seq[side] += uint32(len(payload))
	return p
}

// segments sends segments one way; a line that begins with "<" comes from the
// server, and "lost" is not seen.
func (w *wire) segments(list ...string) {
	for _, s := range list {
		payload, down := strings.CutPrefix(s, "<")
		payload, lost := strings.CutPrefix(payload, "lost")
		if p := w.packet(!down, packet.TCP, payload); !lost {
			w.shard.take(p)
		}
	}
	w.shard.flush()
}

// ids are the Call-IDs of the messages that came out.
func (w *wire) ids() (out []string) {
	for i := range w.shard.messages {
		out = append(out, string(w.shard.output.message(i).sip.CallID))
	}
	return out
}

func sipText(id string) string {
	return "OPTIONS sip:a@b SIP/2.0\r\nCall-ID: " + id + "\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
}

// socketFrame is a WebSocket frame of fewer than 126 bytes (RFC 6455 section
// 5.2), masked unless it comes from the server.
func socketFrame(first byte, server bool, text string) string {
	if server {
		return string([]byte{first, byte(len(text))}) + text
	}
	b := []byte{first, 0x80 | byte(len(text)), 1, 2, 3, 4}
	for i := range len(text) {
		b = append(b, text[i]^b[2+i&3])
	}
	return string(b)
}

func TestSignallingOnStreams(t *testing.T) {
	const get, granted = "GET /ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: sip\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
	up := func(id string) string { return socketFrame(0x81, false, sipText(id)) }
	down := func(id string) string { return "<" + socketFrame(0x81, true, sipText(id)) }
	type losses struct{ compressed, other, broken, skipped, framer uint64 }
	for _, c := range []struct {
		name     string
		segments []string
		want     []string
		lost     losses
	}{
		{"plain", []string{sipText("a"), "<" + sipText("b"), sipText("c") + sipText("d")}, []string{"a", "b", "c", "d"}, losses{}},
		{"plain, nothing to go by in the first segment", []string{sipText("a")[:10], sipText("a")[10:40], sipText("a")[40:]}, nil, losses{}},
		{"plain, over three segments after one", []string{sipText("z"), sipText("a")[:10], sipText("a")[10:40], sipText("a")[40:]}, []string{"z", "a"}, losses{}},
		{"plain, after a gap", []string{sipText("a"), "lost" + sipText("b")[:30], sipText("b")[30:] + sipText("c")}, []string{"a", "c"}, losses{framer: uint64(len(sipText("b")) - 32)}}, // its empty line is a keep-alive
		{"socket, from the handshake on", []string{get, "<" + granted, up("a"), down("b"), up("c") + up("d")}, []string{"a", "b", "c", "d"}, losses{}},
		{"socket, in mid-connection", []string{up("a"), down("b"), up("c")}, []string{"a", "b", "c"}, losses{}},
		{"socket, from the server first", []string{down("a"), up("b")}, []string{"a", "b"}, losses{}},
		{"socket, frames over segments", []string{get, up("a")[:3], up("a")[3:50], up("a")[50:] + up("b")[:1], up("b")[1:]}, []string{"a", "b"}, losses{}},
		{"socket, after a gap", []string{get, up("a"), "lost" + up("b")[:20], up("b")[20:], up("c")}, []string{"a", "c"}, losses{skipped: uint64(len(up("b")) - 20)}},
		{"socket, compressed", []string{get, socketFrame(0xc1, false, "x\x9c"), up("a")}, []string{"a"}, losses{compressed: 1}},
		{"socket, something else on it", []string{get, socketFrame(0x81, false, `{"a":1}`), up("a")}, []string{"a"}, losses{other: 1}},
		{"another subprotocol", []string{strings.Replace(get, "sip", "mqtt", 1), "<" + strings.Replace(granted, "sip", "mqtt", 1), socketFrame(0x82, false, "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")}, nil, losses{}},
		{"plain HTTP", []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 120\r\n\r\n" + sipText("a")}, nil, losses{}},
		{"RTSP", []string{"OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n", "<RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"}, nil, losses{}},
	} {
		w := newWire()
		w.segments(c.segments...)
		if d := cmp.Diff(c.want, w.ids()); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
		s := &w.shard.socket
		if got := (losses{s.Compressed, s.Other, s.Broken, s.Skipped, w.shard.framer.Skipped}); got != c.lost {
			t.Errorf("%s: lost %+v, want %+v", c.name, got, c.lost)
		}
		if w.shard.held != 0 {
			t.Errorf("%s: %d bytes are said to be held", c.name, w.shard.held)
		}
	}
}

// Unfinished messages on many connections are bounded together.
func TestHeldOnStreamsIsBounded(t *testing.T) {
	w := newWire()
	for i := range 400 {
		w.port = uint16(20000 + i)
		w.seq = [2]uint32{1, 1}
		w.shard.take(w.packet(true, packet.TCP, "GET / HTTP/1.1\r\nSec-WebSocket-Protocol: sip\r\n\r\n"))
		for range 6 {
			w.shard.take(w.packet(true, packet.TCP, "\x01\x7e\x23\x28"+strings.Repeat("x", 9000)))
			if w.shard.held > maxHeld+128<<10 {
				t.Fatalf("%d bytes held", w.shard.held)
			}
		}
	}
	w.shard.flush()
	if w.shard.held != 0 {
		t.Errorf("%d bytes are said to be held in the end", w.shard.held)
	}
}

func TestTrailing(t *testing.T) {
	for _, c := range []struct {
		text string
		want uint64
	}{
		{sipText("a"), 0}, {"\r\n\r\n" + sipText("a"), 0}, {sipText("a") + "\r\n\r\n", 0}, {sipText("a") + "\x00\x00", 0},
		{sipText("a") + "garbage", 1}, {sipText("a") + sipText("b"), 1}, {"\r\n" + sipText("a") + "x", 1},
	} {
		w := newWire()
		w.shard.take(w.packet(true, packet.UDP, c.text))
		if d := cmp.Diff([]string{"a"}, w.ids()); d != "" || w.shard.lost.trailing != c.want {
			t.Errorf("%q: %d with more behind the message, want %d; %s", c.text, w.shard.lost.trailing, c.want, d)
		}
	}
}
