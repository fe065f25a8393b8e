package heuristics

import (
	"strings"
	"testing"

	"simtrap/ident"
)

// atlas knows a few addresses.
type atlas map[ident.Addr]Place

func (a atlas) Of(x ident.Addr) Place { return a[x] }

func TestControllerPlace(t *testing.T) {
	far := newPlay(testLines(t, Config{})).far
	for name, tt := range map[string]struct {
		places Places
		want   int
		told   string
	}{
		"no list":             {nil, none, ""},
		"a list without it":   {atlas{}, none, ""},
		"in the country":      {atlas{far: {Known: true, Country: "CN"}}, placeHome, "is in the country"},
		"a server for hire":   {atlas{far: {Known: true, Hosting: true}}, placeHire, "among servers for hire"},
		"abroad":              {atlas{far: {Known: true, Country: "VN", Foreign: true}}, placeAbroad, "is abroad (VN)"},
		"for hire and abroad": {atlas{far: {Known: true, Country: "US", Foreign: true, Hosting: true}}, placeHireAbroad, "is abroad (US), among servers for hire"},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t), Places: tt.places}))
		mobiles(p, 8, callOptions{})
		if got := p.read(t, "controller-place"); got != tt.want {
			t.Errorf("%s: category %d, want %d", name, got, tt.want)
		}
		if told := p.told(t, "controller-place"); !strings.HasSuffix(told, tt.told) {
			t.Errorf("%s: told as %q", name, told)
		}
	}
	// Head offices, apps and carriers are abroad as well.
	lookalikes(t, "controller-place", []int{placeAbroad}, 0.3, "mobile-dialler", "carrier-sbc", "vpn-office", "pstn-breakout")
	lookalikes(t, "controller-place", []int{placeHireAbroad}, 0.7, "mobile-dialler", "carrier-sbc")
	lookalikes(t, "controller-place", []int{placeHireAbroad}, 1.3, "pstn-breakout") // it is among what separates (VERDICT 7)
	if got := nats(t, "home", "controller-place", []int{placeHome}); got > -1 {
		t.Errorf("a controller in the country: %.2f nats against home", got)
	}
}
