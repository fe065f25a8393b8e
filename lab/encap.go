package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// encap is how inner IP packets are wrapped, and what else is done to them.
type encap struct {
	link   string   // of the file
	wraps  []string // outermost first
	v6     bool     // inside
	outer6 bool     // tunnels over IPv6
	ah     bool
	atomic bool
	teredo bool
	mtu    int // of the inner IP packet
	outer  int // of the outermost IP packet, 0 for any
	sipTCP bool
	sipWS  bool // over WebSocket
}

// EtherTypes (IANA IEEE 802 numbers).
const (
	etIPv4 = 0x0800
	etIPv6 = 0x86dd
	etVLAN = 0x8100
	etMPLS = 0x8847
	etPPP  = 0x880b
)

// links are the files' link types (tcpdump.org/linktypes.html).
var links = map[string]uint16{
	"ethernet": 1, "null": 0, "ppp": 9, "ppp-hdlc": 50, "ppp-ether": 51, "raw": 101, "chdlc": 104, "sll": 113,
	"ppp-pppd": 166, "ppp-dir": 204, "sll2": 276,
}

// Encaps gives the names that Options.Encap knows: link types, what goes
// between the link and the inner IP packet, modifiers.
func Encaps() []string {
	return []string{"ethernet", "raw", "sll", "sll2", "null", "ppp", "ppp-hdlc", "ppp-ether", "ppp-dir", "ppp-pppd", "chdlc",
		"vlan", "qinq", "qinq-9100", "qinq-9200", "vntag", "pbb", "snap", "pppoe", "vlan-pppoe", "mpls", "mpls-eth", "mpls-cw",
		"mpls-udp", "gre", "gre-options", "gre-eth", "gre-udp", "pptp", "erspan1", "erspan2", "erspan3", "erspan3-platform", "ipip", "etherip",
		"gtpu", "gtpu-ext", "vxlan", "vxlan-gpe", "geneve", "geneve-options", "l2tpv2", "l2tpv2-options",
		"l2tpv3", "l2tpv3-cookie", "l2tpv3-ip", "teredo",
		"ipv6", "outer6", "ah", "atomic", "fragments", "outer-fragments", "sip-tcp", "sip-ws"}
}

func parseEncap(s string) (encap, error) {
	e := encap{link: "ethernet", mtu: 1500}
	for _, part := range strings.Split(s, "+") {
		_, link := links[part]
		switch {
		case part == "":
		case link:
			e.link = part
		case part == "ipv6":
			e.v6 = true
		case part == "outer6":
			e.outer6 = true
		case part == "ah":
			e.ah = true
		case part == "atomic":
			e.atomic = true
		case part == "fragments":
			e.mtu = 576
		case part == "outer-fragments":
			e.outer = 576
		case part == "sip-tcp":
			e.sipTCP = true
		case part == "sip-ws":
			e.sipTCP, e.sipWS = true, true
		case part == "vlan-pppoe":
			e.wraps = append(e.wraps, "vlan", "pppoe")
		case slices.Contains(Encaps(), part):
			e.wraps = append(e.wraps, part)
			e.teredo = e.teredo || part == "teredo"
		default:
			return e, fmt.Errorf("unknown encapsulation %q: want one of %s", part, strings.Join(Encaps(), ", "))
		}
	}
	e.v6 = e.v6 || e.teredo
	if slices.Contains(e.wraps, "snap") {
		e.mtu = min(e.mtu, 1492) // or the length would read as a type
	}
	a := access{mac: make(net.HardwareAddr, 6), near: netip.IPv4Unspecified(), far: netip.IPv4Unspecified()}
	p, err := e.build(&a, true, e.v6)
	switch {
	case err != nil:
	case e.atomic && !e.v6:
		err = fmt.Errorf("atomic fragments are of ipv6")
	case e.atomic && e.ah:
		err = fmt.Errorf("atomic fragments and ah are not made together")
	case e.outer > 0 && p.outer < 0:
		err = fmt.Errorf("no outer packet to cut into fragments")
	case e.outer6 && p.outer < 0:
		err = fmt.Errorf("no outer packet to make ipv6")
	case e.outer6 && e.teredo:
		err = fmt.Errorf("teredo goes over ipv4")
	}
	if err != nil {
		return e, fmt.Errorf("encapsulation %q: %w", s, err)
	}
	return e, nil
}

func (e encap) linkType() uint16 { return links[e.link] }

func (e encap) ethernet() bool { return e.link == "ethernet" }

// prefix is everything before the inner IP header, with the places in it that
// depend on the frame.
type prefix struct {
	bytes []byte
	lens  []lenField
	sums  []sumField // innermost last
	seqs  []seqField
	outer int // offset of the outermost IP header, -1 when there is none
	six   bool
}

// lenField is a 16-bit field at byte at that holds the frame's length less sub.
type lenField struct{ at, sub int }

// sumField is a checksum at byte at over what lies from byte from to byte to,
// or to the end when that is 0. length is added for pseudo headers.
type sumField struct {
	at, from, to int
	pseudo       uint64
	length       bool
}

// seqField counts packets in size bytes at byte at.
type seqField struct{ at, size int }

// access is what identifies a line below IP.
type access struct {
	mac          net.HardwareAddr // of the subscriber's side
	svlan, cvlan uint16
	session      uint16
	labels       [2]uint32 // up, down
	teid         [2]uint32
	vni          uint32
	near, far    netip.Addr // ends of the tunnel
	sent         [2]uint32  // packets in the tunnel, up and down
}

// announced is how the header before says what follows it.
type announced uint8

const (
	byNothing announced = iota // bare IP
	byFrame                    // an Ethernet frame, to be begun
	byType                     // an EtherType, of any kind
	byIPType                   // an EtherType of IP or MPLS
	byPPP                      // a PPP protocol in two bytes
	byPPPByte                  // a PPP protocol compressed to one
	byProto                    // an IP protocol number
	byNext                     // a next protocol of VXLAN-GPE
	byFamily                   // an address family of BSD
)

// builder puts headers one behind the other.
type builder struct {
	prefix
	e    encap
	a    *access
	up   bool
	how  announced
	at   int // of the field that announces what follows
	ends [2]net.HardwareAddr
	err  error
}

// build makes the prefix of packets from (up) or to (not up) a line.
func (e encap) build(a *access, up, v6 bool) (prefix, error) {
	gate := net.HardwareAddr{0x02, 0x5e, 0x10, 0, 0, 1}
	b := &builder{prefix: prefix{outer: -1}, e: e, a: a, up: up, ends: [2]net.HardwareAddr{a.mac, gate}}
	if !up {
		b.ends = [2]net.HardwareAddr{gate, a.mac}
	}
	b.linkHeader()
	for _, w := range e.wraps {
		b.wrap(w)
	}
	if v6 {
		b.enter(etIPv6)
	} else {
		b.enter(etIPv4)
	}
	return b.prefix, b.err
}

func (b *builder) add(bytes ...byte) { b.bytes = append(b.bytes, bytes...) }
func (b *builder) add16(vs ...uint16) {
	for _, v := range vs {
		b.bytes = binary.BigEndian.AppendUint16(b.bytes, v)
	}
}
func (b *builder) add32(vs ...uint32) {
	for _, v := range vs {
		b.bytes = binary.BigEndian.AppendUint32(b.bytes, v)
	}
}

// next says how what follows is announced, in a field of size bytes that comes
// now.
func (b *builder) next(how announced, size int) {
	b.how, b.at = how, len(b.bytes)
	b.add(make([]byte, size)...)
}

// enter announces what follows, by its EtherType.
func (b *builder) enter(t uint16) {
	ip := t == etIPv4 || t == etIPv6
	pick := func(four, six, mpls byte) byte {
		switch t {
		case etIPv4:
			return four
		case etIPv6:
			return six
		}
		return mpls
	}
	switch how := b.how; {
	case how == byFrame:
		b.add(b.ends[1]...)
		b.add(b.ends[0]...)
		b.add16(t)
	case how == byType, how == byIPType && (ip || t == etMPLS):
		binary.BigEndian.PutUint16(b.bytes[b.at:], t)
	case how == byPPP && t == etMPLS:
		binary.BigEndian.PutUint16(b.bytes[b.at:], 0x0281)
	case how == byPPP && ip:
		b.bytes[b.at+1] = pick(0x21, 0x57, 0)
	case how == byPPPByte && ip:
		b.bytes[b.at] = pick(0x21, 0x57, 0)
	case how == byProto && (ip || t == etMPLS):
		b.bytes[b.at] = pick(4, 41, 137)
	case how == byNext && (ip || t == etMPLS):
		b.bytes[b.at] = pick(1, 2, 5)
	case how == byFamily && ip:
		b.bytes[b.at] = pick(2, 30, 0)
	case how == byNothing && ip:
	default:
		b.err = fmt.Errorf("what has EtherType %04x cannot come there", t)
	}
}

// linkHeader begins with what the file's link type wants.
func (b *builder) linkHeader() {
	out := byte(0) // to us
	if !b.up {
		out = 4 // sent by us
	}
	switch b.e.link {
	case "ethernet":
		b.how = byFrame
	case "sll":
		b.add(0, out, 0, 1, 0, 6)
		b.add(b.ends[0]...)
		b.add(0, 0)
		b.next(byType, 2)
	case "sll2":
		b.next(byType, 2)
		b.add(0, 0, 0, 0, 0, 2, 0, 1, out, 6)
		b.add(b.ends[0]...)
		b.add(0, 0)
	case "null":
		b.next(byFamily, 4)
	case "ppp":
		b.next(byPPP, 2)
	case "ppp-hdlc":
		b.add(0xff, 3)
		b.next(byPPP, 2)
	case "ppp-pppd":
		b.add(1-out/4, 3)
		b.next(byPPP, 2)
	case "ppp-dir":
		b.add(1-out/4, 0xff, 3)
		b.next(byPPP, 2)
	case "ppp-ether":
		b.pppoe()
	case "chdlc":
		b.add(0x0f, 0)
		b.next(byIPType, 2)
	}
}

// tag adds what stands in an Ethernet header behind an EtherType of its own.
func (b *builder) tag(t uint16) {
	if b.how != byFrame && b.how != byType {
		b.err = fmt.Errorf("there is no Ethernet header for type %04x", t)
	}
	b.enter(t)
}

func (b *builder) vlan(t, id uint16) {
	b.tag(t)
	b.add16(id)
	b.next(byType, 2)
}

// length adds a field that holds the length of what follows it, and extra.
func (b *builder) length(extra int) {
	b.lens = append(b.lens, lenField{len(b.bytes), len(b.bytes) + 2 - extra})
	b.add16(0)
}

func (b *builder) count(size int) {
	b.seqs = append(b.seqs, seqField{len(b.bytes), size})
	b.add(make([]byte, size)...)
}

func (b *builder) pppoe() {
	b.add(0x11, 0)
	b.add16(b.a.session)
	b.length(0)
	b.next(byPPP, 2)
}

// ip adds the outer IP header of a tunnel.
func (b *builder) ip(proto byte) {
	near, far := b.a.near, b.a.far
	if !b.up {
		near, far = far, near
	}
	t := uint16(etIPv4)
	if b.e.outer6 {
		t = etIPv6
		near, far = mapped(near), mapped(far)
	}
	b.enter(t)
	n := len(b.bytes)
	if b.outer < 0 {
		b.outer, b.six = n, b.e.outer6
	}
	if b.e.outer6 {
		b.add(0x60, 0, 0, 0)
		b.length(-34) // of what follows the header
		b.at = len(b.bytes)
		b.add(proto, 62)
	} else {
		b.add(0x45, 0)
		b.length(4)
		b.add(0, 0, 0, 0, 62)
		b.at = len(b.bytes)
		b.add(proto)
		b.sums = append(b.sums, sumField{at: n + 10, from: n, to: n + 20})
		b.add(0, 0)
	}
	b.add(near.AsSlice()...)
	b.add(far.AsSlice()...)
}

// mapped puts an IPv4 address into the lab's IPv6 prefix for tunnels.
func mapped(a netip.Addr) netip.Addr {
	four := a.As4()
	return v6addr(0x20010db8_00ff_0000, uint64(binary.BigEndian.Uint32(four[:])))
}

// udp adds the outer headers of a tunnel over UDP; port is the subscriber's.
func (b *builder) udp(port, far uint16) {
	b.ip(protoUDP)
	n := len(b.bytes)
	if !b.up {
		port, far = far, port
	}
	b.add16(port, far)
	b.length(6)
	if b.e.outer6 { // over IPv4 tunnels leave it out
		s := uint64(fold(sum(protoUDP, b.bytes[n-32:n])))
		b.sums = append(b.sums, sumField{at: len(b.bytes), from: n, pseudo: s, length: true})
	}
	b.add(0, 0)
}

// gre adds a GRE header of version 0 with an EtherType that follows, or t.
func (b *builder) gre(flags, t uint16) {
	b.ip(47)
	n := len(b.bytes)
	b.add16(flags)
	b.next(byIPType, 2)
	if t != 0 {
		binary.BigEndian.PutUint16(b.bytes[b.at:], t)
		b.how = byFrame
	}
	if flags&0x8000 != 0 {
		b.sums = append(b.sums, sumField{at: len(b.bytes), from: n})
		b.add32(0)
	}
	if flags&0x2000 != 0 {
		b.add32(b.a.vni)
	}
	if flags&0x1000 != 0 {
		b.count(4)
	}
}

// wrap adds what a name stands for.
func (b *builder) wrap(name string) {
	a, dir := b.a, 1
	if b.up {
		dir = 0
	}
	// Both ends of a tunnel choose identifiers, which are never 0.
	id := a.teid[dir] | 0x00010001
	switch name {
	case "vlan":
		b.vlan(etVLAN, a.cvlan)
	case "qinq", "qinq-9100", "qinq-9200":
		b.vlan(map[string]uint16{"qinq": 0x88a8, "qinq-9100": 0x9100, "qinq-9200": 0x9200}[name], a.svlan)
		b.vlan(etVLAN, a.cvlan)
	case "vntag":
		b.tag(0x8926)
		b.add32(a.vni & 0x3fff << 16)
		b.next(byType, 2)
	case "pbb":
		b.vlan(0x88a8, a.svlan)
		b.tag(0x88e7)
		b.add32(a.vni)
		b.how = byFrame
	case "snap":
		if b.how == byFrame {
			b.enter(0)
			b.at = len(b.bytes) - 2
		} else if b.how != byType {
			b.err = fmt.Errorf("there is no Ethernet header for a length")
			return
		}
		b.lens = append(b.lens, lenField{b.at, len(b.bytes)})
		b.add(0xaa, 0xaa, 3, 0, 0, 0)
		b.next(byIPType, 2)
	case "pppoe":
		b.tag(0x8864)
		b.pppoe()
	case "mpls", "mpls-eth", "mpls-cw":
		b.enter(etMPLS)
		const ttl, bottom = 60, 0x100
		b.add32(a.labels[dir]<<12|ttl, (a.labels[dir]+1)<<12|bottom|ttl)
		b.how = byFrame
		switch name {
		case "mpls":
			b.how = byNothing
		case "mpls-cw":
			b.add(0, 0)
			b.count(2)
		}
	case "mpls-udp":
		b.udp(6635, 6635)
		b.add32(a.labels[dir]<<12 | 0x100 | 60)
		b.how = byNothing
	case "gre":
		b.gre(0, 0)
	case "gre-udp":
		b.udp(4754, 4754)
		b.add16(0x2000)
		b.next(byIPType, 2)
		b.add32(a.vni)
	case "gre-options":
		b.gre(0xb000, 0)
	case "gre-eth":
		b.gre(0x2000, 0x6558)
	case "erspan1":
		b.gre(0, 0x88be)
	case "erspan2":
		b.gre(0x1000, 0x88be)
		b.add16(0x1000|a.cvlan, 0x1800|uint16(a.vni&0x3ff)) // version 1, VLAN kept in the frame
		b.add32(7)                                          // port
	case "erspan3", "erspan3-platform":
		b.gre(0x1000, 0x22eb)
		b.add16(0x2000|a.cvlan, uint16(a.vni&0x3ff)) // version 2
		b.count(4)                                   // time
		b.add16(0)
		if name == "erspan3" {
			b.add16(0)
		} else {
			b.add16(1)
			b.add32(0x0c000005, 0) // platform 3
		}
	case "pptp":
		b.ip(47)
		b.add16(0x3081, etPPP)
		b.length(-10)
		b.add16(uint16(id))
		b.count(4)
		b.count(4)
		b.add(0xff, 3)
		b.next(byPPP, 2)
		if !b.up { // sequence alone, and everything compressed
			n := len(b.bytes)
			b.bytes = b.bytes[:n-8]
			b.bytes[n-19] = 1 // flags
			b.seqs = b.seqs[:len(b.seqs)-1]
			b.lens[len(b.lens)-1].sub -= 4
			b.next(byPPPByte, 1)
		}
	case "ipip":
		b.ip(0)
		b.how = byProto
	case "etherip":
		b.ip(97)
		b.add(0x30, 0)
		b.how = byFrame
	case "gtpu", "gtpu-ext":
		b.udp(2152, 2152)
		if name == "gtpu" {
			b.add(0x30, 255)
			b.length(-4)
			b.add32(a.teid[dir])
		} else {
			b.add(0x36, 255)
			b.length(-4)
			b.add32(a.teid[dir])
			b.count(2)
			b.add(0, 0x85)
			b.add(1, byte(1-dir)<<4, 9, 0xc0) // PDU session container, QoS flow 9
			b.add(1, 0, 5, 0x82)              // PDCP number
			b.add(2, 0, 0, 5, 0, 0, 0, 0)     // long PDCP number
		}
		b.how = byNothing
	case "vxlan":
		b.udp(4789, 4789)
		b.add32(0x08000000, a.vni<<8)
		b.how = byFrame
	case "vxlan-gpe":
		b.udp(4790, 4790)
		b.add(0x0c, 0, 0)
		b.next(byNext, 1)
		b.add32(a.vni << 8)
	case "geneve":
		b.udp(6081, 6081)
		b.add16(0, 0x6558)
		b.add32(a.vni << 8)
		b.how = byFrame
	case "geneve-options":
		b.udp(6081, 6081)
		b.add16(0x0500)
		b.next(byIPType, 2)
		b.add32(a.vni << 8)
		b.add(1, 8, 1, 2)
		b.add32(1, 2)
		b.add(1, 8, 2, 1)
		b.add32(3)
	case "l2tpv2":
		b.udp(1701, 1701)
		b.add16(0x4002)
		b.length(4)
		b.add32(id)
		b.add(0xff, 3)
		b.next(byPPP, 2)
	case "l2tpv2-options":
		b.udp(40000+a.session%1000, 1701)
		b.add16(0x0b02)
		b.add32(id)
		b.count(2)
		b.add(0, 0)
		b.add(0, 3, 0, 0, 0) // offset
		b.next(byPPPByte, 1)
	case "l2tpv3":
		b.udp(1701, 1701)
		b.add32(0x00030000, id)
		b.how = byFrame
	case "l2tpv3-cookie":
		b.udp(1701, 1701)
		b.add32(0x00030000, id, ^id, a.vni, 0x40000000)
		b.how = byFrame
	case "l2tpv3-ip":
		b.ip(115)
		b.add32(id, ^id)
		b.how = byFrame
	case "teredo":
		b.udp(teredoPort, 3544)
		if !b.up {
			b.add(0, 1, 0, 0)
			b.add(make([]byte, 9)...)
			b.add(0, 0)
			b.add16(^uint16(3544))
			b.add32(^uint32(0xc6336401))
		}
		b.how = byNothing
	}
}

// teredoPort is what the NAT of a Teredo client made of its port.
const teredoPort = 40544

// teredoAddr is the address that a Teredo client gets (RFC 4380 section 4).
func teredoAddr(client netip.Addr) netip.Addr {
	four := client.As4()
	return v6addr(0x20010000_c6336401, uint64(^uint16(teredoPort))<<32|uint64(^binary.BigEndian.Uint32(four[:])))
}

// finish sets the lengths, counts and checksums around the inner packet.
func (p *prefix) finish(b []byte, sent uint32) {
	for _, l := range p.lens {
		binary.BigEndian.PutUint16(b[l.at:], uint16(len(b)-l.sub))
	}
	for _, q := range p.seqs {
		if q.size == 2 {
			binary.BigEndian.PutUint16(b[q.at:], uint16(sent))
		} else {
			binary.BigEndian.PutUint32(b[q.at:], sent)
		}
	}
	for i := len(p.sums) - 1; i >= 0; i-- {
		f := p.sums[i]
		to := f.to
		if to == 0 {
			to = len(b)
		}
		acc := f.pseudo
		if f.length {
			acc += uint64(to - f.from)
		}
		binary.BigEndian.PutUint16(b[f.at:], 0)
		c := ^fold(sum(acc, b[f.from:to]))
		if c == 0 && f.length { // of UDP, where 0 is none
			c = 0xffff
		}
		binary.BigEndian.PutUint16(b[f.at:], c)
	}
}

// split cuts the outermost IP packet of a frame into fragments and gives each
// frame to put.
func (p *prefix) split(b []byte, mtu int, id uint32, put func([]byte)) {
	h := p.outer + 20
	room := mtu - 20
	if p.six {
		h, room = p.outer+40, mtu-48
	}
	room &^= 7
	rest := b[h:]
	for off := 0; off < len(rest); off += room {
		chunk := rest[off:min(off+room, len(rest))]
		more := uint16(0)
		if off+room < len(rest) {
			more = 1
		}
		f := append([]byte(nil), b[:h]...)
		if p.six {
			f = append(f, f[p.outer+6], 0)
			f = binary.BigEndian.AppendUint16(f, uint16(off)|more)
			f = binary.BigEndian.AppendUint32(f, id)
			f[p.outer+6] = 44
		}
		f = append(f, chunk...)
		for _, l := range p.lens {
			if l.at < h {
				binary.BigEndian.PutUint16(f[l.at:], uint16(len(f)-l.sub))
			}
		}
		if !p.six {
			binary.BigEndian.PutUint16(f[p.outer+4:], uint16(id))
			binary.BigEndian.PutUint16(f[p.outer+6:], uint16(off/8)|more<<13)
			f[p.outer+10], f[p.outer+11] = 0, 0
			binary.BigEndian.PutUint16(f[p.outer+10:], ^fold(sum(0, f[p.outer:h])))
		}
		put(f)
	}
}
