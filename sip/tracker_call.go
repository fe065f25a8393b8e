package sip

import (
	"bytes"
	"math"
	"slices"

	"simtrap/ident"
	"simtrap/packet"
)

// phase is how far a call has come.
type phase uint8

const (
	phaseOpen       phase = iota // INVITE under way
	phaseChallenged              // refused until it is sent again with credentials
	phaseCancelling              // CANCEL seen
	phaseFailed                  // final response other than 2xx; its ACK may follow
	phaseAnswered                // 2xx to INVITE, or in mid-call
	phaseClosing                 // BYE seen
	phaseOver                    // told as ended
)

// call is a Call with what it takes to follow it.
type call struct {
	Call
	phase phase
	first int64 // time of the first message
	since int64 // when the phase began, of those that run out

	cseq      uint32 // of the INVITE
	inside    uint32 // of the caller's last INVITE inside the dialog, 0 none
	invited   bool   // an INVITE that asks for a new dialog was seen
	cancelled bool
	final     uint16 // status of the challenge
	id        uint64 // keyed hash of Call-ID and realm
	pair      uint64 // its place in Tracker.pairs
	callerTag uint64
	tags      [4]uint64 // To tags of the callee
	proofs    uint8     // which of tags the callee chose, by bit
	crowded   bool      // guesses from elsewhere cannot be noted, so nothing is a proof
	guesses   filter    // To tags that the caller used and the callee had not chosen
	branches  [4]uint64 // of INVITEs under way: a proxy may fork two to one address
	forks     uint8     // how many of branches are set
	ntags     uint8
	opened    uint8 // which of tags opened a dialog, by bit
	lives     uint8 // which of them a 2xx confirmed, and no BYE has ended
	replaced  bool  // another call took it over
	offers    offers
	recent    [6]sighting
	oldest    uint8 // of recent, the next to be overwritten
	event     uint8 // events of the message at hand, by bit
}

// sighting is one message of a call by its hash, and when it was last seen.
type sighting struct {
	what uint64
	t    int64
}

// call takes a message that belongs to a call.
func (t *Tracker) call(p *packet.Packet, m *Message) {
	found := t.findCalls(p, m)
	if found.n == 1 && t.startsAnew(found.calls[0], p, m) {
		t.giveUp(found.calls[0])
		found.n = 0
	}
	if found.n == 0 {
		if !opens(m) {
			t.count.Strays++
			return
		}
		found.add(t.startCall(p, m))
	}
	for _, i := range found.calls[:found.n] {
		t.followCall(i, p, m)
	}
}

// inCall takes a message of a method that may belong to a call or not; false
// says that it does not.
func (t *Tracker) inCall(p *packet.Packet, m *Message) bool {
	found, taken := t.findCalls(p, m), false
	for _, i := range found.calls[:found.n] {
		if t.calls.at(i).phase != phaseOver {
			t.followCall(i, p, m)
			taken = true
		}
	}
	return taken
}

// startsAnew says whether m is a new attempt under the Call-ID and From tag of
// call i: the same caller again after the first came to its end.
func (t *Tracker) startsAnew(i int32, p *packet.Packet, m *Message) bool {
	c := t.calls.at(i)
	if m.Method != INVITE || m.Status != 0 || len(m.To.Tag) > 0 || p.Src != c.Caller.Addr || c.Midway {
		return false
	}
	return m.CSeq > c.cseq && c.phase != phaseOpen && c.phase != phaseChallenged
}

// opens says whether a call begins with m as far as can be seen.
func opens(m *Message) bool {
	if m.Method == INVITE {
		return true
	}
	if m.Status != 0 || len(m.To.Tag) == 0 {
		return false
	}
	switch m.Method {
	case BYE, PRACK, UPDATE, INFO:
		return true
	}
	return false
}

func (t *Tracker) startCall(p *packet.Packet, m *Message) int32 {
	if v := t.calls.victim(); v != none {
		if t.calls.at(v).phase != phaseOver {
			t.count.CallsEvicted++
		}
		t.giveUp(v)
	}
	id, from := t.id, t.text(m.From.Tag)
	requester, other := ends(p, m)
	i := t.calls.add(place(id, requester, other, from), gradeWeak, t.now+t.cfg.NoAnswer)
	c := t.calls.at(i)
	c.id, c.callerTag = id, from
	c.pair = t.exchange(p)
	t.pairs.Set(c.pair, i)
	t.count.CallsStarted++
	c.ID = t.count.CallsStarted
	c.Realm = p.Realm
	c.TCP = p.Proto == packet.TCP
	c.first = t.now
	c.cseq = m.CSeq
	c.Caller, c.Callee = source(p), destination(p)
	if m.Status != 0 {
		c.Caller, c.Callee = c.Callee, c.Caller
	}
	c.crowded = !t.list(i, c.atCallee())
	if m.Status == 0 && len(m.To.Tag) > 0 {
		c.Midway = true
		c.phase = phaseAnswered
		t.keepTag(i, t.text(m.To.Tag), 0)
	}
	t.numbers(c, m)
	if len(m.Replaces) > 0 && m.Method == INVITE && m.Status == 0 {
		c.Replaces = t.replaces(p, m)
	}
	c.tell(CallStarted)
	return i
}

// CallingUser is the caller of the call that a Handler is being told has started.
// It is not kept: most calls are of no further interest.
func (t *Tracker) CallingUser() ident.Number { return ident.NewNumber(t.calling) }

// numbers sets who calls whom.
func (t *Tracker) numbers(c *call, m *Message) {
	var called []byte
	called, c.CalleeKey, c.CalleeClass = t.called(m, c.Callee.Addr, c.Realm)
	c.CalledUser = ident.NewNumber(called[:min(len(called), maxText)])
	if c.CalleeClass == ident.NumberMobile {
		c.CalleeOperator = t.cfg.Plan.Describe(called, t.buf[:]).Operator
	}
	caller := m.PAI
	if len(caller) == 0 {
		caller = m.From.User
	}
	c.CallerKey, c.CallerClass = t.user(caller)
	t.calling = caller[:min(len(caller), maxText)]
}

// called tells whom m is for, which went to callee or came from there: the user
// part that names it, with its key and class.
func (t *Tracker) called(m *Message, callee ident.Addr, realm ident.Realm) (user []byte, key uint64, class ident.NumberClass) {
	user = m.To.User
	// Inside a dialog the request-URI is the other end's contact.
	if m.Status == 0 && len(m.To.Tag) == 0 && len(m.URIUser) > 0 {
		user = beforeStar(m.URIUser)
	}
	key, class = t.user(user)
	own, ok := t.ownAccount(key, callee, realm)
	if !ok {
		return user, key, class
	}
	// A proxy writes the contact into the request-URI (RFC 3261 section
	// 16.6); the number that was dialled then stands in To only.
	if k, c := t.user(m.To.User); k != 0 && k != own && c != ident.NumberUnknown && c != ident.NumberInternal {
		return m.To.User, k, c
	}
	return user, own, class
}

// beforeStar gives CALLED of "CALLED*CALLING", as gateways by DBL write a
// request-URI to tell the caller's number. A few digits before a star are a
// technical prefix.
func beforeStar(user []byte) []byte {
	n := bytes.IndexByte(user, '*')
	if n < 7 {
		return user
	}
	for _, half := range [...][]byte{user[:n], user[n+1:]} {
		if half = bytes.TrimPrefix(half, []byte("+")); len(half) < 3 {
			return user
		}
		for _, c := range half {
			if !isDigit(c) {
				return user
			}
		}
	}
	return user[:n]
}

// followCall lets call i take message m.
func (t *Tracker) followCall(i int32, p *packet.Packet, m *Message) {
	c := t.calls.at(i)
	if c.phase == phaseOver {
		t.count.Late++
		return
	}
	sender := c.side(t, p, m)
	repeat := false
	if last := c.sight(t.signature(m, sender), t.now); last != 0 {
		if t.now-last < mirrored {
			t.count.Repeats++
			return
		}
		repeat = true
		c.Retransmits = increased(c.Retransmits)
	}
	c.Last = t.now
	c.Doubtful = c.Doubtful || p.Doubtful
	if sender == SideCaller {
		c.Seen |= SeenRequest
	} else {
		c.Seen |= SeenResponse
	}
	t.traits(c, m, sender)
	if m.Status == 0 {
		t.verify(c, m, sender)
		t.requestInCall(c, m, sender, repeat)
	} else {
		t.responseInCall(i, m, sender)
	}
	c.describe(m, sender)
	t.report(i)
}

// side tells which side sent m.
func (c *call) side(t *Tracker, p *packet.Packet, m *Message) Side {
	switch {
	case c.Caller.Addr == c.Callee.Addr: // both ends on one host
	case p.Src == c.Caller.Addr && p.Dst == c.Callee.Addr:
		return SideCaller
	case p.Src == c.Callee.Addr && p.Dst == c.Caller.Addr:
		return SideCallee
	}
	// Addresses do not tell them apart, or one is not of the INVITE: tags do,
	// then ports.
	byCaller := p.SrcPort == c.Caller.Port
	if c.callerTag != 0 && t.text(m.From.Tag) == c.callerTag {
		byCaller = m.Status == 0
	} else if c.callerTag != 0 && t.text(m.To.Tag) == c.callerTag {
		byCaller = m.Status != 0
	}
	if byCaller {
		return SideCaller
	}
	return SideCallee
}

func other(s Side) Side {
	if s == SideCaller {
		return SideCallee
	}
	return SideCaller
}

// signature is equal for a message and its retransmission.
func (t *Tracker) signature(m *Message, sender Side) uint64 {
	h := t.text(m.Branch) + 31*t.text(m.To.Tag)
	return sequence(h+uint64(m.Status)<<8+uint64(sender), m)
}

// sight notes that what was seen at now and gives when it was seen before, 0 if
// it was not.
func (c *call) sight(what uint64, now int64) int64 {
	for k := range c.recent {
		if s := &c.recent[k]; s.what == what && s.t != 0 {
			last := s.t
			s.t = now
			return last
		}
	}
	c.recent[c.oldest] = sighting{what, now}
	c.oldest = (c.oldest + 1) % uint8(len(c.recent))
	return 0
}

func increased(n uint16) uint16 {
	if n < math.MaxUint16 {
		n++
	}
	return n
}

// traits keeps what the sender's software shows of itself. 100 is left out: a
// proxy or a kernel of the stack may have written it.
func (t *Tracker) traits(c *call, m *Message, sender Side) {
	if m.Status == 100 {
		return
	}
	k, shape := 0, &c.CallerShape
	if sender == SideCallee {
		k, shape = 1, &c.CalleeShape
	}
	if c.UserAgent[k] == "" && len(m.UserAgent) > 0 {
		c.UserAgent[k] = t.name(m.UserAgent)
	}
	if *shape == 0 {
		*shape = m.Shape
	}
	switch m.Method {
	case INVITE, ACK, UPDATE, PRACK:
	default:
		return
	}
	if m.SessionExpires != 0 && m.Status < 300 {
		c.Timer = m.SessionExpires
	}
	if c.Content != ContentMANSCDP && m.Status < 300 {
		if k := m.Kind(); c.Content == ContentNone || k == ContentMANSCDP {
			c.Content = k
		}
	}
}

// verify looks for the proof that the caller read what the callee answered: a To
// tag that the callee chose. A tag that the caller used first proves nothing,
// because a callee copies it into its answer (RFC 3261 section 8.2.6.2).
func (t *Tracker) verify(c *call, m *Message, sender Side) {
	if sender != SideCaller || len(m.To.Tag) == 0 || c.Verified {
		return
	}
	tag := t.text(m.To.Tag)
	if k := c.tag(tag); k >= 0 && c.proofs&(1<<k) != 0 {
		c.Verified = true
		c.tell(CallVerified)
		return
	}
	c.guesses.add(tag)
}

// chosen keeps the To tag of a response of the callee's to the INVITE.
func (t *Tracker) chosen(i int32, m *Message) {
	c, tag := t.calls.at(i), t.text(m.To.Tag)
	if tag == 0 || tag == c.callerTag {
		return
	}
	if !c.invited {
		t.keepTag(i, tag, m.Status) // who used it first was out of sight
		return
	}
	// The branch must be that of an INVITE without a tag. The answer to one with
	// a made-up tag, sent from another address but with a Via that names the
	// caller's, comes here too, and only echoes.
	if !c.asked(t.text(m.Branch)) {
		return
	}
	k := t.keepTag(i, tag, m.Status)
	if k < 0 {
		return
	}
	if !c.crowded && !c.guesses.has(tag) {
		c.proofs |= 1 << k
	}
	if m.Status < 300 && c.opened&(1<<k) == 0 {
		if c.opened != 0 && c.Forks < math.MaxUint8 {
			c.Forks++
		}
		c.opened |= 1 << k
	}
	if m.Status >= 200 && m.Status < 300 && c.phase != phaseClosing {
		c.lives |= 1 << k
	}
}

func (t *Tracker) requestInCall(c *call, m *Message, sender Side, repeat bool) {
	switch m.Method {
	case INVITE:
		if len(m.To.Tag) > 0 {
			if sender == SideCaller {
				c.inside = m.CSeq
			}
			if !repeat {
				c.Reinvites = increased(c.Reinvites)
			}
		} else if sender == SideCaller {
			t.invite(c, m)
		}
	case ACK:
		t.ack(c, m, sender)
	case CANCEL:
		if sender == SideCaller && (c.phase == phaseOpen || c.phase == phaseCancelling) {
			c.cancel(t.now)
		}
	case BYE:
		// A challenge without a status was inferred from an ACK with the INVITE's
		// branch; some send that for a 2xx too, and a BYE then tells.
		if !t.leaves(c, m) {
			return
		}
		inferred := c.phase == phaseChallenged && c.final == 0
		if inferred || c.phase == phaseOpen || c.phase == phaseCancelling || c.phase == phaseAnswered {
			c.End, c.EndedBy = t.now, sender
			c.phase, c.since = phaseClosing, t.now
		}
	case REFER:
		if !repeat {
			k := sender - SideCaller
			c.Refers, c.RefersBy[k] = increased(c.Refers), increased(c.RefersBy[k])
		}
	}
}

// invite takes an INVITE for a new dialog.
func (t *Tracker) invite(c *call, m *Message) {
	if !c.invited {
		c.invited = true
		if c.Seen&SeenResponse != 0 {
			t.numbers(c, m) // the responses overtook it
		}
		if c.Invite == 0 {
			c.Invite = c.first
		}
	}
	if c.phase != phaseOpen && c.phase != phaseChallenged {
		return
	}
	if m.CSeq > c.cseq {
		c.retried(m)
	}
	branch := t.text(m.Branch)
	if c.asked(branch) {
		return
	}
	if branch != 0 && int(c.forks) < len(c.branches) {
		c.branches[c.forks] = branch
		c.forks++
	}
}

// retried begins the INVITE's next transaction, after a challenge.
func (c *call) retried(m *Message) {
	c.cseq = m.CSeq
	c.phase = phaseOpen
	c.forks = 0
	c.final = 0
	c.opened, c.lives = 0, 0
	c.cancelled, c.EndedBy = false, SideNone
}

// cancel notes a CANCEL. With several branches under way it may be for one of
// them only, so their final responses decide.
func (c *call) cancel(now int64) {
	c.cancelled, c.EndedBy = true, SideCaller
	if c.phase == phaseOpen && c.forks <= 1 {
		c.phase, c.since = phaseCancelling, now
	}
}

func (t *Tracker) ack(c *call, m *Message, sender Side) {
	if sender != SideCaller || m.CSeq != c.cseq {
		return
	}
	switch c.phase {
	case phaseAnswered:
		if c.Ack == 0 && !c.Midway {
			c.Ack = t.now
		}
	case phaseFailed:
		c.tell(CallEnded)
	case phaseOpen, phaseCancelling:
		// Only where the callee's side is out of sight may an ACK stand for the
		// response before it; else a stranger could make a call look answered.
		if c.Seen&SeenResponse != 0 {
			return
		}
		if c.drop(t.text(m.Branch)) {
			// It has the INVITE's branch, so it was for a failure or a challenge
			// (RFC 3261 section 17.1.1.3).
			if c.cancelled {
				c.End, c.Cause = t.now, 487
				c.tell(CallEnded)
			} else if c.forks == 0 {
				c.phase, c.since = phaseChallenged, t.now
			}
			return
		}
		c.answered(t.now, 200)
		c.Ack = t.now
	}
}

// asked says whether an INVITE with branch is under way.
func (c *call) asked(branch uint64) bool {
	return slices.Contains(c.branches[:c.forks], branch)
}

// drop takes branch from those under way and says whether it was one.
func (c *call) drop(branch uint64) bool {
	for k, b := range c.branches[:c.forks] {
		if b == branch {
			c.forks--
			c.branches[k] = c.branches[c.forks]
			return true
		}
	}
	return false
}

func (c *call) answered(now int64, status uint16) {
	c.Answer, c.Cause = now, status
	c.End, c.EndedBy, c.cancelled = 0, SideNone, false
	c.phase = phaseAnswered
	c.tell(CallAnswered)
}

func (t *Tracker) responseInCall(i int32, m *Message, sender Side) {
	c := t.calls.at(i)
	switch m.Method {
	case INVITE:
		opening := m.CSeq == c.cseq || m.CSeq > c.cseq && m.CSeq != c.inside && c.Answer == 0
		if sender == SideCallee && !c.Midway && opening {
			t.inviteAnswered(i, m)
			return
		}
	case CANCEL:
		if sender == SideCallee && m.Status/100 == 2 && c.phase == phaseOpen && !c.cancelled {
			c.cancel(t.now)
		}
		return
	case BYE:
		t.byeAnswered(c, m, sender)
		return
	}
	if m.Status == 481 && c.ends481(m.Method) && c.phase == phaseAnswered && c.fits(t, m) {
		c.End = t.now
		c.tell(CallEnded)
	}
}

// ends481 says whether a 481 to a request of method means that the callee or
// caller knows nothing of the call any more (RFC 3261 section 12.2.1.2). To
// SUBSCRIBE and NOTIFY it ends a subscription only (RFC 5057 section 5.1), and
// to PRACK it may say that the answer came first, so that it counts only where
// nothing else is known of the call.
func (c *call) ends481(method Method) bool {
	switch method {
	case SUBSCRIBE, NOTIFY:
		return false
	case PRACK:
		return c.Midway
	}
	return true
}

func (t *Tracker) byeAnswered(c *call, m *Message, sender Side) {
	if m.Status < 200 || m.Status == 401 || m.Status == 407 || !t.leaves(c, m) {
		return
	}
	switch c.phase {
	case phaseOpen, phaseCancelling, phaseAnswered:
		// The BYE itself went the way that is out of sight.
		c.End, c.EndedBy = t.now, other(sender)
		c.tell(CallEnded)
	case phaseClosing:
		c.tell(CallEnded)
	}
}

// inviteAnswered takes a response to the INVITE that opens the call.
func (t *Tracker) inviteAnswered(i int32, m *Message) {
	c := t.calls.at(i)
	if m.CSeq > c.cseq {
		if c.phase != phaseOpen && c.phase != phaseChallenged {
			return
		}
		c.retried(m) // the next INVITE was out of sight
	}
	t.chosen(i, m)
	switch {
	case m.Status < 200:
		if c.phase != phaseOpen && c.phase != phaseCancelling {
			return
		}
		if c.Trying == 0 && m.Status == 100 {
			c.Trying = t.now
		}
		if c.Progress == 0 && m.Status > 100 && m.SDP.Present {
			c.Progress = t.now
		}
		if c.Ringing == 0 && (m.Status == 180 || m.Status == 183) {
			c.Ringing = t.now
			c.tell(CallRinging)
		}
	case m.Status < 300:
		switch c.phase {
		case phaseOpen, phaseChallenged, phaseCancelling, phaseFailed:
			c.answered(t.now, m.Status)
		case phaseClosing:
			if c.Cause == 0 {
				c.Cause = m.Status
			}
		}
	default:
		t.inviteRefused(c, m)
	}
}

func (t *Tracker) inviteRefused(c *call, m *Message) {
	switch c.phase {
	case phaseClosing:
		if c.Cause == 0 {
			c.Cause = m.Status
		}
		return
	case phaseOpen, phaseCancelling:
	default:
		return
	}
	c.drop(t.text(m.Branch))
	if c.forks > 0 && m.Status < 600 {
		return // another branch may still answer
	}
	if !c.cancelled && again(m.Status) {
		c.phase, c.since, c.final = phaseChallenged, t.now, m.Status
		return
	}
	c.End, c.Cause = t.now, m.Status
	c.phase, c.since = phaseFailed, t.now
}

// again says whether a caller that is answered so tries the same call once more:
// with credentials, a longer session timer, or at the address that it is told
// (RFC 3261 section 8.1.3.4). Where that is another host, it is another call.
func again(status uint16) bool {
	switch status {
	case 401, 407, 422, 300, 301, 302, 305:
		return true
	}
	return false
}

// leaves says whether the BYE m, or the response to one, ends the call. Where
// dialogs of it are known it must be for one of them, and the last: of a forked
// call that two answered, one is let go (RFC 3261 section 13.2.2.4).
func (t *Tracker) leaves(c *call, m *Message) bool {
	if c.lives == 0 {
		return true
	}
	from, to := t.text(m.From.Tag), t.text(m.To.Tag)
	k := -1
	switch c.callerTag {
	case from:
		k = c.tag(to)
	case to:
		k = c.tag(from)
	}
	if k < 0 {
		t.count.WrongTags++
		return false
	}
	c.lives &^= 1 << k
	return c.lives == 0
}

// replaces gives the ID of the call that INVITE m takes over, 0 for none. It
// must be a dialog that its receiver has, and each is taken over once, so that
// nobody can pass off many calls as one.
func (t *Tracker) replaces(p *packet.Packet, m *Message) uint64 {
	var l Leniency
	n := spanValue(m.Replaces)
	id, rest := ident.Hash(t.cfg.Seed+uint64(p.Realm), m.Replaces[:n]), m.Replaces[n:]
	var from, to uint64
	for more := true; more; {
		var name, value []byte
		name, value, rest, more = nextParam(rest, &l)
		switch {
		case is(name, "from-tag"):
			from = t.text(value)
		case is(name, "to-tag"):
			to = t.text(value)
		}
	}
	if from == 0 || to == 0 {
		return 0
	}
	for _, key := range [...]uint64{dialogKey(id, from, to), dialogKey(id, to, from)} {
		known, _ := t.dialogs.Get(key)
		for _, i := range known.calls[:known.n] {
			c := t.calls.at(i)
			if has := p.Dst == c.Caller.Addr || p.Dst == c.Callee.Addr; !has || c.replaced || c.Replaces != 0 || c.phase == phaseOver {
				continue
			}
			c.replaced = true
			return c.ID
		}
	}
	return 0
}

// tell notes an event of the message at hand.
func (c *call) tell(e CallEvent) { c.event |= 1 << e }

// report tells the Handler what the message at hand brought, in the order of
// the events' numbers, and sets when call i runs out.
func (t *Tracker) report(i int32) {
	c := t.calls.at(i)
	if c.event != 0 {
		for e := CallStarted; e <= CallEnded; e++ {
			if c.event&(1<<e) != 0 {
				t.h.Call(&c.Call, e)
			}
		}
		if c.event&(1<<CallEnded) != 0 {
			t.count.CallsEnded++
			c.phase, c.since = phaseOver, t.now
		}
		c.event = 0
	}
	level := gradeWeak
	if c.Verified || c.Answer != 0 {
		level = gradeStrong
	}
	var due int64
	switch c.phase {
	case phaseOpen:
		due = c.Last + t.cfg.NoAnswer
	case phaseAnswered:
		due = c.Last + t.cfg.Idle
	case phaseOver:
		level, due = gradeDone, c.since+linger
	default:
		due = c.since + linger
	}
	t.calls.touch(i, level, due)
}

func (t *Tracker) callExpired(i int32) {
	if p := t.calls.at(i).phase; p == phaseOpen || p == phaseAnswered {
		t.count.CallsGivenUp++
	}
	t.giveUp(i)
}

// giveUp removes call i, and tells its end unless that was told.
func (t *Tracker) giveUp(i int32) {
	c := t.calls.at(i)
	switch c.phase {
	case phaseChallenged:
		c.End, c.Cause = c.since, c.final
	case phaseCancelling:
		c.End, c.Cause = c.since, 487
	}
	if c.phase != phaseOver {
		t.count.CallsEnded++
		t.h.Call(&c.Call, CallEnded)
	}
	t.unlist(i)
	t.calls.remove(i)
}
