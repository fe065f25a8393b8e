package hello

import "encoding/binary"

const (
	// maxClient bounds what is kept of a client's first messages: with keys that
	// withstand quantum computers they have some 1,800 bytes.
	maxClient = 4 << 10
	// maxServer bounds what is kept of a server's.
	maxServer = 2 << 10
	// handshakePlaces is how many handshakes go on at once; one takes up to
	// 7 kB.
	handshakePlaces = 32
	// maxSecond bounds what is read in a second of packet time.
	maxSecond = 100
)

// Packet is one datagram or segment, as Handshakes takes it.
type Packet struct {
	Key     uint64 // names the flow, the same both ways
	Way     bool   // tells the directions apart
	Stream  bool   // TCP
	Seq     uint32 // of TCP
	Ack     uint32 // of TCP: which byte of the other end's is expected next
	Time    int64  // ns since the Unix epoch
	Payload []byte
}

// Handshakes reads what clients and servers of TLS over TCP and of QUIC say before
// they have keys. The zero value is ready. Its table is small: a handshake lasts
// for a second or so, and one that finds its place taken takes it, which is counted.
type Handshakes struct {
	Counters HandshakeCounters
	second   int64
	n        int
	keys     [handshakePlaces]uint64 // of the handshakes begun last: most packets are of none
	places   [handshakePlaces]*handshake
	spare    *pieces // of a client whose message was read
}

// pieces gives room for a client's first messages.
func (t *Handshakes) pieces() *pieces {
	c := t.spare
	if t.spare = nil; c == nil {
		c = newPieces(maxClient)
	}
	return c
}

// reuse takes back room that nobody looks at any more; nil is none.
func (t *Handshakes) reuse(c *pieces) {
	if c != nil {
		clear(c.have)
		t.spare = c
	}
}

// HandshakeCounters count what was not read.
type HandshakeCounters struct {
	Displaced uint64 // handshakes that made room for others before they were over
	Crowded   uint64 // not looked at: too many in a second
	TooLong   uint64 // messages of clients above 4 KiB
	Holes     uint64 // handshakes of TLS of which segments are missing
	Broken    uint64 // messages that break their rules
}

// handshake is one that goes on, or of QUIC was told of a moment ago.
type handshake struct {
	key      uint64
	at       int64
	way      bool // the client's
	stream   bool
	heard    bool // the client's message is whole
	answered bool
	told     bool
	hello    Hello
	// What came each way; of QUIC the client's alone.
	client, server *pieces
	// Of TCP: the numbers that both streams begin with.
	begins [2]uint32
	// Of QUIC: the name that the client gave the server, of which keys are made,
	// and the one that the server gave itself, which the client uses from then on
	// (RFC 9000 section 7.2).
	version     uint32
	first, peer connID
	keys        *initialKeys
}

// connID is a connection ID of QUIC.
type connID struct {
	b [maxConnID]byte
	n int
}

func (c *connID) set(b []byte)     { c.n = copy(c.b[:], b) }
func (c *connID) is(b []byte) bool { return string(c.b[:c.n]) == string(b) }

// holed says whether the handshake waits for a piece of what has gone on.
func (x *handshake) holed() bool {
	return x.client != nil && x.client.holed() || x.server != nil && x.server.holed()
}

// Packet takes one packet and says whether it completes a handshake as far as it
// can be read: then h tells what it told, and client whether the packet's sender is
// the client.
func (t *Handshakes) Packet(p *Packet) (h Hello, client, ok bool) {
	i := p.Key >> 32 % handshakePlaces
	if t.keys[i] != p.Key && !begins(p) {
		return h, false, false
	}
	place := &t.places[i]
	x := *place
	if x != nil && (x.key != p.Key || x.stream != p.Stream || p.Time-x.at > answerWithin) {
		x = nil
	}
	switch {
	case x == nil:
		return h, false, t.begin(place, p)
	case p.Stream:
		h, ok = t.overTCP(place, x, p)
	default:
		h, ok = t.overQUIC(place, x, p)
	}
	return h, ok && p.Way == x.way, ok
}

// begin takes a packet that belongs to no handshake, of which it may be the first.
// Nothing is told by it.
func (t *Handshakes) begin(place **handshake, p *Packet) bool {
	if !begins(p) || !t.allowed(p.Time) {
		return false
	}
	if old := *place; old != nil && !old.told {
		switch {
		case p.Time-old.at <= answerWithin:
			t.Counters.Displaced++
		case old.holed():
			t.Counters.Holes++
		}
	}
	x := &handshake{key: p.Key, at: p.Time, way: p.Way, stream: p.Stream}
	going := false
	if p.Stream {
		x.hello.Protocol = TLS
		x.begins = [2]uint32{p.Seq, p.Ack}
		going = t.clientTLS(x, p)
	} else {
		x.hello.Protocol = QUIC
		going = t.clientQUIC(x, p)
	}
	if *place = nil; going {
		*place, t.keys[p.Key>>32%handshakePlaces] = x, p.Key
	}
	return false
}

// overTCP takes a segment of a handshake that goes on.
func (t *Handshakes) overTCP(place **handshake, x *handshake, p *Packet) (h Hello, ok bool) {
	over := false
	switch {
	case len(p.Payload) == 0:
	case p.Way == x.way && x.answered && int32(p.Ack-x.begins[1]) > 0:
		// Who goes on has read what was answered.
		over, ok = true, true
	case p.Way == x.way:
		over = !t.clientTLS(x, p)
	case !x.heard:
		// It answers what was not heard whole.
		if over = true; x.client != nil && x.client.holed() {
			t.Counters.Holes++
		}
	default:
		over, ok = t.serverTLS(x, p)
	}
	if over {
		if ok && x.hello.Version < tls13 && x.hello.Issuer == "" && x.server != nil && x.server.holed() {
			t.Counters.Holes++
		}
		*place = nil
	}
	return x.hello, ok
}

// allowed keeps to the budget of a second.
func (t *Handshakes) allowed(now int64) bool {
	if second := now / 1e9; second != t.second {
		t.second, t.n = second, 0
	}
	if t.n++; t.n > maxSecond {
		t.Counters.Crowded++
		return false
	}
	return true
}

const (
	recordHandshake = 22
	recordHead      = 5
)

// begins says whether a packet may be a client's first.
func begins(p *Packet) bool {
	b := p.Payload
	if p.Stream {
		return len(b) > recordHead && b[0] == recordHandshake && b[1] == 3 && b[recordHead] == clientHello
	}
	if len(b) < quicLeast {
		return false
	}
	h, ok := readLong(b)
	return ok && h.initial && len(h.dcid) >= 8 // RFC 9000 section 7.2
}

// clientTLS takes a segment of the client and says whether to go on.
func (t *Handshakes) clientTLS(x *handshake, p *Packet) bool {
	if x.heard {
		return true
	}
	start, more := beginning(&x.client, x.begins[0], p, maxClient)
	if !more {
		return true // it is none of the message's
	}
	b, broken := records(start)
	kind, body, _, whole := message(b)
	switch {
	case broken, kind != 0 && kind != clientHello:
		t.Counters.Broken++
		return false
	case whole:
		return t.heard(x, body)
	case len(start) == maxClient:
		t.Counters.TooLong++
		return false
	}
	keep(&x.client, x.begins[0], p, maxClient)
	return true
}

// beginning gives the beginning of a stream as far as it is known with p, which may
// be a view of p: most say all in their first segment, for which nothing is kept. more
// is false when p is none of it.
func beginning(kept **pieces, first uint32, p *Packet, limit int) (start []byte, more bool) {
	if *kept == nil && p.Seq == first {
		return p.Payload[:min(len(p.Payload), limit)], true
	}
	keep(kept, first, p, limit)
	at := int64(int32(p.Seq - first))
	return (*kept).start(), at+int64(len(p.Payload)) > 0 && at < int64(limit)
}

// keep puts what p holds of the beginning of its stream in its place. It may begin
// before the stream's first byte that is kept.
func keep(kept **pieces, first uint32, p *Packet, limit int) {
	if *kept == nil {
		*kept = newPieces(limit)
	}
	at, b := int64(int32(p.Seq-first)), p.Payload
	if at < 0 {
		if -at >= int64(len(b)) {
			return
		}
		at, b = 0, b[-at:]
	}
	(*kept).put(uint64(at), b)
}

// heard takes the whole message of a client.
func (t *Handshakes) heard(x *handshake, body []byte) bool {
	if !readClient(body, &x.hello) {
		t.Counters.Broken++
		return false
	}
	t.reuse(x.client)
	x.heard, x.client = true, nil
	return true
}

// records puts together what the handshake records at the beginning of b hold,
// the last as far as it is there (RFC 8446 section 5.1). Of one record it is a view.
func records(b []byte) (out []byte, broken bool) {
	for len(b) >= recordHead {
		if b[0] != recordHandshake || b[1] != 3 {
			return out, len(out) == 0
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n == 0 || n > 1<<14 {
			return out, true
		}
		b = b[recordHead:]
		n = min(n, len(b))
		if out == nil {
			out = b[:n:n] // what follows has no room, and is copied
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out, false
}

// serverTLS takes a segment of the server. over is set when nothing more is waited
// for, well when the handshake is told of.
func (t *Handshakes) serverTLS(x *handshake, p *Packet) (over, well bool) {
	start, _ := beginning(&x.server, x.begins[1], p, maxServer)
	defer func() {
		if !over {
			keep(&x.server, x.begins[1], p, maxServer)
		}
	}()
	full := len(start) == maxServer
	b, broken := records(start)
	kind, body, rest, whole := message(b)
	if broken || kind != 0 && kind != serverHello {
		return true, false // it refuses
	}
	if !whole {
		return full, false
	}
	if !x.answered {
		if x.hello.Version, x.answered = readServer(body); !x.answered {
			t.Counters.Broken++
			return true, false
		}
	}
	if x.hello.Version >= tls13 {
		return true, true // the rest is enciphered
	}
	kind, body, _, whole = message(rest)
	switch {
	case kind != 0 && kind != certificate:
		return true, true // it goes on with what was agreed earlier, or without
	case len(rest) < 4:
		return full, full
	}
	var read bool
	x.hello.Issuer, x.hello.SelfIssued, read = readCertificate(body)
	return read || whole || full, read || whole || full
}

// overQUIC takes a datagram of a handshake that goes on, or is over.
func (t *Handshakes) overQUIC(place **handshake, x *handshake, p *Packet) (h Hello, ok bool) {
	long, isLong := readLong(p.Payload)
	if !isLong {
		return h, false
	}
	if p.Way == x.way {
		switch {
		case (long.version != x.version || !x.first.is(long.dcid) && !x.peer.is(long.dcid) && (x.heard || x.peer.n > 0)) && begins(p):
			t.begin(place, p) // another connection of the same ports
			return h, false
		case x.heard:
			return h, false
		case !t.clientQUIC(x, p):
			*place = nil
			return h, false
		}
	} else {
		switch {
		case x.told, long.version != x.version:
			return h, false
		case long.retry:
			*place = nil // the client begins anew, with other keys
			return h, false
		}
		// A server may acknowledge the first piece before the rest has come.
		x.answered = true
		x.peer.set(long.scid)
	}
	if !x.heard || !x.answered {
		return h, false
	}
	// What follows is known for this one's while it lasts.
	x.told, x.keys = true, nil
	x.hello.Version = tls13 // RFC 9001 section 4.2
	return x.hello, true
}

// clientQUIC takes a datagram of the client and says whether to go on.
func (t *Handshakes) clientQUIC(x *handshake, p *Packet) bool {
	if x.client == nil {
		x.client = t.pieces()
	}
	for b := p.Payload; len(b) > 0; {
		h, ok := readLong(b)
		if !ok || !h.initial {
			return true
		}
		if x.keys == nil {
			k, err := newInitialKeys(h.version, h.dcid)
			if err != nil {
				return false
			}
			x.keys, x.version = k, h.version
			x.first.set(h.dcid)
		} else if h.version != x.version || !t.allowed(p.Time) {
			return true
		}
		frames, behind, ok := x.keys.open(b, &h)
		if !ok {
			t.Counters.Broken++
			// Of what was begun well the next may be whole.
			return len(x.client.start()) > 0 || x.client.holed()
		}
		b = behind
		x.client.frames(frames)
		stream := x.client.start()
		kind, body, _, whole := message(stream)
		switch {
		case kind != 0 && kind != clientHello:
			t.Counters.Broken++
			return false
		case whole:
			return t.heard(x, body)
		case len(stream) == maxClient:
			t.Counters.TooLong++
			return false
		}
	}
	return true
}
