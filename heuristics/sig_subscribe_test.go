package heuristics

import (
	"testing"

	"simtrap/sip"
)

func (p *play) request(up bool, edit func(*sip.Request)) {
	q := &sip.Request{From: sip.Party{Addr: p.line.Addr}, To: sip.Party{Addr: p.far}, Status: 200, Seen: sip.SeenRequest | sip.SeenResponse, Time: p.now}
	if !up {
		q.From, q.To = q.To, q.From
	}
	edit(q)
	p.l.Packet(p.line, true, p.now, 63)
	p.l.Packet(p.line, false, p.now, 50)
	p.l.Request(p.line, up, q)
	p.now += second
}

func TestSubscriptions(t *testing.T) {
	for name, tt := range map[string]struct {
		up   bool
		edit func(*sip.Request)
		want bool
	}{
		"busy lamps":                 {true, func(q *sip.Request) { q.Method, q.Package = sip.SUBSCRIBE, sip.PackageDialog }, true},
		"a mailbox":                  {true, func(q *sip.Request) { q.Method, q.Package, q.Status = sip.SUBSCRIBE, sip.PackageSummary, 202 }, true},
		"presence":                   {true, func(q *sip.Request) { q.Method, q.Package = sip.SUBSCRIBE, sip.PackagePresence }, true},
		"refused":                    {true, func(q *sip.Request) { q.Method, q.Package, q.Status = sip.SUBSCRIBE, sip.PackageDialog, 489 }, false},
		"challenged":                 {true, func(q *sip.Request) { q.Method, q.Package, q.Status = sip.SUBSCRIBE, sip.PackageDialog, 401 }, false},
		"its own registrations":      {true, func(q *sip.Request) { q.Method, q.Package = sip.SUBSCRIBE, sip.PackageReg }, false},
		"asked of the line":          {false, func(q *sip.Request) { q.Method, q.Package = sip.SUBSCRIBE, sip.PackageDialog }, false},
		"an answer nobody asked for": {true, func(q *sip.Request) { q.Method, q.Package, q.Seen = sip.SUBSCRIBE, sip.PackageDialog, sip.SeenResponse }, false},
		"another request":            {true, func(q *sip.Request) { q.Method, q.Package = sip.PUBLISH, sip.PackageDialog }, false},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		p.register(1)
		p.request(tt.up, tt.edit)
		if _, seen := p.sighting(t, "subscriptions"); seen != tt.want {
			t.Errorf("%s: seen %v", name, seen)
		}
	}
}

// Where only what the line sends is visible, its asking will do: it exonerates.
func TestSubscriptionsOneWay(t *testing.T) {
	ask := func(q *sip.Request) {
		q.Method, q.Package, q.Status, q.Seen = sip.SUBSCRIBE, sip.PackageDialog, 0, sip.SeenRequest
	}
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 1, callOptions{upOnly: true})
	p.request(true, ask)
	if _, seen := p.sighting(t, "subscriptions"); !seen {
		t.Error("not seen one way")
	}
	p = newPlay(testLines(t, Config{Homes: home(t)}))
	p.l.TwoWay()
	p.register(1)
	p.request(true, ask)
	if _, seen := p.sighting(t, "subscriptions"); seen {
		t.Error("seen without an answer, on a tap that shows both directions")
	}
}

// That nobody subscribes counts only for lines that have done something of
// their own, and little.
func TestNoSubscriptions(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	for range 10 {
		p.l.Packet(p.line, true, p.now, 63)
		p.now += minute
	}
	p.l.keep(p.l.table[p.line])
	if exposure, _ := p.sighting(t, "subscriptions"); exposure != 0 {
		t.Errorf("looked for %d s at a line that anybody may have forged", exposure/second)
	}
	lookalikes(t, "subscriptions", []int{3600, 0}, 0.3, "home", "anchored-pbx", "call-centre", "fxs-adapter", "carrier-sbc", "pstn-breakout")
	for _, k := range []string{"office-phones", "hosted-pbx", "home"} {
		if got := nats(t, k, "subscriptions", []int{600, 1}); got > -1 {
			t.Errorf("a subscription: %.2f nats against %s", got, k)
		}
	}
}
