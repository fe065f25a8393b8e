package pipeline

import (
	"simtrap/heuristics"
	"simtrap/hidden/hello"
	"simtrap/hidden/tunnel"
	"simtrap/packet"
	"simtrap/rtp"
)

// helloSeen is an opening of an enciphered connection, from who asked to who
// answered.
type helloSeen struct {
	flow  rtp.Flow
	proto uint8 // of IP
	hello hello.Hello
}

// hellos reads the openings of enciphered connections in one shard.
type hellos struct {
	tunnels    hello.Tunnels
	handshakes hello.Handshakes
}

// packet takes a datagram or a segment and says whether it completes an opening.
func (h *hellos) packet(p *packet.Packet, e hashes, out *helloSeen) bool {
	if len(p.Payload) == 0 || p.Cut() {
		return false
	}
	stream := p.Proto == packet.TCP
	key, way := flowKey(p, e)
	flow := rtp.Flow{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Realm: p.Realm}
	if proto := h.tunnels.Message(key, way, stream, p.Payload, p.Time); proto != hello.None {
		// It is complete by its answer.
		*out = helloSeen{flow: flow.Reverse(), proto: p.Proto, hello: hello.Hello{Protocol: proto}}
		return true
	}
	said, client, ok := h.handshakes.Packet(&hello.Packet{Key: key, Way: way, Stream: stream, Seq: p.TCPSeq, Ack: p.TCPAck, Time: p.Time, Payload: p.Payload})
	if !ok {
		return false
	}
	if !client {
		flow = flow.Reverse()
	}
	*out = helloSeen{flow: flow, proto: p.Proto, hello: said}
	return true
}

// flowKey names a packet's flow, whichever way it goes, and tells the way.
func flowKey(p *packet.Packet, e hashes) (key uint64, way bool) {
	key, way = e.flow(p)
	return key ^ uint64(p.Realm)<<8 ^ uint64(p.Proto) | 1, way
}

// maxOpened bounds each of the two generations of flows that openings keeps.
const maxOpened = 1 << 12

// openings remembers by which protocol flows were opened, for when calls are
// counted in one.
type openings struct {
	newer, older map[tunnel.Flow]opening
	forgotten    uint64
}

// opening is by which protocol a flow was opened, and whether by its end A.
type opening struct {
	protocol hello.Protocol
	byA      bool
}

func (q *openings) see(f tunnel.Flow, o opening) {
	if _, known := q.newer[f]; !known && (q.newer == nil || len(q.newer) >= maxOpened) {
		q.forgotten += uint64(len(q.older))
		q.newer, q.older = make(map[tunnel.Flow]opening), q.newer
	}
	q.newer[f] = o
}

// portless names what is negotiated between two addresses for flows of other ports,
// or of none.
func portless(f tunnel.Flow) tunnel.Flow {
	f.APort, f.BPort, f.Proto = 0, 0, packet.UDP
	return f
}

// of gives the protocol of a flow, and ok false when its opening was not seen. IKE
// moves from port 500 to 4500 once it knows of a NAT (RFC 7296 section 2.23), or
// makes ESP of its own number.
func (q *openings) of(f tunnel.Flow) (o opening, ok bool) {
	find := func(f tunnel.Flow) {
		if o, ok = q.newer[f]; !ok {
			o, ok = q.older[f]
		}
	}
	switch {
	case f.Proto == tunnel.GRE:
		return opening{protocol: hello.PPTP}, true
	case f.Proto == tunnel.ESP:
		find(portless(f))
		return opening{hello.ESP, o.byA}, true
	}
	if find(f); !ok && (f.APort == 4500 || f.BPort == 4500) {
		find(portless(f))
	}
	return o, ok
}

// opened takes an opening that a shard found.
func (j *joiner) opened(x *helloSeen) {
	f := &x.flow
	if x.hello.Protocol.Tunnel() {
		flow, byA := tunnel.NewFlow(f.Src, f.Dst, f.SrcPort, f.DstPort, x.proto, f.Realm)
		o := opening{x.hello.Protocol, byA}
		j.openings.see(flow, o)
		if o.protocol == hello.IKE {
			j.openings.see(portless(flow), o)
		}
	}
	h := heuristics.Hello{Hello: x.hello, First: j.now, Last: j.now}
	if line, ok := j.line(f.Src, f.Realm); ok {
		h.Far, h.Port, h.Asked = f.Dst, f.DstPort, true
		j.lines.Hello(line, &h)
	}
	if line, ok := j.line(f.Dst, f.Realm); ok {
		h.Far, h.Port, h.Asked = f.Src, f.SrcPort, false
		j.lines.Hello(line, &h)
	}
}

// through tells a line by which protocol the tunnel is made that its calls were
// counted in, as far as the opening was seen.
func (j *joiner) through(f tunnel.Flow, up bool, c *tunnel.Count) {
	o, ok := j.openings.of(f)
	if !ok || c.Kind != tunnel.Calls {
		return
	}
	near, far, port := f.A, f.B, f.BPort
	if !up {
		near, far, port = f.B, f.A, f.APort
	}
	if line, ok := j.line(near, f.Realm); ok {
		j.lines.Hello(line, &heuristics.Hello{Hello: hello.Hello{Protocol: o.protocol}, Far: far, Port: port, Asked: o.byA == up, First: c.Start, Last: c.End})
	}
}
