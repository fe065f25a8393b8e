package heuristics

import (
	"fmt"
	"slices"

	"simtrap/control"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

// Config of Lines. Zero values mean the defaults.
type Config struct {
	Homes    *ident.Homes // tell which end of a call is the subscriber's; may be nil
	MaxLines int          // lines with a profile, 200,000
	Epoch    int64        // ns after which a line's counts are opened afresh, 28 days
}

// Lines is the table of all lines and what is known of them. It is fed by one
// goroutine, in order of packet time.
type Lines struct {
	model   *Model
	signals []signal
	place   []int // of each signal in the model
	byID    map[string]int
	config  Config
	table   map[ident.Line]*profile
	// Two lists by interest, least recent first: lines that only strangers
	// spoke of, and lines with evidence of their own. The first is evicted
	// first, so that a flood of forged addresses costs no evidence.
	young, kept list
	now         int64
	tap         *tap
	counters    Counters
}

// Counters of Lines.
type Counters struct {
	Lines        uint64 // profiles opened
	EvictedYoung uint64 // profiles without evidence dropped for room
	EvictedKept  uint64 // profiles with evidence dropped for room
	CallsDropped uint64 // calls not followed: too many open on one line
	Unsupported  uint64 // calls that only one end vouches for
}

// NewLines makes an empty table. It fails when code and catalogue do not name
// the same signals.
func NewLines(m *Model, c Config) (*Lines, error) {
	if c.MaxLines == 0 {
		c.MaxLines = 200_000
	}
	if c.Epoch == 0 {
		c.Epoch = 28 * 24 * 60 * minute
	}
	l := &Lines{model: m, signals: signals(), byID: make(map[string]int), config: c, table: make(map[ident.Line]*profile), tap: &tap{}}
	for i, s := range l.signals {
		at := m.index(s.id)
		if at < 0 {
			return nil, fmt.Errorf("signal %s has no row in the catalogue", s.id)
		}
		l.place = append(l.place, at)
		l.byID[s.id] = i
	}
	for i := range m.signals {
		if _, ok := l.byID[m.signals[i].ID]; !ok {
			return nil, fmt.Errorf("catalogue: no code for signal %s", m.signals[i].ID)
		}
	}
	l.young.init()
	l.kept.init()
	return l, nil
}

// Counters gives what was opened and lost so far.
func (l *Lines) Counters() Counters { return l.counters }

// profile finds or opens a line's profile and marks it as interesting.
func (l *Lines) profile(line ident.Line, t int64) *profile {
	l.now = max(l.now, t)
	p := l.table[line]
	if p == nil {
		if len(l.table) >= l.config.MaxLines {
			l.evict()
		}
		p = &profile{line: line, tap: l.tap, first: t, epoch: t, evidence: l.model.NewEvidence()}
		l.table[line] = p
		l.young.push(p)
		l.counters.Lines++
	} else {
		if t-p.epoch >= l.config.Epoch {
			l.reopen(p, t)
		}
		l.list(p).remove(p)
		l.list(p).push(p)
	}
	p.last = max(p.last, t)
	return p
}

// reopen starts a new epoch: fresh counts, and a verdict to be earned anew.
func (l *Lines) reopen(p *profile, t int64) {
	fresh := profile{line: p.line, tap: l.tap, first: p.first, epoch: t, last: p.last, evidence: l.model.NewEvidence(),
		prev: p.prev, next: p.next, kept: p.kept, open: p.open, up: p.up, peakUp: p.up,
		accounts: p.accounts, registrar: p.registrar, userAgent: p.userAgent, vendorKind: p.vendorKind, vendor: p.vendor, model: p.model}
	*p = fresh
}

func (l *Lines) list(p *profile) *list {
	if p.kept {
		return &l.kept
	}
	return &l.young
}

func (l *Lines) keep(p *profile) {
	if !p.kept {
		l.young.remove(p)
		p.kept = true
		l.kept.push(p)
	}
}

func (l *Lines) evict() {
	p := l.young.oldest()
	if p != nil {
		l.counters.EvictedYoung++
	} else if p = l.kept.oldest(); p != nil {
		l.counters.EvictedKept++
	} else {
		return
	}
	l.list(p).remove(p)
	delete(l.table, p.line)
}

func (l *Lines) count(p *profile, id string, category int) {
	if category >= 0 {
		l.apply(p, mark{int16(l.place[l.byID[id]]), int16(category)})
	}
}

func (l *Lines) apply(p *profile, m mark) {
	l.model.Count(p.evidence, int(m.signal), int(m.category))
	p.dirty = true
}

// ask collects what one signal counts of a call.
func (l *Lines) ask(o *openCall, i, category int) {
	if category >= 0 && len(o.marks) < cap(o.marks) {
		o.marks = append(o.marks, mark{int16(l.place[i]), int16(category)})
	}
}

// Packet notes one packet of signalling or control between a line and its far
// end: which directions are visible. up is set when the line sent it.
// ttl is the packet's time to live.
func (l *Lines) Packet(line ident.Line, up bool, t int64, ttl uint8) {
	p := l.profile(line, t)
	if up {
		if h := hops(ttl); p.sipUp == 0 || h < p.hops {
			p.hops = h
		}
		p.sipUp++
		if p.firstUp == 0 {
			p.firstUp = t
		}
	} else {
		p.sipDown++
	}
}

// hops is how far away a packet came from, by the usual first values of the
// time to live.
func hops(ttl uint8) uint8 {
	for _, first := range [...]uint8{32, 64, 128} {
		if ttl <= first {
			return first - ttl
		}
	}
	return 255 - ttl
}

// Call follows a call of the line. inbound is set when the line is the callee.
func (l *Lines) Call(line ident.Line, inbound bool, c *sip.Call, ev sip.CallEvent) {
	t := max(c.Last, c.Invite)
	p := l.profile(line, t)
	o := p.open[c.ID]
	if o == nil {
		if ev == sip.CallEnded && c.Cause == 0 && c.Answer == 0 {
			return
		}
		if len(p.open) >= maxOpen {
			l.counters.CallsDropped++
			return
		}
		o = &openCall{inbound: inbound}
		o.marks = o.room[:0]
		if p.open == nil {
			p.open = make(map[uint64]*openCall)
		}
		p.open[c.ID] = o
		if inbound {
			p.attemptsIn++
		} else {
			p.attemptsOut++
		}
	}
	if c.Midway {
		// Who called is not known; the call only takes up a channel.
		if !o.up && ev != sip.CallEnded && c.Seen == sip.SeenRequest|sip.SeenResponse {
			o.up = true
			p.up++
		}
		if ev == sip.CallEnded {
			delete(p.open, c.ID)
			if o.up {
				p.up--
			}
		}
		return
	}
	l.tap.twoWay = l.tap.twoWay || c.Seen == sip.SeenRequest|sip.SeenResponse
	if !o.counted && (ev == sip.CallVerified || ev == sip.CallAnswered || ev == sip.CallEnded) && supported(c, inbound) {
		// A verified call counts once its outcome is known; one that still
		// rings waits.
		if c.Answer != 0 || c.Cause >= 300 || ev == sip.CallEnded {
			l.counted(p, o, c)
		}
	}
	if ev == sip.CallEnded {
		l.ended(p, o, c)
	}
	l.judgeIfDue(p)
}

// counted adds a supported call to every signal that counts calls.
func (l *Lines) counted(p *profile, o *openCall, c *sip.Call) {
	o.counted = true
	l.keep(p)
	f := &callFact{Call: c, inbound: o.inbound, others: p.up, early: o.early}
	if p.counted == 0 {
		p.firstCounted = c.Last
	}
	p.counted++
	p.lastCounted = c.Last
	if c.Verified {
		p.verified++
	}
	if o.inbound {
		p.inboundCounts++
		p.saw(c.Caller.Addr, roleTrunkPeer)
	} else {
		p.saw(c.Callee.Addr, roleTrunkPeer)
	}
	accepted := c.Answer != 0 || c.Ringing != 0 || c.Progress != 0
	for i := range l.signals {
		s := &l.signals[i]
		if s.counted != nil {
			l.ask(o, i, s.counted(p, f))
		}
		if s.refused != nil && o.inbound && !accepted && c.Cause >= 400 {
			l.ask(o, i, s.refused(p, f))
		}
	}
	p.activate(c.Last)
	if c.Answer != 0 {
		p.answered++
		o.up = true
		o.answer = c.Answer
		p.up++
		p.peakUp = max(p.peakUp, p.up)
	}
	side := 0
	if o.inbound {
		side = 1
	}
	l.agent(p, c.UserAgent[side])
	if s := [2]uint64{c.CallerShape, c.CalleeShape}[side]; s != 0 {
		p.shape = s
	}
}

// ended settles a call that is over.
func (l *Lines) ended(p *profile, o *openCall, c *sip.Call) {
	delete(p.open, c.ID)
	if o.inbound && !o.counted {
		p.unsupported++
		l.counters.Unsupported++
	}
	if o.counted {
		f := &callFact{Call: c, inbound: o.inbound, early: o.early}
		for i := range l.signals {
			if s := &l.signals[i]; s.over != nil {
				l.ask(o, i, s.over(p, f))
			}
		}
	}
	if !o.counted {
		return
	}
	// The call waits for its onward leg, and so does all that it counts: what
	// speaks for a box must not be in force before what speaks against it.
	g := leg{span: span{o.answer, c.End}, until: c.Last, marks: o.marks, inbound: o.inbound && o.answer != 0 && c.End != 0}
	if o.up {
		p.up--
		if !o.inbound && c.End != 0 {
			p.addOnward(g.span)
		}
	}
	if !p.addLeg(g) {
		l.counters.CallsDropped++
	}
	p.activate(c.Last)
	p.dirty = true
}

func (l *Lines) agent(p *profile, s string) {
	if s == "" || s == p.userAgent {
		return
	}
	kind, maker := vendorOf(&l.model.cat.Vendors, s)
	if p.userAgent != "" && kind != 0 {
		return // the first value stands, unless a maker of gateways shows
	}
	p.userAgent, p.vendorKind = s, kind
	if kind == 0 {
		p.vendor, p.model = maker.Vendor, maker.Model
	}
}

// Registration follows a registration that the line keeps up.
func (l *Lines) Registration(line ident.Line, r *sip.Registration) {
	p := l.profile(line, r.Last)
	if r.Seen&sip.SeenRequest == 0 || r.Seen&sip.SeenResponse != 0 && r.Accepted == 0 {
		return
	}
	l.keep(p)
	a := p.accounts[r.AccountKey]
	switch {
	case r.Removed:
		delete(p.accounts, r.AccountKey)
		return
	case a == nil:
		if len(p.accounts) >= maxAccounts {
			return
		}
		if p.accounts == nil {
			p.accounts = make(map[uint64]*account)
		}
		a = &account{key: r.AccountKey, userKey: r.UserKey, account: r.Account, first: r.Last}
		p.accounts[r.AccountKey] = a
	case r.Interval > 0:
		if len(p.refreshes) < maxRefreshes {
			p.refreshes = append(p.refreshes, r.Interval)
		}
	}
	a.last = r.Last
	a.socket = r.ContactKey<<16 ^ uint64(r.Client.Port)
	p.saw(r.Registrar.Addr, roleRegistrar)
	if p.contact == "" && !r.ContactHost.IsZero() {
		p.contact = fmt.Sprintf("%s:%d", r.ContactHost, r.ContactPort)
	}
	l.agent(p, r.UserAgent)
	p.dirty = true
	l.judgeIfDue(p)
}

// TwoWay notes that the tap shows both directions of some conversation. Then a
// gateway's record that nobody answers is no gateway's.
func (l *Lines) TwoWay() { l.tap.twoWay = true }

// Registrar notes that an address grants registrations: a server.
func (l *Lines) Registrar(line ident.Line, t int64) { l.profile(line, t).registrar = true }

// Stream follows a confirmed voice stream. up is set when the line sends it,
// ended when it is over.
func (l *Lines) Stream(line ident.Line, up bool, s *rtp.Stream, ended bool) {
	p := l.profile(line, s.End)
	if !up {
		if !ended {
			p.mediaDown++
		}
		return
	}
	l.keep(p)
	unbound := s.Call == 0
	if !ended {
		p.mediaUp++
		p.streams++
		if p.firstUp == 0 {
			p.firstUp = s.Start
		}
		if len(p.voiceCalls) < 8 {
			id := s.Call
			if unbound {
				id = ^s.ID
			}
			if !slices.Contains(p.voiceCalls, id) {
				p.voiceCalls = append(p.voiceCalls, id)
			}
		}
		if o := p.open[s.Call]; o != nil && (o.answer == 0 || s.Start < o.answer) {
			o.early = true
		}
		if unbound && p.attemptsIn+p.attemptsOut == 0 {
			l.count(p, "concurrency", concurrencyBin(p.openMedia))
			p.unsignalled++
			p.openMedia++
			p.peakUp = max(p.peakUp, p.openMedia)
		}
		p.saw(s.Flow.Dst, roleMedia)
		p.activate(s.Start)
		return
	}
	p.talk += s.End - s.Start
	if unbound {
		if p.openMedia > 0 {
			p.openMedia--
		}
		p.addOnward(span{s.Start, s.End})
	}
	if s.ClockOK && s.PPMError <= clockLimit && len(p.clocks) < maxClocks {
		p.clocks = append(p.clocks, clock{s.PPM, s.PPMError})
	}
	p.activate(s.End)
	p.dirty = true
	l.judgeIfDue(p)
}

// Control takes evidence that a gateway's own protocol gives about the line,
// whenever it changed.
func (l *Lines) Control(line ident.Line, e *control.Evidence, t int64) {
	p := l.profile(line, t)
	if !slices.Contains(p.control, e) {
		if len(p.control) >= maxControl {
			return
		}
		p.control = append(p.control, e)
	}
	if e.Sound > 0 {
		l.keep(p)
	}
	l.tap.twoWay = l.tap.twoWay || e.Answered > 0
	if p.firstUp == 0 {
		p.firstUp = t
	}
	switch e.Protocol {
	case control.GoIPSMS:
		p.saw(e.Peer, roleSMSServer)
	case control.GoIPSIMBank:
		p.saw(e.Peer, roleSIMBank)
	default:
		p.saw(e.Peer, roleManagement)
	}
	p.activate(t)
	p.dirty = true
	l.judgeIfDue(p)
}

// firstControl is when the line first sent a sound record of a gateway's
// protocol that its peer answered, or whose peer cannot be seen; 0 for never.
func (p *profile) firstControl() (first int64) {
	for _, e := range p.control {
		if e.Sound > 0 && (e.Answered > 0 || e.OneWay && !p.tap.twoWay) && (first == 0 || e.First < first) {
			first = e.First
		}
	}
	return first
}

// Model gives the model in force.
func (l *Lines) Model() *Model { return l.model }

// Tables gives the catalogue in force.
func (l *Lines) Tables() *catalogue.Catalogue { return l.model.cat }
