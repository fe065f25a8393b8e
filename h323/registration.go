package h323

import (
	"simtrap/ident"
	"simtrap/packet"
)

// endpoint is one that registers, by its socket and the gatekeeper's.
type endpoint struct {
	Registration // what all its names have in common
	names        []name
	seq          uint16 // of the request under way
	waiting      bool
	removing     bool // it is a URQ
	sent         int64
	settled      uint16 // the last one that had its answer
	answered     bool   // settled is set
}

// name is one of an endpoint's, with what is told of it.
type name struct {
	account ident.Account
	key     uint64
	user    uint64
	first   int64
}

// RAS takes a message of registration that packet p carried.
func (t *Tracker) RAS(p *packet.Packet, m *RAS) {
	t.count.Registers++
	t.clock(p.Time)
	request := false
	switch m.Kind {
	case RegistrationRequest, UnregistrationRequest:
		request = true
	case RegistrationConfirm, RegistrationReject, UnregistrationConfirm:
	default:
		return
	}
	client, keeper := source(p), destination(p)
	if !request {
		client, keeper = keeper, client
	}
	key := keeper.Addr.Hash(client.Addr.Hash(t.cfg.Seed+uint64(p.Realm)+uint64(client.Port)<<32) + uint64(keeper.Port)<<32)
	e := t.endpoints.find(key)
	if e == nil {
		switch m.Kind {
		case RegistrationRequest, RegistrationConfirm:
		default:
			t.count.Unasked++
			return
		}
		if v := t.endpoints.victim(); v != nil {
			t.count.EndpointsEvicted++
			t.endpoints.remove(v)
		}
		e = t.endpoints.add(key, t.now)
		e.v.Realm, e.v.Client, e.v.Gatekeeper = p.Realm, client, keeper
		e.v.Expires = 3600
	}
	x := &e.v
	if request {
		t.request(e, m)
	} else {
		t.answer(e, m)
	}
	t.endpoints.touch(e, x.Accepted > 0, t.now)
}

// request takes a request of the endpoint's.
func (t *Tracker) request(e *entry[endpoint], m *RAS) {
	x := &e.v
	x.FromClient = true
	if x.waiting && x.seq == m.Seq && t.now-x.sent < againWithin || x.answered && x.settled == m.Seq && t.now-x.Last < againWithin {
		return // the same again
	}
	t.settle(e)
	x.seq, x.waiting, x.sent = m.Seq, true, t.now
	x.removing = m.Kind == UnregistrationRequest
	x.Requests++
	if x.removing {
		return
	}
	t.learn(x, m)
	if m.TTL != 0 {
		x.Expires = int64(min(m.TTL, maxExpires))
	}
}

// learn takes over the names and addresses that a message tells.
func (t *Tracker) learn(x *endpoint, m *RAS) {
	t.count.NamesLeft += uint64(m.Left)
	if m.Signal.Port != 0 {
		x.Signal, x.SignalKey = m.Signal, m.Signal.key(t.cfg.Seed)
	}
	if x.Agent == "" && m.Agent.n > 0 {
		x.Agent = t.name(m.Agent.bytes())
	}
	if len(m.Aliases) == 0 || m.KeepAlive {
		return
	}
	names := make([]name, 0, len(m.Aliases))
	for i := range m.Aliases {
		a := m.Aliases[i].bytes()
		k := max(1, x.Gatekeeper.Addr.Hash(ident.Hash(t.cfg.Seed, a)))
		n := name{account: ident.NewAccount(a), key: k}
		n.user, _ = t.user(a)
		for j := range x.names {
			if x.names[j].key == k {
				n.first = x.names[j].first
			}
		}
		names = append(names, n)
	}
	x.names = names
}

// answer takes what the gatekeeper answers: to the request under way, or to one
// that was out of sight.
func (t *Tracker) answer(e *entry[endpoint], m *RAS) {
	x := &e.v
	if x.answered && x.settled == m.Seq && !x.waiting {
		return // the same again
	}
	if x.waiting && x.seq != m.Seq || !x.waiting && x.FromClient || x.waiting && x.removing != (m.Kind == UnregistrationConfirm) {
		t.count.Unasked++
		return
	}
	sent := t.now
	if x.waiting {
		sent = x.sent
	} else {
		x.Requests++
	}
	x.FromGatekeeper = true
	x.waiting, x.settled, x.answered = false, m.Seq, true
	switch m.Kind {
	case RegistrationConfirm:
		if len(x.names) == 0 {
			t.learn(x, m)
		}
		if m.TTL != 0 {
			x.Expires = int64(min(m.TTL, maxExpires))
		}
		x.Accepted++
		t.refreshed(x, sent)
	case RegistrationReject:
		if !m.Again {
			x.Refused++
			x.Time = sent
			t.tell(x, 0)
		}
	case UnregistrationConfirm:
		x.Removed, x.Expires, x.Time = true, 0, sent
		t.tell(x, 0)
		x.Removed = false
		x.names = nil
	}
}

// refreshed notes a success at time sent.
func (t *Tracker) refreshed(x *endpoint, sent int64) {
	interval := int64(0)
	if x.Last != 0 {
		interval = max(0, sent-x.Last)
	}
	x.Last, x.Time = max(x.Last, sent), sent
	t.tell(x, interval)
}

// settle decides a request under way to which no answer came. Where no answer
// was ever visible, having been sent is all there is to know of it.
func (t *Tracker) settle(e *entry[endpoint]) {
	x := &e.v
	if x.waiting && !x.FromGatekeeper && !x.removing {
		t.refreshed(x, x.sent)
	}
	x.waiting = false
}

// tell tells of every name of an endpoint; of one whose names were never seen,
// once without a name.
func (t *Tracker) tell(x *endpoint, interval int64) {
	r := x.Registration
	if len(x.names) == 0 {
		r.Account = ident.Account{}
		r.AccountKey = max(1, x.Gatekeeper.Addr.Hash(x.Client.Addr.Hash(t.cfg.Seed^uint64(x.Client.Port))))
		r.First, r.Interval = x.Last, interval
		t.h.H323Registration(&r)
		return
	}
	for i := range x.names {
		n := &x.names[i]
		if n.first == 0 {
			n.first = x.Last
		}
		r.Account, r.AccountKey, r.UserKey, r.First, r.Interval = n.account, n.key, n.user, n.first, interval
		interval = 0 // one rhythm, whatever the number of names
		t.h.H323Registration(&r)
	}
}
