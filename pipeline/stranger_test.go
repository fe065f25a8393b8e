package pipeline

import (
	"slices"
	"strings"
	"testing"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/packet"
)

// inStep is a packet of a stranger, or the answer to one.
type inStep struct {
	at   int64
	up   bool
	port uint16 // of the far end
	size int
}

// playInStep gives packets between a home's socket and a far end to a shard and the
// joiner, and then what of calls counted on the line.
func playInStep(t *testing.T, own uint16, all []inStep) (counted []string) {
	t.Helper()
	homes, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(Config{Homes: homes, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b inStep) int { return int(a.at - b.at) })
	near, far := ident.AddrFrom4([]byte{203, 0, 113, 7}), ident.AddrFrom4([]byte{210, 0, 0, 1})
	s := newShard(1, r.arenas, control.New())
	s.meter.homes = homes
	// The tap has looked at somebody else before.
	r.join.lines.Packet(ident.Line{Addr: ident.AddrFrom4([]byte{203, 0, 113, 99})}, true, all[0].at-60e9, 63)
	var o [shards]*output
	flush := func(now int64) {
		s.sweep(now)
		o[0] = s.output
		r.join.take(&o, now)
		s.output.reset(r.arenas)
	}
	next := all[0].at
	for i, q := range all {
		for ; q.at > next; next += 5e8 {
			flush(next)
		}
		payload := make([]byte, q.size)
		for k := range payload {
			payload[k] = byte(k*131 + i*17)
		}
		copy(payload, "d1:ad2:id20:")
		p := packet.Packet{Time: q.at, Seq: uint64(i), Proto: packet.UDP, Src: far, Dst: near, SrcPort: q.port, DstPort: own, Length: uint32(q.size), Payload: payload}
		if q.up {
			p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
		}
		s.take(&p)
	}
	flush(next)
	s.flush()
	o[0] = s.output
	r.join.finish(&o, next+60e9)
	for _, f := range r.join.lines.Findings(true, 0) {
		for _, w := range f.Signals {
			if strings.HasPrefix(w.ID, "talk-") || strings.HasPrefix(w.ID, "tunnel-") {
				counted = append(counted, w.ID)
			}
		}
	}
	slices.Sort(counted)
	return slices.Compact(counted)
}

// TestStrangersInStep: whoever asks a home that answers, fifty times a second in many
// flows like calls or in one like a tunnel, makes no calls of the answers; a home that
// speaks first in as many does.
func TestStrangersInStep(t *testing.T) {
	const base = int64(1_700_000_000_000_000_000)
	flows := func(lead int64, lone, ask int) (all []inStep) {
		for i := range int64(12) {
			from := base + i*13_700_000_000
			for k := range int64(50 * 40) {
				at, late := from+k*20e6, k*7919%1_500_000
				if lead > 0 { // a call: the line sends sooner, and of its own
					all = append(all, inStep{at, true, uint16(20000 + i), 172})
					if k*20e6 > lead {
						all = append(all, inStep{at + 3e6 + late, false, uint16(20000 + i), 172})
					}
					continue
				}
				all = append(all, inStep{at, false, uint16(20000 + i), ask}, inStep{at + 31e6 + late, true, uint16(20000 + i), 120})
				if k < int64(lone) {
					all = append(all, inStep{at + 1e6, false, uint16(20000 + i), 8})
				}
			}
		}
		return all
	}
	one := func() (all []inStep) {
		for k := range int64(50 * 120) {
			for i := range int64(6) {
				at := base + k*20e6 + i*1_900_000
				all = append(all, inStep{at, false, 20000, 92}, inStep{at + 31e6 + k*7919%1_500_000, true, 20000, 120})
			}
		}
		return all
	}
	for _, tt := range []struct {
		name string
		own  uint16
		all  []inStep
		want bool
	}{
		{"voice-sized questions", 40000, flows(0, 0, 92), false},
		{"questions too small for voice", 40000, flows(0, 0, 20), false},
		{"of a peer of a distributed table", 6881, flows(0, 3, 92), false},
		{"in one flow", 40000, one(), false},
		{"calls of its own", 40000, flows(3e9, 0, 0), true},
	} {
		if got := playInStep(t, tt.own, tt.all); (len(got) > 0) != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
