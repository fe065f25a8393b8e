package pipeline

import (
	"testing"
	"time"

	"simtrap/capture"
	"simtrap/heuristics"
	"simtrap/ident"
	"simtrap/lab"
	"simtrap/packet"
)

// TestTunnelOwner: what is inside a tunnel that a subscriber holds speaks about
// that subscriber. He can write any address into it.
func TestTunnelOwner(t *testing.T) {
	for _, encap := range []string{"gre", "gtpu", "vxlan", "ipip+ipv6", "l2tpv2", "gre+fragments", "gre+outer-fragments"} {
		t.Run(encap, func(t *testing.T) {
			file, truth := made(t, lab.Options{Scenario: "goip-line", Seed: 1, Duration: 4 * time.Minute, Encap: encap})
			victim := truth.Lines[0].Address
			owner, server := outerEnds(t, file, victim)
			for _, tt := range []struct {
				name, home string
				guilty     string // the line that is a case
			}{
				{"the owner is a subscriber", owner + "," + victim, owner},
				{"the tunnel is the operator's", victim, victim},
				{"the far end is a subscriber too", owner + "," + victim + "," + server, owner},
			} {
				homes, err := ident.ParseHomes([]string{tt.home}, 0)
				if err != nil {
					t.Fatal(err)
				}
				r, err := Run(t.Context(), opened(t, file), Config{Homes: homes})
				if err != nil {
					t.Fatal(err)
				}
				for i := range r.Findings {
					f := &r.Findings[i]
					isCase := f.Verdict == heuristics.Case
					if want := f.Line.Addr.String() == tt.guilty || f.Line.String() == tt.guilty; isCase != want {
						t.Errorf("%s: %s at %v", tt.name, f.Line, f.Verdict)
					}
				}
				if len(r.Findings) == 0 {
					t.Errorf("%s: no finding", tt.name)
				}
			}
		})
	}
}

// TestTunnelStranger: neither a tunnel within an operator's, nor one between a
// subscriber and a server of his, makes anything of other subscribers' addresses
// inside it.
func TestTunnelStranger(t *testing.T) {
	at := func(last byte) ident.Addr { return ident.AddrFrom4([]byte{203, 0, 113, last}) }
	far := func(last byte) ident.Addr { return ident.AddrFrom4([]byte{198, 51, 100, last}) }
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	type ends [2]ident.Addr
	for _, tt := range []struct {
		name    string
		tunnels []ends // outermost first
		inside  ends
		want    ends
	}{
		{"a server's forged packet from a victim to the holder", []ends{{far(1), at(1)}}, ends{at(2), at(1)}, ends{far(1), at(1)}},
		{"the holder's forged packet to a victim", []ends{{at(1), far(1)}}, ends{at(1), at(2)}, ends{at(1), far(1)}},
		{"a conversation of two victims", []ends{{at(1), far(1)}}, ends{at(2), at(3)}, ends{at(1), far(1)}},
		{"within the operator's tunnel", []ends{{far(8), far(9)}, {at(1), far(1)}}, ends{at(2), far(2)}, ends{at(1), far(2)}},
		{"within the operator's, under another of his own", []ends{{far(8), far(9)}, {at(1), far(1)}, {at(2), far(2)}}, ends{at(2), far(3)}, ends{at(1), far(3)}},
		{"within three of the operator's", []ends{{far(4), far(5)}, {far(6), far(7)}, {far(8), far(9)}, {far(1), at(1)}}, ends{far(2), at(2)}, ends{far(2), at(1)}},
		{"the operator's alone", []ends{{far(8), far(9)}, {far(6), far(7)}}, ends{at(2), far(2)}, ends{at(2), far(2)}},
		{"a holder and whom he calls", []ends{{at(1), far(1)}}, ends{far(3), far(2)}, ends{at(1), far(2)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Each tunnel is IP in IP.
			frame := []byte(nil)
			header := func(e ends, proto byte, payload []byte) []byte {
				b := make([]byte, 20, 20+len(payload))
				b[0], b[3], b[8], b[9] = 0x45, byte(20+len(payload)), 64, proto
				src, dst := e[0].Netip().As4(), e[1].Netip().As4()
				copy(b[12:], src[:])
				copy(b[16:], dst[:])
				return append(b, payload...)
			}
			frame = header(tt.inside, packet.UDP, []byte{0x13, 0xc4, 0x13, 0xc4, 0, 12, 0, 0, 'a', 'b', 'c', 'd'})
			for i := len(tt.tunnels) - 1; i >= 0; i-- {
				frame = header(tt.tunnels[i], 4, frame)
			}
			frame = append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0}, frame...)
			var d packet.Decoder
			var p packet.Packet
			if kind := d.Frame(capture.LinkEthernet, frame, uint32(len(frame)), &p); kind != packet.Datagram || int(p.Access.Tunnel) != len(tt.tunnels) {
				t.Fatalf("decoded as %v with %d tunnels", kind, p.Access.Tunnel)
			}
			(&Config{Homes: homes}).Locate(&p)
			if got := (ends{p.Src, p.Dst}); got != tt.want {
				t.Errorf("got %v > %v, want %v > %v", got[0], got[1], tt.want[0], tt.want[1])
			}
		})
	}
}

// outerEnds gives the ends of the tunnel around what a line sends.
func outerEnds(t *testing.T, file []byte, line string) (near, far string) {
	t.Helper()
	var d packet.Decoder
	defrag := packet.NewDefrag(packet.DefragConfig{})
	var p packet.Packet
	for _, f := range frames(t, opened(t, file)) {
		kind := d.Frame(capture.LinkEthernet, f.data, uint32(len(f.data)), &p)
		for kind == packet.Fragment {
			whole, ok := defrag.Add(&p)
			if !ok {
				break
			}
			kind = d.Resume(whole, &p)
		}
		homes, _ := ident.ParseHomes([]string{line}, 0)
		if (kind == packet.Datagram || kind == packet.Segment) && p.Access.Tunnel > 0 && homes.Contains(p.Src) {
			return p.Access.OuterSrc.String(), p.Access.OuterDst.String()
		}
	}
	t.Fatal("no packet of the line in a tunnel")
	return "", ""
}
