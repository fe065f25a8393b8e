package lab

import "encoding/binary"

// conn is a TCP connection as the tap sees it, without losses.
type conn struct {
	s      *sim
	kind   kind
	side   [2]tcpSide // client, server
	open   bool
	ws     bool // the handshake of WebSocket was sent
	sealed bool // that of TLS
}

type tcpSide struct {
	f     *flow
	sent  uint32 // next sequence number
	rcvd  uint32 // next expected from the other
	ready int64  // its latest segment left
}

const (
	tcpFIN = 1
	tcpSYN = 2
	tcpPSH = 8
	tcpACK = 16
	mss    = 1380

	segmentGap = 30_000 // ns between segments of one burst
)

// dial makes a connection from client to server; the handshake goes out with
// the first data.
func (s *sim) dial(client *node, cport uint16, server *node, sport uint16, k kind) *conn {
	c := &conn{s: s, kind: k}
	cp, sp := client.port(cport, true), server.port(sport, true)
	c.side[0] = tcpSide{f: s.flow(client, cp, server, sp, protoTCP), sent: s.noise.Uint32()}
	c.side[1] = tcpSide{f: s.flow(server, sp, client, cp, protoTCP), sent: s.noise.Uint32()}
	c.side[0].rcvd, c.side[1].rcvd = c.side[1].sent+1, c.side[0].sent+1
	return c
}

func (c *conn) handshake(t int64) {
	c.open = true
	a, b := &c.side[0], &c.side[1]
	t1 := c.segment(t, 0, tcpSYN, a.sent, 0, nil)
	t2 := c.segment(t1, 1, tcpSYN|tcpACK, b.sent, a.sent+1, nil)
	c.segment(t2, 0, tcpACK, a.sent+1, b.sent+1, nil)
	a.sent++
	b.sent++
	a.ready, b.ready = t2, t2
}

// send lets one side send data at t, or as soon as it can, and gives the time
// at which the last of it should arrive. from is 0 for the client.
func (c *conn) send(t int64, from int, data []byte) int64 {
	a, b := c.side[0].f.src, c.side[1].f.src
	oneWay := a.owd + b.owd + 3*(a.jit+b.jit) + a.wait() + b.wait()
	arrives := t + oneWay + int64(len(data)/mss)*segmentGap
	if !c.open {
		arrives += 2 * oneWay
	}
	c.s.at(t, func() { c.transmit(c.s.now, from, data) })
	return arrives
}

func (c *conn) transmit(t int64, from int, data []byte) {
	if !c.open {
		c.handshake(t)
	}
	me, you := &c.side[from], &c.side[1-from]
	t = max(t, me.ready)
	for len(data) > 0 {
		n := min(len(data), mss) // where that is too much, a router on the way cuts it up
		seq, chunk := me.sent, data[:n]
		me.sent += uint32(n)
		flags := byte(tcpACK)
		if n == len(data) {
			flags |= tcpPSH
		}
		end := me.sent
		c.s.at(c.segment(t, from, flags, seq, me.rcvd, chunk), func() {
			you.rcvd = end
			c.segment(c.s.now, 1-from, tcpACK, you.sent, end, nil)
		})
		data = data[n:]
		t += segmentGap
	}
	me.ready = t
}

// segment sends one segment at t and gives its time of arrival.
func (c *conn) segment(t int64, from int, flags byte, seq, ack uint32, data []byte) int64 {
	f := c.side[from].f
	tap := max(c.s.passes(t, f.src, len(data)+12), f.last+15_000)
	f.last = tap
	c.s.at(tap, func() { c.s.tcp(f, c.kind, flags, seq, ack, data) })
	return tap + c.s.delay(f.dst)
}

// tcp writes a segment at the present time.
func (s *sim) tcp(f *flow, k kind, flags byte, seq, ack uint32, data []byte) {
	f.number()
	if f.hidden || !s.shows(k, f.up) {
		return
	}
	if f.tunnel != nil {
		f.tunnel.carry(f.up, len(f.ip)+20+len(data))
		return
	}
	b := append(f.buf[:0], f.prefix.bytes...)
	b = append(append(b, f.ip...), f.ext...)
	at := len(b)
	b = append(b, byte(f.sport>>8), byte(f.sport), byte(f.dport>>8), byte(f.dport))
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	if flags&tcpSYN != 0 {
		b = append(b, 0x60, flags, 0xfa, 0xf0, 0, 0, 0, 0, 2, 4, mss>>8, mss&0xff)
	} else {
		b = append(b, 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0)
	}
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[at+16:], ^fold(sum(f.pseudo+uint64(len(b)-at), b[at:])))
	f.buf = b
	s.frame(f, at)
}

// close ends the connection at t from the client's side.
func (c *conn) close(t int64) {
	c.s.at(t, func() {
		if !c.open {
			return
		}
		a, b := &c.side[0], &c.side[1]
		t := max(c.s.now, a.ready, b.ready)
		t1 := c.segment(t, 0, tcpFIN|tcpACK, a.sent, a.rcvd, nil)
		t2 := c.segment(t1, 1, tcpFIN|tcpACK, b.sent, a.sent+1, nil)
		c.segment(t2, 0, tcpACK, a.sent+1, b.sent+1, nil)
		c.open = false
	})
}
