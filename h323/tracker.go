package h323

import (
	"simtrap/ident"
	"simtrap/packet"
)

// Party is one side of a call or registration as seen on the wire.
type Party struct {
	Addr ident.Addr
	Port uint16
}

// Call is one call, by its messages on one TCP connection. Times are
// nanoseconds since the Unix epoch, 0 when not seen.
type Call struct {
	ID             uint64 // unique within a Tracker, in order of appearance
	Realm          ident.Realm
	Caller, Callee Party // of SETUP

	Setup, Proceeding, Alerting, Answer, End int64
	// Progress is the first message before the answer that tells where the
	// callee wants voice, or says PROGRESS.
	Progress int64
	Last     int64

	// Cause is the final status in terms of SIP: 200 once answered, the one that
	// RFC 3398 gives for the cause told, 487 when the caller gave up; 0 while
	// open.
	Cause      uint16
	EndedBy    uint8 // sideCaller or sideCallee
	FromCaller bool  // some message of the caller was seen
	FromCallee bool  // and of the callee
	Doubtful   bool  // some of it came as packet.Packet.Doubtful
	// Verified says that the callee answered on the connection on which SETUP
	// came: only who received its part of the handshake could have sent SETUP.
	Verified bool

	CalleeKey, CallerKey     uint64 // as of package sip
	CalleeClass, CallerClass ident.NumberClass
	CalledUser               ident.Number

	CallerMedia, CalleeMedia Media
	Agent                    [2]string // of caller and callee
}

// Sides of a call.
const (
	SideNone uint8 = iota
	SideCaller
	SideCallee
)

// CallEvent is why a Handler is told about a call.
type CallEvent uint8

const (
	CallStarted CallEvent = iota + 1
	CallMedia
	CallRinging
	CallAnswered
	CallVerified
	CallEnded // over, once for every CallStarted; the Call is not touched again
)

// Registration is one name of an endpoint at a gatekeeper.
type Registration struct {
	Realm              ident.Realm
	Account            ident.Account
	AccountKey         uint64
	UserKey            uint64 // as Call.CalleeKey
	Client, Gatekeeper Party
	SignalKey          uint64 // hash of the signalling address told
	Signal             Media
	Expires            int64 // seconds
	Requests           uint32
	Accepted, Refused  uint32
	First, Last        int64 // of refreshes that were accepted, or, one way only, sent
	Time               int64 // when what is told now was asked: a refresh, its refusal or the removal
	Interval           int64 // between the last two, of the endpoint's first name only
	Agent              string
	FromClient         bool // requests were seen
	FromGatekeeper     bool // answers were seen
	Removed            bool
}

// Handler receives what a Tracker concludes. The pointers are the Tracker's own:
// read them during the call only.
type Handler interface {
	H323Call(*Call, CallEvent)
	H323Registration(*Registration)
}

// Config bounds a Tracker. Zero values are replaced by the defaults named.
type Config struct {
	Calls     int // followed at once, 32768
	Endpoints int // 16384
	Seed      uint64
	Plan      *ident.Plan // China's when nil
	NoAnswer  int64       // ns after which a call that was not answered is given up, 4 minutes
	Idle      int64       // ns without signalling after which an answered one is, 4 hours
}

// Counters tell what a Tracker had to leave out.
type Counters struct {
	Messages, Registers            uint64
	CallsStarted, CallsEnded       uint64
	Strays                         uint64 // messages of calls of which nothing else was seen
	Unnamed                        uint64 // SETUPs that do not name H.225.0
	Unasked                        uint64 // answers of RAS to no request
	GivenUp                        uint64 // calls ended for want of messages
	CallsEvicted, EndpointsEvicted uint64 // for want of room
	NamesLeft                      uint64 // aliases beyond what is kept of an endpoint
	Repeats                        uint64 // the same SETUP again
	Backwards                      uint64
}

const (
	second = int64(1e9)
	// unproved is how long an endpoint stays that no gatekeeper accepted.
	unproved = 120 * second
	// kept is how long one stays that is silent.
	kept = 4 * 3600 * second
	// againWithin is how soon an RRQ is the same again (section 7.19: 3 s, twice).
	againWithin = 10 * second
	maxExpires  = 24 * 3600
	maxNames    = 4096
)

// A Tracker puts messages together into calls and registrations. It is for one
// goroutine; messages come in order of time.
type Tracker struct {
	cfg       Config
	h         Handler
	now       int64
	count     Counters
	calling   []byte // as the message at hand says it
	calls     table[call]
	endpoints table[endpoint]
	names     map[string]string
	buf       [ident.NumberBuffer]byte
}

// NewTracker gives a Tracker that tells h what it concludes.
func NewTracker(cfg Config, h Handler) *Tracker {
	setDefault(&cfg.Calls, 32768)
	setDefault(&cfg.Endpoints, 16384)
	setDefault(&cfg.NoAnswer, 240*second)
	setDefault(&cfg.Idle, 4*3600*second)
	if cfg.Plan == nil {
		cfg.Plan, _ = ident.ParsePlan("") // the default plan cannot fail
	}
	t := &Tracker{cfg: cfg, h: h, names: make(map[string]string)}
	t.calls.open(cfg.Calls, cfg.NoAnswer, cfg.Idle)
	t.endpoints.open(cfg.Endpoints, unproved, kept)
	return t
}

func setDefault[T int | int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Counters gives the counts so far.
func (t *Tracker) Counters() Counters { return t.count }

// call is a Call with what it takes to follow it.
type call struct {
	Call
	id    [16]byte
	event uint8
}

// connection is a keyed hash of who originated a call to whom on which
// connection, and the call reference: it is unique among the calls of its
// originator there (H.225.0 section 7.2.2.2).
func (t *Tracker) connection(p *packet.Packet, m *Message) uint64 {
	a, b := source(p), destination(p)
	if m.FromCallee {
		a, b = b, a
	}
	h := t.cfg.Seed + uint64(p.Realm)
	h = a.Addr.Hash(h + uint64(a.Port)<<32)
	return b.Addr.Hash(h + uint64(b.Port)<<32 + uint64(m.Ref))
}

func source(p *packet.Packet) Party      { return Party{p.Src, p.SrcPort} }
func destination(p *packet.Packet) Party { return Party{p.Dst, p.DstPort} }

// Message takes the message m that packet p carried. Nothing of either is kept.
func (t *Tracker) Message(p *packet.Packet, m *Message) {
	t.count.Messages++
	t.clock(p.Time)
	if m.Ref == 0 {
		return // about the connection, not a call
	}
	key := t.connection(p, m)
	e := t.calls.find(key)
	opens := m.Type == Setup && !m.FromCallee
	if opens && e != nil {
		switch {
		case e.v.Setup == 0 && e.v.Answer == 0 && m.H225:
			t.asked(&e.v, m) // its answer overtook it
		case e.v.Setup == 0 || e.v.id == m.CallID:
			t.count.Repeats++
		default:
			t.giveUp(e) // the reference is used again
			e = nil
		}
	}
	if e == nil {
		if e = t.begin(key, p, m, opens); e == nil {
			return
		}
	}
	e.v.Doubtful = e.v.Doubtful || p.Doubtful
	t.follow(e, m)
}

// begin opens a call with SETUP, or, where the caller's side is out of sight,
// with an answer to it.
func (t *Tracker) begin(key uint64, p *packet.Packet, m *Message, opens bool) *entry[call] {
	if !m.H225 {
		if opens {
			t.count.Unnamed++
		} else {
			t.count.Strays++
		}
		return nil
	}
	if !opens {
		switch m.Type {
		case CallProceeding, Alerting, Progress, Connect:
		default:
			t.count.Strays++
			return nil
		}
		if !m.FromCallee {
			t.count.Strays++
			return nil
		}
	}
	if v := t.calls.victim(); v != nil {
		t.count.CallsEvicted++
		t.giveUp(v)
	}
	e := t.calls.add(key, t.now)
	c := &e.v
	t.count.CallsStarted++
	c.ID, c.Realm, c.id = t.count.CallsStarted, p.Realm, m.CallID
	c.Caller, c.Callee = source(p), destination(p)
	if m.FromCallee {
		c.Caller, c.Callee = c.Callee, c.Caller
	}
	if opens {
		t.asked(c, m)
	}
	c.tell(CallStarted)
	return e
}

// CallingUser is the caller of the call that a Handler is being told has started.
// It is not kept.
func (t *Tracker) CallingUser() ident.Number { return ident.NewNumber(t.calling) }

// asked takes what SETUP says of a call.
func (t *Tracker) asked(c *call, m *Message) {
	c.Setup, c.id, t.calling = t.now, m.CallID, nil
	c.CalleeKey, c.CalleeClass = t.user(m.Called.bytes())
	c.CalledUser = ident.NewNumber(m.Called.bytes())
	if !m.Withheld {
		c.CallerKey, c.CallerClass = t.user(m.Calling.bytes())
		t.calling = m.Calling.bytes()
	}
}

// follow lets a call take message m.
func (t *Tracker) follow(e *entry[call], m *Message) {
	c := &e.v
	c.Last = t.now
	side, k, media := SideCaller, 0, &c.CallerMedia
	if m.FromCallee {
		side, k, media = SideCallee, 1, &c.CalleeMedia
	}
	if side == SideCaller {
		c.FromCaller = true
	} else {
		c.FromCallee = true
		if c.Setup != 0 && m.H225 && !c.Verified {
			c.Verified = true
			c.tell(CallVerified)
		}
	}
	if c.Agent[k] == "" && m.Agent.n > 0 {
		c.Agent[k] = t.name(m.Agent.bytes())
	}
	if m.Media.Port != 0 && *media != m.Media {
		*media = m.Media
		c.tell(CallMedia)
	}
	if m.Type == ReleaseComplete {
		c.over(t.now, m, side)
	} else if side == SideCallee && c.Answer == 0 {
		c.answering(t.now, m)
	}
	t.report(e)
}

// answering takes what the callee says before and with its answer.
func (c *call) answering(now int64, m *Message) {
	switch m.Type {
	case CallProceeding:
		if c.Proceeding == 0 {
			c.Proceeding = now
		}
	case Alerting, Progress:
		if c.Alerting == 0 {
			c.Alerting = now
			c.tell(CallRinging)
		}
	case Connect:
		c.Answer, c.Cause = now, 200
		c.tell(CallAnswered)
		return
	default:
		return
	}
	if c.Progress == 0 && (m.Type == Progress || m.Media.Port != 0) {
		c.Progress = now
	}
}

// over takes the RELEASE COMPLETE of one side.
func (c *call) over(now int64, m *Message, side uint8) {
	c.End, c.EndedBy = now, side
	switch {
	case c.Answer != 0:
	case side == SideCaller && !c.FromCallee:
		// Whether it was answered could not be seen.
	case side == SideCaller:
		c.Cause = 487
	case m.Cause != 0:
		c.Cause = status(m.Cause)
	case m.Reason != 0:
		c.Cause = status(causeOf(m.Reason - 1))
	default:
		c.Cause = status(31)
	}
	c.tell(CallEnded)
}

func (c *call) tell(e CallEvent) { c.event |= 1 << e }

// report tells the Handler what the message at hand brought.
func (t *Tracker) report(e *entry[call]) {
	c := &e.v
	event := c.event
	c.event = 0
	for k := CallStarted; k <= CallEnded; k++ {
		if event&(1<<k) != 0 {
			t.h.H323Call(&c.Call, k)
		}
	}
	if event&(1<<CallEnded) != 0 {
		t.count.CallsEnded++
		t.calls.remove(e)
		return
	}
	t.calls.touch(e, c.Answer != 0, t.now)
}

// giveUp ends a call for want of messages or room.
func (t *Tracker) giveUp(e *entry[call]) {
	t.count.CallsEnded++
	t.h.H323Call(&e.v.Call, CallEnded)
	t.calls.remove(e)
}

func (t *Tracker) clock(now int64) {
	if now < t.now {
		t.count.Backwards++
	}
	t.Advance(now)
}

// Advance says that the time is now; what has run out by then is told to the
// Handler. An earlier time than the last is ignored.
func (t *Tracker) Advance(now int64) {
	t.now = max(t.now, now)
	for {
		e := t.calls.expired(t.now)
		if e == nil {
			break
		}
		t.count.GivenUp++
		t.giveUp(e)
	}
	for {
		e := t.endpoints.expired(t.now)
		if e == nil {
			break
		}
		t.settle(e)
		t.endpoints.remove(e)
	}
}

// Flush is for the end of input: what is still open is told to the Handler, in
// order of appearance, and forgotten.
func (t *Tracker) Flush() {
	for _, e := range t.calls.inOrder() {
		t.giveUp(e)
	}
	for _, e := range t.endpoints.inOrder() {
		t.settle(e)
		t.endpoints.remove(e)
	}
}

// text hashes what a stranger chose, as package sip does, so that a number has
// one key in both protocols; 0 is kept for nothing at all.
func (t *Tracker) text(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return max(1, ident.Hash(t.cfg.Seed^0x5851f42d4c957f2d, b))
}

// user gives the keyed hash and class of a number or name.
func (t *Tracker) user(u []byte) (uint64, ident.NumberClass) {
	number, class := t.cfg.Plan.Classify(u, t.buf[:])
	return t.text(number), class
}

// name gives b as a string, one copy for all that say the same.
func (t *Tracker) name(b []byte) string {
	if s, ok := t.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(t.names) < maxNames {
		t.names[s] = s
	}
	return s
}
