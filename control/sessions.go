package control

import (
	"cmp"
	"slices"

	"simtrap/ident"
)

// Times that bind records to each other, ns.
const (
	answerWithin = int64(10_000_000_000) // a request waits this long for its answer
	copyWithin   = int64(50_000_000)     // the same message again within this is a copy of the frame
	// echoWithin is how long an echo may take. It is less than the period of
	// every keepalive: where each is the same as the one before and the server
	// gives it back, a forged one that came first is forgotten by the next.
	echoWithin = int64(10_000_000_000)
)

const (
	maxPending = 16 // requests waiting per flow
	maxRecent  = 8  // messages per flow among which copies are looked for
)

// Limits bounds what Sessions keeps; zero values stand for the defaults.
type Limits struct {
	Evidences int // 65536
	Flows     int // 32768
	Cards     int // 131072, over all evidences
}

// SessionStats counts what Sessions lost or left aside, by reason.
type SessionStats struct {
	Copies    uint64 // messages seen again within 50 ms
	Reflected uint64 // records that the other end sent first, or may have
	Unplaced  uint64 // records of a sender whose role is not known (yet)
	Strayed   uint64 // records on flows not known that are a server's or not sound
	Unmatched uint64 // answers without a request
	Forgotten uint64 // requests pushed out by newer ones before their answer
	Evidences uint64 // evidences evicted
	Flows     uint64 // flows evicted
	Cards     uint64 // records whose card found no room in its evidence
	Texts     uint64 // short messages handed over, evicted before it was told what became of them
}

// Sessions binds records to each other over time: requests to answers, channels
// and cards to the address that showed them. It takes all records of all shards
// in order of time. It is not safe for concurrent use.
//
// Evidence is about who sends as a gateway or bank, never about who is sent to:
// a stranger who sends forged keepalives to a home speaks about the address he
// forged. What counts towards proof is answered by the peer.
//
// A service of a home that sends back whatever it is sent speaks like a gateway
// too. So a record that the other end sent on the same flow up to 10 s before
// is a reflection: it says nothing about its sender and is no request; only the
// protocol's own echo, of records that both ends send, answers the other end.
// All else on the flow goes on counting: on UDP anyone can forge what seems to
// come from the other end. Where so much was sent that some of it had to be
// forgotten, what may be a reflection is taken for one. On TCP, where forging
// takes a connection, both ends must have kept to roles that go together; where
// a connection is for one exchange (Record.Whole), they have done so with the
// answer.
//
// Of an echo whose first half did not pass the tap, or passed it in a form that
// is not read, nothing can be known: it looks like a gateway. See Set.UDP for
// one way to hide it that is barred.
type Sessions struct {
	limits Limits
	// Evidence that a peer has answered for lives in a table of its own, so
	// that a flood of forged senders drives out no other.
	fresh, firm *recency[evidenceKey, *Evidence]
	flows       *recency[flowKey, *flow]
	texts       *recency[textKey, handed]
	cards       int // in all evidences
	next        uint64
	forgot      int64 // time of the latest record on a flow evicted
	stats       SessionStats
}

type evidenceKey struct {
	owner, peer ident.Addr
	realm       ident.Realm
	protocol    string
	role        Role
}

// flowKey is a 5-tuple with its ends in order of address and port.
type flowKey struct {
	a, b         ident.Addr
	aPort, bPort uint16
	realm        ident.Realm
	tcp          bool
	protocol     string
}

// end is one of a flow's two, in the order of its key.
type end uint8

type flow struct {
	roles   [2]uint8 // bits 1<<Role that each end's sound records tell, without what was inferred
	spoke   [2]bool
	said    [2]said
	unsure  int64 // until when the end that speaks may be repeating what was forgotten
	last    int64 // time of the latest record
	pending []request
	recent  [maxRecent]message
	at      int // next place in recent
}

type request struct {
	exchange uint64
	time     int64
	evidence uint64 // number of the evidence it counted for, 0 none
	opened   uint64 // how often that had been opened again
	card     int32  // its card's place there, or -1
	from     end
	mark     bool
}

type message struct {
	digest uint64
	time   int64
	from   end
}

// NewSessions makes Sessions.
func NewSessions(l Limits) *Sessions {
	l = Limits{cmp.Or(l.Evidences, 65536), cmp.Or(l.Flows, 32768), cmp.Or(l.Cards, 131072)}
	return &Sessions{
		limits: l,
		forgot: -1 << 62,
		fresh:  newRecency[evidenceKey, *Evidence](max(l.Evidences-l.Evidences/4, 1)),
		firm:   newRecency[evidenceKey, *Evidence](max(l.Evidences/4, 1)),
		flows:  newRecency[flowKey, *flow](l.Flows),
		texts:  newRecency[textKey, handed](maxTexts),
	}
}

// Stats gives the counters so far.
func (s *Sessions) Stats() SessionStats { return s.stats }

// Record takes the next record. It gives the evidence about its sender if this
// record changed it, and that about its receiver if this record, as an answer,
// changed it; each nil otherwise. Evidence is owned by Sessions and goes on
// changing; one that is evicted later stops. Where the protocol does not tell
// the sender's role and the flow does, r.Sender is filled in.
func (s *Sessions) Record(r *Record) (sender, receiver *Evidence) {
	key, from := flowOf(r)
	f, known := s.flows.get(key)
	if !known {
		// A record that is not sound opens a flow all the same if its echo may
		// be sound, such as one that a snap length cut.
		// A server's request over TCP opens one where the server speaks first.
		asks := r.TCP && r.Sound && r.Kind == Command
		if r.Sender == RoleServer && !asks || !r.Sound && (r.Reply || r.Kind == Command) {
			s.stats.Strayed++
			return nil, nil
		}
		f = &flow{}
		if out, full := s.flows.put(key, f); full {
			s.stats.Flows++
			s.forgot = max(s.forgot, out.last)
		}
		f.unsure = s.forgot + echoWithin
	}
	f.last = max(f.last, r.Time)
	again := f.copied(r, from)
	if again == copied {
		s.stats.Copies++
		return nil, nil
	}
	reflected := r.Time <= f.unsure || f.said[1-from].has(r.Digest, r.Time)
	if !reflected {
		f.said[from].add(r.Digest, r.Time)
		s.follow(r, key, from)
	}
	// What both ends say is answered by the same.
	both := r.Sender == RoleUnknown
	var q request
	matched := false
	if r.Reply && !reflected || both {
		q, matched = f.match(r, from)
	}
	if both && r.Sound && (matched || reflected) {
		r.Sender = RoleServer // the requester comes first
	}
	if r.Sender == RoleUnknown {
		r.Sender = f.infer(from)
	} else if r.Sound && !both && (r.TCP || !reflected) {
		f.roles[from] |= 1 << r.Sender
	}
	f.spoke[from] = true
	if f.spoke[1-from] {
		receiver = s.heard(r, again == anew && r.TCP && !reflected)
	}
	if matched && q.evidence != 0 && (!r.TCP || r.Whole && r.Sound && f.paired(RoleGateway, q.from)) {
		if e := s.answered(r, q); e != nil {
			receiver = e
		}
	}
	if reflected {
		s.stats.Reflected++
		return nil, receiver
	}
	switch {
	case r.Sender == RoleUnknown:
		s.stats.Unplaced++
	case r.Reply && !matched && !r.TCP && again == anew:
		s.stats.Unmatched++
	}
	mine := request{exchange: r.Exchange, time: r.Time, from: from, card: -1}
	if r.Kind == Mark && (r.Sender == RoleGateway || r.Sender == RoleBank) {
		e := s.evidence(r)
		if e.Marks == 0 {
			e.FirstMark, e.Mark = r.Time, r.Detail
		}
		if again == anew {
			e.Marks++
		}
		e.PeerPort, e.TCP = r.DstPort, r.TCP
		mine.evidence, mine.opened, mine.mark = e.number, e.opened, true
		// On TCP a mark is handed out when both ends have spoken.
		if r.TCP || matched {
			mine.evidence = 0
			s.confirmMark(e, r.Time)
		}
		s.trim(e)
		sender = e
	}
	if r.Sound && (r.Sender == RoleGateway || r.Sender == RoleBank) {
		e := s.evidence(r)
		s.cards -= len(e.cards) + e.dropped
		e.dropped = 0
		at := e.card(r)
		s.cards += len(e.cards)
		if at < 0 && len(e.cards) >= maxCards {
			s.stats.Cards++
		}
		if e.Sound == 0 {
			e.First, e.Last = r.Time, r.Time
		}
		if again == anew {
			e.Sound++
		}
		e.First, e.Last = min(e.First, r.Time), max(e.Last, r.Time)
		e.PeerPort, e.TCP, e.Vendor = r.DstPort, r.TCP, r.Vendor
		e.OneWay = e.OneWay && !f.spoke[1-from]
		mine.evidence, mine.opened, mine.card = e.number, e.opened, int32(at)
		// On TCP it takes both ends to get as far as both speaking; on UDP only
		// an answer shows that both take part: the peer's to this record, or
		// this one to the peer's. On a connection for one exchange the answer
		// shows that both have got there.
		if r.TCP && !r.Whole {
			mine.evidence = 0
		}
		if r.TCP && f.paired(r.Sender, from) || !r.TCP && matched {
			mine.evidence = 0
			s.confirm(e, r.Time, at, again == anew)
			if !r.TCP && again == anew {
				e.Answers++
			}
		}
		s.trim(e)
		sender = e
	}
	if !matched && !r.Reply && r.Exchange != 0 && again == anew {
		f.wait(mine, &s.stats)
	}
	return sender, receiver
}

// All gives every evidence, sorted by owner, protocol, role and peer.
func (s *Sessions) All() []*Evidence {
	var all []*Evidence
	add := func(e *Evidence) { all = append(all, e) }
	s.firm.each(add)
	s.fresh.each(add)
	slices.SortFunc(all, func(a, b *Evidence) int {
		return cmp.Or(cmp.Compare(a.Realm, b.Realm), a.Owner.Compare(b.Owner), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.Role, b.Role), a.Peer.Compare(b.Peer))
	})
	return all
}

func flowOf(r *Record) (flowKey, end) {
	k := flowKey{r.Src, r.Dst, r.SrcPort, r.DstPort, r.Realm, r.TCP, r.Protocol}
	if c := r.Src.Compare(r.Dst); c > 0 || c == 0 && r.SrcPort > r.DstPort {
		k.a, k.b, k.aPort, k.bPort = k.b, k.a, k.bPort, k.aPort
		return k, 1
	}
	return k, 0
}

type sighting uint8

const (
	anew   sighting = iota
	part            // another record of the message before
	copied          // a copy of an earlier frame
)

// copied says whether r's message was seen on the flow just before.
func (f *flow) copied(r *Record, from end) sighting {
	for i := range f.recent {
		m := &f.recent[i]
		if m.digest != r.Digest || m.from != from || m.digest == 0 || r.Time-m.time > copyWithin {
			continue
		}
		if r.Time == m.time {
			return part
		}
		return copied
	}
	f.recent[f.at] = message{r.Digest, r.Time, from}
	f.at = (f.at + 1) % maxRecent
	return anew
}

// infer gives the role of one end where its record tells none, by what was told
// on the flow before; RoleUnknown if nothing was.
func (f *flow) infer(from end) Role {
	const gateway, bank, server = 1 << RoleGateway, 1 << RoleBank, 1 << RoleServer
	own, other := f.roles[from], f.roles[1-from]
	switch {
	case own&gateway != 0:
		return RoleGateway
	case own&(bank|server) != 0:
		return RoleServer
	case other&(bank|server) != 0:
		return RoleGateway
	case other&gateway != 0:
		return RoleServer
	}
	return RoleUnknown
}

// paired says whether the ends of a TCP connection have shown roles that go
// together, and neither end the other's. An echo has shown all that its other
// end has before it repeats anything that came later, however late it is and
// wherever the pieces of its stream are cut.
func (f *flow) paired(role Role, from end) bool {
	const gateway, bank, server = 1 << RoleGateway, 1 << RoleBank, 1 << RoleServer
	mine, peers := uint8(gateway), uint8(bank|server)
	if role == RoleBank {
		mine, peers = bank|server, gateway
	}
	return f.roles[1-from]&peers != 0 && f.roles[from]&peers == 0 && f.roles[1-from]&mine == 0
}

// match finds the request of the other end that r answers, and takes it away.
func (f *flow) match(r *Record, from end) (request, bool) {
	f.expire(r.Time)
	if r.Exchange == 0 {
		return request{}, false
	}
	for i, q := range f.pending {
		if q.exchange == r.Exchange && q.from != from {
			f.pending = slices.Delete(f.pending, i, i+1)
			return q, true
		}
	}
	return request{}, false
}

func (f *flow) expire(now int64) {
	f.pending = slices.DeleteFunc(f.pending, func(q request) bool { return now-q.time > answerWithin })
}

func (f *flow) wait(q request, stats *SessionStats) {
	if len(f.pending) >= maxPending {
		f.pending = slices.Delete(f.pending, 0, 1)
		stats.Forgotten++
	}
	f.pending = append(f.pending, q)
}

// evidence finds or opens the evidence about r's sender.
func (s *Sessions) evidence(r *Record) *Evidence {
	k := evidenceKey{r.Src, r.Dst, r.Realm, r.Protocol, r.Sender}
	if e := s.find(k); e != nil {
		return e
	}
	s.next++
	e := &Evidence{
		Owner: r.Src, Realm: r.Realm, Protocol: r.Protocol, Vendor: r.Vendor, Role: r.Sender, Peer: r.Dst,
		First: r.Time, Last: r.Time, OneWay: true, number: s.next,
	}
	if out, full := s.fresh.put(k, e); full {
		s.evicted(out)
	}
	return e
}

func (s *Sessions) find(k evidenceKey) *Evidence {
	if e, ok := s.firm.get(k); ok {
		return e
	}
	e, _ := s.fresh.get(k)
	return e
}

// about gives the evidence about r's receiver in the role that q was sent in,
// or in any.
func (s *Sessions) about(r *Record, role Role) *Evidence {
	return s.find(evidenceKey{r.Dst, r.Src, r.Realm, r.Protocol, role})
}

// heard notes that the peer of r's receiver speaks on a flow of theirs, and
// gives the evidence that this changed. counts says that the record is one to
// be counted among what the peer says.
func (s *Sessions) heard(r *Record, counts bool) (changed *Evidence) {
	for _, role := range [...]Role{RoleGateway, RoleBank} {
		e := s.about(r, role)
		if e == nil {
			continue
		}
		if e.OneWay {
			e.OneWay = false
			changed = e
		}
		if counts && r.Sound {
			e.Answers++
			changed = e
		}
	}
	return changed
}

// answered credits the request q with the answer r.
func (s *Sessions) answered(r *Record, q request) *Evidence {
	for _, role := range [...]Role{RoleGateway, RoleBank} {
		if e := s.about(r, role); e != nil && e.number == q.evidence && e.opened == q.opened {
			if q.mark {
				s.confirmMark(e, q.time)
				return e
			}
			s.confirm(e, q.time, int(q.card), true)
			if r.TCP {
				e.verifyAll(q.time) // heard has counted the answer
			} else {
				e.Answers++
			}
			return e
		}
	}
	return nil
}

// confirmMark counts a mark of time t as one that both ends took part in.
func (s *Sessions) confirmMark(e *Evidence, t int64) {
	if e.MarksAnswered == 0 {
		s.settle(e)
		e.FirstMarkAnswered = t
	}
	e.MarksAnswered++
	e.FirstMarkAnswered = min(e.FirstMarkAnswered, t)
}

// settle moves evidence that a peer has answered for to the table of its own.
func (s *Sessions) settle(e *Evidence) {
	k := evidenceKey{e.Owner, e.Peer, e.Realm, e.Protocol, e.Role}
	if _, ok := s.fresh.remove(k); ok {
		if out, full := s.firm.put(k, e); full {
			s.evicted(out)
		}
	}
}

// confirm counts a message of time t as one that both ends took part in.
func (s *Sessions) confirm(e *Evidence, t int64, card int, anew bool) {
	if e.Answered == 0 {
		s.settle(e)
		e.AnsweredFirst, e.AnsweredLast = t, t
	}
	if anew {
		e.Answered++
	}
	e.AnsweredFirst, e.AnsweredLast = min(e.AnsweredFirst, t), max(e.AnsweredLast, t)
	e.verify(card)
}

// trim keeps the cards of all evidences within their limit, at the cost of the
// least recently used evidence other than e.
func (s *Sessions) trim(e *Evidence) {
	for s.cards > s.limits.Cards {
		t := s.fresh
		if t.len() == 0 || t.len() == 1 && t.entries[t.tail].value == e {
			t = s.firm
		}
		if t.len() == 0 || t.entries[t.tail].value == e {
			return
		}
		out, _ := t.drop()
		s.evicted(out)
	}
}

func (s *Sessions) evicted(e *Evidence) {
	s.stats.Evidences++
	s.cards -= len(e.cards) + e.dropped
}
