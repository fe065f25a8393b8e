package lab

import (
	"math"
	"math/rand/v2"
	"time"
)

// How a NAT chooses the port that a new mapping gets.
const (
	natKeeps  = iota // the device's own where it is free
	natRandom        // any
	natNext          // one after another
	natBlock         // any of a block that the carrier's NAT gives the line (RFC 7422)
)

// nat is the address translation of a drawn line.
type nat struct {
	way     int
	lo, n   uint16 // ports it chooses from
	cur     uint16
	timeout int64 // after so long without a packet from inside, a mapping of UDP is gone
}

// drawNAT draws it. Home routers mostly keep ports and hold UDP for 30 to 300 s
// (RFC 4787 asks for two minutes, many hold less); behind a carrier's NAT, which
// mobile accesses have and some others, ports come from a block and there is
// one hop more. The shares are estimates.
func (l *line) drawNAT(r *rand.Rand) {
	carrier := r.Float64() < [...]float64{0.12, 0.05, 0.1, 0.75, 0.01}[l.up.kind]
	x := &nat{way: pick(r, natKeeps, natKeeps, natKeeps, natRandom, natNext), lo: 1024, n: 64000}
	if carrier {
		x.way = pick(r, natBlock, natBlock, natRandom)
		l.hops++
	}
	if x.way == natBlock {
		x.n = uint16(512 << r.IntN(3))
		x.lo = 1024 + x.n*uint16(r.IntN(60000/int(x.n)))
	}
	x.cur = uint16(r.IntN(int(x.n)))
	x.timeout = int64(math.Exp(share(r, math.Log(30), math.Log(300))) * 1e9)
	l.mapper = x
}

// choose gives the port of a new mapping for the device's own.
func (l *line) choose(own uint16) uint16 {
	x := l.mapper
	if x.way == natKeeps && !l.taken[own] {
		return own
	}
	for tries := 0; ; tries++ {
		p := x.lo + uint16(l.phys.IntN(int(x.n)))
		if x.way == natNext {
			x.cur = (x.cur + 1) % x.n
			p = x.lo + x.cur
		}
		if !l.taken[p] {
			return p
		}
		if tries == 200 { // the block is full: the carrier adds ports
			x.lo, x.n = 1024, 64000
		}
	}
}

// keepOpen lets a client that registers from behind a NAT hold its mapping open
// as telephones do, with an empty line (RFC 5626 section 3.5.1) or four zeros,
// if it is one that does.
func (s *sim) keepOpen(t int64, a, registrar *agent) {
	l := a.node.line
	if l == nil || a.node.lan == a.node.addr || a.keystream != nil || a.disguise != nil {
		return
	}
	k := natKey{a.node.lan, a.port, false}
	if l.held[k] {
		return // accounts of one socket
	}
	l.held[k] = true
	period := between(l.phys, 15*time.Second, 50*time.Second)
	word := pick(l.phys, "\r\n\r\n", "\r\n\r\n", "\r\n\r\n", "\r\n", "\x00\x00\x00\x00")
	answers := l.phys.IntN(2) == 0 && word == "\r\n\r\n"
	if l.phys.IntN(5) < 3 {
		return
	}
	s.every(t+int64(period), func() time.Duration { return period }, func() bool {
		// Thousands of quiet lines would make a capture of nothing else.
		if a.transport() != "UDP" || int64(len(s.lines))*(s.end-s.start)/int64(period) > 100_000 {
			return false
		}
		there, back := s.between(a, registrar)
		t := s.send(s.now, there, kindSIP, []byte(word))
		if answers {
			s.send(t, back, kindSIP, []byte("\r\n"))
		}
		l.used[k] = s.now
		return true
	})
}

// between gives the flows between two agents' sockets.
func (s *sim) between(a, b *agent) (there, back *flow) {
	ap, bp := a.node.port(a.port, false), b.node.port(b.port, false)
	return s.flow(a.node, ap, b.node, bp, protoUDP), s.flow(b.node, bp, a.node, ap, protoUDP)
}

// expire gives a client that was quiet for too long a new mapping, as its NAT
// does with the next thing it sends. Never while the line talks: the far end
// would be cut off, and telephones see to it that they are not.
func (s *sim) expire(a *agent) {
	l := a.node.line
	if l == nil || a.node.lan == a.node.addr || l.active > 0 || a.transport() != "UDP" {
		return
	}
	k := natKey{a.node.lan, a.port, false}
	if last, ok := l.used[k]; ok && s.now-last > l.mapper.timeout {
		delete(l.taken, l.nat[k])
		delete(l.nat, k)
	}
}
