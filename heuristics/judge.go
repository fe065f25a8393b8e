package heuristics

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"simtrap/control"
	"simtrap/heuristics/catalogue"
	"simtrap/ident"
)

// Thresholds of the verdicts, nats (VERDICT section 6).
const (
	watchScore, watchMargin   = 5, 0
	reviewScore, reviewMargin = 10, 3
	caseScore, caseMargin     = 14, 5
	caseFamiliesHome          = 4
	caseFamiliesNearest       = 2
	caseCalls                 = 10
	caseTime                  = 10 * minute
	watchFlows                = 3
	watchCalls                = 8
	watchLapse                = 0.5 // nats below either threshold
)

// judgeEvery is how often, in packet time, a line whose counts changed is
// looked at, so that the highest score of an epoch is not missed.
const judgeEvery = 30 * second

func (l *Lines) judgeIfDue(p *profile) {
	if p.dirty && p.kept && !l.closing && l.now-p.judged >= judgeEvery {
		l.judge(p, false)
	}
}

// enough says whether there is enough to go by. A margin of 0 promises nothing
// (its bound is e^0): after three calls to new mobiles every gateway that ends
// calls of others stands above it for a while, licensed ones as well.
func (p *profile) enough() bool { return p.enoughSeen() || p.tunnel.enough() }

// enoughSeen says so without what tunnels have shown.
func (p *profile) enoughSeen() bool {
	return p.firstControl() != 0 || p.traits != nil && p.traits.textsSeen >= watchCalls ||
		p.voice() && max(p.accepted, p.unsignalledCalls()) >= watchCalls
}

// voice says whether three confirmed voice flows of different calls were sent
// by the line.
func (p *profile) voice() bool { return max(p.voices, p.unsignalledCalls()) >= watchFlows }

// unsignalledCalls is how many calls without readable signalling count as
// support: those that the line vouches for. Where hidden signalling is seen it is
// the same: a page's streams and an echo's are none of its calls.
func (p *profile) unsignalledCalls() int {
	if p.traits == nil || p.counted > 0 {
		return 0
	}
	return p.traits.talked.calls
}

// watchMargin is the margin that a watch takes. Where a line's calls are seen as
// voice alone, or as rates inside of tunnels, what would exonerate is unseen as
// well: then the bound must say one in ten. Sealed signalling in step with them
// changes nothing of that, for honest offices have it too.
func (p *profile) watchMargin() float64 {
	if p.firstControl() != 0 || p.firstHidden != 0 || p.accepted >= watchCalls || p.traits != nil && p.traits.textsSeen >= watchCalls {
		return watchMargin
	}
	return math.Ln10
}

// callsBeside says whether the line has enough calls outside of tunnels: how many
// are up at once is one fact of a line, and must not count twice.
func (p *profile) callsBeside() bool { return max(p.accepted, p.unsignalledCalls()) >= watchCalls }

// inForce gives what was counted less what is left out as things stand.
func (l *Lines) inForce(p *profile) *Evidence {
	e := p.evidence
	for i := range l.signals {
		at := l.place[i]
		if s := &l.signals[i]; s.leave == nil || !l.model.visible(e, at) || !s.leave(p) {
			continue
		}
		if e == p.evidence {
			e = e.clone()
		}
		clear(l.model.counts(e, at))
	}
	return e
}

// weigh weighs what is in force of a line. It holds until the next.
func (l *Lines) weigh(p *profile) *weighed {
	l.weighed.take(l.model, l.inForce(p))
	return &l.weighed
}

// judge brings the counts up to date and scores them. final settles what still
// waits, at the end of the input.
func (l *Lines) judge(p *profile, final bool) {
	if final {
		l.settleOpen(p)
	}
	l.settleLegs(p, final)
	l.settleTalk(p, final)
	l.keep(p)
	for i := range l.signals {
		s := &l.signals[i]
		at := l.model.signals[l.place[i]].first
		if s.static != nil && (s.anew || p.evidence.Static[at] == 0) {
			if c := s.static(p, l.now); c >= 0 || s.anew {
				p.evidence.Static[at] = int8(c + 1)
			}
		}
		if s.seen != nil {
			// Read anew each time: a sighting that nobody answered may turn out
			// to be no sighting, when the tap shows its other direction.
			since, first, ok := s.seen(p)
			looked := p.last
			if ok {
				looked = first
			}
			p.evidence.Sighted[at], p.evidence.Exposure[at] = ok, 0
			if since != 0 {
				p.evidence.Exposure[at] = max(looked-max(since, p.epoch), 0)
			}
		}
	}
	p.dirty, p.judged = false, l.now

	p.score = l.weigh(p).score(l.model.everything)
	p.peakScore = max(p.peakScore, p.score.S)
	p.peakMargin = max(p.peakMargin, p.score.M)
	switch v := l.verdict(p); {
	case v > p.verdict:
		for r := p.verdict + 1; r <= v; r++ {
			p.reached[r] = Reach{r, l.now, p.counted}
		}
		p.verdict = v
	case p.verdict == Watch && v == None && (p.score.M < p.watchMargin()-watchLapse || p.score.S < watchScore-watchLapse):
		// A margin of 0 is no promise that could stand against what came since.
		p.verdict = None
	}
}

// verdict applies VERDICT section 6 to the score as it stands.
func (l *Lines) verdict(p *profile) Verdict {
	v := None
	if !p.proof {
		p.oneWay, p.proofNote = false, ""
	}
	for _, e := range p.control {
		proof, oneWay, reason := e.Proof()
		switch {
		case proof && !oneWay:
			p.proof, p.proofNote = true, reason
			return Case
		case proof && !p.proof && !l.tap.twoWay:
			p.oneWay, p.proofNote = true, reason
		}
	}
	if !p.enough() {
		return v
	}
	s := p.score
	switch {
	case s.S >= reviewScore && s.M >= reviewMargin && p.enoughSeen():
		v = max(v, Review)
	case s.S >= watchScore && s.M >= p.watchMargin():
		v = max(v, Watch)
	}
	if v == Review && l.meetsCase(p) {
		v = Case
	}
	return v
}

// meetsCase computes the score without vendor strings and asks for breadth and
// time besides.
func (l *Lines) meetsCase(p *profile) bool {
	if p.counted < caseCalls || p.lastCounted-p.firstCounted < caseTime {
		return false
	}
	w := l.weigh(p)
	s := w.score(l.model.vendorStrings)
	if s.S < caseScore || s.M < caseMargin {
		return false
	}
	home, nearest := 0, 0
	for f := range l.model.families {
		without := w.score(func(i int) bool {
			return l.model.signals[i].Vendor || l.model.signals[i].family == f
		})
		if s.Against(l.model, "home")-without.Against(l.model, "home") >= 1 {
			home++
		}
		if s.M-without.Against(l.model, s.Nearest) >= 1 {
			nearest++
		}
	}
	return home >= caseFamiliesHome && nearest >= caseFamiliesNearest
}

// Closing says that the input has ended: what is told from now on is settled
// and judged once, by Findings.
func (l *Lines) Closing() { l.closing = true }

// Findings judges every line once more, as at the end of the input or of a
// reporting interval, and gives all of them, those of past epochs too: worst
// first, then by address. Lines below least come without a ledger, which is
// most of the work.
func (l *Lines) Findings(final bool, least Verdict) []Finding {
	out := make([]Finding, 0, len(l.closed)+l.kept.n)
	out = append(out, l.closed...)
	l.counters.FarEnds = 0
	// In the order in which their profiles were used, and so lie in memory.
	for p := l.kept.root.next; p != &l.kept.root; p = p.next {
		if l.farEnd(p) {
			l.counters.FarEnds++
			continue
		}
		l.judge(p, final)
		out = append(out, l.finding(p, p.standing() >= least))
	}
	slices.SortFunc(out, compareFindings)
	return out
}

// serves is from how many far ends on an address is taken for a server when
// nobody said where the subscribers are: a gateway has a controller or three
// (gateways 1.1.3).
const serves = 8

// farEnd says whether an address is the network's side of its calls and not a
// subscriber: it grants registrations, serves many, or is farther from the tap
// than its peer. With home prefixes nobody asks.
func (l *Lines) farEnd(p *profile) bool {
	if l.config.Homes.Known() || p.firstControl() != 0 {
		return false
	}
	if p.registrar {
		return true
	}
	talkers := 0
	var first *peer
	var most, total uint32
	for i := range p.peers {
		x := &p.peers[i]
		n := x.roles[roleTrunkPeer] + x.roles[roleRegistrar]
		if n == 0 {
			continue
		}
		talkers++
		total += n
		if n > most || n == most && x.addr.Compare(first.addr) < 0 {
			first, most = x, n
		}
	}
	if first == nil {
		return false
	}
	// A server's customers are many; a gateway has one that outweighs the rest.
	if talkers >= serves && 2*most <= total {
		return true
	}
	other := l.table[l.config.Homes.LineOf(first.addr, p.line.Realm)]
	return other != nil && other.sipUp > 0 && p.sipUp > 0 && p.hops >= other.hops+2
}

func compareFindings(a, b Finding) int {
	switch {
	case a.Verdict != b.Verdict:
		return int(b.Verdict) - int(a.Verdict)
	case a.Proof != b.Proof:
		if a.Proof {
			return -1
		}
		return 1
	case a.Score != b.Score:
		if a.Score > b.Score {
			return -1
		}
		return 1
	}
	if c := a.Line.Compare(b.Line); c != 0 {
		return c
	}
	return cmp.Compare(a.First, b.First)
}

// finding writes down what is known of a line. It changes nothing.
func (l *Lines) finding(p *profile, ledger bool) Finding {
	f := Finding{
		Line: p.line, Verdict: p.standing(), Proof: p.proof,
		Score: p.score.S, Margin: p.score.M, Nearest: p.score.Nearest,
		PeakScore: p.peakScore, PeakMargin: p.peakMargin, AgainstHome: p.score.Against(l.model, "home"),
		First: p.first, Last: p.last, Subscriber: p.subscriber(), EpochStart: l.epochStart(p), Hub: p.hub(l.now),
		Device: Device{Vendor: p.vendor, Model: p.model, Channels: max(p.peakUp, p.tunnel.peak)},
		Calls: Calls{
			Inbound: p.attemptsIn, Outbound: p.attemptsOut, Answered: p.answered, Verified: p.verified,
			PeakConcurrent: max(p.peakUp, p.tunnel.peak), DistinctCalled: p.dialled.n(), Streams: p.streams, TalkSeconds: int(p.talk / second),
		},
	}
	f.Links, f.Hellos = p.links(), p.hellos()
	seen := make(map[Card]bool)
	for _, e := range p.control {
		if !p.tap.counts(e) {
			continue // anybody may have sent it
		}
		f.Device.Channels = max(f.Device.Channels, e.Seen.Channels)
		if e.Vendor != "" {
			f.Device.Vendor = e.Vendor
		}
		for _, c := range e.Cards() {
			card := Card{IMSI: c.IMSI, IMEI: c.IMEI, ICCID: c.ICCID, MSISDN: c.Number}
			if !seen[card] {
				seen[card] = true
				f.Cards = append(f.Cards, card)
			}
		}
	}
	f.Cards = append(f.Cards, p.borrowed(f.Cards)...)
	f.Controllers = p.controllers()
	if f.Verdict > None {
		f.Reached = slices.Clone(p.reached[Watch : p.verdict+1])
	}
	if l.config.Evidence && p.evidence != nil {
		f.Evidence = l.inForce(p).clone()
	}
	if ledger {
		f.Signals, f.Unseen = l.ledger(p)
	}
	return f
}

// borrowed gives the cards that banks elsewhere lend to the line, but for those
// that it has told itself.
func (p *profile) borrowed(own []Card) (out []Card) {
	for _, b := range p.banks {
		// The line is a gateway of that bank by what it said itself.
		if !slices.ContainsFunc(p.control, func(e *control.Evidence) bool {
			return e.Peer == b.Owner && e.Protocol == b.Protocol && p.tap.counts(e)
		}) {
			continue
		}
		for _, c := range b.Cards() {
			// The bank does not know since when the line is in these hands.
			if c.Last < max(p.epoch, p.tenantSince) || c.IMSI.IsZero() && c.ICCID.IsZero() {
				continue
			}
			known := func(o Card) bool {
				return !c.IMSI.IsZero() && o.IMSI == c.IMSI || !c.ICCID.IsZero() && o.ICCID == c.ICCID
			}
			if !slices.ContainsFunc(own, known) && !slices.ContainsFunc(out, known) {
				out = append(out, Card{IMSI: c.IMSI, IMEI: c.IMEI, ICCID: c.ICCID, MSISDN: c.Number})
			}
		}
	}
	return out
}

func (p *profile) controllers() []Controller {
	var ps []*peer
	for i := range p.peers {
		ps = append(ps, &p.peers[i])
	}
	total := func(x *peer) (n uint32) {
		for _, c := range x.roles {
			n += c
		}
		return n
	}
	slices.SortFunc(ps, func(a, b *peer) int {
		if x, y := total(a), total(b); x != y {
			if x > y {
				return -1
			}
			return 1
		}
		return a.addr.Compare(b.addr)
	})
	var out []Controller
	for _, x := range ps {
		for r := range nRoles {
			// The registrar sends the calls as well; one role says it.
			if x.roles[r] == 0 || r == roleTrunkPeer && x.roles[roleRegistrar] > 0 || r == roleMedia && len(out) > 0 && out[len(out)-1].Addr == x.addr {
				continue
			}
			if len(out) < 16 {
				out = append(out, Controller{Addr: x.addr, Role: r.String()})
			}
		}
	}
	return out
}

func (p *profile) links() Links {
	k := Links{Stack: p.stack(), Contact: p.contact, Active: slices.Clone(p.active)}
	var as []*account
	for _, a := range p.accounts {
		as = append(as, a)
	}
	slices.SortFunc(as, func(a, b *account) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	for _, a := range as {
		k.Accounts = append(k.Accounts, a.account)
	}
	// One device has one name for all its streams, or one for each; the latter
	// link nothing.
	for name, n := range p.cnames {
		if 2*n > p.named {
			k.CNAME = name
		}
	}
	if len(p.clocks) > 0 && p.clockGroups() == 1 {
		k.ClockPPM, k.ClockErrorPPM = p.meanClock()
	}
	return k
}

// meanClock weighs the readings by their certainty.
func (p *profile) meanClock() (ppm, err float64) {
	var sw, s float64
	for _, c := range p.clocks {
		w := 1 / ((c.err + clockFloor) * (c.err + clockFloor))
		sw += w
		s += w * c.ppm
	}
	return s / sw, math.Sqrt(1/sw) + clockFloor/2
}

// ledger tells what each signal contributes against the nearest lookalike and
// against a household, and what could not be seen.
func (l *Lines) ledger(p *profile) (rows []Row, unseen []string) {
	m := l.model
	w := l.weigh(p)
	e := w.e
	for i := range l.signals {
		s, at := &l.signals[i], l.place[i]
		if !m.visible(e, at) {
			if u := s.unseen(p); u != "" {
				unseen = append(unseen, u)
			}
			continue
		}
		less := w.score(func(j int) bool { return j == at })
		var n []uint32
		if m.signals[at].Kind == catalogue.Urn {
			n = m.counts(e, at)
		}
		detail := s.detail(p, n)
		against := []string{"home"}
		if near := p.score.Nearest; near != "home" {
			against = append(against, near)
		}
		for _, k := range against {
			rows = append(rows, Row{ID: s.id, Family: m.signals[at].Family, Nats: p.score.Against(m, k) - less.Against(m, k), Against: k, Detail: detail})
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		if a.Against != b.Against {
			if a.Against == p.score.Nearest {
				return -1
			}
			return 1
		}
		// As printed, so that the last bit of a sum decides nothing.
		return cmp.Compare(math.Round(1000*b.Nats), math.Round(1000*a.Nats))
	})
	if p.proofNote != "" {
		// Proof is a rule beside the score; its reason leads the ledger.
		rows = append([]Row{{ID: "proof", Family: "control", Against: "home", Detail: p.proofNote}}, rows...)
	}
	if !p.proof {
		unseen = append(unseen, p.wanting()...)
	}
	if p.under != "" {
		unseen = append(unseen, fmt.Sprintf("the counts began under the catalogue %s and are read with the tables of %s", short(p.under), short(l.model.cat.Hash)))
	}
	if !l.tap.twoWay {
		unseen = append(unseen, "the tap has shown one direction only: nothing here was confirmed by the other end")
	}
	if !l.config.Homes.Known() {
		unseen = append(unseen, "no home prefixes were given (--home): which end is the subscriber's is taken from signalling")
	}
	if p.unsupported > 0 {
		unseen = append(unseen, fmt.Sprintf("%s that only the far end vouches for: not counted", plural(uint32(p.unsupported), "inbound call")))
	}
	return rows, unseen
}

// short is as much of a catalogue's hash as tells it from others.
func short(hash string) string { return hash[:min(len(hash), 12)] }

// wanting says what is still missing for the conditions that time would meet.
func (p *profile) wanting() (out []string) {
	if t := &p.tunnel; t.talk > 0 && !p.enough() {
		out = append(out, fmt.Sprintf("%d of %d times, a minute apart, %d calls or more at once in a tunnel, %d of %d min of talk: no verdict without them",
			min(t.windows, watchFlows), watchFlows, watchTunnelCalls, t.talk/minute, watchTunnelTalk/minute))
	}
	if p.counted == 0 && p.firstControl() == 0 {
		return out
	}
	if !p.voice() && p.firstControl() == 0 {
		out = append(out, fmt.Sprintf("%d of 3 calls with a voice stream of the line: no verdict without them", p.voices))
	} else if !p.enough() {
		out = append(out, fmt.Sprintf("%d of %d accepted calls: no verdict without them", p.accepted, watchCalls))
	}
	if span := p.lastCounted - p.firstCounted; p.counted < caseCalls || span < caseTime {
		out = append(out, fmt.Sprintf("%s over %s: a case wants ten over ten minutes", plural(uint32(p.counted), "call"), duration(span)))
	}
	return out
}

// Lines gives how many lines have a profile.
func (l *Lines) Lines() int { return len(l.table) }

// Has says whether the line has a profile.
func (l *Lines) Has(line ident.Line) bool { return l.table[line] != nil }
