package heuristics

import (
	"errors"
	"slices"

	"simtrap/ident"
	"simtrap/sip"
)

// CallRecord is one call of a line, as call records are matched with.
type CallRecord struct {
	Line       ident.Line
	EpochStart int64 // as of the line's finding
	Inbound    bool
	// Start, Answered and End are ns since the Unix epoch; the last two 0 when
	// nobody saw them.
	Start, Answered, End int64
	Calling, Called      ident.Number
	Account              ident.Account // zero unless the line has one alone
	Controller           ident.Addr
	Verified             bool
	Began                bool // Start is when it was asked for; else what was seen first
}

// maxCalling bounds the calls of which is kept who calls, until they are over.
const maxCalling = 1 << 16

// begun notes who calls, which is told at the beginning alone, for a call whose record may be asked
// for.
func (l *Lines) begun(p *profile, key uint64) {
	if l.config.Calls == nil || p.standing() < Watch {
		return
	}
	who := l.config.Caller()
	if who.IsZero() {
		return
	}
	if l.calling == nil {
		l.calling = make(map[uint64]ident.Number)
	}
	// Those of lines that were dropped are never over.
	if len(l.calling) >= maxCalling {
		clear(l.calling)
	}
	l.calling[key] = who
}

func (l *Lines) callRecord(p *profile, o *openCall, c *sip.Call) *CallRecord {
	key := callKey(c.ID, o.inbound)
	r := &CallRecord{Line: p.line, EpochStart: l.epochStart(p), Inbound: o.inbound, Answered: c.Answer, End: c.End,
		Calling: l.calling[key], Called: c.CalledUser, Controller: c.Callee.Addr, Verified: c.Verified, Began: c.Invite != 0}
	for _, t := range [...]int64{c.Invite, c.Trying, c.Ringing, c.Progress, c.Answer, c.End, c.Last} {
		if r.Start = t; t != 0 {
			break
		}
	}
	if o.inbound {
		r.Controller = c.Caller.Addr
	}
	if len(p.accounts) == 1 {
		for _, a := range p.accounts {
			r.Account = a.account
		}
	}
	return r
}

// epochStart names the epoch of a line's evidence. Where a feed tells of the
// tenancy it counts whole epochs from its beginning, so that a program that begins
// without what it knew gives it the same name.
func (l *Lines) epochStart(p *profile) int64 {
	if p.tenant == nil || p.tenantSince == 0 || p.epoch < p.tenantSince {
		return p.epoch
	}
	return p.tenantSince + (p.epoch-p.tenantSince)/l.config.Epoch*l.config.Epoch
}

// telling completes a finding that is about to be told.
func (l *Lines) telling(p *profile, f *Finding) {
	f.Told, f.Before = max(l.now, p.told.at+1), p.told.verdict
	if l.config.Standings && max(f.Verdict, f.Before) >= Watch {
		f.Standings = l.standings(p)
	}
}

// standings gives the margin against every modelled class, and what each family
// contributes to it.
func (l *Lines) standings(p *profile) []Standing {
	m := l.model
	w := l.weigh(p)
	all := w.score(m.everything)
	out := make([]Standing, len(m.classes)-1) // the last is not modelled
	for k := range out {
		out[k] = Standing{Class: m.classes[k].name, Margin: all.against[k]}
	}
	for f, name := range m.families {
		if !slices.ContainsFunc(m.signals, func(s compiled) bool { return s.family == f && w.likely[m.index(s.ID)] != nil }) {
			continue
		}
		less := w.score(func(i int) bool { return m.signals[i].family == f })
		for k := range out {
			out[k].Families = append(out[k].Families, FamilyNats{name, all.against[k] - less.against[k]})
		}
	}
	return out
}

// ControllerVerdict is what the centre says of a controller, from lines that
// others have seen.
type ControllerVerdict struct {
	Controller ident.Addr
	Line       ident.Line // that alone is meant; zero for all
	Nats       float64    // what is beyond 0 to 3 is not counted
	Ring       string
	Expires    int64 // packet time, ns since the Unix epoch
}

// MostHub is how much the centre may add to a line at the most, nats.
const MostHub = 3

// maxHub bounds the verdicts on controllers.
const maxHub = 1 << 17

// ErrMany says that there were more verdicts than are kept.
var ErrMany = errors.New("more verdicts on controllers than are kept")

// Hub takes what the centre says of controllers, in the place of what it said
// before.
func (l *Lines) Hub(list []ControllerVerdict) error {
	var err error
	if len(list) > maxHub {
		list, err = list[:maxHub], ErrMany
	}
	old := l.tap.hub
	l.tap.hub = make(map[ident.Addr][]ControllerVerdict, len(list))
	for _, v := range list {
		l.tap.hub[v.Controller] = append(l.tap.hub[v.Controller], v)
	}
	// Whoever may stand otherwise by it is looked at anew.
	for p := l.kept.root.next; p != &l.kept.root; p = p.next {
		for i := range p.peers {
			if a := p.peers[i].addr; len(old[a])+len(l.tap.hub[a]) > 0 {
				l.touch(p)
				break
			}
		}
	}
	return err
}

// hub gives what the centre adds to the line: the most that one of its
// controllers does. What is said of the line alone takes the place of what is
// said of all.
func (p *profile) hub(now int64) (h Hub) {
	if len(p.tap.hub) == 0 {
		return h
	}
	for i := range p.peers {
		var own, all *ControllerVerdict
		list := p.tap.hub[p.peers[i].addr]
		for i := range list {
			switch v := &list[i]; {
			case v.Expires <= now:
			case v.Line == p.line:
				own = v
			case v.Line == ident.Line{}:
				all = v
			}
		}
		if own == nil {
			own = all
		}
		if own == nil {
			continue
		}
		n := min(own.Nats, MostHub)
		if n > h.Nats || n == h.Nats && n > 0 && own.Ring < h.Ring {
			h.Nats, h.Ring = n, own.Ring
		}
	}
	if h.Nats <= 0 || !p.enough() {
		return h
	}
	// What is asked of the line's own score is asked here too: no more than watch
	// for tunnels alone, and the margin of lines of which voice alone is seen.
	v := None
	switch s, m := p.score.S+h.Nats, p.score.M+h.Nats; {
	case s >= reviewScore && m >= reviewMargin && p.enoughSeen():
		v = Review
	case s >= watchScore && m >= p.watchMargin():
		v = Watch
	}
	if v > p.standing() {
		h.Verdict = v
	}
	return h
}

func (p *profile) hubVerdict(now int64) Verdict { return p.hub(now).Verdict }
