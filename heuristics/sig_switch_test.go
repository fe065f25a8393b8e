package heuristics

import (
	"testing"

	"simtrap/sip"
)

func TestSoftswitchPeer(t *testing.T) {
	for name, tt := range map[string]struct {
		agent func(i int) string
		want  int
	}{
		"VOS3000":                     {func(int) string { return "VOS3000 V2.1.8.05" }, 0},
		"another switch":              {func(int) string { return "kamailio (5.6.2)" }, 1},
		"a few strangers among many":  {func(i int) string { return [...]string{"VOS3000 V2.1.8.05", "PBX", "PBX"}[i%3] }, 1},
		"a far end that names nobody": {func(int) string { return "" }, none},
		"a name that only begins so":  {func(int) string { return "VOS3000-like" }, 1},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		for i := range 12 {
			p.call(true, func(c *sip.Call) { c.UserAgent = [2]string{tt.agent(i), "VOS3000 V2.1.8.05"} })
		}
		if got := p.read(t, "softswitch-peer"); got != tt.want {
			t.Errorf("%s: category %d, want %d", name, got, tt.want)
		}
	}
	lookalikes(t, "softswitch-peer", []int{0}, 0.05, "carrier-sbc")
	lookalikes(t, "softswitch-peer", []int{0}, 0.35, "pstn-breakout", "call-centre")
	lookalikes(t, "softswitch-peer", []int{0}, 0.8, "home", "office-phones", "anchored-pbx", "hosted-pbx")
}
