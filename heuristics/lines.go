package heuristics

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"simtrap/control"
	"simtrap/ident"
	"simtrap/rtp"
	"simtrap/sip"
)

// Config of Lines. Zero values mean the defaults.
type Config struct {
	Homes    *ident.Homes // tell which end of a call is the subscriber's; may be nil
	MaxLines int          // lines with a profile, 200,000
	Epoch    int64        // ns after which a line's counts are opened afresh, 28 days
	Places   Places       // tells where controllers are; nil when no list was given
	Evidence bool         // findings come with the counts behind their scores
	Tenancy  Tenancies    // since when lines are in the hands they are in; may be nil
	// Standings says that findings told while a run goes on tell how the line
	// stands against every class.
	Standings bool
	// Calls is told of calls that are over of lines at watch or above, and may not
	// keep what it is given; may be nil.
	Calls func(*CallRecord)
	// Caller gives who calls, while Call is told that a call has started. May be nil
	// where Calls is.
	Caller func() ident.Number
	// Far is told whenever a far end served a line: by role, with the header shape
	// of the line's own messages, 0 for none. call is set once for each call
	// through it. May be nil.
	Far func(line ident.Line, far ident.Addr, role string, shape uint64, call bool, t int64)
}

// Lines is the table of all lines and what is known of them. It is fed by one
// goroutine, in order of packet time.
type Lines struct {
	model   *Model
	weighed weighed // room for the line that is looked at
	signals []signal
	place   []int // of each signal in the model
	byID    map[string]int
	served  map[string]bool // control protocols whose far end is the gateway's server
	config  Config
	table   map[ident.Line]*profile
	recent  [2]*profile // that were asked for last: a message is of two lines, each asked for several times
	// Two lists by interest, least recent first: lines that only strangers
	// spoke of, and lines with evidence of their own. The first is evicted
	// first, so that a flood of forged addresses costs no evidence.
	young, kept list
	now         int64
	opened      int64 // when the first thing was seen
	tap         *tap
	closing     bool
	closed      []Finding // of past epochs, and of lines dropped for room
	counters    Counters
	tenants     tenants
	changes     changes
	calling     map[uint64]ident.Number // who calls, by callKey
	resuming    bool                    // a checkpoint was read and nothing has come since
	resumed     int64                   // when something did
}

// Counters of Lines.
type Counters struct {
	Lines            uint64 // profiles opened
	EvictedYoung     uint64 // profiles without evidence dropped for room
	HellosForgotten  uint64 // openings of enciphered connections that made room for newer ones
	EvictedKept      uint64 // profiles with evidence dropped for room
	CallsDropped     uint64 // calls not counted: too many at once on one line
	LegsDropped      uint64 // legs not kept for comparison: too many at once on one line
	Unsupported      uint64 // calls that only one end vouches for
	FarEnds          uint64 // addresses not judged: the network's side, as far as one can guess
	FindingsLost     uint64 // findings of lines dropped or of past epochs, beyond what is kept
	Tenancies        uint64 // sessions with a tenant of their own, as a feed told
	TenantsForgotten uint64 // of addresses, for room
	NotRetold        uint64 // lines not told of every hour: too many of them
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
	l := &Lines{model: m, signals: signals(), byID: make(map[string]int), served: make(map[string]bool), config: c, table: make(map[ident.Line]*profile),
		tap: &tap{places: c.Places, tenancy: c.Tenancy, far: c.Far}, tenants: tenants{limit: maxTenants}}
	if c.Tenancy == nil {
		l.tap.tenancy = l
	}
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
	for _, c := range control.Protocols() {
		l.served[c.Name] = c.Server != ""
	}
	l.weighed.known = make([]known, len(m.signals)*knownEach)
	l.young.init()
	l.kept.init()
	return l, nil
}

// SetHomes says anew which addresses are subscribers'.
func (l *Lines) SetHomes(h *ident.Homes) { l.config.Homes = h }

// Counters gives what was opened and lost so far.
func (l *Lines) Counters() Counters { return l.counters }

// profile finds or opens a line's profile and marks it as interesting.
func (l *Lines) profile(line ident.Line, t int64) *profile {
	l.now = max(l.now, t)
	if l.opened == 0 {
		l.opened = t
	}
	if l.resuming {
		l.resuming, l.resumed = false, t
	}
	p := l.find(line)
	if p == nil {
		l.room()
		p = &profile{line: line, tap: l.tap, first: t, epoch: t}
		l.table[line] = p
		l.recent[0], l.recent[1] = p, l.recent[0]
		l.young.push(p)
		l.counters.Lines++
	} else {
		l.list(p).renew(p)
	}
	if l.tenants.table != nil {
		l.handOver(p, t)
	}
	p.last = max(p.last, t)
	return p
}

// find gives a line's profile, nil when there is none.
func (l *Lines) find(line ident.Line) *profile {
	for _, p := range l.recent {
		if p != nil && p.line == line && !p.gone {
			return p
		}
	}
	p := l.table[line]
	if p != nil {
		l.recent[0], l.recent[1] = p, l.recent[0]
	}
	return p
}

// evident is profile for something that may count: when the epoch is over it
// opens a new one first.
func (l *Lines) evident(line ident.Line, t int64) *profile {
	p := l.profile(line, t)
	if t-p.epoch >= l.config.Epoch {
		l.reopen(p, t)
	}
	return p
}

// reopen starts a new epoch: fresh counts, and a verdict to be earned anew. The
// old one's finding is kept.
func (l *Lines) reopen(p *profile, t int64) {
	l.close(p)
	for _, e := range p.control {
		e.Reopen()
	}
	*p = profile{line: p.line, tap: l.tap, first: t, epoch: t, last: p.last, prev: p.prev, next: p.next, kept: p.kept, queued: p.queued,
		open: p.open, up: p.up, peakUp: p.up, unbound: p.unbound, accounts: p.accounts, own: p.own, registrar: p.registrar, hops: p.hops,
		control: p.control, tenant: p.tenant, afterTenant: p.afterTenant, tenantSince: p.tenantSince, told: p.told, userAgent: p.userAgent, vendorKind: p.vendorKind, vendor: p.vendor, model: p.model}
	if p.kept {
		l.keep(p) // calls that began before go on
	}
}

// close keeps the finding of a line whose profile goes, if it says anything.
func (l *Lines) close(p *profile) {
	if !p.kept || p.evidence == nil || l.farEnd(p) {
		return
	}
	l.judge(p, true)
	if p.standing() < Watch {
		return
	}
	if len(l.closed) >= maxClosed {
		l.counters.FindingsLost++
		return
	}
	f := l.finding(p, true)
	l.telling(p, &f)
	l.closed = append(l.closed, f)
}

func (l *Lines) list(p *profile) *list {
	if p.kept {
		return &l.kept
	}
	return &l.young
}

// keep notes that the line has evidence of its own.
func (l *Lines) keep(p *profile) {
	if !p.kept {
		l.young.remove(p)
		p.kept = true
		l.kept.push(p)
	}
	if p.evidence == nil {
		p.evidence = l.model.NewEvidence()
		p.traits = &traits{}
	}
}

// room drops the least interesting line when the table is full. Lines without
// evidence have a quarter of it, so that strangers cannot fill it.
func (l *Lines) room() {
	switch {
	case l.young.n >= max(l.config.MaxLines/4, 1):
		l.drop(l.young.oldest())
		l.counters.EvictedYoung++
	case l.young.n+l.kept.n >= l.config.MaxLines:
		p := l.kept.oldest()
		l.close(p)
		l.drop(p)
		l.counters.EvictedKept++
	}
}

func (l *Lines) drop(p *profile) {
	l.list(p).remove(p)
	delete(l.table, p.line)
	p.gone = true
}

func (l *Lines) count(p *profile, id string, category int) {
	if category >= 0 {
		l.apply(p, mark{int16(l.place[l.byID[id]]), int16(category)})
	}
}

func (l *Lines) apply(p *profile, m mark) {
	l.keep(p)
	l.model.Count(p.evidence, int(m.signal), int(m.category))
	l.touch(p)
}

// ask collects what one signal counts of a call.
func (l *Lines) ask(o *openCall, i, category int) {
	if category >= 0 && len(o.marks) < cap(o.marks) {
		o.marks = append(o.marks, mark{int16(l.place[i]), int16(category)})
	}
}

// Packet notes one packet of signalling between a line and its far end: which
// directions are visible. up is set when the line sent it. ttl is the packet's
// time to live.
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

// callKey names a call of a line: one that goes from a line to itself has two.
func callKey(id uint64, inbound bool) uint64 {
	k := id << 1
	if inbound {
		k |= 1
	}
	return k
}

// Call follows a call of the line. inbound is set when the line is the callee.
// A call of which only the middle was seen is left out: who called is not known,
// and a stranger can open any number of them. A call that takes over another
// (RFC 3891) is that one, which was counted.
func (l *Lines) Call(line ident.Line, inbound bool, c *sip.Call, ev sip.CallEvent) {
	if c.Midway || c.Replaces != 0 {
		return
	}
	p := l.evident(line, max(c.Last, c.Invite))
	if began := cmp.Or(c.Invite, c.Trying, c.Ringing, c.Progress, c.Answer, c.End, c.Last); began < p.tenantSince {
		return // it began in other hands
	}
	key := callKey(c.ID, inbound)
	o := p.open[key]
	if o == nil {
		if len(p.open) >= maxOpen {
			if ev == sip.CallStarted {
				l.counters.CallsDropped++
			}
			return
		}
		if ev == sip.CallEnded {
			return // dropped when it began
		}
		o = &openCall{id: c.ID, inbound: inbound}
		o.marks = o.room[:0]
		if p.open == nil {
			p.open = make(map[uint64]*openCall)
		}
		p.open[key] = o
		if ev == sip.CallStarted {
			l.begun(p, key)
		}
		if inbound {
			p.attemptsIn++
		} else {
			p.attemptsOut++
		}
	}
	l.tap.twoWay = l.tap.twoWay || c.Seen == sip.SeenRequest|sip.SeenResponse
	if !o.counted && (ev == sip.CallVerified || ev == sip.CallAnswered || ev == sip.CallEnded) && l.tap.supports(c, inbound) {
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

// counted asks every signal about a supported call. What they say is in force
// only when the call has settled.
func (l *Lines) counted(p *profile, o *openCall, c *sip.Call) {
	o.counted = true
	l.keep(p)
	accepted := c.Answer != 0 || c.Ringing != 0 || c.Progress != 0
	f := &callFact{Call: c, inbound: o.inbound, others: p.up, callee: none}
	if o.inbound && accepted {
		f.callee = p.callee(c)
	}
	for i := range l.signals {
		s := &l.signals[i]
		if s.counted != nil {
			l.ask(o, i, s.counted(p, f))
		}
		if s.refused != nil && o.inbound && !accepted && c.Cause >= 400 {
			l.ask(o, i, s.refused(p, f))
		}
	}
	o.accepted = accepted
	p.traits.called(p, c, o.inbound)
	if o.inbound {
		if c.CalleeKey != 0 {
			p.dialled.add(c.CalleeKey, maxCalled)
		}
		p.saw(c.Caller.Addr, roleTrunkPeer)
	} else {
		p.saw(c.Callee.Addr, roleTrunkPeer)
	}
	p.activate(c.Last)
	if c.Answer != 0 {
		p.answered++
		o.up = true
		o.answer = c.Answer
		p.traits.busy(c.Invite, p.up == 0)
		p.up++
		p.peakUp = max(p.peakUp, p.up)
	}
	side := 0
	if o.inbound {
		side = 1
	}
	l.agent(p, c.UserAgent[side])
	if s := [2]uint64{c.CallerShape, c.CalleeShape}[side]; s != 0 && (!o.inbound || p.shape == 0) {
		p.shape = s
	}
}

// ended settles a call that is over, or given up.
func (l *Lines) ended(p *profile, o *openCall, c *sip.Call) {
	delete(p.open, callKey(c.ID, o.inbound))
	if o.counted && l.config.Calls != nil && p.standing() >= Watch {
		l.config.Calls(l.callRecord(p, o, c))
	}
	delete(l.calling, callKey(c.ID, o.inbound))
	if !o.counted {
		if o.inbound {
			p.unsupported++
			l.counters.Unsupported++
		}
		return
	}
	f := &callFact{Call: c, inbound: o.inbound, early: o.early}
	for i := range l.signals {
		if s := &l.signals[i]; s.over != nil {
			l.ask(o, i, s.over(p, f))
		}
	}
	// The call waits for its onward leg, and so does all that it counts: what
	// speaks for a box must not be in force before what speaks against it.
	g := leg{span: span{o.answer, c.End}, call: c.ID, at: c.Last, until: l.now, marks: o.marks, voice: o.voice,
		inbound: o.inbound, answered: o.up, accepted: o.accepted, verified: c.Verified}
	if o.up {
		if p.up--; p.up == 0 {
			p.traits.idle = c.Last
		}
		if !o.inbound {
			l.onward(p, g.span)
		}
	}
	if len(p.legs) >= maxLegs {
		l.counters.CallsDropped++
		return
	}
	p.legs = append(p.legs, g)
	p.activate(c.Last)
	l.touch(p)
}

func (l *Lines) onward(p *profile, s span) {
	if len(p.onward) >= maxLegs {
		// From here on a missing leg shows nothing.
		p.legsLost = true
		l.counters.LegsDropped++
		return
	}
	p.onward = append(p.onward, s)
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
	p := l.evident(line, max(r.Last, r.Time))
	both := sip.SeenRequest | sip.SeenResponse
	if r.Seen == both && r.Accepted > 0 {
		l.tap.twoWay = true
	}
	if r.Doubtful || r.Seen&sip.SeenRequest == 0 || r.Accepted == 0 && (r.Seen == both || l.tap.twoWay) {
		return
	}
	l.keep(p)
	a := p.accounts[r.AccountKey]
	switch {
	case r.Removed:
		if a != nil {
			p.traits.leaves(r.AccountKey, r.Time)
			delete(p.accounts, r.AccountKey)
			if p.own[a.userKey]--; p.own[a.userKey] <= 0 {
				delete(p.own, a.userKey)
			}
		}
		return
	case a == nil:
		if len(p.accounts) >= maxAccounts {
			return
		}
		if p.accounts == nil {
			p.accounts = make(map[uint64]*account)
			p.own = make(map[uint64]int)
		}
		a = &account{key: r.AccountKey, userKey: r.UserKey, account: r.Account, first: r.Last}
		p.accounts[r.AccountKey] = a
		p.own[r.UserKey]++
		p.returned(a, r.Last)
	case r.Interval > 0:
		if len(p.refreshes) < maxRefreshes {
			p.refreshes = append(p.refreshes, r.Interval)
		}
	}
	p.refreshed(a, r.Last)
	a.last = r.Last
	a.socket = r.ContactKey<<16 ^ uint64(r.Client.Port)
	p.saw(r.Registrar.Addr, roleRegistrar)
	if p.contact == "" && !r.ContactHost.IsZero() {
		p.contact = fmt.Sprintf("%s:%d", r.ContactHost, r.ContactPort)
	}
	l.agent(p, r.UserAgent)
	l.touch(p)
	l.judgeIfDue(p)
}

// TwoWay notes that the tap shows both directions of some conversation. Then
// silence of one end is no blind spot, and what it would have to confirm counts
// no more.
func (l *Lines) TwoWay() { l.tap.twoWay = true }

// OneWay says whether the tap has shown one direction only so far.
func (l *Lines) OneWay() bool { return !l.tap.twoWay }

// Registrar notes that an address grants registrations: a server.
func (l *Lines) Registrar(line ident.Line, t int64) { l.profile(line, t).registrar = true }

// Voice notes a confirmed stream that the line sends in one of its calls: what
// it is worth depends on the call.
func (l *Lines) Voice(line ident.Line, s *rtp.Stream) {
	if p := l.find(line); p != nil && s.Start >= p.tenantSince {
		p.voiced(s)
	}
}

// Stream follows a confirmed voice stream that has its counterpart in the other
// direction, or comes from a tap that shows one direction only. up is set when
// the line sends it, ended when it is over.
func (l *Lines) Stream(line ident.Line, up bool, s *rtp.Stream, ended bool) {
	p := l.evident(line, s.End)
	if s.Start < p.tenantSince {
		return // it began in other hands
	}
	if !up {
		if ended && p.kept {
			l.keep(p)
			p.traits.spoken(s)
		}
		return
	}
	l.keep(p)
	if ended {
		l.silent(p, s)
		return
	}
	p.mediaUp++
	p.streams++
	if p.firstUp == 0 {
		p.firstUp = s.Start
	}
	if s.Call != 0 {
		p.voiced(s)
	} else if p.counted == 0 && len(p.unbound) < maxOpen {
		p.unbound = append(p.unbound, voice{s, s.Start, s.End})
		if len(p.unbound) > p.peakUp {
			p.peakUp = max(p.peakUp, p.together(s))
		}
	}
	p.activate(s.Start)
}

// together is how many streams without a call are up at once, at the most, while
// s is, by their packets, or what it was before if that is no fewer: a stream is
// told to be over long after its last one, and by then a channel has its next call.
func (p *profile) together(s *rtp.Stream) (most int) {
	// How many there are within its time, and when the last of them began.
	within, last := 0, int64(math.MinInt64)
	for i := range p.unbound {
		if x := &p.unbound[i]; x.start <= s.End && x.until(s.Start) {
			within++
			last = max(last, x.start)
		}
	}
	// What cannot be more than was is not put in order: short streams that a stranger
	// sends one after the other wait here by thousands. Nor is what is all up at once
	// when the last begins, as where calls go on.
	if within <= p.peakUp {
		return p.peakUp
	}
	up := 0
	for i := range p.unbound {
		if x := &p.unbound[i]; x.start <= s.End && x.end >= s.Start && x.until(last) {
			up++
		}
	}
	if up == within {
		return up
	}
	type edge struct {
		t int64
		d int
	}
	edges := make([]edge, 0, 2*within)
	for i := range p.unbound {
		if x := &p.unbound[i]; x.start <= s.End && x.until(s.Start) {
			edges = append(edges, edge{x.start, 1}, edge{x.s.End, -1})
		}
	}
	// At one moment, beginnings first.
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(b.d, a.d)) })
	n := 0
	for _, e := range edges {
		n += e.d
		most = max(most, n)
	}
	return most
}

// until says whether the stream was up at t, or later.
func (v *voice) until(t int64) bool {
	if v.end < t {
		v.end = v.s.End
	}
	return v.end >= t
}

// silent takes a stream of the line that is over.
func (l *Lines) silent(p *profile, s *rtp.Stream) {
	if i := slices.IndexFunc(p.unbound, func(v voice) bool { return v.s == s }); i >= 0 {
		last := len(p.unbound) - 1
		p.unbound[i], p.unbound[last] = p.unbound[last], voice{}
		p.unbound = p.unbound[:last]
	}
	// Who takes the voice of no call that counts, a page's or an echo's, serves nobody:
	// it would name a stranger among the line's far ends, for the hub as well.
	if p.inCall(s) {
		p.saw(s.Flow.Dst, roleMedia)
	}
	p.traits.spoken(s)
	p.talk += s.End - s.Start
	if s.Call == 0 && (l.resumed == 0 || s.Start > l.resumed+resumeSlack) {
		l.onward(p, span{s.Start, s.End})
	}
	if !s.CNAME.IsZero() {
		p.named++
		if _, ok := p.cnames[s.CNAME]; ok || len(p.cnames) < maxNames {
			if p.cnames == nil {
				p.cnames = make(map[ident.CNAME]int)
			}
			p.cnames[s.CNAME]++
		}
	}
	if s.ClockOK && s.PPMError <= clockLimit && len(p.clocks) < maxClocks {
		p.clocks = append(p.clocks, clock{s.PPM, s.PPMError})
	}
	p.activate(s.End)
	l.touch(p)
	l.judgeIfDue(p)
}

// voiced notes that the line spoke in a call of its own.
func (p *profile) voiced(s *rtp.Stream) {
	for _, inbound := range [...]bool{true, false} {
		if o := p.open[callKey(s.Call, inbound)]; o != nil {
			o.voice = true
			o.early = o.early || o.answer == 0 || s.Start < o.answer
		}
	}
	for i := range p.legs {
		if p.legs[i].call == s.Call {
			p.legs[i].voice = true
		}
	}
}

// inCall says whether a stream of the line that is over was voice of a call that
// counts. Calls wait for longer than streams are silent before they are over.
func (p *profile) inCall(s *rtp.Stream) bool {
	if s.Call == 0 {
		return false
	}
	for _, inbound := range [...]bool{true, false} {
		if o := p.open[callKey(s.Call, inbound)]; o != nil && o.counted {
			return true
		}
	}
	return slices.ContainsFunc(p.legs, func(g leg) bool { return g.call == s.Call })
}

// Served takes the evidence about a bank elsewhere that the line has its cards
// from. What the bank says is no evidence about the line, which gave none of it;
// it tells which cards a line uses whose own records say that it is a gateway.
func (l *Lines) Served(line ident.Line, e *control.Evidence) {
	p := l.find(line)
	if p == nil || len(p.banks) >= maxBanks || slices.Contains(p.banks, e) {
		return
	}
	p.banks = append(p.banks, e)
}

// Control takes evidence that a gateway's own protocol gives about the line,
// whenever it changed.
func (l *Lines) Control(line ident.Line, e *control.Evidence, t int64) {
	p := l.evident(line, t)
	if e.Sound > 0 && e.First < p.tenantSince || e.Marks > 0 && e.FirstMark < p.tenantSince {
		// It is of somebody else, whose profile had to make room before the line
		// changed hands.
		e.Reopen()
		return
	}
	l.tap.twoWay = l.tap.twoWay || e.Answered > 0
	if !slices.Contains(p.control, e) {
		p.control = append(p.control, e)
		if len(p.control) > maxControl {
			weakest := 0
			for i, c := range p.control {
				if c.Answered < p.control[weakest].Answered || c.Answered == p.control[weakest].Answered && c.Sound < p.control[weakest].Sound {
					weakest = i
				}
			}
			p.control = slices.Delete(p.control, weakest, weakest+1)
		}
	}
	if !p.tap.counts(e) && !p.tap.marks(e) {
		return
	}
	l.keep(p)
	if p.firstUp == 0 {
		p.firstUp = t
	}
	switch {
	case e.Protocol == control.GoIPSMS:
		p.saw(e.Peer, roleSMSServer)
	case e.Protocol == control.GoIPSIMBank:
		p.saw(e.Peer, roleSIMBank)
	case p.tap.counts(e) || l.served[e.Protocol]:
		p.saw(e.Peer, roleManagement)
	}
	if p.tap.counts(e) {
		if p.traits.carded == 0 && e.Seen.Channels > 0 && e.Seen.IMSIs > 0 {
			p.traits.carded = t
		}
		if p.traits.rotation == 0 && e.Changes > 0 {
			p.traits.rotation = t
		}
	}
	p.activate(t)
	l.touch(p)
	l.judgeIfDue(p)
}

// counts says whether evidence holds: the peer answered it, or cannot be seen.
func (t *tap) counts(e *control.Evidence) bool {
	return e.Sound > 0 && (e.Answered > 0 || e.OneWay && !t.twoWay)
}

// firstControl is when the line first sent a sound record of a gateway's
// protocol that holds; 0 for never.
func (p *profile) firstControl() (first int64) {
	for _, e := range p.control {
		if p.tap.counts(e) && (first == 0 || e.First < first) {
			first = e.First
		}
	}
	return first
}
