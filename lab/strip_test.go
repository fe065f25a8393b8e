package lab

import (
	"encoding/binary"
	"slices"
	"testing"
)

// gopacketKnows says whether gopacket reads every header of shape.
func gopacketKnows(shape encap) bool {
	known := []string{"vlan", "qinq", "pppoe", "mpls", "gre", "gre-options", "gre-eth", "erspan2", "ipip",
		"gtpu", "vxlan", "geneve", "geneve-options"}
	for _, w := range shape.wraps {
		if !slices.Contains(known, w) {
			return false
		}
	}
	return shape.link == "ethernet" || shape.link == "sll"
}

// strip removes link header and wrappings by their names, and gives the inner IP
// packet. What the headers say must agree with what is there.
func strip(t *testing.T, shape encap, b []byte) []byte {
	frame := b
	must := func(ok bool, what string) {
		if !ok {
			t.Fatalf("%s: %x of %x", what, b, frame)
		}
	}
	u16 := func(at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	et := 0 // the type of b where a header before says it
	guess := func() {
		et = 0x0800
		if b[0]>>4 == 6 {
			et = 0x86dd
		}
	}
	eth := func() { et, b = u16(12), b[14:] }
	ppp := func() {
		if b[0] == 0xff && b[1] == 3 {
			b = b[2:]
		}
		p := int(b[0])
		if b = b[1:]; p&1 == 0 {
			p, b = p<<8|int(b[0]), b[1:]
		}
		et = map[int]int{0x21: 0x0800, 0x57: 0x86dd, 0x281: 0x8847}[p]
		must(et != 0, "ppp protocol")
	}
	session := func() {
		must(b[0] == 0x11 && b[1] == 0 && u16(2) != 0 && u16(4) <= len(b)-6, "pppoe")
		b = b[6 : 6+u16(4)]
		ppp()
	}
	ip := func() (proto byte) {
		if et == 0x0800 {
			must(b[0] == 0x45 && u16(2) <= len(b) && fold(sum(0, b[:20])) == 0xffff, "outer ipv4")
			proto, b = b[9], b[20:u16(2)]
			return proto
		}
		must(et == 0x86dd && b[0]>>4 == 6 && 40+u16(4) <= len(b), "outer ipv6")
		proto, b = b[6], b[40:40+u16(4)]
		return proto
	}
	udp := func(ports ...int) {
		six := et == 0x86dd
		whole := b
		must(ip() == protoUDP, "udp")
		must(slices.Contains(ports, u16(0)) || slices.Contains(ports, u16(2)), "port")
		must(u16(4) == len(b), "udp length")
		if must(six == (u16(6) != 0), "udp checksum"); six {
			must(fold(sum(sum(uint64(len(b))+protoUDP, whole[8:40]), b)) == 0xffff, "udp checksum")
		}
		b = b[8:]
	}
	gre := func(proto int) (flags int) {
		must(ip() == 47, "gre")
		flags = u16(0)
		must(flags&0x4007 == 0 && (proto == 0 || u16(2) == proto), "gre header")
		if flags&0x8000 != 0 {
			must(fold(sum(0, b)) == 0xffff, "gre checksum")
		}
		et = u16(2)
		h := 4
		for _, f := range []int{0x8000, 0x2000, 0x1000} {
			if flags&f != 0 {
				h += 4
			}
		}
		b = b[h:]
		return flags
	}
	switch shape.link {
	case "ethernet":
		eth()
	case "sll":
		et, b = u16(14), b[16:]
	case "sll2":
		et, b = u16(0), b[20:]
	case "null":
		et, b = map[byte]int{2: 0x0800, 30: 0x86dd}[b[0]], b[4:]
	case "raw":
		guess()
	case "chdlc":
		must(b[0] == 0x0f && b[1] == 0, "address")
		et, b = u16(2), b[4:]
	case "ppp-ether":
		session()
	case "ppp-dir":
		must(b[0] < 2, "direction")
		b = b[1:]
		ppp()
	case "ppp-pppd":
		must(b[0] < 2 && b[1] == 3, "direction")
		b = b[2:]
		ppp()
	default:
		ppp()
	}
	for _, w := range shape.wraps {
		switch w {
		case "vlan":
			must(et == 0x8100 && u16(0) != 0, "vlan")
			et, b = u16(2), b[4:]
		case "qinq", "qinq-9100", "qinq-9200":
			must(et == map[string]int{"qinq": 0x88a8, "qinq-9100": 0x9100, "qinq-9200": 0x9200}[w] && u16(2) == 0x8100, "tags")
			et, b = u16(6), b[8:]
		case "vntag":
			must(et == 0x8926 && u16(0) != 0, "interface tag")
			et, b = u16(4), b[6:]
		case "mpls-udp":
			udp(6635)
			must(b[2]&1 == 1 && b[3] == 60, "label")
			b = b[4:]
			guess()
		case "gre-udp":
			udp(4754)
			must(u16(0) == 0x2000, "flags")
			et, b = u16(2), b[8:]
		case "pbb":
			must(et == 0x88a8 && u16(2) == 0x88e7, "backbone tag")
			b = b[8:]
			eth()
		case "snap":
			must(et < 0x600 && et <= len(b) && u32(0) == 0xaaaa0300 && u16(4) == 0, "length and snap")
			et, b = u16(6), b[8:et]
		case "pppoe":
			must(et == 0x8864, "pppoe type")
			session()
		case "mpls", "mpls-eth", "mpls-cw":
			must(et == 0x8847 && b[2]&1 == 0 && b[6]&1 == 1 && b[3] == 60 && b[7] == 60, "labels")
			b = b[8:]
			switch w {
			case "mpls":
				guess()
			case "mpls-cw":
				must(u16(0) == 0 && u16(2) != 0, "control word")
				b = b[4:]
				eth()
			default:
				eth()
			}
		case "gre":
			must(gre(0) == 0, "flags")
		case "gre-options":
			must(gre(0) == 0xb000, "flags")
		case "gre-eth":
			gre(0x6558)
			eth()
		case "erspan1":
			must(gre(0x88be) == 0, "flags")
			eth()
		case "erspan2":
			must(gre(0x88be) == 0x1000 && b[0]>>4 == 1, "erspan version")
			b = b[8:]
			eth()
		case "erspan3", "erspan3-platform":
			gre(0x22eb)
			platform := w != "erspan3"
			must(b[0]>>4 == 2 && (u16(10) == 1) == platform && u16(10)&^1 == 0, "erspan version")
			if b = b[12:]; platform {
				b = b[8:]
			}
			eth()
		case "pptp":
			must(ip() == 47 && (u16(0) == 0x3081 || u16(0) == 0x3001) && u16(2) == 0x880b && u16(6) != 0 && u32(8) != 0, "pptp")
			h := 12
			if u16(0) == 0x3081 {
				h = 16
			}
			must(u16(4) == len(b)-h, "pptp length")
			b = b[h:]
			ppp()
		case "ipip":
			et = map[byte]int{4: 0x0800, 41: 0x86dd, 137: 0x8847}[ip()]
		case "etherip":
			must(ip() == 97 && u16(0) == 0x3000, "etherip")
			b = b[2:]
			eth()
		case "gtpu":
			udp(2152)
			must(b[0] == 0x30 && b[1] == 255 && u16(2) == len(b)-8, "gtp")
			b = b[8:]
			guess()
		case "gtpu-ext":
			udp(2152)
			must(b[0] == 0x36 && b[1] == 255 && u16(2) == len(b)-8, "gtp")
			next := b[11]
			for b = b[12:]; next != 0; {
				h := 4 * int(b[0])
				next, b = b[h-1], b[h:]
			}
			guess()
		case "vxlan":
			udp(4789)
			must(u32(0) == 0x08000000 && b[7] == 0, "vxlan")
			b = b[8:]
			eth()
		case "vxlan-gpe":
			udp(4790)
			et = map[uint32]int{0x0c000001: 0x0800, 0x0c000002: 0x86dd, 0x0c000005: 0x8847}[u32(0)]
			b = b[8:]
		case "geneve":
			udp(6081)
			must(u32(0) == 0x6558 && b[7] == 0, "geneve")
			b = b[8:]
			eth()
		case "geneve-options":
			udp(6081)
			must(b[0] == 5 && b[11] == 2 && b[23] == 1, "geneve")
			et, b = u16(2), b[28:]
		case "l2tpv2":
			udp(1701)
			must(u16(0) == 0x4002 && u16(2) == len(b) && u16(4) != 0 && u16(6) != 0, "l2tp")
			b = b[8:]
			ppp()
		case "l2tpv2-options":
			udp(1701)
			must(u16(0) == 0x0b02 && u16(2) != 0 && u16(4) != 0, "l2tp")
			b = b[12+u16(10):]
			ppp()
		case "l2tpv3", "l2tpv3-cookie":
			udp(1701)
			must(u32(0) == 0x00030000 && u32(4) != 0, "l2tp")
			if b = b[8:]; w == "l2tpv3-cookie" {
				b = b[12:]
			}
			eth()
		case "l2tpv3-ip":
			must(ip() == 115 && u32(0) != 0, "l2tp")
			b = b[8:]
			eth()
		case "teredo":
			udp(3544)
			if b[0] == 0 {
				must(u32(0) == 0x00010000 && u16(13) == 0, "teredo")
				b = b[21:]
			}
			guess()
		default:
			t.Fatalf("no way to strip %s", w)
		}
	}
	six := et == 0x86dd
	must(six == shape.v6 && b[0]>>4 == map[bool]byte{false: 4, true: 6}[six], "inner version")
	if six {
		return b[:40+u16(4)]
	}
	return b[:u16(2)]
}

// join puts the fragments of outermost IP packets together: it gives the frame
// when the last has come. Fragments come in order.
func join(t *testing.T, shape encap, b []byte, frags map[string][]byte) []byte {
	p, err := shape.build(&access{mac: make([]byte, 6), near: addrOf(make([]byte, 4)), far: addrOf(make([]byte, 4))}, true, shape.v6)
	if err != nil {
		t.Fatal(err)
	}
	o := p.outer
	key, offset, h, more := "", 0, o+20, false
	if p.six {
		if b[o+6] != 44 {
			return b
		}
		v := binary.BigEndian.Uint16(b[o+42:])
		key, offset, more, h = string(b[o+8:o+40])+string(b[o+44:o+48]), int(v&^7), v&1 != 0, o+40
	} else {
		v := binary.BigEndian.Uint16(b[o+6:])
		key, offset, more = string(b[o+12:o+20])+string(b[o+4:o+6]), int(v&0x1fff)*8, v&0x2000 != 0
		if offset == 0 && !more {
			return b
		}
		if fold(sum(0, b[o:o+20])) != 0xffff {
			t.Fatal("checksum of an outer fragment")
		}
	}
	whole := frags["outer"+key]
	size := int(binary.BigEndian.Uint16(b[o+2:]))
	if p.six {
		size = 40 + int(binary.BigEndian.Uint16(b[o+4:]))
	}
	if size > shape.outer {
		t.Fatalf("an outer packet of %d bytes", size)
	}
	body := b[h : o+size]
	if offset == 0 {
		whole = append([]byte(nil), b[:h]...)
		if p.six {
			whole[o+6] = body[0]
		}
	}
	if p.six {
		body = body[8:]
	}
	if offset != len(whole)-h {
		t.Fatalf("an outer fragment at %d, %d bytes so far", offset, len(whole)-h)
	}
	whole = append(whole, body...)
	if frags["outer"+key] = whole; more {
		return nil
	}
	delete(frags, "outer"+key)
	for _, l := range p.lens {
		if l.at < h {
			binary.BigEndian.PutUint16(whole[l.at:], uint16(len(whole)-l.sub))
		}
	}
	if !p.six {
		whole[o+6], whole[o+7], whole[o+10], whole[o+11] = 0, 0, 0, 0
		binary.BigEndian.PutUint16(whole[o+10:], ^fold(sum(0, whole[o:h])))
	}
	return whole
}
