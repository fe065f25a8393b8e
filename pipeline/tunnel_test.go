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
