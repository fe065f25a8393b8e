package heuristics

import (
	"testing"

	"simtrap/sip"
)

// refreshes plays registrations: each account every minute, but for the times
// at which skip says that it is away.
func refreshes(p *play, accounts int, minutes int, skip func(account, minute int) bool) {
	for m := range minutes {
		for a := range accounts {
			if skip(a, m) {
				continue
			}
			at := p.now + int64(m)*minute + int64(a)*second
			p.l.Registration(p.line, &sip.Registration{AccountKey: uint64(a + 1), UserKey: uint64(a + 1), Accepted: 1, Last: at, Interval: minute, Seen: sip.SeenRequest | sip.SeenResponse,
				Client: sip.Party{Addr: p.line.Addr}, Registrar: sip.Party{Addr: p.far}})
		}
	}
	p.now += int64(minutes) * minute
}

func TestChannelOutages(t *testing.T) {
	for name, tt := range map[string]struct {
		accounts int
		skip     func(account, minute int) bool
		want     bool
	}{
		"one account away for three minutes": {4, func(a, m int) bool { return a == 2 && m >= 8 && m < 11 }, true},
		"nobody away":                        {4, func(int, int) bool { return false }, false},
		"the whole line away":                {4, func(_, m int) bool { return m >= 8 && m < 11 }, false},
		"one away for an hour":               {4, func(a, m int) bool { return a == 2 && m >= 8 && m < 70 }, false},
		"one of two away":                    {2, func(a, m int) bool { return a == 1 && m >= 8 && m < 11 }, false},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		refreshes(p, tt.accounts, 80, tt.skip)
		if _, seen := p.sighting(t, "channel-outages"); seen != tt.want {
			t.Errorf("%s: seen %v", name, seen)
		}
	}
}

// An account that is taken away and comes back has been away as well.
func TestOutageByRemoval(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	refreshes(p, 4, 5, func(int, int) bool { return false })
	r := &sip.Registration{AccountKey: 2, UserKey: 2, Accepted: 1, Last: p.now - minute, Time: p.now, Removed: true, Seen: sip.SeenRequest | sip.SeenResponse, Client: sip.Party{Addr: p.line.Addr}, Registrar: sip.Party{Addr: p.far}}
	p.l.Registration(p.line, r)
	refreshes(p, 4, 5, func(a, m int) bool { return a == 1 && m < 2 })
	if _, seen := p.sighting(t, "channel-outages"); !seen {
		t.Error("not seen")
	}
}

// One that is taken away and back at once was not away, however long ago it was
// refreshed before: telephones that start again do so.
func TestRemovalAtOnce(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	for range 5 {
		p.register(1, 2, 3, 4)
		p.now += minute
	}
	r := &sip.Registration{AccountKey: 2, UserKey: 2, Accepted: 1, Last: p.now - minute, Time: p.now - 10*second, Removed: true, Seen: sip.SeenRequest | sip.SeenResponse, Client: sip.Party{Addr: p.line.Addr}, Registrar: sip.Party{Addr: p.far}}
	p.l.Registration(p.line, r)
	for range 5 {
		p.register(1, 3, 4, 2)
		p.now += minute
	}
	if _, seen := p.sighting(t, "channel-outages"); seen {
		t.Error("seen")
	}
}

// Refreshed every half hour, an account's absence of minutes cannot be seen,
// and that it was not seen counts for nothing.
func TestOutagesNeedQuickRefreshes(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	for range 6 {
		p.register(1, 2, 3, 4)
		p.now += 30 * minute
	}
	if exposure, seen := p.sighting(t, "channel-outages"); exposure != 0 || seen {
		t.Errorf("looked for %d s, seen %v", exposure/second, seen)
	}
	// Telephones are started again now and then.
	lookalikes(t, "channel-outages", []int{900, 1}, 0.9, "office-phones", "hosted-pbx", "vpn-office", "call-centre")
}
