package heuristics

import (
	"strings"
	"testing"

	"simtrap/ident"
	"simtrap/rtp"
)

// metered plays calls with voice on a line, and beside them what a meter tells
// of it and of a neighbour every ten seconds.
func metered(p *play, minutes int, own, other Household) {
	neighbour := ident.Line{Addr: addr("203.0.113.200")}
	for range minutes {
		p.inbound(callOptions{callee: p.id + 1})
		s := &rtp.Stream{ID: 1000 + p.id, Call: p.id, Flow: rtp.Flow{Src: p.far, Dst: p.line.Addr}, Start: p.now - 60*second, End: p.now, Bytes: 500_000}
		p.l.Stream(p.line, false, s, false)
		p.l.Stream(p.line, false, s, true)
		o, h := other, own
		h.Up += 20_000
		h.Down += 500_000
		p.l.Household(p.line, &h, p.now)
		p.l.Household(neighbour, &o, p.now)
	}
}

func TestDarkHousehold(t *testing.T) {
	web := Household{Down: 100_000, Web: 100_000}
	few, some, many := Household{}, Household{}, Household{}
	for i := range uint64(60) {
		h := (i + 1) * 0x9e3779b97f4a7c15
		if i < 2 {
			few.SeeName(h)
		}
		if i < 8 {
			some.SeeName(h)
		}
		many.SeeName(h)
	}
	bulk := Household{Down: 3 << 20}
	for name, tt := range map[string]struct {
		own, other Household
		minutes    int
		want       int
	}{
		"voice and nothing else":           {few, web, 40, darkVoice},
		"much that is neither":             {bulk, web, 40, darkOther},
		"some names":                       {some, web, 40, faintVoice},
		"many names":                       {many, web, 40, litHousehold},
		"much web":                         {web, web, 40, litHousehold},
		"nobody's web was ever shown":      {few, Household{Down: 50_000}, 40, none},
		"seen for too short a while":       {few, web, 10, none},
		"its own web shows that one could": {web, Household{}, 40, litHousehold},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		metered(p, tt.minutes, tt.own, tt.other)
		if got := p.read(t, "dark-household"); got != tt.want {
			t.Errorf("%s: category %d, want %d: %s", name, got, tt.want, p.told(t, "dark-household"))
		}
		if unseen := strings.Join(p.finding(t).Unseen, "\n"); tt.want == none && !strings.Contains(unseen, "lives behind") {
			t.Errorf("%s: not told that it was not visible: %s", name, unseen)
		}
	}
}

// Accesses for voice alone are honest: dark says little against whoever has
// them.
func TestDarkHouseholdOfTheHonest(t *testing.T) {
	lookalikes(t, "dark-household", []int{darkVoice}, 0.3, "fxs-adapter", "anchored-pbx", "call-centre", "carrier-sbc", "pstn-breakout", "hacked-pbx")
	lookalikes(t, "dark-household", []int{darkVoice}, 0.9, "home", "hosted-pbx", "office-phones")
	for _, k := range []string{"home", "office-phones", "hosted-pbx", "vpn-office"} {
		if got := nats(t, k, "dark-household", []int{litHousehold}); got > -0.3 {
			t.Errorf("a lived-in line: %.2f nats against %s", got, k)
		}
	}
}

// Nothing is kept of lines that nothing else is known of.
func TestQuietHouseholdsAreForgotten(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	l.Household(ident.Line{Addr: addr("203.0.113.9")}, &Household{Down: 1 << 20, Web: 1 << 20}, 1e18)
	if l.Lines() != 0 {
		t.Error("a household without telephony has a profile")
	}
	if l.tap.web == 0 {
		t.Error("that the tap shows the web is not known")
	}
}
