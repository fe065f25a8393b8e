package sip

import (
	"simtrap/ident"
	"simtrap/ident/keyed"
	"simtrap/packet"
)

// Config bounds a Tracker and tells it what it cannot see. Zero values are
// replaced by the defaults named.
type Config struct {
	Calls         int // calls followed at once, 65536
	Registrations int // 65536
	Requests      int // other requests waiting for an answer, 16384

	// Seed keys every hash; a replay fixes it.
	Seed uint64
	// Plan is the numbering plan of the country, China's when nil.
	Plan *ident.Plan

	NoAnswer int64 // ns after which a call that was not answered is given up, 3 minutes
	Idle     int64 // ns without signalling after which an answered call is given up, 4 hours
}

// Counters tell what a Tracker did and what it had to leave out.
type Counters struct {
	Messages  uint64
	Repeats   uint64 // the same message again within 50 ms, ignored
	Backwards uint64 // times that ran backwards, clamped
	NoCallID  uint64 // messages that cannot be followed for want of a Call-ID
	Strays    uint64 // messages inside calls of which nothing else was seen, ignored
	Late      uint64 // messages of calls already over, ignored
	WrongTags uint64 // BYEs, and responses to them, with tags of no dialog of their call, ignored

	CallsStarted, CallsEnded uint64
	CallsGivenUp             uint64 // ended for want of messages: no answer, or idle
	CallsEvicted             uint64 // ended for want of room
	DialogsCrowded           uint64 // dialogs on more calls than are looked for beyond the INVITE's addresses
	RegistrationsEvicted     uint64
	RequestsEvicted          uint64 // waiting requests dropped for want of room, not reported
}

const (
	second = int64(1e9)
	// linger is how long an answer may take: timers B, F and H of RFC 3261.
	linger = 32 * second
	// mirrored is how far apart a doubled mirror shows the same frame.
	mirrored = 50 * second / 1000
	// maxText bounds what is kept of a header.
	maxText = 64
	// maxNames bounds the table of User-Agent texts that calls share.
	maxNames = 4096
)

// A Tracker puts messages together into calls, registrations and requests. It
// is for one goroutine; messages come in order of time. The only clock is the
// time of packets and of Advance.
type Tracker struct {
	cfg      Config
	h        Handler
	now      int64
	count    Counters
	calling  []byte // as the message at hand says it
	id       uint64 // keyed hash of its Call-ID and realm
	calls    *table[call]
	regs     *table[registration]
	requests *table[request]
	// dialogs finds the calls that have a dialog by Call-ID and both tags, and
	// pairs the last call under a Call-ID between two addresses.
	dialogs keyed.Map[hops]
	pairs   keyed.Map[int32]
	// contacts finds the registration whose Contact has a user of its own.
	contacts keyed.Map[int32]
	names    map[uint64]string
	buf      [ident.NumberBuffer]byte
}

// NewTracker gives a Tracker that tells h what it concludes.
func NewTracker(cfg Config, h Handler) *Tracker {
	setDefault(&cfg.Calls, 65536)
	setDefault(&cfg.Registrations, 65536)
	setDefault(&cfg.Requests, 16384)
	setDefault(&cfg.NoAnswer, 180*second)
	setDefault(&cfg.Idle, 4*3600*second)
	if cfg.Plan == nil {
		cfg.Plan, _ = ident.ParsePlan("") // the default plan cannot fail
	}
	return &Tracker{
		cfg: cfg, h: h,
		calls:    newTable[call](cfg.Calls),
		regs:     newTable[registration](cfg.Registrations),
		requests: newTable[request](cfg.Requests),
		names:    make(map[uint64]string),
	}
}

func setDefault[T int | int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Counters gives the counts so far.
func (t *Tracker) Counters() Counters { return t.count }

// Message takes the message m that packet p carried. Nothing of either is kept.
func (t *Tracker) Message(p *packet.Packet, m *Message) {
	t.count.Messages++
	if p.Time < t.now {
		t.count.Backwards++
	}
	t.Advance(p.Time)
	if len(m.CallID) == 0 {
		t.count.NoCallID++
		return
	}
	t.id = ident.Hash(t.cfg.Seed+uint64(p.Realm), m.CallID)
	switch m.Method {
	case REGISTER:
		t.register(p, m)
	case INVITE, ACK, CANCEL, BYE, PRACK, UPDATE:
		t.call(p, m)
	case INFO:
		if m.Status == 0 && len(m.To.Tag) > 0 {
			t.call(p, m)
		} else if !t.inCall(p, m) {
			t.request(p, m)
		}
	default:
		// What belongs to a call that is known is no request of its own.
		if len(m.To.Tag) == 0 || !t.inCall(p, m) {
			t.request(p, m)
		}
	}
}

// Advance says that the time is now, in ns since the Unix epoch; what has run
// out by then is told to the Handler. An earlier time than the last is ignored.
func (t *Tracker) Advance(now int64) {
	t.now = max(t.now, now)
	for {
		// Earliest first over all three tables, so that what is told does not
		// depend on how often Advance is called.
		c, r, q := t.calls.expired(t.now), t.regs.expired(t.now), t.requests.expired(t.now)
		due, which := int64(0), 0
		if c != none {
			due, which = t.calls.slots[c].due, 1
		}
		if r != none && (which == 0 || t.regs.slots[r].due < due) {
			due, which = t.regs.slots[r].due, 2
		}
		if q != none && (which == 0 || t.requests.slots[q].due < due) {
			which = 3
		}
		switch which {
		case 0:
			return
		case 1:
			t.callExpired(c)
		case 2:
			t.registrationExpired(r)
		case 3:
			t.requestExpired(q)
		}
	}
}

// Flush is for the end of input: what is still open is told to the Handler, in
// order of appearance, and forgotten.
func (t *Tracker) Flush() {
	for _, i := range t.calls.inOrder() {
		t.giveUp(i)
	}
	for _, i := range t.regs.inOrder() {
		t.settle(i)
		t.forget(i)
	}
	for _, i := range t.requests.inOrder() {
		t.requestExpired(i)
	}
}

// exchange is a keyed hash of the Call-ID of the message at hand and the two
// addresses, the same for both directions. Ports are left out: they change behind
// a NAT.
func (t *Tracker) exchange(p *packet.Packet) uint64 {
	a, b := p.Src, p.Dst
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return b.Hash(a.Hash(t.id))
}

// sequence extends a hash by CSeq and method.
func sequence(h uint64, m *Message) uint64 {
	return (h ^ uint64(m.CSeq)<<8 ^ uint64(m.Method)) * 0x9fb21c651e98df25
}

// text hashes what a stranger chose; 0 is kept for nothing at all.
func (t *Tracker) text(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return max(1, ident.Hash(t.cfg.Seed^0x5851f42d4c957f2d, b))
}

// user gives the keyed hash and class of a user part, 0 when it is none.
func (t *Tracker) user(u []byte) (uint64, ident.NumberClass) {
	number, class := t.cfg.Plan.Classify(u, t.buf[:])
	return t.text(number), class
}

// name gives b as a bounded string, one copy for all that say the same.
func (t *Tracker) name(b []byte) string {
	b = b[:min(len(b), maxText)]
	k := t.text(b)
	if s, ok := t.names[k]; ok && s == string(b) {
		return s
	}
	s := string(b)
	if len(t.names) < maxNames {
		t.names[k] = s
	}
	return s
}

func source(p *packet.Packet) Party      { return Party{p.Src, p.SrcPort} }
func destination(p *packet.Packet) Party { return Party{p.Dst, p.DstPort} }
