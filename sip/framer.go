package sip

import "bytes"

// Framer cuts one direction of a TCP connection into messages (RFC 3261 section
// 18.3). The zero Framer is ready. It holds at most one unfinished message, at
// most 64 KiB. How the stream is split into pieces does not change what comes
// out, but for a session description without a Content-Length, which it must
// have (RFC 3261 section 20.14): it ends with the last line that may belong to
// one, or with its piece.
type Framer struct {
	Stats FramerStats

	buf     []byte // an unfinished message or first line, from its first byte
	scanned int    // how far buf was searched
	head    int    // length of its headers, 0 while not known
	need    int    // length of the whole message, once head is known
	started bool   // its first line is a start line
	bylines bool   // its body is a description that ends where its lines do
	lost    bool   // what came before was not followed
	midline bool   // the line being received is to be dropped
}

// Held is how many bytes the Framer keeps allocated for an unfinished message.
func (f *Framer) Held() int { return cap(f.buf) }

// FramerStats counts what a Framer met.
type FramerStats struct {
	Messages  uint64 // handed on
	Joined    uint64 // of those, that had to be put together from several pieces
	KeepAlive uint64 // line ends between messages (RFC 5626 section 3.5.1)
	NoLength  uint64 // messages without a usable Content-Length
	ByLines   uint64 // of those, with a session description; the others are taken to have no body
	TooLong   uint64 // messages above 64 KiB, not followed
	Gaps      uint64 // calls of Gap
	Resyncs   uint64 // times a start line was not where it should be, gaps not counted
	Skipped   uint64 // bytes dropped in search of a start line
}

// Push takes the next bytes of the stream and calls emit for every message that
// they complete. The message is valid during the call only: it is a view into
// piece when piece holds all of it.
func (f *Framer) Push(piece []byte, emit func(msg []byte)) {
	for len(piece) > 0 {
		data, old := piece, len(f.buf)
		if old > 0 {
			f.buf = append(f.buf, piece[:min(len(piece), maxMessage-old)]...)
			data = f.buf
		}
		used, message := f.step(data)
		if used == 0 {
			if old == 0 {
				f.buf = append(f.buf, piece...)
			}
			return
		}
		if message {
			f.Stats.Messages++
			if old > 0 {
				f.Stats.Joined++
			}
			emit(data[:used])
		}
		// What buf held could not be used before the new bytes came, so all of
		// it is used now.
		f.forget()
		piece = piece[used-old:]
	}
}

// Gap says that bytes of the stream were lost: what is unfinished is dropped
// and the next line that looks like a start line is waited for.
func (f *Framer) Gap() {
	f.Stats.Gaps++
	f.Stats.Skipped += uint64(len(f.buf))
	f.forget()
	f.lost, f.midline = true, false
}

// forget empties the buffer; a large one is given back.
func (f *Framer) forget() {
	if cap(f.buf) > 4<<10 {
		f.buf = nil
	}
	f.buf = f.buf[:0]
	f.scanned, f.head, f.need, f.started, f.bylines = 0, 0, 0, false, false
}

// step looks at data, which begins where a message may. It says how many bytes
// are done with, 0 when more are needed, and whether they are a message. It
// never asks for more than maxMessage bytes.
func (f *Framer) step(data []byte) (used int, message bool) {
	if f.midline {
		n := bytes.IndexByte(data, '\n') + 1
		if f.midline = n == 0; f.midline {
			n = len(data)
		}
		f.Stats.Skipped += uint64(n)
		return n, false
	}
	if !f.started {
		if used = f.first(data); used > 0 || !f.started {
			return used, false
		}
	}
	if f.head == 0 {
		if f.head = f.headEnd(data[:min(len(data), maxMessage)]); f.head == 0 {
			if len(data) < maxMessage {
				return 0, false
			}
			f.midline = data[maxMessage-1] != '\n'
			return f.drop(maxMessage), false
		}
		n, described := contentLength(data[:f.head])
		if n < 0 {
			f.Stats.NoLength++
			n = 0
			if described {
				f.bylines, f.scanned = true, f.head
			}
		}
		if n > int64(maxMessage-f.head) {
			return f.drop(f.head), false
		}
		f.need = f.head + int(n)
	}
	if f.bylines {
		return f.description(data)
	}
	if len(data) < f.need {
		return 0, false
	}
	f.lost = false
	return f.need, true
}

// description looks for the end of a session description that does not say how
// long it is.
func (f *Framer) description(data []byte) (used int, message bool) {
	for f.scanned < len(data) {
		line := data[f.scanned:]
		if c := line[0]; c-'a' >= 26 || len(line) > 1 && line[1] != '=' {
			return f.finish(f.scanned)
		}
		n := bytes.IndexByte(line, '\n') + 1
		if n == 0 {
			if len(data) >= maxMessage {
				f.midline = true
				return f.drop(len(data)), false
			}
			return 0, false
		}
		if f.scanned += n; f.scanned > maxMessage {
			return f.drop(f.scanned), false
		}
	}
	if f.scanned == f.head {
		return 0, false
	}
	return f.finish(f.scanned)
}

// finish ends a description at n.
func (f *Framer) finish(n int) (used int, message bool) {
	if n > f.head {
		f.Stats.ByLines++
	}
	f.lost = false
	return n, true
}

// first looks for a start line at the front of data: used is how many bytes
// were no such line; with none used either f.started is set or more bytes are
// needed.
func (f *Framer) first(data []byte) (used int) {
	if c := data[0]; c == '\r' || c == '\n' {
		for used < len(data) && (data[used] == '\r' || data[used] == '\n') {
			if data[used] == '\n' {
				f.Stats.KeepAlive++
			}
			used++
		}
		return used
	}
	if isToken(data[0]) {
		n := bytes.IndexByte(data[f.scanned:min(len(data), maxStart+1)], '\n')
		if n < 0 && len(data) <= maxStart {
			f.scanned = len(data)
			return 0
		}
		if n >= 0 {
			n += f.scanned + 1
			if _, err := readStart(data[:n]); err == 0 {
				// The line end of the start line may begin the empty line.
				f.started, f.scanned = true, n-1
				return 0
			}
		}
	}
	if !f.lost {
		f.Stats.Resyncs++
		f.lost = true
	}
	// The line goes, as far as it is here, and then the rest of it.
	n := bytes.IndexByte(data, '\n') + 1
	if f.midline = n == 0; f.midline {
		n = len(data)
	}
	f.Stats.Skipped += uint64(n)
	return n
}

// drop gives up a message that is too long, whose first n bytes are here.
func (f *Framer) drop(n int) int {
	f.Stats.TooLong++
	f.Stats.Skipped += uint64(n)
	f.lost = true
	return n
}

// headEnd searches data from f.scanned on for the empty line behind the headers
// and gives the length up to and with it, 0 when it is not there yet.
func (f *Framer) headEnd(data []byte) int {
	for {
		n := bytes.IndexByte(data[f.scanned:], '\n')
		if n < 0 {
			f.scanned = len(data)
			return 0
		}
		at := f.scanned + n
		next := at + 1
		if next < len(data) && data[next] == '\r' {
			next++
		}
		if next >= len(data) {
			f.scanned = at
			return 0
		}
		if data[next] == '\n' {
			return next + 1
		}
		f.scanned = at + 1
	}
}

// contentLength reads the first Content-Length of a message that ends with its
// headers; -1 when there is none or it is no number. described says that the
// body is a session description, as far as was read.
func contentLength(head []byte) (n int64, described bool) {
	var l Leniency
	pos := bytes.IndexByte(head, '\n') + 1
	for {
		id, _, value, next := nextHeader(head, pos, &l)
		switch id {
		case headerEnd:
			return -1, described
		case headerLength:
			return readNumber(value, 1<<32-1, &l), described
		case headerType:
			described = fold(value, "application/sdp")
		}
		pos = next
	}
}
