package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"
)

// node is a host. On the subscriber's side it is one device of a line, whose
// packets leave from the line's address; beyond the tap line is nil.
type node struct {
	body
	name   string
	addr   netip.Addr // in packets at the tap
	lan    netip.Addr // what the device takes for its own address
	line   *line
	abroad bool

	owd    int64   // ns from the device to the tap, at least
	jit    int64   // ns, mean of what queues add
	loss   float64 // of packets before they reach the tap
	ttl    uint8   // at the tap
	df     bool
	ipid   uint16
	ppm    float64 // error of its clock, positive when fast
	tunnel *tunnel // in which its packets travel past the tap
}

// line is one subscriber access.
type line struct {
	premises
	s      *sim
	truth  *LineTruth
	addr   netip.Addr
	access access
	rng    *rand.Rand
	nat    map[natKey]uint16
	taken  map[uint16]bool
	hosts  int
	owd    int64
	jit    int64
	loss   float64
	called map[string]bool
	active int // answered calls now
}

type natKey struct {
	lan  netip.Addr
	port uint16
	tcp  bool
}

// newLine adds a subscriber with an address drawn for it. min and max bound the
// verdict it may get.
func (s *sim) newLine(class, device, minVerdict, maxVerdict string) *line {
	r := s.rng("line")
	l := &line{
		s: s, rng: r, nat: map[natKey]uint16{}, taken: map[uint16]bool{}, called: map[string]bool{},
		owd:  int64(2*time.Millisecond) + r.Int64N(int64(12*time.Millisecond)),
		jit:  int64(30*time.Microsecond) + r.Int64N(int64(500*time.Microsecond)),
		loss: r.Float64() * r.Float64() * 0.004,
	}
	for {
		switch {
		case s.shape.v6:
			l.addr = v6addr(0x20010db8_0001_0000|uint64(r.IntN(1<<16)), 0)
		case s.crowded: // RFC 6598
			l.addr = netip.AddrFrom4([4]byte{100, byte(64 + r.IntN(64)), byte(r.IntN(256)), byte(1 + r.IntN(254))})
		default:
			block := [...]byte{203, 0, 113}
			if r.IntN(2) == 0 {
				block = [...]byte{198, 51, 100}
			}
			l.addr = netip.AddrFrom4([4]byte{block[0], block[1], block[2], byte(1 + r.IntN(254))})
		}
		if !s.addrs[l.addr.String()] {
			break
		}
	}
	s.addrs[l.addr.String()] = true
	l.access = access{
		mac:     net.HardwareAddr{0x02, 0x10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())},
		svlan:   uint16(100 + r.IntN(200)),
		cvlan:   uint16(1000 + r.IntN(3000)),
		session: uint16(1 + r.IntN(65000)),
		labels:  [2]uint32{uint32(16000 + 2*r.IntN(1000)), uint32(24000 + 2*r.IntN(1000))},
		teid:    [2]uint32{r.Uint32(), r.Uint32()},
		vni:     uint32(5000 + r.IntN(1000)),
		near:    netip.AddrFrom4([4]byte{10, 64, byte(r.IntN(4)), byte(1 + r.IntN(250))}),
		far:     netip.AddrFrom4([4]byte{10, 96, 0, byte(1 + r.IntN(4))}),
	}
	if s.shape.teredo {
		l.addr = teredoAddr(l.access.near)
	}
	name := l.addr.String()
	if s.shape.v6 && !s.shape.teredo { // clients of one server share a /64
		name = netip.PrefixFrom(l.addr, 64).String()
	}
	l.truth = &LineTruth{Address: name, Class: class, Device: device, MinVerdict: minVerdict, MaxVerdict: maxVerdict}
	s.lines = append(s.lines, l)
	if s.wide {
		l.connect()
	}
	return l
}

func v6addr(hi, lo uint64) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i] = byte(hi >> (56 - 8*i))
		b[8+i] = byte(lo >> (56 - 8*i))
	}
	return netip.AddrFrom16(b)
}

// device adds a host to the line: on its private network behind the NAT, or,
// with IPv6, at an address of its own in the line's /64.
func (l *line) device(name string) *node {
	l.hosts++
	n := &node{
		name: name, addr: l.addr, line: l,
		owd: l.owd + l.rng.Int64N(int64(time.Millisecond)), jit: l.jit, loss: l.loss,
		ttl: 63, df: l.rng.IntN(2) == 0, ipid: uint16(l.rng.Uint32()),
		ppm: drawPPM(l.rng),
	}
	if l.s.shape.v6 {
		n.addr = v6addr(uint64FromHi(l.addr), 0x0210<<48|l.rng.Uint64()&0xffffffffffff)
		if l.s.shape.teredo && l.hosts == 1 {
			n.addr = l.addr
		}
		n.lan = n.addr
	} else {
		n.lan = netip.AddrFrom4([4]byte{192, 168, byte(l.access.mac[2] & 3), byte(9 + l.hosts)})
	}
	if l.s.wide {
		l.equip(n)
	}
	return n
}

// public adds a host that holds the line's address itself, without a NAT.
func (l *line) public(name string) *node {
	n := l.device(name)
	n.lan = n.addr
	if l.s.wide {
		n.ttl++
	}
	return n
}

func uint64FromHi(a netip.Addr) uint64 {
	b := a.As16()
	var v uint64
	for _, c := range b[:8] {
		v = v<<8 | uint64(c)
	}
	return v
}

// drawPPM draws the error of a crystal: most within 40 parts per million.
func drawPPM(r *rand.Rand) float64 {
	return max(-95, min(95, r.NormFloat64()*22))
}

// host adds a host beyond the tap, in the country or abroad.
func (s *sim) host(name string, abroad bool) *node {
	r := s.rng("far " + name)
	if s.ring != "" && (name == "softswitch" || strings.HasPrefix(name, "ring ")) {
		r = s.shared("far " + name)
	}
	n := &node{
		name: name, abroad: abroad, ttl: uint8(46 + r.IntN(14)), df: r.IntN(2) == 0,
		ipid: uint16(r.Uint32()), ppm: drawPPM(r) / 4,
		owd: int64(4*time.Millisecond) + r.Int64N(int64(20*time.Millisecond)),
		jit: int64(100*time.Microsecond) + r.Int64N(int64(time.Millisecond)),
	}
	if abroad {
		n.owd = int64(40*time.Millisecond) + r.Int64N(int64(90*time.Millisecond))
		n.jit = int64(500*time.Microsecond) + r.Int64N(int64(4*time.Millisecond))
		n.loss = r.Float64() * r.Float64() * 0.01
	}
	for {
		switch {
		case s.shape.v6 && abroad:
			n.addr = v6addr(0x20010db8_f000_0000|uint64(r.IntN(1<<20)), uint64(1+r.IntN(200)))
		case s.shape.v6:
			n.addr = v6addr(0x20010db8_0800_0000|uint64(r.IntN(1<<20)), uint64(1+r.IntN(200)))
		case abroad:
			n.addr = netip.AddrFrom4([4]byte{198, byte(18 + r.IntN(2)), byte(r.IntN(256)), byte(1 + r.IntN(254))})
		default:
			n.addr = netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + r.IntN(254))})
		}
		if !s.addrs[n.addr.String()] {
			break
		}
	}
	n.lan = n.addr
	if s.wide {
		s.settle(n)
	}
	s.addrs[n.addr.String()] = true
	s.far = append(s.far, n)
	return n
}

// port gives the port that packets from the device's own port bear at the tap.
// The NAT keeps it where it is free.
func (n *node) port(own uint16, tcp bool) uint16 {
	l := n.line
	if l == nil || n.lan == n.addr {
		return own
	}
	k := natKey{n.lan, own, tcp}
	if p, ok := l.nat[k]; ok {
		return p
	}
	var p uint16
	if l.mapper != nil {
		p = l.choose(own)
	} else {
		for p = own; l.taken[p]; {
			p = uint16(1024 + l.rng.IntN(64000))
		}
	}
	l.taken[p] = true
	l.nat[k] = p
	return p
}

// delay draws the time from n to the tap.
func (s *sim) delay(n *node) int64 {
	return n.owd + int64(float64(n.jit)*s.noise.ExpFloat64())
}

// hostPort writes an address as SIP URIs do.
func hostPort(a netip.Addr, port uint16) string {
	if a.Is4() {
		return fmt.Sprintf("%s:%d", a, port)
	}
	return fmt.Sprintf("[%s]:%d", a, port)
}

func hostOnly(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return "[" + a.String() + "]"
}

// controls notes that the line depends on n.
func (l *line) controls(n *node, role string) {
	l.truth.Controllers = append(l.truth.Controllers, Controller{Addr: n.addr.String(), Role: role, Abroad: n.abroad})
}
