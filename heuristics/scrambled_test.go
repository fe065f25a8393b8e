package heuristics

import (
	"testing"

	"simtrap/ident"
)

// Calls end near exchanges by chance where there is always one near; and of
// several far ends each stands for itself.
func TestExchangesByChance(t *testing.T) {
	other := func(i int) ident.Addr { return ident.AddrFrom4([]byte{198, 18, 0, byte(i)}) }
	for name, tt := range map[string]struct {
		play func(p *play, call int)
		want bool
	}{
		"with each call": {func(p *play, _ int) { p.l.Exchange(p.line, p.far, p.now+61*second) }, true},
		"every 3 s": {func(p *play, _ int) {
			for k := range 33 {
				p.l.Exchange(p.line, p.far, p.now+int64(k)*3*second)
			}
		}, false},
		"every 7 s": {func(p *play, _ int) {
			for t := p.now - p.now%(7*second) + 7*second; t <= p.now+100*second; t += 7 * second {
				p.l.Exchange(p.line, p.far, t)
			}
		}, false},
		"with each call, of far ends in turn": {func(p *play, call int) { p.l.Exchange(p.line, other(call%4), p.now+61*second) }, false},
		"with each call, beside another flow every 3 s": {func(p *play, _ int) {
			p.l.Exchange(p.line, p.far, p.now+61*second)
			for k := range 33 {
				p.l.Exchange(p.line, other(1), p.now+int64(k)*3*second)
			}
		}, true},
	} {
		p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
		p.voice(8000, plain)
		for i := range 40 {
			tt.play(p, i)
			p.voice(9000+uint16(i), plain)
		}
		x := &p.l.table[p.line].traits.exchanges
		if got := x.signalling() != nil; got != tt.want {
			t.Errorf("%s: signalling %v, %+v", name, got, x)
		}
		// Whoever knows the rhythm can send it to a line: it is shown, not counted.
		if _, seen := p.sighting(t, "hidden-sip"); seen {
			t.Errorf("%s: counts", name)
		}
		// Nor does it name a controller: the far end may be anybody.
		for _, x := range p.l.table[p.line].peers {
			if x.roles[roleTrunkPeer] != 0 {
				t.Errorf("%s: a far end passes for where signalling goes", name)
			}
		}
		if n := len(p.l.table[p.line].traits.exchanges.far); n > maxExchangeFar {
			t.Errorf("%s: %d far ends", name, n)
		}
	}
	// A far end more makes room of the one silent for longest.
	p := looking(newPlay(testLines(t, Config{Homes: home(t)})))
	p.voice(8000, plain)
	for i := range 100 {
		p.l.Exchange(p.line, other(i), p.now+int64(i)*second)
	}
	if x := p.l.table[p.line].traits.exchanges; len(x.far) != maxExchangeFar {
		t.Errorf("%d far ends kept", len(x.far))
	}
}
