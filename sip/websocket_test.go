package sip

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The handshake of RFC 7118 section 8.2, and its answer.
const (
	wsRequest = "GET / HTTP/1.1\r\nHost: sip-ws.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://www.example.com\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n"
	wsAnswer  = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
	wsSIP     = "OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK56sdasks\r\nFrom: <sip:a@example.com>;tag=x\r\nTo: <sip:bob@example.com>\r\nCall-ID: y\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)

var wsKey = []byte{0x37, 0xfa, 0x21, 0x3d} // of the examples in RFC 6455 section 5.7

// wsFrame writes one frame; without a key it is not masked.
func wsFrame(first byte, key []byte, payload string) string {
	b := []byte{first, 0}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if key == nil {
		return string(b) + payload
	}
	b[1] |= 0x80
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i&3])
	}
	return string(b)
}

// wsRead pushes pieces and gives the messages, and what was counted.
func wsRead(pieces ...string) ([]string, WebSocketStats) {
	var w WebSocket
	var out []string
	for _, p := range pieces {
		w.Push([]byte(p), func(m []byte) { out = append(out, string(m)) })
	}
	return out, w.Stats
}

func TestWebSocket(t *testing.T) {
	big := strings.Replace(wsSIP, "Content-Length: 0\r\n\r\n", "Content-Length: 70000\r\n\r\n", 1) + strings.Repeat("x", 60000)
	whole := wsFrame(0x81, wsKey, wsSIP)
	const plain, cut = wsSIP, 40
	for _, c := range []struct {
		name   string
		stream string
		want   []string
		stats  WebSocketStats
	}{
		{"client", wsRequest + whole, []string{plain}, WebSocketStats{Messages: 1}},
		{"server", wsAnswer + wsFrame(0x81, nil, wsSIP), []string{plain}, WebSocketStats{Messages: 1}},
		{"binary", wsFrame(0x82, wsKey, wsSIP), []string{plain}, WebSocketStats{Messages: 1}},
		{"several frames in a segment", whole + whole + wsFrame(0x81, nil, wsSIP), []string{plain, plain, plain}, WebSocketStats{Messages: 3}},
		{"in three frames, a ping between", wsFrame(0x01, wsKey, plain[:cut]) + wsFrame(0x89, wsKey, "hello") + wsFrame(0x00, wsKey, plain[cut:cut+1]) + wsFrame(0x80, wsKey, plain[cut+1:]),
			[]string{plain}, WebSocketStats{Messages: 1, Joined: 1, Control: 1}},
		{"an empty frame at its end", wsFrame(0x01, nil, plain) + wsFrame(0x80, nil, ""), []string{plain}, WebSocketStats{Messages: 1, Joined: 1}},
		{"pings, pongs, closes", wsFrame(0x89, nil, "") + wsFrame(0x8a, wsKey, "x") + whole + wsFrame(0x88, wsKey, "\x03\xe8bye"), []string{plain}, WebSocketStats{Messages: 1, Control: 3}},
		{"keep-alives", wsFrame(0x81, wsKey, "\r\n\r\n") + whole, []string{plain}, WebSocketStats{Messages: 1, KeepAlive: 1}},
		{"an empty message", wsFrame(0x81, wsKey, "") + whole, []string{plain}, WebSocketStats{Messages: 1, KeepAlive: 1}},
		{"what is no SIP", wsFrame(0x81, wsKey, `{"event":"ping"}`) + whole, []string{plain}, WebSocketStats{Messages: 1, Other: 1}},
		{"compressed, by one frame and two", wsFrame(0xc1, wsKey, "\xf2\x48\xcd\xc9\xc9\x07\x00") + wsFrame(0x41, wsKey, "\xf2\x48") + wsFrame(0x80, wsKey, "\xcd") + whole, []string{plain}, WebSocketStats{Messages: 1, Compressed: 2}},
		{"60,000 bytes", wsFrame(0x81, wsKey, big[:60000]) + whole, []string{big[:60000], plain}, WebSocketStats{Messages: 2}},
		{"too long, by length", wsFrame(0x81, wsKey, wsSIP+strings.Repeat("x", 70000)) + whole, []string{plain}, WebSocketStats{Messages: 1, TooLong: 1}},
		{"too long, by frames", wsFrame(0x01, nil, big[:60000]) + wsFrame(0x00, nil, big[:60000]) + wsFrame(0x80, nil, "x") + whole, []string{plain}, WebSocketStats{Messages: 1, TooLong: 1}},
		{"the end of a message alone", wsFrame(0x80, wsKey, plain[cut:]) + whole, []string{plain}, WebSocketStats{Messages: 1, Broken: 1}},
		{"a message that does not end", wsFrame(0x01, wsKey, plain[:cut]) + whole, []string{plain}, WebSocketStats{Messages: 1, Broken: 1}},
		{"refused, then granted", "GET / HTTP/1.1\r\nSec-WebSocket-Protocol: sip\r\n\r\n" + wsRequest + whole, []string{plain}, WebSocketStats{Messages: 1}},
		{"two SIP messages in one are the parser's to tell", wsFrame(0x81, wsKey, plain+plain), []string{plain + plain}, WebSocketStats{Messages: 1}},
	} {
		got, stats := wsRead(c.stream)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
		if d := cmp.Diff(c.stats, stats); d != "" {
			t.Errorf("%s: -want +got\n%s", c.name, d)
		}
		// However the stream is split, the same comes out.
		for _, size := range []int{1, 2, 3, 7, 1400} {
			var pieces []string
			for s := c.stream; len(s) > 0; {
				n := min(size, len(s))
				pieces, s = append(pieces, s[:n]), s[n:]
			}
			again, st := wsRead(pieces...)
			if d := cmp.Diff(got, again); d != "" || st != stats {
				t.Errorf("%s in pieces of %d: %v\n%s", c.name, size, cmp.Diff(stats, st), d)
			}
		}
	}
}

func TestWebSocketFindsItsBearings(t *testing.T) {
	whole := wsFrame(0x81, wsKey, wsSIP)
	for _, c := range []struct {
		name   string
		pieces []string
		stats  WebSocketStats
	}{
		{"garbage between segments", []string{whole, "\xff garbage", "more of it", whole}, WebSocketStats{Messages: 2, Resyncs: 1, Skipped: 19}},
		{"garbage behind a frame", []string{whole + "\x93 garbage", whole}, WebSocketStats{Messages: 2, Resyncs: 1, Skipped: 9}},
		{"a control frame of 126 bytes", []string{"\x89\x7e\x00\x7e", whole}, WebSocketStats{Messages: 1, Resyncs: 1, Skipped: 4}},
		{"a length that is no message", []string{"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", whole}, WebSocketStats{Messages: 1, Resyncs: 1, Skipped: 10}},
		{"16 KiB of HTTP", []string{"GET /" + strings.Repeat("x", 17<<10), whole}, WebSocketStats{Messages: 1, Resyncs: 1}},
	} {
		got, stats := wsRead(c.pieces...)
		if stats != c.stats {
			t.Errorf("%s: %s", c.name, cmp.Diff(c.stats, stats))
		}
		if len(got) != int(c.stats.Messages) || got[len(got)-1] != wsSIP {
			t.Errorf("%s: %q", c.name, got)
		}
	}

	var w WebSocket
	n := 0
	count := func([]byte) { n++ }
	w.Push([]byte(whole[:50]), count)
	w.Gap()
	w.Push([]byte(whole[80:]), count) // the middle of a frame: nothing to go by
	w.Push([]byte(whole), count)
	if n != 1 || w.Stats.Broken != 1 || w.Stats.Skipped == 0 || w.Stats.Resyncs != 0 {
		t.Errorf("%d messages after a gap, %+v", n, w.Stats)
	}
}

func TestWebSocketIsBounded(t *testing.T) {
	var w WebSocket
	none := func(m []byte) { t.Fatal("a message came out") }
	w.Push([]byte(wsFrame(0x01, wsKey, wsSIP)), none)
	for range 1000 {
		w.Push([]byte(wsFrame(0x00, wsKey, strings.Repeat("x", 1000))), none)
		if w.Held() > 2*maxMessage {
			t.Fatalf("%d bytes held", w.Held())
		}
	}
	if w.Held() != 0 || w.Stats.TooLong != 1 {
		t.Errorf("%d bytes held, %+v", w.Held(), w.Stats)
	}
}

func TestWebSocketLeavesItsInputAlone(t *testing.T) {
	b := []byte(wsFrame(0x81, wsKey, wsSIP))
	before := bytes.Clone(b)
	var w WebSocket
	w.Push(b, func([]byte) {})
	if !bytes.Equal(b, before) {
		t.Error("the segment was unmasked in place")
	}
}

func TestLooksWebSocket(t *testing.T) {
	for _, s := range []string{
		wsRequest, wsAnswer,
		strings.Replace(wsRequest, "Protocol: sip", "protocol:chat ,SIP", 1),
		strings.ToLower(wsAnswer[:12]) + wsAnswer[12:],
		wsFrame(0x81, wsKey, wsSIP), wsFrame(0x82, nil, wsSIP), wsFrame(0x01, wsKey, wsSIP[:60]),
		wsFrame(0x81, nil, "SIP/2.0 200 OK\r\nVia: x\r\n\r\n"),
		wsFrame(0x81, wsKey, "\r\n"+wsSIP),
		wsFrame(0x81, wsKey, wsSIP)[:200], // the rest is in the next segment
	} {
		want := !strings.HasPrefix(s, "http/1.1")
		if got := LooksWebSocket([]byte(s)); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
	for _, s := range []string{
		"", "GET", "GET / HTTP/1.1\r\n\r\n",
		strings.Replace(wsRequest, "Protocol: sip", "Protocol: mqtt", 1),
		strings.Replace(wsRequest, "Protocol: sip", "Protocol: sip.ice.repro", 1),
		strings.Replace(wsRequest, "Protocol: sip", "Protocol: msrp", 1),
		strings.Replace(wsRequest, "Sec-WebSocket-Protocol: sip", "X-Sec-WebSocket-Protocol: sip", 1),
		strings.Replace(wsAnswer, "101", "200", 1),
		"GET / HTTP/1.1\r\nHost: x\r\n\r\nsip",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
		wsFrame(0x81, wsKey, `{"method":"INVITE sip:a@b SIP/2.0"}`),
		wsFrame(0x81, nil, `{"method":"INVITE"}`),
		wsFrame(0x81, wsKey, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		wsFrame(0xc1, wsKey, wsSIP), // compressed: what it holds cannot be known
		wsFrame(0x89, wsKey, wsSIP[:100]),
		wsFrame(0x81, wsKey, wsSIP)[1:],
		wsFrame(0x81, []byte{1, 2, 3, 4}, strings.Repeat("\x00", 200)),
		"\x81\x7e\x00\x10" + wsSIP, // a length of 16 bytes in the long form
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 client hello",
		"\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		wsSIP,
	} {
		if LooksWebSocket([]byte(s)) {
			t.Errorf("%q taken for SIP over WebSocket", s)
		}
	}
}

// FuzzWebSocket holds that nothing breaks it, that what comes out looks like
// SIP, and that splitting a stream changes nothing while its bearings are kept.
func FuzzWebSocket(f *testing.F) {
	whole := wsFrame(0x81, wsKey, wsSIP)
	f.Add([]byte(wsRequest+whole), uint8(3), false)
	f.Add([]byte(wsAnswer+wsFrame(0x01, nil, wsSIP[:40])+wsFrame(0x89, nil, "x")+wsFrame(0x80, nil, wsSIP[40:])), uint8(200), false)
	f.Add([]byte(whole+"garbage"+whole), uint8(0), true)
	f.Add([]byte(wsFrame(0xc1, wsKey, "x")+wsFrame(0x82, nil, strings.Repeat("y", 70000))), uint8(9), false)
	f.Fuzz(func(t *testing.T, data []byte, size uint8, gap bool) {
		before := bytes.Clone(data)
		run := func(step int, gap bool) (out []string, w WebSocket) {
			for b := data; len(b) > 0; {
				n := min(step, len(b))
				w.Push(b[:n], func(m []byte) {
					if !Looks(m) {
						t.Fatalf("%q came out", m)
					}
					out = append(out, string(m))
				})
				if b = b[n:]; gap {
					w.Gap()
				}
				if w.Held() > 2*maxMessage {
					t.Fatalf("%d bytes held", w.Held())
				}
			}
			return out, w
		}
		one, a := run(len(data)+1, false)
		many, b := run(int(size)+1, false)
		run(int(size)+1, gap)
		if !bytes.Equal(before, data) {
			t.Fatal("the input was changed")
		}
		if a.Stats.Resyncs == 0 && b.Stats.Resyncs == 0 {
			if d := cmp.Diff(one, many); d != "" {
				t.Fatalf("split into %d: -whole +split\n%s", int(size)+1, d)
			}
			if a.Stats != b.Stats {
				t.Fatalf("split into %d: %s", int(size)+1, cmp.Diff(a.Stats, b.Stats))
			}
		}
	})
}

func BenchmarkLooksWebSocket(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"tls", "\x17\x03\x03\x04\x00" + strings.Repeat("z", 1000)},
		{"get", strings.Replace(wsRequest, "Protocol: sip", "Protocol: chat", 1)},
		{"frame", wsFrame(0x81, wsKey, wsSIP)},
		{"foreign", wsFrame(0x81, wsKey, strings.Repeat("{}", 100))},
	} {
		text := []byte(c.text)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				LooksWebSocket(text)
			}
		})
	}
}
