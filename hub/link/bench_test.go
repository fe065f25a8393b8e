package link

import (
	"fmt"
	"testing"
)

// component of n lines that hang together: cards go from box to box, each box has
// accounts of its own and was on two lines, a hundred lines have one softswitch.
func component(n int) *world {
	var w world
	for i := range n {
		box := i / 2
		l := w.add(Line{
			Verdict: Watch, Accounts: accounts(fmt.Sprint("box", box, "-"), 8), Stack: "a1", CNAME: fmt.Sprint("~", box),
			Cards:       append(cards(fmt.Sprint("pool", i/8, "-"), 4), cards(fmt.Sprint("pool", i/8+1, "-"), 4)...),
			Contact:     "~lan",
			Controllers: []Endpoint{{fmt.Sprint("switch", i/100), "registrar"}},
			ClockPPM:    float64(box%50) - 25, ClockErrorPPM: 0.4, Standings: boxStandings(),
		})
		from := int64(i%2) * 10 * day
		during(l, Span{from, from + 5*day}, Span{from + 5*day + hour, from + 9*day})
	}
	return &w
}

func BenchmarkComponent(b *testing.B) {
	for _, n := range []int{1000, Most} {
		w := component(n)
		counts := w.counts()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				edges := Judge(w.lines, counts)
				g := Join(members(w.lines), edges, nil, 1)
				if len(g.Hands) != 1 {
					b.Fatalf("%d hands, want one", len(g.Hands))
				}
				if r, ok := NewRing(w.lines); !ok || r.Lines != n {
					b.Fatalf("ring %+v", r)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/line")
		})
	}
}

func TestComponentHasAnEnd(t *testing.T) {
	w := component(Most + 100)
	edges, g := w.judge()
	left := 0
	for _, h := range g.Hands {
		if len(h.Members) > Most {
			t.Errorf("a hand of %d lines", len(h.Members))
		}
		left += h.Left
	}
	if left == 0 {
		t.Errorf("nothing was left out of %d lines", len(w.lines))
	}
	if most := 40 * len(w.lines); len(edges) > most {
		t.Errorf("%d edges of %d lines", len(edges), len(w.lines))
	}
}
