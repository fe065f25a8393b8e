package packet

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"simtrap/capture"
)

// Every field of a tunnel told by its port counts: with one of them wrong the
// datagram remains what it is, and is counted.
func TestBrokenTunnels(t *testing.T) {
	udp4 := ipVariants[0].build(t, UDP, transport(t, UDP, message))
	udp6 := ipVariants[3].build(t, UDP, transport(t, UDP, message))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	teredo6 := patch(udp6, 8, 0x20, 1, 0, 0, 1, 2, 3, 4)
	local6 := patch(patch(udp6, 8, 0xfe, 0x80, 0, 0), 24, 0xff, 2, 0, 0)
	n := 12 + len(udp4)
	l2tp2 := join([]byte{0x40, 2, byte(n >> 8), byte(n), 0, 5, 0, 6, 0xff, 3, 0, 0x21}, udp4)
	bare2 := join([]byte{0, 2, 0, 5, 0, 6, 0x21}, udp4)
	l2tp3 := join([]byte{0, 3, 0, 0, 1, 2, 3, 4}, innerFrame(udp4, false))
	l2tp36 := join([]byte{0, 3, 0, 0, 1, 2, 3, 4}, innerFrame(udp6, true))
	gpe := join([]byte{0x0c, 0, 0, 1, 0, 1, 2, 0}, udp4)
	geneve := join([]byte{2, 0, 8, 0, 0, 1, 2, 0, 1, 3, 1, 1, 1, 2, 3, 4}, udp4)
	tests := []struct {
		name    string
		port    layers.UDPPort
		payload []byte
		tunnel  bool
	}{
		{"teredo", 3544, teredo6, true},
		{"teredo between others", 3544, udp6, false},
		{"teredo soliciting", 3544, local6, true},
		{"teredo local to the world", 3544, patch(local6, 24, 0x20), false},
		{"teredo origin", 3544, join([]byte{0, 0, 1, 2, 3, 4, 5, 6}, teredo6), true},
		{"teredo origin cut", 3544, []byte{0, 0, 1, 2, 3, 4, 5}, false},
		{"teredo authentication", 3544, join([]byte{0, 1, 2, 1, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0}, teredo6), true},
		{"teredo authentication and origin", 3544, join([]byte{0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6}, teredo6), true},
		{"teredo authentication beyond", 3544, join([]byte{0, 1, 255, 255}, teredo6), false},
		{"teredo length beyond", 3544, patch(teredo6, 4, 1), false},
		{"teredo with ipv4", 3544, udp4, false},
		{"teredo empty", 3544, nil, false},

		{"l2tp 2", 1701, l2tp2, true},
		{"l2tp 2 bare", 1701, bare2, true},
		{"l2tp 2 control", 1701, patch(l2tp2, 0, 0xc8), false},
		{"l2tp 2 reserved bit", 1701, patch(l2tp2, 0, 0x44), false},
		{"l2tp 2 reserved nibble", 1701, patch(l2tp2, 1, 0x12), false},
		{"l2tp version", 1701, patch(l2tp2, 1, 1), false},
		{"l2tp 2 length beyond", 1701, patch(l2tp2, 2, 9), false},
		{"l2tp 2 length short", 1701, patch(l2tp2, 3, byte(n-1)), false},
		{"l2tp 2 without tunnel", 1701, patch(l2tp2, 4, 0, 0), false},
		{"l2tp 2 without session", 1701, patch(l2tp2, 6, 0, 0), false},
		{"l2tp 2 lcp", 1701, patch(l2tp2, 10, 0xc0), false},
		{"l2tp 2 ipv6 announced", 1701, patch(l2tp2, 11, 0x57), false},
		{"l2tp 2 no ip", 1701, patch(l2tp2, 12, 0x55), false},
		{"l2tp 2 sequence cut", 1701, []byte{8, 2, 0, 5, 0, 6, 0, 1}, false},
		{"l2tp 2 offset cut", 1701, []byte{2, 2, 0, 5, 0, 6}, false},
		{"l2tp 2 offset beyond", 1701, join([]byte{2, 2, 0, 5, 0, 6, 0xff, 0xff, 0x21}, udp4), false},
		{"l2tp 3", 1701, l2tp3, true},
		{"l2tp 3 reserved", 1701, patch(l2tp3, 3, 1), false},
		{"l2tp 3 control", 1701, patch(l2tp3, 0, 0x80), false},
		{"l2tp 3 session", 1701, patch(l2tp3, 4, 0, 0, 0, 0), false},
		{"l2tp 3 checksum inside", 1701, patch(l2tp3, 8+14+10, l2tp3[8+14+10]^1), false},
		{"l2tp 3 bytes behind", 1701, append(l2tp3[:len(l2tp3):len(l2tp3)], 1), false},
		{"l2tp 3 type inside", 1701, patch(l2tp3, 8+12, 8, 6), false},
		{"l2tp 3 ipv6", 1701, l2tp36, true},
		{"l2tp 3 ipv6 length", 1701, patch(l2tp36, 8+14+5, l2tp36[8+14+5]-1), false},
		{"l2tp 3 ipv6 next header", 1701, patch(l2tp36, 8+14+6, 200), false},
		{"l2tp 3 ipv6 from many", 1701, patch(l2tp36, 8+14+8, 0xff), false},
		{"l2tp 3 cookie of no known size", 1701, join(l2tp3[:8], []byte{1, 2}, l2tp3[8:]), false},
		{"l2tp 3 cookie too long", 1701, join(l2tp3[:8], make([]byte, 16), l2tp3[8:]), false},
		{"l2tp 3 short", 1701, l2tp3[:7], false},
		{"what a relay of a gateway sends", 1701, []byte("RELAY 1 2 3 4 5 6 7 8"), false},
		{"sip on the port", 1701, message, false},

		{"gpe", 4790, gpe, true},
		{"gpe without next protocol", 4790, patch(gpe, 0, 8), false},
		{"gpe reserved", 4790, patch(gpe, 2, 1), false},
		{"gpe reserved last", 4790, patch(gpe, 7, 1), false},
		{"gpe of another version of ip", 4790, patch(gpe, 3, 2), false},
		{"gpe service header", 4790, patch(gpe, 3, 4), false},
		{"gpe ip length", 4790, patch(gpe, 8+2, 9), false},
		{"gpe ethernet cut", 4790, patch(gpe, 3, 3)[:8+13], false},
		{"gpe mpls cut", 4790, patch(gpe, 3, 5)[:8+3], false},
		{"gpe short", 4790, gpe[:7], false},

		{"gre", 4754, join([]byte{0x20, 0, 8, 0, 0, 0, 0, 9}, udp4), true},
		{"gre reserved", 4754, join([]byte{0x28, 0, 8, 0, 0, 0, 0, 9}, udp4), false},
		{"gre version", 4754, join([]byte{0x20, 1, 8, 0, 0, 0, 0, 9}, udp4), false},
		{"gre source routes", 4754, join([]byte{0x40, 0, 8, 0}, udp4), false},
		{"gre of another version of ip", 4754, join([]byte{0, 0, 0x86, 0xdd}, udp4), false},
		{"gre ethernet", 4754, join([]byte{0, 0, 0x65, 0x58}, innerFrame(udp4, false)), false},
		{"gre ip length", 4754, join([]byte{0, 0, 8, 0}, patch(udp4, 2, 9)), false},
		{"gre cut", 4754, []byte{0xb0, 0, 8, 0, 0, 0, 0, 9}, false},
		{"gre short", 4754, []byte{0, 0, 8}, false},

		{"mpls", 6635, join([]byte{0, 0, 0, 9, 0, 0, 1, 9}, udp4), true},
		{"mpls without bottom", 6635, join(make([]byte, 80), udp4), false},
		{"mpls too high", 6635, join(make([]byte, 64), []byte{0, 0, 1, 9}, udp4), false},
		{"mpls no ip", 6635, join([]byte{0, 0, 1, 9}, patch(udp4, 0, 0x55)), false},
		{"mpls ip length", 6635, join([]byte{0, 0, 1, 9}, patch(udp4, 2, 9)), false},
		{"mpls short", 6635, []byte{0, 0, 1}, false},

		{"geneve", 6081, geneve, true},
		{"geneve critical", 6081, patch(geneve, 1, 0x40), true},
		{"geneve control", 6081, patch(geneve, 1, 0x80), false},
		{"geneve version", 6081, patch(geneve, 0, 0x42), false},
		{"geneve reserved", 6081, patch(geneve, 1, 1), false},
		{"geneve reserved last", 6081, patch(geneve, 7, 1), false},
		{"geneve options beyond their room", 6081, patch(geneve, 11, 2), false},
		{"geneve options beyond", 6081, patch(geneve, 0, 0x3f), false},
		{"geneve another version of ip", 6081, patch(geneve, 2, 0x86, 0xdd), false},
		{"geneve arp", 6081, patch(geneve, 2, 8, 6), false},
		{"geneve ethernet cut", 6081, patch(geneve, 2, 0x65, 0x58)[:16+13], false},
		{"geneve mpls cut", 6081, patch(geneve, 2, 0x88, 0x47)[:16+3], false},
		{"geneve short", 6081, geneve[:7], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ports := [][2]layers.UDPPort{{9, tt.port}}
			if tt.port == portL2TP || tt.port == portTeredo {
				ports = append(ports, [2]layers.UDPPort{tt.port, 9})
			}
			for _, p := range ports {
				checkTunnel(t, p, tt.payload, tt.tunnel)
			}
			if tt.tunnel { // elsewhere it is none
				frame := serialize(t, outer4(UDP), &layers.UDP{SrcPort: 9, DstPort: 9}, gopacket.Payload(tt.payload))
				var d Decoder
				p := dirty()
				if r := d.Frame(capture.LinkRaw, frame, uint32(len(frame)), &p); r != Datagram || p.Access != (Access{}) || d.Counters != (Counters{}) {
					t.Errorf("on another port: %v, %+v, %v", r, p.Access, named(&d.Counters))
				}
			}
		})
	}
}

func checkTunnel(t *testing.T, ports [2]layers.UDPPort, payload []byte, tunnel bool) {
	t.Helper()
	frame := serialize(t, outer4(UDP), &layers.UDP{SrcPort: ports[0], DstPort: ports[1]}, gopacket.Payload(payload))
	var d Decoder
	p := dirty()
	if r := d.Frame(capture.LinkRaw, frame, uint32(len(frame)), &p); r != Datagram {
		t.Fatal(r, named(&d.Counters))
	}
	if tunnel {
		if p.Access.Tunnel != 1 || p.Access.OuterSrc != addr(outer4Src) || p.DstPort != dstPort || !bytes.Equal(p.Payload, message) || d.Counters != (Counters{}) {
			t.Errorf("ports %v: port %d, payload %q, access %+v, counted %v", ports, p.DstPort, p.Payload, p.Access, named(&d.Counters))
		}
		return
	}
	var want Counters
	want[NotTunnel] = 1
	if p.Access != (Access{}) || p.DstPort != uint16(ports[1]) || !bytes.Equal(p.Payload, payload) || d.Counters != want {
		t.Errorf("ports %v: port %d, payload %q, access %+v, counted %v", ports, p.DstPort, p.Payload, p.Access, named(&d.Counters))
	}
}

// A cookie that looks like the header of the packet behind it: two layouts lead
// to two sound headers, and neither is believed.
func TestSessionOfTwoMinds(t *testing.T) {
	small := func(total byte) []byte {
		b := append([]byte{0x45, 0, 0, total, 0, 0, 0, 0, 9, 59, 0, 0}, make([]byte, 8)...)
		sumIPv4(b)
		return b
	}
	for _, both := range []bool{true, false} {
		// The addresses of the first header are the beginning of the second.
		second := small(20)
		first := append([]byte{0x45, 0, 0, 32, 0, 0, 0, 0, 9, 59, 0, 0}, second...)
		sumIPv4(first)
		if !both {
			first[12+11]++ // the second one's checksum, which the first one's does not cover
		}
		packet := append([]byte{0, 0, 0, 7}, first...)
		var p Packet
		l, _, _ := session(packet, len(packet), &p, layerDatagram)
		if both != (l == layerDatagram) {
			t.Errorf("two sound headers %v: layer %d", both, l)
		}
		if !both && (p.Access.L2TP != 7 || p.Access.Tunnel != 1) {
			t.Errorf("%+v", p.Access)
		}
	}
}

// What a tunnel decoder does not take costs nothing and changes nothing.
func TestBrokenTunnelsAllocateNothing(t *testing.T) {
	for _, port := range []layers.UDPPort{1701, 2152, 3544, 4754, 4789, 4790, 6081, 6635} {
		frame := serialize(t, outer4(UDP), &layers.UDP{SrcPort: port, DstPort: port}, gopacket.Payload(bytes.Repeat([]byte{0, 3, 0, 0}, 30)))
		var d Decoder
		var p Packet
		if n := testing.AllocsPerRun(100, func() { d.Frame(capture.LinkRaw, frame, uint32(len(frame)), &p) }); n != 0 {
			t.Errorf("port %d: %v allocations", port, n)
		}
	}
}

// Whatever comes to a tunnel's port is the datagram it is, or something inside.
func FuzzTunnelPort(f *testing.F) {
	udp4 := ipVariants[0].build(f, UDP, transport(f, UDP, message))
	udp6 := patch(ipVariants[3].build(f, UDP, transport(f, UDP, message)), 8, 0x20, 1, 0, 0)
	for _, head := range [][]byte{
		nil, {0x34, 255, 0, 67, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 9, 0}, {0, 3, 0, 0, 0, 0, 0, 7}, {0, 3, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 0x40, 0, 0, 1},
		{0, 0, 1, 2, 3, 4, 5, 6}, {0, 1, 2, 1, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0}, {0x0c, 0, 0, 1, 0, 1, 2, 0}, {0x0c, 0, 0, 2, 0, 1, 2, 0},
		{2, 0, 8, 0, 0, 1, 2, 0, 1, 3, 1, 1, 1, 2, 3, 4}, {2, 2, 0, 5, 0, 6, 0, 1, 9, 0x21}, {0x4b, 2, 0, 200, 0, 5, 0, 6, 0, 1, 0, 2, 0, 1, 9, 0xff, 3, 0, 0x57},
	} {
		f.Add(bytes.Join([][]byte{head, udp4}, nil), uint16(0))
		f.Add(bytes.Join([][]byte{head, udp6}, nil), uint16(9))
		f.Add(bytes.Join([][]byte{head, innerFrame(udp4, false)}, nil), uint16(0))
	}
	f.Fuzz(func(t *testing.T, payload []byte, cut uint16) {
		payload = payload[:min(len(payload), 2000)]
		for _, port := range []int{portL2TP, portGTPU, portTeredo, portGRE, portVXLAN, portVXLANGPE, portGeneve, portMPLS} {
			n := 28 + len(payload)
			frame := append([]byte{0x45, 0, byte(n >> 8), byte(n), 0, 0, 0, 0, 9, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
				byte(port >> 8), byte(port), byte(port >> 8), byte(port), byte((n - 20) >> 8), byte(n - 20), 0, 0}, payload...)
			data := frame[:max(0, len(frame)-int(cut))]
			var d Decoder
			p := dirty()
			r := d.Frame(capture.LinkIPv4, data, uint32(n), &p)
			checkFrame(t, r, &p, data, uint32(n))
			if len(data) >= 28 && p.Access.Tunnel == 0 {
				if r != Datagram || int(p.Length) != len(payload) || !bytes.Equal(p.Payload, data[28:]) || d.Counters[NotTunnel] != 1 {
					t.Fatalf("%v, length %d, counted %v", r, p.Length, named(&d.Counters))
				}
			}
			if r == Fragment {
				whole := append([]byte(nil), p.Frag.Data...)
				checkFrame(t, d.Resume(whole, &p), &p, whole, 0)
			}
		}
	})
}
