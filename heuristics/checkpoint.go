package heuristics

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"simtrap/control"
	"simtrap/heuristics/catalogue"
	"simtrap/hidden/hello"
	"simtrap/hidden/talk"
	"simtrap/ident"
	"simtrap/state"
)

// What a checkpoint keeps of a line is what the line counted (docs/verdict.md
// section 2) and what signals go by. Likelihoods are no part of it: they are
// functions of the counts under the tables of whoever reads it. Calls that are up
// are kept as over, with their ends unknown; streams that go on are lost.

const (
	maxProfileBytes = 4 << 20
	maxWords        = 512 // bytes of a name
	maxSchema       = 256 // signals, categories
	checkpointStep  = 64 << 10
	// resumeSlack is within which, after a checkpoint was read, a stream is taken
	// for one that went on: its call may have been known before, so that it shows
	// no leg without one.
	resumeSlack = 10 * second
)

// frost codes profiles under one order of signals.
type frost struct {
	*state.Coder
	lines   *Lines
	schema  []schema
	clear   *ident.Pseudonymizer
	realm   func(ident.Realm) (ident.Realm, bool)
	restore func(*control.Evidence) *control.Evidence
	lost    bool   // the realm is unknown
	under   string // catalogue that the counts come from
}

// schema is how one signal's counts lie in a checkpoint.
type schema struct {
	id         string
	kind       string
	categories []string
	at         int   // place in the model, -1 when it has no such signal
	to         []int // by category, its number in the model or -1
}

// Frozen is the state of Lines at one moment, or nearly: profiles are written one
// after the other while others go on.
type Frozen struct {
	lines *Lines
	list  []*profile
	frost frost
	n     int
}

// Freeze begins a checkpoint.
func (l *Lines) Freeze() *Frozen {
	f := &Frozen{lines: l, list: make([]*profile, 0, len(l.table))}
	for _, t := range [...]*list{&l.kept, &l.young} {
		for p := t.root.next; p != &t.root; p = p.next {
			f.list = append(f.list, p)
		}
	}
	f.frost = frost{lines: l, schema: l.schema(), clear: ident.NewPseudonymizer(nil, "a checkpoint of the program itself")}
	return f
}

// Header appends what is common to all lines.
func (f *Frozen) Header(dst []byte) []byte {
	c := state.Writer(dst)
	hash := f.lines.model.cat.Hash
	f.lines.codeHeader(c, &hash, &f.frost.schema)
	return c.Bytes()
}

// Append appends some of the lines, each with its length before it, and says
// whether there are more.
func (f *Frozen) Append(dst []byte) (out []byte, more bool) {
	limit := len(dst) + checkpointStep
	var room []byte
	for len(f.list) > 0 && len(dst) < limit {
		p := f.list[0]
		f.list = f.list[1:]
		if p.gone {
			continue
		}
		f.frost.Coder = state.Writer(room[:0])
		f.frost.profile(p)
		room = f.frost.Bytes()
		dst = append(binary.AppendUvarint(dst, uint64(len(room))), room...)
		f.n++
	}
	return dst, len(f.list) > 0
}

// Written says how many lines were appended.
func (f *Frozen) Written() int { return f.n }

func (l *Lines) schema() (out []schema) {
	for i := range l.model.signals {
		s := &l.model.signals[i]
		x := schema{id: s.ID, kind: string(s.Kind), categories: s.Categories, at: i}
		for k := range s.Categories {
			x.to = append(x.to, k)
		}
		out = append(out, x)
	}
	return out
}

func (l *Lines) codeHeader(c *state.Coder, hash *string, list *[]schema) {
	c.Text(hash, maxWords)
	state.Int(c, &l.now)
	c.Bool(&l.tap.twoWay)
	state.Int(c, &l.tap.web)
	state.List(c, list, maxSchema, func(s *schema) {
		c.Text(&s.id, maxWords)
		c.Text(&s.kind, maxWords)
		state.List(c, &s.categories, maxSchema, func(v *string) { c.Text(v, maxWords) })
	})
}

// ErrCheckpoint says that a checkpoint makes no sense.
var ErrCheckpoint = errors.New("heuristics: not what a checkpoint of lines is")

// Thaw reads lines that Freeze wrote into empty Lines.
type Thaw struct {
	frost frost
	// Lines is how many lines were read, Dropped how many found no room or lie in
	// a realm that there is no more.
	Lines, Dropped int
	Catalogue      string // hash of the catalogue that the counts come from
	banks          []lent
}

// lent are evidences of banks that a line uses.
type lent struct {
	p    *profile
	keys []bankKey
}

type bankKey struct {
	owner, peer ident.Addr
	realm       ident.Realm
	protocol    string
}

// Thaw begins to read from what Header wrote. realm gives the number that a realm
// has now; restore takes evidence of gateways' own protocols to whoever follows
// them.
func (l *Lines) Thaw(header []byte, realm func(ident.Realm) (ident.Realm, bool), restore func(*control.Evidence) *control.Evidence) (*Thaw, error) {
	if len(l.table) > 0 {
		return nil, errors.New("heuristics: a checkpoint is read into empty lines")
	}
	c := state.Reader(header)
	t := &Thaw{frost: frost{lines: l, clear: ident.NewPseudonymizer(nil, "a checkpoint of the program itself"), realm: realm, restore: restore}}
	scratch := Lines{tap: &tap{}}
	scratch.codeHeader(c, &t.Catalogue, &t.frost.schema)
	if c.End() != nil {
		return nil, ErrCheckpoint
	}
	l.now, l.tap.twoWay, l.tap.web = scratch.now, scratch.tap.twoWay, scratch.tap.web
	if t.Catalogue != l.model.cat.Hash {
		t.frost.under = t.Catalogue
	}
	for i := range t.frost.schema {
		s := &t.frost.schema[i]
		s.at = l.model.index(s.id)
		if s.at >= 0 && string(l.model.signals[s.at].Kind) != s.kind {
			s.at = -1
		}
		for _, name := range s.categories {
			to := -1
			if s.at >= 0 {
				to = slices.Index(l.model.signals[s.at].Categories, name)
			}
			s.to = append(s.to, to)
		}
	}
	return t, nil
}

// Read takes one or more lines as Append wrote them, all of which must be whole.
func (t *Thaw) Read(b []byte) error {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > maxProfileBytes || n > uint64(len(b)-k) {
			return ErrCheckpoint
		}
		if err := t.line(b[k : k+int(n)]); err != nil {
			return err
		}
		b = b[k+int(n):]
	}
	return nil
}

func (t *Thaw) line(b []byte) error {
	l, f := t.frost.lines, &t.frost
	p := &profile{tap: l.tap}
	f.Coder, f.lost = state.Reader(b), false
	banks := f.profile(p)
	if f.End() != nil {
		return ErrCheckpoint
	}
	limit := l.config.MaxLines
	if !p.kept {
		limit = max(limit/4, 1)
	}
	if l.table[p.line] != nil {
		return fmt.Errorf("%w: a line stands there twice", ErrCheckpoint)
	}
	if f.lost || l.list(p).n >= limit || len(l.table) >= l.config.MaxLines {
		t.Dropped++
		return nil
	}
	for i, e := range p.control {
		p.control[i] = f.restore(e)
	}
	if len(banks) > 0 {
		t.banks = append(t.banks, lent{p, banks})
	}
	l.table[p.line] = p
	l.list(p).push(p)
	l.counters.Lines++
	t.Lines++
	if p.judged = min(p.judged, l.now); p.kept {
		p.score = l.model.Score(l.inForce(p))
		l.touch(p)
	}
	if c := &l.changes; p.told.verdict >= Watch && len(c.standing) < maxRetold {
		p.told.listed = true
		c.standing = append(c.standing, p)
	}
	return nil
}

// End binds lines to the banks that they use.
func (t *Thaw) End() {
	t.frost.lines.resuming = true
	of := make(map[bankKey]*control.Evidence)
	for _, p := range t.frost.lines.table {
		for _, e := range p.control {
			if e.Role == control.RoleBank {
				of[bankKey{e.Owner, e.Peer, e.Realm, e.Protocol}] = e
			}
		}
	}
	for _, x := range t.banks {
		for _, k := range x.keys {
			if e := of[k]; e != nil {
				x.p.banks = append(x.p.banks, e)
			}
		}
	}
}

// profile codes one line. When reading it gives the banks that it uses.
func (f *frost) profile(p *profile) (banks []bankKey) {
	c := f.Coder
	control.CodeAddr(c, &p.line.Addr)
	state.Int(c, &p.line.Realm)
	state.Int(c, &p.line.Bits)
	if c.Reading() {
		p.line.Realm = f.realmNow(p.line.Realm)
		if p.line.Bits > 128 || p.line.Bits > 0 && p.line.Addr.Is4() {
			c.Fail()
		}
	}
	for _, v := range [...]*int64{&p.epoch, &p.first, &p.last, &p.tenantSince, &p.firstUp, &p.firstCounted, &p.lastCounted, &p.talk, &p.firstHidden, &p.judged} {
		state.Int(c, v)
	}
	f.tenant(p)
	state.Int(c, &p.sipUp)
	state.Int(c, &p.mediaUp)
	state.Int(c, &p.hops)
	for _, v := range [...]*int{&p.peakUp, &p.attemptsIn, &p.attemptsOut, &p.answered, &p.verified, &p.counted, &p.accepted, &p.inboundCounts, &p.unsupported, &p.voices, &p.streams, &p.named, &p.vendorKind} {
		f.count(v)
	}
	for _, s := range [...]*string{&p.userAgent, &p.vendor, &p.model, &p.contact} {
		c.Text(s, maxWords)
	}
	if p.vendorKind > 2 {
		c.Fail()
		p.vendorKind = 0
	}
	c.Word(&p.shape)
	c.Bool(&p.registrar)
	c.Bool(&p.legsLost)
	for _, s := range [...]*keySet{&p.called, &p.dialled, &p.hiddenTargets} {
		f.keys(s, maxCalled)
	}
	f.accounts(p)
	f.peers(p)
	f.legs(p)
	state.List(c, &p.onward, maxLegs, f.span)
	state.List(c, &p.clocks, maxClocks, func(k *clock) { c.Float(&k.ppm); c.Float(&k.err) })
	state.Map(c, &p.cnames, maxNames, func(k *ident.CNAME, n *int) {
		s := f.clear.CNAME(*k)
		if c.Text(&s, maxWords); c.Reading() {
			*k = ident.NewCNAME([]byte(s))
		}
		f.count(n)
	})
	state.List(c, &p.refreshes, maxRefreshes, func(v *int64) { state.Int(c, v) })
	state.List(c, &p.active, maxActive, func(s *Span) { state.Int(c, &s.From); state.Int(c, &s.To) })
	state.List(c, &p.control, maxControl, func(e **control.Evidence) {
		if c.Reading() {
			*e = &control.Evidence{}
		}
		if (*e).Code(c); c.Reading() {
			(*e).Realm = f.realmNow((*e).Realm)
		}
	})
	if !c.Reading() {
		for _, b := range p.banks {
			banks = append(banks, bankKey{b.Owner, b.Peer, b.Realm, b.Protocol})
		}
	}
	state.List(c, &banks, maxBanks, func(k *bankKey) {
		control.CodeAddr(c, &k.owner)
		control.CodeAddr(c, &k.peer)
		state.Int(c, &k.realm)
		if c.Text(&k.protocol, maxWords); c.Reading() {
			k.realm = f.realmNow(k.realm)
		}
	})
	f.count(&p.tunnel.windows)
	f.count(&p.tunnel.peak)
	f.count(&p.tunnel.whole)
	state.Int(c, &p.tunnel.last)
	state.Int(c, &p.tunnel.counted)
	state.Int(c, &p.tunnel.told)
	state.Int(c, &p.tunnel.talk)
	state.Map(c, &p.tunnel.flows, maxTunnelFlows, func(x *tunnelFlow, last *int64) {
		f.tunnelFlow(x)
		state.Int(c, last)
	})
	f.verdict(p)
	state.Int(c, &p.told.at)
	state.Int(c, &p.told.last)
	f.grade(&p.told.verdict)
	c.Float(&p.told.score)
	f.count(&p.told.cards)
	c.Word(&p.told.controllers)

	kept := p.kept && p.evidence != nil
	if c.Bool(&kept); !kept {
		return banks
	}
	if c.Reading() {
		p.kept = true
		p.evidence, p.traits = f.lines.model.NewEvidence(), &traits{}
	}
	f.evidence(p.evidence)
	f.traits(p.traits)
	return banks
}

// realmNow gives the number of a realm now.
func (f *frost) realmNow(r ident.Realm) ident.Realm {
	now, ok := f.realm(r)
	if !ok {
		f.lost = true
	}
	return now
}

func (f *frost) count(v *int) {
	if state.Int(f.Coder, v); f.Reading() && *v < 0 {
		f.Fail()
		*v = 0
	}
}

func (f *frost) grade(v *Verdict) {
	if state.Int(f.Coder, v); *v > Case {
		f.Fail()
		*v = None
	}
}

func (f *frost) span(s *span) { state.Int(f.Coder, &s.from); state.Int(f.Coder, &s.to) }

func (f *frost) tunnelFlow(x *tunnelFlow) {
	control.CodeAddr(f.Coder, &x.far)
	state.Int(f.Coder, &x.port)
	state.Int(f.Coder, &x.farPort)
}

func (f *frost) talked(t *talked) {
	f.count(&t.calls)
	f.count(&t.told)
	f.count(&t.heard)
	for _, v := range [...]*int64{&t.first, &t.last, &t.ended} {
		state.Int(f.Coder, v)
	}
	state.List(f.Coder, &t.waiting, maxLegs, func(k *voiceCall) {
		for _, v := range [...]*int64{&k.start, &k.answer, &k.end, &k.until} {
			state.Int(f.Coder, v)
		}
		if state.Int(f.Coder, &k.direction); k.direction > talk.Outbound {
			f.Fail()
			k.direction = talk.Unknown
		}
		f.tunnelFlow(&k.flow)
		f.count(&k.others)
		f.Bool(&k.again)
		f.Bool(&k.clear)
		f.Bool(&k.vouched)
		f.Bool(&k.counted)
	})
	state.Map(f.Coder, &t.ports, maxPorts, func(port *uint16, end *int64) { state.Int(f.Coder, port); state.Int(f.Coder, end) })
}

func (f *frost) sealed(s *sealedFlows) {
	state.Map(f.Coder, &s.far, maxSealed, func(k *ident.Addr, v **steps) {
		if control.CodeAddr(f.Coder, k); f.Reading() {
			*v = &steps{}
		}
		x := *v
		for _, t := range [...]*int64{&x.first, &x.last, &x.covered} {
			state.Int(f.Coder, t)
		}
		f.count(&x.calls)
		f.count(&x.kept)
		state.List(f.Coder, &x.times, maxSteps, func(t *int64) { state.Int(f.Coder, t) })
	})
}

func (f *frost) keys(s *keySet, limit int) {
	var keys []uint64
	if s.m != nil {
		keys = s.m.Keys()
	}
	if state.List(f.Coder, &keys, limit, f.Word); f.Reading() {
		*s = keySet{}
		for _, k := range keys {
			s.add(k, limit)
		}
	}
}

// tenant codes whose the line is, so that a feed that says so again does not
// restart the evidence.
func (f *frost) tenant(p *profile) {
	has := p.tenant != nil
	f.Bool(&has)
	if !has {
		return
	}
	x := p.tenant
	if f.Reading() {
		x = &tenant{restored: true}
		p.tenant = x
	}
	s := f.clear.Subscriber(x.Subscriber)
	if f.Text(&s, maxWords); f.Reading() {
		x.Subscriber = ident.NewSubscriber([]byte(s))
	}
	f.Word(&x.Session)
	state.Int(f.Coder, &x.since)
	state.Int(f.Coder, &x.ended)
	f.Bool(&p.afterTenant)
}

func (f *frost) accounts(p *profile) {
	state.Map(f.Coder, &p.accounts, maxAccounts, func(k *uint64, v **account) {
		if f.Word(k); f.Reading() {
			*v = &account{key: *k}
		}
		a := *v
		f.Word(&a.userKey)
		s := f.clear.Account(a.account)
		if f.Text(&s, maxWords); f.Reading() {
			a.account = ident.NewAccount([]byte(s))
		}
		f.Word(&a.socket)
		for _, t := range [...]*int64{&a.first, &a.last, &a.usual, &a.steady} {
			state.Int(f.Coder, t)
		}
	})
	if f.Reading() && len(p.accounts) > 0 {
		p.own = make(map[uint64]int)
		for _, a := range p.accounts {
			p.own[a.userKey]++
		}
	}
}

func (f *frost) peers(p *profile) {
	state.List(f.Coder, &p.peers, maxPeers, func(x *peer) {
		control.CodeAddr(f.Coder, &x.addr)
		for r := range x.roles {
			state.Int(f.Coder, &x.roles[r])
		}
	})
}

// legs codes the calls that wait for their onward legs, and those that are up.
func (f *frost) legs(p *profile) {
	list := p.legs
	if !f.Reading() && len(p.open) > 0 {
		list = slices.Clone(list)
		for _, o := range p.open {
			if o.counted && len(list) < maxLegs {
				list = append(list, leg{span: span{o.answer, 0}, call: o.id, at: f.lines.now, until: f.lines.now, marks: o.marks,
					voice: o.voice, inbound: o.inbound, answered: o.up, accepted: o.accepted, verified: true})
			}
		}
	}
	state.List(f.Coder, &list, maxLegs, func(g *leg) {
		f.span(&g.span)
		f.Word(&g.call)
		state.Int(f.Coder, &g.at)
		state.Int(f.Coder, &g.until)
		for _, b := range [...]*bool{&g.voice, &g.inbound, &g.answered, &g.accepted, &g.verified} {
			f.Bool(b)
		}
		state.List(f.Coder, &g.marks, len(openCall{}.room), func(m *mark) {
			state.Int(f.Coder, &m.signal)
			if state.Int(f.Coder, &m.category); f.Reading() {
				f.mark(m)
			}
		})
		if f.Reading() {
			g.call = 0 // calls are numbered anew
			g.marks = slices.DeleteFunc(g.marks, func(m mark) bool { return m.category < 0 })
		}
	})
	if f.Reading() {
		p.legs = list
	}
}

// mark finds what a mark counts in the model of now; what is not there has no
// category.
func (f *frost) mark(m *mark) {
	if m.signal < 0 || int(m.signal) >= len(f.schema) || m.category < 0 {
		f.Fail()
		return
	}
	s := &f.schema[m.signal]
	if int(m.category) >= len(s.to) || s.kind != string(catalogue.Urn) {
		f.Fail()
		return
	}
	m.signal, m.category = int16(s.at), int16(s.to[m.category])
}

func (f *frost) verdict(p *profile) {
	f.grade(&p.verdict)
	for v := Watch; v <= p.verdict; v++ {
		r := &p.reached[v]
		r.Verdict = v
		state.Int(f.Coder, &r.At)
		f.count(&r.Calls)
	}
	f.Bool(&p.proof)
	f.Bool(&p.oneWay)
	f.Text(&p.proofNote, maxWords)
	f.Float(&p.peakScore)
	f.Float(&p.peakMargin)
	if f.Text(&p.under, maxWords); f.Reading() {
		p.under = cmp.Or(p.under, f.under)
		if p.under == f.lines.model.cat.Hash {
			p.under = ""
		}
	}
}

// evidence codes counts by signal; what the model of now does not know is read
// and left.
func (f *frost) evidence(e *Evidence) {
	c := f.Coder
	m := f.lines.model
	for i := range f.schema {
		s := &f.schema[i]
		switch s.kind {
		case string(catalogue.Urn):
			for k := range s.categories {
				var n, lost uint32
				at := &lost
				if s.at >= 0 && s.to[k] >= 0 {
					at = &m.counts(e, s.at)[s.to[k]]
				}
				n = *at
				state.Int(c, &n)
				*at = n
			}
		case string(catalogue.Static):
			var v int8
			if s.at >= 0 {
				v = e.Static[m.signals[s.at].first]
			}
			if state.Int(c, &v); !c.Reading() || v == 0 {
				continue
			}
			if v < 0 || int(v) > len(s.to) {
				c.Fail()
				continue
			}
			if to := s.to[v-1]; to >= 0 {
				e.Static[m.signals[s.at].first] = int8(to + 1)
			}
		case string(catalogue.Sighting):
			var exposure int64
			var seen bool
			if s.at >= 0 {
				exposure, seen = e.Exposure[m.signals[s.at].first], e.Sighted[m.signals[s.at].first]
			}
			state.Int(c, &exposure)
			if c.Bool(&seen); c.Reading() && exposure < 0 {
				c.Fail()
			}
			if s.at >= 0 && c.Reading() {
				e.Exposure[m.signals[s.at].first], e.Sighted[m.signals[s.at].first] = exposure, seen
			}
		default:
			c.Fail()
		}
	}
}

func (f *frost) traits(t *traits) {
	c := f.Coder
	for _, s := range [...]*keySet{&t.placed, &t.reached, &t.blocks, &t.texts} {
		f.keys(s, maxCalled)
	}
	for i := range t.shapes {
		f.keys(&t.shapes[i], maxShapes)
	}
	for _, v := range [...]*int{&t.placedCalls, &t.signed, &t.switched, &t.ownTexts, &t.textsSeen} {
		f.count(v)
	}
	c.Text(&t.operator, maxWords)
	c.Text(&t.switchName, maxWords)
	for _, v := range [...]*int64{&t.idle, &t.outageSince, &t.outage, &t.rotation, &t.carded, &t.subscribed, &t.camera, &t.metered, &t.meteredTo} {
		state.Int(c, v)
	}
	state.List(c, &t.pauses, maxPauses, func(v *int64) { state.Int(c, v) })
	state.Map(c, &t.left, maxLeft, func(k *uint64, v *int64) { c.Word(k); state.Int(c, v) })
	for i := range t.hours {
		state.Int(c, &t.hours[i])
	}
	state.Int(c, &t.voiceBytes)
	h := &t.household
	state.Int(c, &h.Up)
	state.Int(c, &h.Down)
	state.Int(c, &h.Web)
	for i := range h.Far {
		c.Word(&h.Far[i])
	}
	for i := range h.Names {
		c.Word(&h.Names[i])
	}
	f.talked(&t.talked)
	x := &t.exchanges
	state.Int(c, &x.first)
	state.List(c, &x.far, maxExchangeFar, func(w *exchangesWith) {
		control.CodeAddr(c, &w.far)
		state.Int(c, &w.known)
		for _, n := range [...]*int{&w.calls, &w.bound, &w.chance, &w.spread} {
			f.count(n)
		}
		state.List(c, &w.times, maxExchanges, func(v *int64) { state.Int(c, v) })
	})
	f.sealed(&t.sealed)
	state.List(c, &t.hellos, maxHellos, f.hello)
}

func (f *frost) hello(h *Hello) {
	if state.Int(f.Coder, &h.Protocol); h.Protocol > hello.PPTP {
		f.Fail()
		h.Protocol = hello.None
	}
	for _, s := range [...]*string{&h.JA3, &h.JA4, &h.Name, &h.Issuer} {
		f.Text(s, maxWords)
	}
	f.Bool(&h.Bare)
	f.Bool(&h.SelfIssued)
	state.Int(f.Coder, &h.Version)
	control.CodeAddr(f.Coder, &h.Far)
	state.Int(f.Coder, &h.Port)
	f.Bool(&h.Asked)
	f.count(&h.Times)
	state.Int(f.Coder, &h.First)
	state.Int(f.Coder, &h.Last)
}

// Same says whether the counts come from the catalogue of now.
func (t *Thaw) Same() bool { return t.frost.under == "" }

// LinesIn says how many lines are in what one call of Append appended.
func LinesIn(b []byte) (lines uint64) {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			break
		}
		b = b[k+int(n):]
		lines++
	}
	return lines
}
