package lab

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
)

type flowKey struct {
	src, dst     *node
	sport, dport uint16
	proto        uint8
}

// flow is one direction of a conversation, as it is seen at the tap: the frame
// is made once by gopacket and then only patched.
type flow struct {
	src, dst     *node
	sport, dport uint16
	proto        uint8
	id           uint16 // of its latest IPv4 packet
	up           bool
	hidden       bool // both ends are on one side of the tap
	prefix       prefix
	ip           []byte // header with length, id, flags and checksum zero
	ext          []byte // headers between it and the transport
	sent         *uint32
	flags        uint16              // of IPv4
	ipSum        uint64              // sum of ip
	pseudo       uint64              // sum of the pseudo header without the length
	last         int64               // when its latest packet in order passes the tap
	tunnel       *tunnel             // in which its packets travel
	wrap         func([]byte) []byte // puts a relay's header before payloads
	buf          []byte
}

// flow gives the conversation from sport of src to dport of dst, the ports as
// they are at the tap.
func (s *sim) flow(src *node, sport uint16, dst *node, dport uint16, proto uint8) *flow {
	k := flowKey{src, dst, sport, dport, proto}
	if f := s.flows[k]; f != nil {
		return f
	}
	f := &flow{src: src, dst: dst, sport: sport, dport: dport, proto: proto, up: src.line != nil, id: src.ipid}
	f.hidden = (src.line != nil) == (dst.line != nil)
	l := src.line
	if l == nil {
		l = dst.line
	}
	if !f.hidden {
		f.tunnel = cmp.Or(src.tunnel, dst.tunnel)
		f.address(s, l, src.addr, dst.addr)
	}
	s.flows[k] = f
	return f
}

func (f *flow) address(s *sim, l *line, src, dst netip.Addr) {
	v6 := src.Is6()
	var err error
	if f.prefix, err = s.shape.build(&l.access, f.up, v6); err != nil {
		panic("lab: " + err.Error()) // parseEncap built the same
	}
	f.sent = &l.access.sent[1]
	if f.up {
		f.sent = &l.access.sent[0]
	}
	proto := f.proto
	switch {
	case s.shape.ah: // RFC 4302, a made-up association
		f.ext = append([]byte{proto, 4, 0, 0, 0, 0, 0x10, 1, 0, 0, 0, 0}, s.pool[:12]...)
		proto = 51
	case s.shape.atomic && v6: // RFC 6946
		f.ext = []byte{proto, 0, 0, 0, 0, 0, 0, 9}
		proto = 44
	}
	var ip gopacket.SerializableLayer
	if v6 {
		ip = &layers.IPv6{Version: 6, HopLimit: f.src.ttl, NextHeader: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	} else {
		h := &layers.IPv4{Version: 4, IHL: 5, TTL: f.src.ttl, Protocol: layers.IPProtocol(proto), SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		if f.src.df {
			h.Flags = layers.IPv4DontFragment
		}
		ip = h
	}
	b := gopacket.NewSerializeBuffer()
	if err := ip.SerializeTo(b, gopacket.SerializeOptions{}); err != nil {
		panic("lab: ip header: " + err.Error()) // own addresses, not input
	}
	f.ip = append([]byte(nil), b.Bytes()...)
	if !v6 {
		f.flags = binary.BigEndian.Uint16(f.ip[6:])
		f.ip[6], f.ip[7] = 0, 0
	}
	f.ipSum = uint64(fold(sum(0, f.ip)))
	f.pseudo = uint64(fold(sum(sum(0, src.AsSlice()), dst.AsSlice()))) + uint64(f.proto)
	f.buf = make([]byte, 0, len(f.prefix.bytes)+len(f.ip)+len(f.ext)+256)
}

// udp writes a datagram at the present time.
func (s *sim) udp(f *flow, k kind, payload []byte) {
	f.number()
	if f.hidden || !s.shows(k, f.up) {
		return
	}
	if f.wrap != nil {
		payload = f.wrap(payload)
	}
	if f.tunnel != nil {
		f.tunnel.carry(f.up, len(f.ip)+8+len(payload))
		return
	}
	b := append(f.buf[:0], f.prefix.bytes...)
	b = append(append(b, f.ip...), f.ext...)
	at := len(b)
	n := 8 + len(payload)
	b = append(b, byte(f.sport>>8), byte(f.sport), byte(f.dport>>8), byte(f.dport), byte(n>>8), byte(n), 0, 0)
	b = append(b, payload...)
	c := ^fold(sum(f.pseudo+uint64(n), b[at:]))
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(b[at+6:], c)
	f.buf = b
	s.frame(f, at)
}

// datagram writes an IP packet with the payload as it is.
func (s *sim) datagram(f *flow, k kind, payload []byte) {
	f.number()
	if f.hidden || !s.shows(k, f.up) {
		return
	}
	b := append(f.buf[:0], f.prefix.bytes...)
	b = append(append(b, f.ip...), f.ext...)
	at := len(b)
	f.buf = append(b, payload...)
	s.frame(f, at)
}

// frame completes the frame in f.buf, whose IP payload begins at byte at, and
// writes it, in fragments when it is too large.
func (s *sim) frame(f *flow, at int) {
	b := f.buf
	if len(b)-len(f.prefix.bytes) > s.shape.mtu {
		s.fragments(f, at)
		return
	}
	f.finish(b, f.id, f.flags)
	s.put(b, f)
}

// put writes a frame, in fragments when it is a tunnel's and too large.
func (s *sim) put(b []byte, f *flow) {
	if o := f.prefix.outer; s.shape.outer > 0 && len(b)-o > s.shape.outer {
		f.prefix.split(b, s.shape.outer, *f.sent, func(b []byte) { s.out.put(s.now, s.pad(b, f)) })
		return
	}
	s.out.put(s.now, s.pad(b, f))
}

// pad fills short Ethernet frames to the 60 bytes that the wire wants, where
// the far side's switch did so; a card's own outgoing frames are tapped before.
func (s *sim) pad(b []byte, f *flow) []byte {
	if f.up || len(b) >= 60 || !s.shape.ethernet() {
		return b
	}
	for len(b) < 60 {
		b = append(b, 0)
	}
	return b
}

// finish sets lengths, identification and checksums of the IP header and of
// what is around it.
func (f *flow) finish(b []byte, id, flags uint16) {
	*f.sent++
	o := len(f.prefix.bytes)
	n := len(b) - o
	if len(f.ip) == 40 {
		binary.BigEndian.PutUint16(b[o+4:], uint16(n-40))
		f.prefix.finish(b, *f.sent)
		return
	}
	binary.BigEndian.PutUint16(b[o+2:], uint16(n))
	binary.BigEndian.PutUint16(b[o+4:], id)
	binary.BigEndian.PutUint16(b[o+6:], flags)
	c := f.ipSum + uint64(n) + uint64(id) + uint64(flags)
	binary.BigEndian.PutUint16(b[o+10:], ^fold(c))
	f.prefix.finish(b, *f.sent)
}

// fragments writes the frame in f.buf in pieces of at most the MTU.
func (s *sim) fragments(f *flow, at int) {
	v6 := len(f.ip) == 40
	proto := f.proto
	if s.shape.ah { // which is put on before
		at -= len(f.ext)
		proto = 51
	}
	whole := append([]byte(nil), f.buf[at:]...)
	room := s.shape.mtu - len(f.ip)
	if v6 {
		room -= 8
	}
	room &^= 7
	id := f.id
	if f.src.ids == idZero {
		id = f.src.ipid // pieces need one
	}
	for off := 0; off < len(whole); off += room {
		chunk := whole[off:min(off+room, len(whole))]
		more := uint16(0)
		if off+room < len(whole) {
			more = 1
		}
		b := append(f.buf[:0], f.prefix.bytes...)
		b = append(b, f.ip...)
		if v6 {
			b[len(f.prefix.bytes)+6] = 44
			v := uint16(off) | more
			b = append(b, proto, 0, byte(v>>8), byte(v), 0, 0, byte(id>>8), byte(id))
		}
		b = append(b, chunk...)
		f.finish(b, id, uint16(off/8)|more<<13)
		f.buf = b
		s.put(b, f)
	}
}

// sum adds b to a ones' complement sum (RFC 1071) of 64 bits.
func sum(acc uint64, b []byte) uint64 {
	var carry uint64
	// Addition of whole words commutes with the byte order of the sum as long
	// as every word is read big-endian.
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	acc, carry = bits.Add64(acc, 0, carry)
	acc += carry
	for len(b) >= 2 {
		acc, carry = bits.Add64(acc, uint64(b[0])<<8|uint64(b[1]), 0)
		acc += carry
		b = b[2:]
	}
	if len(b) == 1 {
		acc, carry = bits.Add64(acc, uint64(b[0])<<8, 0)
		acc += carry
	}
	return acc
}

func fold(v uint64) uint16 {
	for v>>16 != 0 {
		v = v&0xffff + v>>16
	}
	return uint16(v)
}

// send lets a datagram leave its sender at t and gives the time it arrives.
// The payload must not change afterwards.
func (s *sim) send(t int64, f *flow, k kind, payload []byte) int64 {
	tap := s.passes(t, f.src, len(payload))
	s.at(tap, func() { s.udp(f, k, payload) })
	return tap + s.delay(f.dst)
}
