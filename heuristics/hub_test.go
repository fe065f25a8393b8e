package heuristics

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"testing"

	"simtrap/heuristics/catalogue"
	"simtrap/ident"
)

// changed gives what Changed tells of a play's line now.
func (p *play) changed() (out []Finding) {
	p.l.Changed(p.now, func(f *Finding) bool { out = append(out, *f); return true })
	return out
}

// What the centre says of a controller raises a line to watch or review at most,
// for as long as it holds, and is in nothing else of the finding.
func TestHubRaises(t *testing.T) {
	l := testLines(t, Config{Homes: home(t), Standings: true})
	l.FollowChanges()
	p := newPlay(l)
	var last Finding
	for i := range 200 {
		p.inbound(callOptions{callee: uint64(i + 1), class: ident.NumberMobile})
		if last = p.finding(t); last.Verdict == Watch && last.Score >= 8 {
			break
		}
	}
	if last.Verdict != Watch {
		t.Fatalf("no line at watch to begin with: %v, score %v, margin %v", last.Verdict, last.Score, last.Margin)
	}
	p.changed()
	verdict := func(nats float64, expires int64) []ControllerVerdict {
		return []ControllerVerdict{{Controller: p.far, Nats: nats, Ring: "r", Expires: expires}}
	}
	later := p.now + 3600*second
	want := Watch
	if last.Score+3 >= reviewScore && last.Margin+3 >= reviewMargin {
		want = Review
	}
	if want != Review {
		t.Fatalf("score %v and margin %v: three nats raise nothing", last.Score, last.Margin)
	}
	for _, c := range []struct {
		name string
		list []ControllerVerdict
		nats float64
		want Verdict
	}{
		{"nothing", nil, 0, None},
		{"three nats", verdict(3, later), 3, Review},
		{"more than three", verdict(50, later), 3, Review},
		{"too little", verdict(0.001, later), 0.001, None},
		{"over", verdict(3, p.now), 0, None},
		{"another controller", []ControllerVerdict{{Controller: addr("192.0.2.1"), Nats: 3, Expires: later}}, 0, None},
		{"another line", []ControllerVerdict{{Controller: p.far, Line: ident.Line{Addr: addr("192.0.2.1")}, Nats: 3, Expires: later}}, 0, None},
		{"this line's own is less", append(verdict(3, later), ControllerVerdict{Controller: p.far, Line: p.line, Nats: 0, Expires: later}), 0, None},
		{"this line's own is more", append(verdict(0, later), ControllerVerdict{Controller: p.far, Line: p.line, Nats: 2.9, Expires: later}), 2.9, Review},
		{"no number", verdict(math.NaN(), later), 0, None},
	} {
		if err := l.Hub(c.list); err != nil {
			t.Fatal(err)
		}
		f := p.finding(t)
		if f.Hub.Nats != c.nats || f.Hub.Verdict != c.want {
			t.Errorf("%s: %+v, want %v nats and %v", c.name, f.Hub, c.nats, c.want)
		}
		f.Hub = Hub{}
		if !reflect.DeepEqual(f, last) {
			t.Errorf("%s: something else of the finding changed: %+v, before %+v", c.name, f, last)
		}
	}
	// A change is told, its end too.
	p.changed()
	if err := l.Hub(verdict(3, later)); err != nil {
		t.Fatal(err)
	}
	if list := p.changed(); len(list) != 1 || list[0].Hub.Verdict != Review || list[0].Verdict != Watch || list[0].Before != Watch {
		t.Errorf("told %+v", list)
	}
	if err := l.Hub(nil); err != nil {
		t.Fatal(err)
	}
	if list := p.changed(); len(list) != 1 || list[0].Hub != (Hub{}) {
		t.Errorf("told %+v", list)
	}
	if err := l.Hub(make([]ControllerVerdict, maxHub+1)); !errors.Is(err, ErrMany) {
		t.Errorf("too many: %v", err)
	}
}

// What is told of one line has rising times, and the standings of a finding fit
// its margins.
func TestTold(t *testing.T) {
	l := testLines(t, Config{Homes: home(t), Standings: true})
	l.FollowChanges()
	p := newPlay(l)
	at, n := int64(0), 0
	for i := range 60 {
		p.inbound(callOptions{callee: uint64(i + 1), class: ident.NumberMobile})
		for _, f := range p.changed() {
			n++
			if f.Told <= at {
				t.Errorf("told at %d after %d", f.Told, at)
			}
			at = f.Told
			if len(f.Standings) != len(l.model.classes)-1 {
				t.Fatalf("%d standings", len(f.Standings))
			}
			for _, s := range f.Standings {
				if s.Class == f.Nearest && s.Margin != f.Margin || s.Margin < f.Margin || s.Class == "home" && s.Margin != f.AgainstHome || s.Class == catalogue.Unknown {
					t.Errorf("%s: %v; margin %v", s.Class, s.Margin, f.Margin)
				}
			}
		}
	}
	if n == 0 {
		t.Fatal("nothing was told")
	}
	// Twice in one moment.
	q := l.table[p.line]
	for range 2 {
		l.tell(q, func(f *Finding) bool {
			if f.Told <= at {
				t.Errorf("told at %d after %d", f.Told, at)
			}
			at = f.Told
			return true
		})
	}
}

// Calls are told when they are over, of lines at watch or above alone.
func TestCallRecords(t *testing.T) {
	var list []CallRecord
	var p *play
	l := testLines(t, Config{Homes: home(t), Calls: func(r *CallRecord) { list = append(list, *r) },
		Caller: func() ident.Number { return ident.NewNumber(fmt.Append(nil, 20_000_000+p.id)) }})
	p = newPlay(l)
	for i := range 100 {
		before := len(list)
		standing := l.table[p.line] != nil && l.table[p.line].standing() >= Watch
		begin := p.now
		p.inbound(callOptions{callee: uint64(i + 1), class: ident.NumberMobile})
		if len(list) == before {
			if standing {
				t.Fatalf("call %d of a line at watch is not told", i)
			}
			continue
		}
		r := list[len(list)-1]
		if !r.Inbound || r.Line != p.line || r.Start != begin || !r.Began || r.Answered != begin+10*second || r.End <= r.Answered || r.Controller != p.far || standing && r.Calling != ident.NewNumber(fmt.Append(nil, 20_000_001+i)) || !r.Verified || r.EpochStart != l.table[p.line].epoch {
			t.Errorf("%+v", r)
		}
	}
	if n := len(l.calling); n > 0 {
		t.Errorf("who calls is kept of %d calls that are over", n)
	}
	if len(list) == 0 || len(list) > 95 {
		t.Errorf("%d calls told", len(list))
	}
}

// Far ends are told with each call through them.
func TestFarEnds(t *testing.T) {
	calls := 0
	l := testLines(t, Config{Homes: home(t), Far: func(line ident.Line, far ident.Addr, role string, _ uint64, call bool, at int64) {
		if line != (ident.Line{Addr: addr("203.0.113.7")}) || far != addr("198.51.100.9") || at == 0 {
			t.Errorf("%v %v", line, far)
		}
		if call != (role == "trunk-peer") {
			t.Errorf("%s: call %v", role, call)
		}
		if call {
			calls++
		}
	}})
	p := newPlay(l)
	for i := range 5 {
		p.inbound(callOptions{callee: uint64(i + 1)})
	}
	if calls != 5 {
		t.Errorf("%d calls, want 5", calls)
	}
}

// The epoch of a tenancy has a name that does not depend on when one began to
// look.
func TestEpochStart(t *testing.T) {
	const day = 24 * 60 * minute
	start := func(from, now int64) int64 {
		l := testLines(t, Config{Homes: home(t)})
		prefix := netip.MustParsePrefix("203.0.113.7/32")
		l.Tenancy(0, prefix, 1e18, Tenant{Subscriber: ident.NewSubscriber([]byte("who")), Session: 1})
		p := newPlay(l)
		for p.now = from; p.now < now; p.now += 20 * day {
			p.inbound(callOptions{callee: 1})
		}
		p.now = now
		p.inbound(callOptions{callee: 1})
		return p.finding(t).EpochStart
	}
	if a, b := start(1e18+day, 1e18+3*day), start(1e18+2*day, 1e18+3*day); a != 1e18 || b != a {
		t.Errorf("%d and %d, want the tenancy's beginning", a, b)
	}
	// Anew in the second epoch.
	if a := start(1e18+30*day, 1e18+31*day); a != 1e18+28*day {
		t.Errorf("%d, want %d", a, int64(1e18+28*day))
	}
}

// Tables of the same shape are taken while lines are followed, others are not.
func TestRetable(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	l.FollowChanges()
	p := newPlay(l)
	for i := range 20 {
		p.inbound(callOptions{callee: uint64(i + 1), class: ident.NumberMobile})
	}
	before := p.finding(t)
	cat := *l.model.cat
	cat.Hash, cat.Version = "another", 99
	cat.Epsilon.Default /= 2
	same, err := NewModel(&cat)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Retable(same); err != nil {
		t.Fatal(err)
	}
	if f := p.finding(t); f.Score == before.Score || f.Calls != before.Calls || l.Catalogue() != 99 {
		t.Errorf("score %v as before, calls %v", f.Score, f.Calls)
	}
	other := cat
	other.Classes = append([]catalogue.Class(nil), cat.Classes...)
	other.Classes[0].Name = "elsewhere"
	m, err := NewModel(&other)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Retable(m); !errors.Is(err, ErrShape) || l.Catalogue() != 99 {
		t.Errorf("other classes: %v", err)
	}
}

// TestHubAsksTheMargin: what the centre adds raises a line of which voice alone is
// seen to watch when the margin is that of such lines, ln 10, and one of which
// tunnels alone are seen never to review.
func TestHubAsksTheMargin(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(*profile)
		margin float64
		want   Verdict
	}{
		{"calls that are read", func(p *profile) { p.accepted, p.voices = watchCalls, watchFlows }, 0.1, Watch},
		{"voice alone, short of the margin", func(p *profile) { p.traits.talked.calls = watchCalls }, 2.2, None},
		{"voice alone", func(p *profile) { p.traits.talked.calls = watchCalls }, 2.4, Watch},
		{"a tunnel, short of the margin", func(p *profile) { p.tunnel = tunnelled{windows: watchFlows, talk: watchTunnelTalk} }, 2.2, None},
		{"a tunnel", func(p *profile) { p.tunnel = tunnelled{windows: watchFlows, talk: watchTunnelTalk} }, 2.4, Watch},
		{"a tunnel that has all else of a review", func(p *profile) { p.tunnel = tunnelled{windows: watchFlows, talk: watchTunnelTalk} }, 9, Watch},
		{"voice that has all of a review", func(p *profile) { p.traits.talked.calls = watchCalls }, 9, Review},
	} {
		far := addr("198.51.100.9")
		p := &profile{tap: &tap{hub: map[ident.Addr][]ControllerVerdict{far: {{Controller: far, Nats: MostHub, Expires: 10}}}}, traits: &traits{}}
		p.saw(far, roleMedia)
		tt.set(p)
		p.score.S, p.score.M = reviewScore, tt.margin-MostHub
		if got := p.hub(1).Verdict; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
