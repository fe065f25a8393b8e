package lab

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// bridge ties the two legs of a call together where a relay passes media on as
// it comes: the same packets, with the same sequence numbers, a moment later.
type bridge struct {
	out [2]*flow // of what the caller (0) and the callee (1) send, on the leg away from them
	lag time.Duration
	// secure says that the onward leg alone is SRTP.
	secure bool
}

// pass sends on what a stream of the given side brought past the tap just now.
func (b *bridge) pass(s *sim, side int, k kind, payload []byte) {
	f := b.out[side]
	if f == nil {
		return
	}
	copied := append([]byte(nil), payload...)
	const header = 12
	switch {
	case b.secure && side == 0:
		copied = append(copied[:header], s.stuff(s.noise, len(payload)-header+tagSize)...)
	case b.secure && len(payload) > header+tagSize:
		copied = append(copied[:header], s.stuff(s.noise, len(payload)-header-tagSize)...)
	}
	t := s.now + 2*f.src.owd + int64(b.lag) + int64(float64(f.src.jit)*s.noise.ExpFloat64())
	t = max(t, f.last+40_000) // in order
	f.last = t
	s.at(t, func() { s.udp(f, k, copied) })
}

// relay opens the way on for one side's media while a leg lasts, where the leg's
// sender is the relay itself.
func (x *script) relay(side int, start, end int64) {
	me, you := x.media[side], x.media[1-side]
	f := x.s.flow(me.node, me.node.port(x.ports[side], false), you.node, you.node.port(x.ports[1-side], false), protoUDP)
	x.s.at(start, func() { x.bridge.out[side] = f })
	x.s.at(end, func() {
		if x.bridge.out[side] == f {
			x.bridge.out[side] = nil
		}
	})
}

// sound plays a call of which the tap sees the media alone: its signalling goes
// another way.
func (s *sim) sound(c *call) {
	s.begin(c)
	for i, ag := range [2]*agent{c.from, c.to} {
		if c.media[i] == nil {
			c.media[i] = ag.media
		}
		if c.ports[i] == 0 {
			c.ports[i] = c.media[i].port(ag.r)
		}
	}
	x := &script{call: c, s: s}
	end := s.now + int64(c.talk)
	s.connect(c, s.now)
	x.stream(1, s.now, end)
	x.stream(0, s.now, end)
	s.at(end, func() {
		s.disconnect(c)
		x.finish(end)
	})
}

// tunnel carries what passes between a host of a line and hosts behind a far
// gateway, unreadable.
type tunnel struct {
	s        *sim
	up, down *flow
	make     tunnelMake
	ids      [2]uint32 // SPI or receiver, per direction
	sent     [2]uint64
	over     func(up bool, n int) // carries a packet in place of what make says
}

type tunnelMake int

const (
	tunnelESP       tunnelMake = iota // IP protocol 50
	tunnelNATT                        // ESP in UDP (RFC 3948)
	tunnelWireGuard                   // over UDP
	tunnelMakes
)

// tunnel puts up one between a device and a far gateway, and keeps it alive.
func (s *sim) tunnel(r *rand.Rand, near, far *node, kind tunnelMake) *tunnel {
	t := &tunnel{s: s, make: kind, ids: [2]uint32{r.Uint32(), r.Uint32()}}
	np, fp, proto := uint16(4500), uint16(4500), uint8(protoUDP)
	switch kind {
	case tunnelESP:
		np, fp, proto = 0, 0, 50
	case tunnelWireGuard:
		np, fp = pick(r, uint16(51820), uint16(20000+r.IntN(40000))), pick(r, uint16(51820), uint16(1024+r.IntN(60000)))
	}
	if proto == protoUDP {
		np = near.port(np, false)
	}
	t.up, t.down = s.flow(near, np, far, fp, proto), s.flow(far, fp, near, np, proto)
	if kind == tunnelESP {
		return t
	}
	period := between(r, 15*time.Second, 25*time.Second)
	s.every(s.start+int64(between(r, 0, period)), func() time.Duration { return period }, func() bool {
		if kind == tunnelNATT {
			s.udp(t.up, kindOther, []byte{0xff})
		} else {
			t.carry(true, 0)
		}
		return true
	})
	rekey := 2 * time.Minute
	if kind == tunnelNATT {
		rekey = between(r, 10*time.Minute, 50*time.Minute)
	}
	s.every(s.start+int64(between(r, 0, rekey)), func() time.Duration { return rekey + between(r, 0, 5*time.Second) }, func() bool {
		t.rekey(r)
		return true
	})
	return t
}

// rekey is a handshake of WireGuard, or an exchange of IKEv2 beside ESP.
func (t *tunnel) rekey(r *rand.Rand) {
	s := t.s
	ask, answer := noiseBytes(r, 148), noiseBytes(r, 92)
	if t.make == tunnelWireGuard {
		copy(ask, []byte{1, 0, 0, 0})
		copy(answer, []byte{2, 0, 0, 0})
	} else {
		ask, answer = ike(r, 200+r.IntN(300), 0x08), ike(r, 200+r.IntN(300), 0x20)
		copy(answer[4:20], ask[4:20])
	}
	at := s.send(s.now, t.up, kindOther, ask)
	s.send(at, t.down, kindOther, answer)
	t.ids = [2]uint32{r.Uint32(), r.Uint32()}
	t.sent = [2]uint64{}
}

// ike is a CREATE_CHILD_SA behind the marker that tells it from ESP.
func ike(r *rand.Rand, n int, flags byte) []byte {
	b := append(make([]byte, 4), noiseBytes(r, n)...)
	copy(b[20:], []byte{46, 0x20, 36, flags, 0, 0, 0, 1})
	binary.BigEndian.PutUint32(b[28:], uint32(n))
	return b
}

// carry sends n bytes of an inner packet.
func (t *tunnel) carry(up bool, n int) {
	if t.over != nil {
		t.over(up, n)
		return
	}
	f, d := t.down, 0
	if up {
		f, d = t.up, 1
	}
	t.sent[d]++
	s := t.s
	padded := (n + 15) &^ 15
	if t.make == tunnelWireGuard {
		b := []byte{4, 0, 0, 0}
		b = binary.LittleEndian.AppendUint32(b, t.ids[d])
		b = binary.LittleEndian.AppendUint64(b, t.sent[d])
		s.udp(f, kindOther, append(b, s.stuff(s.noise, padded+16)...))
		return
	}
	b := binary.BigEndian.AppendUint32(nil, t.ids[d]|0x1000)
	b = binary.BigEndian.AppendUint32(b, uint32(t.sent[d]))
	b = append(b, s.stuff(s.noise, 16+padded+12)...)
	if t.make == tunnelESP {
		s.datagram(f, kindOther, b)
	} else {
		s.udp(f, kindOther, b)
	}
}
