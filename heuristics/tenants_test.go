package heuristics

import (
	"net/netip"
	"testing"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

func subscriber(s string) ident.Subscriber { return ident.NewSubscriber([]byte(s)) }

var tenantPrefix = netip.MustParsePrefix("203.0.113.7/32")

// findingsOf gives the findings of a line, by whom they name.
func findingsOf(l *Lines, line ident.Line) map[ident.Subscriber]Finding {
	out := make(map[ident.Subscriber]Finding)
	for _, f := range l.Findings(true, None) {
		if f.Line == line {
			out[f.Subscriber] = f
		}
	}
	return out
}

// What one tenant did is told of that tenant and of nobody else.
func TestEvidenceStaysWithItsTenant(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	l.Tenancy(0, tenantPrefix, p.now-1, Tenant{subscriber("box"), 1})
	mobiles(p, 30, callOptions{})
	l.Tenancy(0, tenantPrefix, p.now, Tenant{subscriber("family"), 2})
	p.inbound(callOptions{callee: 1, class: ident.NumberMobile})
	got := findingsOf(l, p.line)
	box, family := got[subscriber("box")], got[subscriber("family")]
	if len(got) != 2 || box.Verdict < Watch || box.Calls.Inbound != 30 {
		t.Errorf("%d findings; box: %v, %+v", len(got), box.Verdict, box.Calls)
	}
	if family.Verdict != None || family.Calls.Inbound != 1 || family.Calls.DistinctCalled != 1 || family.First < box.Last-80*second {
		t.Errorf("family: %v, %+v", family.Verdict, family.Calls)
	}
}

// Before the first session and after the last the line is nobody's.
func TestEvidenceOutsideSessionsIsNobodys(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	mobiles(p, 30, callOptions{})
	l.Tenancy(0, tenantPrefix, p.now, Tenant{subscriber("family"), 1})
	p.inbound(callOptions{callee: 1})
	l.TenancyEnds(0, tenantPrefix, p.now, Tenant{subscriber("family"), 1})
	if got := findingsOf(l, p.line); len(got) != 2 || got[subscriber("family")].Calls.Inbound != 1 || got[ident.Subscriber{}].Calls.Inbound != 30 {
		t.Errorf("%+v", got)
	}
	p.inbound(callOptions{callee: 2})
	got := l.Findings(true, None)
	for _, f := range got {
		if f.Subscriber == subscriber("family") {
			t.Errorf("a family is told of that has no evidence of note, after its session: %+v", f.Calls)
		}
	}
}

// The same subscriber goes on, over gaps and new sessions; an end that belongs
// to another session is none.
func TestSameSubscriberGoesOn(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	a := subscriber("a")
	l.Tenancy(0, tenantPrefix, p.now, Tenant{a, 1})
	mobiles(p, 10, callOptions{})
	l.TenancyEnds(0, tenantPrefix, p.now, Tenant{a, 1})
	l.Tenancy(0, tenantPrefix, p.now+second, Tenant{a, 2})
	p.now += 2 * second
	mobiles(p, 10, callOptions{})
	l.Tenancy(0, tenantPrefix, p.now, Tenant{a, 2}) // an interim update
	l.TenancyEnds(0, tenantPrefix, p.now, Tenant{a, 1})
	mobiles(p, 10, callOptions{})
	if got := findingsOf(l, p.line); len(got) != 1 || got[a].Calls.Inbound != 30 {
		t.Errorf("%+v", got)
	}
	// Sessions that nobody is named for are told apart by their names alone.
	l = testLines(t, Config{Homes: home(t)})
	p = newPlay(l)
	for _, session := range []uint64{1, 1, 2} {
		l.Tenancy(0, tenantPrefix, p.now, Tenant{Session: session})
		mobiles(p, 10, callOptions{})
	}
	if f := p.finding(t); f.Calls.Inbound != 10 {
		t.Errorf("%+v", f.Calls)
	}
}

// A call and a stream that began before the line changed hands count to nobody
// after it.
func TestCallOverTheChangeOfHands(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	at := p.now
	c := &sip.Call{ID: 1, Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}, Invite: at, Last: at, Seen: 3, CalleeKey: 9}
	l.Packet(p.line, true, at, 63)
	l.Call(p.line, true, c, sip.CallStarted)
	l.Tenancy(0, tenantPrefix, at+second, Tenant{subscriber("b"), 1})
	c.Verified, c.Answer, c.Last = true, at+2*second, at+2*second
	l.Call(p.line, true, c, sip.CallAnswered)
	s := &rtp.Stream{ID: 1, Flow: rtp.Flow{Src: p.line.Addr, Dst: p.far}, Start: at + second/2, End: at + 5*second, Readable: true, Call: 1}
	l.Stream(p.line, true, s, false)
	l.Stream(p.line, true, s, true)
	c.End, c.Last = at+9*second, at+9*second
	l.Call(p.line, true, c, sip.CallEnded)
	for _, f := range l.Findings(true, None) {
		if f.Subscriber == subscriber("b") && (f.Calls.Inbound != 0 || f.Calls.Streams != 0) {
			t.Errorf("%+v", f.Calls)
		}
	}
}

// A tap that shows only what the line sends sees no INVITE of its inbound calls.
func TestCallSeenByItsAnswers(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	at := p.now
	l.Tenancy(0, tenantPrefix, at, Tenant{subscriber("b"), 1})
	c := &sip.Call{ID: 1, Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}, Ringing: at + second, Last: at + second, Seen: sip.SeenResponse, CalleeKey: 9}
	l.Call(p.line, true, c, sip.CallStarted)
	c.Answer, c.Last = at+2*second, at+2*second
	l.Call(p.line, true, c, sip.CallAnswered)
	c.Last = at + 9*second
	l.Call(p.line, true, c, sip.CallEnded)
	if f := findingsOf(l, p.line)[subscriber("b")]; f.Calls.Inbound != 1 || f.Calls.Answered != 1 {
		t.Errorf("%+v", f.Calls)
	}
}

// What one tenant's telephone asks for speaks for no other.
func TestRequestOfTheNextTenant(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	l.Tenancy(0, tenantPrefix, p.now-1, Tenant{subscriber("box"), 1})
	mobiles(p, 5, callOptions{})
	l.Tenancy(0, tenantPrefix, p.now, Tenant{subscriber("family"), 2})
	old := *l.table[p.line]
	l.Request(p.line, true, &sip.Request{Method: sip.SUBSCRIBE, Package: sip.PackageSummary, Status: 200, Seen: sip.SeenRequest | sip.SeenResponse,
		From: sip.Party{Addr: p.line.Addr}, To: sip.Party{Addr: p.far}, Time: p.now + second})
	if old.traits.subscribed != 0 || l.table[p.line].traits.subscribed == 0 {
		t.Errorf("subscribed: %d before, %d after the line changed hands", old.traits.subscribed, l.table[p.line].traits.subscribed)
	}
}

// What a gateway's protocol told goes to whoever had the line.
func TestControlStaysWithItsTenant(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	line := ident.Line{Addr: addr("203.0.113.7")}
	e := &control.Evidence{Owner: line.Addr, Protocol: control.GoIPSMS, Peer: addr("198.51.100.9"), First: 1e18, Last: 1e18, Sound: 5, Answered: 5}
	l.Tenancy(0, tenantPrefix, 1e18, Tenant{subscriber("box"), 1})
	l.Control(line, e, 1e18)
	l.Tenancy(0, tenantPrefix, 2e18, Tenant{subscriber("family"), 2})
	l.HandOver(line, 2e18) // before the evidence changes
	if e.Sound != 0 {
		t.Errorf("the next tenant begins with %d records", e.Sound)
	}
	e.First, e.Last, e.Sound, e.Answered, e.OneWay = 2e18, 2e18, 1, 0, false
	l.Control(line, e, 2e18)
	for _, f := range l.Findings(true, None) {
		if f.Subscriber == subscriber("family") && (f.Verdict != None || len(f.Controllers) > 0) {
			t.Errorf("%+v", f)
		}
	}
}

// A session is no subscription, and a change of hands tells of the one before:
// calls soon after a session began say nothing, those on a line long held by the
// same do, also when it is judged because another takes it.
func TestAgeOfSessions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		since int64 // before the first call
		want  string
	}{
		{"a session of an hour ago", 60 * minute, ""},
		{"thirteen days", settled - 24*60*minute, ""},
		{"thirty days", 30 * 24 * 60 * minute, "calls began 30 days after the line came into these hands"},
	} {
		l := testLines(t, Config{Homes: home(t)})
		p := newPlay(l)
		l.Tenancy(0, tenantPrefix, p.now-tt.since, Tenant{subscriber("box"), 1})
		mobiles(p, 30, callOptions{})
		l.TenancyEnds(0, tenantPrefix, p.now, Tenant{subscriber("box"), 1})
		l.Tenancy(0, tenantPrefix, p.now+second, Tenant{subscriber("family"), 2})
		p.now += 2 * second
		p.inbound(callOptions{callee: 1, class: ident.NumberMobile})
		said := ""
		for _, r := range findingsOf(l, p.line)[subscriber("box")].Signals {
			if r.ID == "line-age" {
				said = r.Detail
			}
		}
		if said != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, said, tt.want)
		}
	}
}

// Evidence outlives a profile that made room; the next tenant has none of it.
func TestControlOfAnEvictedTenant(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	line := ident.Line{Addr: addr("203.0.113.7")}
	e := &control.Evidence{Owner: line.Addr, Protocol: control.GoIPSMS, Role: control.RoleGateway, Peer: addr("198.51.100.9"), First: 1e18, Last: 1e18, Sound: 5, Answered: 5,
		AnsweredFirst: 1e18, AnsweredLast: 1e18 + 2*minute, Verified: control.Tally{Channels: 4}}
	l.Tenancy(0, tenantPrefix, 1e18, Tenant{subscriber("box"), 1})
	l.Control(line, e, 1e18)
	l.drop(l.table[line])
	l.Tenancy(0, tenantPrefix, 2e18, Tenant{subscriber("family"), 2})
	l.HandOver(line, 2e18)
	e.Sound, e.Last = e.Sound+1, 2e18
	l.Control(line, e, 2e18)
	if f := findingsOf(l, line)[subscriber("family")]; f.Verdict != None || f.Proof || e.Sound != 0 {
		t.Errorf("%v, proof %v, %d records", f.Verdict, f.Proof, e.Sound)
	}
	e.First, e.Last, e.Sound, e.Answered = 2e18+second, 2e18+second, 1, 1
	l.Control(line, e, 2e18+second)
	if l.table[line].firstControl() != 2e18+second {
		t.Error("the next tenant's own record does not count")
	}
}

// A delegated prefix stands for all lines in it, a longer one goes before it.
func TestTenantOfPrefix(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	l.Tenancy(0, netip.MustParsePrefix("2001:db8:1::/56"), 10, Tenant{subscriber("a"), 1})
	l.Tenancy(0, netip.MustParsePrefix("2001:db8:1:5::/64"), 20, Tenant{subscriber("b"), 1})
	line := func(s string) ident.Line {
		var h *ident.Homes
		return h.LineOf(addr(s), 0)
	}
	for s, want := range map[string]int64{"2001:db8:1::1": 10, "2001:db8:1:5::1": 20, "2001:db8:1:ff::1": 10, "2001:db8:1:100::1": 0} {
		since, ok := l.Since(line(s), 100+settled)
		if since != want || ok != (want != 0) {
			t.Errorf("%s: since %d, %v; want %d", s, since, ok, want)
		}
	}
	other := line("2001:db8:1::1")
	other.Realm = 3
	if _, ok := l.Since(other, 100+settled); ok {
		t.Error("another realm has that tenant too")
	}
}

func TestTenantsAreBounded(t *testing.T) {
	const limit = 1000
	l := testLines(t, Config{Homes: home(t)})
	if l.tenants.limit != maxTenants {
		t.Fatalf("limit %d", l.tenants.limit)
	}
	l.tenants.limit = limit
	for i := range 3*limit/2 + 10 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		l.Tenancy(0, netip.PrefixFrom(a, 32), int64(i), Tenant{Session: uint64(i + 1)})
	}
	if l.tenants.n != limit || l.Counters().TenantsForgotten != limit/2+10 {
		t.Errorf("%d tenants, %d forgotten", l.tenants.n, l.Counters().TenantsForgotten)
	}
	// One address that changes hands for ever has no room of its own.
	for i := range 5 * limit {
		l.Tenancy(0, tenantPrefix, int64(i), Tenant{Session: uint64(i + 1)})
	}
	if l.tenants.n != limit || len(l.tenants.queue) > 2*limit {
		t.Errorf("%d tenants, a queue of %d", l.tenants.n, len(l.tenants.queue))
	}
}
