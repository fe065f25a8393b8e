package heuristics

import (
	"testing"

	"simtrap/sip"
)

func TestRoundTheClock(t *testing.T) {
	for name, tt := range map[string]struct {
		hours int // of the day with calls
		days  int
		want  int
	}{
		"an office":                  {10, 4, 0},
		"all day and night":          {24, 4, 2},
		"two days are not enough":    {24, 2, none},
		"little at night, much else": {20, 5, 1},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		start := p.now
		for d := range tt.days {
			for h := range tt.hours {
				for k := range 3 {
					p.now = start + int64(d*24+h)*60*minute + int64(k)*10*minute
					p.call(true, func(c *sip.Call) { c.CalleeKey = uint64(h) })
				}
			}
		}
		if got := p.read(t, "round-the-clock"); got != tt.want {
			t.Errorf("%s: category %d, want %d; %d %% in the quietest hours", name, got, tt.want, p.l.table[p.line].traits.night())
		}
	}
	lookalikes(t, "round-the-clock", []int{2}, 0.3, "carrier-sbc", "m2m-test-farm", "hacked-pbx", "call-centre")
}
