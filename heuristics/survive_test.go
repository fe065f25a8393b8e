package heuristics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

// Whatever order events come in, over whatever time, nothing breaks: epochs end
// in the middle of calls, lines are dropped for room, accounts come and go.
func TestLinesSurviveAnyOrder(t *testing.T) {
	for seed := range uint64(40) {
		// Without home prefixes some of these lines are taken for servers.
		r := rand.New(rand.NewPCG(seed, 99))
		l := testLines(t, Config{MaxLines: 8, Epoch: 3600 * second, Tenancy: tenancy{1e18, true}})
		now := int64(1e18)
		var calls []*sip.Call
		lines := make([]ident.Line, 6)
		for i := range lines {
			lines[i] = ident.Line{Addr: addr(fmt.Sprintf("203.0.113.%d", 10+i))}
		}
		far := func() ident.Addr { return addr(fmt.Sprintf("198.51.100.%d", 1+r.IntN(4))) }
		for range 3000 {
			now += int64(r.ExpFloat64() * float64(5*second))
			if r.IntN(400) == 0 {
				now += 4000 * second
			}
			line := lines[r.IntN(len(lines))]
			switch r.IntN(9) {
			case 0, 1, 2:
				var c *sip.Call
				if len(calls) > 0 && r.IntN(3) > 0 {
					c = calls[r.IntN(len(calls))]
				} else {
					c = &sip.Call{ID: uint64(len(calls) + 1), Invite: now, Caller: sip.Party{Addr: far()}, Callee: sip.Party{Addr: line.Addr}, CalleeKey: r.Uint64N(20), CallerKey: r.Uint64N(20),
						CalleeClass: ident.NumberClass(r.IntN(8)), CallerClass: ident.NumberClass(r.IntN(8)), CalledUser: number(fmt.Sprint(r.Uint64N(1e11))), CalleeShape: r.Uint64N(4), Seen: sip.Seen(r.IntN(4)), Verified: r.IntN(2) == 0}
					calls = append(calls, c)
				}
				ev := sip.CallEvent(1 + r.IntN(6))
				if r.IntN(2) == 0 {
					c.Answer, c.Ringing, c.Holds = now, now, uint16(r.IntN(2))
				}
				c.Last = now
				l.Call(line, r.IntN(2) == 0, c, ev)
			case 3:
				l.Registration(line, &sip.Registration{AccountKey: r.Uint64N(6), UserKey: r.Uint64N(6), Accepted: 1, Last: now, Interval: r.Int64N(100 * second), Removed: r.IntN(6) == 0, Seen: sip.Seen(r.IntN(4)),
					Client: sip.Party{Addr: line.Addr}, Registrar: sip.Party{Addr: far()}})
			case 4:
				l.Request(line, r.IntN(2) == 0, &sip.Request{Method: []sip.Method{sip.MESSAGE, sip.SUBSCRIBE, sip.OPTIONS}[r.IntN(3)], From: sip.Party{Addr: far()}, To: sip.Party{Addr: far()}, Status: uint16(200 * r.IntN(3)), Time: now,
					Seen: sip.Seen(r.IntN(4)), Package: sip.EventPackage(r.IntN(8)), Content: sip.Content(r.IntN(6)), TargetKey: r.Uint64N(30), TargetClass: ident.NumberClass(r.IntN(8))})
			case 5:
				s := &rtp.Stream{ID: r.Uint64N(50), Call: r.Uint64N(uint64(len(calls) + 1)), Flow: rtp.Flow{Src: line.Addr, Dst: far()}, Start: now, End: now + r.Int64N(60*second), Bytes: r.Uint64N(1e6), PPM: r.NormFloat64(), PPMError: 1, ClockOK: r.IntN(2) == 0}
				l.Stream(line, r.IntN(2) == 0, s, r.IntN(2) == 0)
			case 6:
				l.Household(line, &Household{Up: r.Uint64N(1e6), Down: r.Uint64N(1e6), Web: r.Uint64N(1e6)}, now)
			case 7:
				l.Packet(line, r.IntN(2) == 0, now, 60)
			case 8:
				if r.IntN(10) == 0 {
					l.Control(line, &control.Evidence{Protocol: control.GoIPSMS, Role: control.RoleGateway, Owner: line.Addr, Peer: far(), First: now, Last: now, Sound: 3, Answered: 3, Changes: r.IntN(2), Seen: control.Tally{Channels: 2, IMSIs: 2}}, now)
				}
			}
		}
		for _, f := range l.Findings(true, None) {
			if math.IsNaN(f.Score) || math.IsNaN(f.Margin) || math.IsInf(f.Score, 0) {
				t.Errorf("seed %d: S %v M %v", seed, f.Score, f.Margin)
			}
			for _, row := range f.Signals {
				if math.IsNaN(row.Nats) || row.Detail == "" {
					t.Errorf("seed %d: %+v", seed, row)
				}
			}
		}
	}
}

// A call that began in one epoch and ends in the next breaks nothing, and the
// next begins with counts of its own.
func TestCallOverTheEndOfAnEpoch(t *testing.T) {
	p := newPlay(testLines(t, Config{Homes: home(t)}))
	mobiles(p, 30, callOptions{})
	c := &sip.Call{ID: 9999, Invite: p.now, Ringing: p.now, Answer: p.now, Last: p.now, Verified: true, Seen: 3, CalleeKey: 77, Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}}
	p.l.Call(p.line, true, c, sip.CallStarted)
	p.l.Call(p.line, true, c, sip.CallVerified)
	c.Last += 29 * 24 * 60 * minute
	c.End = c.Last
	p.l.Call(p.line, true, c, sip.CallEnded)
	fs := p.l.Findings(true, None)
	if len(fs) != 2 || fs[0].Verdict < Watch || fs[1].Verdict != None {
		t.Errorf("%d findings: %+v", len(fs), fs)
	}
}

// The network's side is not judged at the end of an epoch; its calls go on too.
func TestServerOverTheEndOfAnEpoch(t *testing.T) {
	p := newPlay(testLines(t, Config{}))
	p.l.Registrar(p.line, p.now)
	c := &sip.Call{ID: 1, Invite: p.now, Answer: p.now, Last: p.now, Verified: true, Seen: 3, Caller: sip.Party{Addr: p.far}, Callee: sip.Party{Addr: p.line.Addr}}
	p.l.Call(p.line, true, c, sip.CallStarted)
	p.l.Call(p.line, true, c, sip.CallVerified)
	c.Last += 29 * 24 * 60 * minute
	p.l.Packet(p.line, true, c.Last, 60)
	p.l.Call(p.line, true, c, sip.CallEnded)
	for _, f := range p.l.Findings(true, None) {
		if f.Line == p.line {
			t.Error("a server has a finding")
		}
	}
}
