package hello

import "encoding/binary"

const (
	// maxClient bounds what is kept of a client's first messages: with keys that
	// withstand quantum computers they have some 1,800 bytes.
	maxClient = 4 << 10
	// maxServer bounds what is kept of a server's.
	maxServer = 2 << 10
	// handshakePlaces is how many handshakes go on at once; of QUIC one takes 5 kB,
	// of TLS up to 6 kB.
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
	places   [handshakePlaces]*handshake
}

// HandshakeCounters count what was not read.
type HandshakeCounters struct {
	Displaced uint64 // handshakes that made room for others before they were over
	Crowded   uint64 // not looked at: too many in a second
	TooLong   uint64 // messages of clients above 4 KiB
	Holes     uint64 // handshakes of which segments are missing or out of order
	Broken    uint64 // messages that break their rules
}

// handshake is one that goes on.
type handshake struct {
	key      uint64
	at       int64
	way      bool // the client's
	stream   bool
	heard    bool // the client's message is whole
	answered bool
	hello    Hello
	// Of TCP: what came each way, and where it goes on.
	client, server []byte
	next           [2]uint32
	begun          bool // the server
	// Of QUIC.
	version uint32
	dcid    [maxConnID]byte
	dcids   int
	keys    *initialKeys
	crypto  *crypto
}

// Packet takes one packet and says whether it completes a handshake as far as it
// can be read: then h tells what it told, and client whether the packet's sender is
// the client.
func (t *Handshakes) Packet(p *Packet) (h Hello, client, ok bool) {
	place := &t.places[p.Key>>32%handshakePlaces]
	x := *place
	if x != nil && (x.key != p.Key || x.stream != p.Stream || p.Time-x.at > answerWithin) {
		x = nil
	}
	switch {
	case x == nil:
		if !begins(p) {
			return h, false, false
		}
		if !t.allowed(p.Time) {
			return h, false, false
		}
		if *place != nil && p.Time-(*place).at <= answerWithin {
			t.Counters.Displaced++
		}
		x = &handshake{key: p.Key, at: p.Time, way: p.Way, stream: p.Stream}
		*place = x
		if p.Stream {
			x.hello.Protocol = TLS
			x.next[0] = p.Seq
		} else {
			x.hello.Protocol = QUIC
		}
		fallthrough
	case p.Way == x.way:
		var going bool
		if p.Stream {
			going = t.clientTLS(x, p)
			// Who goes on has read what was answered.
			ok = x.answered && len(p.Payload) > 0
		} else {
			going = t.clientQUIC(x, p)
		}
		if !going || ok {
			*place = nil
		}
		return x.hello, true, ok
	case !x.heard:
		*place = nil // it answers what nobody heard
		return h, false, false
	case p.Stream:
		over, well := t.serverTLS(x, p)
		if over {
			*place = nil
		}
		return x.hello, false, well
	}
	long, isLong := readLong(p.Payload)
	switch {
	case !isLong || long.version != x.version:
		return h, false, false
	case long.retry:
		*place = nil // the client begins anew, with other keys
		return h, false, false
	}
	*place = nil
	x.hello.Version = tls13 // RFC 9001 section 4.2
	return x.hello, false, true
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
	ahead := int32(p.Seq - x.next[0])
	switch {
	case len(p.Payload) == 0, ahead < 0:
		return true // sent again
	case ahead > 0:
		t.Counters.Holes++
		return false
	}
	x.next[0] += uint32(len(p.Payload))
	if len(x.client)+len(p.Payload) > maxClient {
		t.Counters.TooLong++
		return false
	}
	x.client = append(x.client, p.Payload...)
	b, broken := records(x.client)
	kind, body, _, whole := message(b)
	switch {
	case broken, len(b) > 0 && kind != clientHello:
		t.Counters.Broken++
		return false
	case !whole:
		return true
	}
	return t.heard(x, body)
}

// heard takes the whole message of a client.
func (t *Handshakes) heard(x *handshake, body []byte) bool {
	if !readClient(body, &x.hello) {
		t.Counters.Broken++
		return false
	}
	x.heard, x.client, x.keys, x.crypto = true, nil, nil, nil
	return true
}

// records puts together what the handshake records at the beginning of b hold,
// the last as far as it is there (RFC 8446 section 5.1).
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
		out = append(out, b[:n]...)
		b = b[n:]
	}
	return out, false
}

// serverTLS takes a segment of the server. over is set when nothing more is waited
// for, well when the handshake is told of.
func (t *Handshakes) serverTLS(x *handshake, p *Packet) (over, well bool) {
	if len(p.Payload) == 0 {
		return false, false
	}
	if !x.begun {
		x.begun, x.next[1] = true, p.Seq
	}
	switch ahead := int32(p.Seq - x.next[1]); {
	case ahead < 0:
		return false, false
	case ahead > 0:
		t.Counters.Holes++
		return true, x.answered
	}
	x.next[1] += uint32(len(p.Payload))
	full := len(x.server)+len(p.Payload) >= maxServer
	x.server = append(x.server, p.Payload[:min(len(p.Payload), maxServer-len(x.server))]...)
	b, broken := records(x.server)
	kind, body, rest, whole := message(b)
	if broken || len(b) > 0 && kind != serverHello {
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
	case len(rest) >= 4 && kind != certificate:
		return true, true // it goes on with what was agreed earlier, or without
	case len(rest) < 4:
		return full, full
	}
	var read bool
	x.hello.Issuer, x.hello.SelfIssued, read = readCertificate(body)
	return read || whole || full, read || whole || full
}

// clientQUIC takes a datagram of the client and says whether to go on.
func (t *Handshakes) clientQUIC(x *handshake, p *Packet) bool {
	h, ok := readLong(p.Payload)
	if x.heard || !ok || !h.initial {
		return true
	}
	if x.keys == nil {
		k, err := newInitialKeys(h.version, h.dcid)
		if err != nil {
			return false
		}
		x.keys, x.crypto, x.version = k, &crypto{}, h.version
		x.dcids = copy(x.dcid[:], h.dcid)
	} else if h.version != x.version || string(h.dcid) != string(x.dcid[:x.dcids]) {
		return true // of what follows an answer
	} else if !t.allowed(p.Time) {
		return false
	}
	frames, ok := x.keys.open(p.Payload, &h)
	if !ok {
		t.Counters.Broken++
		return false
	}
	x.crypto.frames(frames)
	b := x.crypto.start()
	kind, body, _, whole := message(b)
	switch {
	case len(b) > 0 && kind != clientHello:
		t.Counters.Broken++
		return false
	case len(b) == maxClient && !whole:
		t.Counters.TooLong++
		return false
	case !whole:
		return true
	}
	return t.heard(x, body)
}
