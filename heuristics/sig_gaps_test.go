package heuristics

import (
	"math"
	"math/rand/v2"
	"testing"

	"simtrap/sip"
)

func TestCallGaps(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, tt := range map[string]struct {
		pause func() float64 // s
		want  int
	}{
		"a card rests 40 s before the next": {func() float64 { return 40 + 25*r.ExpFloat64() }, 1},
		"calls come when they come":         {func() float64 { return 120 * r.ExpFloat64() }, 0},
		"no rest at all":                    {func() float64 { return 2 + r.Float64() }, 0},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		for i := range 40 {
			p.call(true, func(c *sip.Call) { c.CalleeKey = uint64(i + 1) })
			p.now += int64(tt.pause()*1e9) - 20*second
		}
		if got := p.read(t, "call-gaps"); got != tt.want {
			t.Errorf("%s: category %d, want %d", name, got, tt.want)
		}
	}
	lookalikes(t, "call-gaps", []int{1}, math.Log(1.3), "call-centre", "m2m-test-farm")
}

func TestCallGapsNeedOneChannel(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	for i := range 40 {
		p.call(true, func(c *sip.Call) { c.CalleeKey = uint64(i + 1) })
		p.now -= 65 * second // the next begins before this one is over
	}
	if got := p.read(t, "call-gaps"); got == 1 {
		t.Error("read on a line of many channels")
	}
}
