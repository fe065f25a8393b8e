package sip

import (
	"bytes"
	"encoding/binary"
)

// WebSocket cuts one direction of a WebSocket connection (RFC 6455) into SIP
// messages: each is one message of the WebSocket protocol (RFC 7118 section 5),
// which may lie in several frames, with others between them. The zero WebSocket
// is ready, before the handshake and in mid-connection. It holds at most one
// unfinished message, at most 64 KiB. As long as it has its bearings, how the
// stream is split into pieces does not change what comes out.
type WebSocket struct {
	Stats WebSocketStats

	head    [14]byte // of the frame being received
	have    int      // how many of its bytes
	left    uint64   // bytes of the frame's payload that are to come
	inside  bool     // within the payload
	mask    [4]byte
	masked  bool
	maskAt  int
	opcode  byte
	fin     bool
	buf     []byte // the unfinished message, unmasked
	open    bool   // a message has begun and not ended
	drop    bool   // it is not read
	http    bool   // within the head of an HTTP message
	request int    // bytes of that so far
	blank   bool   // its last line was empty so far
	lost    bool   // where the next frame begins is not known
}

// WebSocketStats counts what a WebSocket met.
type WebSocketStats struct {
	Messages   uint64 // handed on
	Joined     uint64 // of those, that came in several frames
	Control    uint64 // pings, pongs and closes
	KeepAlive  uint64 // messages of line ends alone
	Other      uint64 // messages that do not begin like SIP
	Compressed uint64 // messages under permessage-deflate (RFC 7692), not read
	TooLong    uint64 // messages above 64 KiB, not read
	Broken     uint64 // messages without their beginning or their end
	Resyncs    uint64 // times that no frame was where it should be, gaps not counted
	Skipped    uint64 // bytes passed over in search of a frame
}

const (
	opContinue = 0
	opText     = 1
	opBinary   = 2
	opClose    = 8
	opPong     = 10

	// maxUpgrade bounds the head of the handshake.
	maxUpgrade = 16 << 10
	// maxPeek is how far into a frame a start line is looked for.
	maxPeek = 512
)

// Held is how many bytes the WebSocket keeps allocated for an unfinished
// message.
func (w *WebSocket) Held() int { return cap(w.buf) }

// LooksWebSocket says whether b, the first bytes of a segment, may begin SIP
// over WebSocket: a handshake that names the subprotocol "sip" (RFC 7118
// section 4), or a frame with a start line of SIP. It is meant for every segment
// of an unknown connection.
func LooksWebSocket(b []byte) bool {
	if len(b) < 16 {
		return false
	}
	switch b[0] {
	case 'G':
		return string(b[:4]) == "GET " && upgrades(b)
	case 'H':
		return string(b[:12]) == "HTTP/1.1 101" && upgrades(b)
	case opText, opBinary, 0x80 | opText, 0x80 | opBinary:
		return frameOfSIP(b)
	}
	return false
}

// upgrades says whether the head of an HTTP message names the subprotocol "sip".
func upgrades(b []byte) bool {
	b = b[:min(len(b), 4096)]
	for {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 || n == len(b) {
			return false
		}
		if b = b[n:]; b[0]|0x20 != 's' || !fold(b, "sec-websocket-protocol:") {
			continue
		}
		list := b[len("sec-websocket-protocol:"):]
		if n := bytes.IndexByte(list, '\n'); n >= 0 {
			list = list[:n]
		}
		for len(list) > 0 {
			n := span(list, 1<<',')
			if is(trim(list[:n]), "sip") {
				return true
			}
			list = list[min(n+1, len(list)):]
		}
	}
}

// frameOfSIP says whether b begins with the first frame of a message of SIP.
func frameOfSIP(b []byte) bool {
	n, length, ok := frameHead(b)
	if !ok || n == 0 || length < uint64(len("SIP/2.0 200")) || length > maxMessage {
		return false
	}
	text := b[n:]
	if length < uint64(len(text)) {
		text = text[:length]
	}
	if b[1]&0x80 == 0 {
		return Looks(text)
	}
	return maskedSIP(text[:min(len(text), maxPeek)], b[n-4:n])
}

// maskedSIP says whether b, under a mask, begins with a line that begins or
// ends in "SIP/2.0". It copies nothing.
func maskedSIP(b, mask []byte) bool {
	is := func(at int, word string) bool {
		for i := range len(word) {
			if at+i >= len(b) || b[at+i]^mask[(at+i)&3] != word[i] {
				return false
			}
		}
		return true
	}
	from := 0
	for from < len(b) && (is(from, "\r") || is(from, "\n")) {
		from++
	}
	to := from
	for ; to < len(b) && !is(to, "\n"); to++ {
		// A word, as a method is: little else begins so.
		if c := b[to] ^ mask[to&3]; to < from+2 && !isToken(c) {
			return false
		}
	}
	if to == len(b) {
		return false
	}
	if to > from && is(to-1, "\r") {
		to--
	}
	const version = "SIP/2.0"
	return is(from, version+" ") || to-len(version)-1 > from && is(to-len(version)-1, " "+version)
}

// frameHead reads the head of a frame: its size, 0 when more bytes are needed,
// and how long the payload is (RFC 6455 section 5.2). ok is false for what is no
// frame.
func frameHead(b []byte) (size int, length uint64, ok bool) {
	op := b[0] & 0xf
	if b[0]&0x30 != 0 || op > opPong || op > opBinary && op < opClose {
		return 0, 0, false
	}
	if op >= opClose && b[0]&0xc0 != 0x80 || op == opContinue && b[0]&0x40 != 0 {
		return 0, 0, false
	}
	if len(b) < 2 {
		return 0, 0, true
	}
	size, length = 2, uint64(b[1]&0x7f)
	switch length {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if op >= opClose && size > 2 {
		return 0, 0, false
	}
	if len(b) < size {
		return 0, 0, true
	}
	switch size {
	case 4:
		if length = uint64(binary.BigEndian.Uint16(b[2:])); length < 126 {
			return 0, 0, false
		}
	case 10:
		// The top bit must be 0, and what takes fewer bytes must be written so.
		// A gigabyte is no message but something else.
		if length = binary.BigEndian.Uint64(b[2:]); length < 1<<16 || length > 1<<30 {
			return 0, 0, false
		}
	}
	if b[1]&0x80 != 0 {
		if size += 4; len(b) < size {
			return 0, 0, true
		}
	}
	return size, length, true
}

// Push takes the next bytes of the stream and calls emit for every message that
// they complete, which is valid during the call only.
func (w *WebSocket) Push(piece []byte, emit func(msg []byte)) {
	if w.lost {
		// Segments begin with frames more often than not.
		if !LooksWebSocket(piece) {
			w.Stats.Skipped += uint64(len(piece))
			return
		}
		w.lost = false
	}
	for len(piece) > 0 && !w.lost {
		switch {
		case w.http:
			piece = w.handshake(piece)
		case w.inside:
			piece = w.payload(piece, emit)
		default:
			piece = w.begin(piece, emit)
		}
	}
}

// Gap says that bytes of the stream were lost.
func (w *WebSocket) Gap() {
	if w.open && !w.drop {
		w.Stats.Broken++
	}
	w.Stats.Skipped += uint64(len(w.buf) + w.have)
	w.forget()
	w.have, w.left, w.inside, w.open, w.drop, w.http = 0, 0, false, false, false, false
	w.lost = true
}

// forget empties the buffer; a large one is given back.
func (w *WebSocket) forget() {
	if cap(w.buf) > 4<<10 {
		w.buf = nil
	}
	w.buf = w.buf[:0]
}

// confused gives up where the next frame was to begin.
func (w *WebSocket) confused(rest int) {
	w.Gap()
	w.Stats.Resyncs++
	w.Stats.Skipped += uint64(rest)
}

// begin takes bytes of the head of a frame, or of an HTTP message.
func (w *WebSocket) begin(piece []byte, emit func([]byte)) []byte {
	for len(piece) > 0 {
		w.head[w.have] = piece[0]
		w.have++
		piece = piece[1:]
		h := w.head[:w.have]
		if h[0] == 'G' || h[0] == 'H' {
			if w.have < 4 {
				continue
			}
			if s := string(h); s == "GET " || s == "HTTP" {
				w.http, w.request, w.blank, w.have = true, w.have, false, 0
				return piece
			}
		}
		size, length, ok := frameHead(h)
		if !ok {
			w.confused(len(piece))
			return nil
		}
		if size == 0 {
			continue
		}
		w.frame(size, length)
		if length == 0 {
			w.ended(emit)
		}
		return piece
	}
	return nil
}

// handshake passes over the head of an HTTP message up to its empty line.
func (w *WebSocket) handshake(piece []byte) []byte {
	for i, c := range piece {
		w.request++
		switch c {
		case '\n':
			if w.blank {
				w.http = false
				return piece[i+1:]
			}
			w.blank = true
		case '\r':
		default:
			w.blank = false
		}
	}
	if w.request > maxUpgrade {
		w.confused(0)
	}
	return nil
}

// frame begins a frame whose head is complete.
func (w *WebSocket) frame(size int, length uint64) {
	w.fin, w.opcode = w.head[0]&0x80 != 0, w.head[0]&0xf
	w.masked = w.head[1]&0x80 != 0
	w.maskAt = 0
	if w.masked {
		copy(w.mask[:], w.head[size-4:size])
	}
	w.left, w.inside, w.have = length, true, 0
	switch {
	case w.opcode >= opClose:
		w.Stats.Control++
		return
	case w.opcode == opContinue:
		if !w.open {
			w.Stats.Broken++
			w.open, w.drop = true, true
		}
	default:
		if w.open && !w.drop {
			w.Stats.Broken++
		}
		w.forget()
		w.open, w.drop = true, w.head[0]&0x40 != 0
		if w.drop {
			w.Stats.Compressed++
		}
	}
	if !w.drop && length > uint64(maxMessage-len(w.buf)) {
		w.Stats.TooLong++
		w.drop = true
		w.forget()
	}
}

// payload takes bytes of the frame's payload.
func (w *WebSocket) payload(piece []byte, emit func([]byte)) []byte {
	n := len(piece)
	if w.left < uint64(n) {
		n = int(w.left)
	}
	data := piece[:n]
	w.left -= uint64(n)
	if w.opcode < opClose && !w.drop {
		if !w.masked && w.fin && w.opcode != opContinue && w.left == 0 && len(w.buf) == 0 {
			w.inside, w.open = false, false
			w.message(data, emit)
			return piece[n:]
		}
		at := len(w.buf)
		w.buf = append(w.buf, data...)
		if w.masked {
			for i, c := range w.buf[at:] {
				w.buf[at+i] = c ^ w.mask[(w.maskAt+i)&3]
			}
			w.maskAt = (w.maskAt + n) & 3
		}
	}
	if w.left == 0 {
		w.ended(emit)
	}
	return piece[n:]
}

// ended ends a frame, and a message with its last one.
func (w *WebSocket) ended(emit func([]byte)) {
	w.inside = false
	if w.opcode >= opClose || !w.fin {
		return
	}
	w.open = false
	if !w.drop {
		joined := w.opcode == opContinue
		if w.message(w.buf, emit); joined && Looks(w.buf) {
			w.Stats.Joined++
		}
	}
	w.forget()
}

func (w *WebSocket) message(msg []byte, emit func([]byte)) {
	switch {
	case Looks(msg):
		w.Stats.Messages++
		emit(msg)
	case len(bytes.Trim(msg, "\r\n")) == 0:
		w.Stats.KeepAlive++
	default:
		w.Stats.Other++
	}
}
