package sip

import (
	"simtrap/ident"
	"simtrap/packet"
)

// registration is a Registration with what it takes to follow it.
type registration struct {
	Registration
	asked    int64  // seconds
	waiting  uint64 // the REGISTER under way, by Call-ID and CSeq; 0 none
	sent     int64  // when it was sent
	settled  uint64 // the last one that had its final response
	contact  uint64 // its place in Tracker.contacts, 0 none
	user     uint64 // hash of the user part of Contact
	removing bool   // the REGISTER under way takes the binding away
	query    bool   // or only asks for bindings
	call     uint64 // Call-ID of the last REGISTER sent
	clocks   [4]refreshClock
	clock    uint8 // the next to be overwritten
}

// refreshClock is one rhythm of refreshes. An account has several where two
// phones behind one address have it, or one keeps two flows (RFC 5626). A client
// keeps to one Call-ID (RFC 3261 section 10.2.4), or else to one contact.
type refreshClock struct {
	call, contact uint64
	last          int64
	again         bool // its Call-ID came more than once
}

// tick notes a refresh at t and gives the time since the one before it of the
// same rhythm, 0 when there is none.
func (r *registration) tick(t int64) (interval int64) {
	recurs, before := false, int64(0)
	for k := range r.clocks {
		c := &r.clocks[k]
		if c.last == 0 {
			continue
		}
		if c.call == r.call {
			interval, c.last, c.contact, c.again = max(0, t-c.last), t, r.ContactKey, true
			return interval
		}
		recurs = recurs || c.again
		if c.contact == r.ContactKey {
			before = max(before, c.last)
		}
	}
	r.clocks[r.clock] = refreshClock{call: r.call, contact: r.ContactKey, last: t}
	r.clock = (r.clock + 1) % uint8(len(r.clocks))
	if recurs || before == 0 {
		return 0
	}
	return max(0, t-before)
}

const (
	// askedByDefault is what RFC 3261 section 10.2 leaves to the registrar and
	// most grant.
	askedByDefault = 3600
	// maxExpires keeps a stranger from parking an entry: seven days.
	maxExpires = 7 * 24 * 3600
	// unproved is how long an account stays that nobody accepted.
	unproved = 120 * second
	// retryWithin is how soon a REGISTER follows another because of a challenge, and
	// not as a refresh.
	retryWithin = 5 * second
)

// register takes a REGISTER or a response to one (RFC 3261 section 10).
func (t *Tracker) register(p *packet.Packet, m *Message) {
	client, registrar, seen := source(p), destination(p), SeenRequest
	if m.Status != 0 {
		if m.Status < 200 {
			return
		}
		client, registrar, seen = registrar, client, SeenResponse
	}
	key := t.account(client, registrar, p.Realm, m)
	i := t.regs.find(key)
	if i == none {
		if v := t.regs.victim(); v != none {
			if !t.regs.at(v).Removed {
				t.count.RegistrationsEvicted++
			}
			t.forget(v)
		}
		i = t.regs.add(key, gradeWeak, t.now+unproved)
		r := t.regs.at(i)
		r.Realm, r.Expires = p.Realm, askedByDefault
		r.Account = account(m)
		r.AccountKey = t.accountKey(m)
		r.UserKey, _ = t.user(m.To.User)
	}
	r := t.regs.at(i)
	r.Seen |= seen
	r.Doubtful = r.Doubtful || p.Doubtful
	r.Client, r.Registrar = client, registrar
	r.call = ident.Hash(t.cfg.Seed, m.CallID)
	transaction := max(1, sequence(r.call, m))
	if m.Status == 0 {
		t.registerSent(i, m, transaction)
	} else {
		t.registerAnswered(i, m, transaction)
	}
	t.registrationTouched(i)
}

func (t *Tracker) registerSent(i int32, m *Message, transaction uint64) {
	r := t.regs.at(i)
	if transaction == r.waiting || transaction == r.settled {
		return
	}
	if r.waiting != 0 && t.now-r.sent > retryWithin {
		t.settle(i) // never answered; the next has come
	}
	r.Removed = false
	r.Requests++
	r.waiting, r.sent = transaction, t.now
	if r.UserAgent == "" {
		r.UserAgent = t.name(m.UserAgent)
	}
	own := m.Contact
	if m.Contacts > 1 && own.Expires == 0 {
		// What goes, and then what comes in its place.
		m.eachContact(func(a *NameAddr) bool {
			if a.Expires != 0 {
				own = *a
			}
			return a.Expires == 0
		})
	}
	r.asked = m.Expires
	if m.Contacts > 0 && (own.Expires >= 0 || m.Contact.Expires == 0) {
		r.asked = own.Expires
	}
	r.query = m.Contacts == 0 && r.asked != 0
	r.removing = r.asked == 0
	if r.asked < 0 {
		r.asked = askedByDefault
	}
	if m.Contacts == 0 {
		return
	}
	if c := t.contactKey(&own); r.removing && r.ContactKey != 0 && c != r.ContactKey {
		// It takes away another binding, of an address it had before.
		r.removing, r.query = false, true
	} else {
		t.setContact(i, &own)
	}
}

func (t *Tracker) registerAnswered(i int32, m *Message, transaction uint64) {
	r := t.regs.at(i)
	if transaction == r.settled || r.waiting != 0 && transaction != r.waiting {
		return // a retransmission, or too late to matter
	}
	sent := t.now
	if r.waiting != 0 {
		sent = r.sent
	} else if r.Seen&SeenRequest == 0 {
		r.Requests++
		r.removing, r.query = false, m.Contacts == 0
		r.asked = askedByDefault
	}
	r.waiting, r.settled = 0, transaction
	switch {
	case m.Status < 300:
		if r.query {
			return
		}
		if r.ContactKey == 0 && m.Contacts > 0 {
			t.setContact(i, &m.Contact)
		}
		r.Accepted++
		r.Expires = t.granted(r, m)
		t.refreshed(i, sent)
	case m.Status == 401, m.Status == 407, m.Status == 423:
		// A challenge, or a wish for a longer interval: it will try again.
	default:
		r.Refused++
		r.Time = sent
		t.h.Registration(&r.Registration)
	}
}

// granted is the seconds that a 2xx to r grants. The response lists every
// binding of the account; only one of our own contact counts.
func (t *Tracker) granted(r *registration, m *Message) int64 {
	g := int64(-1)
	if m.Contacts == 1 {
		g = m.Contact.Expires
	} else if m.Contacts > 1 {
		m.eachContact(func(a *NameAddr) bool {
			if t.contactKey(a) != r.ContactKey {
				return true
			}
			g = a.Expires
			return false
		})
	}
	if g < 0 && m.Contacts <= 1 {
		g = m.Expires
	}
	if g <= 0 {
		g = r.asked
	}
	return min(g, maxExpires)
}

// refreshed notes a success at time sent.
func (t *Tracker) refreshed(i int32, sent int64) {
	r := t.regs.at(i)
	r.Time = sent
	if r.removing {
		// The entry stays for a while, so that retransmissions are known.
		r.Removed, r.removing, r.Expires = true, false, 0
		t.leaveContacts(i)
		t.h.Registration(&r.Registration)
		return
	}
	if r.First == 0 {
		r.First = sent
	}
	r.Interval = r.tick(sent)
	r.Last = max(r.Last, sent)
	// The user of Contact is what requests to the client will be addressed to.
	if r.user != 0 {
		place := t.contactPlace(r.user, r.Client.Addr, r.Realm)
		if place != r.contact {
			t.leaveContacts(i)
			r.contact = place
		}
		t.contacts.Set(place, i)
	}
	t.h.Registration(&r.Registration)
}

// settle decides a REGISTER under way to which no answer came. Where no answer
// was ever visible, having been sent is all there is to know of a refresh.
func (t *Tracker) settle(i int32) {
	r := t.regs.at(i)
	if r.waiting == 0 {
		return
	}
	if r.Seen&SeenResponse == 0 && !r.query {
		r.Expires = min(r.asked, maxExpires)
		t.refreshed(i, r.sent)
	}
	r.waiting = 0
}

func (t *Tracker) registrationExpired(i int32) {
	if t.regs.at(i).waiting == 0 {
		t.forget(i)
		return
	}
	t.settle(i)
	t.registrationTouched(i)
}

// registrationTouched sets grade and deadline of entry i.
func (t *Tracker) registrationTouched(i int32) {
	r := t.regs.at(i)
	level, due := gradeWeak, t.now+unproved
	if r.Last != 0 {
		due = r.Last + 2*max(r.Expires, 60)*second
	}
	if r.Accepted > 0 {
		level = gradeStrong
	}
	if r.waiting != 0 {
		due = r.sent + linger
	} else if r.Removed {
		level, due = gradeDone, t.now+linger
	}
	t.regs.touch(i, level, due)
}

// forget drops entry i.
func (t *Tracker) forget(i int32) {
	t.leaveContacts(i)
	t.regs.remove(i)
}

func (t *Tracker) leaveContacts(i int32) {
	r := t.regs.at(i)
	if j, ok := t.contacts.Get(r.contact); ok && r.contact != 0 && i == j {
		t.contacts.Delete(r.contact)
	}
	r.contact = 0
}

func (t *Tracker) setContact(i int32, a *NameAddr) {
	r := t.regs.at(i)
	r.ContactKey = t.contactKey(a)
	r.ContactHost, _ = ident.ParseAddr(a.Host)
	r.ContactPort = a.Port
	r.user, _ = t.user(a.User)
}

// contactKey hashes host and port of a contact; no port is the default one.
func (t *Tracker) contactKey(a *NameAddr) uint64 {
	port := a.Port
	if port == 0 {
		port = 5060
	}
	return max(1, ident.Hash(t.cfg.Seed+uint64(port), a.Host))
}

func (t *Tracker) contactPlace(user uint64, client ident.Addr, realm ident.Realm) uint64 {
	return max(1, client.Hash(user+uint64(realm)))
}

// ownAccount gives the UserKey of the account that client registered under the
// contact user with hash user, if there is one.
func (t *Tracker) ownAccount(user uint64, client ident.Addr, realm ident.Realm) (key uint64, ok bool) {
	i, ok := t.contacts.Get(t.contactPlace(user, client, realm))
	if !ok {
		return 0, false
	}
	return t.regs.at(i).UserKey, true
}

func (t *Tracker) accountKey(m *Message) uint64 {
	return max(1, ident.Hash(ident.Hash(t.cfg.Seed, m.To.User), m.To.Host))
}

// account is the key of the entry: account, client and registrar by address.
func (t *Tracker) account(client, registrar Party, realm ident.Realm, m *Message) uint64 {
	return registrar.Addr.Hash(client.Addr.Hash(t.accountKey(m) + uint64(realm)))
}

// account gives the address of record, bounded.
func account(m *Message) ident.Account {
	var b [2*maxText + 1]byte
	a := append(b[:0], m.To.User[:min(len(m.To.User), maxText)]...)
	a = append(a, '@')
	a = append(a, m.To.Host[:min(len(m.To.Host), maxText)]...)
	return ident.NewAccount(a)
}
