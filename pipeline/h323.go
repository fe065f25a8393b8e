package pipeline

import (
	"simtrap/h323"
	"simtrap/ident"
	"simtrap/packet"
	"simtrap/rtp"
	"simtrap/sip"
)

// signal is one message of H.323 with the packet that carried it: of call
// signalling, or, where ras is set, of registration.
type signal struct {
	packet packet.Packet
	call   h323.Message
	ras    *h323.RAS
}

// rasFlows remembers the pairs of sockets that have spoken RAS, for the messages
// that do not say so themselves. A place that is taken away costs an
// unregistration, no more.
type rasFlows struct {
	any   bool
	pairs [64]uint64
}

func (f *rasFlows) at(p *packet.Packet, seed uint64) (place *uint64, hash uint64) {
	a, b := p.Src.Hash(seed)+uint64(p.SrcPort), p.Dst.Hash(seed)+uint64(p.DstPort)
	hash = max(1, (a^b)*0x9fb21c651e98df25)
	return &f.pairs[hash>>32%64], hash
}

// unregisters says whether a datagram may be of unregistration.
func (s *shard) unregisters(p *packet.Packet) bool {
	if !s.ras.any || !h323.LooksUnregistration(p.Payload) {
		return false
	}
	place, hash := s.ras.at(p, s.seed)
	return *place == hash
}

// registration takes a datagram of RAS.
func (s *shard) registration(p *packet.Packet) {
	m := &h323.RAS{}
	if h323.ParseRAS(p.Payload, m) != nil {
		s.lost.unreadRAS++
		return
	}
	place, hash := s.ras.at(p, s.seed)
	*place, s.ras.any = hash, true
	s.signalled(p, signal{ras: m})
}

// q931 takes a message of call signalling, cut out of a stream.
func (s *shard) q931(raw []byte) {
	var m signal
	if h323.Parse(raw, &m.call) != nil && m.call.Type == 0 {
		s.lost.unreadQ931++
		return
	}
	s.signalled(s.piece, m)
}

func (s *shard) signalled(p *packet.Packet, m signal) {
	m.packet = *p
	m.packet.Payload = nil
	s.signals = append(s.signals, m)
	s.add(kindSignal, len(s.signals)-1)
}

// signal takes a message of H.323.
func (j *joiner) signal(m *signal) {
	j.stats.signals++
	j.addressed(&m.packet)
	if m.ras != nil {
		j.h323.RAS(&m.packet, m.ras)
	} else {
		j.h323.Message(&m.packet, &m.call)
	}
}

// h323Calls keeps the numbers of H.323's calls apart from those of SIP's.
const h323Calls = 1 << 62

// H323Call is told by H.323's tracker. What judges calls does not ask by which
// protocol they are made.
func (j *joiner) H323Call(c *h323.Call, ev h323.CallEvent) {
	s := &j.asSIP
	*s = sip.Call{
		ID: h323Calls | c.ID, Realm: c.Realm, Caller: sip.Party(c.Caller), Callee: sip.Party(c.Callee), TCP: true,
		Invite: c.Setup, Trying: c.Proceeding, Ringing: c.Alerting, Progress: c.Progress, Answer: c.Answer, End: c.End, Last: c.Last,
		Cause: c.Cause, EndedBy: sides[c.EndedBy], Verified: c.Verified, Doubtful: c.Doubtful,
		CalleeKey: c.CalleeKey, CallerKey: c.CallerKey, CalleeClass: c.CalleeClass, CallerClass: c.CallerClass, CalledUser: c.CalledUser,
		UserAgent: c.Agent,
	}
	s.CallerMedia.Addr, s.CallerMedia.Port = c.CallerMedia.Addr, c.CallerMedia.Port
	s.CalleeMedia.Addr, s.CalleeMedia.Port = c.CalleeMedia.Addr, c.CalleeMedia.Port
	if c.FromCaller {
		s.Seen |= sip.SeenRequest
	}
	if c.FromCallee {
		s.Seen |= sip.SeenResponse
	}
	switch {
	case ev == h323.CallAnswered && c.CallerMedia.Port == 0 && c.CalleeMedia.Port == 0:
		j.pairs.add(s)
	case ev == h323.CallEnded:
		j.pairs.ended(s, j.now)
	}
	j.caller = j.h323.CallingUser
	j.Call(s, callEvents[ev])
	j.caller = j.tracker.CallingUser
}

var sides = [...]sip.Side{h323.SideNone: sip.SideNone, h323.SideCaller: sip.SideCaller, h323.SideCallee: sip.SideCallee}

var callEvents = [...]sip.CallEvent{
	h323.CallStarted: sip.CallStarted, h323.CallMedia: sip.CallMedia, h323.CallRinging: sip.CallRinging,
	h323.CallAnswered: sip.CallAnswered, h323.CallVerified: sip.CallVerified, h323.CallEnded: sip.CallEnded,
}

// H323Registration is told by H.323's tracker. The time between refreshes is
// left out: what is known of such clocks is known of REGISTER.
func (j *joiner) H323Registration(r *h323.Registration) {
	s := sip.Registration{
		Realm: r.Realm, Account: r.Account, AccountKey: r.AccountKey, UserKey: r.UserKey,
		Client: sip.Party(r.Client), Registrar: sip.Party(r.Gatekeeper),
		ContactKey: r.SignalKey, ContactHost: r.Signal.Addr, ContactPort: r.Signal.Port,
		Expires: r.Expires, Requests: r.Requests, Accepted: r.Accepted, Refused: r.Refused, First: r.First, Last: r.Last, Time: r.Time,
		UserAgent: r.Agent, Removed: r.Removed,
	}
	if r.FromClient {
		s.Seen |= sip.SeenRequest
	}
	if r.FromGatekeeper {
		s.Seen |= sip.SeenResponse
	}
	j.Registration(&s)
}

// pairs joins streams to the calls of H.323 that do not tell where they want
// voice: their H.245 runs on a connection of its own, which is not read. Voice
// between the two addresses of the signalling belongs to such a call: to the one
// answered last before it began that has none in this direction yet.
type pairs struct {
	table   map[pair][]between
	byCall  map[uint64]pair
	expiry  []expiry // in order of time
	refused uint64   // calls without room
}

// pair is two addresses, the lesser first.
type pair struct {
	a, b  ident.Addr
	realm ident.Realm
}

type between struct {
	call        uint64
	caller      ident.Addr
	from, until int64
	taken       [2]bool // voice of caller and callee was found
}

const (
	maxPaired  = 1 << 14 // calls
	maxBetween = 256     // of them between two addresses
)

func newPairs() *pairs {
	return &pairs{table: make(map[pair][]between), byCall: make(map[uint64]pair)}
}

func pairOf(a, b ident.Addr, r ident.Realm) pair {
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	return pair{a, b, r}
}

// add takes a call that was answered now.
func (b *pairs) add(c *sip.Call) {
	k := pairOf(c.Caller.Addr, c.Callee.Addr, c.Realm)
	if _, ok := b.byCall[c.ID]; ok {
		return
	}
	if len(b.byCall) >= maxPaired || len(b.table[k]) >= maxBetween {
		b.refused++
		return
	}
	b.byCall[c.ID] = k
	b.table[k] = append(b.table[k], between{call: c.ID, caller: c.Caller.Addr, from: c.Answer})
}

func (b *pairs) ended(c *sip.Call, t int64) {
	k, ok := b.byCall[c.ID]
	if !ok {
		return
	}
	for i := range b.table[k] {
		if e := &b.table[k][i]; e.call == c.ID {
			e.until = t
		}
	}
	b.expiry = append(b.expiry, expiry{t + linger, c.ID})
}

// advance forgets what has lingered long enough.
func (b *pairs) advance(now int64) {
	done := 0
	for ; done < len(b.expiry) && b.expiry[done].at <= now; done++ {
		id := b.expiry[done].call
		k := b.byCall[id]
		delete(b.byCall, id)
		list := b.table[k]
		for i := range list {
			if list[i].call == id {
				list = append(list[:i], list[i+1:]...)
				break
			}
		}
		if b.table[k] = list; len(list) == 0 {
			delete(b.table, k)
		}
	}
	if done > 0 {
		b.expiry = append(b.expiry[:0], b.expiry[done:]...)
	}
}

// find gives the call that a stream belongs to.
func (b *pairs) find(s *rtp.Stream) (call uint64, fromCaller, ok bool) {
	if len(b.table) == 0 {
		return 0, false, false
	}
	var found *between
	way := 0
	list := b.table[pairOf(s.Flow.Src, s.Flow.Dst, s.Flow.Realm)]
	for i := range list {
		e := &list[i]
		side := 1
		if s.Flow.Src == e.caller {
			side = 0
		}
		if e.taken[side] || s.Start < e.from-slack || e.until != 0 && s.Start > e.until {
			continue
		}
		if found == nil || e.from > found.from {
			found, way = e, side
		}
	}
	if found == nil {
		return 0, false, false
	}
	found.taken[way] = true
	return found.call, way == 0, true
}
