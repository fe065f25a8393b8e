package heuristics

import (
	"slices"
	"strings"
	"testing"

	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/sip"
)

// call plays a whole verified call of a minute without media. edit sets what
// the case is about.
func (p *play) call(inbound bool, edit func(*sip.Call)) {
	p.id++
	t := p.now
	c := &sip.Call{ID: p.id, Caller: sip.Party{Addr: p.far, Port: 5060}, Callee: sip.Party{Addr: p.line.Addr, Port: 5060},
		Invite: t, Ringing: t + second, Answer: t + 5*second, Last: t + 5*second, Seen: sip.SeenRequest | sip.SeenResponse, Verified: true}
	if !inbound {
		c.Caller, c.Callee = c.Callee, c.Caller
	}
	edit(c)
	p.l.Packet(p.line, true, t, 63)
	p.l.Call(p.line, inbound, c, sip.CallStarted)
	p.l.Call(p.line, inbound, c, sip.CallVerified)
	c.End, c.Last = t+60*second, t+60*second
	p.l.Call(p.line, inbound, c, sip.CallEnded)
	p.now = t + 80*second
}

// register has the line's accounts accepted by the far end.
func (p *play) register(keys ...uint64) {
	for _, k := range keys {
		p.l.Registration(p.line, &sip.Registration{AccountKey: k, UserKey: k, ContactKey: k, Accepted: 1, First: p.now, Last: p.now, Seen: sip.SeenRequest | sip.SeenResponse,
			Client: sip.Party{Addr: p.line.Addr, Port: 5060}, Registrar: sip.Party{Addr: p.far}})
	}
}

// counts gives what an urn has counted once everything has settled.
func (p *play) counts(t testing.TB, id string) []uint32 {
	t.Helper()
	p.finding(t)
	q := p.l.table[p.line]
	if q == nil || q.evidence == nil {
		return nil
	}
	return slices.Clone(p.l.model.counts(q.evidence, p.l.model.index(id)))
}

// read gives a static value, none while unread.
func (p *play) read(t testing.TB, id string) int {
	t.Helper()
	p.finding(t)
	m := p.l.model
	return int(p.l.table[p.line].evidence.Static[m.signals[m.index(id)].first]) - 1
}

// sighting gives how long was looked, and whether the trait was seen.
func (p *play) sighting(t testing.TB, id string) (exposure int64, seen bool) {
	t.Helper()
	p.finding(t)
	m := p.l.model
	at := m.signals[m.index(id)].first
	e := p.l.table[p.line].evidence
	if e == nil {
		return 0, false
	}
	return e.Exposure[at], e.Sighted[at]
}

// told gives the detail of a signal in the ledger, empty when it has no row.
func (p *play) told(t testing.TB, id string) string {
	t.Helper()
	for _, r := range p.finding(t).Signals {
		if r.ID == id {
			return r.Detail
		}
	}
	return ""
}

// nats is what a signal alone adds to the margin of a box type's mixture
// against a class, from counts.
func nats(t testing.TB, class, id string, counts []int) float64 {
	t.Helper()
	m := testModel(t)
	s := m.Score(evidence(t, m, map[string][]int{id: counts}))
	return s.Against(m, class) + m.c
}

// lookalikes holds that a signal never speaks for a box by more than most
// against the classes that it does not separate.
func lookalikes(t *testing.T, id string, counts []int, most float64, classes ...string) {
	t.Helper()
	for _, k := range classes {
		if got := nats(t, k, id, counts); got > most {
			t.Errorf("%v of %s speak for a box against %s with %.2f nats, at most %.2f is honest", counts, id, k, got, most)
		}
	}
}

// Every signal has code, a row, words for a reader, and a table for each class.
func TestSignalsAreWhole(t *testing.T) {
	l := testLines(t, Config{})
	for i, s := range l.signals {
		c := l.model.signals[l.place[i]]
		if s.detail == nil || s.unseen == nil {
			t.Errorf("%s says nothing", s.id)
		}
		switch c.Kind {
		case catalogue.Static:
			if s.static == nil {
				t.Errorf("%s is static and never read", s.id)
			}
		case catalogue.Sighting:
			if s.seen == nil {
				t.Errorf("%s is a sighting and never seen", s.id)
			}
		case catalogue.Urn:
			if s.static != nil || s.seen != nil {
				t.Errorf("%s is an urn and read once", s.id)
			}
		}
		if !strings.Contains(c.Source, "prior") && !strings.Contains(c.Source, "gateways") {
			t.Errorf("%s: %q names no source", s.id, c.Source)
		}
	}
}

// What is kept of a line's counts stays under the limit of VERDICT 2, whatever
// the number of classes.
func TestEvidenceIsSmall(t *testing.T) {
	m := testModel(t)
	e := m.NewEvidence()
	size := 4*24 + 4*cap(e.Urns) + cap(e.Static) + 8*cap(e.Exposure) + cap(e.Sighted)
	t.Logf("%d bytes for %d signals", size, len(m.signals))
	if size >= 512 {
		t.Errorf("%d bytes of counts per line, want under 512", size)
	}
}

// number makes a called number that has a block.
func number(s string) ident.Number { return ident.NewNumber([]byte(s)) }
