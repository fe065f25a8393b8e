package heuristics

import (
	"testing"

	"simtrap/ident"
)

// tenancy is a feed that knows one thing of every line.
type tenancy struct {
	since int64
	known bool
}

func (t tenancy) Since(ident.Line, int64) (int64, bool) { return t.since, t.known }

func TestLineAge(t *testing.T) {
	const day = 24 * 60 * minute
	for name, tt := range map[string]struct {
		feed Tenancies
		want int
	}{
		"no feed":                        {nil, none},
		"a feed that does not know":      {tenancy{}, none},
		"voice on the first day":         {tenancy{1e18 - 2*60*minute, true}, 0},
		"voice in the second week":       {tenancy{1e18 - 9*day, true}, 1},
		"an old line":                    {tenancy{1e18 - 400*day, true}, 2},
		"a feed whose clock runs before": {tenancy{1e18 + day, true}, none},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t), Tenancy: tt.feed}))
		mobiles(p, 10, callOptions{})
		if got := p.read(t, "line-age"); got != tt.want {
			t.Errorf("%s: category %d, want %d", name, got, tt.want)
		}
	}
	lookalikes(t, "line-age", []int{0}, 0.6, "home", "office-phones", "anchored-pbx", "call-centre", "pstn-breakout")
}
