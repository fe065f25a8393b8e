package heuristics

import (
	"fmt"
	"strings"
	"testing"

	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

func testLines(t testing.TB, c Config) *Lines {
	t.Helper()
	l, err := NewLines(testModel(t), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func home(t testing.TB) *ident.Homes {
	t.Helper()
	h, err := ident.ParseHomes([]string{"203.0.113.0/24"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func addr(s string) ident.Addr {
	a, ok := ident.ParseAddr([]byte(s))
	if !ok {
		panic("bad address " + s)
	}
	return a
}

// play is a small actor that makes calls on a line, as the tracker would tell
// of them.
type play struct {
	sealed bool // calls without signalling end with an exchange under TLS
	l      *Lines
	line   ident.Line
	far    ident.Addr
	id     uint64
	now    int64
}

func newPlay(l *Lines) *play {
	return &play{l: l, line: ident.Line{Addr: addr("203.0.113.7")}, far: addr("198.51.100.9"), now: 1e18}
}

type callOptions struct {
	unverified, downOnly, upOnly, noMedia bool
	callee                                uint64
	class                                 ident.NumberClass
}

// inbound plays a whole inbound call of 60 s and goes on 20 s later.
func (p *play) inbound(o callOptions) {
	p.id++
	t := p.now
	c := &sip.Call{ID: p.id, Caller: sip.Party{Addr: p.far, Port: 5060}, Callee: sip.Party{Addr: p.line.Addr, Port: 5060},
		Invite: t, CalleeKey: o.callee, CalleeClass: o.class, Last: t, Seen: sip.SeenRequest}
	if !o.upOnly {
		p.l.Packet(p.line, false, t, 50)
	} else {
		c.Seen = 0
	}
	p.l.Call(p.line, true, c, sip.CallStarted)
	if !o.downOnly {
		c.Seen |= sip.SeenResponse
		p.l.Packet(p.line, true, t+5*second, 63)
		c.Progress, c.Last = t+5*second, t+5*second
		p.l.Call(p.line, true, c, sip.CallRinging)
		c.Answer, c.Last = t+10*second, t+10*second
		p.l.Call(p.line, true, c, sip.CallAnswered)
	}
	if !o.unverified && !o.downOnly && !o.upOnly {
		c.Verified = true
		p.l.Call(p.line, true, c, sip.CallVerified)
	}
	s := &rtp.Stream{ID: p.id, Flow: rtp.Flow{Src: p.line.Addr, Dst: p.far}, Start: t + 10*second, End: t + 14*second, Readable: true, Call: p.id}
	if !o.noMedia && !o.downOnly {
		p.l.Stream(p.line, true, s, false)
	}
	c.End, c.Last = t+60*second, t+60*second
	p.l.Call(p.line, true, c, sip.CallEnded)
	if !o.noMedia && !o.downOnly {
		s.End = t + 60*second
		p.l.Stream(p.line, true, s, true)
	}
	p.now = t + 80*second
}

func (p *play) finding(t testing.TB) Finding {
	t.Helper()
	for _, f := range p.l.Findings(true, None) {
		if f.Line == p.line {
			return f
		}
	}
	return Finding{Line: p.line}
}

func mobiles(p *play, n int, o callOptions) {
	for i := range n {
		o.callee, o.class = uint64(1000+i), ident.NumberMobile
		p.inbound(o)
	}
}

func TestTerminatingLineIsWatched(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 30, callOptions{})
	f := p.finding(t)
	if f.Verdict < Watch {
		t.Errorf("verdict %v, S %.1f M %.1f %s", f.Verdict, f.Score, f.Margin, f.Nearest)
	}
	if f.Calls.DistinctCalled != 30 || f.Calls.Inbound != 30 || f.Calls.Verified != 30 {
		t.Errorf("calls %+v", f.Calls)
	}
}

// What a stranger says about a line, or sends to it, moves nothing.
func TestStrangersMoveNothing(t *testing.T) {
	for name, o := range map[string]callOptions{
		"answers to forged INVITEs that nobody acknowledged": {unverified: true},
		"only the direction towards the line":                {downOnly: true},
	} {
		p := newPlay(testLines(t, Config{Homes: home(t)}))
		mobiles(p, 60, o)
		f := p.finding(t)
		if f.Verdict != None || f.Calls.Verified != 0 || f.Calls.DistinctCalled != 0 {
			t.Errorf("%s: verdict %v S %.1f M %.1f, %+v", name, f.Verdict, f.Score, f.Margin, f.Calls)
		}
		for _, r := range f.Signals {
			if r.ID == "inbound-fanout" || r.ID == "inbound-share" {
				t.Errorf("%s: %s counted", name, r.ID)
			}
		}
	}
}

func TestUpstreamAloneCounts(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 30, callOptions{upOnly: true})
	if f := p.finding(t); f.Calls.DistinctCalled != 30 {
		t.Errorf("calls %+v", f.Calls)
	}
}

func TestNoVoiceNoVerdict(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 60, callOptions{noMedia: true})
	f := p.finding(t)
	if f.Verdict != None {
		t.Errorf("verdict %v without a voice stream", f.Verdict)
	}
	if !strings.Contains(strings.Join(f.Unseen, "\n"), "voice stream") {
		t.Errorf("unseen does not say that media is missing: %q", f.Unseen)
	}
}

func TestOwnAccountsExonerate(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	for i := range 24 {
		p.l.Registration(p.line, &sip.Registration{AccountKey: uint64(i + 1), UserKey: uint64(5000 + i), ContactKey: uint64(i + 1),
			Client: sip.Party{Addr: p.line.Addr, Port: 5060}, Registrar: sip.Party{Addr: p.far}, Accepted: 1, Seen: sip.SeenRequest | sip.SeenResponse, First: p.now, Last: p.now})
	}
	for i := range 60 {
		p.inbound(callOptions{callee: uint64(5000 + i%24), class: ident.NumberMobile})
	}
	f := p.finding(t)
	if f.Verdict != None {
		t.Errorf("verdict %v, S %.1f M %.1f %s", f.Verdict, f.Score, f.Margin, f.Nearest)
	}
}

// Forged addresses cannot push out a line with evidence, and cost bounded room.
func TestFloodKeepsEvidence(t *testing.T) {
	l := testLines(t, Config{Homes: home(t), MaxLines: 100})
	p := newPlay(l)
	mobiles(p, 5, callOptions{})
	for i := range 10_000 {
		l.Packet(ident.Line{Addr: addr(fmt.Sprintf("10.0.%d.%d", i>>8&255, i&255))}, false, p.now+int64(i), 64)
	}
	if n := l.Lines(); n > 100 {
		t.Errorf("%d lines", n)
	}
	if f := p.finding(t); f.Calls.Verified != 5 {
		t.Errorf("evidence lost: %+v", f.Calls)
	}
	if c := l.Counters(); c.EvictedYoung == 0 || c.EvictedKept != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestEpochOpensFreshCounts(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 30, callOptions{})
	p.now += 29 * 24 * 60 * minute
	p.inbound(callOptions{callee: 1, class: ident.NumberLandline})
	fs := p.l.Findings(true, None)
	if len(fs) != 2 || fs[0].Verdict < Watch || fs[0].Calls.DistinctCalled != 30 || fs[1].Verdict != None || fs[1].Calls.DistinctCalled != 1 {
		t.Errorf("want the old epoch's finding and a fresh one: %+v", fs)
	}
}

// A line dropped for room leaves its finding behind.
func TestEvictionKeepsFindings(t *testing.T) {
	l := testLines(t, Config{Homes: home(t), MaxLines: 2})
	first := newPlay(l)
	mobiles(first, 30, callOptions{})
	for i := range 3 {
		p := newPlay(l)
		p.id, p.now = uint64(1000*(i+1)), first.now+int64(i)*3600*second
		p.line.Addr = addr(fmt.Sprintf("203.0.113.%d", 100+i))
		mobiles(p, 2, callOptions{})
	}
	for _, f := range l.Findings(true, None) {
		if f.Line == first.line && f.Verdict >= Watch {
			return
		}
	}
	t.Error("the finding of a line dropped for room is lost")
}

// Nobody but the two ends can make calls count on a tap that shows both
// directions, even by sending in the line's name.
func TestForgedAnswersCountNothing(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	l.TwoWay()
	p := newPlay(l)
	mobiles(p, 30, callOptions{upOnly: true})
	if f := p.finding(t); f.Verdict != None || byCalls(f) {
		t.Errorf("verdict %v, %+v", f.Verdict, f.Signals)
	}
}

// What an earlier one-way look let pass is taken back when the tap turns out to
// show both directions.
func TestOneWayIsProvisional(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	mobiles(p, 1, callOptions{upOnly: true})
	l.TwoWay()
	mobiles(p, 1, callOptions{upOnly: true})
	if f := p.finding(t); f.Calls.Verified != 0 || byCalls(f) {
		t.Errorf("%+v", f.Signals)
	}
}

// Calls that have not ended, or whose onward leg has not, do not count one-sided.
func TestOpenCallsOfAnSBC(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	for i := range 40 {
		at := p.now + int64(i)*2*second
		for _, inbound := range []bool{true, false} {
			p.id++
			c := &sip.Call{ID: p.id, Invite: at, Progress: at + 4*second, Answer: at + 8*second, Last: at + 8*second, Verified: true, Seen: 3,
				CalleeKey: uint64(1000 + i), CalleeClass: ident.NumberMobile, Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}}
			if !inbound {
				c.Caller, c.Callee = c.Callee, c.Caller
			}
			l.Call(p.line, inbound, c, sip.CallStarted)
			l.Call(p.line, inbound, c, sip.CallVerified)
			l.Stream(p.line, true, &rtp.Stream{ID: p.id, Call: p.id, Start: c.Answer, End: c.Answer}, false)
		}
	}
	if f := p.finding(t); f.Verdict != None {
		t.Errorf("verdict %v, S %.1f M %.1f: %+v", f.Verdict, f.Score, f.Margin, f.Signals)
	}
}

// The eight calls of a watch are calls that count, not calls that have begun.
func TestThreeSettledCallsAreNotEight(t *testing.T) {
	l := testLines(t, Config{Homes: home(t)})
	p := newPlay(l)
	mobiles(p, 3, callOptions{})
	p.now += 2 * minute
	for i := range 5 {
		p.id++
		c := &sip.Call{ID: p.id, Invite: p.now, Progress: p.now, Answer: p.now, Last: p.now, Verified: true, Seen: 3, CalleeKey: uint64(50 + i),
			CalleeClass: ident.NumberMobile, Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}}
		l.Call(p.line, true, c, sip.CallStarted)
		l.Call(p.line, true, c, sip.CallVerified)
		p.now += second
	}
	for line, q := range l.table {
		l.judge(q, false)
		if q.standing() != None || q.counted != 3 {
			t.Errorf("%v: %v after %d calls", line, q.standing(), q.counted)
		}
	}
}

// A watch goes when what came since speaks against it; the finding keeps how
// high the score once was.
func TestWatchLapses(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 30, callOptions{})
	if f := p.finding(t); f.Verdict < Watch {
		t.Fatalf("verdict %v", f.Verdict)
	}
	for range 300 {
		p.inbound(callOptions{callee: 7, class: ident.NumberLandline})
	}
	f := p.finding(t)
	if f.Verdict != None || f.PeakScore <= f.Score {
		t.Errorf("verdict %v, S %.1f, highest %.1f", f.Verdict, f.Score, f.PeakScore)
	}
}

// Without home prefixes the network's side is told by what it does.
func TestFarEndIsNoLine(t *testing.T) {
	l := testLines(t, Config{})
	p := newPlay(l)
	mobiles(p, 30, callOptions{})
	server := ident.Line{Addr: p.far}
	// The same calls as the far end sees them, farther from the tap.
	for i := range 30 {
		t := p.now + int64(i)*second
		l.Packet(server, true, t, 50)
		c := &sip.Call{ID: uint64(9000 + i), Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}, Invite: t, Last: t, Seen: 3, Verified: true, Answer: t, CalleeKey: uint64(i)}
		l.Call(server, false, c, sip.CallVerified)
	}
	for _, f := range l.Findings(true, None) {
		if f.Line == server {
			t.Errorf("the far end is judged as a line")
		}
	}
	if f := p.finding(t); f.Verdict < Watch {
		t.Errorf("the line itself is not judged")
	}
}

// byCalls says whether a finding has a signal that rests on calls.
func byCalls(f Finding) bool {
	for _, r := range f.Signals {
		if r.Family != "control" {
			return true
		}
	}
	return false
}
